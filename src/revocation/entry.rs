//! One entry of a revocation list or an allowlist.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::http::log_word;
use crate::json::kind;
use crate::time::UnixTime;
use crate::token::{ClaimPath, numeric_date};

/// The claim by which an entry selects tokens.
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
    /// Any claim: all tokens in which it has a value, or a list with that value.
    Claim,
}

impl Selector {
    /// All selectors.
    pub const ALL: [Self; 5] =
        [Self::TokenId, Self::Subject, Self::SessionId, Self::Client, Self::Claim];

    /// The member of an entry for this selector.
    pub const fn member(self) -> &'static str {
        match self {
            Self::TokenId => "jti",
            Self::Subject => "sub",
            Self::SessionId => "sid",
            Self::Client => "client_id",
            Self::Claim => "claim",
        }
    }
}

/// Selects tokens by a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The claim.
    pub selector: Selector,
    /// Its value; for [`Selector::Claim`] the result of [`claim_key`].
    pub value: String,
    /// Restrictions, and the period for which the entry holds.
    pub validity: Validity,
}

/// Restrictions on the selected tokens, and the period for which the entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Only tokens with this `iss`; all if `None`.
    pub issuer: Option<String>,
    /// Only tokens with an `iat` before this, and those without; all if `None`.
    pub issued_before: Option<UnixTime>,
    /// When the entry expires; never if `None`.
    pub until: Option<UnixTime>,
}

/// A claim's path and its value in one text. E-mail addresses are compared ignoring case,
/// as users and directories write them either way.
pub fn claim_key(claim: &str, value: &str) -> String {
    if claim == "email" {
        format!("{claim}\n{}", value.to_ascii_lowercase())
    } else {
        format!("{claim}\n{value}")
    }
}

/// The claim and the value of a [`claim_key`].
pub(super) fn claim_of(key: &str) -> (&str, &str) {
    key.split_once('\n').unwrap_or((key, ""))
}

/// The maximum length of a value in an entry: longer ones are not identifiers.
pub const MAX_VALUE_BYTES: usize = 512;

/// Larger numbers are milliseconds, not seconds (which reach the year 5138 here), and
/// would lock a user out forever.
const MAX_SECONDS: f64 = 1e11;

/// How to treat unknown members of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The entry is refused, and the sender gets the reason.
    Refused,
    /// Comments are ignored; other unknown members refuse the entry, since they may be
    /// conditions that change its meaning.
    NotesOnly,
    /// They are ignored, except those that look like restrictions of the entry: ignoring
    /// one would lock out other users.
    UnlessTheyRestrict,
}

impl Unknown {
    fn accepts(self, name: &str) -> bool {
        match self {
            Self::Refused => false,
            Self::NotesOnly => NOTES.contains(&name),
            Self::UnlessTheyRestrict => NOTES.contains(&name) || !may_restrict(name),
        }
    }
}

const NOTES: [&str; 15] = [
    "added_at",
    "added_by",
    "by",
    "comment",
    "created_at",
    "created_by",
    "description",
    "id",
    "note",
    "notes",
    "reason",
    "revoked_at",
    "revoked_by",
    "ticket",
    "updated_at",
];

/// Members that restrict an entry.
const CONDITIONS: [&str; 3] = ["iss", "issued_before", "until"];

/// True if an unknown member may be a condition: a claim, a synonym of a condition, or a
/// misspelled known member.
fn may_restrict(name: &str) -> bool {
    const CLAIMS: [&str; 28] = [
        "act",
        "after",
        "aud",
        "audience",
        "audiences",
        "azp",
        "before",
        "claim",
        "claims",
        "cnf",
        "email",
        "except",
        "exp",
        "groups",
        "iat",
        "ip",
        "issuer",
        "nbf",
        "org",
        "provider",
        "providers",
        "roles",
        "scope",
        "scopes",
        "scp",
        "tenant",
        "tid",
        "value",
    ];
    const BEGINNINGS: [&str; 7] = ["issued", "not_", "only", "unless", "valid", "expire", "client"];
    let name = name.to_ascii_lowercase();
    CLAIMS.contains(&name.as_str())
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || ["until", "issued_before"].iter().any(|known| differs_little(&name, known))
}

