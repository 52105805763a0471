//! All that an adapter can call: begin a request, land a callout, resume a
//! request, tick.
//!
//! Owns the state that requests share: sessions, user info, key sets and the
//! callouts in flight. It does no IO and knows no host; what hosts cannot do is
//! told by [`HostCapabilities`].

mod landing;
mod settings;

use std::rc::Rc;

pub use self::settings::{Limits, Settings, SharedData};
use crate::access_log::AccessNote;
use crate::bearer::{Cleansing, OwnedHeaders, TokenSources};
use crate::consumer::ConsumerDirectory;
use crate::denial::{Denial, ErrorSettings};
use crate::event::{Event, Stage, Trace};
use crate::host::{HostCapabilities, RequestInfo};
use crate::http::{HeaderName, LocalReply, RequestHead};
use crate::identity::Minter;
use crate::in_flight::{Answers, Callouts, Flight, Outcome, Purpose};
pub use crate::in_flight::{FlightId, Landing, Sent};
use crate::introspection::Introspection;
use crate::keys::{Crypto, SigningKey, VerifyingKey};
use crate::metrics::{Cache, Ending, Reading, Series, Tally};
use crate::refresh::{KeySource, Poll};
use crate::revocation::{ListId, Revocations};
use crate::rules::Rules;
use crate::sealing::SealedTokens;
use crate::session::Sessions;
use crate::shared_data::SharedStore;
use crate::time::UnixTime;
use crate::token::{ProviderId, Providers};
use crate::user_info::{UserInfoCache, UserInfoSource};
use crate::verdict::{Mode, Verdict};

/// Request ids are chosen by the client or the host; longer ones are cut.
const MAX_REQUEST_ID: usize = 64;

/// The core: configuration and shared state of one filter.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) providers: Providers,
    pub(crate) key_sources: Vec<KeySource>,
    pub(crate) introspection: Option<Introspection>,
    pub(crate) sources: TokenSources,
    pub(crate) consumers: ConsumerDirectory,
    pub(crate) revocations: Revocations,
    pub(crate) user_info: Option<UserInfoSource>,
    pub(crate) user_infos: UserInfoCache,
    pub(crate) minter: Minter,
    pub(crate) rules: Rc<Rules>,
    pub(crate) errors: ErrorSettings,
    pub(crate) limits: Limits,
    pub(crate) bypass_cors_preflight: bool,
    pub(crate) crypto: Crypto,
    pub(crate) owned: OwnedHeaders,
    pub(crate) sessions: Sessions,
    pub(crate) callouts: Callouts,
    pub(crate) host: HostCapabilities,
    pub(crate) log: Vec<Event>,
    pub(crate) tally: Tally,
    pub(crate) mode: Mode,
    pub(crate) publishes: bool,
    pub(crate) facts: Option<Box<dyn RequestInfo>>,
    pub(crate) store: Option<Box<dyn SharedStore>>,
    pub(crate) sealed_tokens: Option<Rc<SealedTokens>>,
    seed: [u8; 16],
    minted: u64,
    /// The first tick: how old keys are that never came.
    since: Option<UnixTime>,
}

/// What the caller must do next. Every request ends with exactly one `Done`.
#[must_use]
#[derive(Debug)]
pub enum Step {
    /// Send the callout and keep the request; when the reply comes, give it to
    /// [`Gateway::land`] and then resume every request that waits for it.
    Await(Sent, Waiting),
    /// Keep the request: the callout it waits for is already under way. Only
    /// where [`HostCapabilities::resumes_others`].
    Join(Waiting),
    /// Take the public headers off the request, keep it from the upstream, read
    /// its whole body and give that to [`Gateway::submit`].
    Receive(Submission),
    /// Carry out the verdict: the request is decided, having come this far.
    Done(Verdict, Trace),
}

/// A request that waits for a callout.
#[derive(Debug)]
pub struct Waiting {
    pub(crate) flight: FlightId,
    pub(crate) head: RequestHead,
    pub(crate) answers: Answers,
    pub(crate) trace: Trace,
}

impl Waiting {
    /// What it waits for.
    pub const fn flight(&self) -> FlightId {
        self.flight
    }

