//! The core of Gatepass: turns the public token of a request into a signed identity that
//! the services behind the gateway can trust.
//!
//! ```text
//!   door       turns host events into gateway calls, and actions into host calls
//!                |  begin, body, reply, tick ...         ^  poll: actions
//!                v                                       |
//!   gateway    requests that wait, bodies, who may pass
//!                |
//!   pipeline   sanitize -> rule -> token -> verify -> revoked? -> consumer
//!                |         -> authorize -> user info -> mint -> forward, or deny
//!   domain     bearer rules sealing token keys introspection revocation
//!                |     consumer user_info identity denial
//!                |
//!   leaves     features http host callout json secret time
//! ```
//!
//! It does no IO: time, environment, randomness and the replies of services are
//! arguments, so each part runs natively in tests. A door turns it into a filter for one
//! kind of host, such as `wasm/` for proxy-wasm. [`config`] builds the domain's types;
//! the domain does not depend on it. The command in `cli/` runs the same [`pipeline`],
//! natively.
//!
//! # What is kept, and what it depends on
//!
//! A gateway is one configuration: its own state depends on that configuration too, and
//! ends with it. Shared data outlives it and is visible to other configurations, so each
//! value in a [`Slot`](shared_data) names everything it depends on.
//!
//! | kept | where | key | and what it depends on besides |
//! |---|---|---|---|
//! | sessions | gateway | the whole token | its provider's key set (the same object as now), the lists of revoked tokens (checked again when they change), the expiry of the token |
//! | identities | session | what the resource and the rule define (`TemplateKey`) | the user info it was made from, until that expires; the signing key, until another one signs |
//! | decisions on reference tokens | gateway | the whole token | the one provider with introspection; the lists; `ttl_seconds` |
//! | user info, and failures to get it | gateway | path, subject, and the token where it is forwarded | the one user service, its headers; the expiry of the token; `Cache-Control` |
//! | answers about users | the gateways of one configuration, in the native module for Envoy | the service, and a digest of the whole request to it | its time of arrival; each gateway parses the reply itself, and caches it as of that time |
//! | callouts in flight | gateway | their purpose: provider, user, token, or list and cursor | when they were sent |
//! | a provider's keys | gateway | the provider | those of the shared value; the gateway's own keys, which it refuses |
//! | **keys** | shared | the address (upstream, authority, scheme) of the service and the path; or for `discovery` the address of both services, the document's path and the issuer | in the value: when it was fetched, until when it is current, and the path that the document named; a worker whose document names another path refuses it |
//! | **revoked tokens** | shared | `revocation.ledger`, or the names and issuers of the providers | the order in which entries arrived |
//! | **proofs that could be replayed** | shared, for all gateways of a proxy | the key's thumbprint and the `jti` | |
//! | **logout tokens of the last hour** | shared, for all gateways of a proxy | the issuer and the `jti` | |
//! | **the allowlist of tokens** | shared | the same, and the feed | |
//! | **how far a feed was read** | shared | within the list: the feed's address and path | when it was read |
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
mod distinct;
pub mod event;
pub mod features;
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