/// True if two names differ only by a letter or two in one place.
fn differs_little(one: &str, other: &str) -> bool {
    let same = |(one, other): &(u8, u8)| one == other;
    let start = one.bytes().zip(other.bytes()).take_while(same).count();
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let (one, other) = (one.get(start..).unwrap_or(&[]), other.get(start..).unwrap_or(&[]));
    let backwards = one.iter().rev().copied().zip(other.iter().rev().copied());
    let end = backwards.take_while(same).count();
    one.len().max(other.len()).saturating_sub(end) <= 2
}

impl Entry {
    /// Parses an entry; every member must be known.
    pub fn read(value: &Value) -> Result<Self, EntryError> {
        Self::read_with(value, Unknown::Refused).map(|(entry, _)| entry)
    }

    /// Parses an entry; also returns the name of an ignored member, if any.
    pub(super) fn read_with(
        value: &Value,
        unknown: Unknown,
    ) -> Result<(Self, Option<String>), EntryError> {
        let members = value.as_object().ok_or_else(|| EntryError::Kind(kind(value)))?;
        let mut named = Selector::ALL.into_iter().filter(|s| members.contains_key(s.member()));
        let (selector, None) = (named.next().ok_or(EntryError::Unnamed)?, named.next()) else {
            return Err(EntryError::NamedTwice);
        };
        let mut ignored = None;
        for name in members.keys() {
            let is_value = selector == Selector::Claim && name == "value";
            if *name == selector.member() || is_value || CONDITIONS.contains(&name.as_str()) {
                continue;
            }
            let name: String = name.chars().take(40).collect();
            if !unknown.accepts(&name) {
                return Err(EntryError::Unknown(name));
            }
            ignored = Some(name);
        }
        let issued_before = date(members, "issued_before")?;
        if selector == Selector::TokenId && issued_before.is_some() {
            return Err(EntryError::IssuedBeforeWithId);
        }
        let issuer = members.get("iss").map(|_| text(members, "iss")).transpose()?;
        let value = match selector {
            Selector::Claim => {
                let claim = text(members, "claim")?;
                let is_path = ClaimPath::parse(&claim).is_some() && !claim.contains('\n');
                let claim = Some(claim).filter(|_| is_path).ok_or(EntryError::NoClaim)?;
                claim_key(&claim, &text(members, "value")?)
            }
            _ => text(members, selector.member())?,
        };
        let validity = Validity { issuer, issued_before, until: date(members, "until")? };
        Ok((Self { selector, value, validity }, ignored))
    }

    /// Its selector and value, shortened for a log line.
    pub(super) fn summary(&self) -> String {
        match self.selector {
            Selector::Claim => {
                let (claim, value) = claim_of(&self.value);
                format!("{} {}", log_word(claim), log_word(value))
            }
            selector => format!("{} {}", selector.member(), log_word(&self.value)),
        }
    }

    /// The entry as JSON; parsed by [`Entry::read`].
    pub fn to_json(&self) -> Value {
        let mut entry = match self.selector {
            Selector::Claim => {
                let (claim, value) = claim_of(&self.value);
                json!({ "claim": claim, "value": value })
            }
            selector => json!({ selector.member(): self.value }),
        };
        let seconds = |time: UnixTime| json!(time.as_millis() as f64 / 1000.0);
        let members = [
            ("iss", self.validity.issuer.as_deref().map(Value::from)),
            ("issued_before", self.validity.issued_before.map(seconds)),
            ("until", self.validity.until.map(seconds)),
        ];
        if let Value::Object(entry) = &mut entry {
            entry.extend(
                members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))),
            );
        }
        entry
    }
}

impl Validity {
    /// The issuer of the tokens, shortened for a log line.
    pub(super) fn issuer_summary(&self) -> String {
        self.issuer.as_deref().map_or_else(|| "any".to_owned(), log_word)
    }

