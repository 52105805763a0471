//! HTTP as the host presents it.
//!
//! Owns the request head, header names and the two encodings of claims in HTTP: header
//! values and path segments. It makes no decisions about requests.

mod ambiguity;
mod document;
mod grpc;
mod head;
mod path;
mod reply;
mod set_fields;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::rc::Rc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

pub use self::ambiguity::PathAmbiguity;
pub use self::document::Document;
pub(crate) use self::grpc::GrpcStatus;
pub use self::head::{Authority, Field, Fields, GrpcProtocol, Marks, RequestHead, Span, Target};
pub use self::path::is_unambiguous;
pub(crate) use self::path::{Start, canonical_path, is_blank, is_plain, plain, unambiguous_start};
pub use self::reply::LocalReply;
pub use self::set_fields::{KeptFields, SetFields};
pub(crate) use self::set_fields::{KnownLayouts, NewFields};

/// A change of a request's head, to be applied by a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Remove every field of this name.
    Remove(&'a str),
    /// Replace every field of this name by one.
    Set(&'a str, &'a [u8]),
    /// Replace path and query.
    Path(&'a [u8]),
}

/// The name of the header that carries bearer tokens, for comparisons: a
/// [`HeaderName`] takes memory.
pub(crate) const AUTHORIZATION: &str = "authorization";

/// The name of the header that carries transaction tokens, for comparisons too.
pub(crate) const TXN_TOKEN: &str = "txn-token";

/// A header field name in lower case.
///
/// Shared: a cached identity has half a dozen of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(Rc<str>);

impl HeaderName {
    /// A name that this program knows: a token in lower case.
    pub(crate) fn known(name: &'static str) -> Self {
        debug_assert!(name.bytes().all(|byte| is_token_byte(byte) && !byte.is_ascii_uppercase()));
        Self(name.into())
    }

    /// The header of bearer tokens (RFC 6750 section 2.1).
    pub fn authorization() -> Self {
        Self::known(AUTHORIZATION)
    }

    /// The header for accepted media types (RFC 9110 section 12.5.1).
    pub fn accept() -> Self {
        Self::known("accept")
    }

    /// The header for the media type of a body (RFC 9110 section 8.3).
    pub fn content_type() -> Self {
        Self::known("content-type")
    }

    /// The header for the length of a body (RFC 9110 section 8.6).
    pub(crate) fn content_length() -> Self {
        Self::known("content-length")
    }

    /// `DPoP`: a proof of possession.
    pub fn dpop() -> Self {
        Self::known("dpop")
    }

    /// The header of transaction tokens (draft-ietf-oauth-transaction-tokens,
    /// "Txn-Token HTTP Header").
    pub fn txn_token() -> Self {
        Self::known(TXN_TOKEN)
    }

    /// Parses a field name (RFC 9110 section 5.1: a token), ignoring case.
    ///
    /// Refuses pseudo-headers, and names that HTTP itself depends on: a filter that owned
    /// `host` or `connection` would break requests.
    pub fn parse(name: &str) -> Result<Self, InvalidHeaderName> {
        let name = name.to_ascii_lowercase();
        let is_token = !name.is_empty() && name.bytes().all(is_token_byte);
        if !is_token || name.len() > 128 || RESERVED.contains(&name.as_str()) {
            return Err(InvalidHeaderName);
        }
        Ok(Self(name.into()))
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if an upstream may take `name` for this header: in any case, with any byte that
    /// is not a letter or digit in place of `-`. CGI and WSGI map `-` to `_`, PHP also `.`,
    /// and lighttpd every such byte.
    pub fn is_spelled(&self, name: &[u8]) -> bool {
        is_spelled(self.0.as_bytes(), name)
    }

    /// What all names have in common that [`HeaderName::is_spelled`].
    pub fn folded(&self) -> Vec<u8> {
        self.0.bytes().map(folded).collect()
    }
}

/// Whether an upstream may take the header `name` for `own`; see
/// [`HeaderName::is_spelled`].
// RFC 3875 section 4.1.18 (R43)
pub fn is_spelled(own: &[u8], name: &[u8]) -> bool {
    let is_alike = || own.iter().zip(name).all(|(own, other)| folded(*own) == folded(*other));
    // Nearly always as it is.
    own == name || own.len() == name.len() && is_alike()
}

const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a byte may occur in a `token`, such as a field name (RFC 9110 section 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a byte may occur in a bearer token (`b64token`, RFC 6750 section 2.1).
pub(crate) const fn is_bearer_byte(byte: u8) -> bool {
    // Without branches, so that many bytes of a new token are checked at once.
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // '-', '.', '/' and the digits.
    let is_digit_or_mark = byte.wrapping_sub(b'-') < 13;
    is_letter | is_digit_or_mark | (byte == b'_') | (byte == b'~') | (byte == b'+') | (byte == b'=')
}

/// Whether this is a bearer token, judging by its characters.
pub(crate) fn is_bearer_token(token: &[u8]) -> bool {
    !token.is_empty() & token.iter().fold(true, |all, byte| all & is_bearer_byte(*byte))
}

/// What an upstream may take a byte of a name for: letters in lower case, `-` for all that
/// is no letter or digit.
const fn folded(byte: u8) -> u8 {
    // Without branches: it is asked of each name of a request.
    let lower = byte | 0x20;
    let is_letter = lower.wrapping_sub(b'a') < 26;
    let is_digit = byte.wrapping_sub(b'0') < 10;
    if is_letter {
        lower
    } else if is_digit {
        byte
    } else {
        b'-'
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a header name that a filter may own or read.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidHeaderName;

/// Encodes text as a header value, reversibly.
///
/// Visible ASCII and inner spaces stay as they are; every other byte of the
/// UTF-8 text, `%` itself and a space at either end become `%XX`. A control
/// character is refused: it is never part of a name, a country or a scope.
// RFC 9110 section 5.5: "Field values containing CR, LF, or NUL characters are invalid
// and dangerous" (R45)
pub fn header_text(text: &str) -> Result<Cow<'_, str>, ControlCharacter> {
    // As most are.
    if text.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic() & (byte != b'%')) {
        return Ok(text.into());
    }
    if text.chars().any(char::is_control) {
        return Err(ControlCharacter);
    }
    let inner = text.trim_matches(' ');
    let start = text.len().saturating_sub(text.trim_start_matches(' ').len());
    let end = start.saturating_add(inner.len());
    let mut encoded = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let is_inner_space = byte == b' ' && at > start && at < end;
        if is_inner_space || (byte.is_ascii_graphic() && byte != b'%') {
            encoded.push(char::from(byte));
        } else {
            push_percent(&mut encoded, byte);
        }
    }
    Ok(encoded.into())
}

/// A text that cannot be sent in a header.
#[derive(Debug, PartialEq, Eq)]
pub struct ControlCharacter;

/// Text as one word of a log line, at most [`MAX_LOG_WORD`] bytes: all but visible ASCII,
/// quotes, backslashes and `%` itself become `%XX`, so that it can end neither the line
/// nor its field. A token in it, wherever the client put one (method, path), becomes
/// `[token]`.
pub fn log_word(text: &str) -> String {
    if is_log_word(text.as_bytes()) {
        return text.to_owned();
    }
    escaped_word(text)
}

/// [`log_word`] of a shared text, which is not copied if it is such a word already.
pub(crate) fn shared_log_word(text: &Rc<str>) -> Rc<str> {
    if is_log_word(text.as_bytes()) { Rc::clone(text) } else { escaped_word(text).into() }
}

fn escaped_word(text: &str) -> String {
    let mut word = String::with_capacity(text.len().min(MAX_LOG_WORD));
    for piece in without_tokens(text.as_bytes()) {
        // Room for an escape, so that none is cut in two.
        let needed = if piece.is_some() { 3 } else { TOKEN_IN_LOG.len() };
        if word.len().saturating_add(needed) > MAX_LOG_WORD {
            break;
        }
        match piece {
            None => word.push_str(TOKEN_IN_LOG),
            Some(byte @ (b'%' | b'"' | b'\\' | b'\'')) => push_percent(&mut word, byte),
            Some(byte) if byte.is_ascii_graphic() => word.push(char::from(byte)),
            Some(byte) => push_percent(&mut word, byte),
        }
    }
    word
}

/// Whether a text surely is a [`log_word`] as it is, as most are.
fn is_log_word(text: &[u8]) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() & !matches!(byte, b'%' | b'"' | b'\\' | b'\'');
    // A token begins with `eyJ` or `gps_`.
    let begins = |(one, next): (&u8, &u8)| {
        (*one == b'e') & (*next == b'y') | (*one == b'g') & (*next == b'p')
    };
    // Less than `escaped_word` leaves room for.
    text.len().saturating_add(2) <= MAX_LOG_WORD
        && text.iter().fold(true, |all, byte| all & is_plain(*byte))
        && !text.iter().zip(text.iter().skip(1)).fold(false, |any, pair| any | begins(pair))
}

/// The id of a request for log lines and services, at most `max` bytes: any byte but
/// visible ASCII becomes `?`, and a token `[token]`, since clients choose ids.
pub fn log_id(id: &[u8], max: usize) -> String {
    let mut text = String::with_capacity(id.len().min(max));
    for piece in without_tokens(id) {
        let needed = if piece.is_some() { 1 } else { TOKEN_IN_LOG.len() };
        if text.len().saturating_add(needed) > max {
            break;
        }
        match piece {
            None => text.push_str(TOKEN_IN_LOG),
            Some(byte) if byte.is_ascii_graphic() => text.push(char::from(byte)),
            // JSON leaves some Unicode line breaks unescaped.
            Some(_) => text.push('?'),
        }
    }
    text
}

const TOKEN_IN_LOG: &str = "[token]";

/// The bytes of a text; `None` in place of each token.
fn without_tokens(mut rest: &[u8]) -> impl Iterator<Item = Option<u8>> {
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        // What a token begins with.
        let behind = if matches!(byte, b'e' | b'g') { after_token(rest) } else { None };
        rest = behind.unwrap_or(after);
        Some(behind.is_none().then_some(byte))
    })
}

