//! The gateway beside models of what it must do, on inputs at random.
//!
//! `make test` gives each model the same seeds each time, some seconds' worth; `make
//! fuzz` goes on with new ones (`GATEPASS_FUZZ_SECONDS`). A failure prints its
//! seed, and `GATEPASS_FUZZ_SEED` runs that one alone.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what fails here fails a test"
)]

#[path = "../aws_lc/mod.rs"]
mod aws_lc;
mod budgets;
mod clocks;
#[path = "../pipeline/counted.rs"]
mod counted;
mod decisions;
mod differences;
mod jose;
mod json;
mod options;
mod simulation;
#[allow(dead_code, reason = "shared with the pipeline's tests")]
#[path = "../pipeline/support.rs"]
mod support;

use std::time::{Duration, Instant, UNIX_EPOCH};

/// Runs `one` with seed after seed: this many of them, as many as `make fuzz` has
/// time for from a new one on, or the one that is asked for.
fn rounds(name: &str, count: u64, mut one: impl FnMut(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("GATEPASS_FUZZ_SEED") {
        return one(seed);
    }
    let Some(seconds) = number("GATEPASS_FUZZ_SECONDS") else {
        return (1..=count).for_each(one);
    };
    let first = UNIX_EPOCH.elapsed().unwrap().as_secs() << 20;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut seed = first;
    while Instant::now() < until {
        one(seed);
        seed += 1;
    }
    println!("{name}: {} seeds", seed - first);
}
