//! How many headers a request may have, which on Kong is a matter of life and
//! death for the others.

use serde_json::json;

use crate::host::{Head, each_host};
use crate::shop::{self, ask, assert_denied, bearer, is_guarded, served, token, user_reply};

/// A valid request with `count` header fields, as the host counts them.
fn head_with(count: usize) -> Head {
    // Host and authorization are two of them.
    let many = (2..count).fold(Head::get("/"), |head, n| head.header(&format!("x-{n}"), "v"));
    many.header("authorization", &bearer("alice"))
}

each_host!(ninety_headers_are_too_many_for_kong, as built too, |host| {
    shop::open(host, json!({}));
    served(host, "alice");
    assert!(host.send(head_with(89)).is_forwarded());
    for count in [90, 97, 100, 101, 130, 1000] {
        let request = host.send(head_with(count));
        if host.is_kong() {
            assert_denied(&request, 431, "headers_too_many");
        } else {
            assert!(request.is_forwarded(), "{count}");
        }
    }
    served(host, "alice");
});

each_host!(a_forged_header_cannot_hide_behind_others, |host| {
    shop::open(host, json!({}));
    served(host, "alice");
    for count in [88, 95, 129] {
        let request = host.send(head_with(count).header("x-consumer-id", "forged"));
        if request.is_forwarded() {
            assert_eq!(request.upstream_headers("x-consumer-id"), ["5c0c"], "{count}");
        } else {
            assert_denied(&request, 431, "headers_too_many");
        }
    }
});

each_host!(a_request_with_130_headers_harms_nobody_who_waits, as built too, |host| {
    shop::open(host, json!({}));
    let waiting = ask(host, &token("alice"));
    let large = host.send(head_with(130));
    assert_eq!(large.is_paused(), !host.is_kong(), "on Envoy it joins the other");
    assert!(is_guarded(host, &waiting));
    waiting.answer(user_reply("alice"));
    assert!(waiting.is_forwarded());
});

each_host!(large_headers_are_no_trap, as built too, |host| {
    shop::open(host, json!({}));
    let large = "a".repeat(200_000);
    let request = host.request([("authorization", &format!("Bearer {large}"))]);
    assert_denied(&request, 401, "token_too_large");
    let request = host.request([("x-any", &large), ("authorization", &bearer("alice"))]);
    request.answer(user_reply("alice"));
    assert_eq!(request.upstream_headers("x-any"), [large]);
});
