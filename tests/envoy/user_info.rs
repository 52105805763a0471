//! A user-info service that fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, Setup, until};
use crate::stack::door::Door;
use crate::tokens::alice;
use crate::wire::Request;

const KEEP_NOTHING: &str =
    "cache: {ttl_seconds: 0, negative_ttl_seconds: 0, stale_if_error_seconds: 0}";

/// The service is asked for each request.
fn uncached() -> Setup {
    Setup::bundled().replace_block("cache:", KEEP_NOTHING)
}

fn faults() -> Vec<Value> {
    let kinds = [
        "down",
        "malformed",
        "empty",
        "html",
        "array",
        "huge",
        "truncated",
        "wrong_subject",
        "incomplete",
        "control_characters",
    ];
    let statuses = [500, 503, 429, 400, 401, 403, 301, 204];
    let kinds = kinds.iter().map(|kind| json!({"kind": kind}));
    let statuses = statuses.iter().map(|status| json!({"kind": "status", "status": status}));
    kinds.chain(statuses).chain([json!({"kind": "slow", "delay_ms": 10_000})]).collect()
}

async fn mend(gateway: &Gateway, after: &Value) {
    gateway.users_fault(json!({"kind": "none"})).await;
    gateway.assert_serves(&after.to_string()).await;
}

