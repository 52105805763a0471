//! Text from files and tokens on a terminal.

use std::fmt;

use serde_json::Value;

/// Text whose control and invisible characters are escaped, all but line
/// breaks: what is in a file or a token must not steer a terminal.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|character| match character {
            '\n' | '"' | '\'' | '\\' => f.write_char(character),
            // Escapes what has no look of its own, direction marks included.
            other => write!(f, "{}", other.escape_debug()),
        })
    }
}

/// A path with one more step.
pub fn step(path: &str, name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-@".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_plain) {
        format!("{path}.{name}")
    } else {
        format!("{path}[{}]", Value::from(name))
    }
}

/// Colours, for a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A problem's word.
    pub fn error(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// A warning's word.
    pub fn warning(self, text: &str) -> String {
        self.with("1;35", text)
    }

    /// What is well.
    pub fn good(self, text: &str) -> String {
        self.with("1;32", text)
    }

    /// A place.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
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
            assert_eq!(Escaped(text).to_string(), expected, "{text:?}");
        }
    }
}
