//! The paths at which the gateway publishes its keys: `jwks_path`, `pem_path` and
//! `discovery_path` of `identity_token`.

use super::reader::{Fields, Node};
use super::services;
use super::values::repeated;
use crate::identity::PublishedPaths;

/// Reads the paths.
pub fn paths(fields: &mut Fields<'_>) -> Option<PublishedPaths> {
    let default = "/.well-known/gatepass/jwks.json".to_owned();
    let jwks = fields.or("jwks_path", default, path);
    let pem = fields.optional("pem_path", path);
    let discovery = fields.optional("discovery_path", path);
    Some(PublishedPaths { jwks: jwks?, pem: pem?, discovery: discovery? })
}

/// Each document needs a path of its own, and the issuer's metadata needs an issuer with
/// an origin.
pub fn check(whole: &Node<'_>, paths: &PublishedPaths, has_origin: bool) -> Option<()> {
    if let Some(twice) = repeated(paths.all()) {
        let found = format_args!("the path {twice:?} for two documents");
        return whole.reject_as(found, "a path of its own for each document");
    }
    if paths.discovery.is_some() && !has_origin {
        let found = "discovery_path, and an issuer that is no URL";
        return whole.reject_as(found, "an issuer such as https://gateway.example.internal");
    }
    Some(())
}

fn path(node: &Node<'_>) -> Option<String> {
    let path = services::path(node)?;
    if path.contains('?') { node.reject("a path without a query") } else { Some(path) }
}
