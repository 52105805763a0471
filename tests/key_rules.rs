//! The rules about algorithms and keys, each with a test of its number and name.
//! The files of `src/keys` and the vectors of Project Wycheproof go deeper into
//! single ones.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod aws_lc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use gatepass::config;
use gatepass::host::{HostCapabilities, RequestId};
use gatepass::http::RequestHead;
use gatepass::keys::{KeyError, KeySet, Origin, VerifyingKey};
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

const NOW: i64 = 1_767_225_600;

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap()
}

fn private(alg: &str) -> Value {
    let fixtures = fixtures();
    let found = fixtures["signing"].as_array().unwrap().iter().find(|it| it["alg"] == alg);
    found.unwrap().clone()
}

/// The public half of a fixture's key, with changes; `null` takes a member away.
fn public(alg: &str, changes: Value) -> Value {
    let mut jwk = private(alg)["jwk"].clone();
    let members = jwk.as_object_mut().unwrap();
    members.retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
    for (name, value) in changes.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    jwk
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(value: &Value) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}

fn rsa_signature(padding: &'static dyn RsaEncoding, input: &[u8]) -> Vec<u8> {
    let pem = private("RS256")["pem"].as_str().unwrap().to_owned();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(body).unwrap()).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(padding, &SystemRandom::new(), input, &mut signature).unwrap();
    signature
}

/// A signature with the fixture's key of that algorithm, whatever it is put on.
fn sign(alg: &str, input: &[u8]) -> Vec<u8> {
    let jwk = &private(if alg == "PS256" { "RS256" } else { alg })["jwk"];
    match alg {
        "RS256" => rsa_signature(&RSA_PKCS1_SHA256, input),
        "PS256" => rsa_signature(&RSA_PSS_SHA256, input),
        "ES256" => {
            let point = [&[4][..], &decode(&jwk["x"]), &decode(&jwk["y"])].concat();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_private_key_and_public_key(
                algorithm,
                &decode(&jwk["d"]),
                &point,
            );
            key.unwrap().sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec()
        }
        _ => {
            let key = Ed25519KeyPair::from_seed_unchecked(&decode(&jwk["d"])).unwrap();
            key.sign(input).as_ref().to_vec()
        }
    }
}

fn signing_input(header: &Value) -> String {
    let claims = json!({
        "iss": "https://auth.example", "aud": "api", "sub": "alice", "exp": NOW + 300,
    });
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

/// A token with that header, signed by the fixture's key for `alg`.
fn token(alg: &str, header: &Value) -> String {
    let input = signing_input(header);
    let signature = sign(alg, input.as_bytes());
    format!("{input}.{}", encode(&signature))
}

fn configuration(provider: &Value) -> Value {
    let mut provider = provider.clone();
    provider["issuer"] = "https://auth.example".into();
    provider["audiences"] = json!(["api"]);
    json!({
        "services": {"auth": {"upstream": "auth"}},
        "providers": {"shop": provider},
        "identity_token": {
            "issuer": "https://gateway.example", "audiences": ["services"],
            "signing_keys": [{"algorithm": "EdDSA", "private_key": private("EdDSA")["jwk"]}],
        },
    })
}

fn problems(provider: &Value) -> String {
    let text = configuration(provider).to_string();
    config::load(text.as_bytes(), &|_| None, None).unwrap_err().to_string()
}

/// What the gateway answers a token: `passed`, or the code of the denial. It
/// never asks anybody.
fn judge(provider: &Value, token: &str) -> String {
    let text = configuration(provider).to_string();
    let settings = config::load(text.as_bytes(), &|_| None, None);
    let settings = settings.unwrap_or_else(|problems| panic!("{problems}"));
    let traits = HostCapabilities::ENVOY;
    let mut gateway = Pipeline::new(settings, traits, [7; 16]);
    let _ = gateway.take_log();
    let fields = [
        (":method", "GET".to_owned()),
        (":path", "/".to_owned()),
        (":authority", "shop.example".to_owned()),
        ("authorization", format!("Bearer {token}")),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.into_bytes()));
    match gateway.begin(RequestId::default(), RequestHead::new(fields), UnixTime::from_secs(NOW)) {
        Step::Done(Verdict::Forward(_), _) => "passed".to_owned(),
        Step::Done(Verdict::Deny(_, _) | Verdict::Answer(_), _) => {
            let line: Value = serde_json::from_str(&gateway.take_log()[0].to_string()).unwrap();
            line["code"].as_str().unwrap().to_owned()
        }
        step => panic!("{step:?}"),
    }
}