/// Both are a status to a callout. The log says which of the two it was: an operator looks
/// for the fault in another place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_envoy_answers_by_itself_is_not_taken_for_the_services() {
    let gateway = uncached().start_beside_others().await;
    gateway.ready().await;
    for (fault, cause) in [
        (json!({"kind": "status", "status": 503}), r#""cause":"status 503""#),
        (json!({"kind": "slow", "delay_ms": 10_000}), "no reply within timeout_ms (the 504 is"),
        (json!({"kind": "down"}), "the connection ended before the reply (the 503 is"),
    ] {
        gateway.users_fault(fault.clone()).await;
        let answer = gateway.get("/orders", &gateway.token("alice")).await;
        assert_eq!(answer.outcome(), "503 user_info_unavailable", "{fault}");
        until(&format!("{cause}: {}", gateway.log()), || async { gateway.log().contains(cause) })
            .await;
    }
    // A port of this machine at which nobody listens.
    let setup = uncached().service("nobody", 1).replace("service: users", "service: nobody");
    let gateway = setup.start_beside_others().await;
    let answer = gateway.get("/orders", &gateway.token("alice")).await;
    assert_eq!(answer.outcome(), "503 user_info_unavailable");
    let cause = "no connection to its address";
    until(&format!("{cause}: {}", gateway.log()), || async { gateway.log().contains(cause) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_info_service_that_fails_denies_with_503_and_no_longer_than_that() {
    let gateway = uncached().start_beside_others().await;
    gateway.ready().await;
    for fault in faults() {
        gateway.users_fault(fault.clone()).await;
        let start = Instant::now();
        let answer = gateway.get("/orders", &gateway.token("alice")).await;
        let took = start.elapsed();
        assert_eq!(answer.outcome(), "503 user_info_unavailable", "{fault}: {answer}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{fault}");
        assert!(took < Duration::from_millis(2500), "{fault} with a time-out of 500 ms: {took:?}");
        mend(&gateway, &fault).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_info_service_that_fails_can_degrade_what_the_identity_says() {
    let gateway = uncached()
        .replace("failure_mode: deny", "failure_mode: degrade")
        .start_beside_others()
        .await;
    gateway.ready().await;
    for fault in faults() {
        gateway.users_fault(fault.clone()).await;
        let seen = gateway.get("/orders", &gateway.token("alice")).await.seen();
        let identity = seen.identity();
        assert_eq!(identity["enrichment"], "none", "{fault}");
        assert_eq!(identity["sub"], "alice", "{fault}");
        assert!(identity["country"].is_null(), "{fault}");
        assert!(seen.values("x-user-country").is_empty(), "{fault}");
        mend(&gateway, &fault).await;
    }
    let country = gateway.get("/orders", &gateway.token("alice")).await.seen();
    assert_eq!(country.values("x-user-country"), ["ES"]);
    // Not known is not the same as no answer.
    for status in [404, 410] {
        gateway.users_fault(json!({"kind": "status", "status": status})).await;
        let answer = gateway.get("/orders", &gateway.token("alice")).await;
        assert_eq!(answer.outcome(), "403 user_unknown");
    }
}

// Envoy answers such a callout while the filter sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callout_that_ends_while_it_is_sent_is_one_that_failed() {
    let endpoint = |port: u16| {
        let address = format!("{{address: 127.0.0.1, port_value: {port}}}");
        format!("- lb_endpoints:\n        - endpoint: {{address: {{socket_address: {address}}}}}")
    };
    let breaker = "max_connections: 1000, max_pending_requests: 1000, max_requests: 1000";
    for setup in [
        uncached().replace(&endpoint(10002), "  []"),
        uncached().replace(breaker, "max_pending_requests: 0"),
    ] {
        let gateway = setup.start_beside_others().await;
        until("keys", || async {
            gateway.get("/orders", &gateway.token("alice")).await.outcome()
                == "503 user_info_unavailable"
        })
        .await;
        for _ in 0..20 {
            let answer = gateway.get("/orders", &gateway.token("alice")).await;
            assert_eq!(answer.outcome(), "503 user_info_unavailable");
        }
    }
    // Those of keys and of revoked tokens are sent by the timer.
    let auth = "cluster_name: auth\n      endpoints:\n      ";
    let whole = format!("{auth}{}", endpoint(10001));
    let none = format!("{auth}  []");
    let gateway = Setup::bundled().replace(&whole, &none).start_beside_others().await;
    for _ in 0..20 {
        let answer = gateway.get("/orders", &gateway.token("alice")).await;
        let either = ["503 keys_unavailable", "503 revocation_unavailable"];
        assert!(either.contains(&&*answer.outcome()), "{answer}");
    }
}

/// Envoy does not say why it sends nothing: the log names what it can be, and the statistic
/// that tells. That is of a call for a request, and of one by the timer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_call_that_is_not_sent_names_the_circuit_breaker() {
    let users = "max_connections: 1000, max_pending_requests: 1000, max_requests: 1000";
    // The first cluster's is that of keys.
    let none = "circuit_breakers:\n  thresholds: [{max_pending_requests: 0}]";
    for (cluster, setup) in [
        ("users", uncached().replace(users, "max_pending_requests: 0")),
        ("auth", uncached().replace_block("circuit_breakers:", none)),
    ] {
        let gateway = setup.start_beside_others().await;
        let overflow = format!("cluster.{cluster}.upstream_rq_pending_overflow");
        let (upstream, statistic) = (gateway.cluster(cluster), gateway.name_of_stat(&overflow));
        until("it is logged", || async {
            assert_eq!(gateway.get("/orders", &gateway.token("alice")).await.status, 503);
            let log = gateway.log_of_calls();
            let line = log.lines().find(|line| line.contains("\"not_sent\""));
            line.is_some_and(|line| {
                let names_both = line.contains("no such cluster") && line.contains(&statistic);
                assert!(names_both, "{line}");
                line.contains(&format!("\"upstream\":\"{upstream}\""))
            })
        })
        .await;
        assert!(gateway.stat(&overflow).await > 0, "{overflow}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_is_not_known_is_denied_and_remembered_for_a_while() {
    let gateway = Setup::bundled()
        .workers(1)
        .replace("negative_ttl_seconds: 5", "negative_ttl_seconds: 1")
        .start_beside_others()
        .await;
    gateway.ready().await;
    let mallory = gateway.services.auth.sign(&alice(json!({"sub": "mallory"})));
    for _ in 0..3 {
        assert_eq!(gateway.get("/orders", &mallory).await.outcome(), "403 user_unknown");
    }
    assert_eq!(gateway.user_calls("mallory").await, 1);
    until("the service is asked again", || async {
        assert_eq!(gateway.get("/orders", &mallory).await.outcome(), "403 user_unknown");
        gateway.user_calls("mallory").await == 2
    })
    .await;
    gateway.assert_serves("an unknown user").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_known_serves_while_the_service_fails() {
    let gateway = Setup::bundled()
        .workers(1)
        .replace("{ttl_seconds: 60", "{ttl_seconds: 1")
        .start_beside_others()
        .await;
    gateway.ready().await;
    let token = gateway.token("alice");
    assert_eq!(gateway.get("/orders", &token).await.status, 200);
    gateway.users_fault(json!({"kind": "down"})).await;
    // Each of these is after the time to live, since the service was asked.
    for asked in 2..4 {
        until("the service is asked again", || async {
            let seen = gateway.get("/orders", &token).await.seen();
            assert_eq!(seen.identity()["country"], "ES");
            gateway.user_calls("alice").await == asked
        })
        .await;
    }
    let bob = gateway.get("/orders", &gateway.token("carol")).await;
    assert_eq!(bob.outcome(), "503 user_info_unavailable", "who was never known is not served");
    mend(&gateway, &json!("down")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_does_not_exist_is_a_service_that_fails() {
    let gateway = Setup::bundled()
        .replace("upstream: users,", "upstream: nobody,")
        .start_beside_others()
        .await;
    let token = gateway.token("alice");
    until("the keys are there", || async {
        gateway.get("/orders", &token).await.outcome() != "503 keys_unavailable"
    })
    .await;
    for _ in 0..3 {
        let answer = gateway.get("/orders", &token).await;
        assert_eq!(answer.outcome(), "503 user_info_unavailable");
    }
    assert_eq!(gateway.get("/catalog", "a.b.c").await.outcome(), "401 token_malformed");
    drop(gateway);

    let nobody = Setup::bundled().replace("upstream: auth,", "upstream: nobody,");
    let gateway = nobody.replace_block("feed:", "").start_beside_others().await;
    for _ in 0..3 {
        let answer = gateway.get("/orders", &gateway.token("alice")).await;
        assert_eq!(answer.outcome(), "503 keys_unavailable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_service_is_told_for_which_request_it_is_asked() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let answer = gateway.get("/orders", &gateway.token("alice")).await;
    let calls = gateway.read(gateway.ports.users, "/calls").await;
    let id = calls["request_ids"]["alice"].as_str().unwrap_or_default();
    assert_eq!(answer.seen().values("x-request-id"), [id], "{calls}");
    assert_eq!(id.len(), 36, "Envoy's own: {id}");
}

/// The native module shares what it is told among its workers; the WebAssembly filter asks
/// once for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_ask_once_for_a_user() {
    let (setup, door) = (Setup::bundled(), Door::chosen());
    let gateway = match door {
        Door::Native => setup.workers(4).start().await,
        Door::Wasm => setup.workers(2).start_beside_others().await,
    };
    gateway.ready().await;
    let asked = |username: &'static str| gateway.user_calls(username);
    let (before, mut waiting) = (asked("alice").await, Vec::new());
    // All at once, while the service takes its time.
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 300})).await;
    for _ in 0..24 {
        waiting.push(gateway.send_beside(Request::get("/orders").bearer(&gateway.token("alice"))));
    }
    for outcome in futures_of(waiting).await {
        assert_eq!(outcome, "200");
    }
    let at_once = asked("alice").await - before;
    gateway.users_fault(json!({"kind": "none"})).await;
    // One after the other, each over a connection of its own.
    let before = asked("bob").await;
    for _ in 0..24 {
        assert_eq!(gateway.get("/orders", &gateway.token("bob")).await.status, 200);
    }
    let in_turn = asked("bob").await - before;
    println!("asked {at_once} times for 24 requests at once, {in_turn} for 24 in turn");
    match door {
        Door::Native => assert_eq!((at_once, in_turn), (1, 1)),
        Door::Wasm => assert!(at_once <= 2 && in_turn <= 2, "{at_once} {in_turn}"),
    }
}

async fn futures_of<F: Future<Output = String> + Send + 'static>(futures: Vec<F>) -> Vec<String> {
    let mut all = JoinSet::new();
    for future in futures {
        all.spawn(future);
    }
    all.join_all().await
}

/// Envoy answers a request within the filter's call for the one before: all that wait, in one
/// callback, would take the whole stack of its VM, and end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_wait_for_one_user_each_is_answered() {
    const WAITING: usize = 500;
    let slow =
        "users: {upstream: users, authority: users.internal, scheme: http, timeout_ms: 5000}";
    let gateway = Setup::bundled()
        .workers(1)
        .replace(&slow.replace("5000", "500"), slow)
        .start_beside_others()
        .await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 60_000})).await;
    let token = Arc::new(gateway.token("carol"));
    let gateway = Arc::new(gateway);
    let mut clients = JoinSet::new();
    for _ in 0..WAITING {
        let (gateway, token) = (Arc::clone(&gateway), Arc::clone(&token));
        clients.spawn(async move { gateway.get("/orders", &token).await.outcome() });
    }
    until("all of them wait", || async {
        gateway.stat("http.public.downstream_rq_active").await as usize == WAITING
    })
    .await;
    let outcomes = clients.join_all().await;
    assert_eq!(outcomes, ["503 user_info_unavailable"; WAITING]);
    gateway.users_fault(json!({"kind": "none"})).await;
    gateway.assert_serves("all of them").await;
}
