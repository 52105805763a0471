//! What the upstream sees, and that nobody but the gateway could have said it.

use gatepass::http::Fields;
use serde_json::{Value, json};

use crate::support::*;

/// The owned fields that the upstream gets.
fn owned(world: &mut World, token: &str) -> Vec<(String, String)> {
    let head = bearer(token);
    let edits = forwarded(world.begin(head.clone()));
    upstream(world.host, &head, &edits)
        .into_iter()
        .filter(|(name, _)| name.starts_with("x-") && name != "x-identity-token")
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_verified_token_becomes_an_identity() {
    for host in HOSTS {
        let mut world = World::new(&with_users([]), host);
        let head = head(&[("authorization", &format!("bEaReR {}", alice())), ("accept", "*/*")]);
        let step = world.begin(head.clone());
        let (sent, waiting) = awaits(step);
        assert_eq!(sent.callout.service.name, "users");
        assert_eq!(sent.callout.path, "/users/alice");
        assert!(sent.callout.headers.is_empty());
        let user = json!({"sub": "alice", "type": "gold", "address": {"country": "ES"}});
        let edits = forwarded(world.complete(sent.id, waiting, &ok(&user)));

        let seen = upstream(world.host, &head, &edits);
        let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            ":authority",
            ":method",
            ":path",
            "accept",
            "x-consumer-custom-id",
            "x-credential-identifier",
            "x-identity-token",
        ];
        assert_eq!(names, expected, "no public token, nothing else lost");
        let claims = world.identity(&edits);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
        let mut rest = claims;
        rest.as_object_mut().unwrap().remove("jti");
        assert_eq!(
            rest,
            json!({
                "iss": "https://gateway.internal", "aud": "services", "sub": "alice",
                "iat": START, "nbf": START, "exp": START + 300,
                "client_id": "web", "country": "ES", "type": "gold",
            })
        );
    }
}

#[test]
fn consumer_headers() {
    let entry = json!({"key": "web", "id": "5c0c", "username": "web-app", "custom_id": "w",
        "groups": ["first-party", "a,b", "é"]});
    let bare = json!({"key": "web"});
    for (case, entry, changes, expected) in [
        (
            "no consumer",
            Value::Null,
            json!({}),
            &[("x-consumer-custom-id", "alice"), ("x-credential-identifier", "alice")][..],
        ),
        (
            "no consumer, a preferred username",
            Value::Null,
            json!({"preferred_username": "Ada Lovelace", "username": "no"}),
            &[
                ("x-consumer-custom-id", "alice"),
                ("x-consumer-username", "Ada Lovelace"),
                ("x-credential-identifier", "alice"),
            ],
        ),
        (
            "no consumer, a username, not ASCII",
            Value::Null,
            json!({"preferred_username": "", "username": "José 100%"}),
            &[
                ("x-consumer-custom-id", "alice"),
                ("x-consumer-username", "Jos%C3%A9 100%25"),
                ("x-credential-identifier", "alice"),
            ],
        ),
        (
            "no consumer, a username that is no text",
            Value::Null,
            json!({"username": ["root"]}),
            &[("x-consumer-custom-id", "alice"), ("x-credential-identifier", "alice")],
        ),
        (
            "no consumer, a subject that is not ASCII",
            Value::Null,
            json!({"sub": "ali€"}),
            &[
                ("x-consumer-custom-id", "ali%E2%82%AC"),
                ("x-credential-identifier", "ali%E2%82%AC"),
            ],
        ),
        (
            "an entry",
            entry,
            json!({"preferred_username": "alice"}),
            &[
                ("x-consumer-custom-id", "w"),
                ("x-consumer-groups", "first-party,a%2Cb,%C3%A9"),
                ("x-consumer-id", "5c0c"),
                ("x-consumer-username", "web-app"),
                ("x-credential-identifier", "web"),
            ],
        ),
        (
            "an entry with nothing but a key",
            bare,
            json!({"preferred_username": "alice"}),
            &[("x-credential-identifier", "web")],
        ),
    ] {
        let entries = if entry.is_null() { json!([]) } else { json!([entry]) };
        for host in HOSTS {
            let config = local([("/consumers", json!({ "entries": entries }))]);
            let mut world = World::new(&config, host);
            let got = owned(&mut world, &token(changes.clone()));
            assert_eq!(got, pairs(expected), "{case}");
        }
    }
}

