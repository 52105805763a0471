//! Requests that wait for the same answer, and answers nobody waits for.

use gatepass::host::HostCapabilities;
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use crate::support::*;

fn spain() -> Value {
    json!({"sub": "alice", "address": {"country": "ES"}})
}

#[test]
fn one_user_is_asked_for_once() {
    let mut world = World::new(&with_users([]), ENVOY);
    let (sent, first) = awaits(world.get(&alice()));
    let second = joins(world.get(&alice()));
    let third = joins(world.get(&token(json!({"jti": "another token of hers"}))));
    let now = world.now();
    let landing = world.gateway.complete(sent.id, &ok(&spain()), now).unwrap();
    for waiting in [first, second, third] {
        assert_eq!(waiting.callout(), sent.id);
        let edits = forwarded(world.gateway.resume(waiting, &landing, now));
        assert_eq!(world.identity(&edits)["country"], "ES");
    }
}

#[test]
fn another_user_is_another_question() {
    let mut world = World::new(&with_users([]), ENVOY);
    awaits(world.get(&alice()));
    let (sent, _) = awaits(world.get(&token(json!({"sub": "bob"}))));
    assert_eq!(sent.callout.path, "/users/bob");
}

#[test]
fn where_requests_cannot_wait_for_each_other_each_asks() {
    let mut world = World::new(&with_users([]), KONG);
    let (one, first) = awaits(world.get(&alice()));
    let (two, second) = awaits(world.get(&alice()));
    assert_ne!(one.id, two.id);
    // In any order.
    forwarded(world.complete(two.id, second, &ok(&spain())));
    let edits = forwarded(world.complete(one.id, first, &ok(&spain())));
    assert_eq!(world.identity(&edits)["country"], "ES");
    world.forwarded(&alice());
}

#[test]
fn a_failure_is_shared_too() {
    let mut world = World::new(&with_users([]), ENVOY);
    let (sent, first) = awaits(world.get(&alice()));
    let second = joins(world.get(&alice()));
    let now = world.now();
    let landing = world.gateway.complete(sent.id, &failed(), now).unwrap();
    for waiting in [first, second] {
        let step = world.gateway.resume(waiting, &landing, now);
        assert_eq!(denied(step), denial(503, "user_info_unavailable"));
    }
}

/// What is not kept serves those who waited for it, and nobody after.
#[test]
fn an_answer_that_is_not_kept_serves_those_who_waited() {
    let mut world = World::new(&with_users([]), ENVOY);
    let (sent, first) = awaits(world.get(&alice()));
    let second = joins(world.get(&alice()));
    let now = world.now();
    let landing = world.gateway.complete(sent.id, &ok_cached("no-store", &spain()), now).unwrap();
    for waiting in [first, second] {
        forwarded(world.gateway.resume(waiting, &landing, now));
    }
    awaits(world.get(&alice()));
}

#[test]
fn when_the_first_goes_away_the_others_get_its_answer() {
    let mut world = World::new(&with_users([]), ENVOY);
    let (sent, first) = awaits(world.get(&alice()));
    let second = joins(world.get(&alice()));
    drop(first);
    let third = joins(world.get(&alice()));
    let now = world.now();
    let landing = world.gateway.complete(sent.id, &ok(&spain()), now).unwrap();
    for waiting in [second, third] {
        forwarded(world.gateway.resume(waiting, &landing, now));
    }
    world.forwarded(&alice());
}

/// Keys and user info that keep ending while it waits for the other of the two.
#[test]
fn a_request_asks_for_nothing_twice() {
    let config = remote([(
        "/user_info",
        json!({"service": "users", "path": "/users/{sub}", "cache": {"ttl_seconds": 60}}),
    )]);
    let mut world = World::new(&config, ENVOY);
    let long = token(json!({"exp": START + 86_400}));
    let mut step = world.get(&long);
    let mut asked = Vec::new();
    let denied_with = loop {
        let gatepass::pipeline::Step::Wait(sent, waiting) = step else { break denied(step) };
        asked.push(sent.callout.path.clone());
        let is_for_keys = sent.callout.path == "/jwks.json";
        let reply = if is_for_keys { jwks(&[KEY_A.jwk("a")]) } else { ok(&spain()) };
        let landing = world.gateway.complete(sent.id, &reply, world.now()).unwrap();
        if !is_for_keys {
            // The host takes its time: both have ended before the request goes on.
            world.millis += 2 * 3_600_000;
        }
        step = world.gateway.resume(waiting, &landing, world.now());
    };
    assert_eq!(denied_with, denial(503, "keys_unavailable"));
    assert_eq!(asked, ["/jwks.json", "/users/alice"]);
    // Nothing of it is in the next one's way.
    assert_eq!(world.tick(&jwks(&[KEY_A.jwk("a")])), 1);
    awaits(world.get(&long));
}

