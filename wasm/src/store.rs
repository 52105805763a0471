//! The host's shared data, through which the workers of a proxy share what one of them
//! fetched.

use gatepass::shared_data::SharedStore;

use crate::abi;

/// Shared data: on Envoy that of the VM's `vm_id`, on Kong that of nginx.
#[derive(Debug)]
pub(crate) struct Store {
    /// True if a write without a version only creates missing values.
    pub creates_only: bool,
    /// The largest value that is written: the host would make room for a larger one by
    /// forgetting others, of which it would be the first itself.
    pub max_bytes: usize,
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
        value.len() <= self.max_bytes && abi::set_shared_data(key, value, version).is_ok()
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        // Without one Kong's runtime would only create it.
        let version = version.or_else(|| self.read(key).map(|(_, version)| version));
        value.len() <= self.max_bytes && abi::set_shared_data(key, value, version).is_ok()
    }
}
