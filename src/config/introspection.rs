//! `introspection` of a provider: its endpoint for reference tokens.

use super::reader::{Fields, Node};
use super::services::{self, Services};
use super::values::seconds;
use crate::callout::Service;
use crate::http::{HeaderName, is_bearer_token};
use crate::introspection::{ClientAuth, IntrospectionEndpoint};
use crate::secret::Secret;
use crate::time::Span;

/// The endpoint, and the number of cached answers.
pub type Configured = (IntrospectionEndpoint, usize);

/// Reads `introspection`.
pub fn read(node: &Node<'_>, services: Option<&Services>) -> Option<Configured> {
    let mut fields = node.fields()?;
    let service = services::reference(&mut fields, "service", services);
    let path = fields.required("path", "a path that starts with /", services::path);
    let client = client_auth(&mut fields, service.as_deref());
    let jwts = fields.or("jwts", false, Node::flag);
    let hint = fields.optional("token_type_hint", |node| node.plain_text().map(str::to_owned));
    let require_issuer = fields.or("require_issuer", true, Node::flag);
    let cache = fields.or("cache", DEFAULT_CACHE, cache);
    fields.finish()?;
    let (ttl, negative_ttl, max_entries) = cache?;
    let endpoint = IntrospectionEndpoint {
        service: service?,
        path: path?,
        client: client?,
        jwts: jwts?,
        token_type_hint: hint?,
        require_issuer: require_issuer?,
        ttl: Span::from_secs(ttl),
        negative_ttl: Span::from_secs(negative_ttl),
    };
    Some((endpoint, max_entries as usize))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Basic,
    BasicRaw,
    Post,
    Bearer,
}

/// `client_id`, `client_secret` and `client_auth`. A bearer token needs no id.
fn client_auth(fields: &mut Fields<'_>, service: Option<&Service>) -> Option<ClientAuth> {
    const SCHEMES: [(&str, Scheme); 4] = [
        ("basic", Scheme::Basic),
        ("basic_raw", Scheme::BasicRaw),
        ("post", Scheme::Post),
        ("bearer", Scheme::Bearer),
    ];
    let whole = fields.node().clone();
    let scheme = fields.or("client_auth", Scheme::Basic, |node| node.one_of(&SCHEMES));
    let secret = match scheme {
        Some(Scheme::Bearer) => "the gateway's token at the issuer, or {env: NAME}",
        _ => "the gateway's secret at the issuer, or {env: NAME}",
    };
    let client_secret = fields.required("client_secret", secret, Node::secret);
    if scheme == Some(Scheme::Bearer) {
        let id = fields.optional("client_id", Node::text);
        services::check_header(&whole, service, &HeaderName::authorization())?;
        id?;
        return bearer(&whole, &client_secret?);
    }
    let client_id = fields.required("client_id", "the gateway's id at the issuer", Node::text);
    let scheme = scheme?;
    if scheme != Scheme::Post {
        services::check_header(&whole, service, &HeaderName::authorization())?;
    }
    let (client_id, client_secret) = (client_id?, client_secret?);
    match scheme {
        Scheme::BasicRaw if client_id.contains(':') => whole.reject_as(
            "a client_id with a colon, which would end it",
            "basic, post or an id without a colon",
        ),
        Scheme::BasicRaw => Some(ClientAuth::basic_raw(client_id, &client_secret)),
        Scheme::Post => Some(ClientAuth::post(client_id, &client_secret)),
        Scheme::Basic | Scheme::Bearer => Some(ClientAuth::basic(client_id, &client_secret)),
    }
}

fn bearer(node: &Node<'_>, token: &Secret<String>) -> Option<ClientAuth> {
    if !is_bearer_token(token.expose().as_bytes()) {
        return node.reject_as("a client_secret with other characters", "a bearer token");
    }
    Some(ClientAuth::bearer(token))
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
