//! A verified token, and its claims.

use std::rc::Rc;

use serde_json::Value;

use super::{Actor, Audience, Claims, Confirmation, ProviderId, Scopes, text_of};
use crate::time::UnixTime;

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
#[derive(Debug)]
pub struct Verified {
    pub(super) provider: ProviderId,
    pub(super) claims: Claims,
    pub(super) subject: Rc<str>,
    pub(super) client: Option<Box<str>>,
    pub(super) scopes: Scopes,
    pub(super) audience: Audience,
    pub(super) expires: Option<UnixTime>,
    pub(super) usable_until: Option<UnixTime>,
    pub(super) extras: Option<Box<Extras>>,
}

/// What few tokens have, in memory of its own: a gateway remembers many tokens.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    pub credential: Option<String>,
    pub unique_subject: Option<Rc<str>>,
    pub groups: Vec<String>,
    pub actor: Option<Actor>,
    pub confirmation: Confirmation,
}

impl Extras {
    /// `None` if there are none.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Verified {
    /// Its issuer.
    pub const fn provider(&self) -> ProviderId {
        self.provider
    }

    /// The key of the credential that made it, if its provider's tokens are recognized by
    /// credentials.
    pub fn credential(&self) -> Option<&str> {
        self.extras.as_ref()?.credential.as_deref()
    }

    /// Its claims, as far as they are trusted.
    pub const fn claims(&self) -> &Claims {
        &self.claims
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

    /// The same, to be kept elsewhere too.
    pub(crate) fn shared_subject(&self) -> &Rc<str> {
        let unique = self.extras.as_ref().and_then(|extras| extras.unique_subject.as_ref());
        unique.unwrap_or(&self.subject)
    }

    /// The client that holds it, by the first of `consumers.client_id_claims`.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Its holder's groups, by `consumers.groups_claims`.
    pub fn groups(&self) -> &[String] {
        self.extras.as_ref().map_or(&[], |extras| &extras.groups)
    }

    /// The scopes, see [`Claims::scopes`].
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// `aud`, as in the token.
    pub const fn audience(&self) -> &Audience {
        &self.audience
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
    pub const fn expires(&self) -> Option<UnixTime> {
        self.expires
    }

    /// Its `exp`, if that has passed, regardless of clock skew: an identity minted for it
    /// would be expired. In whole seconds, like the minted `exp`.
    pub fn ended(&self, now: UnixTime) -> Option<UnixTime> {
        self.expires.filter(|exp| exp.as_secs() <= now.as_secs())
    }

    /// Its claims by which revocations select it, for a token that is derived from it:
    /// what revokes this token must revoke that one too. Without those that equal its
    /// subject or client, which any such token has.
    pub fn revoked_by(&self) -> Vec<(&'static str, Value)> {
        let claims = self.claims.document();
        let is_known = |name: &str| match name {
            "sub" => text_of(&claims, name) == Some(self.subject()),
            "azp" | "client_id" => text_of(&claims, name) == self.client(),
            _ => false,
        };
        let of_name = |name| Some((name, claims.get(name)?.to_value()));
        REVOKED_BY.into_iter().filter(|name| !is_known(name)).filter_map(of_name).collect()
    }

    /// Until when it is accepted, clock skew included.
    pub const fn usable_until(&self) -> Option<UnixTime> {
        self.usable_until
    }

    /// Whether it is still accepted `now`, clock skew included.
    pub fn is_current(&self, now: UnixTime) -> bool {
        self.usable_until.is_none_or(|end| now < end)
    }
}
