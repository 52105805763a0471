//! Several root contexts in one VM: routes of Kong's, updates of a listener.

use serde_json::json;

use crate::host::{Head, each_host};
use crate::shop::{self, assert_denied, bearer, issuer, remote_keys, user_reply};

fn get() -> Head {
    Head::get("/").header("authorization", &bearer("alice"))
}

each_host!(two_configurations_share_no_state, as built too, |host| {
    shop::open(host, json!({}));
    // The same issuer and user, but another place to ask and another answer.
    let patch = json!({
        "user_info": { "path": "/partners/{sub}" },
        "identity_token": { "issuer": "https://second.internal" },
        "providers": { "shop": { "required_claims": { "scope": ["orders"] } } },
    });
    let second = host.add(shop::patched(host, patch)).expect("accepted");
    let public = bearer("alice");
    let head = || Head::get("/").header("authorization", &public);
    let request = host.send(head());
    request.answer(user_reply("alice"));
    assert!(host.send(head()).is_forwarded(), "the first has it in its cache");
    let request = second.send(head());
    assert_eq!(request.callout().path(), "/partners/alice", "the second does not");
    request.answer(crate::host::Reply::ok(r#"{"sub":"alice","address":{"country":"BE"}}"#));
    assert_eq!(request.upstream_headers("x-user-country"), ["BE"]);
    assert_eq!(host.send(head()).upstream_headers("x-user-country"), ["NL"]);
});

each_host!(a_token_good_for_one_route_is_not_good_for_another, |host| {
    shop::open(host, json!({}));
    let patch = json!({ "providers": { "shop": { "audiences": ["other-api"] } } });
    let second = host.add(shop::patched(host, patch)).expect("accepted");
    let public = bearer("alice");
    let head = || Head::get("/").header("authorization", &public);
    host.send(head()).answer(user_reply("alice"));
    assert_denied(&second.send(head()), 401, "audience_mismatch");
});

each_host!(each_configuration_fetches_its_own_keys, |host| {
    shop::open(host, remote_keys());
    let mut elsewhere = remote_keys();
    elsewhere["providers"]["shop"]["remote_jwks"]["path"] = json!("/other/jwks.json");
    let second = host.add(shop::patched(host, elsewhere)).expect("accepted");
    host.advance(200);
    let (of_first, of_second) = (host.first().callouts(), second.callouts());
    assert_eq!((of_first.len(), of_second.len()), (1, 1));
    of_second.into_iter().for_each(|callout| callout.answer(issuer().jwks()));
    assert_eq!(second.send(get()).callout().path(), "/users/alice");
    assert!(!host.first().callouts().is_empty(), "the first still waits for its own");
});

each_host!(a_new_configuration_takes_over_and_requests_under_way_are_served, as built too, |host| {
    shop::open(host, json!({}));
    let waiting = host.send(get());
    let first = host.first();
    let rules = json!([{ "match": {}, "requires": { "scopes_all": ["admin"] } }]);
    let second = host.add(shop::patched(host, json!({ "rules": rules }))).expect("accepted");
    assert_denied(&second.send(get()), 403, "insufficient_scope");
    waiting.answer(user_reply("alice"));
    assert!(waiting.is_forwarded());
    if !host.is_kong() {
        first.retire();
    }
    // Kong's old root context goes on ticking.
    host.advance(1000);
});

each_host!(a_trap_brings_every_configuration_back, on Kong, |host| {
    shop::open(host, json!({}));
    let rules = json!([{ "match": {}, "requires": { "scopes_all": ["admin"] } }]);
    let second = host.add(shop::patched(host, json!({ "rules": rules }))).expect("accepted");
    host.lose_instance();
    shop::served(host, "alice");
    assert_denied(&second.send(get()), 403, "insufficient_scope");
});

each_host!(a_request_that_waits_says_nothing_to_the_other_configuration, |host| {
    shop::open(host, json!({}));
    let second = host.add(shop::patched(host, json!({}))).expect("accepted");
    let (one, two) = (host.send(get()), second.send(get()));
    assert_eq!(host.callouts().len(), 2, "not even on Envoy do they share one");
    one.answer(user_reply("alice"));
    assert!(one.is_forwarded() && two.is_paused());
    two.answer(user_reply("alice"));
    assert!(two.is_forwarded());
});
