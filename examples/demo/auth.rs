//! The auth service: who it is that logs in.
//!
//! | request | answer |
//! |---|---|
//! | `POST /login` `{"username", "password"}` | an access token (RFC 9068), also as a cookie |
//! | `GET /.well-known/jwks.json` | the public keys |
//! | `POST /rotate` | new tokens are signed by a new key; the old one stays published |
//! | `POST /fault` | makes the JWKS fail, see [`Fault`] |
//! | `GET /calls` | how often anyone logged in or fetched the JWKS |

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::fault::{Fault, Switch};
use super::keys;
use super::server::Server;

pub const ISSUER: &str = "https://auth.shop.example";
pub const AUDIENCE: &str = "shop-api";
const TOKEN_SECONDS: u64 = 3600;

struct Account {
    username: &'static str,
    password: &'static str,
    /// The application its tokens are issued to.
    client: &'static str,
    scope: &'static str,
}

const ACCOUNTS: [Account; 4] = [
    Account { username: "alice", password: "wonderland", client: "web", scope: "orders admin" },
    Account { username: "bob", password: "builder", client: "web", scope: "orders" },
    Account { username: "carol", password: "partner", client: "partner", scope: "orders" },
    Account { username: "dave", password: "delivery", client: "courier", scope: "orders" },
];

pub struct Auth {
    service: Arc<Service>,
    _server: Server,
}

impl Auth {
    pub fn start(listener: TcpListener) -> Self {
        let service = Arc::new(Service {
            keys: Mutex::new(vec![Key::generate()]),
            jwks_fault: Switch::default(),
            logins: AtomicU64::new(0),
            jwks_fetches: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/login", post(login))
            .route("/.well-known/jwks.json", get(jwks))
            .route("/rotate", post(rotate))
            .route("/fault", post(set_fault))
            .route("/calls", get(calls))
            .with_state(Arc::clone(&service));
        Self { service, _server: Server::start(listener, router) }
    }

    /// Signs any claims with the current key.
    pub fn sign(&self, claims: &Value) -> String {
        self.service.sign(claims)
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
    /// Oldest first; the last one signs.
    keys: Mutex<Vec<Key>>,
    jwks_fault: Switch<Fault>,
    logins: AtomicU64,
    jwks_fetches: AtomicU64,
}

impl Service {
    fn sign(&self, claims: &Value) -> String {
        let keys = self.keys.lock().unwrap();
        let key = keys.last().expect("there is always a key");
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid.clone_from(&key.public.common.key_id);
        encode(&header, claims, &key.private).expect("claims are JSON")
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

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

async fn login(
    State(service): State<Arc<Service>>,
    Json(credentials): Json<Credentials>,
) -> Response {
    service.logins.fetch_add(1, Ordering::Relaxed);
    let account = ACCOUNTS.iter().find(|account| {
        account.username == credentials.username && account.password == credentials.password
    });
    let Some(account) = account else {
        let body =
            json!({"error": "invalid_grant", "error_description": "wrong username or password"});
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    };
    let token = service.sign(&account.claims());
    // For browsers. The prefix keeps every other host, siblings included, from
    // setting a cookie of that name.
    let cookie = format!(
        "__Host-session={token}; Path=/; Max-Age={TOKEN_SECONDS}; Secure; HttpOnly; SameSite=Lax"
    );
    let reply = Json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": TOKEN_SECONDS,
        "scope": account.scope,
    }));
    ([(SET_COOKIE, cookie)], reply).into_response()
}

async fn jwks(State(service): State<Arc<Service>>) -> Response {
    service.jwks_fetches.fetch_add(1, Ordering::Relaxed);
    if let Some(failure) = service.jwks_fault.get().answer().await {
        return failure;
    }
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

async fn set_fault(State(service): State<Arc<Service>>, Json(fault): Json<Fault>) -> StatusCode {
    service.jwks_fault.set(fault);
    StatusCode::NO_CONTENT
}

async fn calls(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({
        "logins": service.logins.load(Ordering::Relaxed),
        "jwks": service.jwks_fetches.load(Ordering::Relaxed),
    }))
}
