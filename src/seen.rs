//! Identifiers that may be used only once, remembered for as long as they could be
//! replayed: the `jti` of proofs and of logout tokens.
//!
//! All workers of a proxy share them. They are kept in buckets, so that recording one
//! rewrites a small value and not everything, and in bounded memory: a full bucket drops
//! those that expire first, and from then on rejects any that may have been recorded with
//! no later end. So a dropped identifier is never taken for new.

use std::collections::HashMap;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::shared_data::{SharedStore, Slot};
use crate::time::UnixTime;

/// Identifiers already seen.
#[derive(Debug)]
pub(crate) struct Seen {
    buckets: Vec<Slot>,
    /// For a single worker that shares nothing.
    own: HashMap<usize, Bucket>,
}

/// The result of recording an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It was new.
    New,
    /// It was seen before, or may have been.
    Again,
    /// It could not be recorded, so a replay could not be detected.
    Failed,
}

/// The capacity of a bucket: 24 KiB.
const ROOM: usize = 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bucket {
    /// Everything that expired by then may have been dropped.
    forgotten_until: i64,
    /// A digest, and when it expires.
    entries: Vec<([u8; DIGEST], i64)>,
}

/// Enough of SHA-256 that no second text with the same digest can be found, by chance or
/// on purpose, since the sender signs the whole text.
const DIGEST: usize = 16;

impl Seen {
    /// The identifiers of this `kind`, in this many buckets: one set for all
    /// configurations of a proxy, as an identifier includes everything it depends on.
    pub(crate) fn new(kind: &'static str, buckets: u16) -> Self {
        let slot = |bucket| Slot::new("seen", &json!({"of": kind, "bucket": bucket}));
        Self { buckets: (0..buckets).map(slot).collect(), own: HashMap::new() }
    }

    /// Prepares the buckets in a store that workers share.
    pub(crate) fn share(&self, store: &dyn SharedStore) {
        let empty = Bucket::default().encode();
        self.buckets.iter().for_each(|bucket| bucket.prepare(store, &empty));
    }

    /// Whether an identifier was recorded, or may have been.
    pub(crate) fn knows(&self, parts: &[&[u8]], store: Option<&dyn SharedStore>) -> bool {
        let Some((at, id)) = self.place(parts) else { return true };
        let has = |bucket: &Bucket| bucket.entries.iter().any(|(known, _)| *known == id);
        match store {
            None => self.own.get(&at).is_some_and(has),
            Some(store) => {
                let value = self.buckets.get(at).and_then(|slot| slot.read(store));
                value.and_then(|(value, _)| Bucket::decode(&value)).is_some_and(|it| has(&it))
            }
        }
    }

    /// The bucket and the digest of an identifier.
    fn place(&self, parts: &[&[u8]]) -> Option<(usize, [u8; DIGEST])> {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let [.., high, low] = digest;
        let at = usize::from(u16::from_be_bytes([high, low])).checked_rem(self.buckets.len())?;
        Some((at, *digest.first_chunk::<DIGEST>()?))
    }

    /// Records an identifier that can be used until `until`. Had it been recorded before, then
    /// until no earlier than `earliest`. Its parts are kept distinct.
    pub(crate) fn note(
        &mut self,
        parts: &[&[u8]],
        [earliest, until]: [UnixTime; 2],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Noted {
        let Some((at, id)) = self.place(parts) else { return Noted::Failed };
        let Some(store) = store else {
            return self.own.entry(at).or_default().note(id, [earliest, until], now);
        };
        let Some(slot) = self.buckets.get(at) else { return Noted::Failed };
        let noted = slot.update(store, |value| {
            let mut bucket = value.map_or(Some(Bucket::default()), Bucket::decode)?;
            let noted = bucket.note(id, [earliest, until], now);
            Some((bucket.encode(), noted))
        });
        noted.unwrap_or(Noted::Failed)
    }
}

impl Bucket {
    fn note(&mut self, id: [u8; DIGEST], [earliest, until]: [UnixTime; 2], now: UnixTime) -> Noted {
        if self.entries.iter().any(|(known, _)| *known == id) {
            return Noted::Again;
        }
        self.forget(now.as_millis());
        while self.entries.len() >= ROOM {
            let first = self.entries.iter().map(|(_, until)| *until).min();
            self.forget(first.unwrap_or(i64::MAX));
        }
        if earliest.as_millis() <= self.forgotten_until {
            return Noted::Again;
        }
        self.entries.push((id, until.as_millis()));
        Noted::New
    }

