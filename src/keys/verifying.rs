//! A key that verifies signatures, with the algorithms it supports.

use std::fmt;

use serde_json::{Map, Value};

use super::certificate;
use super::crypto::Crypto;
use super::ecdsa::EcKey;
use super::eddsa::EdKey;
use super::error::KeyError;
use super::hmac::HmacKey;
use super::jwk::{Jwk, Origin};
use super::rsa::RsaKey;
use super::{Algorithm, AlgorithmSet, Family, MAX_CANDIDATES};
use crate::features::{EdDsa, Es256K, Es384, Es512, Rsa};

/// A key that verifies signatures of a few algorithms of one family.
///
/// Every value is a strong key: [`VerifyingKey::from_jwk`] refuses others.
#[derive(Clone)]
pub struct VerifyingKey {
    id: Option<String>,
    /// The issuer whose tokens alone it signs, where several have one set.
    issuer: Option<Box<str>>,
    algorithms: AlgorithmSet,
    material: Material,
}

#[derive(Clone)]
pub(super) enum Material {
    Hmac(HmacKey),
    Rsa(Rsa, RsaKey),
    P256(EcKey<p256::NistP256>),
    P384(Es384, EcKey<p384::NistP384>),
    P521(Es512, EcKey<p521::NistP521>),
    Secp256k1(Es256K, EcKey<k256::Secp256k1>),
    Ed25519(EdDsa, EdKey),
}

impl VerifyingKey {
    /// Parses a JWK (RFC 7517 section 4).
    ///
    /// With `alg` the key supports that algorithm only, without it all that fit its
    /// family; `use` and `key_ops` must allow verification. A private key is reduced to
    /// its public part if the operator configured it, and refused if it was fetched.
    ///
    /// A JWK that contains only a certificate (`x5c`, section 4.7) is the key of that
    /// certificate. Nothing else in the certificate is checked: the set is trusted.
    pub fn from_jwk(members: &Map<String, Value>, origin: Origin) -> Result<Self, KeyError> {
        let certified = certificate::complete(members)?;
        let jwk = Jwk::new(certified.as_ref().unwrap_or(members));
        let id = jwk.key_id()?.map(str::to_owned);
        let family = jwk.family()?;
        jwk.may_come_from(origin, family)?;
        jwk.permits("verify")?;
        let wanted = match jwk.algorithm(family)? {
            Some(algorithm) => algorithm.into(),
            None => family.algorithms(),
        };
        let (material, algorithms) = match family {
            Family::Hmac => {
                let (key, fitting) = HmacKey::from_jwk(jwk, wanted)?;
                (Material::Hmac(key), fitting)
            }
            Family::Rsa => (Material::Rsa(Rsa::proof()?, RsaKey::from_jwk(jwk)?), wanted),
            Family::P256 => (Material::P256(EcKey::from_jwk(jwk)?), wanted),
            Family::P384 => (Material::P384(Es384::proof()?, EcKey::from_jwk(jwk)?), wanted),
            Family::P521 => (Material::P521(Es512::proof()?, EcKey::from_jwk(jwk)?), wanted),
            Family::Secp256k1 => {
                (Material::Secp256k1(Es256K::proof()?, EcKey::from_jwk(jwk)?), wanted)
            }
            Family::Ed25519 => (Material::Ed25519(EdDsa::proof()?, EdKey::from_jwk(jwk)?), wanted),
        };
        // No member of a JWK's own: Entra's sets have it.
        let issuer = members.get("issuer").and_then(Value::as_str).map(Box::from);
        Ok(Self { id, issuer, algorithms, material })
    }

    /// The public half of a signing key; it has no id.
    pub(super) fn new(algorithm: Algorithm, material: Material) -> Self {
        Self { id: None, issuer: None, algorithms: algorithm.into(), material }
    }

