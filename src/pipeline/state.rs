//! The state that requests share, and its public interface.

use std::net::IpAddr;
use std::rc::Rc;

use serde_json::json;

use super::settings::{Limits, Settings};
use super::step::{Recipient, Step, Submission, Unread, Waiting};
use super::tracked::TrackedStreams;
use crate::access_log::AccessLogFields;
use crate::bearer::{OwnedHeaders, TokenSources};
use crate::binding::Bindings;
use crate::callout::REQUEST_ID;
use crate::consumer::ConsumerDirectory;
use crate::denial::ErrorSettings;
use crate::event::{Event, Trace};
use crate::host::{HostCapabilities, RequestId, RequestInfo};
use crate::http::{HeaderName, LocalReply, RequestHead, log_id};
use crate::identity::Minter;
use crate::in_flight::{CalloutOutcome, Callouts, Dispatch, Purpose, RequestMemory};
use crate::introspection::Introspection;
use crate::keys::{Crypto, SigningKey, VerifyingKey};
use crate::metrics::{Cache, Counters, Sample, Series};
use crate::refresh::{KeySource, KeySources};
use crate::resource::Resources;
use crate::revocation::Revocations;
use crate::rules::{McpCall, Rules};
use crate::sealing::SealedTokens;
use crate::seen::Seen;
use crate::session::{Kept, Sessions};
use crate::shared_data::{SharedStore, Slot};
use crate::signals::Signals;
use crate::time::UnixTime;
use crate::token::{KnownHeaders, Provider, Providers};
use crate::user_info::{UserInfoCache, UserInfoSource};
use crate::verdict::{Mode, Verdict};

/// Request ids are chosen by the client or the host; longer ones are truncated.
const MAX_REQUEST_ID: usize = 64;

/// Room for the logouts of an hour: 20,480 of them.
const LOGOUT_BUCKETS: u16 = 16;

/// Room for 1,310,720 proofs in 11 MiB: those of ten minutes, at 110,000 a minute, however
/// unevenly they fall into the buckets.
const PROOF_BUCKETS: u16 = 1024;

/// The configuration and the shared state of one gateway.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) providers: Providers,
    pub(super) key_sources: KeySources,
    pub(super) known_headers: KnownHeaders,
    pub(super) introspection: Option<Introspection>,
    pub(super) sources: TokenSources,
    pub(super) consumers: ConsumerDirectory,
    pub(super) revocations: Revocations,
    pub(super) bindings: Rc<Bindings>,
    /// DPoP proofs that could be replayed.
    pub(super) proofs_seen: Seen,
    pub(super) signals: Rc<Signals>,
    /// Logout tokens already processed.
    pub(super) logouts_seen: Seen,
    pub(super) user_info: Option<UserInfoSource>,
    pub(super) user_infos: UserInfoCache,
    pub(super) minter: Minter,
    pub(super) rules: Rc<Rules>,
    pub(super) resources: Resources,
    pub(super) errors: ErrorSettings,
    pub(super) limits: Limits,
    pub(super) bypass_cors_preflight: bool,
    pub(super) crypto: Crypto,
    pub(super) owned: OwnedHeaders,
    pub(super) sessions: Sessions,
    pub(super) callouts: Callouts,
    pub(super) host: HostCapabilities,
    pub(super) log: Vec<Event>,
    pub(super) counters: Counters,
    pub(super) mode: Mode,
    pub(super) publishes: bool,
    info: Option<Box<dyn RequestInfo>>,
    /// Forwarded requests that end with their token.
    pub(super) streams: TrackedStreams,
    pub(super) store: Option<Box<dyn SharedStore>>,
    /// Answers about users, shared by the gateways of a configuration.
    pub(super) user_info_store: Option<Box<dyn SharedStore>>,
    pub(super) sealed_tokens: Option<SealedTokens>,
    config_hash: u64,
    seed: [u8; 16],
    minted: u64,
    /// The first tick: the age of keys that were never fetched counts from here.
    pub(super) since: Option<UnixTime>,
}

/// The counters of a configuration.
fn counters(settings: &Settings) -> Counters {
    let remote = settings.providers.iter().filter(|(_, keys)| keys.is_remote());
    let remote = remote.map(|(provider, _)| provider.name.as_str());
    let transmitters = settings.signals.transmitters().zip(&settings.transmitter_keys);
    let transmitters = transmitters.filter(|(_, keys)| keys.is_remote()).map(|(name, _)| name);
    let mut counters = Counters::new(
        settings.mode,
        settings.services.iter(),
        remote.chain(transmitters),
        settings.signals.kinds(),
        settings.revocations.series(),
        settings.crypto.host_verifies(),
        settings.limits.end_streams,
    );
    counters.gauges().config_hash(settings.config_hash);
    counters
}

