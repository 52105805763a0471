//! What holds for any input: nothing panics, and nothing that was changed is
//! accepted.

use gatepass::http::RequestHead;
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use crate::support::*;

fn is_forwarded(step: &Step) -> bool {
    matches!(step, Step::Done(Verdict::Forward(_), _))
}

// RFC 8725 section 3.3: "the entire JWT MUST be rejected if any of them fail to
// validate" (R20)
#[test]
fn every_token_with_one_bit_changed_is_denied() {
    let config = local([]);
    let mut world = World::new(&config, ENVOY);
    let good = alice();
    world.forwarded(&good);
    for position in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone().into_bytes();
            changed[position] ^= 1 << bit;
            let value = [b"Bearer ", changed.as_slice()].concat();
            let step = world.begin(head_with(&value));
            let Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) = step else {
                panic!("byte {position}, bit {bit}: {step:?}")
            };
            assert!([400, 401].contains(&reply.status), "byte {position}, bit {bit}");
        }
    }
    for length in 0..good.len() {
        assert!(!is_forwarded(&world.get(&good[..length])), "{length} bytes");
    }
    world.forwarded(&good);
}

/// A piece of something that might mean something, or noise.
fn piece(random: &mut Random, token: &str) -> Vec<u8> {
    let pieces = [
        token,
        "Bearer ",
        "bearer",
        "",
        ".",
        "..",
        "eyJhbGciOiJub25lIn0",
        ",",
        "=",
        "%",
        "%2e%2e",
        "/",
        "//",
        "?access_token=",
        "&",
        ";",
        "session=",
        "x-consumer-id",
        "a\u{e9}",
        "\0",
        "\r\n",
        "application/grpc",
        "text/html",
        "OPTIONS",
        "GET",
        "*",
        "W/\"",
        "{",
        "[[[[",
    ];
    let pick = random.below(pieces.len() + 4);
    match pieces.get(pick) {
        Some(piece) => piece.as_bytes().to_vec(),
        None => {
            let length = random.below(40);
            random.bytes(length)
        }
    }
}

fn noise(random: &mut Random, token: &str) -> Vec<u8> {
    (0..random.below(5)).flat_map(|_| piece(random, token)).collect()
}

