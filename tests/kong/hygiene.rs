//! What a client forges never reaches the upstream: nginx really removes headers, so no
//! request is refused for what can be removed.

use serde_json::json;
use tokio::task::spawn_blocking;

use crate::nginx::Setup;
use crate::wire::{Connection, Request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_headers_are_replaced_however_often_they_come() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    let token = nginx.token("alice");
    let forge = |request: Request| {
        request
            .with("X-Consumer-Username", "root")
            .with("x-consumer-username", "admin")
            .with("X_Consumer_Username", "root")
            .with("x-consumer_id", "0")
            .with("X-CONSUMER-GROUPS", "staff")
            .with("X-Authenticated-Groups", "wheel")
            .with("x_authenticated-groups", "wheel")
            .with("X-Anonymous-Consumer", "true")
            .with("X-Identity-Token", "a.b.c")
            .with("X-Identity-Token", "d.e.f")
            .with("X-User-Country", "XX")
            .with("Connection", "X-Consumer-Username")
            .with("Connection", "keep-alive, x-identity-token")
            .with("x-mine", "1")
            .with("x-mine", "2")
    };
    for (case, request, username) in [
        ("with a token", Request::get("/orders").bearer(&token), &["web-app"][..]),
        ("anonymous", Request::get("/catalog"), &["guest"]),
        ("bypassed", Request::get("/health"), &[]),
    ] {
        let answer = nginx.send(forge(request)).await;
        let seen = answer.seen();
        assert_eq!(seen.values("x-consumer-username"), username, "{case}");
        assert_eq!(seen.values("x-mine"), ["1", "2"], "{case}: others stay");
        for value in ["root", "admin", "staff", "wheel", "a.b.c", "d.e.f", "XX", "0"] {
            let found = seen.names().iter().any(|name| seen.values(name).contains(&value));
            assert!(!found, "{case}: {value} in {answer}");
        }
        for name in seen.names() {
            assert!(!name.contains('_'), "{case}: {name}");
        }
        let tokens = seen.values("x-identity-token").len();
        assert_eq!(tokens, usize::from(case == "with a token"), "{case}");
        assert_eq!(seen.values("authorization"), [""; 0], "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_taken_out_of_the_query_and_the_cookies() {
    let token = json!({"from_params": ["jwt"], "from_cookies": ["shop_token"]});
    let nginx = Setup::bundled().set("/token", token).start().await;
    nginx.ready().await;
    let token = nginx.token("alice");
    for (target, expected) in [
        (format!("/orders?a=1&jwt={token}&b=%2F"), "/orders?a=1&b=%2F"),
        (format!("/orders?jwt={token}"), "/orders"),
        (format!("/a%20b/%C3%A9?jwt={token}&x"), "/a%20b/%C3%A9?x"),
    ] {
        let answer = nginx.send(Request::get(&target)).await;
        let seen = answer.seen();
        assert_eq!(seen.path(), expected);
        assert_eq!(seen.identity()["sub"], "alice");
    }
    let cookie = format!("a=1; shop_token={token}; b=2");
    let answer = nginx.send(Request::get("/orders").with("cookie", cookie)).await;
    assert_eq!(answer.seen().values("cookie"), ["a=1; b=2"]);
    let alone = Request::get("/orders").with("cookie", format!("shop_token={token}"));
    assert_eq!(nginx.send(alone).await.seen().values("cookie"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_heads_are_read_whole() {
    let nginx = Setup::bundled().http("large_client_header_buffers 64 32k;").start().await;
    nginx.ready().await;
    let mut request = Request::get("/orders").bearer(&nginx.token("alice"));
    for number in 0..80 {
        request = request.with(format!("x-{number}"), "v".repeat(1000));
    }
    let answer = nginx.send(request.with("x-consumer-id", "forged")).await;
    let seen = answer.seen();
    assert_eq!(seen.values("x-79").len(), 1);
    assert_eq!(seen.values("x-consumer-id"), ["5c0c1f6e-8a55-4f0a-9d3f-0f6a2b7c9e11"]);
    let bytes = Request::get("/orders").with("x-bytes", b"\xff\xfe").bearer(&nginx.token("alice"));
    assert_eq!(nginx.send(bytes).await.status, 200);
}

/// nginx drops them, on the way to any upstream; a version that does not must be noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_reach_no_upstream() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    let head = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer {}\r\n\
         transfer-encoding: chunked\r\ntrailer: x-consumer-id, x-check\r\n\r\n",
        nginx.token("alice")
    );
    let request =
        format!("{head}3\r\nabc\r\n0\r\nx-consumer-id: forged\r\nx-check: forged\r\n\r\n");
    let port = nginx.ports.listener;
    let sent = move || Connection::open(port).send(request.as_bytes()).expect("an answer");
    let answer = spawn_blocking(sent).await.unwrap();
    assert_eq!(answer.status, 200, "{answer}");
    assert!(!String::from_utf8_lossy(&answer.body).contains("forged"), "{answer}");
    assert_eq!(answer.seen().identity()["sub"], "alice");
}
