//! HTTP/2, gRPC, WebSockets, and TLS towards services.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request as Head, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::nginx::{Nginx, Setup};

pub async fn send(nginx: &Nginx, request: Head<Body>) -> Response<Bytes> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", nginx.ports.admin)).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(head, to_bytes(Body::new(body), 1 << 20).await.unwrap())
}

pub fn request(path: &str) -> axum::http::request::Builder {
    Head::builder().uri(format!("http://shop.example{path}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    let bearer = format!("Bearer {}", nginx.token("alice"));
    let good = request("/orders?a=1").header("authorization", &bearer).header("x-consumer-id", "0");
    let answer = send(&nginx, good.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 200);
    let seen: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(seen["path"], "/orders?a=1");
    assert_eq!(seen["identity"]["claims"]["sub"], "alice");
    let answer = send(&nginx, request("/orders").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="shop""#);
    // Its host decides about rules for hosts, whatever `host` says.
    let post = request("/orders").method("POST").header("authorization", &bearer);
    let answer = send(&nginx, post.body(Body::from("a body")).unwrap()).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_gets_a_grpc_status() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    for (token, status) in [(None, "16"), (Some("a.b.c"), "16")] {
        let call = request("/shop.Orders/List").method("POST").header("te", "trailers");
        let call = call.header("content-type", "application/grpc");
        let call = match token {
            Some(token) => call.header("authorization", format!("Bearer {token}")),
            None => call,
        };
        let answer = send(&nginx, call.body(Body::from("\0\0\0\0\0")).unwrap()).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert_eq!(answer.headers()["grpc-status"], status);
        assert!(answer.headers().contains_key("grpc-message"), "{answer:?}");
        assert!(answer.body().is_empty());
    }
    nginx.users_fault(serde_json::json!({"kind": "down"})).await;
    let call = request("/shop.Orders/List")
        .method("POST")
        .header("content-type", "application/grpc+proto")
        .header("authorization", format!("Bearer {}", nginx.token("alice")));
    let answer = send(&nginx, call.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["grpc-status"]),
        (200, &"14".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_opens_with_a_token_only() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    let open = |token: Option<&str>| {
        let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        let head = format!(
            "GET /socket HTTP/1.1\r\nhost: shop.example\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
            bearer.unwrap_or_default()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", nginx.ports.listener)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut buffer = [0; 12];
        stream.read_exact(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer).into_owned()
    };
    assert_eq!(open(None), "HTTP/1.1 401");
    assert_eq!(open(Some(&nginx.token("alice"))), "HTTP/1.1 200", "the shop has no sockets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_over_tls_is_verified_by_its_name() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls");
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str| directory.join(name).display().to_string();
    let mut authority = rcgen::CertificateParams::new([]).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "the shop's authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = authority.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(authority, ca_key);
    let leaf = rcgen::CertificateParams::new(["users.internal".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    std::fs::write(file("ca.pem"), ca.pem()).unwrap();
    std::fs::write(file("leaf.pem"), leaf.pem()).unwrap();
    std::fs::write(file("leaf.key"), key.serialize_pem()).unwrap();
    let (port, trusted) = (crate::stack::ports::Ports::unused().listener, file("ca.pem"));
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
           location / {{ proxy_pass http://127.0.0.1:$USERS; }} }}",
        file("leaf.pem"),
        file("leaf.key"),
    );
    for (case, http, authority, outcome) in [
        ("trusted", format!("lua_ssl_trusted_certificate {trusted};"), "users.internal", "200"),
        (
            "another name",
            format!("lua_ssl_trusted_certificate {trusted};"),
            "other.internal",
            "503 user_info_unavailable",
        ),
        ("not trusted", String::new(), "users.internal", "503 user_info_unavailable"),
    ] {
        let users = serde_json::json!({"upstream": format!("127.0.0.1:{port}"), "scheme": "https",
                                       "authority": authority, "timeout_ms": 1000});
        let nginx = Setup::bundled()
            .http(&http)
            .http(&server)
            .set("/services/users", users)
            .user_service(port);
        let mut nginx = nginx.start().await;
        nginx.expect_errors();
        nginx.ready().await;
        let answer = nginx.get("/orders", &nginx.token("alice")).await;
        assert_eq!(answer.outcome(), outcome, "{case}");
    }
}
