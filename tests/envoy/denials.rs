//! How a denial looks on the wire.

use serde_json::json;

use crate::gateway::Setup;
use crate::revocation::admin;
use crate::tokens::alice;
use crate::wire::Request;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_says_why_in_the_form_of_its_rfc() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("bob");
    let unknown = gateway.services.auth.sign(&alice(json!({"sub": "mallory"})));
    let description = |text: &str, error: &str| {
        format!(r#"Bearer realm="shop", error="{error}", error_description="{text}""#)
    };
    for (request, status, code, challenge) in [
        (Request::get("/orders"), 401, "token_missing", Some(r#"Bearer realm="shop""#.to_owned())),
        (
            Request::get("/orders").bearer("a.b.c"),
            401,
            "token_malformed",
            Some(description("The token is not accepted", "invalid_token")),
        ),
        (
            Request::get("/orders").bearer(&token).bearer(&token),
            400,
            "token_multiple",
            Some(description("The request is ambiguous", "invalid_request")),
        ),
        (
            Request::get("/admin").bearer(&token),
            403,
            "insufficient_scope",
            Some(
                description("The token lacks a scope", "insufficient_scope") + r#", scope="admin""#,
            ),
        ),
        (Request::get("/orders").bearer(&unknown), 403, "user_unknown", None),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, status, "{code}: {answer}");
        assert_eq!(answer.header("www-authenticate"), challenge.as_deref(), "{code}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{code}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{code}");
        assert_eq!(answer.header("retry-after"), None, "{code}");
        let problem = answer.json();
        let members: Vec<&String> = problem.as_object().unwrap().keys().collect();
        assert_eq!(members, ["code", "detail", "status", "title"], "{code}");
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
    }

    gateway.users_fault(json!({"kind": "down"})).await;
    let answer = gateway.get("/orders", &gateway.token("alice")).await;
    assert_eq!(answer.outcome(), "503 user_info_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_is_denied_with_a_grpc_status() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let call = |path: &str, kind: &str| {
        Request::new(format!("POST {path} HTTP/1.1"))
            .with("content-type", kind)
            .with("te", "trailers")
            .with("content-length", "0")
    };
    let bob = gateway.token("bob");
    let grpc = "application/grpc";
    for (case, request, status, message) in [
        ("no token", call("/shop.Orders/List", grpc), "16", "token_missing"),
        ("a subtype", call("/shop.Orders/List", "application/grpc+proto"), "16", "token_missing"),
        ("a bad token", call("/shop.Orders/List", grpc).bearer("a.b.c"), "16", "token_malformed"),
        ("no scope", call("/admin/x", grpc).bearer(&bob), "7", "insufficient_scope"),
        ("two tokens", call("/a/b", grpc).bearer(&bob).bearer(&bob), "3", "token_multiple"),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 200, "{case}: {answer}");
        assert_eq!(answer.header("grpc-status"), Some(status), "{case}: {answer}");
        assert_eq!(answer.header("grpc-message"), Some(message), "{case}");
        assert_eq!(answer.header("content-type"), Some(grpc), "{case}");
        assert_eq!(answer.body, b"", "{case}: trailers only");
    }
    gateway.users_fault(json!({"kind": "down"})).await;
    let answer = gateway.send(call("/a/b", grpc).bearer(&gateway.token("alice"))).await;
    assert_eq!(answer.header("grpc-status"), Some("14"));

    // A namesake of gRPC is none.
    let answer = gateway.send(call("/a/b", "application/grpcx")).await;
    assert_eq!(answer.outcome(), "401 token_missing");
}

/// Envoy answers every gRPC call with 200: what became of it must be in its status, also
/// where the gateway itself is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_of_the_gateway_itself_learns_what_became_of_it() {
    const LOGOUT: &str = "/.well-known/gatepass/backchannel-logout";
    const JWKS: &str = "/.well-known/gatepass/jwks.json";
    const REVOCATIONS: &str = "/.well-known/gatepass/revocations";
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let call = |line: &str| {
        Request::new(format!("{line} HTTP/1.1")).with("content-type", "application/grpc")
    };
    let post = |path: &str| call(&format!("POST {path}"));
    let admin = admin(&gateway);
    // Other tests are served by this Envoy too.
    let id = format!("of-a-grpc-call-{}", gateway.ports.listener);
    let token = gateway.services.auth.sign(&alice(json!({"jti": id})));
    assert_eq!(gateway.get("/orders", &token).await.status, 200);
    let revocation = &json!({"entries": [{"jti": id}]}).to_string();
    for (case, request, status) in [
        ("a key set", call(&format!("GET {JWKS}")), "0"),
        ("another method", post(JWKS).with("content-length", "0"), "2"),
        ("no logout token", post(LOGOUT).with_body("logout_token=x"), "13"),
        ("a logout that is cut off", post(LOGOUT).with("content-length", "0"), "13"),
        ("another method of it", call(&format!("GET {LOGOUT}")), "2"),
        ("nobody's revocation", post(REVOCATIONS).with_body(revocation), "16"),
        ("a revocation", post(REVOCATIONS).bearer(&admin).with_body(revocation), "0"),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 200, "{case}: {answer}");
        let said = answer.headers.iter().filter(|(name, _)| name == "grpc-status");
        let said: Vec<_> = said.map(|(_, value)| value.as_str()).collect();
        assert_eq!(said, [status], "{case}: {answer}");
        assert_eq!(answer.header("content-type"), Some("application/grpc"), "{case}: {answer}");
    }
    assert_eq!(gateway.get("/orders", &token).await.outcome(), "401 token_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_sent_to_the_login_page_and_an_api_client_is_not() {
    let errors =
        "errors: {realm: shop, format: kong, login_redirect: {to: /signin, return_to_param: back}}";
    let gateway = Setup::bundled().replace_block("errors:", errors).start_beside_others().await;
    gateway.ready().await;
    let page = |path: &str| Request::get(path).with("accept", "text/html,*/*");
    for (case, request, location) in [
        ("no token", page("/orders?page=2"), "/signin?back=%2Forders%3Fpage%3D2"),
        ("a bad token", page("/").bearer("a.b.c"), "/signin?back=%2F"),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 302, "{case}: {answer}");
        assert_eq!(answer.header("location"), Some(location), "{case}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
    }
    let answer = gateway.send(Request::get("/orders")).await;
    assert_eq!((answer.status, answer.json()), (401, json!({"message": "Unauthorized"})));
    let answer = gateway.send(page("/admin").bearer(&gateway.token("bob"))).await;
    assert_eq!(answer.status, 403, "logging in would not help");
}
