//! Over HTTP/2, and towards an upstream that speaks it: what becomes of methods,
//! upgrades and trailers there.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{self, Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request as Head, Response, Uri};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::frames::upstream::Arrived;
use crate::gateway::{Gateway, Setup};
use crate::login_service::LoginService;
use crate::wire::{Answer, Request};

/// What an upstream received.
#[derive(Clone, Debug)]
pub struct Seen {
    method: String,
    uri: Uri,
    protocol: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
    is_whole: bool,
}

impl Seen {
    /// As HTTP/1 has it.
    pub fn into_arrived(self) -> Arrived {
        let fields = |map: &HeaderMap| -> Vec<_> {
            map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
        };
        let mut arrived = Arrived {
            method: self.method,
            target: self.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            fields: fields(&self.headers),
            body: self.body,
            trailers: fields(&self.trailers),
            is_whole: self.is_whole,
            wrong: None,
        };
        let mut add =
            |name: &str, value: &str| arrived.fields.push((name.to_owned(), value.into()));
        if let Some(authority) = self.uri.authority() {
            add("host", authority.as_str());
        }
        if let Some(protocol) = self.protocol {
            add("connection", "upgrade");
            add("upgrade", &protocol);
            arrived.method = "GET".to_owned();
        }
        arrived
    }
}

/// An upstream that speaks HTTP/2 without TLS and takes extended CONNECTs.
pub struct Upstream {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let known = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                let answer = service_fn(move |request| take(Arc::clone(&known), request));
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                server.enable_connect_protocol();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { port, seen }
    }

    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn take(
    known: Arc<Mutex<Vec<Seen>>>,
    request: Head<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, mut body) = request.into_parts();
    let protocol = head.extensions.get::<hyper::ext::Protocol>();
    let mut seen = Seen {
        method: head.method.to_string(),
        protocol: protocol.map(|protocol| protocol.as_str().to_owned()),
        uri: head.uri,
        headers: head.headers,
        body: Vec::new(),
        trailers: HeaderMap::new(),
        is_whole: false,
    };
    if seen.method != "CONNECT" {
        loop {
            let frame = std::future::poll_fn(|context| {
                hyper::body::Body::poll_frame(Pin::new(&mut body), context)
            });
            match frame.await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => seen.body.extend(data),
                    Err(frame) => seen.trailers = frame.into_trailers().unwrap_or_default(),
                },
                end => {
                    seen.is_whole = end.is_none();
                    break;
                }
            }
        }
    }
    known.lock().unwrap().push(seen);
    Ok(Response::new(Body::empty()))
}

/// A body and the trailers behind it.
struct Trailed(Option<Bytes>, Option<HeaderMap>);

impl hyper::body::Body for Trailed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.0.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.1.take().map(Frame::trailers)).map(Ok))
    }
}

