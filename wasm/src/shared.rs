//! The gateway of one plugin, and the state of its requests at the host.

mod bodies;
mod pace;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use gatepass::access_log::AccessLogFields;
use gatepass::callout::{Callout, CalloutFailure, CalloutReply, ReplyFields};
use gatepass::denial::Denial;
use gatepass::event::Event;
use gatepass::gateway::{self, Action, CalloutId, Dispatch, Gateway, RequestId};
use gatepass::host::{ById, HostFailure};
use gatepass::http::Edit;
use proxy_wasm::types;

use crate::abi;
use crate::host::{Guard, Host, Unreadable};
use crate::metrics::Metrics;
use crate::store::Store;

/// The state shared by the root context and its requests.
///
/// Where the root context can resume requests, it sends all callouts and receives the
/// replies: a callout survives the client that caused it, since other requests may wait
/// for it, and the next one can use its answer. Elsewhere each request sends its own
/// callout, which ends with it.
pub(crate) struct Shared {
    root_id: u32,
    host: Host,
    entered: Rc<Entered>,
    /// The context whose callback this is, whichever context is entered: the SDK gives it
    /// the replies to what it sends.
    running: Cell<u32>,
    /// The callout that a request sends through the root context: see
    /// [`dispatch_in_root`](Self::dispatch_in_root).
    to_dispatch: RefCell<Option<Callout>>,
    sent: Cell<Option<Result<u32, CalloutFailure>>>,
    gateway: RefCell<Gateway>,
    /// The workers' data, if it waits for a request: see
    /// [`Host::shares_when_configured`].
    store: RefCell<Option<Store>>,
    /// Each callout in flight, by the host's token.
    calls: RefCell<ById<u32, Call>>,
    /// Callouts of requests that are over, for which the SDK still awaits a reply.
    lost: RefCell<ById<u32, Call>>,
    /// The guards of suspended requests.
    guards: RefCell<ById<RequestId, Guard>>,
    metrics: Metrics,
    /// Determined in the first request that has fields to publish.
    has_access_log: OnceCell<bool>,
    /// Whether the host meets the configuration's needs, once a request has checked.
    fits: Cell<Option<bool>>,
    /// Whether ticks come quickly, because requests are left to be resumed.
    hurries: Cell<bool>,
    /// Whether the host would not send an answer with a body, in this callback.
    loses_bodies: Cell<bool>,
}

/// A callout in flight.
#[derive(Clone, Copy)]
struct Call {
    id: CalloutId,
    /// The context that gets the reply.
    owner: u32,
    /// Whether all header fields of the reply are read.
    reads: ReplyFields,
    has_body: bool,
}

/// The request whose context is entered: header edits, replies and properties concern
/// this one.
#[derive(Debug)]
pub(crate) struct Entered {
    host: Host,
    context: Cell<Option<u32>>,
}

impl Entered {
    pub(crate) fn new(host: Host) -> Rc<Self> {
        Rc::new(Self { host, context: Cell::new(None) })
    }

    /// Enters a request's context; false if it is gone.
    pub(crate) fn enter(&self, request: RequestId) -> bool {
        // The host's ids are 32 bits wide.
        let Ok(context) = u32::try_from(request.0) else { return false };
        if self.context.get() == Some(context) {
            return true;
        }
        let is_entered = self.host.enter(context);
        self.context.set(is_entered.then_some(context));
        is_entered
    }
}

impl Shared {
    pub(crate) fn new(
        root_id: u32,
        host: Host,
        entered: Rc<Entered>,
        gateway: Gateway,
        store: Option<Store>,
    ) -> Self {
        let shared = Self {
            root_id,
            host,
            entered,
            running: Cell::new(root_id),
            to_dispatch: RefCell::default(),
            sent: Cell::new(None),
            metrics: Metrics::define(host, &gateway.metrics()),
            has_access_log: OnceCell::new(),
            gateway: RefCell::new(gateway),
            store: RefCell::new(store),
            calls: RefCell::default(),
            lost: RefCell::default(),
            guards: RefCell::default(),
            fits: Cell::new(None),
            hurries: Cell::new(false),
            loses_bodies: Cell::new(false),
        };
        // The log lines and metrics of the configuration itself.
        shared.feed_metrics();
        shared
    }

    /// What is in progress.
    pub(crate) fn in_progress(&self) -> gateway::InProgress {
        self.gateway.borrow().in_progress()
    }

