//! Whatever Kong would refuse with the routes of its ingress controller, the configuration
//! made of the manifests refuses: for clusters and requests at random, against a model of the
//! controller and the router that shares no code with convert. What manifests do not say
//! (the router's flavour, whether an Ingress without a class is read) goes either way.

mod cluster;
mod manifests;
mod routes;

use std::collections::HashMap;

use gatepass_cli::convert::{ConvertError, Selection, convert};
use serde_json::{Value, json};

use self::cluster::{Cluster, World as Installed};
use crate::keys::SECRET_32;
use crate::model::kong::Request;
use crate::model::{files, sends};
use crate::support::*;

#[derive(Default)]
struct Seen {
    files: usize,
    opened: usize,
    with_token: usize,
    closed: usize,
    stricter: usize,
}

const PATHS: [&str; 12] =
    ["/", "/a", "/a/", "/a/b", "/a/b/c", "/a.b", "/acb", "/a.b/x", "/b", "/b/", "/b/x", "/a/c?x=1"];

/// `CONVERT_SEED=69 CONVERT_ROUNDS=1` for one again, more rounds for a longer run.
#[allow(clippy::disallowed_methods)] // a setting of the test
#[test]
fn nothing_passes_that_the_controllers_kong_refuses() {
    let rounds: u64 = std::env::var("CONVERT_ROUNDS").map_or(120, |rounds| rounds.parse().unwrap());
    let start: u64 = std::env::var("CONVERT_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut seen = Seen::default();
    for seed in start..start + rounds {
        let cluster = manifests::cluster(&mut Random(seed));
        if let Err(fault) = check(&cluster, seed, &mut seen) {
            let (cluster, fault) = shrunk(cluster, seed, fault);
            panic!("CONVERT_SEED={seed}: {fault}\n{cluster:#?}");
        }
    }
    let Seen { files, opened, with_token, closed, stricter } = seen;
    println!(
        "{files} files, {opened} passed, {with_token} of them protected, {closed} refused, \
         {stricter} of them only here"
    );
    if rounds >= 120 {
        assert!(files > 80 && opened > 250 && with_token > 100, "it proves something");
        assert!(stricter < closed / 8, "what is converted is of use: {stricter} of {closed}");
    }
}

/// Takes out what the fault does not need.
fn shrunk(mut cluster: Cluster, seed: u64, mut fault: String) -> (Cluster, String) {
    let count = cluster.ingresses.len() + cluster.routes.len() + 1;
    for position in (0..count).rev() {
        let mut less = cluster.clone();
        match position.checked_sub(cluster.ingresses.len()) {
            None => drop(less.ingresses.remove(position)),
            Some(route) if route < less.routes.len() => drop(less.routes.remove(route)),
            Some(_) => less.global = None,
        }
        if let Err(found) = check(&less, seed, &mut Seen::default()) {
            (cluster, fault) = (less, found);
        }
    }
    (cluster, fault)
}

fn check(cluster: &Cluster, seed: u64, seen: &mut Seen) -> Result<(), String> {
    let converted = match convert(&cluster.text(), &Selection::default()) {
        Ok(converted) => converted,
        Err(ConvertError::NoPlugin) => return Ok(()),
        // Only consumers are left.
        Err(error) => return Err(format!("refused: {error}")),
    };
    seen.files += 1;
    let mut config = converted.configuration;
    put(&mut config, "/identity_token/signing_keys/0/private_key", gateway_key("ES256"));
    fill(&mut config);
    let mut world = World::new(&config, ENVOY);
    let mut random = Random(seed ^ 0x5EED);
    let mut tokens = HashMap::new();
    for _ in 0..120 {
        let mut request = files::request(&mut random);
        if random.below(2) == 0 {
            request.path = PATHS[random.below(PATHS.len())];
        }
        if random.below(8) == 0 {
            request.host = "c.example";
        }
        let passes = sends(&mut world, &request, "", &mut tokens);
        let installed = [(false, false), (false, true), (true, false), (true, true)];
        let kongs: Vec<Option<bool>> = installed
            .into_iter()
            .map(|(has_expressions, reads_all)| {
                cluster.passes(&request, Installed { has_expressions, reads_all })
            })
            .collect();
        *if passes { &mut seen.opened } else { &mut seen.closed } += 1;
        let refused = kongs.contains(&Some(false));
        seen.with_token += usize::from(
            passes
                && request.token.is_some()
                && kongs.contains(&Some(true))
                && cluster.passes(
                    &Request { token: None, ..request.clone() },
                    Installed { has_expressions: true, reads_all: true },
                ) == Some(false),
        );
        let fault = |text: &str| Err(format!("{text} {}\n{request:#?}", config["rules"]));
        if passes && refused {
            return fault("Kong refuses, this passes:");
        }
        let is_anybody = request.token.is_none() && !request.path.contains(['%', '+', '*']);
        if passes && is_anybody && is_lower(&request) && kongs.contains(&None) {
            return fault("no route, and it passes without a token:");
        }
        let is_timely = request.token.is_none_or(|token| {
            token.expires.is_none_or(|it| it > 0) && token.not_before.is_none_or(|it| it <= 0)
        });
        if !passes && is_timely && kongs.iter().all(|it| *it == Some(true)) {
            seen.stricter += 1;
        }
    }
    Ok(())
}

fn is_lower(request: &Request) -> bool {
    !request.host.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Puts the secrets into the place of variables.
fn fill(config: &mut Value) {
    let entries = config.pointer_mut("/consumers/entries").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        let secrets = entry.get_mut("jwt_secrets").and_then(Value::as_array_mut);
        for secret in secrets.into_iter().flatten() {
            secret["secret"] = json!(SECRET_32);
        }
    }
}
