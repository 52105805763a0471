//! All that an adapter can call: begin a request, land a callout, resume a
//! request, tick.
//!
//! Owns the state that requests share: sessions, user info, key sets and the
//! callouts under way. It does no IO and knows no host; what hosts cannot do is
//! told by [`HostTraits`].

use std::net::IpAddr;
use std::rc::Rc;

use crate::callout::{CalloutReply, Service};
use crate::consumer::ConsumerDirectory;
use crate::denial::{Denial, ErrorSettings};
use crate::event::{LogLine, Trace};
use crate::flights::{Flight, Flights, Purpose, Sender};
pub use crate::flights::{FlightId, Sent};
use crate::http::{HeaderName, RequestHead};
use crate::hygiene::OwnedHeaders;
use crate::identity::Minter;
use crate::introspection::{Introspection, IntrospectionAnswer, IntrospectionEndpoint};
use crate::keys::Crypto;
use crate::metrics::{Cache, Ending, Reading, Series, Tally};
use crate::refresh::{Fetched, KeySource, Poll, SharedStore};
use crate::revocation::{ListId, Revocations};
use crate::rules::Rules;
use crate::sealing::SealedTokens;
use crate::secret::Secret;
use crate::session::Sessions;
use crate::time::UnixTime;
use crate::token::{Provider, ProviderId, Providers, TokenSources};
use crate::user_info::{UserInfoAnswer, UserInfoCache, UserInfoSource, UserKey};
use crate::verdict::{HeaderEdits, LocalReply, Mode, Verdict};

/// What a valid configuration comes to.
#[derive(Debug)]
pub struct Settings {
    /// The services that may be called.
    pub services: Vec<Rc<Service>>,
    /// Who may issue public tokens, and their keys.
    pub providers: Vec<(Provider, KeySource)>,
    /// Whom to ask about reference tokens, and how many answers are kept.
    pub introspection: Option<(ProviderId, IntrospectionEndpoint, usize)>,
    /// Where tokens are found.
    pub sources: TokenSources,
    /// Who uses them.
    pub consumers: ConsumerDirectory,
    /// Which tokens are revoked.
    pub revocations: Revocations,
    /// What is asked about their users.
    pub user_info: Option<UserInfoSource>,
    /// How many users' data is kept.
    pub user_info_entries: usize,
    /// What is told to the services behind.
    pub minter: Minter,
    /// What each request needs.
    pub rules: Rules,
    /// How denials look.
    pub errors: ErrorSettings,
    /// Limits of size.
    pub limits: Limits,
    /// Whether CORS preflights pass without a token.
    pub bypass_cors_preflight: bool,
    /// Who computes signatures.
    pub crypto: Crypto,
    /// What becomes of requests that are to be denied.
    pub mode: Mode,
    /// Whether the access log is told what it may print; as the host likes it
    /// if `None`.
    pub access_log_properties: Option<bool>,
    /// Whether workers share what they learn.
    pub shared_data: SharedData,
    /// Tokens that clients hold only sealed.
    pub sealed_tokens: Option<SealedTokens>,
}

/// `shared_data` in the configuration: whether the host's shared data is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedData {
    /// Where it is always there.
    #[default]
    Auto,
    /// Also where it has to be set up, without which the host would trap.
    Always,
    /// Nowhere.
    Never,
}

/// `limits` in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest token that is looked at.
    pub max_token_bytes: usize,
    /// How many tokens are remembered.
    pub token_cache_entries: usize,
    /// The longest body of a service's reply.
    pub max_reply_bytes: usize,
    /// Whether paths that servers read differently may pass where all readings
    /// come to the same rule.
    pub allow_ambiguous_paths: bool,
}

/// What a host can do, where hosts differ in what it means for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTraits {
    /// Whether it can remove header fields, however often they occur; else only
    /// the first of a name can be overwritten.
    pub removes_headers: bool,
    /// Whether one request's callback can resume another request.
    pub resumes_others: bool,
    /// Whether a reply of the filter can have several fields of one name; else
    /// only the last of them is sent.
    pub repeats_reply_fields: bool,
    /// Whether `X-Forwarded-For` and `X-Forwarded-Proto`, as the filter sees
    /// them, are the host's own; else they are what the client sent.
    pub writes_forwarded: bool,
}

/// What the host knows of the request that is being decided, and its head does
/// not say or says as the client wants it. Asked only when it is needed.
pub trait HostFacts: std::fmt::Debug {
    /// The id under which the host logs the request, if that is not the head's
    /// `x-request-id`.
    fn request_id(&self) -> Option<Vec<u8>>;

