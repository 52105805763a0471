//! The host calls that the filter makes, each of which may fail.

use gatepass::http::Fields;
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, StreamType};

use super::imports;
use super::maps::{serialized, spans};
use super::{Status, if_found};

/// An answer to the request whose context is entered.
#[derive(Debug)]
pub(crate) struct LocalResponse<'a> {
    pub status: u16,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    pub details: &'a str,
}

pub(crate) fn log(level: log::Level, text: &str) {
    let level = match level {
        log::Level::Trace => LogLevel::Trace,
        log::Level::Debug => LogLevel::Debug,
        log::Level::Info => LogLevel::Info,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Error => LogLevel::Error,
    };
    // There is no way to report it.
    let _ = imports::log(level as u32, text);
}

/// Nanoseconds since 1970.
pub(crate) fn now_nanos() -> Result<u64, Status> {
    imports::now()
}

pub(crate) fn set_tick_period(millis: u32) -> Result<(), Status> {
    imports::set_tick_period(millis).ok()
}

/// The first `size` bytes; a shorter buffer is a failure: a truncated reply must not pass
/// for a complete one.
pub(crate) fn buffer(buffer: BufferType, size: usize) -> Result<Vec<u8>, Status> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let bytes = imports::get_buffer(buffer as u32, size)?.unwrap_or_default();
    if bytes.len() == size { Ok(bytes) } else { Err(Status::SERIALIZATION_FAILURE) }
}

/// The fields of a map, of which the host announced this many: fewer are incomplete.
pub(crate) fn header_fields(map: MapType, announced: usize) -> Result<Fields, Status> {
    let bytes = imports::get_map(map as u32)?.unwrap_or_default();
    let spans = match bytes.is_empty() {
        true => Vec::new(),
        false => spans(&bytes).ok_or(Status::SERIALIZATION_FAILURE)?,
    };
    if spans.len() < announced {
        return Err(Status::SERIALIZATION_FAILURE);
    }
    Ok(Fields::of(bytes, spans))
}

/// The first value of a field.
pub(crate) fn header_value(map: MapType, name: &str) -> Result<Option<Vec<u8>>, Status> {
    let value = if_found(imports::get_header(map as u32, name))?;
    Ok(value.map(Option::unwrap_or_default))
}

pub(crate) fn set_header(map: MapType, name: &str, value: &[u8]) -> Result<(), Status> {
    imports::replace_header(map as u32, name, value).ok()
}

pub(crate) fn remove_header(map: MapType, name: &str) -> Result<(), Status> {
    imports::remove_header(map as u32, name).ok()
}

/// A property; the segments of `path` are separated by NUL.
pub(crate) fn property(path: &str) -> Result<Option<Vec<u8>>, Status> {
    Ok(if_found(imports::get_property(path))?.flatten())
}

/// Sets a property; the segments of `path` are separated by NUL.
pub(crate) fn set_property(path: &str, value: &[u8]) -> Result<(), Status> {
    imports::set_property(path, value).ok()
}

/// A value that workers share, and its version.
pub(crate) fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, Status> {
    let found = if_found(imports::get_shared_data(key))?;
    Ok(found.and_then(|(value, version)| Some((value?, version))))
}

/// The ABI uses 0 for no version.
pub(crate) fn set_shared_data(key: &str, value: &[u8], version: Option<u32>) -> Result<(), Status> {
    imports::set_shared_data(key, value, version.unwrap_or(0)).ok()
}

/// Resumes the request whose context is entered.
pub(crate) fn continue_request() -> Result<(), Status> {
    imports::continue_stream(StreamType::HttpRequest as u32).ok()
}

pub(crate) fn enter_context(context_id: u32) -> Result<(), Status> {
    imports::set_effective_context(context_id).ok()
}

pub(crate) fn send_local_response(response: &LocalResponse<'_>) -> Result<(), Status> {
    let headers = serialized(response.headers)?;
    imports::send_local_response(response.status.into(), &headers, response.body, response.details)
        .ok()
}

pub(crate) fn define_metric(kind: MetricType, name: &str) -> Result<u32, Status> {
    imports::define_metric(kind as u32, name)
}

pub(crate) fn add_to_metric(metric: u32, amount: i64) -> Result<(), Status> {
    imports::increment_metric(metric, amount).ok()
}

pub(crate) fn record_metric(metric: u32, value: u64) -> Result<(), Status> {
    imports::record_metric(metric, value).ok()
}

/// Only for a host known to be Envoy: on another the call traps.
pub(crate) fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(imports::call_foreign_function(name, arguments)?.unwrap_or_default())
}
