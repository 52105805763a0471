//! What operators count.

use serde_json::{Value, json};

use crate::host::{Head, Host, Reply, each_host};
use crate::shop::{self, ask, bearer, issuer, served, token, user_reply};

/// The counters that moved, and by how much.
fn moved(host: &Host) -> Vec<(String, u64)> {
    host.tick();
    let is_about_requests = |name: &str| {
        let others = ["crypto", "age", "callout", "processing", "config", "signing", "build"];
        let is_other = others.iter().any(|other| name.contains(&format!("_{other}_")));
        !is_other && !name.starts_with("gatepass_cache_bytes")
    };
    let metrics = host.metrics().into_iter();
    metrics.filter(|(name, value)| *value > 0 && is_about_requests(name)).collect()
}

fn assert_moved<const N: usize>(host: &Host, expected: [(&str, u64); N]) {
    let mut expected = expected.map(|(name, value)| (format!("gatepass_{name}"), value));
    expected.sort();
    assert_eq!(moved(host), expected);
}

each_host!(requests_and_caches_are_counted, as built too, |host| {
    shop::open(host, json!({}));
    for _ in 0..3 {
        served(host, "alice");
    }
    served(host, "bob");
    host.send(Head::get("/catalog"));
    host.send(Head::get("/login"));
    host.send(Head::get("/login?x=1"));
    host.send(Head::get(shop::JWKS_PATH));
    host.request([]);
    ask(host, "a.b.c");
    host.send(Head::get("/admin").header("authorization", &bearer("alice")));
    assert_moved(
        host,
        [
            ("requests_total.outcome.allowed.code.none", 4),
            ("requests_total.outcome.anonymous.code.none", 1),
            ("requests_total.outcome.bypassed.code.none", 2),
            ("requests_total.outcome.jwks.code.none", 1),
            ("requests_total.outcome.denied.code.token_missing", 1),
            ("requests_total.outcome.denied.code.token_malformed", 1),
            ("requests_total.outcome.denied.code.insufficient_scope", 1),
            ("cache_misses_total.cache.token", 6),
            ("cache_misses_total.cache.user_info", 2),
            ("cache_hits_total.cache.user_info", 2),
            ("fetches_total.service.users.result.2xx", 2),
            ("minted_total", 4),
        ],
    );
});

each_host!(a_known_token_costs_two_counts, |host| {
    shop::open(host, json!({}));
    let token = token("alice");
    ask(host, &token).answer(user_reply("alice"));
    let before = moved(host);
    assert!(ask(host, &token).is_forwarded());
    let after = moved(host);
    let delta: Vec<_> = after.iter().filter(|entry| !before.contains(entry)).collect();
    let names: Vec<_> = delta.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "gatepass_cache_hits_total.cache.token",
            "gatepass_requests_total.outcome.allowed.code.none"
        ]
    );
});

each_host!(services_that_fail_are_counted_by_how, |host| {
    let cache = json!({ "ttl_seconds": 1, "negative_ttl_seconds": 0 });
    shop::open(host, json!({ "user_info": { "cache": cache } }));
    served(host, "alice");
    host.advance(2000);
    for reply in [
        Reply::status(503),
        Reply::status(404),
        Reply::status(302),
        Reply::failed(),
        Reply::ok([b'x'; 5000]),
        Reply::ok("no json"),
    ] {
        ask(host, &token("carol")).answer(reply);
    }
    let stale = ask(host, &token("alice"));
    host.advance(600);
    assert!(stale.is_forwarded(), "after the time-out");
    let result =
        |name: &str| host.metric(&format!("gatepass_fetches_total.service.users.result.{name}"));
    assert_eq!(
        ["2xx", "3xx", "4xx", "5xx", "no_reply", "too_large", "not_sent", "other"].map(result),
        [2, 1, 1, 1, 2, 1, 0, 0]
    );
    host.tick();
    assert_eq!(host.metric("gatepass_cache_stale_total.cache.user_info"), 1);
    // The sum of what the histogram was given.
    let took = host.metric("gatepass_callout_milliseconds.service.users");
    assert!((500..=600).contains(&took), "{took}");
    let denied = host.metric("gatepass_requests_total.outcome.denied.code.user_info_unavailable");
    assert_eq!(denied, 5);
});

