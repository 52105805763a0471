//! The filter in hosts with and without cryptography of their own: what it asks
//! them, what it says of them, and that requests pass all the same.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code
)]

mod aws_lc;
mod foreign;
mod host;

use std::sync::OnceLock;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use foreign::envoy;
use gatepass::keys::{Algorithm, Crypto, Origin, VerifyingKey};
use gatepass_wasm as _;
use host::abi::Status;
use host::{Filter, Host, Profile, each_host};
use serde_json::{Value, json};

unsafe extern "C" {
    safe fn _initialize();
}

extern "C" fn initialize() {
    _initialize();
}

const FILTER: Filter = Filter {
    initialize,
    in_progress: || 0,
    module: host::built_module,
    configuration: |_| configuration("ES256", "auto"),
    clusters: &[],
};

fn configuration(signing: &str, crypto: &str) -> Value {
    let fixtures: Value = serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap();
    let keys = |alg: &str| {
        let found = fixtures["signing"].as_array().unwrap().iter().find(|it| it["alg"] == alg);
        found.unwrap().clone()
    };
    json!({
        "crypto": crypto,
        "providers": {"shop": {
            "issuer": "https://auth.example", "audiences": ["api"],
            "local_jwks": {"keys": issuer().jwks()},
        }},
        "identity_token": {
            "issuer": "https://gateway.example", "audiences": ["services"],
            "signing_keys": [{"algorithm": signing, "private_key": keys(signing)["pem"]}],
        },
    })
}

/// The issuer's own keys: the gateway does not take one of its own for them.
struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
}

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| Issuer {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    })
}

impl Issuer {
    fn jwks(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let rsa = self.rsa.public_key();
        let (modulus, exponent) = (rsa.modulus(), rsa.exponent());
        let [n, e] = [modulus, exponent].map(|it| encode(it.big_endian_without_leading_zero()));
        // Not compressed: a 4, then both coordinates.
        let (x, y) = self.ec.public_key().as_ref()[1..].split_at(32);
        json!([
            {"kty": "RSA", "n": n, "e": e},
            {"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)},
        ])
    }
}

/// A token of the issuer, good for some minutes.
fn token(host: &Host, alg: &str) -> String {
    let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "https://auth.example", "aud": "api", "sub": "alice", "exp": host.now() + 300,
    });
    let input = format!("{}.{}", encode(json!({"alg": alg})), encode(claims));
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signature = match alg {
        "ES256" => {
            let key = &issuer().ec;
            key.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec()
        }
        _ => {
            let key = &issuer().rsa;
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
            signature
        }
    };
    format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// Good tokens pass with an identity that verifies, changed ones do not.
fn assert_works(host: &Host, signing: &str) {
    for alg in ["RS256", "ES256"] {
        let token = token(host, alg);
        let request = host.request([("authorization", &format!("Bearer {token}"))]);
        let identity = request.upstream_headers("x-identity-token").remove(0);
        let (input, signature) = identity.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let jwks = host.send(host::Head::get("/.well-known/gatepass/jwks.json")).reply().body;
        let jwks: Value = serde_json::from_slice(&jwks).unwrap();
        let jwk = jwks["keys"][0].as_object().unwrap();
        let key = VerifyingKey::from_jwk(jwk, Origin::Remote).unwrap();
        let algorithm = Algorithm::from_name(signing).unwrap();
        assert!(key.verify(&Crypto::module(), algorithm, input.as_bytes(), &signature));

        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[40] ^= 1;
        let token = format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        let request = host.request([("authorization", &format!("Bearer {token}"))]);
        assert_eq!(request.status(), 401, "{alg}, changed");
        assert!(host.logged("signature_invalid"));
    }
}

