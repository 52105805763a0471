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

/// A feature that a smaller module may leave out is passed on to the core, is in the manual
/// with what it saves, and in the build whose tests run without it.
#[test]
fn each_feature_is_passed_on_and_in_the_manual() {
    let root = Path::new(env!("CARGO_WORKSPACE_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let manifest = read("Cargo.toml");
    let default = manifest.split_once("default = [").unwrap().1.split_once(']').unwrap().0;
    let features: BTreeSet<_> =
        default.split(',').map(|name| name.trim().trim_matches('"')).collect();
    assert!(features.len() > 6, "{features:?}");
    let filter = read("wasm/Cargo.toml");
    let page = read("docs/install-envoy.md");
    let (_, table) = page.split_once("| feature | without it |").unwrap();
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let rows = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<BTreeSet<_>>(), features);
    let script = read(".ci/run-tests");
    let left_out = script.split_once("GATEPASS_LEFT_OUT=").unwrap().1.split(' ').next().unwrap();
    let tables = ["tables"];
    assert_eq!(left_out.split(',').chain(tables).collect::<BTreeSet<_>>(), features);
    for name in features {
        assert!(filter.contains(&format!("\n{name} = [\"gatepass/{name}\"]\n")), "{name}");
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

/// The package of the fuzz targets is outside of the workspace, and built by hand: what its
/// sources import, the modules of other tests among them, has to be in its manifest.
#[test]
fn the_fuzz_targets_have_what_they_import() {
    let root = Path::new(env!("CARGO_WORKSPACE_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let names = |manifest: &str| -> BTreeSet<String> {
        let sections = manifest.split("\n[").filter(|it| it.contains("dependencies]"));
        let lines = sections.flat_map(|section| section.lines().skip(1));
        let names = lines.filter_map(|line| line.split(['=', '.', ' ']).next());
        let is_name = |name: &&str| name.starts_with(|first: char| first.is_ascii_lowercase());
        names.filter(is_name).map(|name| name.replace('-', "_")).collect()
    };
    let known: BTreeSet<_> =
        ["Cargo.toml", "native/Cargo.toml", "tests/Cargo.toml", "wasm/Cargo.toml"]
            .iter()
            .flat_map(|manifest| names(&read(manifest)))
            .collect();
    let has = names(&read("tests/fuzz/libfuzzer/Cargo.toml"));
    let main = read("tests/fuzz/libfuzzer/main.rs");
    let included = main.lines().filter_map(|line| line.strip_prefix("#[path = \"../../"));
    let included = included.filter_map(|rest| rest.strip_suffix("\"]"));
    let mut texts = vec![("main.rs".to_owned(), main.clone())];
    for path in included.chain(["config/support.rs", "pipeline/support.rs", "fuzz/targets/mod.rs"])
    {
        match path.strip_suffix("/mod.rs") {
            Some(directory) => texts.extend(
                super::sources(&format!("tests/{directory}"))
                    .into_iter()
                    .map(|(file, text)| (format!("{directory}/{}", file.display()), text)),
            ),
            None => texts.push((path.to_owned(), read(&format!("tests/{path}")))),
        }
    }
    assert!(texts.len() > 30, "{}", texts.len());
    for (path, text) in &texts {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let words = code
            .flat_map(|line| line.split(|it: char| !it.is_alphanumeric() && !"_:".contains(it)));
        let crates = words.filter_map(|word| word.split_once("::")).map(|(first, _)| first);
        for name in crates.filter(|name| known.contains(*name)) {
            assert!(has.contains(name), "{path} imports {name}, which tests/fuzz/libfuzzer lacks");
        }
    }
}
