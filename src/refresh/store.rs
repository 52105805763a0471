//! Key sets that the workers of a proxy share, so that one of them fetches for
//! all.
//!
//! A worker that is about to fetch takes a lease; the others wait for what it
//! brings. Nothing depends on it: a worker that cannot read the store, or finds
//! anything odd in it, fetches by itself.

use sha2::{Digest, Sha256};

use super::JwksEndpoint;
use crate::time::UnixTime;

/// Data that all workers of a proxy see.
///
/// Versions are the host's: a write succeeds only if nobody wrote since the
/// version was read.
pub trait SharedStore: std::fmt::Debug {
    /// The value of `key` and its version.
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)>;

    /// Replaces the value of `key` that had `version`; false if it has another
    /// one by now. Without a version it is replaced whatever it is.
    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool;
}

/// What is stored of one key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// When the set was fetched.
    pub at: UnixTime,
    /// Until when a worker is fetching it.
    pub leased_until: UnixTime,
    /// The set as it came; empty before the first fetch.
    pub text: Vec<u8>,
}

/// The place of one key set in a store.
#[derive(Clone, Debug)]
pub(super) struct Shelf(String);

const NEVER: UnixTime = UnixTime::from_millis(i64::MIN);

impl Shelf {
    /// The place for the set of an endpoint: another configuration of the same
    /// filter may have another endpoint.
    pub(super) fn of(endpoint: &JwksEndpoint) -> Self {
        let service = &endpoint.service;
        let parts = [&service.upstream, &service.authority, endpoint.location()];
        let digest = Sha256::digest(parts.map(String::as_str).join("\n"));
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("gatepass/jwks/{hex}"))
    }

    /// Makes the entry if there is none, so that there is a version to compare
    /// with. To be done while nobody else does it: when the filter starts.
    pub(super) fn prepare(&self, store: &dyn SharedStore) {
        if store.read(&self.0).is_none() {
            let empty = Entry { at: NEVER, leased_until: NEVER, text: Vec::new() };
            store.write(&self.0, &self.encode(&empty), None);
        }
    }

    /// The entry and its version.
    pub(super) fn read(&self, store: &dyn SharedStore) -> Option<(Entry, u32)> {
        let (value, version) = store.read(&self.0)?;
        Some((self.decode(&value)?, version))
    }

    /// Takes the lease; false if another worker was faster.
    pub(super) fn lease(
        &self,
        store: &dyn SharedStore,
        entry: Entry,
        version: u32,
        until: UnixTime,
    ) -> bool {
        let leased = Entry { leased_until: until, ..entry };
        store.write(&self.0, &self.encode(&leased), Some(version))
    }

    /// Stores a set, which ends the lease.
    pub(super) fn publish(&self, store: &dyn SharedStore, text: &[u8], at: UnixTime) {
        let entry = Entry { at, leased_until: NEVER, text: text.to_vec() };
        store.write(&self.0, &self.encode(&entry), None);
    }

    /// The key stands in the value too: some hosts compare keys by a checksum
    /// only (ngx_wasm_module).
    fn encode(&self, entry: &Entry) -> Vec<u8> {
        let (at, until) = (entry.at.as_millis(), entry.leased_until.as_millis());
        [format!("{}\n{at}\n{until}\n", self.0).as_bytes(), &entry.text].concat()
    }

    fn decode(&self, value: &[u8]) -> Option<Entry> {
        let mut parts = value.splitn(4, |byte| *byte == b'\n');
        let mut next_text = || std::str::from_utf8(parts.next()?).ok();
        if next_text()? != self.0 {
            return None;
        }
        let mut moment = || next_text()?.parse().ok().map(UnixTime::from_millis);
        let (at, leased_until) = (moment()?, moment()?);
        Some(Entry { at, leased_until, text: parts.next()?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_way_through_the_store() {
        let shelf = Shelf("gatepass/jwks/1".into());
        let entry = Entry {
            at: UnixTime::from_secs(5),
            leased_until: NEVER,
            text: b"{\n\"keys\": []}\n".to_vec(),
        };
        let encoded = shelf.encode(&entry);
        assert_eq!(shelf.decode(&encoded), Some(entry));
        assert_eq!(Shelf("gatepass/jwks/2".into()).decode(&encoded), None, "another key's value");
        assert_eq!(shelf.decode(b"gatepass/jwks/1\n1"), None, "cut short");
        assert_eq!(shelf.decode(b"gatepass/jwks/1\nx\n1\n"), None, "no number");
    }
}
