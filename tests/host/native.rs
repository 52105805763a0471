//! The filter linked into the test binary.
//!
//! The filter declares its imports as `extern "C"` functions; this file defines
//! them as symbols. Its contexts are thread-local, so a thread of its own is a
//! VM of its own. That thread also makes traps possible: unwinding out of an
//! `extern "C"` function would abort the whole test binary, so a host trap or a
//! panic of the filter reports itself and then stops the thread for good,
//! exactly as dead as a trapped instance.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Once, TryLockError};
use std::thread;
use std::time::Duration;

use super::Filter;
use super::abi::{Guest, Status, Trap};
use super::imports;
use super::vm::{Export, SharedHost, Vm};

type Outcome = Result<u32, Trap>;

thread_local! {
    static HOST: RefCell<Option<SharedHost>> = const { RefCell::new(None) };
    static RESULTS: RefCell<Option<Sender<Outcome>>> = const { RefCell::new(None) };
}

pub struct NativeVm {
    calls: Sender<(Export, Vec<u32>)>,
    results: Receiver<Outcome>,
}

impl NativeVm {
    pub fn boot(filter: &Filter, host: SharedHost) -> Self {
        install_panic_hook(filter.initialize);
        set_environment(&host);
        let filter = *filter;
        let (calls, inbox) = channel::<(Export, Vec<u32>)>();
        let (outbox, results) = channel();
        let vm = move || {
            HOST.set(Some(host));
            RESULTS.set(Some(outbox.clone()));
            while let Ok((export, args)) = inbox.recv() {
                if outbox.send(Ok(enter(&filter, export, &args))).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("filter".to_owned()).spawn(vm).expect("a thread for the VM");
        Self { calls, results }
    }
}

impl Vm for NativeVm {
    fn call(&mut self, export: Export, args: &[u32]) -> Outcome {
        self.calls.send((export, args.to_vec())).expect("a live VM thread");
        self.results.recv().unwrap_or_else(|_| Err(Trap::new("the VM thread died")))
    }
}

/// The process has one environment, so scenarios must not disagree about a name.
fn set_environment(host: &SharedHost) {
    let environment = host.lock().unwrap().environment.clone();
    for (name, value) in environment {
        let old = std::env::var_os(&name);
        assert!(
            old.as_ref().is_none_or(|old| *old == *value),
            "two native scenarios give ${name} different values; use another name"
        );
        // SAFETY: this process reads its environment through std alone, which
        // serialises readers and writers.
        unsafe { std::env::set_var(&name, &value) };
    }
}

/// Makes a panic of the filter a trap, and leaves a test's own panics alone.
fn install_panic_hook(initialize: extern "C" fn()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let test_hook = panic::take_hook();
        // A filter installs its logger and its hook once for a process, so let
        // that happen here.
        initialize();
        panic::set_hook(Box::new(move |info| {
            let vm = RESULTS.try_with(|results| results.borrow().is_some()).unwrap_or(false);
            if vm {
                report(Trap::new(info.to_string()));
                PANICKED.set(true);
            } else {
                test_hook(info);
            }
        }));
    });
}

fn report(trap: Trap) {
    RESULTS.with_borrow(|results| {
        if let Some(results) = results {
            let _ = results.send(Err(trap));
        }
    });
}

/// Ends this VM from within a host call.
fn stop(trap: Trap) -> ! {
    report(trap);
    sleep_for_ever()
}

fn sleep_for_ever() -> ! {
    loop {
        thread::sleep(Duration::MAX);
    }
}

thread_local! {
    /// The panic hook has run on this thread.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Stops a panicked VM thread before it unwinds.
///
/// The hook itself can't: std holds a lock while it runs, and libtest waits for
/// that lock at the end. The next thing a panic does is to box its payload.
struct StopsPanics;

#[global_allocator]
static ALLOCATOR: StopsPanics = StopsPanics;

// SAFETY: every call is the system allocator's, or never returns.
unsafe impl GlobalAlloc for StopsPanics {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if PANICKED.get() {
            sleep_for_ever();
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}

struct NativeGuest;

impl Guest for NativeGuest {
    fn read(&mut self, at: u64, len: u64) -> Result<Vec<u8>, Trap> {
        if len == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: the filter passes a pointer and length of one of its own slices,
        // alive until the host call returns.
        Ok(unsafe { std::slice::from_raw_parts(at as *const u8, len as usize) }.to_vec())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Trap> {
        // SAFETY: `at` is an out pointer of the filter, or was just allocated with
        // at least this length.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
        Ok(())
    }

    fn allocate(&mut self, len: usize) -> Result<u64, Trap> {
        Ok(proxy_on_memory_allocate(len) as u64)
    }

    fn pointer_width(&self) -> usize {
        size_of::<usize>()
    }
}

fn host_call(name: &str, args: &[u64]) -> u32 {
    let host = HOST.try_with(|host| host.borrow().clone()).ok().flatten();
    let Some(host) = host else {
        // The filter's logger is global: a log line from outside of any VM.
        let _ = writeln!(std::io::stderr(), "{name} called outside of a VM");
        return Status::InternalFailure as u32;
    };
    let answer = match host.try_lock() {
        Ok(mut host) => imports::call(&mut host, &mut NativeGuest, name, args),
        Err(TryLockError::WouldBlock) => Err(Trap::new(format!("{name} within a host call"))),
        Err(TryLockError::Poisoned(_)) => Err(Trap::new("the fake host panicked")),
    };
    match answer {
        Ok(status) => status as u32,
        Err(trap) => stop(trap),
    }
}

/// Defines one symbol per import; the types are the filter's, as the C ABI sees them.
macro_rules! imports {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?);)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments)]
        extern "C" fn $name($($arg: $type),*) -> u32 {
            host_call(stringify!($name), &[$($arg as u64),*])
        }
    )*};
}

