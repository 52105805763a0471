//! Some workers, one store, one clock: two listeners with two issuers each, all
//! that can happen between them in random order, and a model that knows in real
//! time who said what.
//!
//! Checked at each step: no fact that is older than its bound decides, a token's
//! key was published by its own issuer, nobody revoked passes, no service is asked
//! more often than its pauses allow. At the end each request has one verdict,
//! nothing is left under way, and once the services are well everybody is served.
//!
//! A failure prints its seed and the fewest events that still show it.

mod ending;
mod facts;
mod gauges;
mod identities;
mod mishaps;
pub mod outside;
pub mod signatures;
pub mod stores;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::world::{Event, World};
use super::decisions::Dice;
use super::rounds;

/// Runs events from the start; gives how many requests passed and were denied.
fn run(seed: u64, events: &[Event]) -> Result<BTreeMap<String, usize>, String> {
    let run = || {
        let mut world = World::new(seed);
        for event in events {
            world.happen(*event)?;
        }
        world.drain(7)?;
        world.recover()?;
        world.check_gauges()?;
        world.codes.insert("passed".to_owned(), world.passed);
        world.codes.insert("an age by its gauge".to_owned(), world.aged);
        Ok(world.codes)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// The fewest events that still show the same.
fn shrink(seed: u64, mut events: Vec<Event>, found: &str) -> Vec<Event> {
    let kind = |found: &str| found.split(':').next().expect("a start").to_owned();
    let first = kind(found);
    let mut size = events.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < events.len() {
            let mut less = events.clone();
            less.drain(at..(at + size).min(events.len()));
            match run(seed, &less) {
                Err(found) if kind(&found) == first => events = less,
                _ => at += size,
            }
        }
        size /= 2;
    }
    events
}

/// Events of each seed.
const EVENTS: usize = 500;

/// A million events in an optimised build, which is what `make test` makes; enough of them to
/// meet each kind in one that is not.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 2000 };

#[test]
fn whatever_happens_in_whatever_order() {
    let mut ends = BTreeMap::<String, usize>::new();
    rounds("simulation", SEEDS, |seed| {
        let mut dice = Dice::new(seed);
        let events: Vec<Event> = (0..EVENTS)
            .map(|_| Event { kind: dice.below(99), a: dice.below(1 << 20), b: dice.below(1 << 20) })
            .collect();
        match run(seed, &events) {
            Ok(codes) => {
                codes.into_iter().for_each(|(code, some)| *ends.entry(code).or_default() += some);
            }
            Err(found) => {
                let events = shrink(seed, events, &found);
                let last = run(seed, &events).expect_err("it still shows");
                panic!("seed {seed}: {found}\n\n{} events: {events:?}\n{last}", events.len());
            }
        }
    });
    println!("{ends:?}");
    for code in [
        "passed",
        "an age by its gauge",
        "signature_invalid",
        "key_unknown",
        "token_revoked",
        "token_expired",
    ] {
        assert!(ends.get(code).is_some_and(|count| *count > 100), "{code} is among {ends:?}");
    }
}
