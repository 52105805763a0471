//! The entries of one list, found by the claims of a token.

use std::collections::HashMap;

use super::entry::{Entry, Selector, Term};
use crate::time::UnixTime;
use crate::token::{Verified, numeric_date, text_of};

/// Entries by the value they name, at most a fixed number of them.
#[derive(Debug)]
pub(super) struct Register {
    policy: Policy,
    /// By position in [`Selector::ALL`].
    terms: [HashMap<String, Vec<Term>>; Selector::ALL.len()],
    len: usize,
    max_entries: usize,
    /// Changes with every entry that says something new.
    generation: u64,
}

/// What a second entry for the same value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Both hold: nothing that was revoked is given back.
    Add,
    /// It takes the place of the first: what was allowed can be taken away.
    Replace,
}

/// There is no room for another entry.
#[derive(Debug)]
pub(super) struct Full;

impl Register {
    pub(super) fn new(policy: Policy, max_entries: usize) -> Self {
        Self { policy, terms: Default::default(), len: 0, max_entries, generation: 0 }
    }

    /// Changes whenever an entry was added.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// How many entries there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Takes an entry in. When there is no room, those that have ended go first.
    pub(super) fn add(&mut self, entry: Entry, now: UnixTime) -> Result<(), Full> {
        if self.knows(&entry) {
            return Ok(());
        }
        if self.len >= self.max_entries {
            self.drop_ended(now);
        }
        if self.len >= self.max_entries {
            return Err(Full);
        }
        let Entry { selector, value, term } = entry;
        let Some(terms) = self.terms.get_mut(selector as usize) else { return Err(Full) };
        let terms = terms.entry(value).or_default();
        let before = terms.len();
        match self.policy {
            Policy::Add => terms.retain(|known| !term.covers(known)),
            Policy::Replace => terms.clear(),
        }
        terms.push(term);
        self.len = self.len.saturating_sub(before).saturating_add(terms.len());
        self.generation = self.generation.wrapping_add(1);
        Ok(())
    }

    /// Whether an entry would say nothing new.
    pub(super) fn knows(&self, entry: &Entry) -> bool {
        let terms = self.terms.get(entry.selector as usize).and_then(|t| t.get(&entry.value));
        let is_known = |known: &Term| match self.policy {
            Policy::Add => known.covers(&entry.term),
            Policy::Replace => *known == entry.term,
        };
        terms.is_some_and(|terms| terms.iter().any(is_known))
    }

    /// Whether an entry is about this token.
    pub(super) fn names(&self, token: &Verified, now: UnixTime) -> bool {
        if self.len == 0 {
            return false;
        }
        let claims = token.claims().members();
        let text = |name| text_of(&claims, name);
        let values = [
            (Selector::TokenId, text("jti")),
            (Selector::Subject, Some(token.subject())),
            (Selector::SessionId, text("sid")),
            (Selector::Client, text("azp")),
            (Selector::Client, text("client_id")),
        ];
        let issuer = text("iss");
        let issued = numeric_date(&claims, "iat").ok().flatten();
        values.into_iter().any(|(selector, value)| {
            let terms = value.and_then(|value| self.terms.get(selector as usize)?.get(value));
            terms.into_iter().flatten().any(|term| term.applies(issuer, issued, now))
        })
    }

    /// Forgets the entries that have ended.
    pub(super) fn drop_ended(&mut self, now: UnixTime) {
        let mut len = 0_usize;
        for terms in &mut self.terms {
            terms.retain(|_, terms| {
                terms.retain(|term| !term.has_ended(now));
                len = len.saturating_add(terms.len());
                !terms.is_empty()
            });
        }
        self.len = len;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.terms.iter_mut().for_each(HashMap::clear);
        self.len = 0;
        self.generation = self.generation.wrapping_add(1);
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        Selector::ALL.into_iter().zip(&self.terms).flat_map(|(selector, terms)| {
            terms.iter().flat_map(move |(value, terms)| {
                terms.iter().map(move |term| Entry {
                    selector,
                    value: value.clone(),
                    term: term.clone(),
                })
            })
        })
    }
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
        for (policy, counts) in
            [(Policy::Add, [1, 2, 3, 2, 3, 4]), (Policy::Replace, [1, 1, 2, 2, 3, 4])]
        {
            let mut register = Register::new(policy, 4);
            assert_eq!(register.len(), 0);
            for (entry, count) in [
                json!({"sub": "a", "issued_before": 5}),
                json!({"sub": "a", "until": 9}),
                json!({"jti": "a", "until": 9}),
                // About all that the first two are about.
                json!({"sub": "a"}),
                json!({"sub": "b"}),
                json!({"sid": "a"}),
            ]
            .iter()
            .map(entry)
            .zip(counts)
            {
                register.add(entry.clone(), now).unwrap();
                assert_eq!(register.len(), count, "{entry:?}");
                assert!(register.knows(&entry));
            }
            assert!(register.add(entry(&json!({"sub": "c"})), now).is_err(), "full");
            let later = UnixTime::from_secs(9);
            register.add(entry(&json!({"sub": "c"})), later).unwrap();
            assert_eq!(register.len(), 4, "in place of one that has ended");
            register.clear();
            assert_eq!((register.len(), register.entries().count()), (0, 0));
        }
    }
}
