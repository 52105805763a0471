//! The built module in a real Envoy, with real services around it.
//!
//! Each test has the bundled configuration or an edited copy of it, in an Envoy of its
//! own or as a listener of one that many have (see [`gateway::Setup`]), and the services
//! of the shop. When it ends, what Envoy wrote is searched for secrets, and what it
//! counted for filters that died; see [`gateway::Gateway`].
//!
//! Needs `make wasm` and the Envoy of `.ci/install-envoy`, as `make test` does.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may fail"
)]

mod access;
mod as_they_come;
mod bound;
mod bound_attacks;
mod browsers;
mod bytes;
mod chains;
mod denials;
mod dpop_clients;
mod frames;
#[allow(dead_code, reason = "shared with tests/faults")]
mod gateway;
mod grpc_filters;
mod host_settings;
mod hostile_heads;
mod hostile_paths;
mod hostile_resources;
mod hostile_tokens;
mod http2;
mod identity;
mod keys;
mod kubernetes;
mod load;
mod login_service;
mod native;
mod observability;
mod open_shop;
mod providers;
mod rate_limit;
mod reference_tokens;
mod refused;
mod replaced;
mod resources;
mod revocation;
mod sealed_tokens;
mod servers;
mod shop;
mod shop_clients;
mod signals;
mod spellings;
mod streams;
mod token_service;
mod tokens;
mod user_info;
mod wire;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../clients/mod.rs"]
mod clients;
#[path = "../providers/mod.rs"]
mod documented;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../protobuf/mod.rs"]
mod protobuf;
#[path = "../../examples/shop/stack.rs"]
mod stack;
