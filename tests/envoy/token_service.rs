//! A service that knows what became of tokens: whether a reference is active,
//! and who was revoked.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::stack::server::Server;

/// The service, at a port of its own.
pub struct TokenService {
    pub port: u16,
    known: Arc<Mutex<Known>>,
    _server: Server,
}

#[derive(Default)]
struct Known {
    /// The claims of active references.
    active: Vec<(String, Value)>,
    introspections: u64,
    authorizations: Vec<String>,
    revoked: Vec<Value>,
    polls: u64,
}

type Shared = State<Arc<Mutex<Known>>>;

impl TokenService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let known = Arc::<Mutex<Known>>::default();
        let router = Router::new()
            .route("/introspect", post(introspect))
            .route("/revocations", get(revocations))
            .with_state(Arc::clone(&known));
        Self { port, known, _server: Server::start(listener, router) }
    }

    /// Issues a reference with these claims.
    pub fn issue(&self, reference: &str, claims: Value) {
        self.known.lock().unwrap().active.push((reference.to_owned(), claims));
    }

    /// From now on no reference is active.
    pub fn forget_all(&self) {
        self.known.lock().unwrap().active.clear();
    }

    pub fn introspections(&self) -> u64 {
        self.known.lock().unwrap().introspections
    }

    /// What the gateway said who it is.
    pub fn authorizations(&self) -> Vec<String> {
        self.known.lock().unwrap().authorizations.clone()
    }

    pub fn revoke(&self, entry: Value) {
        self.known.lock().unwrap().revoked.push(entry);
    }

    pub fn polls(&self) -> u64 {
        self.known.lock().unwrap().polls
    }
}

async fn introspect(State(known): Shared, headers: HeaderMap, form: String) -> Json<Value> {
    let mut known = known.lock().unwrap();
    known.introspections += 1;
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap());
    known.authorizations.push(authorization.unwrap_or_default().to_owned());
    let token = form.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
    let found = known.active.iter().find(|(reference, _)| reference == token);
    Json(match found {
        Some((_, claims)) => {
            let mut claims = claims.clone();
            claims["active"] = json!(true);
            claims
        }
        None => json!({"active": false}),
    })
}

async fn revocations(State(known): Shared, RawQuery(query): RawQuery) -> Json<Value> {
    let mut known = known.lock().unwrap();
    known.polls += 1;
    let since = query.as_deref().and_then(|query| query.strip_prefix("since="));
    let since = since.map_or(0, |since| since.parse::<usize>().expect("a cursor of ours"));
    let entries = &known.revoked[since..];
    Json(json!({"cursor": known.revoked.len().to_string(), "entries": entries}))
}
