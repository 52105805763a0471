//! The subject of a signal, and the matching tokens.

use crate::json::{Json, Members};
use crate::revocation::{Entry, MAX_VALUE_BYTES, Selector, Validity, claim_key};
use crate::time::UnixTime;

/// The claim by which the tokens of a session are matched: `revoke` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevokeBy {
    /// By `sid`; a signal without a session by `sub`.
    SessionId,
    /// By `sub`: the issuer's access tokens have no `sid`.
    Subject,
    /// By both, where present.
    #[default]
    Both,
}

/// The subject of a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The issuer of the tokens, for a provider that has several.
    pub tenant: Option<String>,
    /// Users: by `sub`, or by another claim and its value.
    pub users: Vec<User>,
    /// Sessions, by `sid`.
    pub sessions: Vec<String>,
    /// Single tokens, by `jti`.
    pub tokens: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum User {
    Subject(String),
    Claim(&'static str, String),
}

/// Restrictions on the revoked tokens.
pub(super) struct Bounds<'a> {
    /// Only those of this issuer.
    pub issuer: Option<&'a str>,
    /// The time of the event.
    pub at: UnixTime,
    /// When the last of them expires, if known.
    pub until: Option<UnixTime>,
    pub by: RevokeBy,
}

/// Why nothing can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnameable {
    /// No subject, or none that tokens contain.
    Nobody,
    /// Only a session, but no access token contains its id.
    SessionOnly,
}

impl Named {
    /// The revocations for this subject.
    ///
    /// A session's tokens are revoked regardless of when they were issued; a user's only
    /// if they were issued before the event, since a later login is not affected. Tokens
    /// contain whole seconds, and one from the same second counts as before: a session
    /// may end within the second in which it began.
    pub(super) fn entries(self, bounds: &Bounds<'_>) -> Result<Vec<Entry>, Unnameable> {
        let by_session = bounds.by != RevokeBy::Subject;
        if self.users.is_empty()
            && self.tokens.is_empty()
            && !by_session
            && !self.sessions.is_empty()
        {
            return Err(Unnameable::SessionOnly);
        }
        let by_user = bounds.by != RevokeBy::SessionId || self.sessions.is_empty();
        let before = UnixTime::from_secs(bounds.at.as_secs().saturating_add(1));
        let validity = |issued_before| Validity {
            issuer: bounds.issuer.map(str::to_owned),
            issued_before,
            until: bounds.until,
        };
        let entry = |selector, value, validity| Entry { selector, value, validity };
        let users = self.users.into_iter().filter(|_| by_user).map(|user| {
            let (selector, value) = match user {
                User::Subject(sub) => (Selector::Subject, sub),
                User::Claim(claim, value) => (Selector::Claim, claim_key(claim, &value)),
            };
            entry(selector, value, validity(Some(before)))
        });
        let sessions = self.sessions.into_iter().filter(|_| by_session);
        let sessions = sessions.map(|sid| entry(Selector::SessionId, sid, validity(None)));
        let tokens = self.tokens.into_iter();
        let tokens = tokens.map(|jti| entry(Selector::TokenId, jti, validity(None)));
        let entries: Vec<_> = users.chain(sessions).chain(tokens).collect();
        if entries.is_empty() { Err(Unnameable::Nobody) } else { Ok(entries) }
    }
}

/// A member that identifies something: a text that fits into an entry. `Err` if it is
/// present but not such a text.
pub(super) fn name_of(members: Members<'_>, member: &str) -> Result<Option<String>, ()> {
    match members.get(member) {
        None => Ok(None),
        Some(Json::Text(text)) if (1..=MAX_VALUE_BYTES).contains(&text.len()) => {
            Ok(Some(text.to_owned()))
        }
        Some(_) => Err(()),
    }
}
