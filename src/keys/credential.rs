//! Keys as Kong's jwt plugin has them: a secret, or a public key in PEM, of one
//! algorithm.
//!
//! Both become a JWK first, so that the rules for keys are those of a JWK.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use p256::pkcs8::{AssociatedOid, Document, ObjectIdentifier};
use rsa::pkcs1::RsaPublicKeyRef;
use rsa::pkcs8::der::Decode;
use serde_json::{Map, Value, json};

use super::error::{Excerpt, KeyError};
use super::{Algorithm, Origin, VerifyingKey};

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

fn jwk(pem: &str) -> Result<Value, KeyError> {
    let (label, document) = Document::from_pem(pem).map_err(|_| KeyError::NotPublicPem)?;
    match label {
        "PUBLIC KEY" => {
            let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes())
                .map_err(|_| KeyError::NotPublicPem)?;
            of_info(&info)
        }
        "RSA PUBLIC KEY" => rsa(document.as_bytes()),
        _ => Err(KeyError::NotPublicPem),
    }
}

fn of_info(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Value, KeyError> {
    const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");
    let key = info.subject_public_key.as_bytes().ok_or(KeyError::NotPublicPem)?;
    let point = |curve: &str| {
        // SEC 1 section 2.3.3: a 4, then both coordinates.
        let coordinates = key.strip_prefix(&[4]).ok_or(KeyError::NotOnCurve)?;
        let half = coordinates.len().div_euclid(2);
        let (x, y) = coordinates.split_at_checked(half).ok_or(KeyError::NotOnCurve)?;
        Ok(json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)}))
    };
    match info.algorithm.oid {
        RSA => rsa(key),
        ED25519 => Ok(json!({"kty": "OKP", "crv": "Ed25519", "x": text(key)})),
        ED448 => Err(KeyError::UnsupportedCurve(Excerpt::of("Ed448"))),
        EC => match info.algorithm.parameters_oid() {
            Ok(p256::NistP256::OID) => point("P-256"),
            Ok(p384::NistP384::OID) => point("P-384"),
            Ok(p521::NistP521::OID) => point("P-521"),
            Ok(other) => Err(KeyError::UnsupportedCurve(Excerpt::of(&other.to_string()))),
            Err(_) => Err(KeyError::NotPublicPem),
        },
        other => Err(KeyError::UnsupportedKeyType(Excerpt::of(&other.to_string()))),
    }
}

/// `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa(der: &[u8]) -> Result<Value, KeyError> {
    let key = RsaPublicKeyRef::from_der(der).map_err(|_| KeyError::NotPublicPem)?;
    let [n, e] = [key.modulus, key.public_exponent].map(|number| text(number.as_bytes()));
    Ok(json!({"kty": "RSA", "n": n, "e": e}))
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
