//! How a denial looks from outside, and the gateway's own answers.

use serde_json::{Value, json};

use crate::host::{Head, Host, Reply, Request, each_host};
use crate::shop::{self, ask, assert_denied, bearer, issuer, next_issuer, token};

fn challenge(request: &Request) -> Option<String> {
    request.reply().header("www-authenticate")
}

each_host!(a_missing_token_is_401_with_a_bare_challenge, |host| {
    shop::open(host, json!({}));
    let request = host.request([]);
    assert_denied(&request, 401, "token_missing");
    assert_eq!(challenge(&request).as_deref(), Some("Bearer realm=\"shop\""));
    assert!(host.logged("\"code\":\"token_missing\""));
});

each_host!(a_token_that_is_not_valid_is_401, |host| {
    shop::open(host, json!({}));
    let with = |name: &str, value: Value| {
        let mut claims = shop::claims("alice");
        claims[name] = value;
        issuer().sign(&claims)
    };
    let flipped = {
        let mut token = token("alice").into_bytes();
        let last = token.len() - 10;
        token[last] = if token[last] == b'A' { b'B' } else { b'A' };
        String::from_utf8(token).unwrap()
    };
    for (code, token) in [
        ("token_malformed", "not.a.token".to_owned()),
        ("signature_invalid", flipped),
        ("key_unknown", next_issuer().sign(&shop::claims("alice"))),
        ("issuer_unknown", with("iss", json!("https://evil.example"))),
        ("audience_mismatch", with("aud", json!("other"))),
        ("token_expired", with("exp", json!(shop::START - 61))),
        ("token_not_yet_valid", with("nbf", json!(shop::START + 61))),
        ("consumer_unknown", with("azp", json!("unheard-of"))),
        ("claim_missing", with("sub", json!(""))),
    ] {
        let request = ask(host, &token);
        assert_eq!(shop::denial(&request), (401, code.to_owned()));
        let challenge = challenge(&request).unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    assert!(host.callouts().is_empty(), "nobody is asked about them");
});

each_host!(an_identity_token_is_no_public_token, |host| {
    shop::open(host, json!({}));
    let request = shop::served(host, "alice");
    let identity = request.upstream_headers("x-identity-token").remove(0);
    assert_denied(&ask(host, &identity), 401, "issuer_unknown");
});

each_host!(a_missing_scope_is_403_before_any_callout, |host| {
    shop::open(host, json!({}));
    let request = host.send(Head::get("/admin").header("authorization", &bearer("alice")));
    assert_denied(&request, 403, "insufficient_scope");
    let challenge = challenge(&request).unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"admin\"")
    );
    assert!(host.callouts().is_empty());
});

each_host!(denials_in_the_words_of_kongs_plugin, |host| {
    shop::open(host, json!({ "errors": { "format": "kong" } }));
    let reply = host.request([]).reply();
    assert_eq!(reply.status, 401);
    assert_eq!(reply.text().trim_end(), r#"{"message":"Unauthorized"}"#);
    assert_eq!(reply.header("content-type").as_deref(), Some("application/json; charset=utf-8"));
});

each_host!(a_person_is_sent_to_the_login_page, |host| {
    shop::open(host, json!({ "errors": { "login_redirect": { "to": "/login" } } }));
    let page = Head::get("/orders?a=1%2F2").header("accept", "text/html,*/*");
    let reply = host.send(page.clone()).reply();
    assert_eq!(reply.status, 302);
    assert_eq!(
        reply.header("location").as_deref(),
        Some("/login?return_to=%2Forders%3Fa%3D1%252F2")
    );
    assert_denied(&host.send(page.method("POST")), 401, "token_missing");
});

/// What a gRPC client reads. Its HTTP status is 200: Envoy makes it that, and
/// needs the denial's own for the filters that are before this one.
#[track_caller]
fn assert_grpc(host: &Host, request: &Request, status: u16, code: i32, message: &str) {
    let reply = request.reply();
    assert_eq!(reply.status, if host.is_kong() { 200 } else { status });
    assert_eq!(reply.header("grpc-status"), Some(code.to_string()));
    assert_eq!(reply.header("grpc-message").as_deref(), Some(message));
    assert_eq!(reply.header("content-type").as_deref(), Some("application/grpc"));
    assert!(reply.body.is_empty());
}

each_host!(a_grpc_call_gets_a_grpc_status, as built too, |host| {
    shop::open(host, json!({}));
    let call = |path: &str| {
        Head::get(path).method("POST").header("content-type", "application/grpc+proto")
    };
    assert_grpc(host, &host.send(call("/shop.Orders/List")), 401, 16, "token_missing");
    let request = host.send(call("/admin").header("authorization", &bearer("alice")));
    assert_grpc(host, &request, 403, 7, "insufficient_scope");
    let request = host.send(call("/shop.Orders/List").header("authorization", &bearer("alice")));
    request.answer(Reply::failed());
    assert_grpc(host, &request, 503, 14, "user_info_unavailable");
    assert_grpc(host, &host.send(call("/a//b")), 400, 3, "path_ambiguous");
});

each_host!(the_published_keys_need_no_token, as built too, |host| {
    shop::open(host, json!({}));
    let reply = host.send(Head::get(shop::JWKS_PATH)).reply();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("cache-control").as_deref(), Some("public, max-age=300"));
    assert_eq!(reply.header("content-type").as_deref(), Some("application/jwk-set+json"));
    let document: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(document["keys"][0]["kty"], "EC");
    assert_eq!(document["keys"][0].get("d"), None, "no private member");
    let etag = reply.header("etag").unwrap();
    let get = || Head::get(shop::JWKS_PATH);
    let cached = host.send(get().header("if-none-match", &etag)).reply();
    assert_eq!((cached.status, cached.body.len()), (304, 0));
    assert_eq!(host.send(get().method("POST")).reply().status, 405);
    assert_eq!(host.send(get().method("HEAD")).reply().status, 200);
});

each_host!(keys_are_published_before_they_sign_and_until_their_last_token_ends, |host| {
    let key = |kid: &str, from: u64, until: Option<u64>| {
        json!({ "algorithm": "ES256", "private_key": { "env": "SCENARIO_SIGNING_KEY" }, "kid": kid,
            "sign_from": shop::START + from, "retire_at": until.map(|at| shop::START + at) })
    };
    let keys = json!([key("a", 0, Some(400)), key("b", 200, None)]);
    shop::open(host, json!({ "identity_token": { "signing_keys": keys } }));
    let published = || {
        let reply = host.send(Head::get(shop::JWKS_PATH)).reply();
        let document: Value = serde_json::from_slice(&reply.body).unwrap();
        let keys = document["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(published(), ["a", "b"]);
    let public = issuer().sign(&shop::claims("alice"));
    let signs = || {
        let request = ask(host, &public);
        if request.is_paused() {
            request.answer(shop::user_reply("alice"));
        }
        let token = request.upstream_headers("x-identity-token").remove(0);
        jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
    };
    assert_eq!(signs(), "a");
    host.set_now(shop::START + 400);
    assert_eq!(signs(), "b");
    assert_eq!(published(), ["a", "b"], "what a signed last is valid for a while");
    host.set_now(shop::START + 400 + 300);
    assert_eq!(published(), ["b"]);
});
