//! Clocks that jump to anywhere.

use gatepass::pipeline::{Step, Waiting};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::json;

use super::decisions::Dice;
use super::support::*;

/// Time may jump anywhere between any two events. Whatever it does, a token is
/// never accepted after its end.
#[test]
fn any_clock_is_survived() {
    let mut config = with_users([]);
    config["providers"] = remote([])["providers"].clone();
    let mut dice = Dice::new(4);
    let extremes = [i64::MIN, -1, 0, 1_577_836_800_000, START * 1000, i64::MAX];
    let events = if cfg!(debug_assertions) { 2000 } else { 16_000 };
    for host in HOSTS {
        let mut world = World::new(&config, host);
        let mut waiting = Vec::new();
        let mut outcomes = [0; 3];
        for _ in 0..events {
            world.millis = match dice.below(10) {
                0 => dice.pick(&extremes),
                1 => world.millis.wrapping_sub(3_600_000),
                // Mostly it just goes on, or nothing that was fetched would serve.
                2..=7 => world.millis.wrapping_add(i64::try_from(dice.below(5_000)).unwrap()),
                _ => START * 1000 + i64::try_from(dice.below(8_000_000)).unwrap(),
            };
            let Some(step) = step(&mut world, &mut waiting, &mut dice) else { continue };
            match step {
                Step::Wait(_, request) | Step::Join(request) => {
                    outcomes[0] += 1;
                    waiting.push(request);
                }
                Step::Done(Verdict::Forward(_), _) => {
                    outcomes[1] += 1;
                    let end = UnixTime::from_secs(START + 3600);
                    assert!(world.now() < end, "accepted at {}", world.now());
                }
                Step::Done(Verdict::Deny(_, _) | Verdict::Answer(_), _) => outcomes[2] += 1,
                Step::Receive(_) => panic!("the gateway has no endpoint"),
            }
        }
        let few = events / 200;
        assert!(outcomes.iter().all(|count| *count > few), "{outcomes:?}: too few to tell");
    }
}

/// A tick, a reply, a client that leaves or a request; what comes of it for one.
fn step(world: &mut World, waiting: &mut Vec<Waiting>, dice: &mut Dice) -> Option<Step> {
    let now = world.now();
    let reply = match dice.below(3) {
        0 => failed(),
        1 => jwks(&[KEY_A.jwk("a")]),
        _ => ok(&json!({"sub": "alice"})),
    };
    match dice.below(6) {
        0 => {
            let tick = world.gateway.tick(now);
            for flight in tick.overdue.into_iter().chain(tick.send.iter().map(|sent| sent.id)) {
                drop(world.gateway.complete(flight, &reply, now));
            }
            None
        }
        1 | 2 if !waiting.is_empty() => {
            let request = waiting.swap_remove(dice.below(waiting.len()));
            let landing = world.gateway.complete(request.callout(), &reply, now)?;
            Some(world.gateway.resume(request, &landing, now))
        }
        3 if !waiting.is_empty() => {
            let gone = waiting.swap_remove(dice.below(waiting.len()));
            if !world.host.resumes_others {
                world.gateway.abandon(gone.callout());
            }
            None
        }
        _ => {
            let sub = dice.pick(&["alice", "alice", "alice", "bob"]);
            Some(world.get(&token(json!({ "sub": sub }))))
        }
    }
}
