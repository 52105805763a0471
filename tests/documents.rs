//! What is shipped for reading and copying is true: the manual's snippets and
//! tables, and the bundled configuration of Envoy.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

#[path = "documents/links.rs"]
mod links;
#[path = "documents/messages.rs"]
mod messages;
#[path = "documents/prose.rs"]
mod prose_of_pages;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::links::prose;
use gatepass::config;
use gatepass::denial::Code;
use serde_json::Value;

const CONFIGURATION: &str = include_str!("../docs/configuration.md");
const REFERENCE: &str = include_str!("../docs/reference.md");
const ENVOY_YAML: &str = include_str!("../envoy/envoy.yaml");

/// A key for tests only: the private JWK of RFC 7515 appendix A.3.1.
const SIGNING_KEY: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

/// Another one: that of RFC 7517 appendix A.2.
const NEXT_SIGNING_KEY: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "GATEPASS_SIGNING_KEY" => Some(SIGNING_KEY.to_owned()),
        "GATEPASS_SIGNING_KEY_2" => Some(NEXT_SIGNING_KEY.to_owned()),
        "ACME_SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "USERS_API_KEY" | "GATEPASS_EVENTS_TOKEN" | "INTROSPECTION_SECRET" => {
            Some("secret".to_owned())
        }
        "GATEPASS_SEAL_KEY" => Some("A".repeat(43)),
        _ => None,
    }
}

fn yaml(text: &str) -> Value {
    serde_norway::from_str(text).expect("YAML")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_WORKSPACE_DIR"))
}

/// The lines of the block of this language in the reference.
fn reference_block(language: &str) -> Vec<&'static str> {
    let (_, rest) = REFERENCE.split_once(&format!("```{language}\n")).expect(language);
    rest.split("\n```").next().unwrap().lines().collect()
}

#[test]
fn the_patterns_for_log_lines_find_the_object() {
    let patterns: Vec<_> = reference_block("regex")
        .into_iter()
        .map(|pattern| regex::Regex::new(pattern).unwrap())
        .collect();
    let lines = reference_block("log");
    assert_eq!((patterns.len(), lines.len()), (2, 3));
    for line in lines {
        let found: Vec<_> = patterns.iter().filter_map(|it| it.captures(line)).collect();
        let [captures] = &found[..] else { panic!("{} patterns match {line}", found.len()) };
        let event: Value = serde_json::from_str(&captures["json"]).unwrap();
        assert!(event["event"].is_string() && captures["time"].starts_with("2026"), "{line}");
        assert!(["info", "warning"].contains(&&captures["level"]), "{line}");
    }
    for other in ["[2026-11-29 01:42:36.199][24374][info][main] [x.cc:1] {}", "{}"] {
        assert!(patterns.iter().all(|pattern| !pattern.is_match(other)), "{other}");
    }
}

/// What is to be typed or copied names this version.
#[test]
fn pages_and_examples_have_the_version() {
    let pattern = regex::Regex::new(r"gatepass[-:](\d+\.\d+\.\d+)").unwrap();
    let mut count = 0;
    let more = ["kong/README.md", ".ci/oci", "examples/kubernetes/istio.yaml"].map(str::to_owned);
    let more = more.into_iter().chain(
        ["envoy", "envoy-gateway", "istio-wasmplugin"]
            .map(|it| format!("examples/kubernetes/{it}.yaml")),
    );
    for page in pages().into_iter().chain(more) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for found in pattern.captures_iter(&text) {
            count += 1;
            assert_eq!(&found[1], env!("CARGO_PKG_VERSION"), "{page}");
        }
    }
    assert!(count > 5, "{count}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(concat!("Version ", env!("CARGO_PKG_VERSION"), ",")));
}

/// Each question has a link, which `links_lead_somewhere` follows, heading included.
#[test]
fn questions_have_answers() {
    let page = read("docs/faq.md");
    let (_, table) = page.split_once("\n| question | answer |\n|---|---|\n").unwrap();
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 20, "{}", rows.len());
    for row in rows {
        assert!(!links::links(row).is_empty(), "{row}");
    }
}

/// The front page and the pages of the manual: their paths from the root.
fn pages() -> Vec<String> {
    let pages = files("docs/").into_iter().filter(|path| path.ends_with(".md"));
    let mut pages: Vec<_> = pages.chain(["README.md".to_owned()]).collect();
    pages.sort();
    pages
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The fenced blocks of the manual with this info string.
fn snippets(info: &str) -> Vec<String> {
    pages().iter().flat_map(|page| snippets_of(&read(page), info)).collect()
}

/// Those of one page, without the indentation of the list they may stand in.
fn snippets_of(page: &str, info: &str) -> Vec<String> {
    let mut snippets = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let indent = line.len().saturating_sub(line.trim_start().len());
        if line.trim() == format!("```{info}") {
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            let block = block.map(|line| line.get(indent..).unwrap_or_default());
            snippets.push(block.collect::<Vec<_>>().join("\n"));
        }
    }
    snippets
}

