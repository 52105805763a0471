//! The way of a request through the gateway, as scenarios without a host: what
//! goes in is a request, the time and the replies of services; what comes out
//! is checked as the upstream, the client or the service would see it.
//!
//! Public tokens are made and identity tokens verified by `jsonwebtoken`, never
//! by our own code.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod attacks;
mod bound;
mod bound_attacks;
mod browsers;
mod calls;
mod claims;
mod coalescing;
mod counted;
mod counterparts;
mod denials;
mod forwarding;
mod headers;
mod hostile;
mod identity;
mod introspection;
mod isolation;
mod issuers;
mod keys;
mod mcp;
mod memory;
mod messages;
mod proofs;
mod purposes;
mod regressions;
mod replace;
mod resources;
mod revocation;
mod rules;
mod sealed_tokens;
mod signal_attacks;
mod signals;
mod stages;
mod support;
mod two_providers;
mod user_info;
mod verifier;
mod waiting;
