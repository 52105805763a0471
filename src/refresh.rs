//! Key sets that are fetched from their issuer and kept up to date.
//!
//! Owns when to fetch and how long to keep; the fetching itself is a callout
//! like any other. A fetch that fails never takes away keys that still serve.

use std::fmt;
use std::rc::Rc;

use crate::callout::{Callout, CalloutFailure, CalloutReply, Service};
use crate::json::{self, JsonError};
use crate::keys::{KeySet, KeySetError, Origin, SkippedKey};
use crate::time::{Span, UnixTime};

/// Where a provider's keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// From the configuration.
    Local(Rc<KeySet>),
    /// From the issuer's JWKS endpoint.
    Remote(Box<RemoteKeys>),
}

/// Where and when to fetch a JWKS: `remote_jwks` in the configuration.
#[derive(Debug)]
pub struct JwksEndpoint {
    /// The service that has it.
    pub service: Rc<Service>,
    /// Its path there.
    pub path: String,
    /// How long a fetched set is taken as current.
    pub cache: Span,
    /// How long it is used beyond that while fetches fail.
    pub max_stale: Span,
    /// The least time between fetches for the sake of unknown key ids.
    pub unknown_kid_cooldown: Span,
}

/// A key set that is fetched.
#[derive(Debug)]
pub struct RemoteKeys {
    endpoint: JwksEndpoint,
    loaded: Option<Loaded>,
    /// When to fetch next, if nothing else asks for it.
    due: UnixTime,
    /// When a key id was last looked for in vain.
    asked: Option<UnixTime>,
    failures: u32,
}

#[derive(Debug)]
struct Loaded {
    keys: Rc<KeySet>,
    text: Vec<u8>,
    at: UnixTime,
}

/// The first wait after a fetch that failed; it doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF_MS: u32 = 1000;
const MAX_BACKOFF: Span = Span::from_secs(30);

impl KeySource {
    /// The keys that may be used `now`, if there are any.
    pub fn current(&self, now: UnixTime) -> Option<&Rc<KeySet>> {
        match self {
            Self::Local(keys) => Some(keys),
            Self::Remote(remote) => remote.current(now),
        }
    }

    /// The source, if it can be asked for more.
    pub fn as_remote_mut(&mut self) -> Option<&mut RemoteKeys> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }
}

impl RemoteKeys {
    /// Keys to be fetched from `endpoint`, as soon as anybody asks.
    pub const fn new(endpoint: JwksEndpoint) -> Self {
        let due = UnixTime::from_millis(i64::MIN);
        Self { endpoint, loaded: None, due, asked: None, failures: 0 }
    }

    fn current(&self, now: UnixTime) -> Option<&Rc<KeySet>> {
        let loaded = self.loaded.as_ref()?;
        let end = loaded.at.plus(self.endpoint.cache).plus(self.endpoint.max_stale);
        (now < end).then_some(&loaded.keys)
    }

    /// Whether it is time for a fetch.
    pub fn is_due(&self, now: UnixTime) -> bool {
        now >= self.due
    }

    /// Whether a fetch may be made now for a key that is not known: at once
    /// when there are no keys at all (unless fetches keep failing), else once a
    /// cooldown, whatever ids hostile tokens make up.
    pub fn may_look_for_key(&self, now: UnixTime) -> bool {
        match (self.current(now), self.asked) {
            (None, _) => self.is_due(now),
            (Some(_), None) => true,
            (Some(_), Some(asked)) => now >= asked.plus(self.endpoint.unknown_kid_cooldown),
        }
    }

    /// The fetch to make. From now on none is due for as long as the service
    /// may take to answer.
    pub fn fetch(&mut self, for_unknown_key: bool, now: UnixTime) -> Callout {
        if for_unknown_key {
            self.asked = Some(now);
        }
        self.due = now.plus(self.endpoint.service.timeout).plus(Span::from_millis(MIN_BACKOFF_MS));
        Callout {
            service: Rc::clone(&self.endpoint.service),
            path: self.endpoint.path.clone(),
            headers: Vec::new(),
        }
    }

    /// A [`RemoteKeys::fetch`] went away unanswered, with the client for whose
    /// sake it was made: the next one is due at once, whoever makes it, so that
    /// a client that leaves keeps no keys from the others.
    pub const fn give_up(&mut self) {
        self.due = UnixTime::from_millis(i64::MIN);
    }

    /// Takes the reply to a [`RemoteKeys::fetch`]. Keys that serve are replaced
    /// only by keys that can serve; gives the keys of the set that cannot. `jitter`, 0 to 255, spreads the next fetch
    /// of many workers over a tenth of the time.
    pub fn settle(
        &mut self,
        reply: &CalloutReply,
        jitter: u8,
        now: UnixTime,
    ) -> Result<Vec<SkippedKey>, FetchError> {
        match read(reply) {
            Ok((keys, skipped, text)) => {
                self.failures = 0;
                // The same set stays the same object, so that what was verified
                // with it need not be verified again.
                let keys = match &self.loaded {
                    Some(loaded) if loaded.text == text => Rc::clone(&loaded.keys),
                    _ => Rc::new(keys),
                };
                self.loaded = Some(Loaded { keys, text, at: now });
                self.due = now.plus(shortened(self.endpoint.cache, jitter));
                Ok(skipped)
            }
            Err(error) => {
                let doubled = MIN_BACKOFF_MS.saturating_mul(1 << self.failures.min(5));
                self.failures = self.failures.saturating_add(1);
                let wait = Span::from_millis(doubled).min(MAX_BACKOFF);
                self.due = now.plus(shortened(wait, jitter));
                Err(error)
            }
        }
    }
}

/// `span` less up to a tenth of it.
fn shortened(span: Span, jitter: u8) -> Span {
    let tenth = span.as_millis().div_euclid(10);
    let off = tenth.saturating_mul(i64::from(jitter)).div_euclid(255);
    let rest = span.as_millis().saturating_sub(off);
    Span::from_millis(u32::try_from(rest).unwrap_or(u32::MAX))
}

fn read(reply: &CalloutReply) -> Result<(KeySet, Vec<SkippedKey>, Vec<u8>), FetchError> {
    let answer = match reply {
        CalloutReply::Answer(answer) => answer,
        CalloutReply::Failed(failure) => return Err(FetchError::NoAnswer(*failure)),
    };
    if answer.status != 200 {
        return Err(FetchError::Status(answer.status));
    }
    let document = json::parse(&answer.body).map_err(FetchError::Json)?;
    let (keys, skipped) = KeySet::from_jwks(&document, Origin::Remote).map_err(FetchError::Keys)?;
    Ok((keys, skipped, answer.body.clone()))
}

/// Why a fetch brought no keys.
#[derive(Debug)]
pub enum FetchError {
    /// No answer.
    NoAnswer(CalloutFailure),
    /// An answer other than 200.
    Status(u16),
    /// A body that is not acceptable JSON.
    Json(JsonError),
    /// A document without usable keys.
    Keys(KeySetError),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::Keys(error) => error.fmt(f),
        }
    }
}