#[test]
fn replies_that_nobody_awaits() {
    for host in HOSTS {
        let mut world = World::new(&with_users([]), host);
        let (sent, waiting) = awaits(world.get(&alice()));
        forwarded(world.complete(sent.id, waiting, &ok(&spain())));
        let now = world.now();
        let forged = ok(&json!({"address": {"country": "XX"}}));
        assert!(world.gateway.complete(sent.id, &forged, now).is_none(), "twice");
        let edits = world.forwarded(&alice());
        assert_eq!(world.identity(&edits)["country"], "ES");
    }
}

#[test]
fn a_reply_that_never_comes_is_given_up() {
    let mut world = World::new(&with_users([]), ENVOY);
    let (sent, waiting) = awaits(world.get(&alice()));
    // The time-out of 500 ms and two seconds.
    world.millis += 2499;
    let now = world.now();
    assert!(world.gateway.tick(now).overdue.is_empty());
    world.millis += 1;
    let now = world.now();
    assert_eq!(world.gateway.tick(now).overdue, [sent.id]);
    let step = world.complete(sent.id, waiting, &failed());
    assert_eq!(denied(step), denial(503, "user_info_unavailable"));
    let now = world.now();
    assert!(world.gateway.tick(now).overdue.is_empty());
}

/// The service may be well: whoever looks for a fault there finds none.
#[test]
fn a_request_that_cannot_wait_is_not_told_that_the_service_failed() {
    let mut world = World::new(&with_users([]), ENVOY);
    for user in 0..1000 {
        awaits(world.get(&token(json!({"sub": format!("user {user}")}))));
    }
    let step = world.get(&token(json!({"sub": "one too many"})));
    let Step::Done(Verdict::Deny(denial, answer), _) = step else { panic!("{step:?}") };
    assert_eq!((answer.status, denial.code().name()), (503, "user_info_unavailable"));
    assert_eq!(denial.to_string(), "too many requests are waiting for the same service");
}

/// Of the consumer that the host has for a token.
#[test]
fn a_consumer_that_cannot_be_looked_up_is_no_fault_of_the_signing_keys() {
    let host = HostCapabilities { has_consumers: true, ..ENVOY };
    let consumers = json!({"claim": ["azp"], "kong": "custom_id"});
    let mut world = World::new(&local([("/consumers", consumers)]), host);
    let step = world.get(&alice());
    let step = world.answer(step, &failed());
    assert_eq!(detail(step), "the host's consumer could not be looked up");
}

/// A reply that is lost holds nobody up for as long as the clock was set back.
#[test]
fn a_clock_set_back_delays_no_timeout() {
    let mut world = World::new(&with_users([]), ENVOY);
    let (sent, waiting) = awaits(world.get(&token(json!({"iat": null}))));
    world.pass(-1800);
    let now = world.now();
    assert!(world.gateway.tick(now).overdue.is_empty(), "it may still come");
    world.millis += 2500;
    let now = world.now();
    assert_eq!(world.gateway.tick(now).overdue, [sent.id]);
    let step = world.complete(sent.id, waiting, &failed());
    assert_eq!(denied(step), denial(503, "user_info_unavailable"));
}

/// The request waited for keys, then for the user.
#[test]
fn one_wait_after_the_other() {
    let mut config = with_users([]);
    let keys = remote([]);
    config["providers"] = keys["providers"].clone();
    for host in HOSTS {
        let mut world = World::new(&config, host);
        let step = world.get(&alice());
        let step = world.answer(step, &jwks(&[KEY_A.jwk("a")]));
        let edits = forwarded(world.answer(step, &ok(&spain())));
        assert_eq!(world.identity(&edits)["country"], "ES");
    }
}

/// What ended while it waited is over.
#[test]
fn a_token_that_ends_while_the_request_waits_is_denied() {
    let mut world = World::new(&with_users([]), ENVOY);
    let (sent, waiting) = awaits(world.get(&token(json!({"exp": START + 10}))));
    world.pass(70);
    let step = world.complete(sent.id, waiting, &ok(&spain()));
    assert_eq!(denied(step), denial(401, "token_expired"));
}
