//! Detects tokens in text for a client.
//!
//! It errs on one side only: a text without a token may be withheld, which an operator
//! can notice and fix; a leaked token cannot be recalled.

use std::collections::HashSet;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// Whether something in `text` looks like a JWT: a part that may decode to a JSON object
/// with `alg`, a dot, and another part.
///
/// Two parts are enough, since some servers split a token over two cookies; surrounding
/// text does not matter, nor do further parts (a JWE has five).
pub fn has_jwt(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let mut parts = text.split(|byte| *byte == b'.').peekable();
    while let Some(part) = parts.next() {
        let is_followed = parts.peek().and_then(|next| next.first()).is_some_and(is_part);
        if !is_followed {
            continue;
        }
        let length = part.iter().rev().take_while(|byte| is_part(byte)).count();
        let header = part.get(part.len().saturating_sub(length)..).unwrap_or_default();
        if ends_with_jose_header(header) {
            return true;
        }
    }
    false
}

/// Whether base64url text ends with a JOSE header.
///
/// The characters before it need not belong to it (`token-eyJ...`). Each of the four
/// alignments is decoded once, so that the time does not grow with the square of the
/// length.
pub fn ends_with_jose_header(text: &[u8]) -> bool {
    (0..4).filter_map(|start| text.get(start..)).any(|text| {
        let whole = text.len().saturating_sub(usize::from(text.len() % 4 == 1));
        let decoded = text.get(..whole).and_then(|text| LENIENT.decode(text).ok());
        decoded.is_some_and(|decoded| ends_with_header(&decoded))
    })
}

/// Base64url as lenient readers accept it: the unused bits may be anything.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    NO_PAD
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether bytes, from some `{` on, contain the member name `alg`, in any spelling that
/// JSON allows.
fn ends_with_header(bytes: &[u8]) -> bool {
    const ESCAPES: [(&str, &str); 4] =
        [("\\u0061", "a"), ("\\u006c", "l"), ("\\u006C", "l"), ("\\u0067", "g")];
    let object = bytes.iter().position(|byte| *byte == b'{').and_then(|at| bytes.get(at..));
    let text = String::from_utf8_lossy(object.unwrap_or_default());
    let unescape = |text: String, (escape, letter): (&str, &str)| text.replace(escape, letter);
    let text = match text.contains("\\u00") {
        true => ESCAPES.into_iter().fold(text.into_owned(), unescape).into(),
        false => text,
    };
    text.contains("\"alg\"")
}

/// Shorter texts are not searched for: they may be anything.
const LEAST: usize = 16;

/// A piece of a token of this length counts as the token, so that a token that was cut up
/// is found too.
const PIECE: usize = 20;

/// Pieces of a reply's tokens that must not reach the client unsealed: any that reveal
/// their contents or signature.
#[derive(Default)]
pub struct Pieces<'a> {
    long: HashSet<&'a [u8]>,
    short: Vec<&'a [u8]>,
}

impl<'a> Pieces<'a> {
    /// The pieces of `tokens`, without the headers of JWTs, which many tokens share.
    pub fn of(tokens: &'a [String]) -> Self {
        let mut pieces = Self::default();
        for token in tokens {
            let rest = token
                .split_once('.')
                .filter(|(header, _)| ends_with_jose_header(header.as_bytes()));
            let secret = rest.map_or(token.as_bytes(), |(_, rest)| rest.as_bytes());
            match secret.len() {
                PIECE.. => pieces.long.extend(secret.windows(PIECE)),
                LEAST.. => pieces.short.push(secret),
                _ => {}
            }
        }
        pieces
    }

