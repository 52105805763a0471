//! The auth service: who it is that logs in.
//!
//! | request | answer |
//! |---|---|
//! | `GET /login?return_to=` | the login page |
//! | `POST /login` `{"username", "password"}` | an access token (RFC 9068), also as a cookie |
//! | `POST /login` from the page | the cookie, and back to where one came from |
//! | `POST /logout` | the cookie is gone |
//! | `POST /logout/everywhere` with the identity | and so is every session of the user; the gateways are told at once |
//! | `GET /.well-known/jwks.json` | the public keys |
//! | `GET /revocations?since=` | who was locked out since then |
//! | `POST /revoke` `{"sub"}` | locks a user out; the gateway is told at once |
//! | `POST /rotate` | new tokens are signed by a new key; the old one stays published |
//! | `POST /renew` with the cookie | a new token in its place |
//! | `GET /token` with the cookie | what is in the token; nothing that protects something has this |
//! | `POST /bind` with the cookie and a DPoP proof | an access token that is bound to the proof's key (RFC 9449) |
//! | `GET /.well-known/oauth-authorization-server`, `GET /authorize`, `POST /oauth/token` | what an agent needs, see [`grants`] |
//! | `POST /fault` | makes the JWKS fail, see [`Fault`] |
//! | `GET /calls` | how often anyone logged in or fetched the JWKS |

mod binding;
pub mod cookie;
mod grants;
mod login;
mod logout;
mod revocations;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    get_current_timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::grants::Grants;
pub use self::grants::{CLIENT as AGENT, REDIRECT_URI};
use self::revocations::Revocations;
use super::client::Client;
use super::fault::{Fault, Switch};
use super::keys;
use super::server::Server;
use super::verifier::Verifier;

pub const ISSUER: &str = "https://auth.shop.example";
pub const AUDIENCE: &str = "shop-api";
const TOKEN_SECONDS: u64 = 3600;
const ACCESS_TOKEN: &str = "at+jwt";

struct Account {
    username: &'static str,
    password: &'static str,
    /// The application its tokens are issued to.
    client: &'static str,
    scope: &'static str,
}

const ACCOUNTS: [Account; 5] = [
    Account { username: "alice", password: "wonderland", client: "web", scope: "orders admin" },
    Account { username: "bob", password: "builder", client: "web", scope: "orders" },
    Account { username: "carol", password: "partner", client: "partner", scope: "orders" },
    Account { username: "dave", password: "delivery", client: "courier", scope: "orders" },
    // Whom the shop serves before it opens.
    Account { username: "probe", password: "probe", client: "web", scope: "" },
];

/// The service itself, as the gateway's client: nobody logs in as this.
const ADMINISTRATOR: Account =
    Account { username: "auth", password: "", client: "auth", scope: "revoke" };

pub struct Auth {
    service: Arc<Service>,
    _server: Server,
}

impl Auth {
    /// `gateways` are the ports of the gateways to tell who is locked out.
    pub fn start(listener: TcpListener, gateways: Vec<u16>) -> Self {
        let service = Arc::new(Service {
            identities: Verifier::of_identity_tokens(gateways.first().copied().unwrap_or(0)),
            gateways,
            client: Client::new(),
            grants: Grants::default(),
            revocations: Mutex::new(Revocations::new()),
            keys: Mutex::new(vec![Key::generate()]),
            jwks_fault: Switch::default(),
            logins: AtomicU64::new(0),
            jwks_fetches: AtomicU64::new(0),
            jwks_served: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/login", get(login::page).post(login::log_in))
            .route("/logout", post(logout::here))
            .route("/logout/everywhere", post(logout::everywhere))
            .route("/.well-known/oauth-authorization-server", get(grants::metadata))
            .route("/authorize", get(grants::authorize))
            .route("/oauth/token", post(grants::token))
            .route("/bind", post(binding::bind))
            .route("/.well-known/jwks.json", get(jwks))
            .route("/revocations", get(revocations))
            .route("/revoke", post(revoke))
            .route("/rotate", post(rotate))
            .route("/renew", post(renew))
            .route("/token", get(token))
            .route("/fault", post(set_fault))
            .route("/calls", get(calls))
            .with_state(Arc::clone(&service));
        Self { service, _server: Server::start(listener, router) }
    }

    /// Signs any claims with the current key, as an access token.
    pub fn sign(&self, claims: &Value) -> String {
        self.service.sign(ACCESS_TOKEN, claims)
    }

    /// Signs any claims with the current key, as a token of this type.
    pub fn sign_as(&self, typ: &str, claims: &Value) -> String {
        self.service.sign(typ, claims)
    }

    /// The claims that the user's next token would have.
    pub fn claims(username: &str) -> Option<Value> {
        let mut accounts = ACCOUNTS.iter();
        accounts.find(|account| account.username == username).map(Account::claims)
    }
}

impl Account {
    fn claims(&self) -> Value {
        let now = get_current_timestamp();
        json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": self.username,
            "azp": self.client,
            "client_id": self.client,
            "scope": self.scope,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "jti": keys::random_text(),
        })
    }
}

