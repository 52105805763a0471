//! The command `gatepass`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatepass_cli::main()
}
