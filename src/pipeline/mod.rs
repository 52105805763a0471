//! The way of a request through the gateway:
//!
//! ```text
//! cleanse -> match rule -> find token -> verify -> consumer -> authorize
//!         -> user info -> authorize -> mint -> forward
//! ```
//!
//! Each step may deny. Two may wait for a callout: verifying, for the issuer's
//! keys, and user info. A request that waited starts over with what it waited
//! for; the steps before cost little the second time, and whatever changed
//! meanwhile (a token that ended, a key that was withdrawn) is seen.

mod login;

use std::borrow::Cow;
use std::rc::Rc;

use crate::denial::Denial;
use crate::event::{LogLine, Trace};
use crate::flights::{FlightId, Purpose, Sender, Sent};
use crate::gateway::{Gateway, Outcome, Recipient, Step, Submission, Waiting};
use crate::http::RequestHead;
use crate::hygiene::{Cleansing, refuse_repeated};
use crate::identity::{Authenticated, Enrichment, Identity, MintError, Profile, RequestContext};
use crate::introspection::{IntrospectionAnswer, is_reference};
use crate::keys::KeySet;
use crate::metrics::{Cache, CacheUse, Ending};
use crate::refresh::KeySource;
use crate::revocation::RevocationEndpoint;
use crate::rules::{Access, Bypassed, Requirements};
use crate::secret::Secret;
use crate::session::Session;
use crate::time::UnixTime;
use crate::token::{ProviderId, Rejection, TokenError, Untrusted};
use crate::user_info::{Cached, FailureMode, UserInfoAnswer};
use crate::verdict::{AccessNote, HeaderEdits, LocalReply, Verdict};

/// A request waits for at most its keys or its token's issuer, its user, and each
/// of them once more.
const MAX_WAITS: u8 = 4;

/// How many requests at once fetch the keys that another one is fetching
/// already: enough for those that come in the moment a worker starts, and no
/// burden for an issuer that is slow.
const MAX_FETCHES_AGAIN: usize = 100;

/// How many callouts may be under way before no more reference tokens are asked
/// about: made-up ones cost a client nothing.
const MAX_CALLOUTS: usize = 1000;

/// Earlier than any token this program can meet (2020-01-01): a clock that says
/// so is not set, and nothing can be decided by it.
const EARLIEST: UnixTime = UnixTime::from_secs(1_577_836_800);

/// Why a step does not hand on to the next one.
enum Halt {
    Deny(Denial),
    Wait(Sent),
    Join(FlightId),
    /// The gateway itself needs the body: this long.
    Receive(Recipient, Box<HeaderEdits>, usize),
}

impl From<Denial> for Halt {
    fn from(denial: Denial) -> Self {
        Self::Deny(denial)
    }
}

impl From<Rejection> for Halt {
    fn from(rejection: Rejection) -> Self {
        Self::Deny(Denial::Token(rejection))
    }
}

impl Gateway {
    /// Takes a request as far as it goes. `learned` is what it waited for.
    pub(crate) fn advance(
        &mut self,
        head: RequestHead,
        waits: u8,
        learned: Option<&Outcome>,
        now: UnixTime,
    ) -> Step {
        let mut trace = Trace::default();
        let halt = match self.decide(&head, learned, &mut trace, now) {
            Ok(verdict) => return Step::Done(self.noting(verdict, trace.note)),
            Err(halt) => halt,
        };
        let waits = waits.saturating_add(1);
        match halt {
            Halt::Deny(denial) => self.turn_down(&head, &denial, &trace),
            Halt::Wait(sent) if waits > MAX_WAITS => {
                self.abandon(sent.flight);
                self.turn_down(&head, &Denial::IdentityUnavailable, &trace)
            }
            Halt::Wait(sent) => {
                let flight = sent.flight;
                Step::Await(sent, Waiting { flight, head, waits })
            }
            Halt::Join(flight) => Step::Join(Waiting { flight, head, waits }),
            Halt::Receive(recipient, edits, bytes) => {
                Step::Receive(Submission { recipient, head, trace, edits: *edits, bytes })
            }
        }
    }

    /// Ends a request that is not to pass: with a denial, but for shadow mode,
    /// in which it is forwarded without identity if it can be cleansed.
    fn turn_down(&mut self, head: &RequestHead, denial: &Denial, trace: &Trace) -> Step {
        if let Some(shadowed) = self.mode.shadowed()
            && !self.is_for_gateway(head)
            && let Ok(cleansing) = self.cleanse(head)
        {
            self.tally.ended(Ending::Shadow(denial.code()));
            let request_id = self.request_id(head);
            self.log.push(LogLine::would_deny(
                request_id.as_deref(),
                denial,
                self.errors.format,
                trace,
            ));
            let verdict = Verdict::Forward(HeaderEdits::shadowed(cleansing, shadowed));
            return Step::Done(self.noting_denial(verdict, denial, trace));
        }
        self.deny(head, denial, trace)
    }

