//! What the filter does on its hosts: every scenario runs natively and on the
//! built module, on Envoy and on Kong.
//!
//! After each of them the harness looks for broken rules of the host and for
//! secrets in log lines and answers; see `tests/host`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "test code may fail loudly"
)]

#[path = "../host/mod.rs"]
mod host;

mod configuration;
mod denials;
mod hygiene;
mod keys;
mod limits;
mod main_path;
mod paths;
mod plugins;
mod shop;
mod user_info;
mod waiting;

use gatepass as _;
use host::{Filter, Profile};

unsafe extern "C" {
    safe fn _initialize();
}

extern "C" fn initialize() {
    _initialize();
}

/// What `mod host` tests.
const FILTER: Filter = Filter {
    initialize,
    module: host::built_module,
    configuration: |_: Profile| panic!("a scenario starts with shop::open"),
    clusters: &["auth", "users"],
};
