//! Who does nothing wrong, beside floods over HTTP/2 at several workers.
//!
//! What is checked here is that all of their requests are served and nothing is left of the
//! floods; what these cost them on a quiet machine is measured by `make faults`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::everything::{Victim, everything, visit};
use crate::flood::Flood;
use crate::gateway::{Gateway, Setup, until};
use crate::service::Services;
use crate::traffic::Volley;
use crate::wire::{Connection, Request};

/// Time for a few rounds of each flood, and for its slow services to be waited for.
const TIME: Duration = Duration::from_millis(1500);

/// Between two requests of a victim.
const PAUSE: Duration = Duration::from_millis(10);

/// How long any of them may take on a busy machine: less than what the floods wait for.
const LONGEST: Duration = Duration::from_secs(2);

/// Connections of a flood, with up to 100 streams each.
const CONNECTIONS: usize = 4;

/// Ends a flood, also where a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What became of the victims' requests while it went on.
fn beside(gateway: &Gateway, flood: &Flood) -> Vec<Volley> {
    let over = AtomicBool::new(false);
    block_in_place(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| flood.run(gateway, CONNECTIONS, &over));
            let _ends = Ends(&over);
            visit(gateway, 1, PAUSE, TIME)
        })
    })
}

async fn floods_hold_up_nobody(workers: u32) {
    let services = Services::start(json!({}));
    let gateway = everything(&services, 10_000).workers(workers).start().await;
    gateway.ready().await;
    let mut wrong = Vec::new();
    for flood in Flood::all(&gateway) {
        let hangs = json!({"kind": "slow", "delay_ms": 60_000});
        gateway.jwks_fault(if flood.issuer_hangs { hangs } else { json!({"kind": "none"}) }).await;
        let start = Instant::now();
        for (victim, volley) in Victim::ALL.into_iter().zip(beside(&gateway, &flood)) {
            let (name, count) = (flood.name, volley.accepted.len());
            let slowest = volley.accepted(100);
            println!("{name}, {}: {count}, slowest {slowest:?}", victim.name());
            if count == 0 || slowest > LONGEST {
                wrong.push(format!("{name}, {}: {count}, {slowest:?}", victim.name()));
            }
            let first = volley.wrong.into_iter().take(3);
            wrong.extend(first.map(|what| format!("{name}, {}: {what}", victim.name())));
        }
        println!("{}: {:.1} s", flood.name, start.elapsed().as_secs_f64());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    gateway.jwks_fault(json!({"kind": "none"})).await;
    until("nothing is left", || async {
        let mut left = gateway.stat("http.public.downstream_rq_active").await;
        for cluster in ["faulty", "logins", "auth"] {
            left += gateway.stat(&format!("cluster.{cluster}.upstream_rq_active")).await;
        }
        left == 0
    })
    .await;
    for volley in block_in_place(|| visit(&gateway, 1, PAUSE, PAUSE)) {
        assert_eq!(volley.wrong, [""; 0], "after all of them");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a busy machine holds others up by itself; run alone, with --ignored"]
async fn floods_over_http2_hold_up_nobody_at_one_worker() {
    floods_hold_up_nobody(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a busy machine holds others up by itself; run alone, with --ignored"]
async fn floods_over_http2_hold_up_nobody_at_four_workers() {
    floods_hold_up_nobody(4).await;
}

/// An upstream request whose body does not come counts in its cluster's limits until it ends,
/// so clients may reach no cluster that the gateway itself depends on, and none that is for all
/// of them without a filter that waits for the body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_that_do_not_end_keep_nobody_from_a_service() {
    const TIME: Duration = Duration::from_secs(4);
    const CREDENTIALS: &str = r#"{"username": "alice", "password": "wonderland"}"#;
    let gateway = Setup::bundled().start().await;
    gateway.ready().await;
    for path in ["/login", "/logout"] {
        let (flood, over) = (Flood::unended(path), AtomicBool::new(false));
        let (start, runtime) = (Instant::now(), Handle::current());
        block_in_place(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| flood.run(&gateway, CONNECTIONS, &over));
                let _ends = Ends(&over);
                std::thread::sleep(TIME / 2);
                while start.elapsed() < TIME {
                    runtime.block_on(gateway.assert_serves(path));
                    let login = Request::post("/login", CREDENTIALS)
                        .with("content-type", "application/json");
                    let answer = runtime.block_on(gateway.send(login));
                    assert_eq!(answer.status, 200, "a login beside {path}: {answer}");
                    let answer = runtime.block_on(gateway.send(Request::post("/logout", "")));
                    assert_ne!(answer.status, 503, "a logout beside {path}: {answer}");
                }
                let open = runtime.block_on(gateway.stat("http.public.downstream_rq_active"));
                assert!(open >= 300, "{path}: {open} of them");
            });
        });
        let log = gateway.log();
        assert!(!log.contains("tokens_not_listed"), "{path}: {log}");
    }
    gateway.assert_serves("bodies that did not come").await;
}

/// As much of a login as the routes wait for, and no more of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_too_large_is_answered_413() {
    let gateway = Setup::bundled().workers(1).start_beside_others().await;
    for (length, status) in [(16_384, 200), (16_385, 413)] {
        let start = r#"{"username": "alice", "password": "wonderland""#;
        let body = format!("{start}{:>1$}", "}", length - start.len());
        let login = Request::post("/login", &body).with("content-type", "application/json");
        let answer = gateway.send(login).await;
        assert_eq!(answer.status, status, "{length}: {answer}");
    }
}

/// A GET may have a body too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_token_reach_no_service_before_their_body() {
    const HALF: &str = "content-length: 10\r\n\r\n12345";
    let gateway = Setup::bundled().workers(1).start_beside_others().await;
    gateway.ready().await;
    for (line, cluster) in [
        ("POST /login", "login"),
        ("POST /logout", "login"),
        ("GET /health", "upstream"),
        ("GET /assets/shop.css", "upstream"),
        ("GET /catalog", "catalog"),
    ] {
        let count = format!("cluster.{cluster}.upstream_rq_total");
        let (before, mut client) =
            (gateway.stat(&count).await, Connection::open(gateway.ports.listener));
        client.write(format!("{line} HTTP/1.1\r\nhost: shop.example\r\n{HALF}").as_bytes());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(gateway.stat(&count).await, before, "half of {line}");
        client.write(b"67890");
        let answer = block_in_place(|| client.read_answer()).expect("an answer");
        assert_ne!(answer.status, 503, "{line}: {answer}");
        assert_eq!(gateway.stat(&count).await, before + 1, "all of {line}");
    }
}
