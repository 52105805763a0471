//! Claim conditions of rules, providers and consumers.

use serde_json::Value;

use super::reader::Node;
use crate::json;
use crate::token::{ClaimPath, ClaimRule, ClaimTest};

/// Claims with their conditions: a list of accepted values (an empty one requires
/// presence only), `present` or `absent`, or an object that says whether the claim is to be
/// one of the values or a list with one of them.
///
/// A rule tests the public token and user info, not the claims that the gateway itself
/// adds to the identity token: otherwise an issuer could meet the condition with a claim
/// of that name.
pub fn claim_rules(node: &Node<'_>) -> Option<Vec<ClaimRule>> {
    const WORDS: [(&str, bool); 2] = [("present", true), ("absent", false)];
    const OWN: [(&str, &str); 2] = [("origin", "providers"), ("consumer", "consumers")];
    node.entries(|claim, node| {
        let path = named_claim(claim, node)?;
        if let Some((own, instead)) = OWN.iter().find(|(own, _)| path.starts_at(|it| it == *own)) {
            return node.reject_as(
                format_args!("the claim {claim:?}"),
                format_args!(
                    "a claim of the token or of user info: {own} is the gateway's own, for which \
                     there is requires.{instead}"
                ),
            );
        }
        let test = match node.value() {
            Value::String(word) => match WORDS.iter().find(|(own, _)| own == word) {
                Some((_, true)) => ClaimTest::Present,
                Some((_, false)) => ClaimTest::Absent,
                None => return node.reject(format_args!("present | absent, or {VALUES}")),
            },
            Value::Bool(_) | Value::Number(_) => return node.reject(VALUES),
            // An empty list may arrive as an empty object.
            Value::Object(members) if !members.is_empty() => exact_values(node)?,
            _ => accepted_values(node)?,
        };
        Some(ClaimRule { path, test })
    })
}

/// In the place of a single value.
const VALUES: &str = "a list of accepted values, such as [admin]";

/// Claims with their accepted values.
pub fn required_claims(node: &Node<'_>) -> Option<Vec<ClaimRule>> {
    node.entries(|claim, node| {
        Some(ClaimRule { path: named_claim(claim, node)?, test: accepted_values(node)? })
    })
}

/// The numbers accepted in a configuration.
pub const EXACT: &str = "a whole number below 2^53, or one of at most 14 digits: hosts hand over \
                         others rounded";

fn accepted_values(node: &Node<'_>) -> Option<ClaimTest> {
    let accepted = node.list(accepted_value)?;
    Some(if accepted.is_empty() { ClaimTest::Present } else { ClaimTest::AnyOf(accepted) })
}

fn accepted_value(item: &Node<'_>) -> Option<Value> {
    match item.value() {
        Value::Number(number) if json::may_be_rounded(number) => item.reject(EXACT),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(item.value().clone()),
        _ => item.reject("a string, a number, true or false"),
    }
}

fn exact_values(node: &Node<'_>) -> Option<ClaimTest> {
    let mut fields = node.fields()?;
    let equals = fields.optional("equals", |node| node.full_list(accepted_value));
    let contains = fields.optional("contains", |node| node.full_list(accepted_value));
    fields.finish()?;
    match (equals?, contains?) {
        (Some(values), None) => Some(ClaimTest::Equals(values)),
        (None, Some(values)) => Some(ClaimTest::Contains(values)),
        _ => node.reject_as("both equals and contains, or neither", "one of the two"),
    }
}

/// The values that [`claim_path`] accepts.
pub const CLAIM: &str = "a claim: its name, with dots into objects, a JSON pointer such as \
                         /kubernetes.io/namespace, or a list of member names";

/// A path to a claim; see [`ClaimPath`].
pub fn claim_path(node: &Node<'_>) -> Option<ClaimPath> {
    match node.value() {
        Value::String(text) => ClaimPath::parse(text).or_else(|| node.reject(CLAIM)),
        _ => node.full_list(|item| item.text().map(str::to_owned)).and_then(ClaimPath::new),
    }
}

/// The claim named by a member, whose value is at `node`.
fn named_claim(name: &str, node: &Node<'_>) -> Option<ClaimPath> {
    let path = ClaimPath::parse(name);
    path.or_else(|| node.reject_as(format_args!("the claim {name:?}"), CLAIM))
}
