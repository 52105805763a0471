//! Values that are not in the file: references, and marks to be replaced.
//!
//! Taken literally, one would be a secret that every reader of the file knows, or a
//! group without members.

use gatepass::config::reader::Node;
use serde_json::{Value, json};

/// A reference to a variable of the environment, in decK's spelling or to Kong's
/// vault, as the filter writes it.
pub(super) fn environment(text: &str) -> Option<Value> {
    let of_deck = || {
        let inner = text.strip_prefix("${{")?.strip_suffix("}}")?.trim();
        let quoted = inner.strip_prefix("env")?;
        let name = quoted.trim_start();
        (name.len() < quoted.len()).then_some(())?;
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        is_name(name).then(|| name.to_owned())
    };
    let of_vault = || {
        let name = text.strip_prefix("{vault://env/")?.strip_suffix('}')?;
        let name = name.to_ascii_uppercase().replace('-', "_");
        is_name(&name).then_some(name)
    };
    let name = of_deck().or_else(of_vault)?;
    Some(json!({ "env": name }))
}

/// True if a text is a template.
pub(super) fn is_template(text: &str) -> bool {
    let text = text.trim();
    let within = |start: &str, end: &str| {
        text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(is_name)
    };
    ["${", "$(", "{{", "}}", "<%", "{vault:"].iter().any(|mark| text.contains(mark))
        || text.starts_with('<') && text.ends_with('>')
        || text.starts_with("((") && text.ends_with("))")
        || [("$", ""), ("%", "%"), ("@", "@"), ("@@", "@@"), ("__", "__")]
            .iter()
            .any(|(start, end)| within(start, end))
}

/// True if a secret looks real: neither a template nor a text that asks to be replaced.
pub(super) fn is_secret(text: &str) -> bool {
    let loud = text.to_ascii_uppercase();
    let asks = ["REPLACE", "CHANGE_ME", "CHANGE-ME", "CHANGEME"].iter().any(|it| loud.contains(it));
    !is_template(text) && !asks
}

/// Whether it could be the name of a variable.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A text that stands for itself.
pub(super) fn plain(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    if is_template(text) {
        return node.reject("the value itself: what stands for it is only known later");
    }
    Some(text.to_owned())
}
