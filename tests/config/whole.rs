//! Texts that are no configuration, contradictions between fields, and several
//! problems at once.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn what_is_no_configuration() {
    for (case, text, found) in [
        ("nothing", "", "nothing"),
        ("white space", "  ", "it is empty"),
        ("not JSON", "services: {}", "it is YAML"),
        ("cut off", "{\"services\": {", "it ends before"),
        ("two objects", "{}{}", "more after its end"),
        ("a member twice", r#"{"mode": "enforce", "mode": "enforce"}"#, "\"mode\" appears twice"),
        ("too deep", &"[".repeat(100), "nested deeper"),
        ("a list", "[]", "an array"),
        ("text", "\"x\"", "a string"),
        ("null", "null", "null"),
    ] {
        let problems = load(text).expect_err(case);
        let [[path, what, accepted]] = problems.as_slice() else { panic!("{case}: {problems:#?}") };
        assert_eq!(path, "$", "{case}");
        assert!(what.contains(found), "{case}: {what}");
        assert!(accepted.contains("object"), "{case}: {accepted}");
    }
    let problems = load("{}").expect_err("empty");
    let paths: Vec<_> = problems.iter().map(|[path, ..]| path.as_str()).collect();
    assert_eq!(paths, ["$.providers", "$.identity_token"]);
}

/// Every problem at once: five mistakes, five problems.
#[test]
fn all_problems_at_once() {
    for (case, edits) in [
        (
            "far apart",
            vec![
                ("/services/users/timeout_ms", json!(0)),
                ("/providers/shop/issuer", json!(7)),
                ("/user_info/failure_mode", json!("open")),
                ("/rules/2/requires/scopes_all/0", json!("a b")),
                ("/mode", json!("observe")),
            ],
        ),
        (
            "in one section",
            vec![
                ("/limits/max_token_bytes", json!(1)),
                ("/limits/token_cache_entries", json!(-1)),
                ("/limits/max_reply_bytes", json!("x")),
                ("/limits/other", json!(1)),
                ("/limits/another", json!(1)),
            ],
        ),
        (
            "in one list",
            vec![
                ("/rules/0/bypass", json!(1)),
                ("/rules/1/match/path", json!("x")),
                ("/rules/1/match/methods/0", json!("get")),
                ("/rules/2/requires/providers/0", json!("x")),
                ("/rules/2/requires/groups_any/0", json!("")),
            ],
        ),
        (
            "in the signing key",
            vec![
                ("/identity_token/signing_keys/0/algorithm", json!("HS256")),
                ("/identity_token/signing_keys/0/kid", json!("")),
                ("/identity_token/signing_keys/0/sign_from", json!("x")),
                ("/identity_token/signing_keys/0/retire_at", json!("x")),
                ("/identity_token/ttl_seconds", json!(0)),
            ],
        ),
        (
            "around user info",
            vec![
                ("/user_info/service", json!("x")),
                ("/user_info/path", json!("x")),
                ("/user_info/claims/country", json!("x")),
                ("/user_info/cache/ttl_seconds", json!("x")),
                ("/user_info/headers/x-other", json!({"env": "NOT_SET"})),
            ],
        ),
        (
            "where others refer to it",
            vec![
                ("/services/auth/timeout_ms", json!(0)),
                ("/services/users/scheme", json!("ftp")),
                ("/providers/shop/clock_skew_seconds", json!(301)),
                ("/providers/shop/audiences/0", json!("")),
                ("/consumers/anonymous", json!("")),
            ],
        ),
    ] {
        let mut expected: Vec<_> = edits.iter().map(|(pointer, _)| path(pointer)).collect();
        let mut paths: Vec<_> = problems(&edits).into_iter().map(|[path, ..]| path).collect();
        expected.sort();
        paths.sort();
        assert_eq!(paths, expected, "{case}");
    }
}

