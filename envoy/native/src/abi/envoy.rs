//! Envoy's functions as safe calls.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use super::callbacks::Callbacks;
use super::types::{
    self, ConfigPtr, EnvoyBuffer, EnvoyHeader, FilterPtr, Map, ModuleBuffer, ModuleHeader,
    PEER_CERTIFICATE_DIGEST, RECEIVED_REQUEST_BODY, SOURCE_ADDRESS, SUCCESS, SchedulerPtr,
};
use crate::snapshot::ConfigSnapshot;

/// Set once, before any Envoy object is handed out.
static CALLBACKS: OnceLock<Callbacks> = OnceLock::new();

/// Resolves Envoy's functions on the first call.
///
/// # Errors
///
/// The names of those that this Envoy lacks.
pub(crate) fn start() -> Result<(), Vec<&'static CStr>> {
    if CALLBACKS.get().is_none() {
        // SAFETY: the process's symbols of these names are Envoy's. Envoy guarantees
        // their signatures from the first release that has the name, and is never
        // unloaded.
        let callbacks = unsafe { Callbacks::resolve(symbol) }?;
        let _ = CALLBACKS.set(callbacks);
    }
    Ok(())
}

/// A symbol of this process, null if there is none.
pub(super) fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends with a zero byte; looking it up changes nothing.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// Writes to Envoy's log. An Envoy that lacks other functions has this one.
pub(crate) fn log(level: log::Level, message: &str) {
    type Log = unsafe extern "C" fn(u32, ModuleBuffer);
    static LOG: OnceLock<Option<Log>> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let found = NonNull::new(symbol(c"envoy_dynamic_module_callback_log"))?;
        // SAFETY: Envoy's function of that name has this signature.
        Some(unsafe { std::mem::transmute::<NonNull<c_void>, Log>(found) })
    });
    match log {
        // SAFETY: the message is lent for the call; any thread may log.
        Some(log) => unsafe { log(types::level(level), ModuleBuffer::of(message.as_bytes())) },
        None => eprintln!("{message}"),
    }
}

/// One stream's filter, in a hook that was given it.
///
/// Neither cloned nor kept: a call that may destroy the stream consumes it.
pub(crate) struct Filter<'hook> {
    ptr: FilterPtr,
    calls: &'static Callbacks,
    hook: PhantomData<&'hook mut c_void>,
}

