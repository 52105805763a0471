//! The allocations of a request are as many as is committed, exactly: they are the same on
//! every machine and with every compiler, and each is time on every request.
//!
//! `make costs` counts the instructions of the same requests.

#![allow(dead_code, unreachable_pub, reason = "shared with benchmarks that use all of it")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    missing_docs,
    reason = "a test may fail"
)]

#[path = "../benches/costs/committed.rs"]
mod committed;
#[path = "pipeline/counted.rs"]
mod counted;
#[path = "../benches/costs/requests.rs"]
mod requests;
#[path = "../benches/costs/shop.rs"]
mod shop;
#[path = "../benches/gateways/tokens.rs"]
mod tokens;

use std::hint::black_box;

use crate::committed::{Committed, Memory, WRITE, differs};
use crate::counted::{allocations, blocks, held};
use crate::requests::{Prepared, World};
use crate::shop::Kind;

/// The allocations of most requests of a kind: now and then a table grows. `more` is done
/// besides with each.
fn counted(kind: Kind, more: impl Fn()) -> u64 {
    let mut world = World::new();
    let requests = world.prepare(kind, 65).into_iter();
    let mut counts: Vec<u64> = requests
        .map(|request| {
            let before = allocations();
            world.carry_out(request);
            more();
            allocations() - before
        })
        .collect();
    counts.sort_unstable();
    counts[counts.len() / 2]
}

#[test]
fn a_request_allocates_as_often_as_is_committed() {
    let mut committed = Committed::read();
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let (old, new) = (committed.of(kind).allocations, counted(kind, || {}));
        println!("{:<16} {old:>4} {new:>4}", kind.name());
        found.extend(differs(kind, "allocations", old, new, 0.0));
        committed.set(kind, |costs| costs.allocations = new);
    }
    if std::env::var_os(WRITE).is_some() {
        return committed.write();
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn one_allocation_more_is_noticed() {
    for kind in Kind::ALL {
        let committed = counted(kind, || {});
        let found = counted(kind, || drop(black_box(Box::new(0_u8))));
        assert_eq!(found, committed + 1, "{}", kind.name());
        let said = differs(kind, "allocations", committed, found, 0.0);
        assert!(said.is_some_and(|said| said.contains(&format!("{found} allocations"))));
    }
}

/// What a known token takes, with its share of the tables: how many there is room for
/// depends on it.
#[test]
fn a_known_token_takes_as_much_memory_as_is_committed() {
    const TOKENS: usize = 2048;
    let mut world = World::new();
    let _ = world.prepare(Kind::Known, 1);
    let mut remember = || {
        let tokens: Vec<_> = (0..TOKENS).map(|_| world.token(Kind::NewEs256)).collect();
        let before = (held(), blocks());
        tokens.iter().for_each(|token| world.carry_out(Prepared::of(token)));
        ((held() - before.0) / TOKENS, (blocks() - before.1) / TOKENS)
    };
    remember();
    let (bytes, blocks) = remember();
    println!("{bytes} bytes in {blocks} blocks for each known token");
    let mut committed = Committed::read();
    let found = Memory { bytes, blocks };
    if std::env::var_os(WRITE).is_some() {
        committed.known_token = found;
        return committed.write();
    }
    assert_eq!(found, committed.known_token, "to be said in the commit: `make costs WRITE=1`");
}
