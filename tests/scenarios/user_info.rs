//! User info that fails, and what that means for the request.

use serde_json::json;

use crate::host::{Engine, Host, Profile, Reply, each_host};
use crate::shop::{self, ask, assert_denied, identity, served, token, user_reply};

/// Every way in which a reply is no answer about alice.
fn failures() -> Vec<(&'static str, Reply)> {
    vec![
        ("no reply", Reply::failed()),
        ("broken off", user_reply("alice").broken_off()),
        ("no :status", Reply::without_status().body(shop::user("alice").to_string())),
        ("500", Reply::status(500).body(shop::user("alice").to_string())),
        ("401", Reply::status(401)),
        ("302", Reply::status(302).header("location", "/users/root")),
        ("no body", Reply::status(200)),
        ("204", Reply::status(204)),
        ("not JSON", Reply::ok("<html>")),
        ("not UTF-8", Reply::ok([b'{', 0xFF, b'}'])),
        ("a list", Reply::ok("[]")),
        ("cut short", Reply::ok(r#"{"sub":"alice","address":{"country":"NL"}"#)),
        ("a member twice", Reply::ok(r#"{"sub":"bob","sub":"alice","address":{"country":"NL"}}"#)),
        ("another user", user_reply("bob")),
        ("no country", Reply::ok(r#"{"sub":"alice"}"#)),
        ("a country of null", Reply::ok(r#"{"sub":"alice","address":{"country":null}}"#)),
        (
            "a line break for a header",
            Reply::ok(r#"{"sub":"alice","address":{"country":"NL\r\nx-admin: 1"}}"#),
        ),
        ("too large", Reply::ok(format!(r#"{{"sub":"alice","x":"{}"}}"#, "x".repeat(4096)))),
    ]
}

each_host!(a_failure_is_503_and_never_401, |host| {
    shop::open(host, json!({}));
    for (case, reply) in failures() {
        let request = ask(host, &token("alice"));
        request.answer(reply);
        assert_eq!(shop::denial(&request), (503, "user_info_unavailable".to_owned()), "{case}");
        assert_eq!(request.reply().header("retry-after").as_deref(), Some("1"), "{case}");
    }
    assert!(host.logged("user_info_failed"));
    assert!(served(host, "alice").is_forwarded(), "a failure is not kept");
});

each_host!(degrade_forwards_and_says_so, |host| {
    shop::open(host, json!({ "user_info": { "failure_mode": "degrade" } }));
    for (case, reply) in failures() {
        let request = ask(host, &token("alice"));
        request.answer(reply);
        let claims = identity(host, &request);
        assert_eq!(claims["enrichment"], "none", "{case}");
        assert_eq!(claims.get("country"), None, "{case}");
        assert!(request.upstream_headers("x-user-country").is_empty(), "{case}");
    }
    assert_eq!(served(host, "alice").upstream_headers("x-user-country"), ["NL"]);
});

each_host!(degrade_does_not_decide_a_rule_on_what_is_not_known, |host| {
    let rule = json!({ "match": {}, "requires": { "claims": { "country": ["NL"] } } });
    shop::open(host, json!({ "user_info": { "failure_mode": "degrade" }, "rules": [rule] }));
    let request = ask(host, &token("alice"));
    request.answer(Reply::failed());
    assert_denied(&request, 503, "user_info_unavailable");
    let request = ask(host, &token("alice"));
    request.answer(Reply::ok(r#"{"sub":"alice","address":{"country":"BE"}}"#));
    assert_denied(&request, 403, "claim_forbidden");
});

each_host!(stale_data_serves_while_the_service_fails, |host| {
    shop::open(host, json!({}));
    served(host, "alice");
    host.advance(100_000);
    let request = ask(host, &token("alice"));
    request.answer(Reply::status(500));
    assert_eq!(request.upstream_headers("x-user-country"), ["NL"]);
    assert!(ask(host, &token("alice")).is_forwarded(), "for a second nobody asks again");
    host.advance(1000);
    let again = ask(host, &token("alice"));
    assert!(again.is_paused());
    again.answer(Reply::status(500));
    assert!(again.is_forwarded());
    host.set_now(shop::START + 360);
    let request = ask(host, &token("alice"));
    request.answer(Reply::status(500));
    assert_denied(&request, 503, "user_info_unavailable");
});

each_host!(a_user_that_is_not_known_is_403_for_a_while, |host| {
    shop::open(host, json!({}));
    for status in [404, 410] {
        let request = ask(host, &token("mallory"));
        request.answer(Reply::status(status));
        assert_denied(&request, 403, "user_unknown");
        assert_denied(&ask(host, &token("mallory")), 403, "user_unknown");
        host.advance(5000);
    }
    assert!(ask(host, &token("mallory")).is_paused());
});

/// A service that cannot be called: Envoy says so at once, Kong by a failed call.
fn unreachable_service(host: &Host) {
    let users = json!({ "upstream": "nowhere", "authority": "users.internal" });
    shop::open(host, json!({ "services": { "users": users } }));
    let request = ask(host, &token("alice"));
    if host.is_kong() {
        request.answer(Reply::failed());
    }
    assert_denied(&request, 503, "user_info_unavailable");
    assert!(host.callouts().is_empty());
}

#[test]
fn an_address_that_nginx_cannot_read_is_no_trap() {
    let users = |upstream: &str| {
        let users = json!({ "upstream": upstream, "authority": "users.internal" });
        json!({ "services": { "users": users } })
    };
    // Of a path and the NUL behind it, 108 bytes are kept.
    let [longest, long] = [106, 107].map(|length| format!("unix:/{}", "x".repeat(length)));
    for (upstream, is_address) in [
        ("users", true),
        ("users.internal:8080", true),
        ("users_1:80", true),
        ("127.0.0.1:80", true),
        ("[::1]", true),
        ("[::1]:80", true),
        ("unix:/run/users.sock", true),
        (longest.as_str(), true),
        ("users:+80", false),
        ("users:http", false),
        ("users:", false),
        ("users:80:90", false),
        (":80", false),
        ("::1", false),
        ("[::1", false),
        ("[::1]80", false),
        ("[users]:80", false),
        ("users?x", false),
        ("outbound|80||users", false),
        (long.as_str(), false),
    ] {
        for engine in [Engine::Native, Engine::Module] {
            let host = Host::new(crate::FILTER, engine, Profile::Kong);
            shop::open(&host, users(upstream));
            let request = ask(&host, &token("alice"));
            assert_eq!(request.is_paused(), is_address, "{upstream}");
            if !is_address {
                assert_denied(&request, 503, "user_info_unavailable");
                assert!(host.logged("could not send"), "{upstream}");
            }
            host.finish();
        }
    }
}

each_host!(a_service_that_cannot_be_called_is_503, |host| { unreachable_service(host) });

each_host!(a_reply_may_be_as_large_as_the_limit, |host| {
    shop::open(host, json!({}));
    for (sub, bytes, fits) in [("alice", 4096, true), ("bob", 4097, false)] {
        let user = format!("{:<bytes$}", shop::user(sub).to_string());
        let request = ask(host, &token(sub));
        request.answer(Reply::ok(user));
        assert_eq!(request.is_forwarded(), fits, "{bytes}: {:?}", request.outcome());
    }
});

each_host!(a_reply_may_say_how_long_it_holds, |host| {
    shop::open(host, json!({}));
    ask(host, &token("alice")).answer(user_reply("alice").header("cache-control", "max-age=10"));
    host.advance(9_999);
    assert!(ask(host, &token("alice")).is_forwarded());
    host.advance(1);
    let request = ask(host, &token("alice"));
    request.answer(user_reply("alice").header("Cache-Control", "no-store"));
    assert!(request.is_forwarded());
    assert!(ask(host, &token("alice")).is_paused(), "no-store is obeyed");
});

each_host!(every_field_of_a_reply_counts, |host| {
    shop::open(host, json!({}));
    let reply = || user_reply("alice").header("cache-control", "max-age=50");
    ask(host, &token("alice")).answer(reply().header("Cache-Control", "private, no-store"));
    let again = ask(host, &token("alice"));
    assert!(again.is_paused(), "the second field says no-store");
    again.answer(reply().header("cache-control", "max-age=10"));
    host.advance(10_000);
    assert!(ask(host, &token("alice")).is_paused(), "the shortest counts");
});

// Whether another field says no-store cannot be seen on Kong.
each_host!(a_reply_of_too_many_fields_to_list_does_not_hold, |host| {
    shop::open(host, json!({}));
    for (sub, count) in [("alice", 89), ("bob", 90), ("carol", 200)] {
        let reply = user_reply(sub).header("cache-control", "max-age=50");
        let request = ask(host, &token(sub));
        // Three are there.
        request.answer((3..count).fold(reply, |reply, n| reply.header(&format!("x-{n}"), "v")));
        assert!(request.is_forwarded());
        let holds = !host.is_kong() || count < 90;
        assert_eq!(ask(host, &token(sub)).is_forwarded(), holds, "{count}");
    }
});

each_host!(a_reply_may_hold_any_bytes, as built too, |host| {
    shop::open(host, json!({}));
    let reply = user_reply("alice")
        .raw_header("cache-control", b"max-age=\xff")
        .raw_header("x-odd", b"\xff\xfe\x80")
        .header("x-empty", "");
    let request = ask(host, &token("alice"));
    request.answer(reply);
    assert!(request.is_forwarded());
    let utf8 = r#"{"sub":"bob","address":{"country":"Österreich 100%"}}"#;
    let request = ask(host, &token("bob"));
    request.answer(Reply::ok(utf8));
    assert_eq!(request.upstream_headers("x-user-country"), ["%C3%96sterreich 100%25"]);
    assert_eq!(identity(host, &request)["country"], "Österreich 100%");
});
