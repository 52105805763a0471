//! The core of Gatepass, which turns the token that the public sent into a signed
//! identity that the services behind the gateway can trust.
//!
//! ```text
//!   door       what a host does, as events; what the gateway says, as host calls
//!                |  begin, body, reply, tick ...         ^  poll: actions
//!                v                                       |
//!   gateway    requests that wait, bodies, who may pass
//!                |
//!   pipeline   sanitize -> rule -> token -> verify -> revoked? -> consumer
//!                |         -> authorize -> user info -> mint -> forward, or deny
//!   domain     bearer rules sealing token keys introspection revocation
//!                |     consumer user_info identity denial
//!                |
//!   leaves     http host callout json secret time
//! ```
//!
//! It does no IO: time, environment, randomness and the replies of services are
//! arguments, so each part runs natively in tests. A door makes a filter of it for a
//! host: `wasm/` for the proxy-wasm hosts.
//! [`config`] builds the domain's types and nothing of the domain knows it. The
//! command in `cli/` asks the same [`pipeline`], natively.
//!
//! # What is kept, and what it depends on
//!
//! A gateway is one configuration: what it keeps itself depends on that
//! configuration too, and ends with it. What workers share outlives it, and is
//! found by other configurations, so each value in a
//! [`Slot`](shared_data) says all that it depends on.
//!
//! | kept | where | key | and what it depends on besides |
//! |---|---|---|---|
//! | sessions | gateway | the whole token | its provider's key set (the same object as now), the lists of revoked tokens (asked again when they change), the end of the token |
//! | identities | session | what the resource and the rule say of them (`TemplateKey`) | the user info it was made of, until that ends; the signing key, until another one signs |
//! | decisions on reference tokens | gateway | the whole token | the one provider that is asked; the lists; `ttl_seconds` |
//! | user info, and failures to get it | gateway | path, subject, and the token where it is sent on | the one service that is asked, its headers; the end of the token; `Cache-Control` |
//! | answers about users | the gateways of one configuration, in the native module for Envoy | where it was asked, and a digest of all that was sent | when it came; each gateway reads the reply for itself, and keeps it as of then |
//! | callouts in flight | gateway | what is asked: provider, user, token, or list and cursor | when they were sent |
//! | a provider's keys | gateway | the provider | as the shared value; the gateway's own keys, which it refuses |
//! | **keys** | shared | the address (upstream, authority, scheme) of the service and the path; or for `discovery` the address of both services, the document's path and the issuer | in the value: when it was asked for, until when it is current, and the path that the document led to, which a worker that was led elsewhere refuses |
//! | **revoked tokens** | shared | `revocation.ledger`, or the names and issuers of the providers | the order in which entries came |
//! | **proofs that could be used again** | shared, for all gateways of a proxy | the key's thumbprint and the `jti` | |
//! | **logout tokens of the last hour** | shared, for all gateways of a proxy | the issuer and the `jti` | |
//! | **tokens that alone may pass** | shared | the same, and the feed | |
//! | **how far a feed was read** | shared | within the list: the feed's address and path | when it was asked |
//!
//! `tests/pipeline/isolation.rs` holds pairs of configurations against this table.

pub mod access_log;
pub mod bearer;
pub mod binding;
mod bounded;
pub mod callout;
pub mod config;
pub mod consumer;
pub mod denial;
pub mod event;
pub mod gateway;
pub mod host;
pub mod http;
pub mod identity;
mod in_flight;
pub mod introspection;
pub mod json;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod network;
pub mod overrides;
pub mod pipeline;
pub mod refresh;
pub mod resource;
pub mod revocation;
pub mod rules;
mod schedule;
pub mod sealing;
pub mod secret;
mod seen;
mod session;
pub mod shared_data;
pub mod signals;
pub mod time;
pub mod token;
pub mod unreached;
pub mod user_info;
pub mod verdict;
