//! Clients of DPoP that others wrote, from PyPI and npm, at a real Envoy.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::gateway::{Gateway, Setup};
use crate::stack::auth::Auth;
use crate::stack::{envoy, script};
use crate::wire::Answer;

/// Where they are: `$DPOP_CLIENTS`, else what `.ci/install-dpop-clients` installs.
fn libraries() -> PathBuf {
    if let Some(home) = env::var_os("DPOP_CLIENTS").filter(|it| !it.is_empty()) {
        return home.into();
    }
    let script = fs::read_to_string(envoy::directory().join(".ci/install-dpop-clients")).unwrap();
    let versions = ["requests_oauth2client", "dpop", "oauth4webapi"];
    let versions = versions.map(|name| script::version(&script, name)).join("-");
    let home = envoy::directory().join(format!("target/dpop-{versions}"));
    let hint = "run `make test`, or `.ci/install-dpop-clients` before `cargo test`";
    assert!(home.join("complete").exists(), "no clients of DPoP: {hint}");
    home
}

/// What became of each of a client's requests, given a token that is bound to its key. What
/// the upstream saw has neither proof nor token.
async fn said(gateway: &Gateway, mut command: Command) -> Vec<String> {
    let mut client =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut output = BufReader::new(client.stdout.take().unwrap());
    let mut thumbprint = String::new();
    output.read_line(&mut thumbprint).unwrap();
    let mut claims = Auth::claims("alice").unwrap();
    claims["cnf"] = json!({"jkt": thumbprint.trim()});
    let token = gateway.services.auth.sign(&claims);
    gateway.remember_tokens(token.as_bytes());
    let mut input = client.stdin.take().unwrap();
    spawn_blocking(move || {
        writeln!(input, "{token}").unwrap();
        let lines = output.lines().map(|line| outcome(&line.unwrap())).collect();
        drop(input);
        assert!(client.wait().unwrap().success(), "the client failed");
        lines
    })
    .await
    .unwrap()
}

/// `with it 200`, of the line that a client prints.
fn outcome(line: &str) -> String {
    let said: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let name = said["name"].as_str().unwrap();
    if let Some(challenges) = said["challenges"].as_str() {
        return format!("{name} {challenges}");
    }
    let status = said["status"].as_u64().and_then(|it| it.try_into().ok()).unwrap();
    let body = said["body"].as_str().unwrap().as_bytes().to_vec();
    let answer = Answer { status, headers: Vec::new(), body };
    if status == 200 {
        let seen = answer.seen();
        assert_eq!(seen.identity()["sub"], "alice", "{name}: {answer}");
        for field in ["dpop", "authorization"] {
            assert_eq!(seen.values(field), [""; 0], "{name}: {answer}");
        }
    }
    format!("{name} {}", answer.outcome())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_others_wrote() {
    let home = libraries();
    let dpop = "binding: {dpop: {nonce_keys: [0123456789-a-key-of-nonces]}}";
    let algorithms = "algorithms: [RS256, ES256, EdDSA]";
    let gateway = Setup::bundled().provider_field(dpop).replace(algorithms, "algorithms: [ES256]");
    let gateway = gateway.start_beside_others().await;
    gateway.ready().await;
    let url = format!("http://127.0.0.1:{}/orders", gateway.ports.listener);
    let here = Path::new(env!("CARGO_WORKSPACE_DIR")).join("tests/clients");
    let mut node = Command::new("node");
    node.arg(here.join("dpop.mjs")).arg(&home).arg(&url);
    let expected = [
        "without a nonce 401 dpop_invalid",
        "with it 200",
        "again 401 dpop_invalid",
        "by another key 401 binding_mismatch",
        "oauth4webapi's challenges bearer:,dpop:use_dpop_nonce",
        "oauth4webapi 200",
        "oauth4webapi again 200",
    ];
    assert_eq!(said(&gateway, node).await, expected);
    for algorithm in ["ES256", "RS256", "PS256", "ES384", "EdDSA"] {
        let mut python = Command::new(home.join("python/bin/python"));
        python.arg(here.join("dpop.py")).arg(algorithm).arg(&url);
        let expected = [
            "first 401 dpop_invalid",
            "second 200",
            "third 200",
            "by another key 401 binding_mismatch",
            "as bearer 401 binding_mismatch",
        ];
        assert_eq!(said(&gateway, python).await, expected, "{algorithm}");
    }
}
