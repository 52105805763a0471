//! What a test holds in its hands: an Envoy, a route's configuration, a request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::hooks::*;
use super::{Answer, Buffer, Call, Config, Event, Header, Queue, STREAMS, Stream, destroy};

/// An Envoy with one configuration of the filter; this thread is its main thread and
/// its worker.
pub struct Envoy {
    config: Box<Config>,
}

/// What became of the head.
pub const CONTINUE: u32 = 0;
pub const STOP: u32 = 1;
pub const STOP_ALL: u32 = 4;
/// A piece of a body that goes nowhere.
pub const DROP: u32 = 3;

impl Envoy {
    /// `None` if the module refuses the configuration.
    pub fn start(text: &str) -> Option<Self> {
        let mut config = Box::new(Config {
            queue: Queue::default(),
            schedulers: Arc::default(),
            module: ptr::null(),
            callouts: RefCell::default(),
            next: Cell::default(),
            metrics: RefCell::default(),
            refuses: Cell::default(),
            counts: RefCell::default(),
            frozen: Cell::default(),
            secrets: RefCell::default(),
        });
        let own: *mut c_void = (&raw mut *config).cast();
        // SAFETY: as Envoy calls them.
        let module = unsafe {
            assert!(!envoy_dynamic_module_on_program_init().is_null());
            let name = Buffer::of(b"gatepass");
            envoy_dynamic_module_on_http_filter_config_new(own, name, Buffer::of(text.as_bytes()))
        };
        if module.is_null() {
            let left = config.schedulers.load(Ordering::Relaxed);
            assert_eq!(left, 0, "a scheduler of a refused configuration");
            return None;
        }
        config.module = module;
        config.frozen.set(true);
        Some(Self { config })
    }

    fn ptr(&self) -> *mut c_void {
        (&raw const *self.config).cast_mut().cast()
    }

    /// A secret came, or changed.
    pub fn set_secret(&self, name: &str, value: impl Into<Vec<u8>>) {
        let mut secrets = self.config.secrets.borrow_mut();
        let secret = secrets.iter_mut().find(|(own, ..)| own == name).expect("it was asked for");
        secret.2 = value.into();
    }

    /// Where a secret is asked for.
    pub fn source_of(&self, name: &str) -> String {
        let secrets = self.config.secrets.borrow();
        secrets.iter().find(|(own, ..)| own == name).expect("it was asked for").1.clone()
    }

    /// Lets everything happen that was committed.
    pub fn run(&self) {
        loop {
            let event = self.config.queue.lock().unwrap().pop_front();
            match event {
                None => return,
                // SAFETY: as Envoy calls it.
                Some(Event::Main) => unsafe {
                    envoy_dynamic_module_on_http_filter_config_scheduled(
                        self.ptr(),
                        self.config.module,
                        0,
                    );
                },
                Some(Event::Stream(number)) => {
                    let found = STREAMS.with_borrow(|streams| {
                        let stream = streams.get(&number)?;
                        let ptr: *const Stream = &raw const **stream;
                        (!stream.destroyed.get()).then_some((ptr, stream.module.get()))
                    });
                    if let Some((ptr, module)) = found {
                        // SAFETY: both are of a stream that is not over.
                        unsafe {
                            envoy_dynamic_module_on_http_filter_scheduled(
                                ptr.cast_mut().cast(),
                                module,
                                0,
                            );
                        }
                    }
                }
            }
        }
    }

    /// Lets what the timer commits happen until `is_so`.
    pub fn run_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        for _ in 0..500 {
            self.run();
            if is_so() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("in vain: {what}");
    }

    /// The callouts that wait for a reply, oldest first.
    pub fn callouts(&self) -> Vec<(u64, String)> {
        self.run();
        let callouts = self.config.callouts.borrow();
        callouts.iter().map(|(number, callout)| (*number, callout.path())).collect()
    }

