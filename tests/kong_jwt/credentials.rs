//! What makes a credential, and what a configuration with one may say.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::KeyPair as _;
use gatepass::host::RequestId;
use serde_json::{Value, json};

use crate::keys::{RSA, SECRET_32, SECRET_64, pem, public_pem};
use crate::support::*;
use crate::table::{configured, consumers, hs256, refused};

/// The configuration with only this credential.
fn with(credential: Value) -> Value {
    let mut config = configured(json!({}));
    config["consumers"]["entries"] = json!([{"username": "alice", "jwt_secrets": [credential]}]);
    config
}

const AT: &str = "$.consumers.entries[0].jwt_secrets[0]";

/// Kong makes up secrets of 32 characters: enough for HS256, and no more.
#[test]
fn secrets_are_as_long_as_the_hash() {
    for (case, algorithm, secret, minimum) in [
        ("made up by Kong", "HS256", SECRET_32, None),
        ("a character less", "HS256", "ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLTA", Some((32, 31))),
        ("a word", "HS256", "ZmFr", Some((32, 4))),
        ("made up by Kong, HS384", "HS384", SECRET_32, Some((48, 32))),
        ("made up by Kong, HS512", "HS512", SECRET_32, Some((64, 32))),
        ("long", "HS512", SECRET_64, None),
    ] {
        let config = with(json!({"key": "k", "algorithm": algorithm, "secret": secret}));
        let Some((minimum, found)) = minimum else {
            gateway(&config, ENVOY);
            continue;
        };
        let problems = refused(&config);
        let [problem] = problems.as_slice() else { panic!("{case}: {problems:?}") };
        assert!(problem.starts_with(&format!("{AT}.secret: ")), "{case}: {problem}");
        let expected = format!("at least {minimum} bytes, it has {found}");
        assert!(problem.contains(&expected), "{case}: {problem}");
        assert!(!problem.contains("ZmFr"), "{case}: {problem}");
    }
    // Read as base64, those of Kong have 24 bytes.
    let mut config = with(json!({"key": "k", "secret": SECRET_32}));
    config["providers"]["legacy"]["secret_is_base64"] = json!(true);
    assert!(refused(&config)[0].contains("it has 24"));
}

#[test]
fn a_secret_may_be_in_the_environment() {
    let config = with(json!({"key": "key-HS256", "secret": {"env": "ALICE"}})).to_string();
    let environment = |name: &str| (name == "ALICE").then(|| SECRET_32.to_owned());
    let settings = gatepass::config::load(config.as_bytes(), &environment, None).unwrap();
    assert!(!format!("{settings:?}").contains(SECRET_32), "not shown");
    let mut gateway = gatepass::pipeline::Pipeline::new(settings, ENVOY, [0; 16]);
    let now = gatepass::time::UnixTime::from_secs(START);
    forwarded(gateway.begin(RequestId::default(), bearer(&hs256(json!({}))), now));
}

/// A PEM of SubjectPublicKeyInfo around `identifier` and `key`.
fn okp(identifier: u8, key: &[u8]) -> String {
    let length = |more: usize| u8::try_from(key.len() + more).unwrap();
    let head = [0x30, length(10), 0x30, 5, 6, 3, 0x2B, 0x65, identifier, 3, length(1), 0];
    pem("PUBLIC KEY", &[&head, key].concat())
}

#[test]
fn a_key_on_ed448_is_refused() {
    let credential = json!({
        "key": "k", "algorithm": "EdDSA", "rsa_public_key": okp(0x71, &[7; 57]),
    });
    let problems = refused(&with(credential));
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.starts_with(&format!("{AT}.rsa_public_key: ")), "{problem}");
    assert!(problem.contains("Ed448"), "{problem}");
    assert!(problem.contains("Ed25519, not Ed448"), "{problem}");
}

