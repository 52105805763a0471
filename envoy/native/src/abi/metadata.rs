//! Metadata and state that other filters set for a request, by functions that not every
//! Envoy has.
//!
//! Nothing else needs them, so a configuration is accepted on an Envoy without them: no
//! metadata is found then.

use std::ffi::{CStr, c_void};
use std::mem;
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::Request;
use super::envoy::{current, symbol};
use super::types::{EnvoyBuffer, FilterPtr, ModuleBuffer};

/// The dynamic metadata of the request.
const DYNAMIC: u32 = 0;

/// A text in the metadata, by namespace and key; valid until the hook ends.
type GetText =
    unsafe extern "C" fn(FilterPtr, u32, ModuleBuffer, ModuleBuffer, *mut EnvoyBuffer) -> bool;
/// A flag in the metadata, by namespace and key.
type GetFlag = unsafe extern "C" fn(FilterPtr, u32, ModuleBuffer, ModuleBuffer, *mut bool) -> bool;
/// A filter state by name, as text; valid until the hook ends.
type GetState = unsafe extern "C" fn(FilterPtr, ModuleBuffer, *mut EnvoyBuffer) -> bool;

struct Functions {
    text: GetText,
    flag: GetFlag,
    state: GetState,
}

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    let find = |name: &CStr| NonNull::new(symbol(name));
    let found = || {
        let text = find(c"envoy_dynamic_module_callback_http_get_metadata_string")?;
        let flag = find(c"envoy_dynamic_module_callback_http_get_metadata_bool")?;
        let state = find(c"envoy_dynamic_module_callback_http_get_filter_state_typed")?;
        // SAFETY: Envoy's functions of these names have these signatures.
        Some(unsafe {
            Functions {
                text: mem::transmute::<NonNull<c_void>, GetText>(text),
                flag: mem::transmute::<NonNull<c_void>, GetFlag>(flag),
                state: mem::transmute::<NonNull<c_void>, GetState>(state),
            }
        })
    };
    FUNCTIONS.get_or_init(found).as_ref()
}

/// A text that a filter set; only while the request may be queried.
pub(crate) fn text(request: Request, namespace: &str, key: &str) -> Option<Vec<u8>> {
    let (filter, functions) = (current(request)?, functions()?);
    let (namespace, key) =
        (ModuleBuffer::of(namespace.as_bytes()), ModuleBuffer::of(key.as_bytes()));
    let mut value = EnvoyBuffer::EMPTY;
    // SAFETY: the filter is valid in its hook; names are lent for the call, and the value
    // is written to a variable of ours.
    let is_there = unsafe { (functions.text)(filter, DYNAMIC, namespace, key, &raw mut value) };
    // SAFETY: it stays until the hook ends.
    is_there.then(|| unsafe { value.bytes() }.to_vec())
}

/// A flag that a filter set; only while the request may be queried.
pub(crate) fn flag(request: Request, namespace: &str, key: &str) -> Option<bool> {
    let (filter, functions) = (current(request)?, functions()?);
    let (namespace, key) =
        (ModuleBuffer::of(namespace.as_bytes()), ModuleBuffer::of(key.as_bytes()));
    let mut flag = false;
    // SAFETY: the filter is valid in its hook; names are lent for the call, and the flag is
    // written to a variable of ours.
    let is_there = unsafe { (functions.flag)(filter, DYNAMIC, namespace, key, &raw mut flag) };
    is_there.then_some(flag)
}

/// A filter state by name; only while the request may be queried.
pub(crate) fn state(request: Request, name: &str) -> Option<Vec<u8>> {
    let (filter, functions) = (current(request)?, functions()?);
    let mut value = EnvoyBuffer::EMPTY;
    let name = ModuleBuffer::of(name.as_bytes());
    // SAFETY: the filter is valid in its hook; the name is lent for the call, and the value
    // is written to a variable of ours.
    let is_there = unsafe { (functions.state)(filter, name, &raw mut value) };
    // SAFETY: it stays until the hook ends.
    is_there.then(|| unsafe { value.bytes() }.to_vec())
}