/// The providers, and their key sources by name.
fn with_names(providers: Vec<(Provider, KeySource)>) -> (Vec<Provider>, Vec<(String, KeySource)>) {
    let named = |(provider, keys): (Provider, _)| {
        let name = provider.name.clone();
        (provider, (name, keys))
    };
    providers.into_iter().map(named).unzip()
}

/// The headers that only the gateway may set towards services.
fn owned_headers(settings: &Settings) -> OwnedHeaders {
    let headers = settings.minter.headers.owned();
    // A transaction token from outside is never one of the gateway's.
    let carriers = settings.minter.carriers.iter().cloned();
    // A header that may also carry the public token is handled with that token.
    let carriers = carriers.filter(|it| !settings.sources.may_carry_token(it.as_str().as_bytes()));
    // A proof is for the gateway only.
    let proof = settings.bindings.take_proofs().then(HeaderName::dpop);
    let own = [HeaderName::txn_token()].into_iter().chain(proof);
    OwnedHeaders::new(headers.chain(carriers).chain(own))
}

/// The secret of tables that find texts of clients by a tag.
fn tag_secret(settings: &Settings) -> Vec<u8> {
    // Not every host has good randomness: on Kong it is the C library's `random()`.
    let keys = settings.minter.keys.signing_keys();
    keys.filter_map(|key| key.derive(b"gatepass cached tokens\n")).flatten().collect()
}

fn sessions(settings: &Settings, secret: &[u8]) -> Sessions {
    let claims =
        match settings.rules.depends_on_claims() || settings.revocations.needs_claims_each_time() {
            true => Kept::Parsed,
            // Whether a long request has to end is decided when no request presents its token.
            false if settings.limits.end_streams => Kept::Folded,
            false => Kept::InToken,
        };
    let references = settings.introspection.as_ref().map_or(0, |(.., entries)| *entries);
    let limits = &settings.limits;
    let entries = (limits.token_cache_entries, references);
    Sessions::new(entries, limits.token_cache_bytes, claims, secret)
}

fn user_infos(settings: &Settings) -> UserInfoCache {
    let lifetimes = settings.user_info.as_ref().map(|source| source.lifetimes);
    UserInfoCache::new(
        settings.user_info_entries,
        settings.user_info_bytes,
        lifetimes.unwrap_or_default(),
    )
}

/// The events to log when a configuration starts.
fn first_events(settings: &Settings) -> Vec<Event> {
    let signing = settings.minter.keys.signing_keys();
    let signing = signing.map(|key| key.algorithm().into()).collect();
    let mut log = vec![Event::Started {
        config_hash: settings.config_hash,
        host_verifies: settings.crypto.host_verifies(),
        host_signs: settings.crypto.host_signs(),
        signing,
    }];
    if settings.mode == Mode::Shadow {
        log.push(Event::ShadowMode);
    }
    log
}

impl Pipeline {
    /// Makes the pipeline of a gateway. `seed` must be unique for each one: it makes the `jti`
    /// of identity tokens unique, and spreads key fetches over time.
    pub fn new(settings: Settings, host: HostCapabilities, seed: [u8; 16]) -> Self {
        let counters = counters(&settings);
        let owned = owned_headers(&settings);
        let (log, secret) = (first_events(&settings), tag_secret(&settings));
        let (sessions, user_infos) = (sessions(&settings, &secret), user_infos(&settings));
        let own: Rc<[VerifyingKey]> =
            settings.minter.keys.signing_keys().map(SigningKey::verifying_key).cloned().collect();
        let transmitters = settings.signals.transmitters().map(str::to_owned);
        let transmitters = transmitters.zip(settings.transmitter_keys).collect();
        let (providers, sources) = with_names(settings.providers);
        let mut key_sources = KeySources::new(sources, transmitters);
        for (_, _, remote) in key_sources.remotes_mut() {
            remote.exclude(Rc::clone(&own));
        }
        let proof_buckets = if settings.bindings.take_proofs() { PROOF_BUCKETS } else { 0 };
        let introspection = settings.introspection.map(|(provider, endpoint, max_entries)| {
            Introspection::new(provider, endpoint, max_entries, &secret)
        });
        Self {
            providers: Providers::new(providers),
            key_sources,
            known_headers: KnownHeaders::new(&secret),
            introspection,
            sources: settings.sources,
            consumers: settings.consumers,
            revocations: settings.revocations,
            bindings: Rc::new(settings.bindings),
            proofs_seen: Seen::new("proofs", proof_buckets, seed),
            signals: Rc::new(settings.signals),
            logouts_seen: Seen::new("logouts", LOGOUT_BUCKETS, seed),
            user_infos,
            user_info: settings.user_info,
            minter: settings.minter,
            rules: Rc::new(settings.rules),
            resources: settings.resources,
            errors: settings.errors,
            sessions,
            limits: settings.limits,
            bypass_cors_preflight: settings.bypass_cors_preflight,
            crypto: settings.crypto,
            owned,
            callouts: Callouts::new(host),
            host,
            log,
            counters,
            mode: settings.mode,
            publishes: settings.access_log_properties.unwrap_or_default(),
            info: None,
            streams: TrackedStreams::default(),
            store: None,
            user_info_store: None,
            sealed_tokens: settings.sealed_tokens,
            config_hash: settings.config_hash,
            seed,
            minted: 0,
            since: None,
        }
    }

