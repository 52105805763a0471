//! Calls as services want them, and replies and tokens as issuers really send them, through
//! the filter from its start.

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use crate::host::{Head, Host, Reply, each_host};
use crate::shop::{self, ask, claims, identity, issuer, token, user_reply};

const AGENT: &str = concat!("gatepass/", env!("CARGO_PKG_VERSION"));
const REFERENCE: &str = "2YotnFZFEjr1zCsicMWpAA";
const TOKEN: &str = "introspection-token-0123456789";
const SECRET: &str = "introspection secret: 0123456789";

/// The shop without what asks anybody else, changed.
fn plain(patch: &Value) -> Value {
    let mut plain = json!({"user_info": null, "claim_to_headers": null, "rules": null});
    for (name, value) in patch.as_object().unwrap() {
        plain[name] = value.clone();
    }
    plain
}

fn asking(changes: &Value) -> Value {
    let mut endpoint = json!({"service": "auth", "path": "/ask", "client_id": "gate way",
        "client_secret": SECRET, "cache": {"ttl_seconds": 0, "negative_ttl_seconds": 0}});
    for (name, value) in changes.as_object().unwrap() {
        endpoint[name] = value.clone();
    }
    plain(&json!({"providers": {"shop": {"introspection": endpoint}}}))
}

fn active(changes: &Value) -> Reply {
    let mut claims = claims("alice");
    claims["active"] = json!(true);
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    Reply::ok(claims.to_string())
}

/// The detail of a denial, which the operator sees as well.
fn detail(host: &Host, token: &str) -> String {
    let reply = ask(host, token).reply();
    assert_eq!(reply.status, 401);
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    body["detail"].as_str().unwrap().to_owned()
}

each_host!(each_call_has_what_its_service_wants, |host| {
    const KEY_SETS: &str = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1";
    const DOCUMENT: &str = "/.well-known/openid-configuration";
    let own = json!({"auth": {"headers": {"x-tenant": "shop"}}, "users": {"headers": {"x-tenant": "shop"}}});
    let introspection =
        json!({"service": "auth", "path": "/ask", "client_id": "g", "client_secret": SECRET});
    let discovery = json!({"service": "auth"});
    let shop = json!({"local_jwks": null, "discovery": discovery, "introspection": introspection});
    shop::open(host, json!({"services": own, "providers": {"shop": shop}}));
    let document = json!({"issuer": shop::ISSUER, "jwks_uri": format!("{}/keys", shop::ISSUER)});
    let (jwt, reference) = (ask(host, &token("alice")), ask(host, REFERENCE));
    for (request, path, accept, reply) in [
        (&jwt, DOCUMENT, KEY_SETS, Reply::ok(document.to_string())),
        // Moved, and followed once.
        (&jwt, "/keys", KEY_SETS, Reply::status(302).header("location", "/keys/now")),
        (&jwt, "/keys/now", KEY_SETS, issuer().jwks()),
        (&jwt, "/users/alice", "application/json", user_reply("alice")),
        (&reference, "/ask", "application/json", active(&json!({"sub": "bob"}))),
        (&reference, "/users/bob", "application/json", user_reply("bob")),
    ] {
        let callout = request.callout();
        assert_eq!(callout.path(), path);
        for (name, value) in [("accept", accept), ("user-agent", AGENT), ("x-tenant", "shop")] {
            assert_eq!(callout.header(name).as_deref(), Some(value), "{path}: {name}");
        }
        callout.answer(reply);
    }
    assert!(jwt.is_forwarded() && reference.is_forwarded(), "{:#?}", host.logs());
});

each_host!(each_issuer_is_asked_in_its_way, |host| {
    const BASIC: &str =
        "Basic Z2F0ZSUyMHdheTppbnRyb3NwZWN0aW9uJTIwc2VjcmV0JTNBJTIwMDEyMzQ1Njc4OQ==";
    const RAW: &str = "Basic Z2F0ZSB3YXk6aW50cm9zcGVjdGlvbiBzZWNyZXQ6IDAxMjM0NTY3ODk=";
    // Each way is a start of its own; this one is there for the end.
    shop::open(host, json!({}));
    let bearer = format!("Bearer {TOKEN}");
    let pair = "&client_id=gate%20way&client_secret=introspection%20secret%3A%200123456789";
    for (auth, authorization, form) in [
        ("basic", Some(BASIC), ""),
        ("basic_raw", Some(RAW), ""),
        ("post", None, pair),
        ("bearer", Some(&*bearer), ""),
    ] {
        let own = Host::new(crate::FILTER, host.engine(), host.profile());
        let host = &own;
        let mut changes = json!({ "client_auth": auth });
        if auth == "bearer" {
            // There it is a token, which has no spaces.
            changes["client_id"] = Value::Null;
            changes["client_secret"] = json!(TOKEN);
        }
        shop::open(host, asking(&changes));
        let request = ask(host, REFERENCE);
        let callout = request.callout();
        assert_eq!(callout.header("authorization").as_deref(), authorization, "{auth}");
        let body = String::from_utf8(callout.body.clone()).unwrap();
        assert_eq!(body, format!("token={REFERENCE}{form}"), "{auth}");
        callout.answer(active(&json!({})));
        assert_eq!(identity(host, &request)["sub"], "alice", "{auth}");
        own.finish();
    }
});

