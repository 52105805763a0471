//! `token`: the sources of tokens, and the pages that may send them in a cookie.

use std::collections::HashSet;

use serde_json::Value;

use super::kong_jwt::{self, PluginOptions};
use super::reader::Node;
use super::values::{HEADER_NAME, header_name, token_name, twice};
use crate::bearer::{HeaderSource, OriginPolicy, TokenSources};
use crate::http::{Authority, HeaderName};

/// The default sources: the `Authorization` header, or those of Kong's plugin.
pub(super) fn default_sources(plugin: Option<&PluginOptions>) -> TokenSources {
    let own = (vec![kong_jwt::bearer(HeaderName::authorization())], Vec::new(), Vec::new());
    let (headers, cookies, params) = match plugin {
        Some(plugin) => (
            plugin.headers.clone().unwrap_or(own.0),
            plugin.cookies.clone().unwrap_or(own.1),
            plugin.params.clone().unwrap_or_else(|| vec!["jwt".to_owned()]),
        ),
        None => own,
    };
    let are_default_params = plugin.is_some_and(|plugin| plugin.params.is_none());
    TokenSources {
        headers,
        cookies,
        params,
        are_default_params,
        carriers: Vec::new(),
        forward: false,
        origins: default_origins(),
        proofs: None,
    }
}

pub(super) const fn default_origins() -> OriginPolicy {
    OriginPolicy { enforce: true, allowed: Vec::new() }
}

/// Reads `token`.
pub(super) fn read(node: &Node<'_>, plugin: Option<&PluginOptions>) -> Option<TokenSources> {
    let mut fields = node.fields()?;
    let headers = fields.optional("from_headers", |node| node.list(header_source));
    let cookies = fields.optional("from_cookies", cookies);
    let params = fields.optional("from_params", |node| node.list(token_name));
    let forward = fields.or("forward", false, Node::flag);
    let origins = fields.or("csrf", default_origins(), origin_policy);
    let node = fields.node().clone();
    fields.finish()?;
    let (headers, cookies, params) = (headers?, cookies?, params?);
    let names_sources = headers.is_some() || cookies.is_some() || params.is_some();
    if names_sources && plugin.is_some_and(PluginOptions::names_sources) {
        return twice(&node, "where tokens are");
    }
    let default = default_sources(plugin.filter(|_| !names_sources));
    let are_default_params = params.is_none() && default.are_default_params;
    let sources = TokenSources {
        are_default_params,
        carriers: Vec::new(),
        headers: headers.unwrap_or(default.headers),
        cookies: cookies.unwrap_or(default.cookies),
        params: params.unwrap_or(default.params),
        forward: forward?,
        origins: origins?,
        proofs: None,
    };
    if sources.headers.is_empty() && sources.cookies.is_empty() && sources.params.is_empty() {
        return node.reject("at least one of from_headers, from_cookies and from_params");
    }
    Some(sources)
}

/// Names of cookies, none of which may look like a piece of another one.
fn cookies(node: &Node<'_>) -> Option<Vec<String>> {
    let names = node.list(token_name)?;
    let all: HashSet<_> = names.iter().map(String::as_str).collect();
    let is_piece = |name: &&String| {
        let parts = name.rsplit_once('_');
        parts.is_some_and(|(whole, end)| {
            matches!(end.as_bytes(), [b'1'..=b'9']) && all.contains(whole)
        })
    };
    match names.iter().find(is_piece) {
        Some(piece) => node.reject_as(
            format_args!("{piece}, which is a piece of a long cookie here"),
            "the name of the cookie without _1 to _9",
        ),
        None => Some(names),
    }
}

pub(super) fn origin_policy(node: &Node<'_>) -> Option<OriginPolicy> {
    let mut fields = node.fields()?;
    let enforce = fields.or("enforce", true, Node::flag);
    let allowed = fields.or("allowed_origins", Vec::new(), |node| node.list(origin));
    fields.finish()?;
    Some(OriginPolicy { enforce: enforce?, allowed: allowed? })
}

/// An origin as serialized by browsers: no path, no default port.
pub(super) fn origin(node: &Node<'_>) -> Option<String> {
    let is_origin = |text: &&str| {
        let (scheme, authority) = text.split_once("://").unwrap_or_default();
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let default: &[u8] = if scheme.eq_ignore_ascii_case("http") { b"80" } else { b"443" };
        let authority = Authority::configured(authority.as_bytes());
        is_scheme && authority.is_some_and(|authority| authority.port != Some(default))
    };
    let origin = node.value().as_str().filter(is_origin).map(str::to_owned);
    origin.or_else(|| node.reject("an origin such as https://app.example, without a path"))
}

pub(super) fn header_source(node: &Node<'_>) -> Option<HeaderSource> {
    let mut fields =
        node.fields_as("an object such as {name: x-token, value_prefix: \"Token \"}")?;
    let name = fields.required("name", HEADER_NAME, header_name);
    let prefix = fields.or("value_prefix", String::new(), |node| match node.value() {
        Value::String(prefix) if prefix.is_empty() => Some(String::new()),
        _ => node.plain_text().map(str::to_owned),
    });
    fields.finish()?;
    Some(HeaderSource { name: name?, prefix: prefix? })
}
