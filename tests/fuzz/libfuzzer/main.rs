//! One binary for all targets; `GATEPASS_FUZZ_TARGET` says which.

#![no_main]
#![allow(unsafe_code, reason = "the fake host is called as a host is")]

#[path = "../targets/mod.rs"]
mod targets;

// The filter of the proxy-wasm door on the fake host, in scenarios that bytes decide.
#[allow(dead_code, reason = "as a test it has dice too")]
#[path = "../../scenarios/any_order.rs"]
mod any_order;
#[allow(dead_code, reason = "as a test it has dice too")]
#[path = "../../scenarios/dice.rs"]
mod dice;
#[path = "../../scenarios/filter.rs"]
mod filter;
#[path = "../../host/mod.rs"]
mod host;
#[allow(dead_code, reason = "as a test it has dice too")]
#[path = "../../scenarios/host_failures.rs"]
mod host_failures;
#[path = "../../protobuf/mod.rs"]
mod protobuf;
#[allow(dead_code, reason = "shared with the scenarios")]
#[path = "../../scenarios/shop.rs"]
mod shop;

use std::sync::OnceLock;

use filter::FILTER;
use targets::TARGETS;

type Run = fn(&[u8]);

/// Every callback in every state, and host calls that fail.
const OF_THE_FILTER: [(&str, Run); 2] =
    [("callbacks", any_order::fed), ("host_calls", host_failures::fed)];

fn target() -> Run {
    static TARGET: OnceLock<Run> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = std::env::var("GATEPASS_FUZZ_TARGET").expect("GATEPASS_FUZZ_TARGET is set");
        let all = TARGETS.iter().map(|target| (target.name, target.run)).chain(OF_THE_FILTER);
        let (_, run) = all.clone().find(|(it, _)| *it == name).expect("a target of that name");
        run
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| target()(data));
