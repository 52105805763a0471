//! The filter that the scenarios are about.

use gatepass_wasm as _;

use crate::host::{self, Filter, Profile};

unsafe extern "C" {
    safe fn _initialize();
}

extern "C" fn initialize() {
    _initialize();
}

fn in_progress() -> usize {
    let gatepass_wasm::InProgress { contexts, requests, .. } = gatepass_wasm::in_progress();
    let gatepass::gateway::InProgress { waiting, awaited, bodies, passing, ending_with_token } =
        requests;
    contexts + waiting + awaited + bodies + passing + ending_with_token
}

/// What `mod host` tests.
pub const FILTER: Filter = Filter {
    initialize,
    in_progress,
    module: host::built_module,
    configuration: |_: Profile| panic!("a scenario starts with shop::open"),
    clusters: &["auth", "users"],
};
