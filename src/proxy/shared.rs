//! The gateway of one plugin, and the requests that wait for its callouts.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use super::abi;
use super::host::Host;
use super::metrics::Metrics;
use crate::callout::{Callout, CalloutFailure, CalloutReply};
use crate::denial::Denial;
use crate::event::LogLine;
use crate::gateway::{FlightId, Gateway, Sent, Step, Submission, Waiting};
use crate::shared_data::SharedStore;
use crate::verdict::{AccessNote, LocalReply, Verdict};
use proxy_wasm::types::Action;

/// What the root context and its requests share.
///
/// A reply arrives in the context whose callback sent the callout. Where requests
/// can be resumed from there, that is always the root context: no reply is lost
/// with the client for whose sake it was asked for, since others may wait for it,
/// and whoever comes next need not ask again. Elsewhere each request sends its
/// own callout, which ends with it.
pub(super) struct Shared {
    root_id: u32,
    host: Host,
    gateway: RefCell<Gateway>,
    /// The workers' data, if it waits for a request: see
    /// [`Host::shares_when_configured`].
    store: RefCell<Option<Box<dyn SharedStore>>>,
    /// Each callout under way, by the host's token.
    calls: RefCell<HashMap<u32, Call>>,
    metrics: Metrics,
    /// Found out in the first request that has something to note.
    takes_notes: OnceCell<bool>,
    waiting: RefCell<Waiters>,
    /// What a request lets the root context send, and what came of it.
    errand: RefCell<Option<Callout>>,
    dispatched: Cell<Option<Result<u32, CalloutFailure>>>,
    /// Requests that the gateway itself answers, whose body is coming in.
    submissions: RefCell<HashMap<u32, Submission>>,
    /// Requests that may go upstream. Of every other one nothing does, whatever
    /// the host calls back for.
    passing: RefCell<HashSet<u32>>,
}

/// A callout under way.
struct Call {
    flight: FlightId,
    /// Whether all header fields of the reply are to be read.
    wants_fields: bool,
}

impl Call {
    const fn of(sent: &Sent) -> Self {
        Self { flight: sent.flight, wants_fields: sent.callout.wants_fields }
    }
}

/// A paused request.
struct Parked {
    context_id: u32,
    waiting: Waiting,
    /// What takes off the guard of [`Host::guard`].
    guard: Option<Vec<u8>>,
    /// The host's token of the callout, if it is this request's own and ends
    /// with it.
    call: Option<u32>,
}

/// The paused requests, found by what they wait for and by who they are, so
/// that a reply costs the same however many requests wait for others.
#[derive(Default)]
struct Waiters {
    by_flight: HashMap<FlightId, Vec<Parked>>,
    flights: HashMap<u32, FlightId>,
}

impl Waiters {
    fn insert(&mut self, parked: Parked) {
        let flight = parked.waiting.flight();
        self.flights.insert(parked.context_id, flight);
        self.by_flight.entry(flight).or_default().push(parked);
    }

    /// All that wait for `flight`.
    fn take(&mut self, flight: FlightId) -> Vec<Parked> {
        let parked = self.by_flight.remove(&flight).unwrap_or_default();
        for parked in &parked {
            self.flights.remove(&parked.context_id);
        }
        parked
    }

    /// One request, wherever it waits.
    fn remove(&mut self, context_id: u32) -> Option<Parked> {
        let flight = self.flights.remove(&context_id)?;
        let waiters = self.by_flight.get_mut(&flight)?;
        let position = waiters.iter().position(|parked| parked.context_id == context_id)?;
        let parked = waiters.swap_remove(position);
        if waiters.is_empty() {
            self.by_flight.remove(&flight);
        }
        Some(parked)
    }
}

/// How often the core is asked what is due: small beside any time-out, and rare
/// beside the requests. Set once, since ngx_wasm_module traps on a second time.
pub(super) const TICK_MS: u64 = 100;

impl Shared {
    pub(super) fn new(
        root_id: u32,
        host: Host,
        gateway: Gateway,
        store: Option<Box<dyn SharedStore>>,
    ) -> Self {
        let shared = Self {
            root_id,
            host,
            metrics: Metrics::define(host, &gateway.metrics()),
            takes_notes: OnceCell::new(),
            gateway: RefCell::new(gateway),
            store: RefCell::new(store),
            calls: RefCell::default(),
            waiting: RefCell::default(),
            errand: RefCell::default(),
            dispatched: Cell::default(),
            submissions: RefCell::default(),
            passing: RefCell::default(),
        };
        // What there is to log and to show of the configuration.
        shared.feed_metrics();
        shared
    }

    /// Gives the gateway the workers' data, if it does not have them yet.
    fn share(&self) {
        let store = self.store.borrow_mut().take();
        if let Some(store) = store {
            self.gateway.borrow_mut().share(store);
        }
    }

