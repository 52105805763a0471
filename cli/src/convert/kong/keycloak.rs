//! jwt-keycloak and jwt-signer.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::issuer::{IssuerPlugin, Options, audiences, claim_of, keys_of};
use crate::convert::condition::with_scope;
use crate::convert::issuers::{DOCUMENT, Keys};
use crate::convert::need::Need;
use crate::convert::url::Url;

pub(super) fn jwt_keycloak(mut options: Options<'_>) -> IssuerPlugin {
    let mut plugin = IssuerPlugin::new();
    for issuer in options.texts("allowed_iss").unwrap_or_default() {
        let keys = keys_of(&issuer);
        plugin.issuers.push((issuer, keys));
    }
    let audiences = options.texts("allowed_aud").filter(|it| !it.is_empty());
    plugin.audiences = audiences.map(|it| it.into_iter().collect());
    let algorithm = options.text("algorithm").unwrap_or_else(|| "RS256".to_owned());
    plugin.options.insert("algorithms".to_owned(), json!([algorithm]));
    plugin.skew(0);
    let longest = options.number("maximum_expiration");
    if longest > 0 {
        plugin.options.insert("max_lifetime_seconds".to_owned(), longest.into());
    }
    let params = options.texts("uri_param_names").unwrap_or_else(|| vec!["jwt".to_owned()]);
    let cookies = options.texts("cookie_names").unwrap_or_default();
    for (name, list) in [("from_params", params), ("from_cookies", cookies)] {
        if !list.is_empty() {
            plugin.sources.insert(name.to_owned(), json!(list));
        }
    }
    roles(&mut plugin, &mut options);
    if options.flag("consumer_match", false) {
        let claim = options.text("consumer_match_claim").unwrap_or_else(|| "azp".to_owned());
        let by =
            if options.flag("consumer_match_claim_custom_id", false) { "custom_id" } else { "id" };
        let is_optional = options.flag("consumer_match_ignore_not_found", false);
        plugin.maps(Some(vec![claim]), Some(vec![by.to_owned()]), is_optional);
    }
    if options.text("anonymous").is_some() {
        plugin.notes.push("anonymous is not carried over: a token is needed".to_owned());
    }
    let harmless = [
        "claims_to_verify",
        "iss_key_grace_period",
        "run_on_preflight",
        "consumer_match_",
        "well_known_template",
    ];
    let template = options.fields.get("well_known_template").and_then(Value::as_str);
    if template.is_some_and(|it| !it.ends_with(DOCUMENT)) {
        plugin.closed.push("its well_known_template leads elsewhere".to_owned());
    }
    plugin.closed.extend(options.unknown(&harmless, &Value::Null));
    plugin
}

/// One of several kinds of roles is enough; rules ask one kind.
fn roles(plugin: &mut IssuerPlugin, options: &mut Options<'_>) {
    let plain = |list: Option<Vec<String>>| -> Option<BTreeSet<String>> {
        let list = list.filter(|it| !it.is_empty())?;
        Some(list.iter().filter_map(|it| pattern(it)).collect())
    };
    let realm = plain(options.texts("realm_roles"));
    let scope = plain(options.texts("scope"));
    let client = options.texts("client_roles").filter(|it| !it.is_empty());
    let own = options.texts("roles").filter(|it| !it.is_empty());
    let kinds = [realm.is_some(), scope.is_some(), client.is_some(), own.is_some()];
    if !kinds.contains(&true) {
        return;
    }
    let of_client = client.and_then(|client| {
        let pairs: Vec<_> = client.iter().filter_map(|it| it.split_once(':')).collect();
        let (name, _) = *pairs.first()?;
        let roles = pairs.iter().filter(|(other, _)| *other == name).map(|it| it.1.to_owned());
        Some(claim_of(&["resource_access", name, "roles"], roles.collect()))
    });
    let realm = realm.filter(|it| !it.is_empty());
    let realm = realm.map(|roles| claim_of(&["realm_access", "roles"], roles));
    let scope = scope.filter(|it| !it.is_empty()).map(with_scope);
    let need = realm.or(scope).or(of_client).unwrap_or(Need::Nobody);
    plugin.notes.push(
        "of scope, roles, realm_roles and client_roles one kind is asked, by plain names"
            .to_owned(),
    );
    plugin.asks(&need);
}

