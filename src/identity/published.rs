//! The gateway's own documents, for services that verify its tokens: its keys, and their
//! location.

use serde_json::{Map, Value, json};

use super::Minter;
use crate::http::Document;
use crate::keys::{Algorithm, SigningAlgorithm};
use crate::time::UnixTime;

/// The paths of its documents.
#[derive(Clone, Debug)]
pub struct PublishedPaths {
    /// The JWKS.
    pub jwks: String,
    /// The same keys as PEM blocks by `kid`.
    pub pem: Option<String>,
    /// The issuer's metadata: the location of its JWKS.
    pub discovery: Option<String>,
}

impl PublishedPaths {
    /// All paths.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let others = [&self.pem, &self.discovery].into_iter().filter_map(Option::as_deref);
        std::iter::once(self.jwks.as_str()).chain(others)
    }
}

/// A document of the gateway's own.
#[derive(Debug)]
pub enum Published {
    /// The keys.
    Keys(Document),
    /// The issuer's metadata, by which verifiers find the keys.
    Discovery(Document),
}

impl Minter {
    /// The document at `path`.
    pub fn published(&self, path: &[u8], now: UnixTime) -> Option<Published> {
        let PublishedPaths { jwks, pem, discovery } = self.keys.paths();
        let is = |own: &Option<String>| own.as_ref().is_some_and(|own| own.as_bytes() == path);
        if jwks.as_bytes() == path {
            return Some(Published::Keys(self.keys.jwks(now)));
        }
        if is(pem) {
            return Some(Published::Keys(self.keys.pem(now)));
        }
        is(discovery).then(|| Published::Discovery(self.discovery(now)))
    }

    /// The issuer's metadata (RFC 8414 section 2, OpenID Connect Discovery section 3):
    /// the members that verifiers read, and the statement that clients cannot get tokens
    /// from this issuer.
    fn discovery(&self, now: UnixTime) -> Document {
        let mut algorithms: Vec<&str> = Vec::new();
        for key in self.keys.published(now) {
            let name = name(key.key.algorithm());
            if !algorithms.contains(&name) {
                algorithms.push(name);
            }
        }
        let origin = origin(&self.issuer).unwrap_or_default();
        let jwks_uri = format!("{origin}{}", self.keys.paths().jwks);
        let document = json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "id_token_signing_alg_values_supported": algorithms,
            "subject_types_supported": ["public"],
            "response_types_supported": [],
            "grant_types_supported": [],
        });
        Document::new("application/json", document.to_string())
    }
}

fn name(algorithm: SigningAlgorithm) -> &'static str {
    Algorithm::from(algorithm).name()
}

/// Scheme and authority of an issuer that is a URL.
pub fn origin(issuer: &str) -> Option<&str> {
    let rest = ["https://", "http://"].into_iter().find_map(|it| issuer.strip_prefix(it))?;
    let authority = rest.split(['/', '?', '#']).next().filter(|it| !it.is_empty())?;
    let length = issuer.len().checked_sub(rest.len())?.checked_add(authority.len())?;
    issuer.get(..length)
}

/// Keys as PEM blocks by their ids, as Google's identity-aware proxy publishes them.
pub(super) fn pem_document(keys: impl Iterator<Item = (String, String)>) -> Document {
    let keys: Map<String, Value> = keys.map(|(id, pem)| (id, pem.into())).collect();
    Document::new("application/json", Value::Object(keys).to_string())
}
