//! Many requests at once, and clients that leave.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::gateway::{Gateway, Setup, until};
use crate::wire::{Connection, Request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_by_four_clients_ask_once_per_user_and_worker() {
    const WORKERS: u32 = 2;
    let gateway = Setup::bundled().workers(WORKERS).start_beside_others().await;
    gateway.ready().await;

    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let port = gateway.ports.listener;
        let requests = ["alice", "bob", "carol"].map(|user| {
            let request = Request::get("/orders").bearer(&gateway.token(user)).into_bytes();
            gateway.remember_tokens(&request);
            (user, request)
        });
        clients.spawn_blocking(move || {
            for round in 0..10 {
                let mut connection = Connection::open(port);
                for (user, request) in requests.iter().cycle().skip(round).take(25) {
                    let answer = connection.send(request).expect("an answer");
                    assert_eq!(answer.seen().identity()["sub"], *user);
                }
            }
        });
    }
    let done = clients.join_all().await.len();
    assert_eq!(done, 4);
    for user in ["alice", "bob", "carol"] {
        let calls = gateway.user_calls(user).await;
        assert!((1..=u64::from(WORKERS)).contains(&calls), "{calls} calls for {user}");
    }
    for worker in 0..WORKERS {
        let name = format!(
            "listener.127.0.0.1_{}.worker_{worker}.downstream_cx_total",
            gateway.ports.listener
        );
        assert!(gateway.stat(&name).await > 0, "worker {worker} had nothing to do");
    }
    assert_eq!(gateway.stat("http.public.downstream_rq_5xx").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_requests_of_one_user_ask_together() {
    let gateway = patient().workers(1).start_beside_others().await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 300})).await;
    let mut waiting = JoinSet::new();
    let token = gateway.token("alice");
    for n in 0..40 {
        // Some with the same token, some with one of their own.
        let token = if n % 2 == 0 { token.clone() } else { gateway.token("alice") };
        waiting.spawn(gateway.send_beside(Request::get("/orders").bearer(&token)));
    }
    while let Some(answer) = waiting.join_next().await {
        assert_eq!(answer.unwrap(), "200");
    }
    assert_eq!(gateway.user_calls("alice").await, 1);
}

/// A busy machine must not turn a slow service into one that is too slow.
fn patient() -> Setup {
    Setup::bundled().replace("timeout_ms: 500", "timeout_ms: 10000")
}

async fn active(gateway: &Gateway) -> u64 {
    gateway.stat("http.public.downstream_rq_active").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_does_not_take_the_answer_of_others_with_it() {
    let gateway = patient().workers(1).start_beside_others().await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 400})).await;
    let request = Request::get("/orders").bearer(&gateway.token("alice"));

    let mut first = Connection::open(gateway.ports.listener);
    let bytes = request.clone().into_bytes();
    gateway.remember_tokens(&bytes);
    first.write(&bytes);
    until("the service is asked", || async { gateway.user_calls("alice").await == 1 }).await;
    let mut others = JoinSet::new();
    for _ in 0..10 {
        others.spawn(gateway.send_beside(request.clone()));
    }
    until("the others wait", || async { active(&gateway).await == 11 }).await;
    drop(first);
    while let Some(outcome) = others.join_next().await {
        assert_eq!(outcome.unwrap(), "200");
    }
    assert_eq!(gateway.user_calls("alice").await, 1, "the answer is for whoever stays");
    gateway.assert_serves("a client left").await;
}

