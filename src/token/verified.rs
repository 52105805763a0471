//! A verified token, and its claims.

use std::rc::Rc;

use serde_json::Value;

use super::claims::{Claims, has_ended};
use super::{Actor, Audience, Confirmation, Grant, KnownGrants, ProviderId, Scopes, text_of};
use crate::json::Document;
use crate::time::{Deadline, Span, UnixTime};

/// The claims by which revocations select tokens, unless an entry names another one.
pub const REVOKED_BY: [&str; 6] = ["iat", "jti", "sid", "sub", "azp", "client_id"];

/// A token whose signature, algorithm, issuer, audience and times were checked.
///
/// Only [`Provider::verify`] makes one, [`Provider::accept_introspected`] of a reference
/// token and [`OwnTokens::verify`] of a transaction token, so a function that takes a
/// `Verified` cannot be reached by an unverified token.
///
/// [`Provider::verify`]: super::Provider::verify
/// [`Provider::accept_introspected`]: super::Provider::accept_introspected
/// [`OwnTokens::verify`]: super::OwnTokens::verify
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) provider: u32,
    /// How many milliseconds after its `exp` it is accepted.
    pub(super) leeway: u32,
    pub(super) claims: Claims,
    pub(super) subject: Rc<str>,
    pub(super) grant: Rc<Grant>,
    pub(super) expires: Deadline,
    pub(super) extras: Option<Box<Extras>>,
}

/// What few tokens have, in memory of its own: a gateway remembers many tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    pub credential: Option<String>,
    pub unique_subject: Option<Rc<str>>,
    pub groups: Vec<String>,
    pub actor: Option<Actor>,
    pub confirmation: Confirmation,
}

/// Memory of a group besides its text.
const GROUP: usize = 5 * size_of::<usize>();

impl Extras {
    /// `None` if there are none.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }

    fn bytes(&self) -> usize {
        let actor = self.actor.as_ref();
        let texts = [
            self.credential.as_deref(),
            self.unique_subject.as_deref(),
            actor.and_then(|actor| actor.client_id.as_deref()),
            actor.and_then(|actor| actor.subject.as_deref()),
        ];
        let texts = texts.into_iter().flatten().map(str::len);
        let groups = self.groups.iter().map(|group| group.len().saturating_add(GROUP));
        texts.chain(groups).fold(size_of::<Self>(), usize::saturating_add)
    }
}

impl Verified {
    /// Its issuer.
    pub const fn provider(&self) -> ProviderId {
        ProviderId(self.provider as usize)
    }

    /// The key of the credential that made it, if its provider's tokens are recognized by
    /// credentials.
    pub fn credential(&self) -> Option<&str> {
        self.extras.as_ref()?.credential.as_deref()
    }

    /// As a request presents it, by this text.
    pub const fn presented<'a>(&'a self, text: &'a [u8]) -> PresentedToken<'a> {
        PresentedToken { token: self, text: Some(text) }
    }

