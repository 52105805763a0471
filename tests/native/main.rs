//! What the native doors share, as a door uses it.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::rc::Rc;

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ED25519, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use gatepass::keys::{
    Algorithm, AlgorithmSet, Crypto, HostCrypto as _, Origin, SigningAlgorithm, SigningKey,
    VerifyingKey,
};
use gatepass::pipeline::Settings;
use gatepass::token::Untrusted;
use gatepass_native::{AwsLc, VerifiesOnce};
use jwt_compact::Claims;
use serde_json::{Value, json};

const SIGNING: [SigningAlgorithm; 5] = [
    SigningAlgorithm::Es256,
    SigningAlgorithm::EdDsa,
    SigningAlgorithm::Rs256,
    SigningAlgorithm::Ps256,
    SigningAlgorithm::Es384,
];

/// A new private key in PKCS#8.
fn pem(algorithm: SigningAlgorithm) -> String {
    let ecdsa = |curve: &'static EcdsaSigningAlgorithm| {
        EcdsaKeyPair::generate(curve).unwrap().to_pkcs8v1().unwrap().as_ref().to_vec()
    };
    let der = match algorithm {
        SigningAlgorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        SigningAlgorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        SigningAlgorithm::EdDsa => {
            Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap().as_ref().to_vec()
        }
        SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            key.as_der().unwrap().as_ref().to_vec()
        }
    };
    as_pem(&der)
}

fn as_pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n")
}

/// A configuration that signs with that key.
fn configuration(algorithm: SigningAlgorithm) -> Value {
    // RFC 7515 appendix A.3.1: none of the gateway's own.
    let issuers = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    json!({
        "providers": {"shop": {
            "issuer": "https://auth.example", "audiences": ["api"],
            "local_jwks": {"keys": [issuers]},
        }},
        "identity_token": {
            "issuer": "https://gateway.example", "audiences": ["services"],
            "signing_keys": [{"algorithm": algorithm.to_string(), "private_key": pem(algorithm)}],
        },
    })
}

fn load(configuration: &Value) -> Result<Settings, String> {
    gatepass_native::load(configuration.to_string().as_bytes(), Rc::new(AwsLc))
        .map_err(|it| it.to_string())
}

#[test]
fn every_algorithm_signs_an_identity() {
    for algorithm in SIGNING {
        let settings = load(&configuration(algorithm)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.crypto.host_verifies(), AlgorithmSet::asymmetric());
        assert_eq!(settings.crypto.host_signs().to_string(), algorithm.to_string());
        let key = settings.minter.keys.signing_keys().next().unwrap();
        let claims = Claims::new(json!({"sub": "alice"}));
        let token = key.mint(&settings.crypto, "one", "identity+jwt", &claims).unwrap();
        let token = Untrusted::parse(token.as_bytes(), 8192).unwrap();
        let published = key.public_jwk("one");
        assert_eq!(published["alg"], algorithm.to_string());
        let published =
            VerifyingKey::from_jwk(published.as_object().unwrap(), Origin::Remote).unwrap();
        // By RustCrypto and by AWS-LC.
        for crypto in [&Crypto::module(), &settings.crypto] {
            let (input, signature) = (token.signing_input(), token.signature());
            assert!(published.verify(crypto, algorithm.into(), input, signature), "{algorithm}");
            let mut changed = signature.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            assert!(!published.verify(crypto, algorithm.into(), input, &changed), "{algorithm}");
        }
    }
}

#[test]
fn the_module_alone_does_not_sign_what_the_host_has_to() {
    for algorithm in SIGNING {
        let mut configuration = configuration(algorithm);
        configuration["crypto"] = "module".into();
        match load(&configuration) {
            Ok(_) => assert!(!algorithm.needs_host(), "{algorithm}"),
            Err(problems) => {
                let expected = format!(
                    "$.identity_token.signing_keys[0].algorithm: found {algorithm}, with which \
                     nobody signs here"
                );
                assert!(algorithm.needs_host(), "{algorithm}");
                assert!(problems.contains(&expected), "{problems}");
            }
        }
    }
}

