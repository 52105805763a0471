//! Public tokens as a hostile client would make them.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use crate::stack::auth::Auth;
use crate::stack::keys;

/// An issuer's key.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    /// Its public JWK.
    pub jwk: Value,
    /// The spellings of its public key that could be taken for a secret.
    pub public_forms: Vec<Vec<u8>>,
}

impl Signer {
    pub fn es256(kid: &str) -> Self {
        let key = EncodingKey::from_ec_der(&keys::p256_der());
        Self::new(kid, Algorithm::ES256, key, &[])
    }

    pub fn rs256(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        // The PKCS#1 key within the PKCS#8 one.
        let key = EncodingKey::from_rsa_der(&der.as_ref()[26..]);
        let spki =
            AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        Self::new(kid, Algorithm::RS256, key, spki.as_ref())
    }

    pub fn eddsa(kid: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8.as_ref()).unwrap();
        let key = EncodingKey::from_ed_der(pkcs8.as_ref());
        Self::new(kid, Algorithm::EdDSA, key, pair.public_key().as_ref())
    }

    fn new(kid: &str, algorithm: Algorithm, key: EncodingKey, public: &[u8]) -> Self {
        let mut jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        let jwk = serde_json::to_value(jwk).unwrap();
        let mut public_forms = vec![jwk.to_string().into_bytes(), public.to_vec()];
        public_forms.push(pem("PUBLIC KEY", public).into_bytes());
        for coordinate in ["x", "n"] {
            if let Some(text) = jwk[coordinate].as_str() {
                public_forms.push(text.as_bytes().to_vec());
                public_forms.push(BASE64_URL_SAFE_NO_PAD.decode(text).unwrap());
            }
        }
        public_forms.retain(|form| !form.is_empty());
        Self { algorithm, key, jwk, public_forms }
    }

    pub fn kid(&self) -> &str {
        self.jwk["kid"].as_str().unwrap()
    }

    /// A token with the usual header.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.jwk["alg"], "kid": self.kid(), "typ": "at+jwt"}), claims)
    }

    /// A token with its usual header and changes to it.
    pub fn token_with(&self, header: Value, claims: &Value) -> String {
        let usual = json!({"alg": self.jwk["alg"], "kid": self.kid(), "typ": "at+jwt"});
        self.sign(&changed(&usual, header), claims)
    }

    /// Signs any header and claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs any texts.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = crypto::sign(input.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{input}.{signature}")
    }
}

/// A token signed with HMAC-SHA-256.
pub fn mac(secret: &[u8], header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", encode(tag))
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The claims of alice's next token, and changes to them.
pub fn alice(changes: Value) -> Value {
    changed(&Auth::claims("alice").unwrap(), changes)
}

/// An object with other members; `null` takes one away.
pub fn changed(object: &Value, changes: Value) -> Value {
    let mut object = object.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
    object
}
