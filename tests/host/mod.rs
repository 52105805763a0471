//! A stateful fake host, in two characters and with two engines.
//!
//! `each_host!` makes one scenario into five tests: the filter linked into the
//! test binary ([`Engine::Native`]) and the built `.wasm` ([`Engine::Module`]),
//! each under [`Profile::Envoy`] and [`Profile::Kong`]; and the core alone, with
//! another door ([`Engine::InProcess`]). A scenario plays client,
//! upstream, called services and clock:
//!
//! ```ignore
//! mod host;
//! use host::{Filter, Host, Outcome, Profile, Reply, each_host};
//!
//! use gatepass as _; // links the filter
//! unsafe extern "C" { safe fn _initialize(); }
//! extern "C" fn initialize() { _initialize() }
//!
//! /// What `mod host` tests; looked up at the root of every test binary.
//! const FILTER: Filter = Filter {
//!     initialize,
//!     module: host::built_module,
//!     configuration: |profile| serde_json::json!({ "services": [] }),
//!     clusters: &["userinfo"],
//! };
//!
//! each_host!(user_info_decides, |host| {
//!     let request = host.request([("authorization", "Bearer x")]);
//!     assert_eq!(request.callout().path(), "/userinfo");
//!     request.answer(Reply::ok(r#"{"sub":"alice"}"#));
//!     assert_eq!(request.upstream_headers("x-consumer-username"), ["alice"]);
//! });
//! ```
//!
//! Nothing is scripted: the host holds state, calls read and change it. When
//! the filter breaks a rule of its host (a second local response, a header
//! with a line break, a trap, ...) that is a *violation*, and the test fails at
//! its end with the list. A scenario about such a case takes it out with
//! [`Host::take_violations`]. Requests still open at the end are closed, so
//! `proxy_on_done`, `_log` and `_delete` run in every scenario.
//!
//! `surface.rs` says what a module may import at all.
//!
//! Where Kong and Envoy differ, the difference is in `headers.rs` (what the
//! upstream really receives), `imports/` (what traps, what is refused) and
//! `machine.rs` (what happens after a trap or a failed start). Not modelled:
//! bodies of requests, gRPC calls, queues, size limits of the real hosts.
//!
//! For native runs: keep the filter's state in its contexts or in
//! `thread_local!`s. A thread is a VM, but a `static` is shared by all tests.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    unused_imports,
    unused_macros,
    reason = "test code may fail loudly, and no test binary uses all of it"
)]

pub mod abi;
mod exchange;
mod fake;
pub mod faults;
mod headers;
pub mod imports;
mod in_process;
mod lifecycle;
mod machine;
mod module;
mod native;
mod scenario;
mod secrets;
pub mod surface;
mod vm;
mod wasi;

pub use abi::Status;
pub use exchange::{Call, Head, Outcome, Reply, Response};
pub use fake::{LogLine, Profile};
pub use module::built_module;
pub use scenario::{Callout, Host, Plugin, Request, run};
pub use vm::Engine;

/// The filter under test: both of its forms, and how to start it.
#[derive(Clone, Copy)]
pub struct Filter {
    /// What the module exports as `_initialize`.
    pub initialize: extern "C" fn(),
    /// How much is in progress in the filter of this thread.
    pub in_progress: fn() -> usize,
    /// The module's bytes, or why there are none; see [`built_module`].
    pub module: fn() -> Result<Vec<u8>, String>,
    /// The configuration of a scenario that doesn't bring its own.
    pub configuration: fn(Profile) -> serde_json::Value,
    /// The clusters that Envoy knows; a call to any other is refused.
    pub clusters: &'static [&'static str],
}

/// One scenario as tests `name::{native,module}_{envoy,kong}`.
///
/// And as `name::in_process`, on a door of another kind: the core alone.
///
/// `each_host!(name, on Kong, |host| ...)` restricts it to one profile, `by
/// proxy_wasm` to the filter: what the scenario is about is the ABI's.
///
/// Interpreting the module takes thirty times as long as the same code natively, so a
/// scenario runs on it each time only where the ABI or the host's character is what it is
/// about: `by proxy_wasm`, `on` a profile, or `as built too`. `make fuzz` runs all others on
/// it; `name::native_*` proves them in `make test`.
macro_rules! each_host {
    ($name:ident, |$host:ident| $body:block) => {
        $crate::host::each_host!(@every $name, |$host| $body, #[ignore = "make fuzz runs it"]);
    };
    ($name:ident, as built too, |$host:ident| $body:block) => {
        $crate::host::each_host!(@every $name, |$host| $body,);
    };
    ($name:ident, by proxy_wasm, |$host:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn scenario($host: &$crate::host::Host) $body

            $crate::host::each_host!(@by_proxy_wasm);
        }
    };
    ($name:ident, on $profile:ident, |$host:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn scenario($host: &$crate::host::Host) $body

            $crate::host::each_host!(@test native, Native, $profile);
            $crate::host::each_host!(@test module, Module, $profile);
        }
    };
    (@every $name:ident, |$host:ident| $body:block, $(#[$built:meta])?) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn scenario($host: &$crate::host::Host) $body

            $crate::host::each_host!(@test in_process, InProcess, Envoy);
            $crate::host::each_host!(@by_proxy_wasm $(#[$built])?);
        }
    };
    (@by_proxy_wasm $(#[$built:meta])?) => {
        $crate::host::each_host!(@test native_envoy, Native, Envoy);
        $crate::host::each_host!(@test native_kong, Native, Kong);
        $crate::host::each_host!(@test module_envoy, Module, Envoy $(, #[$built])?);
        $crate::host::each_host!(@test module_kong, Module, Kong $(, #[$built])?);
    };
    (@test $test:ident, $engine:ident, $profile:ident $(, #[$built:meta])?) => {
        #[test]
        $(#[$built])?
        fn $test() {
            use $crate::host::{Engine, Profile};
            $crate::host::run(Engine::$engine, Profile::$profile, scenario);
        }
    };
}
pub(crate) use each_host;
