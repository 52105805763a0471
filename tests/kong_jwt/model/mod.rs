//! Whatever Kong would refuse, the configuration made of its kong.yml refuses,
//! and where that refuses more, a note says so: for configurations and requests
//! at random, against a model of Kong that shares no code with convert.

pub(crate) mod files;
pub(crate) mod kong;

use std::collections::HashMap;

use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use gatepass_cli::convert::{ConvertError, Converted, from_kong};
use serde_json::{Value, json};

use self::kong::{Kong, Request, Token};
use crate::keys::{SECRET_32, token_of};
use crate::support::*;

/// What is wrong, and the request with which it was seen.
type Fault = String;

#[derive(Default)]
struct Seen {
    files: usize,
    opened: usize,
    closed: usize,
    stricter: usize,
}

/// `CONVERT_SEED=69 CONVERT_ROUNDS=1` for one again, more rounds for a longer run.
#[allow(clippy::disallowed_methods)] // a setting of the test
#[test]
fn nothing_passes_that_kong_refuses() {
    let rounds: u64 = std::env::var("CONVERT_ROUNDS").map_or(250, |rounds| rounds.parse().unwrap());
    let start: u64 = std::env::var("CONVERT_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut seen = Seen::default();
    for seed in start..start + rounds {
        let kong = files::kong(&mut Random(seed));
        if let Err(fault) = check(&kong, seed, &mut seen) {
            let (kong, fault) = shrunk(kong, seed, fault);
            panic!("CONVERT_SEED={seed}: {fault}\n{}", kong.text());
        }
    }
    let Seen { files, opened, closed, stricter } = seen;
    println!("{files} files, {opened} passed, {closed} refused, {stricter} of them only here");
    if rounds >= 250 {
        assert!(files > 120 && opened > 2_000 && closed > 8_000, "it proves something");
        assert!(stricter < closed / 4, "what is converted is of use: {stricter} of {closed}");
    }
}

/// Takes out what the fault does not need.
fn shrunk(mut kong: Kong, seed: u64, mut fault: Fault) -> (Kong, Fault) {
    let count = kong.routes.len() + kong.plugins.len();
    for position in 0..count {
        let mut less = kong.clone();
        match position.checked_sub(kong.routes.len()) {
            Some(plugin) => less.plugins[plugin].is_gone = true,
            None => {
                less.routes[position].is_gone = true;
                let own = less.plugins.iter_mut().filter(|it| it.route == Some(position));
                own.for_each(|plugin| plugin.is_gone = true);
            }
        }
        if let Err(found) = check(&less, seed, &mut Seen::default()) {
            (kong, fault) = (less, found);
        }
    }
    (kong, fault)
}

fn check(kong: &Kong, seed: u64, seen: &mut Seen) -> Result<(), Fault> {
    let text = kong.text();
    let converted = match from_kong(&text) {
        Ok(converted) => converted,
        Err(ConvertError::NoPlugin) => return Ok(()),
        Err(error) => return Err(format!("refused: {error}")),
    };
    seen.files += 1;
    let mut config = converted.configuration.clone();
    put(&mut config, "/identity_token/signing_keys/0/private_key", gateway_key("ES256"));
    let mut world = World::new(&config, ENVOY);
    let mut random = Random(seed ^ 0x5EED);
    let mut tokens = HashMap::new();
    for _ in 0..120 {
        let request = files::request(&mut random);
        let passes = sends(&mut world, &request, kong.placeholder, &mut tokens);
        let winners = kong.winners(&request);
        let passes_in_kong = winners.iter().all(|route| kong.passes(*route, &request));
        // Without run_on_preflight acl refuses every OPTIONS. Here those pass whom
        // jwt and acl let pass with another method.
        let asked = Request { method: "GET", ..request.clone() };
        let may_pass = winners
            .iter()
            .all(|route| kong.passes(*route, &request) || kong.passes(*route, &asked));
        *if passes { &mut seen.opened } else { &mut seen.closed } += 1;
        let fault = |text: &str| {
            let (rules, providers) = (&config["rules"], &config["providers"]);
            Err(format!(
                "{text} {rules}
{providers}
{request:#?}"
            ))
        };
        if passes && !may_pass {
            return fault("Kong refuses, this passes:");
        }
        // What Kong has no route for is 404 there: only, it is not for everybody.
        let is_anybody =
            request.token.is_none() && !request.is_preflight && is_read_alike(kong, &request);
        if passes && winners.is_empty() && is_anybody {
            return fault("no route, and it passes without a token:");
        }
        if !passes && passes_in_kong && !winners.is_empty() && is_timely(&request) {
            seen.stricter += 1;
            // The manual says of all rules that they match hosts in any case.
            if is_read_alike(kong, &request) && !is_told(&converted, &winners) {
                return fault(&format!("Kong lets it pass, and no note tells of {winners:?}:"));
            }
        }
    }
    Ok(())
}

/// Whether Kong and rules compare the same bytes.
fn is_read_alike(kong: &Kong, request: &Request) -> bool {
    let own = kong.routes.iter().flat_map(|route| &route.hosts);
    let mut hosts = own.chain([&request.host]);
    let is_lower = !hosts.any(|host| host.bytes().any(|byte| byte.is_ascii_uppercase()));
    is_lower && !request.path.contains(['%', '+', '*'])
}

/// A token outside its own dates is always refused, as the manual says of the
/// provider.
fn is_timely(request: &Request) -> bool {
    request.token.is_none_or(|token| {
        token.expires.is_none_or(|expires| expires > 0)
            && token.not_before.is_none_or(|before| before <= 0)
    })
}

fn is_told(converted: &Converted, winners: &[usize]) -> bool {
    converted.notes.iter().any(|note| {
        let mut places = winners.iter().map(|route| format!("route r{route}"));
        let is_its = places.any(|place| note.place == place || note.text.contains(&place));
        is_its || note.is_change && !note.place.starts_with("route ")
    })
}

pub(crate) fn sends(
    world: &mut World,
    request: &Request,
    placeholder: &str,
    tokens: &mut HashMap<String, String>,
) -> bool {
    let mut fields =
        vec![(":method", request.method), (":path", request.path), (":authority", request.host)];
    fields.extend(request.mode.map(|mode| ("x-mode", mode)));
    if request.is_preflight {
        fields.extend([("origin", "https://a.example"), ("access-control-request-method", "GET")]);
    }
    let token = request.token.map(|token| {
        let text = tokens.entry(format!("{token:?}")).or_insert_with(|| made(&token, placeholder));
        (token.header, format!("Bearer {text}"))
    });
    fields.extend(token.as_ref().map(|(name, value)| (*name, value.as_str())));
    matches!(world.begin(head(&fields)), Step::Done(Verdict::Forward(_), _))
}

fn made(token: &Token, placeholder: &str) -> String {
    let mut claims = json!({"iss": format!("key-{}", token.consumer)});
    let mut date = |name: &str, seconds: Option<i64>| {
        claims[name] = seconds.map_or(Value::Null, |seconds| json!(START + seconds));
    };
    date("exp", token.expires);
    date("nbf", token.not_before);
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let secret = match token {
        Token { consumer: "dave", .. } => placeholder,
        Token { is_signed: true, .. } => SECRET_32,
        _ => "another-secret-of-at-least-32-bytes",
    };
    token_of(&json!({"alg": "HS256"}), &claims, "HS256", secret)
}

/// The model itself, on cases from Kong's documentation.
#[test]
fn the_model_is_like_kong() {
    use self::kong::{Path, Plugin, Route, Service};
    let path = |text| Path { text, regex: None };
    let route = |paths: Vec<Path>| Route { paths, service: Some(0), ..Route::default() };
    let mut kong = Kong {
        services: vec![Service { is_enabled: true }],
        routes: vec![
            route(vec![path("/a")]),
            route(vec![path("/a/b")]),
            Route { methods: vec!["GET"], ..route(vec![path("/")]) },
            route(vec![Path { text: "~/a/b", regex: Some(|it| it.starts_with("/a/b")) }]),
        ],
        plugins: Vec::new(),
        placeholder: "",
    };
    let ask = |method, path| Request {
        method,
        path,
        host: "h",
        mode: None,
        token: None,
        is_preflight: false,
    };
    for (method, path, expected) in [
        ("GET", "/a/b", 2),  // more fields first
        ("POST", "/a/b", 3), // then regular expressions
        ("POST", "/ax", 0),
        ("POST", "/x/../%61", 0),
        ("POST", "//a", 0),
    ] {
        assert_eq!(kong.winners(&ask(method, path)), [expected], "{method} {path}");
    }
    assert!(kong.winners(&ask("POST", "/%2Fa")).is_empty());
    let jwt = |service, route, is_enabled| Plugin {
        is_gone: false,
        name: "jwt",
        is_enabled,
        service,
        route,
        consumer: None,
        config: json!({}),
        style: 0,
    };
    kong.plugins = vec![jwt(Some(0), None, true), jwt(None, Some(0), false)];
    assert!(!kong.passes(0, &ask("GET", "/a")), "a disabled plugin does not count");
    kong.plugins[0].is_enabled = false;
    assert!(kong.passes(0, &ask("GET", "/a")));
}
