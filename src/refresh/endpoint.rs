//! The location of a provider's keys.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::callout::Service;
use crate::time::Span;
use crate::token::Issuer;

/// How to fetch a JWKS: `remote_jwks` or `discovery` in the configuration.
#[derive(Debug)]
pub struct JwksEndpoint {
    /// The service with the keys.
    pub service: Rc<Service>,
    /// Their location there.
    pub location: JwksLocation,
    /// How long a fetched set counts as current, at most.
    pub cache: Span,
    /// How long after that it is used while fetches fail.
    pub max_stale: Span,
    /// How long a key id counts as unknown after the set was fetched for it.
    pub unknown_kid_cooldown: Span,
}

/// How the path of a JWKS is determined.
#[derive(Debug)]
pub enum JwksLocation {
    /// It is configured.
    Path(String),
    /// It is in the issuer's discovery document.
    Discovered {
        /// The service with the document.
        service: Rc<Service>,
        /// The document's path.
        path: String,
        /// The issuer that the document must name.
        issuer: Issuer,
    },
}

impl JwksEndpoint {
    /// Everything that determines which keys are fetched. The times only determine when.
    ///
    /// Each field is named here, so that a new one cannot be forgotten.
    pub(super) fn identity(&self) -> Value {
        let Self { service, location, cache: _, max_stale: _, unknown_kid_cooldown: _ } = self;
        let keys = service.identity();
        match location {
            JwksLocation::Path(path) => json!({"service": keys, "path": path}),
            JwksLocation::Discovered { service, path, issuer } => json!({
                "service": keys,
                "discovery": {"service": service.identity(), "path": path, "issuer": issuer.text()},
            }),
        }
    }
}
