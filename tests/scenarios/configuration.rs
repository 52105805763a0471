//! Start: good, bad and empty configurations, and the forms they come in.

use serde_json::{Value, json};

use crate::host::{Head, Host, Outcome, Status, each_host};
use crate::kinds;
use crate::protobuf;
use crate::shop::{self, served};

/// Configures with bytes that cannot be accepted, and shows that nobody passes.
fn assert_refused(host: &Host, bytes: &[u8], problem: &str) {
    shop::set_environment(host);
    let accepted = host.configure_bytes(bytes);
    assert_eq!(accepted, host.is_kong(), "Envoy refuses, Kong would skip the filter");
    let lines: Vec<_> = host.logs().into_iter().filter(|line| line.level >= 4).collect();
    let [line] = lines.as_slice() else { panic!("one line, not {lines:#?}") };
    assert!(line.text.contains(problem) && !line.text.contains('\n'), "{}", line.text);
    if host.is_kong() {
        let paths = ["/", "/login", "/catalog", shop::JWKS_PATH];
        for path in paths {
            let head = Head::get(path).header("authorization", &shop::bearer("alice"));
            shop::assert_denied(&host.send(head), 503, "configuration_invalid");
        }
        assert_eq!(host.tick_period_ms(), None);
        host.advance(1000);
        assert!(host.callouts().is_empty());
    }
}

each_host!(an_empty_configuration_lets_nobody_pass, as built too, |host| {
    assert_refused(host, b"", "$: found nothing")
});

each_host!(a_configuration_of_null_lets_nobody_pass, |host| {
    assert_refused(host, b"null", "accepted: an object")
});

each_host!(a_configuration_that_is_no_json_lets_nobody_pass, |host| {
    assert_refused(host, b"{\"services\": \xff\xfe", "a JSON object")
});

each_host!(every_problem_is_logged_in_one_line, as built too, |host| {
    let patch = json!({
        "rulez": [], "user_info": { "service": "nobody" }, "identity_token": { "ttl_seconds": 0 },
    });
    let configuration = shop::patched(host, patch).to_string();
    assert_refused(host, configuration.as_bytes(), "3 problem(s)");
    for path in ["$.rulez", "$.user_info.service", "$.identity_token.ttl_seconds"] {
        assert!(host.logged(path), "{path}");
    }
});

// The same words as those of `gatepass check`.
each_host!(mistakes_of_every_kind_are_told_as_it_starts, |host| {
    shop::open(host, json!({}));
    let mut count = 0;
    for mistake in kinds::KINDS.iter().filter(|it| !it.patch.is_empty()) {
        let patch = serde_json::from_str(mistake.patch).unwrap();
        let added = host.add(shop::patched(host, patch));
        assert_eq!(added.is_some(), host.is_kong(), "{}", mistake.kind);
        assert!(host.logged(mistake.told), "{}: {:#?}", mistake.kind, host.logs());
        count += 1;
    }
    assert!(count > 15);
});

each_host!(consumers_of_kong_are_refused_where_they_cannot_be_asked_for, |host| {
    let patch = json!({ "consumers": { "kong": "custom_id" } });
    let configuration = shop::patched(host, patch).to_string();
    assert_refused(host, configuration.as_bytes(), "$.consumers.kong");
});

each_host!(many_problems_are_all_logged, |host| {
    let configuration = shop::patched(host, json!({ "rules": vec![json!({"rul": 1}); 60] }));
    shop::set_environment(host);
    host.configure_bytes(configuration.to_string().as_bytes());
    let lines: Vec<_> = host.logs().into_iter().filter(|line| line.level >= 4).collect();
    assert_eq!(lines.len() > 1, host.is_kong(), "nginx cuts lines: {lines:#?}");
    assert!(lines[0].text.contains("invalid configuration, 120 problem(s): "));
    for rule in 0..60 {
        for field in ["rul: found an unknown field", "match: found nothing"] {
            assert!(host.logged(&format!("$.rules[{rule}].{field}, accepted: ")), "{rule} {field}");
        }
    }
});

