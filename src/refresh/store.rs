//! Key sets that the workers of a proxy share, so that one of them fetches for
//! all.
//!
//! A worker that is about to fetch takes a lease; the others wait for its result. Nothing
//! depends on it: a worker that cannot read the store, or finds anything unexpected in
//! it, fetches by itself.

use serde_json::{Value, json};

use super::endpoint::JwksEndpoint;
use crate::json;
use crate::shared_data::{SharedStore, Slot};
use crate::time::{Period, UnixTime};

/// The shared state of one key set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// `None` before the first fetch.
    pub set: Option<StoredSet>,
    /// Set while a worker is fetching it.
    pub lease: Option<Period>,
}

/// A set as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredSet {
    /// When it was requested.
    pub at: UnixTime,
    /// When it expires according to its issuer.
    pub until: UnixTime,
    /// Its path according to a discovery document.
    pub path: Option<String>,
    /// The JWKS.
    pub text: Vec<u8>,
}

/// The slot of one key set in a store: shared by all readers that fetch it from the
/// same address in the same way.
#[derive(Clone, Debug)]
pub(super) struct SharedJwks(Slot);

impl SharedJwks {
    /// The slot for an endpoint's set.
    pub(super) fn of(endpoint: &JwksEndpoint) -> Self {
        Self(Slot::new("jwks", &endpoint.identity()))
    }

    /// Creates the entry if it is missing.
    pub(super) fn prepare(&self, store: &dyn SharedStore) {
        self.0.prepare(store, &Entry::default().encode());
    }

    /// The entry and its version.
    pub(super) fn read(&self, store: &dyn SharedStore) -> Option<(Entry, u32)> {
        let (value, version) = self.0.read(store)?;
        Some((Entry::decode(&value)?, version))
    }

    /// Takes the lease; false if another worker was faster.
    pub(super) fn lease(
        &self,
        store: &dyn SharedStore,
        entry: &Entry,
        version: u32,
        lease: Period,
    ) -> bool {
        let leased = Entry { lease: Some(lease), set: entry.set.clone() };
        self.0.write(store, &leased.encode(), version)
    }

    /// Stores a set, which ends the lease, unless the stored one was fetched later: a slow
    /// reply is older than one that overtook it.
    pub(super) fn publish(&self, store: &dyn SharedStore, set: StoredSet, now: UnixTime) {
        let entry = Entry { set: Some(set), lease: None };
        // If there is no room for it, the other workers fetch by themselves.
        let _ = self.0.update(store, |value| {
            let stored = value.and_then(Entry::decode).and_then(|stored| stored.set);
            let stored_at = stored.and_then(|set| set.at.as_seen(now));
            let is_newer = stored_at > entry.set.as_ref().map(|set| set.at);
            (!is_newer).then(|| (entry.encode(), ()))
        });
    }
}

impl Entry {
    /// A line of JSON, followed by the set as received.
    fn encode(&self) -> Vec<u8> {
        let millis = |time: UnixTime| time.as_millis();
        let lease = self.lease.map(|lease| [lease.from(), lease.until()].map(millis));
        let set = self.set.as_ref();
        let about = set.map(|set| json!([millis(set.at), millis(set.until), set.path]));
        let line = json!({"lease": lease, "set": about}).to_string();
        let text = set.map_or(&[][..], |set| &set.text);
        [line.as_bytes(), b"\n", text].concat()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let end = value.iter().position(|byte| *byte == b'\n')?;
        let line = json::parse(value.get(..end)?).ok()?;
        let text = value.get(end.checked_add(1)?..)?.to_vec();
        let moment = |value: &Value| value.as_i64().map(UnixTime::from_millis);
        let lease = match line.get("lease")?.as_array().map(Vec::as_slice) {
            Some([from, until]) => Some(Period::new(moment(from)?, moment(until)?)),
            _ => None,
        };
        let set = match line.get("set")?.as_array().map(Vec::as_slice) {
            Some([at, until, path]) => {
                let path = path.as_str().map(str::to_owned);
                Some(StoredSet { at: moment(at)?, until: moment(until)?, path, text })
            }
            _ => None,
        };
        Some(Self { set, lease })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_way_through_the_store() {
        let at = UnixTime::from_secs;
        let set = StoredSet {
            at: at(5),
            until: at(65),
            path: Some("/keys?v=\"1\"".into()),
            text: b"{\n\"keys\": []}\n".to_vec(),
        };
        let lease = Some(Period::new(at(7), at(9)));
        for entry in [
            Entry::default(),
            Entry { set: None, lease },
            Entry { set: Some(set.clone()), lease },
            Entry { set: Some(StoredSet { path: None, ..set }), lease: None },
        ] {
            assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }
        for odd in [&b""[..], b"{}", b"{}\n", b"{\"lease\":null}\n", b"\xff\n{}"] {
            assert_eq!(Entry::decode(odd), None, "{odd:?}");
        }
    }
}
