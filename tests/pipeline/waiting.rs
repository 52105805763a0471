//! A request that waits more than once keeps every answer until it is decided.

use gatepass::pipeline::Step;
use serde_json::{Value, json};

use crate::support::*;

const REFERENCE: &str = "tGzv3JOkF0XG5Qx2TlKWIA";

/// Answers whatever the gateway asks; gives the step that decides, and the paths
/// asked for.
fn led_on(world: &mut World, mut step: Step, answers: &[(&str, Value)]) -> (Step, Vec<String>) {
    let mut asked = Vec::new();
    while let Step::Wait(sent, waiting) = step {
        let path = sent.callout.path.clone();
        let answer = answers.iter().find(|(start, _)| path.starts_with(start));
        let answer = ok(&answer.unwrap_or_else(|| panic!("nobody has {path}")).1);
        asked.push(path);
        assert!(asked.len() < 20, "for ever: {asked:?}");
        step = world.complete(sent.id, waiting, &answer);
    }
    (step, asked)
}

fn answers() -> [(&'static str, Value); 6] {
    [
        ("/introspect", claims(json!({"active": true}))),
        ("/users/alice", json!({"sub": "alice", "address": {"country": "ES"}})),
        ("/revoked", json!({"cursor": "1", "entries": []})),
        ("/allowed", json!({"cursor": "1", "entries": [{"sub": "alice", "until": START + 600}]})),
        ("/openid", json!({"issuer": "https://auth.example", "jwks_uri": "https://auth/jwks"})),
        ("/jwks", json!({"keys": [KEY_A.jwk("a")]})),
    ]
}

#[test]
fn answers_that_may_not_be_cached_are_asked_for_once_each() {
    for (introspection_ttl, user_info_ttl) in [(0, 0), (0, 60), (30, 0), (30, 60)] {
        for host in HOSTS {
            let config = with_users([
                (
                    "/providers/shop/introspection",
                    json!({
                        "service": "auth", "path": "/introspect",
                        "client_id": "gate", "client_secret": "s3cret",
                        "cache": {"ttl_seconds": introspection_ttl},
                    }),
                ),
                ("/user_info/cache", json!({"ttl_seconds": user_info_ttl})),
            ]);
            let mut world = World::new(&config, host);
            let step = world.get(REFERENCE);
            let (step, asked) = led_on(&mut world, step, &answers());
            forwarded(step);
            assert_eq!(asked, ["/introspect", "/users/alice"]);
        }
    }
}

#[test]
fn a_request_waits_as_often_as_the_configuration_has_it_wait() {
    let feed = |path: &str| json!({"service": "auth", "path": path, "max_stale_seconds": 300});
    let config = with_users([
        ("/providers/shop/local_jwks", Value::Null),
        ("/providers/shop/discovery", json!({"service": "auth", "path": "/openid"})),
        ("/revocation", json!({"feed": feed("/revoked"), "allowlist": feed("/allowed")})),
        ("/user_info/cache", json!({"ttl_seconds": 0})),
    ]);
    for host in HOSTS {
        let mut world = World::new(&config, host);
        let step = world.get(&alice());
        let (step, asked) = led_on(&mut world, step, &answers());
        forwarded(step);
        assert_eq!(asked, ["/revoked", "/allowed", "/openid", "/jwks", "/users/alice"]);
    }
}

#[test]
fn each_use_of_a_cache_is_counted_once_though_a_request_starts_over() {
    let feed = json!({"service": "auth", "path": "/revoked", "max_stale_seconds": 300});
    let config = with_users([("/revocation", json!({"feed": feed}))]);
    let mut world = World::new(&config, ENVOY);
    let step = world.get(&alice());
    let (step, _) = led_on(&mut world, step, &answers());
    forwarded(step);
    let series = world.gateway.metrics();
    let readings = world.gateway.take_metrics();
    for cache in ["token", "user_info"] {
        let position = series.iter().position(|it| {
            it.name == "gatepass_cache_misses_total" && it.labels == [("cache", cache.to_owned())]
        });
        let position = position.expect("a series");
        let count: u64 =
            readings.iter().filter(|(series, _)| *series == position).map(|(_, by)| by).sum();
        assert_eq!(count, 1, "{cache}");
    }
}
