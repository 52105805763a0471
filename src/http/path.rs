//! The path that a request means, and whether all servers read it alike.

use std::borrow::Cow;

use super::{escaped_byte, percent_decode};

/// The path as every server reads it: percent-decoded once.
///
/// `None` for a path that servers read differently: with an encoded slash, backslash,
/// dot segment or control character, with an escape that is invalid or itself escaped,
/// with `//`, `;`, `\`, a space or a fragment, with one of these in disguise, or one
/// that does not start with `/` (`OPTIONS *` is the exception).
// RFC 3986 section 6.2 (R46)
pub(crate) fn canonical_path(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    if path == b"*" || is_plain(path) {
        return Some(Cow::Borrowed(path));
    }
    unambiguous(path)
}

/// [`canonical_path`] without the shortcut for plain paths.
fn unambiguous(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    let decoded = decoded_path(path)?;
    let is_ambiguous = |byte: &u8| b"\\;".contains(byte);
    // An encoded slash shows as an additional slash after decoding.
    let slashes = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
    if decoded.iter().any(is_ambiguous) || slashes(&decoded) != slashes(path) {
        return None;
    }
    let mut segments = decoded.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if may_climb(segment) || (segment.is_empty() && !is_last) {
            return None;
        }
    }
    Some(decoded)
}

/// True for nearly all paths: no reader changes anything about it but its case, and it
/// was not encoded. Found in one pass, so that a long path costs little.
pub(crate) fn is_plain(path: &[u8]) -> bool {
    let is_usual = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'')
            || matches!(byte, b'(' | b')' | b'*' | b'+' | b',' | b'=' | b'@')
    };
    let [b'/', names @ ..] = path else { return false };
    let mut last = b'/';
    for byte in names {
        let fits = match last {
            b'/' => byte.is_ascii_alphanumeric(),
            b'.' => *byte != b'/' && is_usual(*byte),
            _ => is_usual(*byte),
        };
        if !fits {
            return false;
        }
        last = *byte;
    }
    last != b'.'
}

/// The longest path that is read if it is not plain: each of its readings takes time, and
/// the sender pays nothing.
pub(super) const LONGEST: usize = 4096;

/// Whether every server reads a path the same way.
pub fn is_unambiguous(path: &[u8]) -> bool {
    canonical_path(path).is_some()
}

/// A path, percent-decoded; `None` for one that must be given to no server.
pub(super) fn decoded_path(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    // A space ends the target in an HTTP/1 request line, and URL parsers cut it off at
    // the end.
    let is_short = path.len() <= LONGEST;
    if !is_short || !path.starts_with(b"/") || path.contains(&b' ') || has_bad_escape(path) {
        return None;
    }
    let decoded = percent_decode(path);
    let is_bad = |byte: &u8| *byte == b'#' || byte.is_ascii_control();
    let is_certain =
        !decoded.iter().any(is_bad) && !has_escape(&decoded) && !is_disguised(&decoded);
    is_certain.then_some(decoded)
}

/// Whether decoding once more would change it; `%u002e` is IIS's form of escape.
pub(super) fn has_escape(decoded: &[u8]) -> bool {
    let starts = decoded.iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| at);
    starts
        .into_iter()
        .filter_map(|at| decoded.get(at..))
        .any(|rest| matches!(rest, [_, b'u' | b'U', ..]) || escaped_byte(rest).is_some())
}

/// True if it contains a character that some reader converts into another one: one that
/// normalization (NFKC) or a code page turns into a slash, a backslash or `%`; a control
/// character; or any character in more bytes of UTF-8 than it needs, which careless
/// decoders accept (`%c0%ae`).
pub(super) fn is_disguised(decoded: &[u8]) -> bool {
    let is_overlong = |pair: &[u8]| {
        matches!(
            pair,
            [0xC0 | 0xC1, _]
                | [0xE0, 0x80..=0x9F]
                | [0xF0, 0x80..=0x8F]
                | [0xF8, 0x80..=0x87]
                | [0xFC, 0x80..=0x83]
        )
    };
    if decoded.is_ascii() {
        return false;
    }
    decoded.windows(2).any(is_overlong)
        || matches!(decoded, [.., 0xC0 | 0xC1])
        || String::from_utf8_lossy(decoded)
            .chars()
            .filter(|it| !it.is_ascii())
            .any(|character| character.is_control() || matches!(plain(character), '/' | '\\' | '%'))
}

/// The ASCII character into which normalization or a code page turns one.
pub(crate) fn plain(character: char) -> char {
    match character {
        '\u{2024}'..='\u{2026}' | '\u{fe19}' | '\u{fe30}' | '\u{fe52}' | '\u{ff0e}' => '.',
        // These contain a slash of their own, like the sign for `care of`.
        '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' => '/',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff0f}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' | '\u{ff3c}' => '\\',
        '\u{fe6a}' | '\u{ff05}' => '%',
        '\u{37e}' | '\u{fe14}' | '\u{fe54}' | '\u{ff1b}' => ';',
        '\u{ff01}'..='\u{ff5e}' => {
            let code = u32::from(character).checked_sub(0xFEE0);
            code.and_then(char::from_u32).unwrap_or(character)
        }
        other => other,
    }
}

