//! The profile `txn_token`: a token for each request, as another implementation
//! reads it.

use std::collections::BTreeSet;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use crate::host::{Head, Host, Request, each_host};
use crate::shop::{
    self, GATEWAY, JWKS_PATH, ask, assert_denied, issuer, served, token, user_reply,
};

const DOMAIN: &str = "shop.internal";

fn open(host: &Host, mut patch: Value) {
    let identity = &mut patch["identity_token"];
    identity["profile"] = json!("txn_token");
    identity["audiences"] = json!([DOMAIN]);
    identity["scopes"] = json!(["orders", "admin"]);
    host.set_property(
        "source.address",
        if host.is_kong() { "192.0.2.7" } else { "192.0.2.7:5000" },
    );
    shop::open(host, patch);
}

/// The claims of the one transaction token that the upstream received.
#[track_caller]
fn transaction(host: &Host, request: &Request) -> Value {
    let tokens = request.upstream_headers("txn-token");
    let [token] = tokens.as_slice() else { panic!("{} transaction tokens", tokens.len()) };
    let served = host.send(Head::get(JWKS_PATH)).reply();
    let keys: JwkSet = serde_json::from_slice(&served.body).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("txntoken+jwt"));
    let key = keys.find(header.kid.as_deref().unwrap()).expect("a published key");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[DOMAIN]);
    // The fake host has a clock of its own.
    validation.validate_exp = false;
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    let key = DecodingKey::from_jwk(key).unwrap();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    assert_eq!(claims["aud"], DOMAIN, "one trust domain");
    assert!(claims["iat"].as_u64().unwrap() <= host.now());
    assert!(claims["exp"].as_u64().unwrap() > host.now());
    claims
}

fn get(token: &str, path: &str) -> Head {
    Head::get(path).header("authorization", &format!("Bearer {token}"))
}

each_host!(a_service_receives_a_transaction_token, as built too, |host| {
    open(host, json!({ "identity_token": { "req_wl": "apigateway.shop.internal" } }));
    let token = token("alice");
    let head = get(&token, "/orders/7?access=secret").method("POST").header("x-request-id", "r-1");
    let request = host.send(head);
    request.answer(user_reply("alice"));
    let mut claims = transaction(host, &request);
    assert!(request.upstream_headers("x-identity-token").is_empty());
    let id = claims["rctx"]["request_id"].take();
    assert_eq!(id == "r-1", !host.is_kong(), "Kong has an id of its own: {id}");
    let expected = [
        ("iss", json!(GATEWAY)),
        ("sub", json!("alice")),
        ("scope", json!("orders")),
        ("client_id", json!("web")),
        ("req_wl", json!("apigateway.shop.internal")),
        (
            "rctx",
            json!({
                "method": "POST", "path": "/orders/7", "req_ip": "192.0.2.7", "request_id": null,
            }),
        ),
        (
            "tctx",
            json!({
                "country": "NL", "customer_type": "gold", "azp": "web", "env": "prod",
                "groups": ["first-party", "eu"],
                "consumer": { "id": "5c0c", "username": "web-app", "custom_id": "web-1" },
            }),
        ),
    ];
    for (claim, expected) in &expected {
        assert_eq!(claims[claim], *expected, "{claim}");
    }
    let known: BTreeSet<&str> = expected.iter().map(|(claim, _)| *claim).collect();
    let known: BTreeSet<&str> =
        known.into_iter().chain(["aud", "txn", "iat", "nbf", "exp"]).collect();
    let names: BTreeSet<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, known, "and no jti");
    // The other headers are those of any profile.
    assert_eq!(request.upstream_headers("x-user-country"), ["NL"]);
    assert_eq!(request.upstream_headers("x-consumer-id"), ["5c0c"]);
    assert!(!claims.to_string().contains("secret"));
});

