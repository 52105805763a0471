//! `mode: shadow`: everything is decided, nothing is enforced but what cannot be
//! made safe.

use serde_json::{Value, json};

use crate::host::{Head, Host, Outcome, Reply, each_host};
use crate::shop::{self, ask, assert_denied, bearer, identity, issuer, served, token};

const OWNED: [&str; 4] = ["x-consumer-id", "X-Consumer-Username", "x-identity-token", "txn-token"];

fn shadow(host: &Host, mut patch: Value) {
    patch["mode"] = json!("shadow");
    shop::open(host, patch);
}

/// How often a request was counted as one that would be denied.
fn counted(host: &Host, code: &str) -> u64 {
    host.tick();
    host.metric(&format!("gatepass_requests_total.outcome.shadow.code.{code}"))
}

each_host!(what_would_be_denied_is_forwarded_counted_and_logged, as built too, |host| {
    shadow(host, json!({}));
    let expired = {
        let mut claims = shop::claims("alice");
        claims["exp"] = json!(shop::START - 61);
        issuer().sign(&claims)
    };
    let heads = [
        ("token_missing", Head::get("/")),
        ("token_malformed", Head::get("/").header("authorization", "Bearer a.b.c")),
        ("token_expired", Head::get("/").header("authorization", &format!("Bearer {expired}"))),
        ("insufficient_scope", Head::get("/admin").header("authorization", &bearer("alice"))),
        ("path_ambiguous", Head::get("/a%2Fb").header("authorization", &bearer("alice"))),
    ];
    for (code, head) in heads {
        let head = OWNED.into_iter().fold(head, |head, name| head.header(name, "forged"));
        let request = host.send(head.header("x-other", "stays"));
        assert!(request.is_forwarded(), "{code}: {:?}", request.outcome());
        for name in OWNED.into_iter().chain(["authorization", "x-user-country"]) {
            let values = request.upstream_headers(name);
            assert!(values.iter().all(String::is_empty), "{code}: {name} {values:?}");
            assert!(host.is_kong() || values.is_empty(), "{code}: {name}");
        }
        assert_eq!(request.upstream_headers("x-other"), ["stays"]);
        assert_eq!(counted(host, code), 1, "{code}");
        let line = host.logs().into_iter().rfind(|line| line.text.contains("would_deny"));
        let line: Value = serde_json::from_str(&line.unwrap().text).unwrap();
        assert_eq!(line["code"], code);
    }
    assert!(host.callouts().is_empty());
    assert!(!host.metrics().iter().any(|(name, n)| name.contains("denied") && *n > 0));
    assert!(host.logged("\"event\":\"shadow_mode\""));
});

each_host!(what_is_allowed_keeps_its_identity, |host| {
    shadow(host, json!({}));
    let request = served(host, "alice");
    assert_eq!(identity(host, &request)["sub"], "alice");
    assert_eq!(request.upstream_headers("x-consumer-id"), ["5c0c"]);
    let guest = host.send(Head::get("/catalog"));
    assert_eq!(guest.upstream_headers("x-anonymous-consumer"), ["true"]);
    host.tick();
    assert_eq!(host.metric("gatepass_requests_total.outcome.allowed.code.none"), 1);
    assert_eq!(host.metric("gatepass_requests_total.outcome.anonymous.code.none"), 1);
    assert_eq!(host.metric("gatepass_requests_total.outcome.jwks.code.none"), 1);
});

each_host!(a_service_that_fails_denies_nobody, |host| {
    shadow(host, json!({}));
    let request = ask(host, &token("alice"));
    request.answer(Reply::failed());
    assert!(request.is_forwarded());
    assert!(request.upstream_headers("x-identity-token").is_empty());
    assert_eq!(counted(host, "user_info_unavailable"), 1);
    // The guard against a trap is taken off like from any request that passes.
    let scheme = request.property("ngx.upstream_scheme");
    assert!(!host.is_kong() || scheme.as_deref() == Some("http"), "{scheme:?}");
});

each_host!(the_public_token_goes_on_if_it_is_forwarded, |host| {
    shadow(host, json!({ "token": { "forward": true } }));
    let bearer = bearer("alice");
    let head = Head::get("/admin").header("authorization", &bearer);
    let request = host.send(head.header("x-consumer-id", "root"));
    assert_eq!(request.upstream_headers("authorization"), [bearer]);
    assert!(request.upstream_headers("x-consumer-id").iter().all(String::is_empty));
});

each_host!(a_spoofed_header_that_cannot_be_removed_is_denied_all_the_same, on Kong, |host| {
    shadow(host, json!({}));
    for (first, second) in
        [("x-consumer-id", "X-Consumer-ID"), ("x_consumer_id", "accept"), ("Txn-Token", "txn-token")]
    {
        for head in [Head::get("/"), Head::get("/").header("authorization", &bearer("alice"))] {
            let request = host.send(head.header(first, "root").header(second, "root"));
            assert_denied(&request, 400, "header_repeated");
        }
    }
    let many = (0..100).fold(Head::get("/"), |head, n| head.header(&format!("x-{n}"), "1"));
    assert_denied(&host.send(many), 431, "headers_too_many");
    host.tick();
    assert_eq!(host.metric("gatepass_requests_total.outcome.denied.code.header_repeated"), 6);
    assert_eq!(host.metric("gatepass_requests_total.outcome.denied.code.headers_too_many"), 1);
});

// Whoever may not revoke tokens may not in shadow mode either, and nobody behind
// is asked instead.
each_host!(the_gateways_own_endpoint_is_guarded_as_ever, |host| {
    if host.is_kong() {
        host.with_shm_kv();
    }
    let endpoint = json!({ "endpoint": { "requires": { "scopes_all": ["revoke"] } } });
    shadow(host, json!({ "shared_data": "always", "revocation": endpoint }));
    let path = "/.well-known/gatepass/revocations";
    let body = r#"{"entries":[{"sub":"alice"}]}"#;
    assert_denied(&host.send(Head::get(path).post(body)), 401, "token_missing");
    let head = Head::get(path).post(body).header("authorization", &bearer("bob"));
    assert_denied(&host.send(head), 403, "insufficient_scope");
    let request = served(host, "alice");
    assert_eq!(identity(host, &request)["sub"], "alice", "not revoked");
    host.tick();
    assert_eq!(host.metric("gatepass_requests_total.outcome.denied.code.token_missing"), 1);
});

each_host!(an_invalid_configuration_is_not_made_good, |host| {
    shop::set_environment(host);
    let patch = json!({ "mode": "shadow", "rulez": [] });
    let accepted = host.configure(shop::patched(host, patch));
    assert_eq!(accepted, host.is_kong());
    if host.is_kong() {
        assert_denied(&host.request([]), 503, "configuration_invalid");
        let name = "gatepass_requests_total.outcome.denied.code.configuration_invalid";
        assert_eq!(host.metric(name), 1);
    }
});

each_host!(a_request_that_cannot_be_edited_does_not_pass, as built too, |host| {
    shadow(host, json!({}));
    assert!(matches!(host.send(Head::get("/")).outcome(), Outcome::Forwarded { .. }));
    let served = host.send(Head::get(shop::JWKS_PATH)).reply();
    assert_eq!(served.status, 200, "the key set is answered as ever");
});
