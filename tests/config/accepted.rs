//! What is accepted, and what it comes to.

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn the_complete_configuration() {
    let settings = load(&complete().to_string()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(settings.providers.len(), 2);
    assert!(settings.consumers.by_username("web-app").is_some());
    assert_eq!((settings.user_info_entries, settings.user_info_bytes), (10_000, 16 * 1024 * 1024));
    assert_eq!(settings.limits.max_identity_bytes, 7168);
    assert_eq!(settings.limits.max_reply_bytes, 262_144);
    assert_eq!(settings.limits.max_login_bytes, 65_536);
    assert_eq!(settings.errors.realm.as_deref(), Some("shop"));
    assert!(settings.bypass_cors_preflight);
    assert_eq!(settings.minter.audiences, ["shop-services", "orders"]);
}

/// As short as it gets, and everything else by default.
#[test]
fn the_shortest_configuration() {
    let config = json!({
        "providers": {"shop": {
            "issuer": "i", "audiences": ["a"],
            "local_jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]},
        }},
        "identity_token": {
            "issuer": "g", "audiences": ["s"],
            "signing_keys": [{"algorithm": "ES256", "private_key": signing_key()}],
        },
    });
    let settings = load(&config.to_string()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let (provider, _) = &settings.providers[0];
    assert_eq!(
        provider.algorithms.to_string(),
        "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, ES256K, EdDSA"
    );
    assert_eq!(provider.clock_skew.as_secs(), 60);
    assert!(provider.require_expiration && !provider.accept_unbound);
    assert_eq!((&provider.max_lifetime, &provider.token_types), (&None, &None));
    assert_eq!(settings.sources.headers[0].name.as_str(), "authorization");
    assert_eq!(settings.sources.headers[0].prefix, "Bearer ");
    assert!(!settings.sources.forward && settings.bypass_cors_preflight);
    assert!(settings.user_info.is_none() && settings.errors.login_redirect.is_none());
    assert_eq!(settings.minter.defaults.header.name.as_str(), "x-identity-token");
    assert_eq!(settings.minter.keys.ttl().as_secs(), 300);
    assert_eq!(settings.minter.keys.paths().jwks, "/.well-known/gatepass/jwks.json");
    assert_eq!(settings.limits.max_token_bytes, 8192);
    assert_eq!(settings.limits.token_cache_entries, 10_000);
    assert_eq!(settings.limits.token_cache_bytes, 64 * 1024 * 1024);
}

#[test]
fn other_good_values() {
    let fixtures: Value = serde_json::from_str(include_str!("../fixtures/tokens.json")).unwrap();
    let pem = fixtures["signing"][0]["pem"].clone();
    for (case, edits) in [
        ("a socket", vec![("/services/users/upstream", json!("unix:/run/users.sock"))]),
        ("an address", vec![("/services/users/upstream", json!("[::1]:8080"))]),
        (
            "a cluster of Envoy Gateway",
            vec![("/services/users/upstream", json!("httproute/shop/users/rule/0"))],
        ),
        ("no authority", vec![("/services/users/authority", Value::Null)]),
        (
            "the whole reply as a claim",
            vec![("/user_info/claims", json!({})), ("/user_info/required", json!(["user"]))],
        ),
        ("a path with a query", vec![("/user_info/path", json!("/u?id={sub}&t={org.tenant}"))]),
        ("a claim as text", vec![("/claim_to_headers/0/claim", json!("address.country"))]),
        ("a rule for everything", vec![("/rules/0", json!({"match": {}}))]),
        ("a rule for a consumer", vec![("/rules/2/requires/consumers", json!(["web"]))]),
        (
            "hosts of every kind",
            vec![("/rules/3/match/hosts", json!(["API.shop.example", "*.shop.example", "[::1]"]))],
        ),
        (
            "origins of every kind",
            vec![(
                "/token/csrf/allowed_origins",
                json!(["http://localhost:3000", "capacitor://localhost", "https://[::1]:8443"]),
            )],
        ),
        ("an empty value prefix", vec![("/token/from_headers/0/value_prefix", json!(""))]),
        (
            "a login page elsewhere",
            vec![("/errors/login_redirect/to", json!("https://login.example/?a=b"))],
        ),
        (
            "times in seconds",
            vec![
                ("/identity_token/signing_keys/0/sign_from", json!(1_700_000_000)),
                ("/identity_token/signing_keys/0/retire_at", json!(1_900_000_000.5)),
            ],
        ),
        (
            "a key from the environment",
            vec![("/identity_token/signing_keys/0/private_key", json!({"env": "SIGNING_KEY"}))],
        ),
        (
            "a key as text",
            vec![("/identity_token/signing_keys/0/private_key", json!(signing_key().to_string()))],
        ),
        ("a key in PEM", vec![("/identity_token/signing_keys/0/private_key", pem)]),
        (
            "a shared secret from the environment",
            vec![("/providers/legacy/local_jwks/keys/0/k", json!({"env": "SHARED_SECRET"}))],
        ),
        (
            "sections of null",
            vec![
                ("/user_info", Value::Null),
                ("/rules", Value::Null),
                ("/errors", Value::Null),
                ("/limits", Value::Null),
                ("/token", Value::Null),
                ("/revocation", Value::Null),
                ("/providers/shop/logout", Value::Null),
                ("/sealed_tokens", Value::Null),
            ],
        ),
        ("no login here", vec![("/sealed_tokens/logins", Value::Null)]),
        ("a cookie alone", vec![("/sealed_tokens/logins/0/json", json!([]))]),
        ("a member alone", vec![("/sealed_tokens/logins/0/cookies", json!([]))]),
        (
            "logins below a path",
            vec![("/sealed_tokens/logins/0/match", json!({"path_prefix": "/"}))],
        ),
        (
            "copied although reserved",
            vec![("/identity_token/claims/copy", json!(["scope", "client_id", "act", "txn"]))],
        ),
    ] {
        assert_eq!(problems(&edits), [] as [[String; 3]; 0], "{case}");
    }
}

/// Where a host writes whole numbers as 600.0, so be it.
#[test]
fn whole_numbers_in_any_notation() {
    for text in ["600", "600.0", "6e2", "6E+2"] {
        let config = complete()
            .to_string()
            .replace("\"cache_seconds\":600", &format!("\"cache_seconds\":{text}"));
        assert!(config.contains(&format!(":{text},")), "{text}");
        assert!(load(&config).is_ok(), "{text}");
    }
}
