//! One key set: its fetches, the handling of replies, its lifetime.

use std::rc::Rc;

use super::discovery;
use super::endpoint::{JwksEndpoint, JwksLocation};
use super::error::{FetchError, Redirection};
use super::store::{SharedJwks, StoredSet};
use super::wanted::{Lookup, Lookups, Wanted};
use crate::callout::{Answer, Callout, CalloutReply, Service};
use crate::json;
use crate::keys::{KeySet, Origin, SkippedKey, VerifyingKey};
use crate::schedule::{Schedule, shortened};
use crate::shared_data::SharedStore;
use crate::time::{Period, Span, UnixTime};

/// A key set that is fetched.
#[derive(Debug)]
pub struct RemoteKeys {
    endpoint: JwksEndpoint,
    shared: SharedJwks,
    loaded: Option<Loaded>,
    discovered: Option<Discovered>,
    /// The stage of the fetch in flight.
    stage: Stage,
    redirect: Redirect,
    /// When to fetch next, if nothing else requests it.
    schedule: Schedule,
    /// The last lease that this worker took: it need not wait for itself.
    lease: Option<Period>,
    /// Until when not to look for sets of other workers.
    looked: Option<Period>,
    lookups: Lookups,
    /// True if the latest fetch was abandoned with the request that sent it.
    abandoned: bool,
    /// The gateway's own keys, which no issuer may have.
    own: Rc<[VerifyingKey]>,
}

#[derive(Debug)]
struct Loaded {
    keys: Rc<KeySet>,
    text: Vec<u8>,
    /// When they were requested: the reply may reflect that moment.
    at: UnixTime,
}

#[derive(Debug)]
struct Discovered {
    path: String,
    serves: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Discovery,
    Keys,
}

/// A redirect of the current fetch: to another path on the same service, once. The next
/// fetch starts over.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Redirect {
    None,
    /// To this path, which must be fetched next.
    To(String),
    /// This path is being fetched.
    Followed(String),
}

/// The result of [`RemoteKeys::poll`].
#[must_use]
#[derive(Debug)]
pub enum Poll {
    /// Nothing to do.
    Idle,
    /// Another worker's set was adopted; its unusable keys.
    Adopted(Vec<SkippedKey>),
    /// This callout must be sent.
    Fetch(Callout),
}

/// The result of a reply.
#[derive(Debug)]
pub enum Fetched {
    /// The path of the keys or of a document, which must be fetched next, at once.
    Location,
    /// Keys; and the unusable ones of the set.
    Keys(Vec<SkippedKey>),
}

/// The longest pause after a failed fetch.
const MAX_BACKOFF: Span = Span::from_secs(30);

/// The longest pause without any keys: every request with a token is denied until the
/// next fetch.
const MAX_BACKOFF_WITHOUT_KEYS: Span = Span::from_secs(5);

/// The shortest refresh interval that `Cache-Control` can set.
const MIN_CACHE: Span = Span::from_secs(30);

/// How often to look for sets of other workers: a set that one of them fetched for an
/// unknown key id soon serves all.
const PEEK_INTERVAL: Span = Span::from_secs(1);

/// How long the path in a discovery document is used.
const DISCOVERY_LIFETIME: Span = Span::from_secs(86_400);

impl RemoteKeys {
    /// Keys to be fetched from `endpoint` on first use.
    pub fn new(endpoint: JwksEndpoint) -> Self {
        Self {
            shared: SharedJwks::of(&endpoint),
            lookups: Lookups::new(endpoint.unknown_kid_cooldown),
            endpoint,
            loaded: None,
            discovered: None,
            stage: Stage::Keys,
            redirect: Redirect::None,
            schedule: Schedule::default(),
            lease: None,
            looked: None,
            abandoned: false,
            own: Rc::from([]),
        }
    }

    /// Sets the gateway's own keys, which are skipped in fetched sets.
    pub fn exclude(&mut self, own: Rc<[VerifyingKey]>) {
        self.own = own;
    }

    /// Prepares the slot for the keys in a store that workers share.
    pub fn share(&self, store: &dyn SharedStore) {
        self.shared.prepare(store);
    }

