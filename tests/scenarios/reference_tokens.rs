//! Tokens that say nothing by themselves.

use serde_json::{Value, json};

use crate::host::{Host, Reply, each_host};
use crate::shop::{
    self, ask, assert_denied, assert_denied_in_silence, claims, identity, user_reply,
};

const REFERENCE: &str = "2YotnFZFEjr1zCsicMWpAA";

fn open(host: &Host) {
    host.env("SCENARIO_CLIENT_SECRET", "introspection-secret-0123456789");
    let introspection = json!({
        "service": "auth", "path": "/introspect", "client_id": "gateway",
        "client_secret": {"env": "SCENARIO_CLIENT_SECRET"},
    });
    shop::open(host, json!({"providers": {"shop": {"introspection": introspection}}}));
}

fn active(sub: &str) -> Reply {
    let mut claims = claims(sub);
    claims["active"] = Value::Bool(true);
    Reply::ok(claims.to_string())
}

each_host!(the_upstream_gets_the_identity_and_never_the_reference, as built too, |host| {
    open(host);
    let request = ask(host, REFERENCE);
    let callout = request.callout();
    assert_eq!(callout.path(), "/introspect");
    assert_eq!(callout.header(":method").as_deref(), Some("POST"));
    assert_eq!(
        callout.header("content-type").as_deref(),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(callout.body, format!("token={REFERENCE}").as_bytes());
    callout.answer(active("alice"));
    assert_eq!(request.callout().path(), "/users/alice");
    request.answer(user_reply("alice"));
    assert_eq!(identity(host, &request)["sub"], "alice");
    let authorization = request.upstream_headers("authorization");
    assert!(authorization.iter().all(String::is_empty), "{authorization:?}");
    assert!(ask(host, REFERENCE).is_forwarded(), "from the cache");
    host.tick();
    assert_eq!(host.metric("gatepass_cache_misses_total.cache.introspection"), 1);
    assert_eq!(host.metric("gatepass_cache_hits_total.cache.introspection"), 1);
    assert_eq!(host.metric("gatepass_fetches_total.service.auth.result.2xx"), 1);
});

each_host!(an_inactive_token_is_401_and_a_silent_issuer_503, |host| {
    open(host);
    let request = ask(host, REFERENCE);
    request.answer(Reply::ok(r#"{"active":false}"#));
    assert_denied(&request, 401, "token_inactive");
    for (case, reply) in [
        ("broken off", active("alice").broken_off()),
        ("its own 401", Reply::status(401).body("no")),
        ("not JSON", Reply::ok("yes")),
    ] {
        let request = ask(host, &format!("other-{}", case.len()));
        request.answer(reply);
        assert_eq!(shop::denial(&request), (503, "introspection_unavailable".to_owned()), "{case}");
    }
    for reply in [Reply::failed(), Reply::without_status(), Reply::status(401), Reply::ok("")] {
        let request = ask(host, "another");
        request.answer(reply);
        assert_denied_in_silence(host, &request, 503, "introspection_unavailable");
    }
    assert!(host.logged("introspection_failed"));
});