#[test]
fn credentials_that_cannot_be_used() {
    let rsa = public_pem("RS256");
    let ec = public_pem("ES256");
    for (case, credential, at, found) in [
        ("no key", json!({"secret": SECRET_32}), ".key", "nothing"),
        ("an empty key", json!({"key": "", "secret": SECRET_32}), ".key", "\"\""),
        (
            "an algorithm of JWE",
            json!({"key": "k", "algorithm": "dir", "secret": SECRET_32}),
            ".algorithm",
            "\"dir\"",
        ),
        (
            "none",
            json!({"key": "k", "algorithm": "none", "secret": SECRET_32}),
            ".algorithm",
            "\"none\"",
        ),
        (
            // The way to take a public key for a secret (RFC 8725 section 2.1).
            "a public key for HS256",
            json!({"key": "k", "rsa_public_key": rsa, "secret": SECRET_32}),
            "",
            "rsa_public_key with HS256",
        ),
        (
            "a public key of another family",
            json!({"key": "k", "algorithm": "RS256", "rsa_public_key": ec}),
            ".rsa_public_key",
            "\"alg\" is RS256, which needs",
        ),
        (
            "another curve",
            json!({"key": "k", "algorithm": "ES512", "rsa_public_key": ec}),
            ".rsa_public_key",
            "\"alg\" is ES512, which needs",
        ),
        (
            "no PEM",
            json!({"key": "k", "algorithm": "RS256", "rsa_public_key": "MIIB"}),
            ".rsa_public_key",
            "not a PEM block",
        ),
        (
            "a certificate",
            json!({"key": "k", "algorithm": "RS256", "rsa_public_key": pem("CERTIFICATE", b"x")}),
            ".rsa_public_key",
            "not a PEM block",
        ),
        (
            "a point of small order",
            json!({"key": "k", "algorithm": "EdDSA", "rsa_public_key": okp(0x70, &[0; 32])}),
            ".rsa_public_key",
            "small order",
        ),
        (
            "a field that Kong does not have",
            json!({"key": "k", "secret": SECRET_32, "public_key": "x"}),
            ".public_key",
            "an unknown field",
        ),
    ] {
        let problems = refused(&with(credential));
        let [problem] = problems.as_slice() else { panic!("{case}: {problems:?}") };
        assert!(problem.starts_with(&format!("{AT}{at}: ")), "{case}: {problem}");
        assert!(problem.contains(found), "{case}: {problem}");
    }
}

#[test]
fn a_key_of_pkcs1_is_read() {
    let der = RSA.public_key().as_ref().to_vec();
    let x509 = RSA.public_key().as_der().unwrap();
    assert_ne!(der, x509.as_ref(), "PKCS#1 is the inner part");
    let public = pem("RSA PUBLIC KEY", &der);
    gateway(&with(json!({"key": "k", "algorithm": "RS256", "rsa_public_key": public})), ENVOY);
}

/// Every problem at once, each at its credential.
#[test]
fn all_problems_of_all_credentials() {
    let mut config = configured(json!({}));
    config["consumers"]["entries"] = json!([
        {"username": "a", "jwt_secrets": [{"key": "1", "secret": "short"}, {"secret": "x"}]},
        {"jwt_secrets": [{"key": "2", "algorithm": "RS256"}]},
    ]);
    let problems = refused(&config);
    assert_eq!(problems.len(), 4, "{problems:#?}");
}

