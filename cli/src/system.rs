//! The machine: files, clock, environment, randomness, output. The only place where the
//! command uses them.

#![allow(clippy::disallowed_methods, reason = "the command's counterpart of the adapter")]

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepass::json;
use gatepass::time::UnixTime;

use crate::failure::Failure;

/// A file's text; `-` is standard input.
pub fn read(file: &str) -> Result<String, Failure> {
    let bytes = if file == "-" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|cause| match is_content(file) {
        // It may be a secret.
        true => Failure::Content,
        false => Failure::File { file: file.to_owned(), cause },
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let text = error.as_bytes().split_at_checked(error.utf8_error().valid_up_to());
        let (before, rest) = text.unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        // A text with one letter in another encoding is no other format.
        let format = json::other_format(error.as_bytes()).filter(|_| before.len() < rest.len());
        let what = format.unwrap_or("it is not UTF-8 (ISO 8859-1, perhaps)");
        Failure::NotText {
            file: file.to_owned(),
            line: Some(line).filter(|_| format.is_none()),
            what,
        }
    })
}

/// Whether what should name a file is rather what is in one: a token, a key, a set.
fn is_content(file: &str) -> bool {
    let starts = ["eyJ", "Bearer ", "{", "-----BEGIN"];
    starts.iter().any(|start| file.starts_with(start)) || file.len() > 255 || file.contains('\n')
}

/// True if the file exists.
pub fn exists(file: &str) -> bool {
    Path::new(file).exists()
}

/// Writes a file anew.
pub fn write(file: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = std::fs::write(file, content);
    written.map_err(|cause| Failure::File { file: file.display().to_string(), cause })
}

/// Makes a directory and those above it.
pub fn make_directory(directory: &Path) -> Result<(), Failure> {
    let made = std::fs::create_dir_all(directory);
    made.map_err(|cause| Failure::File { file: directory.display().to_string(), cause })
}

/// The current time.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A variable of the environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether a person sees what is printed, and wants colours (no-color.org).
pub fn has_colours() -> bool {
    let is_set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    let is_dumb = environment("TERM").is_none_or(|name| name == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Random bytes of the operating system, fit for keys.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Failure::Random)?;
    Ok(bytes)
}

/// Prints; a closed pipe (`| head`) is not an error.
pub fn print(text: &str, notes: &str) {
    let _ = io::stderr().write_all(notes.as_bytes());
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
