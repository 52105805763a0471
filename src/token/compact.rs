//! The compact serialization (RFC 7515 sections 3.1 and 7.1).

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use super::error::{Malformed, Part, TokenError};
use super::header::JoseHeader;
use crate::bounded::ByText;
use crate::http::log_word;
use crate::json::{self, Document, Json, Members};

/// A well-formed token, not verified.
///
/// Its content may be used to find the verification key, and for nothing else.
pub struct Untrusted<'a> {
    content: TokenContent,
    signing_input: &'a [u8],
    signature: Vec<u8>,
}

/// The content of a token. Shared with the progress of a request, whose log line may need it.
#[derive(Clone)]
pub struct TokenContent {
    header: Rc<JoseHeader>,
    claims: Rc<Document>,
}

impl fmt::Debug for TokenContent {
    /// Nothing: it is a part of the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenContent").finish_non_exhaustive()
    }
}

/// Names in a token that nobody verified.
#[derive(Clone, Debug, Default)]
pub struct TokenNames {
    /// The claimed issuer.
    pub iss: Option<Box<str>>,
    /// The audience; several are separated by commas.
    pub aud: Option<Box<str>>,
    /// The id of the key.
    pub kid: Option<Box<str>>,
    /// The type.
    pub typ: Option<Box<str>>,
    /// The algorithm.
    pub alg: Option<Box<str>>,
}

impl<'a> Untrusted<'a> {
    /// Reads a token (RFC 7515 section 5.2 steps 1 to 7, RFC 7519 section 7.2).
    ///
    /// Size and number of dots are checked first, so any other text costs nothing. Each
    /// part has only one valid encoding, and header and claims must be strict JSON
    /// objects: anything that two readers could read differently is refused.
    // RFC 8259 section 9: "An implementation may set limits on the size of texts that it
    // accepts." (R53)
    pub fn parse(text: &'a [u8], max_bytes: usize) -> Result<Self, TokenError> {
        Self::parse_by(text, max_bytes, |header| read_header(header).map(Rc::new))
    }

    /// Reads a token, with its header read by `read_header`.
    fn parse_by(
        text: &'a [u8],
        max_bytes: usize,
        read_header: impl FnOnce(&[u8]) -> Result<Rc<JoseHeader>, TokenError>,
    ) -> Result<Self, TokenError> {
        if text.len() > max_bytes {
            return Err(TokenError::TooLarge { limit: max_bytes });
        }
        let [signing_input, header, payload, signature] = split(text)?;
        for (part, text) in
            [(Part::Header, header), (Part::Payload, payload), (Part::Signature, signature)]
        {
            if text.is_empty() {
                return Err(Malformed::Empty(part).into());
            }
        }
        let header = read_header(header)?;
        let claims = Rc::new(read_claims(payload)?);
        Ok(Self {
            content: TokenContent { header, claims },
            signing_input,
            signature: decode(Part::Signature, signature)?,
        })
    }

    /// `alg`, which may be any text: compared with what the key allows, never obeyed.
    pub fn algorithm_name(&self) -> &str {
        self.content.header.algorithm()
    }

    /// `kid`, if present: used for lookup only.
    pub fn key_id(&self) -> Option<&str> {
        self.content.key_id()
    }

    /// `typ`, if present.
    pub fn typ(&self) -> Option<&str> {
        self.content.header.typ()
    }