    /// Drops what has expired by then.
    fn forget(&mut self, ended: i64) {
        let gone = self.entries.iter().map(|(_, until)| *until).filter(|until| *until <= ended);
        if let Some(last) = gone.max() {
            self.forgotten_until = self.forgotten_until.max(last);
            self.entries.retain(|(_, until)| *until > ended);
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.forgotten_until.to_be_bytes().to_vec();
        for (id, until) in &self.entries {
            bytes.extend_from_slice(id);
            bytes.extend_from_slice(&until.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        const ENTRY: usize = DIGEST + 8;
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let (entries, []) = rest.as_chunks::<ENTRY>() else { return None };
        let entry = |entry: &[u8; ENTRY]| {
            let (id, until) = entry.split_first_chunk::<DIGEST>()?;
            Some((*id, i64::from_be_bytes(until.try_into().ok()?)))
        };
        Some(Self {
            forgotten_until: i64::from_be_bytes(*head),
            entries: entries.iter().map(entry).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[test]
    fn each_identifier_is_new_once() {
        let mut seen = Seen::new("test", 4);
        let mut note = |parts: &[&[u8]], now| seen.note(parts, [at(100); 2], None, at(now));
        assert_eq!(note(&[b"a", b"1"], 10), Noted::New);
        assert_eq!(note(&[b"a", b"1"], 11), Noted::Again);
        assert_eq!(note(&[b"a1", b""], 11), Noted::New, "other parts of the same text");
        assert_eq!(note(&[b"b", b"1"], 11), Noted::New);
        assert_eq!(note(&[b"a", b"1"], 99), Noted::Again);
        assert_eq!(note(&[b"a", b"1"], -500), Noted::Again, "the clock was set back");
    }

    #[test]
    fn what_was_forgotten_is_never_new() {
        let mut bucket = Bucket::default();
        let id = |number: i64| {
            let mut id = [0; DIGEST];
            id[..8].copy_from_slice(&number.to_be_bytes());
            id
        };
        for number in 0..10_000 {
            let until = at(1000 + number);
            assert_eq!(bucket.note(id(number), [until; 2], at(0)), Noted::New);
            assert!(bucket.entries.len() <= ROOM);
        }
        for number in 0..10_000 {
            assert_eq!(
                bucket.note(id(number), [at(1000 + number); 2], at(0)),
                Noted::Again,
                "{number}"
            );
            // It would be remembered longer now.
            let longer = [at(1000 + number), at(100_000)];
            assert_eq!(bucket.note(id(number), longer, at(0)), Noted::Again, "{number}");
        }
        // The clock jumps ahead, everything ends, and it is set right again.
        assert_eq!(bucket.note(id(-1), [at(2_000_000); 2], at(1_000_000)), Noted::New);
        assert_eq!(bucket.entries.len(), 1);
        assert_eq!(bucket.note(id(9_999), [at(10_999); 2], at(0)), Noted::Again);
        assert_eq!(
            bucket.note(id(10_000), [at(11_000); 2], at(0)),
            Noted::New,
            "later ones are taken"
        );
    }

    /// Of 100,000 a minute, each remembered for ten minutes, those of more than two minutes
    /// fit in what is kept for proofs; no more is kept, and new ones are always taken.
    #[test]
    fn a_busy_proxy_forgets_what_has_ended() {
        let mut seen = Seen::new("test", 256);
        for number in 0_i64..400_000 {
            let now = UnixTime::from_millis(1_800_000_000_000 + number * 6 / 10);
            let until = now.plus(crate::time::Span::from_secs(600));
            let id = number.to_be_bytes();
            assert_eq!(seen.note(&[&id], [until; 2], None, now), Noted::New, "{number}");
        }
        let kept: usize = seen.own.values().map(|bucket| bucket.entries.len()).sum();
        assert!((200_000..=256 * ROOM).contains(&kept), "{kept}");
        assert!(seen.own.values().all(|bucket| bucket.entries.capacity() <= 2 * ROOM));
    }

    #[test]
    fn buckets_survive_the_way_through_the_store() {
        let entries = vec![([7; DIGEST], -1), ([9; DIGEST], i64::MAX)];
        for bucket in [Bucket::default(), Bucket { forgotten_until: 5, entries }] {
            assert_eq!(Bucket::decode(&bucket.encode()), Some(bucket));
        }
        for odd in [&b""[..], b"1234567", b"12345678x"] {
            assert_eq!(Bucket::decode(odd), None, "{odd:?}");
        }
    }
}
