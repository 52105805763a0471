//! A rule's requirements for token and consumer.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::Anonymous;
use crate::binding::Mismatch;
use crate::consumer::Consumer;
use crate::denial::Denial;
use crate::json::Json;
use crate::token::{
    ActorRule, ClaimPath, ClaimRule, ClaimTest, PresentedToken, ProviderId, Scopes,
};

/// A rule's requirements for token and consumer. An empty list requires nothing.
#[derive(Debug, Default)]
pub struct Requirements {
    /// Accepted values of the token's `aud`, in addition to the check for its provider or
    /// the resource.
    pub audiences: Vec<String>,
    /// Accepted providers of the token.
    pub providers: Vec<ProviderId>,
    /// Scopes that the token must have, all of them.
    pub scopes_all: Vec<String>,
    /// Scopes of which the token must have at least one.
    pub scopes_any: Vec<String>,
    /// Names of the accepted consumers.
    pub consumers: Vec<String>,
    /// Groups of which the consumer must be in at least one.
    pub groups_any: Vec<String>,
    /// Groups that the consumer must not be in.
    pub groups_none: Vec<String>,
    /// Whether the token must be bound to a key of its client, with proof of possession.
    pub bound: bool,
    /// The condition on actors for the subject.
    pub actor: ActorRule,
    /// Conditions on claims; all must hold.
    pub claims: Vec<ClaimRule>,
    /// The identity of requests without a token; `None` if they are denied. If a token is
    /// sent, it must still be valid.
    pub anonymous: Option<Rc<Anonymous>>,
    /// Whether an unusable token counts as missing; with `anonymous`.
    pub invalid_as_missing: bool,
}

impl Requirements {
    /// The anonymous identity with which a request passes despite this `denial`, if it is
    /// one for an unusable token.
    pub fn anonymous_despite(&self, denial: &Denial) -> Option<&Anonymous> {
        self.anonymous.as_deref().filter(|_| self.invalid_as_missing && denial.is_of_token())
    }

    /// True if every valid token could pass. Negative conditions do not count: they exclude
    /// some tokens and admit all others.
    pub fn admits_any_token(&self) -> bool {
        self.audiences.is_empty()
            && self.providers.is_empty()
            && self.scopes_all.is_empty()
            && self.scopes_any.is_empty()
            && self.consumers.is_empty()
            && self.groups_any.is_empty()
            && !self.actor.names_actors()
            && self.claims.iter().all(|rule| matches!(rule.test, ClaimTest::Absent))
    }

    /// Checks the requirements that need only token and consumer, before any callout.
    /// Claims in `from_user_info` are left to [`Requirements::check_claims`].
    pub fn check_token(
        &self,
        presented: PresentedToken<'_>,
        consumer: Option<&Consumer>,
        groups: &[&str],
        from_user_info: impl Fn(&ClaimPath) -> bool,
    ) -> Result<(), Denial> {
        let token = presented.token();
        if !self.providers.is_empty() && !self.providers.contains(&token.provider()) {
            return Err(Denial::ProviderForbidden);
        }
        if self.bound && token.confirmation().is_empty() {
            return Err(Denial::BindingMismatch(Mismatch::Unbound));
        }
        if !self.audiences.is_empty() {
            token.audience().check(&self.audiences).map_err(Denial::Token)?;
        }
        let has = |scope: &String| token.scopes().contains(scope);
        let has_any = self.scopes_any.is_empty() || self.scopes_any.iter().any(has);
        if !has_any || !self.scopes_all.iter().all(has) {
            let needed = self.scopes_needed(token.scopes());
            return Err(Denial::InsufficientScope { needed, held: token.scopes().to_vec() });
        }
        if !self.actor.accepts(token.actor()) {
            return Err(Denial::ClaimForbidden("act".into()));
        }
        self.check_consumer(consumer, groups)?;
        let mut by_token = self.claims.iter().filter(|rule| !from_user_info(&rule.path)).peekable();
        let Some(first) = by_token.peek() else { return Ok(()) };
        let Some(claims) = presented.claims() else {
            return Err(Denial::ClaimForbidden(first.path.to_string()));
        };
        check_all(by_token, |rule| rule.path.find(&claims))
    }

    /// All scopes that a token needs, for a client to request at once. Alternatives are
    /// left out if one of them is among `held`.
    pub fn scopes_needed(&self, held: &Scopes) -> Vec<String> {
        let has_any = self.scopes_any.iter().any(|scope| held.contains(scope));
        let any = self.scopes_any.iter().filter(|_| !has_any);
        let any = any.filter(|scope| !self.scopes_all.contains(scope));
        self.scopes_all.iter().chain(any).cloned().collect()
    }

    /// `groups`: the consumer's, and those in its token.
    fn check_consumer(&self, consumer: Option<&Consumer>, groups: &[&str]) -> Result<(), Denial> {
        let is_named = consumer
            .is_some_and(|consumer| self.consumers.iter().any(|own| own == consumer.name()));
        let is_in = |group: &String| groups.contains(&group.as_str());
        let is_allowed = (self.consumers.is_empty() || is_named)
            && (self.groups_any.is_empty() || self.groups_any.iter().any(is_in))
            && !self.groups_none.iter().any(is_in);
        if is_allowed { Ok(()) } else { Err(Denial::GroupForbidden) }
    }

    /// Checks the claims that come from user info.
    pub fn check_claims(
        &self,
        user_claims: &Map<String, Value>,
        from_user_info: impl Fn(&ClaimPath) -> bool,
    ) -> Result<(), Denial> {
        let by_user = self.claims.iter().filter(|rule| from_user_info(&rule.path));
        check_all(by_user, |rule| rule.path.find(user_claims))
    }

    /// True if a requirement is about a claim from user info, even about its absence.
    pub fn depends_on_user_info(&self, from_user_info: impl Fn(&ClaimPath) -> bool) -> bool {
        self.claims.iter().any(|rule| from_user_info(&rule.path))
    }
}

fn check_all<'a, 'v>(
    mut rules: impl Iterator<Item = &'a ClaimRule>,
    find: impl Fn(&ClaimRule) -> Option<Json<'v>>,
) -> Result<(), Denial> {
    match rules.find(|rule| !rule.accepts(find(rule))) {
        Some(failed) => Err(Denial::ClaimForbidden(failed.path.to_string())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Verified;

    /// Otherwise a claim that must be absent would be.
    #[test]
    fn claims_that_cannot_be_read_meet_no_condition() {
        let path = ClaimPath::parse("tenant").unwrap();
        let absent = ClaimRule { path, test: ClaimTest::Absent };
        let rule = Requirements { claims: vec![absent], ..Requirements::default() };
        let (token, text) = Verified::with_claims_in_its_text();
        let check = |token| rule.check_token(token, None, &[], |_| false);
        assert_eq!(check(token.presented(text)), Ok(()));
        let forbidden = Err(Denial::ClaimForbidden("tenant".into()));
        assert_eq!(check(token.alone()), forbidden);
        assert_eq!(check(token.presented(b"another")), forbidden);
    }
}