    /// True if the host meets the configuration's needs. If not, that is logged once, the
    /// request is denied, and the next one checks again: the host may only have failed to
    /// respond.
    fn fits(&self) -> bool {
        if self.fits.get() == Some(true) {
            return true;
        }
        let incompatibility = self.host.incompatibility(self.store.borrow().is_some());
        if let (Some(incompatibility), None) = (&incompatibility, self.fits.get()) {
            log::error!("{incompatibility}");
        }
        self.fits.set(Some(incompatibility.is_none()));
        incompatibility.is_none()
    }

    /// Gives the gateway the workers' data, if it does not have them yet.
    fn attach_store_once(&self) {
        let store = self.store.borrow_mut().take();
        if let Some(store) = store {
            self.gateway.borrow_mut().share(Box::new(self.host.bounded(store)));
        }
    }

    /// Begins the request in whose callback this is called.
    pub(crate) fn begin(&self, context_id: u32, fields: usize, is_whole: bool) -> types::Action {
        self.measured(|| self.begin_unmeasured(context_id, fields, is_whole))
    }

    /// Does something for a request, and measures it now and then.
    fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        let is_measured = self.gateway.borrow_mut().begin_measurement();
        let start = is_measured.then(|| self.host.moment()).flatten();
        let result = work();
        if let Some(micros) = start.and_then(|start| self.host.micros_since(start)) {
            self.gateway.borrow_mut().end_measurement(micros);
        }
        result
    }

    fn begin_unmeasured(&self, context_id: u32, fields: usize, is_whole: bool) -> types::Action {
        let request = self.in_callback_of(context_id);
        if !self.fits() {
            self.with_gateway(|gateway| {
                gateway.deny_unreadable(request, Denial::ConfigurationInvalid)
            });
            return self.execute_all(Some(request));
        }
        self.attach_store_once();
        let Ok(now) = self.host.now() else { return self.fail(request, HostFailure::NoClock) };
        match self.host.request_head(fields, is_whole) {
            Ok(head) => self.with_gateway(|gateway| gateway.begin(request, head, now)),
            Err(Unreadable::TooMany { limit }) => {
                self.with_gateway(|gateway| {
                    gateway.deny_unreadable(request, Denial::HeadersTooMany { limit });
                });
            }
            Err(Unreadable::Host) => return self.fail(request, HostFailure::HeadersUnread),
        }
        self.execute_all(Some(request))
    }

    /// Lets a response through, unless the upstream's came before the gateway has decided.
    pub(crate) fn response(&self, context_id: u32) -> types::Action {
        let is_undecided = self.gateway.borrow().is_undecided(request_of(context_id));
        if !is_undecided || !self.host.is_upstreams_response() {
            return types::Action::Continue;
        }
        let request = self.in_callback_of(context_id);
        self.with_gateway(|gateway| gateway.deny_unreadable(request, Denial::BodyNotAwaited));
        self.execute_all(Some(request))
    }

    /// The action for the rest of a request.
    fn as_decided(&self, request: RequestId) -> types::Action {
        match self.gateway.borrow().passes(request) {
            true => types::Action::Continue,
            false => types::Action::Pause,
        }
    }

    /// Answers the request in whose callback this is called, after a call of the host
    /// failed.
    fn fail(&self, request: RequestId, failure: HostFailure) -> types::Action {
        self.with_gateway(|gateway| gateway.fail(request, failure));
        self.execute_all(Some(request))
    }

    /// Takes the reply announced by a callback of a context that the SDK has entered. A
    /// reply to a callout that is no longer in flight is dropped.
    pub(crate) fn reply(&self, context_id: u32, token: u32, headers: usize, body_bytes: usize) {
        match context_id == self.root_id {
            true => self.in_callback_of_root(),
            false => drop(self.in_callback_of(context_id)),
        }
        let Some(call) = self.calls.borrow_mut().remove(&token) else { return };
        self.loses_bodies.set(call.has_body && body_bytes == 0 && self.host.loses_bodies());
        self.measured(|| {
            let max_bytes = self.gateway.borrow().max_reply_bytes();
            let reply = self.host.callout_reply(headers, body_bytes, max_bytes, call.reads);
            self.complete(call.id, &reply);
            self.execute_all(None);
            self.pace();
        });
        self.loses_bodies.set(false);
    }

    fn complete(&self, callout: CalloutId, reply: &CalloutReply) {
        match self.host.now() {
            Ok(now) => self.with_gateway(|gateway| gateway.reply(callout, reply, now)),
            Err(_) => self.with_gateway(|gateway| gateway.lose(callout)),
        }
    }

    /// Does periodic work, in a callback of the root context.
    pub(crate) fn tick(&self) {
        self.in_callback_of_root();
        // Otherwise fetched keys would not be shared.
        if self.store.borrow().is_some() {
            return;
        }
        let Ok(now) = self.host.now() else { return };
        self.with_gateway(|gateway| gateway.tick(now));
        self.execute_all(None);
        self.pace();
        self.feed_metrics();
    }

    fn feed_metrics(&self) {
        let readings = self.with_gateway(Gateway::take_metrics);
        self.metrics.feed(&readings);
    }

    /// Resets the gauges of a configuration that is over. If a new one has the same
    /// providers, its next tick sets them again.
    pub(crate) fn retire(&self) {
        self.with_gateway(Gateway::retire);
        self.feed_metrics();
    }

    /// Forgets a request that is over, and its callouts if they ended with it.
    pub(crate) fn forget(&self, context_id: u32) {
        let request = request_of(context_id);
        self.guards.borrow_mut().remove(&request);
        self.gateway.borrow_mut().gone(request);
        let is_its =
            |_: &u32, call: &mut Call| call.owner == context_id && context_id != self.root_id;
        self.lost.borrow_mut().extend(self.calls.borrow_mut().extract_if(is_its));
    }

    /// Makes the SDK forget the callouts that ended with their requests; without that,
    /// its table would grow with every client that disconnects. Must be called where
    /// [`abi::release`] may be: `context_id` is about to be created.
    pub(crate) fn release_lost(&self, context_id: u32) {
        let mut lost = self.lost.take();
        // A host that creates the context of a request again may also have its reply.
        let back = lost.extract_if(|_, call| call.owner == context_id);
        self.calls.borrow_mut().extend(back);
        for (token, call) in lost {
            abi::release(self.root_id, call.owner, token);
        }
    }

    fn in_callback_of(&self, context_id: u32) -> RequestId {
        self.running.set(context_id);
        self.entered.context.set(Some(context_id));
        request_of(context_id)
    }

    fn in_callback_of_root(&self) {
        self.running.set(self.root_id);
        self.entered.context.set(None);
    }

    /// Executes the gateway's actions. Returns the outcome for `current`, the request in
    /// whose callback this is called.
    fn execute_all(&self, current: Option<RequestId>) -> types::Action {
        let (mut becomes, mut others) = (types::Action::Pause, 0);
        while let Some(action) = self.next_action(current, &mut others) {
            let request = action.request();
            if let Some(request) = request
                && !self.entered.enter(request)
            {
                self.drop_action(request, action);
                continue;
            }
            match (self.execute(action), request) {
                (Ok(types::Action::Continue), request) if request == current => {
                    becomes = types::Action::Continue;
                }
                (Ok(types::Action::Continue), Some(request)) => self.resume(request),
                (Ok(_), _) => {}
                (Err(failure), Some(request)) => {
                    self.with_gateway(|gateway| gateway.fail(request, failure));
                }
                (Err(_), None) => {}
            }
        }
        becomes
    }

    /// Drops an action for a request that the host no longer has. A callout in it is still
    /// sent, since others may come to wait for it.
    #[inline(never)]
    fn drop_action(&self, request: RequestId, action: Action) {
        self.guards.borrow_mut().remove(&request);
        self.with_gateway(|gateway| gateway.gone(request));
        if let Action::Suspend { dispatch: Some(dispatch), .. } = action {
            self.send(dispatch);
        }
    }

    /// Resumes a paused request.
    fn resume(&self, request: RequestId) {
        if self.host.resume().is_err() {
            let _ = self.host.arm_fail_closed();
            self.with_gateway(|gateway| gateway.fail(request, HostFailure::NotResumed));
        }
    }

    /// Executes an action, in the context of its request.
    fn execute(&self, action: Action) -> Result<types::Action, HostFailure> {
        const NOT_EDITED: HostFailure = HostFailure::HeadersNotEdited;
        match action {
            Action::Send(dispatch) => self.send(dispatch),
            Action::Suspend { request, dispatch } => self.suspend(request, dispatch),
            Action::ReadBody { request, sanitized, .. } => {
                // The headers must pass on for the body to arrive. The guard stays set:
                // no upstream may answer.
                self.arm_fail_closed(request).map_err(|_| NOT_EDITED)?;
                self.host.apply(sanitized.edits(|_| false)).map_err(|_| NOT_EDITED)?;
                return Ok(types::Action::Continue);
            }
            Action::Forward { request, edits, access_log } => {
                self.publish(&access_log);
                self.forward(request, edits.edits()).map_err(|_| NOT_EDITED)?;
                return Ok(types::Action::Continue);
            }
            Action::Reply { reply, details, access_log, .. } => {
                self.publish(&access_log);
                let reply = if self.loses_bodies.get() { reply.without_body() } else { reply };
                self.host.reply(&reply, details);
            }
        }
        Ok(types::Action::Pause)
    }

    // Not a part of the path of a request that waits for nothing.
    #[inline(never)]
    fn suspend(&self, request: RequestId, dispatch: Option<Dispatch>) {
        // The guard is set first: a request that cannot be guarded must not wait.
        let guarded = self.arm_fail_closed(request);
        match (guarded, dispatch) {
            (Ok(()), Some(dispatch)) => self.send(dispatch),
            (Ok(()), None) => {}
            (Err(failure), dispatch) => {
                // Before its callout is reported as failed, which would resume it.
                self.with_gateway(|gateway| gateway.fail(request, failure));
                if let Some(Dispatch { id, .. }) = dispatch {
                    self.complete(id, &CalloutReply::Failed(CalloutFailure::NotSent));
                }
            }
        }
    }

    fn forward<'a>(
        &self,
        request: RequestId,
        edits: impl Iterator<Item = Edit<'a>>,
    ) -> Result<(), crate::host::HostError> {
        self.host.apply(edits)?;
        // The guard is removed last: not before the request may really continue.
        let guard = self.guards.borrow_mut().remove(&request);
        guard.map_or(Ok(()), |guard| self.host.disarm(&guard))
    }

    /// Guards a request, unless it is guarded already.
    #[inline(never)]
    fn arm_fail_closed(&self, request: RequestId) -> Result<(), HostFailure> {
        if !self.guards.borrow().contains_key(&request) {
            let guard = self.host.arm_fail_closed();
            let guard = guard.map_err(|_| HostFailure::NotGuarded)?;
            self.guards.borrow_mut().insert(request, guard);
        }
        Ok(())
    }

    /// Publishes fields for the access log, if it can read them.
    fn publish(&self, fields: &AccessLogFields) {
        if *fields != AccessLogFields::EMPTY {
            let has_access_log = || self.host.has_access_log();
            if *self.has_access_log.get_or_init(has_access_log) {
                self.host.publish(fields);
            }
        }
    }

    #[inline(never)]
    fn send(&self, Dispatch { id, callout }: Dispatch) {
        let (reads, has_body) = (callout.reads, !callout.body().is_empty());
        match self.dispatch(callout) {
            Ok((owner, token)) => {
                let call = Call { id, owner, reads, has_body };
                self.calls.borrow_mut().insert(token, call);
            }
            Err(failure) => self.complete(id, &CalloutReply::Failed(failure)),
        }
    }

    /// Sends a callout. Returns the context that gets the reply, and the token.
    fn dispatch(&self, callout: Callout) -> Result<(u32, u32), CalloutFailure> {
        let running = self.running.get();
        if running == self.root_id || !self.host.capabilities().resumes_others {
            return Ok((running, self.host.dispatch(&callout)?));
        }
        self.to_dispatch.replace(Some(callout));
        abi::call_root(self.root_id);
        let token = self.sent.take().unwrap_or(Err(CalloutFailure::NotSent))?;
        Ok((self.root_id, token))
    }

    /// Sends a request's callout, in a callback of the root context, which then gets the
    /// reply.
    pub(crate) fn dispatch_in_root(&self) {
        if let Some(callout) = self.to_dispatch.take() {
            self.sent.set(Some(self.host.dispatch(&callout)));
        }
    }

    /// Calls the gateway, and writes its log events.
    fn with_gateway<T>(&self, call: impl FnOnce(&mut Gateway) -> T) -> T {
        let mut gateway = self.gateway.borrow_mut();
        let result = call(&mut gateway);
        let events = gateway.take_log();
        drop(gateway);
        events.iter().for_each(write_log);
        result
    }
}

fn request_of(context_id: u32) -> RequestId {
    RequestId(context_id.into())
}

pub(crate) fn write_log(event: &Event) {
    log::log!(event.level(), "{event}");
}
