//! `examples/providers` on a real Envoy, against services that answer as those providers
//! document: 406 to those that do not take key sets, 403 to those without a name, members
//! that are null, bodies in chunks.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::documented::{self, Asked, Case, Key, Provider};
use crate::gateway::{Gateway, Setup, until};
use crate::stack::server::Server;
use crate::wire::{Answer, Request};

/// A provider that answers, at a port of its own.
struct Service {
    port: u16,
    shared: Arc<Shared>,
    _server: Server,
}

struct Shared {
    provider: Provider,
    key: Key,
    /// What it answered: path and status.
    answers: Mutex<Vec<(String, u16)>>,
}

impl Service {
    async fn start(provider: Provider) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = Key::generate(provider.algorithm);
        let shared = Arc::new(Shared { provider, key, answers: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        Self { port, shared, _server: Server::start(listener, router) }
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let text = |value: &'_ axum::http::HeaderValue| value.to_str().unwrap().to_owned();
    let fields: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (method, path) = (method.as_str(), uri.path());
    let asked = Asked { method, path, body: &body, fields: &fields };
    let (status, body) = shared.provider.answer(&asked, &shared.key);
    shared.answers.lock().unwrap().push((path.to_owned(), status));
    let kind = if status == 403 { "text/html" } else { "application/json; charset=utf-8" };
    let chunks = body.as_bytes().chunks(100).map(Bytes::copy_from_slice).collect();
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, kind)], Body::new(Chunks(chunks))).into_response()
}

/// A body of no known length, which HTTP/1 sends in chunks.
struct Chunks(VecDeque<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// The bundled Envoy with an example's configuration, and a cluster for each upstream that
/// it names.
pub fn setup(configuration: &Value, port: u16) -> Setup {
    let message = "type.googleapis.com/google.protobuf.Struct";
    let block = format!("configuration:\n  \"@type\": {message}\n  value: {configuration}");
    let services = configuration["services"].as_object().unwrap().values();
    let clusters = services.map(|service| {
        let name = service["upstream"].as_str().unwrap();
        let address = format!("{{address: 127.0.0.1, port_value: {port}}}");
        let endpoint =
            format!("{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {address}}}}}}}]}}");
        format!(
            "\n  - {{name: {name}, type: STATIC, connect_timeout: 1s, load_assignment: \
             {{cluster_name: {name}, endpoints: [{endpoint}]}}}}"
        )
    });
    let clusters: String = clusters.collect();
    Setup::bundled()
        .workers(1)
        .replace_block("configuration:", &block)
        .replace("  clusters:", &format!("  clusters:{clusters}"))
}

/// What is in the identity of a request that came through.
fn check_identity(provider: &Provider, configuration: &Value, claims: &Value, answer: &Answer) {
    let file = provider.file;
    let seen = answer.seen();
    let identity = seen.identity();
    let is_light = file == "keycloak-lightweight";
    let subject = if is_light { json!("f:5b1c:alice") } else { claims["sub"].clone() };
    assert_eq!(identity["sub"], subject, "{file}");
    assert!(seen.values(provider.header.0).is_empty(), "{file}: the token goes on");
    let client = ["azp", "client_id", "cid", "appid"].iter().find_map(|it| claims[it].as_str());
    assert_eq!(identity["client_id"].as_str(), client, "{file}");
    let copied = &configuration["identity_token"]["claims"]["copy"];
    for name in copied.as_array().into_iter().flatten().map(|name| name.as_str().unwrap()) {
        let pointer = if name.starts_with('/') { name } else { &format!("/{name}") };
        let original = match claims.pointer(pointer) {
            _ if is_light => Some(&json!({"roles": ["web", "admin"]})),
            None => claims.pointer(&pointer.replace('.', "/")),
            found => found,
        };
        let original = original.filter(|it| !it.is_null());
        let plain = name.trim_start_matches('/').replace('/', ".");
        let found = [name, &plain].into_iter().find_map(|name| identity.get(name));
        assert_eq!(found, original, "{file}: {name} of {identity}");
    }
}

async fn send(gateway: &Gateway, service: &Service, case: &Case, claims: &Value) -> Answer {
    let mut request = Request::get(case.1);
    if let Some((name, value)) = service.shared.provider.field(case, claims, &service.shared.key) {
        request = request.with(name, value);
    }
    gateway.send(request).await
}

/// The cases of a provider; those that went another way.
async fn run(provider: Provider) -> Vec<String> {
    let configuration = provider.configuration();
    let service = Service::start(provider).await;
    let provider = &service.shared.provider;
    let gateway = setup(&configuration, service.port)
        .secret(documented::KUBERNETES_AUTHORIZATION)
        .secret(documented::INTROSPECTION_SECRET)
        .start_beside_others()
        .await;
    let file = provider.file;
    let first = &provider.cases[0];
    let claims = provider.claims(&first.2, documented::now());
    until(&format!("the keys of {file} are there"), || async {
        let outcome = send(&gateway, &service, first, &claims).await.outcome();
        outcome != "503 keys_unavailable"
    })
    .await;
    let mut wrong = Vec::new();
    for case in &provider.cases {
        let (about, _, changes, expected) = case;
        let claims = provider.claims(changes, documented::now());
        let answer = send(&gateway, &service, case, &claims).await;
        let outcome = answer.outcome();
        let code = outcome.split(' ').next_back().unwrap_or_default();
        if code != *expected {
            wrong.push(format!("{file}: {about}: {outcome}, not {expected}"));
        } else if code == "200" && *about != "no token" {
            check_identity(provider, &configuration, &claims, &answer);
        }
    }
    for (path, status) in service.shared.answers.lock().unwrap().iter() {
        if *status != 200 {
            wrong.push(format!("{file} answered {status} to {path}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_provider_example_works_with_services_that_answer_as_documented() {
    let mut wrong = Vec::new();
    let providers = documented::all(documented::now());
    println!("{} cases", providers.iter().map(|it| it.cases.len()).sum::<usize>());
    for provider in providers {
        wrong.extend(run(provider).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
