//! The built native module and the Envoys that are here: each has what the other looks
//! up by name. The core has nothing of any host, and no library anything of another's, and
//! all of them run on old machines.
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
use object::read::elf::{Dyn, ElfFile64};
use object::{Endianness, Object, ObjectSymbol, elf};

const MODULE: &str = "target/native/libgatepass_envoy.so";
const KONG: &str = "target/native/libgatepass_kong.so";
const CALLBACK: &str = "envoy_dynamic_module_callback_";
const HOOK: &str = "envoy_dynamic_module_on_";

/// The oldest glibc that the libraries run with: that of RHEL 8 and Debian 10.
const GLIBC: (u32, u32) = (2, 28);

/// The libraries that every machine with glibc has. Not the compiler's, libgcc_s: images
/// that hold nothing but an Envoy lack it.
const OF_GLIBC: [&str; 6] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
];

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
    // By which copies of all versions know one another.
    assert!(exported.contains("GATEPASS_ENVOY_MODULE"), "{exported:?}");
    // A missing one would end Envoy when it is called first.
    let linked: Vec<_> =
        needed.iter().filter(|name| name.starts_with(CALLBACK) || name.contains("proxy")).collect();
    assert!(linked.is_empty(), "{linked:?}");
}

/// The libraries that a library is linked with, and the versions of their symbols.
fn needs(path: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("ELF");
    let (endian, sections) = (file.endian(), file.elf_section_table());
    let owned = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    let mut libraries = BTreeSet::new();
    let (entries, link) = sections.dynamic(endian, &*bytes).unwrap().expect("it is dynamic");
    let strings = sections.strings(endian, &*bytes, link).unwrap();
    for entry in entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED) {
        libraries.insert(owned(entry.string(endian, strings).unwrap()));
    }
    let mut versions = BTreeSet::new();
    let (mut files, link) = sections.gnu_verneed(endian, &*bytes).unwrap().expect("versions");
    let strings = sections.strings(endian, &*bytes, link).unwrap();
    while let Some((_, mut of_file)) = files.next().unwrap() {
        while let Some(version) = of_file.next().unwrap() {
            versions.insert(owned(version.name(endian, strings).unwrap()));
        }
    }
    (libraries, versions)
}

/// The number of a version of glibc's symbols; `None` for one of another library, or a
/// private one.
fn glibc(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("GLIBC_")?.split('.').map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((major, minor))
}

#[test]
fn the_libraries_run_on_old_machines() {
    // Those for other architectures where they are built.
    for directory in ["", "aarch64/", "x86_64/"] {
        for host in ["envoy", "kong"] {
            let path = root().join(format!("target/native/{directory}libgatepass_{host}.so"));
            if !directory.is_empty() && !path.exists() {
                continue;
            }
            let (libraries, versions) = needs(&path);
            let path = path.display();
            let others: Vec<_> =
                libraries.iter().filter(|name| !OF_GLIBC.contains(&name.as_str())).collect();
            assert!(others.is_empty(), "{path} needs {others:?}");
            let unknown: Vec<_> = versions.iter().filter(|it| glibc(it).is_none()).collect();
            assert!(unknown.is_empty(), "{path} needs {unknown:?}");
            let newest = versions.iter().filter_map(|version| glibc(version)).max();
            let newest = newest.expect("it is linked with glibc");
            assert!(newest <= GLIBC, "{path} needs glibc {}.{}", newest.0, newest.1);
        }
    }
}
