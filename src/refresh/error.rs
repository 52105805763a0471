//! Why a fetch brought no keys.

use std::fmt;

use super::discovery::DiscoveryError;
use crate::callout::CalloutFailure;
use crate::json::JsonError;
use crate::keys::KeySetError;

/// Why a fetch brought no keys.
#[derive(Debug)]
pub enum FetchError {
    /// No answer.
    NoAnswer(CalloutFailure),
    /// An answer other than 200.
    Status(u16),
    /// A discovery document that leads nowhere.
    Discovery(DiscoveryError),
    /// A body that is not acceptable JSON.
    Json(JsonError),
    /// A document without usable keys.
    Keys(KeySetError),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Discovery(error) => error.fmt(f),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::Keys(error) => error.fmt(f),
        }
    }
}
