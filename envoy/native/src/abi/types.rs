//! The values that cross the border, as C lays them out.

use std::ffi::c_void;
use std::ptr;
use std::slice;

/// Envoy's object of a filter's configuration. Valid from `config_new` until
/// `config_destroy` returns; several threads may hold it.
pub(super) type ConfigPtr = *mut c_void;

/// Envoy's object of one stream's filter. Valid in a hook that was given it,
/// until the stream's `destroy` hook returns; used by the stream's worker alone.
pub(super) type FilterPtr = *mut c_void;

/// Envoy's object by which any thread has a hook called on the right one. Made
/// and deleted by the module.
pub(super) type SchedulerPtr = *mut c_void;

/// Bytes of Envoy's.
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
    /// Envoy gave it, and the bytes stay as they are for `'a`.
    pub(super) unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.length == 0 {
            return &[];
        }
        // SAFETY: promised by the caller.
        unsafe { slice::from_raw_parts(self.ptr, self.length) }
    }
}

/// Bytes of the module's, lent for a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ModuleBuffer {
    pub(super) ptr: *const u8,
    pub(super) length: usize,
}

impl ModuleBuffer {
    /// No bytes, which is not the same as none of a length: a header is removed by
    /// it.
    pub(super) const NULL: Self = Self { ptr: ptr::null(), length: 0 };

    pub(super) const fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), length: bytes.len() }
    }
}

/// A header field of Envoy's.
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

/// A header field of the module's, lent for a call.
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

/// Which of a stream's maps.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    /// The request's header fields.
    Request = 0,
    /// The request's trailers.
    Trailers = 1,
}

/// Which bytes of a body: those of the chunk whose hook runs.
pub(super) const RECEIVED_REQUEST_BODY: u32 = 0;

/// The address of the client, behind the proxies that Envoy trusts, with its
/// port.
pub(super) const SOURCE_ADDRESS: u32 = 24;

/// The SHA-256 of the client's certificate in hex, if the listener asked for one.
pub(super) const PEER_CERTIFICATE_DIGEST: u32 = 38;

/// A callout or a metric went well.
pub(super) const SUCCESS: u32 = 0;

/// The status of a request after its head.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadersStatus {
    /// The next filter gets it.
    Continue = 0,
    /// The head stays; the body's hooks are called.
    Stop = 1,
    /// The head stays and no hook is called until the filter continues. Data that arrives
    /// meanwhile is buffered, with back-pressure on the client.
    StopAllAndWatermark = 4,
}

/// The status of a chunk of a request's body.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyStatus {
    /// The next filter gets it.
    Continue = 0,
    /// It goes nowhere, and is not kept.
    StopAndDrop = 3,
}

/// The status of a request's trailers.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailersStatus {
    /// The next filter gets them.
    Continue = 0,
    /// They stay.
    Stop = 1,
}

/// How important a line of the log is.
pub(super) const fn level(level: log::Level) -> u32 {
    match level {
        log::Level::Trace => 0,
        log::Level::Debug => 1,
        log::Level::Info => 2,
        log::Level::Warn => 3,
        log::Level::Error => 4,
    }
}
