//! One entry of a revocation list or an allowlist.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::json::kind;
use crate::time::UnixTime;
use crate::token::numeric_date;

/// Which claim an entry names its tokens by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `jti`: one token.
    TokenId,
    /// `sub`: all tokens of a user.
    Subject,
    /// `sid`: all tokens of a login session.
    SessionId,
    /// `azp` or `client_id`: all tokens of a client.
    Client,
}

impl Selector {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::TokenId, Self::Subject, Self::SessionId, Self::Client];

    /// The member of an entry that names the value.
    pub const fn member(self) -> &'static str {
        match self {
            Self::TokenId => "jti",
            Self::Subject => "sub",
            Self::SessionId => "sid",
            Self::Client => "client_id",
        }
    }
}

/// Tokens by what they say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which claim.
    pub selector: Selector,
    /// Its value.
    pub value: String,
    /// What of those tokens.
    pub term: Term,
}

/// Which of the tokens that a value selects, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Only those with this `iss`; all if `None`.
    pub issuer: Option<String>,
    /// Only those with an `iat` before this, and those without; all if `None`.
    pub issued_before: Option<UnixTime>,
    /// When the entry ends; never if `None`.
    pub until: Option<UnixTime>,
}

/// Longer values are no identifiers.
const MAX_VALUE_BYTES: usize = 512;

impl Entry {
    /// Reads an entry. Members that are not known are refused: what they were to
    /// restrict would be revoked, or let in, without that restriction.
    pub fn read(value: &Value) -> Result<Self, EntryError> {
        let members = value.as_object().ok_or_else(|| EntryError::Kind(kind(value)))?;
        let mut named = Selector::ALL.into_iter().filter(|s| members.contains_key(s.member()));
        let (selector, None) = (named.next().ok_or(EntryError::Unnamed)?, named.next()) else {
            return Err(EntryError::NamedTwice);
        };
        const OTHERS: [&str; 3] = ["iss", "issued_before", "until"];
        let is_known = |name: &&String| *name == selector.member() || OTHERS.contains(&&***name);
        if let Some(unknown) = members.keys().find(|name| !is_known(name)) {
            return Err(EntryError::Unknown(unknown.chars().take(40).collect()));
        }
        let issued_before = date(members, "issued_before")?;
        if selector == Selector::TokenId && issued_before.is_some() {
            return Err(EntryError::Pointless);
        }
        let issuer = members.get("iss").map(|_| text(members, "iss")).transpose()?;
        Ok(Self {
            selector,
            value: text(members, selector.member())?,
            term: Term { issuer, issued_before, until: date(members, "until")? },
        })
    }

    /// The entry as JSON; what [`Entry::read`] reads.
    pub fn to_json(&self) -> Value {
        let mut entry = json!({ self.selector.member(): self.value });
        let seconds = |time: UnixTime| json!(time.as_millis() as f64 / 1000.0);
        let members = [
            ("iss", self.term.issuer.as_deref().map(Value::from)),
            ("issued_before", self.term.issued_before.map(seconds)),
            ("until", self.term.until.map(seconds)),
        ];
        if let Value::Object(entry) = &mut entry {
            entry.extend(
                members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))),
            );
        }
        entry
    }
}

impl Term {
    /// Whether it is over.
    pub fn has_ended(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether it is about a token with this issuer and `iat`.
    pub fn applies(&self, issuer: Option<&str>, issued: Option<UnixTime>, now: UnixTime) -> bool {
        let is_before = |before| issued.is_none_or(|issued| issued < before);
        !self.has_ended(now)
            && self.issuer.as_deref().is_none_or(|wanted| issuer == Some(wanted))
            && self.issued_before.is_none_or(is_before)
    }

    /// Whether it is about every token that `other` is about, for as long.
    pub fn covers(&self, other: &Self) -> bool {
        let is_as_late = |own: Option<UnixTime>, other: Option<UnixTime>| match (own, other) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        };
        (self.issuer.is_none() || self.issuer == other.issuer)
            && is_as_late(self.issued_before, other.issued_before)
            && is_as_late(self.until, other.until)
    }
}

