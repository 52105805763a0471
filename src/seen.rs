//! Identifiers that may be used only once, remembered for as long as they could be
//! replayed: the `jti` of proofs and of logout tokens.
//!
//! All workers of a proxy share them. Of each only a keyed hash of eight bytes is kept, by
//! the time when it expires, in buckets: recording one rewrites a small value and not
//! everything. Memory is bounded. A full bucket drops those that expire first, and from
//! then on rejects any that may have been recorded with no later end. So does a bucket that
//! the host has lost. A dropped identifier is never taken for new.
//!
//! An identifier that was never used is rejected if its hash is that of another one in its
//! bucket: one in 10^16 of them. Without the key no client can provoke that, or
//! choose the bucket that it fills.

mod bucket;

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::json;
use sha2::{Digest, Sha256};

use self::bucket::{Bucket, Id, Tag};
pub use self::bucket::{Lifetime, Noted};
use crate::shared_data::{SharedStore, Slot};
use crate::time::UnixTime;

/// Identifiers already seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The key of the hashes, the same for all workers.
    key: Slot,
    kind: &'static str,
    buckets: u16,
    /// The key that this worker suggests.
    suggested: Key,
    /// For a single worker that shares nothing.
    own: Option<Own>,
}

type Key = [u8; 32];

impl Seen {
    /// The identifiers of this `kind`, in this many buckets: one set for all
    /// configurations of a proxy, as an identifier includes everything it depends on.
    /// `seed` is secret and random.
    pub(crate) fn new(kind: &'static str, buckets: u16, seed: [u8; 16]) -> Self {
        Self {
            key: Slot::new("used", &json!({"of": kind, "key": true})),
            kind,
            buckets,
            suggested: Sha256::digest([b"gatepass used identifiers\n", &seed[..]].concat()).into(),
            own: None,
        }
    }

    /// Prepares the key and the buckets in a store that workers share.
    pub(crate) fn share(&self, store: &dyn SharedStore) {
        self.key.prepare(store, &self.suggested);
        let Some(key) = self.read_key(store) else { return };
        let empty = Bucket::empty(tag(&key));
        (0..self.buckets).for_each(|at| self.bucket(at).prepare(store, &empty));
    }

    fn bucket(&self, at: u16) -> Slot {
        Slot::new("used", &json!({"of": self.kind, "bucket": at}))
    }

    /// Whether an identifier was recorded.
    pub(crate) fn knows(&mut self, parts: &[&[u8]], store: Option<&dyn SharedStore>) -> bool {
        self.prepare_own(store.is_none());
        let Some(store) = store.or_else(|| self.own_store()) else { return true };
        let Some((slot, tag, id)) = self.place(parts, store) else { return true };
        let value = slot.read(store).map(|(value, _)| value).unwrap_or_default();
        Bucket::read(&value, tag).is_some_and(|bucket| bucket.has(id))
    }

    /// Records an identifier. Its parts are kept distinct.
    pub(crate) fn note(
        &mut self,
        parts: &[&[u8]],
        lifetime: Lifetime,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Noted {
        self.prepare_own(store.is_none());
        let Some(store) = store.or_else(|| self.own_store()) else { return Noted::Failed };
        let Some((slot, tag, id)) = self.place(parts, store) else { return Noted::Failed };
        let noted = slot.update(store, |value| {
            // A bucket of another key is as good as none.
            let bucket = value.and_then(|value| Bucket::read(value, tag));
            let mut bucket = bucket.unwrap_or_else(|| Bucket::lost(tag, lifetime.all_until));
            let noted = bucket.note(id, lifetime, now);
            Some((bucket.encode(), noted))
        });
        noted.unwrap_or(Noted::Failed)
    }

    fn prepare_own(&mut self, is_alone: bool) {
        if is_alone && self.own.is_none() {
            let own = Own::default();
            self.share(&own);
            self.own = Some(own);
        }
    }

    fn own_store(&self) -> Option<&dyn SharedStore> {
        self.own.as_ref().map(|own| own as &dyn SharedStore)
    }

    /// The key that all workers use now.
    fn read_key(&self, store: &dyn SharedStore) -> Option<Key> {
        self.key.read(store)?.0.try_into().ok()
    }

    /// The bucket of an identifier, the tag it must have, and the hash.
    fn place(&self, parts: &[&[u8]], store: &dyn SharedStore) -> Option<(Slot, Tag, Id)> {
        let key = self.read_key(store).or_else(|| {
            // The host has lost it. With another one all buckets count as lost.
            self.key.prepare(store, &self.suggested);
            self.read_key(store)
        })?;
        let mut hash = Sha256::new();
        hash.update(key);
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let [.., high, low] = digest;
        let at = u16::from_be_bytes([high, low]).checked_rem(self.buckets)?;
        Some((self.bucket(at), tag(&key), *digest.first_chunk()?))
    }
}

/// What tells the buckets of one key from those of another.
fn tag(key: &Key) -> Tag {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(key).into();
    [a, b, c, d]
}

/// A store for one worker.
#[derive(Debug, Default)]
struct Own(RefCell<HashMap<String, (Vec<u8>, u32)>>);

impl SharedStore for Own {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    fn write(&self, key: &str, value: &[u8], _: Option<u32>) -> bool {
        // Nobody else writes.
        self.0.borrow_mut().insert(key.to_owned(), (value.to_vec(), 0));
        true
    }
}

#[cfg(test)]
mod tests;
