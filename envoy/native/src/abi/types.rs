//! The values that cross the border, in C layout.

use std::ffi::c_void;
use std::ptr;
use std::slice;

/// Envoy's object for a filter's configuration. Valid from `config_new` until
/// `config_destroy` returns; several threads may hold it.
pub(super) type ConfigPtr = *mut c_void;

/// Envoy's object for one stream's filter. Valid in a hook that received it, until the
/// stream's `destroy` hook returns; used by the stream's worker only.
pub(super) type FilterPtr = *mut c_void;

/// Envoy's object with which any thread can schedule a hook on the right one. Created and
/// deleted by the module.
pub(super) type SchedulerPtr = *mut c_void;

/// Bytes owned by Envoy.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EnvoyBuffer {
    pub(super) ptr: *const u8,
    pub(super) length: usize,
}

impl EnvoyBuffer {
    pub(super) const EMPTY: Self = Self { ptr: ptr::null(), length: 0 };

    /// # Safety
    ///
    /// Envoy provided it, and the bytes do not change for `'a`.
    pub(super) unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.length == 0 {
            return &[];
        }
        // SAFETY: guaranteed by the caller.
        unsafe { slice::from_raw_parts(self.ptr, self.length) }
    }
}

/// Bytes owned by the module, lent for a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ModuleBuffer {
    pub(super) ptr: *const u8,
    pub(super) length: usize,
}

impl ModuleBuffer {
    /// No bytes, as opposed to an empty value: it removes a header.
    pub(super) const NULL: Self = Self { ptr: ptr::null(), length: 0 };

    pub(super) const fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), length: bytes.len() }
    }
}

/// A header field owned by Envoy.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EnvoyHeader {
    pub(super) key_ptr: *const u8,
    pub(super) key_length: usize,
    pub(super) value_ptr: *const u8,
    pub(super) value_length: usize,
}

impl EnvoyHeader {
    pub(super) const EMPTY: Self =
        Self { key_ptr: ptr::null(), key_length: 0, value_ptr: ptr::null(), value_length: 0 };

    pub(super) const fn key(self) -> EnvoyBuffer {
        EnvoyBuffer { ptr: self.key_ptr, length: self.key_length }
    }

    pub(super) const fn value(self) -> EnvoyBuffer {
        EnvoyBuffer { ptr: self.value_ptr, length: self.value_length }
    }
}

/// A header field owned by the module, lent for a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ModuleHeader {
    key_ptr: *const u8,
    key_length: usize,
    value_ptr: *const u8,
    value_length: usize,
}

impl ModuleHeader {
    pub(super) const fn of(name: &[u8], value: &[u8]) -> Self {
        Self {
            key_ptr: name.as_ptr(),
            key_length: name.len(),
            value_ptr: value.as_ptr(),
            value_length: value.len(),
        }
    }
}

/// One of a stream's header maps.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    /// The request's header fields.
    Request = 0,
    /// The request's trailers.
    Trailers = 1,
}

/// The chunk of the body whose hook runs.
pub(super) const RECEIVED_REQUEST_BODY: u32 = 0;

/// The client's address as seen behind Envoy's trusted proxies, with its port.
pub(super) const SOURCE_ADDRESS: u32 = 24;

/// The SHA-256 of the client's certificate in hex, if the listener asked for one.
pub(super) const PEER_CERTIFICATE_DIGEST: u32 = 38;

/// The result of a callout or a metric that succeeded.
pub(super) const SUCCESS: u32 = 0;

/// The status of a request after its head.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadersStatus {
    /// The next filter gets it.
    Continue = 0,
    /// The head is held; the body's hooks are called.
    Stop = 1,
    /// The head is held and no hook is called until the filter continues. Data that
    /// arrives meanwhile is buffered, with back-pressure on the client.
    StopAllAndWatermark = 4,
}

/// The status of a chunk of a request's body.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyStatus {
    /// The next filter gets it.
    Continue = 0,
    /// It is dropped and goes nowhere.
    StopAndDrop = 3,
}

/// The status of a request's trailers.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailersStatus {
    /// The next filter gets them.
    Continue = 0,
    /// They are held.
    Stop = 1,
}

/// The severity of a log line.
pub(super) const fn level(level: log::Level) -> u32 {
    match level {
        log::Level::Trace => 0,
        log::Level::Debug => 1,
        log::Level::Info => 2,
        log::Level::Warn => 3,
        log::Level::Error => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_numbers_of_envoy() {
        use log::Level::{Debug, Error, Info, Trace, Warn};
        assert_eq!([Trace, Debug, Info, Warn, Error].map(level), [0, 1, 2, 3, 4]);
    }
}
