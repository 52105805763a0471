//! Gatepass as a proxy-wasm filter, for Envoy and for Kong 3.9 and 3.10.
//!
//! It tells the gateway what happened and carries out the actions that come back.
//! It decides nothing by itself but how an action is done on this host.
//!
//! What the host calls is the proxy-wasm SDK's, which knows the contexts.
//!
//! - `start` is what the host calls first.
//! - `root` is the plugin: configuration, ticks, replies.
//! - `filter` is one request.
//! - `shared` is what they have in common: the gateway and its callouts.
//! - `host` is the one place that calls the host, with the table of what hosts
//!   do differently; `nginx` is what only one of them needs.
//! - `protobuf` reads a configuration in the form that Envoy gives it.
//! - `abi` declares the host's functions, each of which may fail, and says what the
//!   SDK does that is no value.
//! - `info` is what the host knows of a request.
//! - `metrics` defines the host's metrics and feeds them.
//! - `crypto` asks Envoy for the cryptography it has.
//! - `store` is the data that workers share.
//! - `held` tells tests what is kept of requests.

mod abi;
mod crypto;
mod filter;
mod held;
mod host;
mod info;
mod metrics;
mod nginx;
mod protobuf;
mod root;
mod shared;
mod store;

pub use held::Held;

/// What the host calls first.
mod start {
    #![allow(missing_docs, reason = "the macro makes a public function")]

    use proxy_wasm::traits::RootContext;

    use crate::root::Root;

    proxy_wasm::main! {{
        // Not the SDK's, which panics where the host does not take a line.
        gatepass::logging::send_to(crate::abi::log);
        proxy_wasm::set_root_context(|context_id| -> Box<dyn RootContext> {
            Box::new(Root::new(context_id))
        });
    }}
}

/// What the VM of this thread keeps of requests, for tests: nothing once they are
/// over.
#[doc(hidden)]
pub fn held() -> Held {
    held::held()
}
