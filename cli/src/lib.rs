//! `gatepass`, the command: checks configurations, explains decisions and makes
//! keys and tokens, with the code that decides in the filter.
//!
//! Everything it needs from the machine (files, clock, environment, randomness)
//! comes through `system`. A command gives an `Output`; nothing is printed
//! on the way. Secrets and public tokens are printed only where that is what
//! was asked for: by `keygen`, `mint` and `--show-tokens`.

mod arguments;
mod around;
mod callouts;
mod capabilities;
mod check;
mod comparison;
mod configuration;
pub mod convert;
mod document;
mod door;
mod envoy;
mod explain;
mod explanation;
mod failure;
mod findings;
mod jwks;
mod keygen;
mod lines;
mod literal;
mod located;
mod mint;
mod placeholders;
mod report;
mod restrictions;
mod schema;
mod search;
mod shell;
mod signer;
mod suggestion;
mod system;
mod text;
mod time;
mod tree;
mod unreadable;
mod upstream;
mod verify;
mod warnings;
mod yaml;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

/// How a command ended, as scripts see it. The same for all commands, and in
/// the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// 0: valid, forwarded, done.
    Good,
    /// 1: not valid, denied.
    Bad,
    /// 2: it could not be done: bad arguments, a file that cannot be read.
    Failed,
    /// 3: done in part: a reply is missing, or something could not be carried
    /// over.
    Partial,
}

/// The output of a command, and its exit status.
struct Output {
    /// For standard output.
    text: String,
    /// For standard error.
    notes: String,
    ending: Ending,
}

impl Output {
    fn new(text: impl Into<String>, ending: Ending) -> Self {
        let mut text = text.into();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self { text, notes: String::new(), ending }
    }

    fn good(text: impl Into<String>) -> Self {
        Self::new(text, Ending::Good)
    }
}

/// The command, from the arguments of the process to its exit status.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = run(&arguments.command).unwrap_or_else(|failure| {
        let notes = format!("gatepass: {failure}\n");
        Output { text: String::new(), notes, ending: Ending::Failed }
    });
    system::print(&output.text, &output.notes);
    ExitCode::from(match output.ending {
        Ending::Good => 0,
        Ending::Bad => 1,
        Ending::Failed => 2,
        Ending::Partial => 3,
    })
}

fn run(command: &Command) -> Result<Output, Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Mint(arguments) => mint::run(arguments),
        Command::Keygen(arguments) => keygen::run(arguments),
        Command::Jwks(arguments) => jwks::run(arguments),
        Command::Convert(arguments) => convert::command::run(arguments),
        Command::Schema => schema::run(),
        Command::Completions { shell } => Ok(shell::completions(*shell)),
        Command::Man { directory } => shell::manual(directory.as_deref()),
    }
}
