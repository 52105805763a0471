//! The gateway beside models of what it must do, on inputs at random.
//!
//! `make test` gives each model some seconds, always with the same seeds; `make
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

mod decisions;
mod jose;
mod json;
mod options;
#[allow(dead_code, reason = "shared with the pipeline's tests")]
#[path = "../pipeline/support.rs"]
mod support;

use std::time::{Duration, Instant, UNIX_EPOCH};

/// Runs `one` with seed after seed: for `seconds` from the first one on, as long
/// as `make fuzz` says from a new one on, or the one that is asked for.
fn rounds(name: &str, seconds: u64, mut one: impl FnMut(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("GATEPASS_FUZZ_SEED") {
        return one(seed);
    }
    let longer = number("GATEPASS_FUZZ_SECONDS");
    let first = longer.map_or(1, |_| UNIX_EPOCH.elapsed().unwrap().as_secs() << 20);
    let until = Instant::now() + Duration::from_secs(longer.unwrap_or(seconds));
    let mut seed = first;
    while Instant::now() < until {
        one(seed);
        seed += 1;
    }
    println!("{name}: {} seeds", seed - first);
}