// Keycloak's lightweight tokens say little by themselves.
each_host!(the_issuer_completes_its_own_jwts, |host| {
    shop::open(host, asking(&json!({"jwts": true})));
    let mut light = claims("alice");
    for name in ["sub", "aud", "azp", "scope"] {
        light.as_object_mut().unwrap().remove(name);
    }
    let light = issuer().sign(&light);
    let request = ask(host, &light);
    assert_eq!(request.callout().path(), "/ask");
    request.answer(active(&json!({"scope": "orders"})));
    let minted = identity(host, &request);
    assert_eq!((&minted["sub"], &minted["scope"]), (&json!("alice"), &json!("orders")));
    let request = ask(host, &light);
    request.answer(Reply::ok(r#"{"active":false}"#));
    shop::assert_denied(&request, 401, "token_inactive");
    // Another token's answer is none about this one.
    let request = ask(host, &token("alice"));
    request.answer(active(&json!({"sub": "bob"})));
    shop::assert_denied(&request, 401, "claim_mismatch");
});

each_host!(user_info_that_is_signed_is_verified, |host| {
    shop::open(host, json!({}));
    let said =
        json!({"sub": "alice", "iss": shop::ISSUER, "type": "gold", "address": {"country": "ES"}});
    let reply = |text: String| {
        Reply::status(200).header("content-type", "application/jwt;charset=utf-8").body(text)
    };
    let forged = shop::next_issuer().sign(&said);
    let request = ask(host, &token("alice"));
    request.answer(reply(forged));
    shop::assert_denied(&request, 503, "user_info_unavailable");
    let request = ask(host, &token("alice"));
    request.answer(reply(issuer().sign(&said)));
    assert_eq!(identity(host, &request)["country"], "ES");
    assert_eq!(request.upstream_headers("x-user-country"), ["ES"]);
});

each_host!(a_token_that_cannot_be_used_may_count_as_none, |host| {
    let lenient = json!({"allow_missing": true, "invalid_as_missing": true});
    shop::open(host, plain(&json!({"rules": [{"match": {}, "requires": lenient}]})));
    let mut ended = claims("alice");
    ended["exp"] = json!(shop::START - 3600);
    let forged = shop::next_issuer().sign(&claims("alice"));
    for (case, token) in
        [("ended", issuer().sign(&ended)), ("forged", forged), ("none", "x".to_owned())]
    {
        let request = ask(host, &token);
        assert!(request.is_forwarded(), "{case}: {:?}", request.outcome());
        assert_eq!(request.upstream_headers("x-anonymous-consumer"), ["true"], "{case}");
        for name in ["authorization", "x-identity-token"] {
            assert!(request.upstream_headers(name).iter().all(String::is_empty), "{case}: {name}");
        }
    }
    assert_eq!(identity(host, &ask(host, &token("alice")))["sub"], "alice");
});

// As frameworks write cookies that are too long for one.
each_host!(a_cookie_in_pieces_is_one_token, |host| {
    shop::open(host, plain(&json!({"token": {"from_cookies": ["session"]}})));
    let text = token("alice");
    let (first, rest) = text.split_at(60);
    let (second, third) = rest.split_at(60);
    let whole = format!("session_2={third}; a=b; session={first}; session_1={second}");
    let request = host.send(Head::get("/").header("cookie", &whole));
    assert_eq!(identity(host, &request)["sub"], "alice");
    let sent = request.upstream_headers("cookie").concat();
    assert!(sent.contains("a=b") && !sent.contains("session"), "{sent}");
    for (case, cookie) in [
        ("a piece is missing", format!("session={first}; session_2={third}")),
        ("a piece is there twice", format!("{whole}; session_1={second}")),
        ("the first is missing", format!("session_1={second}; session_2={third}")),
    ] {
        let request = host.send(Head::get("/").header("cookie", &cookie));
        let (status, code) = shop::denial(&request);
        assert!([400, 401].contains(&status), "{case}: {code}");
    }
});

// What to ask of whom is said where people look.
each_host!(what_is_not_as_it_should_be_is_named, |host| {
    shop::open(host, plain(&json!({})));
    for (claim, value, expected) in [
        ("sub", json!(7), "a text"),
        ("exp", json!((shop::START + 300).to_string()), "a number of seconds since 1970"),
        ("iat", json!("yesterday"), "a number of seconds since 1970"),
    ] {
        let mut odd = claims("alice");
        odd[claim] = value;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        let detail = detail(host, &issuer().sign_as(&header, &odd));
        assert!(detail.contains(claim) && detail.contains(expected), "{claim}: {detail}");
    }
});
