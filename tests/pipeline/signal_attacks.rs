//! Signals that are to reach farther than their sender may: other tenants, other issuers,
//! other gateways; and hostile ones by the thousand.

use gatepass::http::LocalReply;
use serde_json::{Value, json};

use crate::signals::{
    CAEP, EVENTS, LOGOUT, TRANSMITTER, change, config, error_of, event_claims, event_token, form,
    is_revoked, logout, logout_claims, logout_token, post, push, revoked, send,
};
use crate::support::*;

/// A provider for several tenants beside the shop, both with a user alice.
fn tenants() -> Value {
    let mut config = config("both");
    put(&mut config, "/identity_token/subject", json!("{sub}"));
    let tenants = json!({
        "issuer": "https://login.example/{tid}/v2.0", "audiences": ["shop-api"],
        "required_claims": {"tid": ["a", "b"]}, "max_lifetime_seconds": 7200,
        "local_jwks": {"keys": [KEY_B.jwk("b")]}, "logout": {"client_ids": ["web"]},
    });
    put(&mut config, "/providers/tenants", tenants);
    put(&mut config, "/revocation/events/transmitters/0/provider", json!("tenants"));
    config
}

fn issuer_of(tenant: &str) -> String {
    format!("https://login.example/{tenant}/v2.0")
}

fn of_tenant(tenant: &str) -> String {
    let claims = claims(json!({
        "iss": issuer_of(tenant), "tid": tenant, "iat": START - 5,
        "email": "alice@shop.example", "jti": "t1", "sid": "s1",
    }));
    KEY_B.token("b", &claims)
}

fn of_shop() -> String {
    let more = json!({"iat": START - 5, "email": "alice@shop.example", "jti": "t1", "sid": "s1"});
    token(more)
}

/// Whose alice is out: of tenant a, of tenant b, of the shop.
fn out(world: &mut World) -> [bool; 3] {
    [of_tenant("a"), of_tenant("b"), of_shop()].map(|token| is_revoked(world.get(&token)))
}

fn about(world: &mut World, subject: Value) -> LocalReply {
    let event = format!("{CAEP}session-revoked");
    push(world, &event_token(&event_claims(&event, json!({}), json!({ "sub_id": subject }))))
}

#[test]
fn an_event_of_one_tenant_reaches_no_other() {
    let iss_sub = |issuer: &str| json!({"format": "iss_sub", "iss": issuer, "sub": "alice"});
    for (case, subject) in [
        ("a user", iss_sub(&issuer_of("a"))),
        ("a token", json!({"format": "jwt_id", "iss": issuer_of("a"), "jti": "t1"})),
        (
            "with a session",
            json!({
                "format": "complex", "user": iss_sub(&issuer_of("a")),
                "session": {"format": "opaque", "id": "s1"},
            }),
        ),
        (
            "by ID token",
            json!({
                "subject_type": "id_token_claims", "iss": issuer_of("a"), "email": "alice@shop.example",
            }),
        ),
        (
            "aliases",
            json!({"format": "aliases", "identifiers": [
                iss_sub(&issuer_of("a")), {"format": "email", "email": "alice@shop.example"},
            ]}),
        ),
        (
            "aliases of two tenants",
            json!({"format": "aliases", "identifiers": [
                iss_sub(&issuer_of("a")), iss_sub(&issuer_of("b")),
            ]}),
        ),
    ] {
        let mut world = World::new(&tenants(), ENVOY);
        assert_eq!(out(&mut world), [false; 3]);
        let reply = about(&mut world, subject);
        assert_eq!(reply.status, 202, "{case}: {}", String::from_utf8_lossy(&reply.body));
        assert_eq!(out(&mut world), [true, false, false], "{case}");
    }
    for (case, subject) in [
        ("the transmitter's", iss_sub(TRANSMITTER)),
        ("another provider's", iss_sub("https://auth.example")),
        ("a tenant that is not accepted", iss_sub(&issuer_of("c"))),
        ("no name", iss_sub("https://login.example//v2.0")),
        ("the template", iss_sub("https://login.example/{tid}/v2.0")),
        ("no tenant's", iss_sub("https://login.example/a/v2.0/b")),
        ("another host's", iss_sub("https://login.example.evil/a/v2.0")),
        ("opaque", json!({"format": "opaque", "id": "alice"})),
        ("an address", json!({"format": "email", "email": "alice@shop.example"})),
        ("a session", json!({"format": "complex", "session": {"format": "opaque", "id": "s1"}})),
    ] {
        let mut world = World::new(&tenants(), ENVOY);
        let reply = about(&mut world, subject);
        assert_eq!(error_of(&reply, "err"), (400, "invalid_request".into()), "{case}");
        assert_eq!(out(&mut world), [false; 3], "{case}");
    }
}

