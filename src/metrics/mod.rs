//! Metrics: requests by outcome, caches, callouts, keys.
//!
//! The core counts in plain memory; a door defines every series once and exports the
//! samples at each tick. So counting adds no host call to a request, and a lost VM
//! loses at most 100 ms of counts.
//!
//! The number of series is bounded: labels are codes, words of this module, and names
//! from the configuration, of which the first [`MAX_NAMED`] have their own series and
//! the others share one. No client input becomes a label.

mod counters;
mod gauges;
mod help;
mod series;

pub use self::counters::Counters;
pub use self::gauges::Gauges;
pub use self::help::{HELP, help};
pub use self::series::{Kind, MAX_NAMED, Sample, Series, denials};
use crate::denial::Code;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// Forwarded with an identity.
    Allowed,
    /// Forwarded as the anonymous consumer.
    Anonymous,
    /// Forwarded without identity, by a rule or as a CORS preflight.
    Bypassed,
    /// Answered with the gateway's key set.
    Jwks,
    /// Answered with a resource's metadata, or 404 for a document that does not exist.
    Metadata,
    /// Answered by the revocation endpoint, other than by a denial.
    Revocation,
    /// Answered with a login service's reply, or refused before the callout.
    Login,
    /// Denied.
    Denied(Code),
    /// Forwarded without identity in shadow mode; otherwise denied.
    Shadow(Code),
}

/// The caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Verified tokens.
    Token,
    /// Answers about users.
    UserInfo,
    /// Decisions on reference tokens.
    Introspection,
}

impl Cache {
    /// Every cache.
    pub const ALL: [Self; 3] = [Self::Token, Self::UserInfo, Self::Introspection];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::UserInfo => "user_info",
            Self::Introspection => "introspection",
        }
    }
}

/// The result of a cache lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// A current entry was found.
    Hit,
    /// No entry was found, or only an expired one.
    Miss,
    /// A stale entry was served.
    Stale,
    /// A current entry was evicted to make room.
    Eviction,
}
