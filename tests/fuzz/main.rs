//! Whatever is sent, nothing panics and nothing passes that should not.
//!
//! Each target takes bytes, makes of them what a client, an issuer, a service or
//! an operator could send, and compares what the gateway does with an oracle
//! that shares nothing with it. `cargo test` gives each the seeds in `corpus/`
//! and a fixed number of inputs from a fixed random source; `make fuzz` looks
//! for new ones, led by what code they reach (libFuzzer, on stable Rust).
//!
//! What fails is printed: as `GATEPASS_FUZZ_INPUT=<hex>`, that runs it again,
//! alone. It then becomes a test in `tests/pipeline/regressions.rs` or beside
//! the code that was wrong.

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

mod targets;

use std::path::Path;
use std::{env, fs, thread};

use targets::support::Random;
use targets::{TARGETS, Target};

/// Prints the input that was under way when a target panicked.
struct Witness<'a>(&'a str, &'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("fuzz target {}: GATEPASS_FUZZ_INPUT={hex}", self.0);
        }
    }
}

fn run(target: &Target, input: &[u8]) {
    let witness = Witness(target.name, input);
    (target.run)(input);
    drop(witness);
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_WORKSPACE_DIR")).join("tests/fuzz/corpus").join(name);
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// New bytes, or a seed with a few changes.
fn input(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if seeds.is_empty() || random.below(3) == 0 {
        let length = random.below(400);
        return random.bytes(length);
    }
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(5) {
            0 => input.truncate(at),
            1 => {
                let length = random.below(8);
                input.splice(at..at, random.bytes(length));
            }
            2 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    input
}

fn short(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    if let Ok(hex) = env::var("GATEPASS_FUZZ_INPUT") {
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let input: Vec<u8> =
            digits.map(|digits| u8::from_str_radix(digits, 16).expect("hex")).collect();
        return run(target, &input);
    }
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has seeds");
    seeds.iter().for_each(|seed| run(target, seed));
    let mut random = Random(0xF022);
    for _ in 0..target.rounds {
        run(target, &input(&mut random, &seeds));
    }
}

#[test]
fn tokens() {
    short("tokens");
}

#[test]
fn documents() {
    short("documents");
}

#[test]
fn key_sets() {
    short("key_sets");
}

#[test]
fn user_info() {
    short("user_info");
}

#[test]
fn extraction() {
    short("extraction");
}

#[test]
fn rules() {
    short("rules");
}

#[test]
fn references() {
    short("references");
}

#[test]
fn revocations() {
    short("revocations");
}

#[test]
fn logins() {
    short("logins");
}

#[test]
fn configuration() {
    short("configuration");
}

#[test]
fn requests() {
    short("requests");
}

/// No target is without its test above.
#[test]
fn every_target_is_run() {
    let source = include_str!("main.rs");
    for target in TARGETS {
        assert!(source.contains(&format!("short(\"{}\")", target.name)), "{}", target.name);
    }
}
