//! Services that answer, fail, hang and drip.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::nginx::{Setup, until};
use crate::wire::{Connection, Request};

/// What a timeout of half a second may take on a busy machine; a service that drips would
/// go on for ever.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_of_one_user_ask_once() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    nginx.users_fault(json!({"kind": "slow", "delay_ms": 300})).await;
    let (alice, bob) = (nginx.token("alice"), nginx.token("bob"));
    let requests = (0..40)
        .map(|number| Request::get("/orders").bearer(if number % 2 == 0 { &alice } else { &bob }));
    let outcomes = nginx.send_at_once(requests.collect()).await;
    assert!(outcomes.iter().all(|outcome| outcome == "200"), "{outcomes:?}");
    assert_eq!((nginx.user_calls("alice").await, nginx.user_calls("bob").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callout_outlives_its_client() {
    for directives in ["", "lua_check_client_abort on;"] {
        let nginx = Setup::bundled().http(directives).start().await;
        nginx.ready().await;
        nginx.users_fault(json!({"kind": "slow", "delay_ms": 400})).await;
        let token = nginx.token("alice");
        let request = Request::get("/orders").bearer(&token).into_bytes();
        let mut connection = Connection::open(nginx.ports.listener);
        connection.write(&request);
        until("it is asked", || async { nginx.user_calls("alice").await == 1 }).await;
        let other = nginx.send_at_once(vec![Request::get("/orders").bearer(&token)]);
        let (outcomes, ()) = tokio::join!(other, async {
            sleep(Duration::from_millis(50)).await;
            connection.reset();
        });
        assert_eq!(outcomes, ["200"], "{directives}");
        assert_eq!(nginx.user_calls("alice").await, 1, "{directives}");
        assert_eq!(nginx.get("/orders", &token).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_service_does_is_503_in_time() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    for fault in [
        json!({"kind": "down"}),
        json!({"kind": "slow", "delay_ms": 4000}),
        json!({"kind": "status", "status": 500}),
        json!({"kind": "malformed"}),
        json!({"kind": "empty"}),
        json!({"kind": "html"}),
        json!({"kind": "array"}),
        json!({"kind": "huge"}),
        json!({"kind": "truncated"}),
    ] {
        nginx.users_fault(fault.clone()).await;
        let start = Instant::now();
        let answer = nginx.get("/orders", &nginx.token("alice")).await;
        assert_eq!(answer.outcome(), "503 user_info_unavailable", "{fault}");
        assert!(start.elapsed() < PATIENCE, "{fault}: {:?}", start.elapsed());
        nginx.users_fault(json!({"kind": "none"})).await;
        until("it is well again", || async {
            nginx.get("/orders", &nginx.token("bob")).await.status == 200
        })
        .await;
        sleep(Duration::from_millis(1100)).await;
    }
}

/// A service that writes what it is told, and then as `rest` says.
fn raw_service(head: &'static [u8], rest: fn(&mut std::net::TcpStream)) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(head);
                rest(&mut stream);
            });
        }
    });
    port
}

fn hang_up(_: &mut std::net::TcpStream) {}

fn drip(stream: &mut std::net::TcpStream) {
    while stream.write_all(b"x-drop: 1\r\n").is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
}

fn drip_body(stream: &mut std::net::TcpStream) {
    while stream.write_all(b" ").is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_replies_are_no_answers() {
    const GOOD: &[u8] =
        b"HTTP/1.1 200 OK\r\n\r\n{\"sub\":\"alice\",\"address\":{\"country\":\"ES\"}}";
    for (case, head, rest, outcome) in [
        ("until it closes", GOOD, hang_up as fn(&mut std::net::TcpStream), "200"),
        ("nothing", b"", hang_up, "503 user_info_unavailable"),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", hang_up, "503 user_info_unavailable"),
        ("no status", b"HTTP/1.1 OK\r\n\r\n{}", hang_up, "503 user_info_unavailable"),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-le", hang_up, "503 user_info_unavailable"),
        ("a head that drips", b"HTTP/1.1 200 OK\r\n", drip, "503 user_info_unavailable"),
        (
            "a body that drips",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{",
            drip_body,
            "503 user_info_unavailable",
        ),
        (
            "less than announced",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"sub\":\"alice\"}",
            hang_up,
            "503 user_info_unavailable",
        ),
        (
            "chunks without an end",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
            hang_up,
            "503 user_info_unavailable",
        ),
        (
            "no chunk size",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            hang_up,
            "503 user_info_unavailable",
        ),
    ] {
        let port = raw_service(head, rest);
        let nginx = Setup::bundled().user_service(port).start().await;
        nginx.ready().await;
        let start = Instant::now();
        let answer = nginx.get("/orders", &nginx.token("alice")).await;
        assert_eq!(answer.outcome(), outcome, "{case}");
        assert!(start.elapsed() < PATIENCE, "{case}: {:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_services_are_kept() {
    let nginx = Setup::bundled().set("/user_info/cache", json!({"ttl_seconds": 1})).start().await;
    nginx.ready().await;
    for username in ["alice", "bob", "carol"] {
        assert_eq!(nginx.get("/orders", &nginx.token(username)).await.status, 200);
    }
    let connections = nginx.connections_to(nginx.ports.users);
    assert_eq!(connections, 1, "for three calls");
}
