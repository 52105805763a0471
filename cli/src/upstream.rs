//! Warnings about the headers that services get.

use gatepass::http::HeaderName;
use gatepass::identity::is_reserved;
use gatepass::pipeline::Settings;
use serde_json::Value;

use crate::convert::NO_CLAIM;
use crate::located::Warning;

/// The warnings about a configuration that is accepted.
pub fn warnings(document: &Value, settings: &Settings, root: &str) -> Vec<Warning> {
    let mut found = impossible_claims(document, settings, root);
    found.extend(basic_removed(document, root));
    found
}

/// Headers for claims that no identity token has, so that no service gets them.
fn impossible_claims(document: &Value, settings: &Settings, root: &str) -> Vec<Warning> {
    let minter = &settings.minter;
    let copied: Vec<_> = minter.copy.iter().map(|path| path.name()).collect();
    let mut own: Vec<&str> = copied.iter().map(AsRef::as_ref).collect();
    own.extend(minter.set.keys().map(String::as_str));
    if document.get("user_info").is_some_and(|it| !it.is_null()) {
        own.extend(minter.user_claims.names().map(String::as_str));
    }
    let headers = minter.headers.claims.iter().enumerate();
    let missing = headers.filter(|(_, header)| {
        // Written by `convert`, to be removed from clients' requests.
        let is_meant = header.path.name() == NO_CLAIM;
        !is_meant
            && !header.is_copied
            && !header.path.starts_at(|name| is_reserved(name) || own.contains(&name))
    });
    let warning = |(at, header): (usize, &gatepass::identity::ClaimHeader)| {
        let name = header.path.name();
        let alike = own.iter().find(|own| strsim::osa_distance(own, &name) <= 2);
        let meant = alike.map(|own| format!("did you mean {own}? ")).unwrap_or_default();
        let text = format!(
            "{meant}no identity token has the claim {name:?}, so the header is never sent: copy it \
             (identity_token.claims.copy), or map it in user_info.claims"
        );
        Warning { path: format!("{root}.claim_to_headers[{at}].claim"), text }
    };
    missing.map(warning).collect()
}

/// The `Authorization` of clients where services read the identity in it: it is removed
/// everywhere, and with it what an endpoint for tokens may need.
fn basic_removed(document: &Value, root: &str) -> Option<Warning> {
    let rules = document.get("rules").and_then(Value::as_array);
    let rules = || rules.into_iter().flatten();
    let is_bypassed = rules().any(|rule| rule.get("bypass") == Some(&Value::Bool(true)));
    let in_rules = rules().enumerate().map(|(at, rule)| (format!(".rules[{at}].identity"), rule));
    let resources = document.get("resources").and_then(Value::as_array).into_iter().flatten();
    let in_resources =
        resources.enumerate().map(|(at, it)| (format!(".resources[{at}].identity"), it));
    let overrides = in_rules.chain(in_resources);
    let overrides = overrides.filter_map(|(path, it)| Some((path, it.get("identity")?)));
    let own = document.get("identity_token").map(|it| (".identity_token".to_owned(), it));
    let mut all = own.into_iter().chain(overrides);
    let (path, _) = all.find(|(_, it)| is_authorization(it.get("header")))?;
    let text = "services read the identity in authorization, so that clients' Authorization is \
                removed from every request, Basic too and where a rule bypasses: a token endpoint \
                behind the gateway gets no client_secret_basic (client_secret_post passes)";
    is_bypassed.then(|| Warning { path: format!("{root}{path}.header"), text: text.to_owned() })
}

/// Whether a header for the identity, in either form, is `Authorization`.
fn is_authorization(header: Option<&Value>) -> bool {
    let name = header.and_then(|it| it.get("name").or(Some(it))).and_then(Value::as_str);
    name.is_some_and(|name| name.eq_ignore_ascii_case(HeaderName::authorization().as_str()))
}
