//! The house keeps its order: who may know whom.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod circles;
mod limits;
mod packages;

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file below a directory of the repository, with its path from there.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_WORKSPACE_DIR")).join(directory);
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&root).unwrap().to_owned(), text)
    };
    files.into_iter().map(read).collect()
}

/// The sources of the core, and of the packages that use it.
const CORE: &str = "src";
const COMMAND: &str = "cli/src";
const NATIVE: &str = "native/src";
const WASM: &str = "wasm/src";
const ENVOY: &str = "envoy/native/src";
const KONG: &str = "kong/native/src";
const PACKAGES: [&str; 5] = [COMMAND, NATIVE, WASM, ENVOY, KONG];

/// The files outside of `allowed` that contain `needle` in their code; those of other
/// packages than the core are named from the top of the repository.
fn offenders(needle: &str, allowed: &[&str]) -> Vec<PathBuf> {
    let is_allowed = |path: &Path| allowed.iter().any(|prefix| path.starts_with(prefix));
    let uses = |text: &str| {
        text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(needle))
    };
    let named = |package: &'static str| {
        let files = sources(package).into_iter();
        files.map(move |(path, text)| (Path::new(package).join(path), text))
    };
    let files = sources(CORE).into_iter().chain(PACKAGES.into_iter().flat_map(named));
    files.filter(|(path, text)| !is_allowed(path) && uses(text)).map(|(path, _)| path).collect()
}

#[test]
fn dependencies_point_inwards() {
    for (needle, allowed) in [
        ("proxy_wasm::", &[WASM][..]),
        // The SDK panics on a status that it does not expect, and a panic ends the
        // VM: the host's functions are declared in one place, where a status is a
        // value. The one that the SDK must know is called through it.
        ("hostcalls", &["wasm/src/abi/callouts.rs"]),
        ("extern \"C\" {", &["wasm/src/abi/callouts.rs", "wasm/src/abi/imports.rs"]),
        (
            "unsafe_code",
            &[
                "wasm/src/abi/callouts.rs",
                "wasm/src/abi/imports.rs",
                "envoy/native/src/abi",
                "kong/native/src/abi.rs",
                // Its tests read what a caller reads.
                "kong/native/src/encode.rs",
                // LMDB reads a file that is mapped into memory.
                "kong/native/src/store.rs",
            ],
        ),
        // Envoy's has a `crate::configuration`.
        ("crate::config", &["config", COMMAND, ENVOY]),
        // The gateway keeps the requests that the pipeline decides; a configuration
        // comes to the pipeline's settings.
        ("crate::pipeline", &["config", "gateway"]),
        ("crate::gateway", &[]),
        // What is left out is a type without a value, not an absent line.
        ("(feature = ", &["features.rs"]),
        ("jwt_compact::", &["keys", "cli/src/mint.rs"]),
        // Keys are made by the command alone; those that stand in for others by AWS-LC too.
        ("p256::", &["keys", "cli/src/keygen.rs"]),
        ("p384::", &["keys", "cli/src/keygen.rs", "cli/src/signer.rs"]),
        ("p521::", &["keys", "cli/src/keygen.rs"]),
        ("k256::", &["keys"]),
        ("ecdsa::", &["keys", "cli/src/signer.rs"]),
        (
            "rsa::",
            &["keys", "cli/src/keygen.rs", "cli/src/signer.rs", "native/src/crypto/made_up.rs"],
        ),
        ("ed25519_dalek::", &["keys", "cli/src/keygen.rs"]),
        ("chacha20poly1305::", &["sealing"]),
        ("aws_lc_rs::", &["native/src/crypto", "native/src/random.rs"]),
        // A trap on Kong: the one place is for a host that is known to be Envoy.
        (
            "call_foreign_function",
            &["wasm/src/abi", "wasm/src/crypto.rs", "cli/src/capabilities.rs"],
        ),
        ("imports::", &["wasm/src/abi"]),
        (
            "std::env",
            &[
                WASM,
                "cli/src/system.rs",
                "native/src/environment.rs",
                // A directory for its tests.
                "kong/native/src/store.rs",
            ],
        ),
        ("getrandom::", &[WASM, "cli/src/keygen.rs", "cli/src/system.rs", "cli/src/signer.rs"]),
        // The command reaches for the machine in one place, and prints in one.
        ("std::fs", &["cli/src/system.rs", "kong/native/src/store.rs"]),
        ("SystemTime::", &["cli/src/system.rs", "envoy/native/src/snapshot.rs"]),
        (
            "std::io",
            &[
                "cli/src/failure.rs",
                "cli/src/system.rs",
                "envoy/native/src/timer.rs",
                "kong/native/src/store.rs",
            ],
        ),
        // Where an Envoy has no log to give.
        ("println!", &["envoy/native/src/abi/envoy.rs"]),
    ] {
        assert_eq!(offenders(needle, allowed), Vec::<PathBuf>::new(), "{needle}");
    }
}

#[test]
fn doors_alone_know_a_host() {
    for needle in ["proxy_on_", "no_mangle", "extern \"C\"", "gatepass_wasm"] {
        let found = offenders(needle, &[WASM, ENVOY, KONG, "cli/src/capabilities.rs"]);
        assert_eq!(found, Vec::<PathBuf>::new(), "{needle}");
    }
}

#[test]
fn the_needles_find_something() {
    for needle in [
        "hostcalls",
        "crate::config",
        "crate::pipeline",
        "p256::",
        "aws_lc_rs::",
        "std::fs",
        "std::io",
    ] {
        assert!(!offenders(needle, &[]).is_empty(), "{needle}");
    }
}

/// Rustdoc's tests are not run: to look for them costs a compilation of each package.
#[test]
fn comments_have_no_examples_to_run() {
    let mut ends = 0;
    for package in [CORE].into_iter().chain(PACKAGES) {
        for (path, text) in sources(package) {
            let comments = text.lines().map(str::trim_start);
            let comments = comments.filter_map(|line| line.strip_prefix("//")?.get(1..));
            let fences = comments.filter_map(|line| line.trim_start().strip_prefix("```"));
            for (place, language) in fences.enumerate() {
                let is_code = place % 2 == 0 && !["sh", "text"].contains(&language);
                assert!(!is_code, "{package}/{}: put it into docs/", path.display());
                ends += place % 2;
            }
        }
    }
    assert!(ends > 0, "no block was found");
}

#[test]
fn the_core_does_not_know_kong_from_envoy() {
    // The table of host differences is wasm/src/host.rs, with what nginx needs
    // beside it; `kong` is also a format of error bodies, with the names of Kong's
    // headers.
    for needle in ["Host::Envoy", "Host::NgxWasm", "is_envoy", "is_kong"] {
        assert_eq!(
            offenders(needle, &["wasm/src/host.rs", "wasm/src/nginx.rs"]),
            Vec::<PathBuf>::new(),
            "{needle}"
        );
    }
}
