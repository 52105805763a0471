//! The adapter: the only module that knows proxy-wasm.
//!
//! It gathers what the core asks for, makes one core call, and carries out the
//! step that comes back. It decides nothing by itself but how a step is done on
//! this host.
//!
//! - `root` is the plugin: configuration, ticks, replies to its own callouts.
//! - `filter` is one request.
//! - `shared` is what they have in common: the gateway and who waits.
//! - `host` is the one place that calls the host, with the table of what hosts
//!   do differently.
//! - `abi` is the part of that which every request needs, and which the SDK makes
//!   costly.
//! - `facts` is what the host knows of a request.
//! - `metrics` defines the host's metrics and feeds them.
//! - `crypto` asks Envoy for the cryptography it has.
//! - `store` is the data that workers share.

mod abi;
mod crypto;
mod facts;
mod filter;
mod host;
mod metrics;
mod root;
mod shared;
mod store;

/// What the host calls first.
mod start {
    #![allow(missing_docs)] // the macro makes a public function

    use proxy_wasm::traits::RootContext;
    use proxy_wasm::types::LogLevel;

    use super::root::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|context_id| -> Box<dyn RootContext> {
            Box::new(Root::new(context_id))
        });
    }}
}
