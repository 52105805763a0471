//! A request that waits: whatever happens, it ends once and never passes by
//! itself.

use serde_json::json;

use crate::host::{Engine, Head, Host, Outcome, Profile, Reply, each_host};
use crate::shop::{self, ask, assert_denied, is_guarded, served, token, user_reply};

each_host!(a_waiting_request_is_guarded_until_it_may_pass, as built too, |host| {
    shop::open(host, json!({}));
    let request = ask(host, &token("alice"));
    assert!(is_guarded(host, &request));
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded());
    if host.is_kong() {
        assert_eq!(request.property("ngx.upstream_scheme").as_deref(), Some("http"));
    }
    // A denial leaves it on, and a request that never waits never had it.
    let denied = ask(host, &token("bob"));
    denied.answer(Reply::failed());
    assert!(is_guarded(host, &denied));
    let hit = ask(host, &token("alice"));
    assert!(hit.is_forwarded());
});

each_host!(the_guard_gives_the_upstreams_scheme_back, on Kong, |host| {
    shop::open(host, json!({}));
    host.set_property("ngx.upstream_scheme", "https");
    let request = served(host, "alice");
    assert_eq!(request.property("ngx.upstream_scheme").as_deref(), Some("https"));
});

each_host!(a_trap_of_another_lets_no_waiting_request_pass, as built too, |host| {
    shop::open(host, json!({}));
    let waiting = [ask(host, &token("alice")), ask(host, &token("bob"))];
    let callouts = host.callouts();
    host.lose_instance();
    for callout in callouts {
        callout.answer(user_reply("alice"));
    }
    for request in waiting {
        // Kong calls a new instance, which knows nothing of the reply.
        let expected = if host.is_kong() { "invalid URL prefix \"denied\"" } else { "" };
        match request.outcome() {
            Outcome::Failed { status: 500, why } if host.is_kong() => {
                assert!(why.contains(expected), "{why}");
            }
            Outcome::Paused if !host.is_kong() => {}
            outcome => panic!("{outcome:?}"),
        }
    }
    // In a new instance the SDK does not know the callout, and panics. Nothing else
    // waits there, so the next one serves.
    let traps = host.take_violations();
    assert_eq!(traps.len(), if host.is_kong() { 2 } else { 0 }, "{traps:?}");
    let is_of_reply = |trap: &String| trap.starts_with("proxy_on_http_call_response trapped");
    assert!(traps.iter().all(is_of_reply), "{traps:?}");
    if host.is_kong() {
        served(host, "alice");
    } else {
        assert_eq!(ask(host, &token("alice")).status(), 503, "FAIL_CLOSED");
    }
});

each_host!(however_many_wait_for_one_reply_each_ends_and_the_next_one_is_served, on Envoy, |host| {
    shop::open(host, json!({}));
    let usual = host.tick_period_ms();
    for reply in [Reply::failed(), user_reply("alice")] {
        let is_good = matches!(reply, Reply::Response(_));
        let waiting: Vec<_> = (0..400).map(|_| ask(host, &token("alice"))).collect();
        let callouts = host.callouts();
        assert_eq!(callouts.len(), 1);
        callouts.into_iter().for_each(|callout| callout.answer(reply.clone()));
        if is_good {
            // Who comes now is served before those who still wait.
            assert!(ask(host, &token("alice")).is_forwarded());
        }
        assert!(waiting.iter().any(|request| request.is_paused()), "not all at once");
        assert!(is_guarded(host, waiting.last().unwrap()));
        host.advance(200);
        for request in waiting {
            match is_good {
                true => assert!(request.is_forwarded()),
                false => assert_denied(&request, 503, "user_info_unavailable"),
            }
        }
        assert_eq!(host.tick_period_ms(), usual, "nothing is left");
    }
    served(host, "bob");
});

// RFC 9110 section 15.4 (R62)
each_host!(a_reply_that_never_comes_ends_in_503, |host| {
    shop::open(host, json!({}));
    let request = ask(host, &token("alice"));
    host.advance(499);
    assert!(request.is_paused());
    assert!(is_guarded(host, &request));
    host.advance(1);
    assert_denied(&request, 503, "user_info_unavailable");
    // Who waited in vain is not asked about again for a second.
    assert_denied(&ask(host, &token("alice")), 503, "user_info_unavailable");
    host.advance(1000);
    served(host, "alice");
});

