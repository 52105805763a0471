//! What operators see of the filter: metrics, log lines, and requests that are
//! forwarded in shadow mode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::gateway::{Gateway, Setup, until};
use crate::stack::door::Door;
use crate::stack::envoy;
use crate::wire::{Connection, Request};

/// What Prometheus scrapes, the filter's part of it.
async fn scrape(gateway: &Gateway) -> Vec<String> {
    let admin = gateway.ports.admin;
    let read = move || {
        let request = Request::get("/stats/prometheus").with("connection", "close").into_bytes();
        Connection::open(admin).send(&request).expect("Envoy answers")
    };
    let answer = tokio::task::spawn_blocking(read).await.unwrap();
    let text = String::from_utf8(answer.body.clone()).unwrap();
    text.lines().filter(|line| line.contains("gatepass_")).map(str::to_owned).collect()
}

/// A series: its name, and its labels.
type Named = (String, BTreeMap<String, String>);

/// The series that a scrape has.
fn named(lines: &[String]) -> BTreeSet<Named> {
    let label = Regex::new(r#"(\w+)="([^"]*)""#).unwrap();
    let lines = lines.iter().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, rest) = line.split_once('{').unwrap_or_else(|| panic!("labels in {line}"));
            let labels = label.captures_iter(rest);
            let labels = labels.map(|found| (found[1].to_owned(), found[2].to_owned()));
            (name.to_owned(), labels.collect())
        })
        .collect()
}

fn example(name: &str) -> String {
    let path = envoy::directory().join("examples/operations").join(name);
    fs::read_to_string(path).unwrap()
}

/// The rules of `prometheus.yaml`, whose action is to replace.
fn relabelling() -> Vec<(Regex, Value)> {
    let config: Value = serde_norway::from_str(&example("prometheus.yaml")).unwrap();
    let rules = config["scrape_configs"][0]["metric_relabel_configs"].as_array().unwrap();
    let regex = |rule: &Value| Regex::new(&format!("^(?:{})$", rule["regex"].as_str().unwrap()));
    rules
        .iter()
        .map(|rule| {
            assert!(rule["action"].is_null(), "{rule}");
            (regex(rule).unwrap(), rule.clone())
        })
        .collect()
}

/// What Prometheus makes of a series by these rules.
fn relabelled((name, labels): Named, rules: &[(Regex, Value)]) -> Named {
    let mut labels = labels;
    labels.insert("__name__".to_owned(), name);
    for (regex, rule) in rules {
        let sources = rule["source_labels"].as_array().unwrap().iter();
        let values = sources.map(|source| labels[source.as_str().unwrap()].clone());
        let value = values.collect::<Vec<_>>().join(";");
        if let Some(found) = regex.captures(&value) {
            let mut replaced = String::new();
            found.expand(rule["replacement"].as_str().unwrap(), &mut replaced);
            labels.insert(rule["target_label"].as_str().unwrap().to_owned(), replaced);
        }
    }
    (labels.remove("__name__").unwrap(), labels)
}

/// A request or two of each kind, and what was counted of them by the bundled configuration:
/// for all tests that look at that, since an Envoy costs seconds to start.
async fn scraped() -> Vec<String> {
    static SCRAPED: OnceCell<Vec<String>> = OnceCell::const_new();
    SCRAPED.get_or_init(|| scrape_after_traffic(Setup::bundled())).await.clone()
}

async fn scrape_after_traffic(setup: Setup) -> Vec<String> {
    // Each worker asks for its users by itself.
    let gateway = setup.workers(1).start().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    for _ in 0..3 {
        assert_eq!(gateway.get("/orders", &token).await.status, 200);
    }
    assert_eq!(gateway.send(Request::get("/orders")).await.status, 401);
    // One in 64 requests of a worker is measured.
    for _ in 0..HEALTH {
        assert_eq!(gateway.send(Request::get("/health")).await.status, 200);
    }
    // By whatever name.
    let has = |lines: &[String], words: &[&str], number: &dyn Fn(u64) -> bool| {
        let mut lines = lines.iter().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.any(|line| line.rsplit(' ').next().and_then(|it| it.parse().ok()).is_some_and(number))
    };
    // Each worker hands on what it counted ten times a second; a histogram is there when Envoy
    // has put together what its workers recorded.
    let is_counted = || async {
        let lines = scrape(&gateway).await;
        has(&lines, &["gatepass_requests_total", "bypassed"], &|count| count == HEALTH)
            && has(&lines, &["gatepass_callout_milliseconds_", "users", "_count"], &|it| it == 1)
            && has(&lines, &["gatepass_processing_microseconds_", "_count"], &|it| it > 0)
    };
    until("what was counted is there", is_counted).await;
    scrape(&gateway).await
}

/// Requests that ask for no token.
const HEALTH: u64 = 140;

