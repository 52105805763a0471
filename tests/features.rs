//! What a smaller build leaves out is refused by name, and never taken for valid.
//!
//! The same tests hold for a build with all features and for one without: `.ci/run-tests`
//! runs both, and names what the second is to lack.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    dead_code,
    reason = "what fails here fails a test, and the support is that of other tests too"
)]

#[path = "pipeline/support.rs"]
mod support;

use gatepass::binding::Dpop;
use gatepass::config;
use gatepass::features;
use gatepass::keys::Algorithm;
// Passes its features on to the core.
use gatepass_wasm as _;
use serde_json::{Value, json};
use support::{ENVOY, SEAL_KEY, World, denial, local, logged, remote};

fn fixtures() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap();
    all["tokens"].as_array().unwrap().clone()
}

fn algorithm(name: &str) -> Algorithm {
    Algorithm::from_name(name).expect("known in each build")
}

/// RFC 7515 appendix A.3: none of those in the fixtures.
fn signing_keys() -> Value {
    json!([{"algorithm": "ES256", "private_key": {
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    }}])
}

/// The feature of an algorithm that this build was made without.
fn lacks(name: &str) -> Option<&'static str> {
    algorithm(name).left_out().map(|left_out| left_out.feature)
}

#[test]
fn the_build_lacks_what_it_is_to_lack() {
    let expected = std::env::var("GATEPASS_LEFT_OUT").unwrap_or_default();
    let lacking: Vec<_> = features::left_out().map(|left_out| left_out.feature).collect();
    assert_eq!(lacking.join(","), expected);
}

#[test]
fn tokens_and_keys_of_algorithms_that_are_left_out() {
    let config = remote([
        ("/providers/shop/issuer", json!("https://issuer.example")),
        ("/providers/shop/audiences", Value::Null),
        ("/providers/shop/allow_any_audience", json!(true)),
        ("/providers/shop/require_expiration", json!(false)),
        ("/identity_token/signing_keys", signing_keys()),
    ]);
    let jwk = |fixture: &Value, kid: &str| {
        let mut jwk = fixture["jwk"].clone();
        jwk["kid"] = kid.into();
        jwk
    };
    let all = fixtures();
    let es256 = all.iter().find(|fixture| fixture["alg"] == "ES256").unwrap();
    let mut seen = 0;
    for fixture in &all {
        let name = fixture["alg"].as_str().unwrap();
        if algorithm(name).is_symmetric() {
            continue;
        }
        seen += 1;
        let mut world = World::new(&config, ENVOY);
        world.tick(&support::jwks(&[jwk(fixture, "test"), jwk(es256, "other")]));
        let log = logged(&mut world.gateway);
        let token = fixture["token"].as_str().unwrap();
        match lacks(name) {
            None => {
                assert!(!log.contains("feature"), "{name}: {log}");
                world.forwarded(token);
            }
            Some(feature) => {
                assert!(log.contains("key 0 (kid \\\"test\\\")"), "{name}: {log}");
                let text =
                    format!("needs the feature {feature}, which this build was made without");
                assert!(log.contains(&text), "{name}: {log}");
                assert_eq!(world.denied(token), denial(401, "algorithm_not_allowed"), "{name}");
            }
        }
        // It has no other effect.
        let mut good = World::new(&config, ENVOY);
        good.tick(&support::jwks(&[jwk(fixture, "other"), jwk(es256, "test")]));
        good.forwarded(es256["token"].as_str().unwrap());
    }
    assert!(seen > 12, "{seen}");
}

#[test]
fn configurations_that_need_what_is_left_out() {
    let mut cases: Vec<(String, Option<&str>, Value)> = Vec::new();
    for fixture in fixtures() {
        let name = fixture["alg"].as_str().unwrap();
        let feature = lacks(name);
        let accepted =
            json!([if algorithm(name).is_symmetric() { "HS256" } else { "ES256" }, name]);
        let keys = [
            ("/providers/shop/algorithms", accepted),
            ("/providers/shop/local_jwks/keys", json!([fixture["jwk"]])),
            ("/identity_token/signing_keys", signing_keys()),
        ];
        cases.push((format!("local_jwks for {name}"), feature, local(keys)));
    }
    let named = ("/providers/shop/algorithms", json!(["ES256", "ES256K"]));
    cases.push(("algorithms".into(), lacks("ES256K"), remote([named])));
    let key = json!([{"algorithm": "EdDSA", "private_key": support::gateway_key("EdDSA")}]);
    let signing = [("/identity_token/signing_keys", key)];
    cases.push(("signing_keys".into(), lacks("EdDSA"), remote(signing)));

    let sealed = features::SealedTokens::proof().err().map(|it| it.feature);
    let tokens = json!({"keys": [SEAL_KEY]});
    cases.push(("sealed_tokens".into(), sealed, remote([("/sealed_tokens", tokens)])));

    let signals = features::Signals::proof().err().map(|it| it.feature);
    let logout = [
        ("/providers/shop/logout", json!({"client_ids": ["web"]})),
        ("/revocation", json!({"logout_path": "/logout"})),
    ];
    cases.push(("logout_path".into(), signals, remote(logout)));
    let events = json!({"events": {"transmitters": [{
        "issuer": "https://events.example", "audiences": ["gateway"],
        "remote_jwks": {"service": "auth", "path": "/events.json"},
    }]}});
    cases.push(("events".into(), signals, remote([("/revocation", events)])));

    for (case, feature, config) in cases {
        let read = config::load(config.to_string().as_bytes(), &|_| None, None);
        let problems = read.err().map(|problems| problems.to_string());
        match feature {
            None => assert_eq!(problems, None, "{case}"),
            Some(feature) => {
                let problems = problems.unwrap_or_else(|| panic!("{case} is refused"));
                assert!(problems.contains(&format!("feature {feature}")), "{case}: {problems}");
            }
        }
    }
}

#[test]
fn clients_are_told_what_the_build_verifies() {
    let names = Dpop::algorithm_names();
    for algorithm in Algorithm::ALL.into_iter().filter(|it| !it.is_symmetric()) {
        let is_told = names.split(' ').any(|name| name == algorithm.name());
        assert_eq!(is_told, algorithm.left_out().is_none(), "{algorithm}");
    }
    assert_eq!(names.contains("Ed25519"), lacks("EdDSA").is_none());
}
