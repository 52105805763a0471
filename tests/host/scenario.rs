//! What a scenario holds in its hands.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::abi::Status;
use super::exchange::{Call, Head, Outcome, Reply};
use super::fake::{Foreign, LogLine, Pending, Profile, ROOT};
use super::faults::Faults;
use super::headers::Headers;
use super::machine::Machine;
use super::vm::Engine;
use super::{Filter, Response};

/// Runs a scenario against the test binary's `FILTER`, then asks for the bill.
pub fn run(engine: Engine, profile: Profile, scenario: fn(&Host)) {
    let host = Host::new(crate::FILTER, engine, profile);
    scenario(&host);
    host.finish();
}

/// A proxy with the filter in it. Clones are the same proxy.
#[derive(Clone)]
pub struct Host {
    machine: Rc<RefCell<Machine>>,
    profile: Profile,
    engine: Engine,
}

impl Host {
    pub fn new(filter: Filter, engine: Engine, profile: Profile) -> Self {
        let machine = Rc::new(RefCell::new(Machine::new(filter, engine, profile)));
        Self { machine, profile, engine }
    }

    fn machine(&self) -> RefMut<'_, Machine> {
        self.machine.borrow_mut()
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    pub fn is_kong(&self) -> bool {
        self.profile == Profile::Kong
    }

    // Before the filter starts.

    /// An environment variable of the proxy that the VM may read.
    ///
    /// Native scenarios share one process: use a name of your own.
    pub fn env(&self, name: &str, value: &str) {
        let machine = self.machine();
        assert!(machine.is_new(), "the environment is set before the filter starts");
        machine.fake().environment.push((name.to_owned(), value.to_owned()));
        machine.fake().keep_secret(value);
    }

    /// The bytes of the largest value of shared data.
    pub fn largest_shared(&self) -> usize {
        self.machine().fake().shared.largest()
    }

    /// Kong: gives nginx a zone for shared data, without which the calls trap.
    pub fn with_shm_kv(&self) {
        self.machine().fake().shared.zone = true;
    }

    /// Kong: its runtime in an nginx without Kong.
    pub fn without_kong(&self) {
        self.machine().fake().is_plain = true;
    }

    /// Envoy: the foreign functions it has. Kong has none.
    pub fn with_foreign(&self, functions: Foreign) {
        self.machine().fake().foreign = functions;
    }

    /// Envoy: one more cluster.
    pub fn with_cluster(&self, name: &str) {
        self.machine().fake().clusters.insert(name.to_owned());
    }

    /// Envoy's `capability_restriction_config`, or any other reason: from now on
    /// this function fails.
    pub fn refuse_calls(&self, function: &str, status: Status) {
        self.machine().fake().faults.refuse(function, status);
    }

    /// No function fails any more.
    pub fn allow_calls(&self) {
        self.machine().fake().faults = Faults::default();
    }

    /// Which calls fail.
    pub fn with_faults(&self, faults: Faults) {
        self.machine().fake().faults = faults;
    }

    /// How many calls that may fail there were since the faults were set.
    pub fn calls_counted(&self) -> usize {
        self.machine().fake().faults.counted()
    }

    /// Whether a call failed that should not have, since the faults were set.
    pub fn faults_hit(&self) -> Vec<String> {
        self.machine().fake().faults.hit().to_vec()
    }

    /// Starts the filter; whether it accepted. Without this, the first thing
    /// that happens starts it with the default configuration of `FILTER`.
    pub fn configure(&self, configuration: serde_json::Value) -> bool {
        self.configure_bytes(configuration.to_string().as_bytes())
    }

    pub fn configure_bytes(&self, configuration: &[u8]) -> bool {
        self.machine().configure(configuration.to_vec())
    }

    // Time.

