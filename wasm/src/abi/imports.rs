//! The functions that the module imports, and their arguments and results in memory.
#![allow(unsafe_code, reason = "the host's functions, as the ABI declares them")]

use std::ptr::{null, null_mut};

use super::Status;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    safe fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    safe fn proxy_continue_stream(stream: u32) -> u32;
    safe fn proxy_set_effective_context(context_id: u32) -> u32;
    safe fn proxy_record_metric(metric: u32, value: u64) -> u32;
    safe fn proxy_increment_metric(metric: u32, offset: i64) -> u32;

    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, metric: *mut u32) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

/// A result of the host: it allocates memory in the module, fills it, and returns the
/// address.
struct Given {
    data: *mut u8,
    size: usize,
}

impl Given {
    const fn nothing() -> Self {
        Self { data: null_mut(), size: 0 }
    }

    /// `None` if the host returned no memory, as hosts do for empty values.
    fn bytes(self) -> Option<Vec<u8>> {
        if self.data.is_null() {
            return None;
        }
        // SAFETY: the host took this memory, of this size, from `proxy_on_memory_allocate` of
        // the SDK. That leaks a boxed slice of bytes (proxy-wasm 0.2.5, src/allocator.rs), whose
        // capacity is its size. The SDK's own host calls rely on it too (src/hostcalls.rs), so a
        // version that allocates otherwise must change both.
        Some(unsafe { Vec::from_raw_parts(self.data, self.size, self.size) })
    }
}

/// Null for a missing body.
fn or_null(bytes: &[u8]) -> *const u8 {
    if bytes.is_empty() { null() } else { bytes.as_ptr() }
}

// SAFETY of each block below: all pointers are to slices and variables that live
// until the host returns; it reads the slices and writes the variables.

pub(super) fn log(level: u32, text: &str) -> Status {
    // SAFETY: see above.
    Status(unsafe { proxy_log(level, text.as_ptr(), text.len()) })
}

pub(super) fn now() -> Result<u64, Status> {
    let mut time = 0;
    // SAFETY: see above.
    Status(unsafe { proxy_get_current_time_nanoseconds(&raw mut time) }).ok()?;
    Ok(time)
}

pub(super) fn set_tick_period(millis: u32) -> Status {
    Status(proxy_set_tick_period_milliseconds(millis))
}

pub(super) fn continue_stream(stream: u32) -> Status {
    Status(proxy_continue_stream(stream))
}

pub(super) fn set_effective_context(context_id: u32) -> Status {
    Status(proxy_set_effective_context(context_id))
}

pub(super) fn record_metric(metric: u32, value: u64) -> Status {
    Status(proxy_record_metric(metric, value))
}

pub(super) fn increment_metric(metric: u32, offset: i64) -> Status {
    Status(proxy_increment_metric(metric, offset))
}

pub(super) fn define_metric(kind: u32, name: &str) -> Result<u32, Status> {
    let mut metric = 0;
    // SAFETY: see above.
    Status(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut metric) })
        .ok()?;
    Ok(metric)
}

pub(super) fn get_buffer(buffer: u32, max_size: usize) -> Result<Option<Vec<u8>>, Status> {
    let Given { mut data, mut size } = Given::nothing();
    let status =
        // SAFETY: see above.
        unsafe { proxy_get_buffer_bytes(buffer, 0, max_size, &raw mut data, &raw mut size) };
    Status(status).ok()?;
    Ok(Given { data, size }.bytes())
}

pub(super) fn get_map(map: u32) -> Result<Option<Vec<u8>>, Status> {
    let Given { mut data, mut size } = Given::nothing();
    // SAFETY: see above.
    let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
    Status(status).ok()?;
    Ok(Given { data, size }.bytes())
}

pub(super) fn get_header(map: u32, name: &str) -> Result<Option<Vec<u8>>, Status> {
    let Given { mut data, mut size } = Given::nothing();
    // SAFETY: see above.
    let status = unsafe {
        proxy_get_header_map_value(map, name.as_ptr(), name.len(), &raw mut data, &raw mut size)
    };
    Status(status).ok()?;
    Ok(Given { data, size }.bytes())
}

pub(super) fn remove_header(map: u32, name: &str) -> Status {
    // SAFETY: see above.
    Status(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

pub(super) fn replace_header(map: u32, name: &str, value: &[u8]) -> Status {
    // SAFETY: see above.
    Status(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

pub(super) fn get_property(path: &str) -> Result<Option<Vec<u8>>, Status> {
    let Given { mut data, mut size } = Given::nothing();
    let status =
        // SAFETY: see above.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) };
    Status(status).ok()?;
    Ok(Given { data, size }.bytes())
}

pub(super) fn set_property(path: &str, value: &[u8]) -> Status {
    // SAFETY: see above.
    Status(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// A value, and its version.
pub(super) fn get_shared_data(key: &str) -> Result<(Option<Vec<u8>>, u32), Status> {
    let (Given { mut data, mut size }, mut version) = (Given::nothing(), 0);
    // SAFETY: see above.
    let status = unsafe {
        proxy_get_shared_data(
            key.as_ptr(),
            key.len(),
            &raw mut data,
            &raw mut size,
            &raw mut version,
        )
    };
    Status(status).ok()?;
    Ok((Given { data, size }.bytes(), version))
}

pub(super) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Status {
    // SAFETY: see above.
    Status(unsafe {
        proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version)
    })
}

pub(super) fn send_local_response(
    status: u32,
    headers: &[u8],
    body: &[u8],
    details: &str,
) -> Status {
    /// The ABI's value for a response that is not gRPC.
    const NO_GRPC: i32 = -1;

    // SAFETY: see above.
    Status(unsafe {
        proxy_send_local_response(
            status,
            or_null(details.as_bytes()),
            details.len(),
            or_null(body),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC,
        )
    })
}

pub(super) fn call_foreign_function(
    name: &str,
    arguments: &[u8],
) -> Result<Option<Vec<u8>>, Status> {
    let Given { mut data, mut size } = Given::nothing();
    // SAFETY: see above.
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            &raw mut data,
            &raw mut size,
        )
    };
    Status(status).ok()?;
    Ok(Given { data, size }.bytes())
}