/// The value of a series, with its labels in order.
fn value(lines: &[String], name: &str) -> Option<u64> {
    lines.iter().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Every metric and label that alerts and dashboard speak of is one that Envoy has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_dashboard_ask_for_what_there_is() {
    let mut lines = scraped().await;
    // What would be denied is counted in shadow mode alone.
    lines.extend(shadowed().await.lines.clone());
    let found = named(&lines);
    let dashboard: Value = serde_json::from_str(&example("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let mut queries: Vec<String> = panels
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    let alerts: Value = serde_norway::from_str(&example("alerts.yaml")).unwrap();
    let alerts = alerts["groups"][0]["rules"].as_array().unwrap().iter();
    queries.extend(alerts.map(|rule| rule["expr"].as_str().unwrap().to_owned()));
    let selector = Regex::new(r"\b(gatepass_\w+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(=~|=|!~|!=)\s*"([^"]*)""#).unwrap();
    let grouped = Regex::new(r"\bby \(([^)]*)\)").unwrap();
    let mut asked = 0;
    // `instance` and `job` are Prometheus's own.
    let is_own = |label: &str| !matches!(label, "instance" | "job" | "__name__");
    for query in &queries {
        let by = grouped.captures_iter(query).map(|found| found[1].to_owned());
        let by: Vec<String> = by
            .flat_map(|labels| labels.split(',').map(|it| it.trim().to_owned()).collect::<Vec<_>>())
            .collect();
        let is_there = |metric: &str| match metric {
            // Envoy's own, of its VMs; and those of what the bundled configuration leaves out.
            "gatepass_vm_reload" | "gatepass_streams_ended_total" | "gatepass_events_total" => {
                false
            }
            // What a sandbox does without: panics caught, signatures shared by all workers.
            "gatepass_panics_total" | "gatepass_signatures_reused_total" => {
                Door::chosen() == Door::Native
            }
            _ => true,
        };
        for selected in selector.captures_iter(query).filter(|it| is_there(&it[1])) {
            asked += 1;
            let series: Vec<&Named> =
                found.iter().filter(|(name, _)| *name == selected[1]).collect();
            assert!(!series.is_empty(), "no {} of {query} in {lines:#?}", &selected[1]);
            let matchers = selected.get(2).map_or("", |it| it.as_str());
            for matcher in matcher.captures_iter(matchers).filter(|it| is_own(&it[1])) {
                let values: Vec<&str> = series
                    .iter()
                    .filter_map(|(_, labels)| labels.get(&matcher[1]).map(String::as_str))
                    .collect();
                assert!(!values.is_empty(), "no label {} of {query}", &matcher[1]);
                // Each of the values that it names.
                for value in matcher[3].split('|').filter(|value| !value.contains('*')) {
                    assert!(
                        values.contains(&value),
                        "no {}={value} of {query} in {values:?}",
                        &matcher[1]
                    );
                }
            }
            for label in by.iter().filter(|label| is_own(label)) {
                assert!(
                    series.iter().any(|(_, labels)| labels.contains_key(label)),
                    "no label {label} of {query}"
                );
            }
        }
        if query.contains("vm_reload") && Door::chosen() == Door::Wasm {
            assert!(
                lines.iter().any(|line| line.starts_with("envoy_wasm_gatepass_vm_reload{")),
                "{lines:#?}"
            );
        }
    }
    assert!(asked > 20, "{queries:#?}");
}

/// Where Envoy was not told how to name what the filter counts, Prometheus makes the same names and
/// labels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_makes_the_names_that_envoy_was_not_told_of() {
    let expected = named(&scraped().await);
    let bare = match Door::chosen() {
        // Labels are labels there, but Envoy has a prefix of its own.
        Door::Native => {
            Setup::bundled().replace("stats_config:", "layered_runtime: {}\n\nstats_config:")
        }
        Door::Wasm => Setup::bundled().replace_block("stats_config:", ""),
    };
    let bare = named(&scrape_after_traffic(bare).await);
    assert_ne!(bare, expected);
    let rules = &*relabelling();
    let made: BTreeSet<Named> = bare.into_iter().map(|series| relabelled(series, rules)).collect();
    assert_eq!(made, expected);
    // What has its labels stays as it is, and both of Kong's get the same names.
    for (name, labels) in &expected {
        let same = (name.clone(), labels.clone());
        assert_eq!(relabelled(same.clone(), rules), same);
        for prefix in ["kong_", "pw_gatepass_"] {
            let of_kong = (format!("{prefix}{name}"), labels.clone());
            if name.starts_with("gatepass_") {
                assert_eq!(relabelled(of_kong, rules), same);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_what_was_counted_with_labels() {
    let lines = scraped().await;
    for (name, expected) in [
        (r#"gatepass_requests_total{outcome="allowed",code="none"}"#, 3),
        (r#"gatepass_requests_total{outcome="bypassed",code="none"}"#, HEALTH),
        (r#"gatepass_requests_total{outcome="denied",code="token_missing"}"#, 1),
        (r#"gatepass_requests_total{outcome="denied",code="token_expired"}"#, 0),
        (r#"gatepass_fetches_total{service="users",result="2xx"}"#, 1),
        ("gatepass_minted_total{}", 1),
        (r#"gatepass_cache_hits_total{cache="token"}"#, 2),
        (r#"gatepass_crypto_host{algorithm="ES256"}"#, 1),
        // Envoy's cryptography has none, the native module's has.
        (r#"gatepass_crypto_host{algorithm="EdDSA"}"#, (Door::chosen() == Door::Native).into()),
    ] {
        assert_eq!(value(&lines, name), Some(expected), "{name} in\n{}", lines.join("\n"));
    }
    let age = value(&lines, r#"gatepass_jwks_age_seconds{provider="shop"}"#);
    assert!(age.is_some_and(|age| age < 60), "{age:?}");
    let is_histogram = |line: &String| line == "# TYPE gatepass_callout_milliseconds histogram";
    assert!(lines.iter().any(is_histogram), "{lines:#?}");
    // No label is left in a name.
    let names = lines.iter().filter_map(|line| line.split(['{', ' ']).next());
    let names: Vec<_> = names.filter(|name| name.starts_with("gatepass_")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let words = ["outcome", "code", "service", "result", "provider", "algorithm"];
        assert!(!words.iter().any(|word| name.contains(&format!("_{word}_"))), "{name}");
    }
}

/// What an Envoy in shadow mode counted and logged.
struct Shadowed {
    lines: Vec<String>,
    would_deny: Vec<Value>,
}

async fn shadowed() -> &'static Shadowed {
    static SHADOWED: OnceCell<Shadowed> = OnceCell::const_new();
    SHADOWED.get_or_init(send_in_shadow_mode).await
}

async fn send_in_shadow_mode() -> Shadowed {
    let setup = Setup::bundled().replace_block("errors:", "mode: shadow");
    let gateway = setup.start().await;
    gateway.ready().await;
    let forged = |request: Request| {
        let names = ["x-consumer-id", "X-Identity-Token", "Txn-Token", "x-user-country"];
        names.into_iter().fold(request, |request, name| request.with(name, "forged"))
    };
    for request in [
        Request::get("/orders"),
        Request::get("/orders").bearer("a.b.c"),
        Request::get("/admin").bearer(&gateway.token("bob")),
    ] {
        let seen = gateway.send(forged(request)).await.seen();
        assert!(seen.is_anonymous(), "{}", seen.0);
        for name in ["authorization", "x-consumer-id", "txn-token", "x-user-country"] {
            assert!(seen.values(name).is_empty(), "{name}: {}", seen.0);
        }
    }
    let seen = gateway.send(forged(Request::get("/orders").bearer(&gateway.token("alice")))).await;
    let seen = seen.seen();
    assert_eq!(seen.identity()["sub"], "alice");
    assert!(seen.values("txn-token").is_empty());
    let denied = r#"gatepass_requests_total{outcome="shadow",code="insufficient_scope"}"#;
    let is_counted = || async { value(&scrape(&gateway).await, denied) == Some(1) };
    until("the counts are there", is_counted).await;
    Shadowed { lines: scrape(&gateway).await, would_deny: would_deny(&gateway) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_mode_denies_nobody_and_forwards_nothing_forged() {
    let lines = &shadowed().await.would_deny;
    let codes: Vec<_> = lines.iter().map(|line| line["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["token_missing", "token_malformed", "insufficient_scope"]);
    assert_eq!(lines[2]["consumer"], "web");
    assert!(lines.iter().all(|line| line["request_id"].is_string()), "{lines:?}");
}

fn would_deny(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| line.get(line.find("{\"")?..));
    let lines = lines.filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line: &Value| line["event"] == "would_deny").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_prints_who_it_was_and_why_not() {
    let setup = Setup::bundled().replace("default_value: 400", "default_value: 200");
    let gateway = setup.start().await;
    gateway.ready().await;
    assert_eq!(gateway.get("/orders", &gateway.token("alice")).await.status, 200);
    assert_eq!(gateway.get("/admin", &gateway.token("bob")).await.status, 403);
    assert_eq!(gateway.send(Request::get("/nobody")).await.status, 401);
    assert_eq!(gateway.send(Request::get("/health")).await.status, 200);
    for (path, expected) in [
        ("/orders", "200 via_upstream - web alice "),
        ("/admin", "403 insufficient_scope insufficient_scope web bob "),
        ("/nobody", "401 token_missing token_missing - - "),
        ("/health", "200 via_upstream - - - "),
        ("/.well-known/gatepass/jwks.json", "200 gatepass - - - "),
    ] {
        let written = || async {
            let log = gateway.log();
            let mut lines = log.lines().filter(|line| line.contains(&format!("GET {path} ")));
            lines.any(|line| line.contains(expected))
        };
        until(&format!("{path} is in the access log: {}", gateway.log()), written).await;
    }
}
