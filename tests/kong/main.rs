//! The plugin for Kong, in a real nginx with LuaJIT: a stub of Kong's PDK calls its phases
//! as Kong does, and the shop's services are around it.
//!
//! Needs the nginx of `.ci/install-nginx`, as `make test` does.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test may fail"
)]

mod bound;
mod callouts;
mod consumers;
mod denials;
mod files;
mod hygiene;
mod logins;
mod main_path;
mod matrix;
mod nginx;
mod preflights;
mod protocols;
mod resources;
mod revocation;
mod workers;

#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../clients/mod.rs"]
mod clients;
#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../envoy/login_service.rs"]
mod login_service;
#[path = "../../examples/shop/stack.rs"]
mod stack;
#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../envoy/tokens.rs"]
mod tokens;
#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../envoy/wire.rs"]
mod wire;

// The matrix of services that fail, which an Envoy has too.
#[allow(dead_code, reason = "shared with tests/faults")]
#[path = "../faults/asking.rs"]
mod asking;
#[path = "../faults/client.rs"]
mod client;
#[path = "../faults/contract.rs"]
mod contract;
#[path = "../faults/fault.rs"]
mod fault;
#[path = "../faults/filter.rs"]
mod filter;
#[allow(dead_code, reason = "shared with tests/faults")]
#[path = "../faults/outcome.rs"]
mod outcome;
#[allow(dead_code, reason = "shared with tests/faults")]
#[path = "../faults/service.rs"]
mod service;
