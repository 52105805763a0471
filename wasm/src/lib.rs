//! Gatepass as a proxy-wasm filter, for Envoy and for Kong 3.9 and 3.10.
//!
//! It reports events to the gateway and executes the resulting actions. Its only decision
//! is how to execute an action on this host.
//!
//! The host calls the proxy-wasm SDK, which keeps the contexts.
//!
//! - `start` is the entry point.
//! - `root` is the plugin: configuration, ticks, replies.
//! - `filter` is one request.
//! - `shared` is their common state: the gateway and its callouts.
//! - `host` is the only place that calls the host, with the table of differences; `nginx`
//!   handles one of them.
//! - `protobuf` reads a configuration in the form that Envoy gives it.
//! - `abi` declares the host's functions, each of which may fail, and lists the SDK's
//!   panics.
//! - `info` queries the host about a request.
//! - `metrics` defines the host's metrics and feeds them.
//! - `crypto` uses Envoy's cryptography.
//! - `store` is the data shared by workers.
//! - `in_progress` counts what is in progress, for tests.

mod abi;
mod crypto;
mod filter;
mod host;
mod in_progress;
mod info;
mod metrics;
mod nginx;
mod protobuf;
mod root;
mod shared;
mod store;

pub use in_progress::InProgress;

/// The entry point for the host.
mod start {
    #![allow(missing_docs, reason = "the macro makes a public function")]

    use proxy_wasm::traits::RootContext;

    use crate::root::Root;

    proxy_wasm::main! {{
        // Not the SDK's logger, which panics when the host rejects a line.
        gatepass::logging::send_to(crate::abi::log);
        proxy_wasm::set_root_context(|context_id| -> Box<dyn RootContext> {
            Box::new(Root::new(context_id))
        });
    }}
}

/// What is in progress in this thread's VM, for tests: nothing once its requests are over.
#[doc(hidden)]
pub fn in_progress() -> InProgress {
    in_progress::in_progress()
}
