//! Public tokens, signed by AWS-LC: every algorithm, as many as needed.

use std::rc::Rc;
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://auth.shop.example";
/// Of tokens signed with a shared secret, which have a provider of their own.
pub const SECRET_ISSUER: &str = "https://secret.shop.example";
pub const AUDIENCE: &str = "shop-api";

/// Who signs public tokens.
pub struct Signer {
    pub algorithm: &'static str,
    key: Key,
}

enum Key {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Box<hmac::Key>, [u8; 32]),
}

impl Signer {
    /// A new key for a JWS algorithm.
    pub fn new(algorithm: &'static str) -> Self {
        let ecdsa = |curve: &'static EcdsaSigningAlgorithm| {
            Key::Ecdsa(EcdsaKeyPair::generate(curve).expect("a key"))
        };
        let key = match algorithm {
            "RS256" | "PS256" => Key::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key")),
            "ES256" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "ES512" => ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
            "ES256K" => ecdsa(&ECDSA_P256K1_SHA256_FIXED_SIGNING),
            "EdDSA" => Key::Ed25519(Ed25519KeyPair::generate().expect("a key")),
            "HS256" => {
                let mut secret = [0; 32];
                aws_lc_rs::rand::fill(&mut secret).expect("randomness");
                Key::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &secret).into(), secret)
            }
            other => panic!("no algorithm {other}"),
        };
        Self { algorithm, key }
    }

    pub fn issuer(&self) -> &'static str {
        if matches!(self.key, Key::Hmac(..)) { SECRET_ISSUER } else { ISSUER }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => {
                let padding: &dyn RsaEncoding =
                    if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, input, &mut signature).expect("a signature");
                signature
            }
            Key::Ecdsa(key) => key.sign(&random, input).expect("a signature").as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(input).as_ref().to_vec(),
            Key::Hmac(key, _) => hmac::sign(key, input).as_ref().to_vec(),
        }
    }

    /// The key as an issuer publishes it.
    pub fn jwk(&self) -> Value {
        let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.key {
            Key::Rsa(key) => {
                // The DER ends with the modulus, and the exponent as an integer of three bytes.
                let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("DER");
                let (rest, exponent) = der.as_ref().split_last_chunk::<3>().expect("a key");
                let (_, modulus) = rest.split_last_chunk::<258>().expect("a key");
                json!({"kty": "RSA", "n": base64(&modulus[..256]), "e": base64(exponent)})
            }
            Key::Ecdsa(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match self.algorithm {
                    "ES256" => "P-256",
                    "ES384" => "P-384",
                    "ES512" => "P-521",
                    _ => "secp256k1",
                };
                json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)})
            }
            Key::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64(key.public_key().as_ref())})
            }
            Key::Hmac(_, secret) => json!({"kty": "oct", "k": base64(secret)}),
        };
        jwk["kid"] = self.algorithm.into();
        jwk["alg"] = self.algorithm.into();
        jwk
    }

    /// The public key as PEM, for peers that read no JWK.
    pub fn public_pem(&self) -> String {
        let Key::Rsa(key) = &self.key else { panic!("RSA only") };
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("DER");
        pem("PUBLIC KEY", der.as_ref())
    }

    /// A token for `subject`; `n` makes it differ from all others.
    pub fn token(&self, subject: &str, n: u64) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let now = now.as_secs();
        self.sign_claims(
            "at+jwt",
            &json!({
                "iss": self.issuer(), "aud": AUDIENCE, "sub": subject, "iat": now, "nbf": now,
                "exp": now + 86_000, "jti": format!("{n:016x}"), "azp": "web", "client_id": "web",
                "scope": "orders admin", "tenant": "acme", "auth_time": now,
                "sid": "08a5019c-17e1-4977-8f42-65a12843ea02",
            }),
        )
    }

    pub fn sign_claims(&self, typ: &str, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": self.algorithm, "kid": self.algorithm, "typ": typ});
        let input = format!("{}.{}", part(&header), part(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }
}

/// A new private key for identity tokens, PKCS#8 in PEM.
pub fn identity_key(algorithm: &str) -> String {
    let random = SystemRandom::new();
    let der = match algorithm {
        "ES256" => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .expect("a key")
            .as_ref()
            .to_vec(),
        "EdDSA" => Ed25519KeyPair::generate_pkcs8v1(&random).expect("a key").as_ref().to_vec(),
        "RS256" => {
            let key = rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
            let der: Pkcs8V1Der<'_> = key.as_der().expect("DER");
            der.as_ref().to_vec()
        }
        other => panic!("no algorithm {other}"),
    };
    pem("PRIVATE KEY", &der)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A request as browsers and API clients send them: twelve header fields.
pub fn request(token: Option<&str>, extra: &str) -> Rc<[u8]> {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    format!(
        "GET /orders?page=2 HTTP/1.1\r\nhost: shop.example\r\n\
         user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         accept: application/json\r\naccept-language: en-GB,en;q=0.5\r\n\
         accept-encoding: gzip, deflate, br\r\nreferer: https://shop.example/\r\n\
         origin: https://shop.example\r\ncache-control: no-cache\r\n{extra}{}\r\n",
        authorization.unwrap_or_default()
    )
    .into_bytes()
    .into()
}
