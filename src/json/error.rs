//! Why a text is not acceptable JSON, in terms that help a person find the mistake.

use std::fmt;

use serde::de::Error as _;
use serde_json::error::Category;

/// Why a text is not acceptable JSON. The message contains positions and member names,
/// never values.
#[derive(Debug)]
pub struct JsonError(Cause);

#[derive(Debug)]
enum Cause {
    /// The whole text is in another format.
    Other(&'static str),
    /// It ends too early, or something in it is not JSON.
    Syntax { what: &'static str, line: usize, column: usize },
    /// Valid JSON with unacceptable contents, described by this module.
    Content(serde_json::Error),
}

impl JsonError {
    /// The reason for a parser's error on this text.
    #[cold]
    pub(super) fn of(text: &[u8], error: serde_json::Error) -> Self {
        let what = match error.classify() {
            Category::Data => return Self(Cause::Content(error)),
            Category::Eof => "it ends before it is complete",
            Category::Syntax | Category::Io if is_comment(text, &error) => {
                "a comment, which JSON does not have"
            }
            Category::Syntax | Category::Io => meaning(&error.to_string()),
        };
        let syntax = Cause::Syntax { what, line: error.line(), column: error.column() };
        Self(other_format(text).map_or(syntax, Cause::Other))
    }

    /// The line with the mistake; `None` if the whole text is in another format.
    pub fn line(&self) -> Option<usize> {
        match &self.0 {
            Cause::Other(_) => None,
            Cause::Syntax { line, .. } => Some(*line),
            Cause::Content(error) => Some(error.line()).filter(|line| *line > 0),
        }
    }

    /// It is JSON, but does not have the expected contents.
    pub(super) fn content(text: fmt::Arguments<'_>) -> Self {
        Self(Cause::Content(serde_json::Error::custom(text)))
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Other(format) => f.write_str(format),
            Cause::Syntax { what, line, column } => {
                write!(f, "{what} (line {line}, column {column})")
            }
            Cause::Content(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JsonError {}

/// Whether a comment is where the parser stopped.
fn is_comment(text: &[u8], error: &serde_json::Error) -> bool {
    let line = text.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
    let rest = line.and_then(|line| line.get(error.column().saturating_sub(1)..));
    rest.is_some_and(|rest| [b"//" as &[u8], b"/*", b"#"].iter().any(|it| rest.starts_with(it)))
}

/// The meaning of a parser's message.
fn meaning(message: &str) -> &'static str {
    const MEANINGS: [(&str, &str); 9] = [
        ("trailing characters", "there is more after its end"),
        ("trailing comma", "a comma before a closing bracket"),
        ("key must be a string", "a member name without double quotes"),
        ("control character", "a line break or another control character within a string"),
        ("invalid escape", "a backslash with something that JSON does not have after it"),
        ("lone leading", "half of a character (\\ud800 to \\udfff)"),
        ("unexpected end of hex", "half of a character (\\ud800 to \\udfff)"),
        ("number out of range", "a number out of range"),
        ("recursion limit", "nested too deep"),
    ];
    let found = MEANINGS.iter().find(|(start, _)| message.starts_with(start));
    found.map_or("something that JSON does not have", |(_, meaning)| meaning)
}

/// The format of a text that is not JSON, judging by its beginning.
pub fn other_format(text: &[u8]) -> Option<&'static str> {
    const BINARY: [(&[u8], &str); 9] = [
        (b"\xef\xbb\xbf", "a byte order mark is before it: save it as UTF-8 without one"),
        (b"\xff\xfe", "it is UTF-16: JSON is UTF-8"),
        (b"\xfe\xff", "it is UTF-16: JSON is UTF-8"),
        (b"\x1f\x8b", "it is compressed (gzip), which was not asked for"),
        (b"\x28\xb5\x2f\xfd", "it is compressed (zstd), which was not asked for"),
        (b"\x78\x01", "it is compressed (deflate), which was not asked for"),
        (b"\x78\x9c", "it is compressed (deflate), which was not asked for"),
        (b"\x78\xda", "it is compressed (deflate), which was not asked for"),
        (b"\x00asm", "it is a WebAssembly module"),
    ];
    if let Some((_, format)) = BINARY.iter().find(|(start, _)| text.starts_with(start)) {
        return Some(format);
    }
    let trimmed = text.trim_ascii();
    let Ok(trimmed) = std::str::from_utf8(trimmed) else {
        return Some(match trimmed.first() {
            Some(b'{' | b'[' | b'"') => "it is not UTF-8 (ISO 8859-1, perhaps)",
            _ => "it is neither text nor JSON (compressed, perhaps)",
        });
    };
    let line = trimmed.lines().next().unwrap_or_default();
    let (word, rest) = line.split_at_checked(word_end(line)).unwrap_or_default();
    Some(match trimmed.bytes().next() {
        None => "it is empty",
        Some(b'<') => "it is HTML or XML",
        Some(b'-') if line.starts_with("-----BEGIN") => "it is a PEM block",
        Some(b'-') if line.starts_with("---") || line.starts_with("- ") => "it is YAML",
        Some(b'#') => "it begins with a comment, which JSON does not have (YAML, perhaps)",
        Some(b'/') if line.starts_with("//") || line.starts_with("/*") => {
            "it begins with a comment, which JSON does not have"
        }
        Some(b'\'') => "it is in single quotes: JSON has double quotes",
        Some(b'e') if word.starts_with("eyJ") => match trimmed.matches('.').count() {
            0 => "it is base64: decode it first",
            4 => "it is an encrypted JWT (JWE), not JSON",
            _ => "it is a JWT, not JSON",
        },
        _ if word.is_empty() => return None,
        _ if ["true", "false", "null"].contains(&word) => return None,
        _ if rest.starts_with('=') => "it is a form (a=b&c=d), or a list of variables",
        _ if rest.starts_with(": ") || rest == ":" => "it is YAML",
        _ if word.starts_with(|first: char| first.is_ascii_digit()) => return None,
        _ => "it is plain text",
    })
}

/// The end of the first word.
fn word_end(line: &str) -> usize {
    let is_of_word = |c: char| c.is_alphanumeric() || "_-.$/+".contains(c);
    line.find(|c| !is_of_word(c)).unwrap_or(line.len())
}

#[cfg(test)]
mod tests {
    use super::super::{parse, parse_object};

    /// An operator's or a service's mistake, and the message for it, which contains
    /// neither a parser's own words nor a value.
    #[test]
    fn each_mistake_is_named() {
        const JWT: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln";
        for (case, text, expected) in [
            ("nothing", &b""[..], "it is empty"),
            ("white space", b" \n", "it is empty"),
            ("a JWT", JWT, "it is a JWT, not JSON"),
            ("an encrypted JWT", b"eyJh.a.b.c.d\n", "it is an encrypted JWT (JWE), not JSON"),
            ("base64 of JSON", b"eyJrZXlzIjpbXX0=", "it is base64: decode it first"),
            ("gzip", b"\x1f\x8b\x08\x00", "it is compressed (gzip), which was not asked for"),
            ("zstd", b"\x28\xb5\x2f\xfd\x04", "it is compressed (zstd), which was not asked for"),
            ("deflate", b"\x78\x9c\x4b", "it is compressed (deflate), which was not asked for"),
            ("brotli", b"\x0b\x02\x80\xff", "it is neither text nor JSON (compressed, perhaps)"),
            (
                "a byte order mark",
                b"\xef\xbb\xbf{}",
                "a byte order mark is before it: save it as UTF-8 without one",
            ),
            ("UTF-16", b"\xff\xfe{\0}\0", "it is UTF-16: JSON is UTF-8"),
            ("Latin-1", b"{\"name\": \"Jos\xe9\"}", "it is not UTF-8 (ISO 8859-1, perhaps)"),
            ("a login page", b"<!DOCTYPE html>", "it is HTML or XML"),
            ("PEM", b"-----BEGIN PUBLIC KEY-----\n", "it is a PEM block"),
            ("YAML", b"keys:\n- kty: EC", "it is YAML"),
            ("YAML on a line", b"services: {}", "it is YAML"),
            ("a form", b"active=true&sub=alice", "it is a form (a=b&c=d), or a list of variables"),
            ("plain text", b"no healthy upstream", "it is plain text"),
            ("an excuse", b"Unauthorized", "it is plain text"),
            ("Python", b"{'keys': []}", "a member name without double quotes (line 1, column 2)"),
            (
                "a comma too many",
                b"{\"a\": [1,]}",
                "a comma before a closing bracket (line 1, column 10)",
            ),
            ("JavaScript", b"{keys: []}", "a member name without double quotes (line 1, column 2)"),
            (
                "a comment",
                b"{\n  // the keys\n}",
                "a comment, which JSON does not have (line 2, column 3)",
            ),
            ("cut short", b"{\"keys\": [", "it ends before it is complete (line 1, column 10)"),
            ("two texts", b"{}{}", "there is more after its end (line 1, column 3)"),
            (
                "a comma too few",
                b"{\"a\": 1 \"b\": 2}",
                "something that JSON does not have (line 1, column 9)",
            ),
            (
                "no number",
                b"{\"exp\": NaN}",
                "something that JSON does not have (line 1, column 9)",
            ),
            (
                "a line break in a string",
                b"{\"a\": \"x\ny\"}",
                "a line break or another control character within a string (line 2, column 0)",
            ),
            (
                "a member twice",
                br#"{"a":1,"a":2}"#,
                "member \"a\" appears twice at line 1 column 13",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert_eq!(error, expected, "{case}");
        }
        let error = parse_object(b"[]").unwrap_err().to_string();
        assert_eq!(error, "expected an object, found an array");
    }

    #[test]
    fn values_are_not_in_it() {
        for text in ["hunter2", "'hunter2'", r#"{"k": hunter2}"#, r#"{"k": "hunter2"#, "{hunter2}"]
        {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
