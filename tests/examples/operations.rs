//! `examples/operations`: alerts, dashboard and runbook speak of metrics and
//! codes that there are, and each alert has its section.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{documents, read};

/// Words of a text that start so.
fn words<'a>(text: &'a str, start: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_word(c)).filter(|word| word.starts_with(start)).collect()
}

/// The metrics that the README documents.
fn metrics() -> BTreeSet<String> {
    let readme = read("README.md");
    let section = readme.split("\n## Metrics\n").nth(1).expect("a section Metrics");
    let section = section.split("\n## ").next().unwrap();
    words(section, "gatepass_").into_iter().map(str::to_owned).collect()
}

fn assert_known(text: &str, place: &str) {
    let known = metrics();
    for metric in words(text, "gatepass_") {
        // A histogram has series of its own.
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| metric.strip_suffix(suffix))
            .unwrap_or(metric);
        assert!(known.contains(name), "{place}: {metric}");
    }
}

#[test]
fn alerts() {
    let runbook = read("examples/operations/README.md");
    let readme = read("README.md");
    let groups = documents("examples/operations/alerts.yaml");
    let rules = groups[0]["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() > 5);
    for rule in rules {
        let (name, expr) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        assert_known(expr, name);
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name} is in the runbook");
        let anchor = rule["annotations"]["runbook"].as_str().unwrap();
        assert_eq!(anchor, format!("examples/operations/README.md#{}", name.to_lowercase()));
        assert!(
            rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string()
        );
        // The codes that it names.
        let codes = expr.split("code=~\"").nth(1).and_then(|rest| rest.split('"').next());
        for code in
            codes.into_iter().flat_map(|codes| codes.split('|')).filter(|c| !c.contains('*'))
        {
            assert!(readme.contains(&format!("| `{code}` |")), "{name}: {code}");
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
    let (runbook, readme) = (read("examples/operations/README.md"), read("README.md"));
    let codes = runbook.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for code in codes {
        assert!(readme.contains(&format!("| `{code}` |")), "{code}");
    }
    for event in
        ["keys_not_fetched", "user_info_failed", "tokens_not_listed", "nobody_signs", "would_deny"]
    {
        assert!(runbook.contains(event) && readme.contains(event), "{event}");
    }
}
