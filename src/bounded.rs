//! A map of bounded size, for values that may be evicted.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;

use lru::LruCache;
use sha2::{Digest, Sha256};
use siphasher::sip128::{Hash128, SipHasher13};

/// Values by key, bounded in number and in bytes; evicts the least recently used. With a
/// limit of zero it keeps nothing.
#[derive(Debug)]
pub(crate) struct Bounded<K: Hash + Eq, V> {
    entries: Option<LruCache<K, Weighed<V>>>,
    max_bytes: usize,
    bytes: usize,
    /// Evictions since the last query.
    evicted: u64,
}

/// A value, and its approximate size in bytes.
#[derive(Debug)]
struct Weighed<V> {
    value: V,
    bytes: usize,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    /// Memory of an entry besides its texts: in the list with both neighbours, and up to two
    /// slots in the table.
    const ENTRY: usize = size_of::<(K, Weighed<V>)>() + 6 * size_of::<usize>();

    /// Room for `max_entries` in about `max_bytes`. The table grows as it fills:
    /// an idle worker holds none for its maximum.
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        let bounded = |capacity: NonZeroUsize| {
            let mut entries = LruCache::unbounded();
            entries.resize(capacity);
            entries
        };
        let entries = NonZeroUsize::new(max_entries).map(bounded);
        Self { entries, max_bytes, bytes: 0, evicted: 0 }
    }

    /// The value of `key`; marks it as used.
    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.as_mut()?.get_mut(key).map(|weighed| &mut weighed.value)
    }

    /// Inserts or replaces the value of `key`. `bytes`: the size of the texts in key and
    /// value.
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.remove(&key);
        let bytes = bytes.saturating_add(Self::ENTRY);
        let Some(entries) = self.entries.as_mut().filter(|_| bytes <= self.max_bytes) else {
            return;
        };
        if let Some((_, oldest)) = entries.push(key, Weighed { value, bytes }) {
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.evicted = self.evicted.saturating_add(1);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        while self.bytes > self.max_bytes && self.forget_oldest() {}
    }

    /// The number of evictions since the last call.
    pub(crate) const fn take_evicted(&mut self) -> u64 {
        std::mem::replace(&mut self.evicted, 0)
    }

    /// The approximate memory of all entries.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Evicts the least recently used value; false if there is none.
    pub(crate) fn forget_oldest(&mut self) -> bool {
        let oldest = self.entries.as_mut().and_then(LruCache::pop_lru);
        let Some((_, oldest)) = oldest else { return false };
        self.bytes = self.bytes.saturating_sub(oldest.bytes);
        self.evicted = self.evicted.saturating_add(1);
        true
    }

    /// Removes a key.
    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let removed = self.entries.as_mut().and_then(|entries| entries.pop(key));
        self.bytes = self.bytes.saturating_sub(removed.map_or(0, |removed| removed.bytes));
    }
}

/// Values by a text, such as a token, bounded in number and in bytes.
///
/// The text itself is not kept, but a tag of it: SipHash-1-3 with 128 bits, the variant for
/// tables, under a secret key of each map. Nobody outside learns a tag, so whoever wants
/// another text to be found for a known one can only guess, in one of 2^128 cases; the best
/// known difference of two texts with one tag does it in one of 2^167 (Dobraunig, Mendel,
/// Schläffer: Differential Cryptanalysis of SipHash).
pub(crate) struct ByText<V> {
    entries: Bounded<Tag, V>,
    tags: SipHasher13,
}

/// What a text is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tag(u64, u64);

impl<V> ByText<V> {
    /// Room for `max_entries` in about `max_bytes`. With `secret` the tags are safe on a host
    /// without good randomness too: under a known key, texts with one tag could be made.
    pub(crate) fn new(max_entries: usize, max_bytes: usize, secret: &[u8]) -> Self {
        let random = RandomState::new();
        let random = [random.hash_one(0), random.hash_one(1)];
        Self::keyed(max_entries, max_bytes, secret, random)
    }

    fn keyed(max_entries: usize, max_bytes: usize, secret: &[u8], random: [u64; 2]) -> Self {
        let [one, other] = random.map(u64::to_le_bytes);
        let key = Sha256::new().chain_update(one).chain_update(other).chain_update(secret);
        let key = key.finalize();
        let key = key.first_chunk().copied().unwrap_or_default();
        let tags = SipHasher13::new_with_key(&key);
        Self { entries: Bounded::new(max_entries, max_bytes), tags }
    }

    /// The value of `text`; marks it as used.
    pub(crate) fn get_mut(&mut self, text: &[u8]) -> Option<&mut V> {
        self.entries.get_mut(&self.tag(text))
    }

    /// Inserts or replaces the value of `text`. `bytes`: the size of the texts in the value.
    pub(crate) fn insert(&mut self, text: &[u8], value: V, bytes: usize) {
        self.entries.insert(self.tag(text), value, bytes);
    }

