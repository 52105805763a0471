//! The shop in containers, and the script that builds what they run. Docker itself is not
//! there: what the files name exists, and agrees with the bundled configuration.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::{documents, read};

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_WORKSPACE_DIR")).join(path)
}

/// The port of the first listener of a configuration of Envoy.
fn port(path: &str) -> u64 {
    let listener = documents(path)[0]["static_resources"]["listeners"][0].take();
    listener["address"]["socket_address"]["port_value"].as_u64().unwrap()
}

#[test]
fn the_containers_have_what_the_shop_needs() {
    let dockerfile = read("examples/shop/Dockerfile");
    let compose = documents("compose.yaml")[0].take();
    let stages: BTreeSet<_> =
        dockerfile.lines().filter_map(|line| line.split_once(" AS ")).map(|it| it.1).collect();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["envoy", "shop"]);
    for (name, service) in services {
        let mut build = service["build"].clone();
        // A merge key.
        let shared = build.as_object_mut().unwrap().remove("<<");
        let shared = shared.unwrap_or_else(|| build.clone());
        assert!(tree(shared["dockerfile"].as_str().unwrap()).is_file());
        assert!(stages.contains(build["target"].as_str().unwrap()), "{name}");
        for argument in shared["args"].as_object().unwrap().keys() {
            assert!(dockerfile.contains(&format!("\nARG {argument}=\n")), "{argument}");
        }
        for variable in ["GATEPASS_SIGNING_KEY", "USERS_API_KEY"] {
            let value = service["environment"][variable].as_str().unwrap();
            assert!(value.starts_with(&format!("${{{variable}:")), "{name}: {value}");
        }
    }
    // One for the page and one for the same services without the gateway, for this machine
    // only: the shop is no place for anyone else.
    let expected = [port("envoy/envoy.yaml"), port("examples/shop/backstage.yaml")];
    let expected = expected.map(|port| format!("127.0.0.1:{port}:{port}"));
    assert_eq!(services["envoy"]["ports"], Value::from(expected.to_vec()));
    assert_eq!(services["shop"]["network_mode"], "service:envoy");

    let installed = read(".ci/install-envoy");
    let version = installed.lines().find_map(|line| line.strip_prefix("version=")).unwrap();
    assert!(dockerfile.contains(&format!("FROM envoyproxy/envoy:v{version} AS envoy")));
    // What is copied from the build is what the build writes, where the configuration wants it.
    let module = "target/wasm32-wasip1/release/gatepass.wasm";
    assert!(read("envoy/envoy.yaml").contains(&format!("filename: {module}")));
    let script = read(".ci/shop");
    for (copied, written) in [
        (module, format!("module={module}")),
        ("target/shop-envoy.yaml", "--envoy-config >target/shop-envoy.yaml".to_owned()),
        ("target/debug/shop", "shop=$target/debug/shop".to_owned()),
    ] {
        assert!(dockerfile.contains(&format!("/gatepass/{copied} ")), "{copied}");
        assert!(script.contains(&written), "{written}");
    }
    // Not gigabytes of builds, and no key.
    let ignored = read(".dockerignore");
    for line in ["target", "dist", ".env", &format!("!{module}")] {
        assert!(ignored.lines().any(|it| it == line), "{line}");
    }
}

/// A tree with the script alone, and a `cargo` and a `make` that must not be called.
fn bare(name: &str) -> PathBuf {
    let bare = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&bare);
    for directory in [".ci", "bin"] {
        fs::create_dir_all(bare.join(directory)).unwrap();
    }
    fs::copy(tree(".ci/shop"), bare.join(".ci/shop")).unwrap();
    for name in ["cargo", "make"] {
        script(&bare.join("bin").join(name), "echo built >&2; exit 9");
    }
    script(&bare.join("my-shop"), "echo \"$GATEPASS_TREE $*\"");
    fs::write(bare.join("my.wasm"), b"\0asm").unwrap();
    bare
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn build(bare: &Path, module: &str, shop: &str) -> Output {
    Command::new(bare.join(".ci/shop"))
        .arg("build")
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", bare.join("bin").display()))
        .env("GATEPASS_MODULE", module)
        .env("GATEPASS_SHOP", shop)
        .output()
        .unwrap()
}

#[test]
fn a_module_and_a_shop_that_are_there_are_not_built() {
    let bare = bare("shop-prebuilt");
    let run = build(&bare, "my.wasm", "my-shop");
    assert!(run.status.success(), "{run:?}");
    let module = fs::read(bare.join("target/wasm32-wasip1/release/gatepass.wasm")).unwrap();
    assert_eq!(module, b"\0asm");
    let config = fs::read_to_string(bare.join("target/shop-envoy.yaml")).unwrap();
    assert_eq!(config, format!("{} --envoy-config\n", bare.display()));
    for (module, shop, told) in [
        ("none.wasm", "my-shop", "GATEPASS_MODULE=none.wasm is not a file"),
        ("my.wasm", "my.wasm", "GATEPASS_SHOP=my.wasm is not an executable"),
    ] {
        let run = build(&bare, module, shop);
        assert_eq!(run.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&run.stderr).contains(told), "{run:?}");
    }
    // Without them, they are.
    assert!(!build(&bare, "my.wasm", "").status.success());
    // `make` hands its variables on.
    let run = Command::new("make")
        .args(["--dry-run", "run", "MODULE=my.wasm", "SHOP=my-shop"])
        .current_dir(tree(""))
        .output()
        .unwrap();
    let line = String::from_utf8_lossy(&run.stdout);
    assert!(line.contains("GATEPASS_MODULE=my.wasm GATEPASS_SHOP=my-shop .ci/shop"), "{line}");
}
