//! The built module loads on both hosts: it imports nothing that one of them
//! lacks, and exports what they call.
#![allow(clippy::expect_used, clippy::panic, unsafe_code, reason = "test code may fail loudly")]

#[path = "../cli/src/capabilities.rs"]
mod capabilities;
mod host;

// What a test binary links natively, and these never run.
use gatepass_wasm as _;

use host::{Filter, surface};

extern "C" fn initialize() {
    panic!("nothing runs here")
}

const FILTER: Filter = Filter {
    initialize,
    in_progress: || 0,
    module: host::built_module,
    configuration: |_| "".into(),
    clusters: &[],
};

#[test]
fn the_module_fits_both_hosts() {
    let module = host::built_module().unwrap_or_else(|why| panic!("{why}"));
    let objections = surface::objections(&module);
    assert!(objections.is_empty(), "{objections:#?}");
}

/// What `check` and the manual say that Envoy must allow is what the module has.
#[test]
fn envoy_must_allow_what_the_module_calls_and_is_called_for() {
    let module = host::built_module().unwrap_or_else(|why| panic!("{why}"));
    let module = wasmi::Module::new(&wasmi::Engine::default(), &module[..]).expect("a module");
    let is_carried = |name: &str| surface::CARRIED_IMPORTS.contains(&&*format!("env.{name}"));
    let imports = module.imports().map(|import| import.name());
    let mut imports: Vec<_> = imports.filter(|name| !is_carried(name)).collect();
    let mut needed = capabilities::FUNCTIONS.to_vec();
    imports.sort_unstable();
    needed.sort_unstable();
    assert_eq!(imports, needed);
    let exports: Vec<_> = module.exports().map(|export| export.name()).collect();
    for callback in capabilities::CALLBACKS {
        assert!(exports.contains(callback), "{callback}");
    }
    let page = include_str!("../docs/install-envoy.md");
    let (_, section) =
        page.split_once("\n## Capabilities that the filter needs\n").expect("the section");
    for name in [capabilities::FUNCTIONS, capabilities::CALLBACKS].concat() {
        assert!(section.contains(&format!("`{name}`")), "{name} is not in the manual");
    }
}