    /// `typ` in lower case and without `application/` (RFC 7515 section 4.1.9), if
    /// there.
    pub fn media_type(&self) -> Option<Cow<'_, str>> {
        const APPLICATION: &str = "application/";
        let typ = self.typ()?;
        let rest = typ.split_at_checked(APPLICATION.len());
        let rest = rest.filter(|(start, _)| start.eq_ignore_ascii_case(APPLICATION));
        let typ = rest.map_or(typ, |(_, rest)| rest);
        let is_lower = !typ.bytes().any(|byte| byte.is_ascii_uppercase());
        Some(if is_lower { typ.into() } else { typ.to_ascii_lowercase().into() })
    }

    /// A header parameter, if present: as untrusted as the rest.
    pub fn header_parameter(&self, name: &str) -> Option<&Value> {
        self.content.header.member(name)
    }

    /// The claims, not verified.
    pub fn unverified_claims(&self) -> Members<'_> {
        self.content.claims.members()
    }

    /// The claims as they are; to be called when the signature is verified.
    pub fn into_claims(self) -> Rc<Document> {
        self.content.claims
    }

    /// What it says, for the log of a denial.
    pub fn content(&self) -> TokenContent {
        self.content.clone()
    }

    /// The signing input: header and payload as received.
    pub const fn signing_input(&self) -> &'a [u8] {
        self.signing_input
    }

    /// The signature, decoded.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl TokenContent {
    /// `kid`, if there: to be looked up, nothing more.
    pub fn key_id(&self) -> Option<&str> {
        self.header.key_id()
    }

    /// What it says of where it is from and whom it is for: names, which are no
    /// secrets.
    pub fn names(&self) -> TokenNames {
        let word = |text: Option<&str>| text.map(|text| log_word(text).into());
        let aud = match self.claims.get("aud") {
            Some(Json::Array(items)) => {
                let texts: Vec<_> = items.iter().filter_map(Json::as_str).collect();
                Some(log_word(&texts.join(",")).into())
            }
            other => word(other.and_then(Json::as_str)),
        };
        TokenNames {
            iss: word(self.claims.get("iss").and_then(Json::as_str)),
            aud,
            kid: word(self.key_id()),
            typ: word(self.header.typ()),
            alg: word(Some(self.header.algorithm())),
        }
    }
}

impl fmt::Debug for Untrusted<'_> {
    /// Shows only the header; payload and signature are the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Untrusted")
            .field("alg", &self.algorithm_name())
            .field("kid", &self.key_id())
            .field("typ", &self.typ())
            .finish_non_exhaustive()
    }
}

/// Headers of verified tokens by their text, so that they need not be read again: an
/// issuer's tokens have the same one until it changes its key.
///
/// Tokens that were not verified cannot evict one.
#[derive(Debug)]
pub struct KnownHeaders(ByText<Rc<JoseHeader>>);

impl KnownHeaders {
    /// None yet. Whoever knows `secret` might find another text for one.
    pub fn new(secret: &[u8]) -> Self {
        const HEADERS: usize = 64;
        const BYTES: usize = 64 * 1024;
        Self(ByText::new(HEADERS, BYTES, secret))
    }

    /// Reads a token, see [`Untrusted::parse`].
    pub fn parse<'a>(
        &mut self,
        text: &'a [u8],
        max_bytes: usize,
    ) -> Result<Untrusted<'a>, TokenError> {
        Untrusted::parse_by(text, max_bytes, |header| match self.0.get_mut(header) {
            Some(known) => Ok(Rc::clone(known)),
            None => read_header(header).map(Rc::new),
        })
    }

    /// Keeps the header of a token that was verified.
    pub fn keep(&mut self, text: &[u8], content: &TokenContent) {
        let Ok([_, header, ..]) = split(text) else { return };
        if self.0.get_mut(header).is_none() {
            self.0.insert(header, Rc::clone(&content.header), header.len());
        }
    }
}

/// Members that are `null` are kept in a header: for some parameters the presence alone
/// counts.
// RFC 7515 section 4: "The Header Parameter names within the JOSE Header MUST be
// unique" (R03)
fn read_header(text: &[u8]) -> Result<JoseHeader, TokenError> {
    let members = json::parse_whole_object(&decode(Part::Header, text)?);
    JoseHeader::from_members(members.map_err(|_| Malformed::NotJsonObject(Part::Header))?)
}

// RFC 7519 section 4: "The Claim Names within a JWT Claims Set MUST be unique" (R04)
fn read_claims(payload: &[u8]) -> Result<Document, Malformed> {
    let claims = Document::parse(decode(Part::Payload, payload)?);
    claims.map_err(|_| Malformed::NotJsonObject(Part::Payload))
}

/// The claims of a token that was parsed before.
pub(super) fn claims_of(token: &[u8]) -> Result<Document, Malformed> {
    let [_, _, payload, _] = split(token)?;
    read_claims(payload)
}

