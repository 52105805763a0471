//! The functions of Envoy that the module calls, by name.
//!
//! Envoy's executable has them among its dynamic symbols. Linked as usual they
//! would be looked up at the first call, and an Envoy that lacks one would die
//! then, with traffic on it. So all of them are looked up when the module starts,
//! and a configuration is refused where one is missing. (`log`, which tells of that, is
//! looked up by itself; see [`log`](super::log).)
//!
//! Their signatures are what Envoy 1.39 and 1.40 have, and do not change once
//! released: what changes gets a new name.

use std::ffi::{CStr, c_void};
use std::{fmt, mem};

use super::types::{
    ConfigPtr, EnvoyBuffer, EnvoyHeader, FilterPtr, ModuleBuffer, ModuleHeader, SchedulerPtr,
};

macro_rules! callbacks {
    ($($(#[$promise:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        /// Envoy's functions. Each may be called on the thread of the hook whose
        /// pointer it is given, unless it says more.
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
            /// Whatever `find` gives for a name is null, or a function of that name's
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
                        // SAFETY: not null, and of this type by the caller's promise.
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
    /// How many fields a map has; 0 for a map that is not there.
    fn http_get_headers_size(filter: FilterPtr, map: u32) -> usize;
    /// Writes all fields of a map, in order and with repeats, to an array of at least that
    /// size. The pointers are valid until the map is changed or the hook ends. False for a
    /// map that is not there.
    fn http_get_headers(filter: FilterPtr, map: u32, fields: *mut EnvoyHeader) -> bool;
    /// Replaces every field of a name by one; without a value, or with an empty
    /// one, only removes them. Name and value are copied. False for a map that is
    /// not there.
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
    /// Gives a request that was stopped to the next filter. The filters behind run
    /// before this returns, and hooks of the same stream too, `destroy` among them.
    fn http_filter_continue_decoding(filter: FilterPtr);

    /// The number of chunks of a part of the body; 0 if there is none.
    fn http_get_body_chunks_size(filter: FilterPtr, which: u32) -> usize;
    /// Writes these pieces to an array of at least that size; they stay until the
    /// body is changed or the hook ends.
    fn http_get_body_chunks(filter: FilterPtr, which: u32, chunks: *mut EnvoyBuffer) -> bool;

    /// Keeps a value under a name for the access log and for other filters.
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
    /// The module's configuration that the request's route has, null if none. The
    /// route keeps it for as long as the stream lives.
    fn get_most_specific_route_config(filter: FilterPtr) -> *const c_void;

    /// Makes a scheduler of a stream, to be deleted by the module.
    fn http_filter_scheduler_new(filter: FilterPtr) -> SchedulerPtr;
    /// Has the stream's `scheduled` hook called on its worker, soon; nothing if the
    /// stream is over by then. Any thread may.
    fn http_filter_scheduler_commit(scheduler: SchedulerPtr, event: u64);
    /// Deletes a scheduler. Any thread may, once.
    fn http_filter_scheduler_delete(scheduler: SchedulerPtr);

    /// Makes a scheduler of a configuration, to be deleted by the module.
    fn http_filter_config_scheduler_new(config: ConfigPtr) -> SchedulerPtr;
    /// Has the configuration's `scheduled` hook called on the main thread, soon;
    /// nothing if the configuration is gone by then. Any thread may.
    fn http_filter_config_scheduler_commit(scheduler: SchedulerPtr, event: u64);
    /// Deletes a scheduler. Any thread may, once.
    fn http_filter_config_scheduler_delete(scheduler: SchedulerPtr);

    /// Sends a request to a cluster, on the main thread only. Arguments are copied. Returns
    /// 0 and writes the number that `callout_done` reports the outcome with; anything else
    /// if it was not sent, and then no outcome follows.
    fn http_filter_config_http_callout(
        config: ConfigPtr,
        callout: *mut u64,
        cluster: ModuleBuffer,
        fields: *const ModuleHeader,
        fields_length: usize,
        body: ModuleBuffer,
        timeout_milliseconds: u64,
    ) -> u32;

    /// Defines a counter while the configuration is made; writes its number. The
    /// names of labels may be null if there are none.
    fn http_filter_config_define_counter(
        config: ConfigPtr,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;
    /// Defines a gauge while the configuration is made; writes its number.
    fn http_filter_config_define_gauge(
        config: ConfigPtr,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;
    /// Defines a histogram while the configuration is made; writes its number.
    fn http_filter_config_define_histogram(
        config: ConfigPtr,
        name: ModuleBuffer,
        labels: *const ModuleBuffer,
        labels_length: usize,
        id: *mut usize,
    ) -> u32;
    /// Adds to a counter. As many values of labels as it was defined with.
    fn http_filter_config_increment_counter(
        config: ConfigPtr,
        id: usize,
        labels: *const ModuleBuffer,
        labels_length: usize,
        value: u64,
    ) -> u32;
    /// Sets a gauge. As many values of labels as it was defined with.
    fn http_filter_config_set_gauge(
        config: ConfigPtr,
        id: usize,
        labels: *const ModuleBuffer,
        labels_length: usize,
        value: u64,
    ) -> u32;
    /// Records a value of a histogram. As many values of labels as it was defined
    /// with.
    fn http_filter_config_record_histogram_value(
        config: ConfigPtr,
        id: usize,
        labels: *const ModuleBuffer,
        labels_length: usize,
        value: u64,
    ) -> u32;
}
