//! Resources, identities by resource, and transaction tokens that are replaced, behind the
//! plugin for Kong.

use serde_json::{Value, json};

use crate::nginx::{Nginx, Setup};
use crate::stack::auth::Auth;
use crate::wire::Request;

const METADATA: &str = "/.well-known/oauth-protected-resource/orders";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_is_found_and_has_an_identity_of_its_own() {
    let resources = json!([{
        "resource": "https://shop.example/orders", "scopes": ["orders"],
        "identity": {"header": {"name": "authorization", "value_prefix": "Bearer "},
            "audiences": ["shop-orders"], "scopes": ["orders"], "claims": []},
    }]);
    let nginx = Setup::bundled()
        .set("/resources", resources)
        .set("/identity_token/discovery_path", json!("/.well-known/openid-configuration"))
        .start()
        .await;
    nginx.ready().await;
    let answer = nginx.send(Request::get(METADATA)).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.json()["resource"], "https://shop.example/orders");
    let preflight = Request::new(format!("OPTIONS {METADATA} HTTP/1.1"));
    assert_eq!(nginx.send(preflight).await.status, 204);
    let denied = nginx.send(Request::get("/orders/7")).await;
    assert_eq!(denied.outcome(), "401 token_missing");
    let challenge = denied.header("www-authenticate").unwrap();
    let metadata = "resource_metadata=\"https://shop.example/.well-known/oauth-protected-resource";
    assert!(challenge.contains(metadata) && challenge.contains("scope=\"orders\""), "{challenge}");

    let mut claims = Auth::claims("alice").unwrap();
    claims["aud"] = json!("https://shop.example/orders");
    let own = nginx.auth.sign(&claims);
    let other = nginx.token("alice");
    assert_eq!(nginx.get("/orders", &other).await.outcome(), "401 audience_mismatch");
    assert_eq!(nginx.get("/basket", &own).await.outcome(), "401 audience_mismatch");
    let seen = nginx.get("/orders", &own).await.seen();
    let [value] = seen.values("authorization")[..] else { panic!("{:?}", seen.names()) };
    let claims = unverified(value.strip_prefix("Bearer ").unwrap());
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!("shop-orders"), &json!("orders")));
    assert!(claims["country"].is_null(), "{claims}");
    let server = "GET /.well-known/openid-configuration HTTP/1.1";
    assert_eq!(nginx.send(Request::new(server)).await.status, 404, "of no resource");
    let own = Request::bare(server).with("host", "gateway.shop.internal");
    assert_eq!(nginx.send(own).await.json()["issuer"], "https://gateway.shop.internal");
}

fn unverified(token: &str) -> Value {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL.decode(payload).unwrap()).unwrap()
}

async fn transactions(from: &str) -> Nginx {
    let nginx = Setup::bundled()
        .set("/identity_token/header", Value::Null)
        .set("/identity_token/profile", json!("txn_token"))
        .set("/identity_token/scopes", json!(["orders", "admin"]))
        .set("/identity_token/replace", json!({"from": [from]}))
        .set(
            "/rules",
            json!([
                {"match": {"path_prefix": "/basket"}, "identity": {"scopes": ["orders"]}},
                {"match": {"path_prefix": "/admin"}, "requires": {"scopes_all": ["admin"]}},
            ]),
        )
        .start()
        .await;
    nginx.ready().await;
    nginx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_beside_each_other_keep_the_address_of_their_clients() {
    let nginx = transactions("127.0.0.0/8").await;
    nginx.users_fault(json!({"kind": "slow", "delay_ms": 400})).await;
    let tokens = ["alice", "bob"].map(|name| nginx.token(name));
    let [alice, bob] = &tokens;
    let answers = tokio::join!(nginx.get("/orders/7", alice), nginx.get("/orders/7", bob));
    for answer in [answers.0, answers.1] {
        let claims = unverified(answer.seen().values("txn-token")[0]);
        assert_eq!(claims["rctx"]["req_ip"], "127.0.0.1", "{claims}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_inside_gives_its_transaction_token_back() {
    let nginx = transactions("127.0.0.0/8").await;
    let seen = nginx.get("/orders/7", &nginx.token("alice")).await.seen();
    let first = seen.values("txn-token")[0].to_owned();
    let seen = nginx.send(Request::get("/basket").with("Txn-Token", &first)).await.seen();
    let [second] = seen.values("txn-token")[..] else { panic!("{:?}", seen.names()) };
    let (before, after) = (unverified(&first), unverified(second));
    for name in ["txn", "sub", "aud", "tctx"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert_eq!(after["scope"], "orders");
    assert_eq!(after["rctx"]["chain"], json!(["https://gateway.shop.internal"]));
    let denied = nginx.send(Request::get("/admin").with("Txn-Token", second)).await;
    assert_eq!(denied.outcome(), "403 insufficient_scope");
    let nginx = transactions("10.0.0.0/8").await;
    let forwarded = Request::get("/basket").with("Txn-Token", &first);
    let forwarded = forwarded.with("X-Forwarded-For", "10.0.0.1");
    assert_eq!(nginx.send(forwarded).await.outcome(), "401 token_missing");
}
