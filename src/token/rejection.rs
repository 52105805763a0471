//! Why a token is not accepted.

use std::fmt;

use crate::time::{Span, UnixTime};
use crate::token::TokenError;

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is not a compact JWS with a JWT.
    Unreadable(TokenError),
    /// A claim has a value of the wrong kind; the claim.
    ClaimMalformed(&'static str),
    /// Its `alg` is none that there is.
    AlgorithmUnknown,
    /// Its `alg` is not one of the provider's, or not the credential's.
    AlgorithmNotAllowed,
    /// No key of the provider fits its `kid` and `alg`.
    KeyUnknown,
    /// The claim that names its credential, by its name, holds no name.
    CredentialMalformed(String),
    /// The claim names an unknown credential.
    CredentialUnknown(String),
    /// No fitting key made its signature.
    SignatureInvalid,
    /// No provider has its `iss`.
    IssuerUnknown,
    /// It is for another audience.
    AudienceMismatch,
    /// It is over.
    Expired {
        /// Its `exp`.
        exp: UnixTime,
        /// The time it was checked.
        now: UnixTime,
    },
    /// It is not valid yet, by its `nbf` or `iat`.
    NotYetValid {
        /// When it will be.
        from: UnixTime,
        /// The time it was checked.
        now: UnixTime,
    },
    /// These claims are not the dates that they must be, or are not there.
    NotDates(Vec<&'static str>),
    /// It is valid for longer than the provider allows.
    LifetimeExceeded {
        /// The longest allowed.
        limit: Span,
    },
    /// A claim is missing; the claim.
    ClaimMissing(String),
    /// A claim does not have an accepted value; the claim.
    ClaimMismatch(String),
    /// Its `typ` is not accepted.
    TypeMismatch,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::ClaimMalformed(claim) => write!(f, "claim {claim:?} is malformed"),
            Self::AlgorithmUnknown | Self::AlgorithmNotAllowed => {
                f.write_str("the token's algorithm is not allowed")
            }
            Self::KeyUnknown => f.write_str("the token's key is not known"),
            Self::CredentialMalformed(claim) => {
                write!(f, "claim {claim:?} does not name a credential")
            }
            Self::CredentialUnknown(claim) => {
                write!(f, "no credential is known by claim {claim:?}")
            }
            Self::SignatureInvalid => f.write_str("the token's signature is not valid"),
            Self::IssuerUnknown => f.write_str("the token's issuer is not known"),
            Self::AudienceMismatch => f.write_str("the token is for another audience"),
            Self::Expired { exp, now } => write!(f, "token expired at {exp}, it is {now}"),
            Self::NotYetValid { from, now } => write!(f, "token valid from {from}, it is {now}"),
            Self::NotDates(claims) => {
                write!(f, "not a number of seconds: claim {}", claims.join(", claim "))
            }
            Self::LifetimeExceeded { limit } => {
                write!(f, "the token is valid for more than {} seconds", limit.as_secs())
            }
            Self::ClaimMissing(claim) => write!(f, "claim {claim:?} is missing"),
            Self::ClaimMismatch(claim) => write!(f, "claim {claim:?} has a value not accepted"),
            Self::TypeMismatch => f.write_str("the token's type is not accepted"),
        }
    }
}
