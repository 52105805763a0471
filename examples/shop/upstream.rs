//! The service behind the gateway: tells what it received, and what it can
//! know of the caller from the identity token and the gateway's JWKS alone.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::client::Client;
use super::server::Server;

const IDENTITY_HEADER: &str = "x-identity-token";

pub struct Upstream {
    _server: Server,
}

impl Upstream {
    /// `gateway` is the port at which the gateway publishes its keys.
    pub fn start(listener: TcpListener, gateway: u16) -> Self {
        let verifier = Arc::new(Verifier {
            jwks_url: format!("http://127.0.0.1:{gateway}/.well-known/gatepass/jwks.json"),
            client: Client::new(),
            keys: Mutex::new(JwkSet { keys: Vec::new() }),
        });
        let router = Router::new().fallback(echo).with_state(verifier);
        Self { _server: Server::start(listener, router) }
    }
}

async fn echo(State(verifier): State<Arc<Verifier>>, request: Request) -> Response {
    let identity = match request.headers().get(IDENTITY_HEADER) {
        None => Value::Null,
        Some(token) => match verifier.verify(token.as_bytes()).await {
            Ok(claims) => json!({"verified": true, "claims": claims}),
            Err(reason) => json!({"verified": false, "reason": reason}),
        },
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, layout(&request, &identity)).into_response()
}

/// JSON for people who use curl: a header a line.
fn layout(request: &Request, identity: &Value) -> String {
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    let headers: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let (name, value) = (text(name.as_ref()), text(value.as_bytes()));
            format!("    [{name}, {value}]")
        })
        .collect();
    format!(
        "{{\n  \"method\": {},\n  \"path\": {},\n  \"headers\": [\n{}\n  ],\n  \"identity\": {}\n}}\n",
        text(request.method().as_str().as_bytes()),
        text(request.uri().to_string().as_bytes()),
        headers.join(",\n"),
        format!("{identity:#}").replace('\n', "\n  "),
    )
}

/// What a service in Rust needs to trust the gateway's identity tokens.
struct Verifier {
    jwks_url: String,
    client: Client,
    keys: Mutex<JwkSet>,
}

impl Verifier {
    async fn verify(&self, token: &[u8]) -> Result<Value, String> {
        let header = decode_header(token).map_err(|error| error.to_string())?;
        // Any other token of the gateway, or of others, is not an identity.
        if header.typ.as_deref() != Some("identity+jwt") {
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
        validation.set_issuer(&["https://gateway.shop.internal"]);
        validation.set_audience(&["shop-services"]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.validate_nbf = true;
        validation.leeway = 5;
        decode::<Value>(token, &key, &validation)
            .map(|token| token.claims)
            .map_err(|error| error.to_string())
    }

    /// The gateway announces a key before it signs, so that only a new one is
    /// worth another fetch.
    async fn key(&self, kid: &str) -> Result<Jwk, String> {
        let mut keys = self.keys.lock().await;
        if keys.find(kid).is_none() {
            let reply = self.client.get(&self.jwks_url, &[]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            *keys =
                reply.json().map_err(|error| format!("no JWKS at {}: {error}", self.jwks_url))?;
        }
        keys.find(kid).cloned().ok_or_else(|| format!("the gateway publishes no key {kid}"))
    }
}