/// The signing input, the header, the payload and the signature, if there are
/// exactly two dots.
// RFC 7515 section 3.1: "In the JWS Compact Serialization, no JWS Unprotected Header is
// used." (R01)
fn split(text: &[u8]) -> Result<[&[u8]; 4], Malformed> {
    let mut dots = memchr::memchr_iter(b'.', text);
    let (Some(first), Some(second)) = (dots.next(), dots.next()) else {
        return Err(Malformed::NotThreeParts);
    };
    if dots.next().is_some() {
        return Err(Malformed::MoreThanThreeParts);
    }
    let part = |from: Option<usize>, to: usize| {
        let part = from.and_then(|from| text.get(from..to));
        part.ok_or(Malformed::NotThreeParts)
    };
    Ok([
        part(Some(0), second)?,
        part(Some(0), first)?,
        part(first.checked_add(1), second)?,
        part(second.checked_add(1), text.len())?,
    ])
}

/// Decodes base64url without padding and white space, with unused bits zero (RFC 7515
/// section 2, RFC 4648 section 3.5).
// RFC 4648 section 3.5: "decoders MAY chose to reject an encoding if the pad bits have
// not been set to zero" (R02)
fn decode(part: Part, text: &[u8]) -> Result<Vec<u8>, Malformed> {
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed::NotBase64Url(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 8192;

    fn encode(text: impl AsRef<[u8]>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", encode(header), encode(payload))
    }

    fn error(text: impl AsRef<[u8]>) -> Option<TokenError> {
        Untrusted::parse(text.as_ref(), LIMIT).err()
    }

    #[test]
    fn what_is_wrong_says_where() {
        for (text, expected) in [
            (".e30.c2ln", "the header"),
            ("e30..c2ln", "the payload"),
            ("e30.e30.", "the signature"),
        ] {
            let error = error(text).unwrap().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg":"ES256","kid":"1"}"#, r#"{"sub":"alice"}"#);
        let token = Untrusted::parse(text.as_bytes(), text.len()).unwrap();
        assert_eq!(token.algorithm_name(), "ES256");
        assert_eq!(token.key_id(), Some("1"));
        assert_eq!(token.typ(), None);
        assert_eq!(token.signing_input(), text.strip_suffix(".c2ln").unwrap().as_bytes());
        assert_eq!(token.signature(), b"sig");
        assert_eq!(token.unverified_claims().get("sub").unwrap(), "alice");
        let shown = format!("{token:?}");
        assert!(shown.contains("ES256") && !shown.contains("alice"), "{shown}");
        assert_eq!(token.into_claims().members().len(), 1);
    }

    #[test]
    fn a_known_header_is_not_read_again() {
        let one = token(r#"{"alg":"ES256","kid":"1"}"#, r#"{"sub":"alice"}"#);
        let other = token(r#"{"alg":"ES256","kid":"1"}"#, r#"{"sub":"bob"}"#);
        let different = token(r#"{"alg":"ES256","kid":"2"}"#, r#"{"sub":"bob"}"#);
        let mut known = KnownHeaders::new(b"secret");
        let first = known.parse(one.as_bytes(), LIMIT).unwrap().content();
        let unverified = known.parse(other.as_bytes(), LIMIT).unwrap().content();
        assert!(!Rc::ptr_eq(&first.header, &unverified.header));
        known.keep(one.as_bytes(), &first);
        known.keep(other.as_bytes(), &unverified);
        let again = known.parse(other.as_bytes(), LIMIT).unwrap();
        assert!(Rc::ptr_eq(&first.header, &again.content().header));
        assert_eq!(again.unverified_claims().get("sub").unwrap(), "bob");
        let different = known.parse(different.as_bytes(), LIMIT).unwrap();
        assert_eq!(different.key_id(), Some("2"));
        let (head, _) = one.split_once('.').unwrap();
        for text in [format!("{head}.e30."), format!("{head}.e30.c2k="), format!("{head}.e30")] {
            assert_eq!(known.parse(text.as_bytes(), LIMIT).err(), error(&text), "{text}");
        }
    }

    // RFC 7515 section 3.1: "In the JWS Compact Serialization, no JWS Unprotected Header is
    // used." (R01)
    // RFC 4648 section 3.5: "decoders MAY chose to reject an encoding if the pad bits have
    // not been set to zero" (R02)
    #[test]
    fn the_form() {
        let h = encode(r#"{"alg":"ES256"}"#);
        let p = encode("{}");
        for (case, text, expected) in [
            ("nothing", String::new(), Malformed::NotThreeParts),
            ("an opaque token", "2YotnFZFEjr1zCsicMWpAA".into(), Malformed::NotThreeParts),
            ("two parts", format!("{h}.{p}"), Malformed::NotThreeParts),
            ("four parts", format!("{h}.{p}.c2ln.c2ln"), Malformed::MoreThanThreeParts),
            ("a dot after", format!("{h}.{p}.c2ln."), Malformed::MoreThanThreeParts),
            ("five parts, encrypted", format!("{h}.e.i.c.t"), Malformed::MoreThanThreeParts),
            ("JSON serialization", r#"{"payload":"e30"}"#.into(), Malformed::NotThreeParts),
            ("only dots", "..".into(), Malformed::Empty(Part::Header)),
            ("no header", format!(".{p}.c2ln"), Malformed::Empty(Part::Header)),
            ("detached", format!("{h}..c2ln"), Malformed::Empty(Part::Payload)),
            ("unsecured", format!("{h}.{p}."), Malformed::Empty(Part::Signature)),
            ("padding", format!("{h}.{p}.c2k="), Malformed::NotBase64Url(Part::Signature)),
            ("unused bits", format!("{h}.{p}.c2l"), Malformed::NotBase64Url(Part::Signature)),
            ("a lone character", format!("{h}.{p}.c"), Malformed::NotBase64Url(Part::Signature)),
            ("plain base64", format!("{h}.{p}.+/+/"), Malformed::NotBase64Url(Part::Signature)),
            ("a space before", format!(" {h}.{p}.c2ln"), Malformed::NotBase64Url(Part::Header)),
            ("a line break", format!("{h}.{p}\n.c2ln"), Malformed::NotBase64Url(Part::Payload)),
            ("a NUL", format!("{h}.{p}.c2ln\0"), Malformed::NotBase64Url(Part::Signature)),
            ("not ASCII", format!("{h}.{p}.c2lñ"), Malformed::NotBase64Url(Part::Signature)),
        ] {
            assert_eq!(error(text), Some(expected.into()), "{case}");
        }
        assert_eq!(
            error(b"\xff.\xff.\xff"),
            Some(Malformed::NotBase64Url(Part::Header).into()),
            "not UTF-8"
        );
    }

    // RFC 7515 section 4: "The Header Parameter names within the JOSE Header MUST be
    // unique" (R03)
    // RFC 7519 section 4: "The Claim Names within a JWT Claims Set MUST be unique" (R04)
    #[test]
    fn the_objects() {
        let h = r#"{"alg":"ES256"}"#;
        let header = Malformed::NotJsonObject(Part::Header);
        let payload = Malformed::NotJsonObject(Part::Payload);
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        for (case, text, expected) in [
            ("alg twice", token(r#"{"alg":"none","alg":"ES256"}"#, "{}"), header),
            ("alg twice, one escaped", token(r#"{"alg":"x","\u0061lg":"y"}"#, "{}"), header),
            ("a byte order mark", token("\u{feff}{\"alg\":\"ES256\"}", "{}"), header),
            ("bytes after the header", token(r#"{"alg":"ES256"}{}"#, "{}"), header),
            ("a header of an array", token(r#"["alg","ES256"]"#, "{}"), header),
            ("an array", token(h, r#"[{"sub":"alice"}]"#), payload),
            ("a string", token(h, r#""alice""#), payload),
            ("text", token(h, "alice"), payload),
            ("a claim twice", token(h, r#"{"sub":"a","sub":"b"}"#), payload),
            ("a claim twice, inside", token(h, r#"{"a":{"b":1,"b":2}}"#), payload),
            ("too deep", token(h, &deep), payload),
        ] {
            assert_eq!(error(text), Some(expected.into()), "{case}");
        }
        let latin1 = format!("{}.{}.c2ln", encode(h), encode(b"{\"sub\":\"\xe9\"}"));
        assert_eq!(error(latin1), Some(payload.into()), "not UTF-8");
    }

    #[test]
    fn the_size_comes_first() {
        let text = vec![b'.'; LIMIT + 1];
        assert_eq!(error(&text), Some(TokenError::TooLarge { limit: LIMIT }));
        assert_eq!(error(&text[..LIMIT]), Some(Malformed::MoreThanThreeParts.into()));
    }
}
