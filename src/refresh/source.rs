//! The source of a provider's keys.

use std::rc::Rc;

use super::remote::RemoteKeys;
use crate::keys::KeySet;
use crate::time::UnixTime;

/// The source of a provider's keys.
#[derive(Debug)]
pub enum KeySource {
    /// From the configuration.
    Local(Rc<KeySet>),
    /// From the issuer's JWKS endpoint.
    Remote(Box<RemoteKeys>),
}

impl KeySource {
    /// The keys that may be used `now`, if any.
    pub fn current(&self, now: UnixTime) -> Option<&Rc<KeySet>> {
        match self {
            Self::Local(keys) => Some(keys),
            Self::Remote(remote) => remote.current(now),
        }
    }

    /// Whether there are or may be keys: not if tokens are only introspected.
    pub fn may_have_keys(&self) -> bool {
        match self {
            Self::Local(keys) => !keys.keys().is_empty(),
            Self::Remote(_) => true,
        }
    }

    /// True if the keys are fetched.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// Whether the fetch in flight is for the document that says where the keys are.
    pub fn is_discovering(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Remote(remote) => remote.is_discovering(),
        }
    }

    /// The source, if its keys are fetched.
    pub fn as_remote_mut(&mut self) -> Option<&mut RemoteKeys> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }
}
