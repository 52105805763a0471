//! The built native module and the Envoys that are here: each has what the other looks
//! up by name. The core has nothing of any host, and no library anything of another's.
//!
//! Needs `make native` and the Envoy of `.ci/install-envoy`, as `make test` does. Other
//! releases are held against it where they are installed.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gatepass_envoy::{Callbacks, REQUIRED_HOOKS, SECRET_SYMBOLS};
use object::{Object, ObjectSymbol};

const MODULE: &str = "target/native/libgatepass_envoy.so";
const KONG: &str = "target/native/libgatepass_kong.so";
const CALLBACK: &str = "envoy_dynamic_module_callback_";
const HOOK: &str = "envoy_dynamic_module_on_";

/// The oldest glibc that the module runs with: that of RHEL 9, Debian 12, Ubuntu 22.04
/// and Envoy's own images, on all of which it can be built.
const GLIBC: (u32, u32) = (2, 34);

fn root() -> &'static Path {
    Path::new(env!("CARGO_WORKSPACE_DIR"))
}

/// The names that a file exports, and those that it needs.
fn symbols(path: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = object::File::parse(&*bytes).expect("ELF");
    let name = |symbol: &object::Symbol<'_, '_>| symbol.name().unwrap().to_owned();
    let (needed, exported): (Vec<_>, Vec<_>) =
        file.dynamic_symbols().partition(object::Symbol::is_undefined);
    (exported.iter().map(name).collect(), needed.iter().map(name).collect())
}

/// How the functions begin that hosts call, or have called: of proxy-wasm, of Envoy's
/// modules, and of the library for Kong.
const OF_HOSTS: [&str; 3] = ["proxy_", "envoy_dynamic_module_", "gatepass_"];

/// All names in the core's library, as it was linked with this test.
fn of_the_core() -> BTreeSet<String> {
    let test = std::env::current_exe().unwrap();
    let built = fs::read_dir(test.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let is_core = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libgatepass-") && name.ends_with(".rlib")
    };
    // Others are left of builds before.
    let newest =
        built.filter(is_core).max_by_key(|path| path.metadata().unwrap().modified().unwrap());
    let bytes = fs::read(newest.expect("the core's library")).unwrap();
    let archive = object::read::archive::ArchiveFile::parse(&*bytes).expect("an archive");
    let mut names = BTreeSet::new();
    for member in archive.members() {
        let member = member.unwrap().data(&*bytes).unwrap();
        // Beside the objects there is what the compiler notes.
        if let Ok(file) = object::File::parse(member) {
            names.extend(file.symbols().filter_map(|symbol| symbol.name().ok().map(str::to_owned)));
        }
    }
    names
}

#[test]
fn the_core_and_each_library_know_no_other_host() {
    let of_library = |library: &str| {
        let (exported, needed) = symbols(&root().join(library));
        exported.into_iter().chain(needed).collect::<BTreeSet<_>>()
    };
    for (of, names, own) in [
        ("the core", of_the_core(), None),
        (MODULE, of_library(MODULE), Some("envoy_dynamic_module_")),
        (KONG, of_library(KONG), Some("gatepass_")),
    ] {
        assert!(names.len() > 10, "{of} has {} names", names.len());
        for prefix in OF_HOSTS {
            let found: Vec<_> = names.iter().filter(|name| name.starts_with(prefix)).collect();
            assert_eq!(!found.is_empty(), own == Some(prefix), "{of}: {found:?}");
        }
    }
    let sdk: Vec<_> =
        of_the_core().into_iter().filter(|name| name.contains("proxy_wasm")).collect();
    assert!(sdk.is_empty(), "{sdk:?}");
}

/// The Envoys that are installed, oldest first.
fn envoys() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::env::var_os("ENVOY").map(PathBuf::from).into_iter().collect();
    for entry in fs::read_dir(root().join("target")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // What comes before is refused, which another test looks at.
        if !name.starts_with("envoy-1.") || name.starts_with("envoy-1.38") {
            continue;
        }
        let pythons = fs::read_dir(path.join("lib")).into_iter().flatten().flatten();
        let paths = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
        found.extend(paths.filter(|path| path.exists()));
    }
    assert!(!found.is_empty(), "no Envoy: run `make test`, or `.ci/install-envoy` before");
    found.sort();
    found
}

#[test]
fn every_function_that_is_looked_up_is_one_of_envoys() {
    for envoy in envoys() {
        let (exported, _) = symbols(&envoy);
        let missing: Vec<_> = Callbacks::SYMBOLS
            .iter()
            .map(|name| name.to_str().unwrap())
            .filter(|name| !exported.contains(*name))
            .collect();
        assert!(missing.is_empty(), "{} lacks {missing:?}", envoy.display());
        assert!(exported.contains("envoy_dynamic_module_callback_log"));
        let secrets = SECRET_SYMBOLS.map(|name| exported.contains(name.to_str().unwrap()));
        let is_oldest = envoy.to_string_lossy().contains("1.39.");
        assert_eq!(secrets, [!is_oldest; 2], "{}", envoy.display());
    }
}

#[test]
fn the_module_has_every_hook_and_leaves_nothing_to_the_linker() {
    let (exported, needed) = symbols(&root().join(MODULE));
    for hook in REQUIRED_HOOKS {
        assert!(exported.contains(*hook), "{hook} is missing");
    }
    let own: BTreeSet<&str> =
        exported.iter().map(String::as_str).filter(|name| name.starts_with(HOOK)).collect();
    assert_eq!(own, REQUIRED_HOOKS.iter().copied().collect(), "all of them are known");
    // A missing one would end Envoy when it is called first.
    let linked: Vec<_> =
        needed.iter().filter(|name| name.starts_with(CALLBACK) || name.contains("proxy")).collect();
    assert!(linked.is_empty(), "{linked:?}");
}

/// Versions of glibc's symbols are among the strings of the dynamic section.
#[test]
fn the_module_runs_on_old_machines() {
    let bytes = fs::read(root().join(MODULE)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let versions = text.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let mut parts = rest.get(..end)?.split('.');
        Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?))
    });
    let newest = versions.max().expect("it is linked with glibc");
    assert!(newest <= GLIBC, "it needs glibc {}.{}", newest.0, newest.1);
}
