//! Keys that are fetched from the issuer.

use serde_json::json;

use crate::host::{Head, Host, Plugin, Reply, each_host};
use crate::shop::{self, ask, assert_denied, issuer, next_issuer, remote_keys, token, user_reply};

each_host!(keys_are_fetched_before_anybody_asks, as built too, |host| {
    shop::open(host, remote_keys());
    assert!(host.callouts().is_empty(), "nothing is sent while the filter starts");
    host.tick();
    let mut fetches = host.background_callouts();
    assert_eq!(fetches.len(), 1);
    let fetch = fetches.remove(0);
    assert_eq!(fetch.path(), "/jwks.json");
    assert_eq!(fetch.header(":authority").as_deref(), Some("auth.internal"));
    assert_eq!(fetch.header(":scheme").as_deref(), Some("http"));
    fetch.answer(issuer().jwks());
    let request = ask(host, &token("alice"));
    assert_eq!(request.callout().path(), "/users/alice");
    host.advance(60_000);
    assert!(host.background_callouts().is_empty(), "and then only when they grow old");
});

// In Kong's workers they are shared from the first request on: see `configuration`.
each_host!(keys_that_are_there_serve_who_starts_later, on Envoy, |host| {
    shop::open(host, remote_keys());
    host.tick();
    host.background_callouts().remove(0).answer(issuer().jwks());
    let later = host.add(shop::patched(host, remote_keys())).unwrap();
    host.tick();
    assert!(host.callouts().is_empty(), "nobody fetches them again");
    let request = later.send(Head::get("/").header("authorization", &shop::bearer("alice")));
    assert_eq!(request.callout().path(), "/users/alice");
});

each_host!(a_request_before_the_first_fetch_waits_for_it, as built too, |host| {
    shop::open(host, remote_keys());
    let request = ask(host, &token("alice"));
    assert!(shop::is_guarded(host, &request));
    assert_eq!(request.callout().path(), "/jwks.json");
    request.answer(issuer().jwks());
    assert_eq!(request.callout().path(), "/users/alice", "one wait after the other");
    assert!(shop::is_guarded(host, &request));
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded());
});

each_host!(a_request_during_the_first_fetch_joins_it, on Envoy, |host| {
    shop::open(host, remote_keys());
    host.tick();
    let requests = [ask(host, &token("alice")), ask(host, &token("bob"))];
    assert_eq!(host.callouts().len(), 1);
    host.background_callouts().remove(0).answer(issuer().jwks());
    host.tick();
    let mut paths: Vec<_> = host.callouts().iter().map(|callout| callout.path()).collect();
    paths.sort();
    assert_eq!(paths, ["/users/alice", "/users/bob"]);
    for callout in host.callouts() {
        let sub = callout.path().replace("/users/", "");
        callout.answer(user_reply(&sub));
    }
    assert!(requests.iter().all(|request| request.is_forwarded()));
});

each_host!(requests_during_the_first_fetch_make_their_own, on Kong, |host| {
    shop::open(host, remote_keys());
    host.tick();
    let requests = ["alice", "bob"].map(|sub| (sub, ask(host, &token(sub))));
    for (sub, request) in &requests {
        assert!(shop::is_guarded(host, request));
        assert_eq!(request.callout().path(), "/jwks.json");
        request.answer(issuer().jwks());
        request.answer(user_reply(sub));
        assert!(request.is_forwarded());
    }
    // The one that was first is still good for what it is.
    host.background_callouts().remove(0).answer(issuer().jwks());
    assert_eq!(ask(host, &token("carol")).callout().path(), "/users/carol");
});

each_host!(a_first_fetch_that_fails_many_counts_once, on Kong, |host| {
    shop::open(host, remote_keys());
    host.tick();
    let requests = ["alice", "bob", "carol"].map(|sub| ask(host, &token(sub)));
    host.background_callouts().remove(0).answer(Reply::status(500));
    for request in &requests {
        request.answer(Reply::status(500));
        assert_denied(request, 503, "keys_unavailable");
        assert_eq!(request.reply().header("retry-after").as_deref(), Some("1"));
    }
    let failures = host.logs().iter().filter(|l| l.text.contains("keys_not_fetched")).count();
    assert_eq!(failures, 1);
    assert_denied(&ask(host, &token("dave")), 503, "keys_unavailable");
    host.advance(1100);
    assert_eq!(host.background_callouts().len(), 1, "tried again after a second");
});

each_host!(requests_during_the_first_fetch_are_a_bounded_burden, on Kong, |host| {
    shop::open(host, remote_keys());
    host.tick();
    let public = token("alice");
    let waiting: Vec<_> = (0..100).map(|_| ask(host, &public)).collect();
    let request = ask(host, &public);
    assert_denied(&request, 503, "keys_unavailable");
    assert_eq!(request.reply().header("retry-after").as_deref(), Some("1"));
    assert_eq!(host.callouts().len(), 101);
    waiting.iter().for_each(|request| request.reset());
    assert!(ask(host, &public).is_paused(), "those that leave make room");
});

