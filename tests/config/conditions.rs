//! Conditions without a value.

use serde_json::{Value, json};

use crate::support::*;

/// The pointers of all members below this one.
fn members(document: &Value, pointer: &str) -> Vec<String> {
    let below = match document.pointer(pointer).unwrap() {
        Value::Object(members) => members.keys().cloned().collect(),
        Value::Array(items) => (0..items.len()).map(|position| position.to_string()).collect(),
        _ => Vec::new(),
    };
    let below = below.iter().map(|name| format!("{pointer}/{name}"));
    let below = below.filter(|pointer| !pointer.ends_with("/identity"));
    below
        .flat_map(|pointer| [vec![pointer.clone()], members(document, &pointer)].concat())
        .collect()
}

/// `path_prefix:` with nothing behind it, as a template leaves it, is no rule for every path,
/// and `groups_any:` no requirement less.
#[test]
fn a_condition_that_is_null_is_refused() {
    let complete = complete();
    let conditions = ["/rules", "/policies", "/revocation/endpoint/requires"];
    let mut pointers: Vec<String> =
        conditions.iter().flat_map(|pointer| members(&complete, pointer)).collect();
    assert!(pointers.len() > 50, "{pointers:#?}");
    let of_providers =
        ["required_claims", "max_lifetime_seconds", "token_types", "binding/required"];
    pointers.extend(of_providers.map(|name| format!("/providers/shop/{name}")));
    for pointer in pointers {
        let problems = problems(&[(&pointer, Value::Null)]);
        let at: Vec<&str> = problems.iter().map(|[at, _, _]| at.as_str()).collect();
        assert_eq!(at, [path(&pointer)], "{pointer}: {problems:#?}");
        let [_, found, _] = &problems[0];
        assert!(["null", "nothing"].contains(&found.as_str()), "{pointer}: {found}");
    }
}

/// An empty list is one that somebody wrote, and requires nothing.
#[test]
fn an_empty_list_is_accepted() {
    for name in ["audiences", "providers", "scopes_all", "scopes_any", "consumers", "groups_any"] {
        let pointer = format!("/rules/2/requires/{name}");
        let none: [[String; 3]; 0] = [];
        assert_eq!(problems(&[(&pointer, json!([]))]), none, "{pointer}");
    }
}