each_host!(a_host_that_forgets_the_time_out_is_reminded, on Envoy, |host| {
    shop::open(host, json!({}));
    let request = ask(host, &token("alice"));
    let joined = ask(host, &token("alice"));
    // Past the service's 500 ms and the grace of 2 s, by the host's clock.
    host.set_now(shop::START + 3);
    let callout = request.callout();
    host.tick();
    assert_denied(&request, 503, "user_info_unavailable");
    assert_denied(&joined, 503, "user_info_unavailable");
    callout.deliver_late(user_reply("alice"));
    host.advance(1000);
    served(host, "alice");
});

each_host!(a_late_reply_is_harmless, on Kong, |host| {
    shop::open(host, json!({}));
    let request = ask(host, &token("alice"));
    let late = request.callout();
    request.reset();
    late.deliver_late(user_reply("alice"));
    assert!(!request.is_forwarded());
    assert!(ask(host, &token("alice")).is_paused(), "and not believed");
});

each_host!(the_token_of_a_second_callout_is_free_again_too, on Kong, |host| {
    shop::open(host, shop::remote_keys());
    let request = ask(host, &token("alice"));
    let next = host.next_token();
    request.answer(shop::issuer().jwks());
    assert_eq!(request.callout().path(), "/users/alice");
    request.reset();
    host.set_next_token(next);
    served(host, "alice");
});

// Without that the SDK's table of callouts would grow, and here it would panic.
each_host!(the_token_of_a_request_that_is_over_is_free_again, on Kong, |host| {
    shop::open(host, json!({}));
    for _ in 0..3 {
        let next = host.next_token();
        let request = ask(host, &token("alice"));
        assert!(request.is_paused());
        request.reset();
        host.set_next_token(next);
    }
    let (first, second) = (ask(host, &token("alice")), ask(host, &token("bob")));
    second.answer(user_reply("bob"));
    first.answer(user_reply("alice"));
    assert!(first.is_forwarded() && second.is_forwarded());
});

each_host!(a_client_that_leaves_takes_its_callout_along, on Kong, |host| {
    shop::open(host, json!({}));
    for _ in 0..3 {
        let request = ask(host, &token("alice"));
        request.reset();
        assert!(host.callouts().is_empty());
    }
    host.advance(5000);
    assert!(host.callouts().is_empty());
    served(host, "alice");
});

each_host!(clients_that_ask_and_leave_make_one_callout, on Envoy, |host| {
    shop::open(host, json!({}));
    for _ in 0..100 {
        ask(host, &token("alice")).reset();
        assert_eq!(host.callouts().len(), 1, "Envoy does not end it, so it is used");
    }
    host.callouts().remove(0).answer(user_reply("alice"));
    assert!(ask(host, &token("alice")).is_forwarded(), "what it brought is known");
});

each_host!(a_callout_that_everybody_left_ends_at_its_time_out, on Envoy, |host| {
    shop::open(host, json!({}));
    let requests = ["alice"; 3].map(|sub| ask(host, &token(sub)));
    requests.iter().for_each(|request| request.reset());
    host.advance(500);
    assert!(host.callouts().is_empty());
    host.advance(1000);
    served(host, "alice");
});

each_host!(requests_of_one_user_share_one_callout, on Envoy, |host| {
    shop::open(host, json!({}));
    let requests = ["alice", "alice", "alice"].map(|sub| ask(host, &token(sub)));
    let other = ask(host, &token("bob"));
    assert_eq!(host.callouts().len(), 2);
    host.callouts().remove(0).answer(user_reply("alice"));
    assert!(requests.iter().all(|request| request.is_forwarded()));
    assert!(other.is_paused());
    other.answer(user_reply("bob"));
    for request in requests {
        assert_eq!(request.upstream_headers("x-user-country"), ["NL"]);
    }
});

each_host!(requests_of_one_user_ask_each_for_themselves, on Kong, |host| {
    shop::open(host, json!({}));
    let requests = ["alice", "alice", "alice"].map(|sub| ask(host, &token(sub)));
    assert_eq!(host.callouts().len(), 3);
    for request in &requests {
        assert!(is_guarded(host, request));
        request.answer(user_reply("alice"));
        assert!(request.is_forwarded());
    }
});

each_host!(a_request_that_the_host_has_lost_takes_no_callout_along, on Envoy, |host| {
    shop::open(host, shop::remote_keys());
    let [lost, other] = ["alice"; 2].map(|sub| ask(host, &token(sub)));
    lost.lose();
    host.callouts().remove(0).answer(shop::issuer().jwks());
    // Both were to wait for one, which is sent all the same.
    let mut callouts = host.callouts();
    assert_eq!(callouts.len(), 1);
    callouts.remove(0).answer(user_reply("alice"));
    assert!(other.is_forwarded(), "{:?}", other.outcome());
});

