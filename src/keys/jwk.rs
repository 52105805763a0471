//! Parses the members of a JWK (RFC 7517 section 4), whatever its kind.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{Excerpt, KeyError};
use super::{Algorithm, Family, MAX_KEY_ID_BYTES};
use crate::json;

/// The origin of a key, which determines what kind is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator's own configuration.
    Local,
    /// A fetched key set: anyone can read it, so it must not contain secrets.
    Remote,
}

/// The members that only the owner of a key may know (RFC 7518 section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A JWK whose members are parsed one by one; unknown ones are ignored, as RFC 7517
/// section 4 requires.
#[derive(Clone, Copy)]
pub(super) struct Jwk<'a>(&'a Map<String, Value>);

impl<'a> Jwk<'a> {
    pub(super) const fn new(members: &'a Map<String, Value>) -> Self {
        Self(members)
    }

    /// A string member, if present.
    pub(super) fn text(self, member: &'static str) -> Result<Option<&'a str>, KeyError> {
        match self.0.get(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                Err(KeyError::WrongType { member, expected: "a string", found: json::kind(other) })
            }
        }
    }

    /// A required string member.
    pub(super) fn required(self, member: &'static str) -> Result<&'a str, KeyError> {
        self.text(member)?.ok_or(KeyError::Missing { member })
    }

    /// A required base64url member: no padding, no white space, unused bits zero, so that
    /// a key has only one encoding.
    pub(super) fn bytes(self, member: &'static str) -> Result<Vec<u8>, KeyError> {
        BASE64_URL_SAFE_NO_PAD
            .decode(self.required(member)?)
            .map_err(|_| KeyError::NotBase64Url { member })
    }

    /// A base64url member of exactly `N` bytes.
    pub(super) fn array<const N: usize>(self, member: &'static str) -> Result<[u8; N], KeyError> {
        self.bytes(member)?.try_into().map_err(|bytes: Vec<u8>| KeyError::WrongLength {
            member,
            expected: N,
            found: bytes.len(),
        })
    }

    /// A base64url member of exactly this many bytes.
    pub(super) fn sized(self, member: &'static str, bytes: usize) -> Result<Vec<u8>, KeyError> {
        let value = self.bytes(member)?;
        if value.len() == bytes {
            Ok(value)
        } else {
            Err(KeyError::WrongLength { member, expected: bytes, found: value.len() })
        }
    }

    /// `kid` (RFC 7517 section 4.5).
    pub(super) fn key_id(self) -> Result<Option<&'a str>, KeyError> {
        match self.text("kid")? {
            Some(id) if id.len() > MAX_KEY_ID_BYTES => {
                Err(KeyError::KeyIdTooLong { found: id.len() })
            }
            id => Ok(id),
        }
    }

    /// `kty` and `crv` (RFC 7518 section 6, RFC 8037 section 2, RFC 8812 section
    /// 3.1).
    pub(super) fn family(self) -> Result<Family, KeyError> {
        match self.required("kty")? {
            "oct" => Ok(Family::Hmac),
            "RSA" => Ok(Family::Rsa),
            "EC" => match self.required("crv")? {
                "P-256" => Ok(Family::P256),
                "P-384" => Ok(Family::P384),
                "P-521" => Ok(Family::P521),
                "secp256k1" => Ok(Family::Secp256k1),
                other => Err(KeyError::UnsupportedCurve(Excerpt::of(other))),
            },
            "OKP" => match self.required("crv")? {
                "Ed25519" => Ok(Family::Ed25519),
                other => Err(KeyError::UnsupportedCurve(Excerpt::of(other))),
            },
            other => Err(KeyError::UnsupportedKeyType(Excerpt::of(other))),
        }
    }

    /// `alg`, if present; it must be an algorithm of `family` (RFC 7517 section 4.4).
    pub(super) fn algorithm(self, family: Family) -> Result<Option<Algorithm>, KeyError> {
        let Some(name) = self.text("alg")? else {
            return Ok(None);
        };
        let algorithm = Algorithm::from_name(name)
            .ok_or_else(|| KeyError::UnsupportedAlgorithm(Excerpt::of(name)))?;
        if algorithm.family() != family {
            return Err(KeyError::AlgorithmMismatch { algorithm, family });
        }
        Ok(Some(algorithm))
    }

    /// Whether `use` and `key_ops`, if present, allow `operation` on signatures (RFC 7517
    /// sections 4.2 and 4.3).
    // RFC 7517 section 4.2 (R08)
    pub(super) fn permits(self, operation: &'static str) -> Result<(), KeyError> {
        match self.text("use")? {
            // In SPIFFE's sets, `use` names the kind of document that a key signs.
            None | Some("sig" | "jwt-svid") => {}
            Some(other) => return Err(KeyError::UseNotSignature(Excerpt::of(other))),
        }
        match self.0.get("key_ops") {
            None => Ok(()),
            Some(Value::Array(operations)) if operations.iter().any(|it| it == operation) => Ok(()),
            Some(Value::Array(_)) => Err(KeyError::OperationNotAllowed { operation }),
            Some(other) => Err(KeyError::WrongType {
                member: "key_ops",
                expected: "an array",
                found: json::kind(other),
            }),
        }
    }

    /// Whether a key of that family may come from `origin`.
    ///
    /// A fetched secret is either forged or public, and so is a private key that was
    /// published by mistake.
    // RFC 8725 section 3.5: "human-memorizable passwords MUST NOT be directly used as the
    // key to a keyed-MAC algorithm" (R09)
    pub(super) fn may_come_from(self, origin: Origin, family: Family) -> Result<(), KeyError> {
        match origin {
            Origin::Local => Ok(()),
            Origin::Remote if family == Family::Hmac => Err(KeyError::SymmetricFromRemote),
            Origin::Remote => PRIVATE_MEMBERS
                .into_iter()
                .find(|member| self.0.contains_key(*member))
                .map_or(Ok(()), |member| Err(KeyError::PrivatePublished { member })),
        }
    }
}
