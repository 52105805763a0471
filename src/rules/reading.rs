//! What lenient readers make of a path: a second proxy that decodes it once
//! more, Windows, readers that normalise characters.
//!
//! Names such as `Inc.`, `What%3F` and those in Chinese are ordinary, so such a
//! path is not refused for what it is, but where the reading means another rule.

use crate::http::{is_blank, plain};

/// The other paths that a canonical path may be read as; none for most.
///
/// The first is the whole path, the second ends where an encoded `?` or `#`
/// would end it for a reader that decodes once more.
pub(super) fn lenient_readings(path: &[u8]) -> Vec<Vec<u8>> {
    let is_plain = |segment: &[u8]| {
        segment.is_ascii()
            && !segment.contains(&b'?')
            && !segment.ends_with(b".")
            && !segment.starts_with(b" ")
            && !segment.ends_with(b" ")
    };
    if path.split(|byte| *byte == b'/').all(is_plain) {
        return Vec::new();
    }
    let text: String = String::from_utf8_lossy(path)
        .chars()
        .filter(|it| *it == ' ' || !is_blank(*it))
        .map(plain)
        .collect();
    let cut = text.split(['?', '#']).next().unwrap_or_default();
    let mut readings = vec![trimmed(&text), trimmed(cut)];
    readings.dedup();
    readings.retain(|reading| reading != path);
    readings
}

/// A path without empty segments, and each segment without what Windows and
/// servers with path parameters leave out of a name.
fn trimmed(text: &str) -> Vec<u8> {
    let ends_in_slash = text.ends_with('/');
    let mut path = String::with_capacity(text.len());
    for segment in text.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        let name = name.trim_start_matches(' ').trim_end_matches(['.', ' ']);
        if !name.is_empty() {
            path.push('/');
            path.push_str(name);
        }
    }
    if ends_in_slash || path.is_empty() {
        path.push('/');
    }
    path.into_bytes()
}
