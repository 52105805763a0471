//! `keygen`, `jwks`, and the keys that they make.

use serde_json::{Value, json};

use crate::support::{Desk, SIGNING_KEY, changed, configuration, verified};

#[test]
fn a_new_key_signs_what_others_verify() {
    let desk = Desk::furnished(&configuration());
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
        for format in ["jwk", "pem"] {
            let key = desk.run(&["keygen", "-a", algorithm, "--format", format]).ended(0).out;
            desk.put("new.key", &key);
            let jwks = desk.run(&["jwks", "--key", "new.key"]).ended(0).out;
            for private in ["\"d\"", "\"p\"", "\"q\"", "\"dp\"", "\"k\""] {
                assert!(!jwks.contains(private), "{jwks}");
            }
            let token = desk.run(&["mint", "--key", "new.key", "--claim", "aud=a"]).ended(0).out;
            assert_eq!(verified(token.trim(), &jwks)["sub"], "alice", "{algorithm} {format}");

            // And as a key of the gateway.
            let own = changed([(
                "/identity_token/signing_keys",
                json!([{"algorithm": algorithm, "private_key": {"env": "NEW"}}]),
            )]);
            desk.put("new.json", &own.to_string());
            let environment = [("NEW", key.as_str()), ("API_KEY", "x")];
            let run = desk.run_with(&["jwks", "-c", "new.json"], &environment, "").ended(0);
            assert_eq!(run.json()["keys"][0]["kid"], json(&jwks)["keys"][0]["kid"]);
            let explain = [
                "explain",
                "-c",
                "new.json",
                "--json",
                "--show-tokens",
                "--at",
                "1800000010",
                "--token",
                "alice.token",
                "--jwks",
                "issuer.jwks",
                "--user-info",
                "alice.json",
            ];
            let report = desk.run_with(&explain, &environment, "").ended(0).json();
            let token = report["set"]["x-identity-token"].as_str().unwrap();
            assert_eq!(verified(token, &run.out)["sub"], "alice", "{algorithm} {format}");
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn keys_are_new_each_time() {
    let desk = Desk::new();
    for algorithm in ["ES256", "EdDSA", "HS256", "hs512"] {
        let first = desk.run(&["keygen", "-a", algorithm]).ended(0).out;
        let second = desk.run(&["keygen", "-a", algorithm]).ended(0).out;
        assert_ne!(first, second, "{algorithm}");
    }
    let secret = desk.run(&["keygen", "-a", "HS384"]).ended(0).json();
    assert_eq!(secret["alg"], "HS384");
    assert_eq!(secret["k"].as_str().unwrap().len(), 64);
    let named = desk.run(&["keygen", "--kid", "2026-11"]).ended(0).json();
    assert_eq!(named["kid"], "2026-11");
    desk.run(&["keygen", "-a", "HS256", "--format", "pem"]).ended(2);
}

#[test]
fn the_gateways_keys_over_time() {
    let key = |name: &str| json!({"algorithm": "ES256", "private_key": {"env": name}, "kid": name});
    let mut old = key("SIGNING_KEY");
    old["retire_at"] = json!("2026-01-01T00:00:00Z");
    let desk = Desk::new();
    let own = changed([("/identity_token/signing_keys", json!([old, key("NEW")]))]);
    desk.put("own.json", &own.to_string());
    let new = desk.run(&["keygen"]).ended(0).out;
    let environment = [("SIGNING_KEY", SIGNING_KEY), ("NEW", &new), ("API_KEY", "x")];
    for (at, expected) in [
        ("2025-12-31T23:00:00Z", json!(["SIGNING_KEY", "NEW"])),
        ("2026-01-01T00:04:59Z", json!(["SIGNING_KEY", "NEW"])),
        ("1767226200", json!(["NEW"])),
    ] {
        let run = desk.run_with(&["jwks", "-c", "own.json", "--at", at], &environment, "");
        let jwks = run.ended(0).json();
        let ids: Vec<_> =
            jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
        assert_eq!(Value::from(ids), expected, "{at}");
    }
}
