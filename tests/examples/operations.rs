//! `examples/operations`: Prometheus takes the alerts, and they fire when they
//! should; alerts, dashboard and runbook speak of metrics and codes that there are,
//! and each alert has its section.
//!
//! Needs the promtool of `.ci/install-promtool`, as `make test` does. That a real
//! Envoy has the metrics is tested in `tests/envoy`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};

use crate::{documents, read};

/// The promtool to ask: `$PROMTOOL`, else what `.ci/install-promtool` installs.
fn promtool() -> Command {
    let installed = || {
        let on_path = env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|directory| directory.join("promtool"))
            .find(|path| path.exists());
        let path = on_path.unwrap_or_else(|| {
            Path::new(env!("CARGO_WORKSPACE_DIR")).join("target/promtool/promtool")
        });
        let hint = "run `make test`, or `.ci/install-promtool` before `cargo test`";
        assert!(path.exists(), "no promtool: {hint}");
        path
    };
    let path = env::var_os("PROMTOOL").map_or_else(installed, PathBuf::from);
    let mut command = Command::new(path);
    command.current_dir(Path::new(env!("CARGO_WORKSPACE_DIR")).join("examples/operations"));
    command
}

#[track_caller]
fn assert_taken(arguments: &[&str]) {
    let run = promtool().args(arguments).output().expect("promtool runs");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "promtool {arguments:?}: {out}{err}");
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    assert_taken(&["check", "rules", "alerts.yaml"]);
    assert_taken(&["check", "config", "prometheus.yaml"]);
    assert_taken(&["test", "rules", "alerts.test.yaml"]);
    // Each of them was seen firing.
    let tested = read("examples/operations/alerts.test.yaml");
    let tests = &documents("examples/operations/alerts.test.yaml")[0]["tests"];
    let cases = tests.as_array().unwrap().iter().flat_map(|test| {
        test["alert_rule_test"].as_array().into_iter().flatten().filter(|case| {
            case["exp_alerts"].as_array().is_some_and(|expected| !expected.is_empty())
        })
    });
    let fired: BTreeSet<&str> = cases.filter_map(|case| case["alertname"].as_str()).collect();
    let groups = documents("examples/operations/alerts.yaml");
    for rule in groups[0]["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(fired.contains(name), "{name} never fires in\n{tested}");
    }
}

/// What the runbook writes for a provider whose `cache_seconds` is long: its keys are old later than
/// those of others.
#[test]
fn keys_may_be_as_old_as_the_provider_says() {
    let runbook = read("examples/operations/README.md");
    let (_, rest) = runbook.split_once("\n```yaml keys-old\n").expect("the example");
    let example: Value = serde_norway::from_str(rest.split_once("\n```").unwrap().0).unwrap();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut rules = documents("examples/operations/alerts.yaml")[0].clone();
    let alerts = rules["groups"][0]["rules"].as_array_mut().unwrap();
    alerts.retain(|rule| rule["alert"] == "GatepassKeysOld");
    alerts[0]["expr"] = example["expr"].clone();
    fs::write(directory.join("keys-old.yaml"), rules.to_string()).unwrap();
    let age = |provider: &str, values: &str| {
        let series = format!("gatepass_jwks_age_seconds{{instance=\"a\",provider=\"{provider}\"}}");
        json!({"series": series, "values": values})
    };
    // Each is refetched in time, but `shop` no more.
    let series = [age("slow", "0+60x1440 0+60x600"), age("shop", "0+60x600"), age("o", "0x2000")];
    let firing = |provider: &str| {
        let summary = format!("a has had the keys of {provider} for over an hour");
        let runbook_url = "https://runbooks.example.com/gatepass#gatepasskeysold";
        json!({
            "exp_labels": {"severity": "page", "instance": "a", "provider": provider},
            "exp_annotations": {"summary": summary, "runbook_url": runbook_url},
        })
    };
    let at = |time: &str, expected: Value| json!({"eval_time": time, "alertname": "GatepassKeysOld", "exp_alerts": expected});
    let cases = [
        at("50m", json!([])),
        at("5h", json!([firing("shop")])),
        // Over an hour old for a day.
        at("23h", json!([])),
    ];
    let test = json!({
        "rule_files": ["keys-old.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": cases}],
    });
    let file = directory.join("keys-old.test.yaml");
    fs::write(&file, test.to_string()).unwrap();
    assert_taken(&["test", "rules", file.to_str().unwrap()]);
}

/// In Kong the plugin's metrics have the prefix of its prometheus plugin, those of the
/// WebAssembly filter another one and the filter's name (`kong_makes_labels_of_every_name`);
/// those of Envoy's native module Envoy's own, see `tests/envoy/observability.rs`.
#[test]
fn metrics_of_every_host_get_the_names_of_the_alerts() {
    let prometheus = &documents("examples/operations/prometheus.yaml")[0];
    let rule = &prometheus["scrape_configs"][0]["metric_relabel_configs"][0];
    assert_eq!(rule["target_label"], "__name__");
    assert_eq!(rule["replacement"], "$1");
    let pattern = format!("^(?:{})$", rule["regex"].as_str().unwrap());
    let pattern = regex::Regex::new(&pattern).unwrap();
    let table = read("docs/reference.md");
    for prefix in ["kong_", "pw_gatepass_", "envoy_dynamicmodulescustom_"] {
        assert!(table.contains(&format!("`{prefix}` before it")), "{prefix}");
        for name in ["gatepass_requests_total", "gatepass_callout_milliseconds_bucket"] {
            let found = pattern.captures(&format!("{prefix}{name}")).map(|it| it[1].to_owned());
            assert_eq!(found.as_deref(), Some(name), "{prefix}");
        }
    }
    for other in ["gatepass_requests_total", "kong_http_requests_total", "envoy_gatepass_x"] {
        assert!(!pattern.is_match(other), "{other}");
    }
}