    /// The client's address, behind the proxies that the host trusts.
    fn client_address(&self) -> Option<IpAddr>;
}

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
    pub(crate) flights: Flights,
    pub(crate) host: HostTraits,
    pub(crate) log: Vec<LogLine>,
    pub(crate) tally: Tally,
    pub(crate) mode: Mode,
    pub(crate) publishes: bool,
    pub(crate) facts: Option<Box<dyn HostFacts>>,
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
    /// where [`HostTraits::resumes_others`].
    Join(Waiting),
    /// Take the public headers off the request, keep it from the upstream, read
    /// its whole body and give that to [`Gateway::submit`].
    Receive(Submission),
    /// Carry out the verdict; the request is decided.
    Done(Verdict),
}

/// A request that waits for a callout.
#[derive(Debug)]
pub struct Waiting {
    pub(crate) flight: FlightId,
    pub(crate) head: RequestHead,
    pub(crate) waits: u8,
}

impl Waiting {
    /// What it waits for.
    pub const fn flight(&self) -> FlightId {
        self.flight
    }
}

/// A request that the gateway itself answers, whose body is to be read.
#[derive(Debug)]
pub struct Submission {
    pub(crate) recipient: Recipient,
    pub(crate) head: RequestHead,
    pub(crate) trace: Trace,
    /// What the client sent and must not reach an upstream.
    pub edits: HeaderEdits,
    /// The length of the body.
    pub bytes: usize,
}

