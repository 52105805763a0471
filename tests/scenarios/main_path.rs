//! The main job: a public token in, an identity out.

use serde_json::json;

use crate::host::{Head, Outcome, Reply, each_host};
use crate::shop::{self, ask, identity, served, token, user_reply};

each_host!(the_upstream_learns_who_it_is_and_never_sees_the_public_token, as built too, |host| {
    shop::open(host, json!({}));
    let public = token("alice");
    let request = ask(host, &public);
    request.answer(user_reply("alice"));
    for (header, expected) in [
        ("x-consumer-id", "5c0c"),
        ("x-consumer-username", "web-app"),
        ("x-consumer-custom-id", "web-1"),
        ("x-consumer-groups", "first-party,eu"),
        ("x-credential-identifier", "web"),
        ("x-user-country", "NL"),
    ] {
        assert_eq!(request.upstream_headers(header), [expected], "{header}");
    }
    assert!(request.upstream_headers("x-anonymous-consumer").is_empty());
    // Kong cannot remove a header, only blank it.
    let expected: &[&str] = if host.is_kong() { &[""] } else { &[] };
    assert_eq!(request.upstream_headers("authorization"), expected);
});

each_host!(a_known_token_costs_the_fewest_host_calls, by proxy_wasm, |host| {
    shop::open(host, json!({}));
    let public = token("alice");
    ask(host, &public).answer(user_reply("alice"));
    let _ = host.take_calls();
    let request = ask(host, &public);
    let calls = host.take_calls();
    assert!(request.is_forwarded());
    let call = |name: &str, times| (format!("proxy_{name}"), times);
    let mut expected = vec![
        call("get_current_time_nanoseconds", 1),
        call("get_header_map_pairs", 1),
        // One for each header that the upstream gets.
        call("replace_header_map_value", 7),
    ];
    match host.is_kong() {
        // The path and the query as they came; a header is blanked.
        true => expected.extend([call("get_property", 2), call("replace_header_map_value", 8)]),
        // Consumer and subject for the access log.
        false => expected.extend([call("remove_header_map_value", 1), call("set_property", 2)]),
    }
    assert_eq!(calls, expected.into_iter().collect());
});

each_host!(the_identity_token_verifies_with_nothing_but_the_published_keys, as built too, |host| {
    shop::open(host, json!({}));
    let request = served(host, "alice");
    let claims = identity(host, &request);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["client_id"], "web");
    assert_eq!(claims["azp"], "web");
    assert_eq!(claims["scope"], "orders");
    assert_eq!(claims["country"], "NL");
    assert_eq!(claims["customer_type"], "gold");
    assert_eq!(claims["env"], "prod");
    assert_eq!(claims["groups"], json!(["first-party", "eu"]));
    assert_eq!(
        claims["consumer"],
        json!({"id": "5c0c", "username": "web-app", "custom_id": "web-1"})
    );
    assert_eq!(claims["exp"], shop::START + 300);
});

each_host!(user_info_is_asked_as_configured, as built too, |host| {
    shop::open(host, json!({}));
    let callout = ask(host, &token("alice/../bob")).callout();
    for (header, expected) in [
        (":method", "GET"),
        (":path", "/users/alice%2F..%2Fbob"),
        (":authority", "users.internal"),
        (":scheme", "https"),
        ("x-api-key", shop::API_KEY),
    ] {
        assert_eq!(callout.header(header).as_deref(), Some(expected), "{header}");
    }
    assert_eq!(callout.header("authorization"), None, "the public token stays here");
    assert_eq!(callout.upstream, if host.is_kong() { "users.internal:8080" } else { "users" });
    assert_eq!(callout.timeout_ms, 500);
});

each_host!(forward_token_sends_it_to_user_info_alone, |host| {
    shop::open(host, json!({ "user_info": { "forward_token": true } }));
    let public = token("alice");
    let request = ask(host, &public);
    let sent = request.callout().header("authorization");
    assert_eq!(sent, Some(format!("Bearer {public}")));
    request.answer(user_reply("alice"));
    assert!(!request.upstream_headers("authorization").contains(&format!("Bearer {public}")));
});

