//! The entries of one list, looked up by the claims of a token.

use std::collections::{HashMap, HashSet};

use super::change::{Change, Effect, Source};
use super::entry::{Entry, Selector, Validity, claim_key, claim_of};
use super::validities::{SourcedValidity, Validities};
use crate::json::{Document, Json};
use crate::time::{Span, UnixTime};
use crate::token::{ClaimPath, MAX_CLOCK_SKEW_SECONDS, Verified, numeric_date, text_of};

/// Entries by value.
#[derive(Debug)]
pub(super) struct EntryIndex {
    policy: Policy,
    /// By position in [`Selector::ALL`].
    validities: [HashMap<String, Validities>; Selector::ALL.len()],
    /// The claims that entries select by, as written.
    claims: HashMap<String, ClaimPath>,
    len: usize,
    /// None of the entries has ended before this; `None` if none ends.
    first_end: Option<UnixTime>,
    /// From this number on, expired entries are removed before others are added.
    max_entries: usize,
    /// How long an entry holds after its end.
    skew: Span,
    /// How long it is kept for other gateways that share the list.
    kept: Span,
    /// Changes with every entry that has an effect.
    generation: u64,
}

/// The effect of a second entry for the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Both hold: a revocation is withdrawn only by an entry that explicitly does so.
    Add,
    /// The new one replaces the old one: permissions can be withdrawn.
    Replace,
}

impl EntryIndex {
    /// Usually of `max_entries` at most. Each holds for `skew` after its `until`: as long as a
    /// token is accepted after its own expiry. Revocations are kept for as long as any
    /// gateway may need them, so that one with a smaller skew takes nothing from the list
    /// that they share.
    pub(super) fn new(policy: Policy, max_entries: usize, skew: Span) -> Self {
        let kept = match policy {
            Policy::Add => Span::from_secs(MAX_CLOCK_SKEW_SECONDS),
            Policy::Replace => skew,
        };
        Self {
            policy,
            validities: Default::default(),
            claims: HashMap::new(),
            len: 0,
            first_end: None,
            max_entries,
            skew,
            kept,
            generation: 0,
        }
    }

    /// Its policy.
    pub(super) const fn policy(&self) -> Policy {
        self.policy
    }

    /// Changes whenever an entry was added or withdrawn.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of entries.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The changes that entries make, in order; a known entry makes none. `from_start`:
    /// the feed was read from its start, so it repeats old entries.
    pub(super) fn changes(
        &self,
        entries: &[Entry],
        source: Source,
        from_start: bool,
        now: UnixTime,
    ) -> Vec<Change> {
        let withdrawal = if from_start { Effect::WithdrawFed } else { Effect::Withdraw };
        // Each is decided by what the ones before it left for the same name.
        let mut scratch = Self::new(self.policy, usize::MAX, self.skew);
        let mut changes = Vec::new();
        for entry in entries {
            scratch.copy(entry, self);
            let effect = if scratch.withdraws(entry, withdrawal, now) {
                withdrawal
            } else if scratch.knows(entry, source) || self.is_over(&entry.validity, now) {
                continue;
            } else {
                Effect::Add
            };
            let change = Change { entry: entry.clone(), source, effect };
            changes.push(change.clone());
            scratch.apply(change, now);
        }
        changes
    }

    /// Copies what another index holds for a name, unless it is present here.
    fn copy(&mut self, entry: &Entry, from: &Self) {
        if let Some(validities) = self.validities.get_mut(entry.selector as usize)
            && !validities.contains_key(&entry.value)
        {
            validities.insert(
                entry.value.clone(),
                from.validities_of(entry).cloned().unwrap_or_default(),
            );
        }
    }

