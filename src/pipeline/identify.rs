//! Builds the identity for services: enriches the token with user info, checks the rule's
//! requirements, mints. May wait for the user service.

use std::borrow::Cow;
use std::rc::Rc;

use super::Pipeline;
use super::attempt::{Attempt, Current};
use super::decide::Halt;
use crate::callout::CalloutReply;
use crate::denial::Denial;
use crate::event::{Event, Stage};
use crate::identity::{
    Authenticated, Enrichment, Identity, MintError, MintOrder, MintSource, Minter, Profile,
    RequestContext,
};
use crate::in_flight::{Outcome, Purpose};
use crate::json::Document;
use crate::metrics::{Cache, CacheUse};
use crate::overrides::TemplateKey;
use crate::rules::{Applicable, Requirements};
use crate::session::Session;
use crate::time::{Period, UnixTime};
use crate::token::{ClaimPath, Rejection, Scopes, Verified};
use crate::user_info::{
    Cached, FailureMode, SharedAnswer, Times, UserInfo, UserInfoAnswer, UserKey,
};

impl Pipeline {
    /// The identity of a session: the cached one, or a new one. The rule's requirements are
    /// checked each time, whatever is cached.
    pub(super) fn identify(
        &mut self,
        attempt: &mut Attempt<'_>,
        session: &Session,
        token: &[u8],
        applicable: &Applicable<'_>,
        template: &TemplateKey,
    ) -> Result<Rc<Identity>, Halt> {
        let now = attempt.now;
        for requirements in applicable.all() {
            if session.replaced().is_some() {
                self.check_absent(attempt, requirements)?;
            }
            self.authorize_token(attempt, session, token, requirements)?;
        }
        if let Some(identity) = session.identity(template, now) {
            // One without user info is cached only where none is configured.
            for requirements in applicable.all() {
                if let Some(info) = identity.user_info() {
                    self.authorize_info(attempt, info, requirements)?;
                }
            }
            attempt.trace.stage = Stage::Mint;
            return Ok(identity);
        }
        self.new_identity(attempt, session, token, applicable, template)
    }

    /// A new identity of a session.
    #[inline(never)]
    fn new_identity(
        &mut self,
        attempt: &mut Attempt<'_>,
        session: &Session,
        token: &[u8],
        applicable: &Applicable<'_>,
        template: &TemplateKey,
    ) -> Result<Rc<Identity>, Halt> {
        let (now, principal) = (attempt.now, session.principal());
        // No callout if nothing can be minted for the user anyway.
        if let Some(exp) = principal.token().ended(now) {
            attempt.trace.stage = Stage::Mint;
            return Err(Rejection::Expired { exp, now }.into());
        }
        // Nor if its token lacks the scopes.
        scopes(&self.minter, principal, template)?;
        let claims = session.presented(token).claims().ok_or(Denial::IdentityUnavailable)?;
        let enrichment = match session.replaced() {
            Some(replaced) => self.enrichment_of(replaced),
            None => self.enrich(attempt, principal.token(), &claims, token)?,
        };
        for requirements in applicable.all() {
            self.authorize_user(attempt, &enrichment, requirements)?;
        }
        attempt.trace.stage = Stage::Mint;
        let source = self.mint_source(session, attempt.current());
        let scopes = scopes(&self.minter, principal, template)?;
        let order = MintOrder { template, claims: &claims, scopes, source };
        match self.minter.mint(&self.crypto, principal, enrichment, order, now) {
            Ok(identity) => {
                self.counters.minted();
                let identity = Rc::new(identity);
                if identity.is_reusable(now) {
                    session.keep(Rc::clone(&identity));
                }
                Ok(identity)
            }
            Err(MintError::Ended(exp)) => Err(Rejection::Expired { exp, now }.into()),
            Err(MintError::Unprintable(claim)) => Err(Rejection::ClaimMismatch(claim).into()),
            Err(error) => {
                self.log.push(Event::NotMinted(error));
                Err(Denial::IdentityUnavailable.into())
            }
        }
    }

    /// What the identity is minted for.
    fn mint_source<'a>(&mut self, session: &'a Session, current: Current<'_>) -> MintSource<'a> {
        match session.replaced() {
            Some(replaced) => MintSource::Replaced(replaced),
            None => MintSource::Public {
                context: self.request_context(current),
                nonce: self.nonce(current.now),
                is_introspected: session.is_reference(),
            },
        }
    }

    /// The request context, if identity tokens include it.
    fn request_context(&self, Current { request, head, .. }: Current<'_>) -> RequestContext {
        match self.minter.profile {
            Profile::Identity => RequestContext::default(),
            Profile::Transaction { .. } => {
                let address = self.client_address(request);
                RequestContext::of(head, address, self.request_id(request, head))
            }
        }
    }

    pub(super) fn decided_by_user_info(&self, claim: &ClaimPath) -> bool {
        self.user_info.as_ref().is_some_and(|source| source.names.decide(claim))
    }

    pub(super) fn authorize_token(
        &self,
        attempt: &mut Attempt<'_>,
        session: &Session,
        text: &[u8],
        requirements: &Requirements,
    ) -> Result<(), Denial> {
        attempt.trace.stage = Stage::Authorize;
        let principal = session.principal();
        let from_user_info = |claim: &ClaimPath| self.decided_by_user_info(claim);
        requirements.check_token(
            session.presented(text),
            principal.consumer().map(Rc::as_ref),
            &principal.groups(),
            from_user_info,
        )
    }

