//! What issuers tell of logouts and of security events.

use gatepass::http::{LocalReply, RequestHead};
use gatepass::pipeline::Step;
use serde_json::{Value, json};

use crate::support::*;

pub const LOGOUT: &str = "/.well-known/gatepass/backchannel-logout";
pub const EVENTS: &str = "/.well-known/gatepass/events";
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
pub const TRANSMITTER: &str = "https://events.example";

pub fn config(revoke: &str) -> Value {
    local([
        ("/providers/shop/clock_skew_seconds", json!(10)),
        ("/providers/shop/max_lifetime_seconds", json!(7200)),
        ("/providers/shop/logout", json!({"client_ids": ["web", "app"], "revoke": revoke})),
        (
            "/revocation",
            json!({
                "logout_path": LOGOUT,
                "events": {"transmitters": [{
                    "issuer": TRANSMITTER,
                    "provider": "shop",
                    "audiences": ["https://gateway.example"],
                    "local_jwks": {"keys": [KEY_B.jwk("b")]},
                    "authorization": "Bearer of-the-stream",
                }]},
            }),
        ),
    ])
}

pub fn post(path: &str, media_type: &str, body: &str, authorization: &str) -> RequestHead {
    let length = body.len().to_string();
    let mut fields = vec![
        (":method", "POST"),
        (":path", path),
        ("content-type", media_type),
        ("content-length", &length),
    ];
    if !authorization.is_empty() {
        fields.push(("authorization", authorization));
    }
    head(&fields)
}

pub fn send(world: &mut World, head: RequestHead, body: &str) -> Step {
    match world.begin(head) {
        Step::Receive(submission) => {
            let now = world.now();
            world.gateway.submit(submission, Some(body.as_bytes().to_vec()), now)
        }
        step => step,
    }
}

pub fn form(world: &mut World, body: &str) -> LocalReply {
    let head = post(LOGOUT, "application/x-www-form-urlencoded", body, "");
    answered(send(world, head, body))
}

pub fn push(world: &mut World, body: &str) -> LocalReply {
    let head = post(EVENTS, "application/secevent+jwt", body, "Bearer of-the-stream");
    answered(send(world, head, body))
}

/// The claims of a logout token, changed.
pub fn logout_claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://auth.example", "aud": "web", "sub": "alice", "sid": "s1",
        "iat": START, "jti": "l1", "events": {LOGOUT_EVENT: {}},
    });
    change(&mut claims, changes);
    claims
}

