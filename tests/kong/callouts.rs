//! Services that answer, fail, hang and drip.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::nginx::{Setup, until};
use crate::stack::auth::Auth;
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

// RFC 9112 section 6.3 (R81)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_replies_are_no_answers() {
    const FAILED: &str = "503 user_info_unavailable";
    const GOOD: &[u8] =
        b"HTTP/1.1 200 OK\r\n\r\n{\"sub\":\"alice\",\"address\":{\"country\":\"ES\"}}";
    const ENDLESS: fn(&mut std::net::TcpStream) = |stream| {
        let line = [b'x'; 8192];
        while stream.write_all(&line).is_ok() {}
    };
    const WAIT: fn(&mut std::net::TcpStream) = |_| thread::sleep(PATIENCE);
    for (case, head, rest, outcome) in [
        ("until it closes", GOOD, hang_up as fn(&mut std::net::TcpStream), "200"),
        (
            "after interim replies",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
              HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n\
              {\"sub\":\"alice\",\"address\":{\"country\":\"ES\"}}",
            WAIT,
            "200",
        ),
        (
            "chunks with an extension and a trailer",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
              e;a=b\r\n{\"sub\":\"alice\"\r\n1C\r\n,\"address\":{\"country\":\"ES\"}}\r\n\
              0\r\nx-trailer: 1\r\n\r\n",
            WAIT,
            "200",
        ),
        ("nothing", b"", hang_up, FAILED),
        // No length that a body has; the last is one for a reader of numbers.
        ("a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}", WAIT, FAILED),
        ("no number", b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}", WAIT, FAILED),
        ("a fraction", b"HTTP/1.1 200 OK\r\ncontent-length: 1.5\r\n\r\n{}", WAIT, FAILED),
        ("hexadecimal", b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\n{}", WAIT, FAILED),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
            WAIT,
            FAILED,
        ),
        (
            "a length and chunks",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            WAIT,
            FAILED,
        ),
        (
            "a negative chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
            WAIT,
            FAILED,
        ),
        ("another protocol", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", WAIT, FAILED),
        ("a line without an end", b"HTTP/1.1 200 OK\r\nx-a: ", ENDLESS, FAILED),
        (
            "a chunk size without an end",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            ENDLESS,
            FAILED,
        ),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", hang_up, FAILED),
        ("no status", b"HTTP/1.1 OK\r\n\r\n{}", hang_up, FAILED),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-le", hang_up, FAILED),
        ("a head that drips", b"HTTP/1.1 200 OK\r\n", drip, FAILED),
        (
            "a body that drips",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{",
            drip_body,
            FAILED,
        ),
        (
            "less than announced",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"sub\":\"alice\"}",
            hang_up,
            FAILED,
        ),
        (
            "chunks without an end",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
            hang_up,
            FAILED,
        ),
        (
            "no chunk size",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            hang_up,
            FAILED,
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

type Rest = fn(&mut std::net::TcpStream);

/// Replies that are none, whatever was asked for.
const BROKEN: [(&[u8], Rest); 6] = [
    (b"", hang_up),
    (b"SSH-2.0-OpenSSH_9.2\r\n", hang_up),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"keys\":[", hang_up),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{", drip_body),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", hang_up),
    (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}", hang_up),
];

/// A service that gives one of them after the other; and how many it gave.
fn broken_service() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (head, rest) = BROKEN[count.fetch_add(1, Ordering::Relaxed) % BROKEN.len()];
            thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(head);
                rest(&mut stream);
            });
        }
    });
    (port, given)
}

