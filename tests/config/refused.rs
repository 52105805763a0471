//! One wrong value at a time.

use serde_json::{Value, json};

use crate::support::*;

/// One wrong value gives one problem, at its place, that tells what is accepted.
fn refused(cases: &[(&str, Value, &str)]) {
    for (pointer, value, accepted) in cases {
        let problems = problems(&[(pointer, value.clone())]);
        let [[at, found, what]] = problems.as_slice() else {
            panic!("{pointer} = {value}: {problems:#?}")
        };
        assert_eq!(*at, path(pointer), "{pointer} = {value}");
        assert!(what.contains(accepted), "{pointer} = {value}: {what}");
        assert!(!found.is_empty(), "{pointer} = {value}");
    }
}

#[test]
fn flags() {
    for pointer in [
        "/providers/shop/allow_any_audience",
        "/providers/shop/require_expiration",
        "/providers/shop/accept_unbound",
        "/token/forward",
        "/consumers/optional",
        "/user_info/forward_token",
        "/rules/0/bypass",
        "/rules/2/requires/allow_missing",
        "/rules/2/identity/forward",
        "/providers/shop/trusted_without_scope",
        "/consumers/entries/0/trusted_without_scope",
        "/rules/2/requires/invalid_as_missing",
        "/rules/2/requires/bound",
        "/bypass_cors_preflight",
        "/limits/case_sensitive_paths",
        "/limits/end_streams",
        "/access_log/properties",
    ] {
        for value in [json!("true"), json!(1), json!([]), json!({})] {
            refused(&[(pointer, value, "true or false")]);
        }
    }
}

/// Each number: the least, the greatest, what lies beyond, and what is none.
// RFC 7519 section 4.1.4: "Implementers MAY provide for some small leeway, usually no
// more than a few minutes, to account for clock skew." (R27)
#[test]
fn numbers() {
    let day = 86_400;
    let year = 31_536_000;
    for (pointer, least, greatest) in [
        ("/services/users/timeout_ms", 1, 60_000),
        ("/providers/shop/clock_skew_seconds", 0, 300),
        ("/providers/shop/max_lifetime_seconds", 1, year),
        ("/providers/shop/remote_jwks/cache_seconds", 1, day),
        ("/providers/shop/remote_jwks/max_stale_seconds", 0, year),
        ("/providers/shop/remote_jwks/unknown_kid_cooldown_seconds", 1, 3600),
        ("/providers/shop/introspection/cache/ttl_seconds", 0, day),
        ("/providers/shop/introspection/cache/negative_ttl_seconds", 0, 3600),
        ("/providers/shop/introspection/cache/max_entries", 0, 1_000_000),
        ("/revocation/max_entries", 1, 1_000_000),
        ("/user_info/cache/ttl_seconds", 0, day),
        ("/user_info/cache/negative_ttl_seconds", 0, 3600),
        ("/user_info/cache/stale_if_error_seconds", 0, day),
        ("/user_info/cache/max_entries", 0, 1_000_000),
        ("/user_info/cache/max_bytes", 1_048_576, 805_306_368),
        ("/identity_token/ttl_seconds", 1, 3600),
        ("/rules/2/identity/ttl_seconds", 1, 300),
        ("/rules/2/requires/actor/max_depth", 1, 16),
        ("/limits/max_token_bytes", 256, 65_536),
        ("/limits/token_cache_entries", 0, 1_000_000),
        ("/limits/token_cache_bytes", 1_048_576, 805_306_368),
        ("/limits/max_reply_bytes", 1024, 16_777_216),
        ("/limits/max_login_bytes", 1024, 16_777_216),
        ("/limits/max_identity_bytes", 1024, 1_048_576),
    ] {
        for good in [json!(least), json!(greatest), json!(f64::from(greatest))] {
            assert_eq!(
                problems(&[(pointer, good.clone())]),
                [] as [[String; 3]; 0],
                "{pointer} = {good}"
            );
        }
        let accepted = format!("a whole number, {least} to {greatest}");
        for bad in [
            json!(i64::from(least) - 1),
            json!(i64::from(greatest) + 1),
            json!(f64::from(greatest) - 0.5),
            json!(1e300),
            json!(greatest.to_string()),
            json!(true),
            json!([greatest]),
            json!({"seconds": greatest}),
        ] {
            refused(&[(pointer, bad, &accepted)]);
        }
    }
}

#[test]
fn names_to_choose_from() {
    for (pointer, accepted) in [
        ("/services/users/scheme", "http | https"),
        ("/user_info/failure_mode", "deny | degrade"),
        ("/identity_token/profile", "identity"),
        ("/identity_token/signing_keys/0/algorithm", "ES256 | EdDSA"),
        ("/claim_to_headers/0/format", "text | csv | json | json_base64"),
        ("/errors/format", "problem | kong"),
        ("/crypto", "auto | host | module"),
        ("/mode", "enforce"),
    ] {
        for value in [json!("other"), json!(""), json!("DENY"), json!(1), json!(true), json!([])] {
            refused(&[(pointer, value, accepted)]);
        }
    }
}

#[test]
fn sections_are_objects() {
    for pointer in [
        "/services",
        "/services/users",
        "/services/users/headers",
        "/providers",
        "/providers/shop",
        "/providers/shop/remote_jwks",
        "/providers/shop/required_claims",
        "/providers/legacy/local_jwks",
        "/token",
        "/token/from_headers/0",
        "/consumers",
        "/consumers/entries/0",
        "/user_info",
        "/user_info/headers",
        "/user_info/claims",
        "/user_info/cache",
        "/identity_token",
        "/identity_token/claims",
        "/identity_token/claims/set",
        "/identity_token/signing_keys/0",
        "/claim_to_headers/0",
        "/rules/0",
        "/rules/0/match",
        "/rules/2/requires",
        "/rules/2/requires/claims",
        "/rules/2/requires/actor",
        "/rules/2/identity",
        "/resources/0",
        "/resources/0/identity",
        "/errors",
        "/errors/login_redirect",
        "/limits",
        "/access_log",
    ] {
        for value in [json!("text"), json!(1), json!(true), json!([])] {
            refused(&[(pointer, value, "an object")]);
        }
    }
    refused(&[("/providers", json!({}), "at least one provider")]);
}

