//! The host's cryptography beside the module's: who is asked, what is believed,
//! and what happens when the host does not answer.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod aws_lc;

use std::cell::Cell;
use std::rc::Rc;

use aws_lc::AwsLc;
use gatepass::config;
use gatepass::keys::{
    Algorithm, AlgorithmSet, Crypto, HostCrypto, HostSigningKey, HostVerifyingKey, Origin,
    SignError, SigningAlgorithm, SigningKey, VerifyingKey,
};
use gatepass::token::Untrusted;
use jwt_compact::Claims;
use serde_json::{Value, json};

const HOSTED: &str = "RS256, RS384, RS512, ES256, ES384, ES512";

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap()
}

fn signing_keys() -> Vec<SigningKey> {
    let fixtures = fixtures();
    let examples = fixtures["signing"].as_array().unwrap();
    examples.iter().map(|it| signing_key(it["alg"].as_str().unwrap())).collect()
}

fn signing_key(name: &str) -> SigningKey {
    let algorithm = match name {
        "ES256" => SigningAlgorithm::Es256,
        "RS256" => SigningAlgorithm::Rs256,
        _ => SigningAlgorithm::EdDsa,
    };
    let fixtures = fixtures();
    let example = fixtures["signing"].as_array().unwrap().iter().find(|it| it["alg"] == name);
    SigningKey::parse(&example.unwrap()["jwk"].to_string(), algorithm).unwrap()
}

type Verify = dyn Fn(&AwsLc, Algorithm, &[u8], &[u8], &[u8]) -> Option<bool>;
type Sign = dyn Fn(&AwsLc, Algorithm, &[u8], &[u8]) -> Option<Vec<u8>>;

/// A host with an answer of its own for each call.
#[derive(Clone)]
struct Odd {
    verify: Rc<Verify>,
    sign: Rc<Sign>,
}

struct OddKey {
    host: Odd,
    algorithm: Algorithm,
    der: Vec<u8>,
}

impl Odd {
    fn key(&self, algorithm: Algorithm, der: &[u8]) -> Rc<OddKey> {
        Rc::new(OddKey { host: self.clone(), algorithm, der: der.to_vec() })
    }
}

impl HostCrypto for Odd {
    fn verifies(&self) -> AlgorithmSet {
        AwsLc::default().verifies()
    }

    fn signs(&self) -> AlgorithmSet {
        AwsLc::default().signs()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        Some(self.key(algorithm, spki))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        Some(self.key(algorithm, pkcs8))
    }
}

impl HostVerifyingKey for OddKey {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        (self.host.verify)(&AwsLc::default(), self.algorithm, &self.der, signature, message)
    }
}

impl HostSigningKey for OddKey {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        (self.host.sign)(&AwsLc::default(), self.algorithm, &self.der, message)
    }
}

fn verifying(
    verify: impl Fn(&AwsLc, Algorithm, &[u8], &[u8], &[u8]) -> Option<bool> + 'static,
) -> Rc<dyn HostCrypto> {
    Rc::new(Odd { verify: Rc::new(verify), sign: Rc::new(AwsLc::sign) })
}

fn signing(
    sign: impl Fn(&AwsLc, Algorithm, &[u8], &[u8]) -> Option<Vec<u8>> + 'static,
) -> Rc<dyn HostCrypto> {
    Rc::new(Odd { verify: Rc::new(AwsLc::verify), sign: Rc::new(sign) })
}