    /// Removes a text.
    pub(crate) fn remove(&mut self, text: &[u8]) {
        self.entries.remove(&self.tag(text));
    }

    fn tag(&self, text: &[u8]) -> Tag {
        let Hash128 { h1, h2 } = self.tags.hash(text);
        Tag(h1, h2)
    }

    /// Evicts the least recently used text; false if there is none.
    pub(crate) fn forget_oldest(&mut self) -> bool {
        self.entries.forget_oldest()
    }

    /// The number of evictions since the last call.
    pub(crate) const fn take_evicted(&mut self) -> u64 {
        self.entries.take_evicted()
    }
}

impl<V> fmt::Debug for ByText<V> {
    /// Omits the entries: what is cached for a token is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByText").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_begin_and_end_alike_are_kept_side_by_side() {
        let (head, tail) = ("h".repeat(300), "t".repeat(300));
        let text = |number: u32| format!("{head}{number}{tail}").into_bytes();
        let mut values = ByText::new(1000, usize::MAX, b"");
        (0..1000).for_each(|number| values.insert(&text(number), number, 0));
        for number in 0..1000 {
            assert_eq!(values.get_mut(&text(number)), Some(&mut { number }), "{number}");
        }
        assert_eq!(values.take_evicted(), 0);
    }

    #[test]
    fn a_text_that_differs_in_one_bit_is_another() {
        let text: Vec<u8> = (0..150).collect();
        let mut values = ByText::new(10, usize::MAX, b"");
        values.insert(&text, 1, 0);
        for position in 0..text.len() {
            for bit in 0..8 {
                let mut other = text.clone();
                other[position] ^= 1 << bit;
                assert_eq!(values.get_mut(&other), None, "bit {bit} of byte {position}");
            }
            assert_eq!(values.get_mut(&text[..position]), None, "{position} bytes");
            assert_eq!(values.get_mut(&text[position + 1..]), None, "from {position} on");
        }
        assert_eq!(values.get_mut(&text), Some(&mut 1));
        values.remove(&text[1..]);
        assert_eq!(values.get_mut(&text), Some(&mut 1), "another is removed");
        values.remove(&text);
        assert_eq!(values.get_mut(&text), None);
        assert!(!values.forget_oldest(), "nothing is left");
    }

    #[test]
    fn each_map_has_a_key_of_its_own() {
        let new = |secret: &[u8]| ByText::<()>::new(1, 1, secret);
        assert_ne!(new(b"").tag(b"a"), new(b"").tag(b"a"));
        let Tag(first, second) = new(b"").tag(b"");
        assert_ne!(first, second, "it has 128 bits");
        // As on a host whose randomness can be guessed.
        let guessed = |secret: &[u8]| ByText::<()>::keyed(1, 1, secret, [7, 8]).tag(b"a");
        assert_ne!(guessed(b"one"), guessed(b"other"));
    }

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let mut entries = Bounded::new(2, usize::MAX);
        entries.insert("a", 1, 0);
        entries.insert("b", 2, 0);
        assert_eq!(entries.get_mut("a"), Some(&mut 1));
        assert_eq!(entries.take_evicted(), 0);
        entries.insert("a", 1, 0);
        assert_eq!(entries.take_evicted(), 0, "replaced");
        entries.insert("c", 3, 0);
        assert_eq!((entries.take_evicted(), entries.take_evicted()), (1, 0));
        assert_eq!(entries.get_mut("b"), None);
        assert_eq!((entries.get_mut("a").is_some(), entries.get_mut("c").is_some()), (true, true));
        entries.remove("a");
        assert_eq!(entries.get_mut("a"), None);
    }

    #[test]
    fn what_entries_take_is_bounded() {
        let room = 10 * (Bounded::<i32, i32>::ENTRY + 100);
        let mut entries = Bounded::new(1000, room);
        for number in 0..20 {
            entries.insert(number, number, 100);
            assert!(entries.bytes <= entries.max_bytes);
        }
        let kept = (0..20).filter(|number| entries.get_mut(number).is_some()).count();
        assert_eq!((kept, entries.take_evicted()), (10, 10));
        entries.insert(19, 19, 1000);
        assert!(entries.bytes <= entries.max_bytes, "replaced by a larger one");
        entries.insert(20, 20, entries.max_bytes);
        assert_eq!(entries.get_mut(&20), None, "larger than all the room");
        assert_eq!(entries.get_mut(&19), Some(&mut 19), "which cost the others nothing");
        (0..20).for_each(|number| entries.remove(&number));
        assert_eq!(entries.bytes, 0, "what is counted can be freed");
    }

    #[test]
    fn room_for_none_keeps_nothing() {
        let mut entries = Bounded::new(0, usize::MAX);
        entries.insert("a", 1, 0);
        assert_eq!(entries.get_mut("a"), None);
    }
}