#[test]
fn lists_are_lists() {
    let full = "a list with at least one element";
    for (pointer, needs_one) in [
        ("/providers/shop/audiences", true),
        ("/providers/shop/algorithms", true),
        ("/providers/shop/token_types", true),
        ("/providers/shop/required_claims/tenant", false),
        ("/providers/legacy/local_jwks/keys", true),
        ("/token/from_headers", false),
        ("/token/from_cookies", false),
        ("/token/from_params", false),
        ("/consumers/claim", true),
        ("/consumers/entries", false),
        ("/consumers/entries/0/groups", false),
        ("/user_info/required", false),
        ("/identity_token/audiences", true),
        ("/identity_token/claims/copy", false),
        ("/identity_token/signing_keys", true),
        ("/claim_to_headers", false),
        ("/rules", false),
        ("/rules/1/match/methods", true),
        ("/rules/2/requires/audiences", false),
        ("/rules/2/requires/actor/client_id", true),
        ("/rules/2/requires/actor/sub", true),
        ("/rules/2/identity/audiences", true),
        ("/rules/2/identity/scopes", false),
        ("/rules/2/identity/claims", false),
        ("/identity_token/scopes", false),
        ("/resources", false),
        ("/resources/0/providers", true),
        ("/resources/0/scopes", false),
        ("/resources/0/audiences", true),
        ("/resources/1/authorization_servers", true),
        ("/rules/2/requires/providers", false),
        ("/rules/2/requires/scopes_all", false),
        ("/rules/2/requires/scopes_any", false),
        ("/rules/2/requires/consumers", false),
        ("/rules/2/requires/groups_any", false),
        ("/rules/2/requires/groups_none", false),
        ("/rules/3/match/hosts", true),
        ("/rules/3/match/headers", true),
        ("/token/csrf/allowed_origins", false),
    ] {
        for value in [json!("text"), json!(1), json!(true), json!({"0": "a"})] {
            refused(&[(pointer, value, "a list")]);
        }
        // Kong writes an empty list as {}.
        for value in [json!([]), json!({})] {
            if needs_one {
                refused(&[(pointer, value, full)]);
            } else {
                let got = problems(&[(pointer, value)]);
                assert_eq!(got, [] as [[String; 3]; 0], "{pointer}");
            }
        }
    }
    for value in [json!([]), json!({})] {
        refused(&[("/claim_to_headers/0/claim", value, full)]);
    }
}

#[test]
fn texts() {
    let text = "a string that is not empty";
    let plain = "printable ASCII";
    for (pointer, accepted) in [
        ("/services/users/upstream", plain),
        ("/services/users/authority", plain),
        ("/providers/shop/issuer", text),
        ("/providers/shop/audiences/0", text),
        ("/providers/shop/algorithms/0", "HS256 | HS384 | HS512 | RS256"),
        ("/providers/shop/token_types/0", text),
        ("/providers/shop/remote_jwks/service", text),
        ("/providers/shop/remote_jwks/path", "a path that starts with /"),
        ("/token/from_headers/0/name", "a header name"),
        ("/token/from_cookies/0", "a name of letters"),
        ("/token/from_params/0", "a name of letters"),
        ("/consumers/entries/0/key", text),
        ("/consumers/entries/0/id", text),
        ("/consumers/entries/0/username", text),
        ("/consumers/entries/0/custom_id", text),
        ("/consumers/entries/0/groups/0", text),
        ("/consumers/anonymous", text),
        ("/user_info/service", text),
        ("/user_info/path", "a path such as /users/{sub}"),
        ("/user_info/subject_pointer", "a JSON pointer"),
        ("/user_info/claims/country", "a JSON pointer"),
        ("/user_info/required/0", text),
        ("/rules/2/requires/actor/client_id/0", text),
        ("/rules/2/requires/actor/sub/0", text),
        ("/rules/2/identity/header", "a header name"),
        ("/rules/2/identity/header/name", "a header name"),
        ("/rules/2/identity/header/value_prefix", "a scheme"),
        ("/rules/2/identity/audiences/0", text),
        ("/rules/2/identity/scopes/0", "one scope"),
        ("/rules/2/identity/claims/0", text),
        ("/identity_token/scopes/0", "one scope"),
        ("/resources/0/resource", "an https URL"),
        ("/resources/0/name", text),
        ("/resources/0/documentation", plain),
        ("/resources/0/providers/0", text),
        ("/resources/0/scopes/0", "one scope"),
        ("/resources/0/audiences/0", text),
        ("/resources/1/authorization_servers/0", plain),
        ("/identity_token/header", "a header name"),
        ("/identity_token/issuer", text),
        ("/identity_token/audiences/0", text),
        ("/identity_token/signing_keys/0/kid", plain),
        ("/identity_token/jwks_path", "a path that starts with /"),
        ("/claim_to_headers/0/header", "a header name"),
        ("/claim_to_headers/0/claim/0", text),
        ("/rules/0/match/path_prefix", text),
        ("/rules/1/match/path", text),
        ("/rules/1/match/methods/0", "a method in upper case"),
        ("/rules/2/requires/providers/0", text),
        ("/rules/2/requires/scopes_all/0", "one scope"),
        ("/rules/2/requires/scopes_any/0", "one scope"),
        ("/rules/2/requires/groups_any/0", text),
        ("/errors/realm", plain),
        ("/errors/login_redirect/to", plain),
        ("/errors/login_redirect/return_to_param", "a name of letters"),
    ] {
        for value in [json!(""), json!(7), json!(false), json!(["a"]), json!({"env": "EMPTY"})] {
            refused(&[(pointer, value, accepted)]);
        }
    }
}

