//! What `convert` makes of other gateways' configurations never lets pass what they
//! refuse.
//!
//! Each source has a small model of what it decides, written from its documentation and
//! not from what convert makes of it. Configurations and requests are made at random;
//! whatever passes here must pass in the model. Kong's is in the test `kong_jwt`.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod beside;
mod differences;
mod envoy;
mod files;
mod gateway;
mod headers;
mod istio;
mod kong;
mod kong_dumps;
mod kong_manifests;
#[allow(dead_code)]
#[path = "../pipeline/support.rs"]
mod support;

use std::collections::HashMap;

use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use gatepass_cli::convert::{ConvertError, Converted, Selection, convert};
use serde_json::{Value, json};

use crate::support::*;

/// Issuers of the test, with their keys.
const ISSUERS: [(&str, &str, &IssuerKey); 2] =
    [("https://a.example", "a", &KEY_A), ("https://b.example/", "b", &KEY_B)];

/// A token as a client sends it.
#[derive(Clone, Debug, PartialEq)]
struct Token {
    issuer: usize,
    claims: Value,
    is_expired: bool,
}

/// A request as a client sends it.
#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    host: &'static str,
    mode: Option<&'static str>,
    token: Option<Token>,
    /// What no rule can ask: a source's own attribute.
    is_near: bool,
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

fn chance(random: &mut Random, one_in: usize) -> bool {
    random.below(one_in) == 0
}

fn request(random: &mut Random) -> Request {
    let token = (random.below(4) > 0).then(|| {
        let mut claims = json!({"sub": pick(random, &["alice", "bob"])});
        if random.below(4) > 0 {
            claims["aud"] = pick(random, &[0, 0, 1, 2]).pipe(|it| match it {
                0 => json!("x"),
                1 => json!("y"),
                _ => json!(["y", "z"]),
            });
        }
        for (name, one_in) in [("groups", 2), ("scope", 2), ("org", 3), ("permission", 3)] {
            if chance(random, one_in) {
                claims[name] = match (name, random.below(4)) {
                    ("permission", 1) => json!(["read", "write"]),
                    ("scope" | "permission", 0) => json!("read write"),
                    ("scope" | "permission", _) => {
                        json!(pick(random, &["read", "write", "readwrite"]))
                    }
                    ("org", _) => json!({"id": pick(random, &["1", "2"])}),
                    (_, 0) => json!(["staff", "eu"]),
                    (_, 1) => json!([]),
                    _ => json!(pick(random, &["staff", "eu", "staff eu"])),
                };
            }
        }
        Token { issuer: random.below(2), claims, is_expired: chance(random, 6) }
    });
    Request {
        method: pick(random, &["GET", "GET", "POST", "DELETE", "OPTIONS"]),
        path: pick(random, &PATHS),
        query: pick(random, &["", "", "?x=1", "?x=/a"]),
        host: pick(random, &HOSTS),
        mode: pick(random, &[None, None, Some("one"), Some("two")]),
        token,
        is_near: chance(random, 2),
    }
}

/// Chains a function to a value.
trait Pipe: Sized {
    fn pipe<T>(self, with: impl FnOnce(Self) -> T) -> T {
        with(self)
    }
}
impl<T> Pipe for T {}

const HOSTS: [&str; 6] =
    ["a.example", "a.example", "b.example", "x.b.example", "A.EXAMPLE", "a.example:8080"];

const PATHS: [&str; 19] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/ab",
    "/a/b/c",
    "/a/x",
    "/a/x/b",
    "/b",
    "/b/x",
    "/bx",
    "/c/d",
    "/health",
    "/healthy",
    "/%61",
    "/%68ealth",
    "/a%2Fb",
    "/a+b",
    "/A",
];

/// The path as Envoy has it that normalizes: unreserved characters decoded.
fn normalized(path: &str) -> String {
    path.replace("%61", "a").replace("%68", "h")
}

