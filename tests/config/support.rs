//! A complete configuration, and ways to spoil it.

use gatepass::config;
use gatepass::pipeline::Settings;
use serde_json::{Value, json};

pub const SECRETS: [&str; 6] = [
    "inline-api-key-hunter2",
    "aW5saW5lLXNoYXJlZC1zZWNyZXQtaHVudGVyMi1pbmxpbmUtc2hhcmVk",
    "env-api-key-hunter2",
    "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    "introspection-hunter2-hunter2",
    "c2VhbC1rZXktaHVudGVyMi1zZWFsLWtleS1odW50ZXI=",
];

/// RFC 7515 appendix A.3.
pub fn signing_key() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": SECRETS[3],
    })
}

/// The configuration of the contract, every field of it that there is today.
pub fn complete() -> Value {
    json!({
        "services": {
            "auth": {"upstream": "auth", "authority": "auth.internal", "scheme": "http",
                "timeout_ms": 1000, "headers": {"x-tenant": {"env": "USERS_API_KEY"}}},
            "users": {"upstream": "users:8080", "authority": "users.internal:80",
                "scheme": "https", "timeout_ms": 500},
        },
        "providers": {
            "shop": {
                "issuer": "https://auth.shop.example",
                "audiences": ["shop-api"],
                "allow_any_audience": false,
                "algorithms": ["RS256", "ES256", "EdDSA"],
                "remote_jwks": {"service": "auth", "path": "/.well-known/jwks.json",
                    "cache_seconds": 600, "max_stale_seconds": 86400,
                    "unknown_kid_cooldown_seconds": 30},
                "clock_skew_seconds": 60,
                "subject_claims": ["sub", "/client_id", ["ext", "id"]],
                "require_expiration": true,
                "max_lifetime_seconds": 86400,
                "token_types": ["at+jwt"],
                "required_claims": {"tenant": ["acme", "umbrella"], "x.y": []},
                "accept_unbound": false,
                "trusted_without_scope": false,
                "introspection": {"service": "auth", "path": "/introspect", "client_id": "gateway",
                    "client_secret": SECRETS[4], "client_auth": "basic", "jwts": false,
                    "token_type_hint": "access_token",
                    "require_issuer": true, "cache": {"ttl_seconds": 30,
                    "negative_ttl_seconds": 5, "max_entries": 10000}},
                "logout": {"client_ids": ["web"], "revoke": "both"},
                "binding": {
                    "mtls": {"header": "x-forwarded-client-cert", "from": ["10.0.0.0/8", "::1"]},
                    "dpop": {"nonce_keys": [SECRETS[0], {"env": "USERS_API_KEY"}],
                        "max_age_seconds": 60, "public_origin": "https://shop.example"},
                    "required": false,
                },
            },
            "legacy": {
                "issuer": "legacy",
                "allow_any_audience": true,
                "algorithms": ["HS256"],
                "local_jwks": {"keys": [{"kty": "oct", "alg": "HS256", "k": SECRETS[1]}]},
            },
        },
        "token": {
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
            "from_cookies": ["session"],
            "from_params": ["access_token"],
            "forward": false,
            "csrf": {"enforce": true, "allowed_origins": ["https://app.shop.example"]},
        },
        "consumers": {
            "claim": ["azp", "client_id", "iss"],
            "client_id_claims": ["azp", "client_id"],
            "groups_claims": ["groups", "realm_access.roles"],
            "entries": [
                {"key": "web", "id": "5c0c", "username": "web-app", "custom_id": "web",
                    "providers": ["shop"], "groups": ["first-party"],
                    "trusted_without_scope": false, "enabled": true},
            ],
            "optional": false,
            "anonymous": "guest",
        },
        "user_info": {
            "service": "users",
            "path": "/users/{sub}",
            "headers": {"x-api-key": SECRETS[0], "x-other": {"env": "USERS_API_KEY"}},
            "forward_token": false,
            "subject_pointer": "/sub",
            "claims": {"country": "/address/country", "customer_type": "/type"},
            "required": ["country"],
            "cache": {"ttl_seconds": 60, "negative_ttl_seconds": 5,
                "stale_if_error_seconds": 300, "max_entries": 10000, "max_bytes": 16_777_216},
            "failure_mode": "deny",
        },
        "identity_token": {
            "header": "x-identity-token",
            "issuer": "https://gateway.shop.internal",
            "audiences": ["shop-services"],
            "scopes": ["a", "b"],
            "ttl_seconds": 300,
            "subject": "{provider}:{sub}",
            "claims": {"copy": ["scope", "azp"], "set": {"env": "prod"}},
            "signing_keys": [{
                "algorithm": "ES256", "private_key": signing_key(), "kid": "one",
                "sign_from": "2026-01-31T12:00:00Z", "retire_at": 1_900_000_000,
            }],
            "jwks_path": "/.well-known/gatepass/jwks.json",
            "profile": "identity",
        },
        "claim_to_headers": [
            {"header": "x-user-country", "claim": ["country"], "format": "text"},
        ],
        "policies": {
            "staff": {"groups_any": ["staff"], "claims": {"act": "absent", "role": "present"}},
        },
        "rules": [
            {"match": {"path_prefix": "/login"}, "bypass": true},
            {"match": {"path": "/health", "methods": ["GET"]}, "bypass": true},
            {"match": {"path_prefix": "/admin"}, "requires": {
                "audiences": ["orders-api"], "providers": ["shop"], "scopes_all": ["admin"], "scopes_any": ["a"],
                "consumers": [], "groups_any": ["staff"], "groups_none": ["partner"],
                "actor": {"client_id": ["planner"], "sub": ["robot"], "max_depth": 2},
                "claims": {"role": ["admin"]}, "allow_missing": false,
                    "invalid_as_missing": false, "bound": false},
                "identity": {"header": {"name": "x-orders-token", "value_prefix": "Bearer "},
                    "audiences": ["orders"], "scopes": ["orders.write"], "ttl_seconds": 1,
                    "claims": ["env"], "forward": false}},
            {"match": {"path_template": "/users/{id}/**", "hosts": ["api.shop.example"],
                "headers": [{"name": "x-mode", "value": "read"},
                    {"name": "x-debug", "present": false}]}, "policy": "staff"},
        ],
        "resources": [
            {"resource": "https://shop.example/mcp", "name": "Shop tools",
                "documentation": "https://shop.example/docs",
                "policy": "https://shop.example/policy", "terms": "https://shop.example/terms",
                "providers": ["shop"], "scopes": ["catalog.read"],
                "audiences": ["https://shop.example/mcp"],
                "identity": {"claims": []}},
            {"resource": "http://localhost:8080/",
                "authorization_servers": ["https://auth.shop.example"]},
        ],
        "revocation": {
            "feed": {"service": "auth", "path": "/revocations", "poll_seconds": 10,
                "max_stale_seconds": 300},
            "allowlist": {"service": "auth", "path": "/allowed"},
            "endpoint": {"path": "/.well-known/gatepass/revocations",
                "requires": {"scopes_all": ["revoke"]}},
            "failure_mode": "deny",
            "max_entries": 100_000,
            "ledger": "shop",
            "logout_path": "/.well-known/gatepass/backchannel-logout",
            "events": {
                "path": "/.well-known/gatepass/events",
                "transmitters": [{
                    "issuer": "https://auth.shop.example", "provider": "shop",
                    "audiences": ["https://gateway.shop.example"],
                    "algorithms": ["RS256"], "clock_skew_seconds": 60,
                    "token_types": ["secevent+jwt", "none"], "revoke": "both",
                    "remote_jwks": {"service": "auth", "path": "/.well-known/jwks.json"},
                    "authorization": SECRETS[0],
                }],
                "forward": {"service": "auth", "path": "/revocations"},
            },
        },
        "sealed_tokens": {
            "keys": [SECRETS[5], {"env": "SEAL_KEY"}],
            "logins": [{"match": {"path": "/login", "methods": ["POST"]}, "service": "auth",
                "json": ["/access_token"], "cookies": ["session"]}],
        },
        "errors": {"realm": "shop", "format": "problem",
            "login_redirect": {"to": "/login", "return_to_param": "return_to"}},
        "limits": {"max_token_bytes": 8192, "token_cache_entries": 10000,
            "token_cache_bytes": 67_108_864, "max_identity_bytes": 7168,
            "max_reply_bytes": 262144, "max_login_bytes": 65536, "end_streams": false, "allow_ambiguous_paths": false,
            "case_sensitive_paths": false},
        "bypass_cors_preflight": true,
        "crypto": "auto",
        "shared_data": "auto",
        "mode": "enforce",
        "access_log": {"properties": true},
    })
}

