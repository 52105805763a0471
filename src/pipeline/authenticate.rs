//! Whose a token is: verified or introspected, not revoked, with its consumer. May
//! wait for the issuer's keys, its word on a reference token, or a list of revoked
//! tokens.

use std::rc::Rc;

use super::{Halt, MAX_CALLOUTS};
use crate::denial::Denial;
use crate::event::Trace;
use crate::flights::{Purpose, Sender};
use crate::gateway::{Gateway, Outcome};
use crate::identity::Authenticated;
use crate::introspection::{IntrospectionAnswer, is_reference};
use crate::keys::KeySet;
use crate::metrics::{Cache, CacheUse};
use crate::refresh::KeySource;
use crate::secret::Secret;
use crate::session::Session;
use crate::time::UnixTime;
use crate::token::{ProviderId, Rejection, TokenError, Untrusted, check_form};

/// How many requests at once fetch the keys that another one is fetching
/// already: enough for those that come in the moment a worker starts, and no
/// burden for an issuer that is slow.
const MAX_FETCHES_AGAIN: usize = 100;

/// Earlier than any token this program can meet (2020-01-01): a clock that says
/// so is not set, and nothing can be decided by it.
const EARLIEST: UnixTime = UnixTime::from_secs(1_577_836_800);

impl Gateway {
    /// Whether a token that was verified before is revoked by now.
    pub(super) fn recheck(&self, session: &Session, now: UnixTime) -> Result<(), Denial> {
        let token = session.who().token();
        let checked = self.revocations.still_admits(token, session.clearance(), now);
        match checked {
            Ok(()) => session.clear_by(self.revocations.clearance()),
            // The session stays: it is cheaper to refuse than a token unknown.
            Err(_) => session.forget_identity(),
        }
        checked
    }

    /// Makes sure that it is known which tokens are revoked: at the start a
    /// request waits for that.
    pub(super) fn wait_for_lists(
        &mut self,
        learned: Option<&Outcome>,
        now: UnixTime,
    ) -> Result<(), Halt> {
        if let Some(store) = self.store.as_deref() {
            self.revocations.catch_up(store, now);
        }
        let Some(list) = self.revocations.incomplete(now) else { return Ok(()) };
        let purpose = Purpose::Tokens(list);
        let unavailable = Err(Denial::RevocationUnavailable.into());
        if matches!(learned, Some(Outcome::Tokens(asked)) if *asked == list) {
            return unavailable;
        }
        if self.host.resumes_others
            && let Some(flight) = self.flights.find(&purpose)
        {
            return Err(Halt::Join(flight));
        }
        if self.flights.count(&purpose) >= MAX_FETCHES_AGAIN {
            return unavailable;
        }
        match self.revocations.ask(list, now) {
            Some(callout) => {
                Err(Halt::Wait(self.flights.open(purpose, callout, None, Sender::Request, now)))
            }
            None => unavailable,
        }
    }

    /// The session of a token: the one known, or a new one for a token that is
    /// verified now.
    pub(super) fn authenticate(
        &mut self,
        text: &[u8],
        learned: Option<&Outcome>,
        trace: &mut Trace,
        now: UnixTime,
    ) -> Result<Rc<Session>, Halt> {
        if now < EARLIEST {
            return Err(Denial::IdentityUnavailable.into());
        }
        let known = self.sessions.get(text);
        if known.is_none() {
            check_form(text)?;
        }
        self.wait_for_lists(learned, now)?;
        if self.introspection.is_some() && is_reference(text) && !self.is_sealed(text) {
            return self.introspect(text, learned, trace, now);
        }
        if let Some(session) = known {
            let provider = session.who().token().provider();
            trace.provider = self.providers.get(provider).cloned();
            let keys = self.current_keys(provider, now);
            if session.holds(keys.as_ref(), now) {
                self.count(Cache::Token, CacheUse::Hit, learned);
                trace.knows(&session);
                self.recheck(&session, now)?;
                return Ok(session);
            }
            self.sessions.remove(text);
        }
        let opened = self.open(text)?;
        if self.introspection.is_some() && self.is_sealed(text) && is_reference(&opened) {
            return self.introspect(&opened, learned, trace, now);
        }
        self.count(Cache::Token, CacheUse::Miss, learned);
        let token = Untrusted::parse(&opened, self.limits.max_token_bytes)
            .map_err(Rejection::Unreadable)?;
        let (id, provider) = self.providers.issuer_of(&token)?;
        trace.provider = Some(Rc::clone(&provider));
        provider.check_header(&token)?;
        let Some(keys) = self.current_keys(id, now) else {
            return Err(self.wait_for_keys(id, Denial::KeysUnavailable, learned, now));
        };
        let verified = match provider.verify(id, token, &keys, &self.crypto, now) {
            Err(Rejection::KeyUnknown) => {
                let unknown = Denial::Token(Rejection::KeyUnknown);
                return Err(self.wait_for_keys(id, unknown, learned, now));
            }
            verified => verified?,
        };
        let unrevoked = self.revocations.admit(verified, now)?;
        let consumer = self.consumers.resolve(unrevoked.token())?;
        let (who, clearance) =
            (Authenticated::new(unrevoked, consumer), self.revocations.clearance());
        Ok(self.sessions.of_jwt(text, who, clearance, keys, now))
    }

