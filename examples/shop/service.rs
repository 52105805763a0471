//! What the shop's services have in common: they learn from a token whom they
//! serve, answer, and say in the answer what they were told.
//!
//! Behind the gateway that is the identity token: one signature to verify with
//! the gateway's keys, nobody to ask. Without the gateway it is the public
//! token, and each service verifies it with the auth service's keys and asks the
//! user service who that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::auth::cookie;
use super::client::Client;
use super::door::Door;
use super::ports::Ports;
use super::verifier::Verifier;

const IDENTITY_HEADER: &str = "x-identity-token";

/// Whom the services trust, and where they find each other.
pub struct Trust {
    pub ports: Ports,
    /// By which doors there is a gateway, and at which ports.
    pub doors: Vec<(Door, u16)>,
    pub identity: Verifier,
    public: Verifier,
    users_api_key: String,
    pub client: Client,
    /// Public tokens that a service had to verify for itself.
    pub public_tokens_verified: AtomicU64,
}

impl Trust {
    pub fn new(ports: Ports, users_api_key: String) -> Self {
        Self {
            ports,
            doors: vec![(Door::chosen(), ports.listener)],
            identity: Verifier::of_identity_tokens(ports.listener),
            public: Verifier::of_public_tokens(ports),
            users_api_key,
            client: Client::new(),
            public_tokens_verified: AtomicU64::new(0),
        }
    }

    /// The claims of an identity token, as the gateway would make them: now
    /// every service has to know how.
    async fn ask_who(&self, service: &str, public: Value) -> Result<Value, Problem> {
        let sub = public["sub"].as_str().unwrap_or_default();
        let url = format!("http://127.0.0.1:{}/users/{sub}", self.ports.users);
        let headers = [("x-api-key", self.users_api_key.as_str()), ("x-caller", service)];
        let unavailable = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no user service");
        let reply = self.client.get(&url, &headers).await.map_err(unavailable)?;
        if reply.status == StatusCode::NOT_FOUND {
            return Err(Problem::new(StatusCode::FORBIDDEN, "no such user"));
        }
        let user: Value = match reply.json() {
            Ok(user) if reply.status.is_success() => user,
            _ => return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no user service")),
        };
        let mut claims = public;
        claims["country"] = user["address"]["country"].clone();
        claims["customer_type"] = user["type"].clone();
        claims["name"] = user["name"].clone();
        claims["order_history"] = user["order_history"].clone();
        Ok(claims)
    }
}

/// One of the services.
#[derive(Clone)]
pub struct Service {
    pub name: &'static str,
    pub trust: Arc<Trust>,
}

/// What a request came with.
enum Token {
    Identity(String),
    Public(String),
    None,
}

impl Token {
    /// The gateway removes every identity token but its own, and the public one.
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(token) = text(IDENTITY_HEADER) {
            return Self::Identity(token.to_owned());
        }
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match bearer.or_else(|| cookie::token(headers)) {
            Some(token) => Self::Public(token.to_owned()),
            None => Self::None,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Identity(_) => "identity",
            Self::Public(_) => "public",
            Self::None => "none",
        }
    }
}

/// A request, and whom it is from.
pub struct Visit {
    service: Service,
    token: Token,
    request_id: String,
    claims: Value,
    /// What this service and those it asked received.
    trace: Vec<Value>,
}

impl FromRequestParts<Service> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let started = Instant::now();
        let trust = &service.trust;
        let token = Token::of(&parts.headers);
        let unauthorized = |reason: String| Problem::new(StatusCode::UNAUTHORIZED, &reason);
        let (claims, user_calls) = match &token {
            Token::Identity(token) => {
                (trust.identity.verify(token).await.map_err(unauthorized)?, 0)
            }
            Token::Public(token) => {
                trust.public_tokens_verified.fetch_add(1, Ordering::Relaxed);
                let public = trust.public.verify(token).await.map_err(unauthorized)?;
                (trust.ask_who(service.name, public).await?, 1)
            }
            Token::None => (json!({}), 0),
        };
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let hop = json!({
            "service": service.name,
            "request": format!("{} {}", parts.method, parts.uri),
            "token": token.kind(),
            "headers": received(&parts.headers),
            "claims": claims,
            "user_service_calls": user_calls,
            "micros": micros,
        });
        let request_id = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let request_id = request_id.unwrap_or_default().to_owned();
        Ok(Self { service: service.clone(), token, request_id, claims, trace: vec![hop] })
    }
}

impl Visit {
    /// A service that is for users alone serves nobody else.
    pub fn user(&self) -> Result<&str, Problem> {
        self.claims["sub"]
            .as_str()
            .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "for users alone"))
    }

    /// A claim that is text; empty without it.
    pub fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }

    /// A claim that is a list of texts.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.claims[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// Asks another service on behalf of the same user: the token is passed on.
    pub async fn ask(&self, port: u16, path: &str) -> Result<Reply, Problem> {
        let trust = &self.service.trust;
        let (name, value) = match &self.token {
            Token::Identity(token) => (IDENTITY_HEADER, token.clone()),
            Token::Public(token) => ("authorization", format!("Bearer {token}")),
            Token::None => ("x-anonymous-consumer", "true".to_owned()),
        };
        let headers = [
            (name, value.as_str()),
            ("x-request-id", &self.request_id),
            ("x-forwarded-by", self.service.name),
        ];
        let url = format!("http://127.0.0.1:{port}{path}");
        let failed = |_| Problem::new(StatusCode::BAD_GATEWAY, &format!("no answer from {path}"));
        let reply = trust.client.send(Method::GET, &url, &headers, None).await.map_err(failed)?;
        let answer: Value =
            reply.json().map_err(|_| Problem::new(StatusCode::BAD_GATEWAY, "no JSON"))?;
        if !reply.status.is_success() {
            return Err(Problem::new(reply.status, answer["error"].as_str().unwrap_or_default()));
        }
        let trace = answer["trace"].as_array().cloned().unwrap_or_default();
        Ok(Reply { content: answer["content"].clone(), trace })
    }

    /// Takes what another service answered.
    pub fn take(&mut self, reply: Reply) -> Value {
        self.trace.extend(reply.trace);
        reply.content
    }

    pub fn is_without_gateway(&self) -> bool {
        matches!(self.token, Token::Public(_))
    }

    pub fn answer(self, content: Value) -> Response {
        let body = json!({"content": content, "trace": self.trace});
        ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

/// What another service answered, and what those behind it received.
pub struct Reply {
    content: Value,
    trace: Vec<Value>,
}

impl Reply {
    pub const fn content(&self) -> &Value {
        &self.content
    }
}

/// Why a service has no answer.
#[derive(Debug)]
pub struct Problem(StatusCode, String);

impl Problem {
    pub fn new(status: StatusCode, reason: &str) -> Self {
        Self(status, reason.to_owned())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let headers = [(header::CACHE_CONTROL, "no-store")];
        (self.0, headers, Json(json!({"error": self.1}))).into_response()
    }
}

/// The fields as they came, but for the tokens: scripts may read this, and not
/// the cookie.
fn received(headers: &HeaderMap) -> Vec<[String; 2]> {
    let field = |name: &str, value: &[u8]| {
        let value = match name {
            IDENTITY_HEADER => format!("<identity token, {} bytes>", value.len()),
            "authorization" => "Bearer <access token>".to_owned(),
            "cookie" => "<cookies>".to_owned(),
            _ => String::from_utf8_lossy(value).into_owned(),
        };
        [name.to_owned(), value]
    };
    headers.iter().map(|(name, value)| field(name.as_str(), value.as_bytes())).collect()
}
