//! Clients whose tokens are bound to them: by a certificate, or by a key for proofs. They
//! share no code with the gateway.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::stack::keys;

/// SHA-256 in base64url.
pub fn sha256(bytes: &[u8]) -> String {
    BASE64URL.encode(digest(&SHA256, bytes))
}

/// Who signs the certificates of clients.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

/// A certificate in PEM, and its key.
pub struct Certificate {
    pub pem: String,
    pub key: String,
    /// As `cnf` names it (RFC 8705 section 3.1).
    pub thumbprint: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn sign(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let thumbprint = sha256(signed.der());
        Certificate { pem: signed.pem(), key: key.serialize_pem(), thumbprint }
    }
}

/// The key of a client that sends proofs.
pub struct ProofKey {
    private: EncodingKey,
    public: Jwk,
}

impl ProofKey {
    pub fn new() -> Self {
        let private = EncodingKey::from_ec_der(&keys::p256_der());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
        public.common = Default::default();
        Self { private, public }
    }

    /// What a token that is bound to it says.
    pub fn confirmation(&self) -> Value {
        json!({"jkt": self.public.thumbprint(ThumbprintHash::SHA256).unwrap()})
    }

    /// A new proof for `method` at `uri` with `token`.
    pub fn proof(&self, method: &str, uri: &str, token: &str, nonce: Option<&str>) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = Some(self.public.clone());
        let mut claims = json!({
            "jti": keys::random_text(), "htm": method, "htu": uri,
            "iat": get_current_timestamp(), "ath": sha256(token.as_bytes()),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        encode(&header, &claims, &self.private).unwrap()
    }
}
