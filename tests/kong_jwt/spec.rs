//! The cases of the plugin's own test suite, by their numbers in
//! spec/03-plugins/16-jwt/03-access_spec.lua (Kong 3.9.3), in order.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE as BASE64URL_PADDED;
use serde_json::{Value, json};

use crate::keys::{SECRET_32, token_of};
use crate::support::*;
use crate::table::*;

const NOT_THE_OTHER: &str = "the other plugin runs before filters do, and answers by itself";
const NOT_SEEN: &str =
    "a filter cannot see what a Lua plugin has authenticated; see kong/README.md";

fn of_algorithm(
    number: u8,
    name: &'static str,
    algorithm: &'static str,
    consumer: &'static str,
) -> Row {
    same(number, name, move |host| {
        let key = format!("key-{algorithm}");
        assert_consumer(&json!({}), &token_for(algorithm), consumer, &key, host);
    })
}

fn in_cookie(number: u8, name: &'static str, cookie: &'static str) -> Row {
    same(number, name, move |host| {
        let options = json!({"cookie_names": ["silly", "crumble"]});
        let cookie = format!("{cookie}={}", hs256(json!({})));
        let fields = passes(&options, &[("cookie", &cookie)], host);
        assert_eq!(value(&fields, "x-consumer-username"), Some("alice"));
    })
}

/// A token that names its credential in another claim.
fn named_by(
    claim: &'static str,
    header: &Value,
    claims: &Value,
    host: gatepass::host::HostCapabilities,
) {
    let token = token_of(header, claims, "HS256", SECRET_32);
    assert_consumer(&json!({"key_claim_name": claim}), &token, "alice", "key-HS256", host);
}

