//! A provider of the kind `kong_jwt` does what Kong's jwt plugin (3.9.3) does,
//! row by row; where it does not, the row says why.
//!
//! `plugin` has the behaviours of the plugin, `spec` the cases of its own test
//! suite (spec/03-plugins/16-jwt/03-access_spec.lua), `credentials` what makes a
//! credential, `convert` how a kong.yml becomes a configuration, `opens` what must
//! stay protected in one, `model` the same for files and requests at random,
//! `abuse` how one could be turned against the gateway. Tokens are made by AWS-LC,
//! never by our own code.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod abuse;
mod controller;
mod convert;
mod credentials;
mod keys;
mod model;
mod opens;
mod plugin;
mod spec;
#[allow(dead_code)]
#[path = "../pipeline/support.rs"]
mod support;
mod table;
