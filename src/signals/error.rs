//! Why a signal is refused.

use std::fmt;

use super::form::FormError;
use super::subject::Unnameable;
use crate::denial::Denial;
use crate::token::Rejection;

/// Why a logout token or a security event is refused. Contains nothing of it, so it may
/// be logged and returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalError {
    /// The body is not the form of a logout token.
    Form(FormError),
    /// The media type is not that of a security event.
    MediaType,
    /// The sender lacks the transmitter's `Authorization`.
    Unauthenticated,
    /// The token itself is not acceptable.
    Token(Rejection),
    /// It contains a forbidden claim.
    Forbidden(&'static str),
    /// Its `events` lack the expected member, or are not objects.
    NoEvent,
    /// It identifies nothing that tokens can be matched by.
    Unnameable(Unnameable),
    /// A subject in this format does not match any token; or it is malformed.
    Subject,
    /// The subject has another issuer, or lacks the required one.
    SubjectIssuer,
    /// It was received before.
    Repeated,
}

impl From<Rejection> for SignalError {
    fn from(rejection: Rejection) -> Self {
        Self::Token(rejection)
    }
}

impl From<FormError> for SignalError {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl SignalError {
    /// The error code of RFC 8935 section 2.4.
    pub const fn of_delivery(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "authentication_failed",
            Self::Token(rejection) => match rejection {
                Rejection::IssuerUnknown(_) => "invalid_issuer",
                Rejection::AudienceMismatch(_) => "invalid_audience",
                Rejection::AlgorithmUnknown(_)
                | Rejection::AlgorithmNotAllowed(_)
                | Rejection::KeyUnknown(_)
                | Rejection::KeyUnusable(..)
                | Rejection::SignatureInvalid
                | Rejection::KeyUnnamed { .. } => "invalid_key",
                _ => "invalid_request",
            },
            _ => "invalid_request",
        }
    }
}

impl From<SignalError> for Denial {
    /// Converts to the denial that is counted and logged.
    fn from(error: SignalError) -> Self {
        match error {
            SignalError::Token(rejection) => Self::Token(rejection),
            other => Self::EntriesInvalid(other.to_string()),
        }
    }
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(error) => error.fmt(f),
            Self::MediaType => f.write_str("the body must be application/secevent+jwt"),
            Self::Unauthenticated => {
                f.write_str("the Authorization header is not the one agreed with this transmitter")
            }
            Self::Token(rejection) => rejection.fmt(f),
            Self::Forbidden(claim) => write!(f, "the token must not have the claim {claim}"),
            Self::NoEvent => f.write_str("the claim events does not hold the event as an object"),
            Self::Unnameable(Unnameable::Nobody) => f.write_str("nobody is named"),
            Self::Unnameable(Unnameable::SessionOnly) => f.write_str(
                "only a session is named, and the access tokens of this issuer have no sid: \
                 name the user (sub) too",
            ),
            Self::Subject => f.write_str(
                "the subject names no token: iss_sub, opaque, email, phone_number, jwt_id, aliases \
                 or complex with user or session is needed",
            ),
            Self::SubjectIssuer => {
                f.write_str("the subject is one of another issuer, or does not say of which")
            }
            Self::Repeated => f.write_str("the token was received before"),
        }
    }
}