    /// Whether a request is for the endpoint that takes revocations, or a login:
    /// they are nobody else's to answer.
    fn is_for_gateway(&self, head: &RequestHead) -> bool {
        let own = self.revocations.endpoint();
        own.is_some_and(|own| own.path.as_bytes() == head.target().path) || self.is_login(head)
    }

    /// Ends a request with a denial.
    pub(crate) fn deny(&mut self, head: &RequestHead, denial: &Denial, trace: &Trace) -> Step {
        self.tally.ended(Ending::Denied(denial.code()));
        let request_id = self.request_id(head);
        let format = self.errors.format;
        self.log.push(LogLine::denied(request_id.as_deref(), denial, format, trace));
        let target = self.sources.target_without_token(head);
        let verdict = Verdict::Answer(denial.reply(head, &target, &self.errors));
        Step::Done(self.noting_denial(verdict, denial, trace))
    }

    fn noting_denial(&self, verdict: Verdict, denial: &Denial, trace: &Trace) -> Verdict {
        self.noting(verdict, AccessNote { code: Some(denial.code()), ..trace.note.clone() })
    }

    fn noting(&self, verdict: Verdict, note: AccessNote) -> Verdict {
        if self.publishes { verdict.noting(note) } else { verdict }
    }

    fn decide(
        &mut self,
        head: &RequestHead,
        learned: Option<&Outcome>,
        trace: &mut Trace,
        now: UnixTime,
    ) -> Result<Verdict, Halt> {
        if head.target().path == self.minter.keys.jwks_path().as_bytes() {
            self.tally.ended(Ending::Jwks);
            return Ok(Verdict::Answer(self.serve_jwks(head, now)));
        }
        let cleansing = self.cleanse(head)?;
        if self.bypass_cors_preflight
            && let Some(bypassed) = Bypassed::preflight(head)
        {
            self.tally.ended(Ending::Bypassed);
            return Ok(Verdict::Forward(HeaderEdits::bypassed(cleansing, bypassed)));
        }
        let endpoint =
            self.revocations.endpoint().filter(|own| own.path.as_bytes() == head.target().path);
        if let Some(endpoint) = endpoint.cloned() {
            return self.receive(head, cleansing, &endpoint, learned, trace, now);
        }
        if let Some(verdict) = self.log_in(head, &cleansing, learned, now)? {
            return Ok(verdict);
        }
        let rules = Rc::clone(&self.rules);
        let rule = rules.find(head)?;
        trace.rule = rule.map(|(position, _)| position);
        let requirements = match rule.map(|(_, rule)| &rule.access) {
            Some(access @ Access::Bypass) => {
                let bypassed = Bypassed::by(access).ok_or(Denial::ConfigurationInvalid)?;
                self.tally.ended(Ending::Bypassed);
                return Ok(Verdict::Forward(HeaderEdits::bypassed(cleansing, bypassed)));
            }
            Some(Access::Requires(requirements)) => requirements,
            None => rules.otherwise(),
        };
        let Some(token) = self.sources.find(head)? else {
            let anonymous = requirements.anonymous.as_deref().ok_or(Denial::TokenMissing)?;
            self.tally.ended(Ending::Anonymous);
            return Ok(Verdict::Forward(HeaderEdits::anonymous(cleansing, anonymous)));
        };
        let session = self.authenticate(&token, learned, trace, now)?;
        trace.knows(&session);
        let identity = self.identify(head, &session, &token, requirements, learned, now)?;
        trace.note.txn = identity.txn();
        self.tally.ended(Ending::Allowed);
        Ok(Verdict::Forward(HeaderEdits::identified(cleansing, &identity)))
    }

    /// What the client may not say. On a host that cannot remove a repeated
    /// header, the request is refused.
    fn cleanse(&self, head: &RequestHead) -> Result<Cleansing, Denial> {
        let mut cleansing = Cleansing::default();
        self.owned.cleanse(head, &mut cleansing);
        self.sources.cleanse(head, &mut cleansing);
        if !self.host.removes_headers {
            refuse_repeated(head, &cleansing)?;
            self.owned.refuse_misspelled(&cleansing)?;
        }
        Ok(cleansing)
    }

