//! Why a key is unusable; and untrusted texts made safe for a log.

use std::fmt;

use super::pasted::Pasted;
use super::{Algorithm, Family, SigningAlgorithm};
use crate::features::LeftOut;
use crate::json::JsonError;

/// Why a JWK cannot be used. The text names the rule and the kind of value found, never a
/// value of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// A member that this kind of key needs is missing.
    Missing {
        /// The member's name.
        member: &'static str,
    },
    /// A member, or the key itself, is of another JSON type.
    WrongType {
        /// The member's name, or `key`.
        member: &'static str,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A member is not base64url according to RFC 7515 section 2.
    NotBase64Url {
        /// The member's name.
        member: &'static str,
    },
    /// A member does not have its fixed size.
    WrongLength {
        /// The member's name.
        member: &'static str,
        /// The required number of bytes.
        expected: usize,
        /// The actual number of bytes.
        found: usize,
    },
    /// `kid` is longer than [`super::MAX_KEY_ID_BYTES`].
    KeyIdTooLong {
        /// The actual number of bytes.
        found: usize,
    },
    /// `kty` is not supported.
    UnsupportedKeyType(Excerpt),
    /// `crv` is not supported.
    UnsupportedCurve(Excerpt),
    /// `alg` is not a known signature algorithm.
    UnsupportedAlgorithm(Excerpt),
    /// `alg` needs another kind of key.
    AlgorithmMismatch {
        /// The value of `alg`.
        algorithm: Algorithm,
        /// The family of the key.
        family: Family,
    },
    /// `use` is not `sig`.
    UseNotSignature(Excerpt),
    /// `key_ops` lacks the required operation.
    OperationNotAllowed {
        /// The missing operation.
        operation: &'static str,
    },
    /// A symmetric key from a source that others can read or write.
    SymmetricFromRemote,
    /// A published key set contains a private key: any reader can sign with it.
    PrivatePublished {
        /// The private member.
        member: &'static str,
    },
    /// The secret is shorter than the output of the hash.
    SecretTooShort {
        /// The required number of bytes.
        minimum: usize,
        /// The actual number of bytes.
        found: usize,
    },
    /// The RSA modulus has too few or too many bits.
    ModulusSize {
        /// The actual number of bits.
        bits: u32,
    },
    /// The RSA modulus is even.
    ModulusEven,
    /// The RSA exponent is even, below 3 or above 2^33.
    Exponent,
    /// Not a public key in PEM; the kind of text, if it was recognized.
    NotPublicPem(Option<Pasted>),
    /// A malformed certificate, or one with another key than its JWK.
    BadCertificate,
    /// The point is not on the curve.
    NotOnCurve,
    /// The point is of small order, or not in its only canonical form.
    WeakPoint,
    /// It is one of the gateway's own signing keys.
    GatewaysOwn,
    /// This build does not verify with such a key.
    LeftOut(&'static LeftOut),
    /// It is for the tokens of one issuer, and this one is another's.
    OfAnotherIssuer(Excerpt),
}

const WEAK_POINT: &str = "the Ed25519 point is of small order or not in canonical form";
const NOT_PUBLIC_PEM: &str = "not a PEM block \"PUBLIC KEY\" (openssl pkey -pubout makes one)";

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { member } => write!(f, "member \"{member}\" is missing"),
            Self::WrongType { member, expected, found } => {
                write!(f, "\"{member}\" must be {expected}, it is {found}")
            }
            Self::NotBase64Url { member } => {
                write!(f, "\"{member}\" is not base64url without padding")
            }
            Self::WrongLength { member, expected, found } => {
                write!(f, "\"{member}\" must be {expected} bytes, it is {found}")
            }
            Self::KeyIdTooLong { found } => {
                write!(f, "\"kid\" may be at most {} bytes, it is {found}", super::MAX_KEY_ID_BYTES)
            }
            Self::UnsupportedKeyType(found) => {
                write!(f, "\"kty\" {found} is not one of oct, RSA, EC, OKP")
            }
            Self::UnsupportedCurve(found) => {
                write!(f, "\"crv\" {found} is not one of P-256, P-384, P-521, secp256k1, Ed25519")
            }
            Self::UnsupportedAlgorithm(found) => {
                write!(f, "\"alg\" {found} is not a signature algorithm known here")
            }
            Self::AlgorithmMismatch { algorithm, family } => write!(
                f,
                "\"alg\" is {algorithm}, which needs {}, but this is {family}",
                algorithm.family()
            ),
            Self::UseNotSignature(found) => write!(f, "\"use\" must be \"sig\", it is {found}"),
            Self::OperationNotAllowed { operation } => {
                write!(f, "\"key_ops\" does not contain \"{operation}\"")
            }
            Self::SymmetricFromRemote => {
                f.write_str("a symmetric key may only come from the local configuration")
            }
            Self::PrivatePublished { member } => write!(
                f,
                "private member \"{member}\" is published, so anyone can sign with this key"
            ),
            Self::SecretTooShort { minimum, found } => {
                write!(f, "the secret must have at least {minimum} bytes, it has {found}")
            }
            Self::ModulusSize { bits } => {
                write!(f, "the RSA modulus must have 2048 to 4096 bits, it has {bits}")
            }
            Self::ModulusEven => f.write_str("the RSA modulus is even"),
            Self::Exponent => f.write_str("the RSA exponent must be odd, from 3 and below 2^33"),
            Self::NotPublicPem(Some(pasted)) => pasted.fmt(f),
            Self::NotPublicPem(None) => f.write_str(NOT_PUBLIC_PEM),
            Self::BadCertificate => {
                f.write_str("the certificate cannot be read, or is not that of the key")
            }
            Self::NotOnCurve => f.write_str("the point is not on the curve"),
            Self::WeakPoint => f.write_str(WEAK_POINT),
            Self::OfAnotherIssuer(named) => write!(f, "its issuer {named} is not the token's iss"),
            Self::GatewaysOwn => f.write_str("it is the gateway's own signing key"),
            Self::LeftOut(left_out) => left_out.fmt(f),
        }
    }
}

