//! The state of a host: what the filter's calls read and change.
//!
//! Nothing here is an expectation. A scenario acts as client, upstream and
//! clock, and looks at what came out; a rule of the host that the filter
//! breaks is kept as a violation and fails the test at its end.

use std::collections::{BTreeMap, BTreeSet};

use super::abi::{Pairs, Status, Trap};
use super::exchange::{Call, Outcome, Reply, Response};
use super::faults::Faults;
use super::headers::Headers;
use super::imports::metrics::Metrics;
use super::imports::shared::SharedData;

/// Whose behaviour the fake host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Envoy's Wasm filter with `FAIL_CLOSED`.
    Envoy,
    /// Kong Gateway 3.9.3: `ngx_wasm_module` at 9136e463, isolation `none`.
    Kong,
}

/// The callback the filter is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `_initialize`, `proxy_on_vm_start` and `proxy_on_context_create`.
    Start,
    Configure,
    Tick,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    CallResponse,
    ResponseHeaders,
    ResponseBody,
    /// `proxy_on_done` and `proxy_on_delete`.
    Close,
    Log,
}

/// One root context: the filter with one configuration.
#[derive(Default)]
pub struct Plugin {
    pub configuration: Vec<u8>,
    pub tick_period_ms: Option<u32>,
    pub next_tick_ns: u64,
}

/// One client request and its context.
pub struct Stream {
    /// The root context it belongs to.
    pub root: u32,
    pub headers: Headers,
    pub response: Option<Headers>,
    /// As the client sent it; Kong's `:path` is another thing.
    pub raw_path: Vec<u8>,
    pub properties: BTreeMap<String, Vec<u8>>,
    pub resumed: bool,
    /// What the client sends after its headers.
    pub body: Option<Vec<u8>>,
    /// It comes when the scenario says so.
    pub by_hand: bool,
    /// What of it the filter can read now.
    pub body_read: Vec<u8>,
    /// What the client sends after its body, and what the filter leaves of it.
    pub trailers: Option<Headers>,
    /// What the upstream has seen of the headers before the body came in.
    pub headers_passed: Option<Pairs>,
    pub local_response: Option<Response>,
    pub outcome: Outcome,
    /// The filter's context exists (it is not yet deleted).
    pub open: bool,
}

impl Stream {
    /// Whether the filter can still decide this request.
    pub fn undecided(&self) -> bool {
        matches!(self.outcome, Outcome::Paused)
    }
}

/// A callout nobody answered yet.
#[derive(Clone, Debug)]
pub struct Pending {
    pub token: u32,
    /// The context that will hear the reply, and with which the callout ends.
    pub owner: u32,
    /// The context that sent it.
    pub sender: u32,
    pub call: Call,
    pub deadline_ns: u64,
}

/// The reply that the current `proxy_on_http_call_response` is about.
pub struct ActiveReply {
    /// `None`: the call failed.
    pub headers: Option<Headers>,
    /// `None`: it broke off.
    pub body: Option<Vec<u8>>,
    /// Kong: a local response with a body is lost, and nginx closes the connection.
    pub loses_bodies: bool,
}

/// One line of the filter's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub level: u32,
    pub text: String,
}

pub struct FakeHost {
    pub profile: Profile,
    /// Kong's runtime in an nginx without Kong, whose properties and variables it lacks.
    pub is_plain: bool,
    pub now_ns: u64,
    pub plugins: BTreeMap<u32, Plugin>,
    pub environment: Vec<(String, String)>,
    pub clusters: BTreeSet<String>,
    pub properties: BTreeMap<String, Vec<u8>>,
    pub logs: Vec<LogLine>,
    /// What no line of the log may hold.
    pub secrets: BTreeSet<String>,
    pub violations: Vec<String>,
    pub streams: BTreeMap<u32, Stream>,
    pub pending: BTreeMap<u32, Pending>,
    /// The callouts that had a body.
    pub with_body: BTreeSet<u32>,
    pub next_token: u32,
    pub metrics: Metrics,
    pub shared: SharedData,
    pub step: Step,
    /// The context of the callback in progress.
    pub actual: u32,
    /// What `proxy_set_effective_context` made of it (Envoy only).
    pub effective: u32,
    pub reply: Option<ActiveReply>,
    pub random: u64,
    /// Envoy's foreign functions; Kong traps whatever the name.
    pub foreign: Foreign,
    /// How often each host function was called.
    pub calls: BTreeMap<String, u32>,
    /// The fuel that each export took, if that is measured.
    pub fuel: BTreeMap<&'static str, u64>,
    /// Calls that fail.
    pub faults: Faults,
}

