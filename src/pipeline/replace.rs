//! Replaces transaction tokens that internal services present for their own calls within
//! the same transaction.

use std::net::IpAddr;
use std::rc::Rc;

use super::Pipeline;
use super::attempt::Attempt;
use super::decide::{Halt, Presented};
use crate::consumer::Selected;
use crate::denial::Denial;
use crate::event::Stage;
use crate::host::RequestId;
use crate::http::TXN_TOKEN;
use crate::identity::{Authenticated, Enrichment, Replaced, is_reserved};
use crate::rules::Requirements;
use crate::session::Session;
use crate::token::{ClaimTest, Rejection, Untrusted};

impl Pipeline {
    /// The credential of a request, if any. One of each kind is too many: they may
    /// contradict each other.
    pub(super) fn presented<'a>(
        &self,
        attempt: &Attempt<'a>,
    ) -> Result<Option<Presented<'a>>, Denial> {
        match (self.transaction_token_of(attempt)?, self.token_of(attempt)?) {
            (Some(_), Some(_)) => Err(Denial::TokenMultiple),
            (Some(token), None) => Ok(Some(Presented::Transaction(token))),
            (None, token) => Ok(token.map(Presented::Public)),
        }
    }

    /// A transaction token from one of `identity_token.replace.from`. From any other
    /// address it is ignored.
    fn transaction_token_of<'a>(&self, attempt: &Attempt<'a>) -> Result<Option<&'a [u8]>, Denial> {
        if self.minter.replace.is_empty() {
            return Ok(None);
        }
        let mut tokens = attempt.head.values(TXN_TOKEN);
        let Some(token) = tokens.next() else { return Ok(None) };
        match (self.comes_from_inside(attempt.request), tokens.next()) {
            (false, _) => Ok(None),
            (true, None) => Ok(Some(token.trim_ascii())),
            (true, Some(_)) => Err(Denial::TokenMultiple),
        }
    }

    /// Whether a request is from one of `identity_token.replace.from`: both its connection
    /// and the client that headers name. Anybody can name a client, and a load balancer
    /// inside passes on what comes from outside.
    fn comes_from_inside(&self, request: RequestId) -> bool {
        let is_inside = |from: Option<IpAddr>| {
            from.is_some_and(|from| self.minter.replace.iter().any(|own| own.contains(from)))
        };
        is_inside(self.peer_address(request)) && is_inside(self.client_address(request))
    }

    /// The session of a transaction token, for this one request.
    pub(super) fn authenticate_transaction(
        &mut self,
        attempt: &mut Attempt<'_>,
        text: &[u8],
    ) -> Result<Rc<Session>, Halt> {
        attempt.trace.stage = Stage::Verify;
        let now = attempt.now;
        Self::check_clock(now)?;
        self.wait_for_lists(attempt)?;
        let token =
            Untrusted::parse(text, self.limits.max_token_bytes).map_err(Rejection::Unreadable)?;
        attempt.trace.token = Some(token.content());
        let (verified, replaced) =
            self.minter.verify_replaceable(token, &self.providers, &self.crypto, now)?;
        let provider = verified.provider();
        attempt.trace.provider = self.providers.get(provider).cloned();
        attempt.trace.resource.as_ref().map_or(Ok(()), |it| it.check_provider(provider))?;
        attempt.trace.stage = Stage::Revocation;
        let unrevoked = self.revocations.admit(verified, now)?;
        attempt.trace.stage = Stage::Consumer;
        let consumer = self.consumers.named(replaced.consumer().as_ref(), provider)?;
        let selected = Selected { consumer, of_host: None };
        let principal = Authenticated::new(unrevoked, selected);
        let session =
            self.sessions.of_transaction(principal, self.revocations.epoch(), replaced, now);
        attempt.trace.authenticated(&session);
        Ok(session)
    }

    /// The user info carried by a transaction token.
    pub(super) fn enrichment_of(&self, replaced: &Replaced) -> Enrichment {
        match self.user_info {
            Some(_) => replaced.enrichment(&self.minter),
            None => Enrichment::NotConfigured,
        }
    }

    /// Refuses a transaction token where a rule requires a claim to be absent: the claim
    /// may have been dropped when the token was minted.
    pub(super) fn check_absent(
        &self,
        attempt: &mut Attempt<'_>,
        requirements: &Requirements,
    ) -> Result<(), Denial> {
        attempt.trace.stage = Stage::Authorize;
        let is_unsure = requirements.claims.iter().find(|rule| {
            matches!(rule.test, ClaimTest::Absent) && !rule.path.starts_at(is_reserved)
        });
        match is_unsure {
            Some(rule) => Err(Denial::ClaimForbidden(rule.path.to_string())),
            None => Ok(()),
        }
    }
}