#[test]
fn texts_of_a_certain_form() {
    refused(&[
        ("/services/users/upstream", json!("http://users"), "Envoy: the name of a cluster"),
        ("/services/users/upstream", json!("users:80/x"), "host:port"),
        ("/services/users/upstream", json!("us ers"), "host:port"),
        ("/services/users/upstream", json!("users:0"), "a port from 1 to 65535"),
        ("/services/users/upstream", json!("users:70000"), "a port from 1 to 65535"),
        ("/services/users/upstream", json!("[::1]:65536"), "a port from 1 to 65535"),
        ("/services/users/upstream", json!("u\"s"), "printable ASCII"),
        ("/services/users/authority", json!("a/b"), "host or host:port"),
        ("/services/users/authority", json!("me@host"), "host or host:port"),
        ("/services/users/authority", json!("host:99999"), "host or host:port"),
        ("/services/users/authority", json!("é"), "printable ASCII"),
        ("/providers/shop/algorithms/0", json!("none"), "RS256 | RS384"),
        ("/providers/shop/algorithms/0", json!("rs256"), "RS256 | RS384"),
        ("/providers/shop/algorithms/0", json!("ES224"), "ES256 | ES384"),
        ("/providers/shop/token_types/0", json!("identity+jwt"), "types of access tokens"),
        ("/providers/shop/token_types/0", json!("application/TxnToken+JWT"), "types of access"),
        ("/providers/shop/token_types/0", json!("Logout+JWT"), "types of access"),
        ("/providers/shop/token_types/0", json!("application/secevent+jwt"), "types of access"),
        ("/providers/shop/token_types/0", json!("application/at"), "the whole type, at+jwt"),
        (
            "/revocation/events/transmitters/0/token_types/0",
            json!("secevent"),
            "the whole type, secevent+jwt",
        ),
        ("/providers/shop/remote_jwks/service", json!("other"), "one of services: auth, users"),
        ("/providers/shop/remote_jwks/path", json!("jwks"), "starts with /"),
        ("/providers/shop/remote_jwks/path", json!("/a b"), "starts with /"),
        ("/providers/shop/remote_jwks/path", json!("/a#b"), "starts with /"),
        (
            "/providers/shop/remote_jwks/path",
            json!("https://a.example/jwks"),
            "a path that starts with /; the host and the port of a service are its upstream and",
        ),
        (
            "/user_info/path",
            json!("https://a.example/users/{sub}"),
            "are its upstream and authority",
        ),
        ("/providers/shop/issuer", json!("https://auth.shop.example "), "without spaces around it"),
        ("/providers/shop/required_claims/tenant/0", json!(null), "a string, a number"),
        ("/providers/shop/required_claims/tenant/0", json!({}), "a string, a number"),
        ("/token/from_headers/0/name", json!(":path"), "a header name"),
        ("/token/from_headers/0/name", json!("x y"), "a header name"),
        ("/token/from_headers/0/name", json!("host"), "a header name"),
        ("/token/from_headers/0/value_prefix", json!(7), "printable ASCII"),
        ("/token/from_headers/0/value_prefix", json!("é "), "printable ASCII"),
        ("/token/from_cookies/0", json!("a=b"), "a name of letters"),
        ("/token/from_params/0", json!("a&b"), "a name of letters"),
        ("/consumers/entries/0/username", json!("a\nb"), "without control characters"),
        ("/consumers/entries/0/groups/0", json!("a\u{85}"), "without control characters"),
        ("/consumers/anonymous", json!("a\tb"), "without control characters"),
        ("/user_info/service", json!("user"), "one of services: auth, users"),
        ("/user_info/path", json!("users/{sub}"), "a path such as"),
        ("/user_info/path", json!("/users/{sub"), "a path such as"),
        ("/user_info/path", json!("/users/{}"), "a path such as"),
        ("/user_info/path", json!("/a b"), "a path such as"),
        ("/user_info/subject_pointer", json!("sub"), "a JSON pointer"),
        ("/user_info/subject_pointer", json!("/~2"), "a JSON pointer"),
        ("/user_info/claims/country", json!("/a~"), "a JSON pointer"),
        ("/user_info/path", json!("/users/{provider}/{sub}"), "{iss} for the issuer"),
        ("/consumers/claim/0", json!("$.azp"), "a JSON pointer such as"),
        ("/user_info/required/0", json!("email"), "one of claims: country, customer_type"),
        ("/identity_token/header", json!("connection"), "a header name"),
        ("/identity_token/header", json!("Cookie"), "a header of your own"),
        ("/identity_token/header", json!("content_type"), "a header of your own"),
        ("/identity_token/header", json!(":path"), "a header name"),
        ("/identity_token/subject", json!("{iss}:{sub}"), "{provider}:{sub}"),
        ("/identity_token/claims/copy/0", json!(""), "a claim"),
        ("/identity_token/claims/copy/0", json!(7), "a list"),
        ("/identity_token/claims/copy/0", json!([]), "at least one element"),
        ("/identity_token/claims/copy/0", json!("/a~"), "a JSON pointer"),
        ("/identity_token/claims/copy/0", json!("/sub"), "does not decide itself"),
        ("/identity_token/claims/copy/0", json!(["consumer", "id"]), "does not decide itself"),
        ("/identity_token/claims/copy/0", json!("consumer.id"), "does not decide itself"),
        ("/identity_token/claims/set/origin", json!({}), "does not decide itself"),
        ("/identity_token/claims/set/consumer.id", json!("a"), "does not decide itself"),
        ("/user_info/claims/consumer.id", json!("/a"), "names of other claims"),
        ("/consumers/claim/0", json!(""), "a claim"),
        ("/consumers/claim/0", json!([]), "at least one element"),
        ("/consumers/entries/0/providers", json!([]), "at least one element"),
        ("/consumers/entries/0/providers/0", json!("else"), "one of providers: legacy, shop"),
        ("/claim_to_headers/0/header", json!("cookie"), "a header of your own"),
        ("/claim_to_headers/0/header", json!("Forwarded"), "a header of your own"),
        ("/claim_to_headers/0/header", json!("X-Original-URL"), "a header of your own"),
        ("/claim_to_headers/0/header", json!("x_forwarded_for"), "a header of your own"),
        ("/claim_to_headers/0/header", json!("x-real-ip"), "a header of your own"),
        ("/identity_token/header", json!("x-request-id"), "a header of your own"),
        ("/identity_token/header", json!("x-envoy-original-path"), "a header of your own"),
        ("/claim_to_headers/0/header", json!(":authority"), "a header name"),
        ("/claim_to_headers/0/header", json!("te"), "a header name"),
        ("/rules/2/requires/claims/role/0", json!(1e20), "below 2^53"),
        ("/identity_token/jwks_path", json!("/a?b"), "without a query"),
        ("/identity_token/jwks_path", json!("a"), "starts with /"),
        ("/identity_token/signing_keys/0/sign_from", json!("tomorrow"), "2026-01-31T12:00:00Z"),
        ("/identity_token/signing_keys/0/sign_from", json!(true), "2026-01-31T12:00:00Z"),
        ("/identity_token/signing_keys/0/retire_at", json!("2026-13-01T00:00:00Z"), "2026-01-31"),
        ("/identity_token/signing_keys/0/retire_at", json!(1e300), "seconds since 1970"),
        ("/claim_to_headers/0/header", json!("transfer-encoding"), "a header name"),
        ("/claim_to_headers/0/claim", json!(7), "a list"),
        ("/rules/0/match/path_prefix", json!("login"), "starts with /"),
        ("/rules/0/match/path_prefix", json!("/a?b"), "without a query"),
        ("/rules/1/match/path", json!("/a#b"), "without a query"),
        ("/rules/1/match/methods/0", json!("get"), "a method in upper case"),
        ("/rules/2/requires/providers/0", json!("other"), "one of providers: legacy, shop"),
        ("/rules/2/requires/scopes_all/0", json!("a b"), "without spaces"),
        ("/rules/2/requires/scopes_any/0", json!("a\"b"), "one scope"),
        ("/rules/2/requires/claims/role/0", json!(["a"]), "a string, a number"),
        (
            "/rules/2/requires/claims/role",
            json!("admin"),
            "present | absent, or a list of accepted values, such as [admin]",
        ),
        (
            "/rules/2/requires/claims/role",
            json!({"equals": ["admin"], "contains": ["admin"]}),
            "one of the two",
        ),
        ("/rules/2/requires/claims/role", json!({"equals": null}), "one of the two"),
        ("/rules/2/requires/claims/role", json!(true), "a list"),
        ("/rules/2/requires/claims/origin.provider", json!(["shop"]), "requires.providers"),
        ("/rules/2/requires/claims/consumer.username", json!("absent"), "requires.consumers"),
        ("/providers/shop/required_claims/tenant", json!("absent"), "a list"),
        ("/rules/0/match/path_prefix", json!("/users/{id}"), "without a query, //, dot segments"),
        ("/rules/0/match/path_prefix", json!("/a/../b"), "dot segments"),
        ("/rules/1/match/path", json!("/a%2Fb"), "an encoded slash"),
        ("/rules/1/match/path", json!("/a;b"), "without a query"),
        ("/rules/3/match/path_template", json!("/users/{id"), "a path such as /users/{id}/orders"),
        ("/rules/3/match/path_template", json!("/a/**/b"), "a path such as /users/{id}/orders"),
        ("/rules/3/match/path_template", json!("/{a}/{a}"), "a path such as /users/{id}/orders"),
        ("/rules/3/match/hosts/0", json!("api.shop.example:443"), "without a port"),
        ("/rules/3/match/hosts/0", json!("https://api.shop.example"), "a host such as"),
        ("/rules/3/match/hosts/0", json!("*"), "a host such as"),
        ("/rules/3/match/hosts/0", json!("*."), "a host such as"),
        ("/rules/3/match/hosts/0", json!("api.*.example"), "a host such as"),
        ("/rules/3/match/hosts/0", json!("*.[::1]"), "a host such as"),
        ("/rules/3/match/hosts/0", json!("shop.example."), "a host such as"),
        ("/rules/3/match/hosts/0", json!(7), "a host such as"),
        ("/rules/3/match/headers/0/name", json!("host"), "a header name"),
        ("/rules/3/match/headers/0/name", json!(":path"), "a header name"),
        ("/rules/3/match/headers/0/value", json!(" read"), "a header value"),
        ("/rules/3/match/headers/0/value", json!("a\nb"), "a header value"),
        ("/rules/3/policy", json!("nobody"), "one of policies: staff"),
        ("/token/csrf/allowed_origins/0", json!("app.shop.example"), "an origin"),
        ("/token/csrf/allowed_origins/0", json!("https://app.shop.example/"), "an origin"),
        ("/token/csrf/allowed_origins/0", json!("https://app.shop.example:443"), "an origin"),
        ("/token/csrf/allowed_origins/0", json!("http://app.shop.example:80"), "an origin"),
        ("/token/csrf/allowed_origins/0", json!("https://*.shop.example"), "an origin"),
        ("/token/csrf/allowed_origins/0", json!("https://app.shop.example:99999"), "an origin"),
        ("/token/csrf/allowed_origins/0", json!("*"), "an origin"),
        ("/token/csrf/allowed_origins/0", json!("null"), "an origin"),
        ("/errors/realm", json!("a\"b"), "without quotes"),
        ("/errors/realm", json!("a".repeat(257)), "up to 256 bytes"),
        ("/errors/login_redirect/to", json!("//evil.example"), "starts with one slash"),
        ("/errors/login_redirect/to", json!("/\\evil.example"), "without quotes or backslashes"),
        ("/errors/login_redirect/to", json!("http://login.example"), "an https URL"),
        ("/errors/login_redirect/to", json!("javascript:alert(1)"), "an https URL"),
        ("/errors/login_redirect/to", json!("/login#x"), "an https URL"),
        ("/errors/login_redirect/to", json!("/a/../login"), "without dot segments"),
        ("/errors/login_redirect/to", json!("/a//login?a=b"), "without dot segments"),
        ("/errors/login_redirect/return_to_param", json!("a&b"), "a name of letters"),
    ]);
}

