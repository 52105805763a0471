//! Keys in the form of Kong's jwt plugin: a secret, or a public key in PEM, for one
//! algorithm.
//!
//! Both are converted to a JWK first, so that the same rules apply as for a JWK.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::pkcs8::Document;
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use serde_json::{Map, Value, json};

use super::error::KeyError;
use super::pasted::Pasted;
use super::{Algorithm, Origin, VerifyingKey};
use super::{certificate, spki};

impl VerifyingKey {
    /// The key of a credential with a secret, for HS*.
    pub fn of_secret(id: &str, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let jwk = json!({"kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode(secret)});
        Self::of_credential(id, algorithm, jwk)
    }

    /// The key of a credential with a public key in PEM (RFC 7468 section 13, or
    /// `RSA PUBLIC KEY` of PKCS#1).
    pub fn of_pem(id: &str, algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        Self::of_credential(id, algorithm, jwk(pem)?)
    }

    fn of_credential(id: &str, algorithm: Algorithm, jwk: Value) -> Result<Self, KeyError> {
        let mut members = match jwk {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        members.insert("kid".into(), id.into());
        members.insert("alg".into(), algorithm.name().into());
        Self::from_jwk(&members, Origin::Local)
    }
}

pub(super) fn jwk(pem: &str) -> Result<Value, KeyError> {
    let refused = || KeyError::NotPublicPem(Pasted::as_public(pem));
    let (label, document) = Document::from_pem(pem).map_err(|_| refused())?;
    match label {
        "PUBLIC KEY" => {
            let info =
                SubjectPublicKeyInfoRef::try_from(document.as_bytes()).map_err(|_| refused())?;
            spki::jwk(&info)
        }
        "RSA PUBLIC KEY" => spki::rsa(document.as_bytes()),
        "CERTIFICATE" => certificate::jwk(document.as_bytes()),
        _ => Err(refused()),
    }
}
