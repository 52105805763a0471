//! Public keys in DER, as contained in PEM blocks and certificates
//! (`SubjectPublicKeyInfo`, RFC 5280 section 4.1.2.7), converted to the members of a JWK.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use p256::pkcs8::{AssociatedOid, ObjectIdentifier};
use rsa::pkcs1::RsaPublicKeyRef;
use rsa::pkcs8::der::Decode;
use serde_json::{Value, json};

use super::error::{Excerpt, KeyError};

pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The JWK members of a key.
pub(super) fn jwk(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Value, KeyError> {
    const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");
    let key = info.subject_public_key.as_bytes().ok_or(KeyError::NotPublicPem(None))?;
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
            Err(_) => Err(KeyError::NotPublicPem(None)),
        },
        other => Err(KeyError::UnsupportedKeyType(Excerpt::of(&other.to_string()))),
    }
}

/// `RSAPublicKey` (RFC 8017 appendix A.1.1).
pub(super) fn rsa(der: &[u8]) -> Result<Value, KeyError> {
    let key = RsaPublicKeyRef::from_der(der).map_err(|_| KeyError::NotPublicPem(None))?;
    let [n, e] = [key.modulus, key.public_exponent].map(|number| text(number.as_bytes()));
    Ok(json!({"kty": "RSA", "n": n, "e": e}))
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
