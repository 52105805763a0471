//! The archives of `make package` hold what each host needs, as it is in the
//! tree, and are the same bytes each time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "files are what this is about")]

#[path = "documents/links.rs"]
mod links;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Files that each archive has where they are in the tree, beside the pages of the manual.
const DOCUMENTS: [&str; 10] = [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "kong/README.md",
    "kong/compose.yaml",
    "kong/kong.conf",
    "kong/kong.yml",
    "kong/plugin.conf",
    "kong/plugin.yml",
];
const FILTER: [(&str, &str); 1] = [("kong/gatepass.meta.json", "kong/gatepass.meta.json")];
const ROCKSPEC: &str = concat!("kong-plugin-gatepass-", env!("CARGO_PKG_VERSION"), "-1.rockspec");

/// A module and a library that are none: archives are about files.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const LIBRARY: &[u8] = b"\x7fELF";

/// The plugin's own files.
fn plugin() -> Vec<(String, String)> {
    let directory = fs::read_dir(tree("kong/plugins/gatepass")).unwrap();
    let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let lua = names.map(|name| format!("kong/plugins/gatepass/{name}"));
    let mut files: Vec<_> = lua.map(|path| (path.clone(), path)).collect();
    assert!(files.len() > 5, "{files:?}");
    files.push((ROCKSPEC.to_owned(), format!("kong/{ROCKSPEC}")));
    files.push(("gatepass.h".to_owned(), "kong/native/gatepass.h".to_owned()));
    files
}

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
        fs::write(self.0.join("libgatepass_kong.so"), LIBRARY).unwrap();
        run(Command::new(tree(".ci/package")).arg(&module).arg(&dist).arg(&self.0));
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
    let owned = |files: &[(&str, &str)]| -> Vec<(String, String)> {
        files.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect()
    };
    for (host, loaded, bytes, expected) in [
        ("kong", "kong/gatepass.wasm", MODULE, owned(&FILTER)),
        ("kong-plugin", "libgatepass_kong.so", LIBRARY, plugin()),
        ("envoy", "gatepass.wasm", MODULE, Vec::new()),
    ] {
        let mut files = place.unpack(&dist, host);
        let sums = String::from_utf8(files.remove("SHA256SUMS").expect("checksums")).unwrap();
        assert_eq!(sums.lines().count(), files.len(), "{host}: every file has its checksum");
        assert_eq!(files.remove(loaded).as_deref(), Some(bytes), "{host}");
        for (name, path) in expected {
            let expected = fs::read(tree(&path)).unwrap();
            assert_eq!(files.remove(&name), Some(expected), "{host}: {name}");
        }
        for name in DOCUMENTS {
            assert!(files.contains_key(name), "{host}: {name}");
        }
        for page in fs::read_dir(tree("docs")).unwrap() {
            let name = format!("docs/{}", page.unwrap().file_name().to_str().unwrap());
            assert!(files.contains_key(&name), "{host}: {name}");
        }
        for name in [
            "envoy/envoy.yaml",
            "envoy/envoy-tls.yaml",
            "envoy/minimal.yaml",
            "examples/mcp/envoy.yaml",
        ] {
            let yaml = String::from_utf8(files.remove(name).unwrap()).unwrap();
            assert!(yaml.contains("code: {local: {filename: gatepass.wasm}}"), "{name}");
            let there = fs::read_to_string(tree(name)).unwrap();
            assert_eq!(yaml.lines().count(), there.lines().count());
        }
        for (name, bytes) in files {
            assert!(Some(bytes) == fs::read(tree(&name)).ok(), "{host}: {name}");
        }
    }
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&dist));
}