fn keys(keys: Value) -> Value {
    json!({"local_jwks": {"keys": keys}})
}

// RFC 8725 section 3.1: "Libraries MUST enable the caller to specify a supported set of
// algorithms and MUST NOT use any other algorithms when performing cryptographic
// operations." (R06)
#[test]
fn r06_the_algorithm_is_one_of_the_issuers() {
    let mut provider = keys(json!([public("RS256", json!({})), public("ES256", json!({}))]));
    provider["algorithms"] = json!(["RS256"]);
    for (case, alg, header, expected) in [
        ("listed", "RS256", json!({"alg": "RS256"}), "passed"),
        ("not listed", "ES256", json!({"alg": "ES256"}), "algorithm_not_allowed"),
        ("not listed, of the same key", "PS256", json!({"alg": "PS256"}), "algorithm_not_allowed"),
        ("lower case", "RS256", json!({"alg": "rs256"}), "algorithm_not_allowed"),
        ("a space after", "RS256", json!({"alg": "RS256 "}), "algorithm_not_allowed"),
        ("absent", "RS256", json!({}), "token_malformed"),
        ("null", "RS256", json!({"alg": null}), "token_malformed"),
        ("a list", "RS256", json!({"alg": ["RS256"]}), "token_malformed"),
    ] {
        assert_eq!(judge(&provider, &token(alg, &header)), expected, "{case}");
    }
}

// RFC 8725 section 3.2: "JWT libraries SHOULD NOT consume JWTs using "none" unless
// explicitly requested by the caller." (R07)
#[test]
fn r07_none_is_no_algorithm() {
    let provider = keys(json!([public("RS256", json!({}))]));
    for name in ["none", "None", "NONE", "nOnE", "", "null"] {
        let input = signing_input(&json!({"alg": name}));
        for signature in ["", "AA"] {
            let code = judge(&provider, &format!("{input}.{signature}"));
            assert!(
                ["algorithm_not_allowed", "token_malformed"].contains(&code.as_str()),
                "{name:?} with {signature:?}: {code}"
            );
        }
        let mut provider = provider.clone();
        provider["algorithms"] = json!([name]);
        assert!(problems(&provider).contains("$.providers.shop.algorithms[0]"), "{name:?}");
    }
}

// RFC 7517 section 4.2 (R08)
#[test]
fn r08_a_key_serves_what_it_is_for() {
    for (case, changes, alg, expected) in [
        ("its family", json!({}), "PS256", "passed"),
        ("its algorithm", json!({"alg": "RS256"}), "RS256", "passed"),
        ("another algorithm of its family", json!({"alg": "RS256"}), "PS256", "key_unknown"),
        ("another family", json!({}), "ES256", "key_unknown"),
        ("to verify", json!({"key_ops": ["verify"], "use": "sig"}), "RS256", "passed"),
    ] {
        let provider = keys(json!([public("RS256", changes)]));
        assert_eq!(judge(&provider, &token(alg, &json!({"alg": alg}))), expected, "{case}");
    }
    // One that is for something else is refused where somebody put it, and left
    // out of a set that was fetched.
    for (case, changes) in [
        ("for encryption", json!({"use": "enc"})),
        ("to sign only", json!({"key_ops": ["sign"]})),
        ("an algorithm of another family", json!({"alg": "ES256"})),
        ("an algorithm to encrypt", json!({"alg": "RSA-OAEP"})),
    ] {
        let jwk = public("RS256", changes);
        assert!(problems(&keys(json!([jwk]))).contains("$.providers.shop.local_jwks"), "{case}");
        let set = json!({"keys": [jwk, public("ES256", json!({}))]});
        let (set, skipped) = KeySet::from_jwks(&set, Origin::Remote).unwrap();
        assert_eq!((set.keys().len(), skipped.len()), (1, 1), "{case}");
    }
}