    /// Counts a request's use of a cache once, though it may come here again.
    pub(super) fn count(&mut self, cache: Cache, used: CacheUse, learned: Option<&Outcome>) {
        if learned.is_none() {
            self.tally.cache(cache, used);
        }
    }

    /// The session of a reference token, by what its issuer says of it.
    pub(super) fn introspect(
        &mut self,
        text: &[u8],
        learned: Option<&Outcome>,
        trace: &mut Trace,
        now: UnixTime,
    ) -> Result<Rc<Session>, Halt> {
        let limit = self.limits.max_token_bytes;
        let Some(introspection) = &mut self.introspection else {
            return Err(Denial::IntrospectionUnavailable.into());
        };
        let id = introspection.provider;
        let provider = self.providers.get(id).cloned().ok_or(Denial::IntrospectionUnavailable)?;
        trace.provider = Some(Rc::clone(&provider));
        if text.len() > limit {
            return Err(Rejection::Unreadable(TokenError::TooLarge { limit }).into());
        }
        let decision = introspection.decision(text, now);
        if learned.is_none() {
            let is_hit = decision.is_some();
            let used = if is_hit { CacheUse::Hit } else { CacheUse::Miss };
            self.tally.cache(Cache::Introspection, used);
        }
        if let Some(decision) = decision {
            let session = decision?;
            trace.knows(&session);
            self.recheck(&session, now)?;
            return Ok(session);
        }
        if let Some(Outcome::Introspection(asked, answer)) = learned
            && **asked.expose() == *text
        {
            let claims = match answer {
                Some(IntrospectionAnswer::Active(claims)) => claims,
                Some(IntrospectionAnswer::Inactive) => return Err(Denial::TokenInactive.into()),
                None => return Err(Denial::IntrospectionUnavailable.into()),
            };
            let require_issuer = introspection.endpoint.require_issuer;
            let decision = provider
                .accept_introspected(id, claims, require_issuer, now)
                .map_err(Denial::Token)
                .and_then(|verified| {
                    let unrevoked = self.revocations.admit(verified, now)?;
                    let consumer = self.consumers.resolve(unrevoked.token())?;
                    let who = Authenticated::new(unrevoked, consumer);
                    let clearance = self.revocations.clearance();
                    Ok(self.sessions.of_reference(text, who, clearance, now))
                });
            introspection.keep(text, decision.clone(), now);
            return decision.map_err(Halt::from);
        }
        let purpose = Purpose::Introspection(Secret::new(text.into()));
        if self.host.resumes_others
            && let Some(flight) = self.flights.find(&purpose)
        {
            return Err(Halt::Join(flight));
        }
        if self.flights.len() >= MAX_CALLOUTS {
            return Err(Denial::IntrospectionUnavailable.into());
        }
        let callout = introspection.endpoint.callout(text);
        Err(Halt::Wait(self.flights.open(purpose, callout, None, Sender::Request, now)))
    }

    pub(super) fn current_keys(&self, provider: ProviderId, now: UnixTime) -> Option<Rc<KeySet>> {
        self.key_sources.get(provider.0)?.current(now).cloned()
    }

    /// Waits for a fetch that may bring the key that is missing; `otherwise` is
    /// the answer when no fetch is allowed or it brought nothing.
    pub(super) fn wait_for_keys(
        &mut self,
        provider: ProviderId,
        otherwise: Denial,
        learned: Option<&Outcome>,
        now: UnixTime,
    ) -> Halt {
        let purpose = Purpose::Keys(provider);
        let source = self.key_sources.get_mut(provider.0);
        let Some(remote) = source.and_then(KeySource::as_remote_mut) else {
            return otherwise.into();
        };
        // A service that fails is no fault of the token.
        let otherwise = if remote.is_failing() { Denial::KeysUnavailable } else { otherwise };
        if let Some(Outcome::Keys { provider: asked, settled: true }) = learned
            && *asked == provider
        {
            return otherwise.into();
        }
        match self.flights.find(&purpose) {
            Some(flight) if self.host.resumes_others => Halt::Join(flight),
            // Without any keys every request of a worker that has just started
            // would be sent away, so each makes the fetch for itself.
            Some(_) => match (remote.fetch_again(now), Purpose::KeysAgain(provider)) {
                (Some(callout), again) if self.flights.count(&again) < MAX_FETCHES_AGAIN => {
                    Halt::Wait(self.flights.open(again, callout, None, Sender::Request, now))
                }
                // Whether the key exists is being found out: that is no reason
                // to call the token bad.
                _ => Denial::KeysUnavailable.into(),
            },
            None if remote.is_lost() => Denial::KeysUnavailable.into(),
            None if remote.may_look_for_key(now) => {
                let callout = remote.fetch(true, now);
                Halt::Wait(self.flights.open(purpose, callout, None, Sender::Request, now))
            }
            None => otherwise.into(),
        }
    }
}