/// Else every worker would verify by itself, with slower code, and nothing else would tell.
#[test]
fn workers_verify_and_sign_with_the_keys_of_the_library() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let pkcs8 = key.to_pkcs8v1().unwrap();
    let spki: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let once = VerifiesOnce(AwsLc);
    let signature =
        once.signing_key(Algorithm::Es256, pkcs8.as_ref()).expect("a key").sign(b"text").unwrap();
    let verifies = once.verifying_key(Algorithm::Es256, spki.as_ref()).expect("a key");
    for _ in 0..2 {
        assert_eq!(verifies.verify(b"text", &signature), Some(true));
        assert_eq!(verifies.verify(b"another", &signature), Some(false));
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    for algorithm in SIGNING {
        for other in SIGNING {
            let is_same = Algorithm::from(algorithm).family() == Algorithm::from(other).family();
            let key = SigningKey::parse(&pem(other), algorithm);
            assert_eq!(key.is_ok(), is_same, "{algorithm} with the key of {other}");
        }
    }
}

#[test]
fn a_key_on_p384_may_be_a_jwk() {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    // Not compressed: a 4, then both coordinates.
    let (x, y) = key.public_key().as_ref()[1..].split_at(48);
    let d = key.private_key().as_be_bytes().unwrap();
    let (x, y, d) = (encode(x), encode(y), encode(d.as_ref()));
    let mut jwk = json!({"kty": "EC", "crv": "P-384", "x": x, "y": y, "d": d});
    let read = |jwk: &Value| SigningKey::parse(&jwk.to_string(), SigningAlgorithm::Es384);
    let of_pkcs8 = key.to_pkcs8v1().unwrap();
    let of_pkcs8 = SigningKey::parse(&as_pem(of_pkcs8.as_ref()), SigningAlgorithm::Es384).unwrap();
    let of_jwk = read(&jwk).unwrap();
    assert_eq!(of_jwk.public_jwk("one"), of_pkcs8.public_jwk("one"));
    assert_eq!(of_jwk.thumbprint(), of_pkcs8.thumbprint());
    assert!(of_jwk.is_signed_with_by_host(&Crypto::on(Rc::new(AwsLc))));
    for (case, member, value) in [
        ("a byte short", "d", encode(&[1; 47])),
        ("another's public part", "d", encode(&[1; 48])),
        ("zero", "d", encode(&[0; 48])),
        ("above the order", "d", encode(&[0xFF; 48])),
        ("off the curve", "x", encode(&[1; 48])),
    ] {
        let good = jwk[member].clone();
        jwk[member] = value.into();
        assert!(read(&jwk).is_err(), "{case}");
        jwk[member] = good;
    }
}

/// A variable that is not for configurations is told at its place, with what is.
#[test]
fn the_environment_of_the_process_is_not_for_configurations() {
    let mut configuration = configuration(SigningAlgorithm::Es256);
    let key = "/identity_token/signing_keys/0/private_key";
    for (name, found) in [
        ("PATH", "{env: PATH}, which may not be read, accepted: a name that begins with GATEPASS_"),
        ("GATEPASS_NOT_SET", "{env: GATEPASS_NOT_SET}, which is not set"),
    ] {
        *configuration.pointer_mut(key).unwrap() = json!({ "env": name });
        let problems = load(&configuration).unwrap_err();
        let expected = format!("$.identity_token.signing_keys[0].private_key: found {found}");
        assert!(problems.contains(&expected), "{problems}");
        assert!(problems.contains("GATEPASS_ENV") || name.starts_with("GATEPASS"), "{problems}");
    }
}

/// Whoever holds a private key can make a signature whose R is the neutral element:
/// the library takes it, and dalek does not. No two paths may differ.
#[test]
fn an_ed25519_signature_with_a_point_of_small_order_is_refused_on_every_path() {
    let hex = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits.map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap()).collect()
    };
    // The key of RFC 8032 section 7.1, test 1; S is its scalar times the hash.
    let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let signature = hex("0100000000000000000000000000000000000000000000000000000000000000\
         8cc71e358268daa1615c45f0eb2f840bec54fc23e6aeca11662f9defdc6b4605");
    let library = UnparsedPublicKey::new(&ED25519, &public);
    assert!(library.verify(b"gatepass", &signature).is_ok(), "else the check is of no use");
    let x = BASE64_URL_SAFE_NO_PAD.encode(&public);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let key = VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Remote).unwrap();
    for crypto in [Crypto::module(), Crypto::on(Rc::new(AwsLc))] {
        assert!(!key.verify(&crypto, Algorithm::EdDsa, b"gatepass", &signature));
    }
}