impl Submission {
    /// Whether it is a login, and not for the gateway alone.
    pub const fn is_login(&self) -> bool {
        matches!(self.recipient, Recipient::Login(_))
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

/// What a callout brought: to be given to [`Gateway::resume`] for each request
/// that waits for its flight.
#[derive(Debug)]
pub struct Landing(pub(crate) Outcome);

#[derive(Debug)]
pub(crate) enum Outcome {
    Keys {
        provider: ProviderId,
        /// Whether it is over: a discovery document only says where to go on.
        settled: bool,
    },
    /// The answer and until when it is current; `None` for a failure.
    UserInfo(UserKey, Option<(UserInfoAnswer, UnixTime)>),
    /// What the issuer says of a reference token; `None` for a failure.
    Introspection(Secret<Box<[u8]>>, Option<IntrospectionAnswer>),
    /// The feed of a list answered, or failed.
    Tokens(ListId),
    /// What the client of a login gets; `None` for a failure.
    Login(Option<LocalReply>),
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
    pub fn new(settings: Settings, host: HostTraits, seed: [u8; 16]) -> Self {
        let remote = settings.providers.iter().filter(|(_, keys)| keys.is_remote());
        let tally = Tally::new(
            settings.mode,
            settings.services.iter(),
            remote.map(|(provider, _)| provider.name.as_str()),
            settings.crypto.host_verifies(),
        );
        let (providers, key_sources) = settings.providers.into_iter().unzip();
        let headers = settings.minter.headers.owned();
        // A transaction token from outside is never one of the gateway's.
        let tokens = [settings.minter.header.clone(), HeaderName::txn_token()];
        let owned = OwnedHeaders::new(headers.chain(tokens));
        let signing = settings.minter.keys.signing_keys();
        let signing = signing.map(|key| key.algorithm().into()).collect();
        let mut log = vec![LogLine::crypto(&settings.crypto, signing)];
        if settings.mode == Mode::Shadow {
            log.push(LogLine::shadow_mode());
        }
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
                lifetimes.unwrap_or_default(),
            ),
            user_info: settings.user_info,
            minter: settings.minter,
            rules: Rc::new(settings.rules),
            errors: settings.errors,
            sessions: Sessions::new(settings.limits.token_cache_entries),
            limits: settings.limits,
            bypass_cors_preflight: settings.bypass_cors_preflight,
            crypto: settings.crypto,
            owned,
            flights: Flights::default(),
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

    /// Lets it share what it fetches with the other workers of the proxy.
    #[must_use]
    pub fn sharing(mut self, store: Box<dyn SharedStore>) -> Self {
        for remote in self.key_sources.iter_mut().filter_map(KeySource::as_remote_mut) {
            remote.share(store.as_ref());
        }
        self.revocations.share(store.as_ref());
        self.store = Some(store);
        self
    }

    /// Lets it ask the host about requests.
    #[must_use]
    pub fn asking(mut self, facts: Box<dyn HostFacts>) -> Self {
        self.facts = Some(facts);
        self
    }

    /// The id of the request that is being decided.
    pub(crate) fn request_id(&self, head: &RequestHead) -> Option<String> {
        let told = self.facts.as_ref().and_then(|facts| facts.request_id());
        let id = told.or_else(|| head.first("x-request-id").map(<[u8]>::to_vec))?;
        let id: Vec<u8> = id.into_iter().take(MAX_REQUEST_ID).collect();
        Some(String::from_utf8_lossy(&id).into_owned())
    }

    /// Begins a request: to be called once, with its whole head, before any of
    /// it goes upstream.
    pub fn begin(&mut self, head: RequestHead, now: UnixTime) -> Step {
        self.advance(head, 0, None, now)
    }

    /// Denies a request whose head could not be listed, in shadow mode too: who
    /// cannot see its headers cannot cleanse it.
    pub fn refuse(&mut self, denial: &Denial) -> Step {
        self.deny(&RequestHead::default(), denial, &Trace::default())
    }

    /// Takes the reply to a callout. `None` if it is not awaited: late, or
    /// twice.
    ///
    /// To be called before the requests that wait for it are resumed; it may
    /// well be that none does any more.
    pub fn land(
        &mut self,
        flight: FlightId,
        reply: &CalloutReply,
        now: UnixTime,
    ) -> Option<Landing> {
        let flight = self.flights.close(flight)?;
        self.tally.called(&flight.service, reply, flight.sent, now);
        Some(Landing(match flight.purpose {
            Purpose::Keys(provider) => {
                let settled = self.land_keys(provider, reply, now);
                Outcome::Keys { provider, settled }
            }
            Purpose::KeysAgain(provider) => {
                self.land_keys_again(provider, reply, now);
                Outcome::Keys { provider, settled: true }
            }
            Purpose::UserInfo(key) => {
                let answer = self.land_user_info(&key, flight.token_end, reply, now);
                Outcome::UserInfo(key, answer)
            }
            Purpose::Introspection(token) => {
                let answer = self.land_introspection(token.expose(), reply, now);
                Outcome::Introspection(token, answer)
            }
            Purpose::Tokens(list) => {
                let store = self.store.as_deref();
                if let Err(error) = self.revocations.settle(list, reply, store, now) {
                    self.log.push(LogLine::tokens_not_listed(list, &error));
                }
                Outcome::Tokens(list)
            }
            Purpose::Login(position) => Outcome::Login(self.land_login(position, reply, now)),
        }))
    }

    /// Goes on with a request whose callout has landed.
    pub fn resume(&mut self, waiting: Waiting, landing: &Landing, now: UnixTime) -> Step {
        self.advance(waiting.head, waiting.waits, Some(&landing.0), now)
    }

    /// Takes the body of a request that the gateway itself answers; `None` if it
    /// is more than the host can read (413).
    pub fn submit(&mut self, submission: Submission, body: Option<Vec<u8>>, now: UnixTime) -> Step {
        let Submission { recipient, head, trace, edits, .. } = submission;
        let Some(body) = body else {
            self.tally.ended(recipient.ending());
            return Step::Done(Verdict::Answer(LocalReply::new(413)));
        };
        match recipient {
            Recipient::Revocations => self.submit_revocations(&head, &trace, &body, now),
            Recipient::Login(position) => {
                self.submit_login(position, head, &edits.cleansing, body, now)
            }
        }
    }

    fn submit_revocations(
        &mut self,
        head: &RequestHead,
        trace: &Trace,
        body: &[u8],
        now: UnixTime,
    ) -> Step {
        let store = self.store.as_deref();
        match self.revocations.submit(body, store, now) {
            Ok(entries) => {
                self.tally.ended(Ending::Revocation);
                let request_id = self.request_id(head);
                self.log.push(LogLine::revoked(entries, request_id.as_deref(), trace));
                let reply = LocalReply::new(204).with_header("cache-control", "no-store");
                Step::Done(Verdict::Answer(reply))
            }
            Err(denial) => self.deny(head, &denial, trace),
        }
    }

    /// Gives up a flight whose request went away before the reply came. The
    /// requests that joined it are to be given to [`Gateway::retry`].
    pub fn abandon(&mut self, flight: FlightId) {
        let Some(Flight { purpose: Purpose::Keys(provider), .. }) = self.flights.close(flight)
        else {
            return;
        };
        let source = self.key_sources.get_mut(provider.0).and_then(KeySource::as_remote_mut);
        if let Some(remote) = source {
            remote.give_up();
        }
    }

    /// Goes on with a request whose flight was abandoned: it asks by itself.
    pub fn retry(&mut self, waiting: Waiting, now: UnixTime) -> Step {
        self.advance(waiting.head, waiting.waits, None, now)
    }

    /// To be called regularly, about ten times a second.
    pub fn tick(&mut self, now: UnixTime) -> Tick {
        let overdue = self.flights.overdue(self.host, now);
        let mut tick = Tick { send: Vec::new(), overdue };
        let (store, jitter) = (self.store.as_deref(), self.jitter());
        for (position, source) in self.key_sources.iter_mut().enumerate() {
            let provider = ProviderId(position);
            let purpose = Purpose::Keys(provider);
            let Some(remote) = source.as_remote_mut() else { continue };
            if self.flights.is_awaited(&purpose, self.host, now) {
                continue;
            }
            match remote.poll(store, jitter, now) {
                Poll::Idle => {}
                Poll::Adopted(skipped) => {
                    let name = self.providers.name(provider);
                    self.log.extend(skipped.iter().map(|key| LogLine::key_skipped(name, key)));
                }
                Poll::Fetch(callout) => {
                    tick.send.push(self.flights.open(purpose, callout, None, Sender::Tick, now));
                }
            }
        }
        for list in ListId::ALL {
            let purpose = Purpose::Tokens(list);
            if self.flights.is_awaited(&purpose, self.host, now) {
                continue;
            }
            if let Some(callout) = self.revocations.poll(list, store, now) {
                tick.send.push(self.flights.open(purpose, callout, None, Sender::Tick, now));
            }
        }
        self.gauge_keys(now);
        tick
    }

    /// Notes how old the keys are; those never fetched, since the start.
    fn gauge_keys(&mut self, now: UnixTime) {
        let since = *self.since.get_or_insert(now);
        for (position, source) in self.key_sources.iter_mut().enumerate() {
            let Some(remote) = source.as_remote_mut() else { continue };
            let name = self.providers.name(ProviderId(position));
            self.tally.keys_age(name, now.since(remote.loaded_at().unwrap_or(since)));
        }
    }

    /// What [`Gateway::take_metrics`] gives readings of.
    pub fn metrics(&self) -> Vec<Series> {
        self.tally.series()
    }

    /// What was counted since the last call.
    pub fn take_metrics(&mut self) -> Vec<Reading> {
        self.tally.evicted(Cache::Token, self.sessions.take_evicted());
        self.tally.evicted(Cache::UserInfo, self.user_infos.take_evicted());
        let introspected = self.introspection.as_mut().map_or(0, Introspection::take_evicted);
        self.tally.evicted(Cache::Introspection, introspected);
        self.tally.take()
    }

    /// What there is to log since the last call.
    pub fn take_log(&mut self) -> Vec<LogLine> {
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

    /// Whether the fetch is over.
    fn land_keys(&mut self, provider: ProviderId, reply: &CalloutReply, now: UnixTime) -> bool {
        let (store, jitter) = (self.store.as_deref(), self.jitter());
        let name = self.providers.name(provider);
        let source = self.key_sources.get_mut(provider.0).and_then(KeySource::as_remote_mut);
        match source.map(|remote| remote.settle(reply, store, jitter, now)) {
            Some(Ok(Fetched::Location)) => return false,
            Some(Ok(Fetched::Keys(skipped))) => {
                self.log.extend(skipped.iter().map(|key| LogLine::key_skipped(name, key)));
            }
            Some(Err(error)) => self.log.push(LogLine::keys_not_fetched(name, &error)),
            None => {}
        }
        true
    }

    /// Failures are told and counted by the fetch that this one went beside.
    fn land_keys_again(&mut self, provider: ProviderId, reply: &CalloutReply, now: UnixTime) {
        let jitter = self.jitter();
        let source = self.key_sources.get_mut(provider.0).and_then(KeySource::as_remote_mut);
        let skipped = source.and_then(|remote| remote.settle_again(reply, jitter, now));
        let name = self.providers.name(provider);
        self.log.extend(skipped.iter().flatten().map(|key| LogLine::key_skipped(name, key)));
    }

    fn land_user_info(
        &mut self,
        key: &UserKey,
        token_end: Option<UnixTime>,
        reply: &CalloutReply,
        now: UnixTime,
    ) -> Option<(UserInfoAnswer, UnixTime)> {
        let source = self.user_info.as_ref()?;
        match source.read(reply, key) {
            Ok(answer) => {
                let end = self.user_infos.insert(key.clone(), &answer, source, token_end, now);
                Some((answer, end))
            }
            Err(failure) => {
                self.log.push(LogLine::user_info_failed(&source.service.name, &failure));
                None
            }
        }
    }

    fn land_introspection(
        &mut self,
        token: &[u8],
        reply: &CalloutReply,
        now: UnixTime,
    ) -> Option<IntrospectionAnswer> {
        let introspection = self.introspection.as_mut()?;
        match IntrospectionEndpoint::read(reply) {
            Ok(answer) => {
                if matches!(answer, IntrospectionAnswer::Inactive) {
                    introspection.keep(token, Err(Denial::TokenInactive), now);
                }
                Some(answer)
            }
            Err(failure) => {
                let provider = self.providers.name(introspection.provider);
                self.log.push(LogLine::introspection_failed(provider, &failure));
                None
            }
        }
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