fn text(members: &Map<String, Value>, name: &'static str) -> Result<String, EntryError> {
    match members.get(name) {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_VALUE_BYTES => {
            Ok(text.clone())
        }
        _ => Err(EntryError::NoText(name)),
    }
}

fn date(members: &Map<String, Value>, name: &'static str) -> Result<Option<UnixTime>, EntryError> {
    numeric_date(members, name).map_err(|_| EntryError::NoDate(name))
}

/// Why something is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// It is no object.
    Kind(&'static str),
    /// It names no tokens.
    Unnamed,
    /// It names tokens by two claims.
    NamedTwice,
    /// A member with this name is not known.
    Unknown(String),
    /// `issued_before` beside `jti`.
    Pointless,
    /// A member is no text of up to 512 bytes.
    NoText(&'static str),
    /// A member is no NumericDate.
    NoDate(&'static str),
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "it is {kind}, not an object"),
            Self::Unnamed => f.write_str("it has none of jti, sub, sid and client_id"),
            Self::NamedTwice => f.write_str("it has more than one of jti, sub, sid and client_id"),
            Self::Unknown(name) => write!(f, "its member {name:?} is not known"),
            Self::Pointless => f.write_str("issued_before says nothing beside jti"),
            Self::NoText(name) => {
                write!(f, "{name:?} is no string of 1 to {MAX_VALUE_BYTES} bytes")
            }
            Self::NoDate(name) => write!(f, "{name:?} is no number of seconds since 1970"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        for (case, entry, expected) in [
            ("a token", json!({"jti": "1"}), Ok(())),
            ("a user", json!({"sub": "alice", "issued_before": 7.5, "until": 9}), Ok(())),
            ("a session", json!({"sid": "s", "iss": "https://auth.example"}), Ok(())),
            ("a client", json!({"client_id": "web"}), Ok(())),
            ("a list", json!([]), Err(EntryError::Kind("an array"))),
            ("nobody", json!({"until": 9}), Err(EntryError::Unnamed)),
            ("two", json!({"sub": "a", "jti": "b"}), Err(EntryError::NamedTwice)),
            ("no text", json!({"sub": 7}), Err(EntryError::NoText("sub"))),
            ("empty", json!({"sub": ""}), Err(EntryError::NoText("sub"))),
            ("long", json!({"sub": "x".repeat(513)}), Err(EntryError::NoText("sub"))),
            ("no issuer", json!({"sub": "a", "iss": null}), Err(EntryError::NoText("iss"))),
            ("no date", json!({"sub": "a", "until": "9"}), Err(EntryError::NoDate("until"))),
            ("unknown", json!({"sub": "a", "unitl": 9}), Err(EntryError::Unknown("unitl".into()))),
            ("pointless", json!({"jti": "1", "issued_before": 9}), Err(EntryError::Pointless)),
        ] {
            let read = Entry::read(&entry);
            if let Ok(read) = &read {
                assert_eq!(Entry::read(&read.to_json()).as_ref(), Ok(read), "{case}");
            }
            assert_eq!(read.map(drop), expected, "{case}");
        }
    }

    #[test]
    fn a_term_covers_what_it_says_more_than() {
        let at = |seconds: i64| Some(UnixTime::from_secs(seconds));
        let term = |issued_before, until| Term { issuer: None, issued_before, until };
        assert!(term(None, None).covers(&term(at(5), at(9))));
        assert!(term(at(5), at(9)).covers(&term(at(5), at(9))));
        assert!(!term(at(5), at(9)).covers(&term(None, at(9))), "all tokens, not only old ones");
        assert!(!term(None, at(9)).covers(&term(at(5), at(10))), "longer");
        let one = Term { issuer: Some("i".into()), ..term(None, None) };
        assert!(term(None, None).covers(&one) && !one.covers(&term(None, None)));
    }
}