    /// How far it came.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// A request that the gateway itself answers, whose body is to be read.
#[derive(Debug)]
pub struct Submission {
    pub(crate) recipient: Recipient,
    pub(crate) head: RequestHead,
    pub(crate) trace: Trace,
    /// What the client sent and must not reach an upstream. There is nothing to
    /// set: no upstream is to answer.
    pub cleansing: Cleansing,
    /// The length of the body.
    pub bytes: usize,
}

impl Submission {
    /// Whether it is a login, and not for the gateway alone.
    pub const fn is_login(&self) -> bool {
        matches!(self.recipient, Recipient::Login(_))
    }

    /// How far it came.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// Who gets the body of a [`Submission`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipient {
    /// The list of revoked tokens, from somebody who may write it.
    Revocations,
    /// The service of the login at this position.
    Login(usize),
}

impl Recipient {
    const fn ending(self) -> Ending {
        match self {
            Self::Revocations => Ending::Revocation,
            Self::Login(_) => Ending::Login,
        }
    }
}

/// What is to be done at a tick.
#[must_use]
#[derive(Debug, Default)]
pub struct Tick {
    /// Fetches that are due.
    pub send: Vec<Sent>,
    /// Flights whose reply will not come any more: to be landed as failed.
    pub overdue: Vec<FlightId>,
}

impl Gateway {
    /// A gateway on a host. `seed` must be different for each one: it makes the
    /// `jti` of identity tokens unique, and spreads their fetches over time.
    pub fn new(settings: Settings, host: HostCapabilities, seed: [u8; 16]) -> Self {
        let remote = settings.providers.iter().filter(|(_, keys)| keys.is_remote());
        let tally = Tally::new(
            settings.mode,
            settings.services.iter(),
            remote.map(|(provider, _)| provider.name.as_str()),
            settings.crypto.host_verifies(),
        );
        let (providers, mut key_sources): (_, Vec<KeySource>) =
            settings.providers.into_iter().unzip();
        let own = settings.minter.keys.signing_keys().map(SigningKey::verifying_key);
        let own: Rc<[VerifyingKey]> = own.collect();
        for remote in key_sources.iter_mut().filter_map(KeySource::as_remote_mut) {
            remote.refuse(Rc::clone(&own));
        }
        let headers = settings.minter.headers.owned();
        // A transaction token from outside is never one of the gateway's.
        let tokens = [settings.minter.header.clone(), HeaderName::txn_token()];
        let owned = OwnedHeaders::new(headers.chain(tokens));
        let signing = settings.minter.keys.signing_keys();
        let signing = signing.map(|key| key.algorithm().into()).collect();
        let mut log = vec![Event::Crypto {
            host_verifies: settings.crypto.host_verifies(),
            host_signs: settings.crypto.host_signs(),
            signing,
        }];
        if settings.mode == Mode::Shadow {
            log.push(Event::ShadowMode);
        }
        let asks_claims = settings.rules.asks_claims() || settings.revocations.asks_each_time();
        let references = settings.introspection.as_ref().map_or(0, |(.., entries)| *entries);
        let lifetimes = settings.user_info.as_ref().map(|source| source.lifetimes);
        Self {
            providers: Providers::new(providers),
            key_sources,
            introspection: settings.introspection.map(|(provider, endpoint, max_entries)| {
                Introspection::new(provider, endpoint, max_entries)
            }),
            sources: settings.sources,
            consumers: settings.consumers,
            revocations: settings.revocations,
            user_infos: UserInfoCache::new(
                settings.user_info_entries,
                settings.user_info_bytes,
                lifetimes.unwrap_or_default(),
            ),
            user_info: settings.user_info,
            minter: settings.minter,
            rules: Rc::new(settings.rules),
            errors: settings.errors,
            sessions: Sessions::new(
                settings.limits.token_cache_entries,
                references,
                settings.limits.token_cache_bytes,
                asks_claims,
            ),
            limits: settings.limits,
            bypass_cors_preflight: settings.bypass_cors_preflight,
            crypto: settings.crypto,
            owned,
            callouts: Callouts::new(host),
            host,
            log,
            tally,
            mode: settings.mode,
            publishes: settings.access_log_properties.unwrap_or_default(),
            facts: None,
            store: None,
            sealed_tokens: settings.sealed_tokens.map(Rc::new),
            seed,
            minted: 0,
            since: None,
        }
    }

