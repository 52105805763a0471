//! Signatures by others are accepted, and nothing that differs in one bit; what
//! we sign is what others would have signed.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod paths;

use gatepass::keys::{Algorithm, Crypto, Origin, SigningAlgorithm, SigningKey, VerifyingKey};
use gatepass::token::Untrusted;
use jwt_compact::Claims;
use serde_json::{Value, json};

const LIMIT: usize = 8192;

thread_local! {
    static PATHS: [(&'static str, Crypto); 3] = paths::all();
}

/// A token and the key it was signed with, made by another implementation.
struct Example {
    name: String,
    algorithm: Algorithm,
    jwk: Value,
    key: VerifyingKey,
    token: String,
}

impl Example {
    fn all(examples: &Value) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let example = |it: &Value| Self {
            name: text(&it["name"]),
            algorithm: Algorithm::from_name(it["alg"].as_str().unwrap()).unwrap(),
            jwk: it["jwk"].clone(),
            key: VerifyingKey::from_jwk(it["jwk"].as_object().unwrap(), Origin::Local).unwrap(),
            token: text(&it["token"]),
        };
        examples.as_array().unwrap().iter().map(example).collect()
    }

    /// Whether the signature is good, on which all paths must agree.
    fn verifies(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        let [module, host, native] = PATHS.with(|paths| {
            paths.each_ref().map(|(_, crypto)| {
                self.key.verify(crypto, self.algorithm, signing_input, signature)
            })
        });
        assert_eq!([host, native], [module; 2], "{}: host and native, module", self.name);
        module
    }

    fn accepts(&self, token: &[u8]) -> bool {
        Untrusted::parse(token, LIMIT).is_ok_and(|token| {
            token.algorithm_name() == self.algorithm.name()
                && self.verifies(token.signing_input(), token.signature())
        })
    }
}

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap()
}

fn tokens() -> Vec<Example> {
    Example::all(&fixtures()["tokens"])
}

#[test]
fn tokens_of_another_implementation_are_accepted() {
    let tokens = tokens();
    for algorithm in Algorithm::ALL {
        assert!(
            tokens.iter().any(|token| token.algorithm == algorithm),
            "no token for {algorithm}"
        );
    }
    for example in tokens {
        assert!(example.accepts(example.token.as_bytes()), "{}", example.name);
    }
}

/// A gateway's own key is known again by this, whatever somebody calls it who
/// publishes it as his.
#[test]
fn a_key_is_known_again_by_what_it_is() {
    let material = |jwk: &Value| ["n", "crv", "x"].map(|member| jwk[member].clone());
    let public: Vec<_> = tokens().into_iter().filter(|it| it.jwk["kty"] != "oct").collect();
    for one in &public {
        let mut renamed = one.jwk.clone();
        renamed["kid"] = "another name".into();
        let renamed = VerifyingKey::from_jwk(renamed.as_object().unwrap(), Origin::Remote).unwrap();
        assert!(one.key.is_same_as(&renamed), "{}", one.name);
        for other in &public {
            let expected = material(&one.jwk) == material(&other.jwk);
            assert_eq!(one.key.is_same_as(&other.key), expected, "{} {}", one.name, other.name);
        }
    }
}

#[test]
fn examples_of_the_rfcs_verify() {
    let examples = serde_json::from_str(include_str!("fixtures/rfc_examples.json")).unwrap();
    for example in Example::all(&examples) {
        // Not as tokens: the payload of some is plain text.
        let (signing_input, signature) = example.token.rsplit_once('.').unwrap();
        let signature = from_base64url(signature);
        assert!(example.verifies(signing_input.as_bytes(), &signature), "{}", example.name);
    }
}