#[test]
fn archives_are_the_same_each_time() {
    let place = Place::new("package-bytes");
    let (first, second) = (place.package("first"), place.package("second"));
    for host in ["kong", "kong-plugin", "envoy"] {
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

/// The commands of the instructions name what is in the archives.
#[test]
fn the_instructions_name_what_there_is() {
    let readme = fs::read_to_string(tree("kong/README.md")).unwrap();
    for (heading, archive, files) in [
        ("\n## Installation\n", "kong-plugin", &[ROCKSPEC, "plugin.conf", "plugin.yml"][..]),
        (
            "\n### Installing the filter\n",
            "kong",
            &["gatepass.wasm", "gatepass.meta.json", "kong.conf", "kong.yml"],
        ),
    ] {
        let (_, installation) = readme.split_once(heading).expect(heading);
        let (_, commands) = installation.split_once("```sh\n").expect("commands");
        let commands: Vec<_> = commands.split("```").next().unwrap().lines().collect();
        assert_eq!(commands.len(), 6, "{commands:#?}");
        let name = format!("gatepass-{VERSION}-{archive}.tar.gz");
        assert!(commands[0].contains(&name), "{}", commands[0]);
        for file in files {
            assert!(commands.iter().any(|command| command.contains(file)), "{file}");
        }
    }
    for key in settings().keys().filter(|key| *key != "wasm" && *key != "log_level") {
        assert!(readme.contains(key.as_str()), "{key}");
    }
}

/// LuaRocks installs every file of the plugin.
#[test]
fn the_rockspec_lists_the_plugins_files() {
    let rockspec = fs::read_to_string(tree("kong").join(ROCKSPEC)).unwrap();
    assert!(rockspec.contains(&format!("version = \"{VERSION}-1\"")));
    for (name, _) in plugin().iter().filter(|(name, _)| name.ends_with(".lua")) {
        let module = name.trim_end_matches(".lua").replace('/', ".");
        assert!(rockspec.contains(&format!("[\"{module}\"] = \"{name}\"")), "{name}");
    }
}

/// Every relative link of every page leads to something that is in the archive too.
#[test]
fn the_links_of_each_archive_lead_to_files_of_it() {
    let place = Place::new("package-links");
    let dist = place.package("dist");
    for host in ["kong", "kong-plugin", "envoy"] {
        let files = place.unpack(&dist, host);
        let root = place.0.join(format!("gatepass-{VERSION}-{host}"));
        let mut followed = 0;
        for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".md")) {
            let text = std::str::from_utf8(bytes).unwrap();
            for (file, _) in links::links(text) {
                let target = root.join(name).with_file_name(file);
                assert!(file.is_empty() || target.exists(), "{host}: {name}: {file}");
                followed += 1;
            }
        }
        assert!(followed > 80, "{host}: {followed} links");
    }
}

/// What a release has beside the archives, and that it is the same each time.
#[test]
fn a_release_is_whole_and_the_same_each_time() {
    let place = Place::new("release");
    let path = |name: &str| place.0.join(name);
    fs::write(path("module.wasm"), MODULE).unwrap();
    fs::write(path("module-small.wasm"), "small").unwrap();
    // Another architecture's libraries go with it where they are asked for.
    let other = if std::env::consts::ARCH == "x86_64" { "aarch64" } else { "x86_64" };
    fs::create_dir(path(other)).unwrap();
    for host in ["envoy", "kong"] {
        fs::write(path(&format!("libgatepass_{host}.so")), LIBRARY).unwrap();
        fs::write(path(&format!("{other}/libgatepass_{host}.so")), other).unwrap();
    }
    let command = "#!/bin/sh\n[ \"$1\" = man ] && echo page > \"$3/gatepass.1\" || echo \"$@\"\n";
    fs::write(path("command"), command).unwrap();
    run(Command::new("chmod").arg("+x").arg(path("command")));
    let [first, second] = ["first", "second"].map(|directory| {
        let release = path(directory);
        run(Command::new(tree(".ci/release"))
            .arg(&release)
            .args([path("module.wasm"), place.0.clone(), path("command")])
            .env("ARCH", format!("{} {other}", std::env::consts::ARCH))
            .env_remove("RELEASE_KEY"));
        let mut files = BTreeMap::new();
        collect(&release, &release, &mut files);
        files
    });
    assert!(first == second, "other bytes");
    let sums = String::from_utf8(first["SHA256SUMS"].clone()).unwrap();
    assert_eq!(sums.lines().count(), first.len() - 1);
    let platform = format!("linux-{}", std::env::consts::ARCH);
    for name in [
        format!("gatepass-{VERSION}-envoy.tar.gz"),
        format!("gatepass-{VERSION}-kong.tar.gz"),
        format!("gatepass-{VERSION}-kong-plugin.tar.gz"),
        format!("gatepass-{VERSION}.wasm"),
        format!("gatepass-small-{VERSION}.wasm"),
        format!("libgatepass_envoy-{VERSION}-{platform}.so"),
        format!("libgatepass_kong-{VERSION}-{platform}.so"),
        format!("gatepass-{VERSION}-command-{platform}.tar.gz"),
        format!("gatepass-{VERSION}-oci.tar.gz"),
        format!("kong-plugin-gatepass-{VERSION}-1.{platform}.rock"),
        format!("kong-plugin-gatepass-{VERSION}-1.linux-{other}.rock"),
    ] {
        assert!(first.contains_key(&name), "{name}: {:?}", first.keys());
    }
    for host in ["envoy", "kong"] {
        let library = &first[&format!("libgatepass_{host}-{VERSION}-linux-{other}.so")];
        assert_eq!(library, other.as_bytes());
    }
    assert!(first["NOTES.md"].len() > 100, "notes");
    let bill: Value =
        serde_json::from_slice(&first[&format!("gatepass-{VERSION}.cdx.json")]).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let components = bill["components"].as_array().unwrap();
    let named = |name: &str| components.iter().find(|component| component["name"] == name);
    assert!(named("fantoccini").is_none(), "what tests need is not shipped");
    assert!(named("windows-sys").is_none(), "nor what other targets need");
    let curve = named("p256").expect("what the filter is made of");
    assert!(curve["hashes"][0]["content"].is_string() && curve["licenses"].is_array());
}

