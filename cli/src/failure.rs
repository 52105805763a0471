//! Why a command could not do what it was asked to.

use std::fmt;
use std::io;

use gatepass::config::Problem;
use gatepass::keys::SigningKeyError;

use crate::document::Unreadable;
use crate::findings::place;
use crate::text::Escaped;

/// Why there is no result; the command ends with 2.
#[derive(Debug)]
pub enum Failure {
    /// A file cannot be read or written.
    File { file: String, cause: io::Error },
    /// A token or a key stands where the name of a file is wanted.
    Content,
    /// A file is no text, but this.
    NotText { file: String, line: Option<usize>, what: &'static str },
    /// A file has the wrong format.
    Format { file: String, cause: Unreadable },
    /// No configuration of Gatepass is in a file.
    NoConfiguration { file: String, instead: &'static str },
    /// Several are, and it was not said which one.
    SeveralConfigurations { file: String, paths: Vec<String> },
    /// There is none at the place that was named.
    NotThere { file: String, path: String, paths: Vec<String> },
    /// The configuration is not accepted: each problem with its line.
    Invalid { file: String, problems: Vec<(Option<usize>, Problem)> },
    /// An argument has a value that cannot be used.
    Argument { name: &'static str, found: String, accepted: &'static str },
    /// An argument is missing that only sometimes is needed.
    Missing { name: &'static str, why: &'static str },
    /// No provider was named, or none that there is.
    Provider { found: Option<String>, known: Vec<String> },
    /// A file holds no key to sign with.
    Key { file: String, cause: SigningKeyError },
    /// Signing failed.
    Sign(String),
    /// The machine gave no random bytes.
    Random,
    /// All of these, so that nobody adds one argument to be told of the next.
    Several(Vec<Self>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, cause } => write!(f, "{}: {cause}", Escaped(file)),
            Self::Content => f.write_str(
                "found a token, a key or another text, accepted: the name of a file that has it, \
                 or - for standard input",
            ),
            Self::NotText { file, line, what } => write!(f, "{} {what}", place(file, *line)),
            Self::Format { file, cause } => {
                let place = place(file, cause.line());
                write!(f, "{place} {}", Escaped(&cause.to_string()))
            }
            Self::NoConfiguration { file, instead } => {
                write!(f, "{}: no configuration found: {instead}", Escaped(file))
            }
            Self::SeveralConfigurations { file, paths } => write!(
                f,
                "{}: more than one configuration, choose one with --at-path:\n  {}",
                Escaped(file),
                Escaped(&paths.join("\n  "))
            ),
            Self::NotThere { file, path, paths } => write!(
                f,
                "{}: no configuration at {}, only at:\n  {}",
                Escaped(file),
                Escaped(path),
                Escaped(&paths.join("\n  "))
            ),
            Self::Invalid { file, problems } => {
                write!(f, "{}: the configuration is not accepted", Escaped(file))?;
                problems.iter().try_for_each(|(line, problem)| {
                    let problem = problem.to_string();
                    write!(f, "\n  {} {}", place(file, *line), Escaped(&problem))
                })
            }
            Self::Argument { name, found, accepted } => {
                write!(f, "{name}: found {}, accepted: {accepted}", Escaped(found))
            }
            Self::Missing { name, why } => write!(f, "{name} is needed: {why}"),
            Self::Provider { found, known } => {
                let found = found.as_ref().map_or("nothing", String::as_str);
                let known = known.join(", ");
                write!(f, "--provider: found {}, accepted: {}", Escaped(found), Escaped(&known))
            }
            Self::Key { file, cause } => {
                write!(f, "{}: {}", Escaped(file), Escaped(&cause.to_string()))
            }
            Self::Sign(cause) => write!(f, "could not sign: {cause}"),
            Self::Random => f.write_str("the machine gave no random bytes"),
            Self::Several(failures) => {
                let texts: Vec<_> = failures.iter().map(Self::to_string).collect();
                f.write_str(&texts.join("\ngatepass: "))
            }
        }
    }
}

/// A problem with its place in the whole file.
pub fn placed(path: &str, problem: &Problem) -> Problem {
    let below = problem.path.strip_prefix('$').unwrap_or(&problem.path);
    Problem { path: format!("{path}{below}"), ..problem.clone() }
}
