//! Keys missing from a set, and the limits on fetches for them.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use crate::time::{Period, Span, UnixTime};

/// Why a key set is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// There are no keys.
    Any,
    /// None matches a token that names this key, or no key.
    Key(Option<String>),
    /// The named key did not make the signature: it may have been replaced.
    Replacement(Option<String>),
}

/// Why no fetch is made for a wanted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFetch {
    /// The issuer was queried recently, or cannot be, and does not have the key.
    Missing,
    /// It is not known whether the issuer has the key: its service fails, or no fetch may
    /// be made yet.
    Unanswered,
    /// Nor is it known: too many requests wait for fetches.
    TooMany,
}

/// The result of looking for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The set should be fetched.
    Fetch,
    /// A recent fetch for this key did not bring it.
    Answered,
    /// No fetch may be spent on this key yet.
    Later,
}

/// Fetches caused by tokens: one per cooldown for each wanted key, and a limited number
/// for all of them, since tokens can be invented. A fetch for one key does not answer
/// for another.
#[derive(Debug)]
pub(super) struct Lookups {
    cooldown: Span,
    /// The lookups of the last cooldown, by a hash under a key of this VM.
    recent: VecDeque<(u64, Period)>,
    hashes: RandomState,
    /// As long as the fetches made so far last at the pace of [`Lookups::interval`].
    paced: Option<Period>,
}

/// The sustained number of fetches per cooldown.
const FETCHES_IN_COOLDOWN: u32 = 4;

impl Lookups {
    pub(super) fn new(cooldown: Span) -> Self {
        let (recent, hashes) = (VecDeque::new(), RandomState::new());
        Self { cooldown, recent, hashes, paced: None }
    }

    /// The time between fetches. One may be early, so that a single made-up token delays
    /// no other client.
    fn interval(&self) -> Span {
        let millis = self.cooldown.as_millis().div_euclid(FETCHES_IN_COOLDOWN.into());
        Span::from_millis(u32::try_from(millis).unwrap_or(u32::MAX))
    }

    /// Decides whether a fetch may be made for this key.
    pub(super) fn look(&self, wanted: &Wanted, now: UnixTime) -> Lookup {
        let hash = self.hashes.hash_one(wanted);
        let mut standing = self.recent.iter().filter(|(_, period)| period.contains(now));
        if standing.any(|(recent, _)| *recent == hash) {
            return Lookup::Answered;
        }
        let early = now.plus(self.interval());
        let is_ahead = |paced: Period| paced.contains(now) && early < paced.until();
        if self.paced.is_some_and(is_ahead) { Lookup::Later } else { Lookup::Fetch }
    }

    /// Records a fetch for this key.
    pub(super) fn spend(&mut self, wanted: &Wanted, now: UnixTime) {
        self.recent.retain(|(_, period)| period.contains(now));
        let hash = self.hashes.hash_one(wanted);
        self.recent.push_back((hash, Period::of(now, self.cooldown)));
        let paced = self.paced.filter(|paced| paced.contains(now)).map_or(now, Period::until);
        self.paced = Some(Period::new(now, paced.plus(self.interval())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> UnixTime {
        UnixTime::from_millis(1_800_000_000_000_i64.saturating_add(millis))
    }

    #[test]
    fn each_question_is_worth_one_fetch_and_all_of_them_a_few() {
        let mut lookups = Lookups::new(Span::from_secs(30));
        let key = |name: &str| Wanted::Key(Some(name.to_owned()));
        for (millis, name, expected) in [
            (0, "a", Lookup::Fetch),
            (1, "a", Lookup::Answered),
            (1, "b", Lookup::Fetch),
            (2, "c", Lookup::Later),
            (7_499, "c", Lookup::Later),
            (7_500, "c", Lookup::Fetch),
            (7_501, "d", Lookup::Later),
            (15_000, "d", Lookup::Fetch),
            (29_999, "a", Lookup::Answered),
            (30_000, "a", Lookup::Fetch),
            // The clock was set back.
            (-86_400_000, "d", Lookup::Fetch),
        ] {
            assert_eq!(lookups.look(&key(name), at(millis)), expected, "{name} at {millis}");
            if expected == Lookup::Fetch {
                lookups.spend(&key(name), at(millis));
            }
        }
        let mut fetches = 0;
        for millis in 0..300_000 {
            let made_up = key(&millis.to_string());
            if lookups.look(&made_up, at(millis)) == Lookup::Fetch {
                lookups.spend(&made_up, at(millis));
                fetches += 1;
                assert!(lookups.recent.len() < 8);
            }
        }
        assert_eq!(fetches, 41, "a burst of two, then four in 30 s");
    }

    #[test]
    fn a_replacement_is_another_question_than_a_key() {
        let mut lookups = Lookups::new(Span::from_secs(30));
        let name = || Some("a".to_owned());
        lookups.spend(&Wanted::Replacement(name()), at(0));
        assert_eq!(lookups.look(&Wanted::Replacement(name()), at(1)), Lookup::Answered);
        assert_eq!(lookups.look(&Wanted::Key(name()), at(1)), Lookup::Fetch);
    }
}