/// Foreign functions by name; one that is not there answers `NotFound`.
pub type Foreign = fn(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status>;

/// The first root context; further ones and streams count on from here.
pub const ROOT: u32 = 1;

/// 2026-01-01T00:00:00Z, so that tests can write plain dates.
pub const START_NS: u64 = 1_767_225_600 * 1_000_000_000;

/// How many requests a callback can decide on Envoy, which calls the VM for each of them within
/// the call for the one before.
const MOST_AT_ONCE: usize = 100;

impl FakeHost {
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            is_plain: false,
            now_ns: START_NS,
            plugins: BTreeMap::from([(ROOT, Plugin::default())]),
            environment: Vec::new(),
            clusters: BTreeSet::new(),
            properties: BTreeMap::new(),
            logs: Vec::new(),
            secrets: BTreeSet::new(),
            violations: Vec::new(),
            streams: BTreeMap::new(),
            pending: BTreeMap::new(),
            with_body: BTreeSet::new(),
            // Envoy counts from 1; Kong from 0, so a token of 0 is a token.
            next_token: u32::from(profile == Profile::Envoy),
            metrics: Metrics::default(),
            shared: SharedData::default(),
            step: Step::Start,
            actual: ROOT,
            effective: ROOT,
            reply: None,
            random: 0x9E37_79B9_7F4A_7C15,
            foreign: |_, _| Err(Status::NotFound),
            calls: BTreeMap::new(),
            fuel: BTreeMap::new(),
            faults: Faults::default(),
        }
    }

    pub fn is_kong(&self) -> bool {
        self.profile == Profile::Kong
    }

    /// Keeps a broken rule; the test fails when the host is finished.
    pub fn violate(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// A null pointer in nginx: the worker dies and every request in it.
    pub fn worker_crash(&mut self, what: &str) -> Trap {
        self.violate(format!("Kong's worker crashes: {what}"));
        Trap::new(format!("worker crash: {what}"))
    }

    /// The context that host calls act on.
    pub fn context(&self) -> u32 {
        match self.profile {
            Profile::Envoy => self.effective,
            // proxy_set_effective_context does nothing there.
            Profile::Kong => self.actual,
        }
    }

    pub fn stream(&mut self) -> Option<&mut Stream> {
        let context = self.context();
        self.streams.get_mut(&context)
    }

    pub fn in_request(&self) -> bool {
        self.streams.contains_key(&self.context())
    }

    /// The tick that comes next, and when.
    pub fn next_tick(&self) -> Option<(u32, u64)> {
        let ticking = self.plugins.iter().filter(|(_, plugin)| plugin.tick_period_ms.is_some());
        ticking.map(|(root, plugin)| (*root, plugin.next_tick_ns)).min_by_key(|(_, at)| *at)
    }

    /// Sets the clock. Timers don't go by it.
    pub fn set_clock(&mut self, now_ns: u64) {
        let moved = |at: u64, old: u64| now_ns + at.saturating_sub(old);
        let old = std::mem::replace(&mut self.now_ns, now_ns);
        for plugin in self.plugins.values_mut() {
            plugin.next_tick_ns = moved(plugin.next_tick_ns, old);
        }
        for pending in self.pending.values_mut() {
            pending.deadline_ns = moved(pending.deadline_ns, old);
        }
    }

    pub fn is_root(&self, context: u32) -> bool {
        self.plugins.contains_key(&context)
    }

    pub fn enter(&mut self, step: Step, context: u32) {
        self.step = step;
        self.actual = context;
        self.effective = context;
    }

    pub fn pending_of(&self, context: u32) -> impl Iterator<Item = &Pending> {
        self.pending.values().filter(move |pending| pending.owner == context)
    }

    pub fn cancel_callouts(&mut self, context: u32) {
        self.pending.retain(|_, pending| pending.owner != context);
    }

    /// xorshift: the same bytes in every run, and no secret, as on Kong.
    pub fn random_bytes(&mut self, len: usize) -> Vec<u8> {
        let mut byte = || {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            (self.random >> 32) as u8
        };
        (0..len).map(|_| byte()).collect()
    }

    /// Turns the filter's effects on every request into outcomes.
    ///
    /// Runs after each callback, since on Envoy one may act on another
    /// request's context. `answered` is the request whose callback it was, with
    /// what the callback asked for: on Kong a request whose last callout was
    /// answered goes on by itself, whatever the filter did.
    pub fn settle(&mut self, answered: Option<(u32, Flow)>) {
        let undecided = self.streams.iter().filter(|(_, stream)| stream.undecided());
        let contexts: Vec<u32> = undecided.map(|(context, _)| *context).collect();
        for context in &contexts {
            let flow = answered.filter(|(id, _)| id == context).map(|(_, flow)| flow);
            self.settle_one(*context, flow);
        }
        let is_decided = |context: &&u32| !self.streams[*context].undecided();
        let decided = contexts.iter().filter(is_decided).count();
        if decided > MOST_AT_ONCE && !self.is_kong() {
            self.violate(format!("V8 is out of stack: {decided} requests decided in one callback"));
        }
    }

    fn settle_one(&mut self, context: u32, flow: Option<Flow>) {
        let waiting = self.pending_of(context).count();
        let kong = self.is_kong();
        let Some(stream) = self.streams.get_mut(&context).filter(|stream| stream.undecided())
        else {
            return;
        };
        if let Some(response) = stream.local_response.clone() {
            let resumed = stream.resumed || flow == Some(Flow::Continue);
            stream.outcome = Outcome::Replied(response);
            if resumed && !kong {
                self.violate("a local response was sent and the request continued all the same");
            }
            return;
        }
        let goes_on = match flow {
            Some(Flow::Continue) => true,
            Some(Flow::Answered) if kong => waiting == 0,
            _ => stream.resumed && (!kong || waiting == 0),
        };
        let goes_on = match stream.headers_passed {
            Some(_) => flow == Some(Flow::Continue),
            None => goes_on,
        };
        if goes_on && stream.body.is_some() && stream.headers_passed.is_none() {
            stream.headers_passed = Some(stream.headers.sent());
            stream.resumed = false;
        } else if goes_on && waiting > 0 && kong {
            let crash = self.worker_crash("dispatch, then Continue");
            self.fail(context, 502, crash.0);
        } else if goes_on {
            self.forward(context, None);
        }
    }

    /// Sends the request on; `failed_open` says why if nobody decided that.
    pub fn forward(&mut self, context: u32, failed_open: Option<String>) {
        let (kong, is_plain) = (self.is_kong(), self.is_plain);
        let Some(stream) = self.streams.get_mut(&context) else {
            return;
        };
        let mut headers = stream.headers.sent();
        if kong {
            let property = |name: &str| stream.properties.get(name).cloned();
            let scheme = property("ngx.upstream_scheme").unwrap_or_default();
            if !is_plain && scheme != b"http" && scheme != b"https" {
                let scheme = String::from_utf8_lossy(&scheme).into_owned();
                let why = failed_open.unwrap_or_else(|| "forwarded".to_owned());
                return self.fail(context, 500, format!("invalid URL prefix {scheme:?} ({why})"));
            }
            let path = property("ngx.upstream_uri").unwrap_or_else(|| stream.raw_path.clone());
            let method = stream.headers.first(":method").unwrap_or_default().to_vec();
            headers.insert(0, (":path".to_owned(), path));
            headers.insert(0, (":method".to_owned(), method));
        }
        stream.outcome = Outcome::Forwarded { headers: headers.clone(), failed_open };
        self.keep_secrets_of(&headers);
    }

    /// Makes a reply readable; how many headers and bytes the callback is told of.
    pub fn receive(&mut self, token: u32, reply: Reply) -> (usize, usize) {
        let is_whole = !matches!(reply, Reply::BrokenOff(_));
        let (headers, body) = match reply {
            Reply::Failed => (None, Vec::new()),
            Reply::BrokenOff(_) if !self.is_kong() => (None, Vec::new()),
            Reply::BrokenOff(response) | Reply::Response(response) => {
                let status = Some(response.status).filter(|status| *status > 0);
                let status = status.map(|status| (":status".to_owned(), status.to_string().into()));
                let mut pairs: Vec<_> = status.into_iter().collect();
                pairs.extend(response.headers);
                (Some(Headers::of_reply(self.profile, &pairs)), response.body)
            }
        };
        let told = (headers.as_ref().map_or(0, Headers::count), body.len());
        let loses_bodies = self.is_kong() && self.with_body.contains(&token) && body.is_empty();
        self.reply = Some(ActiveReply { headers, body: is_whole.then_some(body), loses_bodies });
        told
    }

    /// Kong lets a request pass whose reply handler trapped, unless the
    /// variable of its upstream's scheme makes that impossible.
    pub fn fail_open(&mut self, context: u32, trap: &Trap) {
        let waits = self.pending_of(context).next().is_some();
        let undecided = self.streams.get(&context).is_some_and(Stream::undecided);
        if undecided && !waits {
            self.forward(context, Some(format!("a trap in a call reply: {trap}")));
        }
    }

    /// The host's own error response.
    pub fn fail(&mut self, context: u32, status: u16, why: String) {
        if let Some(stream) = self.streams.get_mut(&context) {
            stream.outcome = Outcome::Failed { status, why };
        }
        self.cancel_callouts(context);
    }
}

/// How a callback left its own request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Pause,
    /// A reply to a callout was handled.
    Answered,
}
