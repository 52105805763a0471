//! What the packages of the workspace depend on, and that each test is in one of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What cargo prints.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_WORKSPACE_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The names of all packages that are linked with one: not what its tests need.
fn linked(package: &str) -> BTreeSet<String> {
    let tree = cargo(&["tree", "--edges=no-dev", "--prefix=none", "--package", package]);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// What only the command needs stays out of what is built for a host.
#[test]
fn the_core_has_no_arguments_and_no_yaml() {
    let command = linked("gatepass-cli");
    let core = linked("gatepass");
    assert!(core.contains("jwt-compact"), "{core:?}");
    for name in ["clap", "clap_complete", "clap_mangen", "serde_norway", "unsafe-libyaml-norway"] {
        assert!(command.contains(name), "the command has {name}");
        assert!(!core.contains(name), "the core has {name}");
    }
}

/// The SDK is of the filter, and of what checks the fake host.
#[test]
fn the_filter_alone_has_the_sdk() {
    assert!(linked("gatepass-wasm").contains("proxy-wasm"));
    for package in ["gatepass", "gatepass-cli"] {
        assert!(!linked(package).contains("proxy-wasm"), "{package}");
    }
}

/// Tests are listed in the manifests, so that one could be forgotten.
#[test]
fn each_test_is_in_one_package() {
    let root = Path::new(env!("CARGO_WORKSPACE_DIR"));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(root.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let path = if path.is_dir() { path.join("main.rs") } else { path };
        if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
            files.push(path.canonicalize().unwrap());
        }
    }
    let metadata = cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().unwrap().iter();
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    let tests = targets.filter(|target| target["kind"][0] == "test");
    let path = |test: &Value| Path::new(test["src_path"].as_str().unwrap()).canonicalize().unwrap();
    let mut listed: Vec<PathBuf> = tests.map(path).collect();
    files.sort();
    listed.sort();
    assert_eq!(files, listed);
}