each_host!(a_full_cache_is_seen, |host| {
    let patch = json!({
        "limits": { "token_cache_entries": 2 }, "user_info": { "cache": { "max_entries": 1 } },
    });
    shop::open(host, patch);
    for sub in ["alice", "bob", "carol"] {
        served(host, sub);
    }
    host.tick();
    assert_eq!(host.metric("gatepass_cache_evictions_total.cache.token"), 1);
    assert_eq!(host.metric("gatepass_cache_evictions_total.cache.user_info"), 2);
});

each_host!(the_memory_of_caches_is_shown, |host| {
    shop::open(host, json!({}));
    served(host, "alice");
    host.tick();
    for cache in ["token", "user_info"] {
        assert!(host.metric(&format!("gatepass_cache_bytes.cache.{cache}")) > 100, "{cache}");
    }
});

each_host!(the_age_of_keys_is_shown, |host| {
    shop::open(host, shop::remote_keys());
    let age = || host.metric("gatepass_jwks_age_seconds.provider.shop");
    host.tick();
    assert_eq!(age(), 0);
    // Keys that never came are as old as the filter.
    host.background_callouts().remove(0).answer(Reply::status(500));
    host.advance(5000);
    assert!((4..=5).contains(&age()), "{}", age());
    while host.background_callouts().is_empty() {
        host.tick();
    }
    host.background_callouts().remove(0).answer(issuer().jwks());
    host.tick();
    assert_eq!(age(), 0);
    host.advance(9000);
    assert!((8..=9).contains(&age()), "{}", age());
});

each_host!(the_age_of_keys_ends_with_their_configuration, on Envoy, |host| {
    shop::open(host, shop::remote_keys());
    let age = || host.metric("gatepass_jwks_age_seconds.provider.shop");
    let first = host.first();
    host.add(shop::patched(host, json!({}))).expect("accepted");
    host.tick();
    host.background_callouts().remove(0).answer(Reply::status(500));
    host.advance(5000);
    assert!(age() > 0);
    first.retire();
    assert_eq!(age(), 0, "nobody is to be paged for it");
});

// Kong's runtime knows a metric by a checksum of its name, and traps when a counter is set.
each_host!(two_names_of_one_checksum_are_not_mixed_up, by proxy_wasm, |host| {
    let known = shop::patched(host, shop::remote_keys());
    let mut provider = known["providers"]["shop"].clone();
    provider["remote_jwks"]["service"] = json!("auth-hocr");
    shop::open(
        host,
        json!({
            "services": { "auth-hocr": known["services"]["auth"] },
            "providers": { "shop": null, "shop-cakt": provider },
        }),
    );
    host.tick();
    host.background_callouts().into_iter().for_each(|callout| callout.answer(issuer().jwks()));
    host.advance(5000);
    let fetched = host.metrics().get("gatepass_fetches_total.service.auth-hocr.result.2xx").copied();
    let age = host.metrics().get("gatepass_jwks_age_seconds.provider.shop-cakt").copied();
    let expected = if host.is_kong() { (Some(1), None) } else { (Some(1), Some(5)) };
    assert_eq!((fetched, age), expected);
    served(host, "alice");
});

// The clock of ngx_wasm_module stands still during a callback.
each_host!(one_request_in_64_is_measured, by proxy_wasm, |host| {
    shop::open(host, json!({}));
    let _ = host.take_calls();
    for _ in 0..64 {
        assert!(host.send(Head::get("/login")).is_forwarded());
    }
    let read = host.take_calls()["proxy_get_current_time_nanoseconds"];
    assert_eq!(read, if host.is_kong() { 64 } else { 66 });
});