/// Short, with the words that people search for, the commands and a whole configuration.
#[test]
fn the_front_page_is_one() {
    let page = read("README.md");
    assert!(page.lines().count() <= 160, "{} lines", page.lines().count());
    let (first_screen, _) = page.split_once("\n## ").unwrap();
    for word in [
        "OAuth 2.0",
        "JWT",
        "API gateway",
        "Envoy",
        "Kong",
        "Istio",
        "user info",
        "identity token",
        "token exchange",
        "identity propagation",
        "not for you",
    ] {
        assert!(first_screen.contains(word), "{word}");
    }
    let commands = snippets_of(&page, "sh").join("\n");
    for command in ["make run", "make test"] {
        assert!(commands.lines().any(|line| line.starts_with(command)), "{command}");
    }
    assert_eq!(snippets_of(&page, "yaml gatepass").len(), 1);
    let version = format!("Version {}", env!("CARGO_PKG_VERSION"));
    assert!(page.contains(&version), "{version}");
    let index = read("docs/README.md");
    for other in pages().iter().filter_map(|page| page.strip_prefix("docs/")) {
        assert!(other == "README.md" || index.contains(&format!("]({other})")), "{other}");
    }
}

/// The filter's configuration in Envoy's.
fn plugin(filter: &Value) -> &Value {
    &filter["typed_config"]["config"]
}

fn assert_loads(configuration: &Value) {
    let loaded = config::load(configuration.to_string().as_bytes(), &environment, None);
    if let Err(problems) = loaded {
        panic!("{problems}");
    }
}

/// The filter in the bundled envoy.yaml, and the connection manager around it.
fn bundled() -> (Value, Value) {
    let envoy = yaml(ENVOY_YAML);
    let listener = &envoy["static_resources"]["listeners"][0];
    let manager = listener["filter_chains"][0]["filters"][0]["typed_config"].clone();
    let filters = manager["http_filters"].as_array().unwrap();
    let wasm = filters.iter().find(|filter| filter["name"] == "envoy.filters.http.wasm").unwrap();
    (wasm.clone(), manager)
}

#[test]
fn bundled_envoy_configuration_is_accepted_by_the_filter() {
    let (wasm, _) = bundled();
    assert_loads(&plugin(&wasm)["configuration"]["value"]);
}

#[test]
fn bundled_envoy_configuration_fails_closed_and_sees_what_the_upstream_sees() {
    let (wasm, manager) = bundled();
    assert_eq!(plugin(&wasm)["failure_policy"], "FAIL_RELOAD");
    assert_eq!(plugin(&wasm)["vm_config"]["vm_id"], "gatepass");
    let protocol = &manager["common_http_protocol_options"];
    assert_eq!(protocol["headers_with_underscores_action"], "REJECT_REQUEST");
    assert_eq!(manager["path_with_escaped_slashes_action"], "REJECT_REQUEST");
    for setting in ["normalize_path", "merge_slashes", "use_remote_address"] {
        assert_eq!(manager[setting], true, "{setting}");
    }
}

#[test]
fn configurations_of_the_manual_are_accepted() {
    let configurations = snippets("yaml gatepass");
    assert!(
        configurations.len() >= 4,
        "the complete example, logouts, sealed tokens, Kong's plugin"
    );
    configurations.iter().for_each(|text| assert_loads(&yaml(text)));
    let filters = snippets("yaml envoy-filter");
    assert!(!filters.is_empty(), "the filter for one's own Envoy");
    filters.iter().for_each(|text| assert_loads(&plugin(&yaml(text))["configuration"]["value"]));
    let modules = snippets("yaml envoy-module");
    assert!(!modules.is_empty(), "the native module for one's own Envoy");
    for text in &modules {
        assert_loads(&yaml(text)["typed_config"]["filter_config"]["value"]);
    }
}

/// Parts of a configuration, each merged into the first of its page, else of the front page.
#[test]
fn parts_of_configurations_are_accepted() {
    let example = snippets_of(&read("README.md"), "yaml gatepass");
    let mut count = 0;
    for page in pages().iter().map(|page| read(page)) {
        let own = snippets_of(&page, "yaml gatepass");
        let whole = own.first().unwrap_or(&example[0]);
        for text in snippets_of(&page, "yaml gatepass-part") {
            count += 1;
            let mut configuration = yaml(whole);
            merge(&mut configuration, yaml(&text));
            let loaded = config::load(configuration.to_string().as_bytes(), &environment, None);
            assert!(loaded.is_ok(), "{text}\n{}", loaded.unwrap_err());
        }
    }
    assert!(count >= 5, "{count} parts");
}

