//! `rules`, and what they and others ask of claims.

use std::rc::Rc;

use serde_json::Value;

use super::consumers::Consumers;
use super::reader::Node;
use crate::consumer::Consumer;
use crate::http::percent_decode;
use crate::identity::IdentityHeaders;
use crate::rules::{Access, Anonymous, Matcher, PathMatch, Requirements, Rule};
use crate::token::{ClaimPath, ClaimRule, ProviderId};

/// Reads `rules`.
pub fn rules(
    node: &Node<'_>,
    providers: Option<&[String]>,
    consumers: Option<&Consumers>,
) -> Option<Vec<Rule>> {
    node.list(|item| rule(item, providers, consumers))
}

fn rule(
    node: &Node<'_>,
    providers: Option<&[String]>,
    consumers: Option<&Consumers>,
) -> Option<Rule> {
    let mut fields = node.fields()?;
    let matcher =
        fields.required("match", "an object with path or path_prefix, and methods", matcher);
    let bypass = fields.or("bypass", false, Node::flag);
    let requires = fields.optional("requires", |node| requirements(node, providers, consumers));
    let node = fields.node().clone();
    fields.finish()?;
    let access = match (bypass?, requires?) {
        (true, None) => Access::Bypass,
        (true, Some(_)) => {
            return node.reject_as("both bypass and requires", "one of the two");
        }
        (false, requirements) => Access::Requires(requirements.unwrap_or_default()),
    };
    Some(Rule { matcher: matcher?, access })
}

fn matcher(node: &Node<'_>) -> Option<Matcher> {
    let mut fields = node.fields()?;
    let exact = fields.optional("path", rule_path);
    let prefix = fields.optional("path_prefix", rule_path);
    let methods = fields.or("methods", Vec::new(), |node| node.full_list(method));
    let node = fields.node().clone();
    fields.finish()?;
    let path = match (exact?, prefix?) {
        (Some(path), None) => Some(PathMatch::Exact(path)),
        (None, Some(prefix)) => Some(PathMatch::Prefix(prefix)),
        (None, None) => None,
        (Some(_), Some(_)) => {
            return node.reject_as("both path and path_prefix", "one of the two");
        }
    };
    Some(Matcher { path, methods: methods? })
}

/// A path in a rule: compared with the percent-decoded path of requests.
fn rule_path(node: &Node<'_>) -> Option<Vec<u8>> {
    let path = node.text()?;
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return node.reject("a path that starts with /, without a query");
    }
    Some(percent_decode(path.as_bytes()).into_owned())
}

fn method(node: &Node<'_>) -> Option<String> {
    let is_method =
        |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    let method = node.value().as_str().filter(is_method).map(str::to_owned);
    method.or_else(|| node.reject("a method in upper case, such as GET"))
}

/// Reads what a rule, or the gateway itself, requires.
pub fn requirements(
    node: &Node<'_>,
    providers: Option<&[String]>,
    consumers: Option<&Consumers>,
) -> Option<Requirements> {
    let mut fields = node.fields()?;
    let providers = fields.or("providers", Vec::new(), |node| {
        node.list(|item| {
            let name = item.text()?;
            // What is wrong with `providers` has been told there.
            let providers = providers?;
            let position = providers.iter().position(|known| known == name);
            position
                .map(ProviderId)
                .or_else(|| item.reject(format_args!("one of providers: {}", providers.join(", "))))
        })
    });
    let scopes_all = fields.or("scopes_all", Vec::new(), |node| node.list(scope));
    let scopes_any = fields.or("scopes_any", Vec::new(), |node| node.list(scope));
    let groups_any = fields.or("groups_any", Vec::new(), Node::texts);
    let claims = fields.or("claims", Vec::new(), claim_rules);
    let allow_missing = fields.or("allow_missing", false, Node::flag);
    fields.finish()?;
    let anonymous = if allow_missing? { Some(Rc::new(anonymous(node, consumers)?)) } else { None };
    Some(Requirements {
        providers: providers?,
        scopes_all: scopes_all?,
        scopes_any: scopes_any?,
        groups_any: groups_any?,
        claims: claims?,
        anonymous,
    })
}

/// How someone without a token is announced.
pub fn anonymous(node: &Node<'_>, consumers: Option<&Consumers>) -> Option<Anonymous> {
    let anonymous = consumers.and_then(|consumers| consumers.anonymous.as_ref());
    let consumer = match anonymous {
        Some(consumer) => consumer,
        None => &Consumer::default(),
    };
    let fields = IdentityHeaders::new(Vec::new())?.anonymous(consumer);
    match fields {
        Ok(fields) => Some(Anonymous::new(fields)),
        Err(error) => node.reject_as(error, "printable names of consumers"),
    }
}

/// One scope (RFC 6749 section 3.3).
fn scope(node: &Node<'_>) -> Option<String> {
    let is_scope = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    let scope = node.value().as_str().filter(is_scope).map(str::to_owned);
    scope.or_else(|| node.reject("one scope, without spaces"))
}

/// Claims with the values that are accepted for them.
pub fn claim_rules(node: &Node<'_>) -> Option<Vec<ClaimRule>> {
    node.entries(|claim, values| {
        let accepted = values.list(|item| match item.value() {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(item.value().clone()),
            _ => item.reject("a string, a number, true or false"),
        })?;
        Some(ClaimRule { path: ClaimPath::dotted(claim), accepted })
    })
}

/// A claim by its name, with dots between the members of objects.
pub fn claim_path(node: &Node<'_>) -> Option<ClaimPath> {
    node.text().map(ClaimPath::dotted)
}
