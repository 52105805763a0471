//! The examples of `--help` and of the manual pages: each can be typed as it stands.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Desk, SIGNING_KEY};

/// In an order in which each finds the files that others made.
const COMMANDS: [&str; 10] = [
    "keygen",
    "mint",
    "jwks",
    "check",
    "explain",
    "verify",
    "convert",
    "schema",
    "completions",
    "man",
];

/// What ends otherwise than with 0, as the reply of a service is missing or has failed, or
/// something is left to choose.
const ENDINGS: [(&str, i32); 5] = [
    ("gatepass convert kong.yml > gatepass.yaml", 3),
    ("gatepass convert --to kong-plugin kong.yml", 3),
    ("gatepass explain -c envoy.yaml --path /orders --token token.txt", 3),
    ("gatepass explain -c envoy.yaml --path /orders --token token.txt --jwks keys.json", 3),
    (
        "gatepass explain -c envoy.yaml --no-env --token token.txt --jwks keys.json --user-info failed",
        1,
    ),
];

/// Tokens of Kong's jwt plugin, as `convert` takes them.
const KONG: &str = r#"{"_format_version": "3.0",
    "services": [{"name": "shop", "url": "http://shop.internal",
        "routes": [{"name": "orders", "paths": ["/orders"], "plugins": [{"name": "jwt"}]}]}],
    "consumers": [{"username": "alice", "jwt_secrets": [
        {"key": "issuer-1", "algorithm": "HS256", "secret": "0123456789abcdef0123456789abcdef"}]}]}"#;