/// The rest of a text after a token at its start: a JSON object in base64url with
/// everything that may belong to it, or a sealed token.
fn after_token(text: &[u8]) -> Option<&[u8]> {
    const OBJECT: &[u8] = b"eyJ";
    const SEALED: &[u8] = b"gps_";
    const SHORTEST_SEALED: usize = 32;
    let is_sealed = text.starts_with(SEALED);
    if !is_sealed && !text.starts_with(OBJECT) {
        return None;
    }
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let end = text.iter().position(|byte| !is_of_token(byte)).unwrap_or(text.len());
    text.get(end..).filter(|_| !is_sealed || end >= SHORTEST_SEALED)
}

/// The longest [`log_word`].
pub const MAX_LOG_WORD: usize = 128;

/// Encodes text as one path segment or query value: everything but the unreserved
/// characters of RFC 3986 section 2.3 is percent-encoded.
///
/// `.` and `..` are not segments but path traversal, so they become `None`.
// RFC 3986 section 3.3 (R68)
pub fn path_segment(text: &str) -> Option<String> {
    (!matches!(text, "" | "." | "..")).then(|| percent_encode(text.as_bytes()))
}

/// Percent-encodes all bytes but RFC 3986's unreserved characters.
pub fn percent_encode(bytes: &[u8]) -> String {
    const RESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    Cow::from(percent_encoding::percent_encode(bytes, RESERVED)).into_owned()
}

