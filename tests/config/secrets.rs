//! Secrets: where they come from, and that nobody gets to see them.

use serde_json::json;

use crate::support::*;

#[test]
fn secrets_from_the_environment() {
    let key = "/identity_token/signing_keys/0/private_key";
    for (case, pointer, value, found) in [
        (
            "a header that is not set",
            "/user_info/headers/x-other",
            json!({"env": "NOT_SET"}),
            "NOT_SET}, which is not set",
        ),
        (
            "a header that is empty",
            "/user_info/headers/x-other",
            json!({"env": "EMPTY"}),
            "EMPTY}, which is empty",
        ),
        (
            "a header of two lines",
            "/user_info/headers/x-other",
            json!({"env": "TWO_LINES"}),
            "other bytes",
        ),
        (
            "more than a name",
            "/user_info/headers/x-other",
            json!({"env": "A", "x": 1}),
            "an object",
        ),
        ("a number for a name", "/user_info/headers/x-other", json!({"env": 7}), "an object"),
        ("a key that is not set", key, json!({"env": "NOT_SET"}), "NOT_SET}, which is not set"),
        ("a key that is none", key, json!({"env": "USERS_API_KEY"}), "neither a PEM"),
        ("a key that is no text", key, json!(7), "a number"),
        ("a key in a file", key, json!({"file": "/run/key.pem"}), "an object with \"file\""),
        (
            "a header by another word",
            "/user_info/headers/x-other",
            json!({"secretRef": "users"}),
            "an object with \"secretRef\"",
        ),
    ] {
        let got = problems(&[(pointer, value)]);
        let [[at, what, accepted]] = got.as_slice() else { panic!("{case}: {got:#?}") };
        assert_eq!(*at, path(pointer), "{case}");
        assert!(what.contains(found), "{case}: {what}");
        assert!(accepted.contains("{env: NAME}") || accepted == "printable ASCII", "{case}");
    }
    let shared = "/providers/legacy/local_jwks/keys/0/k";
    let got = problems(&[(shared, json!({"env": "NOT_SET"}))]);
    assert_eq!(got.len(), 1, "{got:#?}");
    assert_eq!(got[0][0], path(shared));
}

/// Whoever pastes the secret where its name belongs does not find it in a log.
#[test]
fn what_may_be_a_secret_is_no_name() {
    let key = "/identity_token/signing_keys/0/private_key";
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----";
    let secrets = [
        pem,
        "hunter2 hunter2",
        "Hunter2Hunter2",
        "2hunter2",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "$Hunter2+hunter2",
        "hunter2-hunter2=",
    ];
    for secret in secrets {
        let got = problems(&[(key, json!({"env": secret}))]);
        let [[_, what, accepted]] = got.as_slice() else { panic!("{secret}: {got:#?}") };
        assert!(!format!("{got:?}").contains(&secret[..8]), "{got:?}");
        assert!(what.contains(&format!("with {} bytes", secret.len())), "{what}");
        assert!(accepted.contains("{env: NAME}"), "{accepted}");
    }
    for name in ["NOT_SET", "not_set_2", "_NOT_SET", "GATEPASS_SIGNING_KEY_OF_STAGING"] {
        let got = problems(&[(key, json!({"env": name}))]);
        assert!(got[0][1].starts_with(&format!("{{env: {name}}}, which is not set")), "{got:?}");
    }
    // Nor as the name of a member, known or not.
    for value in [json!({pem: null}), json!({"kty": "EC", "crv": "P-256", pem: "x"})] {
        let got = format!("{:?}", problems(&[(key, value)]));
        assert!(!got.contains("MC4CAQ"), "{got}");
    }
    for place in ["/identity_token", "/user_info/headers", "/services"] {
        let mut config = with(&[]);
        config.pointer_mut(place).unwrap()[pem] = json!(7);
        let got = format!("{:?}", load(&config.to_string()).unwrap_err());
        let shown = format!("(a name of {} bytes)", pem.len());
        assert!(got.contains(&shown) && !got.contains("MC4CAQ"), "{got}");
    }
}