    /// Whether `text` contains one of them.
    pub fn are_in(&self, text: &[u8]) -> bool {
        let is_long = |window: &[u8]| self.long.contains(window);
        (!self.long.is_empty() && text.windows(PIECE).any(is_long))
            || self.short.iter().any(|piece| text.windows(piece.len()).any(|at| at == *piece))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::super::reading::each_reading;
    use super::*;

    fn shows_jwt(text: &[u8]) -> bool {
        each_reading(text, &mut |reading| has_jwt(reading))
    }

    fn encode(text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn what_looks_like_a_jwt() {
        let h = encode(r#"{"alg":"ES256","kid":"1"}"#);
        let p = encode(r#"{"sub":"alice"}"#);
        let jwt = format!("{h}.{p}.c2ln");
        for (case, text, expected) in [
            ("nothing", String::new(), false),
            ("prose", "Welcome. You are logged in.".into(), false),
            ("a JWT", jwt.clone(), true),
            ("in JSON", format!(r#"{{"access_token":"{jwt}"}}"#), true),
            ("in a URL", format!("https://shop.example/cb#token={jwt}&x=1"), true),
            ("in a path", format!("/cb/{jwt}/x"), true),
            ("its dots escaped", format!("/cb?t={}", jwt.replace('.', "%2E")), true),
            ("in a cookie", format!("session=\"{jwt}\"; Path=/"), true),
            ("behind other characters of its alphabet", format!("token-{jwt}"), true),
            ("behind a word", format!("x{jwt}"), true),
            ("behind two", format!("xy{jwt}"), true),
            ("after a sentence", format!("Well. Done.{jwt}"), true),
            ("without its signature", format!("{h}.{p}"), true),
            ("unsecured", format!("{h}.{p}."), true),
            ("encrypted", format!("{}.k.i.c.t", encode(r#"{"alg":"dir","enc":"A128GCM"}"#)), true),
            ("a header with spaces", format!("{}.{p}.c2ln", encode(" {\n \"alg\" : \"x\"}")), true),
            ("alg twice", format!("{}.{p}.s", encode(r#"{"alg":"x","alg":"y"}"#)), true),
            (
                "unused bits set",
                format!("{}.{p}.s", encode(r#"{"alg":"a"}"#).replace("fQ", "fR")),
                true,
            ),
            ("a header alone", h.clone(), false),
            ("a header and a full stop", format!("{h}. {p}"), false),
            ("an object without alg", format!("{p}.{p}.{p}"), false),
            ("a signed cookie", format!("{}.Z0xT.c2ln", encode(r#"{"name":"Jos\u00e9"}"#)), false),
            ("a version", "1.2.3".into(), false),
            ("a host", "auth.shop.example".into(), false),
            ("sealed", format!("gps_{}", encode("anything")), false),
        ] {
            assert_eq!(shows_jwt(text.as_bytes()), expected, "{case}: {text}");
        }
        assert!(!shows_jwt(b"\xff.\xff.\xff"), "not text");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the test takes the time, not the code
    fn long_texts_take_no_long_time() {
        const LENGTH: usize = 262_144;
        let nested = r#"{"a":["#.repeat(60) + &"1,".repeat(LENGTH / 3);
        for (case, text) in [
            ("openings", encode("{").repeat(LENGTH / 2) + ".x"),
            ("objects", encode(r#"{"a":{"#).repeat(LENGTH / 8) + ".x"),
            ("strings", encode(r#"{"a{"a"#).repeat(LENGTH / 8) + ".x"),
            ("deep, then long", encode(&nested) + ".x"),
            ("dots", ".e".repeat(LENGTH / 2)),
            ("spaces", encode(&" ".repeat(LENGTH)) + ".x"),
        ] {
            let start = Instant::now();
            assert!(!shows_jwt(text.as_bytes()), "{case}");
            assert!(start.elapsed().as_secs() < 20, "{case}: {:?}", start.elapsed());
        }
    }

    #[test]
    fn what_gives_a_token_away() {
        let header = encode(r#"{"alg":"ES256"}"#);
        let tokens = [format!("{header}.0123456789abcdefghijklmn.cc"), "opaque-0123456789".into()];
        let pieces = Pieces::of(&tokens);
        for (text, expected) in [
            (tokens[0].as_str(), true),
            (header.as_str(), false),
            ("x0123456789abcdefghijx", true),
            ("x0123456789abcdefghix", false),
            ("<opaque-0123456789>", true),
            ("opaque-012345678", false),
            ("", false),
        ] {
            assert_eq!(pieces.are_in(text.as_bytes()), expected, "{text}");
        }
        assert!(!Pieces::of(&["short".to_owned()]).are_in(b"short"));
    }
}
