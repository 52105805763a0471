//! `explain`: what it tells is what the gateway does.

use serde_json::{Value, json};

use crate::support::{API_KEY, Desk, LATER, Run, SIGNING_KEY, changed, configuration, verified};

const KEYS: [&str; 2] = ["--jwks", "issuer.jwks"];
const USER: [&str; 2] = ["--user-info", "alice.json"];
const TOKEN: [&str; 2] = ["--token", "alice.token"];

fn desk() -> Desk {
    Desk::furnished(&configuration())
}

/// The step that denied, or the last one.
fn last_step(run: &Run) -> (String, String) {
    let report = run.json();
    let step = report["steps"].as_array().unwrap().last().unwrap().clone();
    (step["step"].as_str().unwrap().to_owned(), step["result"].as_str().unwrap().to_owned())
}

#[test]
fn a_request_that_is_forwarded() {
    let desk = desk();
    let run = desk.explain(&[&TOKEN[..], &KEYS, &USER, &["-H", "X-Consumer-ID: root"]].concat());
    let report = run.ended(0).json();
    assert_eq!(report["outcome"], "forwarded");
    assert_eq!(report["provider"], "shop");
    assert_eq!(report["rule"], Value::Null);
    assert_eq!(report["token"]["header"]["kid"], "issuer-1");
    assert_eq!(report["set"]["x-consumer-username"], "web-app");
    assert_eq!(report["set"]["x-user-country"], "ES");
    assert_eq!(report["removed"], json!(["x-consumer-id", "authorization"]));
    assert_eq!(report["identity"]["claims"]["type"], "premium");
    let asked: Vec<_> =
        report["callouts"].as_array().unwrap().iter().map(|it| it["path"].clone()).collect();
    assert_eq!(asked, ["/jwks.json", "/users/alice"]);
    assert_eq!(report["callouts"][1]["headers"], json!(["x-api-key"]));
}

#[test]
fn the_identity_token_is_the_gateways() {
    let desk = desk();
    let jwks = desk.run(&["jwks", "-c", "gatepass.yaml"]).ended(0).out;
    let arguments = [&TOKEN[..], &KEYS, &USER, &["--show-tokens"]].concat();
    let report = desk.explain(&arguments).ended(0).json();
    let token = report["set"]["x-identity-token"].as_str().unwrap();
    let claims = verified(token, &jwks);
    assert_eq!(claims, report["identity"]["claims"]);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["aud"], "services");
    // As a service verifies it.
    desk.put("gateway.jwks", &jwks);
    let verify = ["verify", "--jwks", "gateway.jwks", "--at", LATER, token];
    desk.run(&verify).ended(0);
}

