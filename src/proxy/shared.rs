//! The gateway of one plugin, and the requests that wait for its callouts.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use super::abi::Action;
use super::host::{Guard, Host, Unreadable};
use super::metrics::Metrics;
use super::waiters::{Held, Parked, Waiters};
use crate::access_log::AccessNote;
use crate::callout::{CalloutFailure, CalloutReply};
use crate::denial::Denial;
use crate::event::Event;
use crate::gateway::{FlightId, Gateway, Sent, Step, Submission, Waiting};
use crate::http::LocalReply;
use crate::shared_data::SharedStore;
use crate::verdict::Verdict;
/// What the root context and its requests share.
///
/// A reply arrives in the root context. Where other requests can be resumed from
/// there, no reply is lost with the client for whose sake it was asked for, since
/// others may wait for it, and whoever comes next need not ask again. Elsewhere
/// each request sends its own callout, which ends with it.
pub(super) struct Shared {
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
    /// Requests that the gateway itself answers, whose body is coming in.
    submissions: RefCell<HashMap<u32, Submission>>,
    /// Callouts whose reply came when the host did not tell the time.
    lost: RefCell<Vec<FlightId>>,
    /// Requests that may go upstream. Of every other one nothing does, whatever
    /// the host calls back for.
    passing: RefCell<HashSet<u32>>,
    /// Whether the host has what the configuration needs, as far as a request found
    /// out.
    fits: Cell<Option<bool>>,
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

/// How often the core is asked what is due: small beside any time-out, and rare
/// beside the requests. Set once, since ngx_wasm_module traps on a second time.
pub(super) const TICK_MS: u32 = 100;

const NO_CLOCK: &str = "the time could not be read";
const NO_GUARD: &str = "the request could not be guarded while it waits";

impl Shared {
    pub(super) fn new(host: Host, gateway: Gateway, store: Option<Box<dyn SharedStore>>) -> Self {
        let shared = Self {
            host,
            metrics: Metrics::define(host, &gateway.metrics()),
            takes_notes: OnceCell::new(),
            gateway: RefCell::new(gateway),
            store: RefCell::new(store),
            calls: RefCell::default(),
            waiting: RefCell::default(),
            submissions: RefCell::default(),
            lost: RefCell::default(),
            passing: RefCell::default(),
            fits: Cell::new(None),
        };
        // What there is to log and to show of the configuration.
        shared.feed_metrics();
        shared
    }

    /// What it holds for requests.
    pub(super) fn held(&self) -> Held {
        let (waiting, flights) = self.waiting.borrow().count();
        Held {
            contexts: 0,
            waiting,
            flights,
            submissions: self.submissions.borrow().len(),
            passing: self.passing.borrow().len(),
            calls: self.calls.borrow().len(),
        }
    }

    /// Whether the host has what the configuration needs. If not, that is logged
    /// once, every request is denied, and the next one asks again: the host may
    /// just have failed to answer.
    fn fits(&self) -> bool {
        if self.fits.get() == Some(true) {
            return true;
        }
        let misfit = self.host.misfit(self.store.borrow().is_some());
        if let (Some(misfit), None) = (&misfit, self.fits.get()) {
            log::error!("{misfit}");
        }
        self.fits.set(Some(misfit.is_none()));
        misfit.is_none()
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
        if !self.fits() {
            let denial = Denial::ConfigurationInvalid;
            let step = self.with_gateway(|gateway| gateway.refuse(denial));
            return self.carry_out(context_id, None, step);
        }
        self.share();
        let Ok(now) = self.host.now() else { return self.fail(NO_CLOCK) };
        let step = match self.host.request_head(fields) {
            Ok(head) => self.with_gateway(|gateway| gateway.begin(head, now)),
            Err(Unreadable::TooMany { limit }) => {
                let denial = Denial::HeadersTooMany { limit };
                self.with_gateway(|gateway| gateway.refuse(denial))
            }
            Err(Unreadable::Host) => return self.fail("headers could not be read"),
        };
        self.carry_out(context_id, None, step)
    }