#[test]
fn what_must_be_there() {
    for (pointer, accepted) in [
        ("/providers", "an object of providers by name"),
        ("/identity_token", "an object"),
        ("/services/users/upstream", "Envoy: the name of a cluster; Kong: host:port"),
        ("/providers/shop/issuer", "the iss of its tokens"),
        ("/providers/shop/remote_jwks/service", "the name of one of services"),
        ("/providers/shop/remote_jwks/path", "a path that starts with /"),
        ("/providers/legacy/local_jwks/keys", "a list of JWKs"),
        ("/token/from_headers/0/name", "a header name"),
        ("/consumers/entries/0/key", "the value of the selecting claim"),
        ("/user_info/service", "the name of one of services"),
        ("/user_info/path", "a path such as /users/{sub}"),
        ("/identity_token/issuer", "the iss of identity tokens"),
        ("/identity_token/audiences", "a list of audiences"),
        ("/identity_token/signing_keys", "a list of keys"),
        ("/identity_token/signing_keys/0/algorithm", "ES256 | EdDSA"),
        (
            "/identity_token/signing_keys/0/private_key",
            "a private JWK, a PKCS#8 PEM, or {env: NAME}",
        ),
        ("/claim_to_headers/0/header", "a header name"),
        ("/claim_to_headers/0/claim", "a claim"),
        ("/rules/0/match", "path, path_prefix, path_starts_with or path_template"),
        ("/errors/login_redirect/to", "a path that starts with one slash, or an https URL"),
    ] {
        for absent in [Some(Value::Null), None] {
            let mut config = with(&[(pointer, json!(null))]);
            if absent.is_none() {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
            }
            let problems = load(&config.to_string()).expect_err(pointer);
            let [[at, found, what]] = problems.as_slice() else {
                panic!("{pointer}: {problems:#?}")
            };
            assert_eq!((at.as_str(), found.as_str()), (path(pointer).as_str(), "nothing"));
            assert!(what.contains(accepted), "{pointer}: {what}");
        }
    }
}

/// One problem, not one for each field.
#[test]
fn a_provider_without_a_name() {
    let provider = complete()["providers"]["shop"].clone();
    let found = problems(&[("/providers", provider), ("/rules", json!([]))]);
    let [[path, found, accepted]] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((path.as_str(), found.as_str()), ("$.providers", "the fields of a provider"));
    assert!(accepted.contains("such as NAME: {issuer: ...}"), "{accepted}");
}

