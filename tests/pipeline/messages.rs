//! What is said of a denial: in its body, and in the log with the names that the token
//! and the request have.

use gatepass::callout::{CalloutFailure, CalloutReply};
use gatepass::http::Fields;
use serde_json::{Value, json};

use crate::support::*;

/// The detail of a denial and its line in the log.
fn said(config: &Value, token: &str) -> (String, Value) {
    let mut world = World::new(config, ENVOY);
    let step = world.get(token);
    let reply = answered(step);
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let events = world.gateway.take_log();
    let line = events.iter().map(gatepass::event::Event::json).find(|it| it["event"] == "denied");
    (body["detail"].as_str().unwrap().to_owned(), line.unwrap())
}

/// What an operator did, and what the client and the log are told.
#[test]
fn each_denial_says_what_was_found() {
    let header =
        |header: &str| KEY_A.sign(header.as_bytes(), claims(json!({})).to_string().as_bytes());
    let two = json!(["mobile", "web"]);
    for (case, token, detail) in [
        (
            "a slash at the end of the issuer",
            token(json!({"iss": "https://auth.example/"})),
            "the token's issuer \"https://auth.example/\" is not known",
        ),
        (
            "another audience",
            token(json!({"aud": two})),
            "the token is for another audience, \"mobile,web\"",
        ),
        (
            "another type",
            header(r#"{"alg":"EdDSA","typ":"ID"}"#),
            "the token's type \"ID\" is not accepted",
        ),
        (
            "an ID token's type",
            header(r#"{"alg":"EdDSA","typ":"id token"}"#),
            "type \"id%20token\"",
        ),
        (
            "a secret",
            header(r#"{"alg":"HS256"}"#),
            "the token's algorithm \"HS256\" is not allowed",
        ),
        (
            "no algorithm",
            header(r#"{"alg":"none"}"#),
            "the token's algorithm \"none\" is not allowed",
        ),
        (
            "an unknown key",
            KEY_A.token("old", &claims(json!({}))),
            "the token's key \"old\" is not known",
        ),
        (
            "a numeric subject",
            token(json!({"sub": 7})),
            "claim \"sub\" is malformed: its issuer must write a text of at most 512 bytes",
        ),
        (
            "an expiry as text",
            token(json!({"exp": "1800003600"})),
            "claim \"exp\" is malformed: its issuer must write a number of seconds since 1970",
        ),
        (
            "audiences of other kinds",
            token(json!({"aud": [1]})),
            "claim \"aud\" is malformed: its issuer must write a text or a list of texts",
        ),
    ] {
        let (said, line) = said(&local([]), &token);
        assert!(said.contains(detail), "{case}: {said}");
        assert_eq!(line["detail"], said, "{case}: the same in the log");
    }
}

#[test]
fn the_log_has_the_names_of_token_and_request() {
    let token = token(json!({"iss": "https://other.example", "aud": ["a", "b"]}));
    let mut world = World::new(&local([]), ENVOY);
    let request = head(&[
        (":method", "POST"),
        (":path", "/orders/7?access=secret"),
        ("authorization", &format!("Bearer {token}")),
    ]);
    assert_eq!(denied(world.begin(request)), denial(401, "issuer_unknown"));
    let log = logged(&mut world.gateway);
    let line: Value = serde_json::from_str(log.trim()).unwrap();
    for (name, value) in [
        ("method", json!("POST")),
        ("path", json!("/orders/7")),
        ("iss", json!("https://other.example")),
        ("aud", json!("a,b")),
        ("kid", json!("a")),
        ("typ", json!("JWT")),
        ("alg", json!("EdDSA")),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert!(!log.contains("secret"), "{log}");
    // Where no token was read there is nothing to say of it.
    assert_eq!(denied(world.begin(head(&[]))), denial(401, "token_missing"));
    let line: Value = serde_json::from_str(logged(&mut world.gateway).trim()).unwrap();
    assert!(line.get("iss").is_none() && line["path"] == "/api");
}

/// What a client writes stays one short word.
#[test]
fn names_that_a_client_chose_are_cut_and_escaped() {
    let odd = "x\n\"".repeat(100);
    let (detail, line) = said(&local([]), &token(json!({"iss": odd})));
    assert!(detail.len() < 200 && !detail.contains('\n'), "{detail}");
    assert!(line["iss"].as_str().unwrap().starts_with("x%0A%22x"), "{line}");
}

#[test]
fn a_key_that_cannot_be_used_says_why() {
    let mut unusable = KEY_A.jwk("enc");
    unusable["use"] = "enc".into();
    let keys = json!({"keys": [KEY_A.jwk("a"), unusable]});
    let config = local([("/providers/shop/local_jwks", keys.clone())]);
    let problems = gatepass::config::load(config.to_string().as_bytes(), &|_| None, None).is_err();
    assert!(problems, "one's own keys are all to be usable");

    let mut world = World::new(&remote([]), ENVOY);
    assert_eq!(world.tick(&ok(&keys)), 1);
    let step = world.get(&KEY_A.token("enc", &claims(json!({}))));
    let reply = answered(world.answer(step, &ok(&keys)));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["code"], "key_unknown");
    let detail = "the token's key \"enc\" is in its issuer's set and cannot be used: \"use\" must be \"sig\", it is \"enc\"";
    assert_eq!(body["detail"], detail);
}

#[test]
fn a_cluster_that_does_not_exist_is_named() {
    let mut world = World::new(&remote([("/services/auth/upstream", json!("auht"))]), ENVOY);
    let step = world.get(&alice());
    let not_sent = CalloutReply::Failed(CalloutFailure::NotSent);
    assert_eq!(denied(world.answer(step, &not_sent)), denial(503, "keys_unavailable"));
    let log = logged(&mut world.gateway);
    let line = log.lines().find(|line| line.contains("not_sent")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["service"], &line["upstream"]), (&json!("auth"), &json!("auht")));
}

/// What happened to a service, and what the log says of it: what Envoy answers by itself is
/// no answer of the service, and what a service sends instead of JSON is named.
#[test]
fn the_log_says_why_a_service_gave_no_answer() {
    const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: ";
    let refused = format!(
        "{RESET}remote connection failure, transport failure reason: delayed connect error: Connection refused"
    );
    for (case, status, body, cause) in [
        ("nobody listens", 503, refused.as_bytes(), "the connection was refused: "),
        ("too slow", 504, b"upstream request timeout", "no reply within timeout_ms (the 504 is"),
        ("no endpoint", 503, b"no healthy upstream", "the cluster has no healthy endpoint"),
        ("its own 503", 503, b"maintenance", "status 503"),
        ("its own 500", 500, b"", "status 500"),
        ("a login page", 200, b"<html>", "not acceptable JSON: it is HTML or XML"),
        ("compressed", 200, b"\x1f\x8b\x08", "not acceptable JSON: it is compressed (gzip)"),
        ("a byte order mark", 200, b"\xef\xbb\xbf{}", "not acceptable JSON: a byte order mark"),
        (
            "Latin-1",
            200,
            b"{\"name\":\"\xe9\"}",
            "not acceptable JSON: it is not UTF-8 (ISO 8859-1",
        ),
        ("a JWT", 200, b"eyJh.eyJz.c2ln", "not acceptable JSON: it is a JWT"),
    ] {
        let mut world = World::new(&remote([]), ENVOY);
        let step = world.get(&alice());
        let reply = CalloutReply::whole(Some(status), Fields::default(), body.to_vec(), 65536);
        assert_eq!(denied(world.answer(step, &reply)), denial(503, "keys_unavailable"), "{case}");
        let log = logged(&mut world.gateway);
        let line = log.lines().find(|line| line.contains("keys_not_fetched")).expect(case);
        let line: Value = serde_json::from_str(line).unwrap();
        let said = line["cause"].as_str().unwrap();
        assert!(said.starts_with(cause), "{case}: {said}");
    }
}

/// An issuer with many keys whose tokens name none: it is no bad signature.
#[test]
fn a_token_that_names_no_key_says_how_many_were_tried() {
    let token = KEY_A.sign(br#"{"alg":"EdDSA"}"#, claims(json!({})).to_string().as_bytes());
    for (count, detail) in [
        (4, "the token's signature is not valid"),
        (
            16,
            "the token has no kid, and its signature is of none of the 4 keys tried (the issuer has \
             16 for its algorithm): the issuer must set kid",
        ),
    ] {
        let keys: Vec<_> = (0..count).map(|at| KEY_B.jwk(&format!("k{at}"))).collect();
        let config = local([("/providers/shop/local_jwks/keys", keys.into())]);
        let (said, line) = said(&config, &token);
        assert_eq!(said, detail);
        assert_eq!(line["code"], "signature_invalid");
    }
}
