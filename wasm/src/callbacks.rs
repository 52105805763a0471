//! What the host calls, and the contexts that it names in each call.
//!
//! A host that names a context which is not there is not followed: on Kong a new
//! VM hears of the requests of one that trapped. Whatever would decide on such a
//! request answers it or holds it.
//!
//! These are all the exports of the module. Those of a response, `done` and `log`
//! are there for Kong's runtime alone, which calls them without looking: without
//! them its worker dies at the first response.
#![allow(unsafe_code, reason = "what the host calls has the names that the ABI gives it")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic;
use std::rc::Rc;
use std::sync::Once;

use gatepass::gateway;

use crate::abi::{self, Action};
use crate::filter::Filter;
use crate::root::Root;

/// The contexts of this VM. Nothing of it stays borrowed while a context runs.
#[derive(Default)]
struct Contexts {
    roots: RefCell<HashMap<u32, Rc<Root>>>,
    requests: RefCell<HashMap<u32, Rc<Filter>>>,
}

impl Contexts {
    fn root(&self, id: u32) -> Option<Rc<Root>> {
        self.roots.borrow().get(&id).cloned()
    }

    fn request(&self, id: u32) -> Option<Rc<Filter>> {
        self.requests.borrow().get(&id).cloned()
    }

    fn create(&self, id: u32, root_id: u32) {
        if root_id == 0 {
            self.roots.borrow_mut().insert(id, Rc::new(Root::new()));
        } else if let Some(root) = self.root(root_id) {
            self.requests.borrow_mut().insert(id, Rc::new(root.request(id)));
        }
    }

    fn delete(&self, id: u32) {
        let request = self.requests.borrow_mut().remove(&id);
        let root = self.roots.borrow_mut().remove(&id);
        drop((request, root));
    }
}

thread_local! {
    static CONTEXTS: Contexts = Contexts::default();
}

/// `None` only while the VM ends.
fn in_contexts<T>(call: impl FnOnce(&Contexts) -> T) -> Option<T> {
    CONTEXTS.try_with(call).ok()
}

fn with_root<T>(id: u32, call: impl FnOnce(&Root) -> T) -> Option<T> {
    in_contexts(|contexts| contexts.root(id)).flatten().map(|root| call(&root))
}

fn with_request<T>(id: u32, call: impl FnOnce(&Filter) -> T) -> Option<T> {
    in_contexts(|contexts| contexts.request(id)).flatten().map(|request| call(&request))
}

/// What is held for requests, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Contexts of requests.
    pub contexts: usize,
    /// Callouts in flight, those of no request included.
    pub calls: usize,
    /// What the gateways hold.
    pub requests: gateway::Held,
}

/// What this VM keeps of requests; everything of it is given back when they end.
pub(crate) fn held() -> Held {
    let roots: Vec<Rc<Root>> =
        in_contexts(|contexts| contexts.roots.borrow().values().cloned().collect())
            .unwrap_or_default();
    let contexts = in_contexts(|contexts| contexts.requests.borrow().len());
    let held = Held { contexts: contexts.unwrap_or_default(), ..Held::default() };
    roots.iter().map(|root| root.held()).fold(held, |held, (requests, calls)| Held {
        calls: held.calls.saturating_add(calls),
        requests: held.requests.and(requests),
        ..held
    })
}

struct HostLog;

impl log::Log for HostLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() <= log::max_level() {
            abi::log(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

#[cfg(target_os = "wasi")]
unsafe extern "C" {
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    #[cfg(target_os = "wasi")]
    // SAFETY: the host calls this once, before anything else.
    unsafe {
        __wasm_call_ctors();
    }
    // Tests have many VMs in one process.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&HostLog).is_ok() {
            log::set_max_level(log::LevelFilter::Info);
        }
        panic::set_hook(Box::new(|panic| abi::log(log::Level::Error, &panic.to_string())));
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    abi::allocate(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context_id: u32, root_id: u32) {
    in_contexts(|contexts| contexts.create(context_id, root_id));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root_id: u32, _bytes: usize) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root_id: u32, bytes: usize) -> bool {
    with_root(root_id, |root| root.on_configure(bytes)).unwrap_or(false)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root_id: u32) {
    with_root(root_id, Root::on_tick);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context_id: u32, fields: usize, _is_all: bool) -> Action {
    with_request(context_id, |request| request.on_http_request_headers(fields))
        .unwrap_or_else(crate::filter::refuse)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context_id: u32, bytes: usize, is_all: bool) -> Action {
    with_request(context_id, |request| request.on_http_request_body(bytes, is_all))
        .unwrap_or_else(crate::filter::refuse)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context_id: u32, fields: usize) -> Action {
    with_request(context_id, |request| request.on_http_request_trailers(fields))
        .unwrap_or_else(crate::filter::refuse)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(_context_id: u32, _fields: usize, _is_all: bool) -> Action {
    Action::Continue
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(_context_id: u32, _bytes: usize, _is_all: bool) -> Action {
    Action::Continue
}

/// Both hosts name the root context here, whoever sent the callout.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    context_id: u32,
    token: u32,
    fields: usize,
    body_bytes: usize,
    _trailers: usize,
) {
    let of_root =
        with_root(context_id, |root| root.on_http_call_response(token, fields, body_bytes));
    if of_root.is_none() {
        with_request(context_id, |request| {
            request.on_http_call_response(token, fields, body_bytes);
        });
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context_id: u32) -> bool {
    with_root(context_id, Root::on_done);
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(_context_id: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context_id: u32) {
    in_contexts(|contexts| contexts.delete(context_id));
}