#[test]
fn unknown_fields_at_every_level() {
    for (parent, known) in [
        ("", "services, consumers"),
        ("/services/users", "upstream, authority"),
        ("/providers/shop", "kind, issuer"),
        ("/providers/shop/remote_jwks", "service, path"),
        ("/providers/legacy/local_jwks", "keys"),
        ("/token", "from_headers"),
        ("/token/from_headers/0", "name, value_prefix"),
        ("/consumers", "claim, client_id_claims, groups_claims, entries"),
        ("/consumers/entries/0", "key, providers, id"),
        ("/user_info", "service, path"),
        ("/user_info/cache", "ttl_seconds"),
        ("/identity_token", "header, subject, issuer"),
        ("/identity_token/claims", "copy, set"),
        ("/identity_token/signing_keys/0", "algorithm, private_key"),
        ("/claim_to_headers/0", "header, claim, format"),
        ("/rules/0", "match, bypass, requires, policy, identity"),
        ("/rules/2/identity", "header, audiences, scopes, ttl_seconds, claims, forward"),
        ("/rules/2/requires/actor", "client_id, sub, max_depth"),
        (
            "/rules/0/match",
            "path, path_prefix, path_starts_with, path_template, methods, hosts, headers, mcp",
        ),
        ("/rules/2/requires", "audiences, providers, scopes_all"),
        ("/resources/0", "resource, name"),
        ("/revocation/events", "path, forward, transmitters"),
        ("/errors", "realm, format"),
        ("/errors/login_redirect", "to, return_to_param"),
        ("/limits", "max_token_bytes"),
        ("/access_log", "properties"),
    ] {
        let pointer = format!("{parent}/no_such_field");
        let got = problems(&[(&pointer, json!(1))]);
        let [[at, found, what]] = got.as_slice() else { panic!("{parent}: {got:#?}") };
        assert_eq!((at.as_str(), found.as_str()), (path(&pointer).as_str(), "an unknown field"));
        assert!(what.starts_with(&format!("only the fields {known}")), "{parent}: {what}");
        let mut names: Vec<_> = what.trim_start_matches("only the fields ").split(", ").collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{parent}: each name once: {what}");
    }
}

#[test]
fn features_of_later_versions() {
    refused(&[
        ("/identity_token/profile", json!("passport"), "identity | txn_token"),
        ("/mode", json!("observe"), "enforce | shadow"),
        ("/crypto", json!("host"), "auto | module"),
    ]);
}

#[test]
fn transaction_tokens() {
    let with = |pointer: &'static str, value: Value| {
        [
            ("/identity_token/profile", json!("txn_token")),
            ("/identity_token/header", Value::Null),
            ("/identity_token/audiences", json!(["shop.internal"])),
            ("/rules/2/identity", json!({"scopes": ["a"]})),
            (pointer, value),
        ]
    };
    for (pointer, value, at, accepted) in [
        ("/identity_token/header", json!("x-identity-token"), "header", "txn-token"),
        ("/identity_token/header", json!("authorization"), "header", "txn-token"),
        ("/identity_token/audiences", json!(["a.internal", "b.internal"]), "audiences", "one"),
        ("/identity_token/claims/copy", json!(["txn"]), "claims.copy", "claims without txn"),
        ("/identity_token/req_wl", json!("a\"b"), "req_wl", "printable"),
        ("/identity_token/pem_path", json!("/a?b"), "pem_path", "without a query"),
        ("/identity_token/discovery_path", json!("a"), "discovery_path", "/"),
        ("/identity_token/pem_path", json!("/.well-known/gatepass/jwks.json"), "", "of its own"),
        ("/identity_token/replace", json!({}), "replace.from", "the networks of the services"),
        ("/identity_token/replace", json!({"from": []}), "replace.from", "at least one"),
        (
            "/identity_token/replace",
            json!({"from": ["10.0.0.1/8"]}),
            "replace.from[0]",
            "10.0.0.0/8",
        ),
    ] {
        let got = problems(&with(pointer, value));
        let [[path, _, what]] = got.as_slice() else { panic!("{pointer}: {got:#?}") };
        let at = if at.is_empty() { String::new() } else { format!(".{at}") };
        assert_eq!(*path, format!("$.identity_token{at}"), "{pointer}");
        assert!(what.contains(accepted), "{pointer}: {what}");
    }
    for (pointer, value) in [
        ("/identity_token/header", json!("Txn-Token")),
        ("/identity_token/req_wl", json!("apigateway.shop.internal")),
        ("/identity_token/replace", json!({"from": ["10.0.0.0/8", "::1"]})),
        ("/identity_token/claims/copy", json!(["act", "azp"])),
    ] {
        assert_eq!(problems(&with(pointer, value)), [] as [[String; 3]; 0], "{pointer}");
    }
    for (pointer, value, at, found) in [
        (
            "/identity_token/scopes",
            Value::Null,
            ".identity_token.profile",
            "txn_token without scopes",
        ),
        ("/identity_token/scopes", json!([]), ".identity_token.scopes", "an empty list of scopes"),
        (
            "/rules/2/identity",
            json!({"scopes": []}),
            ".rules[2].identity.scopes",
            "an empty list of scopes",
        ),
        (
            "/rules/2/identity",
            json!({"audiences": ["orders"]}),
            ".rules[2].identity.audiences",
            "profile txn_token",
        ),
        (
            "/rules/2/identity",
            json!({"header": "x-orders"}),
            ".rules[2].identity.header",
            "profile txn_token",
        ),
    ] {
        let got = problems(&with(pointer, value));
        let [[path, what, _]] = got.as_slice() else { panic!("{pointer}: {got:#?}") };
        assert_eq!(
            (path.as_str(), what.contains(found)),
            (format!("${at}").as_str(), true),
            "{what}"
        );
    }
    let hosts = [
        ("/consumers/kong", json!("id")),
        ("/consumers/kong_providers", json!(["shop"])),
        ("/identity_token/replace", json!({"from": ["10.0.0.0/8"]})),
    ];
    let edits = [&with("/identity_token/header", Value::Null)[..], &hosts].concat();
    let got = problems(&edits);
    let [[path, found, _]] = got.as_slice() else { panic!("{got:#?}") };
    assert_eq!(path, "$.consumers.kong");
    assert_eq!(found, "consumers.kong beside identity_token.replace");
    // Each rule for itself, the last one for all.
    let own = json!([
        {"match": {"path": "/a"}, "bypass": true},
        {"match": {"path": "/b"}, "identity": {"scopes": ["b"]}},
        {"match": {}, "identity": {"scopes": ["all"]}},
    ]);
    let edits = [&with("/rules", own)[..], &[("/identity_token/scopes", Value::Null)]].concat();
    assert_eq!(problems(&edits), [] as [[String; 3]; 0]);
    refused(&[("/identity_token/req_wl", json!("gateway"), "nothing, but with profile txn_token")]);
    let got = problems(&[
        ("/identity_token/issuer", json!("gateway")),
        ("/identity_token/discovery_path", json!("/d")),
    ]);
    assert!(got.iter().any(|[_, found, _]| found.contains("an issuer that is no URL")), "{got:?}");
    let replace = (
        "/identity_token/replace",
        json!({"from": ["::1"]}),
        "nothing, but with profile txn_token",
    );
    refused(&[replace]);
    for pointer in ["/identity_token/header", "/claim_to_headers/0/header"] {
        let got = problems(&[(pointer, json!("txn-token"))]);
        assert!(got.iter().any(|[_, found, _]| found.contains("for two things")), "{got:?}");
    }
}

