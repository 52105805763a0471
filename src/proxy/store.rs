//! The host's shared data, where the workers of a proxy find what one of them
//! fetched.

use proxy_wasm::hostcalls;

use crate::shared_data::SharedStore;

/// Shared data: on Envoy that of the VM's `vm_id`, on Kong that of nginx.
#[derive(Debug)]
pub(super) struct Store {
    /// Whether a write without a version only makes values that are not there.
    pub creates_only: bool,
}

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let (value, version) = hostcalls::get_shared_data(key).ok()?;
        Some((value?, version?))
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let version = match version {
            None if self.creates_only => self.read(key).map(|(_, version)| version),
            version => version,
        };
        hostcalls::set_shared_data(key, Some(value), version).is_ok()
    }
}
