//! Instructions of a request, counted by callgrind: `make costs`.
//!
//! Unlike times they are the same on a loaded machine, so a change of two percent shows.
//! They depend on the compiler and the C library, and are compared with the committed ones
//! only where both are the same.

// What fails here fails the benchmark.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark may fail"
)]

#[path = "../gateways/tokens.rs"]
mod tokens;

mod committed;
mod requests;
mod shop;

use std::process::{Command, ExitCode};

use crate::committed::{Committed, WRITE, counted_with, differs};
use crate::requests::{Prepared, World};
use crate::shop::Kind;

/// So many that what happens now and then, such as a table that grows, is spread.
const REQUESTS: u32 = 256;

/// Keys and seeds of hash tables are other ones each time, and the C library finds free memory
/// elsewhere: seen are 1.1 % between two runs of one program.
const TOLERANCE: f64 = 0.02;

fn main() -> ExitCode {
    let is_named = |kind: &Kind| std::env::args().any(|argument| argument == kind.name());
    if let Some(kind) = Kind::ALL.into_iter().find(is_named) {
        let record = std::env::args().nth(2).expect("a file");
        let mut world = World::recorded(&std::fs::read_to_string(record).expect("a record"));
        let requests = world.prepare(kind, REQUESTS as usize);
        measured(&mut world, requests);
        return ExitCode::SUCCESS;
    }
    let mut committed = Committed::read();
    let (mut found, with) = (Vec::new(), counted_with());
    println!("{:>12} {:>12}  instructions of a request, without cryptography", "committed", "now");
    for kind in Kind::ALL {
        let (old, new) = (committed.of(kind).instructions, instructions(kind));
        println!("{old:>12} {new:>12}  {}", kind.name());
        found.extend(differs(kind, "instructions", old, new, TOLERANCE));
        committed.set(kind, |costs| costs.instructions = new);
    }
    if std::env::var_os(WRITE).is_some() {
        committed.counted_with = with;
        committed.write();
    } else if committed.counted_with != with {
        println!(
            "not compared: counted with {with:?}, committed with {:?}",
            committed.counted_with
        );
    } else if !found.is_empty() {
        eprintln!("{}", found.join("\n"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs this program under callgrind.
fn instructions(kind: Kind) -> u64 {
    let valgrind = std::env::var("VALGRIND").unwrap_or_else(|_| "valgrind".to_owned());
    let itself = std::env::current_exe().expect("a path");
    let out = itself.with_extension("callgrind");
    // To sign tokens under callgrind would take most of the time.
    let record = itself.with_extension("tokens");
    let mut world = World::new();
    drop(world.prepare(kind, REQUESTS as usize));
    std::fs::write(&record, world.record()).expect("a file is written");
    let toggles = [
        "costs::measured",
        "costs::requests::cryptography_signs",
        "costs::requests::cryptography_verifies",
    ];
    let output = Command::new(valgrind)
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(toggles.map(|function| format!("--toggle-collect={function}")))
        .arg(itself)
        .arg(kind.name())
        .arg(record)
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", kind.name());
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, collected) = collected.unwrap_or_else(|| panic!("nothing was counted: {said}"));
    let collected: u64 = collected.trim().parse().expect("a number");
    collected / u64::from(REQUESTS)
}

/// The part of the program that callgrind looks at.
#[inline(never)]
fn measured(world: &mut World, requests: Vec<Prepared>) {
    requests.into_iter().for_each(|request| world.carry_out(request));
}