imports! {
    fn proxy_log(level: u32, text: usize, len: usize);
    fn proxy_get_log_level(level: usize);
    fn proxy_get_current_time_nanoseconds(time: usize);
    fn proxy_set_tick_period_milliseconds(period: u32);
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, data: usize, len: usize);
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: usize, len: usize);
    fn proxy_get_header_map_pairs(map: u32, data: usize, len: usize);
    fn proxy_set_header_map_pairs(map: u32, data: usize, len: usize);
    fn proxy_get_header_map_value(map: u32, key: usize, key_len: usize, data: usize, len: usize);
    fn proxy_remove_header_map_value(map: u32, key: usize, key_len: usize);
    fn proxy_replace_header_map_value(map: u32, key: usize, key_len: usize, data: usize, len: usize);
    fn proxy_add_header_map_value(map: u32, key: usize, key_len: usize, data: usize, len: usize);
    fn proxy_get_property(path: usize, path_len: usize, data: usize, len: usize);
    fn proxy_set_property(path: usize, path_len: usize, data: usize, len: usize);
    fn proxy_get_shared_data(key: usize, key_len: usize, data: usize, len: usize, cas: usize);
    fn proxy_set_shared_data(key: usize, key_len: usize, data: usize, len: usize, cas: u32);
    fn proxy_register_shared_queue(name: usize, len: usize, id: usize);
    fn proxy_resolve_shared_queue(vm: usize, vm_len: usize, name: usize, len: usize, id: usize);
    fn proxy_dequeue_shared_queue(queue: u32, data: usize, len: usize);
    fn proxy_enqueue_shared_queue(queue: u32, data: usize, len: usize);
    fn proxy_continue_stream(stream: u32);
    fn proxy_close_stream(stream: u32);
    fn proxy_send_local_response(
        status: u32, details: usize, details_len: usize, body: usize, body_len: usize,
        headers: usize, headers_len: usize, grpc_status: i32,
    );
    fn proxy_http_call(
        upstream: usize, upstream_len: usize, headers: usize, headers_len: usize, body: usize,
        body_len: usize, trailers: usize, trailers_len: usize, timeout: u32, token: usize,
    );
    fn proxy_grpc_call(
        upstream: usize, upstream_len: usize, service: usize, service_len: usize, method: usize,
        method_len: usize, metadata: usize, metadata_len: usize, message: usize,
        message_len: usize, timeout: u32, id: usize,
    );
    fn proxy_grpc_stream(
        upstream: usize, upstream_len: usize, service: usize, service_len: usize, method: usize,
        method_len: usize, metadata: usize, metadata_len: usize, id: usize,
    );
    fn proxy_grpc_send(token: u32, message: usize, len: usize, end_stream: bool);
    fn proxy_grpc_cancel(token: u32);
    fn proxy_grpc_close(token: u32);
    fn proxy_get_status(code: usize, message: usize, len: usize);
    fn proxy_set_effective_context(context: u32);
    fn proxy_call_foreign_function(
        name: usize, name_len: usize, args: usize, args_len: usize, data: usize, len: usize,
    );
    fn proxy_done();
    fn proxy_define_metric(kind: u32, name: usize, len: usize, id: usize);
    fn proxy_get_metric(id: u32, value: usize);
    fn proxy_record_metric(id: u32, value: u64);
    fn proxy_increment_metric(id: u32, offset: i64);
}

// What the filter exports; these declarations also make the linker keep it.
unsafe extern "C" {
    safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
    safe fn proxy_on_context_create(context: u32, root: u32);
    safe fn proxy_on_vm_start(context: u32, size: usize) -> bool;
    safe fn proxy_on_configure(context: u32, size: usize) -> bool;
    safe fn proxy_on_tick(context: u32);
    safe fn proxy_on_request_headers(context: u32, count: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_request_body(context: u32, size: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_request_trailers(context: u32, count: usize) -> u32;
    safe fn proxy_on_response_headers(context: u32, count: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_response_body(context: u32, size: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_http_call_response(
        context: u32,
        token: u32,
        headers: usize,
        body: usize,
        trailers: usize,
    );
    safe fn proxy_on_done(context: u32) -> bool;
    safe fn proxy_on_log(context: u32);
    safe fn proxy_on_delete(context: u32);
}

fn enter(filter: &Filter, export: Export, args: &[u32]) -> u32 {
    let size = |n: usize| args[n] as usize;
    match export {
        Export::Initialize => (filter.initialize)(),
        Export::InProgress => return (filter.in_progress)() as u32,
        Export::ContextCreate => proxy_on_context_create(args[0], args[1]),
        Export::VmStart => return proxy_on_vm_start(args[0], size(1)).into(),
        Export::Configure => return proxy_on_configure(args[0], size(1)).into(),
        Export::Tick => proxy_on_tick(args[0]),
        Export::RequestHeaders => return proxy_on_request_headers(args[0], size(1), args[2] == 1),
        Export::RequestBody => return proxy_on_request_body(args[0], size(1), args[2] == 1),
        Export::RequestTrailers => return proxy_on_request_trailers(args[0], size(1)),
        Export::ResponseHeaders => {
            return proxy_on_response_headers(args[0], size(1), args[2] == 1);
        }
        Export::ResponseBody => return proxy_on_response_body(args[0], size(1), args[2] == 1),
        Export::HttpCallResponse => {
            proxy_on_http_call_response(args[0], args[1], size(2), size(3), size(4));
        }
        Export::Done => return proxy_on_done(args[0]).into(),
        Export::Log => proxy_on_log(args[0]),
        Export::Delete => proxy_on_delete(args[0]),
    }
    0
}