// RFC 8725 section 3.5: "human-memorizable passwords MUST NOT be directly used as the
// key to a keyed-MAC algorithm" (R09)
#[test]
fn r09_secrets_come_from_the_configuration_only() {
    let secret = json!({"kty": "oct", "k": encode(&[7; 64])});
    let set = json!({"keys": [secret, public("ES256", json!({}))]});
    let (set, skipped) = KeySet::from_jwks(&set, Origin::Remote).unwrap();
    assert_eq!(set.keys().len(), 1);
    assert_eq!(skipped[0].reason, KeyError::SymmetricFromRemote);

    let mut mixed = keys(json!([secret, public("RS256", json!({}))]));
    mixed["algorithms"] = json!(["HS256", "RS256"]);
    assert!(problems(&mixed).contains("HS* beside others"));
    let remote = json!({
        "algorithms": ["HS256"], "remote_jwks": {"service": "auth", "path": "/jwks"},
    });
    assert!(problems(&remote).contains("HS* algorithms with keys that are fetched"));

    // The public key taken for a secret, in the forms it is published in.
    let jwk = public("RS256", json!({}));
    let modulus = decode(&jwk["n"]);
    let input = signing_input(&json!({"alg": "HS256"}));
    for secret in [modulus.as_slice(), jwk.to_string().as_bytes(), b""] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let token = format!("{input}.{}", encode(hmac::sign(&key, input.as_bytes()).as_ref()));
        assert_eq!(judge(&keys(json!([jwk])), &token), "algorithm_not_allowed");
    }
}

// RFC 7515 section 4.1.11: "If any of the listed extension Header Parameters are not
// understood and supported by the recipient, then the JWS is invalid." (R10)
#[test]
fn r10_no_extension_is_understood() {
    let provider = keys(json!([public("RS256", json!({}))]));
    for crit in [json!([]), json!(["exp"]), json!(["b64"]), json!("exp"), json!(null), json!({})] {
        let token = token("RS256", &json!({"alg": "RS256", "crit": crit, "exp": 1}));
        assert_eq!(judge(&provider, &token), "critical_header", "{crit}");
    }
}

// RFC 7797 section 7 (R11)
#[test]
fn r11_b64_is_refused() {
    let provider = keys(json!([public("RS256", json!({}))]));
    for b64 in [json!(false), json!(true), json!(null), json!("false")] {
        let token = token("RS256", &json!({"alg": "RS256", "b64": b64}));
        assert_eq!(judge(&provider, &token), "critical_header", "{b64}");
    }
}

// RFC 8725 section 3.10: "blindly following a "jku" (JWK set URL) or "x5u" (X.509 URL)
// header, which may contain an arbitrary URL, could result in server-side request
// forgery (SSRF) attacks" (R12)
#[test]
fn r12_a_token_does_not_bring_its_key() {
    let ours = json!([public("ES256", json!({"kid": "ours"}))]);
    let theirs = public("RS256", json!({}));
    for (name, value) in [
        ("jwk", theirs),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AA")),
    ] {
        // `judge` fails if the gateway would ask anybody.
        let forged = token("RS256", &json!({"alg": "RS256", "kid": "ours", name: value}));
        assert_eq!(judge(&keys(ours.clone()), &forged), "key_unknown", "{name}");
        let good = token("ES256", &json!({"alg": "ES256", "kid": "ours", name: value}));
        assert_eq!(judge(&keys(ours.clone()), &good), "passed", "{name}: it is not even looked at");
    }
}

// RFC 7515 section 4.1.4: "Its value MUST be a case-sensitive string." (R13)
#[test]
fn r13_a_kid_is_nothing_but_a_name() {
    let long = "k".repeat(256);
    let provider = keys(json!([
        public("RS256", json!({"kid": "one"})),
        public("ES256", json!({"kid": long})),
    ]));
    for (case, alg, kid, expected) in [
        ("it", "RS256", json!("one"), "passed"),
        ("as long as may be", "ES256", json!(long), "passed"),
        ("in capitals", "RS256", json!("ONE"), "key_unknown"),
        ("a space after", "RS256", json!("one "), "key_unknown"),
        ("a part", "RS256", json!("on"), "key_unknown"),
        ("nothing", "RS256", json!(""), "key_unknown"),
        ("a path", "RS256", json!("../../dev/null"), "key_unknown"),
        ("SQL", "RS256", json!("x' UNION SELECT 'one"), "key_unknown"),
        ("a format", "RS256", json!("%s{}{0}"), "key_unknown"),
        ("a URL", "RS256", json!("https://evil.example/k"), "key_unknown"),
        ("too long", "RS256", json!("k".repeat(257)), "token_malformed"),
        ("a number", "RS256", json!(1), "token_malformed"),
        ("a list", "RS256", json!(["one"]), "token_malformed"),
        ("null, which is none", "RS256", json!(null), "passed"),
    ] {
        let token = token(alg, &json!({"alg": alg, "kid": kid}));
        assert_eq!(judge(&provider, &token), expected, "{case}");
    }
}