#[test]
fn a_host_is_trusted_with_what_it_tells_right() {
    for (case, host, expected) in [
        ("right", Rc::new(AwsLc::default()) as Rc<dyn HostCrypto>, HOSTED),
        ("never decides", verifying(|_, _, _, _, _| None), ""),
        ("always yes", verifying(|_, _, _, _, _| Some(true)), ""),
        ("always no", verifying(|_, _, _, _, _| Some(false)), ""),
        (
            "looks at no message",
            verifying(|lc, alg, key, signature, _| lc.verify(alg, key, signature, b"gatepass")),
            "",
        ),
        (
            "has no SHA-384",
            verifying(|lc, alg, key, signature, message| {
                lc.verify(alg, key, signature, message).filter(|_| !alg.name().ends_with("384"))
            }),
            "RS256, RS512, ES256, ES512",
        ),
        (
            "cannot tell a bad one",
            verifying(|lc, alg, key, signature, message| {
                lc.verify(alg, key, signature, message).filter(|good| *good)
            }),
            "",
        ),
    ] {
        assert_eq!(Crypto::on(host).host_verifies().to_string(), expected, "{case}");
    }
    assert_eq!(Crypto::module().host_verifies(), AlgorithmSet::EMPTY);
}

#[test]
fn the_host_is_asked_for_its_algorithms_only_and_only_where_the_form_is_right() {
    let host = Rc::new(AwsLc::default());
    let crypto = Crypto::on(Rc::clone(&host) as Rc<dyn HostCrypto>);
    for example in fixtures()["tokens"].as_array().unwrap() {
        let algorithm = Algorithm::from_name(example["alg"].as_str().unwrap()).unwrap();
        let key = VerifyingKey::from_jwk(example["jwk"].as_object().unwrap(), Origin::Local);
        let key = key.unwrap();
        let token = Untrusted::parse(example["token"].as_str().unwrap().as_bytes(), 8192).unwrap();
        let asked = |signature: &[u8]| {
            let before = host.verified.get();
            let good = key.verify(&crypto, algorithm, token.signing_input(), signature);
            (good, host.verified.get() - before)
        };
        let name = &example["name"];
        let calls = u32::from(crypto.host_verifies().contains(algorithm));
        let signature = token.signature();
        assert_eq!(asked(signature), (true, calls), "{name}");
        let mut changed = signature.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(asked(&changed), (false, calls), "{name}, changed");
        assert_eq!(asked(&signature[1..]), (false, 0), "{name}, short");
        assert_eq!(asked(&vec![0xFF; signature.len()]), (false, 0), "{name}, above the order");
        if matches!(algorithm, Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512) {
            assert_eq!(asked(&vec![0; signature.len()]), (false, 0), "{name}, zero");
        }
    }
}

#[test]
fn what_the_host_does_not_decide_the_module_does() {
    let tries = Rc::new(Cell::new(0));
    let counted = Rc::clone(&tries);
    // Decides in its trial of 18 calls, and never again.
    let crypto = Crypto::on(verifying(move |lc, alg, key, signature, message| {
        counted.set(counted.get() + 1);
        lc.verify(alg, key, signature, message).filter(|_| counted.get() <= 18)
    }));
    assert_eq!(crypto.host_verifies().to_string(), HOSTED);
    for example in fixtures()["tokens"].as_array().unwrap() {
        let algorithm = Algorithm::from_name(example["alg"].as_str().unwrap()).unwrap();
        let key = VerifyingKey::from_jwk(example["jwk"].as_object().unwrap(), Origin::Local);
        let key = key.unwrap();
        let token = Untrusted::parse(example["token"].as_str().unwrap().as_bytes(), 8192).unwrap();
        let mut bad = token.signature().to_vec();
        *bad.last_mut().unwrap() ^= 1;
        assert!(key.verify(&crypto, algorithm, token.signing_input(), token.signature()));
        assert!(!key.verify(&crypto, algorithm, token.signing_input(), &bad));
    }
    assert!(tries.get() > 18);
}