    /// Lets the gateway share fetched data with the other workers of the proxy. Must be
    /// called before it fetches anything.
    pub fn share(&mut self, store: Box<dyn SharedStore>) {
        for (_, _, remote) in self.key_sources.remotes_mut() {
            remote.share(store.as_ref());
        }
        self.revocations.share(store.as_ref());
        if self.bindings.take_proofs() {
            self.proofs_seen.share(store.as_ref());
        }
        if self.signals.logouts.is_some() {
            self.logouts_seen.share(store.as_ref());
        }
        self.store = Some(store);
    }

    /// Records that this configuration has started. True if no other worker of the proxy
    /// has recorded it before.
    pub fn record_start(&mut self) -> bool {
        let Some(store) = self.store.as_deref() else { return true };
        let slot = Slot::new("started", &json!(self.config_hash));
        let is_first = slot.read(store).is_none();
        if is_first {
            slot.replace(store, b"");
        }
        is_first
    }

    /// Lets the gateway share answers about users with other gateways of the same
    /// configuration. There is one value per user, so the store must evict old ones.
    pub fn share_user_info(&mut self, store: Box<dyn SharedStore>) {
        self.user_info_store = Some(store);
    }

    /// Lets the gateway query the host about requests.
    #[must_use]
    pub fn with_request_info(mut self, info: Box<dyn RequestInfo>) -> Self {
        self.info = Some(info);
        self
    }

    /// The digest of the client's certificate, as the host knows it.
    pub(super) fn client_certificate(&self, request: RequestId) -> Option<[u8; 32]> {
        self.info.as_ref()?.client_certificate(request)
    }

    /// The client's address, as the host knows it.
    pub(super) fn client_address(&self, request: RequestId) -> Option<IpAddr> {
        self.info.as_ref()?.client_address(request)
    }

    /// The address of the connection, as the host knows it.
    pub(super) fn peer_address(&self, request: RequestId) -> Option<IpAddr> {
        self.info.as_ref()?.peer_address(request)
    }

    /// The MCP call of a request, where a rule needs it: from the body as parsed by the
    /// host, else from its headers.
    pub(super) fn mcp_call(&self, request: RequestId, head: &RequestHead) -> McpCall {
        if !self.rules.depends_on_mcp_call(head) {
            return McpCall::Unknown;
        }
        let text = |path: &[&str]| {
            let found = self.info.as_ref().and_then(|info| info.mcp(request, path));
            found.map(|text| String::from_utf8_lossy(&text).into_owned())
        };
        McpCall::of_metadata(text).unwrap_or_else(|| McpCall::of_headers(head))
    }

    /// The id by which the host's log names a request.
    pub(super) fn request_id(&self, request: RequestId, head: &RequestHead) -> Option<String> {
        let of_host = self.info.as_ref().and_then(|info| info.request_id(request));
        let id = of_host.or_else(|| head.first(REQUEST_ID).map(<[u8]>::to_vec))?;
        Some(log_id(&id, MAX_REQUEST_ID))
    }

    /// Has a callout name the request that it is sent for.
    pub(super) fn attribute(
        &mut self,
        dispatch: &mut Dispatch,
        request: RequestId,
        head: &RequestHead,
    ) {
        // The host looks up its consumers itself, for every request.
        if matches!(self.callouts.purpose(dispatch.id), Some(Purpose::Consumer(_))) {
            return;
        }
        let id = self.request_id(request, head).filter(|id| !id.is_empty());
        if let Some(id) = id {
            self.callouts.attribute(dispatch, id.into());
        }
    }

