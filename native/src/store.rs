//! Data shared by all gateways of the process: key sets, revoked tokens, progress of
//! feeds.
//!
//! One map behind one lock, which is held for a lookup or an insertion and never while a
//! value is copied, let alone computed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gatepass::pipeline::SharedData;
use gatepass::shared_data::SharedStore;
use lru::LruCache;

/// The maximum number of values. A gateway has a handful; those of discarded
/// configurations stay until the limit is reached.
const MAX_VALUES: usize = 4096;

/// The maximum size of values and keys together, in bytes: a list of a million revoked
/// tokens takes about 100 MB.
const MAX_BYTES: usize = 512 << 20;

/// Values by key, the same for all clones.
///
/// When it is full, it evicts the least recently used value. That is safe: a gateway
/// whose value was evicted restores it from its own state.
#[derive(Clone)]
pub struct Store(Arc<Mutex<Values>>);

struct Values {
    by_key: LruCache<String, Entry>,
    bytes: usize,
    max_values: usize,
    max_bytes: usize,
    /// The last version assigned. No two writes get the same one, whatever their keys, so
    /// that a value that was evicted and restored is never mistaken for the one that was
    /// read.
    last_version: u32,
}

#[derive(Clone)]
struct Entry {
    value: Arc<[u8]>,
    version: u32,
}

impl Store {
    /// The store of this process, unless the configuration disables sharing.
    pub fn of_process(wanted: SharedData) -> Option<Box<dyn SharedStore>> {
        static STORE: OnceLock<Store> = OnceLock::new();
        match wanted {
            SharedData::Never => None,
            SharedData::Auto | SharedData::Always => {
                Some(Box::new(STORE.get_or_init(Self::default).clone()))
            }
        }
    }

    /// An empty store with these limits.
    pub fn with_bounds(max_values: usize, max_bytes: usize) -> Self {
        let by_key = LruCache::unbounded();
        Self(Arc::new(Mutex::new(Values {
            by_key,
            bytes: 0,
            max_values,
            max_bytes,
            last_version: 0,
        })))
    }

    /// Replaces a value, if it may be: `may` gets its version.
    fn change(&self, key: &str, value: &[u8], may: impl FnOnce(Option<u32>) -> bool) -> bool {
        let value: Arc<[u8]> = value.into();
        // Evicted values are freed after the lock is released.
        let mut gone = Vec::new();
        let is_written = self.values().write(key, value, may, &mut gone);
        drop(gone);
        is_written
    }

    /// Nothing panics while the lock is held, and every change is complete, so poisoning
    /// is ignored.
    fn values(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::with_bounds(MAX_VALUES, MAX_BYTES)
    }
}

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let Entry { value, version } = self.values().by_key.get(key)?.clone();
        Some((value.to_vec(), version))
    }

    fn create(&self, key: &str, value: &[u8]) -> bool {
        self.change(key, value, |current| current.is_none())
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        self.change(key, value, |current| version.is_none() || version == current)
    }

    fn keep(&self, key: &str) {
        self.values().by_key.promote(key);
    }
}

