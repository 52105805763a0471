//! A client that holds only a reference, and services that get the identity.

use serde_json::json;

use crate::gateway::{Gateway, Setup};
use crate::stack::auth::Auth;
use crate::token_service::TokenService;
use crate::wire::hold;

const REFERENCE: &str = "ref_4Yt0mZb1kQ";

async fn start(service: &TokenService) -> Gateway {
    Setup::bundled()
        .workers(1)
        .service("tokens", service.port)
        .provider_field(
            "introspection: {service: tokens, path: /introspect, client_id: gateway, \
             client_secret: introspection-secret-0123456789, cache: {ttl_seconds: 2}}",
        )
        .secret("introspection-secret-0123456789")
        .secret(REFERENCE)
        .start_beside_others()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_holds_a_reference_and_the_upstream_gets_the_identity() {
    let service = TokenService::start().await;
    let gateway = start(&service).await;
    service.issue(REFERENCE, Auth::claims("alice").unwrap());
    for _ in 0..10 {
        let answer = gateway.get("/orders", REFERENCE).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.seen().identity()["sub"], "alice");
        assert!(!answer.to_string().contains(REFERENCE), "the upstream saw it: {answer}");
    }
    assert_eq!(service.introspections(), 1);
    let gateway_is = "Basic Z2F0ZXdheTppbnRyb3NwZWN0aW9uLXNlY3JldC0wMTIzNDU2Nzg5";
    assert_eq!(service.authorizations(), [gateway_is]);
    gateway.assert_serves("a reference").await;

    service.forget_all();
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let answer = gateway.get("/orders", REFERENCE).await;
    assert_eq!(answer.outcome(), "401 token_inactive", "as soon as the answer is old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_that_nobody_issued_or_that_are_for_others() {
    let service = TokenService::start().await;
    let gateway = start(&service).await;
    let mut others = Auth::claims("alice").unwrap();
    others["aud"] = json!("bank");
    service.issue("ref_for_the_bank", others);
    for (reference, expected) in
        [("ref_nobody_knows", "401 token_inactive"), ("ref_for_the_bank", "401 audience_mismatch")]
    {
        for _ in 0..3 {
            assert_eq!(gateway.get("/orders", reference).await.outcome(), expected);
        }
    }
    assert_eq!(service.introspections(), 2, "refusals are kept for a while");
    let port = service.port;
    drop(service);
    let _silent = hold(port).await;
    let answer = gateway.get("/orders", "ref_while_the_issuer_is_down").await;
    assert_eq!(answer.outcome(), "503 introspection_unavailable");
}
