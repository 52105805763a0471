//! The filter that the scenarios are about.

use gatepass_wasm as _;

use crate::host::{self, Filter, Profile};

unsafe extern "C" {
    safe fn _initialize();
}

extern "C" fn initialize() {
    _initialize();
}

fn held() -> usize {
    let gatepass_wasm::Held { contexts, requests, .. } = gatepass_wasm::held();
    let gatepass::gateway::Held { waiting, awaited, bodies, passing, followed } = requests;
    contexts + waiting + awaited + bodies + passing + followed
}

/// What `mod host` tests.
pub const FILTER: Filter = Filter {
    initialize,
    held,
    module: host::built_module,
    configuration: |_: Profile| panic!("a scenario starts with shop::open"),
    clusters: &["auth", "users"],
};