/// True if some reader may take a name for a dot segment: it has a dot, in any form, and
/// otherwise only characters that readers drop. Windows ignores dots and spaces at the
/// end of a name; others ignore invisible characters or invalid UTF-8.
pub(super) fn may_climb(part: &[u8]) -> bool {
    // Most names start with a letter.
    if part.first().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let text = String::from_utf8_lossy(part);
    // The part after `;` may be parameters.
    let name = text.split(|character| plain(character) == ';').next().unwrap_or_default();
    let is_dot = |character| plain(character) == '.';
    name.contains(is_dot) && name.chars().all(|character| is_dot(character) || is_blank(character))
}

/// Whether readers may drop a character.
pub(crate) fn is_blank(character: char) -> bool {
    let is_ignorable = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffd}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    is_ignorable || character.is_whitespace() || character.is_control()
}

pub(super) fn has_bad_escape(path: &[u8]) -> bool {
    let starts = path.iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| at);
    starts.into_iter().any(|at| path.get(at..).and_then(escaped_byte).is_none())
}

/// The start of an ambiguous path that every server reads the same way.
#[derive(Debug)]
pub(crate) struct Start {
    /// Its first segments, up to one that can be read differently: one that is empty or
    /// contains an encoded separator, `\` or `;`.
    pub path: Vec<u8>,
    /// True if more segments follow in every reading, not only a slash or a parameter.
    pub goes_on: bool,
}

/// The unambiguous start of a path: the path is this or below it.
///
/// `None` for a path that may lead elsewhere: with a dot segment in any spelling, an
/// invalid escape, an escaped `%`, a control character, a fragment.
pub(crate) fn unambiguous_start(path: &[u8]) -> Option<Start> {
    let decoded = decoded_path(path)?;
    let mut parts = decoded.split(|byte| b"/\\;".contains(byte));
    if decoded.contains(&b'%') || parts.any(may_climb) {
        return None;
    }
    let mut segments = path.split(|byte| *byte == b'/').skip(1).map(percent_decode).peekable();
    let is_clear = |segment: &Cow<'_, [u8]>| {
        !segment.is_empty() && !segment.iter().any(|byte| b"/\\;".contains(byte))
    };
    let mut start = Vec::with_capacity(path.len());
    while let Some(segment) = segments.next_if(is_clear) {
        start.push(b'/');
        start.extend_from_slice(&segment);
    }
    let has_name = |segment: Cow<'_, [u8]>| {
        let mut names = segment.split(|byte| b"/\\".contains(byte));
        names.any(|name| !matches!(name, [] | [b';', ..]))
    };
    Some(Start { path: start, goes_on: segments.any(has_name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_read_as_they_stand() {
        let others = b"aZ9./-_~!$&'()*+,=@:;%# ?\\\x80";
        let mut paths: Vec<Vec<u8>> = vec![b"/".to_vec()];
        let mut plain = 0;
        for _ in 0..3 {
            let longer =
                |path: Vec<u8>| others.iter().map(move |byte| [path.as_slice(), &[*byte]].concat());
            paths = paths.into_iter().flat_map(longer).collect();
            for path in paths.iter().filter(|path| is_plain(path)) {
                assert_eq!(unambiguous(path).as_deref(), Some(&path[..]), "{path:?}");
                plain += 1;
            }
        }
        assert!(plain > 1000, "{plain}");
    }

    #[test]
    fn what_is_plain() {
        for plain in ["/", "/a", "/a/", "/A/b.c/d-e_f~1", "/a!$&'()*+,=@", "/1.2/3"] {
            assert!(is_plain(plain.as_bytes()), "{plain}");
        }
        let others = [
            "", "*", "a", "//", "/a//b", "/a//", "/.", "/a/..", "/a./b", "/a.", "/-", "/.a",
            "/a%62", "/a b", "/a;b", "/a\\b", "/a#b", "/a:b", "/\u{e9}", "/a\u{e9}", "/a?b",
            "/a\"b", "/a\u{7f}",
        ];
        for other in others {
            assert!(!is_plain(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn long_paths_are_read_if_they_are_plain() {
        let path = |part: &str, length: usize| [b"/", part.repeat(length).as_bytes()].concat();
        assert!(canonical_path(&path("a/", LONGEST)).is_some());
        assert!(canonical_path(&path("-", LONGEST - 1)).is_some());
        assert!(canonical_path(&path("-", LONGEST)).is_none());
        assert!(unambiguous_start(&path("a//", LONGEST)).is_none());
    }
}
