//! Reference tokens: asked about at their issuer, then treated like any other.

use gatepass::callout::CalloutReply;
use gatepass::host::HostCapabilities;
use gatepass::pipeline::{Dispatch, Step, Waiting};
use serde_json::{Value, json};

use crate::support::*;

const REFERENCE: &str = "tGzv3JOkF0XG5Qx2TlKWIA";

/// A configuration whose provider knows JWTs and reference tokens.
fn config<const N: usize>(edits: [(&str, Value); N]) -> Value {
    let mut config = local([(
        "/providers/shop/introspection",
        json!({
            "service": "auth", "path": "/introspect", "client_id": "gate", "client_secret": "s3cret",
            "token_type_hint": "access_token",
            "cache": {"ttl_seconds": 30, "negative_ttl_seconds": 5},
        }),
    )]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value);
    }
    config
}

/// What the issuer says of alice's token, changed: `null` takes a member away.
fn active(changes: Value) -> CalloutReply {
    let mut claims = claims(json!({"active": true, "scope": "read write"}));
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    ok(&claims)
}

fn inactive() -> CalloutReply {
    ok(&json!({"active": false}))
}

/// A gateway that asked once about the reference token.
fn having_asked(config: &Value, answer: &CalloutReply) -> (World, Step) {
    let mut world = World::new(config, ENVOY);
    let step = world.get(REFERENCE);
    let step = world.answer(step, answer);
    (world, step)
}

#[test]
fn the_services_get_the_same_identity_as_from_a_jwt() {
    let (mut world, step) = having_asked(&config([]), &active(json!({})));
    let edits = forwarded(step);
    let claims = world.verify_identity(&field(&edits, "x-identity-token").unwrap());
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["client_id"], "web");
    assert_eq!(claims["scope"], "read write");
    assert_eq!(claims["exp"], START + 300);
    assert!(
        edits.sanitized().clear.iter().any(|name| name == "authorization"),
        "the token is gone"
    );
}

#[test]
fn the_question_is_that_of_the_rfc() {
    let mut world = World::new(&config([]), ENVOY);
    let (sent, _) = awaits(world.get("a+b/c=="));
    assert_eq!(sent.callout.path, "/introspect");
    let form = sent.callout.body.as_ref().unwrap().expose();
    assert_eq!(form, b"token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token");
    let headers = sent.callout.headers.iter();
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
    let expected = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", "Basic Z2F0ZTpzM2NyZXQ="),
    ];
    assert_eq!((sent.callout.method, headers.as_slice()), ("POST", &expected[..]));
    let shown = format!("{sent:?}");
    assert!(!shown.contains("a%2Bb") && !shown.contains("Z2F0"), "{shown}");
}

#[test]
fn what_the_issuer_says_is_checked_like_a_jwt() {
    let accepted = None;
    for (case, changes, code) in [
        ("as it is", json!({}), accepted),
        ("not for us", json!({"aud": "bank"}), Some((401, "audience_mismatch"))),
        ("for nobody", json!({"aud": null}), Some((401, "claim_missing"))),
        ("another issuer", json!({"iss": "https://evil.example"}), Some((401, "issuer_unknown"))),
        ("no issuer", json!({"iss": null}), Some((401, "claim_missing"))),
        (
            "an issuer that is no text",
            json!({"iss": ["https://auth.example"]}),
            Some((401, "token_malformed")),
        ),
        ("no subject", json!({"sub": null}), Some((401, "claim_missing"))),
        ("an empty subject", json!({"sub": ""}), Some((401, "claim_missing"))),
        ("no end", json!({"exp": null}), Some((401, "claim_missing"))),
        ("over", json!({"exp": START - 61}), Some((401, "token_expired"))),
        ("an end that is no date", json!({"exp": "soon"}), Some((401, "token_malformed"))),
        ("not yet", json!({"nbf": START + 61}), Some((401, "token_not_yet_valid"))),
        ("bound to a key", json!({"cnf": {"jkt": "x"}}), Some((401, "binding_mismatch"))),
    ] {
        let (_, step) = having_asked(&config([]), &active(changes));
        match code {
            None => drop(forwarded(step)),
            Some((status, code)) => assert_eq!(denied(step), denial(status, code), "{case}"),
        }
    }
}