    /// Begins a request. Must be called once, with the whole head, before any part of it
    /// goes upstream.
    pub fn begin(&mut self, request: RequestId, head: RequestHead, now: UnixTime) -> Step {
        self.advance(request, head, RequestMemory::default(), now)
    }

    /// Resumes a request whose callout has completed.
    pub fn resume(&mut self, waiting: Waiting, outcome: &CalloutOutcome, now: UnixTime) -> Step {
        let Waiting { request, head, mut memory, .. } = waiting;
        memory.add(outcome);
        self.advance(request, head, memory, now)
    }

    /// Takes the body of a request that the gateway itself answers; `None` if the host
    /// cannot read it all (413).
    pub fn submit(&mut self, submission: Submission, body: Option<Vec<u8>>, now: UnixTime) -> Step {
        let recipient = submission.recipient;
        let Some(body) = body else {
            self.counters.ended(recipient.outcome());
            let reply = self.unread(&submission.head, recipient, Unread::TooLong);
            return self.answered(&submission.head, reply, submission.trace);
        };
        match recipient {
            Recipient::Revocations => self.submit_revocations(submission, &body, now),
            Recipient::Signal => {
                let Submission { request, head, .. } = submission;
                self.advance(request, head, RequestMemory::with_body(body), now)
            }
            Recipient::Login(position) => self.submit_login(position, submission, body, now),
        }
    }

    /// Ends a request whose body was shorter than it announced (RFC 9110 section
    /// 8.6).
    pub fn cut_short(&mut self, submission: Submission) -> Step {
        let Submission { recipient, head, trace, .. } = submission;
        self.counters.ended(recipient.outcome());
        let reply = self.unread(&head, recipient, Unread::CutShort);
        self.answered(&head, reply, trace)
    }

    /// Number of callouts in flight.
    pub fn in_flight(&self) -> usize {
        self.callouts.len()
    }

    /// A call for a request begins. True if the door is to measure it.
    pub const fn begin_measurement(&mut self) -> bool {
        self.counters.begin_measurement()
    }

    /// Records how long a measured call took.
    pub fn end_measurement(&mut self, micros: u64) {
        self.counters.end_measurement(micros);
    }

    /// The series of the samples that [`Pipeline::take_metrics`] returns.
    pub fn metrics(&self) -> Vec<Series> {
        self.counters.series()
    }

    /// The samples since the last call.
    pub fn take_metrics(&mut self) -> Vec<Sample> {
        self.counters.evicted(Cache::Token, self.sessions.take_evicted());
        self.counters.evicted(Cache::UserInfo, self.user_infos.take_evicted());
        self.counters.evicted(Cache::Introspection, self.sessions.take_evicted_references());
        self.counters.take()
    }

    /// Records an event for the caller to log.
    pub(crate) fn log_event(&mut self, event: Event) {
        self.log.push(event);
    }

    /// The events since the last call.
    pub fn take_log(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.log)
    }

    /// The largest reply body to read.
    pub const fn max_reply_bytes(&self) -> usize {
        self.limits.max_reply_bytes
    }

    /// Differs between workers, so that they do not all fetch at once.
    pub(super) const fn jitter(&self) -> u8 {
        let [first, ..] = self.seed;
        first
    }

    /// Bytes that never repeat, for a `jti`.
    pub(super) fn nonce(&mut self, now: UnixTime) -> [u8; 32] {
        self.minted = self.minted.wrapping_add(1);
        let mut nonce = [0; 32];
        let (seed, rest) = nonce.split_at_mut(16);
        let (minted, millis) = rest.split_at_mut(8);
        seed.copy_from_slice(&self.seed);
        minted.copy_from_slice(&self.minted.to_be_bytes());
        millis.copy_from_slice(&now.as_millis().to_be_bytes());
        nonce
    }

    /// Ends a request whose body was read, without fields for the access log.
    pub(super) fn answered(&self, head: &RequestHead, reply: LocalReply, trace: Trace) -> Step {
        let verdict = self.framed(head, Verdict::Answer(reply));
        Step::Done(verdict, Trace { access_log: AccessLogFields::EMPTY, ..trace })
    }

    /// The verdict about a request that the gateway itself answers, in the form that its
    /// host needs for a gRPC call.
    pub(super) fn framed(&self, head: &RequestHead, verdict: Verdict) -> Verdict {
        match verdict {
            verdict if !self.host.frames_grpc_replies => verdict,
            Verdict::Answer(reply) => Verdict::Answer(reply.for_grpc_call(head)),
            Verdict::Deny(denial, reply) => Verdict::Deny(denial, reply.for_grpc_call(head)),
            verdict @ Verdict::Forward(_) => verdict,
        }
    }
}
