//! A map of bounded size, for values that may be evicted.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::rc::Rc;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use lru::LruCache;

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

/// Values by a whole text, such as a token, bounded in number and in bytes.
///
/// A text is looked up by a hash of all of it, under a random key of each VM, and found
/// only if it is equal: no text can ever get the value of another. Two texts with the same
/// hash replace each other.
pub(crate) struct ByText<V> {
    entries: Bounded<u64, (Rc<[u8]>, V)>,
    hashes: SeedableRandomState,
}

impl<V> ByText<V> {
    /// Room for `max_entries` in about `max_bytes`.
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        // Outside a VM this hasher would take its own randomness; in one it finds little.
        let seed = RandomState::new().hash_one(());
        let hashes = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self { entries: Bounded::new(max_entries, max_bytes), hashes }
    }

    /// The value of `text`; marks it as used.
    pub(crate) fn get_mut(&mut self, text: &[u8]) -> Option<&mut V> {
        let (own, value) = self.entries.get_mut(&self.hash(text))?;
        is_same(own, text).then_some(value)
    }

    /// Inserts or replaces the value of `text`.
    pub(crate) fn insert(&mut self, text: Rc<[u8]>, value: V) {
        let bytes = text.len();
        self.entries.insert(self.hash(&text), (text, value), bytes);
    }

    /// Of the whole text: issuers may begin and end all of their reference tokens alike.
    fn hash(&self, text: &[u8]) -> u64 {
        self.hashes.hash_one(text)
    }

    /// Removes a text.
    pub(crate) fn remove(&mut self, text: &[u8]) {
        if self.get_mut(text).is_some() {
            self.entries.remove(&self.hash(text));
        }
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
    /// Omits the texts, which are tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByText").finish_non_exhaustive()
    }
}

/// Whether two texts are equal.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    // Natively `==` compares many bytes at a time, in WebAssembly one, and tokens are long.
    if cfg!(target_family = "wasm") { is_same_by_words(one, other) } else { one == other }
}

/// The same, many bytes at a time.
fn is_same_by_words(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ((blocks, rest), (other_blocks, other_rest)) =
        (one.as_chunks::<64>(), other.as_chunks::<64>());
    blocks.iter().zip(other_blocks).all(|(one, other)| are_words_same(one, other))
        && are_words_same(rest, other_rest)
}

/// The same for two texts of one length, eight bytes at a time.
#[inline]
fn are_words_same(one: &[u8], other: &[u8]) -> bool {
    let ((words, rest), (other_words, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let pairs = words.iter().zip(other_words);
    let difference = pairs.fold(0, |difference, (one, other)| {
        difference | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other))
    });
    difference == 0 && rest == other_rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_begin_and_end_alike_are_kept_side_by_side() {
        let (head, tail) = ("h".repeat(300), "t".repeat(300));
        let text = |number: u32| Rc::from(format!("{head}{number}{tail}").into_bytes());
        let mut values = ByText::new(1000, usize::MAX);
        (0..1000).for_each(|number| values.insert(text(number), number));
        for number in 0..1000 {
            assert_eq!(values.get_mut(&text(number)), Some(&mut { number }), "{number}");
        }
        assert_eq!(values.take_evicted(), 0);
    }

    #[test]
    fn texts_are_compared_as_a_whole() {
        let long: Vec<u8> = (0..150).collect();
        for length in 0..=long.len() {
            let text = &long[..length];
            assert!(is_same_by_words(text, text), "{length} bytes");
            for position in 0..length {
                let mut other = text.to_vec();
                other[position] ^= 1;
                assert!(!is_same_by_words(text, &other), "{length} bytes, another at {position}");
            }
            let fewer = &long[..length.saturating_sub(1)];
            assert!(length == 0 || !is_same_by_words(text, fewer), "{length} bytes and fewer");
        }
    }

    #[test]
    fn another_text_of_the_same_hash_is_not_found() {
        let mut entries = ByText::new(2, usize::MAX);
        entries.insert(b"a"[..].into(), 1);
        // As if the hash of "b" were that of "a".
        let hash = entries.hash(b"b");
        entries.entries.insert(hash, (b"a"[..].into(), 1), 1);
        assert_eq!(entries.get_mut(b"b"), None);
        entries.remove(b"b");
        assert!(entries.entries.get_mut(&hash).is_some(), "it is not forgotten for another");
        assert_eq!(entries.get_mut(b"a"), Some(&mut 1));
        entries.insert(b"b"[..].into(), 2);
        assert_eq!(entries.get_mut(b"b"), Some(&mut 2));
        entries.remove(b"a");
        assert_eq!(entries.get_mut(b"a"), None);
        assert_eq!(entries.get_mut(b"b"), Some(&mut 2));
        assert!(entries.forget_oldest() && !entries.forget_oldest());
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
