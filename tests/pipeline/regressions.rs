//! What was wrong once.

use gatepass::pipeline::Step;
use serde_json::json;

use crate::support::*;

/// An upstream that takes `_` for `-` would read a token that nobody checked.
#[test]
fn the_public_token_goes_no_further_in_another_spelling() {
    for (case, credentials) in [("alone", None), ("beside a valid one", Some(alice()))] {
        let mut fields = vec![("X_Access_Token", "not.a.token")];
        if let Some(token) = &credentials {
            fields.push(("x-access-token", token));
        }
        let head = head(&fields);
        let config = local([
            ("/token", json!({"from_headers": [{"name": "x-access-token"}]})),
            ("/rules", json!([{"match": {}, "requires": {"allow_missing": true}}])),
        ]);
        let mut world = World::new(&config, ENVOY);
        let edits = forwarded(world.begin(head.clone()));
        let names: Vec<_> =
            upstream(world.host, &head, &edits).into_iter().map(|(name, _)| name).collect();
        assert!(!names.iter().any(|name| name == "x_access_token"), "{case}: {names:?}");
        let mut world = World::new(&config, KONG);
        let step = world.begin(head);
        match credentials {
            None => drop(forwarded(step)),
            Some(_) => assert_eq!(denied(step), denial(400, "header_repeated")),
        }
    }
}
/// Who is told apart by a username that user info gives: a control character in
/// it is the service's failure, not the token's.
#[test]
fn a_username_from_user_info_with_control_characters_is_a_failure_of_user_info() {
    for (claim, mode, expected) in [
        ("preferred_username", "deny", Some(denial(503, "user_info_unavailable"))),
        ("username", "deny", Some(denial(503, "user_info_unavailable"))),
        ("username", "degrade", None),
    ] {
        let config = with_users([
            ("/user_info/claims", json!({claim: "/name"})),
            ("/user_info/failure_mode", mode.into()),
        ]);
        let mut world = World::new(&config, ENVOY);
        let step = world.get(&alice());
        let step = world.answer(step, &ok(&json!({"sub": "alice", "name": "a\r\nb"})));
        match expected {
            Some(expected) => assert_eq!(denied(step), expected, "{claim}, {mode}"),
            None => assert_eq!(field(&forwarded(step), "x-consumer-username"), None),
        }
    }
}

/// The way back to where a person came from must not carry the token that was
/// refused to the login page, its log and the browser's history (RFC 6750
/// section 5.3).
#[test]
fn the_login_page_does_not_get_a_token_from_the_query() {
    let config = local([
        ("/token", json!({"from_params": ["access_token"]})),
        ("/errors", json!({"login_redirect": {"to": "https://login.example/"}})),
    ]);
    let path = format!("/a?x=1&access_token={}&y=2", token(json!({"exp": START - 100})));
    let mut world = World::new(&config, ENVOY);
    let reply = answered(world.begin(head(&[(":path", &path), ("accept", "text/html")])));
    assert_eq!(
        reply_field(&reply, "location"),
        Some("https://login.example/?return_to=%2Fa%3Fx%3D1%26y%3D2")
    );
}

/// The log line of a denial says whose request it was, as far as that is known.
#[test]
fn a_denial_of_a_known_consumer_is_logged_with_the_consumer() {
    let config = local([
        ("/consumers", json!({"entries": [{"key": "web"}]})),
        ("/rules", json!([{"match": {}, "requires": {"scopes_all": ["a"]}}])),
    ]);
    let mut world = World::new(&config, ENVOY);
    // Once for a new token and once for one that is known.
    for _ in 0..2 {
        world.denied(&alice());
        let log = world.gateway.take_log();
        let line: serde_json::Value = serde_json::from_str(&log[0].to_string()).unwrap();
        assert_eq!(line["consumer"], "web");
        assert_eq!(line["provider"], "shop");
        assert_eq!(line["rule"], 0);
    }
}

/// Whoever names a new key and hangs up must not use up the fetch that would
/// have found it: the key stayed unknown for a whole cooldown, and tokens
/// signed with it were called bad.
#[test]
fn an_abandoned_fetch_is_made_up_for() {
    let bobs = KEY_B.token("b", &claims(json!({"sub": "bob"})));
    let both = jwks(&[KEY_A.jwk("a"), KEY_B.jwk("b")]);
    let mut world = World::new(&remote([]), KONG);
    world.tick(&jwks(&[KEY_A.jwk("a")]));
    let (sent, _) = awaits(world.get(&bobs));
    world.gateway.abandon(sent.id);
    // No fetch of its own, or hanging up again and again would ask for one each
    // time; but the key may well exist.
    assert_eq!(world.denied(&bobs), denial(503, "keys_unavailable"));
    assert_eq!(world.tick(&both), 1, "the gateway asks by itself");
    world.forwarded(&bobs);
    world.forwarded(&alice());
}

/// Once a cooldown, however often clients hang up.
#[test]
fn abandoned_fetches_do_not_multiply() {
    let strange = KEY_B.token("b", &claims(json!({})));
    let mut world = World::new(&remote([]), KONG);
    world.tick(&jwks(&[KEY_A.jwk("a")]));
    let mut fetches = 0;
    for _ in 0..300 {
        if let gatepass::pipeline::Step::Wait(sent, _) = world.get(&strange) {
            fetches += 1;
            world.gateway.abandon(sent.id);
        }
        fetches += world.tick(&jwks(&[KEY_A.jwk("a")]));
        world.millis += 99;
    }
    assert_eq!(fetches, 2, "one that was abandoned, one that made up for it");
}

/// What was decided by a clock that was ahead is decided again.
#[test]
fn a_clock_set_back_extends_nothing() {
    let mut world = World::new(&with_users([]), ENVOY);
    let current = token(json!({}));
    let step = world.get(&current);
    forwarded(world.answer(step, &ok(&json!({"sub": "alice", "address": {"country": "ES"}}))));
    world.forwarded(&current);
    world.pass(-3600);
    assert_eq!(world.denied(&current), denial(401, "token_not_yet_valid"), "not taken for granted");
    // Data of the future would be current for an hour and a minute.
    let step = world.get(&token(json!({"iat": null})));
    assert!(matches!(step, Step::Wait(..)), "asked again");
}