#[test]
fn introspection() {
    refused(&[
        ("/providers/shop/introspection/service", json!("x"), "one of services"),
        ("/providers/shop/introspection/path", json!("i"), "a path that starts with /"),
        ("/providers/shop/introspection/client_id", json!(""), "not empty"),
        (
            "/providers/shop/introspection/client_secret",
            json!({"env": "NONE"}),
            "set and passed on to the filter",
        ),
        ("/providers/shop/introspection/token_type_hint", json!("a\"b"), "printable ASCII"),
        ("/providers/shop/introspection/require_issuer", json!(0), "true or false"),
        ("/providers/shop/introspection/secret", json!("x"), "only the fields service, path"),
    ]);
    let other = with(&[]).pointer("/providers/shop/introspection").cloned().unwrap();
    let got = problems(&[("/providers/legacy/introspection", other)]);
    let [[at, found, _]] = got.as_slice() else { panic!("{got:#?}") };
    assert_eq!((at.as_str(), found.as_str()), ("$.providers", "introspection in two providers"));
}

#[test]
fn revocation() {
    refused(&[
        ("/revocation/feed/service", json!("x"), "one of services"),
        ("/revocation/feed/path", json!("r"), "a path that starts with /"),
        (
            "/revocation/feed",
            json!({"service": "auth", "path": "/r", "poll_seconds": 300}),
            "above poll_seconds",
        ),
        ("/revocation/endpoint/path", json!("/r?x=1"), "a path without a query"),
        ("/revocation/endpoint/requires", json!({}), "who may revoke"),
        ("/revocation/endpoint/requires", json!({"groups_none": ["a"]}), "who may revoke"),
        ("/revocation/endpoint/requires", json!({"claims": {"act": "absent"}}), "who may revoke"),
        (
            "/revocation/endpoint/requires",
            json!({"scopes_all": ["a"], "allow_missing": true}),
            "who may revoke",
        ),
        ("/revocation/ledger", json!(""), "up to 64 of them"),
        ("/revocation/ledger", json!("a b"), "up to 64 of them"),
        ("/revocation/ledger", json!("shop\n"), "up to 64 of them"),
        ("/revocation/ledger", json!("a".repeat(65)), "up to 64 of them"),
        ("/identity_token/claims/set/shard", json!({"of": [1e20]}), "below 2^53"),
        ("/revocation/failure_mode", json!("ignore"), "deny | allow"),
        ("/revocation", json!({"failure_mode": "deny"}), "feed, allowlist, endpoint"),
        ("/shared_data", json!("on"), "auto | always | never"),
    ]);
}

#[test]
fn bindings() {
    let at = |field: &str| format!("/providers/shop/binding/{field}");
    refused(&[
        ("/providers/shop/binding", json!([]), "an object"),
        ("/providers/shop/binding", json!({}), "mtls, dpop, or both"),
        ("/providers/shop/binding", json!({"mtls": false, "required": true}), "mtls, dpop"),
        (&at("mtls"), json!("yes"), "true, false or {header"),
        (&at("mtls/header"), json!("a b"), "a header name"),
        (&at("mtls/header"), json!("authorization"), "the client's certificate"),
        (&at("mtls/header"), json!("DPoP"), "the client's certificate"),
        (&at("mtls/header"), json!("cookie"), "the client's certificate"),
        (&at("mtls/header"), json!("x-forwarded-for"), "the client's certificate"),
        (&at("mtls/from"), json!([]), "at least one element"),
        (&at("mtls/from/0"), json!("10.0.0.1/8"), "an address or a network"),
        (&at("dpop/nonce_keys"), json!([]), "at least one element"),
        (&at("dpop/nonce_keys/0"), json!("short"), "at least 16 bytes"),
        (&at("dpop/max_age_seconds"), json!(0), "a whole number, 1 to 600"),
        (&at("dpop/public_origin"), json!("https://shop.example/x"), "what clients see"),
        (&at("dpop/public_origin"), json!(7), "what clients see"),
        (&at("dpop/public_origin"), json!("https://shop.example:65536"), "what clients see"),
        (&at("dpop/public_origin"), json!("https://shop.example:0"), "what clients see"),
        (&at("dpop/public_origin"), json!([]), "at least one element"),
        (&at("dpop/other"), json!(1), "only the fields nonce_keys"),
        (&at("required"), json!(1), "true or false"),
    ]);
    let by = |header: &str| json!({"mtls": {"header": header, "from": ["10.0.0.0/8"]}});
    for good in [
        json!({"mtls": true}),
        json!({"dpop": {}}),
        json!({"mtls": true, "dpop": {}}),
        by("x-forwarded-client-cert"),
        by("ssl-client-cert"),
        by("x-amzn-mtls-clientcert"),
    ] {
        let problems = problems(&[("/providers/shop/binding", good.clone())]);
        assert_eq!(problems, [] as [[String; 3]; 0], "{good}");
    }
}