struct Service {
    gateways: Vec<u16>,
    client: Client,
    /// What the gateways say of who logs out everywhere.
    identities: Verifier,
    grants: Grants,
    revocations: Mutex<Revocations>,
    /// Oldest first; the last one signs.
    keys: Mutex<Vec<Key>>,
    jwks_fault: Switch<Fault>,
    logins: AtomicU64,
    jwks_fetches: AtomicU64,
    jwks_served: AtomicU64,
}

impl Service {
    fn sign(&self, typ: &str, claims: &Value) -> String {
        let keys = self.keys.lock().unwrap();
        let key = keys.last().expect("there is always a key");
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(typ.to_owned());
        header.kid.clone_from(&key.public.common.key_id);
        encode(&header, claims, &key.private).expect("claims are JSON")
    }

    /// The URLs of a path of every gateway.
    fn at_gateways(&self, path: &str) -> impl Iterator<Item = String> {
        self.gateways.iter().map(move |port| format!("http://127.0.0.1:{port}{path}"))
    }

    /// The claims of a token that is from here, not over, and not revoked.
    fn verify(&self, token: &str) -> Option<Value> {
        let kid = decode_header(token).ok()?.kid;
        let keys = self.keys.lock().unwrap();
        let key = keys.iter().find(|key| key.public.common.key_id == kid)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        let key = DecodingKey::from_jwk(&key.public).ok()?;
        let claims = decode::<Value>(token, &key, &validation).ok()?.claims;
        let not_before = self.revocations.lock().unwrap().not_before(claims["sub"].as_str()?);
        (claims["iat"].as_u64()? >= not_before).then_some(claims)
    }
}

struct Key {
    private: EncodingKey,
    public: Jwk,
}

impl Key {
    fn generate() -> Self {
        let private = EncodingKey::from_ec_der(&keys::p256_der());
        let mut public =
            Jwk::from_encoding_key(&private, Algorithm::ES256).expect("the key is P-256");
        public.common.key_id = Some(keys::random_text());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Self { private, public }
    }
}

async fn jwks(State(service): State<Arc<Service>>) -> Response {
    service.jwks_fetches.fetch_add(1, Ordering::Relaxed);
    if let Some(failure) = service.jwks_fault.get().answer().await {
        return failure;
    }
    service.jwks_served.fetch_add(1, Ordering::Relaxed);
    let keys = service.keys.lock().unwrap();
    let keys = keys.iter().map(|key| key.public.clone()).collect();
    Json(JwkSet { keys }).into_response()
}

async fn rotate(State(service): State<Arc<Service>>) -> Json<Value> {
    let key = Key::generate();
    let kid = key.public.common.key_id.clone();
    service.keys.lock().unwrap().push(key);
    Json(json!({"kid": kid}))
}

#[derive(Deserialize)]
struct Since {
    since: Option<String>,
}

async fn revocations(
    State(service): State<Arc<Service>>,
    Query(query): Query<Since>,
) -> Json<Value> {
    Json(service.revocations.lock().unwrap().since(query.since.as_deref()))
}

#[derive(Deserialize)]
struct Who {
    sub: String,
}

/// The list is for all gateways, soon; the one that is told knows at once.
async fn revoke(State(service): State<Arc<Service>>, Json(who): Json<Who>) -> Json<Value> {
    let entry = service.revocations.lock().unwrap().revoke(&who.sub, TOKEN_SECONDS);
    let token = service.sign(ACCESS_TOKEN, &ADMINISTRATOR.claims());
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let entries = json!({"entries": [entry]});
    let mut told = true;
    for url in service.at_gateways("/.well-known/gatepass/revocations") {
        let reply = service.client.send(Method::POST, &url, &headers, Some(&entries)).await;
        told &= reply.is_ok_and(|reply| reply.status.is_success());
    }
    Json(json!({"entry": entry, "gateway_told": told}))
}

/// A token signed by the current key, for whoever has one already.
async fn renew(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let claims = cookie::token(&headers).and_then(|token| service.verify(token));
    let username = claims.as_ref().and_then(|claims| claims["sub"].as_str());
    let Some(claims) = username.and_then(Auth::claims) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let cookie = cookie::set(&service.sign(ACCESS_TOKEN, &claims), TOKEN_SECONDS, &headers);
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

async fn token(headers: HeaderMap) -> Response {
    let parts = |token| {
        let header = decode_header(token).ok()?;
        let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token).ok()?.claims;
        Some(Json(json!({"header": header, "claims": claims, "bytes": str::len(token)})))
    };
    match cookie::token(&headers).and_then(parts) {
        Some(parts) => parts.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn set_fault(State(service): State<Arc<Service>>, Json(fault): Json<Fault>) -> StatusCode {
    service.jwks_fault.set(fault);
    StatusCode::NO_CONTENT
}

async fn calls(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({
        "logins": service.logins.load(Ordering::Relaxed),
        "jwks": service.jwks_fetches.load(Ordering::Relaxed),
        "jwks_served": service.jwks_served.load(Ordering::Relaxed),
    }))
}
