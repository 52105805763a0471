//! openid-connect, as far as bearer tokens go.

use serde_json::{Value, json};

use super::issuer::{IssuerPlugin, Options, audiences, keys_of};
use crate::convert::envoy::claim_path;
use crate::convert::issuers::DOCUMENT;

/// Options of openid-connect by how they begin: about how it talks to the issuer, logs
/// users in, keeps sessions, and answers.
const OF_OPENID_CONNECT: [&str; 46] = [
    "audience",
    "authorization_",
    "cache_",
    "client_",
    "cluster_cache",
    "discovery_",
    "display_errors",
    "downstream_",
    "enable_hs_signatures",
    "end_session_endpoint",
    "expose_error_code",
    "extra_jwks_uris",
    "forbidden_",
    "hide_credentials",
    "hmac_",
    "http_",
    "https_proxy",
    "id_token_param_",
    "ignore_signature",
    "introspection_",
    "keepalive",
    "login_",
    "logout_",
    "no_proxy",
    "password_param_type",
    "preserve_query_args",
    "pushed_authorization_",
    "redirect_uri",
    "rediscovery_lifetime",
    "redis",
    "refresh_",
    "resolve_distributed_claims",
    "resource",
    "response_",
    "reverify",
    "revocation_",
    "run_on_preflight",
    "scopes",
    "session_",
    "ssl_verify",
    "timeout",
    "token_",
    "unauthorized_",
    "unexpected_redirect_uri",
    "upstream_",
    "userinfo_",
];

/// Options with headers for services.
const UPSTREAM: [&str; 10] = [
    "upstream_access_token_header",
    "upstream_access_token_jwk_header",
    "upstream_id_token_header",
    "upstream_id_token_jwk_header",
    "upstream_introspection_header",
    "upstream_introspection_jwt_header",
    "upstream_refresh_token_header",
    "upstream_session_id_header",
    "upstream_user_info_header",
    "upstream_user_info_jwt_header",
];

pub(super) fn read(mut options: Options<'_>) -> IssuerPlugin {
    let mut plugin = IssuerPlugin::new();
    let issuer = options.text("issuer").unwrap_or_default();
    let stated = issuer.strip_suffix(DOCUMENT).unwrap_or(&issuer).to_owned();
    let keys = keys_of(&issuer);
    let allowed = options.texts("issuers_allowed").filter(|it| !it.is_empty());
    for name in allowed.unwrap_or_else(|| vec![stated]) {
        plugin.issuers.push((name, keys.clone()));
    }
    let methods = options.texts("auth_methods").unwrap_or_default();
    if !methods.is_empty() && !methods.iter().any(|it| it == "bearer") {
        plugin.closed.push("it takes no bearer tokens".to_owned());
    }
    if methods.len() != 1 {
        plugin.notes.push("only bearer tokens are taken, of all its auth_methods".to_owned());
    }
    places(&mut options, &mut plugin);
    for (claims, values, default) in [
        ("scopes_claim", "scopes_required", "scope"),
        ("roles_claim", "roles_required", "roles"),
        ("groups_claim", "groups_required", "groups"),
    ] {
        let claim = options.texts(claims).unwrap_or_else(|| vec![default.to_owned()]);
        let values = options.texts(values);
        plugin.requires(&claim, values, values_name(default));
    }
    let audience = options.texts("audience_claim").unwrap_or_else(|| vec!["aud".to_owned()]);
    let required = options.texts("audience_required");
    audiences(&mut plugin, &audience, required);
    let mapping = (options.texts("consumer_claim"), options.texts("consumer_by"));
    let is_optional = options.flag("consumer_optional", false);
    plugin.maps(mapping.0, mapping.1, is_optional);
    if options.flag("by_username_ignore_case", false) && is_optional {
        plugin.closed.push("it finds optional consumers by names in any case".to_owned());
    }
    let groups = options.texts("authenticated_groups_claim").filter(|it| !it.is_empty());
    plugin.groups_claim = groups
        .map(|names| claim_path(&names.iter().map(String::as_str).collect::<Vec<_>>()).into());
    let (claims, names) =
        (options.texts("upstream_headers_claims"), options.texts("upstream_headers_names"));
    let pairs = names.unwrap_or_default().into_iter().zip(claims.unwrap_or_default());
    plugin.headers = pairs.map(|(name, claim)| (name, Some(Value::from(claim)))).collect();
    plugin.writes(&mut options, &UPSTREAM);
    let leeway = options.number("leeway");
    plugin.skew(leeway);
    if options.text("anonymous").is_some() {
        plugin.notes.push("anonymous is not carried over: a token is needed".to_owned());
    }
    // Here all of them are always verified.
    for name in ["verify_claims", "verify_nonce", "verify_parameters", "verify_signature"] {
        let _ = options.flag(name, true);
    }
    plugin.closed.extend(options.unknown(&OF_OPENID_CONNECT, &defaults()));
    plugin
}

fn defaults() -> Value {
    json!({
        "credential_claim": ["sub"],
        "dpop_proof_lifetime": 300,
        "jwt_session_claim": "sid",
        "proof_of_possession_auth_methods_validation": true,
        "proof_of_possession_dpop": "off",
        "proof_of_possession_mtls": "off",
        "tls_client_auth_ssl_verify": true,
    })
}

/// Where bearer tokens are.
fn places(options: &mut Options<'_>, plugin: &mut IssuerPlugin) {
    let places = options.texts("bearer_token_param_type");
    let has = |place: &str| places.as_ref().is_none_or(|it| it.iter().any(|it| it == place));
    if !has("header") {
        plugin.sources.insert("from_headers".to_owned(), json!([]));
    }
    if has("query") {
        plugin.sources.insert("from_params".to_owned(), json!(["access_token"]));
    }
    if has("body") {
        plugin.notes.push("tokens in a body are not taken".to_owned());
    }
    if let (Some(name), true) = (options.text("bearer_token_cookie_name"), has("cookie")) {
        plugin.sources.insert("from_cookies".to_owned(), json!([name]));
    }
}

fn values_name(claim: &str) -> &'static str {
    match claim {
        "scope" => "scopes_required",
        "roles" => "roles_required",
        _ => "groups_required",
    }
}
