//! Which rule decides, and what it asks of whom.

use serde_json::{Value, json};

use crate::support::*;

fn with_rules(rules: Value) -> Value {
    let mut config = local([("/rules", rules)]);
    config["consumers"] = json!({
        "entries": [{"key": "web", "username": "web-app", "groups": ["first-party", "staff"]}],
        "optional": true, "anonymous": "guest",
    });
    config["providers"]["partner"] = json!({
        "issuer": "https://partner.example", "audiences": ["shop-api"],
        "local_jwks": {"keys": [KEY_B.jwk("b")]},
    });
    config
}

#[test]
fn the_first_rule_that_matches_decides() {
    let config = with_rules(json!([
        {"match": {"path": "/a", "methods": ["GET", "HEAD"]}, "bypass": true},
        {"match": {"path_prefix": "/a"}, "requires": {"scopes_all": ["a"]}},
        {"match": {"path_prefix": "/b/"}, "bypass": true},
        {"match": {"methods": ["TRACE"]}, "bypass": true},
        {"match": {"path_prefix": "/a/open"}, "bypass": true},
        {"match": {"path": "/a%20b"}, "bypass": true},
    ]));
    let missing = Some("token_missing");
    for (method, path, expected) in [
        ("GET", "/a", None),
        ("GET", "/a?x=/b/", None),
        ("HEAD", "/a", None),
        ("POST", "/a", missing),
        ("get", "/a", missing),
        ("GET", "/a/", missing),
        ("GET", "/a/open", missing),
        ("GET", "/ab", missing),
        ("GET", "/A", missing),
        ("GET", "/%61", None),
        ("GET", "/b/c", None),
        ("GET", "/b", missing),
        ("GET", "/a b", Some("path_ambiguous")),
        ("GET", "/a%20b", None),
        ("TRACE", "/c", None),
        ("GET", "/c", missing),
        ("GET", "/", missing),
        ("OPTIONS", "*", missing),
        ("GET", "/b/../a", Some("path_ambiguous")),
        ("GET", "/b/%2e%2e/c", Some("path_ambiguous")),
        ("GET", "/b%2fc", Some("path_ambiguous")),
        ("GET", "//b/", Some("path_ambiguous")),
        ("GET", "", Some("path_ambiguous")),
    ] {
        let mut world = World::new(&config, ENVOY);
        let step = world.begin(head(&[(":method", method), (":path", path)]));
        match expected {
            None => assert!(forwarded(step).set.is_empty(), "{method} {path}"),
            Some(code) => assert_eq!(denied(step).1, code, "{method} {path}"),
        }
    }
}

#[test]
fn what_a_token_must_have() {
    let scope = Some("insufficient_scope");
    let group = Some("group_forbidden");
    let claim = Some("claim_forbidden");
    let partner = json!({"iss": "https://partner.example"});
    for (case, requires, changes, expected) in [
        ("nothing", json!({}), json!({}), None),
        ("all scopes", json!({"scopes_all": ["a", "b"]}), json!({"scope": "b a"}), None),
        ("one scope short", json!({"scopes_all": ["a", "b"]}), json!({"scope": "a"}), scope),
        ("no scopes", json!({"scopes_all": ["a"]}), json!({}), scope),
        ("part of a scope", json!({"scopes_all": ["a"]}), json!({"scope": "ab"}), scope),
        ("scopes as list", json!({"scopes_all": ["a"]}), json!({"scp": ["a", "b"]}), None),
        ("two in one element", json!({"scopes_all": ["a"]}), json!({"scp": ["a b"]}), scope),
        ("any scope", json!({"scopes_any": ["a", "b"]}), json!({"scopes": "b"}), None),
        ("none of them", json!({"scopes_any": ["a", "b"]}), json!({"scope": "c"}), scope),
        ("both", json!({"scopes_all": ["a"], "scopes_any": ["b"]}), json!({"scope": "a"}), scope),
        ("a group", json!({"groups_any": ["x", "staff"]}), json!({}), None),
        ("another group", json!({"groups_any": ["x"]}), json!({}), group),
        ("no consumer", json!({"groups_any": ["staff"]}), json!({"azp": "x"}), group),
        (
            "groups of the token do not count",
            json!({"groups_any": ["x"]}),
            json!({"groups": ["x"]}),
            group,
        ),
        ("a claim", json!({"claims": {"role": ["admin"]}}), json!({"role": ["u", "admin"]}), None),
        ("another value", json!({"claims": {"role": ["admin"]}}), json!({"role": "u"}), claim),
        ("no such claim", json!({"claims": {"role": ["admin"]}}), json!({}), claim),
        ("only there", json!({"claims": {"role": []}}), json!({"role": 0}), None),
        ("not even there", json!({"claims": {"role": []}}), json!({}), claim),
        ("the provider", json!({"providers": ["shop"]}), json!({}), None),
        ("another provider", json!({"providers": ["shop"]}), partner.clone(), claim),
        ("one of both", json!({"providers": ["partner", "shop"]}), partner, None),
    ] {
        let config = with_rules(json!([{"match": {}, "requires": requires}]));
        let claims = claims(changes);
        let is_partner = claims["iss"] == "https://partner.example";
        let token = if is_partner { KEY_B.token("b", &claims) } else { KEY_A.token("a", &claims) };
        let mut world = World::new(&config, ENVOY);
        // Asked of each request, also of a token that is known.
        for _ in 0..2 {
            match (world.get(&token), expected) {
                (step, None) => drop(forwarded(step)),
                (step, Some(code)) => assert_eq!(denied(step), denial(403, code), "{case}"),
            }
        }
    }
}

