//! Resources, identities by resource and rule, and transaction tokens that are replaced:
//! what clients and services see of them.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup};
use crate::tokens::alice;
use crate::wire::Request;

const JWKS: &str = "/.well-known/gatepass/jwks.json";
const METADATA: &str = "/.well-known/oauth-protected-resource/orders";

pub async fn claims(gateway: &Gateway, text: &str, audience: &str) -> Value {
    let jwks = gateway.send(Request::get(JWKS)).await.json();
    let jwks: JwkSet = serde_json::from_value(jwks).unwrap();
    let header = decode_header(text).unwrap();
    let key = DecodingKey::from_jwk(jwks.find(header.kid.as_deref().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    decode::<Value>(text, &key, &validation).unwrap().claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_is_found_and_has_an_identity_of_its_own() {
    let resources = "resources:\n                    - resource: https://shop.example/orders\n                      \
         scopes: [orders]\n                      identity: {header: {name: authorization, value_prefix: \
         \"Bearer \"}, audiences: [shop-orders], scopes: [orders], claims: []}\n                    rules:";
    let gateway = Setup::bundled()
        .replace("                    rules:", &format!("                    {resources}"))
        .replace(
            "jwks_path: /.well-known/gatepass/jwks.json",
            "jwks_path: /.well-known/gatepass/jwks.json\n                      pem_path: \
             /.well-known/gatepass/keys.pem\n                      discovery_path: \
             /.well-known/openid-configuration",
        )
        .start_beside_others()
        .await;
    gateway.ready().await;
    let answer = gateway.send(Request::new(format!("GET {METADATA} HTTP/1.1"))).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document = answer.json();
    assert_eq!(document["resource"], "https://shop.example/orders");
    assert_eq!(document["authorization_servers"], json!(["https://auth.shop.example"]));
    let preflight = Request::new(format!("OPTIONS {METADATA} HTTP/1.1"));
    let preflight = preflight.with("Origin", "https://a.example");
    let preflight = preflight.with("Access-Control-Request-Method", "GET");
    assert_eq!(gateway.send(preflight).await.status, 204);

    let denied = gateway.send(Request::new("GET /orders/7 HTTP/1.1")).await;
    assert_eq!(denied.outcome(), "401 token_missing");
    assert_eq!(
        denied.header("www-authenticate"),
        Some(
            "Bearer realm=\"shop\", scope=\"orders\", \
             resource_metadata=\"https://shop.example/.well-known/oauth-protected-resource/orders\""
        )
    );
    // A token for the rest of the host is none for it, and the other way round.
    let auth = &gateway.services.auth;
    let own = auth.sign(&alice(json!({"aud": "https://shop.example/orders"})));
    let other = gateway.token("alice");
    let to = |line: &str, token: &str| gateway.send(Request::new(line).bearer(token));
    assert_eq!(to("GET /orders HTTP/1.1", &other).await.outcome(), "401 audience_mismatch");
    assert_eq!(to("GET /basket HTTP/1.1", &own).await.outcome(), "401 audience_mismatch");
    let seen = to("GET /orders HTTP/1.1", &own).await.seen();
    assert!(seen.values("x-identity-token").is_empty());
    let [value] = seen.values("authorization")[..] else { panic!("one: {:?}", seen.names()) };
    let text = value.strip_prefix("Bearer ").unwrap();
    let claims = claims(&gateway, text, "shop-orders").await;
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("alice"), &json!("orders")));
    assert!(claims["country"].is_null() && claims["env"].is_null(), "{claims}");

    let server = "GET /.well-known/openid-configuration HTTP/1.1";
    assert_eq!(gateway.send(Request::new(server)).await.status, 404, "of no resource");
    let own = gateway.send(Request::bare(server).with("host", "gateway.shop.internal")).await;
    let own = own.json();
    assert_eq!(own["jwks_uri"], format!("https://gateway.shop.internal{JWKS}"));
    let pem = gateway.send(Request::get("/.well-known/gatepass/keys.pem")).await.json();
    let pem = pem.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");
}

/// The shop with transaction tokens, which services in `from` may give back.
pub fn transactions(from: &str) -> Setup {
    let profile = format!(
        "profile: txn_token\n                      scopes: [orders, admin]\n                      replace: \
         {{from: [\"{from}\"]}}"
    );
    Setup::bundled().replace("header: x-identity-token", &profile).replace(
        "- {match: {path_prefix: /admin}",
        "- {match: {path_prefix: /basket}, identity: {scopes: [orders]}}\n                    - \
         {match: {path_prefix: /admin}",
    )
}

async fn trusting(from: &str) -> Gateway {
    let gateway = transactions(from).start_beside_others().await;
    gateway.ready().await;
    gateway
}

async fn begun(gateway: &Gateway) -> String {
    let seen = gateway.get("/orders/7", &gateway.token("alice")).await.seen();
    seen.values("txn-token")[0].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_inside_gives_its_transaction_token_back() {
    let gateway = trusting("127.0.0.0/8").await;
    let first = begun(&gateway).await;
    let calls = gateway.user_calls("alice").await;
    let seen = gateway.send(Request::get("/basket").with("Txn-Token", &first)).await.seen();
    let [second] = seen.values("txn-token")[..] else { panic!("one: {:?}", seen.names()) };
    assert_ne!(first, second);
    let before = claims(&gateway, &first, "shop-services").await;
    let after = claims(&gateway, second, "shop-services").await;
    for name in ["txn", "sub", "aud", "client_id", "tctx"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert_eq!((&before["scope"], &after["scope"]), (&json!("orders admin"), &json!("orders")));
    assert!(after["exp"].as_i64() <= before["exp"].as_i64());
    assert_eq!(after["rctx"]["chain"], json!(["https://gateway.shop.internal"]));
    assert_eq!(after["rctx"]["path"], "/orders/7");
    assert_eq!(seen.values("x-consumer-username"), ["web-app"]);
    assert_eq!(seen.values("x-user-country"), ["ES"]);
    assert_eq!(gateway.user_calls("alice").await, calls, "nobody is asked again");
    // It is narrower now, and stays so.
    let denied = gateway.send(Request::get("/admin").with("Txn-Token", second)).await;
    assert_eq!(denied.outcome(), "403 insufficient_scope");
    let both = Request::get("/basket").with("Txn-Token", &first).bearer(&gateway.token("alice"));
    assert_eq!(gateway.send(both).await.outcome(), "400 token_multiple");
    let twice = Request::get("/basket").with("Txn-Token", &first).with("Txn-Token", second);
    assert_eq!(gateway.send(twice).await.outcome(), "400 token_multiple");
    let (start, end) = first.rsplit_once('.').unwrap();
    let forged = format!("{start}.{}", end.chars().rev().collect::<String>());
    let denied = gateway.send(Request::get("/basket").with("Txn-Token", forged)).await;
    assert_eq!(denied.status, 401, "{denied}");
}

/// The address is that of the connection, whatever a client says of where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_does() {
    let gateway = trusting("10.0.0.0/8").await;
    let first = begun(&gateway).await;
    for (name, value) in [
        ("X-Other", "a"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("X-Envoy-External-Address", "10.0.0.1"),
        ("Forwarded", "for=10.0.0.1"),
    ] {
        let request = Request::get("/basket").with("Txn-Token", &first).with(name, value);
        assert_eq!(gateway.send(request).await.outcome(), "401 token_missing", "{name}");
    }
    let open = Request::get("/catalog").with("Txn-Token", &first);
    assert!(gateway.send(open).await.seen().values("txn-token").is_empty());
}