    /// `kid`, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The issuer that it is for, by the member `issuer` of its JWK: an issuer, or a template
    /// of some.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The algorithms it supports; at least one.
    pub const fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
    }

    /// Whether it supports `algorithm`.
    pub const fn admits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(algorithm)
    }

    /// Cost of verifying `signature` in the module, as a share of [`MAX_CANDIDATES`]. The
    /// same where the host verifies, so that all accept the same tokens.
    pub(super) fn cost(&self, signature: &[u8]) -> usize {
        match &self.material {
            Material::Rsa(_, key) => key.cost(signature),
            Material::Hmac(_)
            | Material::P256(_)
            | Material::Secp256k1(..)
            | Material::Ed25519(..) => 1,
            Material::P384(..) => 2,
            Material::P521(..) => MAX_CANDIDATES,
        }
    }

    /// True if both are the same key: a signer for one can sign for the other. Ids and
    /// algorithms are ignored; secrets have no public half to compare.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (&self.material, &other.material) {
            (Material::Rsa(_, key), Material::Rsa(_, other)) => key.members() == other.members(),
            (Material::P256(key), Material::P256(other)) => key == other,
            (Material::P384(_, key), Material::P384(_, other)) => key == other,
            (Material::P521(_, key), Material::P521(_, other)) => key == other,
            (Material::Secp256k1(_, key), Material::Secp256k1(_, other)) => key == other,
            (Material::Ed25519(_, key), Material::Ed25519(_, other)) => key == other,
            _ => false,
        }
    }

    /// Whether `signature` is this key's signature of `signing_input` (RFC 7515 section
    /// 5.2, step 8); always false if the key does not support `algorithm`.
    ///
    /// `crypto` selects where it is computed, and does not change the result.
    #[must_use]
    pub fn verify(
        &self,
        crypto: &Crypto,
        algorithm: Algorithm,
        signing_input: &[u8],
        signature: &[u8],
    ) -> bool {
        if !self.admits(algorithm) {
            return false;
        }
        // The algorithm belongs to the material's family, as it is supported.
        match &self.material {
            Material::Hmac(key) => key.verify(algorithm, signing_input, signature),
            Material::Rsa(_, key) => key.verify(crypto, algorithm, signing_input, signature),
            Material::P256(key) => key.verify(crypto, algorithm, signing_input, signature),
            Material::P384(_, key) => key.verify(crypto, algorithm, signing_input, signature),
            Material::P521(_, key) => key.verify(crypto, algorithm, signing_input, signature),
            Material::Secp256k1(_, key) => key.verify(crypto, algorithm, signing_input, signature),
            Material::Ed25519(_, key) => key.verify(crypto, algorithm, signing_input, signature),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::Excerpt;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    /// The key of RFC 7515 appendix A.3 with other members, or without.
    fn p256(changes: &Value) -> Map<String, Value> {
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y});
        let members = jwk.as_object_mut().unwrap();
        for (member, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => members.remove(member),
                value => members.insert(member.clone(), value.clone()),
            };
        }
        members.clone()
    }

    fn error(changes: &Value, origin: Origin) -> Option<KeyError> {
        VerifyingKey::from_jwk(&p256(changes), origin).err()
    }

    #[test]
    fn what_a_key_may_say_about_itself() {
        for (case, changes) in [
            ("as little as possible", json!({})),
            ("for signatures", json!({"use": "sig"})),
            ("to verify", json!({"key_ops": ["verify"]})),
            ("to sign and verify", json!({"key_ops": ["sign", "verify"]})),
            ("its algorithm", json!({"alg": "ES256"})),
            ("an id of 256 bytes", json!({"kid": "k".repeat(256)})),
            ("no text as id", json!({"kid": ""})),
            ("members nobody knows", json!({"x5c": ["?"], "nbf": 1})),
        ] {
            assert_eq!(error(&changes, Origin::Remote), None, "{case}");
        }
    }

    #[test]
    fn what_makes_a_key_useless() {
        let text = |member, found| KeyError::WrongType { member, expected: "a string", found };
        let missing = |member| KeyError::Missing { member };
        let excerpt = Excerpt::of;
        for (case, changes, expected) in [
            ("no kty", json!({"kty": null}), missing("kty")),
            ("a number as kty", json!({"kty": 1}), text("kty", "a number")),
            ("another kty", json!({"kty": "ec"}), KeyError::UnsupportedKeyType(excerpt("ec"))),
            ("no curve", json!({"crv": null}), missing("crv")),
            (
                "another curve",
                json!({"crv": "P-192"}),
                KeyError::UnsupportedCurve(excerpt("P-192")),
            ),
            (
                "the curve of another kty",
                json!({"kty": "OKP"}),
                KeyError::UnsupportedCurve(excerpt("P-256")),
            ),
            ("for encryption", json!({"use": "enc"}), KeyError::UseNotSignature(excerpt("enc"))),
            ("uses", json!({"use": ["sig"]}), text("use", "an array")),
            (
                "only to sign",
                json!({"key_ops": ["sign"]}),
                KeyError::OperationNotAllowed { operation: "verify" },
            ),
            (
                "for nothing",
                json!({"key_ops": []}),
                KeyError::OperationNotAllowed { operation: "verify" },
            ),
            (
                "operations in a string",
                json!({"key_ops": "verify"}),
                KeyError::WrongType { member: "key_ops", expected: "an array", found: "a string" },
            ),
            (
                "an unknown algorithm",
                json!({"alg": "none"}),
                KeyError::UnsupportedAlgorithm(excerpt("none")),
            ),
            (
                "an algorithm to encrypt",
                json!({"alg": "ECDH-ES"}),
                KeyError::UnsupportedAlgorithm(excerpt("ECDH-ES")),
            ),
            (
                "the algorithm of another family",
                json!({"alg": "HS256"}),
                KeyError::AlgorithmMismatch { algorithm: Algorithm::Hs256, family: Family::P256 },
            ),
            ("a number as alg", json!({"alg": 1}), text("alg", "a number")),
            ("a number as kid", json!({"kid": 1}), text("kid", "a number")),
            (
                "an id too long",
                json!({"kid": "k".repeat(257)}),
                KeyError::KeyIdTooLong { found: 257 },
            ),
            ("half a point", json!({"y": null}), missing("y")),
        ] {
            assert_eq!(error(&changes, Origin::Remote), Some(expected), "{case}");
        }
    }

    #[test]
    fn secrets_do_not_come_from_the_network() {
        let private = json!({"d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"});
        assert_eq!(error(&private, Origin::Local), None);
        assert_eq!(
            error(&private, Origin::Remote),
            Some(KeyError::PrivatePublished { member: "d" })
        );
        let secret = json!({"kty": "oct", "k": "A".repeat(86)});
        assert_eq!(error(&secret, Origin::Local), None);
        assert_eq!(error(&secret, Origin::Remote), Some(KeyError::SymmetricFromRemote));
    }

    #[test]
    fn a_key_serves_what_fits() {
        let rsa = json!({"kty": "RSA", "n": "_".repeat(342).replace("__", "_w"), "e": "AQAB"});
        let okp = json!({
            "kty": "OKP", "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let with = |jwk: &Value, alg: &str| {
            let mut jwk = jwk.clone();
            jwk["alg"] = alg.into();
            jwk
        };
        for (case, jwk, expected) in [
            ("RSA", rsa.clone(), "RS256, RS384, RS512, PS256, PS384, PS512"),
            ("RSA for PS384", with(&rsa, "PS384"), "PS384"),
            ("P-256", p256(&json!({})).into(), "ES256"),
            ("Ed25519", okp.clone(), "EdDSA"),
            ("Ed25519 for EdDSA", with(&okp, "EdDSA"), "EdDSA"),
        ] {
            let key = VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Remote);
            let key = key.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(key.algorithms().to_string(), expected, "{case}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = json!({"kty": "oct", "k": "A".repeat(86), "kid": "one", "alg": "HS256"});
        let key = VerifyingKey::from_jwk(secret.as_object().unwrap(), Origin::Local).unwrap();
        assert_eq!(
            format!("{key:?}"),
            r#"VerifyingKey { id: Some("one"), algorithms: {Hs256}, .. }"#
        );
    }
}