each_host!(an_unknown_key_id_makes_one_fetch_and_a_cooldown, |host| {
    shop::open(host, remote_keys());
    host.tick();
    host.background_callouts().remove(0).answer(issuer().jwks());
    // The issuer has changed its key.
    let request = ask(host, &next_issuer().sign(&shop::claims("alice")));
    assert_eq!(request.callout().path(), "/jwks.json");
    request.answer(next_issuer().jwks());
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded());
    // The old key is withdrawn; after one fetch, asking for it again has to wait.
    let old = ask(host, &token("alice"));
    old.answer(next_issuer().jwks());
    assert_denied(&old, 401, "key_unknown");
    let old = ask(host, &token("alice"));
    assert_denied(&old, 401, "key_unknown");
    host.advance(30_000);
    let old = ask(host, &token("alice"));
    assert_eq!(old.callout().path(), "/jwks.json");
    old.answer(next_issuer().jwks());
    assert_denied(&old, 401, "key_unknown");
});

each_host!(a_fetch_that_fails_takes_no_keys_away, |host| {
    shop::open(host, remote_keys());
    host.tick();
    host.background_callouts().remove(0).answer(issuer().jwks());
    let public = issuer().sign(&{
        let mut claims = shop::claims("alice");
        claims["exp"] = json!(shop::START + 20_000);
        claims
    });
    ask(host, &public).answer(user_reply("alice"));
    let replies = [
        Reply::failed(),
        Reply::without_status(),
        Reply::status(500),
        Reply::ok("no JSON"),
        Reply::ok(r#"{"keys":[]}"#),
    ];
    host.advance(540_000);
    for reply in replies {
        while host.background_callouts().is_empty() {
            host.tick();
        }
        host.background_callouts().remove(0).answer(reply);
        let request = ask(host, &public);
        if request.is_paused() {
            request.answer(user_reply("alice"));
        }
        assert!(request.is_forwarded());
    }
    assert!(host.logged("keys_not_fetched"));
    // But not for ever.
    host.set_now(shop::START + 4200);
    let request = ask(host, &public);
    request.reset();
    assert!(!request.is_forwarded());
});

each_host!(no_keys_at_all_is_unavailable_not_unauthorized, |host| {
    shop::open(host, remote_keys());
    let request = ask(host, &token("alice"));
    request.answer(Reply::failed());
    assert_denied(&request, 503, "keys_unavailable");
    let next = ask(host, &token("alice"));
    assert_denied(&next, 503, "keys_unavailable");
    assert!(host.callouts().is_empty(), "a fetch that failed is not repeated at once");
    host.advance(1100);
    assert_eq!(host.background_callouts().len(), 1, "but soon");
});

each_host!(keys_that_cannot_be_asked_for_are_unavailable, |host| {
    let mut patch = remote_keys();
    patch["services"] = json!({ "auth": { "upstream": "nowhere" } });
    shop::open(host, patch);
    let request = ask(host, &token("alice"));
    if host.is_kong() {
        // A name that nobody can resolve is found out later there.
        request.answer(Reply::failed());
    }
    assert_denied(&request, 503, "keys_unavailable");
    host.advance(2000);
});

each_host!(a_client_that_leaves_does_not_take_the_first_fetch_along, |host| {
    shop::open(host, remote_keys());
    let first = ask(host, &token("alice"));
    let second = (!host.is_kong()).then(|| ask(host, &token("bob")));
    first.reset();
    host.tick();
    // On Kong it ended with the request, and the gateway asks again.
    assert_eq!(host.callouts().len(), 1);
    host.callouts().remove(0).answer(issuer().jwks());
    if let Some(second) = second {
        second.answer(user_reply("bob"));
        assert!(second.is_forwarded());
    }
    assert_eq!(ask(host, &token("carol")).callout().path(), "/users/carol");
});

/// How many fetches there are within ten seconds, none of which succeeds.
fn fetches_in_vain(host: &Host, plugin: &Plugin, reply: &Reply) -> usize {
    let mut fetches = 0;
    for _ in 0..100 {
        host.tick();
        for fetch in plugin.callouts() {
            fetch.answer(reply.clone());
            fetches += 1;
        }
    }
    fetches
}

// Kong announces what came of the body and then gives nothing of it.
each_host!(a_reply_that_breaks_off_is_one_that_failed, as built too, |host| {
    let discovery = json!({"service": "auth", "path": "/.well-known/openid-configuration"});
    let discovered = json!({"providers": {"shop": {"local_jwks": null, "discovery": discovery}}});
    let feed = json!({"service": "auth", "path": "/revocations"});
    let read = json!({"revocation": {"feed": feed}});
    shop::open(host, json!({}));
    for (case, patch) in [("keys", remote_keys()), ("discovery", discovered), ("feed", read)] {
        let plugin = host.add(shop::patched(host, patch)).unwrap();
        let reply = Reply::ok("{}").broken_off();
        let fetches = fetches_in_vain(host, &plugin, &reply);
        assert!((2..=8).contains(&fetches), "{case}: {fetches} fetches in ten seconds");
        let request = plugin.send(Head::get("/").header("authorization", &shop::bearer("alice")));
        for callout in request.callouts() {
            callout.answer(reply.clone());
        }
        assert_eq!(request.status(), 503, "{case}");
    }
});