fn text_of(token: &Token) -> String {
    let (issuer, kid, key) = ISSUERS[token.issuer];
    let mut claims = token.claims.clone();
    claims["iss"] = json!(issuer);
    claims["iat"] = json!(START - 100);
    claims["exp"] = json!(if token.is_expired { START - 90 } else { START + 600 });
    key.token(kid, &claims)
}

/// A gateway with what was converted, and keys in the place of those that it would fetch.
fn world(converted: &Converted) -> World {
    let mut config = converted.configuration.clone();
    for provider in config["providers"].as_object_mut().unwrap().values_mut() {
        let issuer = ISSUERS.iter().find(|it| provider["issuer"] == it.0);
        let Some((_, kid, key)) = issuer.filter(|_| provider["local_jwks"].is_null()) else {
            continue;
        };
        provider["discovery"] = Value::Null;
        provider["remote_jwks"] = Value::Null;
        provider["local_jwks"] = json!({"keys": [key.jwk(kid)]});
        // The keys of the test.
        if !provider["algorithms"].is_null() {
            provider["algorithms"] = json!(["EdDSA"]);
        }
    }
    put(&mut config, "/identity_token/signing_keys/0/private_key", gateway_key("ES256"));
    World::new(&config, ENVOY)
}

fn passes(world: &mut World, request: &Request, tokens: &mut HashMap<String, String>) -> bool {
    let path = format!("{}{}", request.path, request.query);
    let mut fields =
        vec![(":method", request.method), (":path", &path), (":authority", request.host)];
    fields.extend(request.mode.map(|mode| ("x-mode", mode)));
    let token = request.token.as_ref().map(|token| {
        let text = tokens.entry(format!("{token:?}")).or_insert_with(|| text_of(token));
        format!("Bearer {text}")
    });
    fields.extend(token.as_deref().map(|token| ("authorization", token)));
    matches!(world.begin(head(&fields)), Step::Done(Verdict::Forward(_), _))
}

/// Counts of a run.
#[derive(Default)]
struct Seen {
    /// There were rounds enough for its counts to say something.
    is_full: bool,
    files: usize,
    refused: usize,
    opened: usize,
    closed: usize,
    stricter: usize,
}

/// Tries configurations at random: `make` gives a text and what the source decides.
/// `CONVERT_SEED=69 CONVERT_ROUNDS=1` for one again, more rounds for a longer run.
fn tried<M>(
    make: impl Fn(&mut Random) -> (String, M),
    decides: impl Fn(&M, &Request) -> bool,
) -> Seen {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (start, rounds) = (number("CONVERT_SEED", 0), number("CONVERT_ROUNDS", 100));
    let mut seen = Seen { is_full: rounds >= 100, ..Seen::default() };
    let mut tokens = HashMap::new();
    for seed in start..start + rounds {
        let mut random = Random(seed);
        let (text, model) = make(&mut random);
        let converted = match convert(&text, &Selection::default()) {
            Ok(converted) => converted,
            Err(ConvertError::NoCredential(_)) => {
                seen.refused += 1;
                continue;
            }
            Err(error) => panic!("CONVERT_SEED={seed}: {error}\n{text}"),
        };
        seen.files += 1;
        let mut world = world(&converted);
        for _ in 0..80 {
            let request = request(&mut random);
            let (here, there) =
                (passes(&mut world, &request, &mut tokens), decides(&model, &request));
            *if here { &mut seen.opened } else { &mut seen.closed } += 1;
            assert!(
                there || !here,
                "CONVERT_SEED={seed}: the source refuses, this passes: {request:#?}\n{text}\n{:#}",
                converted.configuration["rules"]
            );
            seen.stricter += usize::from(there && !here);
        }
    }
    let Seen { is_full, files, refused, opened, closed, stricter } = seen;
    println!(
        "{files} files, {refused} refused, {opened} passed, {closed} denied, {stricter} of them only here"
    );
    assert!(!is_full || files >= 80, "most files are converted");
    seen
}

/// A local key set of an issuer, as text.
fn jwks(issuer: usize) -> String {
    let (_, kid, key) = ISSUERS[issuer];
    json!({"keys": [key.jwk(kid)]}).to_string()
}