#[test]
fn a_transmitter_that_is_a_tenant_means_its_own() {
    let mut config = tenants();
    put(&mut config, "/revocation/events/transmitters/0/issuer", json!(issuer_of("b")));
    let event = format!("{CAEP}session-revoked");
    for subject in [
        json!({"format": "opaque", "id": "alice"}),
        json!({"format": "email", "email": "alice@shop.example"}),
    ] {
        let mut world = World::new(&config, ENVOY);
        let changes = json!({"iss": issuer_of("b"), "sub_id": subject});
        let reply = push(&mut world, &event_token(&event_claims(&event, json!({}), changes)));
        assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
        assert_eq!(out(&mut world), [false, true, false]);
    }
}

#[test]
fn a_logout_of_one_issuer_reaches_no_other() {
    let mut world = World::new(&tenants(), ENVOY);
    let claims = |iss: &str, more: Value| {
        let mut claims = logout_claims(json!({ "iss": iss, "jti": iss }));
        change(&mut claims, more);
        claims
    };
    let body = |token: &str| format!("logout_token={token}");
    let of_a = claims(&issuer_of("a"), json!({"tid": "a"}));
    for (case, token) in [
        (
            "the shop's, by the other's key",
            KEY_B.token("a", &claims("https://auth.example", json!({}))),
        ),
        ("a tenant's, by the shop's key", KEY_A.token("b", &of_a)),
        (
            "of another tenant than it says",
            KEY_B.token("b", &claims(&issuer_of("a"), json!({"tid": "b"}))),
        ),
        ("of no tenant", KEY_B.token("b", &claims(&issuer_of("a"), json!({})))),
        (
            "of the template",
            KEY_B.token("b", &claims("https://login.example/{tid}/v2.0", json!({"tid": "{tid}"}))),
        ),
    ] {
        let reply = form(&mut world, &body(&token));
        assert_eq!(error_of(&reply, "error").0, 400, "{case}");
        assert_eq!(out(&mut world), [false; 3], "{case}");
    }
    assert_eq!(form(&mut world, &body(&KEY_B.token("b", &of_a))).status, 200);
    assert_eq!(out(&mut world), [true, false, false]);
    assert_eq!(logout(&mut world, json!({})).status, 200);
    assert_eq!(out(&mut world), [true, false, true]);
}

/// Tenants may have keys of their own in the set of all: a logout of one by another's key is
/// none, just as its tokens are not.
#[test]
fn a_key_of_one_tenant_signs_logouts_of_no_other() {
    let named = json!(issuer_of("b"));
    let mut config = tenants();
    put(&mut config, "/providers/tenants/local_jwks/keys/0/issuer", named);
    let mut world = World::new(&config, ENVOY);
    let body = |tenant: &str| {
        let iss = issuer_of(tenant);
        let claims = logout_claims(json!({"iss": iss, "tid": tenant, "jti": tenant}));
        format!("logout_token={}", KEY_B.token("b", &claims))
    };
    assert!(!is_revoked(world.get(&of_tenant("b"))));
    let reply = form(&mut world, &body("a"));
    let (status, error) = error_of(&reply, "error");
    assert_eq!((status, &*error), (400, "invalid_request"));
    let text = String::from_utf8_lossy(&reply.body);
    assert!(text.contains("is not the token's iss"), "{text}");
    assert!(!is_revoked(world.get(&of_tenant("b"))));
    assert_eq!(form(&mut world, &body("b")).status, 200);
    assert!(is_revoked(world.get(&of_tenant("b"))));
}