    /// Answers a request with which the host does not help.
    fn fail(&self, cause: &'static str) -> Action {
        write_log(&Event::HostError(cause));
        self.host.reply(&LocalReply::new(500));
        Action::Pause
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
                let Ok(now) = self.host.now() else { return self.fail(NO_CLOCK) };
                let body = self.host.request_body(bytes);
                let step = self.with_gateway(|gateway| gateway.submit(submission, body, now));
                self.carry_out(context_id, None, step)
            }
            Some(_) if is_whole => self.cut_short(context_id),
            Some(_) => Action::Pause,
            None => self.as_decided(context_id),
        }
    }

    /// Takes the trailers of a request. They are cleansed whether it passes now
    /// or waits: the host does not show them again.
    pub(super) fn trailers(&self, context_id: u32, fields: usize) -> Action {
        if self.submissions.borrow().contains_key(&context_id) {
            return self.cut_short(context_id);
        }
        let removed = match self.host.request_trailers(fields) {
            Ok(fields) => self.with_gateway(|gateway| gateway.cleanse_trailers(&fields)),
            Err(_) => return self.end(context_id, "trailers could not be read"),
        };
        match removed.map(|names| self.host.remove_trailers(&names)) {
            Ok(Ok(())) => self.as_decided(context_id),
            Ok(Err(_)) => self.end(context_id, "trailers could not be edited"),
            Err(denial) => {
                self.forget(context_id);
                let step = self.with_gateway(|gateway| gateway.refuse(denial));
                self.carry_out(context_id, None, step)
            }
        }
    }

    /// Answers a request that waited or passed, and with which the host does not
    /// help.
    fn end(&self, context_id: u32, cause: &'static str) -> Action {
        self.forget(context_id);
        self.fail(cause)
    }

    /// Ends a request whose body is shorter than announced.
    fn cut_short(&self, context_id: u32) -> Action {
        let Some(submission) = self.submissions.borrow_mut().remove(&context_id) else {
            return Action::Pause;
        };
        let step = self.with_gateway(|gateway| gateway.cut_short(submission));
        self.carry_out(context_id, None, step)
    }

    /// What becomes of the rest of a request.
    fn as_decided(&self, context_id: u32) -> Action {
        match self.passing.borrow().contains(&context_id) {
            true => Action::Continue,
            false => Action::Pause,
        }
    }

    /// Takes the reply that a callback announces. One to a callout that is not
    /// under way, such as the second to one, is nobody's.
    pub(super) fn reply(&self, token: u32, headers: usize, body_bytes: usize) {
        let Some(call) = self.calls.borrow_mut().remove(&token) else { return };
        let max_bytes = self.gateway.borrow().max_reply_bytes();
        let reply = self.host.callout_reply(headers, body_bytes, max_bytes, call.wants_fields);
        self.land(call.flight, &reply);
    }

    /// Does what is due, in a callback of the root context.
    pub(super) fn tick(&self) {
        // What it fetched now would not be shared.
        if self.store.borrow().is_some() {
            return;
        }
        let Ok(now) = self.host.now() else { return };
        let tick = self.with_gateway(|gateway| gateway.tick(now));
        for flight in self.lost.take().into_iter().chain(tick.overdue) {
            self.land(flight, &CalloutReply::Failed(CalloutFailure::NoReply));
        }
        for sent in tick.send {
            let flight = sent.flight;
            if let Err(failure) = self.dispatch(&sent) {
                self.land(flight, &CalloutReply::Failed(failure));
            }
        }
        self.feed_metrics();
    }

    fn feed_metrics(&self) {
        let readings = self.with_gateway(Gateway::take_metrics);
        self.metrics.feed(&readings);
    }

    /// Takes back what gauges say of a configuration that is over. Where a new one
    /// has the same providers, its next tick says it again.
    pub(super) fn retire(&self) {
        self.with_gateway(Gateway::retire);
        self.feed_metrics();
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

    /// Resumes every request that waits for `flight`.
    fn land(&self, flight: FlightId, reply: &CalloutReply) {
        let Ok(now) = self.host.now() else { return self.give_up(flight) };
        let Some(landing) = self.with_gateway(|gateway| gateway.land(flight, reply, now)) else {
            return;
        };
        let waiting = self.waiting.borrow_mut().take(flight);
        for Parked { context_id, waiting, guard, .. } in waiting {
            if self.host.enter(context_id) {
                let step = self.with_gateway(|gateway| gateway.resume(waiting, &landing, now));
                self.go_on(context_id, guard, step);
            }
        }
    }

    /// Answers every request that waits for `flight`, of which nothing can come:
    /// the host does not tell the time.
    fn give_up(&self, flight: FlightId) {
        self.lost.borrow_mut().push(flight);
        let waiting = self.waiting.borrow_mut().take(flight);
        for Parked { context_id, .. } in waiting {
            if self.host.enter(context_id) {
                self.fail(NO_CLOCK);
            }
        }
    }

    /// Carries out a step of a request that was paused.
    fn go_on(&self, context_id: u32, guard: Guard, step: Step) {
        if self.carry_out(context_id, Some(guard), step) == Action::Continue
            && self.host.resume().is_err()
        {
            let _ = self.host.guard();
            self.end(context_id, "the request could not go on");
        }
    }

    /// Carries out a step of `context_id`, whose context is entered.
    fn carry_out(&self, context_id: u32, guard: Option<Guard>, step: Step) -> Action {
        if let Step::Done(_, trace) = &step {
            self.note(&trace.note);
        }
        match step {
            Step::Done(Verdict::Forward(edits), _) => {
                // The guard comes off last: not before the request may really go.
                let unguard = || guard.map_or(Ok(()), |guard| self.host.unguard(&guard));
                match self.host.apply(edits.cleansing(), edits.set()).and_then(|()| unguard()) {
                    Ok(()) => {
                        self.passing.borrow_mut().insert(context_id);
                        Action::Continue
                    }
                    Err(_) => self.fail("headers could not be edited"),
                }
            }
            Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
                self.host.reply(&reply);
                Action::Pause
            }
            Step::Receive(submission) => {
                // The headers have to go on for the body to come in. The guard
                // stays on: nothing behind may answer.
                let guarded = guard.map_or_else(|| self.host.guard(), Ok);
                match guarded.and_then(|_| self.host.apply(&submission.cleansing, &[])) {
                    Ok(()) => {
                        self.submissions.borrow_mut().insert(context_id, submission);
                        Action::Continue
                    }
                    Err(_) => self.fail("headers could not be edited"),
                }
            }
            Step::Join(waiting) => match guard.map_or_else(|| self.host.guard(), Ok) {
                Ok(guard) => self.park(Parked { context_id, waiting, guard, call: None }),
                Err(_) => self.fail(NO_GUARD),
            },
            Step::Await(sent, waiting) => self.send(context_id, guard, &sent, waiting),
        }
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

    fn park(&self, parked: Parked) -> Action {
        self.waiting.borrow_mut().insert(parked);
        Action::Pause
    }

    /// Sends a request's callout. The guard is on before: a request that cannot
    /// be guarded must not wait.
    fn send(&self, context_id: u32, guard: Option<Guard>, sent: &Sent, waiting: Waiting) -> Action {
        let flight = sent.flight;
        let Ok(guard) = guard.map_or_else(|| self.host.guard(), Ok) else {
            self.gateway.borrow_mut().abandon(flight);
            return self.fail(NO_GUARD);
        };
        match self.dispatch(sent) {
            Ok(token) => {
                let is_own = !self.host.traits().resumes_others;
                let call = is_own.then_some(token);
                self.park(Parked { context_id, waiting, guard, call })
            }
            Err(failure) => {
                let reply = CalloutReply::Failed(failure);
                let step = self.host.now().ok().and_then(|now| {
                    self.with_gateway(|gateway| {
                        let landing = gateway.land(flight, &reply, now)?;
                        Some(gateway.resume(waiting, &landing, now))
                    })
                });
                match step {
                    Some(step) => self.carry_out(context_id, Some(guard), step),
                    None => {
                        self.gateway.borrow_mut().abandon(flight);
                        self.fail(NO_CLOCK)
                    }
                }
            }
        }
    }

    /// Sends a callout; gives the host's token.
    fn dispatch(&self, sent: &Sent) -> Result<u32, CalloutFailure> {
        let token = self.host.dispatch(&sent.callout)?;
        // A token that is still in use: whose reply it brings, nobody could say.
        match self.calls.borrow_mut().insert(token, Call::of(sent)) {
            None => Ok(token),
            Some(_) => {
                self.calls.borrow_mut().remove(&token);
                Err(CalloutFailure::NotSent)
            }
        }
    }

    /// One call of the core, and what it has to log.
    fn with_gateway<T>(&self, call: impl FnOnce(&mut Gateway) -> T) -> T {
        let mut gateway = self.gateway.borrow_mut();
        let result = call(&mut gateway);
        let events = gateway.take_log();
        drop(gateway);
        events.iter().for_each(write_log);
        result
    }
}

pub(super) fn write_log(event: &Event) {
    log::log!(event.level(), "{event}");
}
