//! What operators count: requests and how they ended, caches, callouts, keys.
//!
//! The core counts in plain memory; a door defines every series once and
//! hands on what has gathered at each tick. So counting costs a request no call
//! of the host, and no more than 100 ms of it are lost with a VM.
//!
//! The number of series is bounded: labels are codes, words of this module, and
//! names from the configuration, of which the first [`MAX_NAMED`] count by
//! themselves and the others together. Nothing a client sends becomes a label.

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
    /// What was decided on reference tokens.
    Introspection,
}

/// What a cache was good for.
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