#[test]
fn each_option_has_one_place() {
    for (case, options, pointer, value) in [
        ("sources", json!({"header_names": ["x-jwt"]}), "/token", json!({"from_cookies": ["a"]})),
        ("sources", json!({"uri_param_names": ["t"]}), "/token", json!({"from_params": ["t"]})),
        ("realm", json!({"realm": "a"}), "/errors", json!({"realm": "a"})),
        ("preflights", json!({"run_on_preflight": true}), "/bypass_cors_preflight", json!(false)),
        (
            "anonymous",
            json!({"anonymous": "no-body"}),
            "/consumers",
            json!({"anonymous": "no-body", "entries": consumers()}),
        ),
    ] {
        let mut config = configured(options);
        put(&mut config, pointer, value);
        let problems = refused(&config);
        let [problem] = problems.as_slice() else { panic!("{case}: {problems:?}") };
        assert!(problem.contains("of the kind kong_jwt, accepted: one of the two"), "{problem}");
    }
    // What Gatepass has under its own name holds for the plugin as well.
    let mut config = configured(json!({}));
    put(&mut config, "/token", json!({"from_params": ["token"]}));
    put(&mut config, "/bypass_cors_preflight", json!(true));
    put(&mut config, "/errors", json!({"realm": "r", "format": "kong"}));
    put(&mut config, "/consumers", json!({"anonymous": "no-body", "entries": consumers()}));
    let mut world = World::new(&config, ENVOY);
    let path = format!("/?token={}", hs256(json!({})));
    forwarded(world.begin(head(&[(":path", &path)])));
    let reply = answered(world.begin(head(&[(":path", &path.replace("token", "jwt"))])));
    assert_eq!(reply_field(&reply, "www-authenticate"), Some("Bearer realm=\"r\""));
}

#[test]
fn contradictions() {
    let shop = local([])["providers"]["shop"].clone();
    let edit = |pointer: &str, value: Value| {
        let mut config = configured(json!({}));
        put(&mut config, pointer, value);
        config
    };
    let other = json!({"kind": "kong_jwt"});
    for (case, config, found) in [
        ("no credentials", edit("/consumers", json!({})), "without credentials"),
        ("no consumers", edit("/consumers", Value::Null), "without credentials"),
        (
            "credentials of no provider",
            {
                let mut config = edit("/providers", json!({ "shop": shop.clone() }));
                put(&mut config, "/consumers/entries/2/key", json!("nobody"));
                config
            },
            "jwt_secrets that no provider uses",
        ),
        (
            "two of the kind",
            edit("/providers", json!({"a": other, "b": other})),
            "several providers of the kind kong_jwt",
        ),
        ("an unknown kind", edit("/providers/x", json!({"kind": "basic"})), "\"basic\""),
        (
            "a field of the other kind",
            edit("/providers/legacy/issuer", json!("x")),
            "an unknown field",
        ),
        (
            "a maximum without an end",
            edit(
                "/providers/legacy",
                json!({"kind": "kong_jwt", "maximum_expiration": 1, "claims_to_verify": ["nbf"]}),
            ),
            "maximum_expiration without exp",
        ),
        (
            "a maximum below zero",
            edit("/providers/legacy/maximum_expiration", json!(-1)),
            "-1, accepted: a whole number, 0 to 31536000",
        ),
        (
            "no place for tokens",
            edit(
                "/providers/legacy",
                json!({"kind": "kong_jwt", "header_names": [], "cookie_names": [], "uri_param_names": {}}),
            ),
            "no place for tokens",
        ),
        (
            "a key twice",
            edit("/consumers/entries/0/jwt_secrets/1/key", json!("key-HS256")),
            "the key \"key-HS256\" twice",
        ),
        (
            "the key of two consumers",
            edit("/consumers/entries/0/jwt_secrets/1/key", json!("key-RS256")),
            "the key \"key-RS256\" twice",
        ),
        (
            "the gateway's issuer",
            edit("/consumers/entries/0/jwt_secrets/0/key", json!("https://gateway.internal")),
            "as the key of a credential",
        ),
    ] {
        let problems = refused(&config);
        assert!(problems.iter().any(|problem| problem.contains(found)), "{case}: {problems:#?}");
    }
    let mut config = edit("/providers/shop", shop);
    put(&mut config, "/identity_token/subject", json!("{provider}:{sub}"));
    // null is absent: an entry without a key names no providers.
    put(&mut config, "/consumers/entries/0/key", Value::Null);
    gateway(&config, ENVOY);
    // The issuer of another provider would take the tokens.
    put(&mut config, "/consumers/entries/0/jwt_secrets/0/key", json!("https://auth.example"));
    assert!(refused(&config)[0].contains("the issuer \"https://auth.example\""));
}
