//! Gatepass, a proxy-wasm filter: it turns the token that the public sent into
//! a signed identity that the services behind the gateway can trust.
//!
//! ```text
//!            request                                      callouts
//!               |                                            |
//!   proxy    Filter --------------- Shared ---------------- Root
//!               |                      |
//!   gateway   begin / resume / land / tick     (state that requests share)
//!               |
//!   pipeline  cleanse -> rule -> token -> verify -> revoked? -> consumer
//!               |         -> authorize -> user info -> mint -> forward, or deny
//!   domain    hygiene rules sealing token keys introspection revocation
//!               |     consumer user_info identity denial
//!               |
//!   leaves    http callout json secret time
//! ```
//!
//! Everything but [`proxy`] is sans-IO: time, environment, randomness and the
//! replies of services are arguments, so each part runs natively in tests.
//! [`config`] builds the domain's types and nothing of the domain knows it. The
//! command in `src/bin/gatepass` asks the same [`gateway`], natively.

mod bounded;
pub mod callout;
pub mod config;
pub mod consumer;
pub mod denial;
pub mod event;
mod flights;
pub mod gateway;
pub mod http;
pub mod hygiene;
pub mod identity;
pub mod introspection;
pub mod json;
pub mod keys;
pub mod metrics;
mod pipeline;
pub mod proxy;
pub mod refresh;
pub mod revocation;
pub mod rules;
mod schedule;
pub mod sealing;
pub mod secret;
mod session;
pub mod shared_data;
pub mod time;
pub mod token;
pub mod user_info;
pub mod verdict;
