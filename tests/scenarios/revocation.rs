//! Tokens that are valid and not accepted.

use serde_json::json;

use crate::host::{Head, Host, Reply, Request, each_host};
use crate::shop::{
    self, ask, assert_denied, claims, is_guarded, issuer, served, token, user_reply,
};

const PATH: &str = "/.well-known/gatepass/revocations";

fn open(host: &Host) {
    if host.is_kong() {
        host.with_shm_kv();
    }
    shop::open(host, settings());
}

fn settings() -> serde_json::Value {
    json!({
        "shared_data": "always",
        "revocation": {"endpoint": {"requires": {"scopes_all": ["revoke"]}}},
    })
}

fn admin() -> String {
    let mut claims = claims("root");
    claims["scope"] = json!("revoke");
    issuer().sign(&claims)
}

fn post(token: &str, body: &str) -> Head {
    Head::get(PATH).post(body).header("authorization", &format!("Bearer {token}"))
}

/// Sends a request to revoke: nobody is asked who the sender is.
fn revoke(host: &Host, body: &str) -> Request {
    host.send(post(&admin(), body))
}

each_host!(one_post_locks_a_user_out, as built too, |host| {
    open(host);
    served(host, "alice");
    served(host, "bob");
    let request = revoke(host, r#"{"entries":[{"sub":"alice"}]}"#);
    assert_eq!((request.status(), request.reply().body), (204, Vec::new()));
    assert_denied(&ask(host, &token("alice")), 401, "token_revoked");
    assert!(ask(host, &token("bob")).is_forwarded());
    assert!(host.logged(r#""event":"revoked""#));
    host.tick();
    assert_eq!(host.metric("gatepass_requests_total.outcome.revocation.code.none"), 1);
    assert_eq!(host.metric("gatepass_requests_total.outcome.denied.code.token_revoked"), 1);
});

each_host!(a_zone_is_not_filled_so_far_that_it_forgets_the_list, on Kong, |host| {
    host.with_shm_kv();
    let mut settings = settings();
    settings["limits"] = json!({"max_reply_bytes": 262_144});
    shop::open(host, settings);
    served(host, "alice");
    revoke(host, r#"{"entries":[{"sub":"bob"}]}"#);
    let refused = (0..160).find_map(|round| {
        let entries = (0..100).map(|n| json!({"sub": format!("{round}-{n}{}", "x".repeat(490))}));
        let body = json!({"entries": entries.collect::<Vec<_>>()});
        let request = revoke(host, &body.to_string());
        (request.status() != 204).then_some((round, request))
    });
    let (rounds, request) = refused.expect("the zone has 12 MiB");
    assert_denied(&request, 503, "revocation_unavailable");
    assert!(rounds > 40, "{rounds}");
    assert!(host.largest_shared() <= 2 << 20, "{}", host.largest_shared());
    assert!(ask(host, &token("alice")).is_forwarded(), "all others go on");
    assert_denied(&ask(host, &token("bob")), 401, "token_revoked");
});

each_host!(a_zone_may_be_counted_in_kilobytes, on Kong, |host| {
    host.with_shm_kv();
    host.set_property("kong.configuration.nginx_wasm_shm_kv", "60k");
    let mut settings = settings();
    settings["limits"] = json!({"max_reply_bytes": 262_144});
    shop::open(host, settings);
    served(host, "alice");
    assert_eq!(revoke(host, r#"{"entries":[{"sub":"bob"}]}"#).status(), 204);
    let entries = (0..100).map(|n| json!({"sub": format!("{n}{}", "x".repeat(490))}));
    let body = json!({"entries": entries.collect::<Vec<_>>()});
    assert_denied(&revoke(host, &body.to_string()), 503, "revocation_unavailable");
    assert!(host.largest_shared() <= 10 << 10, "{}", host.largest_shared());
});

each_host!(every_plugin_of_the_same_configuration_knows, |host| {
    open(host);
    served(host, "alice");
    let other = host.add(shop::patched(host, settings())).unwrap();
    let with_token =
        || Head::get("/").header("authorization", &format!("Bearer {}", token("alice")));
    let request = other.send(with_token());
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded());
    revoke(host, r#"{"entries":[{"sub":"alice"}]}"#);
    assert_denied(&other.send(with_token()), 401, "token_revoked");
});

// As a listener that is updated, or a worker that was replaced.
each_host!(a_plugin_that_starts_later_knows, |host| {
    open(host);
    served(host, "alice");
    assert_eq!(revoke(host, r#"{"entries":[{"sub":"alice"}]}"#).status(), 204);
    let later = host.add(shop::patched(host, settings())).unwrap();
    let with_token = |sub| Head::get("/").header("authorization", &shop::bearer(sub));
    assert_denied(&later.send(with_token("alice")), 401, "token_revoked");
    assert!(later.send(with_token("bob")).is_paused(), "which asks who that is");
    assert_denied(&ask(host, &token("alice")), 401, "token_revoked");
});

each_host!(nothing_passes_while_the_body_comes_in, as built too, |host| {
    open(host);
    let head = post(&admin(), r#"{"entries":[]}"#)
        .header("x-consumer-username", "root")
        .header("x-identity-token", "forged");
    let request = host.send(head);
    assert!(is_guarded(host, &request));
    let passed = request.headers_passed().expect("the headers go on, or the body would not come");
    for (name, value) in passed {
        let is_ours = name.starts_with("x-") || name.eq_ignore_ascii_case("authorization");
        assert!(!is_ours || value.is_empty(), "{name}: {value}");
    }
    assert_eq!(request.status(), 204);
});

// Envoy passes the head on before the body, and what stands behind may answer meanwhile.
each_host!(no_upstream_answers_for_the_gateway, by proxy_wasm, |host| {
    open(host);
    served(host, "alice");
    let waiting = || host.send(post(&admin(), r#"{"entries":[{"sub":"alice"}]}"#).by_hand());
    for details in ["request_payload_too_large", "via_upstream", ""] {
        let request = waiting();
        // nginx reads the whole body first: what comes then is its own.
        let passes = host.is_kong() || details == "request_payload_too_large";
        assert_eq!(request.respond(413, details), passes, "{details:?}");
        if !passes {
            assert_denied(&request, 503, "configuration_invalid");
            shop::assert_not_awaited(host, "POST", PATH);
        }
    }
});

// Envoy closes an HTTP/1 connection on which it answers before it has the whole body.
each_host!(a_body_ends_when_the_host_says_so_and_is_read_once, by proxy_wasm, |host| {
    open(host);
    served(host, "alice");
    let body = r#"{"entries":[{"sub":"alice"}]}"#;
    let request = host.send(post(&admin(), body).by_hand());
    let _ = host.take_calls();
    if !host.is_kong() {
        for end in [1, 10, body.len()] {
            assert_eq!(request.piece(&body.as_bytes()[..end], false), Some(false));
            assert!(request.is_paused(), "more may come: {:?}", request.outcome());
        }
        assert_eq!(host.take_calls()["proxy_get_buffer_bytes"], 1, "when enough was there");
    }
    assert_eq!(request.piece(body.as_bytes(), true), Some(false));
    assert_eq!(request.status(), 204);
    assert_denied(&ask(host, &token("alice")), 401, "token_revoked");
});

each_host!(who_may_not_revoke_is_told_before_the_body_comes_in, |host| {
    open(host);
    let body = r#"{"entries":[{"sub":"alice"}]}"#;
    for (case, head, status, code) in [
        ("no token", Head::get(PATH).post(body), 401, "token_missing"),
        ("no right", post(&token("alice"), body), 403, "insufficient_scope"),
        ("no token that is valid", post("x.y.z", body), 401, "token_malformed"),
    ] {
        let request = host.send(head);
        assert_eq!(shop::denial(&request), (status, code.to_owned()), "{case}");
        assert_eq!(request.headers_passed(), None, "{case}");
    }
    served(host, "alice");
});

each_host!(a_body_that_says_nothing_is_400, |host| {
    open(host);
    assert_denied(&revoke(host, "not JSON"), 400, "entries_invalid");
    assert_denied(&revoke(host, r#"{"entries":[{"sub":""}]}"#), 400, "entries_invalid");
    assert_denied(&host.send(post(&admin(), "")), 400, "entries_invalid");
    assert_eq!(host.send(post(&admin(), &"x".repeat(5000))).status(), 413);
});

each_host!(other_bodies_pass_unread, |host| {
    open(host);
    served(host, "alice");
    let head = Head::get("/orders").post("anything");
    let request = host.send(head.header("authorization", &format!("Bearer {}", token("alice"))));
    assert!(request.is_forwarded());
    let denied = host.send(Head::get("/orders").post("anything"));
    assert_denied(&denied, 401, "token_missing");
});

// 204 says that every worker knows.
each_host!(workers_that_share_nothing_have_no_endpoint, |host| {
    let mut patch = settings();
    // What `auto` comes to on Kong.
    patch["shared_data"] = json!("never");
    shop::set_environment(host);
    let accepted = host.configure(shop::patched(host, patch));
    assert_eq!(accepted, host.is_kong(), "Envoy refuses, Kong would skip the filter");
    assert!(host.logged("$.revocation.endpoint: found workers that share no data"));
    if host.is_kong() {
        assert_denied(
            &revoke(host, r#"{"entries":[{"sub":"alice"}]}"#),
            503,
            "configuration_invalid",
        );
    }
});

each_host!(a_client_that_leaves_leaves_nothing, |host| {
    let requires = json!({"claims": {"customer_type": ["gold"]}});
    let mut patch = settings();
    patch["revocation"]["endpoint"]["requires"] = requires;
    if host.is_kong() {
        host.with_shm_kv();
    }
    shop::open(host, patch);
    let request = host.send(post(&admin(), r#"{"entries":[{"sub":"alice"}]}"#));
    assert!(request.is_paused(), "who asks is being found out");
    request.reset();
    served(host, "alice");
});

each_host!(a_feed_is_read_in_the_background, |host| {
    let feed = json!({"service": "auth", "path": "/revocations", "poll_seconds": 5});
    shop::open(host, json!({"revocation": {"feed": feed}}));
    host.tick();
    let callouts = host.background_callouts();
    let [callout] = callouts.as_slice() else { panic!("{} callouts", callouts.len()) };
    assert_eq!(callout.path(), "/revocations");
    for callout in callouts {
        callout.answer(Reply::ok(r#"{"cursor":"7","entries":[{"sub":"alice"}]}"#));
    }
    assert_denied(&ask(host, &token("alice")), 401, "token_revoked");
    served(host, "bob");
    host.advance(5000);
    let callouts = host.background_callouts();
    assert_eq!(callouts.len(), 1);
    for callout in callouts {
        assert_eq!(callout.path(), "/revocations?since=7");
        callout.answer(Reply::failed());
    }
    served(host, "bob");
    assert!(host.logged("tokens_not_listed"));
});

each_host!(a_request_at_the_start_waits_for_the_feed, |host| {
    let feed = json!({"service": "auth", "path": "/revocations"});
    shop::open(host, json!({"revocation": {"feed": feed}}));
    let request = ask(host, &token("alice"));
    request.answer(Reply::ok(r#"{"cursor":"1","entries":[{"sub":"alice"}]}"#));
    assert_denied(&request, 401, "token_revoked");
    let silent = ask(host, &token("bob"));
    silent.answer(user_reply("bob"));
    assert!(silent.is_forwarded());
});