/// The text that a Lua pattern stands for, if it is one.
fn pattern(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => plain.push(rest.next().filter(char::is_ascii_punctuation)?),
            '^' | '$' | '(' | ')' | '.' | '[' | ']' | '*' | '+' | '-' | '?' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Options of jwt-signer with headers for services.
const UPSTREAM: [&str; 4] = [
    "access_token_upstream_header",
    "channel_token_upstream_header",
    "original_access_token_upstream_header",
    "original_channel_token_upstream_header",
];

pub(super) fn jwt_signer(mut options: Options<'_>) -> IssuerPlugin {
    let mut plugin = IssuerPlugin::new();
    let uri = options.text("access_token_jwks_uri");
    let keys = uri.and_then(|uri| Url::parse(&uri)).map_or_else(
        || Err("its access_token_jwks_uri is not a URL".to_owned()),
        |url| Ok(Keys::Fetched { upstream: None, url, timeout_ms: None, cache_seconds: None }),
    );
    let issuers = options.texts("access_token_issuers_allowed").unwrap_or_default();
    if issuers.is_empty() {
        plugin.closed.push(
            "it does not ask who issued a token: give it access_token_issuers_allowed first".into(),
        );
    }
    plugin.issuers = issuers.into_iter().map(|issuer| (issuer, keys.clone())).collect();
    let required = options.texts("access_token_audiences_allowed");
    audiences(&mut plugin, &["aud".to_owned()], required);
    let claim = options.texts("access_token_scopes_claim").unwrap_or_else(|| vec!["scope".into()]);
    let scopes = options.texts("access_token_scopes_required");
    plugin.requires(&claim, scopes, "access_token_scopes_required");
    let mapping =
        (options.texts("access_token_consumer_claim"), options.texts("access_token_consumer_by"));
    plugin.maps(mapping.0, mapping.1, false);
    plugin.skew(options.number("access_token_leeway"));
    let header = options.text("access_token_request_header").map(|it| it.to_ascii_lowercase());
    if header.is_some_and(|it| it != "authorization" && it != "authorization:bearer") {
        plugin.closed.push("its access_token_request_header is another one".to_owned());
    }
    plugin.writes(&mut options, &UPSTREAM);
    // That of the token that it signs.
    let _ = options.text("access_token_issuer");
    let harmless = [
        "access_token_introspection_consumer_by",
        "access_token_jwks_uri_",
        "access_token_keyset",
        "access_token_signing",
        "access_token_upstream_",
        "access_token_consumer_",
        "add_",
        "cache_access_token_",
        "cache_channel_token_",
        "channel_token_introspection_consumer_by",
        "channel_token_issuer",
        "channel_token_keyset",
        "channel_token_signing",
        "channel_token_upstream_",
        "channel_token_consumer_by",
        "realm",
        "set_",
        "trust_access_token_",
        "trust_channel_token_",
        "enable_hs_signatures",
        "enable_instrumentation",
        "verify_",
        "original_",
        "remove_",
    ];
    plugin.closed.extend(options.unknown(&harmless, &defaults_of_signer()));
    plugin.notes.push("the identity token is another token than its signed one".to_owned());
    plugin
}

fn defaults_of_signer() -> Value {
    let mut all = Map::new();
    for token in ["access_token_", "channel_token_"] {
        all.insert(format!("{token}endpoints_ssl_verify"), json!(true));
        all.insert(format!("{token}jwks_uri_rotate_period"), json!(0));
        all.insert(format!("enable_{token}introspection"), json!(true));
        for of in [token.to_owned(), format!("{token}introspection_")] {
            all.insert(format!("{of}leeway"), json!(0));
            for (what, claim) in [
                ("audience", "aud"),
                ("expiry", "exp"),
                ("issuer", "iss"),
                ("notbefore", "nbf"),
                ("scopes", "scope"),
                ("subject", "sub"),
            ] {
                all.insert(format!("{of}{what}_claim"), json!([claim]));
            }
        }
    }
    all.insert("access_token_introspection_hint".to_owned(), json!("access_token"));
    Value::Object(all)
}
