//! The functions that Envoy calls.
//!
//! Nothing unwinds into Envoy: a panic is caught in its hook. The request is then denied,
//! and state that the panic may have left inconsistent is dropped; see [`crate::worker`].
//!
//! A stream's hooks run on its worker, one at a time, except that Envoy's functions may
//! call one inside another: resuming a request runs the hooks of its body, and
//! answering it may destroy the stream. So each hook has its own reference to the
//! stream.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use gatepass::event::Event;
use gatepass::host::HostFailure;

use super::copies;
use super::envoy::{self, Config, Filter};
use super::types::{
    BodyStatus, ConfigPtr, EnvoyBuffer, EnvoyHeader, FilterPtr, HeadersStatus, SUCCESS,
    TrailersStatus,
};
use crate::configuration::Configuration;
use crate::outgoing::Reply;
use crate::snapshot::{ConfigSnapshot, write_log};
use crate::stream::Stream;

/// The version of the ABI. If it is not Envoy's own, Envoy logs a warning and loads the
/// module all the same. It changes with Envoy's releases; the parts that this module uses
/// are the same in all of them.
const fn abi_version(is_oldest: bool) -> &'static CStr {
    // For Envoy 1.39, and for 1.40 and later.
    if is_oldest { c"v0.1.0" } else { c"v0.2.0" }
}

/// The hooks without which Envoy refuses the module, or which the module needs itself.
pub const REQUIRED_HOOKS: &[&str] = &[
    "envoy_dynamic_module_on_program_init",
    "envoy_dynamic_module_on_http_filter_config_new",
    "envoy_dynamic_module_on_http_filter_config_destroy",
    "envoy_dynamic_module_on_http_filter_config_scheduled",
    "envoy_dynamic_module_on_http_filter_config_http_callout_done",
    "envoy_dynamic_module_on_http_filter_per_route_config_new",
    "envoy_dynamic_module_on_http_filter_per_route_config_destroy",
    "envoy_dynamic_module_on_http_filter_new",
    "envoy_dynamic_module_on_http_filter_destroy",
    "envoy_dynamic_module_on_http_filter_request_headers",
    "envoy_dynamic_module_on_http_filter_request_body",
    "envoy_dynamic_module_on_http_filter_request_trailers",
    "envoy_dynamic_module_on_http_filter_response_headers",
    "envoy_dynamic_module_on_http_filter_response_body",
    "envoy_dynamic_module_on_http_filter_response_trailers",
    "envoy_dynamic_module_on_http_filter_stream_complete",
    "envoy_dynamic_module_on_http_filter_scheduled",
    "envoy_dynamic_module_on_http_filter_http_callout_done",
    "envoy_dynamic_module_on_http_filter_http_stream_headers",
    "envoy_dynamic_module_on_http_filter_http_stream_data",
    "envoy_dynamic_module_on_http_filter_http_stream_trailers",
    "envoy_dynamic_module_on_http_filter_http_stream_complete",
    "envoy_dynamic_module_on_http_filter_http_stream_reset",
    "envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark",
    "envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark",
];

/// Runs a hook; `None` if it panicked, which was logged.
fn guarded<T>(hook: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(result) => Some(result),
        Err(payload) => {
            drop_payload(payload);
            None
        }
    }
}

/// A panic's payload may itself panic when dropped.
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}

/// The stream behind Envoy's pointer.
///
/// # Safety
///
/// `stream` was returned by `filter_new`, and `filter_destroy` was not called for it.
unsafe fn stream_ref(stream: *const c_void) -> Rc<Stream> {
    let stream = stream.cast::<Stream>();
    // SAFETY: `filter_new` made it from an `Rc` on this thread, which only
    // `filter_destroy` releases; this adds a reference.
    unsafe {
        Rc::increment_strong_count(stream);
        Rc::from_raw(stream)
    }
}

