//! Everything asked for anew, or kept: the verdict is the same, and a request that has
//! all its answers waits no more.

use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::super::decisions::Dice;
use super::super::rounds;
use super::super::support::{self, HOSTS, KEY_A, START, World, alice, ok};

/// A configuration in which as much as possible is asked of services, with answers that
/// are kept or not.
fn configuration(dice: &mut Dice) -> Value {
    let mut config = support::with_users([]);
    config["user_info"]["cache"] = json!({"ttl_seconds": dice.pick(&[0, 60])});
    let shop = &mut config["providers"]["shop"];
    if !dice.chance(3) {
        shop.as_object_mut().expect("a provider").remove("local_jwks");
        shop["discovery"] = json!({"service": "auth", "path": "/discovery"});
    }
    shop["introspection"] = json!({
        "service": "auth", "path": "/introspect", "client_id": "gate", "client_secret": "s3cret",
        "cache": {"ttl_seconds": dice.pick(&[0, 30])},
    });
    for name in ["feed", "allowlist"] {
        if !dice.chance(3) {
            config["revocation"][name] = json!({"service": "auth", "path": format!("/{name}")});
        }
    }
    config
}

fn answer(path: &str) -> Value {
    match path.split('?').next().expect("a path") {
        "/discovery" => {
            json!({"issuer": "https://auth.example", "jwks_uri": "https://auth.example/keys"})
        }
        "/keys" => json!({"keys": [KEY_A.jwk("a")]}),
        "/introspect" => support::claims(json!({"active": true})),
        "/feed" => json!({"cursor": "1", "entries": []}),
        "/allowlist" => json!({"cursor": "1", "entries": [{"sub": "alice"}]}),
        "/users/alice" => json!({"sub": "alice", "type": "gold"}),
        other => panic!("nobody has {other}"),
    }
}

#[test]
fn a_request_that_gets_its_answers_passes_whatever_is_kept() {
    rounds("waits", 200, |seed| {
        let mut dice = Dice::new(seed);
        let config = configuration(&mut dice);
        let mut world = World::new(&config, HOSTS[dice.below(HOSTS.len())]);
        for _ in 0..3 {
            let token = if dice.chance(2) { alice() } else { "a-reference".to_owned() };
            let mut step = world.get(&token);
            let mut asked = Vec::new();
            while let Step::Wait(sent, waiting) = step {
                asked.push(sent.callout.path.clone());
                assert!(asked.len() < 12, "seed {seed}: it waits for ever: {asked:?}");
                let now = world.now();
                let reply = ok(&answer(&sent.callout.path));
                let outcome = world.gateway.complete(sent.id, &reply, now).expect("an answer");
                step = world.gateway.resume(waiting, &outcome, now);
            }
            let passes = matches!(step, Step::Done(Verdict::Forward(_), _));
            assert!(passes, "seed {seed}: after {asked:?} at {START}: {step:?}\n{config}");
            let mut once = asked.clone();
            once.dedup();
            assert_eq!(once, asked, "seed {seed}: asked twice");
            world.pass(1);
        }
    });
}
