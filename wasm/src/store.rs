//! The host's shared data, through which the workers of a proxy share what one of them
//! fetched.

use gatepass::shared_data::SharedStore;

use crate::abi;

/// Shared data: on Envoy that of the VM's `vm_id`, on Kong that of nginx.
#[derive(Debug)]
pub(crate) struct Store {
    /// True if a write without a version only creates missing values.
    pub creates_only: bool,
}

impl Store {
    /// True if the host lets this VM read it. Must not be called on Kong, which traps
    /// without a zone.
    pub(crate) fn answers(&self) -> bool {
        abi::shared_data("gatepass/probe").is_ok()
    }
}

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        // A value that cannot be read counts as missing and is fetched again.
        abi::shared_data(key).ok().flatten()
    }

    fn create(&self, key: &str, value: &[u8]) -> bool {
        // Envoy compares the version only where there is a value, and starts to count at 1.
        let version = (!self.creates_only).then_some(u32::MAX);
        abi::set_shared_data(key, value, version).is_ok()
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let version = match version {
            None if self.creates_only => self.read(key).map(|(_, version)| version),
            version => version,
        };
        abi::set_shared_data(key, value, version).is_ok()
    }
}

/// A store that keeps values from getting so large that the host would make room for them by
/// forgetting others, of which it would be the first itself.
#[derive(Debug)]
pub(crate) struct Bounded {
    pub store: Box<dyn SharedStore>,
    pub max_bytes: usize,
}

impl SharedStore for Bounded {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.store.read(key)
    }

    fn create(&self, key: &str, value: &[u8]) -> bool {
        value.len() <= self.max_bytes && self.store.create(key, value)
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        value.len() <= self.max_bytes && self.store.write(key, value, version)
    }

    fn keep(&self, key: &str) {
        self.store.keep(key);
    }

    fn cheap_bytes(&self) -> usize {
        self.store.cheap_bytes()
    }
}
