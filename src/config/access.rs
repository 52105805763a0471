//! What rules, providers and consumers ask of claims.

use serde_json::Value;

use super::reader::Node;
use crate::token::{ClaimPath, ClaimRule, ClaimTest};

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
pub fn claim_path(node: &Node<'_>) -> Option<ClaimPath> {
    node.text().map(ClaimPath::dotted)
}
