//! How many signatures a forged token costs: as much as four of a key with 2048 bits or on a
//! curve of 256, whatever keys there are.

use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::config;
use gatepass::host::RequestId;
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::super::aws_lc::AwsLc;
use super::super::decisions::Dice;
use super::super::rounds;
use super::super::support::{self, ENVOY, START, bearer};

/// What all tries of a token may cost together.
const BUDGET: u32 = 4;

/// A kind of key: the algorithm of its tokens, the bytes of a signature, and what one costs.
const KEYS: [(&str, usize, u32); 6] = [
    ("RS256", 256, 1),
    ("RS256", 384, 2),
    ("RS256", 512, 4),
    ("ES256", 64, 1),
    ("ES384", 96, 2),
    ("ES512", 132, 4),
];

const IDS: [Option<&str>; 3] = [None, Some("a"), Some("b")];

fn jwk(dice: &mut Dice, (algorithm, bytes, _): (&str, usize, u32), fixtures: &Value) -> Value {
    let mut jwk = if algorithm == "RS256" {
        // Any odd number of that length.
        let mut modulus = dice.0.bytes(bytes);
        modulus[0] |= 0x80;
        modulus[bytes - 1] |= 1;
        json!({"kty": "RSA", "n": BASE64URL.encode(modulus), "e": "AQAB"})
    } else {
        let keys = fixtures["tokens"].as_array().expect("tokens");
        keys.iter().find(|key| key["alg"] == algorithm).expect("a key")["jwk"].clone()
    };
    if let Some(id) = dice.pick(&IDS) {
        jwk["kid"] = id.into();
    }
    jwk
}

fn gateway(keys: &[Value], host: &AwsLc) -> Pipeline {
    let own = json!([{"algorithm": "EdDSA", "private_key": support::gateway_key("EdDSA")}]);
    let config = support::local([
        ("/providers/shop/local_jwks", json!({"keys": keys})),
        ("/identity_token/signing_keys", own),
    ]);
    let host = Rc::new(host.clone());
    let settings = config::load(config.to_string().as_bytes(), &|_| None, Some(host))
        .unwrap_or_else(|problems| panic!("{problems}"));
    Pipeline::new(settings, ENVOY, [7; 16])
}

/// A token that nobody signed.
fn forged(dice: &mut Dice, algorithm: &str, bytes: usize, id: Option<&str>) -> String {
    let mut header = json!({"alg": algorithm, "typ": "JWT"});
    if let Some(id) = id {
        header["kid"] = id.into();
    }
    // Numbers that are below the modulus, and below the order of the curve.
    let mut signature = dice.0.bytes(bytes);
    signature[0] = 0;
    signature[bytes / 2] = 0;
    let claims = support::claims(json!({"jti": BASE64URL.encode(dice.0.bytes(9))}));
    let input = format!(
        "{}.{}",
        BASE64URL.encode(header.to_string()),
        BASE64URL.encode(claims.to_string())
    );
    format!("{input}.{}", BASE64URL.encode(signature))
}

#[test]
fn a_forged_token_costs_four_verifications_at_most() {
    let fixtures: Value =
        serde_json::from_str(include_str!("../../fixtures/tokens.json")).expect("JSON");
    let (mut dearest, mut tried) = ([0; KEYS.len()], 0);
    rounds("verifications", 40, |seed| {
        let mut dice = Dice::new(seed);
        // Most sets are of few kinds, so that several keys of one come together.
        let kinds: Vec<_> = (0..=dice.below(3)).map(|_| dice.pick(&KEYS)).collect();
        let keys: Vec<Value> = (0..=dice.below(20))
            .map(|_| {
                let kind = dice.pick(&kinds);
                jwk(&mut dice, kind, &fixtures)
            })
            .collect();
        let host = AwsLc::default();
        let mut gateway = gateway(&keys, &host);
        for _ in 0..6 {
            let at = dice.below(KEYS.len());
            let ((algorithm, bytes, cost), id) = (KEYS[at], dice.pick(&IDS));
            let before = host.verified.get();
            let token = forged(&mut dice, algorithm, bytes, id);
            let step =
                gateway.begin(RequestId::default(), bearer(&token), UnixTime::from_secs(START));
            let Step::Done(Verdict::Deny(..), _) = step else {
                panic!("seed {seed}: {algorithm} {id:?}: {step:?}")
            };
            let verified = host.verified.get() - before;
            let spent = verified * cost;
            assert!(spent <= BUDGET, "seed {seed}: {algorithm} {id:?}: {verified} of {keys:?}");
            dearest[at] = spent.max(dearest[at]);
            tried += verified;
        }
    });
    println!("{tried} tried; the dearest of each kind cost {dearest:?}");
    assert!(dearest.iter().all(|spent| *spent == BUDGET), "{dearest:?}");
}
