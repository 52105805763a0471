//! Ways around the key of a bound token: other places for it, other kinds of tokens, other
//! requests than those that a client sends to a service.

use serde_json::json;

use crate::bound::{
    CERTIFICATE, ask, bound, config, dpop, invalid, mismatch, proof, request, thumbprint,
    with_clients,
};
use crate::support::*;

/// A thief has the token, and no key: every place where a token may be, and every request
/// that a rule lets through with less.
#[test]
fn a_stolen_token_is_of_no_use_anywhere() {
    let mut config = dpop();
    put(
        &mut config,
        "/token",
        json!({
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
            "from_cookies": ["session"], "from_params": ["access_token"],
        }),
    );
    put(
        &mut config,
        "/rules",
        json!([
            {"match": {"path": "/open"}, "requires": {"allow_missing": true}},
        ]),
    );
    let several = || denial(400, "token_multiple");
    let token = bound();
    let old = proof(&token, &json!({}), &json!({"iat": START - 100}));
    let value = |prefix: &str| format!("{prefix}{token}");
    let paths = [format!("/api?access_token={token}"), format!("/open?access_token={token}")];
    for (case, fields, expected) in [
        ("bearer", vec![("authorization", value("Bearer "))], mismatch()),
        ("bearer, in small letters", vec![("authorization", value("bearer "))], mismatch()),
        ("another header", vec![("x-token", token.clone())], mismatch()),
        ("a cookie", vec![("cookie", value("session="))], mismatch()),
        ("a parameter", vec![(":path", paths[0].clone())], mismatch()),
        ("where none is needed", vec![(":path", paths[1].clone())], mismatch()),
        (
            "where none is needed, bearer",
            vec![(":path", "/open".into()), ("authorization", value("Bearer "))],
            mismatch(),
        ),
        ("DPoP without a proof", vec![("authorization", value("DPoP "))], invalid()),
        ("an old proof", vec![("authorization", value("DPoP ")), ("dpop", old.clone())], invalid()),
        (
            "a cookie, and the scheme alone",
            vec![("cookie", value("session=")), ("authorization", "DPoP ".into())],
            several(),
        ),
        (
            "a cookie, and a proof",
            vec![("cookie", value("session=")), ("dpop", old.clone())],
            mismatch(),
        ),
        (
            "a cookie, and another token by DPoP",
            vec![("cookie", value("session=")), ("authorization", format!("DPoP {}", alice()))],
            several(),
        ),
        (
            "the scheme of another name",
            vec![("authorization", value("DPoP2 "))],
            denial(401, "token_missing"),
        ),
        (
            "two schemes",
            vec![("authorization", value("DPoP Bearer "))],
            denial(401, "token_malformed"),
        ),
        ("a tab", vec![("authorization", value("DPoP\t"))], invalid()),
    ] {
        let mut world = World::new(&config, ENVOY);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(denied(world.begin(head(&fields))), expected, "{case}");
        // Nor once it is known.
        forwarded(ask(&mut world, &token, &proof(&token, &json!({}), &json!({}))));
        assert_eq!(denied(world.begin(head(&fields))), expected, "{case}, known");
    }
}

/// What the issuer says of a reference token binds it as well (RFC 9449 section 6.2, RFC
/// 8705 section 3.2), also when the answer is remembered.
#[test]
fn reference_tokens_are_bound_too() {
    let mut both = config(json!({"mtls": true, "dpop": {"public_origin": "https://api.example"}}));
    put(
        &mut both,
        "/providers/shop/introspection",
        json!({
            "service": "auth", "path": "/introspect", "client_id": "gate", "client_secret": "s3cret",
        }),
    );
    for (cnf, by_certificate) in [
        (json!({"jkt": thumbprint(&KEY_B)}), false),
        (json!({"x5t#S256": base64_of(CERTIFICATE)}), true),
    ] {
        let (mut world, client) = with_clients(&both, ENVOY);
        let said = ok(&claims(json!({"active": true, "cnf": cnf, "token_type": "DPoP"})));
        let step = world.get("reference-1");
        assert_eq!(denied(world.answer(step, &said)), mismatch(), "asked about, and refused");
        assert_eq!(world.denied("reference-1"), mismatch(), "known, and refused");
        if by_certificate {
            client.set((Some(CERTIFICATE), client.get().1));
            world.forwarded("reference-1");
        } else {
            let good = proof("reference-1", &json!({}), &json!({}));
            for (scheme, proofs, expected) in
                [("Bearer", vec![good.as_str()], mismatch()), ("DPoP", vec![], invalid())]
            {
                let step = world.begin(request(scheme, "reference-1", &proofs));
                assert_eq!(denied(step), expected, "{scheme}: {}", proofs.len());
            }
            forwarded(ask(&mut world, "reference-1", &good));
            assert_eq!(denied(ask(&mut world, "reference-1", &good)), invalid());
        }
    }
    // What nobody checks is refused there as well.
    let (mut world, _) = with_clients(&both, ENVOY);
    let said = claims(json!({"active": true, "cnf": {"kid": "x"}}));
    let step = world.get("reference-2");
    assert_eq!(denied(world.answer(step, &ok(&said))), mismatch());
}

