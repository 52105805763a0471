//! Users that are locked out: by one request to the gateway, and by a feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::gateway::{Gateway, Setup, until};
use crate::stack::auth::Auth;
use crate::token_service::TokenService;
use crate::wire::{Connection, Request};

const PATH: &str = "/.well-known/gatepass/revocations";

/// A token with which revocations may be sent.
pub fn admin(gateway: &Gateway) -> String {
    let mut claims = Auth::claims("bob").unwrap();
    claims["scope"] = json!("revoke");
    gateway.services.auth.sign(&claims)
}

fn post(token: &str, entries: Value) -> Request {
    Request::post(PATH, &json!({ "entries": entries }).to_string()).bearer(token)
}

async fn upstream_requests(gateway: &Gateway) -> u64 {
    gateway.stat("cluster.upstream.upstream_rq_total").await
}

/// Requests with a token of alice's at both workers, until long after `request` was answered with
/// `status`: none of those sent after that passes.
pub async fn nothing_passes_after(gateway: &Gateway, token: &str, request: Request, status: u16) {
    let get = Request::get("/orders").bearer(token).into_bytes();
    gateway.remember_tokens(&get);
    let revoked = Arc::new(AtomicBool::new(false));
    let counts: Arc<[AtomicU64; 2]> = Arc::default();
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (get, revoked, counts) = (get.clone(), revoked.clone(), counts.clone());
        let port = gateway.ports.listener;
        clients.spawn_blocking(move || {
            let mut refused = 0;
            while refused < 50 {
                // A connection now and then, so that both workers are met.
                let mut connection = Connection::open(port);
                for _ in 0..10 {
                    let is_after = revoked.load(Ordering::SeqCst);
                    match connection.send(&get).expect("an answer").status {
                        200 => counts[usize::from(is_after)].fetch_add(1, Ordering::Relaxed),
                        401 => {
                            refused += 1;
                            0
                        }
                        status => panic!("{status}"),
                    };
                }
            }
        });
    }
    until("the clients are served", || async { counts[0].load(Ordering::Relaxed) > 200 }).await;
    let answer = gateway.send(request).await;
    revoked.store(true, Ordering::SeqCst);
    assert_eq!((answer.status, answer.body.len()), (status, 0), "{answer}");
    clients.join_all().await;
    let [before, after] = [0, 1].map(|index: usize| counts[index].load(Ordering::Relaxed));
    println!("{before} requests of 4 clients accepted before the {status}, {after} sent after it");
    assert_eq!(after, 0, "accepted after the {status}");
    let answer = gateway.get("/orders", &gateway.token("bob")).await;
    assert_eq!(answer.status, 200, "others go on: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_a_user_is_accepted_after_the_204() {
    let gateway = Setup::bundled().workers(2).start_beside_others().await;
    gateway.ready().await;
    let request = post(&admin(&gateway), json!([{"sub": "alice"}]));
    nothing_passes_after(&gateway, &gateway.token("alice"), request, 204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_never_sees_a_request_to_revoke() {
    let gateway = Setup::bundled().workers(1).start_beside_others().await;
    gateway.ready().await;
    let admin = admin(&gateway);
    assert_eq!(gateway.send(post(&admin, json!([]))).await.status, 204);
    let seen = upstream_requests(&gateway).await;
    for (case, request, expected) in [
        ("accepted", post(&admin, json!([{"sub": "mallory"}])), "204"),
        ("no entry", post(&admin, json!([{"sub": 7}])), "400 entries_invalid"),
        ("no JSON", Request::post(PATH, "x").bearer(&admin), "400 entries_invalid"),
        ("empty", Request::post(PATH, "").bearer(&admin), "400 entries_invalid"),
        ("GET", Request::get(PATH).bearer(&admin), "405 entries_invalid"),
        ("no right", post(&gateway.token("alice"), json!([])), "403 insufficient_scope"),
        ("no token", Request::post(PATH, "{}"), "401 token_missing"),
    ] {
        let answer = gateway.send(request).await;
        let outcome =
            if answer.body.is_empty() { answer.status.to_string() } else { answer.outcome() };
        assert_eq!(outcome, expected, "{case}");
    }
    let slow = post(&admin, json!([{"sub": "alice"}])).into_bytes();
    gateway.remember_tokens(&slow);
    let (head, rest) = slow.split_at(slow.len() - 5);
    let mut connection = Connection::open(gateway.ports.listener);
    connection.write(head);
    sleep(Duration::from_millis(300)).await;
    connection.write(rest);
    assert_eq!(connection.read_answer().unwrap().status, 204, "in two pieces");
    // Envoy closes a connection on which it is answered too early.
    for _ in 0..2 {
        assert_eq!(
            connection.send(&slow).expect("an answer").status,
            204,
            "on the same connection"
        );
    }
    assert_eq!(upstream_requests(&gateway).await, seen);
}

/// Its token is signed with a key that the gateway fetches first; the body arrives with the
/// head, while the gateway waits, or afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_revoke_may_wait_for_keys() {
    for (case, jwks_ms, pause_ms) in
        [("at once", 300, 0), ("meanwhile", 600, 200), ("afterwards", 50, 500)]
    {
        let gateway = Setup::bundled().workers(1).start_beside_others().await;
        gateway.ready().await;
        let (alice, bob) = (gateway.token("alice"), gateway.token("bob"));
        assert_eq!(gateway.get("/orders", &alice).await.outcome(), "200", "{case}");
        gateway.jwks_fault(json!({"kind": "slow", "delay_ms": jwks_ms})).await;
        gateway.post(gateway.ports.auth, "/rotate", &json!({})).await;
        let request = post(&admin(&gateway), json!([{"sub": "alice"}])).into_bytes();
        gateway.remember_tokens(&request);
        let (head, body) = request.split_at(request.len() - 20);
        let mut connection = Connection::open(gateway.ports.listener);
        connection.write(head);
        sleep(Duration::from_millis(pause_ms)).await;
        connection.write(body);
        let answer = connection.read_answer().unwrap();
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{case}: {answer}");
        assert_eq!(gateway.get("/orders", &alice).await.outcome(), "401 token_revoked", "{case}");
        assert_eq!(gateway.get("/orders", &bob).await.outcome(), "200", "{case}: others go on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_reaches_every_worker_within_a_poll() {
    let service = TokenService::start().await;
    service.revoke(json!({"sub": "carol"}));
    let gateway = Setup::bundled()
        .workers(2)
        .service("tokens", service.port)
        .replace_block(
            "feed:",
            "feed: {service: tokens, path: /revocations, poll_seconds: 1, max_stale_seconds: 3}",
        )
        .start_beside_others()
        .await;
    let (alice, carol) = (gateway.token("alice"), gateway.token("carol"));
    assert_eq!(gateway.get("/orders", &carol).await.outcome(), "401 token_revoked", "at once");
    assert_eq!(gateway.get("/orders", &alice).await.status, 200);
    let start = Instant::now();
    service.revoke(json!({"sub": "alice", "issued_before": 4_000_000_000_u64}));
    until("alice is locked out", || async {
        gateway.get("/orders", &alice).await.outcome() == "401 token_revoked"
    })
    .await;
    for _ in 0..20 {
        let outcome = gateway.get("/orders", &alice).await.outcome();
        assert_eq!(outcome, "401 token_revoked", "on every worker");
    }
    println!("locked out after {} ms with a poll each second", start.elapsed().as_millis());
    let polls = service.polls();
    sleep(Duration::from_secs(3)).await;
    let polls = service.polls() - polls;
    assert!((1..=5).contains(&polls), "{polls} polls in 3 s: one worker asks for all");
    drop(service);
    until("the list is too old", || async {
        gateway.get("/orders", &gateway.token("bob")).await.outcome()
            == "503 revocation_unavailable"
    })
    .await;
}

/// Nothing tells a worker without requests that time passes, on the native door: what it
/// last heard of the feed must not decide when a request comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_reaches_a_worker_that_has_nothing_to_do() {
    for shared_data in ["auto", "never"] {
        let service = TokenService::start().await;
        service.revoke(json!({"sub": "carol"}));
        let feed = "feed: {service: tokens, path: /revocations, poll_seconds: 1}";
        let gateway = Setup::bundled()
            .workers(1)
            .service("tokens", service.port)
            .replace_block("endpoint:", "")
            .replace_block("logout_path:", "")
            .replace_block("logout: ", "")
            .replace_block("feed:", feed)
            .replace_block(
                "errors:",
                &format!("errors: {{realm: shop}}\nshared_data: {shared_data}"),
            )
            .start_beside_others()
            .await;
        gateway.ready().await;
        let alice = gateway.token("alice");
        assert_eq!(gateway.get("/orders", &alice).await.status, 200);
        service.revoke(json!({"sub": "alice", "issued_before": 4_000_000_000_u64}));
        sleep(Duration::from_millis(2500)).await;
        let outcome = gateway.get("/orders", &alice).await.outcome();
        assert_eq!(outcome, "401 token_revoked", "shared_data: {shared_data}");
    }
}
