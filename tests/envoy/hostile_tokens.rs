//! Tokens that must not be accepted, each with the reason given.

use jsonwebtoken::get_current_timestamp;
use serde_json::{Value, json};

use crate::gateway::Setup;
use crate::stack::auth::Auth;
use crate::tokens::{Signer, alice, encode, mac};
use crate::wire::{Request, Wrong};

/// The bundled configuration with these keys of the issuer.
fn with_keys(keys: &[&Signer]) -> Setup {
    let keys: Vec<&Value> = keys.iter().map(|key| &key.jwk).collect();
    Setup::bundled()
        .replace_block("remote_jwks:", &format!("local_jwks: {}", json!({ "keys": keys })))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_acceptable_is_refused_with_the_reason() {
    let (ec, rsa, ed) = (Signer::es256("ec"), Signer::rs256("rsa"), Signer::eddsa("ed"));
    let stranger = Signer::es256("ec");
    let gateway = with_keys(&[&ec, &rsa, &ed]).start_beside_others().await;

    let now = get_current_timestamp();
    let claims = alice(json!({}));
    let good = ec.token(&claims);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let forged = encode(alice(json!({"sub": "bob"})).to_string());
    let none = |alg: &str| encode(json!({"alg": alg, "typ": "at+jwt"}).to_string());
    let long = alice(json!({"padding": "x".repeat(8192)}));
    let text = claims.to_string();
    let twice = format!(r#"{{"sub":"bob",{}"#, &text[1..]);
    let es = |changes| ec.token(&alice(changes));

    let mut wrong = Wrong::default();
    for (case, token, expected) in [
        ("ES256", good.clone(), "200"),
        ("RS256", rsa.token(&claims), "200"),
        ("EdDSA", ed.token(&claims), "200"),
        ("within the clock skew", es(json!({"exp": now - 30})), "401 token_expired"),
        ("an audience among others", es(json!({"aud": ["x", "shop-api"]})), "200"),
        // Who signed it.
        ("another key's signature", stranger.token(&claims), "401 signature_invalid"),
        (
            "a key of its own",
            stranger.token_with(json!({"jwk": stranger.jwk}), &claims),
            "401 signature_invalid",
        ),
        ("another payload", format!("{header}.{forged}.{signature}"), "401 signature_invalid"),
        ("a cut signature", good[..good.len() - 2].to_owned(), "401 signature_invalid"),
        (
            "a zero signature",
            format!("{header}.{payload}.{}", encode([0; 64])),
            "401 signature_invalid",
        ),
        ("an unknown key", ec.token_with(json!({"kid": "x"}), &claims), "401 key_unknown"),
        ("a path as key", ec.token_with(json!({"kid": "../ec"}), &claims), "401 key_unknown"),
        ("a key of another kind", ec.token_with(json!({"kid": "rsa"}), &claims), "401 key_unknown"),
        // What it was signed with.
        ("none", format!("{}.{payload}.", none("none")), "401 token_malformed"),
        (
            "none, signed",
            format!("{}.{payload}.{signature}", none("none")),
            "401 algorithm_not_allowed",
        ),
        ("NONE", format!("{}.{payload}.{signature}", none("NONE")), "401 algorithm_not_allowed"),
        ("no algorithm", ec.token_with(json!({"alg": null}), &claims), "401 token_malformed"),
        ("ES384", ec.token_with(json!({"alg": "ES384"}), &claims), "401 algorithm_not_allowed"),
        ("PS256", rsa.token_with(json!({"alg": "PS256"}), &claims), "401 algorithm_not_allowed"),
        ("es256", ec.token_with(json!({"alg": "es256"}), &claims), "401 algorithm_not_allowed"),
        // When it holds.
        ("expired", es(json!({"exp": now - 61, "iat": now - 600})), "401 token_expired"),
        ("not yet valid", es(json!({"nbf": now + 120})), "401 token_not_yet_valid"),
        (
            "issued tomorrow",
            es(json!({"iat": now + 86400, "exp": now + 90000})),
            "401 token_not_yet_valid",
        ),
        ("no end", es(json!({"exp": null})), "401 claim_missing"),
        ("an end in words", es(json!({"exp": "tomorrow"})), "401 token_malformed"),
        ("an end beyond time", es(json!({"exp": 1e300})), "401 token_malformed"),
        ("a start before time", es(json!({"nbf": -1e300})), "401 token_malformed"),
        ("too long a life", es(json!({"exp": now + 86400 * 2})), "401 lifetime_exceeded"),
        // Who it is from, for and about.
        ("another issuer", es(json!({"iss": "https://evil.example"})), "401 issuer_unknown"),
        (
            "an issuer with a slash",
            es(json!({"iss": "https://auth.shop.example/"})),
            "401 issuer_unknown",
        ),
        ("no issuer", es(json!({"iss": null})), "401 claim_missing"),
        ("another audience", es(json!({"aud": "other-api"})), "401 audience_mismatch"),
        ("no audience", es(json!({"aud": null})), "401 claim_missing"),
        ("an audience that is none", es(json!({"aud": ["shop-api", 1]})), "401 token_malformed"),
        ("nobody", es(json!({"sub": null})), "401 claim_missing"),
        ("an empty subject", es(json!({"sub": ""})), "401 claim_missing"),
        ("a number as subject", es(json!({"sub": 1})), "401 token_malformed"),
        ("an unknown application", es(json!({"azp": "nobody"})), "401 consumer_unknown"),
        ("bound to a key", es(json!({"cnf": {"jkt": "x"}})), "401 binding_mismatch"),
        ("a climbing subject", es(json!({"sub": ".."})), "401 claim_mismatch"),
        // What it is.
        (
            "an identity token",
            ec.token_with(json!({"typ": "identity+jwt"}), &claims),
            "401 token_type_mismatch",
        ),
        (
            "a transaction token",
            ec.token_with(json!({"typ": "txntoken+jwt"}), &claims),
            "401 token_type_mismatch",
        ),
        (
            "an ID token's type",
            ec.token_with(json!({"typ": "id_token"}), &claims),
            "401 token_type_mismatch",
        ),
        ("crit", ec.token_with(json!({"crit": ["exp"]}), &claims), "401 critical_header"),
        ("b64", ec.token_with(json!({"b64": true}), &claims), "401 critical_header"),
        ("compressed", ec.token_with(json!({"zip": "DEF"}), &claims), "401 token_malformed"),
        ("nested", ec.token_with(json!({"cty": "JWT"}), &claims), "401 token_malformed"),
        ("opaque", "2YotnFZFEjr1zCsicMWpAA".into(), "401 token_malformed"),
        ("two parts", format!("{header}.{payload}"), "401 token_malformed"),
        ("five parts", format!("{good}.e30.e30"), "401 token_malformed"),
        ("padded", format!("{good}=="), "401 token_malformed"),
        ("dots", "..".into(), "401 token_malformed"),
        (
            "a claim twice",
            ec.sign_text(&json!({"alg": "ES256", "kid": "ec"}).to_string(), &twice),
            "401 token_malformed",
        ),
        (
            "claims of an array",
            ec.sign_text(r#"{"alg":"ES256","kid":"ec"}"#, "[1]"),
            "401 token_malformed",
        ),
        ("too large", ec.token(&long), "401 token_too_large"),
        ("8 KiB and a byte of nothing", "a".repeat(8193), "401 token_too_large"),
    ] {
        wrong.compare(case, expected, &gateway.get("/orders", &token).await);
        gateway.assert_serves_token(&good, case).await;
    }
    wrong.assert_none();

    // The private key never left its owner, but the public one is known to all.
    for signer in [&ec, &rsa, &ed] {
        for secret in &signer.public_forms {
            let header = json!({"alg": "HS256", "kid": signer.kid(), "typ": "at+jwt"});
            let answer = gateway.get("/orders", &mac(secret, &header, &claims)).await;
            assert_eq!(answer.outcome(), "401 algorithm_not_allowed", "{} as secret", signer.kid());
        }
    }
    gateway.assert_serves_token(&good, "public keys as secrets").await;
}

/// Where a provider shares a secret, its other keys must not become secrets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_key_is_no_secret_where_secrets_are_admitted() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rs256("rsa"));
    let secret = b"a shared secret of thirty-two bytes or more";
    let oct = json!({"kty": "oct", "kid": "oct", "alg": "HS256", "k": encode(secret)});
    let jwks = json!({"keys": [ec.jwk, rsa.jwk, oct]});
    let gateway = with_keys(&[])
        .replace_block("local_jwks:", &format!("local_jwks: {jwks}"))
        .replace("[RS256, ES256, EdDSA]", "[HS256]")
        .secret(encode(secret))
        .start_beside_others()
        .await;
    let claims = Auth::claims("alice").unwrap();
    let hs256 = |kid: &str| json!({"alg": "HS256", "kid": kid, "typ": "at+jwt"});

    let good = mac(secret, &hs256("oct"), &claims);
    assert_eq!(gateway.get("/orders", &good).await.outcome(), "200");
    assert_eq!(
        gateway.get("/orders", &ec.token(&claims)).await.outcome(),
        "401 algorithm_not_allowed"
    );
    for signer in [&ec, &rsa] {
        for public in &signer.public_forms {
            for (kid, expected) in
                [(signer.kid(), "401 key_unknown"), ("oct", "401 signature_invalid")]
            {
                let answer = gateway.get("/orders", &mac(public, &hs256(kid), &claims)).await;
                assert_eq!(answer.outcome(), expected, "{kid}: {answer}");
            }
        }
    }
    gateway.assert_serves_token(&good, "public keys as secrets").await;
}

/// What services inside get must not work outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_token_is_not_accepted_as_a_public_token() {
    let ec = Signer::es256("ec");
    let gateway = with_keys(&[&ec]).start_beside_others().await;
    let good = ec.token(&alice(json!({})));
    let identity =
        gateway.get("/orders", &good).await.seen().values("x-identity-token")[0].to_owned();
    assert_eq!(gateway.get("/orders", &identity).await.outcome(), "401 issuer_unknown");
    let answer = gateway.send(Request::get("/orders").with("x-identity-token", &identity)).await;
    assert_eq!(answer.outcome(), "401 token_missing");
    gateway.assert_serves_token(&good, "an identity token").await;
}