    /// The keys, if they are not too old. Keys fetched in the future, because the clock was
    /// set back, have an unknown age and do not count.
    // RFC 5861 section 4 (R58)
    pub(super) fn current(&self, now: UnixTime) -> Option<&Rc<KeySet>> {
        let loaded = self.loaded.as_ref()?;
        let at = loaded.at.as_seen(now)?;
        let end = at.plus(self.endpoint.cache).plus(self.endpoint.max_stale);
        (now < end).then_some(&loaded.keys)
    }

    /// True if keys fetched at this time are newer than those here.
    fn is_newer(&self, at: UnixTime, now: UnixTime) -> bool {
        let here = self.loaded.as_ref().and_then(|loaded| loaded.at.as_seen(now));
        here.is_none_or(|here| at > here)
    }

    /// Periodic work: adopts keys that another worker fetched, or fetches them if no worker
    /// does.
    pub fn poll(&mut self, store: Option<&dyn SharedStore>, jitter: u8, now: UnixTime) -> Poll {
        let is_due = self.abandoned || self.schedule.is_due(now);
        let has_looked = self.looked.is_some_and(|looked| looked.contains(now));
        if !is_due && (store.is_none() || has_looked) {
            return Poll::Idle;
        }
        self.looked = Some(Period::of(now, PEEK_INTERVAL));
        let stored = store.and_then(|store| Some((store, self.shared.read(store)?)));
        let Some((store, (entry, version))) = stored else {
            return if is_due { Poll::Fetch(self.fetch(None, now)) } else { Poll::Idle };
        };
        if let Some(skipped) = entry.set.as_ref().and_then(|set| self.adopt(set, jitter, now)) {
            return Poll::Adopted(skipped);
        }
        let of_another = entry.lease.filter(|lease| Some(*lease) != self.lease);
        if !is_due || of_another.is_some_and(|lease| lease.contains_as_seen(now)) {
            return Poll::Idle;
        }
        let lease = Schedule::attempt(self.service_of(self.next_stage(now)).timeout, now);
        if self.shared.lease(store, &entry, version, lease) {
            self.lease = Some(lease);
            Poll::Fetch(self.fetch(None, now))
        } else {
            Poll::Idle
        }
    }

    /// Adopts a set that is newer than the current one, and not expired.
    fn adopt(&mut self, set: &StoredSet, jitter: u8, now: UnixTime) -> Option<Vec<SkippedKey>> {
        let at = set.at.as_seen(now)?;
        let until = set.until.min(at.plus(self.endpoint.cache));
        if !self.is_newer(set.at, now) || now >= until {
            return None;
        }
        // The other worker was sent to another location: a new fetch shows which of the
        // two is outdated.
        if self.discovered.as_ref().is_some_and(|found| Some(&found.path) != set.path.as_ref()) {
            self.discovered = None;
            return None;
        }
        let (keys, skipped) = read_keys(&set.text, &self.own).ok()?;
        self.load(keys, set.text.clone(), Period::new(at, until), jitter);
        Some(skipped)
    }

    /// When the keys were fetched, here or by another worker.
    pub fn loaded_at(&self) -> Option<UnixTime> {
        self.loaded.as_ref().map(|loaded| loaded.at)
    }

    /// True if the latest fetch failed: then it is unknown whether a missing key exists.
    pub const fn is_failing(&self) -> bool {
        self.schedule.is_failing()
    }

    /// True if a fetch was abandoned and not repeated yet.
    pub const fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Marks a [`RemoteKeys::fetch`] as abandoned. Only a tick retries it, so disconnecting
    /// clients cannot trigger fetches.
    pub const fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Decides whether a fetch may be made now for a token's key: immediately if there are
    /// no keys at all (unless fetches keep failing), else a few times per cooldown,
    /// whatever key ids hostile tokens invent.
    pub fn look_for(&self, wanted: &Wanted, now: UnixTime) -> Lookup {
        match self.current(now) {
            // A discovery document has arrived: fetching the keys is its continuation.
            _ if self.is_halfway() => Lookup::Fetch,
            Some(_) => self.lookups.look(wanted, now),
            None if self.schedule.is_due(now) => Lookup::Fetch,
            None => Lookup::Later,
        }
    }

    /// Whether the fetch in flight is for the discovery document.
    pub(super) fn is_discovering(&self) -> bool {
        self.stage == Stage::Discovery
    }

    fn is_halfway(&self) -> bool {
        let is_sent_on = matches!(self.redirect, Redirect::To(_));
        is_sent_on || self.stage == Stage::Discovery && self.discovered.is_some()
    }

