//! Authenticates the token: verify or introspect, check revocation, resolve the
//! consumer. May wait for the issuer's keys, for introspection of a reference token, or
//! for a revocation list.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::Pipeline;
use super::attempt::Attempt;
use super::decide::Halt;
use crate::bearer::check_form;
use crate::consumer::HostConsumer;
use crate::denial::Denial;
use crate::event::Stage;
use crate::identity::Authenticated;
use crate::in_flight::{Outcome, Purpose, Requested, TooManyCallouts};
use crate::introspection::{IntrospectionAnswer, RefusedFor, completed, is_reference};
use crate::keys::KeySet;
use crate::metrics::{Cache, CacheUse};
use crate::refresh::{KeySource, KeySourceId, Lookup, NoFetch, Wanted};
use crate::resource::accepted_audiences;
use crate::secret::Secret;
use crate::session::{Session, VerifiedText};
use crate::time::UnixTime;
use crate::token::{PresentedToken, Rejection, TokenError, Untrusted, numeric_date};

/// Earlier than any token this program can meet (2020-01-01): a clock before that is not
/// set, and nothing can be decided by it.
const EARLIEST: UnixTime = UnixTime::from_secs(1_577_836_800);

impl Pipeline {
    /// The request's token, if it has one. Of several cookies, those with expired tokens
    /// do not count.
    pub(super) fn token_of<'a>(
        &self,
        attempt: &Attempt<'a>,
    ) -> Result<Option<Cow<'a, [u8]>>, Denial> {
        let now = attempt.now;
        self.sources.find(attempt.head, attempt.trace.resource.is_some(), &|token| {
            self.has_ended(token, now)
        })
    }

    /// True if the unverified claims of a token say that it has expired. They may be
    /// forged, so use this only to prefer another token.
    fn has_ended(&self, token: &[u8], now: UnixTime) -> bool {
        let Ok(opened) = self.open(token) else { return false };
        let Ok(parsed) = Untrusted::parse(&opened, self.limits.max_token_bytes) else {
            return false;
        };
        let end = numeric_date(parsed.unverified_claims(), "exp");
        matches!(end, Ok(Some(end)) if end <= now)
    }

    /// The session of a cached token, unless it has been revoked since.
    fn reuse(
        &self,
        attempt: &mut Attempt<'_>,
        session: Rc<Session>,
        text: &[u8],
    ) -> Result<Rc<Session>, Halt> {
        attempt.trace.stage = Stage::Revocation;
        match self.recheck(&session, session.presented(text), attempt.now) {
            Ok(()) => Ok(session),
            Err(denial) => {
                attempt.trace.authenticated(&session);
                Err(denial.into())
            }
        }
    }

    /// Checks again whether a cached token is revoked.
    pub(super) fn recheck(
        &self,
        session: &Session,
        token: PresentedToken<'_>,
        now: UnixTime,
    ) -> Result<(), Denial> {
        let checked = self.revocations.still_admits(token, session.epoch(), now);
        match checked {
            Ok(()) => session.set_epoch(self.revocations.epoch()),
            // The session stays cached: refusing it again is cheaper than verifying the
            // token anew.
            Err(_) => session.forget_identities(),
        }
        checked
    }

    /// Denies while the clock is not set: nothing can be decided without the time.
    pub(super) fn check_clock(now: UnixTime) -> Result<(), Denial> {
        if now < EARLIEST { Err(Denial::ClockNotSet) } else { Ok(()) }
    }

    /// Waits for the revocation lists at startup: until they are loaded, it is not known
    /// which tokens are revoked.
    pub(super) fn wait_for_lists(&mut self, attempt: &mut Attempt<'_>) -> Result<(), Halt> {
        let now = attempt.now;
        if let Some(store) = self.store.as_deref() {
            self.revocations.catch_up(store, now);
        }
        let Some(list) = self.revocations.incomplete(now) else { return Ok(()) };
        attempt.trace.stage = Stage::Revocation;
        let purpose = Purpose::Tokens(list, self.revocations.cursor(list));
        let make = || self.revocations.poll_now(list, now);
        let requested = self.callouts.request(purpose, &attempt.memory, None, now, make);
        Err(Halt::wait_or(requested, Denial::RevocationUnavailable))
    }

    /// The session of the token, which must be valid for the requested resource.
    pub(super) fn authenticate(
        &mut self,
        attempt: &mut Attempt<'_>,
        text: &[u8],
    ) -> Result<Rc<Session>, Halt> {
        let session = self.session_of(attempt, text)?;
        attempt.trace.authenticated(&session);
        attempt.trace.stage = Stage::Verify;
        // A cached token may have been verified for another resource, or for none.
        if !self.resources.is_empty() {
            let token = session.principal().token();
            let provider = self.providers.get(token.provider());
            match (&attempt.trace.resource, provider.and_then(|own| own.audiences.as_ref())) {
                (Some(resource), _) => resource.check(token)?,
                (None, Some(accepted)) => token.audience().check(accepted)?,
                (None, None) => {}
            }
        }
        self.check_binding(attempt, &session, text)?;
        match session.principal().of_host().cloned() {
            Some(wanted) => self.look_up_host_consumer(attempt, text, session, &wanted),
            None => Ok(session),
        }
    }

    /// The session, with the consumer that the host currently has for its token.
    #[inline(never)]
    fn look_up_host_consumer(
        &mut self,
        attempt: &mut Attempt<'_>,
        text: &[u8],
        session: Rc<Session>,
        wanted: &HostConsumer,
    ) -> Result<Rc<Session>, Halt> {
        attempt.trace.stage = Stage::Consumer;
        let purpose = Purpose::Consumer(wanted.clone());
        let Some(Outcome::Consumer(_, found)) = attempt.outcome_for(&purpose) else {
            let (make, now) = (|| Some(wanted.callout()), attempt.now);
            let requested = self.callouts.request(purpose, &attempt.memory, None, now, make);
            return Err(Halt::wait_or(requested, Denial::ConsumerUnavailable));
        };
        let found = found.clone().map_err(|_| Denial::ConsumerUnavailable)?;
        let consumer = self.consumers.admit(found)?;
        if session.principal().consumer() == consumer.as_ref() {
            return Ok(session);
        }
        // An introspected token is cached as it was introspected.
        let text = if session.is_reference() { self.open(text)? } else { Cow::Borrowed(text) };
        let session = self.sessions.change_consumer(&text, &session, consumer, attempt.now);
        attempt.trace.authenticated(&session);
        Ok(session)
    }

    /// The session of a token: the cached one, or a new one after verifying the token.
    fn session_of(&mut self, attempt: &mut Attempt<'_>, text: &[u8]) -> Result<Rc<Session>, Halt> {
        attempt.trace.stage = Stage::Verify;
        let now = attempt.now;
        Self::check_clock(now)?;
        let known = self.sessions.get(text);
        if known.is_none() {
            check_form(text)?;
        }
        self.wait_for_lists(attempt)?;
        if self.introspection.is_some() && is_reference(text) && !self.is_sealed(text) {
            return self.introspect(attempt, text, None);
        }
        if let Some(session) = known {
            let provider = session.principal().token().provider();
            attempt.trace.provider = self.providers.get(provider).cloned();
            let keys = self.current_keys(provider.into(), now);
            if session.is_still_valid(keys.as_ref(), now) {
                attempt.count(&mut self.counters, Cache::Token, CacheUse::Hit);
                return self.reuse(attempt, session, text);
            }
            self.sessions.remove(text);
        }
        self.verify(attempt, text)
    }

    /// The session of a token that is not cached.
    // Not a part of the path of a cached one, like all that only some requests need.
    #[inline(never)]
    fn verify(&mut self, attempt: &mut Attempt<'_>, text: &[u8]) -> Result<Rc<Session>, Halt> {
        let now = attempt.now;
        let opened = self.open(text)?;
        if self.introspection.is_some() && self.is_sealed(text) && is_reference(&opened) {
            return self.introspect(attempt, &opened, None);
        }
        if let Some(session) = self.introspect_jwt(attempt, &opened)? {
            return Ok(session);
        }
        attempt.count(&mut self.counters, Cache::Token, CacheUse::Miss);
        let token = self.known_headers.parse(&opened, self.limits.max_token_bytes);
        let token = token.map_err(Rejection::Unreadable)?;
        let content = token.content();
        attempt.trace.token = Some(content.clone());
        let (id, provider) = self.providers.issuer_of(&token)?;
        attempt.trace.provider = Some(Rc::clone(&provider));
        let resource = attempt.trace.resource.clone();
        resource.as_ref().map_or(Ok(()), |it| it.check_provider(id))?;
        provider.check_header(&token)?;
        let Some(keys) = self.current_keys(id.into(), now) else {
            return Err(self.wait_for_keys(attempt, id.into()));
        };
        let audiences = accepted_audiences(resource.as_deref(), &provider);
        let verified = provider.verify(id, token, audiences, &keys, &self.crypto, now).map_err(
            |rejection| self.wait_for_key(attempt, id.into(), content.key_id(), rejection),
        )?;
        self.known_headers.keep(&opened, &content);
        attempt.trace.stage = Stage::Revocation;
        let unrevoked = self.revocations.admit(verified, now)?;
        attempt.trace.stage = Stage::Consumer;
        let consumer = self.consumers.resolve(unrevoked.token().alone())?;
        let (principal, epoch) =
            (Authenticated::new(unrevoked, consumer), self.revocations.epoch());
        let token = VerifiedText { text, is_sealed: self.is_sealed(text) };
        Ok(self.sessions.of_jwt(token, principal, epoch, keys, now))
    }

    /// The session of a JWT whose issuer is queried about JWTs too; `None` if it is not.
    /// If the issuer's keys are known, only tokens signed with them are introspected. If
    /// not, all tokens are that do not name another issuer.
    fn introspect_jwt(
        &mut self,
        attempt: &mut Attempt<'_>,
        text: &[u8],
    ) -> Result<Option<Rc<Session>>, Halt> {
        let introspection = self.introspection.as_ref().filter(|it| it.endpoint.jwts);
        let Some(id) = introspection.map(|introspection| introspection.provider) else {
            return Ok(None);
        };
        let (now, limit) = (attempt.now, self.limits.max_token_bytes);
        if self.sessions.reference(text, now).is_some() {
            return self.introspect(attempt, text, None).map(Some);
        }
        let Some(provider) = self.providers.get(id).cloned() else { return Ok(None) };
        let has_keys = self.key_sources.get(id.into()).is_some_and(KeySource::may_have_keys);
        let token = match Untrusted::parse(text, limit) {
            Ok(token) => token,
            Err(TokenError::Malformed(_)) if !has_keys => {
                return self.introspect(attempt, text, None).map(Some);
            }
            Err(error) => return Err(Rejection::Unreadable(error).into()),
        };
        let is_unnamed = !has_keys && !token.unverified_claims().contains_key("iss");
        if !is_unnamed && !provider.claims_to_issue(&token) {
            return Ok(None);
        }
        attempt.trace.provider = Some(Rc::clone(&provider));
        provider.check_type(&token)?;
        if !has_keys {
            return self.introspect(attempt, text, None).map(Some);
        }
        let Some(keys) = self.current_keys(id.into(), now) else {
            return Err(self.wait_for_keys(attempt, id.into()));
        };
        provider.verify_before_introspection(&token, &keys, &self.crypto, now).map_err(
            |rejection| self.wait_for_key(attempt, id.into(), token.key_id(), rejection),
        )?;
        let claims = token.into_claims().members().to_map();
        self.introspect(attempt, text, Some(claims)).map(Some)
    }

    /// The session of a token from its introspection response, which takes precedence
    /// over the `signed` claims of the token itself.
    #[inline(never)]
    pub(super) fn introspect(
        &mut self,
        attempt: &mut Attempt<'_>,
        text: &[u8],
        signed: Option<Map<String, Value>>,
    ) -> Result<Rc<Session>, Halt> {
        let now = attempt.now;
        let limit = self.limits.max_token_bytes;
        let unavailable = Denial::IntrospectionUnavailable;
        let Some(introspection) = &mut self.introspection else { return Err(unavailable.into()) };
        let id = introspection.provider;
        let provider = self.providers.get(id).cloned().ok_or_else(|| unavailable.clone())?;
        attempt.trace.provider = Some(Rc::clone(&provider));
        if text.len() > limit {
            return Err(Rejection::Unreadable(TokenError::TooLarge { limit }).into());
        }
        let known = self.sessions.reference(text, now).map(Ok);
        let resource = attempt.trace.resource.clone();
        let refused_for = resource.as_ref().map_or("", |it| &*it.name);
        let known = known.or_else(|| introspection.refusal(text, refused_for, now).map(Err));
        let used = if known.is_some() { CacheUse::Hit } else { CacheUse::Miss };
        attempt.count(&mut self.counters, Cache::Introspection, used);
        if let Some(known) = known {
            return self.reuse(attempt, known?, text);
        }
        let purpose = Purpose::Introspection(Secret::new(text.into()));
        let Some(Outcome::Introspection(_, answer, at)) = attempt.outcome_for(&purpose) else {
            let make = || Some(introspection.endpoint.callout(text));
            let requested = self.callouts.request(purpose, &attempt.memory, None, now, make);
            return Err(Halt::wait_or(requested, unavailable));
        };
        let claims = match answer {
            Some(IntrospectionAnswer::Active(claims)) => claims,
            Some(IntrospectionAnswer::Inactive) => return Err(Denial::TokenInactive.into()),
            None => return Err(unavailable.into()),
        };
        let claims = completed(signed, claims).map_err(Denial::Token);
        let at = *at;
        attempt.trace.stage = Stage::Verify;
        let decision = claims.and_then(|claims| self.accept_answer(attempt, text, claims, at));
        if let (Err(denial), Some(introspection)) = (&decision, &mut self.introspection) {
            introspection.cache_refusal(
                text,
                RefusedFor::Resource(refused_for),
                denial.clone(),
                at,
            );
        }
        decision.map_err(Halt::from)
    }

    /// The session of a token that its issuer reported active, with the `claims` that
    /// arrived `at` that time.
    fn accept_answer(
        &mut self,
        attempt: &mut Attempt<'_>,
        text: &[u8],
        claims: Map<String, Value>,
        at: UnixTime,
    ) -> Result<Rc<Session>, Denial> {
        let unavailable = Denial::IntrospectionUnavailable;
        let introspection = self.introspection.as_ref().ok_or_else(|| unavailable.clone())?;
        let id = introspection.provider;
        let provider = self.providers.get(id).ok_or(unavailable)?;
        let (now, resource) = (attempt.now, attempt.trace.resource.clone());
        let audiences = accepted_audiences(resource.as_deref(), provider);
        let require_issuer = introspection.endpoint.require_issuer;
        let verified = provider
            .accept_introspected(id, &claims, audiences, require_issuer, now)
            .map_err(Denial::Token)?;
        if let Some(resource) = resource {
            resource.check_provider(id).map_err(Denial::Token)?;
        }
        attempt.trace.stage = Stage::Revocation;
        let unrevoked = self.revocations.admit(verified, now)?;
        attempt.trace.stage = Stage::Consumer;
        let consumer = self.consumers.resolve(unrevoked.token().alone())?;
        let principal = Authenticated::new(unrevoked, consumer);
        let epoch = self.revocations.epoch();
        let serves = introspection.serves(principal.token(), at);
        Ok(self.sessions.of_reference(text, principal, epoch, serves, now))
    }

    pub(super) fn current_keys(&self, source: KeySourceId, now: UnixTime) -> Option<Rc<KeySet>> {
        self.key_sources.get(source)?.current(now).cloned()
    }

    /// Waits for the first keys of a source.
    pub(super) fn wait_for_keys(&mut self, attempt: &Attempt<'_>, source: KeySourceId) -> Halt {
        match self.request_keys(attempt, source, &Wanted::Any) {
            Ok(requested) => requested.into(),
            Err(no_fetch) => keys_unavailable(no_fetch).into(),
        }
    }

    /// Waits for the missing key if that is why a token was rejected, and if a fetch may
    /// bring it.
    pub(super) fn wait_for_key(
        &mut self,
        attempt: &Attempt<'_>,
        source: KeySourceId,
        key_id: Option<&str>,
        rejection: Rejection,
    ) -> Halt {
        let id = || key_id.map(str::to_owned);
        let wanted = match rejection {
            Rejection::KeyUnknown(_) => Wanted::Key(id()),
            Rejection::SignatureInvalid | Rejection::KeyUnnamed { .. } => Wanted::Replacement(id()),
            rejection => return rejection.into(),
        };
        match (self.request_keys(attempt, source, &wanted), rejection) {
            (Ok(requested), _) => requested.into(),
            // It may well be new, and a failing service is not the client's fault.
            (
                Err(no_fetch @ (NoFetch::Unanswered | NoFetch::TooMany)),
                Rejection::KeyUnknown(_),
            ) => keys_unavailable(no_fetch).into(),
            (Err(NoFetch::Missing), Rejection::KeyUnknown(found)) => {
                let keys = self.current_keys(source, attempt.now);
                let reason = keys.as_ref().zip(key_id).and_then(|(keys, id)| keys.unusable(id));
                match reason.cloned() {
                    Some(reason) => Rejection::KeyUnusable(found, reason).into(),
                    None => Rejection::KeyUnknown(found).into(),
                }
            }
            // An invalid signature is nearly always forged.
            (Err(_), rejection) => rejection.into(),
        }
    }

    /// Joins or makes a fetch that may bring the wanted key.
    fn request_keys(
        &mut self,
        attempt: &Attempt<'_>,
        source: KeySourceId,
        wanted: &Wanted,
    ) -> Result<Requested, NoFetch> {
        let now = attempt.now;
        let purpose = Purpose::Keys(source);
        let remote = self.key_sources.remote_mut(source).ok_or(NoFetch::Missing)?;
        let answered = if remote.is_failing() { NoFetch::Unanswered } else { NoFetch::Missing };
        let answer = attempt.outcome_for(&purpose);
        if matches!(answer, Some(Outcome::Keys { settled: true, .. })) {
            return Err(answered);
        }
        let memory = &attempt.memory;
        let requested = if self.callouts.is_in_flight(&purpose) {
            if self.host.resumes_others {
                self.callouts.request(purpose, memory, None, now, || None)
            } else {
                // Without any keys, every request of a freshly started worker would be
                // denied, so each makes its own fetch.
                let again = Purpose::DuplicateKeys(source);
                self.callouts.request(again, memory, None, now, || remote.fetch_duplicate(now))
            }
        } else if remote.is_abandoned() {
            Ok(None)
        } else {
            match remote.look_for(wanted, now) {
                Lookup::Answered => return Err(answered),
                Lookup::Later => Ok(None),
                Lookup::Fetch => {
                    let make = || Some(remote.fetch(Some(wanted), now));
                    self.callouts.request(purpose, memory, None, now, make)
                }
            }
        };
        requested.map_err(|TooManyCallouts| NoFetch::TooMany)?.ok_or(NoFetch::Unanswered)
    }
}

/// The denial of a request that needs keys and gets none.
fn keys_unavailable(no_fetch: NoFetch) -> Denial {
    match no_fetch {
        NoFetch::TooMany => Denial::KeysUnavailable.of_overload(),
        NoFetch::Missing | NoFetch::Unanswered => Denial::KeysUnavailable,
    }
}
