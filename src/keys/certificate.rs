//! Keys in certificates, which some issuers publish instead of JWKs.
//!
//! A certificate is a wrapper here: who signed it, and until when it is valid, is
//! not asked. What is trusted is where the key set comes from.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use rsa::pkcs8::der::asn1::AnyRef;
use rsa::pkcs8::der::{Decode, SliceReader, Tagged};
use serde_json::{Map, Value};

use super::error::KeyError;
use super::spki;

/// The members of a key, by its certificate.
pub(super) fn jwk(der: &[u8]) -> Result<Value, KeyError> {
    let info = public_key(der).map_err(|_| KeyError::BadCertificate)?;
    spki::jwk(&info)
}

/// `subjectPublicKeyInfo` (RFC 5280 section 4.1).
fn public_key(der: &[u8]) -> rsa::pkcs8::der::Result<SubjectPublicKeyInfoRef<'_>> {
    let mut reader = SliceReader::new(AnyRef::from_der(der)?.value())?;
    let mut reader = SliceReader::new(AnyRef::decode(&mut reader)?.value())?;
    // The version, if it is not the first, comes before the serial number.
    if AnyRef::decode(&mut reader)?.tag().is_context_specific() {
        AnyRef::decode(&mut reader)?;
    }
    // The signature's algorithm, the issuer, the validity and the subject.
    for _ in 0..4 {
        AnyRef::decode(&mut reader)?;
    }
    SubjectPublicKeyInfoRef::decode(&mut reader)
}

/// The members of a JWK that has nothing of a key but a certificate, with those of
/// the key in it; `None` for any other JWK.
pub(super) fn complete(
    members: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>, KeyError> {
    const OF_KEYS: [&str; 5] = ["n", "x", "k", "d", "e"];
    if OF_KEYS.iter().any(|member| members.contains_key(*member)) {
        return Ok(None);
    }
    let first = members.get("x5c").and_then(|chain| chain.as_array()?.first()?.as_str());
    let Some(text) = first else { return Ok(None) };
    let der = STANDARD.decode(text).map_err(|_| KeyError::BadCertificate)?;
    let Value::Object(mut completed) = jwk(&der)? else { return Err(KeyError::BadCertificate) };
    for (name, value) in members {
        match completed.get(name) {
            Some(other) if other != value => return Err(KeyError::BadCertificate),
            _ => drop(completed.insert(name.clone(), value.clone())),
        }
    }
    Ok(Some(completed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{KeySet, Origin, VerifyingKey};
    use super::*;

    /// Made by OpenSSL, with the keys as OpenSSL prints them.
    fn fixture(kind: &str) -> Value {
        let all: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/certificates.json")).unwrap();
        all[kind].clone()
    }

    fn key(jwk: &Value) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Remote)
    }

    #[test]
    fn a_key_may_be_in_a_certificate_alone() {
        for kind in ["rsa", "ec"] {
            let fixture = fixture(kind);
            let own = key(&fixture["jwk"]).unwrap();
            let alone = json!({"kty": fixture["jwk"]["kty"], "kid": "k", "x5c": [fixture["x5c"]]});
            let certified = key(&alone).unwrap();
            assert!(certified.is_same_as(&own) && certified.id() == Some("k"), "{kind}");
            let mut both = fixture["jwk"].clone();
            both["x5c"] = json!(["not read"]);
            assert!(key(&both).unwrap().is_same_as(&own), "{kind}: its own members count");
        }
        let [rsa, ec] = ["rsa", "ec"].map(fixture);
        let text = rsa["x5c"].as_str().unwrap();
        for (case, jwk) in [
            ("of another kind", json!({"kty": "EC", "x5c": [text]})),
            ("of another curve", json!({"kty": "EC", "crv": "P-384", "x5c": [ec["x5c"]]})),
            ("cut off", json!({"kty": "RSA", "x5c": [text.get(..text.len() - 400).unwrap()]})),
            ("base64url", json!({"kty": "RSA", "x5c": [text.replace('/', "_").replace('+', "-")]})),
            ("nothing", json!({"kty": "RSA", "x5c": [""]})),
        ] {
            assert_eq!(key(&jwk).unwrap_err(), KeyError::BadCertificate, "{case}");
        }
        let missing = Err(KeyError::Missing { member: "n" });
        assert_eq!(key(&json!({"kty": "RSA", "x5c": []})).map(|_| ()), missing);
    }

    /// As Google has them at `/robot/v1/metadata/x509`.
    #[test]
    fn a_set_may_be_certificates_by_their_ids() {
        let [rsa, ec] = ["rsa", "ec"].map(fixture);
        let document = json!({"one": rsa["pem"], "two": ec["pem"], "bad": "-----BEGIN X-----"});
        let (set, skipped) = KeySet::from_jwks(&document, Origin::Remote).unwrap();
        assert!(set.knows("one") && set.knows("two") && !set.knows("bad"));
        assert_eq!(skipped.len(), 1);
        assert!(matches!(set.unusable("bad"), Some(KeyError::NotPublicPem(_))));
        assert!(set.holds(&key(&rsa["jwk"]).unwrap()) && set.holds(&key(&ec["jwk"]).unwrap()));
        for (case, document) in [
            ("no PEM", json!({"one": "MIIB"})),
            ("something else too", json!({"one": rsa["pem"], "n": 1})),
            ("nothing", json!({})),
        ] {
            assert!(KeySet::from_jwks(&document, Origin::Remote).is_err(), "{case}");
        }
    }
}
