//! A service at which users log in: by JSON, or by a redirect and a cookie.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;

use crate::stack::server::Server;

/// The service, at a port of its own.
pub struct LoginService {
    pub port: u16,
    state: Arc<Mutex<Known>>,
    _server: Server,
}

#[derive(Default)]
struct Known {
    token: String,
    seen: Vec<Seen>,
}

/// A request as it came in.
#[derive(Clone)]
pub struct Seen {
    pub line: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Shared = State<Arc<Mutex<Known>>>;

impl LoginService {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<Known>>::default();
        let router = Router::new()
            .route("/login", post(by_json))
            .route("/login/callback", get(by_cookie))
            .route("/login/leak", get(leak))
            .route("/login/page", get(page))
            .with_state(Arc::clone(&state));
        Self { port, state, _server: Server::start(listener, router) }
    }

    /// Who logs in from now on gets this token.
    pub fn issue(&self, token: &str) {
        token.clone_into(&mut self.state.lock().unwrap().token);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }
}

fn note(state: &Shared, method: &Method, uri: &Uri, headers: HeaderMap, body: String) -> String {
    let mut known = state.lock().unwrap();
    known.seen.push(Seen { line: format!("{method} {uri}"), headers, body });
    known.token.clone()
}

async fn by_json(
    state: Shared,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let is_right = body.contains("wonderland");
    let token = note(&state, &method, &uri, headers, body);
    let reply = match is_right {
        true => (StatusCode::OK, json!({"access_token": token, "expires_in": 3600}).to_string()),
        false => (StatusCode::UNAUTHORIZED, json!({"error": "invalid_grant"}).to_string()),
    };
    ([("content-type", "application/json"), ("x-login", "1")], reply.1)
        .into_response()
        .with(reply.0)
}

async fn by_cookie(state: Shared, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let token = note(&state, &method, &uri, headers, String::new());
    let cookie = format!("shop_token={token}; Path=/; HttpOnly; SameSite=Lax");
    let mut response = ([("location", "/home")], "").into_response().with(StatusCode::FOUND);
    response.headers_mut().append("set-cookie", cookie.parse().unwrap());
    response.headers_mut().append("set-cookie", "theme=dark; Path=/".parse().unwrap());
    response
}

async fn leak(state: Shared, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let token = note(&state, &method, &uri, headers, String::new());
    ([("content-type", "text/html")], format!("<script>t = '{token}'</script>")).into_response()
}

async fn page() -> Response {
    ([("content-type", "text/html")], "<form>caf\u{e9}</form>").into_response()
}

trait With {
    fn with(self, status: StatusCode) -> Self;
}

impl With for Response {
    fn with(mut self, status: StatusCode) -> Self {
        *self.status_mut() = status;
        self
    }
}
