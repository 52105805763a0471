//! The built module loads on both hosts: it imports nothing that one of them
//! lacks, and exports what they call.
#![allow(clippy::expect_used, clippy::panic, unsafe_code, reason = "test code may fail loudly")]

mod host;

// What a test binary links natively, and these never run.
use gatepass as _;

use host::{Filter, surface};

extern "C" fn initialize() {
    panic!("nothing runs here")
}

const FILTER: Filter =
    Filter { initialize, module: host::built_module, configuration: |_| "".into(), clusters: &[] };

#[test]
fn the_module_fits_both_hosts() {
    let module = host::built_module().unwrap_or_else(|why| panic!("{why}"));
    let objections = surface::objections(&module);
    assert!(objections.is_empty(), "{objections:#?}");
}