// Whoever repeats token and request id gets another transaction all the same.
each_host!(no_two_requests_are_one_transaction, |host| {
    open(host, json!({}));
    let token = token("alice");
    let send = || {
        let request = host.send(get(&token, "/").header("x-request-id", "same"));
        if request.is_paused() {
            request.answer(user_reply("alice"));
        }
        transaction(host, &request)["txn"].as_str().unwrap().to_owned()
    };
    let seen: BTreeSet<String> = (0..20).map(|_| send()).collect();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|txn| txn.len() == 22), "128 bits: {seen:?}");
    host.tick();
    assert_eq!(host.metric("gatepass_minted_total"), 20, "signed each time");
    assert_eq!(host.metric("gatepass_fetches_total.service.users.result.2xx"), 1);
    assert_eq!(host.metric("gatepass_cache_hits_total.cache.token"), 19);
});

each_host!(waiting_requests_have_their_own_circumstances, |host| {
    open(host, json!({}));
    let token = token("alice");
    let requests = ["/a", "/b"].map(|path| (path, host.send(get(&token, path))));
    for (_, request) in &requests {
        for callout in request.callouts() {
            callout.answer(user_reply("alice"));
        }
    }
    let transactions = requests.map(|(path, request)| {
        let claims = transaction(host, &request);
        assert_eq!(claims["rctx"]["path"], path);
        claims["txn"].clone()
    });
    assert_ne!(transactions[0], transactions[1]);
});

each_host!(a_transaction_token_from_outside_never_arrives, |host| {
    open(host, json!({}));
    let mine = served(host, "alice").upstream_headers("txn-token").remove(0);
    let own = format!("Bearer {}", token("bob"));
    for path in ["/", "/login", "/catalog"] {
        let head = Head::get(path).header("Txn-Token", &mine);
        let head = if path == "/" { head.header("authorization", &own) } else { head };
        let request = host.send(head);
        if request.is_paused() {
            request.answer(user_reply("bob"));
        }
        let values = request.upstream_headers("txn-token");
        assert!(!values.contains(&mine), "{path}");
        if path == "/" {
            assert_eq!(transaction(host, &request)["sub"], "bob");
        }
    }
    // Nor does one count as a token of the public.
    assert_denied(&ask(host, &mine), 401, "issuer_unknown");
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.typ = Some("txntoken+jwt".to_owned());
    let typed = issuer().sign_as(&header, &shop::claims("alice"));
    assert_denied(&ask(host, &typed), 401, "token_type_mismatch");
});

// Without the profile as well: it is never one of the gateway's.
each_host!(a_transaction_token_is_removed_with_any_profile, |host| {
    shop::open(host, json!({}));
    for path in ["/login", "/catalog"] {
        let request = host.send(Head::get(path).header("txn-token", "forged"));
        let left: &[&str] = if host.is_kong() { &[""] } else { &[] };
        assert_eq!(request.upstream_headers("txn-token"), left, "{path}");
    }
});

each_host!(odd_circumstances_are_left_out, |host| {
    open(host, json!({ "user_info": null, "claim_to_headers": null, "rules": null }));
    host.set_property("source.address", "/run/socket");
    let token = token("alice");
    let long = format!("/{}", "x".repeat(2000));
    let claims = transaction(host, &host.send(get(&token, &long)));
    assert_eq!((&claims["rctx"]["path"], &claims["rctx"]["req_ip"]), (&Value::Null, &Value::Null));
    assert_eq!(claims["rctx"]["method"], "GET");
    assert_eq!(claims["req_wl"], GATEWAY, "the gateway by its issuer");
    let bytes = get(&token, "/").raw_header(":path", b"/\xff");
    let claims = transaction(host, &host.send(bytes));
    assert_eq!(claims["rctx"]["path"], Value::Null);
});

each_host!(the_access_log_finds_the_transaction, |host| {
    open(host, json!({ "access_log": { "properties": true } }));
    let request = served(host, "alice");
    let name = if host.is_kong() { "kong.ctx.shared.gatepass_txn" } else { "gatepass.txn" };
    let noted = request.property(name);
    assert_eq!(noted.as_deref(), transaction(host, &request)["txn"].as_str());
});
