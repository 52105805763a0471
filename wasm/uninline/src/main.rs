//! `uninline FROM TO`: keeps the compiler of a host from inlining what is cold. A step of
//! `.ci/build-wasm`.
//!
//! Envoy has V8 compile the module as it loads it, with the optimizing compiler alone. Without
//! a run to learn from, V8 then inlines what it comes across: up to sixty calls into each
//! function, as long as they add less than twice what it has. That doubles the code that it
//! compiles, almost all of it code that runs once, or never.
//!
//! It inlines no call through a table. So calls become those, except
//!
//! - of short functions, which are as quick to compile inlined as called, and
//! - by cryptography, and by what each request runs through.
//!
//! - `module` has what is to be known of a module.
//! - `rewrite` replaces calls.

use std::ffi::OsStr;
use std::process::ExitCode;

mod module;
mod rewrite;
#[cfg(test)]
mod tests;

/// What each request runs through, also one with a token that is known.
const REQUEST: [&str; 9] = [
    "gatepass::bearer",
    "gatepass::gateway",
    "gatepass::http::head",
    "gatepass::http::path",
    "gatepass::pipeline::decide",
    "gatepass::rules",
    "gatepass_wasm::filter",
    "gatepass_wasm::shared",
    "proxy_wasm::dispatcher",
];

/// What went wrong, for whoever builds the module.
type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: uninline FROM TO");
        return ExitCode::FAILURE;
    };
    match run(from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("uninline: {}: {why}", from.display());
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a program of the build")]
fn run(from: &OsStr, to: &OsStr) -> Result<(), Error> {
    let module = std::fs::read(from)?;
    Ok(std::fs::write(to, rewrite::rewrite(&module, &REQUEST)?)?)
}
