//! Answers about users, kept for a while.

use std::rc::Rc;

use super::{Lifetimes, UserInfo, UserInfoAnswer, UserInfoSource, UserKey};
use crate::bounded::Bounded;
use crate::time::{Period, Span, UnixTime};

/// Answers by what was asked, at most a fixed number of them; the one not used
/// for longest goes first.
///
/// Forgetting early is safe (one more callout). Serving late is not: an entry
/// is never given as current at or after its end.
#[derive(Debug)]
pub struct UserInfoCache {
    entries: Bounded<UserKey, Said>,
    /// Questions that were waited for in vain, and until when the service is not
    /// asked again. Apart from the answers: while a service hangs, those who ask
    /// must not push out what still serves.
    unanswered: Bounded<UserKey, Period>,
    lifetimes: Lifetimes,
}

#[derive(Debug)]
enum Said {
    Known {
        info: Rc<UserInfo>,
        fresh: Period,
        /// While it serves if the service fails; as long as it is fresh, and on.
        usable: Period,
        /// While the service fails: until when not to ask it again.
        pause: Option<Period>,
    },
    Unknown(Period),
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
        match self.entries.get_mut(key) {
            Some(Said::Known { info, fresh, .. }) if fresh.contains(now) => {
                Cached::Fresh(Rc::clone(info), fresh.until())
            }
            Some(Said::Known { info, pause: Some(pause), .. }) if pause.contains(now) => {
                Cached::Fresh(Rc::clone(info), pause.until())
            }
            Some(Said::Unknown(period)) if period.contains(now) => Cached::Unknown,
            _ => match self.unanswered.get_mut(key) {
                Some(pause) if pause.contains(now) => Cached::Unanswered,
                _ => Cached::Miss,
            },
        }
    }

    /// Notes that the service let a request wait in vain. Never longer than a
    /// user that is not known is kept: who keeps no refusals keeps none of these.
    pub fn note_unanswered(&mut self, key: UserKey, now: UnixTime) {
        let pause = Period::of(now, RETRY_AFTER.min(self.lifetimes.negative_ttl));
        self.unanswered.insert(key, pause);
    }

    /// Data that is no longer current, but serves while the service fails; and
    /// until when, before the service is asked again.
    pub fn stale(&mut self, key: &UserKey, now: UnixTime) -> Option<(Rc<UserInfo>, UnixTime)> {
        match self.entries.get_mut(key)? {
            Said::Known { info, usable, pause, .. } if usable.contains(now) => {
                let until = now.plus(RETRY_AFTER).min(usable.until());
                *pause = Some(Period::new(now, until));
                Some((Rc::clone(info), until))
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
                let end = source.fresh_until(*max_age, token_end, now);
                let usable = Period::new(now, end.plus(self.lifetimes.stale_if_error));
                let (info, fresh) = (Rc::clone(info), Period::new(now, end));
                (Said::Known { info, fresh, usable, pause: None }, end)
            }
            UserInfoAnswer::Unknown => {
                let period = Period::of(now, self.lifetimes.negative_ttl);
                (Said::Unknown(period), period.until())
            }
        };
        self.unanswered.remove(&key);
        let is_forbidden = matches!(answer, UserInfoAnswer::Known(_, Some(Span::ZERO)));
        if is_forbidden {
            self.entries.remove(&key);
        } else {
            self.entries.insert(key, said);
        }
        end
    }
}
