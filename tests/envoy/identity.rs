//! What a service behind the gateway receives.

use std::collections::BTreeSet;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::gateway::Setup;
use crate::tokens::alice;
use crate::wire::Request;

const JWKS: &str = "/.well-known/gatepass/jwks.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_receives_an_identity_it_can_verify_and_not_the_public_token() {
    let gateway = Setup::bundled().workers(1).start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    let seen = gateway.get("/orders?page=2", &token).await.seen();

    assert_eq!(seen.path(), "/orders?page=2");
    for (name, expected) in [
        ("x-consumer-id", "5c0c1f6e-8a55-4f0a-9d3f-0f6a2b7c9e11"),
        ("x-consumer-username", "web-app"),
        ("x-consumer-custom-id", "web"),
        ("x-consumer-groups", "first-party"),
        ("x-credential-identifier", "web"),
        ("x-user-country", "ES"),
    ] {
        assert_eq!(seen.values(name), [expected], "{name}");
    }
    assert!(seen.values("x-anonymous-consumer").is_empty());
    assert!(seen.values("authorization").is_empty());
    assert!(!seen.0.to_string().contains(&token));

    // The upstream verified it with jsonwebtoken and the published JWKS alone.
    let identity = seen.identity();
    for (claim, expected) in [
        ("iss", json!("https://gateway.shop.internal")),
        ("aud", json!("shop-services")),
        ("sub", json!("alice")),
        ("azp", json!("web")),
        ("client_id", json!("web")),
        ("scope", json!("orders admin")),
        ("groups", json!(["first-party"])),
        ("country", json!("ES")),
        ("customer_type", json!("premium")),
        ("preferred_username", json!("alice")),
        ("env", json!("demo")),
    ] {
        assert_eq!(identity[claim], expected, "{claim}");
    }
    assert_eq!(identity["consumer"]["username"], "web-app");
    assert_eq!(identity["exp"].as_u64().unwrap() - identity["iat"].as_u64().unwrap(), 300);
    assert!(identity["enrichment"].is_null());

    // Another user from another application.
    let seen = gateway.get("/orders", &gateway.token("carol")).await.seen();
    assert_eq!(seen.identity()["sub"], "carol");
    assert_eq!(seen.values("x-consumer-username"), ["partner-app"]);
    assert_eq!(seen.values("x-user-country"), ["US"]);

    // The service was asked once for each user, whatever the token.
    for _ in 0..5 {
        gateway.get("/orders", &token).await.seen();
        gateway.get("/orders", &gateway.token("alice")).await.seen();
    }
    assert_eq!(gateway.user_calls("alice").await, 1);
    assert_eq!(gateway.user_calls("carol").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jwks_is_public_and_holds_no_private_member() {
    let gateway = Setup::bundled().start_beside_others().await;
    let answer = gateway.send(Request::get(JWKS)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let jwks = answer.json();
    let [key] = &jwks["keys"].as_array().unwrap()[..] else { panic!("{jwks}") };
    let members: Vec<&String> = key.as_object().unwrap().keys().collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);

    let etag = answer.header("etag").expect("an entity tag").to_owned();
    let again = gateway.send(Request::get(JWKS).with("if-none-match", &etag)).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let query = gateway.send(Request::get(&format!("{JWKS}?x=1"))).await;
    assert_eq!(query.body, answer.body);
    let post = Request::new(format!("POST {JWKS} HTTP/1.1")).with("content-length", "0");
    let post = gateway.send(post).await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_open_paths_and_ask_for_scopes() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");

    let login = json!({"username": "alice", "password": "wonderland"});
    gateway.post(gateway.ports.listener, "/login", &login).await;
    let health = gateway.send(Request::get("/health").bearer(&token)).await.seen();
    assert!(health.is_anonymous());
    assert!(health.values("authorization").is_empty(), "bypassed, but not with the token");
    assert_eq!(gateway.get("/admin", &token).await.outcome(), "200");
    let bob = gateway.get("/admin", &gateway.token("bob")).await;
    assert_eq!(bob.outcome(), "403 insufficient_scope");
    assert_eq!(gateway.send(Request::get("/orders")).await.outcome(), "401 token_missing");

    let guest = gateway.send(Request::get("/catalog/shoes")).await.seen();
    assert!(guest.is_anonymous());
    assert_eq!(guest.values("x-anonymous-consumer"), ["true"]);
    assert_eq!(guest.values("x-consumer-username"), ["guest"]);
    let known = gateway.get("/catalog/shoes", &token).await.seen();
    assert_eq!(known.identity()["sub"], "alice");
    assert!(known.values("x-anonymous-consumer").is_empty());
    let bad = gateway.get("/catalog/shoes", "a.b.c").await;
    assert_eq!(bad.outcome(), "401 token_malformed", "a bad token is not a missing one");

    let preflight = Request::new("OPTIONS /orders HTTP/1.1")
        .with("origin", "https://shop.example")
        .with("access-control-request-method", "GET")
        .with("x-consumer-id", "1")
        .bearer(&token);
    let preflight = gateway.send(preflight).await.seen();
    assert!(preflight.is_anonymous());
    assert!(preflight.values("x-consumer-id").is_empty());
    assert!(preflight.values("authorization").is_empty());
}

/// Wherever the token was, the rest of it stays as it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_a_cookie_parameter_or_header_goes_no_further() {
    let sources = "token: {from_headers: [{name: authorization, value_prefix: 'Bearer '}, {name: x-token}], from_cookies: [session], from_params: [access_token]}";
    let gateway = Setup::bundled().replace_block("token:", sources).start_beside_others().await;
    gateway.ready().await;
    let token = &gateway.token("alice");
    let get = Request::get;
    let cookies = format!("a=b; session={token}; c=d");
    for (case, request, path, cookie) in [
        ("header", get("/a?x=1").bearer(token), "/a?x=1", None),
        ("own header", get("/a").with("x-token", token).with("cookie", "a=b"), "/a", Some("a=b")),
        ("cookie", get("/a").with("cookie", &cookies), "/a", Some("a=b; c=d")),
        ("cookie alone", get("/a").with("cookie", format!("session={token}")), "/a", None),
        (
            "cookie in a field of its own",
            get("/a").with("cookie", "a=b").with("cookie", format!("session={token}")),
            "/a",
            Some("a=b"),
        ),
        ("parameter", get(&format!("/a?x=1&access_token={token}&y=2")), "/a?x=1&y=2", None),
        ("parameter alone", get(&format!("/a?access_token={token}")), "/a", None),
        ("parameter, escaped", get(&format!("/a?access%5ftoken={token}&y")), "/a?y", None),
        ("parameter, bypassed", get(&format!("/health?access_token={token}")), "/health", None),
        ("cookie, bypassed", get("/health").with("cookie", &cookies), "/health", Some("a=b; c=d")),
    ] {
        let seen = gateway.send(request).await.seen();
        assert_eq!(seen.path(), path, "{case}");
        assert_eq!(seen.values("cookie"), cookie.as_slice(), "{case}");
        assert!(!seen.0.to_string().contains(token), "{case}");
        if path != "/health" {
            assert_eq!(seen.identity()["sub"], "alice", "{case}");
        }
    }
    for (case, request) in [
        ("header and cookie", get("/a").bearer(token).with("cookie", &cookies)),
        ("cookie twice", get("/a").with("cookie", format!("{cookies}; session=x"))),
        ("parameter twice", get(&format!("/a?access_token={token}&access_token=x"))),
        ("parameter and own header", get(&format!("/a?access_token={token}")).with("x-token", "x")),
    ] {
        assert_eq!(gateway.send(request).await.outcome(), "400 token_multiple", "{case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_token_is_forwarded_on_request_only() {
    let forward = "token: {forward: true}";
    let gateway = Setup::bundled().replace_block("token:", forward).start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    let seen = gateway.get("/orders", &token).await.seen();
    assert_eq!(seen.values("authorization"), [format!("Bearer {token}")]);
    assert_eq!(seen.identity()["sub"], "alice");
}

/// Without consumers, the token and the user's data name the consumer; text
/// that is not ASCII is encoded so that it can be undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_not_ascii_arrive_encoded() {
    let gateway = Setup::bundled()
        .replace_block("consumers:", "consumers: {anonymous: guest}")
        .start_beside_others()
        .await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "non_ascii"})).await;
    let token = gateway.services.auth.sign(&alice(json!({"azp": null, "client_id": null})));
    let seen = gateway.get("/orders", &token).await.seen();
    assert_eq!(seen.values("x-user-country"), ["%C3%96sterreich 100%25"]);
    assert_eq!(seen.identity()["country"], "Österreich 100%");
    assert_eq!(seen.values("x-consumer-username"), ["alice"]);
    assert_eq!(seen.values("x-consumer-custom-id"), ["alice"]);
    assert!(seen.values("x-consumer-id").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_a_transaction_token_of_its_own() {
    let setup = Setup::bundled().workers(1).replace(
        "header: x-identity-token",
        "profile: txn_token\n                      scopes: [orders, admin]",
    );
    let gateway = setup.start_beside_others().await;
    gateway.ready().await;
    let jwks = gateway.send(Request::get(JWKS)).await.json();
    let jwks: JwkSet = serde_json::from_value(jwks).unwrap();
    let token = gateway.token("alice");
    let mut transactions = BTreeSet::new();
    for n in 0..5 {
        let request = Request::get(&format!("/orders/{n}?secret=1")).bearer(&token);
        let seen = gateway.send(request.with("Txn-Token", "forged")).await.seen();
        assert!(seen.values("x-identity-token").is_empty());
        let values = seen.values("txn-token");
        let [text] = values.as_slice() else { panic!("{values:?}") };
        let header = decode_header(text).unwrap();
        assert_eq!(header.typ.as_deref(), Some("txntoken+jwt"));
        let key = DecodingKey::from_jwk(jwks.find(header.kid.as_deref().unwrap()).unwrap());
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&["shop-services"]);
        let claims = decode::<Value>(text, &key.unwrap(), &validation).unwrap().claims;
        assert_eq!(claims["sub"], "alice");
        assert_eq!(claims["req_wl"], "https://gateway.shop.internal");
        assert_eq!(claims["tctx"]["country"], "ES");
        let context = &claims["rctx"];
        assert_eq!(context["path"], format!("/orders/{n}"));
        assert_eq!((&context["method"], &context["req_ip"]), (&json!("GET"), &json!("127.0.0.1")));
        assert_eq!(context["request_id"].as_str().map(str::len), Some(36), "Envoy's: {context}");
        transactions.insert(claims["txn"].as_str().unwrap().to_owned());
    }
    assert_eq!(transactions.len(), 5);
    assert_eq!(gateway.user_calls("alice").await, 1, "only the token is new each time");
}
