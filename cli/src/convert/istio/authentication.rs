//! `RequestAuthentication`.

use gatepass::config::reader::Node;
use serde_json::{Map, Value, json};

use crate::convert::envoy::{Tokens, provider_of};
use crate::convert::issuers::{Issuers, Keys, inline_keys};
use crate::convert::url::Url;
use crate::convert::{ConvertError, Notes};

/// Reads the issuers.
pub(super) fn read(
    spec: &Node<'_>,
    issuers: &mut Issuers,
    tokens: &mut Tokens,
    notes: &mut Notes,
) -> Result<(), ConvertError> {
    let Some(rules) = rules(spec) else { return Ok(()) };
    for (issuer, provider, keys) in rules {
        let mut provider = provider_of(&provider).map_err(ConvertError::NotUnderstood)?;
        if let Some(keys) = keys {
            provider.keys = keys;
        }
        let url = Url::parse(&issuer);
        let name = url.as_ref().map_or(issuer.as_str(), Url::host);
        tokens.add(&issuers.unused(name), provider, issuers, notes);
    }
    Ok(())
}

type JwtRule = (String, Value, Option<Result<Keys, String>>);

fn rules(spec: &Node<'_>) -> Option<Vec<JwtRule>> {
    let mut fields = spec.fields()?;
    for field in ["selector", "target_ref", "target_refs"] {
        fields.of_kong(field);
    }
    let rules = fields.or("jwt_rules", Vec::new(), |node| node.list(rule));
    fields.finish()?;
    rules
}

/// An issuer as Envoy has it, and its keys where Envoy has none of that kind.
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
    let timeout = fields.node_of("timeout").map(|node| node.value().clone());
    fields.of_kong("space_delimited_claims");
    let headers = fields.or("from_headers", Vec::new(), |node| {
        node.list(|item| {
            let mut fields = item.fields()?;
            let name = fields.required("name", "a header", Node::text);
            let prefix = fields.or("prefix", "", |node| node.value().as_str());
            fields.finish()?;
            Some(json!({ "name": name?, "value_prefix": prefix? }))
        })
    });
    let claims = fields.or("output_claim_to_headers", Vec::new(), |node| {
        node.list(|item| {
            let mut fields = item.fields()?;
            let header = fields.required("header", "a header", Node::text);
            let claim = fields.required("claim", "a claim", Node::text);
            fields.finish()?;
            Some(json!({ "header_name": header?, "claim_name": claim? }))
        })
    });
    fields.finish()?;
    let (issuer, uri, inline) = (issuer?, uri?, inline?);
    provider.insert("issuer".to_owned(), issuer.into());
    provider.insert("from_headers".to_owned(), headers?.into());
    provider.insert("claim_to_headers".to_owned(), claims?.into());
    let keys = match (inline, uri) {
        (Some(text), _) => inline_keys(text),
        (None, Some(uri)) => fetched(uri, timeout.as_ref()),
        (None, None) => discovered(issuer),
    };
    Some((issuer.to_owned(), Value::Object(provider), Some(keys)))
}

fn fetched(uri: &str, timeout: Option<&Value>) -> Result<Keys, String> {
    let url = Url::parse(uri).ok_or_else(|| format!("its key set has the URL {uri:?}"))?;
    let seconds = timeout.and_then(Value::as_str).and_then(|it| it.strip_suffix('s')?.parse().ok());
    let timeout_ms = seconds.map(|seconds: u64| seconds.saturating_mul(1000));
    Ok(Keys::Fetched { upstream: None, url, timeout_ms, cache_seconds: None })
}

/// Istio asks the issuer where its keys are, unless it is told.
pub(in crate::convert) fn discovered(issuer: &str) -> Result<Keys, String> {
    let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let url = Url::parse(&document);
    url.map(|url| Keys::Discovered { url })
        .ok_or_else(|| "its issuer is no URL at which its keys could be found".to_owned())
}
