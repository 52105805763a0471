//! The form in which a logout token is posted.

use std::fmt;

use crate::http::{RequestHead, percent_decode};

/// Why a body contains no logout token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// It is not `application/x-www-form-urlencoded`.
    NotAForm,
    /// It has no field `logout_token`.
    Missing,
    /// It has more than one.
    Repeated,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAForm => "the body must be application/x-www-form-urlencoded",
            Self::Missing => "the form has no logout_token",
            Self::Repeated => "the form has more than one logout_token",
        })
    }
}

/// The logout token of a form (Back-Channel Logout 1.0 section 2.5); other fields are
/// ignored.
pub fn logout_token_of(head: &RequestHead, body: &[u8]) -> Result<Vec<u8>, FormError> {
    if !has_media_type(head, b"application/x-www-form-urlencoded") {
        return Err(FormError::NotAForm);
    }
    let mut tokens = body.split(|byte| *byte == b'&').filter_map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decoded(halves.next().unwrap_or_default());
        (name == b"logout_token").then(|| decoded(halves.next().unwrap_or_default()))
    });
    match (tokens.next(), tokens.next()) {
        (Some(token), None) if !token.is_empty() => Ok(token),
        (Some(_), Some(_)) => Err(FormError::Repeated),
        _ => Err(FormError::Missing),
    }
}

/// Decodes a part of a form; a space is written as `+`.
fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).into_owned()
}

/// Whether the body has this media type, with any parameters. Repeated, it counts as
/// missing.
pub(super) fn has_media_type(head: &RequestHead, wanted: &[u8]) -> bool {
    let mut types = head.values("content-type");
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = "application/x-www-form-urlencoded";
        for (case, media_type, body, expected) in [
            ("a token", form, "logout_token=a.b.c", Ok("a.b.c")),
            (
                "with a charset",
                "Application/X-WWW-Form-Urlencoded;charset=utf-8",
                "logout_token=a",
                Ok("a"),
            ),
            ("other fields", form, "state=x&logout_token=a&client_id=", Ok("a")),
            ("escaped", form, "logout%5Ftoken=a%2Eb", Ok("a.b")),
            ("a space", form, "logout_token=a+b", Ok("a b")),
            ("none", form, "token=a", Err(FormError::Missing)),
            ("empty", form, "logout_token=", Err(FormError::Missing)),
            ("without a value", form, "logout_token", Err(FormError::Missing)),
            ("nothing", form, "", Err(FormError::Missing)),
            ("two", form, "logout_token=a&logout_token=a", Err(FormError::Repeated)),
            ("two spellings", form, "logout_token=a&logout%5ftoken=b", Err(FormError::Repeated)),
            ("JSON", "application/json", "logout_token=a", Err(FormError::NotAForm)),
            ("no type", "", "logout_token=a", Err(FormError::NotAForm)),
        ] {
            let head = RequestHead::new([("content-type", media_type)]);
            let found = logout_token_of(&head, body.as_bytes());
            assert_eq!(found, expected.map(|token| token.as_bytes().to_vec()), "{case}");
        }
        let twice = RequestHead::new([("content-type", form), ("content-type", form)]);
        assert_eq!(logout_token_of(&twice, b"logout_token=a"), Err(FormError::NotAForm));
    }
}