each_host!(a_secret_that_is_not_set_is_a_problem, as built too, |host| {
    let key = json!({ "env": "SCENARIO_UNSET" });
    let patch = json!({ "user_info": { "headers": { "x-api-key": key } } });
    let configuration = shop::patched(host, patch).to_string();
    assert_refused(host, configuration.as_bytes(), "SCENARIO_UNSET");
});

each_host!(a_problem_does_not_show_the_secret_it_is_about, |host| {
    let key = json!([{ "algorithm": "EdDSA", "private_key": shop::SIGNING_KEY, "kid": 7 }]);
    let patch = json!({ "identity_token": { "signing_keys": key } });
    let configuration = shop::patched(host, patch).to_string();
    assert_refused(host, configuration.as_bytes(), "$.identity_token.signing_keys[0]");
    assert!(!host.logged("MIGH"));
});

/// The text that Kong's encoder makes: `/` escaped, whole numbers as floats.
fn as_kong_writes(value: &Value) -> String {
    value.to_string().replace('/', "\\/").replace("\"timeout_ms\":500", "\"timeout_ms\":5e2")
}

each_host!(an_empty_list_may_come_as_an_empty_object, |host| {
    shop::set_environment(host);
    let patch = json!({
        "token": { "from_cookies": [], "from_params": [] },
        "rules": [{ "match": {}, "requires": { "scopes_all": [], "groups_any": [] } }],
        "identity_token": { "claims": { "copy": [] } },
    });
    let configuration = shop::patched(host, patch);
    let configuration = as_kong_writes(&configuration).replace("[]", "{}");
    assert!(host.configure_bytes(configuration.as_bytes()), "{:#?}", host.logs());
    served(host, "alice");
});

each_host!(a_binary_struct_is_read_like_json, by proxy_wasm, |host| {
    shop::set_environment(host);
    let configuration = shop::configuration(host.profile());
    let bytes = protobuf::fields(configuration.as_object().unwrap());
    assert!(host.configure_bytes(&bytes), "{:#?}", host.logs());
    let request = served(host, "alice");
    assert_eq!(request.upstream_headers("x-consumer-username"), ["web-app"]);
});

each_host!(an_error_in_a_binary_struct_is_found_too, by proxy_wasm, |host| {
    let configuration = shop::patched(host, json!({ "rulez": [] }));
    let bytes = protobuf::fields(configuration.as_object().unwrap());
    assert_refused(host, &bytes, "$.rulez");
});

each_host!(the_tick_is_set_once_and_starts_nothing_by_itself, as built too, |host| {
    shop::open(host, json!({}));
    // A second time would trap on Kong, and a callout here would fail the start.
    assert_eq!(host.tick_period_ms(), Some(100));
    assert!(host.callouts().is_empty());
    host.advance(10_000);
    assert!(host.callouts().is_empty(), "with inline keys there is nothing to fetch");
});

each_host!(one_good_and_one_bad_configuration_in_one_vm, as built too, |host| {
    shop::open(host, json!({}));
    let bad = host.add(shop::patched(host, json!({ "rulez": [] })));
    match bad {
        None => assert!(!host.is_kong(), "Envoy keeps the old listener"),
        Some(bad) => {
            let request = bad.send(Head::get("/login"));
            shop::assert_denied(&request, 503, "configuration_invalid");
        }
    }
    let outcome = served(host, "alice").outcome();
    assert!(matches!(outcome, Outcome::Forwarded { failed_open: None, .. }));
});

// A worker dies of a trap while a request waits, so asking for shared data is no way
// to find out whether there are any.
each_host!(shared_data_without_a_zone_let_nobody_pass, on Kong, |host| {
    let mut patch = shop::remote_keys();
    patch["shared_data"] = json!("always");
    shop::open(host, patch);
    host.advance(1000);
    for authorization in ["", &shop::bearer("alice")] {
        let head = Head::get("/").header("authorization", authorization);
        shop::assert_denied(&host.send(head), 503, "configuration_invalid");
        host.advance(1000);
    }
    let problem = "$.shared_data: found always, and no zone for it";
    let lines = host.logs().into_iter().filter(|line| line.text.contains(problem)).count();
    assert_eq!(lines, 1, "{:?}", host.logs());
    assert_eq!(host.take_calls().get("proxy_get_shared_data"), None, "which would trap");
});