#[test]
fn logouts_and_events() {
    let transmitter = "/revocation/events/transmitters/0";
    let at = |field: &str| format!("{transmitter}/{field}");
    refused(&[
        ("/providers/shop/logout", json!([]), "an object"),
        ("/providers/shop/logout/client_ids", Value::Null, "a list of client ids"),
        ("/providers/shop/logout/client_ids", json!([]), "at least one element"),
        ("/providers/shop/logout/client_ids/0", json!(""), "a string that is not empty"),
        ("/providers/shop/logout/revoke", json!("all"), "sid | sub | both"),
        ("/providers/shop/logout/other", json!(1), "only the fields client_ids, revoke"),
        ("/revocation/logout_path", json!("logout"), "a path that starts with /"),
        ("/revocation/logout_path", json!(true), "a path that starts with /"),
        ("/revocation/logout_path", json!("/l?x"), "a path without a query"),
        ("/revocation/events/path", json!("/e?x"), "a path without a query"),
        ("/revocation/events/transmitters", json!([]), "at least one element"),
        (&at("issuer"), Value::Null, "the iss of its events"),
        (&at("provider"), json!("other"), "one of providers: legacy, shop"),
        (&at("provider"), Value::Null, "the provider whose tokens are meant"),
        (&at("audiences"), Value::Null, "the aud of its events"),
        (&at("algorithms"), json!(["HS256"]), "asymmetric algorithms"),
        (&at("token_types/0"), json!("at+jwt"), "types of security events"),
        (&at("token_types/0"), json!("identity+jwt"), "types of security events"),
        (&at("authorization"), json!(7), "{env: NAME}"),
        (&at("revoke"), json!("all"), "sid | sub | both"),
        (&at("clock_skew_seconds"), json!(301), "a whole number, 0 to 300"),
        (&at("remote_jwks/service"), json!("x"), "one of services"),
        ("/revocation/events/forward/service", json!("x"), "one of services"),
        ("/revocation/events/forward/service", Value::Null, "the name of one of services"),
        ("/revocation/events/forward/path", json!("x"), "a path"),
        ("/revocation/events/forward/path", Value::Null, "a path that starts with /"),
        ("/revocation/events/forward/entries", json!(1), "only the fields service, path"),
    ]);
    let no_keys = at("remote_jwks");
    for (edits, path, accepted) in [
        (
            vec![(no_keys.as_str(), Value::Null)],
            "$.revocation.events.transmitters[0]",
            "one of local_jwks, remote_jwks and discovery",
        ),
        (
            vec![
                ("/revocation/events/transmitters", Value::Null),
                ("/revocation/events/forward", Value::Null),
            ],
            "$.revocation.events.transmitters",
            "a list of those who send events",
        ),
        (
            vec![
                ("/revocation/events/transmitters", Value::Null),
                ("/revocation/logout_path", Value::Null),
                ("/providers/shop/logout", Value::Null),
            ],
            "$.revocation",
            "events.transmitters or logout_path beside it",
        ),
        (vec![("/providers/shop/logout", Value::Null)], "$.revocation", "logout in a provider"),
        (
            vec![("/revocation/logout_path", Value::Null)],
            "$.providers",
            "revocation.logout_path beside it",
        ),
        (
            vec![("/revocation/logout_path", json!("/.well-known/gatepass/events"))],
            "$.revocation",
            "a path of its own",
        ),
        (
            vec![("/revocation/events/path", json!("/.well-known/gatepass/jwks.json"))],
            "$.revocation",
            "a path of its own",
        ),
    ] {
        let got = problems(&edits);
        let [[at, _, what]] = got.as_slice() else { panic!("{edits:?}: {got:#?}") };
        assert_eq!(at, path, "{edits:?}");
        assert!(what.contains(accepted), "{edits:?}: {what}");
    }
}

#[test]
fn discovery() {
    let with = |changes: Value| {
        let mut discovery = json!({"service": "auth", "path": "/d", "jwks_service": "users"});
        for (name, value) in changes.as_object().unwrap() {
            discovery[name] = value.clone();
        }
        [("/providers/shop/remote_jwks", Value::Null), ("/providers/shop/discovery", discovery)]
    };
    assert_eq!(problems(&with(json!({}))), [] as [[String; 3]; 0]);
    assert_eq!(
        problems(&with(json!({"path": null, "jwks_service": null}))),
        [] as [[String; 3]; 0]
    );
    for (field, value, accepted) in [
        ("service", Value::Null, "the name of one of services"),
        ("service", json!("x"), "one of services: auth, users"),
        ("service", json!(7), "a string that is not empty"),
        ("path", json!("d"), "a path that starts with /"),
        ("jwks_service", json!("x"), "one of services: auth, users"),
        ("cache_seconds", json!(0), "a whole number, 1 to 86400"),
        ("max_stale_seconds", json!(-1), "a whole number, 0 to 31536000"),
        ("unknown_kid_cooldown_seconds", json!(0), "a whole number, 1 to 3600"),
        ("issuer", json!("x"), "only the fields service, path, jwks_service"),
    ] {
        let got = problems(&with(json!({ field: value })));
        let [[at, _, what]] = got.as_slice() else { panic!("{field}: {got:#?}") };
        assert_eq!(*at, format!("$.providers.shop.discovery.{field}"));
        assert!(what.contains(accepted), "{field}: {what}");
    }
    // Without an issuer, which the document must name, its own problems are told.
    let mut edits = with(json!({"path": "d"})).to_vec();
    edits.push(("/providers/shop/issuer", Value::Null));
    let paths: Vec<_> = problems(&edits).into_iter().map(|[path, ..]| path).collect();
    assert_eq!(paths, ["$.providers.shop.issuer", "$.providers.shop.discovery.path"]);
}

#[test]
fn sealed_tokens() {
    let form = "32 bytes in base64";
    let login = "/sealed_tokens/logins/0";
    let at = |field: &str| format!("{login}/{field}");
    refused(&[
        ("/sealed_tokens", json!([]), "an object"),
        ("/sealed_tokens/keys", json!(null), "a list of keys"),
        ("/sealed_tokens/keys", json!([]), "at least one element"),
        ("/sealed_tokens/keys", json!([SECRETS[5], SECRETS[5]]), "each key once"),
        ("/sealed_tokens/keys/0", json!("c2hvcnQ="), form),
        ("/sealed_tokens/keys/0", json!("A".repeat(44)), form),
        ("/sealed_tokens/keys/0", json!("hunter2"), form),
        ("/sealed_tokens/keys/0", json!({"env": "USERS_API_KEY"}), form),
        ("/sealed_tokens/keys/0", json!({"env": "NOT_SET"}), "{env: NAME}"),
        ("/sealed_tokens/keys/0", json!(7), "{env: NAME}"),
        ("/sealed_tokens/logins", json!("x"), "a list"),
        (&at("match"), json!(null), "path, path_prefix, path_starts_with or path_template"),
        (&at("match"), json!({}), "path, path_prefix, path_starts_with or path_template"),
        (
            &at("match"),
            json!({"methods": ["POST"]}),
            "path, path_prefix, path_starts_with or path_template",
        ),
        (&at("service"), json!("other"), "one of services"),
        (&at("service"), json!(null), "the name of one of services"),
        (&at("json/0"), json!("access_token"), "a JSON pointer"),
        (&at("json"), json!(["/a", "/a"]), "each place once"),
        (&at("cookies/0"), json!("a=b"), "a name of letters"),
        (&at("cookies"), json!(["a", "a"]), "each place once"),
    ]);
    let nowhere = json!({"match": {"path": "/login"}, "service": "auth"});
    refused(&[(login, nowhere, "where the tokens are")]);
    let got = problems(&[("/token/forward", json!(true))]);
    let [[path, _, accepted]] = got.as_slice() else { panic!("{got:#?}") };
    assert_eq!(path, "$.sealed_tokens");
    assert!(accepted.contains("without token.forward"), "{accepted}");
}