impl std::error::Error for KeyError {}

impl From<&'static LeftOut> for KeyError {
    fn from(left_out: &'static LeftOut) -> Self {
        Self::LeftOut(left_out)
    }
}

/// The kind of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A supported one.
    Known(Family),
    /// An elliptic curve without signing support.
    OtherCurve,
    /// Anything else.
    Other,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(family) => family.fmt(f),
            Self::OtherCurve => f.write_str("a key on another elliptic curve"),
            Self::Other => f.write_str("a key of another kind"),
        }
    }
}

/// Why a private key cannot be used. Contains nothing of the key.
#[derive(Debug)]
pub enum SigningKeyError {
    /// Neither PEM nor strict JSON.
    Json(JsonError),
    /// A member of the JWK is invalid.
    Key(KeyError),
    /// Something other than a PEM block or a JWK, which was recognized.
    Pasted(Pasted),
    /// Not a validly encoded private key.
    Malformed,
    /// The algorithm needs another kind of key.
    WrongKind {
        /// The configured algorithm.
        algorithm: SigningAlgorithm,
        /// The family of the key.
        found: KeyKind,
    },
    /// `alg` of the JWK is another algorithm of the same kind of key.
    WrongAlgorithm {
        /// The configured algorithm.
        algorithm: SigningAlgorithm,
        /// The value of `alg`.
        found: Algorithm,
    },
    /// The public part of the JWK does not match the private one.
    PublicMismatch,
}

impl<E: Into<KeyError>> From<E> for SigningKeyError {
    fn from(error: E) -> Self {
        Self::Key(error.into())
    }
}

impl fmt::Display for SigningKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "neither a PEM block nor a JWK: {error}"),
            Self::Key(error) => error.fmt(f),
            Self::Pasted(pasted) => pasted.fmt(f),
            Self::Malformed => f.write_str("not a well-formed private key"),
            Self::WrongKind { algorithm, found } => write!(
                f,
                "{algorithm} needs {}, this is {found}",
                Algorithm::from(*algorithm).family()
            ),
            Self::WrongAlgorithm { algorithm, found } => {
                write!(f, "\"alg\" is {found}, it is to sign with {algorithm}")
            }
            Self::PublicMismatch => {
                f.write_str("the public part of the JWK does not belong to its private part")
            }
        }
    }
}

impl std::error::Error for SigningKeyError {}

/// Why no token could be signed.
#[derive(Debug)]
pub enum SignError {
    /// The claims cannot be serialized as a JSON object.
    Claims(serde_json::Error),
    /// The host, which alone can sign with such a key, failed.
    Host,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims(error) => write!(f, "the claims cannot be written: {error}"),
            Self::Host => f.write_str("the host did not sign"),
        }
    }
}

impl std::error::Error for SignError {}

/// The beginning of an untrusted text, safe for a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    const CHARACTERS: usize = 40;

    pub(crate) fn of(text: &str) -> Self {
        Self(text.chars().take(Self::CHARACTERS).collect())
    }
}

impl fmt::Display for Excerpt {
    /// Quoted and escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_one_short_line() {
        let hostile = format!("a\nb\r\u{1b}[31m\u{2028}{}", "x".repeat(1000));
        let text = KeyError::UnsupportedCurve(Excerpt::of(&hostile)).to_string();
        assert!(text.len() < 160, "{text}");
        assert!(!text.chars().any(char::is_control), "{text}");
        assert!(!text.contains('\u{2028}'), "{text}");
    }

    #[test]
    fn both_sides_are_named() {
        let error =
            KeyError::AlgorithmMismatch { algorithm: Algorithm::Rs256, family: Family::P256 };
        assert_eq!(
            error.to_string(),
            r#""alg" is RS256, which needs an RSA key, but this is a P-256 key"#
        );
    }
}