impl Values {
    fn write(
        &mut self,
        key: &str,
        value: Arc<[u8]>,
        may: impl FnOnce(Option<u32>) -> bool,
        gone: &mut Vec<Entry>,
    ) -> bool {
        if !may(self.by_key.peek(key).map(|entry| entry.version)) {
            return false;
        }
        let bytes = size(key, &value);
        if bytes > self.max_bytes || self.max_values == 0 {
            return false;
        }
        self.last_version = self.last_version.wrapping_add(1);
        let entry = Entry { value, version: self.last_version };
        if let Some(old) = self.by_key.put(key.to_owned(), entry) {
            self.bytes = self.bytes.saturating_sub(size(key, &old.value));
            gone.push(old);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        // Never the value just written: it was used last, and fits.
        while self.bytes > self.max_bytes || self.by_key.len() > self.max_values {
            let Some((key, old)) = self.by_key.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(size(&key, &old.value));
            gone.push(old);
        }
        true
    }
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len().saturating_add(value.len())
}

impl fmt::Debug for Store {
    /// Omits the contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values();
        f.debug_struct("Store")
            .field("values", &values.by_key.len())
            .field("bytes", &values.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(store: &Store, key: &str) -> Option<Vec<u8>> {
        store.read(key).map(|(value, _)| value)
    }

    #[test]
    fn a_write_succeeds_only_on_what_was_read() {
        let store = Store::default();
        assert_eq!(store.read("a"), None);
        assert!(!store.write("a", b"0", Some(0)), "there is none to replace");
        assert!(store.create("a", b"1"));
        assert!(!store.create("a", b"0"), "there is one");
        let (_, first) = store.read("a").unwrap();
        assert!(store.write("a", b"2", Some(first)));
        assert!(!store.write("a", b"3", Some(first)), "somebody was faster");
        assert_eq!(value(&store, "a").as_deref(), Some(&b"2"[..]));
        assert!(store.write("a", b"4", None), "whatever it is");
        assert_eq!(value(&store.clone(), "a").as_deref(), Some(&b"4"[..]), "clones share");
    }

    #[test]
    fn a_value_that_was_forgotten_is_never_taken_for_the_one_that_was_read() {
        let store = Store::with_bounds(1, 100);
        store.write("a", b"1", None);
        let (_, read) = store.read("a").unwrap();
        store.write("b", b"1", None);
        assert_eq!(store.read("a"), None, "forgotten");
        assert!(!store.write("a", b"2", Some(read)), "there is none");
        store.write("a", b"another's", None);
        assert!(!store.write("a", b"2", Some(read)));
        assert_eq!(value(&store, "a").as_deref(), Some(&b"another's"[..]));
    }

    #[test]
    fn a_value_that_is_kept_is_not_the_one_that_is_forgotten() {
        let store = Store::with_bounds(2, 100);
        store.write("a", b"1", None);
        store.write("b", b"1", None);
        store.keep("a");
        store.keep("missing");
        store.write("c", b"1", None);
        assert_eq!(["a", "b", "c"].map(|key| store.read(key).is_some()), [true, false, true]);
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let store = Store::with_bounds(3, 40);
        for name in ["a", "b", "c"] {
            assert!(store.write(name, &[0; 9], None));
        }
        assert_eq!(store.read("a").map(|(value, _)| value.len()), Some(9), "used again");
        store.write("d", &[0; 9], None);
        let held = |names: [&str; 4]| names.map(|name| store.values().by_key.contains(name));
        assert_eq!(held(["a", "b", "c", "d"]), [true, false, true, true], "too many");
        store.write("d", &[0; 25], None);
        assert_eq!(held(["a", "b", "c", "d"]), [true, false, false, true], "too many bytes");
        assert!(!store.write("e", &[0; 40], None), "too large");
        assert!(!store.write("d", &[0; 40], None));
        assert_eq!(store.read("d").map(|(value, _)| value.len()), Some(25), "as it was");
        assert_eq!(format!("{store:?}"), "Store { values: 2, bytes: 36, .. }");
        store.write("d", &[], None);
        assert_eq!(format!("{store:?}"), "Store { values: 2, bytes: 11, .. }");
        assert!(!Store::with_bounds(0, 40).write("a", &[], None));
        // To the last byte.
        let full = Store::with_bounds(3, 40);
        assert!(full.write("a", &[0; 39], None) && full.write("a", &[0; 19], None));
        assert!(full.write("b", &[0; 19], None) && full.read("a").is_some(), "both fit");
    }

    #[test]
    fn no_write_of_any_worker_is_lost() {
        const WRITES: u32 = 500;
        let store = Store::default();
        store.write("count", &0_u32.to_be_bytes(), None);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..WRITES {
                        loop {
                            let (value, version) = store.read("count").unwrap();
                            let count = u32::from_be_bytes(value.try_into().unwrap());
                            let next = count.saturating_add(1).to_be_bytes();
                            if store.write("count", &next, Some(version)) {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(value(&store, "count").unwrap(), WRITES.saturating_mul(4).to_be_bytes());
    }

    #[test]
    fn the_process_has_one_unless_none_is_wanted() {
        let [first, second] =
            [SharedData::Auto, SharedData::Always].map(|it| Store::of_process(it).unwrap());
        first.write("of the test", b"1", None);
        assert!(second.read("of the test").is_some());
        assert!(Store::of_process(SharedData::Never).is_none());
    }
}
