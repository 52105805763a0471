//! Detects tokens in text for a client.
//!
//! It errs on one side only: a text without a token may be withheld, which an operator
//! can notice and fix; a leaked token cannot be recalled.

use std::collections::HashSet;

use memchr::memmem;

/// Whether something in `text` looks like a JWT: a part that may decode to a JSON object
/// with `alg`, a dot, and another part.
///
/// Two parts are enough, since some servers split a token over two cookies; surrounding
/// text does not matter, nor do further parts (a JWE has five).
pub fn has_jwt(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'.').peekable();
    while let Some(part) = parts.next() {
        let is_followed = parts.peek().and_then(|next| next.first()).is_some_and(is_part);
        if is_followed && ends_with_jose_header(part) {
            return true;
        }
    }
    false
}

fn is_part(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(byte)
}

/// Whether text ends with base64url that may be a JOSE header.
///
/// The characters before it need not belong to it (`token-eyJ...`), so it is searched for
/// the name `"alg"`, or one with an escaped letter of it, in each of the three forms that
/// base64 gives a text. Nothing is decoded: anybody may fill a page with what looks like
/// headers.
pub fn ends_with_jose_header(text: &[u8]) -> bool {
    let start = text.iter().rposition(|byte| !is_part(byte)).map_or(0, |at| at.saturating_add(1));
    let run = text.get(start..).unwrap_or_default();
    // The bits that only these characters determine, of `"alg"` and of `\u006`.
    let is_name = |six: &[u8]| {
        matches!(six, b"ImFsZy" | b"JhbGci" | b"XHUwMD" | b"x1MDA2" | b"cdTAwN")
            || matches!(six, [b'i', b'Y', b'W', b'x', b'n', b'I'])
    };
    run.windows(6).any(is_name)
}

/// Shorter texts are not searched for: they may be anything.
const LEAST: usize = 16;

/// A piece of a token of this length counts as the token, so that a token that was cut up
/// is found too.
const PIECE: usize = 20;

/// Every piece in a text has this many bytes at a multiple of [`STRIDE`], so few places of
/// the text have to be looked up.
const GRAM: usize = 8;
const STRIDE: usize = 13;

/// Pieces of a reply's tokens that must not reach the client unsealed: any that reveal
/// their contents or signature.
#[derive(Default)]
pub struct Pieces<'a> {
    long: HashSet<&'a [u8]>,
    grams: HashSet<&'a [u8]>,
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
                PIECE.. => {
                    pieces.long.extend(secret.windows(PIECE));
                    pieces.grams.extend(secret.windows(GRAM));
                }
                LEAST.. => pieces.short.push(secret),
                _ => {}
            }
        }
        pieces
    }

    /// Whether `text` contains one of them.
    pub fn are_in(&self, text: &[u8]) -> bool {
        let may_be_long = |at: &usize| {
            text.get(*at..at.saturating_add(GRAM)).is_some_and(|gram| self.grams.contains(gram))
        };
        let is_long = |at: usize| {
            let around = text.get(at.saturating_add(GRAM).saturating_sub(PIECE)..);
            let around = around.unwrap_or_default();
            around.windows(PIECE).take(STRIDE).any(|window| self.long.contains(window))
        };
        (!self.long.is_empty() && (0..text.len()).step_by(STRIDE).filter(may_be_long).any(is_long))
            || self.short.iter().any(|piece| memmem::find(text, piece).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::super::reading::Search;
    use super::*;

    fn shows_jwt(text: &[u8]) -> bool {
        Search::new(&has_jwt).is_in(text).unwrap()
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
            let found = Search::new(&has_jwt).is_in(text.as_bytes());
            assert_ne!(found, Ok(true), "{case}");
            assert!(start.elapsed().as_secs() < 2, "{case}: {:?}", start.elapsed());
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
        let secret = tokens[0].as_bytes().get(header.len() + 1..).unwrap();
        for (before, at) in (0..40).flat_map(|before| (0..8).map(move |at| (before, at))) {
            let (piece, less) = (&secret[at..at + PIECE], &secret[at..at + PIECE - 1]);
            let text = |piece: &[u8]| [&vec![b'.'; before], piece].concat();
            assert!(pieces.are_in(&text(piece)), "{before} {at}");
            assert!(!pieces.are_in(&text(less)), "{before} {at}");
        }
    }
}
