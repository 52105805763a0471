//! The fake host itself: every rule that tells Kong from Envoy, shown on a
//! filter that does as it is told.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "test code may fail loudly"
)]

#[path = "../host/mod.rs"]
mod host;
#[path = "../probe/mod.rs"]
mod probe;

mod callouts;
mod headers;
mod runtime;

use host::{Engine, Filter, Host, Profile, Request};

extern "C" fn initialize() {
    probe::_initialize();
}

/// Set, these tests run the probe as a module too (it is built by hand:
/// a `cdylib` crate whose only file is `tests/probe/mod.rs`).
fn probe_module() -> Result<Vec<u8>, String> {
    let path = std::env::var_os("PROBE_WASM").ok_or("no $PROBE_WASM")?;
    #[allow(clippy::disallowed_methods)]
    std::fs::read(path).map_err(|error| error.to_string())
}

const FILTER: Filter = Filter {
    initialize,
    in_progress: || 0,
    module: probe_module,
    configuration: |_| "".into(),
    clusters: &["known", "known.example:80"],
};

fn each_engine(profile: Profile, scenario: impl Fn(&Host)) {
    let module = std::env::var_os("PROBE_WASM").map(|_| Engine::Module);
    for engine in [Some(Engine::Native), module].into_iter().flatten() {
        let host = Host::new(FILTER, engine, profile);
        scenario(&host);
        host.finish();
    }
}

fn envoy(scenario: impl Fn(&Host)) {
    each_engine(Profile::Envoy, scenario);
}

fn kong(scenario: impl Fn(&Host)) {
    each_engine(Profile::Kong, scenario);
}

fn both(scenario: impl Fn(&Host)) {
    envoy(&scenario);
    kong(&scenario);
}

#[track_caller]
fn assert_broken(host: &Host, expected: &str) {
    let broken = host.take_violations();
    assert!(broken.iter().any(|what| what.contains(expected)), "{expected:?} in {broken:#?}");
}

/// A paused request whose callout is still to be answered.
fn waiting(host: &Host, then: &str) -> Request {
    host.request([("x-do", "dispatch known.example:80; pause"), ("x-then", then)])
}
