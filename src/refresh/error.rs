//! Why a fetch brought no keys.

use std::fmt;

use super::discovery::DiscoveryError;
use crate::callout::{CalloutFailure, Service};
use crate::http::log_word;
use crate::json::JsonError;
use crate::keys::KeySetError;

/// Why a fetch brought no keys.
#[derive(Debug)]
pub enum FetchError {
    /// No answer.
    NoAnswer(CalloutFailure),
    /// An answer other than 200.
    Status(u16),
    /// A redirect, with this status, to another service.
    RedirectedElsewhere(u16, Redirection),
    /// A redirect after a redirect.
    RedirectedAgain,
    /// A discovery document without a usable location.
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
            Self::RedirectedElsewhere(status, place) => write!(f, "status {status}: {place}"),
            Self::RedirectedAgain => f.write_str("redirected twice: only one redirect is followed"),
            Self::Discovery(error) => error.fmt(f),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::Keys(error) => error.fmt(f),
        }
    }
}

/// The target of a redirect, as far as it may be logged: no path, which may contain a
/// secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Scheme and authority; empty if there are none.
    origin: String,
    service: String,
}

impl Redirection {
    pub(super) fn of(location: &str, service: &Service) -> Self {
        let end = location.match_indices('/').nth(2).map_or(location.len(), |(at, _)| at);
        let origin = location.get(..end).filter(|text| text.contains("//")).unwrap_or_default();
        let own = format!("{}://{}", service.scheme.as_str(), service.authority);
        Self { origin: log_word(origin), service: own }
    }
}

impl fmt::Display for Redirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin.as_str() {
            "" => f.write_str("a redirect without a location that is a path or a URL"),
            origin => write!(
                f,
                "redirected to {origin}, which is not the service ({}): ask that one instead",
                self.service
            ),
        }
    }
}
