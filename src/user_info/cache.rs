//! Answers about users, kept for a while.

use std::rc::Rc;

use super::{Lifetimes, UserInfo, UserInfoAnswer, UserInfoSource, UserKey};
use crate::bounded::Bounded;
use crate::time::{Span, UnixTime};

/// Answers by what was asked, at most a fixed number of them; the one not used
/// for longest goes first.
///
/// Forgetting early is safe (one more callout). Serving late is not: an entry
/// is never given as current at or after its end.
#[derive(Debug)]
pub struct UserInfoCache {
    entries: Bounded<UserKey, Entry>,
    /// Questions that were waited for in vain. Apart from the answers: while a
    /// service hangs, those who ask must not push out what still serves.
    unanswered: Bounded<UserKey, Pause>,
    lifetimes: Lifetimes,
}

/// A time in which the service is not asked.
#[derive(Debug)]
struct Pause {
    since: UnixTime,
    until: UnixTime,
}

#[derive(Debug)]
struct Entry {
    /// When the service said it. An entry from the future is one from before the
    /// clock was set back: nobody knows how old it is, so it is not used.
    since: UnixTime,
    said: Said,
}

#[derive(Debug)]
enum Said {
    Known {
        info: Rc<UserInfo>,
        fresh_until: UnixTime,
        stale_until: UnixTime,
        /// While the service fails: when to ask it again.
        retry_at: UnixTime,
    },
    Unknown {
        until: UnixTime,
    },
}

/// How long until a service that failed is asked again: where stale data serves
/// meanwhile, and where the service let a request wait in vain, so that one that
/// hangs does not hold up each request.
const RETRY_AFTER: Span = Span::from_secs(1);

/// The most questions that are noted as waited for in vain.
const MAX_UNANSWERED: usize = 1000;

/// What the cache has to say.
#[derive(Clone, Debug)]
pub enum Cached {
    /// Data that is current, and until when.
    Fresh(Rc<UserInfo>, UnixTime),
    /// The service said that there is no such user.
    Unknown,
    /// Nothing, and the service has just let a request wait in vain.
    Unanswered,
    /// Nothing that could be used without asking.
    Miss,
}

impl UserInfoCache {
    /// A cache of `max_entries`; none at all keeps nothing.
    pub fn new(max_entries: usize, lifetimes: Lifetimes) -> Self {
        let unanswered = Bounded::new(max_entries.min(MAX_UNANSWERED));
        Self { entries: Bounded::new(max_entries), unanswered, lifetimes }
    }

    /// What is known about `key` now.
    pub fn get(&mut self, key: &UserKey, now: UnixTime) -> Cached {
        match self.said(key, now) {
            Some(Said::Known { info, fresh_until, .. }) if now < *fresh_until => {
                Cached::Fresh(Rc::clone(info), *fresh_until)
            }
            Some(Said::Known { info, retry_at, .. }) if now < *retry_at => {
                Cached::Fresh(Rc::clone(info), *retry_at)
            }
            Some(Said::Unknown { until }) if now < *until => Cached::Unknown,
            _ => match self.unanswered.get_mut(key) {
                Some(pause) if pause.since <= now && now < pause.until => Cached::Unanswered,
                _ => Cached::Miss,
            },
        }
    }

    /// Notes that the service let a request wait in vain. Never longer than a
    /// user that is not known is kept: who keeps no refusals keeps none of these.
    pub fn note_unanswered(&mut self, key: UserKey, now: UnixTime) {
        let until = now.plus(RETRY_AFTER.min(self.lifetimes.negative_ttl));
        self.unanswered.insert(key, Pause { since: now, until });
    }

    fn said(&mut self, key: &UserKey, now: UnixTime) -> Option<&mut Said> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.since <= now)?;
        Some(&mut entry.said)
    }

    /// Data that is no longer current, but serves while the service fails; and
    /// until when, before the service is asked again.
    pub fn stale(&mut self, key: &UserKey, now: UnixTime) -> Option<(Rc<UserInfo>, UnixTime)> {
        match self.said(key, now)? {
            Said::Known { info, stale_until, retry_at, .. } if now < *stale_until => {
                *retry_at = now.plus(RETRY_AFTER).min(*stale_until);
                Some((Rc::clone(info), *retry_at))
            }
            _ => None,
        }
    }

    /// How many answers were forgotten for want of room, since the last call.
    pub const fn take_evicted(&mut self) -> u64 {
        self.entries.take_evicted()
    }

    /// Keeps an answer, unless the service forbids that (`no-store`); gives
    /// until when it is current.
    pub fn insert(
        &mut self,
        key: UserKey,
        answer: &UserInfoAnswer,
        source: &UserInfoSource,
        token_end: Option<UnixTime>,
        now: UnixTime,
    ) -> UnixTime {
        let (said, end) = match answer {
            UserInfoAnswer::Known(info, max_age) => {
                let fresh_until = source.fresh_until(*max_age, token_end, now);
                let stale_until = fresh_until.plus(self.lifetimes.stale_if_error);
                let info = Rc::clone(info);
                (Said::Known { info, fresh_until, stale_until, retry_at: now }, fresh_until)
            }
            UserInfoAnswer::Unknown => {
                let until = now.plus(self.lifetimes.negative_ttl);
                (Said::Unknown { until }, until)
            }
        };
        self.unanswered.remove(&key);
        let is_forbidden = matches!(answer, UserInfoAnswer::Known(_, Some(Span::ZERO)));
        if is_forbidden {
            self.entries.remove(&key);
        } else {
            self.entries.insert(key, Entry { since: now, said });
        }
        end
    }
}