    /// The fetch to send, because a token needs a key or because it is due. No other one
    /// is due until its timeout.
    pub fn fetch(&mut self, wanted: Option<&Wanted>, now: UnixTime) -> Callout {
        // Without any keys the lookup was not for a specific id.
        if let Some(wanted) = wanted
            && self.current(now).is_some()
            && !self.is_halfway()
        {
            self.lookups.spend(wanted, now);
        }
        self.abandoned = false;
        let callout = match &self.redirect {
            Redirect::To(path) => {
                let callout = Callout::get_keys(self.service_of(self.stage), path.clone());
                self.redirect = Redirect::Followed(path.clone());
                callout
            }
            Redirect::None | Redirect::Followed(_) => self.first_fetch(now),
        };
        self.schedule.requested(callout.service.timeout, now);
        callout
    }

    fn first_fetch(&mut self, now: UnixTime) -> Callout {
        let (stage, path) = self.first_stage(now);
        let callout = Callout::get_keys(self.service_of(stage), path.clone());
        if stage == Stage::Discovery {
            self.discovered = None;
        }
        (self.stage, self.redirect) = (stage, Redirect::None);
        callout
    }

    /// What is fetched first, and its path.
    fn first_stage(&self, now: UnixTime) -> (Stage, &String) {
        let discovered = self.discovered.as_ref().filter(|found| found.serves.contains(now));
        match (&self.endpoint.location, discovered) {
            (JwksLocation::Path(path), _) => (Stage::Keys, path),
            (_, Some(found)) => (Stage::Keys, &found.path),
            (JwksLocation::Discovered { path, .. }, None) => (Stage::Discovery, path),
        }
    }

    /// What the next fetch is for.
    fn next_stage(&self, now: UnixTime) -> Stage {
        match &self.redirect {
            Redirect::To(_) => self.stage,
            Redirect::None | Redirect::Followed(_) => self.first_stage(now).0,
        }
    }

    /// The service for a stage.
    const fn service_of(&self, stage: Stage) -> &Rc<Service> {
        match (&self.endpoint.location, stage) {
            (JwksLocation::Discovered { service, .. }, Stage::Discovery) => service,
            (_, Stage::Discovery | Stage::Keys) => &self.endpoint.service,
        }
    }

    /// Processes the reply to a [`RemoteKeys::fetch`] that was sent at `sent`. Usable
    /// keys are replaced only by usable keys that were requested later. `jitter`, 0 to
    /// 255, spreads the next fetch of many workers over a tenth of the time.
    pub fn settle(
        &mut self,
        reply: &CalloutReply,
        store: Option<&dyn SharedStore>,
        jitter: u8,
        sent: UnixTime,
        now: UnixTime,
    ) -> Result<Fetched, FetchError> {
        let settled = answered(reply).and_then(|answer| match (answer.status, self.stage) {
            (301 | 302 | 303 | 307 | 308, _) => self.settle_redirect(answer),
            (200, Stage::Discovery) => self.settle_discovery(answer, now),
            (200, Stage::Keys) => self.settle_keys(answer, store, jitter, sent, now),
            (status, _) => Err(FetchError::Status(status)),
        });
        if settled.is_err() {
            self.redirect = Redirect::None;
            // If the keys have moved, discovery finds them again.
            self.discovered = None;
            self.stage = Stage::Keys;
            let serves = self.current(now).is_some();
            let longest = if serves { MAX_BACKOFF } else { MAX_BACKOFF_WITHOUT_KEYS };
            self.schedule.failed(longest, jitter, now);
        }
        settled
    }

    /// A duplicate of the fetch in flight, while there are no keys yet; `None` also while
    /// their location is unknown.
    pub fn fetch_duplicate(&self, now: UnixTime) -> Option<Callout> {
        if self.current(now).is_some() {
            return None;
        }
        let path = match (&self.redirect, &self.endpoint.location, &self.discovered) {
            (Redirect::To(path) | Redirect::Followed(path), ..) if self.stage == Stage::Keys => {
                path
            }
            (_, JwksLocation::Path(path), _) => path,
            (_, _, found) => &found.as_ref()?.path,
        };
        Some(Callout::get_keys(&self.endpoint.service, path.clone()))
    }

