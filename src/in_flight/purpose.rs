//! The purpose of a callout.

use std::rc::Rc;

use crate::consumer::HostConsumer;
use crate::refresh::KeySourceId;
use crate::revocation::ListId;
use crate::secret::Secret;
use crate::user_info::UserKey;

/// The purpose of a callout, as the rest of the program may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalloutPurpose {
    /// The keys of this provider, or of this transmitter of events.
    Keys(String),
    /// The document that says where this one's keys are.
    Discovery(String),
    /// The user info.
    UserInfo,
    /// The introspection of a reference token.
    Introspection,
    /// The feed of a list of tokens.
    Feed(ListId),
    /// A client's login.
    Login,
    /// One of the host's own consumers.
    HostConsumer,
    /// Forwarding the revocations of a signal.
    Forward,
}

/// The purpose of a callout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Keys(KeySourceId),
    /// The same keys as a fetch in flight, for a request that this fetch cannot resume.
    DuplicateKeys(KeySourceId),
    UserInfo(UserKey),
    Introspection(Secret<Box<[u8]>>),
    /// The feed of a list of tokens, from this cursor on.
    Tokens(ListId, Rc<str>),
    /// A client's request to the login at this position.
    Login(usize),
    /// One of the host's own consumers.
    Consumer(HostConsumer),
    /// Forwarding the revocations of a signal.
    Forward,
}

impl Purpose {
    /// How many outcomes a request may wait for: one; but a provider's keys may take two
    /// steps, the second after a discovery document, and each of the two may be
    /// redirected once.
    pub(crate) const fn max_outcomes(&self) -> usize {
        match self {
            Self::Keys(_) | Self::DuplicateKeys(_) => 4,
            _ => 1,
        }
    }

    /// True if one reply serves all requests with this purpose. The host looks up its
    /// consumers within the request, in memory.
    pub(super) const fn is_shared(&self) -> bool {
        !matches!(self, Self::Login(_) | Self::Consumer(_) | Self::Forward)
    }

    /// True if it is for one user's requests: what a client chooses, such as a request's id, must
    /// not go where it could spoil what all requests depend on.
    pub(super) const fn is_of_user(&self) -> bool {
        match self {
            Self::UserInfo(_) | Self::Introspection(_) | Self::Login(_) | Self::Forward => true,
            Self::Keys(_) | Self::DuplicateKeys(_) | Self::Tokens(..) | Self::Consumer(_) => false,
        }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Keys(_) => Kind::Keys,
            Self::DuplicateKeys(_) => Kind::DuplicateKeys,
            Self::Tokens(..) => Kind::Tokens,
            Self::UserInfo(_) => Kind::UserInfo,
            Self::Introspection(_) => Kind::Introspection,
            Self::Login(_) => Kind::Login,
            Self::Consumer(_) => Kind::Consumer,
            Self::Forward => Kind::Forward,
        }
    }

    /// The approximate size of the purpose in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Introspection(token) => token.expose().len(),
            Self::UserInfo(key) => key.bytes(),
            Self::Consumer(consumer) => consumer.bytes(),
            Self::Keys(_)
            | Self::DuplicateKeys(_)
            | Self::Tokens(..)
            | Self::Login(_)
            | Self::Forward => 0,
        }
    }
}

/// Each kind of callout has its own budget: load on one service, or its failure, must
/// not block callouts to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Keys,
    DuplicateKeys,
    Tokens,
    UserInfo,
    Introspection,
    Login,
    Consumer,
    Forward,
}
