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
mod series;

pub use self::counters::Counters;
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
    /// Answered with what clients find out of a resource, or look for there in vain.
    Metadata,
    /// Answered by the endpoint that takes revocations, other than by a denial.
    Revocation,
    /// Answered with what a login's service said, or refused before it was asked.
    Login,
    /// Denied.
    Denied(Code),
    /// Forwarded without identity, since the mode is shadow; else denied.
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

/// The result of a cache look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// It had what was asked for.
    Hit,
    /// It had not, or no longer.
    Miss,
    /// It had it, no longer current, and it served all the same.
    Stale,
    /// It forgot something that was current, for want of room.
    Eviction,
}
