//! What a service needs to trust a token: the issuer's JWKS, and an ordinary
//! JOSE library.

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use tokio::sync::Mutex;

use super::auth;
use super::client::Client;
use super::ports::Ports;

/// Whose tokens, for whom.
#[derive(Clone, Copy)]
pub struct Issued {
    issuer: &'static str,
    audience: &'static str,
    token_type: &'static str,
}

/// What the gateway mints, as `envoy/envoy.yaml` says.
const IDENTITY: Issued = Issued {
    issuer: "https://gateway.shop.internal",
    audience: "shop-services",
    token_type: "identity+jwt",
};

/// What the auth service gives to clients.
const PUBLIC: Issued =
    Issued { issuer: auth::ISSUER, audience: auth::AUDIENCE, token_type: "at+jwt" };

pub struct Verifier {
    issued: Issued,
    jwks_url: String,
    client: Client,
    keys: Mutex<JwkSet>,
}

impl Verifier {
    /// Of the gateway at this port.
    pub fn of_identity_tokens(gateway: u16) -> Self {
        let path = "/.well-known/gatepass/jwks.json";
        Self::new(IDENTITY, format!("http://127.0.0.1:{gateway}{path}"))
    }

    pub fn of_public_tokens(ports: Ports) -> Self {
        Self::new(PUBLIC, format!("http://127.0.0.1:{}/.well-known/jwks.json", ports.auth))
    }

    fn new(issued: Issued, jwks_url: String) -> Self {
        let keys = Mutex::new(JwkSet { keys: Vec::new() });
        Self { issued, jwks_url, client: Client::new(), keys }
    }

    /// The claims of a good token.
    pub async fn verify(&self, token: &str) -> Result<Value, String> {
        let header = decode_header(token).map_err(|error| error.to_string())?;
        // Any other token of the issuer is not this kind of token.
        if header.typ.as_deref() != Some(self.issued.token_type) {
            return Err(format!("typ is {:?}", header.typ));
        }
        let kid = header.kid.ok_or("no kid")?;
        let jwk = self.key(&kid).await?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|error| error.to_string())?;

        // The key decides the algorithm, not the token.
        let algorithm = match jwk.common.key_algorithm {
            Some(algorithm) => algorithm.to_string().parse(),
            None => Ok(Algorithm::ES256),
        };
        let mut validation = Validation::new(algorithm.map_err(|error| error.to_string())?);
        validation.set_issuer(&[self.issued.issuer]);
        validation.set_audience(&[self.issued.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.validate_nbf = true;
        validation.leeway = 5;
        decode::<Value>(token, &key, &validation)
            .map(|token| token.claims)
            .map_err(|error| error.to_string())
    }

    /// An issuer announces a key before it signs, so that only a new one is
    /// worth another fetch.
    async fn key(&self, kid: &str) -> Result<Jwk, String> {
        let mut keys = self.keys.lock().await;
        if keys.find(kid).is_none() {
            let reply = self.client.get(&self.jwks_url, &[]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            *keys =
                reply.json().map_err(|error| format!("no JWKS at {}: {error}", self.jwks_url))?;
        }
        keys.find(kid).cloned().ok_or_else(|| format!("{} has no key {kid}", self.jwks_url))
    }
}