    /// Brings a reply, or tells that none came.
    pub fn reply(&self, number: u64, reply: Option<(&str, &str)>) {
        assert!(self.config.callouts.borrow_mut().remove(&number).is_some(), "{number}");
        let (status, body) = reply.unwrap_or_default();
        let field = |name: &'static str, value: &[u8]| Header {
            key: Buffer::of(name.as_bytes()),
            value: Buffer::of(value),
        };
        let fields = [field(":status", status.as_bytes())];
        // In two pieces.
        let (first, second) = body.as_bytes().split_at(body.len() / 2);
        let chunks = [Buffer::of(first), Buffer::of(second)];
        let (fields_ptr, chunks_ptr) = match reply {
            Some(_) => (fields.as_ptr(), chunks.as_ptr()),
            None => (ptr::null(), ptr::null()),
        };
        let count = |length| if reply.is_some() { length } else { 0 };
        // SAFETY: as Envoy calls it.
        unsafe {
            envoy_dynamic_module_on_http_filter_config_http_callout_done(
                self.ptr(),
                self.config.module,
                number,
                u32::from(reply.is_none()),
                fields_ptr,
                count(1),
                chunks_ptr,
                count(2),
            );
        }
    }

    /// What was counted under a name and its labels.
    pub fn count(&self, name: &str) -> u64 {
        self.config.counts.borrow().get(name).copied().unwrap_or(0)
    }

    /// The same, if there was anything of that name.
    pub fn told(&self, name: &str) -> Option<u64> {
        self.config.counts.borrow().get(name).copied()
    }

    /// Waits until the timer has called.
    pub fn ticks(&self) {
        std::thread::sleep(std::time::Duration::from_millis(110));
        self.run();
    }

    /// Streams that are over leave nothing here either. No request may be looked at later.
    pub fn forget_streams(&self) {
        let own = STREAMS.with_borrow_mut(std::mem::take);
        own.values().for_each(|stream| destroy(stream));
    }

    /// From now on no value of this metric is taken.
    pub fn refuse_metric(&self, name: &'static str) {
        self.config.refuses.set(Some(name));
    }

    /// A request begins; its hooks are called by hand.
    pub fn open(&self, head: &[(&str, &str)]) -> Request<'_> {
        thread_local!(static NEXT: Cell<usize> = const { Cell::new(0) });
        let number = NEXT.replace(NEXT.get() + 1);
        let pseudo = [
            (":method", "GET"),
            (":path", "/orders"),
            (":authority", "api.example"),
            (":scheme", "http"),
        ];
        let given = |name: &str| head.iter().any(|(own, _)| *own == name);
        let pseudo = pseudo.into_iter().filter(|(name, _)| !given(name));
        let all = pseudo.chain(head.iter().copied());
        let stream = Box::new(Stream {
            queue: Arc::clone(&self.config.queue),
            schedulers: Arc::clone(&self.config.schedulers),
            number,
            module: Cell::new(ptr::null()),
            head: RefCell::new(
                all.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect(),
            ),
            trailers: RefCell::default(),
            chunk: RefCell::default(),
            state: RefCell::default(),
            route: Cell::new(ptr::null()),
            call: Cell::default(),
            certificate: Cell::default(),
            lies: Cell::default(),
            is_unread: Cell::default(),
            ends_when_answered: Cell::new(true),
            answer: RefCell::default(),
            continued: Cell::default(),
            destroyed: Cell::default(),
        });
        let ptr: *mut c_void = (&raw const *stream).cast_mut().cast();
        // SAFETY: as Envoy calls it.
        let module = unsafe { envoy_dynamic_module_on_http_filter_new(self.config.module, ptr) };
        assert!(!module.is_null());
        stream.module.set(module);
        STREAMS.with_borrow_mut(|streams| streams.insert(number, stream));
        Request { envoy: self, ptr }
    }
}

impl Drop for Envoy {
    /// Streams end first; then nothing of the module's is left.
    fn drop(&mut self) {
        let own = STREAMS.with_borrow_mut(|streams| {
            let is_own = |stream: &Stream| Arc::ptr_eq(&stream.queue, &self.config.queue);
            let (own, others) = std::mem::take(streams).into_iter().partition(|it| is_own(&it.1));
            *streams = others;
            own
        });
        let own: BTreeMap<usize, Box<Stream>> = own;
        own.values().for_each(|stream| destroy(stream));
        // SAFETY: `config_new` gave it; this is called once.
        unsafe { envoy_dynamic_module_on_http_filter_config_destroy(self.config.module) };
        if !std::thread::panicking() {
            assert_eq!(
                self.config.schedulers.load(Ordering::Relaxed),
                0,
                "a scheduler was not deleted"
            );
        }
    }
}

/// A configuration of a route.
pub struct Route(*const c_void);