fn key_error(jwk: &Value) -> Option<KeyError> {
    VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Remote).err()
}

// RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used with these
// algorithms." (R14)
#[test]
fn r14_rsa_keys_are_neither_weak_nor_dear() {
    let modulus = |bits: usize| {
        let mut modulus = vec![0xFF; bits.div_ceil(8)];
        modulus[0] >>= bits.next_multiple_of(8) - bits;
        encode(&modulus)
    };
    let size = |bits| Some(KeyError::ModulusSize { bits });
    for (case, changes, expected) in [
        ("1024 bits", json!({"n": modulus(1024)}), size(1024)),
        ("2047 bits", json!({"n": modulus(2047)}), size(2047)),
        ("2048 bits", json!({"n": modulus(2048)}), None),
        ("4096 bits", json!({"n": modulus(4096)}), None),
        ("4097 bits", json!({"n": modulus(4097)}), size(4097)),
        ("e of 1", json!({"e": "AQ"}), Some(KeyError::Exponent)),
        ("e of 3", json!({"e": "Aw"}), None),
        ("e even", json!({"e": "AQAA"}), Some(KeyError::Exponent)),
        ("e above 2^33", json!({"e": encode(&[4, 0, 0, 0, 1])}), Some(KeyError::Exponent)),
    ] {
        assert_eq!(key_error(&public("RS256", changes)), expected, "{case}");
    }
    let mut even = decode(&public("RS256", json!({}))["n"]);
    *even.last_mut().unwrap() ^= 1;
    let even = public("RS256", json!({"n": encode(&even)}));
    assert_eq!(key_error(&even), Some(KeyError::ModulusEven));
}

// RFC 7518 section 3.2: "A key of the same size as the hash output (for instance, 256
// bits for "HS256") or larger MUST be used with this algorithm." (R15)
#[test]
fn r15_a_secret_is_as_long_as_the_hash() {
    for (alg, bytes, fits) in [
        ("HS256", 0, false),
        ("HS256", 31, false),
        ("HS256", 32, true),
        ("HS384", 47, false),
        ("HS384", 48, true),
        ("HS512", 63, false),
        ("HS512", 64, true),
    ] {
        let secret = json!({"kty": "oct", "alg": alg, "k": encode(&vec![7; bytes])});
        let mut provider = keys(json!([secret]));
        provider["algorithms"] = json!([alg]);
        let text = configuration(&provider).to_string();
        let loaded = config::load(text.as_bytes(), &|_| None, None);
        assert_eq!(loaded.is_ok(), fits, "{alg} with {bytes} bytes");
    }
}

/// Verifies by both paths, which must agree.
fn verifies(jwk: &Value, alg: &str, input: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Remote).unwrap();
    let algorithm = gatepass::keys::Algorithm::from_name(alg).unwrap();
    let [module, host] =
        aws_lc::both_paths().map(|(_, crypto)| key.verify(&crypto, algorithm, input, signature));
    assert_eq!(module, host);
    module
}

