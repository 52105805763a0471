//! One binary for all targets; `GATEPASS_FUZZ_TARGET` says which.

#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

use std::sync::OnceLock;

use targets::{TARGETS, Target};

fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("GATEPASS_FUZZ_TARGET").expect("GATEPASS_FUZZ_TARGET is set");
        TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| (target().run)(data));
