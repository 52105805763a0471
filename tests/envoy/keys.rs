//! The issuer's keys: absent, replaced, unreachable, and asked for in vain.

use serde_json::json;

use crate::gateway::{Setup, until};
use crate::tokens::{Signer, alice};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_requests_are_denied_until_they_arrive_by_themselves() {
    for fault in [json!({"kind": "down"}), json!({"kind": "status", "status": 500})] {
        let gateway = Setup::bundled().jwks_fault(fault.clone()).start().await;
        for _ in 0..3 {
            let answer = gateway.get("/orders", &gateway.token("alice")).await;
            assert_eq!(answer.outcome(), "503 keys_unavailable", "{fault}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{fault}");
        }
        gateway.jwks_fault(json!({"kind": "none"})).await;
        gateway.ready().await;
        gateway.assert_serves("the keys arrived").await;
        // That they were asked for in vain is no reason to wait with a new key.
        gateway.post(gateway.ports.auth, "/rotate", &json!({})).await;
        gateway.assert_serves("the keys were rotated").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_serves_at_once_and_the_old_one_goes_on() {
    let gateway = Setup::bundled().start().await;
    gateway.ready().await;
    let old = gateway.token("alice");
    assert_eq!(gateway.get("/orders", &old).await.outcome(), "200");
    gateway.post(gateway.ports.auth, "/rotate", &json!({})).await;
    let new = gateway.token("alice");
    for _ in 0..10 {
        assert_eq!(gateway.get("/orders", &new).await.outcome(), "200");
        assert_eq!(gateway.get("/orders", &old).await.outcome(), "200");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_pass_while_the_auth_service_is_down() {
    let gateway = Setup::bundled()
        .workers(1)
        .replace("path: /.well-known/jwks.json}", "path: /.well-known/jwks.json, cache_seconds: 1}")
        .start()
        .await;
    gateway.ready().await;
    gateway.jwks_fault(json!({"kind": "down"})).await;
    let before = gateway.jwks_calls().await;
    until("fetches failed", || async {
        gateway.assert_serves("the auth service went down").await;
        gateway.jwks_calls().await >= before + 3
    })
    .await;
    gateway.assert_serves("fetches failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_key_ids_do_not_make_the_gateway_fetch_each_time() {
    let gateway = Setup::bundled().start().await;
    gateway.ready().await;
    gateway.assert_serves("start").await;
    let before = gateway.jwks_calls().await;
    for n in 0..100 {
        let forged = Signer::es256(&format!("made-up-{n}")).token(&alice(json!({})));
        assert_eq!(gateway.get("/orders", &forged).await.outcome(), "401 key_unknown");
    }
    let fetched = gateway.jwks_calls().await - before;
    assert!(fetched <= 4, "{fetched} fetches for 100 ids by two workers");
    gateway.assert_serves("made-up key ids").await;
}

/// What is fetched must be a key set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_key_set_brings_no_keys() {
    for kind in ["html", "array", "huge", "truncated", "malformed", "empty"] {
        let gateway = Setup::bundled().workers(1).jwks_fault(json!({"kind": kind})).start().await;
        for _ in 0..3 {
            let answer = gateway.get("/orders", &gateway.token("alice")).await;
            assert_eq!(answer.outcome(), "503 keys_unavailable", "{kind}");
        }
        gateway.jwks_fault(json!({"kind": "none"})).await;
        until("the gateway serves", || async {
            gateway.get("/orders", &gateway.token("alice")).await.status == 200
        })
        .await;
    }
}