impl Route {
    pub fn new(text: &str) -> Option<Self> {
        // SAFETY: as Envoy calls them.
        let plan = unsafe {
            assert!(!envoy_dynamic_module_on_program_init().is_null());
            envoy_dynamic_module_on_http_filter_per_route_config_new(
                Buffer::of(b"gatepass"),
                Buffer::of(text.as_bytes()),
            )
        };
        (!plan.is_null()).then_some(Self(plan))
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        // SAFETY: `per_route_config_new` gave it; this is called once.
        unsafe { envoy_dynamic_module_on_http_filter_per_route_config_destroy(self.0) };
    }
}

/// A request of a client.
pub struct Request<'a> {
    envoy: &'a Envoy,
    ptr: *mut c_void,
}

impl Request<'_> {
    fn stream(&self) -> &Stream {
        // SAFETY: streams stay until the Envoy is dropped.
        unsafe { &*self.ptr.cast::<Stream>() }
    }

    pub fn on(self, route: &Route) -> Self {
        self.stream().route.set(route.0);
        self
    }

    /// A route with another module's configuration.
    pub fn on_foreign(self) -> Self {
        self.stream().route.set(self.ptr);
        self
    }

    pub fn calling(self, call: Call) -> Self {
        self.stream().call.set(call);
        self
    }

    pub fn certified(self, digest: Option<&'static str>) -> Self {
        self.stream().certificate.set(digest);
        self
    }

    pub fn lying(self, size: usize) -> Self {
        self.stream().lies.set(Some(size));
        self
    }

    pub fn unread(self) -> Self {
        self.stream().is_unread.set(true);
        self
    }

    pub fn headers(&self, end: bool) -> u32 {
        // SAFETY: as Envoy calls it.
        unsafe {
            envoy_dynamic_module_on_http_filter_request_headers(
                self.ptr,
                self.stream().module.get(),
                end,
            )
        }
    }

    pub fn body(&self, chunk: &str, end: bool) -> u32 {
        *self.stream().chunk.borrow_mut() = chunk.as_bytes().to_vec();
        // SAFETY: as Envoy calls it.
        let status = unsafe {
            envoy_dynamic_module_on_http_filter_request_body(
                self.ptr,
                self.stream().module.get(),
                end,
            )
        };
        self.stream().chunk.borrow_mut().clear();
        status
    }

    /// What is held back until the request goes on.
    pub fn keep_body(&self, chunk: &str) {
        *self.stream().chunk.borrow_mut() = chunk.as_bytes().to_vec();
    }

    pub fn trailers(&self, trailers: &[(&str, &str)]) -> u32 {
        let pairs = trailers.iter();
        let pairs = pairs.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        *self.stream().trailers.borrow_mut() = Some(pairs.collect());
        // SAFETY: as Envoy calls it.
        unsafe {
            envoy_dynamic_module_on_http_filter_request_trailers(
                self.ptr,
                self.stream().module.get(),
            )
        }
    }

    /// Whether Envoy keeps the stream when it is answered.
    pub fn leave_open(&self, open: bool) {
        self.stream().ends_when_answered.set(!open);
    }

    /// The client leaves.
    pub fn leave(&self) {
        destroy(self.stream());
    }

    pub fn answer(&self) -> Option<Answer> {
        self.envoy.run();
        self.stream().answer.borrow().clone()
    }

    pub fn status(&self) -> u32 {
        self.answer().map_or(0, |answer| answer.status)
    }

    /// How often it went on.
    pub fn continued(&self) -> u32 {
        self.envoy.run();
        self.stream().continued.get()
    }

    /// What it was answered by now.
    pub fn answered(&self) -> Option<u32> {
        self.stream().answer.borrow().as_ref().map(|answer| answer.status)
    }

    pub fn is_over(&self) -> bool {
        self.stream().destroyed.get()
    }

    /// What the upstream gets under a name.
    pub fn values(&self, name: &str) -> Vec<String> {
        let head = self.stream().head.borrow();
        let values = head.iter().filter(|(own, _)| own == name);
        values.map(|(_, value)| String::from_utf8(value.clone()).expect("text")).collect()
    }

    pub fn trailer_names(&self) -> Vec<String> {
        let trailers = self.stream().trailers.borrow();
        trailers.iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// What the access log may print under a name.
    pub fn note(&self, name: &str) -> Option<String> {
        self.stream().state.borrow().get(name).cloned()
    }
}
