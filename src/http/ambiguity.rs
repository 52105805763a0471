//! What it is that servers read differently in a path, said to whoever sent it.

use std::fmt;

use super::path::{LONGEST, decoded_path, has_bad_escape, has_escape, is_disguised, may_climb};
use super::percent_decode;

/// Why the path of a request may lead to different places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathAmbiguity {
    /// It does not start with a slash.
    Relative,
    /// It is not plain, and too long to be read in each way.
    Long,
    /// A space.
    Space,
    /// A `%` that starts no escape.
    Percent,
    /// A fragment, or an encoded `#`.
    Fragment,
    /// A control character.
    Control,
    /// An escaped `%`, where readers may decode twice.
    Escape,
    /// A byte that no path holds unescaped.
    Unescaped,
    /// A character or an encoding that some readers turn into another character.
    Disguise,
    /// A segment of dots.
    Dots,
    /// A backslash.
    Backslash,
    /// A semicolon.
    Semicolon,
    /// An encoded slash.
    Slash,
    /// An empty segment.
    Empty,
    /// Another rule is for it where the case of letters does not count.
    Case,
    /// Another rule is for it where a reader drops or converts characters.
    Reading,
}

impl PathAmbiguity {
    /// What is ambiguous in a path for which no rule can be chosen; `may_separate`: whether
    /// `//`, `;`, `\` and encoded slashes are accepted otherwise.
    pub(crate) fn of(path: &[u8], may_separate: bool) -> Self {
        let Some(decoded) = decoded_path(path) else { return Self::of_undecoded(path) };
        let mut parts = decoded.split(|byte| b"/\\;".contains(byte));
        let slashes = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
        match () {
            () if parts.any(may_climb) => Self::Dots,
            () if may_separate && decoded.contains(&b'%') => Self::Escape,
            () if may_separate => Self::Reading,
            () if decoded.contains(&b'\\') => Self::Backslash,
            () if decoded.contains(&b';') => Self::Semicolon,
            () if slashes(&decoded) != slashes(path) => Self::Slash,
            () => Self::Empty,
        }
    }

    /// Of a path that no server must get.
    fn of_undecoded(path: &[u8]) -> Self {
        let decoded = percent_decode(path);
        match () {
            () if !path.starts_with(b"/") => Self::Relative,
            () if path.len() > LONGEST => Self::Long,
            () if path.contains(&b' ') => Self::Space,
            () if has_bad_escape(path) => Self::Percent,
            () if decoded.contains(&b'#') => Self::Fragment,
            () if decoded.iter().any(u8::is_ascii_control) => Self::Control,
            () if has_escape(&decoded) && !is_disguised(&decoded) => Self::Escape,
            () => Self::Disguise,
        }
    }
}

impl fmt::Display for PathAmbiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relative => "the path does not begin with a slash",
            Self::Long => return write!(f, "the path is over {LONGEST} bytes, and not plain"),
            Self::Space => "the path holds a space",
            Self::Percent => "the path holds a % that begins no escape: %25 stands for it",
            Self::Fragment => "the path holds a #",
            Self::Control => "the path holds a control character",
            Self::Escape => {
                "the path holds an escaped percent sign (%25), which some servers decode twice"
            }
            Self::Unescaped => "the path holds a byte that is not printable ASCII: escape it",
            Self::Disguise => "the path holds a character that some servers turn into another one",
            Self::Dots => "the path holds a dot segment (/../ or the like)",
            Self::Backslash => "the path holds a backslash",
            Self::Semicolon => "the path holds a semicolon",
            Self::Slash => "the path holds an encoded slash (%2F)",
            Self::Empty => "the path holds an empty segment (//)",
            Self::Case => "another rule is for this path, if upper and lower case are the same",
            Self::Reading => {
                "another rule is for this path, as servers read it that drop or convert characters"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{is_unambiguous, unambiguous_start};

    #[test]
    fn each_path_is_told_what_it_holds() {
        use PathAmbiguity as It;
        let long = format!("/{}", "-".repeat(LONGEST));
        for (path, expected) in [
            ("a", It::Relative),
            ("", It::Relative),
            (&long, It::Long),
            ("/a b", It::Space),
            ("/a%", It::Percent),
            ("/a%2", It::Percent),
            ("/a%zz", It::Percent),
            ("/a#b", It::Fragment),
            ("/a%23b", It::Fragment),
            ("/a%00", It::Control),
            ("/a%0d%0ab", It::Control),
            ("/a%252e", It::Escape),
            ("/a%25u002e", It::Escape),
            ("/a%c0%ae", It::Disguise),
            ("/\u{ff0f}a", It::Disguise),
            ("/..", It::Dots),
            ("/a/../b", It::Dots),
            ("/a/./b", It::Dots),
            ("/a/%2e%2E/b", It::Dots),
            ("/a/..;/b", It::Dots),
            ("/a%5cb", It::Backslash),
            ("/a\\b", It::Backslash),
            ("/a;b", It::Semicolon),
            ("/a%3Bb", It::Semicolon),
            ("/a%2Fb", It::Slash),
            ("//a", It::Empty),
            ("/a//b", It::Empty),
        ] {
            assert!(!is_unambiguous(path.as_bytes()), "{path}");
            assert_eq!(It::of(path.as_bytes(), false), expected, "{path}");
        }
    }

    /// What is accepted otherwise is not what a path is refused for.
    #[test]
    fn where_separators_are_accepted_other_things_are_told() {
        use PathAmbiguity as It;
        for (path, expected) in [
            ("/a//../b", It::Dots),
            ("/a;/..;x/b", It::Dots),
            ("/a//b%25c", It::Escape),
            ("/a//b%00", It::Control),
        ] {
            assert!(unambiguous_start(path.as_bytes()).is_none(), "{path}");
            assert_eq!(It::of(path.as_bytes(), true), expected, "{path}");
        }
    }
}