/// A second gateway of the proxy, which has another ledger, is told on its own: what the
/// first was told is new there, and whoever runs it cannot use a logout up.
#[test]
fn a_logout_counts_once_for_each_ledger() {
    for (case, ledger, expected, is_out) in
        [("ledgers of their own", None, 200, true), ("a common one", Some("shop"), 400, true)]
    {
        let store = Store::default();
        let mut config = config("both");
        if let Some(ledger) = ledger {
            put(&mut config, "/revocation/ledger", json!(ledger));
        }
        let mut other = config.clone();
        let providers = other["providers"].as_object_mut().unwrap();
        let shop = providers.remove("shop").unwrap();
        providers.insert("market".to_owned(), shop);
        put(&mut other, "/revocation/events/transmitters/0/provider", json!("market"));
        let mut one = World::sharing(&config, ENVOY, &store);
        let mut two = World::sharing(&other, ENVOY, &store);
        assert_eq!(logout(&mut one, json!({})).status, 200, "{case}");
        assert_eq!(logout(&mut two, json!({})).status, expected, "{case}");
        let session = token(json!({"sid": "s1", "iat": START - 1}));
        for world in [&mut one, &mut two] {
            assert_eq!(world.denied(&session) == revoked(), is_out, "{case}");
        }
    }
}

/// Of tokens without an issuer nobody can say whose user is meant.
#[test]
fn no_events_about_tokens_that_have_no_issuer() {
    let mut config = config("both");
    put(&mut config, "/identity_token/subject", json!("{sub}"));
    put(&mut config, "/providers/legacy", json!({"kind": "kong_jwt", "claims_to_verify": ["exp"]}));
    let entry = json!({
        "username": "acme", "jwt_secrets": [
            {"key": "acme", "algorithm": "HS256", "secret": "0123456789abcdef0123456789abcdef"},
        ],
    });
    put(&mut config, "/consumers", json!({"entries": [entry]}));
    put(&mut config, "/revocation/events/transmitters/0/provider", json!("legacy"));
    let problems = gatepass::config::load(config.to_string().as_bytes(), &|_| None, None);
    let problems = problems.expect_err("refused").to_string();
    assert!(problems.contains("a provider with an issuer"), "{problems}");
}

/// An unknown issuer is named where the operator looks.
#[test]
fn who_is_not_known_is_named_in_the_log() {
    let mut config = config("both");
    put(&mut config, "/identity_token/subject", json!("{sub}"));
    let silent = json!({
        "issuer": "https://silent.example", "audiences": ["shop-api"],
        "local_jwks": {"keys": [KEY_B.jwk("b")]},
    });
    put(&mut config, "/providers/silent", silent);
    for issuer in ["https://typo.example", "https://silent.example"] {
        let mut world = World::new(&config, ENVOY);
        let reply =
            form(&mut world, &format!("logout_token={}", logout_token(json!({"iss": issuer}))));
        assert_eq!(error_of(&reply, "error").0, 400);
        let event = format!("{CAEP}session-revoked");
        let body = event_token(&event_claims(&event, json!({}), json!({"iss": issuer})));
        assert_eq!(error_of(&push(&mut world, &body), "err").1, "invalid_issuer");
        let log = logged(&mut world.gateway);
        let named = format!("issuer \\\"{issuer}\\\" is not known");
        assert_eq!(log.matches(&named).count(), 2, "{log}");
    }
    let mut world = World::new(&config, ENVOY);
    let head = post(EVENTS, "application/secevent+jwt", "x", "Bearer of-another-stream");
    assert_eq!(error_of(&answered(send(&mut world, head, "x")), "err").1, "authentication_failed");
    let log = logged(&mut world.gateway);
    assert!(log.contains("Authorization header is not the one agreed"), "{log}");
    assert!(!log.contains("of-another-stream") && !log.contains("of-the-stream"), "{log}");
}