pub fn environment(name: &str) -> Option<String> {
    match name {
        "USERS_API_KEY" => Some(SECRETS[2].to_owned()),
        "SIGNING_KEY" => Some(signing_key().to_string()),
        "SHARED_SECRET" => Some(SECRETS[1].to_owned()),
        "SEAL_KEY" => Some("A".repeat(43)),
        "EMPTY" => Some(String::new()),
        "TWO_LINES" => Some(format!("{}\n{}", SECRETS[2], SECRETS[2])),
        _ => None,
    }
}

/// What is wrong with a text: path, what was found, what is accepted.
pub fn load(text: &str) -> Result<Settings, Vec<[String; 3]>> {
    let loaded = config::load(text.as_bytes(), &environment, None);
    loaded.map_err(|problems| {
        let shown = problems.to_string();
        assert!(!shown.contains('\n'), "one line: {shown}");
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(!problems.0.is_empty());
        problems.0.into_iter().map(|it| [it.path, it.found, it.accepted]).collect()
    })
}

/// The complete configuration with other values at some JSON pointers.
pub fn with(edits: &[(&str, Value)]) -> Value {
    let mut config = complete();
    for (pointer, value) in edits {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = config.pointer_mut(parent).unwrap_or_else(|| panic!("no {pointer}"));
        match parent {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[name] = value.clone(),
        }
    }
    config
}

/// The problems of [`with`]; none if it is accepted.
pub fn problems(edits: &[(&str, Value)]) -> Vec<[String; 3]> {
    load(&with(edits).to_string()).err().unwrap_or_default()
}

/// The JSON path for a JSON pointer.
pub fn path(pointer: &str) -> String {
    let step = |step: &str| match step.parse::<usize>() {
        Ok(position) => format!("[{position}]"),
        Err(_) => format!(".{step}"),
    };
    format!("${}", pointer.split('/').skip(1).map(step).collect::<String>())
}
