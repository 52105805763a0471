//! What is in `examples/` beside the shop is true, and so is what starts it: configurations are accepted,
//! metrics and codes are those that there are.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod compose;
#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../providers/mod.rs"]
mod documented;
mod feed;
mod manifests;
mod operations;
mod providers;
#[allow(dead_code)]
#[path = "../pipeline/support.rs"]
mod support;

use std::fs;
use std::path::Path;

use gatepass::config;
use gatepass::pipeline::Settings;
use serde_json::Value;

/// A key for tests only: the private JWK of RFC 7515 appendix A.3.1.
const SIGNING_KEY: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

/// A file of the project.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_WORKSPACE_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents in a YAML file.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = serde_norway::Deserializer::from_str(&text);
    documents.map(|document| serde::Deserialize::deserialize(document).unwrap()).collect()
}

/// A configuration, which must be accepted.
fn load(configuration: &Value) -> Settings {
    let environment = |name: &str| match name {
        "GATEPASS_SIGNING_KEY" => Some(SIGNING_KEY.to_owned()),
        "USERS_API_KEY" => Some("users-api-key".to_owned()),
        name if name.starts_with("GATEPASS_") => Some("a-secret".to_owned()),
        _ => None,
    };
    config::load(configuration.to_string().as_bytes(), &environment, None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}