// RFC 7518 section 3.4: "The octet sequence representations MUST NOT be shortened to
// omit any leading zero octets contained in the values." (R16)
#[test]
fn r16_an_ecdsa_signature_is_two_whole_numbers_in_range() {
    // For each curve: its name, an issuer's example, bytes of a number, order.
    let fixtures = fixtures();
    let orders = [
        ("ES256", "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551".to_owned()),
        ("ES384", "F".repeat(48) + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973"),
        (
            "ES512",
            "01".to_owned()
                + &"F".repeat(64)
                + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
        ),
        ("ES256K", "F".repeat(31) + "EBAAEDCE6AF48A03BBFD25E8CD0364141"),
    ];
    for (alg, order) in orders {
        let digits = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        let order: Vec<u8> = order.as_bytes().chunks(2).map(digits).collect();
        let example = fixtures["tokens"].as_array().unwrap().iter().find(|it| it["alg"] == alg);
        let (jwk, token) = (&example.unwrap()["jwk"], example.unwrap()["token"].as_str().unwrap());
        let (input, signature) = token.rsplit_once('.').unwrap();
        let good = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (r, s) = good.split_at(good.len() / 2);
        assert_eq!(r.len(), order.len(), "{alg}");
        let zero = vec![0; r.len()];
        let refused = |case: &str, signature: Vec<u8>| {
            assert!(!verifies(jwk, alg, input.as_bytes(), &signature), "{alg}: {case}");
        };
        assert!(verifies(jwk, alg, input.as_bytes(), &good), "{alg}");
        refused("R is 0", [&zero, s].concat());
        refused("S is 0", [r, &zero].concat());
        refused("both are 0", [zero.clone(), zero.clone()].concat());
        refused("R is the order", [&order, s].concat());
        refused("S is the order", [r, &order].concat());
        refused("a zero in front of each", [&[0], r, &[0], s].concat());
        refused("a byte less", good[1..].to_vec());
        let der = [&[0x30, (2 * r.len() + 4) as u8, 2, r.len() as u8], r, &[2, s.len() as u8], s];
        refused("DER", der.concat());

        // And a point that is on the curve, in whole coordinates.
        let with = |name: &str, value: Vec<u8>| {
            let mut jwk = jwk.clone();
            jwk[name] = encode(&value).into();
            key_error(&jwk)
        };
        let (x, y) = (decode(&jwk["x"]), decode(&jwk["y"]));
        let mut off = y.clone();
        *off.last_mut().unwrap() ^= 1;
        assert_eq!(with("y", off), Some(KeyError::NotOnCurve), "{alg}");
        assert_eq!(with("x", vec![0xFF; x.len()]), Some(KeyError::NotOnCurve), "{alg}");
        let found = x.len() + 1;
        let expected = KeyError::WrongLength { member: "x", expected: x.len(), found };
        assert_eq!(with("x", [&[0], &x[..]].concat()), Some(expected), "{alg}");
        let infinity =
            json!({"kty": "EC", "crv": jwk["crv"], "x": encode(&zero), "y": encode(&zero)});
        assert_eq!(key_error(&infinity), Some(KeyError::NotOnCurve), "{alg}");
    }
}

// RFC 8017 section 8.2.2 (R17)
#[test]
fn r17_an_rsa_signature_is_the_whole_block() {
    let jwk = public("RS256", json!({}));
    let modulus = decode(&jwk["n"]);
    for (alg, padding) in
        [("RS256", &RSA_PKCS1_SHA256 as &'static dyn RsaEncoding), ("PS256", &RSA_PSS_SHA256)]
    {
        let good = rsa_signature(padding, b"input");
        assert!(verifies(&jwk, alg, b"input", &good), "{alg}");
        // The same number modulo n, where it fits.
        let mut carry = 0;
        let more: Vec<u8> = (0..good.len())
            .rev()
            .map(|at| {
                let sum = u16::from(good[at]) + u16::from(modulus[at]) + carry;
                carry = sum >> 8;
                sum as u8
            })
            .collect();
        let mut more: Vec<u8> = more.into_iter().rev().collect();
        if carry > 0 {
            more.insert(0, carry as u8);
        }
        for (case, signature) in [
            ("n more", more),
            ("n itself", modulus.clone()),
            ("0", vec![0; modulus.len()]),
            ("1", [vec![0; modulus.len() - 1], vec![1]].concat()),
            ("a zero in front", [&[0], &good[..]].concat()),
            ("a zero after", [&good[..], &[0]].concat()),
            ("a byte less", good[1..].to_vec()),
        ] {
            assert!(!verifies(&jwk, alg, b"input", &signature), "{alg}: {case}");
        }
        let other = if alg == "RS256" { "PS256" } else { "RS256" };
        assert!(!verifies(&jwk, other, b"input", &good), "{alg} taken for {other}");
    }
    // Wycheproof's forgeries (Bleichenbacher's and the like), and salts of
    // another length, are in tests/wycheproof.rs.
}

// RFC 8032 section 5.1.7 (R18)
#[test]
fn r18_an_ed25519_signature_has_one_form() {
    let jwk = public("EdDSA", json!({}));
    let good = sign("EdDSA", b"input");
    assert!(verifies(&jwk, "EdDSA", b"input", &good));
    // The order of the group, added to S.
    let order: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut twin = good.clone();
    let mut carry = 0;
    for (at, more) in order.into_iter().enumerate() {
        let sum = u16::from(twin[32 + at]) + u16::from(more) + carry;
        twin[32 + at] = sum as u8;
        carry = sum >> 8;
    }
    let small_order = [&[1][..], &[0; 31], &good[32..]].concat();
    for (case, signature) in [
        ("S and the order", twin),
        ("R of small order", small_order),
        ("63 bytes", good[..63].to_vec()),
        ("65 bytes", [&good[..], &[0]].concat()),
    ] {
        assert!(!verifies(&jwk, "EdDSA", b"input", &signature), "{case}");
    }
    let weak = |x: &[u8]| key_error(&public("EdDSA", json!({"x": encode(x)})));
    assert_eq!(weak(&[&[1][..], &[0; 31]].concat()), Some(KeyError::WeakPoint), "order 1");
    assert_eq!(weak(&[0; 32]), Some(KeyError::WeakPoint), "order 4");
}

// RFC 7518 section 3.2: "The comparison of the computed HMAC value to the JWS Signature
// value MUST be done in a constant-time manner to thwart timing attacks." (R19)
#[test]
fn r19_a_mac_is_compared_as_a_whole() {
    let secret = [7; 64];
    let jwk = json!({"kty": "oct", "k": encode(&secret)});
    let key = VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Local).unwrap();
    let good = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), b"input");
    let crypto = gatepass::keys::Crypto::module();
    let accepts = |mac: &[u8]| key.verify(&crypto, gatepass::keys::Algorithm::Hs256, b"input", mac);
    assert!(accepts(good.as_ref()));
    for at in 0..32 {
        let mut bad = good.as_ref().to_vec();
        bad[at] ^= 0x80;
        assert!(!accepts(&bad), "byte {at}");
        assert!(!accepts(&good.as_ref()[..at]), "cut to {at}");
    }
    // That it takes the same time wherever the difference is cannot be told
    // from outside; it is jwt-compact's comparison, by the crate `hmac`, and no
    // other must come in its place.
    let source = include_str!("../src/keys/hmac.rs").split("#[cfg(test)]").next().unwrap();
    assert!(source.contains("algorithm.verify_signature(&signature, key, signing_input)"));
    let compares = |line: &&str| line.contains("==") && !line.trim_start().starts_with("//");
    let compared: Vec<_> = source.lines().filter(compares).collect();
    assert_eq!(compared, [""; 0], "nothing in that file compares bytes");
}