#[test]
fn where_requests_end() {
    let desk = desk();
    desk.put("forged.token", &forged(&desk.token(&[])));
    desk.put("nobody.token", &desk.token(&["--claim", "azp=nobody"]));
    desk.put("admin.token", &desk.token(&["--claim", "scope=admin orders"]));
    desk.put("old.token", &desk.token(&["--at", "1700000000"]));
    desk.put("foreign.token", &desk.token(&["--claim", "iss=https://evil.example"]));
    desk.put("other.token", &desk.token(&["--kid", "issuer-2"]));
    desk.put("mallory.json", r#"{"sub": "mallory", "address": {"country": "ES"}}"#);
    desk.put("basic.json", r#"{"sub": "alice", "address": {"country": "ES"}, "type": "basic"}"#);
    let both = [&KEYS[..], &USER].concat();
    for (case, token, path, replies, status, code, step) in [
        ("bypassed", None, "/login", &[][..], 0, None, "rule"),
        ("anonymous", None, "/catalog", &[], 0, None, "token"),
        ("missing token", None, "/orders", &[], 1, Some("token_missing"), "token"),
        ("ambiguous path", None, "/a//b", &[], 1, Some("path_ambiguous"), "rule"),
        ("nothing given", Some("alice"), "/", &[], 3, None, "verify"),
        ("no user given", Some("alice"), "/", &KEYS, 3, None, "user info"),
        ("another issuer", Some("foreign"), "/", &[], 1, Some("issuer_unknown"), "verify"),
        ("expired", Some("old"), "/", &KEYS, 1, Some("token_expired"), "verify"),
        ("a key nobody knows", Some("other"), "/", &KEYS, 1, Some("key_unknown"), "verify"),
        ("forged", Some("forged"), "/", &KEYS, 1, Some("signature_invalid"), "verify"),
        (
            "no keys",
            Some("alice"),
            "/",
            &["--jwks", "failed"],
            1,
            Some("keys_unavailable"),
            "verify",
        ),
        (
            "keys with 500",
            Some("alice"),
            "/",
            &["--jwks", "500"],
            1,
            Some("keys_unavailable"),
            "verify",
        ),
        ("no consumer", Some("nobody"), "/", &KEYS, 1, Some("consumer_unknown"), "consumer"),
        (
            "without the scope",
            Some("alice"),
            "/admin",
            &KEYS,
            1,
            Some("insufficient_scope"),
            "authorize",
        ),
        ("with the scope", Some("admin"), "/admin/x", &both, 0, None, "mint"),
        (
            "no such user",
            Some("alice"),
            "/",
            &["--jwks", "issuer.jwks", "--user-info", "404"],
            1,
            Some("user_unknown"),
            "user info",
        ),
        (
            "the user service fails",
            Some("alice"),
            "/",
            &["--jwks", "issuer.jwks", "--user-info", "failed"],
            1,
            Some("user_info_unavailable"),
            "user info",
        ),
        (
            "an answer about somebody else",
            Some("alice"),
            "/",
            &["--jwks", "issuer.jwks", "--user-info", "mallory.json"],
            1,
            Some("user_info_unavailable"),
            "user info",
        ),
        (
            "a user of the wrong kind",
            Some("alice"),
            "/premium",
            &["--jwks", "issuer.jwks", "--user-info", "basic.json"],
            1,
            Some("claim_forbidden"),
            "authorize",
        ),
        ("the gateway's own keys", None, "/.well-known/gatepass/jwks.json", &[], 0, None, "head"),
    ] {
        let file = token.map(|name| format!("{name}.token"));
        let token = file.as_deref().map_or(vec![], |file| vec!["--token", file]);
        let run = desk.explain(&[&["--path", path], &token[..], replies].concat());
        assert_eq!(run.status, status, "{case}: {run:?}");
        let report = run.json();
        assert_eq!(report["denial"]["code"].as_str(), code, "{case}");
        let result = ["passed", "denied", "", "waiting"][usize::try_from(status).unwrap()];
        assert_eq!(last_step(&run), (step.to_owned(), result.to_owned()), "{case}");
        if code.is_some() {
            assert!(report["denial"]["detail"].as_str().is_some_and(|it| !it.is_empty()), "{case}");
            let header = &report["answer"]["headers"]["cache-control"];
            assert_eq!(header, "no-store", "{case}");
        }
        // The other form says the same.
        let fixed = ["explain", "-c", "gatepass.yaml", "--at", LATER, "--path", path];
        let text = desk.run(&[&fixed, &token[..], replies].concat());
        assert_eq!(text.status, status, "{case}");
        assert!(code.is_none_or(|code| text.out.contains(code)), "{case}: {text:?}");
    }
}

/// The same token with another signature.
fn forged(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    format!("{input}.{flipped}{}", &signature[1..])
}

#[test]
fn what_is_missing_is_named() {
    let desk = desk();
    let fixed = ["explain", "-c", "gatepass.yaml", "--at", LATER, "--token", "alice.token"];
    let run = desk.run(&fixed).ended(3);
    assert!(run.out.contains("keys: GET http://auth.internal/jwks.json -> ?"), "{run:?}");
    assert!(run.out.contains("given with --jwks"), "{run:?}");
    let run = desk.run(&[&fixed[..], &KEYS].concat()).ended(3);
    let asked = "user info: GET http://users.internal/users/alice, with x-api-key -> ?";
    assert!(run.out.contains(asked), "{run:?}");
    assert!(run.out.contains("given with --user-info"), "{run:?}");
}

#[test]
fn discovery_introspection_and_revocation() {
    let discovery = json!({"service": "auth"});
    let desk = Desk::furnished(&changed([
        ("/providers/shop/remote_jwks", Value::Null),
        ("/providers/shop/discovery", discovery),
        ("/revocation", json!({"feed": {"service": "auth", "path": "/revoked"}})),
    ]));
    let arguments = [&TOKEN[..], &KEYS, &USER].concat();
    let report = desk.explain(&arguments).ended(0).json();
    let asked: Vec<_> =
        report["callouts"].as_array().unwrap().iter().map(|it| it["for"].clone()).collect();
    assert_eq!(asked, ["revocation feed", "discovery", "keys", "user info"]);
    assert_eq!(report["callouts"][0]["reply"]["from"], "assumed: nothing is revoked");
    desk.put(
        "revoked.json",
        r#"{"cursor": "1", "entries": [{"sub": "alice", "until": 1900000000}]}"#,
    );
    let run =
        desk.explain(&[&arguments[..], &["--revocation-feed", "revoked.json"]].concat()).ended(1);
    assert_eq!(last_step(&run), ("revocation".to_owned(), "denied".to_owned()));
    let run = desk.explain(&[&arguments[..], &["--discovery", "404"]].concat()).ended(1);
    assert_eq!(run.json()["denial"]["code"], "keys_unavailable");

    let introspection = json!({
        "service": "auth", "path": "/introspect", "client_id": "g", "client_secret": {"env": "API_KEY"},
    });
    let desk = Desk::furnished(&changed([("/providers/shop/introspection", introspection)]));
    desk.put("reference.token", "a-reference-that-is-secret");
    desk.put(
        "active.json",
        &json!({
            "active": true, "iss": "https://auth.shop.example", "aud": "shop-api", "sub": "alice",
            "azp": "web", "exp": 1_800_000_300, "iat": 1_800_000_000,
        })
        .to_string(),
    );
    let reference = ["--token", "reference.token"];
    let run = desk.explain(&reference).ended(3);
    assert_eq!(run.json()["callouts"][0]["method"], "POST");
    let run = desk.explain(&[&reference[..], &USER, &["--introspection", "active.json"]].concat());
    let run = run.ended(0);
    assert_eq!(run.json()["identity"]["claims"]["sub"], "alice");
    for secret in ["a-reference-that-is-secret", API_KEY] {
        assert!(!run.out.contains(secret), "{run:?}");
    }
}

#[test]
fn tokens_and_secrets_are_not_shown() {
    let desk = desk();
    let token = desk.read("alice.token");
    let parts: Vec<&str> = token.trim().split('.').collect();
    let d = &SIGNING_KEY[SIGNING_KEY.find(r#""d":""#).unwrap() + 5..SIGNING_KEY.len() - 2];
    let bearer = format!("Authorization: Bearer {token}");
    let query = format!("/orders?access_token={token}&{token}");
    for (case, arguments) in [
        ("forwarded", [&TOKEN[..], &KEYS, &USER].concat()),
        ("undecided", TOKEN.to_vec()),
        ("in a header", vec!["-H", &bearer]),
        ("denied", [&TOKEN[..], &["--jwks", "failed"]].concat()),
        ("in the query", [&["--path", &query][..], &KEYS, &USER].concat()),
        ("no header", vec!["-H", &token]),
    ] {
        for form in [&["--json"][..], &[]] {
            let fixed = ["explain", "-c", "gatepass.yaml", "--at", LATER];
            let run = desk.run(&[&fixed, &arguments[..], form].concat());
            let printed = format!("{}{}", run.out, run.err);
            for secret in [parts[1], parts[2], d, API_KEY] {
                assert!(!printed.contains(secret), "{case}: {printed}");
            }
            // Nor the identity token, unless it is asked for.
            assert!(!printed.contains("eyJ"), "{case}: {printed}");
        }
    }
}

#[test]
fn kong_has_two_doors() {
    let desk = desk();
    let own = configuration();
    let kong = |below: &str| {
        let filters = json!([{"name": "gatepass", "config": own}]);
        let below = match below {
            "plugins" => json!({"plugins": filters}),
            _ => json!({"filter_chains": [{"filters": filters}]}),
        };
        let mut file = json!({"_format_version": "3.0", "services": [below]});
        file["services"][0]["name"] = "shop".into();
        file.to_string()
    };
    desk.put("plugin.yml", &kong("plugins"));
    desk.put("filter.yml", &kong("filter_chains"));
    let twice = ["-H", "X-Consumer-ID: a", "-H", "X-Consumer-ID: b", "--path", "/login"];
    let misspelt = ["-H", "X_Consumer_ID: root", "--path", "/login"];
    for (case, file, host, removes) in [
        ("Envoy", "gatepass.yaml", None, true),
        ("the plugin", "gatepass.yaml", Some("kong"), true),
        ("the filter", "gatepass.yaml", Some("kong-filter"), false),
        ("a file's plugin", "plugin.yml", None, true),
        ("a file's filter", "filter.yml", None, false),
        ("a file's filter, in Kong", "filter.yml", Some("kong"), false),
        ("a file's plugin as a filter", "plugin.yml", Some("kong-filter"), false),
    ] {
        let fixed = ["explain", "-c", file, "--at", LATER, "--json"];
        let host = host.map_or(vec![], |host| vec!["--host", host]);
        for fields in [&twice[..], &misspelt] {
            let run = desk.run(&[&fixed[..], &host, fields].concat());
            let report = run.ended(if removes { 0 } else { 1 }).json();
            if removes {
                let removed = report["removed"][0].as_str().unwrap().to_ascii_lowercase();
                assert!(removed.starts_with('x'), "{case}: {report}");
            } else {
                assert_eq!(report["denial"]["code"], "header_repeated", "{case}");
                let steps = json!([{"step": "head", "result": "denied"}]);
                assert_eq!(report["steps"], steps, "{case}");
            }
        }
    }
}

#[test]
fn denials_keep_the_configured_form_and_say_why() {
    let errors = json!({"format": "kong", "login_redirect": {"to": "/login"}});
    let desk = Desk::furnished(&changed([("/errors", errors)]));
    let page = ["--path", "/orders", "-H", "Accept: text/html"];
    let report = desk.explain(&page).ended(1).json();
    assert_eq!(report["answer"]["status"], 302);
    assert_eq!(report["answer"]["headers"]["location"], "/login?return_to=%2Forders");
    assert_eq!(report["denial"]["detail"], "no token was sent");
    let report = desk.explain(&page[..2]).ended(1).json();
    assert_eq!(report["answer"]["body"], r#"{"message":"Unauthorized"}"#);
    assert_eq!(report["denial"]["detail"], "no token was sent");
}

#[test]
fn shadow_mode_is_told_apart() {
    let desk = Desk::furnished(&changed([("/mode", json!("shadow"))]));
    let report = desk.explain(&["--path", "/orders", "-H", "X-Consumer-ID: root"]);
    let report = report.ended(0).json();
    assert_eq!(report["outcome"], "forwarded");
    assert_eq!(report["removed"], json!(["x-consumer-id"]));
    assert_eq!(report["set"], json!({}));
    assert_eq!(report["denial"]["code"], "token_missing");
    assert_eq!(report["denial"]["detail"], "no token was sent");
    let run = desk.run(&["explain", "-c", "gatepass.yaml", "--path", "/orders"]).ended(0);
    assert!(run.out.contains("in shadow mode; else denied: token_missing"), "{run:?}");
    let run = desk.run(&["check", "gatepass.yaml"]).ended(0);
    assert!(run.out.contains("warning: mode: nothing is enforced"), "{run:?}");
}

#[test]
fn transaction_tokens() {
    let desk = Desk::furnished(&changed([
        ("/identity_token/profile", json!("txn_token")),
        ("/identity_token/scopes", json!(["orders"])),
        ("/providers/shop/trusted_without_scope", json!(true)),
        ("/identity_token/header", json!("txn-token")),
    ]));
    let report = desk.explain(&[&TOKEN[..], &KEYS, &USER].concat()).ended(0).json();
    assert_eq!(report["identity"]["header"]["typ"], "txntoken+jwt");
    assert_eq!(report["identity"]["claims"]["sub"], "alice");
}

#[test]
fn a_call_is_told_why_in_words() {
    let desk = desk();
    let call = ["--path", "/orders", "-H", "Content-Type: application/grpc", "-X", "POST"];
    let report = desk.explain(&call).ended(1).json();
    assert_eq!(report["answer"]["body"], "");
    assert_eq!(report["denial"]["detail"], "no token was sent");
}

#[test]
fn a_preflight_is_asked_for_no_rule() {
    let desk = desk();
    let fields = ["Origin: https://shop.example", "Access-Control-Request-Method: POST"];
    let fields = fields.iter().flat_map(|field| ["-H", field]);
    let preflight: Vec<_> =
        ["--path", "/admin", "-X", "OPTIONS"].into_iter().chain(fields).collect();
    let run = desk.explain(&preflight).ended(0);
    assert_eq!(run.json()["steps"], json!([{"step": "head", "result": "passed"}]));
}

#[test]
fn a_token_cannot_steer_the_terminal() {
    let desk = desk();
    let token = desk.token(&["--kid", "\u{1b}[31m\u{202e}", "--claim", "aud=a\u{9b}b"]);
    desk.put("odd.token", &token);
    let fixed = ["explain", "-c", "gatepass.yaml", "--at", LATER, "--token", "odd.token"];
    let run = desk.run(&fixed);
    let is_odd = |character: char| character.is_control() && character != '\n';
    assert!(!run.out.contains(is_odd), "{run:?}");
    assert!(!run.out.contains('\u{202e}'), "{run:?}");
}

/// What is in a token, and what is said of it: both sides of each check, and times that
/// can be read.
#[test]
fn what_was_found_beside_what_was_expected() {
    let own =
        changed([("/providers/shop/required_claims", json!({"tenant": ["acme", "umbrella"]}))]);
    let desk = Desk::furnished(&own);
    for (case, claims, path, at, expected) in [
        (
            "a slash at the end of the issuer",
            &["--claim", "iss=https://auth.shop.example/"][..],
            "/orders",
            LATER,
            "NO issuer \"https://auth.shop.example/\" is not \"https://auth.shop.example\"",
        ),
        (
            "another audience",
            &["--claim", "aud=mobile"],
            "/orders",
            LATER,
            "NO audience \"mobile\" is not \"shop-api\"",
        ),
        (
            "too late",
            &[],
            "/orders",
            "1900000000",
            "(2027-01-15T08:05:00Z) is not after now, 1900000000 (2030-03-17T17:46:40Z)",
        ),
        (
            "ended within the skew",
            &[],
            "/orders",
            "1800000330",
            "NO exp 1800000300 (2027-01-15T08:05:00Z) is not after now, 1800000330 (2027-01-15T08:05:30Z)",
        ),
        (
            "too early",
            &[],
            "/orders",
            "1799999000",
            "NO iat 1800000000 (2027-01-15T08:00:00Z) is after now, 1799999000 (2027-01-15T07:43:20Z) and 60 s",
        ),
        (
            "another tenant",
            &["--claim", "tenant=initech"],
            "/orders",
            LATER,
            "NO claim tenant \"initech\" is not one of \"acme\", \"umbrella\"",
        ),
        (
            "a scope too few",
            &["--claim", "scope=read"],
            "/admin/users",
            LATER,
            "NO scope \"read\" does not hold all of \"admin\"",
        ),
        (
            "all checks of one issuer",
            &["--claim", "iss=https://auth.shop.example/"],
            "/orders",
            LATER,
            "ok audience \"shop-api\" is \"shop-api\"",
        ),
        ("the lifetime", &[], "/orders", LATER, "ok lifetime of 300 s is at most 3600 s"),
        ("the type", &[], "/orders", LATER, "ok type \"at+jwt\" is nothing, \"JWT\" or \"at+jwt\""),
        ("the key", &[], "/orders", LATER, "NO key "),
    ] {
        desk.put("a.token", &desk.token(claims));
        let mut arguments = vec!["explain", "-c", "gatepass.yaml", "--token", "a.token"];
        arguments.extend(["--at", at, "--path", path]);
        if case == "the key" {
            desk.put("other.jwks", r#"{"keys": [{"kty": "OKP", "kid": "other"}]}"#);
            arguments.extend(["--jwks", "other.jwks"]);
        } else {
            arguments.extend(["--jwks", "issuer.jwks"]);
        }
        let run = desk.run(&arguments);
        assert!(run.out.contains(expected), "{case}: {run:?}");
        arguments.push("--json");
        let json = desk.run(&arguments).json();
        let checks = json["checks"].as_array().unwrap();
        assert_eq!(
            checks.iter().any(|it| it["passes"] == false),
            expected.contains("NO") || at != LATER || !claims.is_empty(),
            "{case}"
        );
    }
}

/// What `checks` says is what the gateway decides by: the audiences of the resource, the rule of
/// the MCP call, the types that are never accepted and every limit of time.
#[test]
fn checks_are_those_of_the_gateway() {
    let desk = Desk::furnished(&changed([
        ("/providers/shop/require_expiration", json!(false)),
        ("/resources", json!([{"resource": "http://localhost/mcp"}])),
        (
            "/rules",
            json!([
                {"match": {"path": "/mcp", "mcp": {"names": ["place_order"]}},
                    "requires": {"scopes_all": ["orders.write"]}},
                {"match": {"path": "/mcp"}, "requires": {"scopes_all": ["catalog.read"]}},
                {"match": {"path": "/open"}, "bypass": true},
                {"match": {"path": "/tenant"}, "requires": {"claims": {"tenant": ["acme"]}}},
                {"match": {"path": "/any"},
                    "requires": {"allow_missing": true, "invalid_as_missing": true}},
            ]),
        ),
    ]));
    const MCP: &str = "aud=http://localhost/mcp";
    let order = [
        "-X",
        "POST",
        "-H",
        "MCP-Protocol-Version: 2026-07-28",
        "-H",
        "Mcp-Method: tools/call",
        "-H",
        "Mcp-Name: place_order",
    ];
    let other = [&order[..7], &["Mcp-Name: search"]].concat();
    let unknown = ["-X", "POST"];
    let read = "scope=catalog.read";
    for (case, claims, path, more, expected, unexpected) in [
        (
            "the audience of the resource",
            &[MCP, read][..],
            "/mcp",
            &other[..],
            &["ok audience, of the resource, \"http://localhost/mcp\" is one of", "forwarded\n"][..],
            "NO ",
        ),
        (
            "the provider's audience at a resource",
            &[read],
            "/mcp",
            &other,
            &["NO audience, of the resource, \"shop-api\"", "denied: 401 audience_mismatch"],
            "ok audience",
        ),
        (
            "the rule of a call",
            &[MCP, read],
            "/mcp",
            &order,
            &["rule      0: ", "NO scope \"catalog.read\" does not hold all of \"orders.write\""],
            "all of \"catalog.read\"",
        ),
        (
            "a call that nobody names",
            &[MCP, read],
            "/mcp",
            &unknown,
            &[
                "rule      1: ",
                "NO scope \"catalog.read\" does not hold all of \"orders.write\"",
                "ok scope \"catalog.read\" holds \"catalog.read\"",
            ],
            "forwarded",
        ),
        (
            "a token about events",
            &["events={}"],
            "/",
            &[],
            &["NO events {} is not absent"],
            "forwarded",
        ),
        (
            "no end",
            &["exp="],
            "/",
            &[],
            &["NO lifetime without end is more than 3600 s"],
            "forwarded",
        ),
        (
            "before 1970",
            &["iat=-5"],
            "/",
            &[],
            &["NO iat -5 is not seconds since 1970"],
            "forwarded",
        ),
        (
            "a claim of the rule",
            &[],
            "/tenant",
            &[],
            &["NO claim tenant (none) is not"],
            "forwarded",
        ),
        (
            "a token that counts as none",
            &["aud=mobile"],
            "/any",
            &[],
            &["NO audience \"mobile\"", "forwarded"],
            "denied",
        ),
        ("nobody asks for the token", &["aud=mobile"], "/open", &[], &["forwarded"], "checks"),
    ] {
        let claims: Vec<_> = claims.iter().flat_map(|claim| ["--claim", claim]).collect();
        desk.put("a.token", &desk.token(&claims));
        let fixed = ["explain", "-c", "gatepass.yaml", "--at", LATER, "--token", "a.token"];
        let run = desk.run(&[&fixed[..], &["--path", path], more, &KEYS, &USER].concat());
        for expected in expected {
            assert!(run.out.contains(expected), "{case}: {expected}: {run:?}");
        }
        assert!(!run.out.contains(unexpected), "{case}: {run:?}");
    }
    // {"alg":"EdDSA","typ":"identity+jwt"}: no issuer's token is the gateway's own.
    const HEADER: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6ImlkZW50aXR5K2p3dCJ9";
    let token = desk.read("alice.token");
    desk.put("own.token", &format!("{HEADER}.{}", token.split_once('.').unwrap().1));
    let run = desk.explain(&[&["--token", "own.token"], &KEYS[..]].concat()).ended(1);
    let own =
        run.json()["checks"].as_array().unwrap().iter().find(|it| it["check"] == "type").cloned();
    assert_eq!(own.unwrap()["passes"], false, "{run:?}");
}

/// The plugin asks Kong for its own consumer; the option stands for Kong's answer.
#[test]
fn kongs_own_consumer() {
    let desk = Desk::furnished(&changed([
        ("/consumers", json!({"claim": ["azp"], "kong": "custom_id"})),
        ("/rules", json!([])),
    ]));
    desk.put("web.json", r#"{"id": "k1", "username": "web-app", "custom_id": "web"}"#);
    let plugin = [&["--host", "kong"][..], &TOKEN, &KEYS, &USER].concat();
    let run = desk.explain(&plugin).ended(3);
    assert_eq!(run.json()["callouts"][1]["for"], "Kong's consumer");
    assert_eq!(last_step(&run), ("consumer".to_owned(), "waiting".to_owned()));
    let text: Vec<_> = plugin.iter().copied().chain(["--at", LATER]).collect();
    let run = desk.run(&[&["explain", "-c", "gatepass.yaml"], &text[..]].concat()).ended(3);
    assert!(run.out.contains("given with --kong-consumer"), "{run:?}");
    let report = desk.explain(&[&plugin[..], &["--kong-consumer", "web.json"]].concat());
    let report = report.ended(0).json();
    assert_eq!(report["set"]["x-consumer-username"], "web-app");
    assert_eq!(report["provider"], "shop");
    let report = desk.explain(&[&plugin[..], &["--kong-consumer", "404"]].concat()).ended(1).json();
    assert_eq!(report["denial"]["code"], "consumer_unknown");
}

/// Whatever the paths of services look like.
#[test]
fn callouts_are_told_apart_by_their_purpose() {
    let user_info = json!({
        "service": "auth", "path": "/{sub}", "claims": {"country": "/address/country"},
    });
    let desk = Desk::furnished(&changed([
        ("/user_info", user_info),
        ("/rules", json!([])),
        ("/revocation", json!({"feed": {"service": "auth", "path": "/jwks.json"}})),
    ]));
    let report = desk.explain(&[&TOKEN[..], &KEYS, &USER].concat()).ended(0).json();
    let asked: Vec<_> =
        report["callouts"].as_array().unwrap().iter().map(|it| it["for"].clone()).collect();
    assert_eq!(asked, ["revocation feed", "keys", "user info"]);
}
