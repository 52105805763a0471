//! Clients of DPoP that others wrote, from PyPI and npm, at a real Envoy.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tokio::task::spawn_blocking;

use crate::gateway::{Gateway, Setup};
use crate::stack::auth::Auth;
use crate::stack::envoy;

/// Where they are: `$DPOP_CLIENTS`, else what `.ci/install-dpop-clients` installs.
fn libraries() -> Option<PathBuf> {
    let script = fs::read_to_string(envoy::directory().join(".ci/install-dpop-clients")).unwrap();
    let version = |name: &str| {
        let mut lines = script.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
    };
    let [python, dpop, oauth] = ["requests_oauth2client", "dpop", "oauth4webapi"].map(version);
    let installed = envoy::directory().join(format!("target/dpop-{python}-{dpop}-{oauth}"));
    let home = env::var_os("DPOP_CLIENTS").filter(|it| !it.is_empty());
    let home = home.map_or(installed, PathBuf::from);
    if !home.join("complete").exists() {
        println!("skipped: run .ci/install-dpop-clients for the clients of DPoP");
        return None;
    }
    Some(home)
}

/// What a client says, given a token that is bound to its key.
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
        let lines = output.lines().map(Result::unwrap).collect();
        drop(input);
        assert!(client.wait().unwrap().success(), "the client failed");
        lines
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_others_wrote() {
    let Some(home) = libraries() else { return };
    let dpop = "binding: {dpop: {nonce_keys: [0123456789-a-key-of-nonces]}}";
    let algorithms = "algorithms: [RS256, ES256, EdDSA]";
    let gateway = Setup::bundled().provider_field(dpop).replace(algorithms, "algorithms: [ES256]");
    let gateway = gateway.start().await;
    gateway.ready().await;
    let url = format!("http://127.0.0.1:{}/orders", gateway.ports.listener);
    let here = Path::new(env!("CARGO_WORKSPACE_DIR")).join("tests/clients");
    let mut node = Command::new("node");
    node.arg(here.join("dpop.mjs")).arg(&home).arg(&url);
    let expected = [
        "without a nonce 401",
        "with it 200",
        "again 401",
        "by another key 401",
        "oauth4webapi's challenges bearer:,dpop:use_dpop_nonce",
        "oauth4webapi 200",
        "oauth4webapi again 200",
    ];
    assert_eq!(said(&gateway, node).await, expected);
    for algorithm in ["ES256", "RS256", "PS256", "ES384", "EdDSA"] {
        let mut python = Command::new(home.join("python/bin/python"));
        python.arg(here.join("dpop.py")).arg(algorithm).arg(&url);
        let expected =
            ["first 401", "second 200", "third 200", "by another key 401", "as bearer 401"];
        assert_eq!(said(&gateway, python).await, expected, "{algorithm}");
    }
}