    /// Processes the reply to a [`RemoteKeys::fetch_duplicate`], if it brings the first
    /// keys; returns the unusable ones of the set.
    pub fn settle_again(
        &mut self,
        reply: &CalloutReply,
        jitter: u8,
        sent: UnixTime,
        now: UnixTime,
    ) -> Option<Vec<SkippedKey>> {
        if self.current(now).is_some() {
            return None;
        }
        let answer = answered(reply).ok().filter(|answer| answer.status == 200)?;
        match self.settle_keys(answer, None, jitter, sent, now) {
            Ok(Fetched::Keys(skipped)) => Some(skipped),
            _ => None,
        }
    }

    /// A redirect to the service itself is followed once (RFC 9110 section 15.4).
    // RFC 8725 section 3.10 (R54)
    fn settle_redirect(&mut self, answer: &Answer) -> Result<Fetched, FetchError> {
        if self.redirect != Redirect::None {
            return Err(FetchError::RedirectedAgain);
        }
        let location = answer.fields.values("location").next().unwrap_or_default();
        let location = String::from_utf8_lossy(location);
        let service = self.service_of(self.stage);
        let Some(path) = service.own_path(&location) else {
            let place = Redirection::of(&location, service);
            return Err(FetchError::RedirectedElsewhere(answer.status, place));
        };
        self.redirect = Redirect::To(path.to_owned());
        self.schedule.hurry();
        Ok(Fetched::Location)
    }

    fn settle_discovery(&mut self, answer: &Answer, now: UnixTime) -> Result<Fetched, FetchError> {
        if let JwksLocation::Discovered { issuer, .. } = &self.endpoint.location {
            let path = discovery::jwks_path(&answer.body, issuer).map_err(FetchError::Discovery)?;
            let serves = Period::of(now, DISCOVERY_LIFETIME);
            self.discovered = Some(Discovered { path, serves });
        }
        self.redirect = Redirect::None;
        self.schedule.hurry();
        Ok(Fetched::Location)
    }

    fn settle_keys(
        &mut self,
        answer: &Answer,
        store: Option<&dyn SharedStore>,
        jitter: u8,
        sent: UnixTime,
        now: UnixTime,
    ) -> Result<Fetched, FetchError> {
        let (keys, skipped) = read_keys(&answer.body, &self.own)?;
        // Sent before the clock was set back: at some time until now.
        let at = sent.min(now);
        if !self.is_newer(at, now) && self.loaded.as_ref().is_some_and(|loaded| loaded.at != at) {
            return Ok(Fetched::Keys(Vec::new()));
        }
        let bounded = |age: Span| age.max(MIN_CACHE).min(self.endpoint.cache);
        let lifetime = answer.max_age().map_or(self.endpoint.cache, bounded);
        let serves = Period::of(at, lifetime);
        self.load(keys, answer.body.clone(), serves, jitter);
        if let Some(store) = store {
            let path = self.discovered.as_ref().map(|found| found.path.clone());
            let text = answer.body.clone();
            self.shared.publish(store, StoredSet { at, until: serves.until(), path, text }, now);
        }
        Ok(Fetched::Keys(skipped))
    }

    fn load(&mut self, keys: KeySet, text: Vec<u8>, serves: Period, jitter: u8) {
        (self.abandoned, self.redirect) = (false, Redirect::None);
        let (at, lifetime) = (serves.from(), serves.until().since(serves.from()));
        self.schedule.answered(Period::of(at, shortened(lifetime, jitter)));
        // An unchanged set stays the same object, so that tokens verified with it need
        // not be verified again.
        let keys = match &self.loaded {
            Some(loaded) if loaded.text == text => Rc::clone(&loaded.keys),
            _ => Rc::new(keys),
        };
        self.loaded = Some(Loaded { keys, text, at });
    }
}

fn answered(reply: &CalloutReply) -> Result<&Answer, FetchError> {
    match reply {
        CalloutReply::Answer(answer) => Ok(answer),
        CalloutReply::Failed(failure) => Err(FetchError::NoAnswer(*failure)),
    }
}

fn read_keys(text: &[u8], own: &[VerifyingKey]) -> Result<(KeySet, Vec<SkippedKey>), FetchError> {
    let document = json::parse_present(text).map_err(FetchError::Json)?;
    KeySet::from_jwks_without(&document, Origin::Remote, own).map_err(FetchError::Keys)
}

#[cfg(test)]
mod tests;