/// What the log line and the gauge say of an algorithm.
fn assert_says(host: &Host, algorithm: &str, by_host: bool) {
    let lines = host.logs().into_iter().filter(|line| line.text.contains(r#""event":"started""#));
    let lines: Vec<Value> = lines.map(|it| serde_json::from_str(&it.text).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["verify"][algorithm], if by_host { "host" } else { "module" });
    let name = format!("gatepass_crypto_host.algorithm.{algorithm}");
    assert!(host.metrics().contains_key(&name), "{name}");
    assert_eq!(host.metric(&name), u64::from(by_host));
}

each_host!(a_host_without_cryptography_is_no_matter, by proxy_wasm, |host| {
    assert_works(host, "ES256");
    for algorithm in Algorithm::ALL {
        assert_says(host, algorithm.name(), false);
    }
});

each_host!(envoy_does_what_it_can, by proxy_wasm, |host| {
    host.with_foreign(envoy);
    assert_works(host, "ES256");
    for algorithm in Algorithm::ALL {
        let hosted =
            ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"].contains(&algorithm.name());
        assert_says(host, algorithm.name(), hosted && !host.is_kong());
    }
    let by = if host.is_kong() { "module" } else { "host" };
    assert!(host.logged(&format!(r#""sign":{{"ES256":"{by}"}}"#)));
});

each_host!(envoy_signs_with_rsa, on Envoy, |host| {
    host.with_foreign(envoy);
    assert!(host.configure(configuration("RS256", "host")));
    assert_works(host, "RS256");
    assert!(host.logged(r#""sign":{"RS256":"host"}"#));
});

each_host!(the_module_is_enough_when_asked_for, by proxy_wasm, |host| {
    host.with_foreign(|name, _| panic!("{name} was called"));
    assert!(host.configure(configuration("ES256", "module")));
    assert_works(host, "ES256");
    assert_says(host, "RS256", false);
});

each_host!(odd_answers_are_not_believed, on Envoy, |host| {
    host.with_foreign(|name, arguments| match name {
        // As `true`, but with more behind it.
        "verify_signature" => envoy(name, arguments).map(|result| [&result[..], &[0x1A, 0]].concat()),
        _ => Ok(vec![0x08, 0x01, 0x12, 200, 200, 200]),
    });
    assert_works(host, "ES256");
    assert_says(host, "RS256", false);
    assert!(host.logged(r#""sign":{"ES256":"module"}"#));
});

each_host!(a_host_that_stops_verifying_refuses_no_good_token, on Envoy, |host| {
    use std::sync::atomic::{AtomicBool, Ordering};
    static IS_BROKEN: AtomicBool = AtomicBool::new(false);
    host.with_foreign(|name, arguments| match name {
        // As `error`, which is not that of a bad signature.
        "verify_signature" if IS_BROKEN.load(Ordering::Relaxed) => {
            Ok([&[0x12, 10], &b"Failed to "[..]].concat())
        }
        _ => envoy(name, arguments),
    });
    if host.engine() == host::Engine::Module {
        return; // the flag is for one run
    }
    assert!(host.configure(configuration("ES256", "auto")));
    assert_says(host, "RS256", true);
    IS_BROKEN.store(true, Ordering::Relaxed);
    assert_works(host, "ES256");
});

each_host!(crypto_of_the_host_is_insisted_on, by proxy_wasm, |host| {
    // Kong loads it all the same, and denies everything.
    let accepted = host.configure(configuration("ES256", "host"));
    assert_eq!(accepted, host.is_kong());
    assert!(host.logged("$.crypto: found \"host\""));
    if host.profile() == Profile::Kong {
        assert_eq!(host.request([]).status(), 503);
    }
});

each_host!(rsa_is_not_signed_with_in_the_module, by proxy_wasm, |host| {
    let accepted = host.configure(configuration("RS256", "auto"));
    assert_eq!(accepted, host.is_kong());
    assert!(host.logged("$.identity_token.signing_keys[0].algorithm: found RS256"));
    if host.profile() == Profile::Kong {
        assert_eq!(host.request([]).status(), 503);
    }
});

each_host!(a_host_that_stops_signing_costs_no_wrong_token, on Envoy, |host| {
    use std::sync::atomic::{AtomicU32, Ordering};
    // Natively and as a module, each with two trials of the key.
    static SIGNED: AtomicU32 = AtomicU32::new(0);
    host.with_foreign(|name, arguments| match name {
        "sign" if SIGNED.fetch_add(1, Ordering::Relaxed) % 3 == 2 => Err(Status::InternalFailure),
        _ => envoy(name, arguments),
    });
    if host.engine() == host::Engine::Module {
        return; // the counter is for one run
    }
    assert!(host.configure(configuration("RS256", "auto")));
    let token = token(host, "ES256");
    let request = host.request([("authorization", &format!("Bearer {token}"))]);
    assert_eq!(request.status(), 503);
    assert!(host.logged("identity_unavailable"));
    assert!(host.logged("the host did not sign"));
});
