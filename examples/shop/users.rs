//! The user-info service: what is known of a user.
//!
//! | request | answer |
//! |---|---|
//! | `GET /users/{sub}` with `X-API-Key` | the user, or 404 |
//! | `POST /fault` | makes it fail, see [`Fault`] |
//! | `GET /calls` | how often it was asked, in all, by subject and by caller, and the latest `x-request-id` by subject |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::fault::{self, Switch};
use super::server::Server;

struct User {
    sub: &'static str,
    name: &'static str,
    country: &'static str,
    kind: &'static str,
    /// What they ordered before.
    orders: &'static [&'static str],
}

const USERS: [User; 5] = [
    User {
        sub: "alice",
        name: "Alice Romero",
        country: "ES",
        kind: "premium",
        orders: &["moka-pot", "hand-grinder"],
    },
    User {
        sub: "bob",
        name: "Bob Tanaka",
        country: "JP",
        kind: "standard",
        orders: &["matcha-bowl"],
    },
    User { sub: "carol", name: "Carol Reyes", country: "US", kind: "standard", orders: &[] },
    User { sub: "dave", name: "Dave Bakker", country: "NL", kind: "standard", orders: &[] },
    User { sub: "probe", name: "Nobody", country: "NL", kind: "standard", orders: &[] },
];

/// How it fails: as any service may, or with a user that is not right.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    Answer(fault::Fault),
    User(WrongUser),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WrongUser {
    /// Somebody else's record.
    WrongSubject,
    /// The record has no address.
    Incomplete,
    /// The country is not ASCII.
    NonAscii,
    /// The country would end a header line.
    ControlCharacters,
}

impl Default for Fault {
    fn default() -> Self {
        Self::Answer(fault::Fault::None)
    }
}

impl WrongUser {
    fn spoil(self, user: &mut Value) {
        match self {
            Self::WrongSubject => user["sub"] = json!("mallory"),
            Self::Incomplete => user["address"] = json!({}),
            Self::NonAscii => user["address"]["country"] = json!("Österreich 100%"),
            Self::ControlCharacters => user["address"]["country"] = json!("ES\r\nX-Admin: yes"),
        }
    }
}

pub struct Users {
    service: Arc<Service>,
    _server: Server,
}

impl Users {
    pub fn start(listener: TcpListener, api_key: String) -> Self {
        let service =
            Arc::new(Service { api_key, fault: Switch::default(), calls: Mutex::default() });
        let router = Router::new()
            .route("/users/{sub}", get(user))
            .route("/fault", post(set_fault))
            .route("/calls", get(calls))
            .with_state(Arc::clone(&service));
        Self { service, _server: Server::start(listener, router) }
    }

    /// Counts from here on.
    pub fn forget_calls(&self) {
        *self.service.calls.lock().unwrap() = Calls::default();
    }
}

struct Service {
    api_key: String,
    fault: Switch<Fault>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    by_subject: BTreeMap<String, u64>,
    by_caller: BTreeMap<String, u64>,
    /// Of the latest call for each subject.
    request_ids: BTreeMap<String, String>,
}

impl Service {
    /// The services name themselves when they ask; the gateway does not.
    fn count(&self, sub: &str, headers: &HeaderMap) {
        let field = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let caller = field("x-caller");
        let mut calls = self.calls.lock().unwrap();
        *calls.by_subject.entry(sub.to_owned()).or_default() += 1;
        *calls.by_caller.entry(caller.unwrap_or("gateway").to_owned()).or_default() += 1;
        let request_id = field("x-request-id").unwrap_or_default();
        calls.request_ids.insert(sub.to_owned(), request_id.to_owned());
    }
}

async fn user(
    State(service): State<Arc<Service>>,
    Path(sub): Path<String>,
    headers: HeaderMap,
) -> Response {
    service.count(&sub, &headers);
    let fault = service.fault.get();
    if let Fault::Answer(fault) = fault
        && let Some(failure) = fault.answer().await
    {
        return failure;
    }
    if headers.get("x-api-key").map(|key| key.as_bytes()) != Some(service.api_key.as_bytes()) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "wrong API key"}))).into_response();
    }
    let Some(user) = USERS.iter().find(|user| user.sub == sub) else {
        return (StatusCode::NOT_FOUND, Json(json!({"error": "no such user"}))).into_response();
    };
    let mut user = json!({
        "sub": sub,
        "name": user.name,
        "preferred_username": sub,
        "type": user.kind,
        "address": {"country": user.country},
        "order_history": user.orders,
    });
    if let Fault::User(wrong) = fault {
        wrong.spoil(&mut user);
    }
    Json(user).into_response()
}

async fn set_fault(State(service): State<Arc<Service>>, Json(fault): Json<Fault>) -> StatusCode {
    service.fault.set(fault);
    StatusCode::NO_CONTENT
}

async fn calls(State(service): State<Arc<Service>>) -> Json<Value> {
    let calls = service.calls.lock().unwrap();
    let total: u64 = calls.by_subject.values().sum();
    Json(json!({
        "calls": total,
        "by_subject": calls.by_subject,
        "by_caller": calls.by_caller,
        "request_ids": calls.request_ids,
        "is_down": matches!(service.fault.get(), Fault::Answer(fault::Fault::Down)),
    }))
}
