//! `aud`: the recipients of a token.

use super::{Found, Rejection};
use crate::json::{Json, Members};

/// The recipients of a token: one text or a list of texts (RFC 7519 section 4.1.3). A
/// list that contains anything else is not an audience.
// RFC 8725 section 3.9: "if the audience value is not present or not associated with
// the recipient, it MUST reject the JWT" (R22)
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Audience(Aud);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Aud {
    #[default]
    Absent,
    Malformed,
    One(Box<str>),
    Several(Box<[String]>),
}

impl Audience {
    /// Reads the audience from the claims.
    pub fn of<'a>(claims: impl Into<Members<'a>>) -> Self {
        let text = |item: Json<'_>| item.as_str().map(str::to_owned);
        Self(match claims.into().get("aud") {
            None => Aud::Absent,
            Some(Json::Text(audience)) => Aud::One(audience.into()),
            Some(Json::Array(items)) => {
                let texts: Option<Vec<_>> = items.iter().map(text).collect();
                texts.map_or(Aud::Malformed, |texts| Aud::Several(texts.into()))
            }
            Some(_) => Aud::Malformed,
        })
    }

    /// The memory of its texts, in bytes.
    pub(super) fn bytes(&self) -> usize {
        /// Memory of one besides its text.
        const TEXT: usize = 5 * size_of::<usize>();
        let texts = match &self.0 {
            Aud::Absent | Aud::Malformed => &[][..],
            Aud::One(audience) => return audience.len(),
            Aud::Several(audiences) => audiences,
        };
        let bytes = texts.iter().map(|text| text.len().saturating_add(TEXT));
        bytes.fold(0, usize::saturating_add)
    }

    fn found(&self) -> Found {
        match &self.0 {
            Aud::Absent | Aud::Malformed => Found::of(None),
            Aud::One(audience) => Found::of(Some(audience)),
            Aud::Several(audiences) => Found::all(audiences.iter().map(String::as_str)),
        }
    }

    /// Whether the token is for one of the `accepted` audiences.
    pub fn check(&self, accepted: &[String]) -> Result<(), Rejection> {
        let is_accepted = |audience: &str| accepted.iter().any(|known| known == audience);
        let matched = match &self.0 {
            Aud::Absent => return Err(Rejection::ClaimMissing("aud".into())),
            Aud::Malformed => return Err(Rejection::ClaimMalformed("aud")),
            Aud::One(audience) => is_accepted(audience),
            Aud::Several(audiences) => audiences.iter().any(|audience| is_accepted(audience)),
        };
        if matched { Ok(()) } else { Err(Rejection::AudienceMismatch(self.found())) }
    }
}
