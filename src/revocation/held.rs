//! What a list holds for one value.

use std::collections::BTreeMap;

use super::change::Source;
use super::entry::Validity;

/// A validity, and its source.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub validity: Validity,
    pub source: Source,
}

/// The validities of one value, nearly always one.
///
/// Where the same subject is named for thousands of issuers, an entry of one of them is not
/// compared with those of all others.
#[derive(Clone, Debug)]
pub(super) enum AllHeld {
    Few(Vec<Held>),
    Many(ByIssuer),
}

#[derive(Clone, Debug, Default)]
pub(super) struct ByIssuer {
    /// Those of every issuer.
    of_every: Vec<Held>,
    of_one: BTreeMap<String, Vec<Held>>,
    len: usize,
}

/// So many are compared with each other.
const FEW: usize = 16;

impl Default for AllHeld {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl AllHeld {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        let (first, others) = match self {
            Self::Few(few) => (few, None),
            Self::Many(many) => (&many.of_every, Some(&many.of_one)),
        };
        first.iter().chain(others.into_iter().flat_map(BTreeMap::values).flatten())
    }

    /// At least those that hold for tokens of this issuer.
    pub(super) fn of(&self, issuer: Option<&str>) -> impl Iterator<Item = &Held> {
        let (first, others) = match self {
            Self::Few(few) => (few, None),
            Self::Many(many) => (&many.of_every, issuer.and_then(|issuer| many.of_one.get(issuer))),
        };
        first.iter().chain(others.into_iter().flatten())
    }

    /// Removes some of those of an issuer; without one, of any and of all.
    pub(super) fn remove(&mut self, issuer: Option<&str>, is_removed: impl Fn(&Held) -> bool) {
        let retain = |held: &mut Vec<Held>| {
            let before = held.len();
            held.retain(|held| !is_removed(held));
            before.saturating_sub(held.len())
        };
        match (self, issuer) {
            (Self::Few(few), _) => {
                retain(few);
            }
            (Self::Many(many), Some(issuer)) => {
                let Some(held) = many.of_one.get_mut(issuer) else { return };
                many.len = many.len.saturating_sub(retain(held));
                if held.is_empty() {
                    many.of_one.remove(issuer);
                }
            }
            (Self::Many(many), None) => {
                let mut removed = retain(&mut many.of_every);
                many.of_one.retain(|_, held| {
                    removed = removed.saturating_add(retain(held));
                    !held.is_empty()
                });
                many.len = many.len.saturating_sub(removed);
            }
        }
    }

    pub(super) fn push(&mut self, held: Held) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push(held),
            Self::Few(few) => {
                let mut many = ByIssuer::default();
                few.drain(..).chain([held]).for_each(|held| many.push(held));
                *self = Self::Many(many);
            }
            Self::Many(many) => many.push(held),
        }
    }
}

impl ByIssuer {
    fn push(&mut self, held: Held) {
        self.len = self.len.saturating_add(1);
        match held.validity.issuer.clone() {
            Some(issuer) => self.of_one.entry(issuer).or_default().push(held),
            None => self.of_every.push(held),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(issuer: Option<usize>) -> Held {
        let issuer = issuer.map(|number| number.to_string());
        Held {
            validity: Validity { issuer, issued_before: None, until: None },
            source: Source::Here,
        }
    }

    /// However many there are, the same are found and removed.
    #[test]
    fn many_are_found_as_few_are() {
        for count in [1, FEW, FEW + 1, 10 * FEW] {
            let mut all = AllHeld::default();
            (0..count).for_each(|number| all.push(held(Some(number))));
            all.push(held(None));
            assert_eq!((all.len(), all.iter().count()), (count + 1, count + 1));
            let found = |all: &AllHeld, issuer: Option<&str>| {
                let is_its = |held: &&Held| held.validity.issuer.as_deref() == issuer;
                all.of(issuer).filter(is_its).count()
            };
            assert_eq!([Some("0"), Some("x"), None].map(|it| found(&all, it)), [1, 0, 1]);
            let one = held(Some(0)).validity;
            all.remove(Some("0"), |held| one.covers(&held.validity));
            assert_eq!((all.len(), found(&all, Some("0")), found(&all, None)), (count, 0, 1));
            let is_kept = matches!(&all, AllHeld::Many(many) if many.of_one.contains_key("0"));
            assert!(!is_kept, "nothing is held for that issuer");
            let every = held(None).validity;
            all.remove(None, |held| every.covers(&held.validity));
            assert_eq!((all.len(), all.iter().count()), (0, 0));
        }
    }
}