/// A secret in the place of a member's name, or behind one without a space.
#[test]
fn secrets_among_names_are_not_shown() {
    let secret = "/providers/shop/introspection/client_secret";
    for (pointer, value) in [
        (secret, json!({"Tr0ub4dor": null})),
        (secret, json!({"troubadour": "x"})),
        ("/providers/shop/introspection/client_secret:Tr0ub4dor", json!(null)),
        ("/providers/shop/introspection/secret=Tr0ub4dor", json!(1)),
        ("/identity_token/signing_keys/0/wJalrXUtnFEMIK7MDENGbPxRfiCYTr0ub4dor", json!(1)),
        ("/user_info/headers/x-key: Tr0ub4dor", json!("a")),
        ("/revocation/Tr0ub4dor+AAAA", json!("a")),
        // However short, and however like a known one before it.
        ("/revocation/Tr0ub4dor", json!("a")),
        ("/providers/shop/introspection/Tr0ub4dor", json!(null)),
        ("/providers/shop/introspection/client_secretTr0ub4dor", json!(null)),
        ("/providers/shop/introspection/client_secret-Tr0ub4dor", json!(null)),
    ] {
        let got = format!("{:?}", problems(&[(pointer, value.clone())]));
        assert!(!got.contains("Tr0ub4dor") && !got.contains("troubadour"), "{value}: {got}");
        assert!(got.contains("(a name of "), "{value}: {got}");
    }
    // What somebody may have taken for the form of a secret is, and so are misspelt names.
    for (pointer, value, shown) in [
        (secret, json!({"secretKeyRef": {"name": "a"}}), "an object with \\\"secretKeyRef\\\""),
        ("/providers/shop/isuer", json!("a"), "$.providers.shop.isuer"),
        ("/providers/shop/jwksUri", json!("a"), "$.providers.shop.jwksUri"),
        ("/providers/shop/@type", json!("a"), "$.providers.shop.@type"),
        ("/providers/shop/x-own.field", json!("a"), "$.providers.shop.x-own.field"),
        ("/providers/shop/audiences2", json!("a"), "$.providers.shop.audiences2"),
        ("/providers/shop/localJwks_1", json!("a"), "$.providers.shop.localJwks_1"),
        ("/providers/shop/audiences123", json!("a"), "$.providers.shop.(a name of 12 bytes)"),
        ("/providers/shop/hunter2", json!("a"), "$.providers.shop.(a name of 7 bytes)"),
        ("/providers/shop/größe", json!("a"), "$.providers.shop.(a name of 7 bytes)"),
    ] {
        let got = format!("{:?}", problems(&[(pointer, value)]));
        assert!(got.contains(shown), "{got}");
    }
}

/// Editors and `echo` end a file with a line break; hosts pass it on.
#[test]
fn a_line_break_at_the_end_of_a_variable_is_none_of_the_secret() {
    use gatepass::config;
    let load = |text: &str| {
        let read = |name: &str| match name {
            "USERS_API_KEY" => Some(text.to_owned()),
            name => environment(name),
        };
        config::load(with(&[]).to_string().as_bytes(), &read, None)
    };
    for text in ["value-hunter2-hunter2\n", "value-hunter2-hunter2\r\n"] {
        let settings = load(text).unwrap();
        let source = settings.user_info.as_ref().unwrap();
        let values: Vec<_> = source.headers.iter().map(|(_, it)| it.expose().as_str()).collect();
        assert!(values.contains(&"value-hunter2-hunter2"), "a header of one line");
    }
    assert!(load("two\nlines\n").is_err());
    assert!(load("\n").unwrap_err().to_string().contains("{env: USERS_API_KEY}, which is empty"));
}

#[test]
fn a_variable_that_is_withheld_is_told_apart_from_one_that_is_not_set() {
    use gatepass::config::{self, ProblemKind, Variable};
    let withheld = |name: &str| match name {
        "USERS_API_KEY" => Variable::Withheld { permitted: "a name of our own" },
        name => environment(name).into(),
    };
    let pointer = "/user_info/headers/x-other";
    let document = with(&[(pointer, json!({"env": "USERS_API_KEY"}))]).to_string();
    let config::Problems(problems) =
        config::load(document.as_bytes(), &withheld, None).unwrap_err();
    let problem = problems.iter().find(|problem| problem.path == path(pointer)).unwrap();
    assert_eq!(problem.found, "{env: USERS_API_KEY}, which may not be read");
    assert_eq!(problem.accepted, "a name of our own");
    assert_eq!(problem.kind, ProblemKind::VariableWithheld);
}

