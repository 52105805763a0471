//! The validities of the entries that name one value.

use std::collections::BTreeMap;

use super::change::Source;
use super::entry::Validity;

/// A validity, and its source.
#[derive(Clone, Debug)]
pub(super) struct SourcedValidity {
    pub validity: Validity,
    pub source: Source,
}

/// The validities of one value, nearly always one.
///
/// Where the same subject is named for thousands of issuers, an entry of one of them is not
/// compared with those of all others.
#[derive(Clone, Debug)]
pub(super) enum Validities {
    Few(Vec<SourcedValidity>),
    Many(ByIssuer),
}

#[derive(Clone, Debug, Default)]
pub(super) struct ByIssuer {
    /// Those of every issuer.
    of_every: Vec<SourcedValidity>,
    of_one: BTreeMap<String, Vec<SourcedValidity>>,
    len: usize,
}

/// So many are compared with each other.
const FEW: usize = 16;

impl Default for Validities {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Validities {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SourcedValidity> {
        let (first, others) = match self {
            Self::Few(few) => (few, None),
            Self::Many(many) => (&many.of_every, Some(&many.of_one)),
        };
        first.iter().chain(others.into_iter().flat_map(BTreeMap::values).flatten())
    }

    /// At least those that hold for tokens of this issuer.
    pub(super) fn of(&self, issuer: Option<&str>) -> impl Iterator<Item = &SourcedValidity> {
        let (first, others) = match self {
            Self::Few(few) => (few, None),
            Self::Many(many) => (&many.of_every, issuer.and_then(|issuer| many.of_one.get(issuer))),
        };
        first.iter().chain(others.into_iter().flatten())
    }

    /// Removes some of those of an issuer; without one, of any and of all.
    pub(super) fn remove(
        &mut self,
        issuer: Option<&str>,
        is_removed: impl Fn(&SourcedValidity) -> bool,
    ) {
        let retain = |known: &mut Vec<SourcedValidity>| {
            let before = known.len();
            known.retain(|known| !is_removed(known));
            before.saturating_sub(known.len())
        };
        match (self, issuer) {
            (Self::Few(few), _) => {
                retain(few);
            }
            (Self::Many(many), Some(issuer)) => {
                let Some(known) = many.of_one.get_mut(issuer) else { return };
                many.len = many.len.saturating_sub(retain(known));
                if known.is_empty() {
                    many.of_one.remove(issuer);
                }
            }
            (Self::Many(many), None) => {
                let mut removed = retain(&mut many.of_every);
                many.of_one.retain(|_, known| {
                    removed = removed.saturating_add(retain(known));
                    !known.is_empty()
                });
                many.len = many.len.saturating_sub(removed);
            }
        }
    }

    pub(super) fn push(&mut self, known: SourcedValidity) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push(known),
            Self::Few(few) => {
                let mut many = ByIssuer::default();
                few.drain(..).chain([known]).for_each(|known| many.push(known));
                *self = Self::Many(many);
            }
            Self::Many(many) => many.push(known),
        }
    }
}

impl ByIssuer {
    fn push(&mut self, known: SourcedValidity) {
        self.len = self.len.saturating_add(1);
        match known.validity.issuer.clone() {
            Some(issuer) => self.of_one.entry(issuer).or_default().push(known),
            None => self.of_every.push(known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(issuer: Option<usize>) -> SourcedValidity {
        let issuer = issuer.map(|number| number.to_string());
        SourcedValidity {
            validity: Validity { issuer, issued_before: None, until: None },
            source: Source::Here,
        }
    }

    /// However many there are, the same are found and removed.
    #[test]
    fn many_are_found_as_few_are() {
        for count in [1, FEW, FEW + 1, 10 * FEW] {
            let mut all = Validities::default();
            (0..count).for_each(|number| all.push(known(Some(number))));
            all.push(known(None));
            assert_eq!((all.len(), all.iter().count()), (count + 1, count + 1));
            let found = |all: &Validities, issuer: Option<&str>| {
                let is_its = |known: &&SourcedValidity| known.validity.issuer.as_deref() == issuer;
                all.of(issuer).filter(is_its).count()
            };
            assert_eq!([Some("0"), Some("x"), None].map(|it| found(&all, it)), [1, 0, 1]);
            let one = known(Some(0)).validity;
            all.remove(Some("0"), |known| one.covers(&known.validity));
            assert_eq!((all.len(), found(&all, Some("0")), found(&all, None)), (count, 0, 1));
            let is_kept = matches!(&all, Validities::Many(many) if many.of_one.contains_key("0"));
            assert!(!is_kept, "nothing is known for that issuer");
            let every = known(None).validity;
            all.remove(None, |known| every.covers(&known.validity));
            assert_eq!((all.len(), all.iter().count()), (0, 0));
        }
    }
}
