//! Data shared by all workers of a proxy, and slots for values in it.
//!
//! The host keeps it for every configuration of the filter at once, and some hosts find
//! values by a checksum of their key (ngx_wasm_module). So each value contains
//! everything that it depends on, and a reader ignores one whose dependencies differ.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The host's store.
///
/// The host assigns versions: a write succeeds only if nobody has written since the
/// version was read.
pub trait SharedStore: std::fmt::Debug {
    /// The value of `key` and its version.
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)>;

    /// Creates the value of `key`; false if there is one, whatever it is. In one step, where
    /// several workers share the store.
    fn create(&self, key: &str, value: &[u8]) -> bool {
        self.read(key).is_none() && self.write(key, value, None)
    }

    /// Replaces the value of `key` that had `version`; false if it has another one by
    /// now. Without a version it is replaced unconditionally.
    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool;

    /// Keeps a value, where the host forgets the least recently used ones.
    fn keep(&self, _key: &str) {}

    /// The size up to which replacing a value is cheap, in bytes: one that grows beyond it is
    /// split where that is possible.
    fn cheap_bytes(&self) -> usize {
        64 << 10
    }
}

/// The place of one value.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    key: String,
    /// The first line of the value.
    head: Vec<u8>,
}

/// How often a write is retried while others write too.
const MAX_TRIES: u8 = 100;

/// Part of every key. Must change with the format of the values, since two versions of
/// the filter may share a store.
const FORM: u8 = 2;

impl Slot {
    /// The slot for values of this `kind` and `identity`, which must include everything
    /// the value depends on.
    pub(crate) fn new(kind: &str, identity: &Value) -> Self {
        // JSON has no line break of its own.
        let head = format!("{kind} {identity}\n").into_bytes();
        let hex = base16ct::lower::encode_string(&Sha256::digest(&head));
        Self { key: format!("gatepass/{FORM}/{kind}/{hex}"), head }
    }

    /// The value and its version; `None` also for a value of another identity.
    pub(crate) fn read(&self, store: &dyn SharedStore) -> Option<(Vec<u8>, u32)> {
        let (mut value, version) = store.read(&self.key)?;
        if !value.starts_with(&self.head) {
            return None;
        }
        value.drain(..self.head.len());
        Some((value, version))
    }

    /// Replaces the value that had this version; false if another worker was faster.
    pub(crate) fn write(&self, store: &dyn SharedStore, value: &[u8], version: u32) -> bool {
        self.put(store, value, Some(version))
    }

    fn put(&self, store: &dyn SharedStore, value: &[u8], version: Option<u32>) -> bool {
        store.write(&self.key, &[&self.head, value].concat(), version)
    }

    /// Replaces the value, whatever it is.
    pub(crate) fn replace(&self, store: &dyn SharedStore, value: &[u8]) {
        // If there is no room for it, the value is missing.
        let _ = self.put(store, value, None);
    }

    /// Keeps the host from forgetting the value.
    pub(crate) fn keep(&self, store: &dyn SharedStore) {
        store.keep(&self.key);
    }

    /// Creates the value if it is missing, so that there is a version to compare with.
    pub(crate) fn prepare(&self, store: &dyn SharedStore, initial: &[u8]) {
        self.create(store, initial);
    }

    /// Creates the value; false if there is one, whatever it is.
    pub(crate) fn create(&self, store: &dyn SharedStore, value: &[u8]) -> bool {
        store.create(&self.key, &[&self.head, value].concat())
    }

    /// Replaces the value by the result of `change`, and retries while other workers write;
    /// a value that the host has lost is `None`. Returns the second result of `change` once
    /// the new value is written.
    pub(crate) fn update<T>(
        &self,
        store: &dyn SharedStore,
        change: impl Fn(Option<&[u8]>) -> Option<(Vec<u8>, T)>,
    ) -> Option<T> {
        let mut failed = None;
        for _ in 0..MAX_TRIES {
            let current = match self.read(store) {
                None if store.read(&self.key).is_some() => return None,
                current => current,
            };
            let (value, version) =
                current.map_or((None, None), |(v, version)| (Some(v), Some(version)));
            // Nobody was faster: the host cannot write it, perhaps for lack of room.
            if failed.replace(version) == Some(version) {
                return None;
            }
            let (value, result) = change(value.as_deref())?;
            let is_written = match version {
                Some(version) => self.write(store, &value, version),
                None => self.create(store, &value),
            };
            if is_written {
                return Some(result);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    /// A store that takes every key for the same.
    #[derive(Debug, Default)]
    struct OneValue(RefCell<Option<(Vec<u8>, u32)>>);

    impl SharedStore for OneValue {
        fn read(&self, _: &str) -> Option<(Vec<u8>, u32)> {
            self.0.borrow().clone()
        }

        fn write(&self, _: &str, value: &[u8], version: Option<u32>) -> bool {
            let mut current = self.0.borrow_mut();
            let known = current.as_ref().map_or(0, |(_, version)| *version);
            let fits = version.is_none_or(|version| version == known);
            if fits {
                *current = Some((value.to_vec(), known.saturating_add(1)));
            }
            fits
        }
    }

    #[test]
    fn a_value_is_read_only_by_those_it_is_for() {
        let store = OneValue::default();
        let slot = Slot::new("keys", &json!(["a", "b"]));
        slot.prepare(&store, b"1\n2");
        assert_eq!(slot.read(&store), Some((b"1\n2".to_vec(), 1)));
        for (case, other) in [
            ("another identity", Slot::new("keys", &json!(["a", "c"]))),
            ("the same text in other parts", Slot::new("keys", &json!(["a,b"]))),
            ("another kind", Slot::new("list", &json!(["a", "b"]))),
            ("less of it", Slot::new("keys", &json!(["a"]))),
        ] {
            assert_eq!(other.read(&store), None, "{case}");
            other.prepare(&store, b"other");
            assert!(slot.read(&store).is_some(), "{case}: not overwritten");
            assert_ne!(slot.key, other.key, "{case}");
        }
    }

    #[test]
    fn an_update_is_made_of_what_is_there() {
        let store = OneValue::default();
        let slot = Slot::new("count", &json!(null));
        let made = slot.update(&store, |value| Some((b"1".to_vec(), value.is_none())));
        assert_eq!(made, Some(true), "one that the host has lost");
        let tries = std::cell::Cell::new(0);
        let updated = slot.update(&store, |value| {
            if tries.replace(tries.get() + 1) == 0 {
                slot.put(&store, b"another worker's", None);
            }
            Some((b"2".to_vec(), value.map(<[u8]>::to_vec)))
        });
        assert_eq!(updated.flatten().as_deref(), Some(&b"another worker's"[..]));
        assert_eq!(slot.update(&store, |_| None::<(Vec<u8>, ())>), None, "not wanted");
        assert_eq!(slot.read(&store).map(|(value, _)| value), Some(b"2".to_vec()));
        let other = Slot::new("count", &json!(1));
        assert_eq!(other.update(&store, |_| Some((vec![], ()))), None, "somebody else's place");
    }
}
