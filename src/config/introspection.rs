//! `introspection` of a provider: whom to ask about reference tokens.

use super::reader::Node;
use super::services::{self, Services};
use super::values::seconds;
use crate::introspection::IntrospectionEndpoint;
use crate::time::Span;

/// The endpoint, and how many of its answers are kept.
pub type Configured = (IntrospectionEndpoint, usize);

/// Reads `introspection`.
pub fn read(node: &Node<'_>, services: Option<&Services>) -> Option<Configured> {
    let mut fields = node.fields()?;
    let service = services::reference(&mut fields, "service", services);
    let path = fields.required("path", "a path that starts with /", services::path);
    let client_id =
        fields.required("client_id", "the gateway's id at the issuer", |node| node.text());
    let secret = "the gateway's secret at the issuer, or {env: NAME}";
    let client_secret = fields.required("client_secret", secret, Node::secret);
    let hint = fields.optional("token_type_hint", |node| node.plain_text().map(str::to_owned));
    let require_issuer = fields.or("require_issuer", true, Node::flag);
    let cache = fields.or("cache", DEFAULT_CACHE, cache);
    fields.finish()?;
    let (ttl, negative_ttl, max_entries) = cache?;
    let endpoint = IntrospectionEndpoint {
        service: service?,
        path: path?,
        authorization: IntrospectionEndpoint::basic(client_id?, &client_secret?),
        token_type_hint: hint?,
        require_issuer: require_issuer?,
        ttl: Span::from_secs(ttl),
        negative_ttl: Span::from_secs(negative_ttl),
    };
    Some((endpoint, max_entries as usize))
}

/// Seconds for an active token, seconds for a refused one, entries.
const DEFAULT_CACHE: (u32, u32, u32) = (30, 5, 10_000);

fn cache(node: &Node<'_>) -> Option<(u32, u32, u32)> {
    let (ttl, negative_ttl, max_entries) = DEFAULT_CACHE;
    let mut fields = node.fields()?;
    let ttl = seconds(&mut fields, "ttl_seconds", ttl, 86_400);
    let negative_ttl = seconds(&mut fields, "negative_ttl_seconds", negative_ttl, 3600);
    let max_entries = fields.or("max_entries", max_entries, |node| node.integer(0..=1_000_000));
    fields.finish()?;
    Some((ttl?, negative_ttl?, max_entries?))
}