    /// Lets it share what it fetches with the other workers of the proxy. To be
    /// called before it fetches anything.
    pub fn share(&mut self, store: Box<dyn SharedStore>) {
        for remote in self.key_sources.iter_mut().filter_map(KeySource::as_remote_mut) {
            remote.share(store.as_ref());
        }
        self.revocations.share(store.as_ref());
        self.store = Some(store);
    }

    /// Lets it ask the host about requests.
    #[must_use]
    pub fn asking(mut self, facts: Box<dyn RequestInfo>) -> Self {
        self.facts = Some(facts);
        self
    }

    /// The id of the request that is being decided.
    pub(crate) fn request_id(&self, head: &RequestHead) -> Option<String> {
        let told = self.facts.as_ref().and_then(|facts| facts.request_id());
        let id = told.or_else(|| head.first("x-request-id").map(<[u8]>::to_vec))?;
        Some(id.into_iter().take(MAX_REQUEST_ID).map(visible).collect())
    }

    /// Begins a request: to be called once, with its whole head, before any of
    /// it goes upstream.
    pub fn begin(&mut self, head: RequestHead, now: UnixTime) -> Step {
        self.advance(head, Answers::default(), now)
    }

    /// Denies a request whose head could not be listed, in shadow mode too: who
    /// cannot see its headers cannot cleanse it.
    pub fn refuse(&mut self, denial: Denial) -> Step {
        self.deny(&RequestHead::default(), denial, Trace::default())
    }

    /// Goes on with a request whose callout has landed.
    pub fn resume(&mut self, waiting: Waiting, landing: &Landing, now: UnixTime) -> Step {
        let Waiting { head, mut answers, .. } = waiting;
        answers.add(landing);
        self.advance(head, answers, now)
    }

    /// Takes the body of a request that the gateway itself answers; `None` if it
    /// is more than the host can read (413).
    pub fn submit(&mut self, submission: Submission, body: Option<Vec<u8>>, now: UnixTime) -> Step {
        let Submission { recipient, head, trace, cleansing, .. } = submission;
        let Some(body) = body else {
            self.tally.ended(recipient.ending());
            return answered(LocalReply::new(413), trace);
        };
        match recipient {
            Recipient::Revocations => self.submit_revocations(&head, trace, &body, now),
            Recipient::Login(position) => {
                self.submit_login(position, head, &cleansing, trace, body, now)
            }
        }
    }

    /// Ends a request whose body was shorter than it announced (RFC 9110 section
    /// 8.6).
    pub fn cut_short(&mut self, submission: Submission) -> Step {
        self.tally.ended(submission.recipient.ending());
        answered(LocalReply::new(400).with_header("cache-control", "no-store"), submission.trace)
    }

    fn submit_revocations(
        &mut self,
        head: &RequestHead,
        mut trace: Trace,
        body: &[u8],
        now: UnixTime,
    ) -> Step {
        let store = self.store.as_deref();
        match self.revocations.submit(body, store, now) {
            Ok(submitted) => {
                self.tally.ended(Ending::Revocation);
                let request_id = self.request_id(head);
                self.log.push(Event::Revoked { submitted, trace: trace.clone(), request_id });
                answered(LocalReply::new(204).with_header("cache-control", "no-store"), trace)
            }
            Err(denial) => {
                trace.stage = Stage::Revocation;
                self.deny(head, denial, trace)
            }
        }
    }

    /// Notes that a request which waited for this flight is gone, and the flight
    /// with it unless [`HostCapabilities::resumes_others`].
    pub fn abandon(&mut self, flight: FlightId) {
        let Some(Flight { purpose, .. }) = self.callouts.leave(flight) else { return };
        let Purpose::Keys(provider) = *purpose else { return };
        let source = self.key_sources.get_mut(provider.0).and_then(KeySource::as_remote_mut);
        if let Some(remote) = source {
            remote.give_up();
        }
    }