fn base64_of(bytes: [u8; 32]) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, bytes)
}

/// A proof is for one request: not for its neighbour, however the path is written, and not
/// for the same path of another host where the gateway's own is said.
#[test]
fn a_proof_is_for_one_request() {
    let token = bound();
    let good =
        |uri: &str, method: &str| proof(&token, &json!({}), &json!({"htu": uri, "htm": method}));
    let send = |path: &str, method: &str, host: &str, proof: &str| {
        let mut fields = vec![(":path", path), (":method", method), (":authority", host)];
        let authorization = format!("DPoP {token}");
        fields.push((":scheme", "https"));
        fields.push(("authorization", &authorization));
        fields.push(("dpop", proof));
        let mut world = World::new(&dpop(), ENVOY);
        decided(world.begin(head(&fields)))
    };
    for (case, path, method, uri, refused) in [
        ("itself", "/api/a", "GET", "https://api.example/api/a", false),
        ("another method", "/api/a", "DELETE", "https://api.example/api/a", true),
        ("below", "/api/a/b", "GET", "https://api.example/api/a", true),
        ("above", "/api", "GET", "https://api.example/api/a", true),
        ("another case", "/api/A", "GET", "https://api.example/api/a", true),
        ("an escaped slash", "/api%2Fa", "GET", "https://api.example/api/a", true),
        ("a slash at the end", "/api/a/", "GET", "https://api.example/api/a", true),
        ("a matrix parameter", "/api/a;b", "GET", "https://api.example/api/a", true),
        ("user info", "/api/a", "GET", "https://x@api.example/api/a", true),
        ("another port", "/api/a", "GET", "https://api.example:444/api/a", true),
        ("another scheme", "/api/a", "GET", "http://api.example/api/a", true),
        ("no host", "/api/a", "GET", "https:///api/a", true),
        ("a path alone", "/api/a", "GET", "/api/a", true),
        ("a host below", "/api/a", "GET", "https://api.example.evil/api/a", true),
    ] {
        let expected = refused.then(invalid);
        assert_eq!(send(path, method, "10.0.0.1", &good(uri, "GET")), expected, "{case}");
    }
    // A gateway may have several names.
    let mut config = dpop();
    let origins = json!(["https://shop.example", "https://api.example"]);
    put(&mut config, "/providers/shop/binding/dpop/public_origin", origins);
    for (uri, refused) in [
        ("https://api.example/api", false),
        ("https://shop.example/api", false),
        ("https://other.example/api", true),
    ] {
        let mut world = World::new(&config, ENVOY);
        let step = ask(&mut world, &token, &good(uri, "GET"));
        assert_eq!(decided(step), refused.then(invalid), "{uri}");
    }
    // A hostile server hands on what it was sent, with its own name in Host.
    let theirs = good("https://evil.example/api/a", "GET");
    assert_eq!(send("/api/a", "GET", "evil.example", &theirs), Some(invalid()));
}

/// A preflight and a rule without a token are as before; a proof there goes no further.
#[test]
fn a_proof_without_a_token_goes_no_further() {
    let mut config = dpop();
    put(&mut config, "/rules", json!([{"match": {"path": "/open"}, "bypass": true}]));
    for host in HOSTS {
        let mut world = World::new(&config, host);
        let head = head(&[(":path", "/open"), ("DPoP", "secret-proof"), ("dpop-nonce", "x")]);
        let step = world.begin(head.clone());
        let sent = upstream(host, &head, &forwarded(step));
        let proofs = sent.iter().filter(|(name, value)| name == "dpop" && !value.is_empty());
        assert_eq!(proofs.count(), 0, "{sent:?}");
    }
}
