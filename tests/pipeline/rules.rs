//! Which rule decides, and what it asks of whom.

use serde_json::{Value, json};

use crate::support::*;

fn with_rules(rules: Value) -> Value {
    let mut config = local([("/rules", rules)]);
    config["consumers"] = json!({
        "entries": [
            {"key": "web", "username": "web-app", "providers": ["shop", "partner"], "groups": ["first-party", "staff"]},
            {"key": "app", "username": "app", "providers": ["shop"]},
            {"key": "gone", "username": "gone", "enabled": false, "providers": ["shop"]},
        ],
        "optional": true, "anonymous": "guest",
    });
    config["identity_token"]["subject"] = "{sub}".into();
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
        ("get", "/a", Some("method_ambiguous")),
        ("GET", "/a/", missing),
        ("GET", "/a/open", missing),
        ("GET", "/ab", missing),
        ("GET", "/A", Some("path_ambiguous")),
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
            None => assert!(forwarded(step).set().is_empty(), "{method} {path}"),
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
        ("present, in a word", json!({"claims": {"role": "present"}}), json!({"role": 0}), None),
        ("absent", json!({"claims": {"act": "absent"}}), json!({}), None),
        ("null is absent", json!({"claims": {"azp.x": "absent"}}), json!({"azp.x": null}), None),
        ("not absent", json!({"claims": {"act": "absent"}}), json!({"act": {"sub": "x"}}), claim),
        (
            "not absent, by its dotted name",
            json!({"claims": {"a.b": "absent"}}),
            json!({"a.b": 1}),
            claim,
        ),
        ("not absent, within", json!({"claims": {"a.b": "absent"}}), json!({"a": {"b": 1}}), claim),
        ("the consumer", json!({"consumers": ["web", "app"]}), json!({}), None),
        ("another consumer", json!({"consumers": ["app"]}), json!({}), group),
        ("none of the consumers", json!({"consumers": ["web"]}), json!({"azp": "x"}), group),
        (
            "who calls itself by the name",
            json!({"consumers": ["web"]}),
            json!({"azp": "x", "username": "web-app", "client_id": "web"}),
            group,
        ),
        ("in a group that may not", json!({"groups_none": ["staff"]}), json!({}), group),
        ("in no such group", json!({"groups_none": ["x"]}), json!({}), None),
        ("in no group at all", json!({"groups_none": ["staff"]}), json!({"azp": "x"}), None),
        (
            "denied beats allowed",
            json!({"groups_any": ["first-party"], "groups_none": ["staff"]}),
            json!({}),
            group,
        ),
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

/// A rule asks the same whether it says so itself or by the name of a policy.
#[test]
fn a_policy_asks_what_its_requirements_ask() {
    let mut config = with_rules(json!([
        {"match": {"path": "/a"}, "policy": "staff"},
        {"match": {"path": "/b"}, "policy": "staff"},
        {"match": {"path": "/open"}, "policy": "guests"},
    ]));
    config["policies"] = json!({
        "staff": {"scopes_all": ["admin"]}, "guests": {"allow_missing": true}, "unused": {},
    });
    let mut world = World::new(&config, ENVOY);
    let admin = token(json!({"scope": "admin"}));
    for path in ["/a", "/b"] {
        let with =
            |token: &str| head(&[(":path", path), ("authorization", &format!("Bearer {token}"))]);
        assert_eq!(denied(world.begin(with(&alice()))), denial(403, "insufficient_scope"));
        forwarded(world.begin(with(&admin)));
        assert_eq!(denied(world.begin(head(&[(":path", path)]))), denial(401, "token_missing"));
    }
    forwarded(world.begin(head(&[(":path", "/open")])));
}

/// What clients say of the path, the host or the method that they mean is for
/// others to believe (CVE-2023-27487, CVE-2026-33495).
#[test]
fn rules_believe_no_header_that_speaks_of_another_request() {
    let config = with_rules(json!([
        {"match": {"path": "/health", "methods": ["GET"], "hosts": ["open.example"]},
            "bypass": true},
        {"match": {"methods": ["DELETE"]}, "requires": {"scopes_all": ["delete"]}},
        {"match": {"path_prefix": "/admin"}, "requires": {"scopes_all": ["admin"]}},
        {"match": {"hosts": ["admin.example"]}, "requires": {"scopes_all": ["admin"]}},
    ]));
    let says_path = [
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-original-path",
        "x-forwarded-uri",
        "x-original-uri",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-accel-redirect",
    ];
    let says_host = [
        "host",
        "x-forwarded-host",
        "x-host",
        "x-original-host",
        "forwarded",
        "x-forwarded-server",
        "x-http-host-override",
    ];
    let says_method = ["x-http-method-override", "x-http-method", "x-method-override"];
    let bearer = format!("Bearer {}", alice());
    let mut world = World::new(&config, ENVOY);
    for (names, open, closed) in [
        (&says_path[..], "/health", "/admin"),
        (&says_host, "open.example", "admin.example"),
        (&says_method, "GET", "DELETE"),
    ] {
        for name in names {
            for value in [open, closed] {
                let base = [(":authority", "shop.example"), (*name, value)];
                let with = |extra: &[(&str, &str)]| head(&[&base[..], extra].concat());
                let step = world.begin(with(&[(":path", "/health")]));
                let case = format!("{name}: {value}");
                assert_eq!(denied(step), denial(401, "token_missing"), "{case} opens nothing");
                let token = ("authorization", bearer.as_str());
                forwarded(world.begin(with(&[(":path", "/x"), token])));
                let step = world.begin(with(&[(":path", "/admin"), token]));
                assert_eq!(denied(step), denial(403, "insufficient_scope"), "{case} helps nobody");
                let step = world.begin(with(&[(":path", "/x"), (":method", "DELETE"), token]));
                assert_eq!(denied(step), denial(403, "insufficient_scope"), "{case} helps nobody");
            }
        }
    }
}

#[test]
fn rules_by_host_header_and_template() {
    let config = with_rules(json!([
        {"match": {"hosts": ["status.example"], "methods": ["GET"]}, "bypass": true},
        {"match": {"path_template": "/users/{id}/public/**"}, "bypass": true},
        {"match": {"headers": [{"name": "x-mode", "value": "write"}]},
            "requires": {"scopes_all": ["write"]}},
        {"match": {"headers": [{"name": "X-Preview", "present": true}]},
            "requires": {"scopes_all": ["preview"]}},
    ]));
    let scope = Some(denial(403, "insufficient_scope"));
    let repeated = Some(denial(400, "header_repeated"));
    let host = Some(denial(400, "host_ambiguous"));
    let missing = Some(denial(401, "token_missing"));
    for (case, fields, with_token, expected) in [
        ("the host", &[(":authority", "STATUS.example:8443")][..], false, None),
        ("below the host", &[(":authority", "a.status.example")], false, missing.clone()),
        ("no host name", &[(":authority", "x@status.example")], true, host),
        ("template", &[(":path", "/users/7/public/a/b")], false, None),
        ("template, to its end", &[(":path", "/users/7/public")], false, None),
        ("template, too short", &[(":path", "/users/public")], false, missing.clone()),
        (
            "template, an empty id",
            &[(":path", "/users//public")],
            true,
            Some(denial(400, "path_ambiguous")),
        ),
        ("template, two ids", &[(":path", "/users/7/8/public")], false, missing),
        ("a header", &[("x-mode", "write")], true, scope.clone()),
        ("another value", &[("x-mode", "read")], true, None),
        (
            "hidden behind another",
            &[("x-mode", "read"), ("x-mode", "write")],
            true,
            repeated.clone(),
        ),
        ("hidden in a list", &[("x-mode", "read,write")], true, repeated.clone()),
        ("hidden by an underscore", &[("x_mode", "write")], true, repeated),
        ("another header", &[("x-preview", "")], true, scope.clone()),
        ("another header, twice", &[("x-preview", "1"), ("x-preview", "2")], true, scope),
    ] {
        let bearer = format!("Bearer {}", alice());
        let mut fields = fields.to_vec();
        fields.extend(with_token.then_some(("authorization", bearer.as_str())));
        let step = World::new(&config, ENVOY).begin(head(&fields));
        match expected {
            None => drop(forwarded(step)),
            Some(expected) => assert_eq!(denied(step), expected, "{case}"),
        }
    }
}

#[test]
fn ambiguous_paths_where_they_are_allowed() {
    let mut config = with_rules(json!([
        {"match": {"path_prefix": "/login"}, "bypass": true},
        {"match": {"path_prefix": "/admin"}, "requires": {"scopes_all": ["admin"]}},
        {"match": {"path_prefix": "/projects"}, "requires": {}},
    ]));
    config["limits"] = json!({"allow_ambiguous_paths": true});
    let bearer = format!("Bearer {}", alice());
    for (path, expected) in [
        ("/projects/group%2Fname", None),
        ("/projects/a;v=1", None),
        ("/projects//a", None),
        ("/login%2f..%2fadmin", Some(denial(400, "path_ambiguous"))),
        ("/login/..;/admin", Some(denial(400, "path_ambiguous"))),
        ("/projects/..%2Fadmin", Some(denial(400, "path_ambiguous"))),
        ("//admin", Some(denial(400, "path_ambiguous"))),
        ("/admin//x", Some(denial(403, "insufficient_scope"))),
        ("/admin;x/y", Some(denial(400, "path_ambiguous"))),
        ("/elsewhere/x;y", None),
    ] {
        let mut world = World::new(&config, ENVOY);
        let step = world.begin(head(&[(":path", path), ("authorization", &bearer)]));
        match expected {
            None => drop(forwarded(step)),
            Some(expected) => assert_eq!(denied(step), expected, "{path}"),
        }
    }
}

/// One token, one cached identity, two rules: each rule asks anew.
// RFC 7519 section 4.1.4 (R65)
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
    forwarded(world.answer(step, &ok(&json!({"sub": "alice", "address": {"country": "ES"}}))));
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
        let fields = edits.set().iter().map(|(name, value)| (name.as_str(), value));
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
    let at_home = |country: &str| ok(&json!({"sub": "alice", "address": {"country": country}}));
    for (case, mode, reply, expected) in [
        ("allowed", "deny", at_home("ES"), None),
        ("another value", "deny", at_home("FR"), Some(denial(403, "claim_forbidden"))),
        (
            "not in the reply",
            "deny",
            ok(&json!({"sub": "alice"})),
            Some(denial(403, "claim_forbidden")),
        ),
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

/// A claim that nobody could be asked about is not absent.
#[test]
fn what_is_not_known_of_a_user_is_not_absent() {
    let rules = json!([{"match": {}, "requires": {"claims": {"country": "absent"}}}]);
    let deny = Some(denial(403, "claim_forbidden"));
    let unavailable = Some(denial(503, "user_info_unavailable"));
    for (case, reply, expected) in [
        ("absent", ok(&json!({"sub": "alice"})), None),
        ("there", ok(&json!({"sub": "alice", "address": {"country": "ES"}})), deny),
        ("not known", failed(), unavailable),
    ] {
        let edits = [("/rules", rules.clone()), ("/user_info/failure_mode", json!("degrade"))];
        let mut world = World::new(&with_users(edits), ENVOY);
        let step = world.get(&alice());
        let step = world.answer(step, &reply);
        match expected {
            None => drop(forwarded(step)),
            Some(expected) => assert_eq!(denied(step), expected, "{case}"),
        }
    }
}

/// On every way out, also where no token is asked for.
#[test]
fn a_method_that_may_be_another_one_is_refused() {
    let rules = json!([
        {"match": {"path": "/open"}, "bypass": true},
        {"match": {"path": "/guests"}, "requires": {"allow_missing": true}},
    ]);
    let config = local([("/rules", rules), ("/consumers", json!({"anonymous": "guest"}))]);
    let token = format!("Bearer {}", alice());
    for host in HOSTS {
        let mut world = World::new(&config, host);
        for path in ["/open", "/guests", "/api", JWKS_PATH] {
            for fields in [
                &[(":method", "get")][..],
                &[(":method", "Get")],
                &[(":method", "")],
                &[(":method", "POST"), ("upgrade", "websocket"), ("connection", "Upgrade")],
                &[
                    (":method", "OPTIONS"),
                    ("upgrade", "websocket"),
                    ("origin", "https://a.example"),
                    ("access-control-request-method", "GET"),
                ],
                &[(":method", "GET"), (":protocol", "websocket")],
            ] {
                let fields = [fields, &[(":path", path), ("authorization", &token)]].concat();
                let step = world.begin(head(&fields));
                assert_eq!(denied(step), denial(400, "method_ambiguous"), "{fields:?}");
            }
        }
        let handshake = [("upgrade", "websocket"), ("authorization", token.as_str())];
        forwarded(world.begin(head(&handshake)));
        let handshake = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/open")];
        forwarded(world.begin(head(&handshake)));
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
    assert!(forwarded(world.begin(head(&preflight))).set().is_empty());
    let empty = [&preflight[..], &[("content-length", "0")]].concat();
    assert!(forwarded(world.begin(head(&empty))).set().is_empty());
    for without in 0..preflight.len() {
        let mut fields = preflight.to_vec();
        fields.remove(without);
        let step = world.begin(head(&fields));
        assert_eq!(denied(step), denial(401, "token_missing"), "without {:?}", preflight[without]);
    }
    for (case, name, value) in [
        ("no method asked for", "access-control-request-method", ""),
        ("no method", "access-control-request-method", "GE T"),
        ("a list", "access-control-request-method", "GET, PUT"),
        ("no origin", "origin", ""),
        ("two origins", "origin", "https://a.example https://b.example"),
    ] {
        let mut fields = preflight.to_vec();
        let field = fields.iter_mut().find(|(other, _)| *other == name).unwrap();
        field.1 = value;
        assert_eq!(denied(world.begin(head(&fields))), denial(401, "token_missing"), "{case}");
    }
    for (case, field) in [
        ("an origin twice", ("origin", "https://b.example")),
        ("a method twice", ("access-control-request-method", "GET")),
        ("a body", ("content-length", "2")),
        ("a body of any length", ("transfer-encoding", "chunked")),
    ] {
        let fields = [&preflight[..], &[field]].concat();
        assert_eq!(denied(world.begin(head(&fields))), denial(401, "token_missing"), "{case}");
    }
    // HTTP/2 needs no field for a body: the host says so.
    let with_body = world.begin(head(&preflight).with_body(true));
    assert_eq!(denied(with_body), denial(401, "token_missing"), "a body that no field announces");
    // Where it does not, nothing can follow.
    let mut kong = World::new(&local([]), KONG);
    for fields in [&preflight[..], &empty] {
        let edits = forwarded(kong.begin(head(fields)));
        let set: Vec<_> = edits.set().iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(set, [("content-length", &b"0"[..])]);
    }
    let mut world = World::new(&local([("/bypass_cors_preflight", false.into())]), ENVOY);
    let step = world.begin(head(&preflight));
    assert_eq!(denied(step), denial(401, "token_missing"), "turned off");
}

#[test]
fn consumers() {
    let entries = json!([
        {"key": "web", "username": "web-app"}, {"key": "gone", "enabled": false},
    ]);
    let unknown = Some(denial(401, "consumer_unknown"));
    for (case, optional, changes, expected) in [
        ("known", false, json!({}), None),
        ("unknown", false, json!({"azp": "x"}), unknown.clone()),
        ("unknown, but the issuer is not asked", false, json!({"azp": 1}), unknown.clone()),
        ("unknown, optional", true, json!({"azp": "x"}), None),
        ("disabled", false, json!({"azp": "gone"}), unknown.clone()),
        ("disabled, optional", true, json!({"azp": "gone"}), unknown.clone()),
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
// RFC 8693 section 4.1: "the consumer of a token MUST only consider the token's
// top-level claims and the party identified as the current actor" (R35)
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
// RFC 8441 section 4 (R49)
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
                assert!(upstream(world.host, &head, &edits).contains(&kept), "{case}: {name}");
            }
        }
    }
}
