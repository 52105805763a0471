//! Errors in the form of a token.

use std::fmt;

/// Why a token is malformed. Contains nothing of the token, so it may be logged and
/// counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenError {
    /// It is longer than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not a signed JWT in compact form.
    Malformed(Malformed),
    /// Its header requires an extension; none is implemented (RFC 7515 section 4.1.11,
    /// RFC 7797 section 7).
    CriticalHeader {
        /// The header parameter: `crit` or `b64`.
        parameter: &'static str,
    },
}

/// An error in the form of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Not a single bearer token: empty, or with characters that none contains.
    NotABearerToken,
    /// Fewer than three parts: an opaque token, or JSON.
    NotThreeParts,
    /// More than three parts: an encrypted token has five.
    MoreThanThreeParts,
    /// A part is empty, as in unsecured and detached JWS.
    Empty(Part),
    /// A part is not canonical base64url.
    NotBase64Url(Part),
    /// A part is not strict JSON, or not an object.
    NotJsonObject(Part),
    /// A required header parameter is missing.
    Missing {
        /// Its name.
        parameter: &'static str,
    },
    /// A header parameter is not a string.
    NotAString {
        /// Its name.
        parameter: &'static str,
    },
    /// `kid` is longer than [`crate::keys::MAX_KEY_ID_BYTES`].
    KeyIdTooLong,
    /// A header parameter that only encrypted, compressed or nested tokens have.
    NotPlainlySigned {
        /// Its name: `enc`, `zip` or `cty`.
        parameter: &'static str,
    },
}

/// A part of the compact form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The JOSE header.
    Header,
    /// The claims.
    Payload,
    /// The signature.
    Signature,
}

impl From<Malformed> for TokenError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "token is longer than {limit} bytes"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::CriticalHeader { parameter } => {
                write!(f, "token has \"{parameter}\", but no extension is understood")
            }
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABearerToken => f.write_str("credentials are not one bearer token"),
            Self::NotThreeParts | Self::MoreThanThreeParts => {
                f.write_str("token is not three parts with dots between")
            }
            Self::Empty(part) => write!(f, "{part} of the token is empty"),
            Self::NotBase64Url(part) => {
                write!(f, "{part} of the token is not base64url without padding")
            }
            Self::NotJsonObject(part) => {
                write!(f, "{part} of the token is not a JSON object without repeated members")
            }
            Self::Missing { parameter } => write!(f, "token has no \"{parameter}\""),
            Self::NotAString { parameter } => {
                write!(f, "\"{parameter}\" of the token is not a string")
            }
            Self::KeyIdTooLong => write!(
                f,
                "\"kid\" of the token is longer than {} bytes",
                crate::keys::MAX_KEY_ID_BYTES
            ),
            Self::NotPlainlySigned { parameter } => {
                write!(f, "token has \"{parameter}\": it is encrypted, compressed or nested")
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the header",
            Self::Payload => "the payload",
            Self::Signature => "the signature",
        })
    }
}

impl std::error::Error for TokenError {}
