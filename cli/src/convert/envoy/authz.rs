//! The filter `ext_authz`, which stays where it is and may live on what `jwt_authn` writes.

use serde_json::Value;

use crate::convert::Notes;

/// Where to read on.
const PAGE: &str = "see \"Leaving ext_authz\" in docs/convert.md";

/// Notes the filter, if there is one, and what it no longer gets.
pub(super) fn look(documents: &[Value], jwt_authn: &Value, notes: &mut Notes) {
    if !documents.iter().any(has_filter) {
        return;
    }
    let lost = lost(jwt_authn);
    if lost.is_empty() {
        let text = format_args!("ext_authz stays where it is; Gatepass can take its place: {PAGE}");
        notes.add_info("the file", text);
        return;
    }
    let text = format_args!(
        "ext_authz stays where it is, and no longer gets {} of jwt_authn: if its service reads that, \
         every user is anonymous to it, and what it denies by a claim passes; {PAGE}",
        lost.join(", ")
    );
    notes.add("the file", text);
}

fn has_filter(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let named =
                ["@type", "type_url", "typeUrl"].into_iter().filter_map(|it| members.get(it));
            let is_it =
                |name: &str| name.contains(".http.ext_authz.") && name.ends_with(".ExtAuthz");
            named.filter_map(Value::as_str).any(is_it) || members.values().any(has_filter)
        }
        Value::Array(items) => items.iter().any(has_filter),
        _ => false,
    }
}

/// What providers write for other filters, and Gatepass does not.
fn lost(jwt_authn: &Value) -> Vec<String> {
    let providers = jwt_authn.get("providers").and_then(Value::as_object);
    let mut lost = Vec::new();
    for provider in providers.into_iter().flat_map(|all| all.values()) {
        let text = |field: &str| provider.get(field)?.as_str().filter(|it| !it.is_empty());
        let header = text("forward_payload_header");
        let header = header.map(|name| format!("the header {}", name.to_ascii_lowercase()));
        let metadata = ["payload_in_metadata", "header_in_metadata"].map(text);
        let metadata = metadata.iter().any(Option::is_some).then(|| "the metadata".to_owned());
        for what in header.into_iter().chain(metadata) {
            if !lost.contains(&what) {
                lost.push(what);
            }
        }
    }
    lost
}
