//! What is asked about the user, how long the answer serves, and what happens
//! without one.

use gatepass::callout::{CalloutFailure, CalloutReply};
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use crate::support::*;

fn spain() -> Value {
    json!({"sub": "alice", "address": {"country": "ES"}})
}

/// A gateway that knows alice since the start.
fn knowing_alice(config: &Value, answer: &CalloutReply) -> World {
    let mut world = World::new(config, ENVOY);
    let step = world.get(&alice());
    forwarded(world.answer(step, answer));
    world
}

/// Whether a request has to wait for the service.
fn asks(world: &mut World, token: &str) -> bool {
    match world.get(token) {
        Step::Wait(..) => true,
        step => {
            forwarded(step);
            false
        }
    }
}

/// Every way in which a service can fail to answer.
fn failures() -> Vec<(&'static str, CalloutReply)> {
    let failed = CalloutReply::Failed;
    let mut failures = vec![
        ("not sent", failed(CalloutFailure::NotSent)),
        ("no reply", failed(CalloutFailure::NoReply)),
        ("too large", failed(CalloutFailure::TooLarge { limit: 10 })),
        ("empty", reply(200, b"")),
        ("no content", reply(204, b"")),
        ("a redirect", reply(302, br#"{"sub":"alice","address":{"country":"ES"}}"#)),
        ("cut off", reply(200, br#"{"sub":"alice","addr"#)),
        ("two objects", reply(200, br#"{"sub":"alice"}{}"#)),
        ("a list", reply(200, br#"[{"sub":"alice"}]"#)),
        ("null", reply(200, b"null")),
        ("HTML", reply(200, b"<html></html>")),
        ("not UTF-8", reply(200, b"{\"sub\":\"\xff\"}")),
        ("a member twice", reply(200, br#"{"sub":"alice","sub":"alice"}"#)),
        ("too deep", reply(200, format!("{{\"a\":{}", "[".repeat(1000)).as_bytes())),
        ("no subject", ok(&json!({"id": "alice", "address": {"country": "ES"}}))),
        ("no subject but null", ok(&json!({"sub": null, "address": {"country": "ES"}}))),
        ("a number as subject", ok(&json!({"sub": 1, "address": {"country": "ES"}}))),
        ("another user", ok(&json!({"sub": "bob", "address": {"country": "ES"}}))),
        ("another user, by case", ok(&json!({"sub": "Alice", "address": {"country": "ES"}}))),
        ("a user that is no text", ok(&json!({"sub": 7, "address": {"country": "ES"}}))),
        ("a user of null", ok(&json!({"sub": null, "address": {"country": "ES"}}))),
        ("a required claim missing", ok(&json!({"sub": "alice"}))),
        ("a required claim of null", ok(&json!({"sub": "alice", "address": {"country": null}}))),
        ("control characters", ok(&json!({"sub": "alice", "address": {"country": "E\nS"}}))),
    ];
    for status in [0, 100, 199, 300, 301, 304, 400, 401, 403, 405, 429, 500, 503, 599] {
        failures.push(("status", reply(status, spain().to_string().as_bytes())));
    }
    failures
}

fn strict(mode: &str) -> Value {
    with_users([
        ("/user_info/failure_mode", mode.into()),
        ("/user_info/required", json!(["country"])),
        ("/claim_to_headers", json!([{"header": "x-user-country", "claim": "country"}])),
    ])
}

// RFC 9110 section 15.6.4 (R61)
#[test]
fn without_an_answer_the_configuration_decides() {
    for (case, failure) in failures() {
        for host in HOSTS {
            let mut world = World::new(&strict("deny"), host);
            let step = world.get(&alice());
            let got = denied(world.answer(step, &failure));
            assert_eq!(got, denial(503, "user_info_unavailable"), "{case}");
            awaits(world.get(&alice()));

            let mut world = World::new(&strict("degrade"), host);
            let step = world.get(&alice());
            let edits = forwarded(world.answer(step, &failure));
            let claims = world.identity(&edits);
            assert_eq!(claims["enrichment"], "none", "{case}");
            assert_eq!(claims.get("country"), None, "{case}");
            assert_eq!(field(&edits, "x-user-country"), None, "{case}");
            // Degraded once is not degraded for as long as the token lasts.
            let step = world.get(&alice());
            let edits = forwarded(world.answer(step, &ok(&spain())));
            let claims = world.identity(&edits);
            assert_eq!(claims["country"], "ES", "{case}");
            assert_eq!(claims.get("enrichment"), None, "{case}");
        }
    }
}

// RFC 5861 section 4: "indicates that when an error is encountered, a cached stale
// response MAY be used to satisfy the request, regardless of other freshness
// information" (R66)
#[test]
fn stale_data_serves_while_the_service_fails() {
    for mode in ["deny", "degrade"] {
        for (case, failure) in failures() {
            let mut world = knowing_alice(&strict(mode), &ok(&spain()));
            world.pass(60);
            let step = world.get(&alice());
            let edits = forwarded(world.answer(step, &failure));
            assert_eq!(world.identity(&edits)["country"], "ES", "{case}, {mode}");
            // A service that hangs does not hold up each request.
            world.forwarded(&alice());
            world.pass(1);
            let step = world.get(&alice());
            let fresh = json!({"sub": "alice", "address": {"country": "FR"}});
            let edits = forwarded(world.answer(step, &ok(&fresh)));
            assert_eq!(world.identity(&edits)["country"], "FR", "{case}, {mode}");
        }
    }
}

/// A request that waited in vain is enough for a moment: those after it are
/// answered without waiting, and a service in trouble is left alone.
#[test]
fn a_service_that_let_a_user_wait_in_vain_is_left_alone_for_a_second() {
    for (mode, host) in [("deny", ENVOY), ("degrade", ENVOY), ("deny", KONG), ("degrade", KONG)] {
        let answered_at_once = |world: &mut World| match (world.get(&alice()), mode) {
            (Step::Wait(..), _) => false,
            (step, "deny") => {
                assert_eq!(denied(step), denial(503, "user_info_unavailable"));
                true
            }
            (step, _) => {
                let edits = forwarded(step);
                assert_eq!(world.identity(&edits)["enrichment"], "none");
                true
            }
        };
        for (case, waited, millis, expected) in [
            ("at once", 500, 0, true),
            ("just before its end", 500, 999, true),
            ("at its end", 500, 1000, false),
            ("after half of the time-out", 250, 0, true),
            ("after a failure that cost no time", 249, 0, false),
        ] {
            let mut world = World::new(&strict(mode), host);
            let step = world.get(&alice());
            world.millis += waited;
            let _ = world.answer(step, &failed());
            world.millis += millis;
            assert_eq!(answered_at_once(&mut world), expected, "{case}, {mode}");
        }
        let mut world = World::new(&strict(mode), host);
        let step = world.get(&alice());
        world.millis += 500;
        let _ = world.answer(step, &failed());
        awaits(world.get(&token(json!({"sub": "carol"}))));
        assert!(answered_at_once(&mut world), "that another user is asked about changes nothing");
        world.millis -= 600;
        assert!(!answered_at_once(&mut world), "a clock set back extends nothing");
    }
}

#[test]
fn who_keeps_no_refusals_asks_a_service_that_hangs_each_time() {
    let config = with_users([("/user_info/cache", json!({"negative_ttl_seconds": 0}))]);
    let mut world = World::new(&config, ENVOY);
    for _ in 0..3 {
        let step = world.get(&alice());
        world.millis += 500;
        assert_eq!(denied(world.answer(step, &failed())), denial(503, "user_info_unavailable"));
    }
}

/// Users who are waited for in vain push nobody out whose old answer serves.
#[test]
fn a_service_that_hangs_costs_nobody_an_answer() {
    let mut config = strict("deny");
    put(&mut config, "/user_info/cache", json!({"max_entries": 2}));
    let mut world = knowing_alice(&config, &ok(&spain()));
    world.pass(60);
    for n in 0..100 {
        let step = world.get(&token(json!({"sub": format!("user-{n}")})));
        world.millis += 500;
        assert_eq!(denied(world.answer(step, &failed())), denial(503, "user_info_unavailable"));
    }
    let step = world.get(&alice());
    let edits = forwarded(world.answer(step, &failed()));
    assert_eq!(world.identity(&edits)["country"], "ES");
}

#[test]
fn stale_data_has_an_end() {
    for (case, seconds, serves) in [("before", 359, true), ("at its end", 360, false)] {
        let mut world = knowing_alice(&strict("deny"), &ok(&spain()));
        world.pass(seconds);
        let step = world.get(&alice());
        let step = world.answer(step, &failed());
        if serves {
            forwarded(step);
        } else {
            assert_eq!(denied(step), denial(503, "user_info_unavailable"), "{case}");
        }
    }
}

/// In the second before its end too, though a service that failed is left alone
/// for a second.
#[test]
fn stale_data_is_not_stretched_by_the_pause_after_a_failure() {
    let mut world = knowing_alice(&strict("deny"), &ok(&spain()));
    world.millis += 359_500;
    let step = world.get(&alice());
    forwarded(world.answer(step, &failed()));
    world.millis += 499;
    world.forwarded(&alice());
    world.millis += 1;
    let step = world.get(&alice());
    assert_eq!(denied(world.answer(step, &failed())), denial(503, "user_info_unavailable"));
}

#[test]
fn a_clock_set_back_prolongs_no_pause() {
    let mut world = knowing_alice(&strict("deny"), &ok(&spain()));
    world.pass(100);
    let step = world.get(&alice());
    forwarded(world.answer(step, &failed()));
    world.forwarded(&alice());
    world.pass(-30);
    awaits(world.get(&alice()));
}

#[test]
fn unknown_users() {
    for status in [404, 410] {
        // Whatever was known before, and however failures are dealt with.
        for mode in ["deny", "degrade"] {
            let mut world = knowing_alice(&strict(mode), &ok(&spain()));
            world.pass(60);
            let step = world.get(&alice());
            let gone = reply(status, spain().to_string().as_bytes());
            let unknown = denial(403, "user_unknown");
            assert_eq!(denied(world.answer(step, &gone)), unknown, "{status}");
            world.millis += 4999;
            assert_eq!(world.denied(&alice()), unknown, "{status}, cached");
            world.millis += 1;
            let step = world.get(&alice());
            forwarded(world.answer(step, &ok(&spain())));
        }
    }
}

/// What the service says of its cache shortens that a user is unknown, too.
#[test]
fn an_unknown_user_is_one_for_as_long_as_the_service_says() {
    for (cache_control, millis) in [
        ("max-age=2", 2_000),
        ("max-age=60", 5_000),
        ("max-age=0", 0),
        ("no-store", 0),
        ("no-cache", 0),
        ("private", 5_000),
    ] {
        for status in [404, 410] {
            let mut world = World::new(&strict("deny"), ENVOY);
            let step = world.get(&alice());
            let unknown = denial(403, "user_unknown");
            let gone = cached_reply(status, cache_control, b"");
            assert_eq!(denied(world.answer(step, &gone)), unknown, "{status} {cache_control}");
            if millis > 0 {
                world.millis += millis - 1;
                assert_eq!(world.denied(&alice()), unknown, "{status} {cache_control}");
                world.millis += 1;
            }
            assert!(asks(&mut world, &alice()), "{status} {cache_control}");
        }
    }
}

#[test]
fn an_answer_serves_for_its_time() {
    let no_store = ok_cached("no-store", &spain());
    for (case, answer, millis) in [
        ("its own", ok(&spain()), 60_000),
        ("less", ok_cached("max-age=10", &spain()), 10_000),
        ("more is not listened to", ok_cached("max-age=600", &spain()), 60_000),
        ("not a number", ok_cached("max-age=soon", &spain()), 0),
        ("private", ok_cached("private", &spain()), 60_000),
        ("not to be kept", no_store, 0),
        ("to be asked again", ok_cached("no-cache", &spain()), 0),
    ] {
        for token in [alice(), token(json!({"jti": "another"}))] {
            let mut world = knowing_alice(&strict("deny"), &answer);
            if millis > 0 {
                world.millis += millis - 1;
                assert!(!asks(&mut world, &token), "{case}");
                world.millis += 1;
            }
            assert!(asks(&mut world, &token), "{case}");
        }
    }
}

/// `no-store` means that it is not kept for worse times either.
#[test]
fn what_must_not_be_kept_does_not_serve_stale() {
    let mut world = knowing_alice(&strict("deny"), &ok_cached("no-store", &spain()));
    let step = world.get(&alice());
    assert_eq!(denied(world.answer(step, &failed())), denial(503, "user_info_unavailable"));
}

#[test]
fn what_was_known_before_does_not_serve_once_nothing_may_be_kept() {
    let mut world = knowing_alice(&strict("deny"), &ok(&spain()));
    world.pass(60);
    let step = world.get(&alice());
    forwarded(world.answer(step, &ok_cached("no-store", &spain())));
    let step = world.get(&alice());
    assert_eq!(denied(world.answer(step, &failed())), denial(503, "user_info_unavailable"));
}

#[test]
fn an_answer_does_not_outlive_the_token_it_was_for() {
    let short = token(json!({"exp": START + 20}));
    let mut world = World::new(&strict("deny"), ENVOY);
    let step = world.get(&short);
    forwarded(world.answer(step, &ok(&spain())));
    world.millis += 19_999;
    world.forwarded(&alice());
    world.millis += 1;
    awaits(world.get(&alice()));
}

#[test]
fn each_user_has_an_answer_of_his_own() {
    let mut world = knowing_alice(&strict("deny"), &ok(&spain()));
    let bob = token(json!({"sub": "bob"}));
    let step = world.get(&bob);
    let (sent, waiting) = awaits(step);
    assert_eq!(sent.callout.path, "/users/bob");
    let edits = forwarded(world.complete(
        sent.id,
        waiting,
        &ok(&json!({"sub": "bob", "address": {"country": "FR"}})),
    ));
    assert_eq!(world.identity(&edits)["country"], "FR");
    let edits = world.forwarded(&alice());
    assert_eq!(world.identity(&edits)["country"], "ES");
}

// RFC 3986 section 3.3 (R68)
#[test]
fn paths_are_filled_so_that_none_leads_elsewhere() {
    for (case, sub, expected) in [
        ("plain", json!("alice"), Ok("/t/acme/u/alice?x=1")),
        ("slashes", json!("a/../b"), Ok("/t/acme/u/a%2F..%2Fb?x=1")),
        ("a query", json!("a?b#c&d"), Ok("/t/acme/u/a%3Fb%23c%26d?x=1")),
        ("not ASCII", json!("é %"), Ok("/t/acme/u/%C3%A9%20%25?x=1")),
        ("line break", json!("a\r\nb"), Ok("/t/acme/u/a%0D%0Ab?x=1")),
        ("climbing", json!(".."), Err("claim_mismatch")),
        ("standing", json!("."), Err("claim_mismatch")),
    ] {
        let config = with_users([("/user_info/path", "/t/{org.tenant}/u/{sub}?x=1".into())]);
        let mut world = World::new(&config, ENVOY);
        let step = world.get(&token(json!({"sub": sub, "org": {"tenant": "acme"}})));
        match expected {
            Ok(path) => assert_eq!(awaits(step).0.callout.path, path, "{case}"),
            Err(code) => assert_eq!(denied(step), denial(401, code), "{case}"),
        }
    }
    let config = with_users([("/user_info/path", "/{tenant}".into())]);
    let mut world = World::new(&config, ENVOY);
    for (case, tenant, code) in [
        ("none", Value::Null, "claim_missing"),
        ("a list", json!(["acme"]), "claim_mismatch"),
        ("empty", json!(""), "claim_mismatch"),
    ] {
        let got = world.denied(&token(json!({"tenant": tenant})));
        assert_eq!(got, denial(401, code), "{case}");
    }
    let (sent, _) = awaits(world.get(&token(json!({"tenant": 7}))));
    assert_eq!(sent.callout.path, "/7", "a number");
}

#[test]
fn what_is_sent() {
    let config = with_users([
        ("/user_info/headers", json!({"X-API-Key": "hunter2"})),
        ("/user_info/forward_token", true.into()),
        ("/user_info/path", "/userinfo".into()),
    ]);
    let mut world = World::new(&config, ENVOY);
    let (sent, _) = awaits(world.get(&alice()));
    let headers = sent.callout.headers.iter();
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.as_str(), value.expose().clone())).collect();
    let bearer = format!("Bearer {}", alice());
    assert_eq!(headers, [("x-api-key", "hunter2".to_owned()), ("authorization", bearer)]);
    let debug = format!("{sent:?}");
    assert!(!debug.contains("hunter2") && !debug.contains("eyJ"), "{debug}");
}

/// What is sent by token is kept by token: the service may answer each
/// differently.
#[test]
fn forwarded_tokens_do_not_share_an_answer() {
    let another = token(json!({"jti": "another"}));
    for (case, forward, path, shared) in [
        ("the token is not sent", false, "/users/{sub}", true),
        ("the token is sent", true, "/users/{sub}", false),
        ("nothing but the token is sent", true, "/userinfo", false),
    ] {
        let config = with_users([
            ("/user_info/forward_token", forward.into()),
            ("/user_info/path", path.into()),
        ]);
        let mut world = knowing_alice(&config, &ok(&spain()));
        assert_eq!(asks(&mut world, &another), !shared, "{case}");
    }
}

/// One path for all, and the reply does not say whose it is: subjects are kept
/// apart all the same.
// RFC 9111 section 2 (R63)
#[test]
fn users_on_one_path_do_not_share_an_answer() {
    let mut world = knowing_alice(&with_users([("/user_info/path", "/me".into())]), &ok(&spain()));
    awaits(world.get(&token(json!({"sub": "bob"}))));
}

#[test]
fn the_whole_reply_as_a_claim() {
    let config = with_users([
        ("/user_info/claims", json!({})),
        ("/user_info/required", json!(["user"])),
        ("/user_info/subject_pointer", "/id".into()),
    ]);
    let mut world = World::new(&config, ENVOY);
    let user = json!({"id": "alice", "sub": "another", "iss": "x", "roles": ["a"]});
    let step = world.get(&alice());
    let edits = forwarded(world.answer(step, &ok(&user)));
    let claims = world.identity(&edits);
    assert_eq!(claims["user"], user);
    assert_eq!(
        (&claims["sub"], &claims["iss"]),
        (&json!("alice"), &json!("https://gateway.internal"))
    );
}

#[test]
fn no_more_users_are_kept_than_configured() {
    for (entries, kept) in [(0, 0), (1, 1), (3, 3)] {
        let config = with_users([
            ("/user_info/cache", json!({"max_entries": entries})),
            ("/limits", json!({"token_cache_entries": 0})),
        ]);
        let mut world = World::new(&config, ENVOY);
        let users: Vec<_> = (0..5).map(|n| token(json!({"sub": format!("u{n}")}))).collect();
        for (position, user) in users.iter().enumerate() {
            let step = world.get(user);
            forwarded(world.answer(step, &ok(&json!({"sub": format!("u{position}")}))));
        }
        // The latest first, so that asking does not push out what is counted.
        let is_kept = |user: &&String| !asks(&mut world, user);
        assert_eq!(users.iter().rev().filter(is_kept).count(), kept, "{entries} entries");
    }
}

/// Two workers of a gateway that share what they are told about users.
fn two(config: &Value) -> [World; 2] {
    let store = Store::default();
    [(); 2].map(|()| {
        let mut world = World::new(config, ENVOY);
        world.gateway.share_user_info(Box::new(store.clone()));
        world
    })
}

#[test]
fn what_one_worker_was_told_about_a_user_serves_the_other_and_no_longer() {
    let [mut one, mut other] = two(&strict("deny"));
    let step = one.get(&alice());
    forwarded(one.answer(step, &ok(&spain())));
    // Half of its time is over.
    other.pass(30);
    let edits = forwarded(other.get(&alice()));
    assert_eq!(other.identity(&edits)["country"], "ES");
    assert!(asks(&mut other, &token(json!({"sub": "bob"}))), "another user");
    other.pass(29);
    forwarded(other.get(&token(json!({"sub": "alice", "jti": "59 s"}))));
    other.pass(1);
    assert!(asks(&mut other, &token(json!({"sub": "alice", "jti": "60 s"}))), "it is as old");
}

#[test]
fn an_answer_of_another_worker_is_read_as_an_own_one() {
    for (case, told, expected) in [
        ("unknown", reply(404, b""), "403 user_unknown"),
        ("not to be kept", ok_cached("no-store", &spain()), "asks"),
        ("unknown, not to be kept", cached_reply(404, "no-store", b""), "asks"),
        ("for a while", ok_cached("max-age=5", &spain()), "forwarded"),
        ("a failure", reply(500, b""), "asks"),
        ("about another", ok(&json!({"sub": "bob", "address": {"country": "ES"}})), "asks"),
    ] {
        let [mut one, mut other] = two(&strict("deny"));
        let step = one.get(&alice());
        let _ = one.answer(step, &told);
        let found = match other.get(&alice()) {
            Step::Wait(..) => "asks".to_owned(),
            Step::Done(Verdict::Forward(_), _) => "forwarded".to_owned(),
            step => {
                let (status, code) = denied(step);
                format!("{status} {code}")
            }
        };
        assert_eq!(found, expected, "{case}");
        other.pass(5);
        if expected != "asks" {
            let later = token(json!({"sub": "alice", "jti": case}));
            assert!(asks(&mut other, &later), "{case}: later");
        }
    }
}

/// Contract of `user_info`: an answer never outlives the token, whoever else uses it.
#[test]
fn an_answer_ends_with_the_token_under_which_it_was_requested() {
    let [mut one, mut other] = two(&strict("deny"));
    let step = one.get(&token(json!({"sub": "alice", "exp": START + 5})));
    forwarded(one.answer(step, &ok(&spain())));
    let long = |id: &str| token(json!({"sub": "alice", "jti": id}));
    other.pass(4);
    forwarded(other.get(&long("before its end")));
    for (name, world, rest) in [("one", &mut one, 5), ("other", &mut other, 1)] {
        world.pass(rest);
        assert!(asks(world, &long(name)), "{name}: at its end");
    }
}

#[test]
fn an_answer_from_the_future_serves_nobody() {
    let [mut one, mut other] = two(&strict("deny"));
    one.pass(10);
    let step = one.get(&alice());
    forwarded(one.answer(step, &ok(&spain())));
    assert!(asks(&mut other, &alice()), "its clock was set back");
    other.pass(10);
    assert!(!asks(&mut other, &token(json!({"sub": "alice", "jti": "then"}))));
}

#[test]
fn what_is_sent_for_another_user_is_another_question() {
    let forwards = with_users([("/user_info/forward_token", json!(true))]);
    let [mut one, mut other] = two(&forwards);
    let step = one.get(&alice());
    forwarded(one.answer(step, &ok(&spain())));
    assert!(asks(&mut other, &token(json!({"sub": "alice", "jti": "another token"}))));
    assert!(!asks(&mut other, &alice()), "the same token");
}
