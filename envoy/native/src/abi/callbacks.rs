//! The functions of Envoy that the module calls, by name.
//!
//! Envoy's executable exports them as dynamic symbols. Linked as usual they would be
//! resolved at the first call, and an Envoy that lacks one would crash then, under
//! traffic. So all of them are resolved when the module starts, and a configuration is
//! refused if one is missing. (`log`, which reports that, is resolved separately; see
//! [`log`](super::log).)
//!
//! Their signatures are those of Envoy 1.39 and 1.40, and do not change once released: a
//! change gets a new name.

use std::ffi::{CStr, c_void};
use std::{fmt, mem};

use super::types::{
    ConfigPtr, EnvoyBuffer, EnvoyHeader, FilterPtr, ModuleBuffer, ModuleHeader, SchedulerPtr,
};

macro_rules! callbacks {
    ($($(#[$promise:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        /// Envoy's functions. Each may be called on the thread of the hook whose pointer
        /// it gets, unless stated otherwise.
        #[allow(clippy::type_complexity, reason = "as the ABI has them")]
        pub struct Callbacks {
            $($(#[$promise])* pub(super) $name: unsafe extern "C" fn($($type),*) $(-> $result)?,)*
        }

        impl fmt::Debug for Callbacks {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Callbacks")
            }
        }

        impl Callbacks {
            /// The names that Envoy must have.
            pub const SYMBOLS: &[&CStr] = &[$(symbol(concat!(
                "envoy_dynamic_module_callback_", stringify!($name), "\0"
            ))),*];

            /// Looks up every function.
            ///
            /// # Errors
            ///
            /// The names of all that are missing.
            ///
            /// # Safety
            ///
            /// For each name `find` returns null, or a function with that name's
            /// signature that may be called for as long as the process runs.
            pub unsafe fn resolve(
                find: impl Fn(&CStr) -> *mut c_void,
            ) -> Result<Self, Vec<&'static CStr>> {
                let found: Vec<*mut c_void> =
                    Self::SYMBOLS.iter().map(|symbol| find(symbol)).collect();
                let pairs = Self::SYMBOLS.iter().zip(&found);
                let missing: Vec<_> =
                    pairs.filter(|(_, found)| found.is_null()).map(|(name, _)| *name).collect();
                if !missing.is_empty() {
                    return Err(missing);
                }
                let mut found = found.into_iter();
                // In the order of the names.
                Ok(Self {
                    $($name: {
                        let Some(function) = found.next() else { return Err(Vec::new()) };
                        // SAFETY: not null, and of this type as the caller guarantees.
                        unsafe {
                            mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($type),*) $(-> $result)?,
                            >(function)
                        }
                    },)*
                })
            }
        }
    };
}

const fn symbol(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(symbol) => symbol,
        Err(_) => c"",
    }
}

