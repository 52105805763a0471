//! Plugins as `deck gateway dump` writes them: every option, most with Kong's default.

use gatepass_cli::convert::{Selection, convert};
use serde_json::{Value, json};

/// The rules, and the reasons for which nobody passes.
fn made(name: &str, config: &Value) -> (String, Vec<String>) {
    let text = json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "host": "h", "routes": [{"name": "r", "paths": ["/a"]}],
            "plugins": [{
                "name": name, "config": config, "enabled": true,
                "protocols": ["grpc", "grpcs", "http", "https"],
            }]}],
        "consumers": [{"username": "web", "id": "1"}],
    });
    let made = convert(&text.to_string(), &Selection::default())
        .unwrap_or_else(|error| panic!("{error} {config}"));
    let notes = made.notes.iter().map(ToString::to_string);
    let closing = notes.filter(|note| note.contains("nobody passes")).collect();
    (made.configuration["rules"].to_string(), closing)
}

fn closes(name: &str, dump: &Value, option: &str, value: &Value) {
    let mut config = dump.clone();
    config[option] = value.clone();
    let (rules, closing) = made(name, &config);
    assert!(rules.contains("closed-by-convert"), "{name} {option}: {rules}");
    assert!(closing.iter().any(|note| note.contains(option)), "{option}: {closing:#?}");
}

fn passes(name: &str, dump: &Value) {
    let (rules, closing) = made(name, dump);
    assert_eq!(closing, <[String; 0]>::default(), "{name}");
    assert!(!rules.contains("closed-by-convert"), "{name}: {rules}");
}

/// Options that are null or empty where nothing is said.
fn silent(mut dump: Value, names: &[&str]) -> Value {
    for name in names {
        dump[name] = Value::Null;
    }
    dump
}

const OPENID_CONNECT: &str = r#"{
    "audience_claim": ["aud"],
    "auth_methods": ["password", "client_credentials", "authorization_code", "bearer",
        "introspection", "userinfo", "kong_oauth2", "refresh_token", "session"],
    "authorization_cookie_http_only": true, "authorization_cookie_name": "authorization",
    "authorization_cookie_path": "/", "authorization_cookie_same_site": "Default",
    "authorization_rolling_timeout": 600,
    "bearer_token_param_type": ["header", "query", "body"], "by_username_ignore_case": false,
    "cache_introspection": true, "cache_token_exchange": true, "cache_tokens": true,
    "cache_ttl": 3600, "cache_user_info": true, "client_arg": "client_id",
    "client_credentials_param_type": ["header", "query", "body"], "client_id": ["gateway"],
    "client_secret": ["{vault://env/oidc-secret}"],
    "cluster_cache_redis": {"host": "127.0.0.1", "port": 6379, "ssl": false},
    "cluster_cache_strategy": "off", "consumer_by": ["username", "custom_id"],
    "consumer_groups_optional": false, "consumer_optional": false, "credential_claim": ["sub"],
    "display_errors": false, "dpop_proof_lifetime": 300, "dpop_use_nonce": false,
    "enable_hs_signatures": false, "expose_error_code": true, "forbidden_destroy_session": true,
    "forbidden_error_message": "Forbidden", "groups_claim": ["groups"],
    "hide_credentials": true, "http_version": 1.1,
    "id_token_param_type": ["header", "query", "body"], "ignore_signature": [],
    "introspect_jwt_tokens": false, "introspection_accept": "application/json",
    "introspection_check_active": true, "introspection_hint": "access_token",
    "introspection_token_param_name": "token",
    "issuer": "https://a.example/.well-known/openid-configuration", "jwt_session_claim": "sid",
    "keepalive": true, "leeway": 0, "login_action": "upstream",
    "login_methods": ["authorization_code"], "login_redirect_mode": "fragment",
    "login_tokens": ["id_token"], "logout_methods": ["POST", "DELETE"], "logout_revoke": false,
    "logout_revoke_access_token": true, "logout_revoke_refresh_token": true,
    "password_param_type": ["header", "query", "body"], "preserve_query_args": false,
    "proof_of_possession_auth_methods_validation": true, "proof_of_possession_dpop": "off",
    "proof_of_possession_mtls": "off",
    "redis": {"host": "127.0.0.1", "port": 6379, "ssl": false}, "rediscovery_lifetime": 30,
    "refresh_token_param_type": ["header", "query", "body"], "refresh_tokens": true,
    "resolve_distributed_claims": false, "response_mode": "query", "response_type": ["code"],
    "reverify": false, "revocation_token_param_name": "token", "roles_claim": ["roles"],
    "run_on_preflight": true, "scopes": ["openid"], "scopes_claim": ["scope"],
    "search_user_info": false, "session_absolute_timeout": 86400, "session_audience": "default",
    "session_cookie_http_only": true, "session_cookie_name": "session",
    "session_cookie_path": "/", "session_cookie_same_site": "Lax",
    "session_idling_timeout": 900, "session_memcached_host": "127.0.0.1",
    "session_memcached_port": 11211, "session_remember": false,
    "session_remember_absolute_timeout": 2592000, "session_remember_cookie_name": "remember",
    "session_remember_rolling_timeout": 604800, "session_rolling_timeout": 3600,
    "session_storage": "cookie", "session_store_metadata": false, "ssl_verify": true,
    "timeout": 10000, "tls_client_auth_ssl_verify": true,
    "token_cache_key_include_scope": false, "unauthorized_destroy_session": true,
    "unauthorized_error_message": "Unauthorized",
    "upstream_access_token_header": "authorization:bearer",
    "userinfo_accept": "application/json", "using_pseudo_issuer": false, "verify_claims": true,
    "verify_nonce": true, "verify_parameters": false, "verify_signature": true
}"#;