/// Problems of a section do not hide that it contradicts another.
#[test]
fn contradictions_are_told_beside_other_problems() {
    let audience = ("/identity_token/audiences", json!(["shop-api"]));
    let issuer = ("/identity_token/issuer", json!("https://auth.shop.example"));
    let unset = ("/identity_token/signing_keys/0/private_key", json!({"env": "NOT_SET"}));
    let algorithm = ("/providers/shop/algorithms", json!(["none"]));
    let header = ("/claim_to_headers/0/header", json!("x-identity-token"));
    for (case, contradiction, other) in [
        ("an audience, a provider", &audience, &algorithm),
        ("an audience, the identity", &audience, &unset),
        ("an issuer, a provider", &issuer, &algorithm),
        ("an issuer, the identity", &issuer, &unset),
        ("a header, a provider", &header, &algorithm),
        ("a header, user info", &header, &("/user_info/service", json!("nobody"))),
        ("an audience, a rule", &audience, &("/rules/0/bypass", json!(7))),
    ] {
        let one = |edit: &(&'static str, Value)| problems(std::slice::from_ref(edit));
        let (first, second) = (one(contradiction), one(other));
        assert!(first.len() == 1 && second.len() == 1, "{case}: {first:?} {second:?}");
        let both = problems(&[contradiction.clone(), other.clone()]);
        let mut expected = [first, second].concat();
        expected.sort();
        let mut got = both;
        got.sort();
        assert_eq!(got, expected, "{case}");
    }
}

/// What no header can carry would fail each request.
#[test]
fn a_claim_that_is_the_same_for_all_can_be_sent() {
    for (claim, value, format, is_refused) in [
        ("env", json!("a\nb"), "text", true),
        ("env", json!(["a", "b\u{7f}"]), "csv", true),
        ("env", json!("a\nb"), "json", false),
        ("env", json!({"a": "b\n"}), "text", false),
        ("env", json!("Zo\u{eb}"), "text", false),
        ("another", json!("a\nb"), "text", false),
    ] {
        let got = problems(&[
            ("/identity_token/claims", json!({"set": {"env": value}})),
            ("/claim_to_headers", json!([{"header": "x-env", "claim": claim, "format": format}])),
        ]);
        let paths: Vec<_> = got.iter().map(|[path, ..]| path.as_str()).collect();
        let expected: &[&str] = if is_refused { &["$.claim_to_headers"] } else { &[] };
        assert_eq!(paths, expected, "{claim} {value} {format}: {got:?}");
    }
}

/// Nor in the tokens of one rule.
#[test]
fn the_audience_of_a_rule_can_be_sent() {
    for (audience, format, is_refused) in
        [("a\tb", "text", true), ("a\tb", "json", false), ("orders", "text", false)]
    {
        for place in ["/rules/2/identity/audiences", "/resources/0/identity"] {
            let value = match place.ends_with("audiences") {
                true => json!([audience]),
                false => json!({"audiences": [audience]}),
            };
            let got = problems(&[
                (place, value),
                (
                    "/claim_to_headers",
                    json!([{"header": "x-aud", "claim": "aud", "format": format}]),
                ),
            ]);
            let paths: Vec<_> = got.iter().map(|[path, ..]| path.as_str()).collect();
            let expected: &[&str] = if is_refused { &["$.claim_to_headers"] } else { &[] };
            assert_eq!(paths, expected, "{place} {audience:?} {format}: {got:?}");
        }
    }
}

#[test]
fn constant_claims_fit_into_an_identity() {
    for (bytes, limit, is_refused) in
        [(5000, 7168, false), (5500, 7168, true), (5500, 8192, false), (700, 1024, true)]
    {
        let got = problems(&[
            ("/identity_token/claims/set", json!({"env": "x".repeat(bytes)})),
            ("/limits/max_identity_bytes", json!(limit)),
        ]);
        let paths: Vec<_> = got.iter().map(|[path, ..]| path.as_str()).collect();
        let expected: &[&str] = if is_refused { &["$.identity_token.claims.set"] } else { &[] };
        assert_eq!(paths, expected, "{bytes} {limit}: {got:?}");
    }
}

/// Two copies with one name would be one claim, with the value of whichever came last.
#[test]
fn each_claim_is_copied_once() {
    for (copy, is_refused) in [
        (json!(["a.b", ["a", "b"]]), true),
        (json!(["/a/b", ["a", "b"]]), true),
        (json!(["azp", "azp"]), true),
        (json!(["a.b", "a.c", "a"]), false),
    ] {
        let got = problems(&[("/identity_token/claims/copy", copy.clone())]);
        let paths: Vec<_> = got.iter().map(|[path, ..]| path.as_str()).collect();
        let expected: &[&str] = if is_refused { &["$.identity_token.claims.copy"] } else { &[] };
        assert_eq!(paths, expected, "{copy}: {got:?}");
    }
}

/// A name may hold anything, the log has one line.
#[test]
fn names_with_line_breaks_stay_on_the_line() {
    let edits = [("/providers/shop/required_claims", json!({"a\r\n\u{1b}[2Jb": {"x": 1}}))];
    let loaded = gatepass::config::load(with(&edits).to_string().as_bytes(), &|_| None, None);
    let shown = loaded.expect_err("no list").to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    let expected = r"$.providers.shop.required_claims.a\u{d}\u{a}\u{1b}[2Jb: ";
    assert!(shown.contains(expected), "{shown}");
}

/// The problems of a provider's fields do not hide those between its fields.
#[test]
fn contradictions_in_a_provider_are_told_together() {
    let got =
        problems(&[("/providers/shop", json!({"algorithms": ["HS256", "RS256"], "typo": 1}))]);
    let told: Vec<_> = got.iter().map(|[path, found, _]| format!("{path}: {found}")).collect();
    assert_eq!(
        told,
        [
            "$.providers.shop.issuer: nothing",
            "$.providers.shop.algorithms: HS* beside others",
            "$.providers.shop.typo: an unknown field",
            "$.providers.shop: no source of keys",
            "$.providers.shop: no audiences",
        ]
    );
}

// RFC 8725 section 3.12: "the validation rules for those JWTs MUST be written such that
// they are mutually exclusive, rejecting JWTs of the wrong kind" (R31)
#[test]
fn contradictions() {
    let other_key = json!({"algorithm": "ES256", "private_key": signing_key(), "kid": "one"});
    let first = complete()["identity_token"]["signing_keys"][0].clone();
    let mut of_another_issuer = complete()["providers"]["legacy"].clone();
    of_another_issuer["issuer"] = json!("another");
    for (case, edits, at, found, accepted) in [
        (
            "HS* beside others",
            vec![("/providers/legacy/algorithms", json!(["HS256", "RS256"]))],
            "$.providers.legacy.algorithms",
            "HS* beside others",
            "HS* only, or no HS*",
        ),
        (
            "HS* fetched",
            vec![("/providers/shop/algorithms", json!(["HS256"]))],
            "$.providers.shop",
            "HS* algorithms with keys that are fetched",
            "HS* with local_jwks only",
        ),
        (
            "an identity where there is none",
            vec![("/rules/0/identity", json!({}))],
            "$.rules[0]",
            "both bypass and identity",
            "one of the two",
        ),
        (
            "a token without a scheme where the public one may be",
            vec![("/identity_token/header", json!("authorization"))],
            "$.identity_token.header",
            "the header authorization for two things",
            "with a value_prefix",
        ),
        (
            "two tokens in one header",
            vec![
                ("/sealed_tokens", Value::Null),
                (
                    "/rules/2/identity",
                    json!({"forward": true,
                "header": {"name": "authorization", "value_prefix": "Bearer"}}),
                ),
            ],
            "$.identity_token.header",
            "the header authorization for two things",
            "another header for the identity token",
        ),
        (
            "a sealed token for a service",
            vec![("/rules/2/identity", json!({"forward": true}))],
            "$.sealed_tokens",
            "sealed tokens with identity.forward",
            "no service can read a sealed token",
        ),
        (
            "bound tokens where no provider binds",
            vec![
                ("/providers/shop/binding", Value::Null),
                ("/rules/2/requires/bound", json!(true)),
            ],
            "$.rules[2].requires.bound",
            "true, and no provider with binding",
            "binding in a provider, or false",
        ),
        (
            "bound tokens of a provider that does not bind",
            vec![
                ("/rules/2/requires/providers", json!(["legacy"])),
                ("/rules/2/requires/bound", json!(true)),
            ],
            "$.rules[2].requires.bound",
            "true, and no provider with binding",
            "binding in a provider, or false",
        ),
        (
            "a service that is a public audience",
            vec![("/rules/2/identity", json!({"audiences": ["shop-api"]}))],
            "$.identity_token.audiences",
            "the audience \"shop-api\" of provider \"shop\" in identity tokens",
            "audiences that no access token has",
        ),
        (
            "an actor of whom nothing is asked",
            vec![("/rules/2/requires/actor", json!({}))],
            "$.rules[2].requires.actor",
            "nothing",
            "client_id, sub or max_depth",
        ),
        (
            "one resource twice",
            vec![("/resources/1/resource", json!("https://SHOP.example:8443/mcp/"))],
            "$.resources",
            "two resources at shop.example/mcp",
            "each path of a host once",
        ),
        (
            "a resource whose tokens nobody issues",
            vec![("/resources/1/authorization_servers", Value::Null)],
            "$.resources[1]",
            "neither, with several providers",
            "providers, or authorization_servers instead",
        ),
        (
            "issuers twice",
            vec![("/resources/1/providers", json!(["shop"]))],
            "$.resources[1]",
            "both of them",
            "providers, or authorization_servers instead",
        ),
        (
            "an issuer that is no address",
            vec![("/resources/0/providers", json!(["shop", "legacy"]))],
            "$.resources",
            "provider \"legacy\", whose issuer is no URL",
            "authorization_servers",
        ),
        (
            "a resource that is a service",
            vec![("/resources/0/audiences", json!(["shop-services"]))],
            "$.identity_token.audiences",
            "the audience \"shop-services\" of one of resources",
            "audiences that no access token has",
        ),
        (
            "a realm that looks like a parameter",
            vec![("/errors/realm", json!("scope=all"))],
            "$.errors.realm",
            "= in the realm",
            "a realm without it",
        ),
        (
            "two sources of keys",
            vec![("/providers/legacy/remote_jwks", json!({"service": "auth", "path": "/j"}))],
            "$.providers.legacy",
            "more than one source of keys",
            "one of local_jwks, remote_jwks and discovery",
        ),
        (
            "no source of keys",
            vec![
                ("/providers/shop/remote_jwks", Value::Null),
                ("/providers/shop/introspection", Value::Null),
            ],
            "$.providers.shop",
            "no source of keys",
            "one of local_jwks, remote_jwks and discovery",
        ),
        (
            "keys that no algorithm uses",
            vec![("/providers/legacy/algorithms", Value::Null)],
            "$.providers.legacy",
            "local_jwks with keys for HS256",
            "a key for one of algorithms: RS256",
        ),
        (
            "no audiences",
            vec![("/providers/shop/audiences", Value::Null)],
            "$.providers.shop",
            "no audiences",
            "allow_any_audience: true",
        ),
        (
            "audiences, and any",
            vec![("/providers/shop/allow_any_audience", json!(true))],
            "$.providers.shop",
            "both audiences and allow_any_audience",
            "one of the two",
        ),
        (
            "one issuer twice",
            vec![("/providers/legacy/issuer", json!("https://auth.shop.example"))],
            "$.providers",
            "\"https://auth.shop.example\" in two providers",
            "each issuer",
        ),
        (
            "two issuers twice",
            vec![
                ("/providers/legacy/issuer", json!("https://auth.shop.example")),
                ("/providers/one", of_another_issuer.clone()),
                ("/providers/other", of_another_issuer),
            ],
            "$.providers",
            "\"https://auth.shop.example\" in two providers",
            "each issuer",
        ),
        (
            "the gateway's issuer is public",
            vec![("/identity_token/issuer", json!("legacy"))],
            "$.identity_token.issuer",
            "the issuer of provider \"legacy\" as identity_token.issuer",
            "gateway's own",
        ),
        (
            "the gateway's audience is public",
            vec![("/identity_token/audiences", json!(["a", "shop-api"]))],
            "$.identity_token.audiences",
            "shop-api",
            "audience",
        ),
        (
            "the gateway's key is public",
            vec![
                ("/providers/legacy/algorithms", json!(["ES256"])),
                ("/providers/legacy/local_jwks/keys/0", signing_key()),
            ],
            "$.identity_token.signing_keys",
            "a signing key of the gateway in provider \"legacy\"",
            "nobody else has",
        ),
        (
            "the identity header is Kong's",
            vec![("/identity_token/header", json!("X-Consumer-ID"))],
            "$.identity_token.header",
            "the header x-consumer-id for two things",
            "each header once",
        ),
        (
            "in another spelling",
            vec![("/identity_token/header", json!("x_consumer_username"))],
            "$.identity_token.header",
            "x_consumer_username for two things",
            "each header once",
        ),
        (
            "the identity header is the token's",
            vec![("/identity_token/header", json!("Authorization"))],
            "$.identity_token.header",
            "authorization for two things",
            "each header once",
        ),
        (
            "a claim in the identity header",
            vec![("/claim_to_headers/0/header", json!("x-identity-token"))],
            "$.claim_to_headers",
            "x-identity-token for two things",
            "each header once",
        ),
        (
            "two claims in a header",
            vec![(
                "/claim_to_headers",
                json!([
                {"header": "x-a-b", "claim": "a"}, {"header": "X_A_B", "claim": "b"}]),
            )],
            "$.claim_to_headers",
            "x_a_b for two things",
            "each header once",
        ),
        (
            "a token nowhere",
            vec![("/token", json!({"from_headers": []}))],
            "$.token",
            "an object",
            "at least one of from_headers, from_cookies",
        ),
        (
            "a consumer twice",
            vec![(
                "/consumers/entries",
                json!([
                    {"key": "a", "providers": ["shop"]}, {"key": "b", "providers": ["shop"]},
                    {"key": "a", "providers": ["legacy", "shop"]},
                ]),
            )],
            "$.consumers",
            "the key \"a\" twice",
            "each key once",
        ),
        (
            "a rule of two minds",
            vec![("/rules/0/requires", json!({}))],
            "$.rules[0]",
            "both bypass and requires",
            "one of bypass, requires and policy",
        ),
        (
            "a rule that opens and has a policy",
            vec![("/rules/0/policy", json!("staff"))],
            "$.rules[0]",
            "both bypass and policy",
            "one of bypass, requires and policy",
        ),
        (
            "a rule with a policy and more",
            vec![("/rules/3/requires", json!({}))],
            "$.rules[3]",
            "both requires and policy",
            "one of bypass, requires and policy",
        ),
        (
            "a policy that cannot be accepted is told once",
            vec![("/policies/staff/scopes_all", json!(["a b"]))],
            "$.policies.staff.scopes_all[0]",
            "a b",
            "one scope",
        ),
        (
            "a consumer that is none",
            vec![("/rules/2/requires/consumers", json!(["web-app"]))],
            "$.rules[2].requires.consumers[0]",
            "web-app",
            "the key of one of consumers.entries",
        ),
        (
            "a consumer of whom there are two",
            vec![
                (
                    "/consumers/entries",
                    json!([{"key": "web", "providers": ["shop"]},
                        {"key": "web", "providers": ["legacy"]}]),
                ),
                ("/rules/2/requires/providers", json!(["shop", "legacy"])),
                ("/rules/2/requires/consumers", json!(["web"])),
            ],
            "$.rules[2].requires.consumers[0]",
            "\"web\", the name of 2 of consumers.entries",
            "list in requires.providers",
        ),
        (
            "a disabled consumer for everybody",
            vec![
                ("/consumers/entries/0/enabled", json!(false)),
                ("/consumers/anonymous", json!("web-app")),
            ],
            "$.consumers",
            "a disabled consumer as anonymous",
            "one that is enabled",
        ),
        (
            "a header of two minds",
            vec![("/rules/3/match/headers/0/present", json!(true))],
            "$.rules[3].match.headers[0]",
            "both value and present",
            "one of the two",
        ),
        (
            "a header of none",
            vec![("/rules/3/match/headers/0", json!({"name": "x-mode"}))],
            "$.rules[3].match.headers[0]",
            "neither value nor present",
            "one of the two",
        ),
        (
            "a path of two kinds",
            vec![("/rules/0/match/path", json!("/x"))],
            "$.rules[0].match",
            "more than one path",
            "one of path, path_prefix, path_starts_with and path_template",
        ),
        (
            "a kid twice",
            vec![("/identity_token/signing_keys", json!([first, other_key]))],
            "$.identity_token",
            "the kid \"one\" twice",
            "each kid once",
        ),
        (
            "retired before it signs",
            vec![("/identity_token/signing_keys/0/retire_at", json!(1000))],
            "$.identity_token.signing_keys[0]",
            "retire_at at or before sign_from",
            "after",
        ),
        (
            "a reserved claim set",
            vec![("/identity_token/claims/set", json!({"sub": "root"}))],
            "$.identity_token.claims.set.sub",
            "root",
            "claims that the gateway does not decide",
        ),
        (
            "a reserved claim copied",
            vec![("/identity_token/claims/copy", json!(["groups"]))],
            "$.identity_token.claims.copy[0]",
            "groups",
            "claims that the gateway does not decide",
        ),
        (
            "a bad local key",
            vec![("/providers/legacy/local_jwks/keys/0", json!({"kty": "EC", "kid": "x"}))],
            "$.providers.legacy.local_jwks",
            "\"crv\" is missing",
            "a JWKS with usable keys",
        ),
        (
            "a weak local secret",
            vec![("/providers/legacy/local_jwks/keys/0/k", json!("aGVsbG8"))],
            "$.providers.legacy.local_jwks",
            "at least 32 bytes, it has 5",
            "usable keys",
        ),
        (
            "the key of another algorithm",
            vec![("/identity_token/signing_keys/0/algorithm", json!("EdDSA"))],
            "$.identity_token.signing_keys[0].private_key",
            "EdDSA needs an Ed25519 key",
            "a private JWK",
        ),
    ] {
        let got = problems(&edits);
        let [[path, what, hint]] = got.as_slice() else { panic!("{case}: {got:#?}") };
        assert_eq!(path, at, "{case}");
        assert!(what.contains(found), "{case}: {what}");
        assert!(hint.contains(accepted), "{case}: {hint}");
    }
}

/// Every claim that the gateway decides itself, by every door.
// RFC 7519 section 4.1 (R77)
#[test]
fn reserved_claims() {
    for claim in gatepass::identity::RESERVED_CLAIMS {
        let mapped = problems(&[("/user_info/claims", json!({"country": "/c", claim: "/x"}))]);
        let at = format!("$.user_info.claims.{claim}");
        assert_eq!(mapped.iter().map(|[path, ..]| path).collect::<Vec<_>>(), [&at]);
        let set = problems(&[("/identity_token/claims/set", json!({claim: 1}))]);
        let at = format!("$.identity_token.claims.set.{claim}");
        assert_eq!(set.iter().map(|[path, ..]| path).collect::<Vec<_>>(), [&at]);
        let copied = problems(&[("/identity_token/claims/copy", json!([claim]))]);
        let is_copyable = ["scope", "client_id", "act", "txn"].contains(&claim);
        assert_eq!(copied.is_empty(), is_copyable, "{claim}");
    }
}