#[test]
fn the_plugins_own_tests() {
    let plain = || json!({});
    let anonymous = || json!({"anonymous": "no-body"});
    let in_test_realm = || json!({"cookie_names": ["silly", "crumble"], "realm": "test-jwt"});
    let rows = vec![
        same(1, "no token", move |host| {
            let got = denied_with(&plain(), &[], host);
            assert_eq!((got.0, got.2.as_str()), (401, "Bearer"));
        }),
        same(2, "no iss", move |host| {
            let token = hs256(json!({"iss": null}));
            assert_message(&plain(), &token, "No mandatory 'iss' in claims", host);
        }),
        same(3, "an empty iss", move |host| {
            assert_message(&plain(), &hs256(json!({"iss": ""})), "Invalid 'iss' in claims", host);
        }),
        same(4, "an unknown iss", move |host| {
            let token = hs256(json!({"iss": "123456789"}));
            assert_message(&plain(), &token, "No credentials found for given 'iss'", host);
        }),
        same(5, "the wrong secret", move |host| {
            let claims = json!({"iss": "key-HS256", "exp": START + 60});
            let wrong = "another-secret-of-32-characters-";
            let token = token_of(&json!({"alg": "HS256"}), &claims, "HS256", wrong);
            assert_message(&plain(), &token, "Invalid signature", host);
        }),
        same(6, "the wrong alg", move |host| {
            let claims = json!({"iss": "key-HS256", "exp": START + 60});
            let token = token_of(&json!({"alg": "RS256"}), &claims, "HS256", SECRET_32);
            assert_message(&plain(), &token, "Invalid algorithm", host);
        }),
        same(7, "a preflight, run_on_preflight false", move |host| {
            let preflight = [
                (":method", "OPTIONS"),
                ("origin", "https://shop.example"),
                ("access-control-request-method", "PUT"),
            ];
            passes(&json!({"run_on_preflight": false}), &preflight, host);
        }),
        same(8, "OPTIONS by default", move |host| {
            let got = denied_with(&plain(), &[(":method", "OPTIONS")], host);
            assert_eq!(got, (401, json!({"message": "Unauthorized"}), "Bearer".into()));
        }),
        same(9, "beyond maximum_expiration", move |host| {
            let path = format!("/api?jwt={}", hs256(json!({"exp": START + 3600})));
            let options = json!({"maximum_expiration": 300, "claims_to_verify": ["exp"]});
            let got = denied_with(&options, &[(":path", &path)], host);
            assert_eq!(got.1, json!({"exp": "exceeds maximum allowed expiration"}));
        }),
        same(10, "within maximum_expiration", move |host| {
            let path = format!("/api?jwt={}", hs256(json!({"exp": START + 270})));
            let options = json!({"maximum_expiration": 300, "claims_to_verify": ["exp"]});
            passes(&options, &[(":path", &path)], host);
        }),
        same(11, "gRPC without a token", move |host| {
            let step = send(&plain(), &[("content-type", "application/grpc")], host);
            assert_eq!(grpc(step).as_deref(), Some("16"));
        }),
        same(12, "a valid and an invalid one", move |host| {
            let path = format!("/api?jwt={}", hs256(json!({})));
            let fields = [(":path", path.as_str()), ("authorization", "Bearer invalid.jwt.token")];
            let got = denied_with(&plain(), &fields, host);
            assert_eq!((got.0, got.1), (401, json!({"message": "Multiple tokens provided"})));
        }),
        of_algorithm(13, "HS256", "HS256", "alice"),
        same(14, "gRPC with a token", move |host| {
            let bearer = format!("Bearer {}", hs256(json!({})));
            let fields = [("content-type", "application/grpc"), ("authorization", bearer.as_str())];
            passes(&plain(), &fields, host);
        }),
        same(15, "kid in the header", move |host| {
            let header = json!({"alg": "HS256", "kid": "key-HS256"});
            named_by("kid", &header, &json!({"exp": START + 60}), host);
        }),
        same(16, "aud", move |host| {
            let claims = json!({"aud": "key-HS256", "exp": START + 60});
            named_by("aud", &json!({"alg": "HS256"}), &claims, host);
        }),
        same(17, "a secret in base64", move |host| {
            for encoded in [
                BASE64URL_PADDED.encode(SECRET_32),
                BASE64URL_PADDED.encode(SECRET_32).trim_end_matches('=').to_owned(),
            ] {
                let mut config = configured(json!({"secret_is_base64": true}));
                let secrets = &mut config["consumers"]["entries"][0]["jwt_secrets"];
                *secrets = json!([{"key": "key-HS256", "secret": encoded}]);
                let mut world = World::new(&config, host);
                let edits = world.forwarded(&hs256(json!({})));
                assert_eq!(field(&edits, "x-consumer-username").as_deref(), Some("alice"));
            }
        }),
        in_cookie(18, "the second cookie", "crumble"),
        in_cookie(19, "the first cookie", "silly"),
        same(20, "an unknown iss in a cookie", move |host| {
            let cookie = format!("silly={}", hs256(json!({"iss": "unknown"})));
            let got = denied_with(&in_test_realm(), &[("cookie", &cookie)], host);
            let message = json!({"message": "No credentials found for given 'iss'"});
            let challenge = r#"Bearer realm="test-jwt", error="invalid_token""#;
            assert_eq!(got, (401, message, challenge.into()));
        }),
        same(21, "no token in a cookie", move |host| {
            let cookie = format!("silly=no-way-this-works{}", hs256(json!({})));
            let got = denied_with(&in_test_realm(), &[("cookie", &cookie)], host);
            assert_eq!((got.0, got.1), (401, json!({"message": "Bad token; invalid JSON"})));
        }),
        same(22, "no cookie, but a header", move |host| {
            let bearer = format!("Bearer {}", hs256(json!({})));
            passes(&in_test_realm(), &[("authorization", &bearer)], host);
        }),
        same(23, "no cookie and no header", move |host| {
            let got = denied_with(&in_test_realm(), &[], host);
            assert_eq!((got.0, got.2.as_str()), (401, r#"Bearer realm="test-jwt""#));
        }),
        same(24, "a header of another name", move |host| {
            let options = json!({"header_names": ["CustomAuthorization"]});
            let bearer = format!("Bearer {}", hs256(json!({})));
            passes(&options, &[("customauthorization", &bearer)], host);
        }),
        differs(
            25,
            "that header twice",
            "more than one token is refused, also where Kong takes the first",
            move |host| {
                let options = json!({"header_names": ["CustomAuthorization"]});
                let bearer = format!("Bearer {}", hs256(json!({})));
                let twice =
                    [("customauthorization", bearer.as_str()), ("customauthorization", "Bearer x")];
                let got = denied_with(&options, &twice, host);
                assert_eq!((got.0, got.1), (401, json!({"message": "Multiple tokens provided"})));
            },
        ),
        same(26, "the query", move |host| {
            let path = format!("/api?jwt={}", hs256(json!({})));
            passes(&plain(), &[(":path", &path)], host);
        }),
        same(27, "another parameter", move |host| {
            let path = format!("/api?token={}", hs256(json!({})));
            passes(&json!({"uri_param_names": ["token", "jwt"]}), &[(":path", &path)], host);
        }),
        of_algorithm(28, "RS256 verifies", "RS256", "bob"),
        same(29, "RS256 tells consumers with one public key apart", move |host| {
            let mut config = configured(json!({}));
            let mut credential = config["consumers"]["entries"][1]["jwt_secrets"][0].clone();
            assert_eq!(credential["algorithm"], "RS256");
            credential["key"] = json!("key-of-alice");
            config["consumers"]["entries"][0]["jwt_secrets"] = json!([credential]);
            let mut world = World::new(&config, host);
            for (key, consumer) in [("key-of-alice", "alice"), ("key-RS256", "bob")] {
                let claims = json!({"iss": key, "exp": START + 60});
                let token = token_of(&json!({"alg": "RS256"}), &claims, "RS256", "");
                let edits = world.forwarded(&token);
                assert_eq!(field(&edits, "x-consumer-username").as_deref(), Some(consumer));
                assert_eq!(field(&edits, "x-credential-identifier").as_deref(), Some(key));
            }
        }),
        same(30, "secret_is_base64 means nothing to RS256", move |host| {
            let mut config = configured(json!({"secret_is_base64": true}));
            config["consumers"]["entries"][0]["jwt_secrets"] = json!([]);
            World::new(&config, host).forwarded(&token_for("RS256"));
        }),
        of_algorithm(31, "RS512 verifies", "RS512", "bob"),
        of_algorithm(32, "RS512 identifies", "RS512", "bob"),
        of_algorithm(33, "RS384 verifies", "RS384", "bob"),
        of_algorithm(34, "RS384 identifies", "RS384", "bob"),
        of_algorithm(35, "ES512 verifies", "ES512", "bob"),
        of_algorithm(36, "ES512 identifies", "ES512", "bob"),
        of_algorithm(37, "ES384 verifies", "ES384", "bob"),
        of_algorithm(38, "ES384 identifies", "ES384", "bob"),
        of_algorithm(39, "PS256 verifies", "PS256", "bob"),
        of_algorithm(40, "PS256 identifies", "PS256", "bob"),
        of_algorithm(41, "PS384 verifies", "PS384", "bob"),
        of_algorithm(42, "PS384 identifies", "PS384", "bob"),
        of_algorithm(43, "PS512 verifies", "PS512", "bob"),
        of_algorithm(44, "PS512 identifies", "PS512", "bob"),
        of_algorithm(45, "EdDSA on Ed25519", "EdDSA", "bob"),
        not_ours(46, "EdDSA on Ed448", "not supported: credentials::a_key_on_ed448 is refused"),
        of_algorithm(47, "EdDSA identifies", "EdDSA", "bob"),
        of_algorithm(48, "HS384", "HS384", "alice"),
        of_algorithm(49, "HS512", "HS512", "alice"),
        same(50, "both dates missing", move |host| {
            let options = json!({"claims_to_verify": ["nbf", "exp"]});
            let bearer = format!("Bearer {}", hs256(json!({"exp": null})));
            let got = denied_with(&options, &[("authorization", &bearer)], host);
            let both = json!({"nbf": "must be a number", "exp": "must be a number"});
            assert_eq!((got.0, got.1), (401, both));
        }),
        same(51, "expired 10 s ago", move |host| {
            let bearer = format!("Bearer {}", hs256(json!({"exp": START - 10})));
            let options = json!({"claims_to_verify": ["exp"]});
            let got = denied_with(&options, &[("authorization", &bearer)], host);
            assert_eq!((got.0, got.1), (401, json!({"exp": "token expired"})));
        }),
        same(52, "valid in 5 s", move |host| {
            let bearer = format!("Bearer {}", hs256(json!({"nbf": START + 5})));
            let options = json!({"claims_to_verify": ["nbf"]});
            let got = denied_with(&options, &[("authorization", &bearer)], host);
            assert_eq!((got.0, got.1), (401, json!({"nbf": "token not valid yet"})));
        }),
        not_ours(
            53,
            "kong.ctx.shared.authenticated_jwt_token",
            "the token stays where it is needed; services get the identity token",
        ),
        same(54, "anonymous, and a valid token", move |host| {
            assert_consumer(&anonymous(), &hs256(json!({})), "alice", "key-HS256", host);
        }),
        same(55, "anonymous by id, no token", move |host| {
            let fields = passes(&json!({"anonymous": "n1"}), &[], host);
            assert_eq!(value(&fields, "x-anonymous-consumer"), Some("true"));
            assert_eq!(value(&fields, "x-consumer-username"), Some("no-body"));
            assert_eq!(value(&fields, "x-credential-identifier"), None);
        }),
        same(56, "anonymous by username, no token", move |host| {
            let fields = passes(&anonymous(), &[], host);
            assert_eq!(value(&fields, "x-consumer-username"), Some("no-body"));
        }),
        differs(
            57,
            "anonymous who is nobody",
            "the configuration is refused, where Kong answers 500",
            move |_| {
                let problems = refused(&configured(json!({"anonymous": "00000000-0000"})));
                assert!(problems[0].contains("no consumer with the id or username"));
            },
        ),
        same(58, "jwt and key-auth, both sent", move |host| {
            let bearer = format!("Bearer {}", hs256(json!({})));
            let fields = [("authorization", bearer.as_str()), ("apikey", "mouse")];
            let fields = passes(&plain(), &fields, host);
            assert_eq!(value(&fields, "x-consumer-username"), Some("alice"));
        }),
        same(59, "jwt and key-auth, the key only", move |host| {
            let got = denied_with(&plain(), &[("apikey", "mouse")], host);
            assert_eq!((got.0, got.2.as_str()), (401, "Bearer"));
        }),
        not_ours(60, "jwt and key-auth, the token only", NOT_THE_OTHER),
        not_ours(61, "jwt and key-auth, nothing", NOT_THE_OTHER),
        same(62, "jwt or key-auth, both sent", move |host| {
            let bearer = format!("Bearer {}", hs256(json!({})));
            let fields = [
                ("authorization", bearer.as_str()),
                // What key-auth made of the request before.
                ("x-consumer-username", "bob"),
                ("x-credential-identifier", "mouse"),
            ];
            let fields = passes(&anonymous(), &fields, host);
            assert_eq!(value(&fields, "x-consumer-username"), Some("alice"));
            assert_eq!(value(&fields, "x-credential-identifier"), Some("key-HS256"));
        }),
        not_ours(63, "jwt or key-auth, the key only", NOT_SEEN),
        same(64, "jwt or key-auth, the token only", move |host| {
            assert_consumer(&anonymous(), &hs256(json!({})), "alice", "key-HS256", host);
        }),
        same(65, "jwt or key-auth, nothing", move |host| {
            let fields = passes(&anonymous(), &[("x-anonymous-consumer", "true")], host);
            assert_eq!(value(&fields, "x-anonymous-consumer"), Some("true"));
            assert_eq!(value(&fields, "x-consumer-username"), Some("no-body"));
        }),
    ];
    run(rows, 65);
}
