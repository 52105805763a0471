//! What is done with the bytes, and what must hold then.

mod claims;
#[allow(dead_code, reason = "shared with the configuration's tests")]
#[path = "../../config/support.rs"]
mod complete;
mod configuration;
mod documents;
mod extraction;
mod key_sets;
mod logins;
mod references;
mod requests;
mod revocations;
mod rules;
pub mod shapes;
#[allow(dead_code, reason = "shared with the pipeline's tests")]
#[path = "../../pipeline/support.rs"]
pub mod support;
mod tokens;
mod user_info;

/// One thing to be fed with bytes.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// How many inputs `cargo test` makes up: a few seconds' worth.
    #[allow(dead_code, reason = "libFuzzer needs none")]
    pub rounds: usize,
}

pub const TARGETS: [Target; 11] = [
    Target { name: "tokens", run: tokens::run, rounds: 1500 },
    Target { name: "documents", run: documents::run, rounds: 30_000 },
    Target { name: "key_sets", run: key_sets::run, rounds: 6_000 },
    Target { name: "user_info", run: user_info::run, rounds: 1200 },
    Target { name: "extraction", run: extraction::run, rounds: 30_000 },
    Target { name: "rules", run: rules::run, rounds: 30_000 },
    Target { name: "references", run: references::run, rounds: 800 },
    Target { name: "revocations", run: revocations::run, rounds: 400 },
    Target { name: "logins", run: logins::run, rounds: 800 },
    Target { name: "configuration", run: configuration::run, rounds: 1200 },
    Target { name: "requests", run: requests::run, rounds: 600 },
];
