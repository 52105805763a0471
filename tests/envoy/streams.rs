//! Streams that end with their tokens, which only the native module can do.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::Request as Head;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::gateway::{Gateway, Setup, until};
use crate::stack::auth::Auth;
use crate::stack::door::Door;
use crate::wire::Request;

/// A service whose answers do not end: a WebSocket that says what it is told, a response
/// that goes on, and one that does not come.
async fn start_service() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let head = read_head(&mut stream).await;
    if head.contains("/basket/silence") {
        sleep(Duration::from_secs(60)).await;
    }
    if head.contains("/basket/events") {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        loop {
            stream.write_all(b"5\r\nevent\r\n").await?;
            sleep(Duration::from_millis(50)).await;
        }
    }
    let upgrade =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    stream.write_all(format!("{upgrade}\r\n").as_bytes()).await?;
    let mut buffer = [0; 64];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// The head of a message, until the connection ends.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

async fn start(end_streams: bool, workers: u32) -> Gateway {
    let port = start_service().await;
    let route =
        "- {match: {path_separated_prefix: /basket}, route: {cluster: basket, timeout: 15s}}";
    let mut setup = Setup::bundled()
        .workers(workers)
        .service("live", port)
        .replace(
            "stat_prefix: public",
            "stat_prefix: public\n          upgrade_configs: [{upgrade_type: websocket}]",
        )
        .replace_block(
            route,
            "- {match: {path_separated_prefix: /basket}, route: {cluster: live, timeout: 0s}}",
        )
        .replace("value: {default_value: 400", "value: {default_value: 100")
        .provider_field("clock_skew_seconds: 0");
    if end_streams {
        let rules = "                    rules:\n";
        setup = setup
            .replace(rules, &format!("                    limits: {{end_streams: true}}\n{rules}"));
    }
    let gateway = setup.start().await;
    gateway.ready().await;
    gateway
}

/// A stream of a client.
struct Client(TcpStream);

impl Client {
    async fn open(gateway: &Gateway, path: &str, token: &str) -> Self {
        let mut request = Request::get(path).bearer(token);
        if path == "/basket/socket" {
            request = request.with("connection", "Upgrade").with("upgrade", "websocket");
        } else {
            request = request.with("connection", "close");
        }
        let bytes = request.into_bytes();
        gateway.remember_tokens(&bytes);
        let address = (Ipv4Addr::LOCALHOST, gateway.ports.listener);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        Self(stream)
    }

    /// One whose response has begun.
    async fn begin(gateway: &Gateway, path: &str, token: &str) -> Self {
        let mut client = Self::open(gateway, path, token).await;
        let head = read_head(&mut client.0).await;
        let expected = if path == "/basket/socket" { "HTTP/1.1 101 " } else { "HTTP/1.1 200 " };
        assert!(head.starts_with(expected), "{path}: {head}");
        client
    }

    /// Whether the other end still says what it is told.
    async fn is_alive(&mut self) -> bool {
        let told = self.0.write_all(b"hello").await;
        let mut answer = [0; 5];
        told.is_ok() && self.0.read_exact(&mut answer).await.is_ok() && &answer == b"hello"
    }

    /// What comes until the gateway hangs up.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let read = timeout(Duration::from_secs(20), self.0.read_to_end(&mut rest));
        // With a reset or without.
        let _ = read.await.expect("it ends");
        String::from_utf8(rest).unwrap()
    }
}

fn token(gateway: &Gateway, username: &str, lives: i64) -> String {
    let mut claims = Auth::claims(username).unwrap();
    claims["exp"] = json!(claims["iat"].as_i64().unwrap() + lives);
    gateway.services.auth.sign(&claims)
}

