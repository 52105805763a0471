//! Rules see the host, the headers and the cookies that each host shows in its
//! own way.

use serde_json::{Value, json};

use crate::host::{Head, Host, each_host};
use crate::shop::{self, assert_denied, bearer, token, user_reply};

fn with_rules(rules: Value) -> Value {
    json!({ "rules": rules })
}

/// A request of alice's that got through.
#[track_caller]
fn assert_passes(host: &Host, head: Head) {
    let request = host.send(head);
    if request.is_paused() {
        request.answer(user_reply("alice"));
    }
    assert!(request.is_forwarded(), "{:?}", request.outcome());
}

// What is known of a call decides; of one that nothing is known of, every rule might be meant.
each_host!(a_rule_by_tool_sees_what_envoys_filter_stored, on Envoy, |host| {
    let rules = json!([
        { "match": { "path": "/mcp", "mcp": { "methods": ["tools/call"], "names": ["place_order"] } },
            "requires": { "scopes_all": ["orders.write"] } },
        { "match": { "path": "/mcp" }, "bypass": true },
    ]);
    shop::open(host, with_rules(rules));
    let stored = |name: &str, value: &str| {
        let path = format!("metadata.filter_metadata.envoy.filters.http.mcp.{name}");
        host.set_property(&path, value);
    };
    stored("method", "tools/call");
    stored("params.name", "place_order");
    let call = || Head::get("/mcp").header("authorization", &bearer("alice"));
    assert_denied(&host.send(call()), 403, "insufficient_scope");
    stored("params.name", "list_catalog");
    assert_passes(host, call());
});

each_host!(a_rule_by_host_sees_the_host_that_the_client_asked_for, as built too, |host| {
    let rules = json!([
        { "match": { "hosts": ["open.example", "*.open.example"] }, "bypass": true },
        { "match": { "hosts": ["admin.example"] }, "requires": { "scopes_all": ["admin"] } },
    ]);
    shop::open(host, with_rules(rules));
    let to = |authority: &str| Head::get("/").header(":authority", authority);
    assert_passes(host, to("OPEN.example:8443"));
    assert_passes(host, to("a.open.example."));
    assert_denied(&host.send(to("shop.example")), 401, "token_missing");
    // What nginx calls itself is no host that a client asked for.
    assert_denied(&host.send(to("kong")), 401, "token_missing");
    for name in ["x-forwarded-host", "x-host", "forwarded"] {
        let request = host.send(to("shop.example").header(name, "open.example"));
        assert_denied(&request, 401, "token_missing");
        let admin = to("admin.example").header(name, "open.example");
        let request = host.send(admin.header("authorization", &bearer("alice")));
        assert_denied(&request, 403, "insufficient_scope");
    }
    assert_passes(host, to("shop.example").header("authorization", &bearer("alice")));
    assert_denied(&host.send(to("x@open.example")), 400, "host_ambiguous");
    assert_denied(&host.send(Head::get("/").without(":authority")), 400, "host_ambiguous");
});

each_host!(a_header_that_came_twice_evades_no_rule, |host| {
    let rules = json!([
        { "match": { "headers": [{ "name": "x-mode", "value": "write" }] },
            "requires": { "scopes_all": ["write"] } },
    ]);
    shop::open(host, with_rules(rules));
    let with = |values: &[(&str, &str)]| {
        let head = Head::get("/").header("authorization", &bearer("alice"));
        values.iter().fold(head, |head, (name, value)| head.header(name, value))
    };
    assert_passes(host, with(&[("X-Mode", "read")]));
    assert_passes(host, with(&[("x-mode", "read"), ("x-mode", "list")]));
    assert_denied(&host.send(with(&[("X-MODE", "write")])), 403, "insufficient_scope");
    for hidden in [
        &[("x-mode", "read"), ("x-mode", "write")][..],
        &[("x-mode", "write"), ("X-Mode", "read")],
        &[("x-mode", "read, write")],
        &[("x_mode", "write")],
    ] {
        assert_denied(&host.send(with(hidden)), 400, "header_repeated");
    }
});

each_host!(a_cookie_is_for_pages_of_the_site, |host| {
    shop::open(host, json!({ "token": { "from_cookies": ["session"] } }));
    let session = format!("session={}", token("alice"));
    let get = || Head::get("/orders").header("cookie", &session);
    let posts = || get().method("POST");
    assert_passes(host, get());
    assert_passes(host, posts().header("Origin", "https://api.example"));
    assert_passes(host, posts().header("Sec-Fetch-Site", "same-origin"));
    for hostile in [
        posts(),
        posts().header("Origin", "https://evil.example"),
        // The name of nginx itself, which a rule must not take for the host's.
        posts().header("Origin", "http://kong:8000"),
        posts().header("Sec-Fetch-Site", "cross-site"),
        get().header("Upgrade", "websocket").header("Origin", "https://evil.example"),
    ] {
        assert_denied(&host.send(hostile), 403, "origin_forbidden");
    }
});

each_host!(a_disabled_consumer_is_no_consumer, |host| {
    let entries = json!([{ "key": "web", "enabled": false }]);
    shop::open(host, json!({ "consumers": { "entries": entries, "optional": true } }));
    let request = host.request([("authorization", &bearer("alice"))]);
    assert_denied(&request, 401, "consumer_unknown");
    assert!(host.callouts().is_empty(), "nobody is asked about its users");
});

each_host!(a_rule_by_template_and_policy, |host| {
    let rules = json!([
        { "match": { "path_template": "/users/{id}/orders" }, "policy": "readers" },
        { "match": { "path_template": "/users/*/public/**" }, "bypass": true },
    ]);
    let policies = json!({ "readers": { "scopes_any": ["read"] } });
    shop::open(host, json!({ "rules": rules, "policies": policies }));
    let get = |path: &str| Head::get(path).header("authorization", &bearer("alice"));
    assert_denied(&host.send(get("/users/7/orders")), 403, "insufficient_scope");
    assert_denied(&host.send(get("/users/%37/%6Frders")), 403, "insufficient_scope");
    assert_passes(host, get("/users/7/orders/8"));
    assert_passes(host, Head::get("/users/7/public/picture"));
    assert_denied(&host.send(Head::get("/users//public/picture")), 400, "path_ambiguous");
});