/// The rock is what LuaRocks makes of the plugin's archive, and LuaRocks installs it.
#[test]
fn the_rock_is_as_luarocks_packs_it() {
    let place = Place::new("rock");
    let dist = place.package("dist");
    drop(place.unpack(&dist, "kong-plugin"));
    let archive = place.0.join(format!("gatepass-{VERSION}-kong-plugin"));
    // Without the manual, which LuaRocks would put into the rock too.
    let source = place.0.join("source");
    for name in ["LICENSE", "libgatepass_kong.so", "kong/plugins/gatepass", ROCKSPEC] {
        let to = source.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        run(Command::new("cp").arg("-r").arg(archive.join(name)).arg(&to));
    }
    let name = format!("kong-plugin-gatepass-{VERSION}-1.linux-{}.rock", std::env::consts::ARCH);
    let luarocks = |directory: &Path, tree: &str, arguments: &[&str]| {
        let mut command = Command::new("luarocks");
        command.args(["--lua-version", "5.1", "--tree"]).arg(place.0.join(tree)).args(arguments);
        command.env("HOME", &place.0).current_dir(directory);
        // Debian: luarocks.
        run(&mut command)
    };
    luarocks(&source, "made", &["make", "--deps-mode", "none", ROCKSPEC]);
    luarocks(&place.0, "made", &["pack", "kong-plugin-gatepass"]);
    let unzip = |rock: &Path, directory: &str| {
        let out = place.0.join(directory);
        fs::create_dir_all(&out).unwrap();
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(rock).arg(&out));
        let mut files = BTreeMap::new();
        collect(&out, &out, &mut files);
        files
    };
    let expected = unzip(&place.0.join(&name), "expected");
    let ours = place.0.join("ours");
    fs::create_dir_all(&ours).unwrap();
    run(Command::new(tree(".ci/rock"))
        .arg(place.0.join("libgatepass_kong.so"))
        .arg(std::env::consts::ARCH)
        .arg(&ours));
    let found = unzip(&ours.join(&name), "found");
    for (path, content) in &expected {
        let own = found.get(path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(String::from_utf8_lossy(own), String::from_utf8_lossy(content), "{path}");
    }
    assert_eq!(found.len(), expected.len());
    luarocks(&ours, "installed", &["install", "--deps-mode", "none", &name]);
    let installed = place.0.join("installed");
    assert!(installed.join("share/lua/5.1/kong/plugins/gatepass/handler.lua").is_file());
    assert_eq!(fs::read(installed.join("lib/lua/5.1/libgatepass_kong.so")).unwrap(), LIBRARY);
}

/// The plugin's archive has the libraries of other architectures in directories of their own.
#[test]
fn the_plugins_archive_has_other_architectures() {
    let place = Place::new("package-architectures");
    let other = if std::env::consts::ARCH == "aarch64" { "x86_64" } else { "aarch64" };
    fs::create_dir_all(place.0.join(other)).unwrap();
    fs::write(place.0.join(other).join("libgatepass_kong.so"), other).unwrap();
    let (module, dist) = (place.0.join("module.wasm"), place.0.join("dist"));
    fs::write(&module, MODULE).unwrap();
    fs::write(place.0.join("libgatepass_kong.so"), LIBRARY).unwrap();
    run(Command::new(tree(".ci/package"))
        .arg(&module)
        .arg(&dist)
        .arg(&place.0)
        .env("ARCH", format!("{} {other}", std::env::consts::ARCH)));
    let files = place.unpack(&dist, "kong-plugin");
    assert_eq!(files["libgatepass_kong.so"], LIBRARY);
    assert_eq!(files[&format!("{other}/libgatepass_kong.so")], other.as_bytes());
}