// Its zone cannot be looked for, nothing can keep a request that waits from passing after a
// trap, and there is no access log that reads notes.
each_host!(an_nginx_without_kong_is_served, on Kong, |host| {
    host.without_kong();
    host.with_shm_kv();
    let properties = json!({ "properties": true });
    shop::open(host, json!({ "shared_data": "always", "access_log": properties }));
    let request = served(host, "alice");
    assert_eq!(request.upstream_headers("x-consumer-username"), ["web-app"]);
    shop::assert_denied(&host.send(Head::get("/orders")), 401, "token_missing");
    assert!(host.logged(&format!(r#""request_id":"{:032x}""#, 3)), "{:#?}", host.logs());
    assert_eq!(host.take_calls().get("proxy_set_property"), None, "there is nothing to set");
});

fn assert_serves_nobody(host: &Host) {
    shop::open(host, json!({}));
    for _ in 0..2 {
        let head = Head::get("/").header("authorization", &shop::bearer("alice"));
        shop::assert_denied(&host.send(head), 503, "configuration_invalid");
    }
    assert!(host.logged("an Envoy that lets the filter call proxy_get_property"));
}

// `capability_restriction_config` may leave out what tells Envoy from others.
each_host!(an_envoy_without_properties_is_not_taken_for_kong, on Envoy, |host| {
    host.refuse_calls("proxy_get_property", Status::InternalFailure);
    assert_serves_nobody(host);
});

// It may be any other, and Kong's rules are safe on all.
each_host!(a_host_that_says_nothing_of_itself_is_not_taken_for_envoy, on Envoy, |host| {
    host.set_property("xds.node", "");
    assert_serves_nobody(host);
});

each_host!(what_the_host_keeps_back_is_said_when_it_is_configured, by proxy_wasm, |host| {
    shop::open(host, json!({}));
    let (clock, timer) =
        ("proxy_get_current_time_nanoseconds", "proxy_set_tick_period_milliseconds");
    let context = "proxy_set_effective_context";
    for call in ["proxy_get_buffer_bytes", clock, timer, context] {
        host.refuse_calls(call, Status::InternalFailure);
        match host.add(shop::patched(host, json!({"shared_data": "never"}))) {
            None => assert!(!host.is_kong(), "{call}: Kong would skip the filter"),
            Some(plugin) => {
                assert!(host.is_kong(), "{call}: the listener is refused");
                let denied = plugin.send(Head::get("/health"));
                shop::assert_denied(&denied, 503, "configuration_invalid");
            }
        }
        assert!(host.logged(&format!("one that lets the filter call {call}")), "{call}");
        host.allow_calls();
    }
    assert!(host.logged("does not provide the configuration (status 10)"));
    // Kong's can be asked in a request only.
    if !host.is_kong() {
        host.refuse_calls("proxy_get_shared_data", Status::InternalFailure);
        let mut patch = shop::remote_keys();
        patch["shared_data"] = json!("always");
        assert!(host.add(shop::patched(host, patch)).is_none(), "the listener is refused");
        assert!(host.logged("$.shared_data: found a host that does not provide shared data"));
        host.allow_calls();
    }
});

each_host!(with_a_zone_workers_share_from_the_first_request_on, on Kong, |host| {
    host.with_shm_kv();
    let mut patch = shop::remote_keys();
    patch["shared_data"] = json!("always");
    shop::open(host, patch);
    host.advance(1000);
    assert!(host.background_callouts().is_empty(), "nothing that would not be shared");
    let alice = || Head::get("/").header("authorization", &shop::bearer("alice"));
    let request = host.send(alice());
    request.answer(shop::issuer().jwks());
    request.answer(shop::user_reply("alice"));
    assert!(request.is_forwarded(), "{:?}", request.outcome());
    // Another worker finds the keys, once it had a request.
    host.lose_instance();
    shop::assert_denied(&host.send(Head::get("/")), 401, "token_missing");
    host.tick();
    let request = host.send(alice());
    request.answer(shop::user_reply("alice"));
    assert!(request.is_forwarded(), "{:?}", request.outcome());
});