    /// To be called regularly, about ten times a second.
    pub fn tick(&mut self, now: UnixTime) -> Tick {
        let overdue = self.callouts.overdue(now);
        let mut tick = Tick { send: Vec::new(), overdue };
        let (store, jitter) = (self.store.as_deref(), self.jitter());
        for (position, source) in self.key_sources.iter_mut().enumerate() {
            let provider = ProviderId(position);
            let purpose = Purpose::Keys(provider);
            let Some(remote) = source.as_remote_mut() else { continue };
            if self.callouts.is_awaited(&purpose, now) {
                continue;
            }
            match remote.poll(store, jitter, now) {
                Poll::Idle => {}
                Poll::Adopted(skipped) => {
                    let name = self.providers.name(provider);
                    self.log.extend(
                        skipped.into_iter().map(|key| Event::KeySkipped(name.to_owned(), key)),
                    );
                }
                Poll::Fetch(callout) => {
                    tick.send.push(self.callouts.open_at_tick(purpose, callout, now));
                }
            }
        }
        for list in ListId::ALL {
            let purpose = Purpose::Tokens(list, self.revocations.cursor(list));
            if self.callouts.is_awaited(&purpose, now) {
                continue;
            }
            if let Some(callout) = self.revocations.poll(list, store, now) {
                // Another worker may have read on.
                let purpose = Purpose::Tokens(list, self.revocations.cursor(list));
                tick.send.push(self.callouts.open_at_tick(purpose, callout, now));
            }
        }
        self.gauge_keys(now);
        tick
    }

    /// To be called when its configuration is not in use any more, before the last
    /// [`Gateway::take_metrics`].
    pub fn retire(&mut self) {
        self.tally.retire();
    }

    /// Notes how old the keys are; those never fetched, since the start.
    fn gauge_keys(&mut self, now: UnixTime) {
        // Not the future: the clock may have been set back since.
        let since = self.since.map_or(now, |since| since.min(now));
        self.since = Some(since);
        for (position, source) in self.key_sources.iter_mut().enumerate() {
            let Some(remote) = source.as_remote_mut() else { continue };
            let name = self.providers.name(ProviderId(position));
            self.tally.keys_age(name, now.since(remote.loaded_at().unwrap_or(since)));
        }
    }

    /// How many callouts are under way.
    pub fn in_flight(&self) -> usize {
        self.callouts.len()
    }

    /// What [`Gateway::take_metrics`] gives readings of.
    pub fn metrics(&self) -> Vec<Series> {
        self.tally.series()
    }

    /// What was counted since the last call.
    pub fn take_metrics(&mut self) -> Vec<Reading> {
        self.tally.evicted(Cache::Token, self.sessions.take_evicted());
        self.tally.evicted(Cache::UserInfo, self.user_infos.take_evicted());
        self.tally.evicted(Cache::Introspection, self.sessions.take_evicted_references());
        self.tally.take()
    }

    /// What there is to log since the last call.
    pub fn take_log(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.log)
    }

    /// Who computes signatures.
    pub const fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    /// The longest reply body to read.
    pub const fn max_reply_bytes(&self) -> usize {
        self.limits.max_reply_bytes
    }

    /// Differs between workers, so that they do not fetch all at once.
    const fn jitter(&self) -> u8 {
        let [first, ..] = self.seed;
        first
    }

    /// Bytes that never repeat, for a `jti`.
    pub(crate) fn nonce(&mut self, now: UnixTime) -> Vec<u8> {
        self.minted = self.minted.wrapping_add(1);
        [&self.seed[..], &self.minted.to_be_bytes(), &now.as_millis().to_be_bytes()].concat()
    }
}

/// The end of a request whose body was read, of which the access log is told
/// nothing.
fn answered(reply: LocalReply, trace: Trace) -> Step {
    Step::Done(Verdict::Answer(reply), Trace { note: AccessNote::EMPTY, ..trace })
}

/// A byte of what a client chose, fit for a line of a log: JSON leaves some line
/// breaks of Unicode as they are.
fn visible(byte: u8) -> char {
    if byte.is_ascii_graphic() { char::from(byte) } else { '?' }
}
