//! Gatepass as a proxy-wasm filter, for Envoy and for Kong 3.9 and 3.10.
//!
//! It tells the gateway what happened and carries out the actions that come back.
//! It decides nothing by itself but how an action is done on this host.
//!
//! - `callbacks` is what the host calls, and knows the contexts.
//! - `root` is the plugin: configuration, ticks, replies.
//! - `filter` is one request.
//! - `shared` is what they have in common: the gateway and its callouts.
//! - `host` is the one place that calls the host, with the table of what hosts
//!   do differently; `nginx` is what only one of them needs.
//! - `protobuf` reads a configuration in the form that Envoy gives it.
//! - `abi` declares the host's functions, each of which may fail.
//! - `info` is what the host knows of a request.
//! - `metrics` defines the host's metrics and feeds them.
//! - `crypto` asks Envoy for the cryptography it has.
//! - `store` is the data that workers share.

mod abi;
mod callbacks;
mod crypto;
mod filter;
mod host;
mod info;
mod metrics;
mod nginx;
mod protobuf;
mod root;
mod shared;
mod store;

pub use callbacks::Held;

/// What the VM of this thread keeps of requests, for tests: nothing once they are
/// over.
#[doc(hidden)]
pub fn held() -> Held {
    callbacks::held()
}