    /// The gateway's own JWKS, for everybody (RFC 9110 section 13.1.2 for the
    /// entity tag).
    fn serve_jwks(&self, head: &RequestHead, now: UnixTime) -> LocalReply {
        if !matches!(head.method(), b"GET" | b"HEAD") {
            return LocalReply::new(405).with_header("allow", "GET, HEAD");
        }
        let document = self.minter.keys.jwks(now);
        let is_known = head.values("if-none-match").any(|tags| {
            let tags = String::from_utf8_lossy(tags);
            tags.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag == document.etag)
        });
        let reply = LocalReply::new(if is_known { 304 } else { 200 })
            .with_header("cache-control", "public, max-age=300")
            .with_header("etag", document.etag);
        if is_known {
            return reply;
        }
        let reply = reply.with_header("content-type", "application/jwk-set+json");
        // The host leaves out the body of a reply to HEAD.
        reply.with_body(document.body.into_bytes())
    }

    /// A request to revoke tokens: authorized like any other, then its body is
    /// taken.
    fn receive(
        &mut self,
        head: &RequestHead,
        cleansing: Cleansing,
        endpoint: &RevocationEndpoint,
        learned: Option<&Outcome>,
        trace: &mut Trace,
        now: UnixTime,
    ) -> Result<Verdict, Halt> {
        if head.method() != b"POST" {
            self.tally.ended(Ending::Revocation);
            return Ok(Verdict::Answer(LocalReply::new(405).with_header("allow", "POST")));
        }
        let token = self.sources.find(head)?.ok_or(Denial::TokenMissing)?;
        let session = self.authenticate(&token, learned, trace, now)?;
        trace.knows(&session);
        self.authorize_token(session.who(), &endpoint.requires)?;
        // The user is asked about only if that decides something: a user service
        // that is down is no time to be unable to lock somebody out.
        if endpoint.requires.asks_user_info(|claim| self.provided_by_user_info(claim)) {
            let enrichment = self.enrich(session.who(), &token, learned, now)?;
            self.authorize_user(&enrichment, &endpoint.requires)?;
        }
        // The host may announce a body and never hand it over, unless its length
        // is known (RFC 9110 section 15.5.12).
        let length = head.first("content-length").and_then(|text| std::str::from_utf8(text).ok());
        match length.and_then(|text| text.parse().ok()) {
            Some(bytes) if bytes > self.limits.max_reply_bytes => {
                self.tally.ended(Ending::Revocation);
                Ok(Verdict::Answer(LocalReply::new(413)))
            }
            Some(bytes) if bytes > 0 => {
                let edits = Box::new(HeaderEdits::withheld(cleansing));
                Err(Halt::Receive(Recipient::Revocations, edits, bytes))
            }
            _ => {
                self.tally.ended(Ending::Revocation);
                Ok(Verdict::Answer(LocalReply::new(411)))
            }
        }
    }

    /// Whether a token that was verified before is revoked by now.
    fn recheck(&self, session: &Session, now: UnixTime) -> Result<(), Denial> {
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
    fn wait_for_lists(&mut self, learned: Option<&Outcome>, now: UnixTime) -> Result<(), Halt> {
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
    fn authenticate(
        &mut self,
        text: &[u8],
        learned: Option<&Outcome>,
        trace: &mut Trace,
        now: UnixTime,
    ) -> Result<Rc<Session>, Halt> {
        if now < EARLIEST {
            return Err(Denial::IdentityUnavailable.into());
        }
        self.wait_for_lists(learned, now)?;
        if self.introspection.is_some() && is_reference(text) && !self.is_sealed(text) {
            return self.introspect(text, learned, trace, now);
        }
        if let Some(session) = self.sessions.get(text) {
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
        let session = Rc::new(Session::of_jwt(who, clearance, keys, now));
        self.sessions.insert(text, Rc::clone(&session));
        Ok(session)
    }

    /// Counts a request's use of a cache once, though it may come here again.
    fn count(&mut self, cache: Cache, used: CacheUse, learned: Option<&Outcome>) {
        if learned.is_none() {
            self.tally.cache(cache, used);
        }
    }

    /// The session of a reference token, by what its issuer says of it.
    fn introspect(
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
                    Ok(Rc::new(Session::of_reference(who, self.revocations.clearance(), now)))
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

    fn current_keys(&self, provider: ProviderId, now: UnixTime) -> Option<Rc<KeySet>> {
        self.key_sources.get(provider.0)?.current(now).cloned()
    }

    /// Waits for a fetch that may bring the key that is missing; `otherwise` is
    /// the answer when no fetch is allowed or it brought nothing.
    fn wait_for_keys(
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

    /// The identity of a session: the one minted before, or a new one. What the
    /// rule asks is asked each time, whatever is cached.
    fn identify(
        &mut self,
        head: &RequestHead,
        session: &Session,
        token: &[u8],
        requirements: &Requirements,
        learned: Option<&Outcome>,
        now: UnixTime,
    ) -> Result<Rc<Identity>, Halt> {
        let who = session.who();
        self.authorize_token(who, requirements)?;
        if let Some(identity) = session.identity(now) {
            self.authorize_user(identity.enrichment(), requirements)?;
            return Ok(identity);
        }
        let enrichment = self.enrich(who, token, learned, now)?;
        self.authorize_user(&enrichment, requirements)?;
        let (context, nonce) = (self.request_context(head), self.nonce(now));
        match self.minter.mint(&self.crypto, who, enrichment, context, &nonce, now) {
            Ok(identity) => {
                self.tally.minted();
                let identity = Rc::new(identity);
                if identity.is_reusable(now) {
                    session.keep(Rc::clone(&identity));
                }
                Ok(identity)
            }
            Err(MintError::Unprintable(claim)) => Err(Rejection::ClaimMismatch(claim).into()),
            Err(error) => {
                self.log.push(LogLine::not_minted(&error));
                Err(Denial::IdentityUnavailable.into())
            }
        }
    }

    /// The circumstances of a request, where its identity token tells them.
    fn request_context(&self, head: &RequestHead) -> RequestContext {
        match self.minter.profile {
            Profile::Identity => RequestContext::default(),
            Profile::Transaction { .. } => {
                let address = self.facts.as_ref().and_then(|facts| facts.client_address());
                RequestContext::of(head, address, self.request_id(head))
            }
        }
    }

    fn provided_by_user_info(&self, claim: &str) -> bool {
        self.user_info.as_ref().is_some_and(|source| source.provides(claim))
    }

    fn authorize_token(
        &self,
        who: &Authenticated,
        requirements: &Requirements,
    ) -> Result<(), Denial> {
        let from_user_info = |claim: &str| self.provided_by_user_info(claim);
        requirements.check_token(who.token(), who.consumer().map(Rc::as_ref), from_user_info)
    }

    fn authorize_user(
        &self,
        enrichment: &Enrichment,
        requirements: &Requirements,
    ) -> Result<(), Denial> {
        let from_user_info = |claim: &str| self.provided_by_user_info(claim);
        match enrichment {
            Enrichment::NotConfigured => Ok(()),
            Enrichment::Known(info, _) => requirements.check_claims(info.claims(), from_user_info),
            // Not known is not the same as not allowed.
            Enrichment::None if requirements.asks_user_info(from_user_info) => {
                Err(Denial::UserInfoUnavailable)
            }
            Enrichment::None => Ok(()),
        }
    }

    /// What is known of the user, from the cache or by asking.
    fn enrich(
        &mut self,
        who: &Authenticated,
        text: &[u8],
        learned: Option<&Outcome>,
        now: UnixTime,
    ) -> Result<Enrichment, Halt> {
        let Some(source) = &self.user_info else { return Ok(Enrichment::NotConfigured) };
        // Only what goes out with the token needs it opened.
        let text = if source.forward_token { self.open(text)? } else { Cow::Borrowed(text) };
        let key = source.key(who.token(), &text)?;
        if let Some(Outcome::UserInfo(asked, answer)) = learned
            && *asked == key
        {
            return match answer {
                Some((UserInfoAnswer::Known(info, _), end)) => {
                    Ok(Enrichment::Known(Rc::clone(info), *end))
                }
                Some((UserInfoAnswer::Unknown, _)) => Err(Denial::UserUnknown.into()),
                None => match (self.user_infos.stale(&key, now), source.failure_mode) {
                    (Some((info, end)), _) => {
                        self.tally.cache(Cache::UserInfo, CacheUse::Stale);
                        Ok(Enrichment::Known(info, end))
                    }
                    (None, FailureMode::Degrade) => Ok(Enrichment::None),
                    (None, FailureMode::Deny) => Err(Denial::UserInfoUnavailable.into()),
                },
            };
        }
        let cached = self.user_infos.get(&key, now);
        let is_hit = !matches!(cached, Cached::Miss);
        self.tally.cache(Cache::UserInfo, if is_hit { CacheUse::Hit } else { CacheUse::Miss });
        match cached {
            Cached::Fresh(info, end) => return Ok(Enrichment::Known(info, end)),
            Cached::Unknown => return Err(Denial::UserUnknown.into()),
            Cached::Miss => {}
        }
        let purpose = Purpose::UserInfo(key.clone());
        if self.host.resumes_others
            && let Some(flight) = self.flights.find(&purpose)
        {
            return Err(Halt::Join(flight));
        }
        let (callout, end) = (source.callout(&key), who.token().expires());
        Err(Halt::Wait(self.flights.open(purpose, callout, end, Sender::Request, now)))
    }
}
