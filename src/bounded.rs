//! A map of bounded size, for what may be forgotten.

use std::borrow::Borrow;
use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

/// Values by key, at most a fixed number of them; the one not used for longest
/// goes first. With room for none it keeps nothing.
#[derive(Debug)]
pub(crate) struct Bounded<K: Hash + Eq, V> {
    entries: Option<LruCache<K, V>>,
    /// How many went to make room, since that was last asked.
    evicted: u64,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    /// Room for `max_entries`. The table grows as it fills: an idle worker holds
    /// none for its maximum.
    pub(crate) fn new(max_entries: usize) -> Self {
        let bounded = |capacity: NonZeroUsize| {
            let mut entries = LruCache::unbounded();
            entries.resize(capacity);
            entries
        };
        Self { entries: NonZeroUsize::new(max_entries).map(bounded), evicted: 0 }
    }

    /// The value of `key`, which counts as used.
    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.as_mut()?.get_mut(key)
    }

    /// Keeps a value, in place of the one that `key` had.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(entries) = &mut self.entries {
            if entries.len() == entries.cap().get() && !entries.contains(&key) {
                self.evicted = self.evicted.saturating_add(1);
            }
            entries.put(key, value);
        }
    }

    /// How many entries went to make room, since the last call.
    pub(crate) const fn take_evicted(&mut self) -> u64 {
        std::mem::replace(&mut self.evicted, 0)
    }

    /// Forgets a key.
    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(entries) = &mut self.entries {
            entries.pop(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let mut entries = Bounded::new(2);
        entries.insert("a", 1);
        entries.insert("b", 2);
        assert_eq!(entries.get_mut("a"), Some(&mut 1));
        assert_eq!(entries.take_evicted(), 0);
        entries.insert("a", 1);
        assert_eq!(entries.take_evicted(), 0, "replaced");
        entries.insert("c", 3);
        assert_eq!((entries.take_evicted(), entries.take_evicted()), (1, 0));
        assert_eq!(entries.get_mut("b"), None);
        assert_eq!((entries.get_mut("a").is_some(), entries.get_mut("c").is_some()), (true, true));
        entries.remove("a");
        assert_eq!(entries.get_mut("a"), None);
    }

    #[test]
    fn room_for_none_keeps_nothing() {
        let mut entries = Bounded::new(0);
        entries.insert("a", 1);
        assert_eq!(entries.get_mut("a"), None);
    }
}