    /// True if an entry withdraws a revocation: its end has passed, and the revocation's
    /// has not.
    fn withdraws(&self, entry: &Entry, effect: Effect, now: UnixTime) -> bool {
        let is_ended = |known: &SourcedValidity| {
            effect.reaches(known.source) && entry.validity.ends(&known.validity)
        };
        self.policy == Policy::Add
            && entry.validity.has_ended(now)
            && self.validities_of(entry).is_some_and(|known| {
                match entry.validity.issuer.as_deref() {
                    None => known.iter().any(is_ended),
                    issuer => known.of(issuer).any(is_ended),
                }
            })
    }

    /// Applies a change.
    pub(super) fn apply(&mut self, change: Change, now: UnixTime) {
        let Change { entry, source, effect } = change;
        if effect == Effect::Add {
            return self.add(entry, source, now);
        }
        let Some(validities) = self.validities.get_mut(entry.selector as usize) else { return };
        if let Some(known) = validities.get_mut(&entry.value) {
            let before = known.len();
            known.remove(entry.validity.issuer.as_deref(), |known| {
                effect.reaches(known.source) && entry.validity.ends(&known.validity)
            });
            self.len = self.len.saturating_sub(before).saturating_add(known.len());
            self.generation = self.generation.wrapping_add(1);
        }
    }

    fn add(&mut self, entry: Entry, source: Source, now: UnixTime) {
        if self.knows(&entry, source) {
            return;
        }
        if self.len >= self.max_entries {
            self.drop_ended(now);
        }
        let Entry { selector, value, validity } = entry;
        let claim = (selector == Selector::Claim).then(|| claim_of(&value).0.to_owned());
        let claim = claim.and_then(|claim| Some((ClaimPath::parse(&claim)?, claim)));
        self.claims.extend(claim.map(|(path, claim)| (claim, path)));
        let Some(validities) = self.validities.get_mut(selector as usize) else { return };
        let validities = validities.entry(value).or_default();
        self.first_end = earlier(self.first_end, validity.until);
        let before = validities.len();
        match self.policy {
            Policy::Add => validities.remove(validity.issuer.as_deref(), |known| {
                validity.covers(&known.validity) && source.outranks(known.source)
            }),
            Policy::Replace => *validities = Validities::default(),
        }
        validities.push(SourcedValidity { validity, source });
        self.len = self.len.saturating_sub(before).saturating_add(validities.len());
        self.generation = self.generation.wrapping_add(1);
    }

    fn validities_of(&self, entry: &Entry) -> Option<&Validities> {
        self.validities.get(entry.selector as usize)?.get(&entry.value)
    }

    /// True if an entry is already known.
    fn knows(&self, entry: &Entry, source: Source) -> bool {
        let known = self.validities_of(entry).into_iter();
        known.flat_map(|known| known.of(entry.validity.issuer.as_deref())).any(|known| {
            match self.policy {
                Policy::Add => {
                    known.validity.covers(&entry.validity) && known.source.outranks(source)
                }
                Policy::Replace => known.validity == entry.validity,
            }
        })
    }

    /// True if an entry applies to this token with these `claims`.
    pub(super) fn matches(&self, token: &Verified, claims: &Document, now: UnixTime) -> bool {
        if self.len == 0 {
            return false;
        }
        let now = now.minus(self.skew);
        let text = |name| text_of(claims, name);
        let values = [
            (Selector::TokenId, text("jti")),
            (Selector::Subject, Some(token.subject())),
            // The subject according to its issuer, where another claim is the subject.
            (Selector::Subject, text("sub")),
            (Selector::SessionId, text("sid")),
            (Selector::Client, token.client()),
            (Selector::Client, text("azp")),
            (Selector::Client, text("client_id")),
        ];
        let issuer = text("iss");
        let issued = numeric_date(claims, "iat").ok().flatten();
        let is_named = |selector: Selector, value: &str| {
            let known = self.validities.get(selector as usize).and_then(|known| known.get(value));
            let mut known = known.into_iter().flat_map(|known| known.of(issuer));
            known.any(|known| known.validity.applies(issuer, issued, now))
        };
        let by_claim = |(claim, path): (&String, &ClaimPath)| {
            let is_named = |value: &str| is_named(Selector::Claim, &claim_key(claim, value));
            match path.find(claims) {
                Some(Json::Text(value)) => is_named(value),
                Some(Json::Array(values)) => values.iter().filter_map(Json::as_str).any(is_named),
                _ => false,
            }
        };
        values.into_iter().any(|(selector, value)| value.is_some_and(|it| is_named(selector, it)))
            || self.claims.iter().any(by_claim)
    }

