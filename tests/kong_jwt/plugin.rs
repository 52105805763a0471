//! How the plugin itself behaves.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::json;

use crate::keys::{SECRET_32, token_of};
use crate::support::*;
use crate::table::*;

#[test]
fn the_plugins_behaviour() {
    let plain = || json!({});
    let rows = vec![
        same(1, "a token in the query", move |host| {
            let path = format!("/api?jwt={}", hs256(json!({})));
            let fields = passes(&plain(), &[(":path", &path)], host);
            assert_eq!(value(&fields, "x-consumer-username"), Some("alice"));
        }),
        same(1, "a token in a cookie", move |host| {
            let options = json!({"cookie_names": ["a", "b"]});
            let cookie = format!("b={}", hs256(json!({})));
            passes(&options, &[("cookie", &cookie)], host);
        }),
        differs(
            1,
            "an empty cookie, an empty parameter",
            "an empty parameter is a token that is none; Kong skips it, as both do an empty cookie",
            move |host| {
                let token = hs256(json!({}));
                let (cookie, bearer) = (format!("a=; b={token}"), format!("Bearer {token}"));
                let options = json!({"cookie_names": ["a", "b"]});
                passes(&options, &[("cookie", cookie.as_str())], host);
                let fields = [(":path", "/api?jwt="), ("authorization", bearer.as_str())];
                let got = denied_with(&options, &fields, host);
                assert_eq!(got.1, json!({"message": "Multiple tokens provided"}));
                assert_message(&options, "", "Bad token; invalid JSON", host);
            },
        ),
        differs(
            2,
            "Bearer is anchored",
            "what follows another scheme is no bearer token",
            move |host| {
                let after_another = format!("Basic x Bearer {}", hs256(json!({})));
                let got = denied_with(&plain(), &[("authorization", &after_another)], host);
                assert_eq!(got, (401, json!({"message": "Unauthorized"}), "Bearer".into()));
            },
        ),
        differs(
            2,
            "Bearer is read in any case",
            "schemes are case-insensitive (RFC 9110 section 11.1)",
            move |host| {
                let loud = format!("BEARER {}", hs256(json!({})));
                passes(&plain(), &[("authorization", &loud)], host);
            },
        ),
        differs(
            2,
            "the rest of the line is the token",
            "refused as in Kong, which reads it as far as its signature and says that of it",
            move |host| {
                let more = format!("{} foo", hs256(json!({})));
                assert_message(&plain(), &more, "Bad token; invalid JSON", host);
            },
        ),
        same(3, "no token", move |host| {
            let unauthorized = json!({"message": "Unauthorized"});
            let expected = (401, unauthorized.clone(), "Bearer".to_owned());
            assert_eq!(denied_with(&plain(), &[], host), expected);
            let expected = (401, unauthorized, r#"Bearer realm="r1""#.to_owned());
            assert_eq!(denied_with(&json!({"realm": "r1"}), &[], host), expected);
        }),
        same(4, "two tokens", move |host| {
            let path = format!("/api?jwt={}", hs256(json!({})));
            let fields = [(":path", path.as_str()), ("authorization", "Bearer a.b.c")];
            let several = json!({"message": "Multiple tokens provided"});
            let challenge = r#"Bearer error="invalid_token""#.to_owned();
            assert_eq!(denied_with(&plain(), &fields, host), (401, several.clone(), challenge));
            // As of Kong 3.10: the comma of RFC 9110, which 3.9 left out.
            let challenge = r#"Bearer realm="r1", error="invalid_token""#.to_owned();
            let got = denied_with(&json!({"realm": "r1"}), &fields, host);
            assert_eq!(got, (401, several, challenge));
        }),
        differs(
            4,
            "the same token twice",
            "two readers could take different ones (RFC 6750 section 2)",
            move |host| {
                let token = hs256(json!({}));
                let (path, bearer) = (format!("/api?jwt={token}"), format!("Bearer {token}"));
                let fields = [(":path", path.as_str()), ("authorization", bearer.as_str())];
                let got = denied_with(&plain(), &fields, host);
                assert_eq!(got.1, json!({"message": "Multiple tokens provided"}));
            },
        ),
        same(5, "not three parts, not JSON", move |host| {
            for token in ["opaque", "a.b", "!!!.e30.c2ln", "eyJhbGciOiJIUzI1NiI.e30.c2ln"] {
                assert_message(&plain(), token, "Bad token; invalid JSON", host);
            }
        }),
        same(6, "an alg that is none", move |host| {
            let claims = json!({"iss": "key-HS256", "exp": START + 60});
            for header in
                [json!({}), json!({"alg": "none"}), json!({"alg": "hs256"}), json!({"alg": "foo"})]
            {
                let token = token_of(&header, &claims, "HS256", SECRET_32);
                assert_message(&plain(), &token, "Bad token; invalid alg", host);
            }
        }),
        same(7, "a payload or a signature that cannot be read", move |host| {
            let token = hs256(json!({}));
            let [header, _, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
            for payload in ["", "e", &BASE64URL.encode("hello")] {
                let token = format!("{header}.{payload}.{signature}");
                assert_message(&plain(), &token, "Bad token; invalid JSON", host);
            }
            let (signed, _) = token.rsplit_once('.').unwrap();
            for token in [format!("{signed}.c"), format!("{token}.c2ln")] {
                assert_message(&plain(), &token, "Bad token; invalid signature", host);
            }
        }),
        differs(
            7,
            "a payload that is no object, a signature that no bearer token has",
            "Kong looks for iss in texts and lists too, and answers 500 to a number; \
             `%` is in no bearer token (RFC 6750 section 2.1), which is told before",
            move |host| {
                let token = hs256(json!({}));
                let [header, _, signature] =
                    token.split('.').collect::<Vec<_>>().try_into().unwrap();
                for payload in ["[]", "\"text\"", "7", "null"] {
                    let payload = BASE64URL.encode(payload);
                    let token = format!("{header}.{payload}.{signature}");
                    assert_message(&plain(), &token, "Bad token; invalid JSON", host);
                }
                let (signed, _) = token.rsplit_once('.').unwrap();
                let token = format!("{signed}.%");
                assert_message(&plain(), &token, "Bad token; invalid JSON", host);
            },
        ),
        same(8, "no key claim", move |host| {
            let token = hs256(json!({"iss": null}));
            assert_message(&plain(), &token, "No mandatory 'iss' in claims", host);
            let options = json!({"key_claim_name": "sub"});
            assert_message(&options, &token, "No mandatory 'sub' in claims", host);
        }),
        same(9, "an empty key claim", move |host| {
            let token = hs256(json!({"iss": ""}));
            assert_message(&plain(), &token, "Invalid 'iss' in claims", host);
        }),
        differs(
            10,
            "a key claim that is no text",
            "Kong answers 500, or to false as if there were none: it is the token that is wrong",
            move |host| {
                for iss in [json!(7), json!(["key-HS256"]), json!({"a": 1}), json!(false)] {
                    let token = hs256(json!({ "iss": iss }));
                    assert_message(&plain(), &token, "Invalid 'iss' in claims", host);
                }
                let claims = json!({"iss": null, "exp": START + 60});
                let token = token_of(&json!({"alg": "HS256"}), &claims, "HS256", SECRET_32);
                assert_message(&plain(), &token, "No mandatory 'iss' in claims", host);
            },
        ),
        same(11, "an unknown key", move |host| {
            let token = hs256(json!({"iss": "nobody"}));
            assert_message(&plain(), &token, "No credentials found for given 'iss'", host);
            let options = json!({"key_claim_name": "aud"});
            let token = hs256(json!({"aud": "nobody"}));
            assert_message(&options, &token, "No credentials found for given 'aud'", host);
        }),
        same(12, "the algorithm of another credential", move |host| {
            let claims = json!({"iss": "key-HS256", "exp": START + 60});
            let token = token_of(&json!({"alg": "RS256"}), &claims, "RS256", "");
            assert_message(&plain(), &token, "Invalid algorithm", host);
        }),
        differs(
            13,
            "a credential without a key",
            "such a configuration is refused at the start",
            move |_| {
                for (algorithm, problem) in
                    [("HS256", "HS256 without secret"), ("RS256", "RS256 without rsa_public_key")]
                {
                    let mut config = configured(json!({}));
                    config["consumers"]["entries"][0]["jwt_secrets"][0] =
                        json!({"key": "k", "algorithm": algorithm});
                    let problems = refused(&config);
                    assert_eq!(problems.len(), 1, "{problems:?}");
                    assert!(problems[0].contains(problem), "{problems:?}");
                }
            },
        ),
        same(14, "a wrong signature, and none", move |host| {
            let claims = json!({"iss": "key-HS256", "exp": START + 60});
            let wrong = "another-secret-of-32-characters-";
            let token = token_of(&json!({"alg": "HS256"}), &claims, "HS256", wrong);
            assert_message(&plain(), &token, "Invalid signature", host);
            let (signed, _) = token.rsplit_once('.').unwrap();
            assert_message(&plain(), &format!("{signed}."), "Invalid signature", host);
            // Kong answers 500 to a signature of another length than the key's.
            for algorithm in ["ES256", "PS256"] {
                let token = token_for(algorithm);
                let (signed, _) = token.rsplit_once('.').unwrap();
                let short = format!("{signed}.{}", BASE64URL.encode([1; 63]));
                assert_message(&plain(), &short, "Invalid signature", host);
            }
        }),
        same(15, "claims_to_verify", move |host| {
            let both = json!({"claims_to_verify": ["exp", "nbf"]});
            let bearer = |changes| format!("Bearer {}", hs256(changes));
            for (changes, body) in [
                (json!({"exp": START - 10, "nbf": START}), json!({"exp": "token expired"})),
                (json!({"exp": START, "nbf": START}), json!({"exp": "token expired"})),
                (json!({"nbf": START + 1}), json!({"nbf": "token not valid yet"})),
                (json!({}), json!({"nbf": "must be a number"})),
                (json!({"exp": "soon", "nbf": START}), json!({"exp": "must be a number"})),
            ] {
                let got = denied_with(&both, &[("authorization", &bearer(changes))], host);
                assert_eq!(got, (401, body, r#"Bearer error="invalid_token""#.into()));
            }
            // What is minted ends in whole seconds: 0.5 would leave it no time.
            let precise = bearer(json!({"exp": START as f64 + 1.5, "nbf": START}));
            passes(&both, &[("authorization", &precise)], host);
        }),
        differs(
            15,
            "a token that has ended and has not begun",
            "the first that is wrong is told; Kong names both",
            move |host| {
                let never =
                    format!("Bearer {}", hs256(json!({"exp": START - 1, "nbf": START + 1})));
                let both = json!({"claims_to_verify": ["exp", "nbf"]});
                let got = denied_with(&both, &[("authorization", &never)], host);
                assert_eq!((got.0, got.1), (401, json!({"exp": "token expired"})));
            },
        ),
        differs(
            15,
            "exp is checked unless told otherwise, and always when it is there",
            "Kong checks no date by default: a token would be good for ever",
            move |host| {
                let forever = format!("Bearer {}", hs256(json!({"exp": null})));
                let got = denied_with(&plain(), &[("authorization", &forever)], host);
                assert_eq!(got.1, json!({"exp": "must be a number"}));
                let unchecked = json!({"claims_to_verify": []});
                passes(&unchecked, &[("authorization", &forever)], host);
                let over = format!("Bearer {}", hs256(json!({"exp": START - 1})));
                let got = denied_with(&unchecked, &[("authorization", &over)], host);
                assert_eq!(got.1, json!({"exp": "token expired"}));
                let early = format!("Bearer {}", hs256(json!({"nbf": START + 1})));
                let got = denied_with(&unchecked, &[("authorization", &early)], host);
                assert_eq!(got.1, json!({"nbf": "token not valid yet"}));
            },
        ),
        same(16, "maximum_expiration", move |host| {
            let options = json!({"maximum_expiration": 300, "claims_to_verify": ["exp"]});
            let bearer = format!("Bearer {}", hs256(json!({"exp": START + 301})));
            let got = denied_with(&options, &[("authorization", &bearer)], host);
            assert_eq!(got.1, json!({"exp": "exceeds maximum allowed expiration"}));
            // From now on, whatever the token says of its beginning.
            let old = format!("Bearer {}", hs256(json!({"exp": START + 300, "iat": START - 900})));
            passes(&options, &[("authorization", &old)], host);
            let young = hs256(json!({"exp": START + 301, "iat": START + 200}));
            let young = format!("Bearer {young}");
            let got = denied_with(&options, &[("authorization", &young)], host);
            assert_eq!(got.1, json!({"exp": "exceeds maximum allowed expiration"}));
        }),
        same(17, "typ and aud are ignored", move |host| {
            let claims = json!({"iss": "key-HS256", "exp": START + 60, "aud": [1]});
            let header = json!({"alg": "HS256", "typ": "anything"});
            let token = token_of(&header, &claims, "HS256", SECRET_32);
            assert_consumer(&plain(), &token, "alice", "key-HS256", host);
        }),
        differs(
            17,
            "crit, and padding of base64",
            "no extension is understood (RFC 7515 section 4.1.11); a token has one spelling",
            move |host| {
                let claims = json!({"iss": "key-HS256", "exp": START + 60});
                let header = json!({"alg": "HS256", "crit": ["exp"]});
                let token = token_of(&header, &claims, "HS256", SECRET_32);
                assert_message(&plain(), &token, "Bad token; invalid JSON", host);
                let padded = format!("{}=", hs256(json!({})));
                assert_message(&plain(), &padded, "Bad token; invalid signature", host);
            },
        ),
        differs(
            18,
            "run_on_preflight: false",
            "only true preflights pass, and no header of the filter's with them",
            move |host| {
                let options = json!({"run_on_preflight": false});
                let preflight = [
                    (":method", "OPTIONS"),
                    ("origin", "https://shop.example"),
                    ("access-control-request-method", "PUT"),
                    ("x-consumer-username", "root"),
                ];
                let fields = passes(&options, &preflight, host);
                assert_ne!(value(&fields, "x-consumer-username"), Some("root"));
                let got = denied_with(&options, &[(":method", "OPTIONS")], host);
                assert_eq!(got.0, 401, "no preflight");
                assert_eq!(denied_with(&plain(), &preflight, host).0, 401, "the default");
            },
        ),
        same(19, "anonymous, by username and by id", move |host| {
            for anonymous in ["no-body", "n1"] {
                let options = json!({ "anonymous": anonymous });
                let fields = passes(&options, &[("x-credential-identifier", "root")], host);
                assert_eq!(value(&fields, "x-anonymous-consumer"), Some("true"));
                assert_eq!(value(&fields, "x-consumer-username"), Some("no-body"));
                assert_eq!(value(&fields, "x-consumer-id"), Some("n1"));
                assert_eq!(value(&fields, "x-credential-identifier"), None);
            }
        }),
        differs(
            19,
            "a bad token does not make anonymous, nor does an unknown consumer",
            "a token that is sent must be valid; the configuration is refused, where Kong has 500",
            move |host| {
                let options = json!({"anonymous": "no-body"});
                assert_message(&options, "a.b", "Bad token; invalid JSON", host);
                let problems = refused(&configured(json!({"anonymous": "stranger"})));
                assert!(problems[0].contains("\"stranger\""), "{problems:?}");
            },
        ),
        same(20, "gRPC", move |host| {
            let step = send(&plain(), &[("content-type", "application/grpc")], host);
            assert_eq!(grpc(step).as_deref(), Some("16"));
        }),
    ];
    run(rows, 20);
}

/// The headers that the plugin and the acl plugin set upstream.
#[test]
fn headers_upstream() {
    for host in HOSTS {
        let bearer = format!("Bearer {}", hs256(json!({})));
        let fields = passes(
            &json!({}),
            &[
                ("authorization", &bearer),
                ("x-consumer-id", "forged"),
                ("x-anonymous-consumer", "true"),
                ("x-consumer-groups", "admin"),
            ],
            host,
        );
        for (name, expected) in [
            ("x-consumer-id", Some("a1")),
            ("x-consumer-custom-id", Some("alice-1")),
            ("x-consumer-username", Some("alice")),
            ("x-credential-identifier", Some("key-HS256")),
            ("x-anonymous-consumer", None),
            ("x-consumer-groups", Some("staff,eu")),
            ("authorization", Some(bearer.as_str())),
        ] {
            assert_eq!(value(&fields, name), expected, "{name}");
        }
        // bob has no custom_id and no groups: nothing of the client's is left.
        let bearer = format!("Bearer {}", token_for("RS256"));
        let forged = [
            ("authorization", bearer.as_str()),
            ("x-consumer-custom-id", "forged"),
            ("x-consumer-groups", "admin"),
        ];
        let fields = passes(&json!({}), &forged, host);
        assert_eq!(value(&fields, "x-consumer-custom-id"), None);
        assert_eq!(value(&fields, "x-consumer-groups"), None);
    }
}