    /// The token without its text: its claims can be read while they are kept.
    pub const fn alone(&self) -> PresentedToken<'_> {
        PresentedToken { token: self, text: None }
    }

    /// The size of what is kept of its claims, in bytes.
    pub fn claims_bytes(&self) -> usize {
        self.claims.bytes()
    }

    /// The size of its other texts in bytes, without what it grants.
    pub fn bytes(&self) -> usize {
        let extras = self.extras.as_ref().map_or(0, |extras| extras.bytes());
        extras.saturating_add(self.subject.len())
    }

    /// Gives back the memory that reading its claims took beyond what they need.
    pub fn trim_claims(&self) {
        self.claims.trim();
    }

    /// Stores its claims compactly, for a cached token whose claims the next requests do
    /// not need. `are_presented`: whether each of these requests presents the JWT itself,
    /// by [`Verified::presented`].
    pub fn compact_claims(&self, are_presented: bool) {
        self.claims.compact(are_presented);
    }

    /// `sub`, never empty.
    pub const fn subject(&self) -> &Rc<str> {
        &self.subject
    }

    /// The subject for services: unique across providers, if so configured.
    // RFC 7519 section 4.1.2: "The subject value MUST either be scoped to be locally unique
    // in the context of the issuer or be globally unique." (R29)
    pub fn unique_subject(&self) -> &str {
        self.shared_subject()
    }

    /// [`Verified::unique_subject`] as a shared text.
    pub(crate) fn shared_subject(&self) -> &Rc<str> {
        let unique = self.extras.as_ref().and_then(|extras| extras.unique_subject.as_ref());
        unique.unwrap_or(&self.subject)
    }

    /// The client that holds it, by the first of `consumers.client_id_claims`.
    pub fn client(&self) -> Option<&str> {
        self.grant.client.as_deref()
    }

    /// Its holder's groups, by `consumers.groups_claims`.
    pub fn groups(&self) -> &[String] {
        self.extras.as_ref().map_or(&[], |extras| &extras.groups)
    }

    /// The scopes: `scope`, else `scp` or `scopes`.
    pub fn scopes(&self) -> &Scopes {
        &self.grant.scopes
    }

    /// `aud`, as in the token.
    pub fn audience(&self) -> &Audience {
        &self.grant.audience
    }

    /// Shares what it grants with other tokens. Returns the memory that it needs for that
    /// alone, in bytes.
    pub fn share_grant(&mut self, known: &KnownGrants) -> usize {
        known.share(&mut self.grant)
    }

    /// Who acts for the subject.
    pub fn actor(&self) -> Option<&Actor> {
        self.extras.as_ref()?.actor.as_ref()
    }

    /// The keys that its client must prove to have.
    pub fn confirmation(&self) -> &Confirmation {
        self.extras.as_ref().map_or(&Confirmation::NONE, |extras| &extras.confirmation)
    }

    /// `exp`.
    pub fn expires(&self) -> Option<UnixTime> {
        self.expires.get()
    }

    /// Its `exp`, if that has passed, regardless of clock skew.
    pub fn ended(&self, now: UnixTime) -> Option<UnixTime> {
        self.expires().filter(|exp| has_ended(*exp, now))
    }

    /// Those of its `claims` by which revocations select it, for a token that is derived
    /// from it: what revokes this token must revoke that one too. Without those that equal
    /// its subject or client, which any such token has.
    pub fn revoked_by(&self, claims: &Document) -> Vec<(&'static str, Value)> {
        let is_known = |name: &str| match name {
            "sub" => text_of(claims, name) == Some(self.subject()),
            "azp" | "client_id" => text_of(claims, name) == self.client(),
            _ => false,
        };
        let of_name = |name| Some((name, claims.get(name)?.to_value()));
        REVOKED_BY.into_iter().filter(|name| !is_known(name)).filter_map(of_name).collect()
    }

    /// Until when it is accepted, clock skew included.
    pub fn usable_until(&self) -> Option<UnixTime> {
        self.expires().map(|exp| exp.plus(Span::from_millis(self.leeway)))
    }

    /// Whether it is still accepted `now`, clock skew included.
    pub fn is_current(&self, now: UnixTime) -> bool {
        self.usable_until().is_none_or(|end| now < end)
    }
}

/// A verified token, with the text by which a request presents it: the claims of a cached
/// token may be nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken<'a> {
    token: &'a Verified,
    text: Option<&'a [u8]>,
}

impl<'a> PresentedToken<'a> {
    /// The token.
    pub const fn token(self) -> &'a Verified {
        self.token
    }

    /// Its claims, as far as they are trusted; `None` if they cannot be read, which is a
    /// reason to deny: none of them may be taken for absent.
    pub fn claims(self) -> Option<Rc<Document>> {
        self.token.claims.document(self.text)
    }
}

#[cfg(test)]
impl Verified {
    /// A cached token that says only `{"sub": "alice"}`, and its text, where alone its claims
    /// are.
    pub(crate) fn with_claims_in_its_text() -> (Self, &'static [u8]) {
        // {"alg":"none"} and {"sub":"alice"}.
        let text = b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2ln";
        let mut claims = Document::default();
        claims.add_text("sub", "alice");
        let claims = Claims::whole(claims);
        claims.compact(true);
        let token = Self {
            provider: 0,
            leeway: 0,
            claims,
            subject: "alice".into(),
            grant: Rc::default(),
            expires: Deadline::from(None),
            extras: None,
        };
        (token, text)
    }
}