/// What the panels ask for is PromQL.
#[test]
fn prometheus_takes_the_queries_of_the_dashboard() {
    let dashboard: Value =
        serde_json::from_str(&read("examples/operations/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules: Vec<Value> = queries
        .enumerate()
        .map(|(number, target)| {
            let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            json!({"record": format!("panel:{number}"), "expr": query})
        })
        .collect();
    assert!(rules.len() > 10, "{rules:?}");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-queries.yaml");
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(&file, rules.to_string()).unwrap();
    assert_taken(&["check", "rules", file.to_str().unwrap()]);
}

/// Words of a text that start so.
fn words<'a>(text: &'a str, start: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_word(c)).filter(|word| word.starts_with(start)).collect()
}

/// The metrics that the reference has.
fn metrics() -> BTreeSet<String> {
    let reference = read("docs/reference.md");
    let section = reference.split("\n## Metrics\n").nth(1).expect("a section Metrics");
    let section = section.split("\n## ").next().unwrap();
    words(section, "gatepass_").into_iter().map(str::to_owned).collect()
}

fn assert_known(text: &str, place: &str) {
    let known = metrics();
    // Of Envoy itself, and in Istio with more before it.
    let of_host = "gatepass_vm_reload";
    for metric in words(text, "gatepass_").into_iter().filter(|metric| *metric != of_host) {
        // A histogram has series of its own.
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| metric.strip_suffix(suffix))
            .unwrap_or(metric);
        assert!(known.contains(name), "{place}: {metric}");
    }
}

/// Every metric has a text for hosts that show one, and is in the reference.
#[test]
fn the_reference_has_every_metric() {
    let texts = gatepass::metrics::HELP.iter().map(|(name, _)| (*name).to_owned());
    assert_eq!(metrics(), texts.collect());
}

#[test]
fn alerts() {
    let runbook = read("examples/operations/README.md");
    let reference = read("docs/reference.md");
    let groups = documents("examples/operations/alerts.yaml");
    let rules = groups[0]["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 5);
    for rule in groups[0]["groups"][1]["rules"].as_array().unwrap() {
        let name = rule["record"].as_str().unwrap();
        assert_known(rule["expr"].as_str().unwrap(), name);
    }
    for rule in rules {
        let (name, expr) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        assert_known(expr, name);
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name} is in the runbook");
        let url = rule["annotations"]["runbook_url"].as_str().unwrap();
        let expected = format!("https://runbooks.example.com/gatepass#{}", name.to_lowercase());
        assert_eq!(url, expected);
        assert!(
            rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string()
        );
        // The codes that it names.
        let codes = expr.split("code=~\"").nth(1).and_then(|rest| rest.split('"').next());
        for code in
            codes.into_iter().flat_map(|codes| codes.split('|')).filter(|c| !c.contains('*'))
        {
            assert!(reference.contains(&format!("| `{code}` |")), "{name}: {code}");
        }
    }
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("## Gatepass"));
    for section in sections {
        let name = format!("Gatepass{section}");
        assert!(rules.iter().any(|rule| rule["alert"] == name.as_str()), "{name} is an alert");
    }
}

#[test]
fn dashboard() {
    let dashboard: Value =
        serde_json::from_str(&read("examples/operations/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            assert_known(expr, panel["title"].as_str().unwrap());
            shown.extend(words(expr, "gatepass_").into_iter().map(str::to_owned));
        }
    }
    for metric in metrics() {
        let is_shown = |shown: &String| shown.strip_suffix("_bucket").unwrap_or(shown) == metric;
        assert!(shown.iter().any(is_shown), "{metric} is on no panel");
    }
}

#[test]
fn runbook_names_codes_and_events_that_there_are() {
    let runbook = read("examples/operations/README.md");
    let reference = read("docs/reference.md");
    let codes = runbook.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for code in codes {
        assert!(reference.contains(&format!("| `{code}` |")), "{code}");
    }
    // What GatepassUnavailable matches.
    let missing = gatepass::denial::Code::ALL;
    let missing =
        missing.iter().map(|code| code.name()).filter(|code| code.ends_with("_unavailable"));
    for code in missing.chain(["configuration_invalid"]) {
        assert!(runbook.contains(&format!("\n| `{code}` |")), "{code} is not in the runbook");
    }
    for event in
        ["keys_not_fetched", "user_info_failed", "tokens_not_listed", "nobody_signs", "would_deny"]
    {
        assert!(runbook.contains(event) && reference.contains(event), "{event}");
    }
}
