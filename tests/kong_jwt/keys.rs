//! Keys of consumers, and tokens made with them.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{hmac, signature::EcdsaSigningAlgorithm};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64URL};
use serde_json::Value;

/// 32 characters, as Kong makes them up.
pub const SECRET_32: &str = "ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLTAx";
/// Long enough for HS512.
pub const SECRET_64: &str = "ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLTAxZmFrZS1zZWNyZXQtZm9yLXRlc3RzLTAx";

pub static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
pub static P256: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING));
pub static P384: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING));
pub static P521: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING));
pub static ED25519: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(algorithm).unwrap()
}

/// Everything the plugin knows but HS*.
pub const ASYMMETRIC: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// The public key that goes with [`sign`].
pub fn public_pem(algorithm: &str) -> String {
    let der = match algorithm {
        "ES256" => spki(P256.public_key()),
        "ES384" => spki(P384.public_key()),
        "ES512" => spki(P521.public_key()),
        "EdDSA" => spki(ED25519.public_key()),
        _ => spki(RSA.public_key()),
    };
    pem("PUBLIC KEY", &der)
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    key.as_der().unwrap().as_ref().to_vec()
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The signature of an algorithm; `secret` is for HS*.
pub fn sign(algorithm: &str, secret: &[u8], input: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let mac = |hash| hmac::sign(&hmac::Key::new(hash, secret), input).as_ref().to_vec();
    let rsa = |padding: &'static dyn signature::RsaEncoding| {
        let mut bytes = vec![0; RSA.public_modulus_len()];
        RSA.sign(padding, &random, input, &mut bytes).unwrap();
        bytes
    };
    let ec = |key: &EcdsaKeyPair| key.sign(&random, input).unwrap().as_ref().to_vec();
    match algorithm {
        "HS256" => mac(hmac::HMAC_SHA256),
        "HS384" => mac(hmac::HMAC_SHA384),
        "HS512" => mac(hmac::HMAC_SHA512),
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
        "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
        "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
        "PS256" => rsa(&signature::RSA_PSS_SHA256),
        "PS384" => rsa(&signature::RSA_PSS_SHA384),
        "PS512" => rsa(&signature::RSA_PSS_SHA512),
        "ES256" => ec(&P256),
        "ES384" => ec(&P384),
        "ES512" => ec(&P521),
        "EdDSA" => ED25519.sign(input).as_ref().to_vec(),
        other => panic!("{other}"),
    }
}

/// A token of any header and any claims, signed as `algorithm` says.
pub fn token_of(header: &Value, claims: &Value, algorithm: &str, secret: &str) -> String {
    let input = format!(
        "{}.{}",
        BASE64URL.encode(header.to_string()),
        BASE64URL.encode(claims.to_string())
    );
    let signature = sign(algorithm, secret.as_bytes(), input.as_bytes());
    format!("{input}.{}", BASE64URL.encode(signature))
}