#[test]
fn a_key_is_made_ready_once_for_each_algorithm_and_host() {
    let hosts = [AwsLc::default(), AwsLc::default()];
    let cryptos = hosts.clone().map(|host| Crypto::on(Rc::new(host)));
    let after_trial = hosts[0].keys.get();
    assert_eq!(after_trial, 6, "one for each known answer");
    let fixtures = fixtures();
    let mut examples = fixtures["tokens"].as_array().unwrap().iter();
    let example = examples.find(|it| it["alg"] == "RS256").unwrap();
    let mut jwk = example["jwk"].as_object().unwrap().clone();
    jwk.remove("alg");
    let key = VerifyingKey::from_jwk(&jwk, Origin::Local).unwrap();
    assert_eq!(hosts[0].keys.get(), after_trial, "not before it is asked for");
    let token = Untrusted::parse(example["token"].as_str().unwrap().as_bytes(), 8192).unwrap();
    let verify = |crypto: &Crypto, algorithm| {
        key.clone().verify(crypto, algorithm, token.signing_input(), token.signature())
    };
    for _ in 0..3 {
        assert!(verify(&cryptos[0], Algorithm::Rs256));
        assert!(!verify(&cryptos[0], Algorithm::Rs384));
        assert!(verify(&Crypto::module(), Algorithm::Rs256));
    }
    assert_eq!(hosts[0].keys.get(), after_trial + 2);
    // Another host is never answered for by the key of the first.
    let verified = hosts[1].verified.get();
    assert!(verify(&cryptos[1], Algorithm::Rs256));
    assert_eq!(hosts[1].keys.get(), after_trial + 1);
    assert_eq!(hosts[1].verified.get(), verified + 1);

    let keys = signing_keys();
    let crypto = SigningKey::sign_on_host(cryptos[0].clone(), keys.iter());
    for key in &keys {
        for _ in 0..3 {
            key.mint(&crypto, "test", "int+jwt", &Claims::new(json!({}))).unwrap();
        }
    }
    assert_eq!(hosts[0].keys.get(), after_trial + 2 + 2, "RS256 and ES256");
}

#[test]
fn what_a_host_does_not_offer_it_is_not_asked_for() {
    /// Offers one algorithm of each.
    struct Modest(AwsLc);

    impl HostCrypto for Modest {
        fn verifies(&self) -> AlgorithmSet {
            Algorithm::Es256.into()
        }

        fn signs(&self) -> AlgorithmSet {
            Algorithm::Es256.into()
        }

        fn verifying_key(&self, alg: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
            assert_eq!(alg, Algorithm::Es256);
            self.0.verifying_key(alg, spki)
        }

        fn signing_key(&self, alg: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
            assert_eq!(alg, Algorithm::Es256);
            self.0.signing_key(alg, pkcs8)
        }
    }

    let keys = signing_keys();
    let crypto = Crypto::on(Rc::new(Modest(AwsLc::default())));
    let crypto = SigningKey::sign_on_host(crypto, keys.iter());
    assert_eq!(crypto.host_verifies().to_string(), "ES256");
    assert_eq!(crypto.host_signs().to_string(), "ES256");
    for key in &keys {
        let minted = key.mint(&crypto, "test", "int+jwt", &Claims::new(json!({})));
        let is_rsa = key.algorithm() == SigningAlgorithm::Rs256;
        assert_eq!(minted.is_err(), is_rsa, "{}", key.algorithm());
    }
}

#[test]
fn the_host_signs_what_the_module_accepts() {
    let host = Rc::new(AwsLc::default());
    let keys = signing_keys();
    let crypto =
        SigningKey::sign_on_host(Crypto::on(Rc::clone(&host) as Rc<dyn HostCrypto>), keys.iter());
    assert_eq!(crypto.host_signs().to_string(), "RS256, ES256");
    let claims = Claims::new(json!({"sub": "alice"}));
    for key in &keys {
        let before = host.signed.get();
        let token = key.mint(&crypto, "test", "int+jwt", &claims).unwrap();
        let by_host = !matches!(key.algorithm(), SigningAlgorithm::EdDsa);
        assert_eq!(host.signed.get() - before, u32::from(by_host), "{}", key.algorithm());
        let token = Untrusted::parse(token.as_bytes(), 8192).unwrap();
        let algorithm = key.algorithm().into();
        let public = key.public_jwk("test");
        let published = VerifyingKey::from_jwk(public.as_object().unwrap(), Origin::Remote);
        for key in [key.verifying_key(), &published.unwrap()] {
            for (path, crypto) in aws_lc::both_paths() {
                let (input, signature) = (token.signing_input(), token.signature());
                assert!(key.verify(&crypto, algorithm, input, signature), "{algorithm}, {path}");
            }
        }
    }
}