// RFC 7517 section 9.2 (R78)
#[test]
fn r78_the_gateways_key_shows_nowhere() {
    let private = private("EdDSA")["jwk"].clone();
    let secret = private["d"].as_str().unwrap();
    let mut provider = keys(json!([public("RS256", json!({}))]));
    let text = configuration(&provider).to_string();
    let settings = config::load(text.as_bytes(), &|_| None, None).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains(secret));
    let bytes = decode(&private["d"]).iter().take(8).map(ToString::to_string).collect::<Vec<_>>();
    assert!(!shown.contains(&bytes.join(", ")), "not as numbers either");
    assert!(!settings.minter.keys.jwks(UnixTime::from_secs(NOW)).body().contains(r#""d""#));
    // Nor in what is said of a configuration that is wrong.
    provider["algorithms"] = json!(["nonsense"]);
    assert!(!problems(&provider).contains(secret));
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    assert!(!shown.contains(&encode(digest.as_ref())));
}

#[test]
fn rfc7517_sets_are_read_as_they_are_meant() {
    // Appendix A.1: the first key is for encryption.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_\
             BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_\
             FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhA\
             I4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let set = json!({"keys": [
        {
            "kty": "EC", "crv": "P-256", "use": "enc", "kid": "1",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        },
        {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"},
    ]});
    let (keys, skipped) = KeySet::from_jwks(&set, Origin::Remote).unwrap();
    assert_eq!(keys.keys()[0].id(), Some("2011-04-29"));
    assert_eq!(keys.algorithms().to_string(), "RS256");
    assert_eq!(skipped[0].to_string(), r#"key 0 (kid "1"): "use" must be "sig", it is "enc""#);
    // Appendix A.2: private keys, published.
    let mut private = set.clone();
    private["keys"][1]["d"] = "AQAB".into();
    assert!(KeySet::from_jwks(&private, Origin::Remote).is_err());
    // Appendix A.3: symmetric keys, the first to wrap others.
    let symmetric = json!({"keys": [
        {"kty": "oct", "alg": "A128KW", "k": "GawgguFyGrWKav7AX4VKUg"},
        {"kty": "oct", "kid": "HMAC key", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
    ]});
    let (keys, skipped) = KeySet::from_jwks(&symmetric, Origin::Local).unwrap();
    assert_eq!((keys.keys()[0].id(), skipped.len()), (Some("HMAC key"), 1));
    assert!(KeySet::from_jwks(&symmetric, Origin::Remote).is_err());
}