#[test]
fn any_request_is_decided() {
    let mut config = with_users([(
        "/rules",
        json!([
            {"match": {"path_prefix": "/open"}, "bypass": true},
            {"match": {"methods": ["GET"]}, "requires": {"allow_missing": true}},
        ]),
    )]);
    config["token"] = json!({
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
        "from_cookies": ["session"], "from_params": ["access_token"],
    });
    config["errors"] = json!({"login_redirect": {"to": "/login"}});
    let names = [
        ":method",
        ":path",
        "authorization",
        "Authorization",
        "x-token",
        "cookie",
        "Connection",
        "x-consumer-id",
        "X_Identity_Token",
        "accept",
        "content-type",
        "origin",
        "if-none-match",
        "access-control-request-method",
        "x-request-id",
    ];
    let token = token(json!({"exp": START + 1_000_000}));
    let bearer = format!("Bearer {token}");
    let mut random = Random(1);
    let mut forwards = 0;
    let mut denials = 0;
    let mut waits = 0;
    for host in HOSTS {
        let mut world = World::new(&config, host);
        for round in 0..8_000 {
            let mut fields: Vec<_> = (0..random.below(6))
                .map(|_| (names[random.below(names.len())].to_owned(), noise(&mut random, &token)))
                .collect();
            // Some of them are nearly good.
            for (name, value) in [
                (":method", "GET"),
                (":path", "/open/x"),
                (":path", "/api"),
                ("authorization", &bearer),
            ] {
                if random.below(2) == 0 {
                    fields.push((name.to_owned(), value.as_bytes().to_vec()));
                }
            }
            let had_token = fields.iter().any(|(_, value)| {
                value.windows(token.len()).any(|window| window == token.as_bytes())
            });
            let step = world.begin(RequestHead::new(fields));
            match step {
                Step::Done(Verdict::Forward(edits), _) => {
                    forwards += 1;
                    let identity = field(&edits, "x-identity-token");
                    assert!(identity.is_none() || had_token, "round {round}");
                }
                Step::Done(Verdict::Deny(denial, reply), _) => {
                    denials += 1;
                    let is_login = reply.status == 302;
                    let is_own = matches!(reply.status, 400 | 401 | 403 | 431 | 503);
                    // A gRPC call is answered with 200, its own status and no body.
                    let grpc_status = reply_field(&reply, "grpc-status");
                    let is_grpc = reply.status == 200 && grpc_status.is_some_and(|it| it != "0");
                    assert!(is_own || is_login || is_grpc, "round {round}: {}", reply.status);
                    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                    let says = body["code"].as_str() == Some(denial.code().name());
                    let is_silent = reply.body.is_empty() && grpc_status.is_some();
                    assert!(is_login || is_silent || says, "round {round}");
                }
                Step::Done(Verdict::Answer(reply), _) => {
                    panic!("round {round}: {}, though no path asks for it", reply.status);
                }
                Step::Wait(sent, waiting) => {
                    waits += 1;
                    assert!(had_token, "round {round}");
                    let body = noise(&mut random, r#"{"sub":"alice"}"#);
                    let step = world.complete(sent.id, waiting, &reply(200, &body));
                    assert!(matches!(step, Step::Done(..)), "round {round}");
                }
                Step::Join(_) => panic!("round {round}: nothing is under way"),
                Step::Receive(_) => panic!("round {round}: the gateway has no endpoint"),
            }
            world.pass(7);
        }
    }
    assert!(
        forwards > 100 && waits > 10 && denials > 100,
        "{forwards} forwarded, {waits} waited, {denials} denied: too few to tell"
    );
}

/// JSON of any shape, with the names that matter in it.
fn json_of(random: &mut Random, depth: usize) -> Value {
    let names = [
        "keys", "kty", "crv", "x", "y", "n", "e", "k", "kid", "use", "alg", "key_ops", "sub",
        "address", "country", "iss", "aud", "exp", "nbf", "iat", "typ", "crit", "scope",
    ];
    let texts = [
        "OKP",
        "EC",
        "RSA",
        "oct",
        "Ed25519",
        "P-256",
        "sig",
        "EdDSA",
        "RS256",
        "AQAB",
        "alice",
        "https://auth.example",
        "shop-api",
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "",
        "AAAA",
        "a\u{0}b",
        "é",
    ];
    match random.below(if depth == 0 { 5 } else { 9 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!([0, -1, i64::MIN, i64::MAX, START, 9_007_199_254_740_993][random.below(6)]),
        3 => json!([1e300, -1e300, 0.5, 1e18, -8_334_601_228_800.0][random.below(5)]),
        4 => json!(texts[random.below(texts.len())]),
        5 => (0..random.below(4)).map(|_| json_of(random, depth - 1)).collect(),
        _ => {
            let member = |random: &mut Random| {
                (names[random.below(names.len())].to_owned(), json_of(random, depth - 1))
            };
            Value::Object((0..random.below(8)).map(|_| member(random)).collect())
        }
    }
}

/// Claims and headers of any kind, with a good signature.
#[test]
fn any_signed_token_is_decided() {
    let mut random = Random(2);
    let mut world = World::new(&local([]), ENVOY);
    let mut codes = std::collections::BTreeSet::new();
    for _ in 0..3_000 {
        let mut claims = claims(json!({}));
        for name in ["iss", "aud", "sub", "exp", "nbf", "iat", "scope", "azp", "cnf"] {
            if random.below(12) == 0 {
                claims[name] = json_of(&mut random, 2);
            }
        }
        let mut header = json!({"alg": "EdDSA", "kid": "a"});
        for name in ["kid", "typ", "crit", "jwk"] {
            if random.below(20) == 0 {
                header[name] = json_of(&mut random, 1);
            }
        }
        let token = KEY_A.sign(header.to_string().as_bytes(), claims.to_string().as_bytes());
        match world.get(&token) {
            Step::Done(Verdict::Forward(edits), _) => {
                let identity = world.identity(&edits);
                assert_eq!(identity["sub"], claims["sub"]);
                codes.insert("forwarded".to_owned());
            }
            step => {
                let (status, code) = denied(step);
                assert_eq!(status, 401, "{code}");
                codes.insert(code);
            }
        }
    }
    for code in ["forwarded", "token_malformed", "key_unknown", "claim_mismatch", "token_expired"] {
        assert!(codes.contains(code), "{code} never came: {codes:?}");
    }
}

#[test]
fn any_key_set_and_any_reply_is_survived() {
    let mut random = Random(3);
    let mut config = with_users([]);
    config["providers"] = remote([])["providers"].clone();
    for round in 0..2_000 {
        let mut world = World::new(&config, HOSTS[round % 2]);
        let body = match random.below(4) {
            0 => {
                let length = random.below(200);
                random.bytes(length)
            }
            1 => json_of(&mut random, 4).to_string().into_bytes(),
            _ => {
                let keys: Vec<_> = (0..random.below(5)).map(|_| json_of(&mut random, 2)).collect();
                json!({"keys": ([keys, vec![KEY_A.jwk("a")]].concat())}).to_string().into_bytes()
            }
        };
        world.tick(&reply(200, &body));
        if let Step::Wait(sent, waiting) = world.get(&alice())
            && sent.callout.path == "/users/alice"
        {
            let body = json_of(&mut random, 4).to_string();
            let status = [200, 204, 404, 500, 65535][random.below(5)];
            let step = world.complete(sent.id, waiting, &reply(status, body.as_bytes()));
            assert!(matches!(step, Step::Done(..)), "round {round}");
        }
    }
}

/// Remembered tokens are bounded: one that was pushed out gets a new identity.
#[test]
fn no_more_tokens_are_remembered_than_configured() {
    for (entries, remembered) in [(0, 0), (1, 1), (3, 3)] {
        let config = local([("/limits", json!({"token_cache_entries": entries}))]);
        let mut world = World::new(&config, ENVOY);
        let tokens: Vec<_> = (0..6).map(|n| token(json!({ "jti": n.to_string() }))).collect();
        let identity = |world: &mut World, token: &String| {
            let edits = world.forwarded(token);
            field(&edits, "x-identity-token").unwrap()
        };
        let first: Vec<_> = tokens.iter().map(|token| identity(&mut world, token)).collect();
        let latest = tokens.iter().zip(first).rev();
        let same = latest.filter(|(token, first)| identity(&mut world, token) == *first).count();
        assert_eq!(same, remembered, "{entries} entries");
    }
}

/// Long tokens are remembered too, as far as the memory goes for their claims, where requests
/// check some.
#[test]
fn tokens_are_remembered_up_to_so_many_bytes() {
    let limits = json!({"token_cache_bytes": 1_048_576, "max_token_bytes": 65_536});
    let rules = json!([{"match": {}, "requires": {"claims": {"pad": "present"}}}]);
    let mut world = World::new(&local([("/limits", limits), ("/rules", rules)]), ENVOY);
    let tokens: Vec<String> =
        (0..100).map(|n| token(json!({"jti": n.to_string(), "pad": "x".repeat(15_000)}))).collect();
    let identity = |world: &mut World, token: &String| {
        let edits = world.forwarded(token);
        field(&edits, "x-identity-token").unwrap()
    };
    let first: Vec<_> = tokens.iter().map(|token| identity(&mut world, token)).collect();
    let latest = tokens.iter().zip(first).rev();
    let remembered = latest.take_while(|(token, first)| identity(&mut world, token) == *first);
    // About 17 kB each: the claims of 15 kB, and their identity.
    let remembered = remembered.count();
    assert!((50..=66).contains(&remembered), "{remembered}");
}

/// Tokens that were not accepted take nobody's place.
#[test]
fn rejected_tokens_are_not_remembered() {
    let config = local([("/limits", json!({"token_cache_entries": 1}))]);
    let mut world = World::new(&config, ENVOY);
    let first = field(&world.forwarded(&alice()), "x-identity-token");
    for n in 0..10 {
        world.denied(&KEY_B.token("a", &claims(json!({ "jti": n.to_string() }))));
        world.denied(&token(json!({"jti": n.to_string(), "aud": "other"})));
    }
    assert_eq!(field(&world.forwarded(&alice()), "x-identity-token"), first);
}