pub fn change(claims: &mut Value, changes: Value) {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

pub fn logout_token(changes: Value) -> String {
    KEY_A.token("a", &logout_claims(changes))
}

pub fn logout(world: &mut World, changes: Value) -> LocalReply {
    let token = logout_token(changes);
    form(world, &format!("logout_token={token}"))
}

pub fn error_of(reply: &LocalReply, member: &str) -> (u16, String) {
    assert_eq!(reply_field(reply, "cache-control"), Some("no-store"));
    assert_eq!(reply_field(reply, "content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let described = body["description"].as_str().or(body["error_description"].as_str());
    assert!(!described.unwrap().is_empty(), "{body}");
    (reply.status, body[member].as_str().unwrap().to_owned())
}

pub fn revoked() -> (u16, String) {
    denial(401, "token_revoked")
}

/// Whether a request is denied because its token was revoked; if not, it passes.
pub fn is_revoked(step: Step) -> bool {
    let denial = decided(step);
    assert!(denial.is_none() || denial == Some(revoked()), "{denial:?}");
    denial.is_some()
}

fn of_session(sid: &str, iat: i64) -> String {
    token(json!({"sid": sid, "iat": iat}))
}

#[test]
fn a_logout_ends_the_session_at_once() {
    for (revoke, same_session, same_user, later_of_session) in
        [("sid", true, false, true), ("sub", true, true, false), ("both", true, true, true)]
    {
        let mut world = World::new(&config(revoke), ENVOY);
        world.set_clock(START + 20);
        let (session, other) = (of_session("s1", START - 5), of_session("s2", START - 5));
        let (same_second, later) = (of_session("s3", START), of_session("s2", START + 1));
        for token in [&session, &other, &same_second, &later] {
            world.forwarded(token);
        }
        let reply = logout(&mut world, json!({}));
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(reply_field(&reply, "cache-control"), Some("no-store"));
        let mut is_out = |token: &str| is_revoked(world.get(token));
        assert_eq!(is_out(&session), same_session, "{revoke}");
        assert_eq!(is_out(&other), same_user, "{revoke}");
        assert_eq!(is_out(&same_second), same_user, "{revoke}, of the same second");
        assert!(!is_out(&later), "{revoke}: a login after it");
        assert_eq!(is_out(&of_session("s1", START + 1)), later_of_session, "{revoke}");
        assert!(!is_out(&token(json!({"sub": "bob", "sid": "s9"}))), "{revoke}");
    }
}

/// Keycloak's, of before and after it wrote a type, and others'.
#[test]
fn logout_tokens_as_issuers_write_them() {
    for (case, header, changes) in [
        (
            "Keycloak",
            json!({"typ": "JWT"}),
            json!({
                "typ": "Logout", "exp": START + 120,
                "events": {LOGOUT_EVENT: {}, "revoke_offline_access": true},
            }),
        ),
        ("a newer Keycloak", json!({"typ": "logout+jwt"}), json!({"exp": START + 120})),
        ("a media type", json!({"typ": "application/Logout+JWT"}), json!({})),
        ("no type", json!({}), json!({})),
        ("a list of clients", json!({}), json!({"aud": ["other", "app"]})),
        ("a session alone", json!({}), json!({"sub": null})),
        ("a user alone", json!({}), json!({"sid": null})),
        ("a nonce of null", json!({}), json!({"trace": "x"})),
        ("with an event object", json!({}), json!({"events": {LOGOUT_EVENT: {"x": 1}}})),
        ("a clock ahead", json!({}), json!({"iat": START + 9})),
    ] {
        let mut world = World::new(&config("both"), ENVOY);
        let mut full = json!({"alg": "EdDSA", "kid": "a"});
        change(&mut full, header);
        let claims = logout_claims(changes).to_string();
        let token = KEY_A.sign(full.to_string().as_bytes(), claims.as_bytes());
        let reply = form(&mut world, &format!("state=x&logout_token={token}"));
        assert_eq!(reply.status, 200, "{case}: {}", String::from_utf8_lossy(&reply.body));
        assert_eq!(world.denied(&of_session("s1", START - 1)), revoked(), "{case}");
    }
}

#[test]
fn hostile_logout_tokens_revoke_nothing() {
    let header = |changes: Value| {
        let mut header = json!({"alg": "EdDSA", "kid": "a"});
        change(&mut header, changes);
        header
    };
    for (case, header, changes) in [
        ("another issuer", header(json!({})), json!({"iss": "https://evil.example"})),
        ("no issuer", header(json!({})), json!({"iss": null})),
        ("another client", header(json!({})), json!({"aud": "shop-api"})),
        ("no client", header(json!({})), json!({"aud": null})),
        ("a nonce", header(json!({})), json!({"nonce": "n"})),
        ("an empty nonce", header(json!({})), json!({"nonce": ""})),
        ("no events", header(json!({})), json!({"events": null})),
        ("another event", header(json!({})), json!({"events": {"x": {}}})),
        ("an event that is true", header(json!({})), json!({"events": {LOGOUT_EVENT: true}})),
        ("a list of events", header(json!({})), json!({"events": [LOGOUT_EVENT]})),
        ("a text", header(json!({})), json!({"events": LOGOUT_EVENT})),
        ("nobody", header(json!({})), json!({"sub": null, "sid": null})),
        ("a number", header(json!({})), json!({"sid": 1})),
        ("an empty session", header(json!({})), json!({"sid": ""})),
        ("a long session", header(json!({})), json!({"sid": "s".repeat(513)})),
        ("no id", header(json!({})), json!({"jti": null})),
        ("no time", header(json!({})), json!({"iat": null})),
        ("a text as time", header(json!({})), json!({"iat": "1"})),
        ("the future", header(json!({})), json!({"iat": START + 11})),
        ("over", header(json!({})), json!({"exp": START - 11})),
        ("not yet", header(json!({})), json!({"nbf": START + 11})),
        ("an access token", header(json!({"typ": "at+jwt"})), json!({})),
        ("an event of a stream", header(json!({"typ": "secevent+jwt"})), json!({})),
        ("an identity token", header(json!({"typ": "identity+jwt"})), json!({})),
        ("unsecured", header(json!({"alg": "none"})), json!({})),
        ("another algorithm", header(json!({"alg": "RS256"})), json!({})),
        ("an unknown key", header(json!({"kid": "b"})), json!({})),
        ("critical", header(json!({"crit": ["exp"]})), json!({})),
    ] {
        let mut world = World::new(&config("both"), ENVOY);
        let claims = logout_claims(changes).to_string();
        let token = KEY_A.sign(header.to_string().as_bytes(), claims.as_bytes());
        let reply = form(&mut world, &format!("logout_token={token}"));
        assert_eq!(error_of(&reply, "error"), (400, "invalid_request".into()), "{case}");
        world.forwarded(&of_session("s1", START - 1));
        assert!(!logged(&mut world.gateway).contains(r#""event":"revoked""#), "{case}");
    }
    let mut world = World::new(&config("both"), ENVOY);
    let good = logout_token(json!({}));
    let forged = KEY_B.token("a", &logout_claims(json!({})));
    let body = format!("logout_token={good}");
    for (case, body) in [
        ("forged", format!("logout_token={forged}")),
        ("twice", format!("{body}&{body}")),
        ("none", "token=x".to_owned()),
        ("no token", "logout_token=abc".to_owned()),
        ("an access token", format!("logout_token={}", alice())),
    ] {
        let reply = form(&mut world, &body);
        assert_eq!(error_of(&reply, "error"), (400, "invalid_request".into()), "{case}");
    }
    let json = post(LOGOUT, "application/json", &body, "");
    assert_eq!(error_of(&answered(send(&mut world, json, &body)), "error").0, 400);
    let get = head(&[(":path", LOGOUT)]);
    let unstored = |reply: &LocalReply| reply_field(reply, "cache-control") == Some("no-store");
    let reply = answered(world.begin(get));
    assert!(reply.status == 405 && unstored(&reply), "{reply:?}");
    assert_eq!(error_of(&reply, "error").1, "invalid_request");
    let bearer = "Bearer of-the-stream";
    for (path, form, member) in [
        (LOGOUT, "application/x-www-form-urlencoded", "error"),
        (EVENTS, "application/secevent+jwt", "err"),
    ] {
        let reply = answered(world.begin(post(path, form, "", bearer)));
        assert_eq!(error_of(&reply, member), (400, "invalid_request".into()), "{path}: empty");
        assert!(unstored(&reply), "{path}: {reply:?}");
        let endless = head(&[
            (":path", path),
            (":method", "POST"),
            ("content-type", form),
            ("transfer-encoding", "chunked"),
            ("authorization", bearer),
        ]);
        let reply = answered(world.begin(endless));
        assert!(reply.status == 411 && unstored(&reply), "{path}: {reply:?}");
        assert_eq!(error_of(&reply, member).1, "invalid_request", "{path}");
    }
    world.forwarded(&of_session("s1", START - 1));
}

#[test]
fn a_session_alone_says_nothing_where_access_tokens_have_none() {
    let mut world = World::new(&config("sub"), ENVOY);
    let reply = logout(&mut world, json!({"sub": null}));
    assert_eq!(error_of(&reply, "error").0, 400);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("access tokens of this issuer have no sid"), "{text}");
    // A user alone is every session of theirs, whatever is asked for.
    let mut world = World::new(&config("sid"), ENVOY);
    assert_eq!(logout(&mut world, json!({"sid": null})).status, 200);
    assert_eq!(world.denied(&of_session("s2", START - 1)), revoked());
}

#[test]
fn a_logout_token_counts_once() {
    let store = Store::default();
    let mut one = World::sharing(&config("both"), ENVOY, &store);
    let mut two = World::sharing(&config("both"), ENVOY, &store);
    let session = of_session("s1", START - 1);
    two.forwarded(&session);
    assert_eq!(logout(&mut one, json!({})).status, 200);
    assert_eq!(two.denied(&session), revoked(), "another worker knows");
    for world in [&mut one, &mut two] {
        let reply = logout(world, json!({}));
        assert_eq!(error_of(&reply, "error").0, 400);
        assert!(String::from_utf8_lossy(&reply.body).contains("received before"));
    }
    assert_eq!(logout(&mut two, json!({"jti": "l2"})).status, 200);
    one.pass(3600 * 3);
    assert!(logged(&mut one.gateway).contains(r#""by":"logout""#));
}

/// The body waits for the keys, and for nothing else.
#[test]
fn a_logout_waits_for_keys() {
    let mut config = config("both");
    put(&mut config, "/providers/shop/local_jwks", Value::Null);
    let shop = config["providers"]["shop"].as_object_mut().unwrap();
    shop.remove("local_jwks");
    put(&mut config, "/providers/shop/remote_jwks", json!({"service": "auth", "path": "/jwks"}));
    for (reply, expected) in [(jwks(&[KEY_A.jwk("a")]), 200), (failed(), 400)] {
        let mut world = World::new(&config, ENVOY);
        let body = format!("logout_token={}", logout_token(json!({})));
        let head = post(LOGOUT, "application/x-www-form-urlencoded", &body, "");
        let step = send(&mut world, head, &body);
        let answer = answered(world.answer(step, &reply));
        assert_eq!(answer.status, expected);
        if expected == 400 {
            assert_eq!(error_of(&answer, "error").1, "temporarily_unavailable");
        }
    }
}

/// RFC 8935 section 2.4: a general error has its own status.
#[test]
fn an_event_that_cannot_be_checked_now_has_the_form_of_its_protocol() {
    let mut config = config("both");
    let transmitter = &mut config["revocation"]["events"]["transmitters"][0];
    transmitter.as_object_mut().unwrap().remove("local_jwks");
    transmitter["remote_jwks"] = json!({"service": "auth", "path": "/jwks"});
    let mut world = World::new(&config, ENVOY);
    let body = event_token(&event_claims(&format!("{CAEP}session-revoked"), json!({}), json!({})));
    let head = post(EVENTS, "application/secevent+jwt", &body, "Bearer of-the-stream");
    let step = send(&mut world, head, &body);
    let reply = answered(world.answer(step, &failed()));
    assert_eq!(error_of(&reply, "err"), (503, "temporarily_unavailable".into()));
    assert_eq!(reply_field(&reply, "retry-after"), Some("1"));
}

/// In shadow mode too, and whatever a rule says: nobody else answers.
#[test]
fn the_endpoints_are_the_gateways_own() {
    for mode in ["shadow", "enforce"] {
        let mut config = config("both");
        put(&mut config, "/mode", json!(mode));
        put(&mut config, "/rules", json!([{"match": {"path_prefix": "/"}, "bypass": true}]));
        let mut world = World::new(&config, ENVOY);
        assert_eq!(form(&mut world, "logout_token=x").status, 400, "{mode}");
        assert_eq!(push(&mut world, "x").status, 400, "{mode}");
        assert_eq!(logout(&mut world, json!({})).status, 200, "{mode}");
    }
}

/// Anybody may send them, and what is read before a signature costs time and memory.
#[test]
fn the_bodies_of_signals_are_small() {
    let mut config = config("both");
    put(&mut config, "/limits", json!({"max_reply_bytes": 1_000_000}));
    let mut world = World::new(&config, ENVOY);
    let body = |bytes: usize| "x".repeat(bytes);
    assert_eq!(form(&mut world, &body(65_536)).status, 400);
    assert_eq!(push(&mut world, &body(65_536)).status, 400);
    for (path, media_type, member) in [
        (LOGOUT, "application/x-www-form-urlencoded", "error"),
        (EVENTS, "application/secevent+jwt", "err"),
    ] {
        let head = post(path, media_type, &body(65_537), "Bearer of-the-stream");
        let reply = answered(world.begin(head));
        assert_eq!(error_of(&reply, member), (413, "invalid_request".into()), "{path}");
    }
}

pub const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const OAUTH: &str = "https://schemas.openid.net/secevent/oauth/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

pub fn event_claims(event: &str, payload: Value, changes: Value) -> Value {
    let mut claims = json!({
        "iss": TRANSMITTER, "aud": "https://gateway.example", "iat": START, "jti": "e1",
        "sub_id": {"format": "iss_sub", "iss": "https://auth.example", "sub": "alice"},
        "events": {event: payload},
    });
    change(&mut claims, changes);
    claims
}

pub fn event_token(claims: &Value) -> String {
    let header = json!({"alg": "EdDSA", "kid": "b", "typ": "secevent+jwt"}).to_string();
    KEY_B.sign(header.as_bytes(), claims.to_string().as_bytes())
}

#[test]
fn events_that_end_sessions() {
    let session_revoked = format!("{CAEP}session-revoked");
    let issuer = "https://auth.example";
    let alice = token(json!({"iat": START - 5, "sid": "s1", "email": "alice@shop.example",
        "jti": "t1", "phone_number": "+12065550100"}));
    let subject = |subject: Value| json!({ "sub_id": subject });
    let in_event = |subject: Value| json!({ "subject": subject });
    for (case, event, payload, changes) in [
        (
            "session-revoked",
            session_revoked.clone(),
            json!({"event_timestamp": START - 1}),
            json!({}),
        ),
        ("credential-change", format!("{CAEP}credential-change"), json!({}), json!({})),
        ("account-disabled", format!("{RISC}account-disabled"), json!({}), json!({})),
        ("account-purged", format!("{RISC}account-purged"), json!({}), json!({})),
        ("credential-compromise", format!("{RISC}credential-compromise"), json!({}), json!({})),
        ("sessions-revoked", format!("{RISC}sessions-revoked"), json!({}), json!({})),
        ("tokens-revoked", format!("{OAUTH}tokens-revoked"), json!({}), json!({})),
        (
            "a list of audiences",
            session_revoked.clone(),
            json!({}),
            json!({"aud": ["x", "https://gateway.example"]}),
        ),
        (
            "opaque",
            session_revoked.clone(),
            json!({}),
            subject(json!({"format": "opaque", "id": "alice"})),
        ),
        (
            "a mail address in another case",
            session_revoked.clone(),
            json!({}),
            subject(json!({"format": "email", "email": "Alice@Shop.example"})),
        ),
        (
            "a phone",
            session_revoked.clone(),
            json!({}),
            subject(json!({"format": "phone_number", "phone_number": "+12065550100"})),
        ),
        (
            "a token",
            session_revoked.clone(),
            json!({}),
            subject(json!({"format": "jwt_id", "iss": issuer, "jti": "t1"})),
        ),
        (
            "aliases",
            session_revoked.clone(),
            json!({}),
            subject(json!({"format": "aliases", "identifiers": [
                {"format": "did", "url": "did:example:123"}, {"format": "email", "email": "alice@shop.example"},
            ]})),
        ),
        (
            "a session of a user",
            session_revoked.clone(),
            json!({}),
            subject(json!({
                "format": "complex",
                "user": {"format": "iss_sub", "iss": issuer, "sub": "alice"},
                "session": {"format": "opaque", "id": "s1"},
                "tenant": {"format": "opaque", "id": "t"},
            })),
        ),
        (
            "a session",
            session_revoked.clone(),
            json!({}),
            subject(json!({"format": "complex", "session": {"format": "opaque", "id": "s1"}})),
        ),
        (
            "Okta's, of a user",
            session_revoked.clone(),
            json!({
                "event_timestamp": (START - 1) * 1000,
                "subject": {"user": {"format": "iss_sub", "iss": TRANSMITTER, "sub": "alice"}},
            }),
            json!({"sub_id": null}),
        ),
        (
            "Okta's, without a word for the form",
            session_revoked.clone(),
            in_event(json!({"iss": TRANSMITTER, "sub": "alice"})),
            json!({"sub_id": null}),
        ),
        (
            "Google's",
            format!("{RISC}sessions-revoked"),
            in_event(
                json!({"subject_type": "iss-sub", "iss": "https://auth.example/", "sub": "alice"}),
            ),
            json!({"sub_id": null}),
        ),
        (
            "Google's, by ID token",
            format!("{RISC}account-disabled"),
            in_event(json!({
                "subject_type": "id_token_claims", "iss": issuer, "email": "alice@shop.example",
            })),
            json!({"sub_id": null}),
        ),
    ] {
        let mut world = World::new(&config("both"), ENVOY);
        world.forwarded(&alice);
        let reply = push(&mut world, &event_token(&event_claims(&event, payload, changes)));
        assert_eq!((reply.status, reply.body.len()), (202, 0), "{case}: {reply:?}");
        assert_eq!(world.denied(&alice), revoked(), "{case}");
        world.forwarded(&token(json!({"sub": "bob", "iat": START - 5})));
        world.pass(2);
        let later = token(json!({"iat": START + 1, "email": "alice@shop.example"}));
        world.forwarded(&later);
        let log = logged(&mut world.gateway);
        assert!(log.contains(r#""by":"events""#), "{case}: {log}");
    }
}

#[test]
fn the_event_says_when_it_happened() {
    let event = format!("{CAEP}session-revoked");
    for (case, payload, changes, last) in [
        ("seconds", json!({"event_timestamp": START - 100}), json!({}), START - 100),
        ("milliseconds", json!({"event_timestamp": (START - 100) * 1000}), json!({}), START - 100),
        ("toe", json!({}), json!({"toe": START - 50}), START - 50),
        ("when it was told", json!({}), json!({}), START),
        ("the future", json!({"event_timestamp": START + 5000}), json!({}), START),
        ("long ago", json!({"event_timestamp": 12}), json!({}), START),
        ("microseconds", json!({"event_timestamp": 1.8e15}), json!({}), START),
        ("a text", json!({"event_timestamp": "now"}), json!({}), START),
        ("a clock ahead", json!({}), json!({"iat": START + 30}), START + 20),
    ] {
        let mut world = World::new(&config("both"), ENVOY);
        world.set_clock(START + 20);
        let reply = push(&mut world, &event_token(&event_claims(&event, payload, changes)));
        assert_eq!(reply.status, 202, "{case}");
        world.pass(30);
        assert_eq!(world.denied(&token(json!({"iat": last}))), revoked(), "{case}");
        world.forwarded(&token(json!({"iat": last + 1})));
        // It comes again: a login since then is none of it.
        world.forwarded(&token(json!({"iat": last + 2})));
    }
}

#[test]
fn events_that_revoke_nothing_are_acknowledged() {
    for (event, payload, kind) in [
        (format!("{SSF}verification"), json!({"state": "abc"}), "verification"),
        (format!("{RISC}verification"), json!({}), "verification"),
        (format!("{SSF}stream-updated"), json!({"status": "paused"}), "stream-updated"),
        (format!("{CAEP}token-claims-change"), json!({"claims": {}}), "other"),
        ("https://vendor.example/event".to_owned(), json!({}), "other"),
        (format!("{CAEP}account-disabled"), json!({}), "other"),
    ] {
        let mut world = World::new(&config("both"), ENVOY);
        let subject = json!({"sub_id": {"format": "opaque", "id": "stream-1"}});
        let reply = push(&mut world, &event_token(&event_claims(&event, payload, subject)));
        assert_eq!(reply.status, 202, "{event}");
        world.forwarded(&alice());
        let series = world.gateway.metrics();
        let counted = world.gateway.take_metrics();
        let is_counted = counted.iter().any(|(at, amount)| {
            series[*at].name == "gatepass_events_total"
                && series[*at].labels == [("event", kind.to_owned())]
                && *amount == 1
        });
        assert!(is_counted, "{event}");
        let log = logged(&mut world.gateway);
        assert_eq!(log.contains(r#""event":"stream_updated""#), kind == "stream-updated", "{log}");
    }
}

// RFC 8417 section 2.2 (R85)
#[test]
fn hostile_events_revoke_nothing() {
    let event = format!("{CAEP}session-revoked");
    let base = |changes: Value| event_claims(&event, json!({}), changes);
    let subject = |subject: Value| base(json!({ "sub_id": subject }));
    for (case, claims, expected) in [
        ("another issuer", base(json!({"iss": "https://auth.example"})), "invalid_issuer"),
        ("no issuer", base(json!({"iss": null})), "invalid_issuer"),
        ("another audience", base(json!({"aud": "shop-api"})), "invalid_audience"),
        ("no audience", base(json!({"aud": null})), "invalid_request"),
        ("a subject as of a token", base(json!({"sub": "alice"})), "invalid_request"),
        ("an end as of a token", base(json!({"exp": START + 60})), "invalid_request"),
        ("no id", base(json!({"jti": null})), "invalid_request"),
        ("no time", base(json!({"iat": null})), "invalid_request"),
        ("the future", base(json!({"iat": START + 61})), "invalid_request"),
        ("no events", base(json!({"events": null})), "invalid_request"),
        ("no event", base(json!({"events": {}})), "invalid_request"),
        ("an event that is true", base(json!({"events": {&event: true}})), "invalid_request"),
        ("nobody", base(json!({"sub_id": null})), "invalid_request"),
        ("a text", subject(json!("alice")), "invalid_request"),
        ("an unknown form", subject(json!({"format": "x", "id": "alice"})), "invalid_request"),
        ("an address of a host", subject(json!({"format": "ip-addresses"})), "invalid_request"),
        (
            "a user of another issuer",
            subject(json!({"format": "iss_sub", "iss": "https://other.example", "sub": "alice"})),
            "invalid_request",
        ),
        (
            "no issuer of the user",
            subject(json!({"format": "iss_sub", "sub": "alice"})),
            "invalid_request",
        ),
        ("a number", subject(json!({"format": "opaque", "id": 7})), "invalid_request"),
        (
            "a long name",
            subject(json!({"format": "opaque", "id": "a".repeat(513)})),
            "invalid_request",
        ),
        (
            "a tenant",
            subject(json!({"format": "complex", "tenant": {"format": "opaque", "id": "t"}})),
            "invalid_request",
        ),
        (
            "aliases of aliases",
            subject(json!({"format": "aliases", "identifiers": [{
                "format": "aliases", "identifiers": [{"format": "opaque", "id": "alice"}],
            }]})),
            "invalid_request",
        ),
    ] {
        let mut world = World::new(&config("both"), ENVOY);
        let reply = push(&mut world, &event_token(&claims));
        assert_eq!(error_of(&reply, "err"), (400, expected.into()), "{case}");
        assert_eq!(reply_field(&reply, "content-language"), Some("en"));
        world.forwarded(&alice());
    }
    let mut world = World::new(&config("both"), ENVOY);
    let claims = base(json!({}));
    let good = event_token(&claims);
    let typed = |typ: Value, key: &IssuerKey, kid: &str| {
        let mut header = json!({"alg": "EdDSA", "kid": kid});
        change(&mut header, json!({ "typ": typ }));
        key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes())
    };
    for (case, body, expected) in [
        ("no token", "abc".to_owned(), "invalid_request"),
        ("no type", typed(Value::Null, &KEY_B, "b"), "invalid_request"),
        ("an access token's type", typed(json!("at+jwt"), &KEY_B, "b"), "invalid_request"),
        ("a logout token's", typed(json!("logout+jwt"), &KEY_B, "b"), "invalid_request"),
        ("the provider's key", typed(json!("secevent+jwt"), &KEY_A, "b"), "invalid_key"),
        ("an unknown key", typed(json!("secevent+jwt"), &KEY_B, "c"), "invalid_key"),
    ] {
        assert_eq!(error_of(&push(&mut world, &body), "err"), (400, expected.into()), "{case}");
    }
    for (case, media_type, authorization, expected) in [
        ("no authorization", "application/secevent+jwt", "", "authentication_failed"),
        ("another", "application/secevent+jwt", "Bearer x", "authentication_failed"),
        ("another type", "application/json", "Bearer of-the-stream", "invalid_request"),
    ] {
        let head = post(EVENTS, media_type, &good, authorization);
        let step = world.begin(head);
        assert_eq!(
            error_of(&answered(step), "err"),
            (400, expected.into()),
            "{case}: no body read"
        );
    }
    world.forwarded(&alice());
    assert_eq!(push(&mut world, &good).status, 202, "and the good one");
    assert_eq!(push(&mut world, &good).status, 202, "again");
    assert_eq!(world.denied(&alice()), revoked());
}

/// As for an access token, it is no bad signature.
#[test]
fn an_event_of_a_sender_with_many_keys_must_name_its_key() {
    let claims = event_claims(&format!("{SSF}verification"), json!({"state": "abc"}), json!({}));
    let header = json!({"alg": "EdDSA", "typ": "secevent+jwt"}).to_string();
    let event = KEY_B.sign(header.as_bytes(), claims.to_string().as_bytes());
    for (count, expected) in [(4, false), (16, true)] {
        let mut config = config("both");
        let keys: Vec<_> = (0..count).map(|at| KEY_A.jwk(&format!("k{at}"))).collect();
        config["revocation"]["events"]["transmitters"][0]["local_jwks"]["keys"] = keys.into();
        let reply = push(&mut World::new(&config, ENVOY), &event);
        assert_eq!(error_of(&reply, "err"), (400, "invalid_key".into()));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["description"].as_str().unwrap().contains("kid"), expected, "{count}");
    }
}

/// What fills the list is refused, and nothing is forgotten for it.
#[test]
fn a_full_list_is_no_success() {
    let mut config = config("sid");
    put(&mut config, "/revocation/max_entries", json!(1));
    let mut world = World::new(&config, ENVOY);
    assert_eq!(logout(&mut world, json!({"sid": "s1", "jti": "1"})).status, 200);
    let reply = logout(&mut world, json!({"sid": "s2", "jti": "2"}));
    assert_eq!(error_of(&reply, "error"), (400, "temporarily_unavailable".into()));
    assert_eq!(world.denied(&of_session("s1", START)), revoked());
    // Every token of that session has ended, whatever the clock skew of other gateways.
    world.pass(7200 + 301);
    assert_eq!(logout(&mut world, json!({"sid": "s2", "jti": "2"})).status, 200);
}
