//! Parts of the core, natively: `cargo bench`. For finding what got slower, not
//! for what a request costs: in a gateway the same code runs as WebAssembly.

// What fails here fails the benchmark.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "a benchmark may fail"
)]

#[path = "../gateways/tokens.rs"]
mod tokens;

use std::time::{SystemTime, UNIX_EPOCH};

use divan::{Bencher, black_box};
use gatepass::config;
use gatepass::host::{HostCapabilities, RequestId};
use gatepass::http::RequestHead;
use gatepass::keys::{Algorithm, Crypto, Origin, VerifyingKey};
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::token::Untrusted;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use crate::tokens::{AUDIENCE, Signer};

const ALGORITHMS: [&str; 8] =
    ["RS256", "PS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "HS256"];

fn main() {
    divan::main();
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UnixTime::from_secs(i64::try_from(since.as_secs()).expect("before the end of time"))
}

/// A gateway for one signer's tokens, with changes to its configuration.
fn gateway(signer: &Signer, change: impl FnOnce(&mut Value)) -> Pipeline {
    let mut config = json!({
        "providers": {"shop": {
            "issuer": signer.issuer(), "audiences": [AUDIENCE], "algorithms": [signer.algorithm],
            "local_jwks": {"keys": [signer.jwk()]},
        }},
        "identity_token": {
            "issuer": "https://gateway.shop.internal", "audiences": ["shop-services"],
            "signing_keys": [{"algorithm": "EdDSA", "private_key": tokens::identity_key("EdDSA")}],
        },
    });
    change(&mut config);
    let settings = config::load(config.to_string().as_bytes(), &|_| None, None);
    let settings = settings.unwrap_or_else(|problems| panic!("{problems}"));
    let host = HostCapabilities::ENVOY;
    Pipeline::new(settings, host, [7; 16])
}

fn head(token: &str) -> RequestHead {
    let fields = [
        (":method", "GET"),
        (":path", "/orders?page=2"),
        (":authority", "shop.example"),
        (":scheme", "https"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "application/json"),
        ("accept-language", "en-GB,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-request-id", "08a5019c-17e1-4977-8f42-65a12843ea02"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let token = ("authorization".to_owned(), format!("Bearer {token}").into_bytes());
    RequestHead::new(fields.into_iter().chain([token]))
}

/// A whole request; it must be forwarded.
fn pass(gateway: &mut Pipeline, head: RequestHead, now: UnixTime) {
    let step = gateway.begin(RequestId::default(), head, now);
    assert!(matches!(step, Step::Done(Verdict::Forward(_), _)), "{step:?}");
}

/// Requests by `bencher`, with the tokens in turn.
fn requests(bencher: Bencher<'_, '_>, mut gateway: Pipeline, tokens: &[String]) {
    let now = now();
    let heads: Vec<RequestHead> = tokens.iter().map(|token| head(token)).collect();
    heads.iter().for_each(|head| pass(&mut gateway, head.clone(), now));
    let mut turns = heads.iter().cycle();
    let mut next = || turns.next().expect("a cycle").clone();
    bencher.with_inputs(&mut next).bench_local_values(|head| pass(&mut gateway, head, now));
}

#[divan::bench(args = ALGORITHMS)]
fn verify_signature(bencher: Bencher<'_, '_>, name: &'static str) {
    let signer = Signer::new(name);
    let jwk = signer.jwk();
    let key = VerifyingKey::from_jwk(jwk.as_object().expect("an object"), Origin::Local);
    let key = key.expect("a good key");
    let algorithm = Algorithm::from_name(name).expect("known");
    let token = signer.token("user-00", 1);
    let token = Untrusted::parse(token.as_bytes(), 8192).expect("a token");
    let crypto = Crypto::module();
    bencher.bench_local(|| {
        let is_good =
            key.verify(&crypto, algorithm, token.signing_input(), black_box(token.signature()));
        assert!(is_good);
    });
}

#[divan::bench]
fn read_token(bencher: Bencher<'_, '_>) {
    let token = Signer::new("RS256").token("user-00", 1);
    bencher.bench_local(|| {
        Untrusted::parse(black_box(token.as_bytes()), 8192)
            .expect("a token")
            .unverified_claims()
            .len()
    });
}

/// Tokens that were seen before: by how many there are.
#[divan::bench(args = [1, 100, 10_000, 100_000])]
fn request_with_known_token(bencher: Bencher<'_, '_>, tokens: u64) {
    let signer = Signer::new("HS256");
    let gateway = gateway(&signer, |config| {
        config["limits"] = json!({"token_cache_entries": 100_000});
    });
    let tokens: Vec<String> = (0..tokens).map(|n| signer.token("user-00", n)).collect();
    requests(bencher, gateway, &tokens);
}

/// Tokens that were not: verified, remembered in the place of another, minted.
#[divan::bench]
fn request_with_new_token(bencher: Bencher<'_, '_>) {
    let signer = Signer::new("HS256");
    let gateway = gateway(&signer, |config| config["limits"] = json!({"token_cache_entries": 10}));
    let tokens: Vec<String> = (0..1000).map(|n| signer.token("user-00", n)).collect();
    requests(bencher, gateway, &tokens);
}

/// An identity token for a session that is known: too short to be used twice.
#[divan::bench]
fn mint(bencher: Bencher<'_, '_>) {
    let signer = Signer::new("HS256");
    let gateway = gateway(&signer, |config| config["identity_token"]["ttl_seconds"] = json!(20));
    requests(bencher, gateway, &[signer.token("user-00", 1)]);
}

/// Rules of which the last one applies.
#[divan::bench(args = [1, 100, 10_000])]
fn request_after_rules(bencher: Bencher<'_, '_>, rules: usize) {
    let signer = Signer::new("HS256");
    let gateway = gateway(&signer, |config| {
        let other = |n| json!({"match": {"path_prefix": format!("/other/{n}")}, "bypass": true});
        let last =
            json!({"match": {"path_prefix": "/orders"}, "requires": {"scopes_all": ["orders"]}});
        config["rules"] = (1..rules).map(other).chain([last]).collect();
    });
    requests(bencher, gateway, &[signer.token("user-00", 1)]);
}