#[test]
fn an_issuer_may_leave_out_its_name_if_that_is_configured() {
    let waived = [("/providers/shop/introspection/require_issuer", json!(false))];
    let (_, step) = having_asked(&config(waived.clone()), &active(json!({"iss": null})));
    forwarded(step);
    let other = active(json!({"iss": "https://evil.example"}));
    let (_, step) = having_asked(&config(waived), &other);
    assert_eq!(denied(step), denial(401, "issuer_unknown"), "another name is still wrong");
}

// RFC 7662 section 4: "the response MUST NOT be cached beyond the time indicated
// therein" (R67)
#[test]
fn only_the_boolean_true_is_active() {
    for (case, value, expected) in [
        ("false", json!({"active": false}), (401, "token_inactive")),
        ("text", json!({"active": "true"}), (503, "introspection_unavailable")),
        ("a number", json!({"active": 1}), (503, "introspection_unavailable")),
        ("null", json!({"active": null}), (503, "introspection_unavailable")),
        ("missing", json!({"sub": "alice"}), (503, "introspection_unavailable")),
    ] {
        let (_, step) = having_asked(&config([]), &ok(&value));
        assert_eq!(denied(step), denial(expected.0, expected.1), "{case}");
    }
}

#[test]
fn a_failure_is_503_and_is_not_kept() {
    for (case, answer) in [
        ("no reply", failed()),
        ("the gateway's credentials are wrong", reply(401, b"{}")),
        ("201", reply(201, br#"{"active":true}"#)),
        ("302", reply(302, b"")),
        ("500", reply(500, br#"{"active":true}"#)),
        ("no JSON", reply(200, b"active")),
        ("a list", reply(200, b"[]")),
        ("twice", reply(200, br#"{"active":false,"active":true}"#)),
    ] {
        let (mut world, step) = having_asked(&config([]), &answer);
        assert_eq!(denied(step), denial(503, "introspection_unavailable"), "{case}");
        let step = world.get(REFERENCE);
        forwarded(world.answer(step, &active(json!({}))));
    }
}

#[test]
fn answers_are_kept_for_their_time() {
    let (mut world, step) = having_asked(&config([]), &active(json!({"exp": START + 20})));
    forwarded(step);
    for (seconds, asks) in [(19, false), (1, true)] {
        world.pass(seconds);
        let step = world.get(REFERENCE);
        assert_eq!(matches!(step, Step::Wait(..)), asks, "never longer than the token");
    }
    let (mut world, _) = having_asked(&config([]), &active(json!({})));
    world.pass(29);
    forwarded(world.get(REFERENCE));
    world.pass(1);
    let step = world.get(REFERENCE);
    assert_eq!(denied(world.answer(step, &inactive())), denial(401, "token_inactive"), "revoked");
    world.pass(4);
    assert_eq!(world.denied(REFERENCE), denial(401, "token_inactive"), "not asked again");
    world.pass(1);
    awaits(world.get(REFERENCE));
}

#[test]
fn a_refused_token_is_not_asked_about_each_time() {
    let (mut world, step) = having_asked(&config([]), &active(json!({"aud": "bank"})));
    denied(step);
    assert_eq!(world.denied(REFERENCE), denial(401, "audience_mismatch"));
    world.set_clock(START - 10);
    awaits(world.get(REFERENCE));
}

#[test]
fn requests_with_the_same_token_ask_once() {
    let mut world = World::new(&config([]), ENVOY);
    let (sent, first) = awaits(world.get(REFERENCE));
    let second = joins(world.get(REFERENCE));
    awaits(world.get("another"));
    let now = world.now();
    let landing = world.gateway.complete(sent.id, &active(json!({})), now).unwrap();
    forwarded(world.gateway.resume(first, &landing, now));
    forwarded(world.gateway.resume(second, &landing, now));
    // Where one request cannot resume another, each asks.
    let mut world = World::new(&config([]), KONG);
    awaits(world.get(REFERENCE));
    awaits(world.get(REFERENCE));
}

#[test]
fn without_a_cache_each_request_asks() {
    let none = config([("/providers/shop/introspection/cache", json!({"max_entries": 0}))]);
    let (mut world, step) = having_asked(&none, &active(json!({})));
    forwarded(step);
    awaits(world.get(REFERENCE));
}

#[test]
fn a_jwt_is_never_asked_about() {
    let mut world = World::new(&config([]), ENVOY);
    forwarded(world.get(&alice()));
    assert_eq!(world.denied("a.b.c"), denial(401, "token_malformed"));
    let only = config([("/providers/shop/local_jwks", Value::Null)]);
    let mut world = World::new(&only, ENVOY);
    assert_eq!(world.denied(&alice()), denial(401, "key_unknown"), "no keys, no JWTs");
    let step = world.get(REFERENCE);
    forwarded(world.answer(step, &active(json!({}))));
}

#[test]
fn a_reference_needs_a_provider_that_knows_it() {
    let mut world = World::new(&local([]), ENVOY);
    assert_eq!(world.denied(REFERENCE), denial(401, "token_malformed"));
    let mut world = World::new(&config([]), ENVOY);
    let long = "x".repeat(8193);
    assert_eq!(world.denied(&long), denial(401, "token_too_large"));
    assert_eq!(world.denied("caf\u{e9}"), denial(401, "token_malformed"), "no bearer token");
}

/// The host's consumer is looked up for each request; the token is introspected, and its
/// identity minted, only once, in whatever form the client has the token.
#[test]
fn a_consumer_of_the_host_does_not_take_the_token_from_the_cache() {
    let host = HostCapabilities { has_consumers: true, ..ENVOY };
    let consumer = |groups: &[&str]| ok(&json!({"id": "1", "custom_id": "web", "groups": groups}));
    let (jwt, reference) = (alice(), REFERENCE.to_owned());
    for (case, text, is_introspected) in [
        ("a reference token", reference.clone(), true),
        ("a sealed reference token", sealed(&reference), true),
        ("a JWT", jwt.clone(), false),
        ("a sealed JWT", sealed(&jwt), false),
    ] {
        let config = config([
            ("/consumers", json!({"claim": ["azp"], "kong": "custom_id"})),
            ("/sealed_tokens", json!({"keys": [SEAL_KEY]})),
        ]);
        let mut world = World::new(&config, host);
        let mut step = world.get(&text);
        if is_introspected {
            step = world.answer(step, &active(json!({})));
        }
        let token = |world: &mut World, step: Step, groups: &[&str]| {
            let edits = forwarded(world.answer(step, &consumer(groups)));
            assert_eq!(field(&edits, "x-consumer-id").as_deref(), Some("1"), "{case}");
            field(&edits, "x-identity-token").expect("an identity token")
        };
        let first = token(&mut world, step, &["staff"]);
        let step = world.get(&text);
        assert_eq!(token(&mut world, step, &["staff"]), first, "{case}");
        // Another consumer is in another token.
        let step = world.get(&text);
        let other = token(&mut world, step, &["guests"]);
        assert_ne!(other, first, "{case}");
        let step = world.get(&text);
        assert_eq!(token(&mut world, step, &["guests"]), other, "{case}");
    }
}

/// Made-up references, as many as are asked about at once.
fn flooded(config: &Value) -> (World, Vec<(Dispatch, Waiting)>) {
    let mut world = World::new(config, ENVOY);
    let asked = (0..1000).map(|number| awaits(world.get(&format!("made-up-{number}")))).collect();
    assert_eq!(world.denied("one-more"), denial(503, "introspection_unavailable"));
    (world, asked)
}

#[test]
fn made_up_references_cannot_pile_up() {
    let (mut world, _) = flooded(&config([]));
    forwarded(world.get(&alice()));
}

/// Each kind of callout has a budget of its own.
#[test]
fn made_up_references_keep_nothing_else_from_being_asked() {
    let mut everything = config([(
        "/sealed_tokens",
        json!({
            "keys": [SEAL_KEY],
            "logins": [{
                "match": {"path": "/login", "methods": ["GET"]}, "service": "auth",
                "json": ["/access_token"],
            }],
        }),
    )]);
    everything["user_info"] = json!({"service": "users", "path": "/users/{sub}"});
    let (mut world, _) = flooded(&everything);
    let (sent, _) = awaits(world.get(&alice()));
    assert_eq!(sent.callout.path, "/users/alice");
    let (sent, _) = awaits(world.begin(head(&[(":path", "/login")])));
    assert_eq!(sent.callout.path, "/login");
}

/// Their callouts go on, but take less from those who stay.
#[test]
fn clients_that_leave_at_once_count_less() {
    let (mut world, asked) = flooded(&config([]));
    for (sent, _) in &asked {
        world.gateway.abandon(sent.id);
    }
    for number in 0..750 {
        awaits(world.get(&format!("good-{number}")));
    }
    assert_eq!(world.denied("one-more"), denial(503, "introspection_unavailable"));
    // Somebody asks for one of those.
    joins(world.get("made-up-0"));
    let answered = world.gateway.complete(asked[1].0.id, &inactive(), world.now());
    assert!(answered.is_some());
    let now = world.now();
    for (sent, _) in asked {
        world.gateway.complete(sent.id, &inactive(), now);
    }
    awaits(world.get("one-more"));
}

#[test]
fn what_callouts_hold_is_bounded() {
    let mut world = World::new(&config([]), ENVOY);
    let long = |number: usize| format!("{number:08}").repeat(1024);
    let asked = (0..1000).take_while(|n| matches!(world.get(&long(*n)), Step::Wait(..))).count();
    assert!((400..600).contains(&asked), "{asked} of 8 KiB in 8 MiB, each with its body");
    awaits(world.get(REFERENCE));
}

#[test]
fn what_is_forgotten_for_want_of_room_is_counted() {
    let cache = ("/providers/shop/introspection/cache/max_entries", json!(1));
    let mut world = World::new(&config([cache]), ENVOY);
    let evicted = |world: &mut World| {
        let series = world.gateway.metrics();
        let labels = [("cache", "introspection".to_owned())];
        let position = series
            .iter()
            .position(|it| it.name == "gatepass_cache_evictions_total" && it.labels == labels)
            .expect("a series");
        let readings = world.gateway.take_metrics();
        readings.iter().filter(|(series, _)| *series == position).map(|(_, by)| by).sum::<u64>()
    };
    for (reference, expected) in [("first", 0), ("second", 1), ("second", 0), ("first", 1)] {
        if let step @ Step::Wait(..) = world.get(reference) {
            forwarded(world.answer(step, &active(json!({}))));
        }
        assert_eq!(evicted(&mut world), expected, "{reference}");
    }
}

#[test]
fn why_nothing_is_known_is_logged() {
    for (case, answer, expected) in [
        ("no reply", failed(), "no reply"),
        ("its own credentials", reply(401, b"{}"), "status 401: the gateway's own credentials"),
        ("an error", reply(500, b""), "status 500"),
        ("no JSON", reply(200, b"x"), "not acceptable JSON"),
        ("no answer", reply(200, b"{}"), "no boolean"),
    ] {
        let (mut world, _) = having_asked(&config([]), &answer);
        let log: Vec<_> = world.gateway.take_log().iter().map(ToString::to_string).collect();
        assert!(log.iter().any(|line| line.contains(expected)), "{case}: {log:?}");
    }
}

#[test]
fn user_info_is_asked_next() {
    let mut both = config([]);
    both["user_info"] = json!({"service": "users", "path": "/users/{sub}"});
    let (mut world, step) = having_asked(&both, &active(json!({})));
    let (sent, waiting) = awaits(step);
    assert_eq!(sent.callout.path, "/users/alice");
    let edits = forwarded(world.complete(sent.id, waiting, &ok(&json!({"sub": "alice"}))));
    let claims = world.verify_identity(&field(&edits, "x-identity-token").unwrap());
    assert_eq!(claims["user"]["sub"], "alice");
}