/// Decodes percent-encoding, once; a `%` that starts no escape is kept.
pub fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(text).into()
}

/// The byte of an escape (`%XX`) at the start of `text`, and the rest.
pub fn escaped_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

fn push_percent(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_kept_is_the_same_escaped() {
        let long = |length| "a".repeat(length);
        for text in ["", "alice", "auth0|5c0c", "e", "g", "EyJ", &long(125), &long(126)] {
            assert!(is_log_word(text.as_bytes()), "{text}");
            assert_eq!(log_word(text), escaped_word(text), "{text}");
        }
        for text in ["eyJhbGciOiJub25lIn0.e30.", "a b", "100%", "gp", "it's", "\\", "ñ", &long(127)]
        {
            assert!(!is_log_word(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn header_names() {
        for (case, name, accepted) in [
            ("lower case", "x-consumer-id", true),
            ("upper case", "X-Consumer-ID", true),
            ("underscore", "x_id", true),
            ("empty", "", false),
            ("pseudo header", ":path", false),
            ("space", "x id", false),
            ("line break", "x\r\ny", false),
            ("not ASCII", "x-é", false),
            ("works the connection", "Connection", false),
        ] {
            assert_eq!(HeaderName::parse(name).is_ok(), accepted, "{case}");
        }
    }

    #[test]
    fn spellings_an_upstream_takes_for_the_same() {
        let name = HeaderName::parse("X-Consumer-ID").unwrap();
        for (spelling, same) in [
            ("x-consumer-id", true),
            ("X-CONSUMER-ID", true),
            ("x_consumer_id", true),
            ("X_Consumer-Id", true),
            ("x-consumer-idx", false),
            ("x.consumer.id", true),
            ("x~consumer!id", true),
            ("x-consumer\u{b}id", true),
            ("x.consumerid", false),
        ] {
            assert_eq!(name.is_spelled(spelling.as_bytes()), same, "{spelling}");
        }
    }

    // RFC 9110 section 5.5: "Field values containing CR, LF, or NUL characters are invalid
    // and dangerous" (R45)
    #[test]
    fn header_text_can_be_undone() {
        for (case, text, expected) in [
            ("plain", "alice@example.org", Ok("alice@example.org")),
            ("inner space", "Ada Lovelace", Ok("Ada Lovelace")),
            ("outer spaces", "  a b ", Ok("%20%20a b%20")),
            ("only spaces", "  ", Ok("%20%20")),
            ("empty", "", Ok("")),
            ("not ASCII", "José", Ok("Jos%C3%A9")),
            ("a percent sign", "100%", Ok("100%25")),
            ("line break", "a\r\nx-admin: 1", Err(ControlCharacter)),
            ("a C1 control", "a\u{85}b", Err(ControlCharacter)),
            // Truncated to one byte this would be a line feed.
            ("a code point that ends in 0A", "\u{560a}", Ok("%E5%98%8A")),
        ] {
            assert_eq!(header_text(text).as_deref(), expected.as_ref().map(|text| *text), "{case}");
        }
    }

    #[test]
    fn log_words_stay_in_their_field() {
        for (text, expected) in [
            ("alice", "alice"),
            ("auth0|5f7@x.org", "auth0|5f7@x.org"),
            ("a b", "a%20b"),
            ("a\r\nfake: line", "a%0D%0Afake:%20line"),
            (r#"a"b\c%"#, "a%22b%5Cc%25"),
            ("é\u{2028}", "%C3%A9%E2%80%A8"),
            ("", ""),
            ("/reset/eyJhbGciOiJub25lIn0.e30.x-_/done", "/reset/[token]/done"),
            ("xeyJhbGciOiJub25lIn0.e30.", "x[token]"),
            ("/open/gps_0123456789abcdefghijklmnopqrstuv", "/open/[token]"),
            ("/gps_tracks/7", "/gps_tracks/7"),
        ] {
            assert_eq!(log_word(text), expected, "{text}");
        }
        assert_eq!(log_word(&"a".repeat(1000)).len(), 126);
        let cut = log_word(&"é".repeat(1000));
        assert!(cut.len() <= MAX_LOG_WORD && cut.ends_with("%A9"), "no half escape: {cut}");
    }

    #[test]
    fn path_segments_cannot_climb() {
        for (text, expected) in [
            ("alice", Some("alice")),
            ("a/../b", Some("a%2F..%2Fb")),
            ("..", None),
            (".", None),
            ("", None),
            ("auth0|5f7", Some("auth0%7C5f7")),
            ("é?x=1#y", Some("%C3%A9%3Fx%3D1%23y")),
        ] {
            assert_eq!(path_segment(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn percent_decoding() {
        for (text, expected) in
            [("plain", "plain"), ("%41%62", "Ab"), ("%2541", "%41"), ("%4", "%4"), ("%zz%", "%zz%")]
        {
            assert_eq!(percent_decode(text.as_bytes()).as_ref(), expected.as_bytes(), "{text}");
        }
    }
}