/// One token, one cached identity, two rules: each rule asks anew.
#[test]
fn a_cached_identity_passes_no_rule_by_itself() {
    let mut config = with_users([(
        "/rules",
        json!([
            {"match": {"path": "/scope"}, "requires": {"scopes_all": ["admin"]}},
            {"match": {"path": "/claim"}, "requires": {"claims": {"country": ["FR"]}}},
        ]),
    )]);
    put(&mut config, "/user_info/cache", json!({"ttl_seconds": 60}));
    let mut world = World::new(&config, ENVOY);
    let step = world.get(&alice());
    forwarded(world.answer(step, &ok(&json!({"address": {"country": "ES"}}))));
    let bearer = format!("Bearer {}", alice());
    for (path, code) in [("/scope", "insufficient_scope"), ("/claim", "claim_forbidden")] {
        let step = world.begin(head(&[(":path", path), ("authorization", &bearer)]));
        assert_eq!(denied(step), denial(403, code), "{path}");
    }
    world.forwarded(&alice());
}

#[test]
fn a_missing_token_may_be_allowed() {
    let config = with_rules(json!([
        {"match": {"path": "/guests"}, "requires": {"allow_missing": true, "scopes_all": ["a"]}},
    ]));
    for host in HOSTS {
        let mut world = World::new(&config, host);
        let guest = head(&[(":path", "/guests")]);
        let edits = forwarded(world.begin(guest));
        let fields = edits.set.iter().map(|(name, value)| (name.as_str(), &value[..]));
        let fields: Vec<_> = fields.collect();
        assert_eq!(
            fields,
            [("x-anonymous-consumer", &b"true"[..]), ("x-consumer-username", &b"guest"[..])]
        );
        let expired = token(json!({"exp": START - 3600}));
        let stranger = token(json!({"iss": "https://evil.example"}));
        for (case, credentials, expected) in [
            ("expired", expired, denial(401, "token_expired")),
            ("unknown issuer", stranger, denial(401, "issuer_unknown")),
            ("malformed", "x".to_owned(), denial(401, "token_malformed")),
            ("empty", String::new(), denial(401, "token_malformed")),
            ("without the scope", alice(), denial(403, "insufficient_scope")),
        ] {
            let bearer = format!("Bearer {credentials}");
            let step = world.begin(head(&[(":path", "/guests"), ("authorization", &bearer)]));
            assert_eq!(denied(step), expected, "{case}: never anonymous");
        }
    }
}

#[test]
fn what_the_token_decides_is_decided_before_any_callout() {
    let rules = json!([{"match": {}, "requires": {
        "scopes_all": ["a"], "claims": {"role": ["admin"], "country": ["ES"]}}}]);
    let config = with_users([("/rules", rules)]);
    for (case, changes, code) in [
        ("scope", json!({"role": "admin"}), "insufficient_scope"),
        ("claim", json!({"scope": "a", "role": "user"}), "claim_forbidden"),
    ] {
        let mut world = World::new(&config, ENVOY);
        assert_eq!(world.denied(&token(changes)), denial(403, code), "{case}");
    }
}

#[test]
fn claims_from_user_info_are_decided_when_it_is_there() {
    let rules = json!([{"match": {}, "requires": {"claims": {"country": ["ES"]}}}]);
    let at_home = |country: &str| ok(&json!({"address": {"country": country}}));
    for (case, mode, reply, expected) in [
        ("allowed", "deny", at_home("ES"), None),
        ("another value", "deny", at_home("FR"), Some(denial(403, "claim_forbidden"))),
        ("not in the reply", "deny", ok(&json!({})), Some(denial(403, "claim_forbidden"))),
        ("no reply", "degrade", failed(), Some(denial(503, "user_info_unavailable"))),
    ] {
        let config =
            with_users([("/rules", rules.clone()), ("/user_info/failure_mode", mode.into())]);
        let mut world = World::new(&config, ENVOY);
        // What the token says of it does not count.
        let step = world.get(&token(json!({"country": "ES"})));
        let step = world.answer(step, &reply);
        match expected {
            None => drop(forwarded(step)),
            Some(expected) => assert_eq!(denied(step), expected, "{case}"),
        }
    }
}