    /// True if it has expired.
    pub fn has_ended(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// True if it applies to a token with this issuer and `iat`.
    ///
    /// `iat` is often in whole seconds: a token issued within the second of `issued_before`
    /// counts as issued after it. Otherwise an immediate new login would be revoked too.
    pub fn applies(&self, issuer: Option<&str>, issued: Option<UnixTime>, now: UnixTime) -> bool {
        let is_before = |before: UnixTime| {
            issued.is_none_or(|issued| match issued.as_millis().rem_euclid(1000) {
                0 => issued.as_secs() < before.as_secs(),
                _ => issued < before,
            })
        };
        !self.has_ended(now)
            && self.issuer.as_deref().is_none_or(|wanted| issuer == Some(wanted))
            && self.issued_before.is_none_or(is_before)
    }

    /// True if it applies to every token that `other` applies to, for as long.
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_tokens_of(other) && is_as_late(self.until, other.until)
    }

    /// True if it withdraws `other`: it applies to the same tokens, and ends earlier.
    pub fn ends(&self, other: &Self) -> bool {
        self.covers_tokens_of(other) && !is_as_late(self.until, other.until)
    }

    fn covers_tokens_of(&self, other: &Self) -> bool {
        (self.issuer.is_none() || self.issuer == other.issuer)
            && is_as_late(self.issued_before, other.issued_before)
    }
}

/// Compares two ends, where `None` means never: true if the first is not earlier.
fn is_as_late(own: Option<UnixTime>, other: Option<UnixTime>) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(other)) => own >= other,
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
    let is_seconds = |value: &Value| value.as_f64().is_none_or(|it| it.abs() <= MAX_SECONDS);
    if !members.get(name).is_none_or(is_seconds) {
        return Err(EntryError::NoSeconds(name));
    }
    numeric_date(members, name).map_err(|_| EntryError::NoDate(name))
}

