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
//! - `reader` reads the binary format, `encode` writes it.
//! - `module` has what is to be known of a module.
//! - `rewrite` replaces calls.

use std::process::ExitCode;

mod encode;
mod module;
mod reader;
mod rewrite;
#[cfg(test)]
mod tests;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: uninline FROM TO");
        return ExitCode::FAILURE;
    };
    #[allow(clippy::disallowed_methods, reason = "a program of the build")]
    let bytes = std::fs::read(from).map_err(|error| error.to_string());
    let rewritten = bytes.and_then(|bytes| rewrite::rewrite(&bytes).map_err(str::to_owned));
    let written =
        rewritten.and_then(|bytes| std::fs::write(to, bytes).map_err(|error| error.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("uninline: {}: {why}", from.display());
            ExitCode::FAILURE
        }
    }
}
