//! `mint` and `verify`.

use serde_json::{Value, json};

use crate::support::{Desk, LATER, START, changed, configuration, verified};

fn verify(desk: &Desk, token: &str, more: &[&str]) -> (i32, Value) {
    let fixed = ["verify", "-c", "gatepass.yaml", "--at", LATER, "--json"];
    let run = desk.run(&[&fixed[..], more, &[token]].concat());
    (run.status, run.json())
}

const KEYS: [&str; 2] = ["--jwks", "issuer.jwks"];

#[test]
fn a_token_has_what_the_configuration_asks_for() {
    let desk = Desk::furnished(&changed([
        (
            "/providers/shop/required_claims",
            json!({"tenant": ["acme"], "org.unit": [], "https://a.b/c": [7]}),
        ),
        ("/providers/shop/token_types", json!(["access+jwt"])),
        ("/providers/shop/max_lifetime_seconds", json!(60)),
    ]));
    let token = desk.token(&["--sub", "bob", "--claim", "roles=[\"a\"]", "--claim", "n=5"]);
    let claims = verified(&token, &desk.read("issuer.jwks"));
    let start: i64 = START.parse().unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": "https://auth.shop.example", "aud": "shop-api", "sub": "bob", "azp": "web",
            "iat": start, "exp": start + 60, "tenant": "acme", "org": {"unit": "test"},
            "https://a.b/c": 7, "roles": ["a"], "n": 5,
        })
    );
    assert_eq!(jsonwebtoken::decode_header(&token).unwrap().typ.as_deref(), Some("access+jwt"));
    let (status, report) = verify(&desk, &token, &KEYS);
    assert_eq!((status, &report["provider"]), (0, &json!("shop")));
    // What a request could be denied for yet.
    assert_eq!(report["unchecked"], json!(["consumers", "rules", "user_info"]));
    assert_eq!(report["claims"]["sub"], "bob");
}

#[test]
fn what_a_public_token_is_refused_for() {
    let desk = Desk::furnished(&configuration());
    let token = desk.token(&[]);
    for (case, token, keys, expected) in [
        ("none", token.clone(), &KEYS[..], (0, None)),
        ("no keys given", token.clone(), &[], (3, None)),
        ("keys that failed", token.clone(), &["--jwks", "503"], (1, Some("keys_unavailable"))),
        (
            "another audience",
            desk.token(&["--claim", "aud=x"]),
            &KEYS,
            (1, Some("audience_mismatch")),
        ),
        ("no audience", desk.token(&["--claim", "aud="]), &KEYS, (1, Some("claim_missing"))),
        ("too long", desk.token(&["--lifetime", "3601"]), &KEYS, (1, Some("lifetime_exceeded"))),
        (
            "another type",
            desk.token(&["--typ", "logout+jwt"]),
            &KEYS,
            (1, Some("token_type_mismatch")),
        ),
        ("not a token", "a.b.c".to_owned(), &KEYS, (1, Some("token_malformed"))),
        ("nothing", "@empty".to_owned(), &KEYS, (1, Some("token_malformed"))),
        // Consumers, rules and user info are not asked.
        ("nobody's", desk.token(&["--claim", "azp=nobody"]), &KEYS, (0, None)),
    ] {
        desk.put("empty", "");
        let (status, report) = verify(&desk, &token, keys);
        assert_eq!((status, report["code"].as_str()), expected, "{case}: {report}");
    }
    // Neither a signing key nor the user service's secret is needed.
    let fixed = ["verify", "-c", "gatepass.yaml", "--at", LATER, "--jwks", "issuer.jwks", "-"];
    let run = desk.run_with(&fixed, &[], &token).ended(0);
    assert!(run.out.starts_with("valid: access token, provider shop, sub \"alice\""), "{run:?}");
}

/// What a rule, a resource or the services inside need of a configuration is none of the
/// token's business.
#[test]
fn a_token_for_a_resource() {
    let desk = Desk::furnished(&changed([
        (
            "/resources",
            json!([
                {"resource": "https://shop.example/mcp", "identity": {"claims": ["country"]}},
                {"resource": "https://shop.example/admin/", "audiences": ["admin-api"]},
            ]),
        ),
        ("/user_info/claims", json!({"country": "/country"})),
    ]));
    for (audience, expected) in [
        ("shop-api", 0),
        ("https://shop.example/mcp", 0),
        ("https://shop.example/mcp/", 0),
        ("admin-api", 0),
        ("https://shop.example/admin", 1),
        ("x", 1),
    ] {
        let token = desk.token(&["--claim", &format!("aud={audience}")]);
        let (status, report) = verify(&desk, &token, &KEYS);
        assert_eq!(status, expected, "{audience}: {report}");
    }
    let transactions = changed([
        ("/identity_token/profile", json!("txn_token")),
        ("/identity_token/header", Value::Null),
        ("/identity_token/scopes", json!(["orders"])),
        ("/identity_token/replace", json!({"from": ["10.0.0.0/8"]})),
    ]);
    let desk = Desk::furnished(&transactions);
    let (status, report) = verify(&desk, &desk.token(&[]), &KEYS);
    assert_eq!(status, 0, "{report}");
}

