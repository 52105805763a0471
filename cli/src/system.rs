//! The machine: files, clock, environment, randomness, output. The only place where the
//! command uses them.

#![allow(clippy::disallowed_methods, reason = "the command's counterpart of the adapter")]

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepass::time::UnixTime;

use crate::failure::Failure;

/// A file's text; `-` is standard input.
pub fn read(file: &str) -> Result<String, Failure> {
    let text = if file == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|cause| Failure::File { file: file.to_owned(), cause })
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
