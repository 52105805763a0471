//! What is told of filters and plugins that stay, or are to go, beside Gatepass.

use gatepass_cli::convert::{ConvertTo, Converted, Selection, convert};

fn converted(text: &str, to: ConvertTo) -> Converted {
    let selection = Selection { to, ..Selection::default() };
    convert(text, &selection).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn notes(converted: &Converted) -> Vec<String> {
    converted.notes.iter().map(ToString::to_string).collect()
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