    /// The host's clock, in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.machine().fake().now_ns / 1_000_000_000
    }

    /// Sets the clock, back or forth, without letting anything happen.
    pub fn set_now(&self, seconds: u64) {
        self.machine().fake().set_clock(seconds * 1_000_000_000);
    }

    /// The token of the next callout.
    pub fn next_token(&self) -> u32 {
        self.machine().fake().next_token
    }

    /// Gives the next callout this token: on a real host they come around.
    pub fn set_next_token(&self, token: u32) {
        self.machine().fake().next_token = token;
    }

    /// Lets time pass: ticks fire and callouts time out as they fall due.
    pub fn advance(&self, ms: u64) {
        self.machine().advance(ms);
    }

    /// Lets time pass until the next tick has fired.
    pub fn tick(&self) {
        self.machine().configure_by_default();
        let due = {
            let machine = self.machine();
            let fake = machine.fake();
            let (_, at) = fake.next_tick().expect("the filter set no tick period");
            at.saturating_sub(fake.now_ns).div_ceil(1_000_000)
        };
        self.advance(due);
    }

    /// The period the filter asked for, if it did.
    pub fn tick_period_ms(&self) -> Option<u32> {
        self.machine().configure_by_default();
        self.machine().fake().plugins[&ROOT].tick_period_ms
    }

    // Traffic.

    /// `GET /` with these headers.
    pub fn request<const N: usize>(&self, headers: [(&str, &str); N]) -> Request {
        self.send(Head::get("/").headers(headers))
    }

    /// Any request.
    pub fn send(&self, head: Head) -> Request {
        self.send_to(ROOT, head)
    }

    fn send_to(&self, root: u32, head: Head) -> Request {
        let context = self.machine().request(root, head);
        Request { host: self.clone(), context }
    }

    /// The filter once more in the same VM, with another configuration: another
    /// route of Kong's, or Envoy's listener after an update. `None` if refused.
    pub fn add(&self, configuration: serde_json::Value) -> Option<Plugin> {
        let root = self.machine().add_plugin(configuration.to_string().into_bytes())?;
        Some(Plugin { host: self.clone(), root })
    }

    /// The plugin that a host starts with.
    pub fn first(&self) -> Plugin {
        self.machine().configure_by_default();
        Plugin { host: self.clone(), root: ROOT }
    }

    /// Another request traps the instance: a bug of another filter, no memory.
    pub fn lose_instance(&self) {
        self.machine().lose_instance();
    }

    /// Every callout that waits for its reply, oldest first.
    pub fn callouts(&self) -> Vec<Callout> {
        self.callouts_of(|_| true)
    }

    /// The callouts that the root context made (from its ticks).
    pub fn background_callouts(&self) -> Vec<Callout> {
        let roots: Vec<u32> = self.machine().fake().plugins.keys().copied().collect();
        self.callouts_of(|sender| roots.contains(&sender))
    }

    fn callouts_of(&self, wanted: impl Fn(u32) -> bool) -> Vec<Callout> {
        self.machine().configure_by_default();
        let pending: Vec<Pending> = self.machine().fake().pending.values().cloned().collect();
        let callouts = pending.into_iter().filter(|pending| wanted(pending.sender));
        callouts
            .map(|Pending { token, owner, call, .. }| Callout {
                host: self.clone(),
                token,
                owner,
                call,
            })
            .collect()
    }

    /// A property, readable in every context (on Kong: in every request).
    pub fn set_property(&self, path: &str, value: &str) {
        self.machine().fake().properties.insert(path.to_owned(), value.as_bytes().to_vec());
    }

    // What there is to see.

    pub fn logs(&self) -> Vec<LogLine> {
        self.machine().fake().logs.clone()
    }

    /// Whether a line of the log contains this.
    pub fn logged(&self, text: &str) -> bool {
        self.logs().iter().any(|line| line.text.contains(text))
    }

    /// All metrics by name; a histogram is the sum of its records.
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        self.machine().fake().metrics.values.clone()
    }

    /// 0 for a metric that was never defined.
    pub fn metric(&self, name: &str) -> u64 {
        self.metrics().get(name).copied().unwrap_or(0)
    }

    /// How often each host function was called since this was last asked.
    #[must_use]
    pub fn take_calls(&self) -> BTreeMap<String, u32> {
        std::mem::take(&mut self.machine().fake().calls)
    }

    /// The fuel that each export took since this was last asked; none but with
    /// [`Engine::Metered`].
    #[must_use]
    pub fn take_fuel(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.machine().fake().fuel)
    }

    /// The broken rules so far, which then don't fail the test any more.
    #[must_use]
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.machine().fake().violations)
    }

    /// The secrets that leaked so far, which then don't fail the test any more.
    #[must_use]
    pub fn take_leaks(&self) -> Vec<String> {
        let machine = self.machine();
        let leaks = machine.fake().leaks();
        machine.fake().secrets.clear();
        leaks
    }

    /// How much is in progress in the filter; natively only.
    pub fn in_progress(&self) -> usize {
        self.machine().in_progress()
    }

    /// Closes every request and panics if the filter broke a rule of its host.
    pub fn finish(self) {
        self.machine().configure_by_default();
        let contexts: Vec<u32> = self.machine().fake().streams.keys().copied().collect();
        for context in contexts {
            Request { host: self.clone(), context }.finish();
        }
        let machine = self.machine();
        let leaks = machine.fake().leaks();
        let clean = machine.fake().violations.is_empty() && leaks.is_empty();
        assert!(clean, "the filter broke rules of its host\n{leaks:#?}{}", machine.story());
    }
}