/// Who asked for alice is gone before the answer, and nobody comes until its time-out and
/// so many milliseconds are over: how often the service was asked in the end.
async fn asked_after_silence(cache: &str, silence: u64) -> u64 {
    let setup = Setup::bundled().workers(1).replace("{ttl_seconds: 60", cache);
    let gateway = setup.start_beside_others().await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 200})).await;
    let request = Request::get("/orders").bearer(&gateway.token("alice")).into_bytes();
    gateway.remember_tokens(&request);
    let mut connection = Connection::open(gateway.ports.listener);
    connection.write(&request);
    until("the service is asked", || async { gateway.user_calls("alice").await == 1 }).await;
    let calls = gateway.read(gateway.ports.users, "/calls").await;
    let id = calls["request_ids"]["alice"].as_str().expect("the request's id").to_owned();
    connection.reset();
    until("it has answered", || async {
        gateway.stat("cluster.users.upstream_rq_200").await == 1
            && gateway.stat("cluster.users.upstream_rq_active").await == 0
    })
    .await;
    gateway.users_fault(json!({"kind": "none"})).await;
    sleep(Duration::from_millis(500 + silence)).await;
    assert_eq!(gateway.get("/orders", &gateway.token("alice")).await.status, 200);
    let log = gateway.log();
    let mut failed = log.lines().filter(|line| line.contains("user_info_failed"));
    assert_eq!(failed.find(|line| line.contains(&id)), None, "{log}");
    gateway.user_calls("alice").await
}

/// A worker without requests takes an answer in when the next comes, on the native door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_waits_for_any_more_is_not_lost() {
    assert_eq!(asked_after_silence("{ttl_seconds: 60", 1500).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_waits_for_any_more_is_as_old_as_when_it_came() {
    assert_eq!(asked_after_silence("{ttl_seconds: 1", 1500).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_that_leave_leave_nothing_behind() {
    let gateway = patient().start_beside_others().await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 400})).await;
    let (alice, carol) = (gateway.token("alice"), gateway.token("carol"));
    let requests = [&alice, &carol].map(|token| {
        let request = Request::get("/orders").bearer(token).into_bytes();
        gateway.remember_tokens(&request);
        request
    });
    let stayed = ["alice", "carol"].map(|user| {
        let request = Request::get("/orders").bearer(&gateway.token(user));
        tokio::spawn(gateway.send_beside(request))
    });
    for wave in 0..4 {
        let mut leaving = Vec::new();
        for request in requests.iter().cycle().take(50) {
            let mut connection = Connection::open(gateway.ports.listener);
            connection.write(request);
            leaving.push(connection);
        }
        // Some are seen by the filter before they leave, some are not.
        if wave % 2 == 0 {
            until("some wait", || async { active(&gateway).await > 0 }).await;
        }
        leaving.into_iter().for_each(Connection::reset);
    }
    for outcome in stayed {
        assert_eq!(outcome.await.unwrap(), "200", "who stayed is answered");
    }
    gateway.users_fault(json!({"kind": "none"})).await;
    gateway.assert_serves("two hundred resets").await;
    until("no request is left", || async {
        active(&gateway).await == 0 && gateway.stat("cluster.users.upstream_rq_active").await == 0
    })
    .await;
    // However they come and go, no request asks more than once.
    let calls = gateway.user_calls("alice").await + gateway.user_calls("carol").await;
    assert!(calls <= 203, "{calls} calls for 203 requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_while_a_service_hangs_leave_nothing_behind() {
    let gateway = Setup::bundled().workers(1).start_beside_others().await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 60_000})).await;
    let mut outcomes = BTreeSet::new();
    // Who waited in vain is not asked about again for a second: each round has another one.
    for user in ["alice", "bob", "carol"] {
        let token = gateway.token(user);
        let request = Request::get("/orders").bearer(&token).into_bytes();
        gateway.remember_tokens(&request);
        let mut leaving: Vec<_> =
            (0..20).map(|_| Connection::open(gateway.ports.listener)).collect();
        leaving.iter_mut().for_each(|connection| connection.write(&request));
        let stays = tokio::spawn(gateway.send_beside(Request::get("/orders").bearer(&token)));
        until("they wait", || async { active(&gateway).await >= 21 }).await;
        leaving.into_iter().for_each(Connection::reset);
        let outcome = tokio::time::timeout(Duration::from_secs(5), stays).await;
        outcomes.insert(outcome.expect("an answer in time").unwrap());
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["503 user_info_unavailable"]);
    gateway.users_fault(json!({"kind": "none"})).await;
    sleep(Duration::from_secs(1)).await;
    gateway.assert_serves("a service that hung").await;
}
