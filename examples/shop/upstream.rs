//! The service behind the gateway that takes every path no other takes.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` by a browser | the shop's page |
//! | `GET /assets/...` | what the pages are made of |
//! | `GET /home` | the home page's content, composed from the services |
//! | `GET /views` | how often that was done, with the filter and without |
//! | `GET /tools` | what an agent gets for a user |
//! | `POST /agent` `{"port"}` with the cookie | sends the [`agent`] to the gateway at that port |
//! | anything else | what it received, and the identity it verified |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::server::Server;
use super::service::{Problem, Reply, Service, Trust, Visit};
use super::{agent, page};

pub struct Upstream {
    _server: Server,
}

impl Upstream {
    pub fn start(listener: TcpListener, trust: Arc<Trust>) -> Self {
        let router = Router::new()
            .route("/", get(front).fallback(echo))
            .route("/assets/shop.css", get(page::style))
            .route("/assets/shop.js", get(page::script))
            .route("/assets/clients.js", get(page::clients))
            .route("/assets/icon.svg", get(page::icon))
            .route("/home", get(home))
            .route("/views", get(counted))
            .route("/tools", get(tools))
            .route("/agent", post(agent::run))
            .fallback(echo)
            .layer(Extension(Arc::new(Views::default())))
            .with_state(Service { name: "home", trust });
        Self { _server: Server::start(listener, router) }
    }
}

async fn front(service: State<Service>, headers: HeaderMap, request: Request) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if request.method() == Method::GET && accept.contains("text/html") {
        return page::home(&service.trust, &headers).into_response();
    }
    echo(service, request).await
}

/// How often the home page was composed.
#[derive(Default)]
struct Views {
    with_gateway: AtomicU64,
    without_gateway: AtomicU64,
}

async fn home(
    State(service): State<Service>,
    Extension(views): Extension<Arc<Views>>,
    mut visit: Visit,
) -> Result<Response, Problem> {
    visit.user()?;
    let ports = service.trust.ports;
    let (catalog, recommendations, promotion, reviews, basket) = tokio::join!(
        visit.ask(ports.catalog, "/catalog"),
        visit.ask(ports.recommendations, "/recommendations"),
        visit.ask(ports.promotions, "/promotions"),
        visit.ask(ports.reviews, "/reviews"),
        visit.ask(ports.basket, "/basket"),
    );
    let viewed =
        if visit.is_without_gateway() { &views.without_gateway } else { &views.with_gateway };
    viewed.fetch_add(1, Ordering::Relaxed);

    // A page with a gap is better than none.
    let mut part = |answer: Result<Reply, Problem>| match answer {
        Ok(reply) => visit.take(reply),
        Err(_) => Value::Null,
    };
    let mut content = json!({
        "catalog": part(catalog),
        "recommendations": part(recommendations),
        "promotion": part(promotion),
        "reviews": part(reviews),
        "basket": part(basket),
    });
    content["user"] = json!({
        "sub": visit.claim("sub"),
        "name": visit.claim("name"),
        "country": visit.claim("country"),
        "customer_type": visit.claim("customer_type"),
    });
    Ok(visit.answer(content))
}

async fn tools(State(service): State<Service>, mut visit: Visit) -> Result<Response, Problem> {
    visit.user()?;
    let picks = visit.ask(service.trust.ports.recommendations, "/recommendations").await?;
    let picks = visit.take(picks);
    let content = json!({
        "user": visit.claim("name"),
        "application": visit.claims()["consumer"]["username"],
        "recommendations": picks,
    });
    Ok(visit.answer(content))
}

async fn counted(
    State(service): State<Service>,
    Extension(views): Extension<Arc<Views>>,
) -> Json<Value> {
    Json(json!({
        "with": views.with_gateway.load(Ordering::Relaxed),
        "without": views.without_gateway.load(Ordering::Relaxed),
        "public_tokens_verified": service.trust.public_tokens_verified.load(Ordering::Relaxed),
    }))
}

async fn echo(State(service): State<Service>, request: Request) -> Response {
    let identity = match request.headers().get("x-identity-token").map(|token| token.to_str()) {
        None => Value::Null,
        Some(Err(_)) => json!({"verified": false, "reason": "not ASCII"}),
        Some(Ok(token)) => match service.trust.identity.verify(token).await {
            Ok(claims) => json!({"verified": true, "claims": claims}),
            Err(reason) => json!({"verified": false, "reason": reason}),
        },
    };
    let json = [(CONTENT_TYPE, "application/json")];
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