#[test]
fn text_with_control_characters_goes_nowhere() {
    for (case, changes) in [
        ("subject", json!({"sub": "alice\r\nx-admin: 1"})),
        ("username", json!({"preferred_username": "a\u{0}b"})),
        ("username, C1 control", json!({"username": "a\u{85}b"})),
    ] {
        let mut world = World::new(&local([]), ENVOY);
        assert_eq!(world.denied(&token(changes)), denial(401, "claim_mismatch"), "{case}");
    }
    let config = local([
        ("/identity_token/claims", json!({"copy": ["note"]})),
        ("/claim_to_headers", json!([{"header": "x-note", "claim": "note"}])),
    ]);
    let mut world = World::new(&config, ENVOY);
    assert_eq!(world.denied(&token(json!({"note": "a\nb"}))), denial(401, "claim_mismatch"));
}

#[test]
fn claims_as_headers() {
    let value = json!({"a": ["é", 1]});
    for (case, format, value, expected) in [
        ("text", "text", json!("ES"), Some("ES")),
        ("text, not ASCII", "text", json!("España"), Some("Espa%C3%B1a")),
        ("number", "text", json!(1.5), Some("1.5")),
        ("null", "text", Value::Null, None),
        ("empty", "text", json!(""), None),
        ("list as text", "text", json!(["a", "b"]), Some("a,b")),
        ("list", "csv", json!(["a,b", "é"]), Some("a%2Cb,%C3%A9")),
        ("empty list", "csv", json!([]), None),
        ("JSON", "json", value.clone(), Some(r#"{"a":["%C3%A9",1]}"#)),
        ("base64", "json_base64", value, Some("eyJhIjpbIsOpIiwxXX0=")),
    ] {
        let config = with_users([
            ("/user_info/claims", json!({"deep": "/deep"})),
            (
                "/claim_to_headers",
                json!([{"header": "X-Deep", "claim": ["deep", "v"], "format": format}]),
            ),
        ]);
        let mut world = World::new(&config, ENVOY);
        let step = world.get(&alice());
        let edits =
            forwarded(world.answer(step, &ok(&json!({"sub": "alice", "deep": {"v": value}}))));
        assert_eq!(field(&edits, "x-deep").as_deref(), expected, "{case}");
    }
}

const FORGED: [(&str, &str); 12] = [
    ("x-consumer-id", "root"),
    ("X-Consumer-Username", "root"),
    ("x_consumer_custom_id", "root"),
    ("X-CONSUMER_GROUPS", "staff"),
    ("x-credential-identifier", "root"),
    ("X-Anonymous-Consumer", "false"),
    ("x-identity-token", "a.b.c"),
    ("X_Identity_Token", "a.b.c"),
    ("x-user-country", "XX"),
    ("x-user_country", "YY"),
    ("Connection", "x-identity-token, close, X_Consumer_ID"),
    ("x-kept", "1"),
];

/// Each path on which a request can pass, on a host that removes and on one
/// that cannot (there the same name must not occur twice, nor with `_`).
// RFC 3875 section 4.1.18 (R43)
#[test]
fn forged_headers_reach_nobody_on_any_path() {
    let config = local([
        ("/claim_to_headers", json!([{"header": "x-user-country", "claim": "country"}])),
        (
            "/rules",
            json!([
                {"match": {"path": "/open"}, "bypass": true},
                {"match": {"path": "/guests"}, "requires": {"allow_missing": true}},
            ]),
        ),
    ]);
    let bearer = format!("Bearer {}", alice());
    for (case, method, path, credentials, own) in [
        ("bypass", "GET", "/open", None, &[][..]),
        ("bypass with a token", "GET", "/open", Some(&bearer), &[]),
        ("anonymous", "GET", "/guests", None, &["x-anonymous-consumer"]),
        ("preflight", "OPTIONS", "/api", None, &[]),
        (
            "authenticated",
            "GET",
            "/api",
            Some(&bearer),
            &["x-consumer-custom-id", "x-credential-identifier", "x-identity-token"],
        ),
    ] {
        for host in HOSTS {
            let mut fields = vec![
                (":method", method),
                (":path", path),
                ("origin", "https://a.example"),
                ("access-control-request-method", "GET"),
            ];
            // Where headers cannot be removed, no other spelling passes.
            fields.extend(FORGED.iter().filter(|(name, _)| host == ENVOY || !name.contains('_')));
            if let Some(credentials) = credentials {
                fields.push(("authorization", credentials));
            }
            let head = head(&fields);
            let mut world = World::new(&config, host);
            let edits = forwarded(world.begin(head.clone()));
            let seen = upstream(world.host, &head, &edits);
            let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
            let mut expected = vec![
                ":authority",
                ":method",
                ":path",
                "access-control-request-method",
                "connection",
                "origin",
                "x-kept",
            ];
            expected.extend(own);
            // A preflight has no body, which a host that hides one is told.
            expected.extend(
                (method == "OPTIONS" && !host.announces_bodies).then_some("content-length"),
            );
            expected.sort_unstable();
            assert_eq!(names, expected, "{case}, {host:?}");
            let value =
                |name: &str| seen.iter().find(|(other, _)| other == name).unwrap().1.clone();
            assert_eq!(value("connection"), "close", "{case}");
            for (name, value) in &seen {
                assert!(!value.contains("root") && value != "a.b.c", "{case}: {name}");
            }
        }
    }
}

#[test]
fn repeated_headers_are_refused_where_they_cannot_be_removed() {
    for (case, fields) in [
        ("the same twice", &[("x-consumer-id", "1"), ("x-consumer-id", "2")][..]),
        ("two spellings", &[("X-Consumer-ID", "1"), ("x_consumer_id", "2")]),
        ("the identity token", &[("x-identity-token", "1"), ("X-Identity-Token", "2")]),
        ("the public token", &[("authorization", "Bearer a"), ("authorization", "Basic b")]),
        ("connection", &[("connection", "x-consumer-id"), ("connection", "close")]),
        ("underscores", &[("x_consumer_id", "1")]),
        ("an underscore, of an identity that is not sent", &[("X-Anonymous_Consumer", "1")]),
    ] {
        for path in ["/open", "/api"] {
            let rules = json!([{"match": {"path": "/open"}, "bypass": true}]);
            let config = local([("/rules", rules)]);
            let mut fields = fields.to_vec();
            fields.push((":path", path));
            let mut world = World::new(&config, KONG);
            let step = world.begin(head(&fields));
            assert_eq!(denied(step), denial(400, "header_repeated"), "{case}, {path}");
            let mut world = World::new(&config, ENVOY);
            let step = world.begin(head(&fields));
            let is_refused = matches!(&step, gatepass::pipeline::Step::Done(
                gatepass::verdict::Verdict::Deny(_, reply), _) if reply.status == 400);
            assert!(!is_refused, "{case}, {path}: where they are removed");
        }
    }
}

fn sources(forward: bool) -> Value {
    local([(
        "/token",
        json!({
            "from_headers": [
                {"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-access-token"},
            ],
            "from_cookies": ["session"], "from_params": ["access_token"], "forward": forward,
        }),
    )])
}

// RFC 9700 section 4.9 (R52)
#[test]
fn the_public_token_goes_no_further() {
    let alice = alice();
    let bearer = format!("bearer  {alice}");
    let cookie = format!("a=1; session={alice}; b=2");
    let path = format!("/api?x=1&access%5Ftoken={alice}&y=2");
    for (case, name, value, stripped) in [
        ("authorization", "Authorization", &bearer, None),
        ("a header of its own", "X-Access-Token", &alice, None),
        ("cookie", "cookie", &cookie, Some("a=1; b=2")),
        ("query", ":path", &path, Some("/api?x=1&y=2")),
    ] {
        for host in HOSTS {
            let head = head(&[(name, value)]);
            let mut world = World::new(&sources(false), host);
            let edits = forwarded(world.begin(head.clone()));
            let seen = upstream(world.host, &head, &edits);
            let name = name.to_ascii_lowercase();
            let left = seen.iter().find(|(other, _)| *other == name).map(|(_, v)| v.as_str());
            assert_eq!(left, stripped, "{case}");
            assert!(!seen.iter().any(|(_, value)| value.contains(&alice)), "{case}");

            let mut world = World::new(&sources(true), host);
            let edits = forwarded(world.begin(head.clone()));
            let seen = upstream(world.host, &head, &edits);
            let kept = seen.iter().find(|(other, _)| *other == name).map(|(_, v)| v.as_str());
            assert_eq!(kept, Some(value.as_str()), "{case}, forward: true");
            assert!(field(&edits, "x-identity-token").is_some(), "{case}");
        }
    }
}

/// A client may write into an expired token what it likes: that one is ignored beside a good one.
#[test]
fn what_nobody_verified_is_not_forwarded_beside_a_token() {
    let (alice, ended) = (alice(), token(json!({"sub": "mallory", "exp": START - 60})));
    let bearer = format!("Bearer {alice}");
    let two = format!("session={ended}; a=1; session={alice}");
    for (case, head, expected) in [
        (
            "a header and a cookie",
            head(&[("authorization", &bearer), ("cookie", &format!("a=1; session={ended}"))]),
            [Some(bearer.as_str()), Some("a=1")],
        ),
        ("two cookies", head(&[("cookie", &two)]), [None, Some("a=1")]),
        (
            "an empty cookie",
            head(&[("authorization", &bearer), ("cookie", "session=; a=1")]),
            [Some(bearer.as_str()), Some("session=; a=1")],
        ),
    ] {
        for host in HOSTS {
            let mut world = World::new(&sources(true), host);
            let edits = forwarded(world.begin(head.clone()));
            let seen = upstream(world.host, &head, &edits);
            let value = |name: &str| {
                seen.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
            };
            assert_eq!([value("authorization"), value("cookie")], expected, "{case}");
            assert!(field(&edits, "x-identity-token").is_some(), "{case}");
        }
    }
}

#[test]
fn other_credentials_stay() {
    let rules = json!([{"match": {"path": "/api"}, "requires": {"allow_missing": true}}]);
    let config = local([("/rules", rules)]);
    let head = head(&[("authorization", "Basic dXNlcjpwYXNz"), ("cookie", "session=1")]);
    let mut world = World::new(&config, ENVOY);
    let edits = forwarded(world.begin(head.clone()));
    let seen = upstream(world.host, &head, &edits);
    for pair in [("authorization", "Basic dXNlcjpwYXNz"), ("cookie", "session=1")] {
        assert!(seen.contains(&(pair.0.to_owned(), pair.1.to_owned())), "{}", pair.0);
    }
}

// RFC 6750 section 2: "Clients MUST NOT use more than one method to transmit the token
// in each request." (R37)
#[test]
fn more_than_one_token_is_none() {
    let alice = alice();
    let bearer = format!("Bearer {alice}");
    let list = format!("{bearer}, {bearer}");
    let cookie = format!("session={alice}");
    let cookies = format!("session={alice}; session={alice}");
    let query = format!("/api?access_token={alice}");
    for (case, fields) in [
        ("two headers", &[("authorization", &bearer), ("authorization", &bearer)][..]),
        ("a list", &[("authorization", &list)]),
        ("header and cookie", &[("authorization", &bearer), ("cookie", &cookie)]),
        ("a cookie twice", &[("cookie", &cookies)]),
        ("cookie and query", &[("cookie", &cookie), (":path", &query)]),
    ] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut world = World::new(&sources(false), ENVOY);
        let step = world.begin(head(&fields));
        assert_eq!(denied(step), denial(400, "token_multiple"), "{case}");
    }
}

/// RFC 6750 section 2.3: what is in a query is in logs and histories.
// RFC 6750 section 2.3: "it SHOULD NOT be used unless it is impossible to transport the
// access token in the "Authorization" request header field" (R38)
#[test]
fn a_token_in_the_query_is_not_looked_at_unless_configured() {
    let path = format!("/api?access_token={}", alice());
    let head = head(&[(":path", &path)]);
    for host in HOSTS {
        let step = World::new(&local([]), host).begin(head.clone());
        assert_eq!(denied(step), denial(401, "token_missing"));
        let sources = json!({"from_headers": [], "from_params": ["access_token"]});
        let mut world = World::new(&local([("/token", sources)]), host);
        let edits = forwarded(world.begin(head.clone()));
        assert!(upstream(world.host, &head, &edits).contains(&(":path".into(), "/api".into())));
    }
}

#[test]
fn trailers_say_nothing_that_headers_may_not() {
    let matches = json!({"path": "/x", "headers": [{"name": "x-mode", "value": "a"}]});
    let rule = json!([{"match": matches, "bypass": true}]);
    let source = json!([{"name": "x-token", "value_prefix": ""}]);
    let config = local([("/rules", rule), ("/token", json!({"from_headers": source}))]);
    for (case, name, is_unwanted) in [
        ("owned", "x-consumer-id", true),
        ("another spelling", "X.Consumer_ID", true),
        ("a token's", "x_token", true),
        ("credentials", "Authorization", true),
        ("asked for by a rule", "X-Mode", true),
        ("framing", "content-length", true),
        ("a pseudo header", ":path", true),
        ("any other", "x-checksum", false),
    ] {
        let trailers: Fields = [(name, "1"), ("x-other", "2")].into_iter().collect();
        let removed = World::new(&config, ENVOY).gateway.sanitize_trailers(&trailers);
        let refused = World::new(&config, KONG).gateway.sanitize_trailers(&trailers);
        let unnameable = name.starts_with(':');
        if unnameable {
            assert!(removed.is_err(), "{case}");
        } else {
            assert_eq!(removed.unwrap(), if is_unwanted { vec![name] } else { vec![] }, "{case}");
        }
        let text = match (is_unwanted, unnameable) {
            (true, true) => Some(format!("the header name {name} is not valid")),
            (true, false) => {
                Some(format!("{} must not be sent as a trailer", name.to_ascii_lowercase()))
            }
            (false, _) => None,
        };
        assert_eq!(refused.err().map(|denial| denial.to_string()), text, "{case}");
    }
}