/// Runs a hook of a stream. `None` if it panicked: then the request was denied, unless
/// already decided.
///
/// # Safety
///
/// Envoy passed both to a hook that is running.
unsafe fn in_stream<T>(
    filter: FilterPtr,
    stream: *const c_void,
    hook: impl FnOnce(&Rc<Stream>, Filter<'_>) -> T,
) -> Option<T> {
    // SAFETY: guaranteed by the caller.
    let stream = unsafe { stream_ref(stream) };
    let done = guarded(|| {
        // SAFETY: guaranteed by the caller; the hook is its only user.
        unsafe { Filter::new(filter) }.map(|filter| hook(&stream, filter))
    });
    if let Some(done) = done {
        return done;
    }
    // The panic consumed the hook's filter. The stream knows whether Envoy's filter still
    // exists.
    guarded(|| {
        if stream.on_panic() {
            write_log(&Event::HostError(HostFailure::Panicked));
            // SAFETY: the stream was neither answered nor destroyed.
            if let Some(filter) = unsafe { Filter::new(filter) } {
                filter.respond(500, &[], b"", HostFailure::Panicked.details());
            }
        }
    });
    None
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    guarded(|| gatepass::logging::send_to(envoy::log));
    let is_oldest = envoy::symbol(c"envoy_dynamic_module_callback_log_v2").is_null();
    abi_version(is_oldest).as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    config: ConfigPtr,
    _name: EnvoyBuffer,
    text: EnvoyBuffer,
) -> *const c_void {
    let made = guarded(|| {
        if let Err(missing) = envoy::start() {
            let missing: Vec<_> = missing.iter().map(|name| name.to_string_lossy()).collect();
            log::error!(
                "this Envoy cannot run the module, which needs 1.39 or later: it lacks {}",
                missing.join(", ")
            );
            return None;
        }
        if let Some(other) = copies::other() {
            log::error!(
                "this process has another copy of the module, {other}, and what one is told of \
                 revocations and logouts would not hold at the other: restart Envoy to replace it"
            );
            return None;
        }
        // SAFETY: Envoy lends the text and the configuration for this hook, which runs on
        // the main thread.
        let (text, config) = unsafe { (text.bytes(), Config::new(config)?) };
        Configuration::new(&config, text)
    });
    match made.flatten() {
        Some(configuration) => Box::into_raw(Box::new(configuration)).cast_const().cast(),
        None => ptr::null(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(
    configuration: *const c_void,
) {
    if configuration.is_null() {
        return;
    }
    guarded(|| {
        let configuration = configuration.cast_mut().cast::<Configuration>();
        // SAFETY: `config_new` made it; until this returns, only the main thread also
        // uses it, in the hooks of callouts.
        unsafe { &*configuration }.in_flight().settle();
        // SAFETY: `config_new` made it, and Envoy returns it here, once, when no stream
        // uses it any more.
        drop(unsafe { Box::from_raw(configuration) });
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    config: ConfigPtr,
    configuration: *const c_void,
    _event: u64,
) {
    guarded(|| {
        // SAFETY: `config_new` made it, and it is not destroyed while a hook runs; the
        // hook runs on the main thread.
        let configuration = unsafe { &*configuration.cast::<Configuration>() };
        // SAFETY: Envoy lends it for this hook, which runs on the main thread.
        if let Some(config) = unsafe { Config::new(config) } {
            configuration.scheduled(&config);
        }
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    config: ConfigPtr,
    configuration: *const c_void,
    callout: u64,
    result: u32,
    fields: *const EnvoyHeader,
    fields_length: usize,
    chunks: *const EnvoyBuffer,
    chunks_length: usize,
) {
    // SAFETY: `config_new` made it, and it is not destroyed while this callout is in
    // flight.
    let in_flight = guarded(|| unsafe { &*configuration.cast::<Configuration>() }.in_flight());
    guarded(|| {
        // SAFETY: `config_new` made it, and it is not destroyed while a hook runs; the
        // hook runs on the main thread.
        let configuration = unsafe { &*configuration.cast::<Configuration>() };
        // SAFETY: Envoy lends it for this hook, which runs on the main thread.
        let Some(config) = (unsafe { Config::new(config) }) else { return };
        let reply = (result == SUCCESS).then(|| {
            // SAFETY: Envoy lends both arrays for this hook.
            let (fields, chunks) =
                unsafe { (array(fields, fields_length), array(chunks, chunks_length)) };
            Reply {
                fields: fields
                    .iter()
                    // SAFETY: Envoy lends the names and values for this hook, too.
                    .map(|field| unsafe { (field.key().bytes(), field.value().bytes()) })
                    .collect(),
                // SAFETY: Envoy lends the bytes of the chunks for this hook, too.
                body: chunks.iter().map(|chunk| unsafe { chunk.bytes() }).collect(),
            }
        });
        configuration.callout_done(&config, callout, reply);
    });
    // From here on it may be destroyed.
    if let Some(in_flight) = in_flight {
        in_flight.done();
    }
}

/// # Safety
///
/// `ptr` is null, or points to this many values that are valid for `'a`.
unsafe fn array<'a, T>(ptr: *const T, length: usize) -> &'a [T] {
    if ptr.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: guaranteed by the caller.
    unsafe { std::slice::from_raw_parts(ptr, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: EnvoyBuffer,
    text: EnvoyBuffer,
) -> *const c_void {
    // SAFETY: Envoy lends the text for this hook.
    let made = guarded(|| ConfigSnapshot::new(unsafe { text.bytes() }));
    made.flatten().map_or(ptr::null(), envoy::routes::keep)
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(
    snapshot: *const c_void,
) {
    guarded(|| {
        if let Some(snapshot) = envoy::routes::take(snapshot) {
            snapshot.end();
        }
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    configuration: *const c_void,
    _filter: FilterPtr,
) -> *const c_void {
    let made = guarded(|| {
        // SAFETY: `config_new` made it, and it outlives all its streams.
        let configuration = unsafe { &*configuration.cast::<Configuration>() };
        Rc::into_raw(Rc::new(configuration.stream()))
    });
    // For null Envoy closes the stream.
    made.map_or(ptr::null(), <*const Stream>::cast)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: *const c_void) {
    if stream.is_null() {
        return;
    }
    guarded(|| {
        // SAFETY: `filter_new` made it from an `Rc` on this thread, and Envoy returns it
        // here, once.
        unsafe { Rc::from_raw(stream.cast::<Stream>()) }.destroyed();
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    filter: FilterPtr,
    stream: *const c_void,
    end_of_stream: bool,
) -> HeadersStatus {
    // SAFETY: both are Envoy's for this hook.
    unsafe { in_stream(filter, stream, |stream, filter| stream.headers(filter, end_of_stream)) }
        .unwrap_or(HeadersStatus::Stop)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    filter: FilterPtr,
    stream: *const c_void,
    end_of_stream: bool,
) -> BodyStatus {
    // SAFETY: both are Envoy's for this hook.
    unsafe { in_stream(filter, stream, |stream, filter| stream.body(filter, end_of_stream)) }
        .unwrap_or(BodyStatus::StopAndDrop)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    filter: FilterPtr,
    stream: *const c_void,
) -> TrailersStatus {
    // SAFETY: both are Envoy's for this hook.
    unsafe { in_stream(filter, stream, |stream, filter| stream.trailers(filter)) }
        .unwrap_or(TrailersStatus::Stop)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    filter: FilterPtr,
    stream: *const c_void,
    _event: u64,
) {
    // SAFETY: both are Envoy's for this hook.
    unsafe { in_stream(filter, stream, |stream, filter| stream.woken(filter)) };
}

// Hooks that Envoy requires and the module does not use.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    _filter: FilterPtr,
    _stream: *const c_void,
    _end_of_stream: bool,
) -> HeadersStatus {
    HeadersStatus::Continue
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _filter: FilterPtr,
    _stream: *const c_void,
    _end_of_stream: bool,
) -> BodyStatus {
    BodyStatus::Continue
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _filter: FilterPtr,
    _stream: *const c_void,
) -> TrailersStatus {
    TrailersStatus::Continue
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _filter: FilterPtr,
    _stream: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _filter: FilterPtr,
    _stream: *const c_void,
    _callout: u64,
    _result: u32,
    _fields: *const EnvoyHeader,
    _fields_length: usize,
    _chunks: *const EnvoyBuffer,
    _chunks_length: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _filter: FilterPtr,
    _stream: *const c_void,
    _callout: u64,
    _fields: *const EnvoyHeader,
    _fields_length: usize,
    _end_of_stream: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _filter: FilterPtr,
    _stream: *const c_void,
    _callout: u64,
    _chunks: *const EnvoyBuffer,
    _chunks_length: usize,
    _end_of_stream: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _filter: FilterPtr,
    _stream: *const c_void,
    _callout: u64,
    _fields: *const EnvoyHeader,
    _fields_length: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    _filter: FilterPtr,
    _stream: *const c_void,
    _callout: u64,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _filter: FilterPtr,
    _stream: *const c_void,
    _callout: u64,
    _reason: u32,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _filter: FilterPtr,
    _stream: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _filter: FilterPtr,
    _stream: *const c_void,
) {
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a payload");
        }
    }

    #[test]
    fn nothing_unwinds_out_of_a_hook_not_even_the_end_of_a_panic() {
        assert_eq!(guarded(|| 1), Some(1));
        assert_eq!(guarded(|| -> u8 { std::panic::panic_any(Bomb) }), None);
    }
}
