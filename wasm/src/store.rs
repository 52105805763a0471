//! The host's shared data, where the workers of a proxy find what one of them
//! fetched.

use gatepass::shared_data::SharedStore;

use crate::abi;

/// Shared data: on Envoy that of the VM's `vm_id`, on Kong that of nginx.
#[derive(Debug)]
pub(crate) struct Store {
    /// Whether a write without a version only makes values that are not there.
    pub creates_only: bool,
}

impl Store {
    /// Whether the host lets this VM read it. Never to be asked on Kong, which
    /// traps without a zone.
    pub(crate) fn answers(&self) -> bool {
        abi::shared_data("gatepass/probe").is_ok()
    }
}

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        // What cannot be read is not there: it is asked for again.
        abi::shared_data(key).ok().flatten()
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let version = match version {
            None if self.creates_only => self.read(key).map(|(_, version)| version),
            version => version,
        };
        abi::set_shared_data(key, value, version).is_ok()
    }
}
