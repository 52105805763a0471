//! Secrets from Envoy's secret discovery service, by functions that Envoy has since 1.40.

use std::ffi::{CStr, c_void};
use std::mem;
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::envoy::{Config, symbol};
use super::types::{ConfigPtr, EnvoyBuffer, ModuleBuffer};

/// Subscribes to a generic secret by name, from a config source in JSON, while the
/// configuration is created; both are copied. Returns 0 if Envoy refuses.
type Subscribe = unsafe extern "C" fn(ConfigPtr, ModuleBuffer, ModuleBuffer) -> usize;
/// The current value of a secret: empty until it has arrived. Valid until the hook ends.
type Get = unsafe extern "C" fn(ConfigPtr, usize, *mut EnvoyBuffer) -> bool;

/// Their names.
pub const SECRET_SYMBOLS: [&CStr; 2] = [
    c"envoy_dynamic_module_callback_http_filter_config_generic_secret_subscribe",
    c"envoy_dynamic_module_callback_http_filter_config_get_generic_secret",
];

struct Functions {
    subscribe: Subscribe,
    get: Get,
}

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    let found = || {
        let [subscribe, get] = SECRET_SYMBOLS.map(|name| NonNull::new(symbol(name)));
        let (subscribe, get) = (subscribe?, get?);
        // SAFETY: Envoy's functions of these names have these signatures.
        Some(unsafe {
            Functions {
                subscribe: mem::transmute::<NonNull<c_void>, Subscribe>(subscribe),
                get: mem::transmute::<NonNull<c_void>, Get>(get),
            }
        })
    };
    FUNCTIONS.get_or_init(found).as_ref()
}

/// Whether this Envoy exposes secrets to modules.
pub(crate) fn are_given() -> bool {
    functions().is_some()
}

/// A subscribed secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretId(usize);

impl Config<'_> {
    /// Subscribes to a secret, while the configuration is created. `None` if Envoy
    /// refuses.
    pub(crate) fn subscribe(&self, name: &str, source: &str) -> Option<SecretId> {
        let (name, source) =
            (ModuleBuffer::of(name.as_bytes()), ModuleBuffer::of(source.as_bytes()));
        // SAFETY: the configuration is valid in its hook; both texts are copied.
        let id = unsafe { (functions()?.subscribe)(self.ptr(), name, source) };
        (id != 0).then_some(SecretId(id))
    }

    /// The current value of a secret; `None` until it has arrived.
    pub(crate) fn secret(&self, SecretId(id): SecretId) -> Option<Vec<u8>> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the configuration is valid in its hook, and the number is one that it gave;
        // the value is written to a variable of ours.
        let is_there = unsafe { (functions()?.get)(self.ptr(), id, &raw mut value) };
        // SAFETY: it stays until the hook ends.
        let value = is_there.then(|| unsafe { value.bytes() }.to_vec());
        value.filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As in an Envoy before 1.40.
    #[test]
    fn a_process_without_the_functions_gives_no_secrets() {
        assert!(!are_given());
    }
}
