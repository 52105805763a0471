//! The house keeps its order: who may know whom.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file of the crate, with its path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&root).unwrap().to_owned(), text)
    };
    files.into_iter().map(read).collect()
}

/// The command: beside the filter, and not part of it.
const COMMAND: &str = "bin/gatepass";

/// The files outside of `allowed` that contain `needle` in their code.
fn offenders(needle: &str, allowed: &[&str]) -> Vec<PathBuf> {
    let is_allowed = |path: &Path| allowed.iter().any(|prefix| path.starts_with(prefix));
    let uses = |text: &str| {
        text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(needle))
    };
    let files = sources().into_iter();
    files.filter(|(path, text)| !is_allowed(path) && uses(text)).map(|(path, _)| path).collect()
}

#[test]
fn dependencies_point_inwards() {
    for (needle, allowed) in [
        // The SDK panics on a status that it does not expect, and a panic ends the
        // VM: the host's functions are declared in one place, where a status is a
        // value.
        ("proxy_wasm::", &[][..]),
        ("hostcalls", &[]),
        ("extern \"C\" {", &["proxy/abi/imports.rs", "proxy/callbacks.rs"]),
        ("no_mangle", &["proxy/callbacks.rs"]),
        ("unsafe_code", &["proxy/abi/imports.rs", "proxy/callbacks.rs"]),
        ("crate::proxy", &["proxy"]),
        ("crate::config", &["config", "proxy", COMMAND]),
        ("crate::pipeline", &[]),
        ("crate::gateway", &["config", "flights.rs", "gateway", "pipeline", "proxy"]),
        ("jwt_compact::", &["keys", "identity", "bin/gatepass/mint.rs"]),
        // Keys are made by the command alone.
        ("p256::", &["keys", "bin/gatepass/keygen.rs"]),
        ("p384::", &["keys", "bin/gatepass/keygen.rs"]),
        ("p521::", &["keys", "bin/gatepass/keygen.rs"]),
        ("k256::", &["keys"]),
        ("ecdsa::", &["keys"]),
        ("rsa::", &["keys", "bin/gatepass/keygen.rs", "bin/gatepass/signer.rs"]),
        ("ed25519_dalek::", &["keys", "bin/gatepass/keygen.rs"]),
        ("chacha20poly1305::", &["sealing"]),
        // A trap on Kong: the one place is for a host that is known to be Envoy.
        (
            "call_foreign_function",
            &["proxy/abi", "proxy/crypto.rs", "bin/gatepass/capabilities.rs"],
        ),
        ("imports::", &["proxy/abi"]),
        ("std::env", &["proxy", "bin/gatepass/outside.rs"]),
        (
            "getrandom::",
            &[
                "proxy",
                "bin/gatepass/keygen.rs",
                "bin/gatepass/outside.rs",
                "bin/gatepass/signer.rs",
            ],
        ),
        // The command reaches for the machine in one place, and prints in one.
        ("std::fs", &["bin/gatepass/outside.rs"]),
        ("SystemTime::", &["proxy", "bin/gatepass/outside.rs"]),
        ("std::io", &["bin/gatepass/failure.rs", "bin/gatepass/outside.rs"]),
        ("println!", &[]),
        ("clap", &[COMMAND]),
        ("serde_norway", &[COMMAND, "config/convert"]),
    ] {
        assert_eq!(offenders(needle, allowed), Vec::<PathBuf>::new(), "{needle}");
    }
}

#[test]
fn the_command_uses_the_core_and_no_host() {
    for needle in ["gatepass::proxy", "no_mangle"] {
        let found = offenders(needle, &["proxy", "lib.rs"]);
        assert_eq!(found, Vec::<PathBuf>::new(), "{needle}");
    }
}

#[test]
fn the_needles_find_something() {
    for needle in
        ["no_mangle", "crate::config", "crate::gateway", "p256::", "clap", "std::fs", "std::io"]
    {
        assert!(!offenders(needle, &[]).is_empty(), "{needle}");
    }
}

#[test]
fn the_core_does_not_know_kong_from_envoy() {
    // The table of host differences is src/proxy/host.rs, with what nginx needs
    // beside it; `kong` is also a format of error bodies, with the names of Kong's
    // headers.
    for needle in ["Host::Envoy", "Host::NgxWasm", "is_envoy", "is_kong"] {
        assert_eq!(
            offenders(needle, &["proxy/host.rs", "proxy/nginx.rs"]),
            Vec::<PathBuf>::new(),
            "{needle}"
        );
    }
}