fn openid_connect() -> Value {
    let names = [
        "anonymous",
        "audience",
        "audience_required",
        "authenticated_groups_claim",
        "claims_forbidden",
        "consumer_claim",
        "consumer_groups_claim",
        "disable_session",
        "domains",
        "issuers_allowed",
        "jwt_session_cookie",
        "max_age",
        "mtls_token_endpoint",
        "require_proof_key_for_code_exchange",
        "require_signed_request_object",
        "scopes_required",
        "tls_client_auth_cert_id",
        "upstream_headers_claims",
    ];
    silent(serde_json::from_str(OPENID_CONNECT).unwrap(), &names)
}

#[test]
fn openid_connect_with_its_defaults() {
    let dump = openid_connect();
    passes("openid-connect", &dump);
    for (option, value) in [
        ("claims_forbidden", json!(["act"])),
        ("credential_claim", json!(["azp"])),
        ("domains", json!(["a.example"])),
        ("dpop_proof_lifetime", json!(60)),
        ("introspect_jwt_tokens", json!(true)),
        ("jwt_session_claim", json!("jti")),
        ("max_age", json!(600)),
        ("proof_of_possession_dpop", json!("optional")),
        ("proof_of_possession_mtls", json!("strict")),
        ("using_pseudo_issuer", json!(true)),
    ] {
        closes("openid-connect", &dump, option, &value);
    }
}

/// A consumer that is found here only by its name as it is written may be one that Kong
/// asks more of.
#[test]
fn optional_consumers_in_any_case() {
    let mut dump = openid_connect();
    dump["consumer_claim"] = json!(["sub"]);
    dump["by_username_ignore_case"] = json!(true);
    passes("openid-connect", &dump);
    dump["consumer_optional"] = json!(true);
    let (rules, closing) = made("openid-connect", &dump);
    assert!(rules.contains("closed-by-convert"), "{rules}");
    assert!(closing[0].contains("optional consumers by names in any case"), "{closing:#?}");
}

#[test]
fn jwt_keycloak_with_its_defaults() {
    let dump = json!({
        "algorithm": "RS256", "allowed_iss": ["https://a.example/realms/shop"],
        "claims_to_verify": ["exp"], "consumer_match": false, "consumer_match_claim": "azp",
        "consumer_match_claim_custom_id": false, "consumer_match_ignore_not_found": false,
        "cookie_names": [], "iss_key_grace_period": 10, "maximum_expiration": 0,
        "run_on_preflight": true, "uri_param_names": ["jwt"],
        "well_known_template": "%s/.well-known/openid-configuration",
    });
    let names = ["anonymous", "client_roles", "realm_roles", "roles", "scope"];
    passes("jwt-keycloak", &silent(dump, &names));
}

#[test]
fn jwt_signer_with_its_defaults() {
    let mut dump = json!({
        "access_token_jwks_uri": "https://a.example/keys",
        "access_token_issuers_allowed": ["https://a.example"],
        "access_token_introspection_hint": "access_token",
        "access_token_request_header": "Authorization",
        "access_token_upstream_header": "Authorization:Bearer",
        "enable_hs_signatures": false, "enable_instrumentation": false,
        "add_claims": {}, "set_claims": {},
    });
    for token in ["access_token", "channel_token"] {
        for (option, value) in [
            ("endpoints_ssl_verify", json!(true)),
            ("issuer", json!("kong")),
            ("jwks_uri_rotate_period", json!(0)),
            ("keyset", json!("kong")),
            ("keyset_rotate_period", json!(0)),
            ("optional", json!(false)),
            ("signing", json!(true)),
            ("signing_algorithm", json!("RS256")),
            ("upstream_leeway", json!(0)),
        ] {
            dump[format!("{token}_{option}")] = value;
        }
        for of in [token.to_owned(), format!("{token}_introspection")] {
            dump[format!("{of}_consumer_by")] = json!(["username", "custom_id"]);
            dump[format!("{of}_leeway")] = json!(0);
            dump[format!("{of}_scopes_claim")] = json!(["scope"]);
            for (what, claim) in [
                ("audience", "aud"),
                ("expiry", "exp"),
                ("issuer", "iss"),
                ("notbefore", "nbf"),
                ("subject", "sub"),
            ] {
                dump[format!("{of}_{what}_claim")] = json!([claim]);
                dump[format!("verify_{of}_{what}")] = json!(what != "notbefore");
            }
        }
        dump[format!("cache_{token}_introspection")] = json!(true);
        dump[format!("enable_{token}_introspection")] = json!(true);
        dump[format!("trust_{token}_introspection")] = json!(true);
        dump[format!("verify_{token}_signature")] = json!(true);
        dump[format!("add_{token}_claims")] = json!({});
        dump[format!("remove_{token}_claims")] = json!([]);
    }
    let names = [
        "access_token_consumer_claim",
        "access_token_introspection_endpoint",
        "access_token_required_claims",
        "access_token_subjects_allowed",
        "channel_token_jwks_uri",
        "channel_token_request_header",
        "realm",
    ];
    let dump = silent(dump, &names);
    passes("jwt-signer", &dump);
    for (option, value) in [
        ("access_token_audience_claim", json!(["azp"])),
        ("access_token_expiry_claim", json!(["until"])),
        ("access_token_introspection_endpoint", json!("https://a.example/introspect")),
        ("access_token_issuer_claim", json!(["azp"])),
        ("access_token_optional", json!(true)),
        ("access_token_request_header", json!("X-Token")),
        ("access_token_required_claims", json!([["org"]])),
        ("access_token_subjects_allowed", json!(["alice"])),
        ("channel_token_request_header", json!("X-Channel")),
    ] {
        closes("jwt-signer", &dump, option, &value);
    }
}
