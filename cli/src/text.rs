//! Text from files and tokens on a terminal, and times as people write them.

use std::fmt;

use chrono::DateTime;
use gatepass::time::UnixTime;

use crate::failure::Failure;

/// Text whose control and invisible characters are escaped, all but line
/// breaks: what is in a file or a token must not steer a terminal.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|character| match character {
            '\n' | '"' | '\'' | '\\' => f.write_char(character),
            // Escapes what has no look of its own, direction marks included.
            other => write!(f, "{}", other.escape_debug()),
        })
    }
}

/// A moment: RFC 3339 or seconds since 1970.
pub fn moment(text: &str) -> Result<UnixTime, Failure> {
    let seconds = text.parse().ok().map(UnixTime::from_secs);
    let date = || DateTime::parse_from_rfc3339(text).ok();
    seconds.or_else(|| date().map(|date| UnixTime::from_secs(date.timestamp()))).ok_or_else(|| {
        Failure::Argument {
            name: "--at",
            found: text.to_owned(),
            accepted: "a time such as 2026-01-31T12:00:00Z, or seconds since 1970",
        }
    })
}

/// A moment in RFC 3339.
pub fn date(time: UnixTime) -> String {
    let date = DateTime::from_timestamp(time.as_secs(), 0);
    date.map_or_else(|| time.to_string(), |date| date.format("%FT%TZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        for (text, expected) in [
            ("plain é 中 \"q\"", "plain é 中 \"q\""),
            ("two\nlines", "two\nlines"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{202e}abc", "\\u{202e}abc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("bell\u{7}\r", "bell\\u{7}\\r"),
        ] {
            assert_eq!(Plain(text).to_string(), expected, "{text:?}");
        }
    }
}