#[test]
fn preflights() {
    let preflight = [
        (":method", "OPTIONS"),
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT"),
    ];
    let mut world = World::new(&local([]), ENVOY);
    assert!(forwarded(world.begin(head(&preflight))).set.is_empty());
    for without in 0..preflight.len() {
        let mut fields = preflight.to_vec();
        fields.remove(without);
        let step = world.begin(head(&fields));
        assert_eq!(denied(step), denial(401, "token_missing"), "without {:?}", preflight[without]);
    }
    let mut world = World::new(&local([("/bypass_cors_preflight", false.into())]), ENVOY);
    let step = world.begin(head(&preflight));
    assert_eq!(denied(step), denial(401, "token_missing"), "turned off");
}

#[test]
fn consumers() {
    let entries = json!([{"key": "web", "username": "web-app"}]);
    let unknown = Some(denial(401, "consumer_unknown"));
    for (case, optional, changes, expected) in [
        ("known", false, json!({}), None),
        ("unknown", false, json!({"azp": "x"}), unknown.clone()),
        ("unknown, but the issuer is not asked", false, json!({"azp": 1}), unknown),
        ("unknown, optional", true, json!({"azp": "x"}), None),
        ("by the second claim", false, json!({"azp": null, "client_id": "web"}), None),
    ] {
        let consumers = json!({"entries": entries, "optional": optional});
        let mut world = World::new(&local([("/consumers", consumers)]), ENVOY);
        let step = world.get(&token(changes));
        match expected {
            None => drop(forwarded(step)),
            Some(expected) => assert_eq!(denied(step), expected, "{case}"),
        }
    }
}

/// RFC 8693 section 4.1: who acts is told to the services, and is nobody whose
/// claims count.
#[test]
fn an_actor_is_passed_on_and_has_no_rights() {
    let act = json!({
        "sub": "root", "role": "admin", "scope": "admin", "azp": "web",
        "act": {"sub": "robot", "role": "admin"},
    });
    let mut config = with_rules(json!([
        {"match": {"path": "/role"}, "requires": {"claims": {"role": ["admin"]}}},
        {"match": {"path": "/scope"}, "requires": {"scopes_all": ["admin"]}},
        {"match": {"path": "/group"}, "requires": {"groups_any": ["staff"]}},
    ]));
    put(&mut config, "/identity_token/claims", json!({"copy": ["act"]}));
    let token = token(json!({"act": act, "azp": "x"}));
    let mut world = World::new(&config, ENVOY);
    for (path, code) in [
        ("/role", "claim_forbidden"),
        ("/scope", "insufficient_scope"),
        ("/group", "group_forbidden"),
    ] {
        let bearer = format!("Bearer {token}");
        let step = world.begin(head(&[(":path", path), ("authorization", &bearer)]));
        assert_eq!(denied(step), denial(403, code));
    }
    let edits = world.forwarded(&token);
    let identity = world.identity(&edits);
    assert_eq!((&identity["act"], &identity["sub"]), (&act, &json!("alice")));
}

/// What a request becomes later is no matter: it needs its token first.
#[test]
fn upgrades_and_tunnels_are_requests_like_others() {
    let config = with_rules(json!([{"match": {"path": "/open"}, "bypass": true}]));
    let bearer = format!("Bearer {}", alice());
    let websocket = [("connection", "Upgrade"), ("upgrade", "websocket")];
    for (case, fields) in [
        ("an upgrade", [&[(":path", "/ws")][..], &websocket].concat()),
        (
            "an extended CONNECT",
            vec![(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/ws")],
        ),
        ("CONNECT to a port", vec![(":method", "CONNECT"), (":path", "/ws")]),
    ] {
        for host in HOSTS {
            let mut world = World::new(&config, host);
            let step = world.begin(head(&fields));
            assert_eq!(denied(step), denial(401, "token_missing"), "{case}");
            let with_token = [&fields[..], &[("authorization", &*bearer)]].concat();
            let head = head(&with_token);
            let edits = forwarded(world.begin(head.clone()));
            assert!(field(&edits, "x-identity-token").is_some(), "{case}");
            for (name, value) in &fields {
                let kept = ((*name).to_owned(), (*value).to_owned());
                assert!(upstream(&head, &edits).contains(&kept), "{case}: {name}");
            }
        }
    }
}
