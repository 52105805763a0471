//! Public keys in DER, as contained in PEM blocks and certificates
//! (`SubjectPublicKeyInfo`, RFC 5280 section 4.1.2.7), converted to and from the members
//! of a JWK.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use p256::pkcs8::{AssociatedOid, LineEnding, ObjectIdentifier};
use rsa::pkcs1::RsaPublicKeyRef;
use rsa::pkcs8::der::asn1::{AnyRef, BitStringRef, UintRef};
use rsa::pkcs8::der::{Decode, Encode, EncodePem};
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

/// The PEM block of a key, given as the members of its JWK.
pub(super) fn pem(members: &[(&'static str, String)]) -> Option<String> {
    let member = |name: &str| {
        let (_, text) = members.iter().find(|(own, _)| *own == name)?;
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()
    };
    let kind = members.iter().find_map(|(name, text)| (*name == "crv").then_some(text.as_str()));
    let point = || Some([&[4][..], &member("x")?, &member("y")?].concat());
    let (oid, parameters, key) = match kind {
        Some("P-256") => (EC, Some(AnyRef::from(&p256::NistP256::OID)), point()?),
        Some("P-384") => (EC, Some(AnyRef::from(&p384::NistP384::OID)), point()?),
        Some("Ed25519") => (ED25519, None, member("x")?),
        Some(_) => return None,
        None => {
            let (n, e) = (member("n")?, member("e")?);
            let key = RsaPublicKeyRef {
                modulus: UintRef::new(&n).ok()?,
                public_exponent: UintRef::new(&e).ok()?,
            };
            (RSA, Some(AnyRef::NULL), key.to_der().ok()?)
        }
    };
    let algorithm = AlgorithmIdentifierRef { oid, parameters };
    let subject_public_key = BitStringRef::from_bytes(&key).ok()?;
    SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_pem(LineEnding::LF).ok()
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of RFC 7515 appendix A.3.1 and of RFC 7638 section 3.1 as OpenSSL writes
    /// them, and that of RFC 8410 section 10.1.
    #[test]
    fn keys_become_pem() {
        let rsa = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR\
                   1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h\
                   4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91Cb\
                   OpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-cs\
                   FCur-kEgU8awapJzKnqDKgw";
        for (members, expected) in [
            (
                vec![
                    ("crv", "P-256"),
                    ("x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                    ("y", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
                ],
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
                 6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n",
            ),
            (
                vec![("crv", "Ed25519"), ("x", "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE")],
                "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n",
            ),
            (
                vec![("e", "AQAB"), ("n", rsa)],
                "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7agoebGcQSuuPiLJX\n\
                 ZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS\n\
                 oc/BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ/2W+5JsGY4Hc5n9yBXArwl93lqt\n\
                 7/RN5w6Cf0h4QyQ5v+65YGjQR0/FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0\n\
                 zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt+bFTWhAI4vMQFh6WeZu0f\n\
                 M4lFd2NcRwr3XPksINHaQ+G/xBniIqbw0Ls1jF44+csFCur+kEgU8awapJzKnqDK\n\
                 gwIDAQAB\n",
            ),
        ] {
            let members: Vec<_> =
                members.into_iter().map(|(name, text)| (name, text.to_owned())).collect();
            let expected =
                format!("-----BEGIN PUBLIC KEY-----\n{expected}-----END PUBLIC KEY-----\n");
            assert_eq!(pem(&members), Some(expected));
        }
        assert_eq!(pem(&[("crv", "P-521".to_owned())]), None);
        assert_eq!(pem(&[]), None);
    }
}