fn examples(desk: &Desk, arguments: &[&str]) -> Vec<String> {
    let help = desk.run(&[arguments, &["--help"]].concat()).ended(0).out;
    let (_, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{arguments:?}"));
    let lines = examples.lines().take_while(|line| !line.is_empty());
    lines.map(|line| line.trim().to_owned()).collect()
}

/// Runs a line as a shell does, with the command and `curl` and `man` that need no network
/// and no terminal.
fn typed(desk: &Desk, line: &str) -> (i32, String) {
    let gatepass = Path::new(env!("CARGO_BIN_EXE_gatepass")).parent().unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", desk.path("bin").display(), gatepass.display());
    let run = Command::new("bash")
        .args(["-euc", line])
        .current_dir(desk.path(""))
        .env_clear()
        .env("HOME", desk.path("home"))
        .env("PATH", path)
        .env("GATEPASS_SIGNING_KEY", SIGNING_KEY)
        .env("USERS_API_KEY", "secret")
        .output()
        .unwrap();
    (run.status.code().unwrap(), String::from_utf8_lossy(&run.stderr).into_owned())
}

fn script(desk: &Desk, name: &str, text: &str) {
    fs::create_dir_all(desk.path("bin")).unwrap();
    desk.put(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(desk.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755))
        .unwrap();
}

#[test]
fn examples_can_be_typed() {
    let desk = Desk::new();
    let help = desk.run(&["--help"]).ended(0).out;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names: BTreeSet<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, COMMANDS.into_iter().chain(["help"]).collect());

    let bundled = format!("{}/envoy/envoy.yaml", env!("CARGO_WORKSPACE_DIR"));
    let bundled = fs::read_to_string(bundled).unwrap();
    let bundled = bundled.replacen("[shop-services]", "[my-services]", 1);
    desk.put("envoy.yaml", &bundled);
    fs::create_dir_all(desk.path("deploy")).unwrap();
    let minimal = format!("{}/envoy/minimal.yaml", env!("CARGO_WORKSPACE_DIR"));
    desk.put("deploy/envoy.yaml", &fs::read_to_string(minimal).unwrap());
    desk.put("kong.yml", KONG);
    desk.put("alice.json", r#"{"sub": "alice", "address": {"country": "ES"}}"#);
    script(&desk, "man", "cat");
    script(&desk, "curl", "gatepass jwks -c envoy.yaml");
    for name in COMMANDS {
        if name == "verify" {
            desk.put("identity.txt", &identity(&desk));
        }
        for line in examples(&desk, &[name]) {
            let ends = ENDINGS.iter().find(|(other, _)| *other == line).map_or(0, |(_, it)| *it);
            let (status, err) = typed(&desk, &line);
            assert_eq!(status, ends, "{line}: {err}");
        }
    }
    for line in examples(&desk, &[]) {
        let ends = ENDINGS.iter().find(|(other, _)| *other == line).map_or(0, |(_, it)| *it);
        assert_eq!(typed(&desk, &line).0, ends, "{line}");
    }
    let installed = desk.read("home/.local/share/man/man1/gatepass-verify.1");
    for text in [
        ".SH \"EXAMPLES\"\n",
        ".SH \"EXIT STATUS\"\n",
        "\n\\&gatepass verify \\-c",
        "The manual is docs/README.md",
    ] {
        assert!(installed.contains(text), "{text}");
    }
}

/// The manual's way to a first token of one's own: what is typed before Envoy starts.
#[test]
fn envoy_can_be_tried_without_a_provider() {
    let page = include_str!("../../docs/install-envoy.md");
    let (_, block) = page.split_once("\n```sh try\n").unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    let desk = Desk::new();
    fs::create_dir_all(desk.path("envoy")).unwrap();
    desk.put("envoy/minimal.yaml", include_str!("../../envoy/minimal.yaml"));
    let (status, err) = typed(&desk, block);
    assert_eq!(status, 0, "{err}");
    let configuration = desk.read("envoy.yaml");
    assert_eq!(configuration.matches("127.0.0.1, port_value: 8080").count(), 3, "{configuration}");
    for name in ["my-service.internal, ", "users.internal, ", "auth.example.com, "] {
        assert!(!configuration.contains(&format!("address: {name}")), "{name}");
    }
    desk.put("alice.json", r#"{"sub": "alice", "address": {"country": "ES"}, "plan": "free"}"#);
    let line =
        "gatepass explain -c envoy.yaml --path /orders --token alice.token --user-info alice.json";
    let (status, err) = typed(&desk, line);
    assert_eq!(status, 0, "{err}");
}

/// The identity token for alice.
fn identity(desk: &Desk) -> String {
    let line = "gatepass explain -c envoy.yaml --path /orders --token token.txt --jwks keys.json \
        --user-info alice.json --show-tokens --json > report.json";
    let (status, err) = typed(desk, line);
    assert_eq!(status, 0, "{err}");
    let report: serde_json::Value = serde_json::from_str(&desk.read("report.json")).unwrap();
    report["set"]["x-identity-token"].as_str().unwrap().to_owned()
}

/// What a configuration has beside its providers is in the way of no token: each that is
/// shipped verifies.
#[test]
fn tokens_are_verified_by_each_shipped_configuration() {
    let root = Path::new(env!("CARGO_WORKSPACE_DIR"));
    let desk = Desk::new();
    let mut count = 0;
    for directory in ["envoy", "kong", "examples/kubernetes", "examples/providers", "examples/mcp"]
    {
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let is_yaml = path.extension().is_some_and(|it| it == "yaml" || it == "yml");
            // An Envoy's deployment, whose configuration is another file, and Docker's.
            let others = ["kubernetes/envoy.yaml", "kustomization.yaml", "compose.yaml"];
            let is_other = others.iter().any(|other| path.ends_with(other));
            if !is_yaml || is_other {
                continue;
            }
            let file = path.to_str().unwrap();
            let run = desk.run(&["verify", "--no-env", "-c", file, "--json", "a.b.c"]);
            let is_asked = run.status == 3 && run.json()["missing"] == "--introspection";
            let is_refused = run.status == 1 && run.json()["code"] == "token_malformed";
            assert!(is_asked || is_refused, "{file}: {run:?}");
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
