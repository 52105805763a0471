//! The issuer's keys: absent, replaced, unreachable, and asked for in vain.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::time::sleep;

use crate::gateway::{Setup, until};
use crate::tokens::{Signer, alice, encode};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_requests_are_denied_until_they_arrive_by_themselves() {
    for fault in [json!({"kind": "down"}), json!({"kind": "status", "status": 500})] {
        let gateway = Setup::bundled().jwks_fault(fault.clone()).start_beside_others().await;
        for _ in 0..3 {
            let answer = gateway.get("/orders", &gateway.token("alice")).await;
            assert_eq!(answer.outcome(), "503 keys_unavailable", "{fault}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{fault}");
        }
        gateway.jwks_fault(json!({"kind": "none"})).await;
        gateway.ready().await;
        // A worker that asked in vain asks again, or looks for what another one
        // found, a second later.
        sleep(Duration::from_millis(1500)).await;
        gateway.assert_serves("the keys arrived").await;
        // That they were asked for in vain is no reason to wait with a new key.
        gateway.post(gateway.ports.auth, "/rotate", &json!({})).await;
        gateway.assert_serves("the keys were rotated").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_serves_at_once_and_the_old_one_goes_on() {
    let gateway = Setup::bundled().start_beside_others().await;
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
        .start_beside_others()
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
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    gateway.assert_serves("start").await;
    let before = gateway.jwks_calls().await;
    for n in 0..100 {
        let forged = Signer::es256(&format!("made-up-{n}")).token(&alice(json!({})));
        let outcome = gateway.get("/orders", &forged).await.outcome();
        assert!(["401 key_unknown", "503 keys_unavailable"].contains(&&*outcome), "{outcome}");
    }
    let fetched = gateway.jwks_calls().await - before;
    assert!(fetched <= 8, "{fetched} fetches for 100 ids by two workers");
    gateway.assert_serves("made-up key ids").await;
}

/// What is fetched must be a key set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_key_set_brings_no_keys() {
    for kind in ["html", "array", "huge", "truncated", "malformed", "empty"] {
        let gateway = Setup::bundled()
            .workers(1)
            .jwks_fault(json!({"kind": kind}))
            .start_beside_others()
            .await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fetch_of_the_keys_serves_every_worker() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    assert_eq!(gateway.jwks_calls().await, 1, "for two workers and the main thread");
    for _ in 0..8 {
        gateway.assert_serves("one fetch").await;
    }
    assert_eq!(gateway.jwks_calls().await, 1, "nobody had to ask again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_denied_while_the_issuer_rotates_its_key_under_load() {
    let gateway = Setup::bundled()
        .replace(
            "path: /.well-known/jwks.json}",
            "path: /.well-known/jwks.json, unknown_kid_cooldown_seconds: 1}",
        )
        .start_beside_others()
        .await;
    gateway.ready().await;
    let over = AtomicBool::new(false);
    // Each request has a new token, by the key of the moment.
    let client = || async {
        let mut outcomes = BTreeMap::new();
        while !over.load(Ordering::Relaxed) {
            let outcome = gateway.get("/orders", &gateway.token("alice")).await.outcome();
            *outcomes.entry(outcome).or_insert(0_u32) += 1;
        }
        outcomes
    };
    let rotations = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(1500)).await;
            gateway.post(gateway.ports.auth, "/rotate", &json!({})).await;
        }
        sleep(Duration::from_millis(500)).await;
        over.store(true, Ordering::Relaxed);
    };
    let (a, b, c, d, ()) = tokio::join!(client(), client(), client(), client(), rotations);
    let mut total = 0;
    for outcomes in [a, b, c, d] {
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["200"], "{outcomes:?}");
        total += outcomes["200"];
    }
    assert!(total > 100, "a load: {total} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_key_ids_in_masses_cost_a_few_fetches_a_cooldown_and_worker() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let before = gateway.jwks_calls().await;
    let flood = |client: u32| {
        let gateway = &gateway;
        async move {
            let token = Signer::es256("made-up").token(&alice(json!({})));
            let (_, rest) = token.split_once('.').unwrap();
            for n in 0..2_500 {
                // Only the header is new: making keys would be most of the work.
                let header =
                    json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("{client}-{n}")});
                let forged = format!("{}.{rest}", encode(header.to_string()));
                let outcome = gateway.get("/orders", &forged).await.outcome();
                let accepted = ["401 key_unknown", "503 keys_unavailable"];
                assert!(accepted.contains(&&*outcome), "{outcome}");
                if n % 50 == 0 {
                    gateway.assert_serves("made-up key ids").await;
                }
            }
        }
    };
    let start = Instant::now();
    tokio::join!(flood(0), flood(1), flood(2), flood(3));
    let fetched = gateway.jwks_calls().await - before;
    // On a machine with more to do it takes more cooldowns, of 30 s.
    let cooldowns = 1 + start.elapsed().as_secs() / 30;
    assert!(
        fetched <= 16 * cooldowns,
        "{fetched} fetches for 10,000 ids by two workers in {cooldowns} cooldowns"
    );
}

/// Keys of the gateway itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_that_keeps_the_key_set_never_meets_a_key_it_does_not_know() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // RFC 8037 appendix A.1.
    let next = r#"{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo, d: nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A}"#;
    let first = "{algorithm: ES256, private_key: {env: GATEPASS_SIGNING_KEY}";
    let keys = format!(
        "{{algorithm: EdDSA, kid: next, sign_from: {}, private_key: {next}}}\n\
         {:22}- {first}, kid: first",
        now + 6,
        ""
    );
    let gateway = Setup::bundled().replace(first, &keys).start_beside_others().await;
    gateway.ready().await;
    let kept = gateway.read(gateway.ports.listener, "/.well-known/gatepass/jwks.json").await;
    let known: Vec<_> = kept["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert_eq!(known, ["next", "first"]);
    let token = gateway.token("alice");
    // Every identity on the way is one that the kept set can tell, and the
    // upstream, which verifies with a set it keeps, too.
    until("the next key signs", || async {
        let answer = gateway.get("/orders", &token).await;
        let seen = answer.seen();
        assert_eq!(seen.identity()["sub"], "alice");
        let kid = jsonwebtoken::decode_header(seen.values("x-identity-token")[0]).unwrap().kid;
        assert!(kept["keys"].as_array().unwrap().iter().any(|key| key["kid"] == json!(kid)));
        kid.as_deref() == Some("next")
    })
    .await;
}
