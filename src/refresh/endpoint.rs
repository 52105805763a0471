//! Where a provider has its keys.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::callout::Service;
use crate::time::Span;
use crate::token::Issuer;

/// Where and when to fetch a JWKS: `remote_jwks` or `discovery` in the
/// configuration.
#[derive(Debug)]
pub struct JwksEndpoint {
    /// The service that has the keys.
    pub service: Rc<Service>,
    /// Where it has them.
    pub location: JwksLocation,
    /// How long a fetched set is taken as current, at most.
    pub cache: Span,
    /// How long it is used beyond that while fetches fail.
    pub max_stale: Span,
    /// How long it is settled that a key id is unknown, for which the set was
    /// fetched.
    pub unknown_kid_cooldown: Span,
}

/// How the path of a JWKS is known.
#[derive(Debug)]
pub enum JwksLocation {
    /// It is configured.
    Path(String),
    /// It is in the issuer's discovery document.
    Discovered {
        /// The service that has the document.
        service: Rc<Service>,
        /// The document's path.
        path: String,
        /// The issuer that it must name.
        issuer: Issuer,
    },
}

impl JwksEndpoint {
    /// All that decides which keys are fetched. The times only say when.
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
