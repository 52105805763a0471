//! `RequestAuthentication`.

use std::collections::BTreeSet;

use gatepass::config::reader::Node;
use serde_json::{Map, Value};

use crate::convert::envoy::{Tokens, claim_of, millis, provider_of, source_of};
use crate::convert::issuers::{Issuers, Keys, discovered, inline_keys};
use crate::convert::url::Url;
use crate::convert::{ConvertError, Notes};

/// Reads the issuers, and the claims whose text is a list of words.
pub(super) fn read(
    spec: &Node<'_>,
    issuers: &mut Issuers,
    tokens: &mut Tokens,
    words: &mut BTreeSet<String>,
    notes: &mut Notes,
) -> Result<(), ConvertError> {
    let Some(rules) = rules(spec) else { return Ok(()) };
    for JwtRule { issuer, provider, keys, words: own } in rules {
        words.extend(own);
        let mut provider = provider_of(&provider).map_err(ConvertError::NotUnderstood)?;
        provider.keys = keys;
        let url = Url::parse(&issuer);
        let name = url.as_ref().map_or(issuer.as_str(), Url::host);
        tokens.add(&issuers.unused(name), provider, issuers, notes);
    }
    Ok(())
}

/// An issuer as Envoy has it, and its keys where Envoy has none of that kind.
struct JwtRule {
    issuer: String,
    provider: Value,
    keys: Result<Keys, String>,
    /// Claims whose text is a list of words, beside those that always are.
    words: Vec<String>,
}

fn rules(spec: &Node<'_>) -> Option<Vec<JwtRule>> {
    let mut fields = spec.fields()?;
    for field in ["selector", "target_ref", "target_refs"] {
        fields.ignored(field);
    }
    let rules = fields.or("jwt_rules", Vec::new(), |node| node.list(rule));
    fields.finish()?;
    rules
}

fn rule(node: &Node<'_>) -> Option<JwtRule> {
    let mut fields = node.fields()?;
    let issuer = fields.required("issuer", "the iss of tokens", Node::text);
    let uri = fields.optional("jwks_uri", Node::text);
    let inline = fields.optional("jwks", Node::text);
    let mut provider = Map::new();
    for (own, envoys) in [
        ("audiences", "audiences"),
        ("from_params", "from_params"),
        ("from_cookies", "from_cookies"),
        ("forward_original_token", "forward"),
        ("output_payload_to_header", "forward_payload_header"),
    ] {
        let value = fields.node_of(own).map(|node| node.value().clone());
        provider.extend(value.map(|value| (envoys.to_owned(), value)));
    }
    let timeout_ms = fields.optional("timeout", millis);
    let words = fields.or("space_delimited_claims", Vec::new(), Node::texts);
    let headers =
        fields.or("from_headers", Vec::new(), |node| node.list(|it| source_of(it, "prefix")));
    let claims = fields.or("output_claim_to_headers", Vec::new(), |node| node.list(claim_of));
    fields.finish()?;
    let (issuer, uri, inline, timeout_ms) = (issuer?, uri?, inline?, timeout_ms?);
    provider.insert("issuer".to_owned(), issuer.into());
    provider.insert("from_headers".to_owned(), headers?.into());
    provider.insert("claim_to_headers".to_owned(), claims?.into());
    let keys = match (inline, uri) {
        (Some(text), _) => inline_keys(text),
        (None, Some(uri)) => fetched(uri, timeout_ms),
        // Istio asks the issuer.
        (None, None) => discovered(issuer),
    };
    let provider = Value::Object(provider);
    Some(JwtRule { issuer: issuer.to_owned(), provider, keys, words: words? })
}

fn fetched(uri: &str, timeout_ms: Option<u64>) -> Result<Keys, String> {
    let url = Url::parse(uri).ok_or_else(|| format!("its key set has the URL {uri:?}"))?;
    Ok(Keys::Fetched { upstream: None, url, timeout_ms, cache_seconds: None })
}