/// The hash of the configuration is in metrics and in the log, so nobody must be able to
/// test guesses of a secret with it.
#[test]
fn the_hash_of_a_configuration_depends_on_no_secret() {
    use gatepass::config;
    let hash =
        |document: &str| config::load(document.as_bytes(), &environment, None).unwrap().config_hash;
    let document = complete().to_string();
    let expected = hash(&document);
    let mut replaced = 0;
    for secret in SECRETS {
        // As long, and as valid.
        let other = secret.replacen(&secret[4..8], "AbCd", 1);
        if secret != SECRETS[3] && document.contains(secret) {
            replaced += 1;
            assert_eq!(hash(&document.replace(secret, &other)), expected, "{secret}");
        }
    }
    assert_eq!(replaced, 4, "all that are not from the environment");
    // RFC 7517 appendix A.2.
    let other = json!({
        "kty": "EC", "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
    });
    let key = "/identity_token/signing_keys/0/private_key";
    assert_eq!(hash(&with(&[(key, other)]).to_string()), expected);
    let pointer = "/identity_token/ttl_seconds";
    assert_ne!(hash(&with(&[(pointer, json!(301))]).to_string()), expected);
}

#[test]
fn header_names_and_values() {
    for section in ["user_info", "services.auth"] {
        let at = |name: &str| format!("$.{section}.headers{name}");
        for (case, headers, at) in [
            ("a bad name", json!({"x y": "1"}), at(".x y")),
            ("a name of the connection", json!({"Host": "1"}), at(".Host")),
            ("a bad value", json!({"x-a": "a\nb"}), at(".x-a")),
            ("a value that is not ASCII", json!({"x-a": "é"}), at(".x-a")),
            ("an empty value", json!({"x-a": ""}), at(".x-a")),
            ("a number", json!({"x-a": 1}), at(".x-a")),
            ("a variable that is not set", json!({"x-a": {"env": "NOT_SET"}}), at(".x-a")),
            ("a name in two spellings", json!({"x-a": "1", "X-A": "1"}), at("")),
        ] {
            let pointer = format!("/{}/headers", section.replace('.', "/"));
            let got = problems(&[(&pointer, headers)]);
            let paths: Vec<_> = got.iter().map(|[path, ..]| path).collect();
            assert_eq!(paths, [&at], "{case}");
        }
    }
    let got = problems(&[("/services/auth/headers", json!({"content-type": "text/plain"}))]);
    assert_eq!(got.iter().map(|[path, ..]| path).collect::<Vec<_>>(), ["$.services.auth.headers"]);
}

/// A short secret in the wrong place must not be echoed; `load` checks that
/// none of [`SECRETS`] is.
#[test]
fn misplaced_secrets_are_not_shown() {
    let secret = json!(SECRETS[0]);
    for pointer in [
        "/user_info",
        "/user_info/headers",
        "/identity_token",
        "/identity_token/signing_keys",
        "/identity_token/signing_keys/0",
        "/identity_token/signing_keys/0/private_key",
        "/identity_token/signing_keys/0/secret",
        "/sealed_tokens",
        "/sealed_tokens/keys",
        "/sealed_tokens/keys/0",
        "/providers/legacy/local_jwks",
        "/providers/legacy/local_jwks/keys",
        "/providers/legacy/local_jwks/keys/0",
        "/providers/legacy/local_jwks/keys/0/k",
    ] {
        for value in [secret.clone(), json!([secret]), json!({ "not a name": secret })] {
            let got = problems(&[(pointer, value.clone())]);
            assert!(!got.is_empty(), "{pointer} = {value}");
        }
    }
    let member = format!(r#"{{"a": {{"{}": 1"#, SECRETS[0]);
    assert!(load(&member).is_err());
}

#[test]
fn settings_print_no_secrets() {
    let settings = load(&complete().to_string()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    for text in [format!("{settings:?}"), format!("{settings:#?}")] {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret}");
        }
        // Nor as bytes, the way a derived Debug would show them.
        assert!(!text.contains("105, 110, 108, 105, 110, 101"), "the shared secret");
        assert!(text.contains("shop-services"), "this is the text");
    }
    let gateway = gatepass::pipeline::Pipeline::new(
        settings,
        gatepass::host::HostCapabilities::ENVOY,
        [0; 16],
    );
    let text = format!("{gateway:?}");
    assert!(SECRETS.iter().all(|secret| !text.contains(secret)));
}
