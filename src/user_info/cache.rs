//! The cache of answers about users.

use std::rc::Rc;

use super::{Lifetimes, UserInfo, UserInfoAnswer, UserInfoSource, UserKey};
use crate::bounded::Bounded;
use crate::time::{Period, Span, UnixTime};

/// Answers by key, bounded in number and in bytes; evicts the least recently used.
///
/// Early eviction is safe (one more callout). Serving late is not: an entry is never
/// returned as current at or after its expiry.
#[derive(Debug)]
pub struct UserInfoCache {
    entries: Bounded<UserKey, Known>,
    /// Failed requests, and how long they are not repeated. Separate from the answers and
    /// small: while a service hangs, failures must not evict usable answers.
    refusals: Bounded<UserKey, (Refusal, Period)>,
    lifetimes: Lifetimes,
}

#[derive(Debug)]
struct Known {
    info: Rc<UserInfo>,
    fresh: Period,
    /// While it may be served if the service fails: as long as it is fresh, and longer.
    usable: Period,
    /// While the service fails: until when it is not queried again.
    pause: Option<Period>,
}

#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// The user does not exist.
    Unknown,
    /// The service timed out.
    Unanswered,
}

/// The pause after a failure: while stale data is served, and after a timeout, so that
/// a hanging service does not delay every request.
const RETRY_AFTER: Span = Span::from_secs(1);

/// Memory for failed requests.
const MAX_REFUSAL_BYTES: usize = 1024 * 1024;

/// The result of a lookup.
#[derive(Clone, Debug)]
pub enum Cached {
    /// Current data, and its expiry.
    Fresh(Rc<UserInfo>, UnixTime),
    /// The service answered that the user does not exist.
    Unknown,
    /// Nothing, and a request to the service has just timed out.
    Unanswered,
    /// Nothing usable without a callout.
    Miss,
}

impl UserInfoCache {
    /// A cache of `max_entries` in about `max_bytes`; zero disables it.
    pub fn new(max_entries: usize, max_bytes: usize, lifetimes: Lifetimes) -> Self {
        let entries = Bounded::new(max_entries, max_bytes);
        Self { entries, refusals: Bounded::new(max_entries, MAX_REFUSAL_BYTES), lifetimes }
    }

    /// Looks `key` up.
    pub fn get(&mut self, key: &UserKey, now: UnixTime) -> Cached {
        match self.entries.get_mut(key) {
            Some(Known { info, fresh, .. }) if fresh.contains(now) => {
                Cached::Fresh(Rc::clone(info), fresh.until())
            }
            Some(Known { info, pause: Some(pause), .. }) if pause.contains(now) => {
                Cached::Fresh(Rc::clone(info), pause.until())
            }
            _ => match self.refusals.get_mut(key) {
                Some((Refusal::Unknown, holds)) if holds.contains(now) => Cached::Unknown,
                Some((Refusal::Unanswered, holds)) if holds.contains(now) => Cached::Unanswered,
                _ => Cached::Miss,
            },
        }
    }

    /// Records a timeout of the service. Kept for at most `negative_ttl`; with 0,
    /// not at all.
    pub fn record_timeout(&mut self, key: UserKey, now: UnixTime) {
        let pause = Period::of(now, RETRY_AFTER.min(self.lifetimes.negative_ttl));
        self.cache_refusal(key, Refusal::Unanswered, pause);
    }

    fn cache_refusal(&mut self, key: UserKey, refusal: Refusal, holds: Period) {
        let bytes = key.bytes();
        self.refusals.insert(key, (refusal, holds), bytes);
    }

    /// Stale data to serve while the service fails, and the end of the pause before the
    /// next attempt.
    // RFC 5861 section 4: "indicates that when an error is encountered, a cached stale
    // response MAY be used to satisfy the request, regardless of other freshness
    // information" (R66)
    pub fn stale(&mut self, key: &UserKey, now: UnixTime) -> Option<(Rc<UserInfo>, UnixTime)> {
        let known = self.entries.get_mut(key).filter(|known| known.usable.contains(now))?;
        let until = now.plus(RETRY_AFTER).min(known.usable.until());
        known.pause = Some(Period::new(now, until));
        Some((Rc::clone(&known.info), until))
    }

    /// Its approximate memory.
    pub const fn bytes(&self) -> usize {
        self.entries.bytes().saturating_add(self.refusals.bytes())
    }

    /// The number of evictions since the last call.
    pub const fn take_evicted(&mut self) -> u64 {
        self.entries.take_evicted()
    }

    /// Caches an answer, unless the service forbids that (`no-store`); returns its
    /// expiry.
    pub fn insert(
        &mut self,
        key: UserKey,
        answer: &UserInfoAnswer,
        source: &UserInfoSource,
        token_end: Option<UnixTime>,
        now: UnixTime,
    ) -> UnixTime {
        match answer {
            UserInfoAnswer::Known(info, max_age) => {
                let end = source.fresh_until(*max_age, token_end, now);
                self.refusals.remove(&key);
                if *max_age == Some(Span::ZERO) {
                    self.entries.remove(&key);
                    return end;
                }
                let usable = Period::new(now, end.plus(self.lifetimes.stale_if_error));
                let (info, fresh) = (Rc::clone(info), Period::new(now, end));
                let bytes = key.bytes().saturating_add(info.bytes());
                self.entries.insert(key, Known { info, fresh, usable, pause: None }, bytes);
                end
            }
            UserInfoAnswer::Unknown(max_age) => {
                let holds = Period::of(now, self.lifetimes.negative(*max_age));
                self.entries.remove(&key);
                self.cache_refusal(key, Refusal::Unknown, holds);
                holds.until()
            }
        }
    }
}