    /// True if no gateway needs an entry any more. On an allowlist expired entries are kept
    /// until there is no room.
    fn is_over(&self, validity: &Validity, now: UnixTime) -> bool {
        self.policy == Policy::Add && validity.has_ended(now.minus(self.kept))
    }

    /// Removes the entries that no gateway needs any more, of which there are seldom any.
    pub(super) fn drop_ended(&mut self, now: UnixTime) {
        let now = now.minus(self.kept);
        if self.first_end.is_none_or(|end| now < end) {
            return;
        }
        let mut len = 0_usize;
        self.first_end = None;
        for validities in &mut self.validities {
            validities.retain(|_, validities| {
                validities.remove(None, |known| known.validity.has_ended(now));
                for known in validities.iter() {
                    self.first_end = earlier(self.first_end, known.validity.until);
                }
                len = len.saturating_add(validities.len());
                validities.len() > 0
            });
        }
        self.len = len;
        let known = self.validities.get(Selector::Claim as usize);
        let named = known.into_iter().flat_map(HashMap::keys).map(|key| claim_of(key).0);
        let named: HashSet<&str> = named.collect();
        self.claims.retain(|claim, _| named.contains(claim.as_str()));
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        self.validities.iter_mut().for_each(HashMap::clear);
        self.claims.clear();
        self.len = 0;
        self.first_end = None;
        self.generation = self.generation.wrapping_add(1);
    }

    /// All entries, as changes that rebuild this index from scratch.
    pub(super) fn entries(&self) -> impl Iterator<Item = Change> {
        Selector::ALL.into_iter().zip(&self.validities).flat_map(|(selector, validities)| {
            validities.iter().flat_map(move |(value, validities)| {
                validities.iter().map(move |known| {
                    let (value, validity) = (value.clone(), known.validity.clone());
                    let entry = Entry { selector, value, validity };
                    Change { entry, source: known.source, effect: Effect::Add }
                })
            })
        })
    }
}