#[test]
fn a_host_that_signs_wrongly_does_not_sign() {
    let flip = |mut signature: Vec<u8>| {
        *signature.last_mut().unwrap() ^= 1;
        signature
    };
    for (case, host) in [
        ("never", signing(|_, _, _, _| None)),
        ("nothing", signing(|_, _, _, _| Some(Vec::new()))),
        ("garbage", signing(|_, _, _, _| Some(vec![0x30; 256]))),
        ("another text", signing(|lc, alg, key, _| lc.sign(alg, key, b"another"))),
        ("a changed one", signing(move |lc, alg, key, text| lc.sign(alg, key, text).map(flip))),
    ] {
        let keys = signing_keys();
        let crypto = SigningKey::sign_on_host(Crypto::on(host), keys.iter());
        assert_eq!(crypto.host_verifies().to_string(), HOSTED, "{case}");
        assert!(crypto.host_signs().is_empty(), "{case}: {}", crypto.host_signs());
    }
}

#[test]
fn where_the_host_fails_later_es256_is_signed_in_the_module_and_rs256_not_at_all() {
    let keys = signing_keys();
    // One trial for each of the two algorithms.
    let calls = Cell::new(0);
    let crypto = Crypto::on(signing(move |lc, alg, key, text| {
        calls.set(calls.get() + 1);
        lc.sign(alg, key, text).filter(|_| calls.get() <= 2)
    }));
    let crypto = SigningKey::sign_on_host(crypto, keys.iter());
    assert_eq!(crypto.host_signs().to_string(), "RS256, ES256");
    let claims = Claims::new(json!({"iss": "https://issuer.example", "sub": "alice"}));
    for key in &keys {
        let minted = key.mint(&crypto, "test", "int+jwt", &claims);
        match key.algorithm() {
            SigningAlgorithm::Rs256 => assert!(matches!(minted, Err(SignError::Host))),
            _ => {
                let token = minted.unwrap();
                let fixtures = fixtures();
                let mut examples = fixtures["signing"].as_array().unwrap().iter();
                let name = key.algorithm().to_string();
                let example = examples.find(|it| it["alg"] == name.as_str()).unwrap();
                assert_eq!(token, example["token"].as_str().unwrap(), "{name}");
            }
        }
    }
    let rs256 = signing_key("RS256");
    let minted = rs256.mint(&Crypto::module(), "test", "int+jwt", &claims);
    assert!(matches!(minted, Err(SignError::Host)), "no host at all");
}

#[test]
fn a_key_that_the_host_does_not_take_keeps_its_algorithm_in_the_module() {
    let keys = [signing_key("ES256"), signing_key("ES256")];
    let calls = Cell::new(0);
    let crypto = Crypto::on(signing(move |lc, alg, key, text| {
        calls.set(calls.get() + 1);
        lc.sign(alg, key, text).filter(|_| calls.get() != 2)
    }));
    assert!(SigningKey::sign_on_host(crypto, keys.iter()).host_signs().is_empty());
}

/// A configuration with that signing key and `crypto`.
fn configuration(algorithm: &str, crypto: Option<&str>) -> Value {
    let fixtures = fixtures();
    let kind = if algorithm.starts_with("PS") { "RS256" } else { algorithm };
    let example = fixtures["signing"].as_array().unwrap().iter().find(|it| it["alg"] == kind);
    // RFC 7515 appendix A.3.1: none of the gateway's own.
    let another_key = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let mut configuration = json!({
        "providers": {"shop": {
            "issuer": "https://auth.example", "audiences": ["api"],
            "local_jwks": {"keys": [another_key]},
        }},
        "identity_token": {
            "issuer": "https://gateway.example", "audiences": ["services"],
            "signing_keys": [{"algorithm": algorithm, "private_key": example.unwrap()["pem"]}],
        },
    });
    if let Some(crypto) = crypto {
        configuration["crypto"] = crypto.into();
    }
    configuration
}