/// Why a value is not an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// It is not an object.
    Kind(&'static str),
    /// It selects no tokens.
    Unnamed,
    /// It selects tokens by two claims.
    NamedTwice,
    /// A member with this name is unknown.
    Unknown(String),
    /// `issued_before` beside `jti`.
    IssuedBeforeWithId,
    /// `claim` names no claim.
    NoClaim,
    /// A member is not a text of up to 512 bytes.
    NoText(&'static str),
    /// A member is not a NumericDate.
    NoDate(&'static str),
    /// A member is beyond 10^11, as a time in milliseconds is.
    NoSeconds(&'static str),
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "it is {kind}, not an object"),
            Self::Unnamed => f.write_str("it has none of jti, sub, sid, client_id and claim"),
            Self::NamedTwice => {
                f.write_str("it has more than one of jti, sub, sid, client_id and claim")
            }
            Self::NoClaim => f.write_str("\"claim\" is not the name of a claim or a JSON pointer"),
            Self::Unknown(name) => write!(f, "its member {name:?} is not known"),
            Self::IssuedBeforeWithId => f.write_str("issued_before says nothing beside jti"),
            Self::NoText(name) => {
                write!(f, "{name:?} is not a string of 1 to {MAX_VALUE_BYTES} bytes")
            }
            Self::NoDate(name) => write!(f, "{name:?} is not a number of seconds since 1970"),
            Self::NoSeconds(name) => {
                write!(f, "{name:?} is beyond 10^11: seconds since 1970, not milliseconds")
            }
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
            ("a claim", json!({"claim": "email", "value": "a@b.example", "until": 9}), Ok(())),
            ("a claim inside", json!({"claim": "/a/b.c", "value": "x"}), Ok(())),
            ("a claim alone", json!({"claim": "email"}), Err(EntryError::NoText("value"))),
            ("no claim", json!({"claim": "$.a", "value": "x"}), Err(EntryError::NoClaim)),
            ("a value alone", json!({"value": "x"}), Err(EntryError::Unnamed)),
            (
                "a value too many",
                json!({"sub": "a", "value": "x"}),
                Err(EntryError::Unknown("value".into())),
            ),
            ("a list", json!([]), Err(EntryError::Kind("an array"))),
            ("nobody", json!({"until": 9}), Err(EntryError::Unnamed)),
            ("two", json!({"sub": "a", "jti": "b"}), Err(EntryError::NamedTwice)),
            ("no text", json!({"sub": 7}), Err(EntryError::NoText("sub"))),
            ("empty", json!({"sub": ""}), Err(EntryError::NoText("sub"))),
            ("long", json!({"sub": "x".repeat(513)}), Err(EntryError::NoText("sub"))),
            ("no issuer", json!({"sub": "a", "iss": null}), Err(EntryError::NoText("iss"))),
            ("no date", json!({"sub": "a", "until": "9"}), Err(EntryError::NoDate("until"))),
            (
                "milliseconds",
                json!({"sub": "a", "until": 1_795_864_624_537_i64}),
                Err(EntryError::NoSeconds("until")),
            ),
            (
                "far back",
                json!({"sub": "a", "issued_before": -1e12}),
                Err(EntryError::NoSeconds("issued_before")),
            ),
            ("the last second", json!({"sub": "a", "until": 1e11}), Ok(())),
            ("unknown", json!({"sub": "a", "unitl": 9}), Err(EntryError::Unknown("unitl".into()))),
            (
                "a note",
                json!({"sub": "a", "reason": "x"}),
                Err(EntryError::Unknown("reason".into())),
            ),
            (
                "pointless",
                json!({"jti": "1", "issued_before": 9}),
                Err(EntryError::IssuedBeforeWithId),
            ),
        ] {
            let read = Entry::read(&entry);
            if let Ok(read) = &read {
                assert_eq!(Entry::read(&read.to_json()).as_ref(), Ok(read), "{case}");
            }
            assert_eq!(read.map(drop), expected, "{case}");
        }
    }

    #[test]
    fn members_that_are_not_known() {
        for (name, on_feed, on_allowlist) in [
            ("reason", true, true),
            ("revoked_at", true, true),
            ("x-severity", true, false),
            ("jira", true, false),
            ("aud", false, false),
            ("tenant", false, false),
            ("ip", false, false),
            ("issued_after", false, false),
            ("not_before", false, false),
            ("unitl", false, false),
            ("untill", false, false),
            ("Until", false, false),
            ("issued_befor", false, false),
            ("issuer", false, false),
        ] {
            let entry = json!({"sub": "a", (name): 9});
            for (unknown, expected) in [
                (Unknown::UnlessTheyRestrict, on_feed),
                (Unknown::NotesOnly, on_allowlist),
                (Unknown::Refused, false),
            ] {
                let read = Entry::read_with(&entry, unknown);
                assert_eq!(read.is_ok(), expected, "{name}, {unknown:?}");
                if let Ok((entry, ignored)) = read {
                    assert_eq!((entry.validity.until, ignored.as_deref()), (None, Some(name)));
                }
            }
        }
    }

    /// A logout and a new login may happen within the same second.
    #[test]
    fn a_whole_second_counts_as_its_end() {
        let at = UnixTime::from_millis;
        for (case, issued, before, expected) in [
            ("the second before", 99_000, 100_400, true),
            ("the same second", 100_000, 100_400, false),
            ("a whole one", 100_000, 101_000, true),
            ("then", 100_000, 100_000, false),
            ("a fraction before", 100_200, 100_400, true),
            ("a fraction after", 100_500, 100_400, false),
        ] {
            let validity = Validity { issuer: None, issued_before: Some(at(before)), until: None };
            assert_eq!(validity.applies(None, Some(at(issued)), at(0)), expected, "{case}");
        }
    }

    #[test]
    fn a_term_is_about_its_own_issuer() {
        let validity = |issuer: &str| Validity {
            issuer: Some(issuer.into()),
            issued_before: None,
            until: None,
        };
        assert!(!validity("a").covers(&validity("b")) && validity("a").covers(&validity("a")));
        let ended = Validity { until: Some(UnixTime::from_secs(1)), ..validity("a") };
        assert!(ended.ends(&validity("a")) && !ended.ends(&validity("b")) && !ended.ends(&ended));
    }

    #[test]
    fn a_term_covers_what_it_says_more_than() {
        let at = |seconds: i64| Some(UnixTime::from_secs(seconds));
        let validity = |issued_before, until| Validity { issuer: None, issued_before, until };
        assert!(validity(None, None).covers(&validity(at(5), at(9))));
        assert!(validity(at(5), at(9)).covers(&validity(at(5), at(9))));
        assert!(
            !validity(at(5), at(9)).covers(&validity(None, at(9))),
            "all tokens, not only old ones"
        );
        assert!(!validity(None, at(9)).covers(&validity(at(5), at(10))), "longer");
        let one = Validity { issuer: Some("i".into()), ..validity(None, None) };
        assert!(validity(None, None).covers(&one) && !one.covers(&validity(None, None)));
    }
}