each_host!(the_second_request_needs_no_callout, |host| {
    shop::open(host, json!({}));
    let public = token("alice");
    let first = ask(host, &public);
    first.answer(user_reply("alice"));
    let second = ask(host, &public);
    assert!(second.is_forwarded(), "a hit in the cache is never paused");
    let identity = |request: &crate::host::Request| request.upstream_headers("x-identity-token");
    assert_eq!(identity(&first), identity(&second), "the same identity token serves again");
    // Another token of the same user needs another identity, but no callout.
    let third = served(host, "alice");
    assert_ne!(identity(&first), identity(&third));
    assert!(host.callouts().is_empty());
});

each_host!(the_cache_ends_after_its_time, |host| {
    shop::open(host, json!({}));
    let public = token("alice");
    ask(host, &public).answer(user_reply("alice"));
    host.advance(59_999);
    assert!(ask(host, &public).is_forwarded());
    host.advance(1);
    let request = ask(host, &public);
    assert!(request.is_paused(), "at 60 s it is asked again");
    request.answer(Reply::ok(r#"{"sub":"alice","address":{"country":"BE"}}"#));
    assert_eq!(request.upstream_headers("x-user-country"), ["BE"]);
});

each_host!(a_bypassed_request_passes_without_identity, as built too, |host| {
    shop::open(host, json!({}));
    let request = host.send(Head::get("/login").header("authorization", &shop::bearer("alice")));
    assert!(request.is_forwarded());
    assert!(request.upstream_headers("x-identity-token").is_empty());
    assert!(request.upstream_headers("authorization").iter().all(String::is_empty));
});

each_host!(a_missing_token_makes_a_guest_where_a_rule_says_so, |host| {
    shop::open(host, json!({}));
    let request = host.send(Head::get("/catalog/shoes"));
    assert_eq!(request.upstream_headers("x-anonymous-consumer"), ["true"]);
    assert_eq!(request.upstream_headers("x-consumer-username"), ["guest"]);
    assert!(request.upstream_headers("x-identity-token").is_empty());
    // But a token that is sent has to be valid.
    let bad = host.send(Head::get("/catalog").header("authorization", "Bearer nonsense"));
    shop::assert_denied(&bad, 401, "token_malformed");
});

each_host!(a_preflight_passes_without_token_and_identity, |host| {
    shop::open(host, json!({}));
    let preflight = Head::get("/orders").method("OPTIONS");
    let headers = [("origin", "https://shop.example"), ("access-control-request-method", "PUT")];
    const FORGED: [&str; 3] = ["x-identity-token", "x-consumer-id", "x-user-country"];
    let head = preflight.clone().headers(headers);
    let request = host.send(FORGED.into_iter().fold(head, |head, name| head.header(name, "1")));
    assert!(request.is_forwarded());
    for name in FORGED {
        // Where it cannot be taken away it is blank.
        assert_eq!(request.upstream_headers(name).concat(), "", "{name}");
    }
    shop::assert_denied(&host.send(preflight.clone()), 401, "token_missing");
    // HTTP/2 needs no field for a body. Kong's runtime does not say that one follows, but nginx
    // takes none then.
    let with_body = preflight.headers(headers).body("x").without("content-length");
    let read = with_body.clone();
    let with_body = host.send(with_body);
    if host.is_kong() {
        assert!(matches!(with_body.outcome(), Outcome::Failed { status: 400, .. }));
        // Unless it has it already.
        host.set_property("ngx.content_length", "1");
        shop::assert_denied(&host.send(read), 401, "token_missing");
    } else {
        shop::assert_denied(&with_body, 401, "token_missing");
    }
});

each_host!(without_user_info_there_is_no_wait, |host| {
    shop::open(host, json!({ "user_info": null, "claim_to_headers": null }));
    let request = ask(host, &token("alice"));
    let claims = identity(host, &request);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims.get("enrichment"), None);
});

// Kong's runtime calls the filter for every response, its own replies included,
// whether or not the module exports what it calls.
each_host!(responses_pass_through_the_filter, as built too, |host| {
    shop::open(host, json!({}));
    let forwarded = served(host, "alice");
    assert!(forwarded.is_forwarded(), "{:?}", forwarded.outcome());
    forwarded.finish();
    let denied = host.send(Head::get("/"));
    assert_eq!(denied.status(), 401);
    denied.finish();
});
