//! Load with faults on a real Envoy.
//!
//! `make faults` measures what hostile traffic, a service that hangs, endless
//! tokens and clients that leave cost those who do nothing wrong; results go to
//! `benches/faults.md`, or with `QUICK=1` to `target/`. `make soak` runs all of it
//! at once for long, and fails when anything goes wrong; its report is
//! `target/soak.md`. That each case ends rightly is tested by `tests/faults`, whose
//! services and requests these are.
//!
//! Needs `make wasm`, an Envoy in `$ENVOY`, and a machine that has nothing else to
//! do: services are late too when they get no time to answer.

// What fails here fails the benchmark.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a benchmark may fail"
)]

mod measure;
mod soak;

#[path = "../../tests/faults/contract.rs"]
#[allow(dead_code, reason = "shared")]
mod contract;
#[path = "../../tests/faults/fault.rs"]
#[allow(dead_code, reason = "shared")]
mod fault;
#[path = "../../tests/envoy/gateway.rs"]
#[allow(dead_code, unused_imports, reason = "shared")]
mod gateway;
#[path = "../../tests/faults/outcome.rs"]
#[allow(dead_code, reason = "shared")]
mod outcome;
#[path = "../gateways/report.rs"]
#[allow(dead_code, reason = "shared")]
mod report;
#[path = "../../tests/faults/service.rs"]
#[allow(dead_code, reason = "shared")]
mod service;
#[path = "../../examples/shop/stack.rs"]
mod stack;
#[path = "../../tests/envoy/tokens.rs"]
#[allow(dead_code, reason = "shared")]
mod tokens;
#[path = "../../tests/faults/traffic.rs"]
#[allow(dead_code, reason = "shared")]
mod traffic;
#[path = "../../tests/envoy/wire.rs"]
#[allow(dead_code, reason = "shared")]
mod wire;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let seconds =
        env::var("SOAK_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    match seconds {
        Some(seconds) => runtime.block_on(soak::run(Duration::from_secs(seconds))),
        None => {
            let quick = env::var("QUICK").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
            runtime.block_on(measure::run(quick));
            ExitCode::SUCCESS
        }
    }
}
