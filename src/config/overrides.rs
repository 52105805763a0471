//! `identity` of rules and resources: overrides for one service.

use std::rc::Rc;

use serde_json::Value;

use super::reader::Node;
use super::reserved;
use super::values::{HEADER_NAME, header_name, scope};
use crate::http::HeaderName;
use crate::overrides::{IdentityHeader, Overrides};
use crate::time::Span;

/// The bounds of every identity.
pub struct TokenBounds {
    /// `identity_token.ttl_seconds`.
    pub ttl: Span,
    /// Whether it is a transaction token.
    pub is_transaction: bool,
    /// The claims that are mapped, copied and set, if valid.
    pub claims: Option<Vec<String>>,
}

/// Reads `identity`; `bounds` is `None` if `identity_token` is invalid.
pub fn overrides(node: &Node<'_>, bounds: Option<&TokenBounds>) -> Option<Rc<Overrides>> {
    let mut fields = node.conditions("an object such as {audiences: [orders]}")?;
    let of_domain = |node: &Node<'_>, why: &str| {
        let is_transaction = bounds.is_some_and(|bounds| bounds.is_transaction);
        if is_transaction { node.reject_as("profile txn_token", why) } else { Some(()) }
    };
    let header = fields.optional("header", |node| {
        of_domain(node, "nothing: the draft names the header")?;
        identity_header(node)
    });
    let audiences = fields.optional("audiences", |node| {
        of_domain(node, "nothing: the trust domain is the audience")?;
        node.full_list(|item| item.text().map(str::to_owned))
    });
    let scopes = fields.optional("scopes", |node| node.list(scope));
    let ttl = fields.optional("ttl_seconds", |node| {
        let most = bounds.and_then(|bounds| u32::try_from(bounds.ttl.as_secs()).ok());
        node.integer(1..=most.unwrap_or(3600))
    });
    let claims = fields.optional("claims", |node| node.list(|item| claim(item, bounds)));
    let forward = fields.optional("forward", Node::flag);
    fields.finish()?;
    Some(Rc::new(Overrides {
        header: header?,
        audiences: audiences?,
        scopes: scopes?,
        ttl: ttl?.map(Span::from_secs),
        claims: claims?,
        forward: forward?,
    }))
}

fn claim(node: &Node<'_>, bounds: Option<&TokenBounds>) -> Option<String> {
    let name = node.text()?;
    match bounds {
        Some(TokenBounds { claims: Some(claims), .. })
            if !claims.iter().any(|known| known == name) =>
        {
            let known = match claims.as_slice() {
                [] => "there is none".to_owned(),
                claims => claims.join(", "),
            };
            node.reject(format_args!(
                "a claim that is mapped from user info, copied or set: {known}"
            ))
        }
        _ => Some(name.to_owned()),
    }
}

/// The header of an identity token: its name, or its name with the scheme before the
/// token.
pub fn identity_header(node: &Node<'_>) -> Option<IdentityHeader> {
    if !matches!(node.value(), Value::Object(members) if members.contains_key("name")) {
        return Some(IdentityHeader { name: owned_header(node)?, scheme: String::new() });
    }
    let mut fields = node.fields()?;
    let name = fields.required("name", HEADER_NAME, owned_header);
    let scheme = fields.or("value_prefix", String::new(), |node| {
        let scheme = node.value().as_str().map(str::trim_end).unwrap_or_default();
        let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_fine = !scheme.is_empty() && scheme.bytes().all(is_scheme);
        if is_fine { Some(scheme.to_owned()) } else { node.reject("a scheme, such as \"Bearer \"") }
    });
    fields.finish()?;
    Some(IdentityHeader { name: name?, scheme: scheme? })
}

/// A header that the gateway sets upstream; see [`super::reserved`].
pub fn owned_header(node: &Node<'_>) -> Option<HeaderName> {
    let name = header_name(node)?;
    match reserved::meaning(&name) {
        Some(meaning) => node.reject_as(
            format_args!("the header {name}, which is {meaning}"),
            "a header of your own, such as x-user-country: none that HTTP, browsers or proxies \
             have a meaning for",
        ),
        None => Some(name),
    }
}