    /// Begins the request in whose callback this is called.
    pub(super) fn begin(&self, context_id: u32, fields: usize) -> Action {
        self.share();
        let now = self.host.now();
        let step = match self.host.request_head(fields) {
            Ok(head) => self.with_gateway(|gateway| gateway.begin(head, now)),
            Err(too_many) => {
                let denial = Denial::HeadersTooMany { limit: too_many.limit };
                self.with_gateway(|gateway| gateway.refuse(&denial))
            }
        };
        self.carry_out(context_id, context_id, None, step)
    }

    /// Takes the body of a request, of which `bytes` have come in; `is_whole` if
    /// no more will. Only the gateway's own requests are read.
    pub(super) fn body(&self, context_id: u32, bytes: usize, is_whole: bool) -> Action {
        let wanted = self.submissions.borrow().get(&context_id).map(|submission| submission.bytes);
        match wanted {
            Some(wanted) if bytes >= wanted => {
                let Some(submission) = self.submissions.borrow_mut().remove(&context_id) else {
                    return Action::Pause;
                };
                let body = self.host.request_body(bytes);
                let now = self.host.now();
                let step = self.with_gateway(|gateway| gateway.submit(submission, body, now));
                self.carry_out(context_id, context_id, None, step)
            }
            Some(_) if is_whole => self.cut_short(context_id),
            Some(_) => Action::Pause,
            None => self.as_decided(context_id),
        }
    }

    /// Takes the trailers of a request. They are cleansed whether it passes now
    /// or waits: the host does not show them again.
    pub(super) fn trailers(&self, context_id: u32) -> Action {
        if self.submissions.borrow().contains_key(&context_id) {
            return self.cut_short(context_id);
        }
        let removed = match self.host.request_trailers() {
            Ok(fields) => self.with_gateway(|gateway| gateway.cleanse_trailers(&fields)),
            Err(too_many) => Err(Denial::HeadersTooMany { limit: too_many.limit }),
        };
        let step = match removed.map(|names| self.host.remove_trailers(&names)) {
            Ok(Ok(())) => return self.as_decided(context_id),
            Ok(Err(_)) => {
                write_log(&LogLine::headers_not_edited());
                Step::Done(Verdict::Answer(LocalReply::new(500)))
            }
            Err(denial) => self.with_gateway(|gateway| gateway.refuse(&denial)),
        };
        self.forget(context_id);
        self.carry_out(context_id, context_id, None, step)
    }

    /// Ends a request whose body is shorter than announced.
    fn cut_short(&self, context_id: u32) -> Action {
        let Some(submission) = self.submissions.borrow_mut().remove(&context_id) else {
            return Action::Pause;
        };
        let step = self.with_gateway(|gateway| gateway.cut_short(&submission));
        self.carry_out(context_id, context_id, None, step)
    }

    /// What becomes of the rest of a request.
    fn as_decided(&self, context_id: u32) -> Action {
        match self.passing.borrow().contains(&context_id) {
            true => Action::Continue,
            false => Action::Pause,
        }
    }

    /// Takes the reply that a callback of `active` announces.
    pub(super) fn reply(&self, active: u32, token: u32, headers: usize, body_bytes: usize) {
        let Some(call) = self.calls.borrow_mut().remove(&token) else { return };
        let max_bytes = self.gateway.borrow().max_reply_bytes();
        let reply = self.host.callout_reply(headers, body_bytes, max_bytes, call.wants_fields);
        self.land(active, call.flight, &reply);
    }

    /// Does what is due, in a callback of the root context.
    pub(super) fn tick(&self) {
        // What it fetched now would not be shared.
        if self.store.borrow().is_some() {
            return;
        }
        let now = self.host.now();
        let tick = self.with_gateway(|gateway| gateway.tick(now));
        for flight in tick.overdue {
            self.land(self.root_id, flight, &CalloutReply::Failed(CalloutFailure::NoReply));
        }
        for sent in tick.send {
            let flight = sent.flight;
            if let Err(failure) = self.dispatch(self.root_id, sent) {
                self.land(self.root_id, flight, &CalloutReply::Failed(failure));
            }
        }
        self.feed_metrics();
    }

    fn feed_metrics(&self) {
        let readings = self.with_gateway(Gateway::take_metrics);
        self.metrics.feed(&readings);
    }

    /// Forgets a request that is over, and its callout if that ended with it.
    pub(super) fn forget(&self, context_id: u32) {
        self.passing.borrow_mut().remove(&context_id);
        self.submissions.borrow_mut().remove(&context_id);
        let Some(parked) = self.waiting.borrow_mut().remove(context_id) else { return };
        self.gateway.borrow_mut().abandon(parked.waiting.flight());
        if let Some(call) = parked.call {
            self.calls.borrow_mut().remove(&call);
        }
    }

