//! A fake Envoy: the functions that the module looks up, with state behind the
//! pointers that it is given. It calls the module's hooks as Envoy does.
//!
//! What a stream lends is freed when the stream ends, and hooks are called inside
//! others where Envoy does that: a module that keeps too much, or too long, is found
//! by the checks here, and by a sanitizer.

mod callbacks;
mod hooks;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::slice;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex};

use gatepass_envoy as _;

use self::hooks::envoy_dynamic_module_on_http_filter_destroy;
pub use self::world::{CONTINUE, DROP, Envoy, Request, Route, STOP, STOP_ALL};

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    ptr: *const u8,
    length: usize,
}

impl Buffer {
    const fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), length: bytes.len() }
    }

    fn to_vec(self) -> Vec<u8> {
        if self.ptr.is_null() {
            return Vec::new();
        }
        // SAFETY: the module lends so many bytes for the call.
        unsafe { slice::from_raw_parts(self.ptr, self.length) }.to_vec()
    }

    fn text(self) -> String {
        String::from_utf8(self.to_vec()).expect("text")
    }
}

#[repr(C)]
pub struct Header {
    key: Buffer,
    value: Buffer,
}

fn pairs(fields: *const Header, length: usize) -> Pairs {
    if length == 0 {
        return Pairs::new();
    }
    // SAFETY: the module lends so many fields for the call.
    let fields = unsafe { slice::from_raw_parts(fields, length) };
    fields.iter().map(|field| (field.key.text(), field.value.to_vec())).collect()
}

pub type Pairs = Vec<(String, Vec<u8>)>;

/// What Envoy has yet to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Main,
    Stream(usize),
}

type Queue = Arc<Mutex<VecDeque<Event>>>;

/// What any thread may commit to.
struct Scheduler {
    queue: Queue,
    event: Event,
    /// How many of its Envoy there are.
    count: Arc<AtomicI32>,
}

/// A callout that was sent.
pub struct Callout {
    head: Pairs,
}

impl Callout {
    pub fn path(&self) -> String {
        let path = self.head.iter().find(|(name, _)| name == ":path");
        String::from_utf8(path.expect("a path").1.clone()).expect("text")
    }
}

/// A configuration of the filter.
pub struct Config {
    queue: Queue,
    schedulers: Arc<AtomicI32>,
    module: *const c_void,
    callouts: RefCell<BTreeMap<u64, Callout>>,
    next: Cell<u64>,
    /// Names of metrics, and how many labels each has.
    metrics: RefCell<Vec<(String, usize)>>,
    /// The metric of which no value is taken.
    refuses: Cell<Option<&'static str>>,
    counts: RefCell<BTreeMap<String, u64>>,
    /// Whether no metric may be defined any more.
    frozen: Cell<bool>,
    /// Names and sources of the secrets asked for, and what they are.
    secrets: RefCell<Vec<(String, String, Vec<u8>)>>,
}

/// The secret that is there from the start.
pub const SECRET: &str = "there from the start";

/// A stream.
pub struct Stream {
    queue: Queue,
    schedulers: Arc<AtomicI32>,
    number: usize,
    module: Cell<*const c_void>,
    head: RefCell<Pairs>,
    trailers: RefCell<Option<Pairs>>,
    chunk: RefCell<Vec<u8>>,
    state: RefCell<BTreeMap<String, String>>,
    route: Cell<*const c_void>,
    call: Cell<Call>,
    /// The digest of the client's certificate, in hex.
    certificate: Cell<Option<&'static str>>,
    /// How many headers it says it has, if it lies.
    lies: Cell<Option<usize>>,
    /// Whether its headers cannot be read.
    is_unread: Cell<bool>,
    /// Whether it ends inside of the answer, as Envoy's do.
    pub ends_when_answered: Cell<bool>,
    answer: RefCell<Option<Answer>>,
    continued: Cell<u32>,
    destroyed: Cell<bool>,
}

/// What Envoy's `mcp` filter made of a request: its dynamic metadata, and its state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    pub texts: &'static [(&'static str, &'static str)],
    pub flags: &'static [&'static str],
    pub state: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u32,
    pub details: String,
    pub headers: Pairs,
    pub body: Vec<u8>,
}

thread_local! {
    pub static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static STREAMS: RefCell<BTreeMap<usize, Box<Stream>>> = const { RefCell::new(BTreeMap::new()) };
}

fn destroy(stream: &Stream) {
    if !stream.destroyed.replace(true) {
        // SAFETY: `filter_new` gave it; this is called once.
        unsafe { envoy_dynamic_module_on_http_filter_destroy(stream.module.get()) };
    }
}