impl Filter<'_> {
    /// # Safety
    ///
    /// `ptr` is the filter of a hook that runs for as long as `'hook`, and no other code
    /// uses it meanwhile.
    pub(super) unsafe fn new(ptr: FilterPtr) -> Option<Self> {
        Some(Self { ptr, calls: CALLBACKS.get()?, hook: PhantomData })
    }

    /// The fields of a map, in order and with repeats; `None` if it is not there.
    pub(crate) fn fields(&self, map: Map) -> Option<Vec<(&[u8], &[u8])>> {
        // SAFETY: the filter is valid in its hook.
        let size = unsafe { (self.calls.http_get_headers_size)(self.ptr, map as u32) };
        let mut fields = vec![EnvoyHeader::EMPTY; size];
        // SAFETY: the filter is valid in its hook, and `fields` has room for `size` fields,
        // as many as Envoy has just counted.
        let is_there =
            unsafe { (self.calls.http_get_headers)(self.ptr, map as u32, fields.as_mut_ptr()) };
        is_there.then(|| {
            let pairs = fields.into_iter().map(|field| {
                // SAFETY: they stay until the map is changed, which takes `&mut self`.
                unsafe { (field.key().bytes(), field.value().bytes()) }
            });
            pairs.collect()
        })
    }

    /// Replaces all fields of a name by one; removes them if the value is empty. False if
    /// Envoy refused.
    #[must_use]
    pub(crate) fn set(&mut self, map: Map, name: &[u8], value: &[u8]) -> bool {
        let value = if value.is_empty() { ModuleBuffer::NULL } else { ModuleBuffer::of(value) };
        // SAFETY: the filter is valid in its hook; name and value are copied.
        unsafe { (self.calls.http_set_header)(self.ptr, map as u32, ModuleBuffer::of(name), value) }
    }

    /// Removes every field of a name. False if Envoy refused.
    #[must_use]
    pub(crate) fn remove(&mut self, map: Map, name: &[u8]) -> bool {
        self.set(map, name, b"")
    }

    /// The chunk of the body that this hook is called for.
    pub(crate) fn body(&self) -> Vec<&[u8]> {
        // SAFETY: the filter is valid in its hook.
        let size =
            unsafe { (self.calls.http_get_body_chunks_size)(self.ptr, RECEIVED_REQUEST_BODY) };
        let mut chunks = vec![EnvoyBuffer::EMPTY; size];
        // SAFETY: the filter is valid in its hook, and `chunks` has room for `size` chunks, as
        // many as Envoy has just counted.
        let is_there = size > 0
            && unsafe {
                (self.calls.http_get_body_chunks)(
                    self.ptr,
                    RECEIVED_REQUEST_BODY,
                    chunks.as_mut_ptr(),
                )
            };
        if !is_there {
            return Vec::new();
        }
        // SAFETY: they stay until the hook ends, since nothing here changes a body.
        chunks.into_iter().map(|chunk| unsafe { chunk.bytes() }).collect()
    }

    /// Sets a field for the access log.
    pub(crate) fn set_access_log_field(&mut self, name: &str, value: &str) {
        let (name, value) = (ModuleBuffer::of(name.as_bytes()), ModuleBuffer::of(value.as_bytes()));
        // SAFETY: the filter is valid in its hook; name and value are copied. A failure
        // does not matter to the request.
        let _ = unsafe { (self.calls.http_set_filter_state_bytes)(self.ptr, name, value) };
    }

    /// Answers the request. Must be the last use of it.
    pub(crate) fn respond(
        self,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: &[u8],
        details: &str,
    ) {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ModuleHeader::of(name, value)).collect();
        // SAFETY: the filter is valid in its hook, and consumed: the stream may be
        // destroyed before this returns. Arguments are copied.
        unsafe {
            (self.calls.http_send_response)(
                self.ptr,
                status.into(),
                fields.as_ptr(),
                fields.len(),
                ModuleBuffer::of(body),
                ModuleBuffer::of(details.as_bytes()),
            );
        }
    }

    /// Resumes a stopped request. Must be the last call for it in a hook.
    pub(crate) fn continue_request(self) {
        // SAFETY: the filter is valid in its hook, and consumed: the stream may be
        // destroyed before this returns.
        unsafe { (self.calls.http_filter_continue_decoding)(self.ptr) }
    }

    /// The configuration of the request's route, if it has one.
    ///
    /// # Errors
    ///
    /// It belongs to another module: Envoy lets a route name any.
    pub(crate) fn route(&self) -> Result<Option<Arc<ConfigSnapshot>>, ForeignRoute> {
        // SAFETY: the filter is valid in its hook.
        let ptr = unsafe { (self.calls.get_most_specific_route_config)(self.ptr) };
        if ptr.is_null() {
            return Ok(None);
        }
        routes::find(ptr).map(Some).ok_or(ForeignRoute)
    }

    /// Wakes this stream from any thread.
    pub(crate) fn waker(&self) -> StreamWaker {
        // SAFETY: the filter is valid in its hook.
        let ptr = unsafe { (self.calls.http_filter_scheduler_new)(self.ptr) };
        StreamWaker { ptr, calls: self.calls }
    }

    fn attribute(&self, attribute: u32) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: the filter is valid in its hook; the value is written to a variable
        // of ours.
        let is_there = unsafe {
            (self.calls.http_filter_get_attribute_string)(self.ptr, attribute, &raw mut value)
        };
        // SAFETY: it stays until the hook ends.
        is_there.then(|| unsafe { value.bytes() })
    }

    /// Lets code that runs meanwhile on this thread query this request.
    pub(crate) fn while_current<T>(&self, request: Request, call: impl FnOnce() -> T) -> T {
        with_current(request, self.ptr, call)
    }
}

/// A route's configuration that this module did not make.
#[derive(Debug)]
pub(crate) struct ForeignRoute;

/// The configurations of this module that Envoy's routes hold, by the pointers that Envoy
/// has.
pub(super) mod routes {
    use std::collections::HashMap;
    use std::ffi::c_void;
    use std::sync::{Arc, PoisonError, RwLock};

    use crate::snapshot::ConfigSnapshot;

    type Routes = HashMap<usize, Arc<ConfigSnapshot>>;

    static ROUTES: RwLock<Option<Routes>> = RwLock::new(None);

    /// Keeps a snapshot until [`take`]; returns the pointer for Envoy.
    pub(in crate::abi) fn keep(snapshot: Arc<ConfigSnapshot>) -> *const c_void {
        let ptr: *const c_void = Arc::as_ptr(&snapshot).cast();
        let mut routes = ROUTES.write().unwrap_or_else(PoisonError::into_inner);
        routes.get_or_insert_default().insert(ptr.addr(), snapshot);
        ptr
    }

