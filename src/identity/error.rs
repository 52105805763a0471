//! Why no identity token could be minted.

use std::fmt;

use crate::keys::SignError;
use crate::time::UnixTime;

/// Why no identity could be minted.
#[derive(Debug)]
pub enum MintError {
    /// No signing key is active at this time.
    NoKey,
    /// Signing failed.
    Sign(SignError),
    /// A claim cannot be carried by a header; the claim.
    Unprintable(String),
    /// It would exceed the size that services accept.
    TooLarge {
        /// The size of its headers, or of its claims alone if those are too large.
        bytes: usize,
        /// The configured limit.
        limit: usize,
    },
    /// The access token has expired, even if only within the clock skew.
    Ended(UnixTime),
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("no signing key is in use: see sign_from and retire_at"),
            Self::Sign(error) => error.fmt(f),
            Self::Ended(exp) => write!(f, "the access token has ended at {exp}"),
            Self::Unprintable(claim) => {
                write!(f, "claim {claim:?} has control characters, which no header can carry")
            }
            Self::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "its headers have {bytes} bytes, more than limits.max_identity_bytes ({limit})"
                )
            }
        }
    }
}