async fn logged(gateway: &Gateway, line: &str) {
    until("it is logged", || async { gateway.log().contains(line) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_token() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let gateway = start(true, 2).await;
    let start = Instant::now();
    let token = token(&gateway, "alice", 3);
    let mut socket = Client::begin(&gateway, "/basket/socket", &token).await;
    let mut events = Client::begin(&gateway, "/basket/events", &token).await;
    let mut silence = Client::open(&gateway, "/basket/silence", &token).await;
    let mut other = Client::begin(&gateway, "/basket/socket", &gateway.token("alice")).await;
    assert!(socket.is_alive().await);
    let (socket, events, silence) = tokio::join!(socket.rest(), events.rest(), silence.rest());
    let lived = start.elapsed();
    assert!(lived > Duration::from_millis(1900) && lived < Duration::from_secs(5), "{lived:?}");
    assert_eq!(socket, "");
    assert!(events.contains("event") && !events.ends_with("0\r\n\r\n"), "cut off: {events}");
    // Nothing had come of this one, so there is room for an answer.
    assert!(silence.starts_with("HTTP/1.1 401 ") && silence.contains("token_expired"), "{silence}");
    assert!(other.is_alive().await, "its token has not ended");
    for line in [
        " GET /basket/socket 101 token_expired token_expired ",
        " GET /basket/events 200 token_expired token_expired ",
        " GET /basket/silence 401 token_expired token_expired ",
    ] {
        logged(&gateway, line).await;
    }
    logged(&gateway, r#""event":"stream_ended""#).await;
    until("it is counted", || async {
        gateway.stat("dynamicmodulescustom.gatepass_streams_ended_total.code.token_expired").await
            == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_token_is_revoked_on_any_worker() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let gateway = start(true, 4).await;
    let [token, other] = ["alice", "bob"].map(|username| gateway.token(username));
    let mut sockets = Vec::new();
    // Enough for every worker to have some.
    for _ in 0..16 {
        sockets.push(Client::begin(&gateway, "/basket/socket", &token).await);
        sockets.push(Client::begin(&gateway, "/basket/events", &token).await);
    }
    let mut kept = Client::begin(&gateway, "/basket/socket", &other).await;
    let mut claims = Auth::claims("bob").unwrap();
    claims["scope"] = json!("revoke");
    let body = json!({"entries": [{"sub": "alice"}]}).to_string();
    let revoke = Request::post("/.well-known/gatepass/revocations", &body);
    let start = Instant::now();
    assert_eq!(gateway.send(revoke.bearer(&gateway.services.auth.sign(&claims))).await.status, 204);
    for socket in &mut sockets {
        socket.rest().await;
    }
    let took = start.elapsed();
    println!("32 streams on 4 workers ended within {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(kept.is_alive().await, "another user's");
    logged(&gateway, " GET /basket/socket 101 token_revoked token_revoked ").await;
}

/// The next piece of a response; `None` where the stream was reset.
async fn next_piece(body: &mut Incoming) -> Option<Bytes> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
    let frame = timeout(Duration::from_secs(20), frame).await.expect("something happens");
    frame.expect("it does not end as if it were whole").ok()?.into_data().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_http2_ends_and_leaves_its_connection_to_the_others() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let gateway = start(true, 1).await;
    let address = (Ipv4Addr::LOCALHOST, gateway.ports.listener);
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut bodies = Vec::new();
    for token in [token(&gateway, "alice", 2), gateway.token("alice")] {
        gateway.remember_tokens(token.as_bytes());
        let head = Head::builder()
            .uri("http://shop.example/basket/events")
            .header("authorization", format!("Bearer {token}"));
        let response = sender.send_request(head.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        bodies.push(response.into_body());
    }
    let mut pieces = 0;
    while next_piece(&mut bodies[0]).await.is_some() {
        pieces += 1;
    }
    assert!(pieces > 5, "{pieces}");
    for _ in 0..10 {
        assert!(next_piece(&mut bodies[1]).await.is_some(), "its token has not ended");
    }
    logged(&gateway, " GET /basket/events 200 token_expired token_expired ").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_unless_it_is_to_end() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let gateway = start(false, 1).await;
    let token = token(&gateway, "alice", 2);
    let mut socket = Client::begin(&gateway, "/basket/socket", &token).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(gateway.get("/basket", &token).await.outcome(), "401 token_expired");
    assert!(socket.is_alive().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_door_refuses_what_it_cannot_do() {
    if Door::chosen() == Door::Native {
        return;
    }
    let rules = "                    rules:\n";
    let limits = format!("                    limits: {{end_streams: true}}\n{rules}");
    let log = Setup::bundled().replace(rules, &limits).refused_beside_others().await;
    assert!(log.contains("$.limits.end_streams: found true, accepted: false"), "{log}");
}