#[test]
fn shared_secrets() {
    for (algorithm, bytes) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let key = json!({"kty": "oct", "k": "A".repeat((bytes * 4_usize).div_ceil(3)), "alg": algorithm, "kid": "s"});
        let desk = Desk::furnished(&changed([
            ("/providers/shop/remote_jwks", Value::Null),
            ("/providers/shop/algorithms", json!([algorithm])),
            ("/providers/shop/local_jwks", json!({"keys": [key]})),
        ]));
        // The configuration's own, or one from a file.
        let token = desk.run(&["mint", "-c", "gatepass.yaml", "--at", START]).ended(0).out;
        assert_eq!(verify(&desk, token.trim(), &[]).0, 0, "{algorithm}");
        desk.put("secret.jwk", &key.to_string());
        let mint = ["mint", "-c", "gatepass.yaml", "--key", "secret.jwk", "--at", START];
        assert_eq!(desk.run(&mint).ended(0).out, token, "{algorithm}");
        // A key pair does not pass for it.
        assert_eq!(verify(&desk, &desk.token(&[]), &[]).1["code"], "algorithm_not_allowed");
    }
}

#[test]
fn the_two_kinds_of_token_are_not_exchangeable() {
    let desk = Desk::furnished(&configuration());
    let explain = [
        "--show-tokens",
        "--token",
        "alice.token",
        "--jwks",
        "issuer.jwks",
        "--user-info",
        "alice.json",
    ];
    let report = desk.explain(&explain).ended(0).json();
    let identity = report["set"]["x-identity-token"].as_str().unwrap().to_owned();
    let public = desk.read("alice.token");
    let as_identity = |token: &str, more: &[&str]| {
        let fixed = ["verify", "--identity", "-c", "gatepass.yaml", "--json"];
        let at = if more.contains(&"--at") { vec![] } else { vec!["--at", LATER] };
        let run = desk.run(&[&fixed[..], &at, more, &[token]].concat());
        (run.status, run.json()["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |code: &str| (1, code.to_owned());
    assert_eq!(as_identity(&identity, &[]), (0, String::new()));
    assert_eq!(as_identity(public.trim(), &[]), refused("token_type_mismatch"));
    assert_eq!(verify(&desk, &identity, &KEYS).1["code"], "issuer_unknown");
    assert_eq!(as_identity(&identity, &["--at", "1800000400"]), refused("token_expired"));
    assert_eq!(as_identity(&identity, &["--at", "1799999000"]), refused("token_not_yet_valid"));
    assert_eq!(as_identity(&identity, &["--issuer", "x"]), refused("issuer_unknown"));
    assert_eq!(as_identity(&identity, &["--audience", "x"]), refused("audience_mismatch"));
    assert_eq!(as_identity(&identity, &["--audience", "services"]), (0, String::new()));
    assert_eq!(as_identity(&identity, &["--jwks", "issuer.jwks"]), refused("key_unknown"));
    // With the keys alone, it says what it could not compare.
    desk.put("gateway.jwks", &desk.run(&["jwks", "-c", "gatepass.yaml"]).ended(0).out);
    let alone = ["verify", "--jwks", "gateway.jwks", "--at", LATER];
    let run = desk.run(&[&alone[..], &[&identity]].concat()).ended(0);
    assert!(run.err.contains("iss was not checked: --issuer"), "{run:?}");
    assert!(run.err.contains("aud was not checked: --audience"), "{run:?}");
    let run = desk.run(&[&alone[..], &["--json", "--audience", "services", &identity]].concat());
    assert_eq!(run.ended(0).json()["unchecked"], serde_json::json!(["iss"]));
    let last = identity.len() - 2;
    let forged =
        format!("{}{}", &identity[..last], if identity.ends_with('A') { "_w" } else { "AA" });
    assert_eq!(as_identity(&forged, &[]), refused("signature_invalid"));
    // `mint` makes none.
    desk.run(&["mint", "--key", "issuer.jwk", "--typ", "identity+jwt"]).ended(2);
}

/// The name of a file in the place of a token is told to be one.
#[test]
fn a_file_without_its_mark() {
    let desk = Desk::furnished(&configuration());
    let verify = ["verify", "-c", "gatepass.yaml", "--jwks", "issuer.jwks", "--at", LATER];
    let run = desk.run(&[&verify[..], &["alice.token"]].concat()).ended(1);
    assert!(run.err.contains("@alice.token reads the token in it"), "{run:?}");
    let run = desk.run(&[&verify[..], &["@alice.token"]].concat()).ended(0);
    assert!(!run.err.contains("@alice.token"), "{run:?}");
}