/// Whatever it says of its type: what has `events` is for nobody but the endpoints.
#[test]
fn no_signal_is_a_public_token() {
    let mut world = World::new(&config("both"), ENVOY);
    for events in [json!({"x": {}}), json!({}), json!([]), json!("x"), json!(true), json!(0)] {
        for typ in
            [json!(null), json!("JWT"), json!("at+jwt"), json!("logout+jwt"), json!("secevent+jwt")]
        {
            let mut header = json!({"alg": "EdDSA", "kid": "a"});
            change(&mut header, json!({ "typ": typ }));
            let claims = claims(json!({ "events": events }));
            let token = KEY_A.sign(header.to_string().as_bytes(), claims.to_string().as_bytes());
            assert_eq!(world.denied(&token), denial(401, "token_type_mismatch"), "{events} {typ}");
        }
    }
    // Absent is absent.
    let null = claims(json!({})).to_string().replacen('{', r#"{"events":null,"#, 1);
    let token = KEY_A.sign(br#"{"alg":"EdDSA","kid":"a"}"#, null.as_bytes());
    world.forwarded(&token);
}

/// One character changed, or a value of another kind at some place: refused, with nothing
/// revoked and nothing used up.
#[test]
fn every_changed_signal_is_refused() {
    let mut world = World::new(&config("both"), ENVOY);
    let victim = token(json!({"sid": "s1", "iat": START - 1}));
    let event = format!("{CAEP}session-revoked");
    let set = event_token(&event_claims(&event, json!({}), json!({})));
    let good = logout_token(json!({}));
    let mut random = Random(8417);
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~";
    for at in 0..set.len().max(good.len()) {
        for (token, is_set) in [(&good, false), (&set, true)] {
            let mut bytes = token.clone().into_bytes();
            let other = letters[random.below(letters.len())];
            if bytes.get(at).is_none_or(|byte| *byte == other) {
                continue;
            }
            bytes[at] = other;
            let text = String::from_utf8(bytes).unwrap();
            let reply = if is_set {
                push(&mut world, &text)
            } else {
                form(&mut world, &format!("logout_token={text}"))
            };
            assert_eq!(reply.status, 400, "{at} of {is_set}");
        }
    }
    let long = "x".repeat(2000);
    let values = || {
        let texts = ["", "x", "\u{0}", long.as_str()].into_iter().map(|text| json!(text));
        let numbers = ["0", "-1", "1e400", "1.5", "9223372036854775808"];
        let numbers = numbers.into_iter().map(|text| serde_json::from_str::<Value>(text).unwrap());
        let others = [json!(true), json!([]), json!({}), json!([[]]), json!({"format": {}})];
        texts.chain(numbers).chain(others)
    };
    for value in values() {
        for member in ["iss", "aud", "events", "jti"] {
            let is_short = |text: &str| (1..=512).contains(&text.len());
            let is_id = member == "jti" && value.as_str().is_some_and(is_short);
            if !is_id {
                assert_eq!(
                    logout(&mut world, json!({ member: value })).status,
                    400,
                    "{member} {value}"
                );
                // An event of a kind that is not known is acknowledged.
                if member == "events" && value.get("format").is_some() {
                    continue;
                }
                let claims = event_claims(&event, json!({}), json!({ member: value }));
                assert_eq!(push(&mut world, &event_token(&claims)).status, 400, "{member} {value}");
            }
        }
        for claims in [
            event_claims(&event, json!({}), json!({ "sub_id": value })),
            event_claims(&event, json!({"subject": value}), json!({"sub_id": null})),
            event_claims(&event, value.clone(), json!({"sub_id": {"format": "opaque", "id": 1}})),
        ] {
            assert_eq!(push(&mut world, &event_token(&claims)).status, 400, "{value}");
        }
    }
    world.forwarded(&victim);
    let log = logged(&mut world.gateway);
    assert!(!log.contains(r#""event":"revoked""#), "{log}");
    assert_eq!(form(&mut world, &format!("logout_token={good}")).status, 200);
    assert_eq!(world.denied(&victim), revoked());
}

/// A logout while the clock is wrong: it ends what was there, and no login after it.
#[test]
fn a_clock_that_jumps() {
    for ahead in [-7200, -30, 86_400] {
        let mut world = World::new(&config("sub"), ENVOY);
        let (before, after) = (token(json!({"iat": START - 5})), token(json!({"iat": START + 2})));
        world.forwarded(&before);
        world.set_clock(START + ahead);
        // By its own time it is from the future, or long ago.
        let reply = logout(&mut world, json!({}));
        assert_eq!(reply.status, if ahead < -10 { 400 } else { 200 }, "{ahead}");
        world.set_clock(START + 3);
        if reply.status == 400 {
            assert_eq!(logout(&mut world, json!({})).status, 200, "{ahead}: said again");
        }
        assert_eq!(world.denied(&before), revoked(), "{ahead}");
        world.forwarded(&after);
        world.set_clock(START - 10);
        assert_eq!(world.denied(&before), revoked(), "{ahead}: set back");
    }
}

/// Who is told 202 believes that it was carried out: a session of another issuer's user is
/// none of ours, even if its id is.
#[test]
fn a_session_of_another_issuer_is_not_ours() {
    let other = "https://other.example";
    let user = |issuer: &str| json!({"format": "iss_sub", "iss": issuer, "sub": "alice"});
    let session = json!({"format": "opaque", "id": "s1"});
    let is_out = |world: &mut World, sid: &str| {
        is_revoked(world.get(&token(json!({"sid": sid, "iat": START - 5}))))
    };
    for (case, subject) in [
        ("a user of another", json!({"user": user(other), "session": session})),
        (
            "no issuer at all",
            json!({"user": {"format": "iss_sub", "sub": "alice"}, "session": session}),
        ),
        ("a session of another", json!({"session": {"iss": other, "id": "s1"}})),
        (
            "both",
            json!({"user": user("https://auth.example"), "session": {"iss": other, "sid": "s1"}}),
        ),
        ("an alias", json!({"format": "aliases", "identifiers": [user(other)]})),
    ] {
        let mut world = World::new(&config("both"), ENVOY);
        let mut subject = subject;
        if subject.get("format").is_none() {
            subject["format"] = json!("complex");
        }
        let reply = about(&mut world, subject);
        // A user without an issuer is left out: only the session is revoked.
        let is_ours = case == "no issuer at all";
        assert_eq!(reply.status, if is_ours { 202 } else { 400 }, "{case}");
        let found = ["s1", "s2"].map(|sid| is_out(&mut world, sid));
        assert_eq!(found, [is_ours, false], "{case}");
    }
    let mut world = World::new(&config("both"), ENVOY);
    let whole = json!({"format": "complex", "user": user("https://auth.example"),
        "session": {"iss": "https://auth.example", "sid": "s1"}});
    assert_eq!(about(&mut world, whole).status, 202);
    assert_eq!(["s1", "s2"].map(|sid| is_out(&mut world, sid)), [true; 2], "and their user");
    // Of two tenants that one subject names neither is meant for sure.
    let mut world = World::new(&tenants(), ENVOY);
    let torn = json!({"format": "complex", "user": user(&issuer_of("a")),
        "session": {"iss": issuer_of("b"), "id": "s1"}});
    assert_eq!(about(&mut world, torn).status, 400);
    assert_eq!(out(&mut world), [false; 3]);
}

/// A member twice is a message of which nobody knows what it says.
#[test]
fn what_is_said_twice_is_refused() {
    let mut world = World::new(&config("both"), ENVOY);
    let event = format!("{CAEP}session-revoked");
    let claims = event_claims(&event, json!({}), json!({})).to_string();
    let header = json!({"alg": "EdDSA", "kid": "b", "typ": "secevent+jwt"}).to_string();
    for name in ["iss", "aud", "events", "sub_id", "jti", "iat"] {
        let twice = claims.replacen('{', &format!("{{\"{name}\":{{}},"), 1);
        let body = KEY_B.sign(header.as_bytes(), twice.as_bytes());
        assert_eq!(push(&mut world, &body).status, 400, "{name}");
    }
    for list in [json!([]), json!([{&event: {}}]), json!(null), json!("x"), json!({&event: null})] {
        let body = event_token(&event_claims(&event, json!({}), json!({ "events": list })));
        assert_eq!(push(&mut world, &body).status, 400, "{list}");
    }
    for odd in [json!(-1e300), json!("5"), json!(1e300), json!([START])] {
        let body = event_token(&event_claims(&event, json!({}), json!({ "iat": odd })));
        assert_eq!(push(&mut world, &body).status, 400, "{odd}");
        assert_eq!(logout(&mut world, json!({"iat": odd, "jti": "x"})).status, 400, "{odd}");
    }
    assert!(!logged(&mut world.gateway).contains("\"revoked\""));
    world.forwarded(&token(json!({"sid": "s1", "iat": START - 1})));
}

/// A request that waits for the user service while the event comes does not pass after it.
#[test]
fn nothing_that_waits_passes_after_the_event() {
    let mut config = config("both");
    put(
        &mut config,
        "/services/users",
        json!({"upstream": "users", "authority": "users.internal"}),
    );
    put(&mut config, "/user_info", json!({"service": "users", "path": "/users/{sub}"}));
    let mut world = World::new(&config, ENVOY);
    let step = world.get(&token(json!({"sid": "s1", "iat": START - 1})));
    assert_eq!(logout(&mut world, json!({})).status, 200);
    let step = world.answer(step, &ok(&json!({"sub": "alice"})));
    assert_eq!(denied(step), revoked());
}

/// Of two transmitters of one issuer nobody can tell which one an event is from.
#[test]
fn one_issuer_is_one_transmitter() {
    let mut config = config("both");
    let first = config["revocation"]["events"]["transmitters"][0].clone();
    let mut second = first.clone();
    second["authorization"] = json!("Bearer of-another-stream");
    config["revocation"]["events"]["transmitters"] = json!([first, second]);
    let problems = gatepass::config::load(config.to_string().as_bytes(), &|_| None, None);
    let problems = problems.expect_err("refused").to_string();
    let found = format!("the issuer {TRANSMITTER:?} in two transmitters");
    assert!(problems.contains(&found), "{problems}");
}

/// Two events at once are two: neither is taken for handed on with the other's entries.
#[test]
fn each_event_is_handed_on_itself() {
    let mut config = config("both");
    let auth = json!({"upstream": "auth", "authority": "auth.internal"});
    put(&mut config, "/services", json!({ "auth": auth }));
    let forward = json!({"service": "auth", "path": "/revoked"});
    put(&mut config, "/revocation/events/forward", forward);
    let mut world = World::new(&config, ENVOY);
    let begin = |world: &mut World, sid: &str, jti: &str| {
        let body = format!("logout_token={}", logout_token(json!({"sid": sid, "jti": jti})));
        let head = post(LOGOUT, "application/x-www-form-urlencoded", &body, "");
        awaits(send(world, head, &body))
    };
    let (first, first_waits) = begin(&mut world, "s1", "l1");
    let (second, second_waits) = begin(&mut world, "s2", "l2");
    for (sent, sid) in [(&first, "s1"), (&second, "s2")] {
        let body = sent.callout.body.as_ref().unwrap().expose();
        assert!(String::from_utf8_lossy(body).contains(sid), "{sid}");
    }
    let told = answered(world.complete(second.id, second_waits, &reply(307, b"")));
    assert_eq!(error_of(&told, "error").1, "temporarily_unavailable");
    assert_eq!(answered(world.complete(first.id, first_waits, &reply(204, b""))).status, 200);
    // Told again, it is handed on again.
    begin(&mut world, "s2", "l2");
    for sid in ["s1", "s2"] {
        assert_eq!(world.denied(&token(json!({"sid": sid, "iat": START - 1}))), revoked());
    }
}

/// No spelling of the gateway's own types makes a public token of an issuer's.
#[test]
fn own_types_in_any_spelling() {
    let mut world = World::new(&config("both"), ENVOY);
    for typ in ["txntoken+jwt", "TxnToken+JWT", "application/txntoken+jwt", "Identity+JWT"] {
        let header = json!({"alg": "EdDSA", "kid": "a", "typ": typ}).to_string();
        let text = KEY_A.sign(header.as_bytes(), claims(json!({})).to_string().as_bytes());
        assert_eq!(world.denied(&text), denial(401, "token_type_mismatch"), "{typ}");
    }
    let query = format!("{LOGOUT}?logout_token={}", logout_token(json!({})));
    let head = post(&query, "application/x-www-form-urlencoded", "a=b", "");
    assert_eq!(answered(send(&mut world, head, "a=b")).status, 400);
}