/// Not only of the user service: keys, where they are, feeds, introspection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_replies_of_any_service_are_no_answers() {
    let provider = |name: &str, value: Value| (format!("/providers/shop/{name}"), value);
    let at = |path: &str| json!({"service": "broken", "path": path});
    let introspection = json!({
        "service": "broken", "path": "/introspect", "client_id": "gate", "client_secret": "s3cret",
    });
    let feed = json!({"feed": {"service": "broken", "path": "/feed", "poll_seconds": 1}});
    let mut running = JoinSet::new();
    for (code, edits) in [
        ("keys_unavailable", vec![provider("remote_jwks", at("/keys"))]),
        (
            "keys_unavailable",
            vec![provider("remote_jwks", Value::Null), provider("discovery", at("/discovery"))],
        ),
        ("introspection_unavailable", vec![provider("introspection", introspection)]),
        ("revocation_unavailable", vec![("/revocation".to_owned(), feed)]),
    ] {
        running.spawn(async move {
            let (port, given) = broken_service();
            let service = json!({"upstream": format!("127.0.0.1:{port}"), "timeout_ms": 500});
            let setup = Setup::bundled().set("/services/broken", service);
            let setup = edits.into_iter().fold(setup, |setup, (at, value)| setup.set(&at, value));
            let nginx = setup.start().await;
            let start = Instant::now();
            while given.load(Ordering::Relaxed) <= BROKEN.len() {
                let token = match code {
                    "introspection_unavailable" => "a-reference".to_owned(),
                    _ => nginx.token("alice"),
                };
                let answer = nginx.get("/orders", &token).await;
                assert_eq!(answer.outcome(), format!("503 {code}"));
                assert!(start.elapsed() < Duration::from_secs(60), "{code}: {given:?} replies");
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
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

/// The next one on the connection would be answered with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_more_than_the_reply_is_not_kept() {
    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n\
        {\"sub\":\"alice\",\"address\":{\"country\":\"ES\"}}HTTP/1.1 200 OK\r\n\r\n";
    let port = raw_service(REPLY, |stream| {
        // Ended by the other side.
        let ended = stream.read(&mut [0; 64]).is_ok_and(|size| size == 0);
        assert!(ended, "the connection was used again");
    });
    let nginx = Setup::bundled().user_service(port).start().await;
    nginx.ready().await;
    assert_eq!(nginx.get("/orders", &nginx.token("alice")).await.status, 200);
    until("it is closed", || async { nginx.connections_to(port) == 0 }).await;
}

/// A service that answers the first request of each connection, and closes it without a reply
/// when the next one arrives; and how many it has read.
fn forgetful_service(reply: &Value) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = reply.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let reply = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, count, reply) = (stream.unwrap(), Arc::clone(&count), reply.clone());
            thread::spawn(move || {
                for reply in [reply.as_bytes(), b""] {
                    if stream.read(&mut [0; 8192]).is_ok_and(|size| size > 0) {
                        count.fetch_add(1, Ordering::Relaxed);
                        stream.write_all(reply).unwrap();
                    }
                }
            });
        }
    });
    (port, read)
}

/// To ask again is safe (RFC 7662), whatever the method.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_introspection_whose_kept_connection_was_closed_is_sent_again() {
    let mut claims = Auth::claims("alice").unwrap();
    claims["active"] = true.into();
    let (port, read) = forgetful_service(&claims);
    let service = json!({"upstream": format!("127.0.0.1:{port}"), "timeout_ms": 1000});
    let introspection = json!({
        "service": "asked", "path": "/introspect", "client_id": "gate", "client_secret": "s3cret",
    });
    let setup = Setup::bundled().set("/services/asked", service);
    let nginx = setup.set("/providers/shop/introspection", introspection).start().await;
    nginx.ready().await;
    for (reference, expected) in [("a-reference", 1), ("another", 3)] {
        let answer = nginx.get("/orders", reference).await;
        assert_eq!(answer.status, 200, "{reference}: {answer}");
        assert_eq!(read.load(Ordering::Relaxed), expected, "{reference}");
    }
}

/// Its password or code may have been used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_sent_only_once() {
    let (port, read) = forgetful_service(&json!({"error": "invalid_grant"}));
    let service = json!({"upstream": format!("127.0.0.1:{port}"), "timeout_ms": 1000});
    let logins = json!({
        "keys": ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
        "logins": [{"match": {"path_prefix": "/enter"}, "service": "login", "json": ["/access_token"]}],
    });
    let setup = Setup::bundled().set("/services/login", service).set("/sealed_tokens", logins);
    let nginx = setup.start().await;
    nginx.ready().await;
    let get = Request::get("/enter?code=1");
    for (request, outcome) in [
        (Request::post("/enter", "{}"), "200"),
        (Request::post("/enter", "{}"), "503 login_unavailable"),
        (get.clone(), "200"),
        (get, "503 login_unavailable"),
    ] {
        let before = read.load(Ordering::Relaxed);
        assert_eq!(nginx.send(request).await.outcome(), outcome);
        assert_eq!(read.load(Ordering::Relaxed), before + 1, "{outcome}");
    }
}