    pub(super) fn authorize_user(
        &self,
        attempt: &mut Attempt<'_>,
        enrichment: &Enrichment,
        requirements: &Requirements,
    ) -> Result<(), Denial> {
        let from_user_info = |claim: &ClaimPath| self.decided_by_user_info(claim);
        match enrichment {
            Enrichment::NotConfigured => Ok(()),
            Enrichment::Known(info, _) => self.authorize_info(attempt, info, requirements),
            // Unknown is not the same as not allowed.
            Enrichment::None if requirements.depends_on_user_info(from_user_info) => {
                Err(Denial::UserInfoUnavailable)
            }
            Enrichment::None => Ok(()),
        }
    }

    fn authorize_info(
        &self,
        attempt: &mut Attempt<'_>,
        info: &UserInfo,
        requirements: &Requirements,
    ) -> Result<(), Denial> {
        attempt.trace.stage = Stage::AuthorizeUser;
        requirements.check_claims(info.claims(), |claim| self.decided_by_user_info(claim))
    }

    /// The user info, from the cache or from a callout.
    pub(super) fn enrich(
        &mut self,
        attempt: &mut Attempt<'_>,
        token: &Verified,
        claims: &Document,
        text: &[u8],
    ) -> Result<Enrichment, Halt> {
        let now = attempt.now;
        let Some(source) = &self.user_info else { return Ok(Enrichment::NotConfigured) };
        attempt.trace.stage = Stage::UserInfo;
        // The token needs to be unsealed only where it is sent along.
        let text = if source.forward_token { self.open(text)? } else { Cow::Borrowed(text) };
        let key = source.key(token, claims, &text)?;
        let mode = source.failure_mode;
        let purpose = Purpose::UserInfo(key.clone());
        if let Some(Outcome::UserInfo(_, answer)) = attempt.outcome_for(&purpose) {
            return match answer {
                Some((UserInfoAnswer::Known(info, _), end)) => {
                    Ok(Enrichment::Known(Rc::clone(info), *end))
                }
                Some((UserInfoAnswer::Unknown(_), _)) => Err(Denial::UserUnknown.into()),
                None => self.without_answer(&key, mode, now).map_err(Halt::from),
            };
        }
        let end = token.expires();
        let mut cached = self.user_infos.get(&key, now);
        if matches!(cached, Cached::Miss) && self.adopt_user_info(&key, end, now) {
            cached = self.user_infos.get(&key, now);
        }
        let Some(source) = &self.user_info else { return Ok(Enrichment::NotConfigured) };
        let is_hit = matches!(cached, Cached::Fresh(..) | Cached::Unknown);
        let used = if is_hit { CacheUse::Hit } else { CacheUse::Miss };
        attempt.count(&mut self.counters, Cache::UserInfo, used);
        match cached {
            Cached::Fresh(info, end) => return Ok(Enrichment::Known(info, end)),
            Cached::Unknown => return Err(Denial::UserUnknown.into()),
            Cached::Unanswered => {
                return self.without_answer(&key, mode, now).map_err(Halt::from);
            }
            Cached::Miss => {}
        }
        let make = || Some(source.callout(&key));
        let requested = self.callouts.request(purpose, &attempt.memory, end, now, make);
        Err(Halt::wait_or(requested, Denial::UserInfoUnavailable))
    }

    /// Adopts an answer about a user that another gateway of the configuration received,
    /// as of its arrival and of the token under which it was requested. False if none is
    /// current.
    fn adopt_user_info(
        &mut self,
        key: &UserKey,
        token_end: Option<UnixTime>,
        now: UnixTime,
    ) -> bool {
        let (Some(source), Some(store)) = (&self.user_info, &self.user_info_store) else {
            return false;
        };
        let told = SharedAnswer::to(&source.callout(key)).read(store.as_ref());
        let Some((answer, Times { came, token_end: first_end })) = told else { return false };
        let token_end = token_end.into_iter().chain(first_end).min();
        let Ok(answer) = self.read_user_info(source, &CalloutReply::Answer(answer), key, now)
        else {
            return false;
        };
        // Not from the future: the clock may have been set back since.
        let current = Period::new(came, source.current_until(&answer, token_end, came));
        if !current.contains(now) {
            return false;
        }
        self.user_infos.insert(key.clone(), &answer, source, token_end, came);
        true
    }

    /// Continues a request after its user service failed: with stale user info, or
    /// according to the failure mode.
    fn without_answer(
        &mut self,
        key: &UserKey,
        mode: FailureMode,
        now: UnixTime,
    ) -> Result<Enrichment, Denial> {
        match (self.user_infos.stale(key, now), mode) {
            (Some((info, end)), _) => {
                self.counters.cache(Cache::UserInfo, CacheUse::Stale);
                Ok(Enrichment::Known(info, end))
            }
            (None, FailureMode::Degrade) => Ok(Enrichment::None),
            (None, FailureMode::Deny) => Err(Denial::UserInfoUnavailable),
        }
    }
}

/// The scopes of the identity for a service; see [`Minter::scopes`].
fn scopes<'a>(
    minter: &'a Minter,
    principal: &'a Authenticated,
    template: &'a TemplateKey,
) -> Result<Cow<'a, Scopes>, Denial> {
    minter.scopes(principal, template).ok_or_else(|| {
        let needed = template.scopes(&minter.defaults).unwrap_or_default().to_vec();
        Denial::InsufficientScope { needed, held: principal.token().scopes().to_vec() }
    })
}
