//! Why a token is not accepted.

use std::fmt;

use crate::http::log_word;
use crate::json::{Json, Members};
use crate::keys::KeyError;
use crate::time::{Span, UnixTime};
use crate::token::TokenError;

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is not a compact JWS with a JWT.
    Unreadable(TokenError),
    /// A claim has a value of the wrong kind; the claim.
    ClaimMalformed(&'static str),
    /// Its `alg` names no known algorithm.
    AlgorithmUnknown(Found),
    /// Its `alg` is not one of the provider's, or not that of the credential.
    AlgorithmNotAllowed(Found),
    /// No key of the provider matches its `kid` and `alg`; the `kid`.
    KeyUnknown(Found),
    /// The key that it names is in the provider's set but cannot be used; why.
    KeyUnusable(Found, KeyError),
    /// The claim that names its credential, by its name, contains no name.
    CredentialMalformed(String),
    /// The claim names an unknown credential.
    CredentialUnknown(String),
    /// No matching key made its signature.
    SignatureInvalid,
    /// The token names no key, and none of those that were tried made its signature.
    KeyUnnamed {
        /// How many were tried.
        tried: usize,
        /// How many of its issuer's keys have its algorithm.
        known: usize,
    },
    /// No provider has its `iss`.
    IssuerUnknown(Found),
    /// It is for another audience; which.
    AudienceMismatch(Found),
    /// It has expired.
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
    /// These claims are missing or not dates, as they must be.
    NotDates(Vec<&'static str>),
    /// Its lifetime exceeds the provider's limit.
    LifetimeExceeded {
        /// The limit.
        limit: Span,
    },
    /// A claim is missing; the claim.
    ClaimMissing(String),
    /// A claim does not have an accepted value; the claim.
    ClaimMismatch(String),
    /// Its `typ` is not accepted.
    TypeMismatch(Found),
    /// It is bound (`cnf`) to something that is not checked here.
    Unconfirmed,
}

/// Unexpected values in a token: names, which are not secret, suitable for a log and the
/// body of a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found(Option<Box<str>>);

impl Found {
    /// This text; `None` where there is none.
    pub fn of(text: Option<&str>) -> Self {
        Self(text.map(|text| log_word(text).into()))
    }

    /// These texts.
    pub fn all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<_> = texts.into_iter().collect();
        Self::of(Some(texts.join(",")).filter(|text| !text.is_empty()).as_deref())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "\"{text}\""),
            None => f.write_str("(none)"),
        }
    }
}

/// The required kind of a registered claim.
fn kind_of(claim: &str) -> &'static str {
    match claim {
        "exp" | "nbf" | "iat" => "a number of seconds since 1970",
        "aud" => "a text or a list of texts",
        _ => "a text of at most 512 bytes",
    }
}

impl Rejection {
    /// No provider has the `iss` of these claims.
    pub(crate) fn unknown_issuer<'a>(claims: impl Into<Members<'a>>) -> Self {
        Self::IssuerUnknown(Found::of(claims.into().get("iss").and_then(Json::as_str)))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::ClaimMalformed(claim) => write!(
                f,
                "claim {claim:?} is malformed: its issuer must write {} (RFC 7519)",
                kind_of(claim)
            ),
            Self::AlgorithmUnknown(found) | Self::AlgorithmNotAllowed(found) => {
                write!(f, "the token's algorithm {found} is not allowed")
            }
            Self::KeyUnknown(found) => write!(f, "the token's key {found} is not known"),
            Self::KeyUnusable(found, reason) => {
                write!(
                    f,
                    "the token's key {found} is in its issuer's set and cannot be used: {reason}"
                )
            }
            Self::CredentialMalformed(claim) => {
                write!(f, "claim {claim:?} does not name a credential")
            }
            Self::CredentialUnknown(claim) => {
                write!(f, "claim {claim:?} names no known credential")
            }
            Self::SignatureInvalid => f.write_str("the token's signature is not valid"),
            Self::KeyUnnamed { tried, known } => write!(
                f,
                "the token has no kid, and its signature is of none of the {tried} keys tried (the \
                 issuer has {known} for its algorithm): the issuer must set kid"
            ),
            Self::IssuerUnknown(found) => write!(f, "the token's issuer {found} is not known"),
            Self::AudienceMismatch(found) => {
                write!(f, "the token is for another audience, {found}")
            }
            Self::Expired { exp, now } => write!(f, "token expired at {exp}, it is {now}"),
            Self::NotYetValid { from, now } => write!(f, "token valid from {from}, it is {now}"),
            Self::NotDates(claims) => {
                write!(f, "these claims must be numbers of seconds: {}", claims.join(", "))
            }
            Self::LifetimeExceeded { limit } => {
                write!(f, "the token is valid for more than {} seconds", limit.as_secs())
            }
            Self::ClaimMissing(claim) => write!(f, "claim {claim:?} is missing"),
            Self::ClaimMismatch(claim) => {
                write!(f, "claim {claim:?} has a value that is not accepted")
            }
            Self::TypeMismatch(found) => write!(f, "the token's type {found} is not accepted"),
            Self::Unconfirmed => f.write_str(
                "the token is bound (cnf) to what its provider's binding does not check",
            ),
        }
    }
}
