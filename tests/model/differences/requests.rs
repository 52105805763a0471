//! Requests that differ in one thing: a second field of a name, the time.

use serde_json::Value;

use super::super::decisions::request::Request;
use super::super::decisions::{Dice, Seen, UserService, configuration, gateway, request, send};
use super::super::json::{Json, written};
use super::super::rounds;
use super::super::support::START;

/// Requests for each configuration.
const REQUESTS: usize = 12;

/// A second field of a name that there is, or one that says again what is said
/// elsewhere. None holds a token that would do by itself.
fn second(dice: &mut Dice, sent: &[(String, String)]) -> (String, String) {
    let values: &[&str] = match dice.below(5) {
        0 => return ("host".into(), dice.pick(&["shop.example", "admin.shop.example"]).into()),
        1 => return (":authority".into(), dice.pick(&["shop.example", "api.shop.example"]).into()),
        2 => {
            return ("cookie".into(), dice.pick(&["a=b", "session=x.y.z", "session=; c=d"]).into());
        }
        _ => &[
            "on",
            "off",
            "acme",
            "https://app.example",
            "https://shop.example",
            "same-origin",
            "Bearer x.y.z",
            "Basic dTpw",
            "Bearer",
            "",
            "forged",
            "GET",
            "PUT",
            "websocket",
        ],
    };
    let fields: Vec<&String> =
        sent.iter().map(|(name, _)| name).filter(|name| !name.starts_with(':')).collect();
    match fields.get(dice.below(fields.len().max(1))) {
        // In another spelling, sometimes.
        Some(name) if dice.chance(4) => (name.replace('-', "_"), dice.pick(values).into()),
        Some(name) => ((*name).clone(), dice.pick(values).into()),
        None => ("x-consumer-id".into(), "forged".into()),
    }
}

/// The claims that are the same whenever a token is minted.
fn lasting(identity: Option<&Json>) -> Option<Json> {
    let members = identity?.members().iter();
    let is_lasting =
        |(name, _): &&(String, Json)| !["jti", "iat", "nbf", "exp"].contains(&name.as_str());
    Some(Json::Object(members.filter(is_lasting).cloned().collect()))
}

fn shown(seed: u64, config: &Value, request: &Request, what: &str) -> String {
    let (token, claims) = (&request.token, written(&request.token.claims));
    format!(
        "seed {seed}: {what}\n{}\n{:?}\n{} {claims}",
        written(config),
        request.fields,
        token.header
    )
}

pub fn each(
    name: &str,
    count: u64,
    mut one: impl FnMut(&mut Dice, &Value, &Request, u64) -> Result<(), String>,
) {
    rounds(name, count, |seed| {
        let mut dice = Dice::new(seed);
        let config = configuration::configuration(&mut dice);
        let providers = config["providers"].as_object().expect("providers").len();
        for _ in 0..REQUESTS {
            let request = request::request(&mut dice, providers);
            if let Err(what) = one(&mut dice, &config, &request, seed) {
                panic!("{}", shown(seed, &config, &request, &what));
            }
        }
    });
}

#[test]
fn a_second_field_opens_nothing_and_adds_nothing() {
    let (mut last, mut compared) = (None, 0);
    each("second fields", 120, |dice, config, request, seed| {
        let users = UserService::new(seed);
        if last.as_ref().is_none_or(|(known, _)| *known != seed) {
            last = Some((seed, gateway(config).expect("a configuration")));
        }
        let gateway = &mut last.as_mut().expect("a gateway").1;
        let mut sent = request.sent();
        let before = send(gateway, &users, &sent, START);
        let added = second(dice, &sent);
        let at = 3 + dice.below(sent.len() - 2);
        sent.insert(at, added.clone());
        let after = send(gateway, &users, &sent, START);
        match (&before, &after) {
            (_, Seen::Denied(..) | Seen::Redirected) => Ok(()),
            (Seen::Denied(..) | Seen::Redirected, Seen::Forwarded(..)) => {
                Err(format!("{added:?} at {at} lets it pass\n{before:?}\n{after:?}"))
            }
            // What was a preflight is one no more, and has a good token.
            (Seen::Forwarded(_, None, _), _)
                if added.0.starts_with("access-control") || added.0 == "origin" =>
            {
                Ok(())
            }
            (Seen::Forwarded(known, one, _), Seen::Forwarded(fields, two, _)) => {
                let is_new = |field: &&(String, String)| !known.contains(field);
                let added = (added.0.to_ascii_lowercase(), added.1);
                let mut others = fields.iter().filter(is_new).filter(|field| {
                    // Cookies go on without the token.
                    **field != added && field.0 != "cookie"
                });
                let is_same = match (lasting(one.as_ref()), lasting(two.as_ref())) {
                    (Some(one), Some(two)) => one.is(&two),
                    (one, two) => one == two,
                };
                compared += 1;
                match (others.next(), is_same) {
                    (None, true) => Ok(()),
                    (other, _) => Err(format!("{added:?} brings {other:?}\n{before:?}\n{after:?}")),
                }
            }
        }
    });
    assert!(compared > 100, "{compared} were forwarded twice");
}

#[test]
fn what_is_denied_now_is_denied_later() {
    let mut denied = 0;
    each("later", 60, |dice, config, request, seed| {
        let now = |at: i64| {
            let mut gateway = gateway(config).expect("a configuration");
            send(&mut gateway, &UserService::new(seed), &request.sent(), at)
        };
        let before = now(START);
        if matches!(&before, Seen::Denied(_, code) if code != "token_not_yet_valid") {
            denied += 1;
            let later = START + dice.pick(&[1, 29, 60, 301, 3600, 86_400]);
            if let after @ Seen::Forwarded(..) = now(later) {
                return Err(format!("{before:?} and at {later} {after:?}"));
            }
        }
        Ok(())
    });
    assert!(denied > 100, "{denied} were denied");
}

#[test]
fn another_time_with_other_dates_is_the_same() {
    let mut forwarded = 0;
    each("shifted", 60, |dice, config, request, seed| {
        let shift = dice.pick(&[1, 3600, 400_000_000, -100_000_000]);
        let sent = |request: &Request, at: i64| {
            let mut gateway = gateway(config).expect("a configuration");
            send(&mut gateway, &UserService::new(seed), &request.sent(), at)
        };
        let mut shifted = request.clone();
        for name in ["iat", "nbf", "exp"] {
            if let Some(date) = shifted.token.claims[name].as_i64() {
                shifted.token.claims[name] = (date + shift).into();
            }
        }
        let (one, two) = (sent(request, START), sent(&shifted, START + shift));
        let is_same = match (&one, &two) {
            (Seen::Denied(one, code), Seen::Denied(two, other)) => one == two && code == other,
            (Seen::Redirected, Seen::Redirected) => true,
            (Seen::Forwarded(_, one, _), Seen::Forwarded(_, two, _)) => {
                forwarded += 1;
                match (lasting(one.as_ref()), lasting(two.as_ref())) {
                    (Some(one), Some(two)) => one.is(&two),
                    (one, two) => one == two,
                }
            }
            _ => false,
        };
        if is_same { Ok(()) } else { Err(format!("{shift}: {one:?}\n{two:?}")) }
    });
    assert!(forwarded > 50, "{forwarded} were forwarded");
}
