//! What a callout is for.

use std::rc::Rc;

use crate::revocation::ListId;
use crate::secret::Secret;
use crate::token::ProviderId;
use crate::user_info::UserKey;

/// What a callout is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Keys(ProviderId),
    /// The same keys as a fetch in flight: for a request that cannot be resumed
    /// by that one.
    KeysAgain(ProviderId),
    UserInfo(UserKey),
    Introspection(Secret<Box<[u8]>>),
    /// The feed of a list of tokens, from this cursor on.
    Tokens(ListId, Rc<str>),
    /// A client's request to the login at this position.
    Login(usize),
}

impl Purpose {
    /// How many answers a request waits for: one, but a provider's keys may come
    /// in two steps, the second after a discovery document, and each of the two may
    /// be redirected once.
    pub(crate) const fn most_answers(&self) -> usize {
        match self {
            Self::Keys(_) | Self::KeysAgain(_) => 4,
            _ => 1,
        }
    }

    /// Whether one reply serves all requests that ask this.
    pub(super) const fn is_shared(&self) -> bool {
        !matches!(self, Self::Login(_))
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Keys(_) => Kind::Keys,
            Self::KeysAgain(_) => Kind::KeysAgain,
            Self::Tokens(..) => Kind::Tokens,
            Self::UserInfo(_) => Kind::UserInfo,
            Self::Introspection(_) => Kind::Introspection,
            Self::Login(_) => Kind::Login,
        }
    }

    /// About how many bytes it takes to remember what is asked.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Introspection(token) => token.expose().len(),
            Self::UserInfo(key) => key.bytes(),
            Self::Keys(_) | Self::KeysAgain(_) | Self::Tokens(..) | Self::Login(_) => 0,
        }
    }
}

/// Each kind of callout has a budget of its own: what one service has to bear,
/// or does not answer, is no reason to refuse what another one is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Keys,
    KeysAgain,
    Tokens,
    UserInfo,
    Introspection,
    Login,
}