// That nothing is left, as other tests say, is worth only as much as this count.
#[test]
fn what_waits_is_counted_in_every_configuration_until_it_is_over() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let host = Host::new(crate::FILTER, Engine::Native, profile);
        shop::open(&host, json!({}));
        let first = host.first();
        let second = host.add(shop::patched(&host, json!({}))).expect("accepted");
        assert_eq!(host.in_progress(), 0);
        let head = || Head::get("/").header("authorization", &shop::bearer("alice"));
        let requests = [&first, &second].map(|plugin| plugin.send(head()));
        // The context, the request, and what it waits for, of each.
        assert_eq!(host.in_progress(), 6, "{profile:?}");
        host.callouts().into_iter().for_each(|callout| callout.answer(user_reply("alice")));
        assert!(requests.iter().all(|request| request.is_forwarded()));
        assert_eq!(
            host.in_progress(),
            4,
            "{profile:?}: the contexts, and that their requests pass"
        );
        requests.iter().for_each(|request| request.finish());
        assert_eq!(host.in_progress(), 0, "{profile:?}");
        host.finish();
    }
}

each_host!(a_failure_is_shared_like_an_answer, on Envoy, |host| {
    shop::open(host, json!({}));
    let requests = ["alice", "alice"].map(|sub| ask(host, &token(sub)));
    host.callouts().remove(0).answer(Reply::failed());
    requests.iter().for_each(|request| assert_denied(request, 503, "user_info_unavailable"));
});

each_host!(requests_that_joined_one_that_left_are_served, on Envoy, |host| {
    shop::open(host, json!({}));
    let [first, second, third, gone] = ["alice"; 4].map(|sub| ask(host, &token(sub)));
    first.reset();
    gone.reset();
    assert_eq!(host.callouts().len(), 1);
    assert!(second.is_paused() && third.is_paused());
    host.callouts().remove(0).answer(user_reply("alice"));
    assert!(second.is_forwarded() && third.is_forwarded());
    host.advance(5000);
    assert!(host.callouts().is_empty());
});

each_host!(a_token_that_ends_while_it_waits_is_refused, |host| {
    shop::open(host, json!({}));
    let request = ask(host, &token("alice"));
    let callout = request.callout();
    host.set_now(shop::START + 3600 + 60);
    callout.answer(user_reply("alice"));
    assert_denied(&request, 401, "token_expired");
});

each_host!(a_request_with_a_body_waits_like_any_other, as built too, |host| {
    shop::open(host, json!({}));
    let head = Head::get("/orders").post("{\"kettles\":2}").by_hand();
    let request = host.send(head.header("authorization", &shop::bearer("alice")));
    assert_eq!(request.piece(b"{\"kettles\"", false), Some(false), "it waits");
    assert_eq!(request.headers_passed(), None, "and so do its headers");
    request.answer(user_reply("alice"));
    assert_eq!(request.piece(b":2}", true), Some(true));
    assert!(request.is_forwarded());
});

each_host!(a_late_reply_to_a_key_fetch_is_harmless, on Kong, |host| {
    shop::open(host, shop::remote_keys());
    let request = ask(host, &token("alice"));
    let late = request.callout();
    request.reset();
    late.deliver_late(shop::issuer().jwks());
    host.tick();
    assert_eq!(host.background_callouts().len(), 1);
});

each_host!(a_reply_that_drips_is_waited_for, on Kong, |host| {
    shop::open(host, json!({}));
    // Kong's time-out starts again with each read, so it may take any time; and
    // a tick cannot answer a request there.
    let request = ask(host, &token("alice"));
    host.set_now(shop::START + 30);
    host.tick();
    assert!(request.is_paused());
    assert!(is_guarded(host, &request));
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded());
});

each_host!(a_key_fetch_that_drips_does_not_keep_others_from_fetching, on Kong, |host| {
    shop::open(host, shop::remote_keys());
    let request = ask(host, &token("alice"));
    assert_eq!(request.callout().path(), "/jwks.json");
    host.set_now(shop::START + 30);
    host.tick();
    host.background_callouts().remove(0).answer(shop::issuer().jwks());
    assert!(ask(host, &token("bob")).is_paused(), "which waits for its user only");
    request.answer(Reply::failed());
    assert_eq!(request.callout().path(), "/users/alice");
});