/// One root context of a VM.
pub struct Plugin {
    host: Host,
    root: u32,
}

impl Plugin {
    pub fn send(&self, head: Head) -> Request {
        self.host.send_to(self.root, head)
    }

    pub fn callouts(&self) -> Vec<Callout> {
        self.host.callouts_of(|sender| sender == self.root)
    }

    /// Envoy: the configuration was replaced.
    pub fn retire(self) {
        self.host.machine().retire(self.root);
    }
}

/// One request of a client.
#[derive(Clone)]
pub struct Request {
    host: Host,
    context: u32,
}

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.context == other.context
    }
}

impl Request {
    pub fn outcome(&self) -> Outcome {
        self.host.machine().fake().streams[&self.context].outcome.clone()
    }

    pub fn is_paused(&self) -> bool {
        self.outcome() == Outcome::Paused
    }

    /// A property of this request (Kong: a variable of nginx).
    pub fn property(&self, name: &str) -> Option<String> {
        let machine = self.host.machine();
        let value = machine.fake().streams[&self.context].properties.get(name).cloned();
        value.map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    fn fail(&self, expected: &str) -> ! {
        let story = self.host.machine().story();
        panic!("the request was expected to be {expected} and is {:#?}\n{story}", self.outcome());
    }

    /// The filter's own answer.
    #[track_caller]
    pub fn reply(&self) -> Response {
        match self.outcome() {
            Outcome::Replied(response) => response,
            _ => self.fail("answered by the filter"),
        }
    }

    /// The status the client sees, whoever answered; 200 when the upstream did.
    #[track_caller]
    pub fn status(&self) -> u16 {
        match self.outcome() {
            Outcome::Forwarded { .. } => 200,
            Outcome::Replied(response) => response.status,
            Outcome::Failed { status, .. } => status,
            Outcome::Paused => self.fail("over"),
        }
    }

    /// Whether the filter itself let the request pass.
    pub fn is_forwarded(&self) -> bool {
        matches!(self.outcome(), Outcome::Forwarded { failed_open: None, .. })
    }

    /// Every value of a header, as the upstream receives it on this host.
    #[track_caller]
    pub fn upstream_headers(&self, name: &str) -> Vec<String> {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        self.upstream_bytes(name).into_iter().map(text).collect()
    }

    #[track_caller]
    pub fn upstream_bytes(&self, name: &str) -> Vec<Vec<u8>> {
        let Outcome::Forwarded { headers, failed_open: None } = self.outcome() else {
            self.fail("forwarded by the filter")
        };
        let named = headers.into_iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    }

    /// What an upstream has seen of the headers before the body came in.
    pub fn headers_passed(&self) -> Option<Vec<(String, String)>> {
        let machine = self.host.machine();
        let passed = machine.fake().streams[&self.context].headers_passed.clone()?;
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        Some(passed.into_iter().map(|(name, value)| (name, text(value))).collect())
    }

    /// Every trailer that the upstream receives.
    #[track_caller]
    pub fn upstream_trailers(&self) -> Vec<(String, String)> {
        if !self.is_forwarded() {
            self.fail("forwarded by the filter");
        }
        let machine = self.host.machine();
        let sent = machine.fake().streams[&self.context].trailers.as_ref().map(Headers::sent);
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        sent.unwrap_or_default().into_iter().map(|(name, value)| (name, text(value))).collect()
    }

    /// The callouts this request waits for.
    pub fn callouts(&self) -> Vec<Callout> {
        self.host.callouts_of(|sender| sender == self.context)
    }

    /// The only callout this request waits for.
    #[track_caller]
    pub fn callout(&self) -> Callout {
        let mut callouts = self.callouts();
        match (callouts.pop(), callouts.is_empty()) {
            (Some(callout), true) => callout,
            _ => self.fail("waiting for one callout"),
        }
    }

    /// Answers the only callout of this request.
    #[track_caller]
    pub fn answer(&self, reply: Reply) {
        self.callout().answer(reply);
    }

    /// A piece of a body that comes by hand; whether the filter let it go on.
    pub fn piece(&self, body: &[u8], is_last: bool) -> Option<bool> {
        self.host.machine().piece(self.context, body, is_last)
    }

    /// The trailers of a request whose body comes by hand.
    pub fn trailers(&self, trailers: &[(&str, &str)]) -> Option<bool> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        self.host.machine().trailers(self.context, &trailers.iter().map(pair).collect())
    }

