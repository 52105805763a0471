//! `consumers`, and what rules and providers ask of claims.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use super::reader::Node;
use crate::consumer::{Consumer, ConsumerDirectory};
use crate::http::header_text;
use crate::token::{ClaimPath, ClaimRule, ClaimTest};

/// The directory, and the username of whoever comes without a token.
pub type Consumers = (ConsumerDirectory, Option<String>);

/// Reads `consumers`.
pub fn consumers(node: &Node<'_>) -> Option<Consumers> {
    let mut fields = node.fields()?;
    let default = ["azp", "client_id", "iss"].map(ClaimPath::dotted).to_vec();
    let claims = fields.or("claim", default, |node| node.full_list(claim_path));
    let entries = fields.or("entries", Vec::new(), |node| node.list(consumer));
    let optional = fields.or("optional", false, Node::flag);
    let anonymous = fields.optional("anonymous", printable);
    let node = fields.node().clone();
    fields.finish()?;
    let mut directory =
        ConsumerDirectory { claims: claims?, entries: HashMap::new(), optional: optional? };
    for consumer in entries? {
        let key = consumer.key.clone();
        if directory.entries.insert(key.clone(), Rc::new(consumer)).is_some() {
            return node.reject_as(format_args!("the key {key:?} twice"), "each key once");
        }
    }
    let anonymous = anonymous?;
    let entry = anonymous.as_deref().and_then(|username| directory.by_username(username));
    if entry.is_some_and(|entry| !entry.enabled) {
        return node.reject_as("a disabled consumer as anonymous", "one that is enabled");
    }
    Some((directory, anonymous))
}

fn consumer(node: &Node<'_>) -> Option<Consumer> {
    let mut fields = node.fields()?;
    let key = fields.required("key", "the value of the selecting claim", printable);
    let id = fields.optional("id", printable);
    let username = fields.optional("username", printable);
    let custom_id = fields.optional("custom_id", printable);
    let groups = fields.or("groups", Vec::new(), |node| node.list(printable));
    let enabled = fields.or("enabled", true, Node::flag);
    fields.finish()?;
    Some(Consumer {
        key: key?,
        id: id?,
        username: username?,
        custom_id: custom_id?,
        groups: groups?,
        enabled: enabled?,
    })
}

/// Text that a header can carry.
fn printable(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    match header_text(text) {
        Ok(_) => Some(text.to_owned()),
        Err(_) => node.reject("text without control characters"),
    }
}

/// Claims with what they must be: a list of accepted values, of which none at
/// all asks only for the claim to be there; or `present` or `absent`.
pub fn claim_rules(node: &Node<'_>) -> Option<Vec<ClaimRule>> {
    const WORDS: [(&str, bool); 2] = [("present", true), ("absent", false)];
    node.entries(|claim, node| {
        let test = match node.value() {
            Value::String(_) if node.one_of(&WORDS)? => ClaimTest::Present,
            Value::String(_) => ClaimTest::Absent,
            _ => accepted_values(node)?,
        };
        Some(ClaimRule { path: ClaimPath::dotted(claim), test })
    })
}

/// Claims with the values that are accepted for them.
pub fn required_claims(node: &Node<'_>) -> Option<Vec<ClaimRule>> {
    node.entries(|claim, node| {
        Some(ClaimRule { path: ClaimPath::dotted(claim), test: accepted_values(node)? })
    })
}

fn accepted_values(node: &Node<'_>) -> Option<ClaimTest> {
    let accepted = node.list(|item| match item.value() {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(item.value().clone()),
        _ => item.reject("a string, a number, true or false"),
    })?;
    Some(if accepted.is_empty() { ClaimTest::Present } else { ClaimTest::AnyOf(accepted) })
}

/// A claim by its name, with dots between the members of objects.
fn claim_path(node: &Node<'_>) -> Option<ClaimPath> {
    node.text().map(ClaimPath::dotted)
}