#[test]
fn a_header_that_a_call_has_already() {
    for (service, headers, at) in [
        ("users", json!({"x-api-key": "k"}), "$.user_info.headers"),
        ("auth", json!({"authorization": "Bearer k"}), "$.providers.shop.introspection"),
    ] {
        let got = problems(&[(&format!("/services/{service}/headers"), headers)]);
        let [[path, found, accepted]] = got.as_slice() else { panic!("{got:#?}") };
        assert_eq!((path.as_str(), accepted.as_str()), (at, "one of the two"));
        assert!(found.contains(&format!("services.{service}.headers")), "{found}");
    }
    for name in ["accept", "Content-Type", "user-agent"] {
        let got = problems(&[("/services/users/headers", json!({name: "x"}))]);
        let [[path, found, accepted]] = got.as_slice() else { panic!("{got:#?}") };
        let expected = ("$.services.users.headers", "other headers");
        assert_eq!((path.as_str(), accepted.as_str()), expected, "{name}");
        assert!(found.contains(&name.to_ascii_lowercase()), "{found}");
    }
    let in_form = json!({"service": "auth", "path": "/ask", "client_id": "gateway",
        "client_secret": SECRETS[4], "client_auth": "post"});
    let got = problems(&[
        ("/services/auth/headers", json!({"authorization": "Bearer k"})),
        ("/providers/shop/introspection", in_form),
    ]);
    assert!(got.is_empty(), "{got:#?}");
}

#[test]
fn credentials_of_introspection() {
    let at = |field: &str| format!("/providers/shop/introspection/{field}");
    refused(&[
        (&at("client_auth"), json!("digest"), "basic | basic_raw | post | bearer"),
        (&at("client_id"), json!(null), "the gateway's id"),
        (&at("client_secret"), json!(null), "the gateway's secret"),
        (&at("jwts"), json!("yes"), "true or false"),
    ]);
    let endpoint = |changes: Value| {
        let mut endpoint = json!({"service": "auth", "path": "/ask", "client_id": "gateway",
            "client_secret": SECRETS[4]});
        endpoint.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        endpoint
    };
    refused(&[
        (
            "/providers/shop/introspection",
            endpoint(json!({"client_auth": "basic_raw", "client_id": "a:b"})),
            "without a colon",
        ),
        (
            "/providers/shop/introspection",
            endpoint(json!({"client_auth": "bearer", "client_secret": "a b"})),
            "a bearer token",
        ),
    ]);
    for client_id in [json!(null), json!("gateway")] {
        let bearer = endpoint(json!({"client_auth": "bearer", "client_id": client_id}));
        assert!(problems(&[("/providers/shop/introspection", bearer)]).is_empty());
    }
}

#[test]
fn issuers_of_tenants() {
    let issuer = "/providers/shop/issuer";
    refused(&[
        (issuer, json!("https://id.example/{tenant"), "{claim} is the claim"),
        (issuer, json!("https://id.example/{}"), "{claim} is the claim"),
    ]);
    for (issuer, required, found) in [
        ("https://id.example/{tid}", json!({"tenant": ["acme"]}), "required_claims.tid"),
        ("https://id.example/{tid}", json!({"tid": []}), "required_claims.tid"),
        ("https://id.example/{tid}/{x}", json!({"tid": ["a"]}), "required_claims.x"),
    ] {
        let got = problems(&[
            ("/providers/shop/issuer", json!(issuer)),
            ("/providers/shop/required_claims", required),
        ]);
        let [[path, what, _]] = got.as_slice() else { panic!("{got:#?}") };
        assert!(path == "$.providers.shop" && what.contains(found), "{path}: {what}");
    }
    let template = ("/providers/shop/issuer", json!("https://id.example/{tid}/v2"));
    let required = ("/providers/shop/required_claims", json!({"tid": ["acme"]}));
    for issuer in ["https://id.example/acme/v2", "https://id.example/{tenant}/v2"] {
        let other = json!({"issuer": issuer, "allow_any_audience": true,
            "required_claims": {"tenant": ["a"]}, "algorithms": ["HS256"],
            "local_jwks": {"keys": [{"kty": "oct", "k": SECRETS[1]}]}});
        let edits = [template.clone(), required.clone(), ("/providers/legacy", other)];
        let got = problems(&edits);
        assert!(
            got.iter().any(|[.., accepted]| accepted == "each issuer in one provider"),
            "{got:?}"
        );
    }
    let own = ("/identity_token/issuer", json!("https://id.example/acme/v2"));
    let got = problems(&[template.clone(), required.clone(), own]);
    assert!(
        got.iter().any(|[.., accepted]| accepted == "an issuer of the gateway's own"),
        "{got:?}"
    );
    let servers = ("/resources", json!(null));
    assert_eq!(problems(&[template, required, servers]), [] as [[String; 3]; 0]);
}

#[test]
fn claims_of_clients() {
    refused(&[
        ("/providers/shop/subject_claims", json!([]), "at least one element"),
        ("/providers/shop/subject_claims/0", json!("$.sub"), "a claim"),
        ("/consumers/client_id_claims", json!([]), "at least one element"),
        ("/consumers/groups_claims/0", json!(7), "a list"),
        ("/rules/2/requires/invalid_as_missing", json!(true), "beside allow_missing"),
        ("/token/from_cookies", json!(["session", "session_2"]), "without _1 to _9"),
    ]);
    assert!(problems(&[("/token/from_cookies", json!(["session", "session_10"]))]).is_empty());
}

#[test]
fn consumers_of_kong() {
    let one_of = "custom_id | username | id";
    let both = |field: Value, providers: Value| {
        problems(&[("/consumers/kong", field), ("/consumers/kong_providers", providers)])
    };
    assert!(both(json!("custom_id"), json!(["shop"])).is_empty());
    assert!(both(Value::Null, Value::Null).is_empty(), "null is absent");
    for (case, found, at, accepted) in [
        ("another field", both(json!("tags"), json!(["shop"])), ".kong", one_of),
        ("no provider", both(json!("id"), json!([])), ".kong_providers", "at least one"),
        ("an unknown one", both(json!("id"), json!(["x"])), ".kong_providers[0]", "legacy"),
        (
            "one of two that is not named",
            problems(&[("/consumers/kong", json!("id"))]),
            ".kong_providers",
            "whose tokens may be of Kong's consumers",
        ),
        (
            "providers of nothing",
            problems(&[("/consumers/kong_providers", json!(["shop"]))]),
            ".kong_providers",
            "beside kong",
        ),
        (
            "providers beside null",
            both(Value::Null, json!(["shop"])),
            ".kong_providers",
            "beside kong",
        ),
        (
            "an entry with neither key nor credentials",
            problems(&[(
                "/consumers/entries/0",
                json!({"username": "web", "key": null, "jwt_secrets": null}),
            )]),
            ".entries[0].key",
            "the value of the selecting claim",
        ),
    ] {
        let [[path, _, what]] = found.as_slice() else { panic!("{case}: {found:#?}") };
        assert_eq!(*path, format!("$.consumers{at}"), "{case}");
        assert!(what.contains(accepted), "{case}: {what}");
    }
}