    /// The snapshot behind Envoy's pointer.
    pub(super) fn find(ptr: *const c_void) -> Option<Arc<ConfigSnapshot>> {
        let routes = ROUTES.read().unwrap_or_else(PoisonError::into_inner);
        routes.as_ref()?.get(&ptr.addr()).cloned()
    }

    /// Removes and returns the snapshot.
    pub(in crate::abi) fn take(ptr: *const c_void) -> Option<Arc<ConfigSnapshot>> {
        let mut routes = ROUTES.write().unwrap_or_else(PoisonError::into_inner);
        routes.as_mut()?.remove(&ptr.addr())
    }
}

/// The number of a request, as the core knows it.
pub(crate) type Request = u64;

thread_local! {
    /// The request that may be queried, and its filter.
    static CURRENT: Cell<Option<(Request, FilterPtr)>> = const { Cell::new(None) };
}

struct Restore(Option<(Request, FilterPtr)>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

fn with_current<T>(request: Request, ptr: FilterPtr, call: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(Some((request, ptr)));
    // However the call ends: a filter that is over must not be queried.
    let _restore = Restore(before);
    call()
}

/// The address of a client, in Envoy's format; only while [`Filter::while_current`] runs for
/// that request.
pub(crate) fn source_address(request: Request) -> Option<Vec<u8>> {
    attribute(request, SOURCE_ADDRESS)
}

/// The SHA-256 of a client's certificate, in Envoy's format; only while
/// [`Filter::while_current`] runs for that request.
pub(crate) fn peer_certificate_digest(request: Request) -> Option<Vec<u8>> {
    attribute(request, PEER_CERTIFICATE_DIGEST)
}

/// The filter of the request that may be queried, if it is this one.
pub(super) fn current(request: Request) -> Option<FilterPtr> {
    CURRENT.get().filter(|(current, _)| *current == request).map(|(_, ptr)| ptr)
}

fn attribute(request: Request, attribute: u32) -> Option<Vec<u8>> {
    let ptr = current(request)?;
    // SAFETY: `while_current` borrows the filter for as long as it is in `CURRENT`, so its
    // hook runs, and it is neither changed nor consumed meanwhile.
    let filter = unsafe { Filter::new(ptr) }?;
    filter.attribute(attribute).map(<[u8]>::to_vec)
}

/// Schedules a stream's hook on its worker.
#[derive(Debug)]
pub(crate) struct StreamWaker {
    ptr: SchedulerPtr,
    calls: &'static Callbacks,
}

// SAFETY: any thread may use and delete a scheduler.
unsafe impl Send for StreamWaker {}
// SAFETY: any thread may use it, several at once.
unsafe impl Sync for StreamWaker {}

impl StreamWaker {
    /// Does nothing if the stream is over.
    pub(crate) fn wake(&self) {
        // SAFETY: deleted only when dropped.
        unsafe { (self.calls.http_filter_scheduler_commit)(self.ptr, 0) }
    }
}

impl Drop for StreamWaker {
    fn drop(&mut self) {
        // SAFETY: made for this value, which is dropped.
        unsafe { (self.calls.http_filter_scheduler_delete)(self.ptr) }
    }
}

/// Schedules a configuration's hook on the main thread.
#[derive(Debug)]
pub(crate) struct ConfigWaker {
    ptr: SchedulerPtr,
    calls: &'static Callbacks,
}

// SAFETY: any thread may use and delete a scheduler.
unsafe impl Send for ConfigWaker {}
// SAFETY: any thread may use it, several at once.
unsafe impl Sync for ConfigWaker {}

impl ConfigWaker {
    /// Does nothing if the configuration is gone.
    pub(crate) fn wake(&self) {
        // SAFETY: deleted only when dropped.
        unsafe { (self.calls.http_filter_config_scheduler_commit)(self.ptr, 0) }
    }
}

impl Drop for ConfigWaker {
    fn drop(&mut self) {
        // SAFETY: made for this value, which is dropped.
        unsafe { (self.calls.http_filter_config_scheduler_delete)(self.ptr) }
    }
}

/// A filter's configuration, in a hook on the main thread that was given it.
pub(crate) struct Config<'hook> {
    ptr: ConfigPtr,
    calls: &'static Callbacks,
    hook: PhantomData<&'hook mut c_void>,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Can only be increased.
    Counter,
    /// Can be set.
    Gauge,
    /// Records single values.
    Histogram,
}

