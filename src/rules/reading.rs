//! The interpretations of a path by lenient readers: a second proxy that decodes it
//! once more, Windows, readers that normalise characters or ignore case.
//!
//! Names such as `Inc.`, `What%3F` or Chinese ones are common, so such a path is refused
//! only where another interpretation selects another rule.

use std::borrow::Cow;

use crate::http::{is_blank, is_plain, plain};

/// The other possible readings of a canonical path; none for most.
///
/// The first is the whole path, the second ends where an encoded `?` or `#`
/// would end it for a reader that decodes once more.
pub(super) fn lenient_readings(path: &[u8]) -> Vec<Vec<u8>> {
    if is_plain(path) { Vec::new() } else { readings(path) }
}

/// [`lenient_readings`] without the shortcut for plain paths.
fn readings(path: &[u8]) -> Vec<Vec<u8>> {
    let is_clear = |segment: &[u8]| {
        segment.is_ascii()
            && !segment.contains(&b'?')
            && !segment.ends_with(b".")
            && !segment.starts_with(b" ")
            && !segment.ends_with(b" ")
            && !segment.windows(2).any(|pair| pair == STREAM.as_bytes())
    };
    if path.split(|byte| *byte == b'/').all(is_clear) {
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

/// The beginning of the stream name that NTFS has for each file and directory:
/// `/admin::$INDEX_ALLOCATION` is `/admin`.
const STREAM: &str = ":$";

/// The text with case folded, as case-insensitive frameworks and file systems compare it.
pub(super) fn folded(text: &[u8]) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        let is_folded = !text.iter().any(u8::is_ascii_uppercase);
        return if is_folded { text.into() } else { text.to_ascii_lowercase().into() };
    }
    // Invalid UTF-8 is kept: a rule's text may end within a character.
    let mut folded = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let upper = chunk.valid().chars().flat_map(char::to_uppercase);
        folded.extend(upper.flat_map(char::to_lowercase).collect::<String>().into_bytes());
        folded.extend(chunk.invalid());
    }
    Cow::Owned(folded)
}

/// A path without empty segments, and without the parts of a segment that Windows and
/// servers with path parameters ignore.
fn trimmed(text: &str) -> Vec<u8> {
    let ends_in_slash = text.ends_with('/');
    let mut path = String::with_capacity(text.len());
    for segment in text.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        let name = match name.split_once(':') {
            Some((file, _)) if name.contains(STREAM) => file,
            _ => name,
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_have_no_other_reading() {
        let bytes = b"aZ9./-_~!$&'()*+,=@:;%# ?\\\x80";
        let mut paths: Vec<Vec<u8>> = vec![b"/".to_vec()];
        for _ in 0..3 {
            let longer =
                |path: Vec<u8>| bytes.iter().map(move |byte| [path.as_slice(), &[*byte]].concat());
            paths = paths.into_iter().flat_map(longer).collect();
            for path in paths.iter().filter(|path| is_plain(path)) {
                assert!(readings(path).is_empty(), "{path:?}");
            }
        }
    }
}