    /// A response comes before the request is decided; whether it reaches the client.
    /// `details` are Envoy's `%RESPONSE_CODE_DETAILS%`.
    pub fn respond(&self, status: u16, details: &str) -> bool {
        let response = vec![(":status".to_owned(), status.to_string().into_bytes())];
        self.host.machine().respond(self.context, &response, details)
    }

    /// The host has lost this request: its context cannot be entered any more.
    pub fn lose(&self) {
        let machine = self.host.machine();
        let mut fake = machine.fake();
        fake.streams.get_mut(&self.context).expect("its context").open = false;
    }

    /// The client goes away: its context is deleted, and what ends with it.
    pub fn reset(&self) {
        self.host.machine().close(self.context, None);
    }

    /// The response passes through and the context is deleted.
    pub fn finish(&self) {
        let mut response = match self.outcome() {
            Outcome::Paused => return self.reset(),
            Outcome::Replied(response) => response.headers,
            _ => Vec::new(),
        };
        response.insert(0, (":status".to_owned(), self.status().to_string().into_bytes()));
        self.host.machine().close(self.context, Some(response));
    }
}

/// A callout that waits for its reply. Derefs to what was sent.
pub struct Callout {
    host: Host,
    token: u32,
    owner: u32,
    call: Call,
}

impl Callout {
    /// Delivers a reply that the host no longer waits for. Not one more: the SDK
    /// panics.
    pub fn deliver_late(&self, reply: Reply) {
        let pending = self.host.machine().fake().pending.remove(&self.token);
        let owner = pending.map_or(self.owner, |pending| pending.owner);
        self.host.machine().deliver(owner, self.token, reply);
    }

    /// Whether both are one callout.
    pub fn is(&self, other: &Self) -> bool {
        self.token == other.token
    }

    #[track_caller]
    pub fn answer(self, reply: Reply) {
        self.host.machine().answer(self.token, reply);
    }
}

impl std::ops::Deref for Callout {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}