/// A metric known to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    kind: Kind,
    id: usize,
}

impl Metric {
    pub(crate) const fn kind(self) -> Kind {
        self.kind
    }
}

impl Config<'_> {
    /// # Safety
    ///
    /// `ptr` is the configuration of a hook that runs for as long as `'hook`, on the
    /// main thread.
    pub(super) unsafe fn new(ptr: ConfigPtr) -> Option<Self> {
        Some(Self { ptr, calls: CALLBACKS.get()?, hook: PhantomData })
    }

    pub(super) const fn ptr(&self) -> ConfigPtr {
        self.ptr
    }

    /// Schedules a hook of this configuration from any thread.
    pub(crate) fn waker(&self) -> ConfigWaker {
        // SAFETY: the configuration is valid in its hook.
        let ptr = unsafe { (self.calls.http_filter_config_scheduler_new)(self.ptr) };
        ConfigWaker { ptr, calls: self.calls }
    }

    /// Sends a request to a cluster; returns the number under which its outcome is
    /// reported, `None` if it was not sent.
    pub(crate) fn send(
        &self,
        cluster: &str,
        fields: &[(&[u8], &[u8])],
        body: &[u8],
        timeout_milliseconds: u64,
    ) -> Option<u64> {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ModuleHeader::of(name, value)).collect();
        let mut callout = 0;
        // SAFETY: the configuration is valid in its hook, which runs on the main
        // thread; what is lent is copied.
        let outcome = unsafe {
            (self.calls.http_filter_config_http_callout)(
                self.ptr,
                &raw mut callout,
                ModuleBuffer::of(cluster.as_bytes()),
                fields.as_ptr(),
                fields.len(),
                ModuleBuffer::of(body),
                timeout_milliseconds,
            )
        };
        (outcome == SUCCESS).then_some(callout)
    }

    /// Defines a metric; `None` if Envoy refused, as it does once the configuration is
    /// created.
    pub(crate) fn define(&self, kind: Kind, name: &str, labels: &[&str]) -> Option<Metric> {
        let define = match kind {
            Kind::Counter => self.calls.http_filter_config_define_counter,
            Kind::Gauge => self.calls.http_filter_config_define_gauge,
            Kind::Histogram => self.calls.http_filter_config_define_histogram,
        };
        let labels: Vec<_> =
            labels.iter().map(|label| ModuleBuffer::of(label.as_bytes())).collect();
        let mut id = 0;
        // SAFETY: the configuration is valid in its hook; what is lent is copied, and
        // the number is written to a variable of ours.
        let outcome = unsafe {
            define(
                self.ptr,
                ModuleBuffer::of(name.as_bytes()),
                pointer(&labels),
                labels.len(),
                &raw mut id,
            )
        };
        (outcome == SUCCESS).then_some(Metric { kind, id })
    }

    /// Adds, sets or records an amount, by the kind of the metric. False if Envoy refuses.
    pub(crate) fn measure(&self, metric: Metric, labels: &[&str], amount: u64) -> bool {
        let feed = match metric.kind {
            Kind::Counter => self.calls.http_filter_config_increment_counter,
            Kind::Gauge => self.calls.http_filter_config_set_gauge,
            Kind::Histogram => self.calls.http_filter_config_record_histogram_value,
        };
        let labels: Vec<_> =
            labels.iter().map(|label| ModuleBuffer::of(label.as_bytes())).collect();
        // SAFETY: the configuration is valid in its hook; what is lent is copied.
        let outcome = unsafe { feed(self.ptr, metric.id, pointer(&labels), labels.len(), amount) };
        outcome == SUCCESS
    }
}

/// Null for an empty slice.
const fn pointer(labels: &[ModuleBuffer]) -> *const ModuleBuffer {
    if labels.is_empty() { ptr::null() } else { labels.as_ptr() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_queried_for_its_own_request_and_only_meanwhile() {
        let [outer, inner] = [8, 16].map(std::ptr::without_provenance_mut);
        with_current(1, outer, || {
            assert_eq!((current(1), current(2)), (Some(outer), None));
            with_current(2, inner, || assert_eq!((current(1), current(2)), (None, Some(inner))));
            let panicked = std::panic::catch_unwind(|| with_current(2, inner, || panic!("a hook")));
            assert!(panicked.is_err());
            assert_eq!((current(1), current(2)), (Some(outer), None));
        });
        assert_eq!(current(1), None, "which may be freed by now");
    }
}