/// Sends a request over HTTP/2, with a body and trailers if there are any.
async fn send(
    gateway: &Gateway,
    method: &str,
    fields: &[(&str, &str)],
    body: &'static str,
    trailers: &[(&'static str, &str)],
) -> Answer {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.ports.listener)).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut head = Head::builder().method(method).uri("http://shop.example/login");
    for (name, value) in fields {
        head = head.header(*name, *value);
    }
    let trailers: HeaderMap = trailers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
    let body = Some(Bytes::from_static(body.as_bytes())).filter(|body| !body.is_empty());
    let response = sender.send_request(head.body(Trailed(body, trailers)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    Answer { status: head.status.as_u16(), headers: headers.collect(), body: body.to_vec() }
}

const ROUTE: &str = "- {match: {path: /login}, route: {cluster: h2, timeout: 5s}}";

pub const FIRST_CLUSTER: &str = "  clusters:\n";

/// A cluster before all others, with these options of its protocol.
pub fn cluster(name: &str, port: u16, protocol: &str) -> String {
    format!(
        "{FIRST_CLUSTER}  - name: {name}\n    type: STATIC\n    connect_timeout: 1s\n    \
         typed_extension_protocol_options:\n      \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        \
         explicit_http_config: {{{protocol}}}\n    \
         load_assignment:\n      cluster_name: {name}\n      endpoints:\n      - lb_endpoints:\n        \
         - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n",
    )
}

impl Upstream {
    /// This one.
    pub fn cluster(&self) -> String {
        cluster("h2", self.port, "http2_protocol_options: {allow_connect: true}")
    }
}

async fn start(upstream: &Upstream) -> Gateway {
    let gateway = Setup::bundled()
        .workers(1)
        .replace(FIRST_CLUSTER, &upstream.cluster())
        .replace_block("- match: {path: /login}", ROUTE)
        // Whatever Envoy lets pass, the filter has to see.
        .replace(
            "headers_with_underscores_action: REJECT_REQUEST",
            "headers_with_underscores_action: ALLOW",
        )
        .replace(
            "- {match: {path: /login, methods: [GET, POST]}, bypass: true}",
            "- {match: {path: /login}, bypass: true}",
        )
        .replace(
            "          http_filters:\n",
            "          upgrade_configs: [{upgrade_type: websocket}]\n          http_filters:\n",
        )
        .start_beside_others()
        .await;
    gateway.ready().await;
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_what_it_says_or_it_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    for method in ["OPTIONS", "PUT", "POST"] {
        let request = Request::new(format!("{method} /login HTTP/1.1"))
            .with("connection", "Upgrade")
            .with("upgrade", "websocket")
            .with("origin", "https://shop.example")
            .with("access-control-request-method", "GET");
        assert_eq!(gateway.send(request).await.outcome(), "400 method_ambiguous", "{method}");
    }
    let answer = send(&gateway, "get", &[], "", &[]).await;
    assert_eq!(answer.outcome(), "400 method_ambiguous");
    assert!(upstream.take_seen().is_empty(), "none of them arrived");
    let handshake = Request::get("/login")
        .with("connection", "Upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(gateway.send(handshake).await.status, 101);
    let seen = upstream.take_seen();
    assert_eq!(seen[0].method, "CONNECT", "as Envoy makes of each upgrade");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_owned_header_arrives_as_a_trailer() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream).await;
    let trailers = [
        ("x-consumer-groups", "admins"),
        ("x.consumer.id", "root"),
        ("x_identity_token", "forged"),
        ("authorization", "Bearer forged"),
        ("cookie", "a=b"),
        ("x-checksum", "stays"),
    ];
    let fields = [("x.consumer.groups", "admins"), ("x~identity~token", "forged")];
    let answer = send(&gateway, "POST", &fields, "body", &trailers).await;
    assert_eq!(answer.status, 200, "{answer}");
    let seen = upstream.take_seen().pop().expect("it arrived");
    let names: Vec<_> = seen.trailers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-checksum"]);
    let is_forged = |value: &HeaderValue| value == "admins" || value == "forged";
    assert!(!seen.headers.values().any(is_forged), "{:?}", seen.headers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_with_trailers_is_held_back() {
    const CREDENTIALS: &str = r#"{"username": "alice", "password": "wonderland"}"#;
    let service = LoginService::start().await;
    let gateway = crate::sealed_tokens::start(&service).await;
    let token = gateway.token("alice");
    service.issue(&token);
    let upstream = gateway.stat("cluster.upstream.upstream_rq_total").await;
    let length = CREDENTIALS.len().to_string();
    let fields = [("content-type", "application/json"), ("content-length", length.as_str())];
    let answer = send(&gateway, "POST", &fields, CREDENTIALS, &[("x-checksum", "1")]).await;
    assert_eq!(answer.status, 200, "{answer}");
    let given = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert!(given.starts_with("gps_"), "{given}");
    assert_eq!(gateway.stat("cluster.upstream.upstream_rq_total").await, upstream);
}
