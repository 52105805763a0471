//! `sealed_tokens`: tokens that clients hold only in sealed form.

use std::rc::Rc;

use super::reader::Node;
use super::rules;
use super::services::{self, Services};
use super::values::{in_build, repeated, token_name};
use crate::bearer::TokenSources;
use crate::features;
use crate::pipeline::Limits;
use crate::rules::{Access, Matcher, Requirements, Rule, Rules};
use crate::sealing::{InvalidSealKeys, Login, Logins, SealKey, SealKeys, SealedTokens};

/// Reads `sealed_tokens`; `sources`: where sealed tokens are read from, if that is
/// configured; `limits`: how ambiguous paths are handled.
pub fn read(
    node: &Node<'_>,
    services: Option<&Services>,
    sources: Option<&Option<TokenSources>>,
    limits: Option<&Limits>,
) -> Option<SealedTokens> {
    let feature = in_build(node, features::SealedTokens::proof())?;
    let mut fields = node.fields()?;
    let keys = fields.required("keys", "a list of keys", keys);
    let logins = fields.or("logins", Vec::new(), |node| node.list(|item| login(item, services)));
    let node = fields.node().clone();
    fields.finish()?;
    let forwards = sources.and_then(Option::as_ref).is_some_and(|sources| sources.forward);
    if forwards {
        return node.reject_as(
            "sealed tokens with token.forward",
            "sealed_tokens without token.forward: no service can read a sealed token",
        );
    }
    let (rules, logins) = logins?.into_iter().unzip();
    let paths = limits.map(|limits| limits.paths).unwrap_or_default();
    let rules = Rules::new(rules, Requirements::default(), paths);
    Some(SealedTokens {
        keys: Rc::new(keys?),
        logins: Rc::new(Logins::new(rules, logins)),
        feature,
    })
}

fn keys(node: &Node<'_>) -> Option<SealKeys> {
    const KEY: &str = "32 bytes in base64, as openssl rand -base64 32 makes them";
    let keys = node.full_list(|item| {
        let secret = item.secret()?;
        let key = SealKey::parse(secret.expose());
        key.map_err(|_| item.reject_as::<()>("a text of another form", KEY)).ok()
    })?;
    match SealKeys::new(keys) {
        Ok(keys) => Some(keys),
        Err(InvalidSealKeys::None) => node.reject("a list with at least one element"),
        Err(InvalidSealKeys::Repeated) => node.reject_as("a key twice", "each key once"),
    }
}

fn login(node: &Node<'_>, services: Option<&Services>) -> Option<(Rule, Login)> {
    const MATCH: &str = "an object with path, path_prefix, path_starts_with or path_template";
    let mut fields = node.fields()?;
    let matcher = fields.required("match", MATCH, |node| match rules::matcher(node)? {
        // All requests would go to one service, and need no token.
        Matcher { path: None, .. } => node.reject(MATCH),
        // An uncertain request would pass without sealing.
        Matcher { conditions, .. } if conditions.mcp.is_some() => {
            node.reject_as("mcp in the match of a login", MATCH)
        }
        matcher => Some(matcher),
    });
    let service = services::reference(&mut fields, "service", services);
    let json = fields.or("json", Vec::new(), |node| distinct(node, services::pointer));
    let cookies = fields.or("cookies", Vec::new(), |node| distinct(node, token_name));
    let node = fields.node().clone();
    fields.finish()?;
    let (json, cookies) = (json?, cookies?);
    if json.is_empty() && cookies.is_empty() {
        return node.reject_as("no place of a token", "json or cookies: where the tokens are");
    }
    let rule = Rule { matcher: matcher?, access: Access::Bypass, identity: None };
    Some((rule, Login { service: service?, json, cookies }))
}

/// A list without duplicates.
fn distinct<'a>(
    node: &Node<'a>,
    read: impl Fn(&Node<'a>) -> Option<String>,
) -> Option<Vec<String>> {
    let names = node.list(read)?;
    match repeated(&names) {
        Some(name) => node.reject_as(format_args!("{name:?} twice"), "each place once"),
        None => Some(names),
    }
}
