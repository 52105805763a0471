//! New keys and secrets.

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

/// A P-256 private key as PKCS#8 DER.
pub fn p256_der() -> Vec<u8> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    key.expect("there is randomness").as_ref().to_vec()
}

/// A P-256 private key as PKCS#8 PEM.
pub fn p256_pem() -> String {
    let text = BASE64_STANDARD.encode(p256_der());
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

/// 128 random bits as text.
pub fn random_text() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("there is randomness");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