#[test]
fn no_bit_may_change() {
    for example in tokens() {
        let mut token = example.token.clone().into_bytes();
        let payload = example.token.find('.').unwrap()..example.token.rfind('.').unwrap();
        for at in 0..token.len() {
            // The payload is hashed and not looked at: one bit of each byte stands for all.
            let bits = if payload.contains(&at) { at % 8..at % 8 + 1 } else { 0..8 };
            for bit in bits {
                token[at] ^= 1 << bit;
                assert!(!example.accepts(&token), "{}: bit {bit} of byte {at}", example.name);
                token[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn no_byte_may_be_missing_or_added() {
    for example in tokens() {
        let token = example.token.as_bytes();
        for length in 0..token.len() {
            assert!(!example.accepts(&token[..length]), "{}: cut to {length}", example.name);
        }
        for more in ["A", "AA", "AAA", "AAAA", "=", ".", " "] {
            let longer = [token, more.as_bytes()].concat();
            assert!(!example.accepts(&longer), "{}: {more:?} added", example.name);
        }
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    for example in tokens() {
        let token = Untrusted::parse(example.token.as_bytes(), LIMIT).unwrap();
        let signature = token.signature();
        let refused = |signature: &[u8], case: &str| {
            let verified = example.verifies(token.signing_input(), signature);
            assert!(!verified, "{}: {case}", example.name);
        };
        for length in 0..signature.len() {
            refused(&signature[..length], &format!("cut to {length}"));
        }
        refused(&[signature, &[0]].concat(), "a zero after");
        refused(&[&[0], signature].concat(), "a zero before");
        refused(&signature.repeat(2), "twice");
        refused(&vec![0; signature.len()], "all zero");
        refused(&vec![0xff; signature.len()], "all ones");
    }
}

#[test]
fn a_key_serves_no_other_algorithm() {
    for example in tokens() {
        let token = Untrusted::parse(example.token.as_bytes(), LIMIT).unwrap();
        for other in Algorithm::ALL {
            for (path, crypto) in paths::all() {
                let (input, signature) = (token.signing_input(), token.signature());
                let verified = example.key.verify(&crypto, other, input, signature);
                let expected = other == example.algorithm;
                assert_eq!(verified, expected, "{} taken for {other}, {path}", example.name);
            }
        }
    }
}

#[test]
fn a_token_of_one_key_is_refused_by_every_other() {
    let tokens = tokens();
    let mut compared = 0;
    for example in &tokens {
        let token = Untrusted::parse(example.token.as_bytes(), LIMIT).unwrap();
        for other in tokens.iter().filter(|other| {
            other.jwk != example.jwk && other.key.algorithms() == example.key.algorithms()
        }) {
            let signed_by_other = Untrusted::parse(other.token.as_bytes(), LIMIT).unwrap();
            assert!(
                !example.verifies(token.signing_input(), signed_by_other.signature()),
                "{} with the signature of {}",
                example.name,
                other.name
            );
            compared += 1;
        }
    }
    assert!(compared > 0, "no two keys of {} are of one kind", tokens.len());
}

#[test]
fn what_we_mint_is_what_another_implementation_signs() {
    let claims = Claims::new(json!({"iss": "https://issuer.example", "sub": "alice"}));
    for example in
        fixtures()["signing"].as_array().unwrap().iter().filter(|it| it["alg"] != "RS256")
    {
        let algorithm = match example["alg"].as_str().unwrap() {
            "ES256" => SigningAlgorithm::Es256,
            _ => SigningAlgorithm::EdDsa,
        };
        for (form, text) in [
            ("JWK", example["jwk"].to_string()),
            ("PEM", example["pem"].as_str().unwrap().to_owned()),
            ("PEM, indented", format!("\n  {}\n\n", example["pem"].as_str().unwrap())),
            ("PEM of Windows", example["pem"].as_str().unwrap().replace('\n', "\r\n")),
        ] {
            let key = SigningKey::parse(&text, algorithm).unwrap_or_else(|error| {
                panic!("{algorithm} from {form}: {error}");
            });
            assert_eq!(key.algorithm(), algorithm, "{form}");
            assert_eq!(key.thumbprint(), example["thumbprint"], "{form}");

            // Both algorithms are deterministic, so there is only one answer.
            let token = key.mint(&Crypto::module(), "test", "int+jwt", &claims).unwrap();
            assert_eq!(token, example["token"].as_str().unwrap(), "{form}");

            let public = key.public_jwk("test");
            let published = VerifyingKey::from_jwk(public.as_object().unwrap(), Origin::Remote);
            let token = Untrusted::parse(token.as_bytes(), LIMIT).unwrap();
            assert_eq!(token.typ(), Some("int+jwt"));
            for key in [key.verifying_key(), &published.unwrap()] {
                let (input, signature) = (token.signing_input(), token.signature());
                assert!(key.verify(&Crypto::module(), algorithm.into(), input, signature));
            }
        }
    }
}

#[test]
fn odd_members_never_panic() {
    let fixtures = fixtures();
    let tokens = fixtures["tokens"].as_array().unwrap().iter();
    let signing = fixtures["signing"].as_array().unwrap().iter();
    let odd = [
        json!(null),
        json!(-1),
        json!(""),
        json!("A"),
        json!("AA"),
        json!("="),
        json!("\u{0}\u{ffff}"),
        json!("_".repeat(42) + "8"),
        json!("A".repeat(43)),
        json!("_".repeat(43)),
        json!("_".repeat(683)),
        json!("A".repeat(100_000)),
        json!(["verify", 1]),
        json!({"kty": "RSA"}),
    ];
    for example in tokens.chain(signing) {
        let jwk = &example["jwk"];
        for member in ["kty", "crv", "alg", "use", "key_ops", "kid", "n", "e", "x", "y", "d", "k"] {
            for value in &odd {
                let mut jwk = jwk.clone();
                jwk[member] = value.clone();
                let members = jwk.as_object().unwrap();
                for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
                    let _ = SigningKey::from_jwk(members, algorithm);
                }
                if let Ok(key) = VerifyingKey::from_jwk(members, Origin::Local) {
                    for algorithm in Algorithm::ALL {
                        assert!(!key.verify(&Crypto::module(), algorithm, b"", &[0; 64]));
                        assert!(!key.verify(&Crypto::module(), algorithm, b"", &[0xff; 256]));
                    }
                }
            }
        }
    }
}

#[test]
fn a_pem_of_another_kind_is_refused_by_name() {
    let fixtures = fixtures();
    let pem = |name: &str| {
        let unfit = fixtures["unfit_pem"].as_array().unwrap().iter();
        let signing = fixtures["signing"].as_array().unwrap().iter();
        let found = unfit.chain(signing).find(|it| it["name"] == name || it["alg"] == name);
        found.unwrap()["pem"].as_str().unwrap().to_owned()
    };
    let es256 = pem("ES256");
    for (case, text, expected) in [
        ("RSA", pem("RSA"), "ES256 needs a P-256 key, this is an RSA key"),
        ("P-384", pem("P-384"), "ES256 needs a P-256 key, this is a P-384 key"),
        ("Ed25519", pem("EdDSA"), "ES256 needs a P-256 key, this is an Ed25519 key"),
        ("SEC1", pem("SEC1"), "openssl pkcs8 -topk8 -nocrypt"),
        ("encrypted", pem("encrypted"), "openssl pkcs8 -topk8 -nocrypt"),
        ("cut", es256.chars().take(es256.len() / 2).collect(), "without its end"),
        ("two keys", es256.repeat(2), "not a well-formed"),
    ] {
        let error = SigningKey::parse(&text, SigningAlgorithm::Es256).unwrap_err();
        assert!(error.to_string().contains(expected), "{case}: {error}");
    }
    let error = SigningKey::parse(&es256, SigningAlgorithm::EdDsa).unwrap_err();
    assert_eq!(error.to_string(), "EdDSA needs an Ed25519 key, this is a P-256 key");
}

fn from_base64url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}