/// The earlier one of two ends, where `None` means never.
fn earlier(one: Option<UnixTime>, other: Option<UnixTime>) -> Option<UnixTime> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: &serde_json::Value) -> Entry {
        Entry::read(value).unwrap()
    }

    #[test]
    fn entries_are_counted_as_they_come_and_go() {
        let now = UnixTime::from_secs(0);
        let added = |entry| Change { entry, source: Source::Feed, effect: Effect::Add };
        for (policy, counts) in
            [(Policy::Add, [1, 2, 3, 2, 3, 4]), (Policy::Replace, [1, 1, 2, 2, 3, 4])]
        {
            let mut index = EntryIndex::new(policy, 4, Span::ZERO);
            assert_eq!(index.len(), 0);
            for (entry, count) in [
                json!({"sub": "a", "issued_before": 5}),
                json!({"sub": "a", "until": 9}),
                json!({"jti": "a", "until": 9}),
                // Covers everything that the first two do.
                json!({"sub": "a"}),
                json!({"sub": "b"}),
                json!({"sid": "a"}),
            ]
            .iter()
            .map(entry)
            .zip(counts)
            {
                index.apply(added(entry.clone()), now);
                assert_eq!(index.len(), count, "{entry:?}");
                assert!(index.knows(&entry, Source::Feed));
            }
            index.apply(added(entry(&json!({"sub": "c"}))), now);
            assert_eq!(index.len(), 5, "there may be more elsewhere");
            // The revocation may be needed by a gateway with a larger clock skew until then.
            let later = UnixTime::from_secs(309);
            index.apply(added(entry(&json!({"sub": "d"}))), later);
            assert_eq!(index.len(), 5, "in place of one that has ended");
            index.clear();
            assert_eq!((index.len(), index.entries().count()), (0, 0));
        }
    }

    /// The number of entries left after these, in order, each from the endpoint or a feed.
    fn left(said: &[(serde_json::Value, Source, bool)]) -> usize {
        let now = UnixTime::from_secs(1000);
        let mut index = EntryIndex::new(Policy::Add, 10, Span::from_secs(10));
        for (value, source, from_start) in said {
            for change in index.changes(&[entry(value)], *source, *from_start, now) {
                index.apply(change, now);
            }
        }
        index.len()
    }

    #[test]
    fn an_entry_that_has_ended_withdraws_earlier_ones() {
        let here = |value| (value, Source::Here, false);
        let fed = |value| (value, Source::Feed, false);
        let again = |value| (value, Source::Feed, true);
        let alice = || json!({"sub": "alice"});
        let ended = || json!({"sub": "alice", "until": 999});
        let before = |end: i64| json!({"sub": "alice", "issued_before": 50, "until": end});
        for (case, said, expected) in [
            ("at the endpoint", vec![here(alice()), here(ended())], 0),
            ("on the feed", vec![fed(alice()), fed(ended())], 0),
            ("of either", vec![here(alice()), fed(ended())], 0),
            ("both", vec![here(alice()), fed(alice()), here(ended())], 0),
            ("an older one", vec![here(before(5000)), here(ended())], 0),
            ("not a wider one", vec![here(alice()), here(before(999))], 1),
            ("and again", vec![here(alice()), here(ended()), here(alice())], 1),
            ("another user", vec![here(json!({"sub": "bob"})), here(ended())], 2),
            (
                "of one issuer",
                vec![here(alice()), here(json!({"sub": "alice", "iss": "i", "until": 1}))],
                1,
            ),
            ("nothing there, long ago", vec![here(json!({"sub": "alice", "until": 700}))], 0),
            ("needed elsewhere", vec![here(json!({"sub": "alice", "until": 701}))], 1),
            ("nothing there, within the skew", vec![here(ended())], 1),
            ("once more, within the skew", vec![here(ended()), here(ended())], 1),
            ("an end put off", vec![here(json!({"sub": "alice", "until": 995})), here(ended())], 1),
            ("a feed read anew", vec![again(alice()), again(ended())], 0),
            ("what was said since", vec![here(alice()), again(alice()), again(ended())], 1),
        ] {
            assert_eq!(left(&said), expected, "{case}");
        }
    }

    #[test]
    fn entries_of_one_request_follow_each_other() {
        let now = UnixTime::from_secs(100);
        for (policy, revoked_first, revoked_last) in [(Policy::Add, 0, 1), (Policy::Replace, 1, 1)]
        {
            for (entries, expected) in [
                ([json!({"sub": "a"}), json!({"sub": "a", "until": 1})], revoked_first),
                ([json!({"sub": "a", "until": 1}), json!({"sub": "a"})], revoked_last),
            ] {
                let mut index = EntryIndex::new(policy, 10, Span::ZERO);
                let known = Change {
                    entry: entry(&json!({"sub": "a"})),
                    source: Source::Here,
                    effect: Effect::Add,
                };
                index.apply(known, now);
                let entries = entries.each_ref().map(entry);
                for change in index.changes(&entries, Source::Here, false, now) {
                    index.apply(change, now);
                }
                assert_eq!(index.len(), expected, "{policy:?}, {entries:?}");
                let last = entries[1].validity.until.is_none();
                let holds = index.entries().any(|known| known.entry.validity.until.is_none());
                assert_eq!(holds, last, "{policy:?}, {entries:?}");
            }
        }
    }
}
