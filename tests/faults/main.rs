//! Services that fail, and clients that mean no good, on a real Envoy.
//!
//! [`matrix`] has every fault of every service in every state, each with the
//! outcome that [`contract`] derives; [`load`] has many requests at once, and [`others`] who
//! does nothing wrong beside each kind of [`flood`] over HTTP/2.
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

mod asking;
mod client;
mod contract;
#[allow(dead_code, reason = "shared with benches/faults")]
mod everything;
mod fault;
mod filter;
#[allow(dead_code, reason = "shared with benches/faults")]
mod flood;
mod load;
mod matrix;
mod others;
mod outcome;
#[allow(dead_code, reason = "shared with benches/faults")]
mod service;
mod setup;
#[allow(dead_code, reason = "shared with benches/faults")]
mod traffic;

#[path = "../clients/mod.rs"]
#[allow(dead_code, reason = "shared")]
mod clients;
#[path = "../envoy/frames/wire.rs"]
#[allow(dead_code, reason = "shared")]
mod frames;
#[path = "../envoy/gateway.rs"]
#[allow(dead_code, reason = "shared")]
mod gateway;
#[path = "../../examples/shop/stack.rs"]
mod stack;
#[path = "../envoy/tokens.rs"]
#[allow(dead_code, reason = "shared")]
mod tokens;
#[path = "../envoy/wire.rs"]
#[allow(dead_code, reason = "shared")]
mod wire;
