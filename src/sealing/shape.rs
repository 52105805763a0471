//! The kind of a login reply's body, by its media type and content: only a body that
//! can be parsed is passed on, so that no token is overlooked.

use crate::callout::Answer;
use crate::http::is_bearer_byte;

/// A body, by how it can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Parsed as JSON, and refused if that fails.
    Json,
    /// For people or pages: searched for tokens as is.
    Text,
    /// Neither: a token in it could not be recognized.
    Unreadable,
}

/// Media types of web pages.
const OF_PAGES: [&str; 6] = [
    "text/html",
    "application/xhtml+xml",
    "text/css",
    "text/javascript",
    "application/javascript",
    "image/svg+xml",
];

impl Shape {
    /// The shape of a reply's body; `names`: the members that contain tokens.
    pub fn of<'a>(answer: &Answer, mut names: impl Iterator<Item = &'a str>) -> Self {
        let body = answer.body.as_slice();
        let media_type = media_type(answer);
        let is_success = is_success(answer.status);
        let is_json = media_type == "application/json" || media_type.ends_with("+json");
        let start = body.trim_ascii_start();
        if matches!(start, [b'{' | b'[' | b'"', ..]) || (is_json && is_success) {
            return Self::Json;
        }
        if names.any(|name| assigns(body, name.as_bytes())) {
            return Self::Unreadable;
        }
        let is_of_page = OF_PAGES.contains(&media_type.as_str());
        let is_picture = media_type.starts_with("image/") || media_type.starts_with("font/");
        let is_plain = media_type.is_empty() || media_type == "text/plain" || is_json;
        match () {
            () if is_of_page || is_picture => Self::Text,
            () if is_plain && is_prose(body, is_success) => Self::Text,
            () => Self::Unreadable,
        }
    }
}

/// `type/subtype` in lower case; empty unless there is exactly one.
fn media_type(answer: &Answer) -> String {
    let mut values = answer.fields.values("content-type");
    let only = values.next().filter(|_| values.next().is_none()).unwrap_or_default();
    let essence = only.split(|byte| *byte == b';').next().unwrap_or_default();
    String::from_utf8_lossy(essence.trim_ascii()).to_ascii_lowercase()
}

/// True if a plain text is prose, and not wrapped or encoded JSON, a form, or a bare
/// token.
fn is_prose(body: &[u8], is_success: bool) -> bool {
    let has = |byte: u8| body.contains(&byte);
    let is_structured = has(b'{') && has(b'"');
    let text = body.trim_ascii();
    let is_word = !text.iter().any(u8::is_ascii_whitespace);
    let is_form = is_word && has(b'=');
    let is_token = is_success && may_be_token(text);
    !has(0) && !is_structured && !is_form && !is_token
}

/// True if the status means a successful login.
pub const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// True if a bare text may be a token: a single long word.
pub fn may_be_token(text: &[u8]) -> bool {
    text.len() >= 16 && !text.iter().any(u8::is_ascii_whitespace)
}

/// True if a possible token is assigned to `name`, in a script or in the query of a URL.
fn assigns(text: &[u8], name: &[u8]) -> bool {
    let starts = text.windows(name.len().max(1)).enumerate();
    let starts = starts.filter(|(_, window)| *window == name).map(|(at, _)| at);
    // Where the latest value ended that has no digits: a name within it begins no other one.
    let mut read = 0;
    starts.into_iter().any(|at| {
        let behind = text.get(at.saturating_add(name.len())..).unwrap_or_default();
        let (_, behind) = skip(behind, is_quote);
        let (_, behind) = skip(behind, |byte| byte.is_ascii_whitespace());
        let [sign @ (b':' | b'='), behind @ ..] = behind else { return false };
        let (_, behind) = skip(behind, |byte| byte.is_ascii_whitespace());
        let (quotes, behind) = skip(behind, is_quote);
        let is_long = behind.get(..16).is_some_and(|it| it.iter().copied().all(is_bearer_byte));
        let start = text.len().saturating_sub(behind.len());
        if !is_long || !quotes.is_empty() {
            return is_long;
        }
        if *sign != b'=' || start < read {
            return false;
        }
        let (value, _) = skip(behind, is_bearer_byte);
        read = start.saturating_add(value.len());
        value.iter().any(u8::is_ascii_digit)
    })
}

const fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`' | b'\\')
}

/// The matching bytes at the start, and the rest.
fn skip(text: &[u8], is_such: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !is_such(*byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read() {
        const JSON: &str = r#"{"access_token":"opaque-reference-1"}"#;
        for (case, status, media_type, body, expected) in [
            ("JSON", 200, "application/json", JSON, Shape::Json),
            ("JSON by another name", 400, "text/html", JSON, Shape::Json),
            ("a text", 200, "application/json", "\"opaque\"", Shape::Json),
            ("an empty promise", 200, "application/problem+json", "no", Shape::Json),
            ("behind a BOM", 400, "application/json", "\u{feff}{\"a\":1}", Shape::Unreadable),
            ("guarded", 200, "text/plain", ")]}'\n{\"a\":1}", Shape::Unreadable),
            ("a form", 200, "application/x-www-form-urlencoded", "a=b", Shape::Unreadable),
            ("a form, plain", 400, "text/plain", "access_token=opaque&x=1", Shape::Unreadable),
            ("a token", 200, "text/plain", "opaque-reference-1\n", Shape::Unreadable),
            ("a word", 401, "text/plain", "invalid_credentials", Shape::Text),
            ("prose", 500, "application/json", "Bad gateway", Shape::Text),
            ("prose of no type", 403, "", "Go away, please.", Shape::Text),
            ("a page", 200, "text/html; charset=utf-8", "<form>{\"a\"}</form>", Shape::Text),
            ("a picture", 200, "image/png", "\u{89}PNG", Shape::Text),
            ("a script", 200, "text/javascript", "f({access_token: r.access_token})", Shape::Text),
            (
                "a script with a token",
                200,
                "text/javascript",
                "f({access_token: 'opaque-reference-1'})",
                Shape::Unreadable,
            ),
            (
                "a page with a link",
                200,
                "text/html",
                "<a href='/?access_token=opaque-reference-1'>",
                Shape::Unreadable,
            ),
            ("XML", 200, "application/xml", "<a/>", Shape::Unreadable),
            ("bytes", 200, "application/octet-stream", "x", Shape::Unreadable),
            ("UTF-16", 200, "text/plain", "\0{\0}", Shape::Unreadable),
        ] {
            let fields = [("content-type", media_type)].into_iter();
            let fields = fields.filter(|(_, value)| !value.is_empty()).collect();
            let answer = Answer { status, cache_control: None, fields, body: body.into() };
            assert_eq!(Shape::of(&answer, ["access_token"].into_iter()), expected, "{case}");
        }
    }
}
