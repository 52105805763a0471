//! What operators see of the filter: metrics, log lines, and requests that are
//! forwarded in shadow mode.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::gateway::{Gateway, Setup, until};
use crate::wire::{Connection, Request};

/// What Prometheus scrapes, the filter's part of it.
async fn scrape(gateway: &Gateway) -> Vec<String> {
    let admin = gateway.ports.admin;
    let read = move || {
        let request = Request::get("/stats/prometheus").with("connection", "close").into_bytes();
        Connection::open(admin).send(&request).expect("Envoy answers")
    };
    let answer = tokio::task::spawn_blocking(read).await.unwrap();
    let text = String::from_utf8(answer.body.clone()).unwrap();
    text.lines().filter(|line| line.contains("gatepass_")).map(str::to_owned).collect()
}

/// A series with its labels in order, and its value.
async fn series(gateway: &Gateway, name: &str) -> Option<u64> {
    let lines = scrape(gateway).await;
    lines.iter().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_what_was_counted_with_labels() {
    // Each worker asks for its users by itself.
    let gateway = Setup::bundled().workers(1).start().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    for _ in 0..3 {
        assert_eq!(gateway.get("/orders", &token).await.status, 200);
    }
    assert_eq!(gateway.send(Request::get("/orders")).await.status, 401);
    gateway.send(Request::get("/health")).await;
    let denied = r#"gatepass_requests_total{outcome="denied",code="token_missing"}"#;
    until("the counts are there", || async { series(&gateway, denied).await == Some(1) }).await;
    // Each worker hands on what it counted ten times a second.
    sleep(Duration::from_secs(1)).await;
    let lines = scrape(&gateway).await.join("\n");
    for (name, expected) in [
        (r#"gatepass_requests_total{outcome="allowed",code="none"}"#, 3),
        (r#"gatepass_requests_total{outcome="bypassed",code="none"}"#, 1),
        (r#"gatepass_requests_total{outcome="denied",code="token_expired"}"#, 0),
        (r#"gatepass_fetches_total{service="users",result="2xx"}"#, 1),
        ("gatepass_minted_total{}", 1),
        (r#"gatepass_cache_hits_total{cache="token"}"#, 2),
        (r#"gatepass_crypto_host{algorithm="ES256"}"#, 1),
        (r#"gatepass_crypto_host{algorithm="EdDSA"}"#, 0),
    ] {
        assert_eq!(series(&gateway, name).await, Some(expected), "{name} in\n{lines}");
    }
    let age = series(&gateway, r#"gatepass_jwks_age_seconds{provider="shop"}"#).await;
    assert!(age.is_some_and(|age| age < 60), "{age:?}");
    assert!(lines.contains("# TYPE gatepass_callout_milliseconds histogram"), "{lines}");
    let callouts = r#"gatepass_callout_milliseconds_count{service="users"}"#;
    let merged = || async { series(&gateway, callouts).await == Some(1) };
    until("Envoy has put together what its workers recorded", merged).await;
    // No label is left in a name.
    let names = lines.lines().filter_map(|line| line.split(['{', ' ']).next());
    for name in names.filter(|name| name.starts_with("gatepass_")) {
        let words = ["outcome", "code", "service", "result", "provider", "algorithm"];
        assert!(!words.iter().any(|word| name.contains(&format!("_{word}_"))), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_mode_denies_nobody_and_forwards_nothing_forged() {
    let setup = Setup::bundled().replace("errors: {realm: shop}", "mode: shadow");
    let gateway = setup.start().await;
    gateway.ready().await;
    let forged = |request: Request| {
        let names = ["x-consumer-id", "X-Identity-Token", "Txn-Token", "x-user-country"];
        names.into_iter().fold(request, |request, name| request.with(name, "forged"))
    };
    for request in [
        Request::get("/orders"),
        Request::get("/orders").bearer("a.b.c"),
        Request::get("/admin").bearer(&gateway.token("bob")),
    ] {
        let seen = gateway.send(forged(request)).await.seen();
        assert!(seen.is_anonymous(), "{}", seen.0);
        for name in ["authorization", "x-consumer-id", "txn-token", "x-user-country"] {
            assert!(seen.values(name).is_empty(), "{name}: {}", seen.0);
        }
    }
    let seen = gateway.send(forged(Request::get("/orders").bearer(&gateway.token("alice")))).await;
    let seen = seen.seen();
    assert_eq!(seen.identity()["sub"], "alice");
    assert!(seen.values("txn-token").is_empty());
    let shadow = r#"gatepass_requests_total{outcome="shadow",code="insufficient_scope"}"#;
    until("the counts are there", || async { series(&gateway, shadow).await == Some(1) }).await;
    let lines: Vec<Value> = would_deny(&gateway);
    let codes: Vec<_> = lines.iter().map(|line| line["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["token_missing", "token_malformed", "insufficient_scope"]);
    assert_eq!(lines[2]["consumer"], "web");
    assert!(lines.iter().all(|line| line["request_id"].is_string()), "{lines:?}");
}

fn would_deny(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| line.get(line.find("{\"code\"")?..));
    let lines = lines.filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line: &Value| line["event"] == "would_deny").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_prints_who_it_was_and_why_not() {
    let setup = Setup::bundled().replace("default_value: 400", "default_value: 200");
    let gateway = setup.start().await;
    gateway.ready().await;
    assert_eq!(gateway.get("/orders", &gateway.token("alice")).await.status, 200);
    assert_eq!(gateway.get("/admin", &gateway.token("bob")).await.status, 403);
    assert_eq!(gateway.send(Request::get("/nobody")).await.status, 401);
    assert_eq!(gateway.send(Request::get("/health")).await.status, 200);
    for (path, expected) in [
        ("/orders", "200 via_upstream - web alice "),
        ("/admin", "insufficient_scope web bob "),
        ("/nobody", "token_missing - - "),
        ("/health", "200 via_upstream - - - "),
    ] {
        let written = || async {
            let log = gateway.log();
            let mut lines = log.lines().filter(|line| line.contains(&format!("GET {path} ")));
            lines.any(|line| line.contains(expected))
        };
        until(&format!("{path} is in the access log: {}", gateway.log()), written).await;
    }
}
