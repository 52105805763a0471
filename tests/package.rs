//! The archives of `make package` hold what each host needs, as it is in the
//! tree, and are the same bytes each time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "files are what this is about")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files of an archive by name, and where they are in the tree.
const KONG: [(&str, &str); 9] = [
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE", "LICENSE"),
    ("README.md", "kong/README.md"),
    ("REFERENCE.md", "README.md"),
    ("compose.yaml", "kong/compose.yaml"),
    ("gatepass.meta.json", "kong/gatepass.meta.json"),
    ("kong.conf", "kong/kong.conf"),
    ("kong.yml", "kong/kong.yml"),
    ("production.conf", "kong/production.conf"),
];
const ENVOY: [(&str, &str); 3] =
    [("CHANGELOG.md", "CHANGELOG.md"), ("LICENSE", "LICENSE"), ("README.md", "README.md")];

/// A module that is none: archives are about files.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_WORKSPACE_DIR")).join(path)
}

/// A directory of its own for a test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Makes the archives in `directory`.
    fn package(&self, directory: &str) -> PathBuf {
        let (module, dist) = (self.0.join("module.wasm"), self.0.join(directory));
        fs::write(&module, MODULE).unwrap();
        run(Command::new(tree(".ci/package")).arg(&module).arg(&dist));
        dist
    }

    /// What an archive holds, by name.
    fn unpack(&self, dist: &Path, host: &str) -> BTreeMap<String, Vec<u8>> {
        let name = format!("gatepass-{VERSION}-{host}");
        let archive = dist.join(format!("{name}.tar.gz"));
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&self.0));
        let root = self.0.join(name);
        run(Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&root));
        let mut files = BTreeMap::new();
        collect(&root, &root, &mut files);
        files
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    output
}

fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

#[test]
fn archives_hold_what_the_tree_holds() {
    let place = Place::new("package-content");
    let dist = place.package("dist");
    for (host, expected) in [("kong", &KONG[..]), ("envoy", &ENVOY)] {
        let mut files = place.unpack(&dist, host);
        let sums = String::from_utf8(files.remove("SHA256SUMS").expect("checksums")).unwrap();
        assert_eq!(sums.lines().count(), files.len(), "{host}: every file has its checksum");
        assert_eq!(files.remove("gatepass.wasm").as_deref(), Some(MODULE), "{host}");
        for (name, path) in expected {
            let expected = fs::read(tree(path)).unwrap();
            assert_eq!(files.remove(*name), Some(expected), "{host}: {name}");
        }
        if host == "envoy" {
            let yaml = String::from_utf8(files.remove("envoy/envoy.yaml").unwrap()).unwrap();
            assert!(yaml.contains("code: {local: {filename: gatepass.wasm}}"), "beside the README");
            let there = fs::read_to_string(tree("envoy/envoy.yaml")).unwrap();
            assert_eq!(yaml.lines().count(), there.lines().count());
        }
        assert!(files.is_empty(), "{host}: {:?}", files.keys());
    }
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&dist));
}

#[test]
fn archives_are_the_same_each_time() {
    let place = Place::new("package-bytes");
    let (first, second) = (place.package("first"), place.package("second"));
    for host in ["kong", "envoy"] {
        let name = format!("gatepass-{VERSION}-{host}.tar.gz");
        let [first, second] = [&first, &second].map(|dist| fs::read(dist.join(&name)).unwrap());
        assert!(first == second, "{name}");
        let listed = run(Command::new("tar").arg("-tvzf").arg(place.0.join("first").join(&name)));
        for line in String::from_utf8(listed.stdout).unwrap().lines() {
            assert!(line.contains(" 0/0 "), "the owner is nobody of here: {line}");
            assert!(line.starts_with("-rw-r--r--") || line.starts_with("drwxr-xr-x"), "{line}");
        }
    }
}

/// `key = value` of kong.conf.
fn settings() -> BTreeMap<String, String> {
    let text = fs::read_to_string(tree("kong/kong.conf")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let pairs = lines.map(|line| line.split_once(" = ").unwrap_or_else(|| panic!("{line}")));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_compose_file_has_the_settings_of_kong_conf() {
    let text = fs::read_to_string(tree("kong/compose.yaml")).unwrap();
    let compose: Value = serde_norway::from_str(&text).unwrap();
    let kong = &compose["services"]["kong"];
    let settings = settings();
    assert!(settings.len() > 4, "{settings:?}");
    assert_ne!(settings["wasm_filters_path"], "/usr/local/kong/wasm", "Kong's own filters");
    for (key, value) in &settings {
        let variable = format!("KONG_{}", key.to_uppercase());
        assert_eq!(kong["environment"][&variable].as_str(), Some(value.as_str()), "{variable}");
    }
    assert_eq!(kong["image"], "kong:3.9.1", "one that has the runtime");
    // nginx passes on what is named, so it must be there.
    assert!(kong["environment"][settings["nginx_main_env"].as_str()].is_string());
    let volumes: Vec<_> =
        kong["volumes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    for file in ["kong.yml", "gatepass.wasm", "gatepass.meta.json"] {
        let mounted = volumes.iter().find(|it| it.starts_with(&format!("./{file}:"))).expect(file);
        assert!(mounted.ends_with(":ro"), "{mounted}");
        if file.starts_with("gatepass") {
            assert!(mounted.contains(&settings["wasm_filters_path"]), "{mounted}");
        }
    }
    for port in kong["ports"].as_array().unwrap() {
        assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port}");
    }
    assert_eq!(kong["environment"]["KONG_ADMIN_LISTEN"], "off");
}

/// The commands of the instructions name what is in the archive.
#[test]
fn the_instructions_name_what_there_is() {
    let readme = fs::read_to_string(tree("kong/README.md")).unwrap();
    let (_, installation) = readme.split_once("\n## Installation\n").expect("installation");
    let installation = installation.split("\n## ").next().unwrap();
    let (_, commands) = installation.split_once("```sh\n").expect("commands");
    let commands: Vec<_> = commands.split("```").next().unwrap().lines().collect();
    assert_eq!(commands.len(), 5, "{commands:#?}");
    assert!(commands[0].contains(&format!("gatepass-{VERSION}-kong.tar.gz")), "{}", commands[0]);
    for file in ["gatepass.wasm", "gatepass.meta.json", "kong.conf", "kong.yml"] {
        assert!(commands.iter().any(|command| command.contains(file)), "{file}");
    }
    for key in settings().keys().filter(|key| *key != "wasm" && *key != "log_level") {
        assert!(readme.contains(key.as_str()), "{key}");
    }
}

/// Whoever unpacks the archive finds every file that its README links to.
#[test]
fn the_links_of_the_instructions_lead_to_files_of_the_archive() {
    let readme = fs::read_to_string(tree("kong/README.md")).unwrap();
    let links = readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let files: Vec<_> = links.filter(|link| !link.starts_with('#')).collect();
    assert!(files.contains(&"production.conf"), "{files:?}");
    for file in files {
        assert!(KONG.iter().any(|(name, _)| *name == file), "{file}");
    }
}