/// Members of both are merged, all else is replaced.
fn merge(into: &mut Value, part: Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (name, value) in part {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, part) => *into = part,
    }
}

/// The first cells of the table rows below a heading of the reference, without backquotes.
fn first_cells(heading: &str) -> BTreeSet<String> {
    let (_, section) = REFERENCE.split_once(&format!("\n{heading}\n")).expect("heading");
    let level = heading.split(' ').next().unwrap();
    let section = section.split(&format!("\n{level} ")).next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').nth(1).unwrap().trim().trim_matches('`').to_owned()).collect()
}

/// What one starts from is as strict as what is bundled.
#[test]
fn the_minimal_envoy_configuration_is_accepted_and_fails_closed() {
    let envoy = yaml(include_str!("../envoy/minimal.yaml"));
    let listener = &envoy["static_resources"]["listeners"][0];
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    let wasm = &manager["http_filters"][0];
    assert_loads(&plugin(wasm)["configuration"]["value"]);
    let (bundled, settings) = bundled();
    for path in ["/typed_config/config/failure_policy", "/typed_config/config/vm_config/vm_id"] {
        assert_eq!(wasm.pointer(path), bundled.pointer(path), "{path}");
    }
    for setting in [
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "use_remote_address",
        "http2_protocol_options",
        "request_headers_timeout",
    ] {
        assert_eq!(manager[setting], settings[setting], "{setting}");
    }
    assert_eq!(
        manager["common_http_protocol_options"]["headers_with_underscores_action"],
        "REJECT_REQUEST"
    );
    assert_eq!(envoy["stats_config"], yaml(ENVOY_YAML)["stats_config"]);
}

/// What the manual tells to try is what `make run` starts.
#[test]
fn the_manual_tells_of_the_bundled_rules() {
    let (wasm, _) = bundled();
    let rules = &plugin(&wasm)["configuration"]["value"]["rules"];
    assert_eq!(&yaml(&snippets("yaml rules")[0]), rules);
}

#[test]
fn the_reference_lists_every_denial_code() {
    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(first_cells("## Denials"), codes);
}

#[test]
fn the_manual_describes_every_field_of_the_example() {
    let example = yaml(&snippets_of(CONFIGURATION, "yaml gatepass")[0]);
    let mut missing = Vec::new();
    for section in ["token", "consumers", "user_info", "identity_token", "errors", "limits"] {
        for field in example[section].as_object().unwrap().keys() {
            let is_described = [format!("`{field}"), format!(".{field}"), format!("{field}`")]
                .iter()
                .any(|form| CONFIGURATION.split("```").skip(2).any(|prose| prose.contains(form)));
            if !is_described {
                missing.push(format!("{section}.{field}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// All that is written to be read: the front page and those beside it, and every page below.
fn documents() -> Vec<String> {
    let mut found = files("");
    let mut directories: Vec<_> =
        ["benches", "docs", "examples", "kong", "tests"].map(str::to_owned).into();
    while let Some(directory) = directories.pop() {
        for path in files(&format!("{directory}/")) {
            let target = if root().join(&path).is_dir() { &mut directories } else { &mut found };
            target.push(path);
        }
    }
    found.retain(|path| path.ends_with(".md"));
    found.sort();
    found
}

/// What a directory holds, by the path from the root.
fn files(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| format!("{directory}{name}")).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut followed = 0;
    for page in documents() {
        let text = read(&page);
        for (file, heading) in links::links(&text) {
            followed += 1;
            let here = root().join(&page);
            let target = if file.is_empty() { here } else { here.with_file_name(file) };
            assert!(target.exists(), "{page}: {file}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let headings = prose(&text).into_iter().filter(|line| line.starts_with('#'));
                let mut headings = headings.map(|line| anchor(line.trim_start_matches(['#', ' '])));
                assert!(headings.any(|it| it == heading), "{page}: {file} has no #{heading}");
            }
        }
    }
    for page in ["SECURITY.md", "kong/README.md", "examples/mcp/README.md", "benches/results.md"] {
        assert!(documents().iter().any(|it| it == page), "{page}");
    }
    assert!(followed > 80, "{followed} links");
}

#[test]
fn the_reference_names_every_event_of_the_log() {
    let source = include_str!("../src/event.rs");
    let (_, source) = source.split_once("/// Its `event` in the log.").unwrap();
    let (names, _) = source.split_once("\n    }\n").unwrap();
    let events = names.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let (_, log) = REFERENCE.split_once("\n## Log\n").unwrap();
    let log = log.split("\n## ").next().unwrap();
    let events: Vec<_> = events.collect();
    assert!(events.len() >= 15, "events found in the source: {events:?}");
    for event in events {
        assert!(log.contains(&format!("`{event}`")), "{event}");
    }
}