#[test]
fn the_configuration_chooses() {
    let no_host = || None;
    let good = || Some(Rc::new(AwsLc::default()) as Rc<dyn HostCrypto>);
    let bad = || Some(verifying(|_, _, _, _, _| None));
    let no_rsa = || Some(signing(|_, _, _, _| None));
    type MakeHost<'a> = &'a dyn Fn() -> Option<Rc<dyn HostCrypto>>;
    let (key, crypto) = ("$.identity_token.signing_keys[0].algorithm", "$.crypto");
    let private_key = "$.identity_token.signing_keys[0].private_key";
    for (case, algorithm, choice, host, expected) in [
        ("by default", "ES256", None, &good as MakeHost<'_>, Ok(HOSTED)),
        ("auto", "ES256", Some("auto"), &good, Ok(HOSTED)),
        ("host", "ES256", Some("host"), &good, Ok(HOSTED)),
        ("module", "ES256", Some("module"), &good, Ok("")),
        ("auto without a host", "ES256", None, &no_host, Ok("")),
        ("auto on a host that fails", "ES256", None, &bad, Ok("")),
        ("host without a host", "ES256", Some("host"), &no_host, Err(crypto)),
        ("host on a host that fails", "ES256", Some("host"), &bad, Err(crypto)),
        ("a word that is none", "ES256", Some("boring"), &good, Err(crypto)),
        ("RS256", "RS256", None, &good, Ok(HOSTED)),
        ("RS256 without a host", "RS256", None, &no_host, Err(key)),
        ("RS256 in the module", "RS256", Some("module"), &good, Err(key)),
        ("RS256 on a host that does not sign", "RS256", None, &no_rsa, Err(private_key)),
        ("PS256 on a host without", "PS256", None, &good, Err(key)),
    ] {
        let text = configuration(algorithm, choice).to_string();
        let loaded = config::load(text.as_bytes(), &|_| None, host());
        match (loaded, expected) {
            (Ok(settings), Ok(expected)) => {
                assert_eq!(settings.crypto.host_verifies().to_string(), expected, "{case}");
                let signs = settings.crypto.host_signs().to_string();
                assert_eq!(signs, if expected.is_empty() { "" } else { algorithm }, "{case}");
            }
            (Err(problems), Err(expected)) => {
                let paths: Vec<_> = problems.0.iter().map(|it| it.path.as_str()).collect();
                assert!(paths.contains(&expected), "{case}: {problems}");
            }
            (loaded, _) => panic!("{case}: {loaded:?}"),
        }
    }
    let text = configuration("PS256", None).to_string();
    let problems = config::load(text.as_bytes(), &|_| None, good()).unwrap_err().to_string();
    assert!(problems.contains("PS256, with which nobody signs here"), "{problems}");
    assert!(problems.contains("native doors only"), "{problems}");
}

#[test]
fn no_message_shows_a_key() {
    let rs256 = signing_key("RS256");
    assert!(format!("{rs256:?}").starts_with("SigningKey { algorithm: Rs256, thumbprint: \""));
    let fixtures = fixtures();
    let example = fixtures["signing"].as_array().unwrap().iter().find(|it| it["alg"] == "RS256");
    let published = rs256.public_jwk("one");
    let members: Vec<_> = published.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!(published["n"], example.unwrap()["jwk"]["n"]);
    for missing in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        let mut jwk = example.unwrap()["jwk"].clone();
        jwk.as_object_mut().unwrap().remove(missing);
        let error = SigningKey::parse(&jwk.to_string(), SigningAlgorithm::Rs256).unwrap_err();
        assert_eq!(error.to_string(), format!("member \"{missing}\" is missing"));
    }
}