callbacks! {
    /// The number of fields in a map; 0 for a map that does not exist.
    fn http_get_headers_size(filter: FilterPtr, map: u32) -> usize;
    /// Writes all fields of a map, in order and with repeats, to an array of at least
    /// that size. The pointers are valid until the map is changed or the hook ends. False
    /// for a map that does not exist.
    fn http_get_headers(filter: FilterPtr, map: u32, fields: *mut EnvoyHeader) -> bool;
    /// Replaces every field of a name by one; with no value, or an empty one, only
    /// removes them. Name and value are copied. False for a map that does not exist.
    fn http_set_header(
        filter: FilterPtr,
        map: u32,
        name: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;

    /// Answers the request. Arguments are copied. Hooks of the same stream may be called
    /// before this returns, `destroy` among them.
    fn http_send_response(
        filter: FilterPtr,
        status: u32,
        fields: *const ModuleHeader,
        fields_length: usize,
        body: ModuleBuffer,
        details: ModuleBuffer,
    );
    /// Resumes a stopped request with the next filter. The following filters run before
    /// this returns, and so may hooks of the same stream, `destroy` among them.
    fn http_filter_continue_decoding(filter: FilterPtr);

    /// The number of chunks of a part of the body; 0 if there is none.
    fn http_get_body_chunks_size(filter: FilterPtr, which: u32) -> usize;
    /// Writes these chunks to an array of at least that size; they are valid until the
    /// body is changed or the hook ends.
    fn http_get_body_chunks(filter: FilterPtr, which: u32, chunks: *mut EnvoyBuffer) -> bool;

    /// Stores a value under a name for the access log and other filters.
    fn http_set_filter_state_bytes(
        filter: FilterPtr,
        name: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
    /// An attribute of the request; valid until the hook ends. False for an unknown one, or
    /// one that is not text.
    fn http_filter_get_attribute_string(
        filter: FilterPtr,
        attribute: u32,
        value: *mut EnvoyBuffer,
    ) -> bool;
    /// The module's configuration for the request's route, null if none. The route keeps
    /// it alive as long as the stream.
    fn get_most_specific_route_config(filter: FilterPtr) -> *const c_void;

    /// Creates a scheduler for a stream; the module must delete it.
    fn http_filter_scheduler_new(filter: FilterPtr) -> SchedulerPtr;
    /// Schedules the stream's `scheduled` hook on its worker; does nothing if the stream
    /// is over by then. Callable on any thread.
    fn http_filter_scheduler_commit(scheduler: SchedulerPtr, event: u64);
    /// Deletes a scheduler, once. Callable on any thread.
    fn http_filter_scheduler_delete(scheduler: SchedulerPtr);

    /// Creates a scheduler for a configuration; the module must delete it.
    fn http_filter_config_scheduler_new(config: ConfigPtr) -> SchedulerPtr;
    /// Schedules the configuration's `scheduled` hook on the main thread; does nothing if
    /// the configuration is gone by then. Callable on any thread.
    fn http_filter_config_scheduler_commit(scheduler: SchedulerPtr, event: u64);
    /// Deletes a scheduler, once. Callable on any thread.
    fn http_filter_config_scheduler_delete(scheduler: SchedulerPtr);

    /// Sends a request to a cluster, on the main thread only. Arguments are copied.
    /// Returns 0 and writes the number under which `callout_done` reports the outcome;
    /// anything else if it was not sent, and then no outcome follows.
    fn http_filter_config_http_callout(
        config: ConfigPtr,
        callout: *mut u64,
        cluster: ModuleBuffer,
        fields: *const ModuleHeader,
        fields_length: usize,
        body: ModuleBuffer,
        timeout_milliseconds: u64,
    ) -> u32;

    /// Defines a counter while the configuration is created; writes its number. The label
    /// names may be null if there are none.
    fn http_filter_config_define_counter(
        config: ConfigPtr,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;
    /// Defines a gauge while the configuration is created; writes its number.
    fn http_filter_config_define_gauge(
        config: ConfigPtr,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;
    /// Defines a histogram while the configuration is created; writes its number.
    fn http_filter_config_define_histogram(
        config: ConfigPtr,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;
    /// Adds to a counter. Takes as many label values as it was defined with.
    fn http_filter_config_increment_counter(
        config: ConfigPtr,
        id: usize,
        labels: *const ModuleBuffer,
        labels_length: usize,
        value: u64,
    ) -> u32;
    /// Sets a gauge. Takes as many label values as it was defined with.
    fn http_filter_config_set_gauge(
        config: ConfigPtr,
        id: usize,
        labels: *const ModuleBuffer,
        labels_length: usize,
        value: u64,
    ) -> u32;
    /// Records a value in a histogram. Takes as many label values as it was defined with.
    fn http_filter_config_record_histogram_value(
        config: ConfigPtr,
        id: usize,
        labels: *const ModuleBuffer,
        labels_length: usize,
        value: u64,
    ) -> u32;
}
