//! What clients can make a gateway hold, send and compute, beside the numbers that the manual
//! gives: waves of made-up requests, whose clients stay or leave and whose services answer
//! late or not at all, and forged tokens for sets of any keys.

mod verifications;
mod wave;

use std::collections::BTreeMap;

use serde_json::json;

use self::wave::{Burden, KINDS};
use super::counted::held;
use super::decisions::Dice;
use super::rounds;
use super::support::{ENVOY, HOSTS, KONG};

/// What a gateway with the smallest caches may hold when nothing is under way: the caches of
/// tokens and of users, and what was refused of each, of 1 MiB each; about, so that it may be
/// twice as much.
const MOST_HELD: usize = 2 * 4 * 1024 * 1024;

/// Waves for each gateway.
const WAVES: usize = 5;

#[test]
fn no_wave_takes_more_than_its_budget() {
    let mut ends = BTreeMap::<(&str, bool), usize>::new();
    rounds("budgets", 10, |seed| {
        let mut dice = Dice::new(seed);
        let mut burden = Burden::new(if dice.chance(4) { KONG } else { ENVOY });
        let before = held();
        for wave in 0..WAVES {
            let found = burden.wave(&mut dice).and_then(|()| burden.probe(wave));
            found.and_then(|()| burden.end(&mut dice)).unwrap_or_else(|found| {
                panic!("seed {seed}, wave {wave}: {found}");
            });
        }
        burden.answer_all();
        assert_eq!(burden.gateway.in_flight(), 0, "seed {seed}");
        let took = held().saturating_sub(before);
        assert!(took < MOST_HELD, "seed {seed}: {took} bytes are held");
        for (kind, (opened, refused)) in KINDS.iter().zip(burden.counts) {
            *ends.entry((kind.name(), true)).or_default() += opened;
            *ends.entry((kind.name(), false)).or_default() += refused;
        }
    });
    println!("{ends:?}");
    for kind in KINDS {
        for is_opened in [true, false] {
            assert!(ends[&(kind.name(), is_opened)] > 100, "{kind:?}, {is_opened}: {ends:?}");
        }
    }
}

/// Where the fetch of one request resumes no other, each makes its own; and not too many do.
#[test]
fn a_worker_that_starts_asks_for_keys_a_hundred_times_at_most() {
    for host in HOSTS {
        let mut burden = Burden::fetching(host);
        let asked = (0..300).filter(|_| burden.ask_for_keys()).count();
        let most = if host.resumes_others { 1 } else { 101 };
        assert_eq!(asked, most, "{}", json!({"resumes_others": host.resumes_others}));
    }
}
