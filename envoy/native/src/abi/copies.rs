//! Other copies of this module in the process.
//!
//! Envoy loads a library once for each path, and each has memory of its own: what one was
//! told of revocations holds at none of the others.

use std::ffi::{CStr, CString};

#[cfg(target_os = "linux")]
use std::ffi::{c_int, c_void};

/// What tells a copy of this module from other libraries, of which no two have it at one
/// address. Its name stays the same in all versions.
#[unsafe(no_mangle)]
static GATEPASS_ENVOY_MODULE: u8 = 1;

const MARK: &CStr = c"GATEPASS_ENVOY_MODULE";

/// The file of another copy that this process has loaded.
pub(super) fn other() -> Option<String> {
    let own = (&raw const GATEPASS_ENVOY_MODULE).cast();
    let is_other = |library: &CString| {
        // SAFETY: the name ends with a zero byte; what is not loaded stays so, and what is
        // stays loaded at least until the reference is given back.
        let mark = unsafe {
            let handle = libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
            if handle.is_null() {
                return false;
            }
            let mark = libc::dlsym(handle, MARK.as_ptr());
            libc::dlclose(handle);
            mark.cast_const()
        };
        !mark.is_null() && mark != own
    };
    loaded().into_iter().find(is_other).map(|library| library.to_string_lossy().into_owned())
}

/// The files of all libraries of this process.
#[cfg(target_os = "linux")]
fn loaded() -> Vec<CString> {
    unsafe extern "C" fn note(
        info: *mut libc::dl_phdr_info,
        _: usize,
        names: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader lends both for this call, and `names` is the list below.
        let (name, names) = unsafe { ((*info).dlpi_name, &mut *names.cast::<Vec<CString>>()) };
        // The program itself has no name.
        if !name.is_null() {
            // SAFETY: the loader's names end with a zero byte.
            let name = unsafe { CStr::from_ptr(name) };
            names.extend((!name.is_empty()).then(|| name.to_owned()));
        }
        0
    }
    let mut names = Vec::new();
    // SAFETY: the list outlives the call, and nothing else uses it meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut names).cast()) };
    names
}

/// Elsewhere the loader does not say.
#[cfg(not(target_os = "linux"))]
fn loaded() -> Vec<CString> {
    Vec::new()
}
