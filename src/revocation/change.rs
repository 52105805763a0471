//! The change that an entry makes to a list, as serialized for other workers.

use serde_json::{Value, json};

use super::entry::Entry;

/// One change of a list.
///
/// The worker that receives an entry decides whether it revokes or withdraws: another
/// worker may read it after the entry has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub entry: Entry,
    pub source: Source,
    pub effect: Effect,
}

/// The source of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A feed, which can be read from its start again.
    Feed,
    /// A request to this proxy, which is not repeated.
    Here,
}

/// The effect of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Adds the entry.
    Add,
    /// Withdraws the revocation.
    Withdraw,
    /// Withdraws the revocation if a feed made it: a feed that is read from its start must
    /// not withdraw entries that this proxy received since.
    WithdrawFed,
}

impl Source {
    /// True if an entry of this source makes the same entry of the other one redundant.
    pub(super) const fn outranks(self, other: Self) -> bool {
        matches!((self, other), (Self::Here, _) | (Self::Feed, Self::Feed))
    }
}

impl Effect {
    /// True if it withdraws entries of `source`.
    pub(super) const fn reaches(self, source: Source) -> bool {
        match self {
            Self::Add => false,
            Self::Withdraw => true,
            Self::WithdrawFed => matches!(source, Source::Feed),
        }
    }
}

impl Change {
    /// As a line of the shared list.
    pub(super) fn to_json(&self) -> Value {
        let source = match self.source {
            Source::Feed => "feed",
            Source::Here => "here",
        };
        let effect = match self.effect {
            Effect::Add => "add",
            Effect::Withdraw => "back",
            Effect::WithdrawFed => "back_fed",
        };
        json!([effect, source, self.entry.to_json()])
    }

    /// Parses the output of [`Change::to_json`].
    pub(super) fn read(value: &Value) -> Option<Self> {
        let [effect, source, entry] = value.as_array()?.as_slice() else { return None };
        let source = match source.as_str()? {
            "feed" => Source::Feed,
            "here" => Source::Here,
            _ => return None,
        };
        let effect = match effect.as_str()? {
            "add" => Effect::Add,
            "back" => Effect::Withdraw,
            "back_fed" => Effect::WithdrawFed,
            _ => return None,
        };
        Some(Self { entry: Entry::read(entry).ok()?, source, effect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_survive_the_way_through_the_store() {
        let entry = Entry::read(&json!({"sub": "a", "iss": "i", "until": 7.5})).unwrap();
        for source in [Source::Feed, Source::Here] {
            for effect in [Effect::Add, Effect::Withdraw, Effect::WithdrawFed] {
                let change = Change { entry: entry.clone(), source, effect };
                assert_eq!(Change::read(&change.to_json()), Some(change));
            }
        }
        for odd in [json!({"sub": "a"}), json!(["add", "feed"]), json!(["x", "feed", {"sub": "a"}])]
        {
            assert_eq!(Change::read(&odd), None, "{odd}");
        }
    }
}
