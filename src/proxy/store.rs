//! The host's shared data, where the workers of a proxy find what one of them
//! fetched.

use proxy_wasm::hostcalls;

use crate::refresh::SharedStore;

/// Shared data of the VM's `vm_id`.
#[derive(Debug)]
pub(super) struct SharedData;

impl SharedStore for SharedData {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let (value, version) = hostcalls::get_shared_data(key).ok()?;
        Some((value?, version?))
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        hostcalls::set_shared_data(key, Some(value), version).is_ok()
    }
}