    /// Resumes every request that waits for `flight`, in a callback of `active`.
    fn land(&self, active: u32, flight: FlightId, reply: &CalloutReply) {
        let now = self.host.now();
        let Some(landing) = self.with_gateway(|gateway| gateway.land(flight, reply, now)) else {
            return;
        };
        let waiting = self.waiting.borrow_mut().take(flight);
        for Parked { context_id, waiting, guard, .. } in waiting {
            if self.host.enter(context_id) {
                let step = self.with_gateway(|gateway| gateway.resume(waiting, &landing, now));
                self.go_on(active, context_id, guard, step);
            }
        }
    }

    /// Carries out a step of a request that was paused.
    fn go_on(&self, active: u32, context_id: u32, guard: Option<Vec<u8>>, step: Step) {
        if self.carry_out(active, context_id, guard, step) == Action::Continue {
            self.host.resume();
        }
    }

    /// Carries out a step of `context_id`, whose context is entered, in a
    /// callback of `active`.
    fn carry_out(
        &self,
        active: u32,
        context_id: u32,
        guard: Option<Vec<u8>>,
        step: Step,
    ) -> Action {
        if let Step::Done(verdict) = &step {
            self.note(verdict.note());
        }
        match step {
            Step::Done(Verdict::Forward(edits)) => {
                // The guard comes off last: not before the request may really go.
                let unguard = || guard.map_or(Ok(()), |scheme| self.host.unguard(&scheme));
                if self.host.apply(&edits).and_then(|()| unguard()).is_ok() {
                    self.passing.borrow_mut().insert(context_id);
                    return Action::Continue;
                }
                write_log(&LogLine::headers_not_edited());
                self.host.reply(&LocalReply::new(500));
            }
            Step::Done(Verdict::Answer(reply)) => self.host.reply(&reply),
            Step::Receive(submission) => {
                // The headers have to go on for the body to come in. The guard
                // stays on: nothing behind may answer.
                if guard.is_none() {
                    self.host.guard();
                }
                if self.host.apply(&submission.edits).is_ok() {
                    self.submissions.borrow_mut().insert(context_id, submission);
                    return Action::Continue;
                }
                write_log(&LogLine::headers_not_edited());
                self.host.reply(&LocalReply::new(500));
            }
            Step::Join(waiting) => self.park(context_id, waiting, guard, None),
            Step::Await(sent, waiting) => {
                return self.send(active, context_id, guard, sent, waiting);
            }
        }
        Action::Pause
    }

    /// Tells the access log what it may print, if it can be told.
    fn note(&self, note: &AccessNote) {
        if *note != AccessNote::EMPTY {
            let takes_notes = || self.host.takes_notes();
            if *self.takes_notes.get_or_init(takes_notes) {
                self.host.note(note);
            }
        }
    }

    fn park(&self, context_id: u32, waiting: Waiting, guard: Option<Vec<u8>>, call: Option<u32>) {
        let guard = guard.or_else(|| self.host.guard());
        self.waiting.borrow_mut().insert(Parked { context_id, waiting, guard, call });
    }

    /// Sends a request's callout, in a callback of its own or of the root context.
    fn send(
        &self,
        active: u32,
        context_id: u32,
        guard: Option<Vec<u8>>,
        sent: Sent,
        waiting: Waiting,
    ) -> Action {
        let flight = sent.flight;
        match self.dispatch(active, sent) {
            Ok(token) => {
                let is_own = !self.host.traits().resumes_others;
                self.park(context_id, waiting, guard, is_own.then_some(token));
                Action::Pause
            }
            Err(failure) => {
                let (now, reply) = (self.host.now(), CalloutReply::Failed(failure));
                let step = self.with_gateway(|gateway| {
                    let landing = gateway.land(flight, &reply, now)?;
                    Some(gateway.resume(waiting, &landing, now))
                });
                match step {
                    Some(step) => self.carry_out(active, context_id, guard, step),
                    None => Action::Pause,
                }
            }
        }
    }

    /// Sends a callout, in a callback of `active`; gives the host's token.
    fn dispatch(&self, active: u32, sent: Sent) -> Result<u32, CalloutFailure> {
        let call = Call::of(&sent);
        let token = if active == self.root_id || !self.host.traits().resumes_others {
            self.host.dispatch(&sent.callout)?
        } else {
            self.errand.replace(Some(sent.callout));
            abi::call_root(self.root_id);
            self.dispatched.take().unwrap_or(Err(CalloutFailure::NotSent))?
        };
        self.calls.borrow_mut().insert(token, call);
        Ok(token)
    }

    /// Sends what a request wants sent, in a callback of the root context.
    pub(super) fn run_errand(&self) {
        if let Some(callout) = self.errand.take() {
            self.dispatched.set(Some(self.host.dispatch(&callout)));
        }
    }

    /// One call of the core, and what it has to log.
    fn with_gateway<T>(&self, call: impl FnOnce(&mut Gateway) -> T) -> T {
        let mut gateway = self.gateway.borrow_mut();
        let result = call(&mut gateway);
        let lines = gateway.take_log();
        drop(gateway);
        lines.iter().for_each(write_log);
        result
    }
}

pub(super) fn write_log(line: &LogLine) {
    log::log!(line.level, "{}", line.text);
}
