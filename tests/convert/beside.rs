//! What is told of filters and plugins that stay, or are to go, beside Gatepass.

use gatepass_cli::convert::{ConvertTo, Converted, Selection, convert};
use serde_json::json;

fn converted(text: &str, to: ConvertTo) -> Converted {
    let selection = Selection { to, ..Selection::default() };
    convert(text, &selection).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn notes(converted: &Converted) -> Vec<String> {
    converted.notes.iter().map(ToString::to_string).collect()
}

/// Whether a note that begins so is one about a change.
fn is_change(converted: &Converted, start: &str) -> bool {
    let note = converted.notes.iter().find(|it| it.to_string().starts_with(start));
    note.unwrap_or_else(|| panic!("{start}: {:#?}", notes(converted))).is_change
}

/// An Envoy with jwt_authn, whose providers have these fields too, with other filters behind
/// it, and routes.
fn envoy(fields: &str, filters: &str, hosts: &str) -> String {
    let provider = |name: &str| {
        format!(
            "{name}: {{issuer: 'https://{name}.example', audiences: [api]{fields}, remote_jwks: \
             {{http_uri: {{uri: 'https://{name}.example/k', cluster: {name}, timeout: 1s}}}}}}"
        )
    };
    format!(
        "static_resources:\n  listeners:\n  - normalize_path: true\n    http_filters:\n    \
         - name: jwt\n      typed_config:\n        \
         '@type': type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication\n        \
         providers: {{{}, {}}}\n        \
         rules: [{{match: {{prefix: /}}, requires: {{requires_any: {{requirements: [{{provider_name: a}}, {{provider_name: b}}]}}}}}}]\n\
         {filters}    route_config: {{virtual_hosts: [{hosts}]}}\n",
        provider("a"),
        provider("b"),
    )
}

const AUTHZ: &str = "    - typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz}\n";

#[test]
fn ext_authz_that_stays() {
    let to = ConvertTo::Configuration;
    let plain = converted(&envoy("", AUTHZ, ""), to);
    assert!(!is_change(
        &plain,
        "the file: ext_authz stays where it is; Gatepass can take its place"
    ));
    assert!(plain.notes.iter().all(|note| !note.is_change), "{:#?}", notes(&plain));
    for (fields, what) in [
        (", forward_payload_header: X-P", "the header x-p"),
        (", payload_in_metadata: p", "the metadata"),
    ] {
        let made = converted(&envoy(fields, AUTHZ, ""), to);
        let start = format!(
            "the file: ext_authz stays where it is, and no longer gets {what} of jwt_authn"
        );
        assert!(is_change(&made, &start), "{what}");
    }
    let without = notes(&converted(&envoy(", forward_payload_header: X-P", "", ""), to));
    assert!(without.iter().all(|note| !note.contains("ext_authz")), "{without:#?}");
}

/// The rule that a route without the filter needs, where one can be told.
#[test]
fn routes_that_switch_the_filter_off() {
    const OFF: &str = "typed_per_filter_config: {envoy.filters.http.jwt_authn: {'@type': \
                       type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, disabled: true}}";
    let route = |condition: &str| format!("routes: [{{match: {{{condition}}}, {OFF}}}]");
    let own = |rule: &str| format!("As before with {rule}, before all other rules");
    let other = "As before with a rule for them with bypass: true".to_owned();
    for (host, expected) in [
        (
            format!("{{domains: [a.example, '*.b.example'], {}}}", route("prefix: /x")),
            own(
                "{match: {path_starts_with: /x, hosts: [\"*.b.example\", a.example]}, bypass: true}",
            ),
        ),
        (
            format!("{{domains: [a.example], {OFF}}}"),
            own("{match: {hosts: [a.example]}, bypass: true}"),
        ),
        (format!("{{domains: ['*'], {}}}", route("safe_regex: {regex: '/a|/b'}")), other.clone()),
        (format!("{{domains: ['a.example:8443'], {}}}", route("path: /a")), other.clone()),
        (format!("{{domains: ['*'], {}}}", route("path: /a, grpc: {}")), other),
    ] {
        let made = converted(&envoy("", "", &host), ConvertTo::Configuration);
        assert!(is_change(&made, "rules: $.static_resources.listeners[0].route_config"));
        let told = notes(&made);
        assert!(told.iter().any(|note| note.contains(&expected)), "{host}: {told:#?}");
    }
}

#[test]
fn no_rule_behind_one_for_everything() {
    let made = converted(&envoy("", "", ""), ConvertTo::Configuration);
    assert_eq!(made.configuration["rules"], json!([{"match": {}, "requires": {}}]));
}

/// With two issuers each user has another subject than before.
#[test]
fn subjects_of_two_issuers() {
    let start = "identity_token: subject is {provider}:{sub}";
    let made = converted(&envoy("", "", ""), ConvertTo::Configuration);
    assert!(!is_change(&made, start));
    assert!(
        notes(&made).iter().any(|note| note.contains("X-Consumer-Custom-ID and header with sub"))
    );
    let fields = ", claim_to_headers: [{header_name: x-user, claim_name: sub}]";
    assert!(is_change(&converted(&envoy(fields, "", ""), ConvertTo::Configuration), start));
}

/// A kong.yml with the routes `open` and `orders`; a plugin for both.
fn kong(plugin: &str) -> String {
    format!(
        "_format_version: '3.0'\nplugins: [{plugin}]\nservices:\n- name: s\n  url: http://s\n  \
         routes:\n  - {{name: open, paths: [/open]}}\n  - name: orders\n    paths: [/orders]\n    \
         plugins:\n    - {{name: jwt, config: {{claims_to_verify: [exp]}}}}\n    \
         - {{name: acl, config: {{allow: [staff]}}}}\n\
         consumers:\n- username: alice\n  acls: [{{group: staff}}]\n  \
         jwt_secrets: [{{key: k, secret: 0123456789abcdef0123456789abcdef}}]\n"
    )
}

#[test]
fn plugins_that_are_to_go() {
    let told = notes(&converted(&kong("{name: cors}"), ConvertTo::KongPlugin));
    for expected in [
        "route orders: when Gatepass is added, remove its plugins jwt and acl: beside it, what it \
         accepts may be rejected",
        "consumer alice: has no id, so X-Consumer-ID is not sent for it: Kong made one up, which \
         its Admin API has at /consumers",
        "route open: has no jwt plugin: its requests pass without a token at /open and below it, \
         as before; those for paths that only begin so, such as /open-x, must meet the other rules",
    ] {
        assert!(told.iter().any(|note| note == expected), "{expected}: {told:#?}");
    }
    let global = kong("{name: jwt, config: {claims_to_verify: [exp]}}");
    let told = notes(&converted(&global, ConvertTo::KongPlugin));
    let expected = "the file: when Gatepass is added, remove the global plugin jwt: beside it";
    assert!(told.iter().any(|note| note.starts_with(expected)), "{told:#?}");
}

/// Kong's plugin for Gatepass runs before those that ask for the consumer; the filter after.
#[test]
fn what_other_plugins_see() {
    let about = |plugin: &str, to| {
        let told = notes(&converted(&kong(&format!("{{name: {plugin}}}")), to));
        told.into_iter().filter(|note| note.starts_with("plugin ")).collect::<Vec<_>>()
    };
    let own = "plugin rate-limiting: runs before the filter and sees no consumer there; beside \
               Gatepass's plugin it sees it";
    assert_eq!(about("rate-limiting", ConvertTo::Configuration), [own]);
    assert_eq!(about("rate-limiting", ConvertTo::KongPlugin), [""; 0]);
    assert_eq!(about("cors", ConvertTo::Configuration), [""; 0]);
}

/// What closes a route takes its rule out of the configuration, but not out of the comments.
#[test]
fn the_rule_of_a_closed_route() {
    let made = converted(&kong("{name: ip-restriction}"), ConvertTo::KongPlugin);
    let rules = made.configuration["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["requires"]["groups_any"][0] == "closed-by-convert"));
    let told = notes(&made);
    for expected in [
        "route open: if ip-restriction stays in Kong and decides there, the rule is {match: \
         {path_prefix: /open}, bypass: true}",
        "route orders: if ip-restriction stays in Kong and decides there, the rule is {match: \
         {path_starts_with: /orders}, requires: {providers: [kong], groups_any: [staff]}}",
    ] {
        assert!(told.iter().any(|note| note == expected), "{expected}: {told:#?}");
    }
    // As is: the rules that there are without it.
    let without = converted(&kong("{name: cors}"), ConvertTo::KongPlugin);
    for rule in without.configuration["rules"].as_array().unwrap() {
        let told = told.iter().filter_map(|note| note.split_once("the rule is "));
        let mut rules = told.map(|(_, rule)| serde_norway::from_str(rule).unwrap());
        assert!(rules.any(|told: serde_json::Value| told == *rule), "{rule}");
    }
    // One that nobody passed before has none.
    let acl = kong("{name: ip-restriction}").replace("    - {name: jwt, config: {claims_to_verify: [exp]}}\n", "").replace("{name: open, paths: [/open]}", "{name: open, paths: [/open], plugins: [{name: jwt, config: {claims_to_verify: [exp]}}]}");
    let told = notes(&converted(&acl, ConvertTo::KongPlugin));
    assert!(told.iter().all(|note| !note.starts_with("route orders: if")), "{told:#?}");
}