each_host!(changes_of_signing_keys_and_the_configuration_are_shown, |host| {
    let key = |kid: &str, from: u64, until: u64| {
        json!({ "algorithm": "ES256", "private_key": { "env": "SCENARIO_SIGNING_KEY" }, "kid": kid,
            "sign_from": shop::START + from, "retire_at": shop::START + until })
    };
    let keys = json!([key("a", 0, 60), key("b", 50, 90)]);
    shop::open(host, json!({ "identity_token": { "signing_keys": keys } }));
    let shown = |name: &str| host.metric(&format!("gatepass_signing_key_{name}_timestamp_seconds"));
    for (now, change, end) in [(0, 50, 90), (55, 60, 90), (70, 90, 90)] {
        host.advance(1000 * (shop::START + now - host.now()));
        host.tick();
        let expected = [shop::START + change, shop::START + end];
        assert_eq!([shown("change"), shown("end")], expected, "{now}");
    }
    let hash = host.metric("gatepass_config_hash");
    assert!(hash > 0);
    assert!(host.logged(&format!(r#""config_hash":{hash}"#)));
});

// What a client sends never becomes a name, and no name is too long or of two
// kinds, whatever the configuration calls things. The fake host traps on both
// as Kong does.
each_host!(odd_names_break_nothing, |host| {
    let long = "x".repeat(300);
    let mut services = shop::configuration(host.profile())["services"].clone();
    let users = services["users"].clone();
    for name in ["a.b", "a_b", "ü \n", "outcome.denied", &long] {
        services[name] = users.clone();
    }
    for number in 0..200 {
        services[format!("s{number}")] = users.clone();
    }
    let patch = json!({ "services": services, "user_info": { "service": long } });
    shop::open(host, patch);
    let before: Vec<String> = host.metrics().into_keys().collect();
    assert!(before.len() < 800, "{}", before.len());
    served(host, "alice");
    ask(host, "ü.ü.ü");
    host.send(Head::get("/x.y").header("x-request-id", "a.b.c"));
    host.tick();
    let after: Vec<String> = host.metrics().into_keys().collect();
    assert_eq!(before, after);
    assert_eq!(host.metric("gatepass_requests_total.outcome.allowed.code.none"), 1);
});

each_host!(plugins_of_one_vm_count_together, |host| {
    shop::open(host, json!({}));
    let other = host.add(shop::configuration(host.profile())).unwrap();
    host.first().send(Head::get("/"));
    other.send(Head::get("/"));
    host.tick();
    assert_eq!(host.metric("gatepass_requests_total.outcome.denied.code.token_missing"), 2);
});

/// The name and the labels that Kong's prometheus plugin makes of a metric by the
/// patterns in the filter's metadata (Kong 3.9.3, plugins/prometheus/wasmx.lua):
/// each is searched for behind what the one before it found, and the name ends
/// where the first is.
fn as_kong_reads(metric: &str, labels: &[&str]) -> (String, Vec<(String, String)>) {
    let (mut found, mut name, mut rest) = (Vec::new(), metric, metric);
    for label in labels {
        let Some((before, after)) = rest.split_once(&format!(".{label}.")) else { continue };
        if found.is_empty() {
            name = before;
        }
        let value = after.split('.').next().unwrap();
        found.push(((*label).to_owned(), value.to_owned()));
        rest = after.strip_prefix(value).unwrap();
    }
    (format!("pw_gatepass_{name}"), found)
}

/// Kong shows labels by the patterns in the filter's metadata, which are those of
/// PCRE: two captures, the label with its name and its value.
fn labels_of_kong() -> Vec<String> {
    let metadata: Value =
        serde_json::from_str(include_str!("../../kong/gatepass.meta.json")).unwrap();
    let patterns = metadata["metrics"]["label_patterns"].as_array().unwrap();
    let label = |pattern: &Value| {
        let label = pattern["label"].as_str().unwrap().to_owned();
        assert_eq!(pattern["pattern"], format!(r"(\.{label}\.([^.]+))"));
        label
    };
    patterns.iter().map(label).collect()
}

// A dot that is left in a name makes Prometheus refuse the whole page, Kong's own
// metrics included.
each_host!(kong_makes_labels_of_every_name, as built too, |host| {
    shop::open(host, json!({}));
    served(host, "alice");
    host.send(Head::get("/"));
    host.tick();
    let labels = labels_of_kong();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let metrics = host.metrics();
    assert!(metrics.len() > 20, "{metrics:?}");
    for metric in metrics.keys() {
        let (name, _) = as_kong_reads(metric, &labels);
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        assert!(is_plain, "{metric}: {name}");
    }
    let denied = "gatepass_requests_total.outcome.denied.code.token_missing";
    assert!(metrics.contains_key(denied), "{metrics:?}");
    let expected = [("outcome", "denied"), ("code", "token_missing")]
        .map(|(label, value)| (label.to_owned(), value.to_owned()));
    assert_eq!(
        as_kong_reads(denied, &labels),
        ("pw_gatepass_gatepass_requests_total".to_owned(), expected.to_vec())
    );
});
