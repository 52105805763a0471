//! Keys of an issuer that are fetched: when, how often, and for how long they
//! serve.

use gatepass::pipeline::Step;
use serde_json::json;

use crate::support::*;

fn a() -> gatepass::callout::CalloutReply {
    jwks(&[KEY_A.jwk("a")])
}

/// A gateway that fetched key `a` at the start.
fn loaded() -> World {
    let mut world = World::new(&remote([]), ENVOY);
    assert_eq!(world.tick(&a()), 1);
    world
}

#[test]
fn the_first_request_fetches_the_keys_and_passes() {
    for host in HOSTS {
        let mut world = World::new(&remote([]), host);
        let (sent, waiting) = awaits(world.get(&alice()));
        assert_eq!(sent.callout.service.name, "auth");
        assert_eq!(sent.callout.path, "/jwks.json");
        forwarded(world.complete(sent.id, waiting, &a()));
        world.forwarded(&alice());
        assert_eq!(world.tick(&a()), 0, "nothing is due");
    }
}

#[test]
fn what_needs_no_key_fetches_none() {
    let mut world = World::new(&remote([]), ENVOY);
    for (case, token, code) in [
        ("malformed", "x.y.z".to_owned(), "token_malformed"),
        ("another issuer", token(json!({"iss": "https://x"})), "issuer_unknown"),
        (
            "another type",
            KEY_A.sign(br#"{"alg":"EdDSA","typ":"x"}"#, claims(json!({})).to_string().as_bytes()),
            "token_type_mismatch",
        ),
    ] {
        assert_eq!(world.denied(&token), denial(401, code), "{case}");
    }
}

/// An issuer, or who writes in its name, publishes the gateway's own key: what
/// the gateway signs is not the issuer's for that.
#[test]
fn the_gateways_own_key_is_nobodys_public_key() {
    let own = json!([{"algorithm": "EdDSA", "private_key": KEY_A.private_jwk()}]);
    let config = remote([("/identity_token/signing_keys", own)]);
    let forged = KEY_A.token("a", &claims(json!({})));
    let both = jwks(&[KEY_A.jwk("a"), KEY_B.jwk("b")]);
    for host in HOSTS {
        let mut world = World::new(&config, host);
        assert_eq!(world.tick(&both), 1);
        let step = world.get(&forged);
        let denied = denied(world.answer(step, &both));
        assert_eq!(denied, denial(401, "key_unknown"));
        world.forwarded(&KEY_B.token("b", &claims(json!({}))));

        let mut alone = World::new(&config, host);
        alone.tick(&jwks(&[KEY_A.jwk("x")]));
        assert_eq!(alone.denied(&forged), denial(503, "keys_unavailable"));
    }
}

#[test]
fn fetches_that_bring_nothing() {
    let private = {
        let mut jwk = KEY_A.jwk("a");
        jwk["d"] = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A".into();
        jwk
    };
    let secret = json!({"kty": "oct", "k": "A".repeat(86), "kid": "a"});
    let many: Vec<_> = (0..101).map(|n| KEY_A.jwk(&n.to_string())).collect();
    for (case, reply) in [
        ("no reply", failed()),
        ("an error", reply(500, br#"{"keys":[]}"#)),
        (
            "an answer that is not 200",
            reply(203, json!({"keys": [KEY_A.jwk("a")]}).to_string().as_bytes()),
        ),
        ("a redirect", reply(302, b"")),
        ("empty", reply(200, b"")),
        ("not JSON", reply(200, b"<html>")),
        ("no set", ok(&json!([KEY_A.jwk("a")]))),
        ("no keys", jwks(&[])),
        ("keys in an object", ok(&json!({"keys": {"a": KEY_A.jwk("a")}}))),
        ("only bad keys", jwks(&[json!({"kty": "EC"}), json!(7)])),
        ("a private key", jwks(&[private])),
        ("a secret", jwks(&[secret])),
        ("too many keys", jwks(&many)),
        ("a key short of a byte", jwks(&[json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"})])),
    ] {
        for host in HOSTS {
            let unavailable = denial(503, "keys_unavailable");
            let mut world = World::new(&remote([]), host);
            let step = world.get(&alice());
            assert_eq!(denied(world.answer(step, &reply)), unavailable, "{case}");
            // Not asked again at once, but soon.
            assert_eq!(world.denied(&alice()), unavailable, "{case}");
            assert_eq!(world.tick(&a()), 0, "{case}");
            world.pass(1);
            assert_eq!(world.tick(&a()), 1, "{case}");
            world.forwarded(&alice());
            let log = world.gateway.take_log();
            assert!(log.iter().any(|line| line.to_string().contains("keys_not_fetched")), "{case}");
        }
    }
}

#[test]
fn one_bad_key_spoils_nothing() {
    let bad = json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "bad"});
    let mut world = World::new(&remote([]), ENVOY);
    world.tick(&jwks(&[bad, json!(null), KEY_A.jwk("a"), KEY_B.jwk("b")]));
    world.forwarded(&alice());
    world.forwarded(&KEY_B.token("b", &claims(json!({}))));
    let log = world.gateway.take_log();
    let skipped = log.iter().filter(|line| line.to_string().contains("key_skipped")).count();
    assert_eq!(skipped, 2);
}

#[test]
fn failures_are_followed_by_longer_waits() {
    for (case, mut world, expected) in [
        (
            "without keys every request is denied",
            World::new(&remote([]), ENVOY),
            [0, 1, 2, 4, 5, 5, 5],
        ),
        ("while keys serve there is time", loaded(), [600, 1, 2, 4, 8, 16, 30]),
    ] {
        let mut waits = Vec::new();
        let mut last = world.millis;
        for longest in expected {
            let mut passed = 0;
            while world.tick(&failed()) == 0 {
                world.millis += 100;
                passed += 100;
                assert!(passed <= longest * 1000, "{case}: {waits:?}");
            }
            waits.push((world.millis - last) / 1000);
            last = world.millis;
        }
        // Each up to a tenth shorter, in steps of the tick.
        for (wait, expected) in waits.iter().zip(expected) {
            assert!((expected * 9 / 10..=expected).contains(wait), "{case}: {waits:?}");
        }
        world.pass(30);
        assert_eq!(world.tick(&a()), 1, "{case}");
        world.forwarded(&alice());
    }
}

#[test]
fn keys_are_fetched_anew_in_time() {
    let mut world = loaded();
    world.pass(539);
    assert_eq!(world.tick(&a()), 0, "a tenth early at the earliest");
    world.pass(61);
    assert_eq!(world.tick(&a()), 1, "when the set is no longer current");
    assert_eq!(world.tick(&a()), 0);
}

#[test]
fn a_fetch_under_way_is_not_made_twice() {
    let mut world = World::new(&remote([]), ENVOY);
    let now = world.now();
    let first = world.gateway.tick(now);
    assert_eq!(first.send.len(), 1);
    assert!(world.gateway.tick(now).send.is_empty());
    // The request waits for it as well.
    let waiting = joins(world.get(&alice()));
    assert_eq!(waiting.callout(), first.send[0].id);
    forwarded(world.complete(first.send[0].id, waiting, &a()));
}

/// Where no other request can be resumed, a request that cannot do without
/// makes the fetch for itself.
#[test]
fn where_a_fetch_cannot_be_joined_it_is_made_again() {
    let mut world = World::new(&remote([]), KONG);
    let now = world.now();
    let tick = world.gateway.tick(now);
    let (again, waiting) = awaits(world.get(&alice()));
    assert_eq!(again.callout.path, "/jwks.json");
    forwarded(world.complete(again.id, waiting, &a()));
    assert!(world.gateway.complete(tick.send[0].id, &a(), now).is_some());
    world.forwarded(&alice());
}

/// What another request's fetch may bring for a key that is not known is not
/// worth one of its own: the client may try again.
#[test]
fn where_a_fetch_cannot_be_joined_an_unknown_key_is_not_asked_for_twice() {
    let mut world = World::new(&remote([]), KONG);
    world.tick(&a());
    let token = KEY_B.token("b", &claims(json!({})));
    let (sent, waiting) = awaits(world.get(&token));
    assert_eq!(world.denied(&token), denial(503, "keys_unavailable"));
    forwarded(world.complete(sent.id, waiting, &jwks(&[KEY_B.jwk("b")])));
    world.forwarded(&token);
}

#[test]
fn an_unknown_key_is_looked_for_once_in_a_while() {
    for host in HOSTS {
        let mut world = World::new(&remote([]), host);
        world.tick(&a());
        let unknown = denial(401, "key_unknown");
        let strange = |n: usize| KEY_B.token(&format!("x{n}"), &claims(json!({})));
        for n in 0..2 {
            let step = world.get(&strange(n));
            assert_eq!(denied(world.answer(step, &a())), unknown, "its own question is answered");
            assert_eq!(world.denied(&strange(n)), unknown);
        }
        // Whatever ids hostile tokens make up, only so many fetches are spent on
        // them; what nobody looked for is not called unknown.
        for n in 2..50 {
            assert_eq!(world.denied(&strange(n)), denial(503, "keys_unavailable"), "{n}");
        }
        world.millis += 29_999;
        assert_eq!(world.denied(&strange(0)), unknown);
        world.millis += 1;
        let step = world.get(&strange(0));
        assert_eq!(denied(world.answer(step, &a())), unknown);
        world.forwarded(&alice());
    }
}

/// An issuer begins to use a new key just after somebody made up a key's id.
#[test]
fn a_made_up_key_keeps_no_new_one_from_being_found() {
    let both = jwks(&[KEY_A.jwk("a"), KEY_B.jwk("b")]);
    for host in HOSTS {
        let made_up = format!("{}AAAA", KEY_B.sign(br#"{"alg":"EdDSA","kid":"x"}"#, b"{}"));
        let unsigned = KEY_B.token("x", &claims(json!({})));
        let bobs = KEY_B.token("b", &claims(json!({"sub": "bob"})));
        let mut world = World::new(&remote([]), host);
        world.tick(&a());
        denied(world.get(&made_up));
        let step = world.get(&unsigned);
        denied(world.answer(step, &a()));
        let step = world.get(&bobs);
        forwarded(world.answer(step, &both));

        // A flood of them delays it by a quarter of the cooldown, and nobody is
        // told that his token is bad.
        let mut world = World::new(&remote([]), host);
        world.tick(&a());
        for n in 0..100 {
            let strange = KEY_B.token(&format!("x{n}"), &claims(json!({})));
            if let step @ Step::Wait(..) = world.get(&strange) {
                denied(world.answer(step, &a()));
            }
        }
        let reply = answered(world.get(&bobs));
        assert_eq!((reply.status, reply_field(&reply, "retry-after")), (503, Some("1")));
        world.millis += 7_500;
        let step = world.get(&bobs);
        forwarded(world.answer(step, &both));
    }
}

/// What can be told without a key is told, and no fetch is spent on it.
#[test]
fn no_key_is_looked_for_for_a_token_that_is_not_accepted_anyway() {
    let mut world = loaded();
    for (changes, code) in [
        (json!({"exp": START - 100}), "token_expired"),
        (json!({"exp": null}), "claim_missing"),
        (json!({"aud": "bank"}), "audience_mismatch"),
        (json!({"nbf": START + 100}), "token_not_yet_valid"),
    ] {
        let strange = KEY_B.token("x", &claims(changes));
        assert_eq!(world.denied(&strange), denial(401, code));
    }
    awaits(world.get(&KEY_B.token("x", &claims(json!({})))));
}

/// Whether the key exists is then not known, and no fault of the token.
#[test]
fn an_unknown_key_is_no_reason_to_refuse_a_token_while_fetches_fail() {
    for host in HOSTS {
        let mut world = World::new(&remote([]), host);
        world.tick(&a());
        let strange = KEY_B.token("x", &claims(json!({})));
        let unavailable = denial(503, "keys_unavailable");
        let step = world.get(&strange);
        assert_eq!(denied(world.answer(step, &failed())), unavailable);
        assert_eq!(world.denied(&strange), unavailable, "within the cooldown");
        world.forwarded(&alice());
        world.pass(30);
        let step = world.get(&strange);
        assert_eq!(denied(world.answer(step, &a())), denial(401, "key_unknown"), "asked again");
        assert_eq!(world.denied(&strange), denial(401, "key_unknown"));
    }
}

// RFC 9111 section 5.2.2.1: "The max-age response directive indicates that the response
// is to be considered stale after its age is greater than the specified number of
// seconds." (R56)
#[test]
fn keys_rotate() {
    let bobs = KEY_B.token("b", &claims(json!({"sub": "bob"})));
    let mut world = loaded();
    world.forwarded(&alice());
    // A new key is found by the first token that names it; the old one serves on.
    let step = world.get(&bobs);
    forwarded(world.answer(step, &jwks(&[KEY_A.jwk("a"), KEY_B.jwk("b")])));
    world.forwarded(&alice());
    // Withdrawn, it serves no more, not even for a token that is known.
    world.pass(600);
    assert_eq!(world.tick(&jwks(&[KEY_B.jwk("b")])), 1);
    world.forwarded(&bobs);
    let step = world.get(&alice());
    let again = jwks(&[KEY_B.jwk("b")]);
    assert_eq!(denied(world.answer(step, &again)), denial(401, "key_unknown"));
}

/// The id stays, the key behind it is another one.
#[test]
fn a_key_replaced_under_its_id_serves_no_more() {
    let mut world = loaded();
    world.forwarded(&alice());
    world.pass(600);
    assert_eq!(world.tick(&jwks(&[KEY_B.jwk("a")])), 1);
    let step = world.get(&alice());
    let again = jwks(&[KEY_B.jwk("a")]);
    assert_eq!(denied(world.answer(step, &again)), denial(401, "signature_invalid"));
}

/// The other way round: the issuer's new tokens come before the gateway's next
/// fetch. A signature that fails is worth one in a cooldown.
#[test]
fn a_key_replaced_under_its_id_is_found() {
    let bobs = KEY_B.token("a", &claims(json!({"sub": "bob"})));
    let mut world = loaded();
    let step = world.get(&bobs);
    forwarded(world.answer(step, &jwks(&[KEY_B.jwk("a")])));

    let mut world = loaded();
    let forged = denial(401, "signature_invalid");
    let step = world.get(&bobs);
    assert_eq!(denied(world.answer(step, &a())), forged);
    for _ in 0..10 {
        assert_eq!(world.denied(&bobs), forged);
    }
    world.pass(30);
    let step = world.get(&bobs);
    assert_eq!(denied(world.answer(step, &failed())), forged, "forged all the same");
    assert_eq!(world.denied(&bobs), forged);
}

// RFC 5861 section 4 (R58)
#[test]
fn keys_serve_while_fetches_fail_but_not_for_ever() {
    let long = token(json!({"exp": START + 100_000}));
    let strange = KEY_B.token("b", &claims(json!({"exp": START + 100_000})));
    for (case, reply) in [("no reply", failed()), ("no keys", jwks(&[]))] {
        let mut world = loaded();
        world.forwarded(&long);
        world.pass(600);
        assert_eq!(world.tick(&reply), 1);
        world.millis += 3_600_000 - 1;
        world.tick(&reply);
        world.forwarded(&long);
        world.millis += 1;
        for token in [&long, &strange] {
            assert_eq!(world.denied(token), denial(503, "keys_unavailable"), "{case}");
        }
        world.pass(30);
        let step = world.get(&long);
        forwarded(world.answer(step, &a()));
    }
}

/// A set that did not change is no reason to verify everything anew.
#[test]
fn the_same_set_keeps_what_was_minted() {
    let mut world = loaded();
    let first = world.forwarded(&alice());
    world.pass(100);
    let step = world.get(&KEY_B.token("b", &claims(json!({}))));
    denied(world.answer(step, &a()));
    let second = world.forwarded(&alice());
    assert_eq!(field(&first, "x-identity-token"), field(&second, "x-identity-token"));
}
