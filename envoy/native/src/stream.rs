//! One request, from its head to its end.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use gatepass::access_log::AccessLogFields;
use gatepass::denial::Denial;
use gatepass::event::Event;
use gatepass::gateway::Action;
use gatepass::host::{HostFailure, RequestId};
use gatepass::http::{Edit, LocalReply, RequestHead};
use gatepass::verdict::HeaderEdits;

use crate::abi::{BodyStatus, Filter, ForeignRoute, HeadersStatus, Map, Request, TrailersStatus};
use crate::outgoing::fields;
use crate::pending_actions::PendingActions;
use crate::shared::Shared;
use crate::snapshot::write_log;
use crate::worker::{Client, Worker};

/// An Envoy stream, on its worker.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    /// Its worker and request, once the head has arrived.
    place: OnceCell<(Rc<Worker>, Request)>,
    phase: Cell<Phase>,
    /// True if its body is, or was, read by the gateway.
    reads: Cell<bool>,
    /// How much of its body is buffered while it waits, if the gateway may read it then.
    buffer_limit: Cell<Option<usize>>,
    /// The body received so far.
    body: RefCell<Vec<u8>>,
    /// All of it has arrived.
    ended: Cell<bool>,
    /// Actions caused by other streams' events, once it has been held.
    pending: OnceCell<Rc<PendingActions>>,
}

/// The phase of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its head has not arrived yet.
    New,
    /// Its head is held until this many bytes of its body have been read.
    Reading(usize),
    /// It is held until an action names it.
    Waiting,
    /// It goes upstream.
    Passing,
    /// It was answered here.
    Answered,
    /// Envoy has destroyed it.
    Over,
}

/// The result of acting on a request.
enum Done<'hook> {
    /// It may continue, but has not done so yet.
    Passes(Filter<'hook>),
    /// It is held.
    Stays(Filter<'hook>),
    /// It was answered.
    Ends,
}

impl Stream {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            place: OnceCell::new(),
            phase: Cell::new(Phase::New),
            reads: Cell::new(false),
            buffer_limit: Cell::new(None),
            body: RefCell::default(),
            ended: Cell::new(false),
            pending: OnceCell::new(),
        }
    }

    /// The worker whose gateway decides the request, if there is a configuration for it.
    fn worker(&self, filter: &Filter<'_>) -> Option<Rc<Worker>> {
        let snapshot = match filter.route() {
            Ok(route) => route.or_else(|| self.shared.snapshot())?,
            Err(ForeignRoute) => {
                log::error!("the settings of the route are those of another filter");
                return None;
            }
        };
        Worker::of(&self.shared, &snapshot)
    }

    /// The head arrived.
    pub(crate) fn headers(self: &Rc<Self>, filter: Filter<'_>, end: bool) -> HeadersStatus {
        if self.phase.get() != Phase::New {
            // There is only one head.
            self.fail(filter, HostFailure::HeadersRepeated);
            return HeadersStatus::Stop;
        }
        let Some(worker) = self.worker(&filter) else {
            self.deny_unconfigured(filter);
            return HeadersStatus::Stop;
        };
        let number = worker.number();
        let (worker, _) = self.place.get_or_init(|| (worker, number));
        let Some(head) = filter.fields(Map::Request).map(|pairs| fields(&pairs)) else {
            self.fail(filter, HostFailure::HeadersUnread);
            return HeadersStatus::Stop;
        };
        let head = RequestHead::from(head).with_body(!end);
        self.buffer_limit.set(worker.buffer_limit(&head));
        self.ended.set(end);
        let request = RequestId(number);
        let actions = worker.event(number, &filter, |gateway, now| {
            gateway.begin(request, head, now);
        });
        match self.act(filter, actions) {
            Done::Passes(_) => HeadersStatus::Continue,
            Done::Ends => HeadersStatus::Stop,
            Done::Stays(_)
                if self.phase.get() == Phase::Waiting && self.buffer_limit.get().is_none() =>
            {
                HeadersStatus::StopAllAndWatermark
            }
            Done::Stays(filter) => {
                // Without a body, the body hook is not called.
                self.read(filter);
                HeadersStatus::Stop
            }
        }
    }

    /// A chunk of the body arrived.
    pub(crate) fn body(self: &Rc<Self>, filter: Filter<'_>, end: bool) -> BodyStatus {
        self.ended.set(self.ended.get() || end);
        match (self.phase.get(), self.buffer_limit.get()) {
            (Phase::Passing, _) => return BodyStatus::Continue,
            (Phase::Reading(wanted), _) => {
                self.buffer(&filter, wanted);
                self.read(filter);
            }
            (Phase::Waiting, Some(most)) => self.buffer(&filter, most),
            (Phase::New | Phase::Waiting | Phase::Answered | Phase::Over, _) => {}
        }
        BodyStatus::StopAndDrop
    }

    /// Buffers a chunk of the body; no more of it than the gateway would read.
    fn buffer(&self, filter: &Filter<'_>, most: usize) {
        // From now on it cannot go upstream.
        self.reads.set(true);
        let mut body = self.body.borrow_mut();
        for chunk in filter.body() {
            let room = most.saturating_sub(body.len()).min(chunk.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or_default());
        }
    }

    /// Gives the gateway the body, once it has ended: Envoy closes an HTTP/1 connection on
    /// which it replies before that.
    fn read(self: &Rc<Self>, filter: Filter<'_>) {
        let Phase::Reading(_) = self.phase.get() else { return };
        let Some((worker, number)) = self.place.get() else { return };
        if !self.ended.get() {
            return;
        }
        let body = self.body.take();
        self.phase.set(Phase::Waiting);
        let request = RequestId(*number);
        let actions =
            worker.event(*number, &filter, |gateway, now| gateway.body(request, Some(body), now));
        self.act(filter, actions);
    }

    /// The trailers arrived.
    pub(crate) fn trailers(self: &Rc<Self>, mut filter: Filter<'_>) -> TrailersStatus {
        self.ended.set(true);
        if !matches!(self.phase.get(), Phase::Passing | Phase::Reading(_)) {
            return TrailersStatus::Stop;
        }
        let Some((worker, number)) = self.place.get() else { return TrailersStatus::Stop };
        if worker.is_broken() {
            self.fail(filter, HostFailure::Panicked);
            return TrailersStatus::Stop;
        }
        if matches!(self.phase.get(), Phase::Reading(_)) {
            // They end the body.
            self.read(filter);
            return TrailersStatus::Stop;
        }
        let Some(trailers) = filter.fields(Map::Trailers).map(|pairs| fields(&pairs)) else {
            self.fail(filter, HostFailure::TrailersUnread);
            return TrailersStatus::Stop;
        };
        let mut removed = None;
        let request = RequestId(*number);
        let actions = worker.event(*number, &filter, |gateway, _| {
            removed = gateway.trailers(request, &trailers);
        });
        let Some(removed) = removed else {
            self.act(filter, actions);
            return TrailersStatus::Stop;
        };
        for name in &removed {
            if !filter.remove(Map::Trailers, name.as_bytes()) {
                self.fail(filter, HostFailure::TrailersNotEdited);
                return TrailersStatus::Stop;
            }
        }
        TrailersStatus::Continue
    }

    /// The stream was woken: there is mail, an action was queued, or it is time to check
    /// for streams that have outlived their tokens.
    pub(crate) fn woken(self: &Rc<Self>, filter: Filter<'_>) {
        let Some((worker, number)) = self.place.get() else { return };
        let is_registered = match self.phase.get() {
            Phase::Waiting | Phase::Reading(_) => true,
            // The stream may have been woken before it continued.
            Phase::Passing => worker.is_registered(*number),
            Phase::New | Phase::Answered | Phase::Over => false,
        };
        if !is_registered {
            return;
        }
        if worker.is_broken() {
            return self.fail(filter, HostFailure::Panicked);
        }
        let new_actions = worker.event(*number, &filter, |_, _| ());
        let queued = self.pending.get().map(|pending| pending.take()).unwrap_or_default();
        let actions =
            new_actions.map(|new_actions| queued.into_iter().chain(new_actions).collect());
        match self.act(filter, actions) {
            Done::Passes(filter) => filter.continue_request(),
            // What the gateway wants to read may have arrived while it waited.
            Done::Stays(filter) => self.read(filter),
            Done::Ends => {}
        }
    }

    /// Envoy has destroyed the stream.
    pub(crate) fn destroyed(&self) {
        self.phase.set(Phase::Over);
        if let Some((worker, number)) = self.place.get() {
            worker.gone(*number);
        }
    }

    /// A hook panicked. True if the request must still be answered.
    pub(crate) fn on_panic(&self) -> bool {
        match self.place.get() {
            Some((worker, _)) => worker.mark_broken(),
            None => self.shared.panicked(),
        }
        let is_open = !matches!(self.phase.get(), Phase::Answered | Phase::Over);
        if is_open {
            self.phase.set(Phase::Answered);
        }
        is_open
    }

    /// Executes the gateway's actions; without a gateway the request ends.
    fn act<'hook>(
        self: &Rc<Self>,
        mut filter: Filter<'hook>,
        actions: Option<Vec<Action>>,
    ) -> Done<'hook> {
        let Some(actions) = actions else {
            self.fail(filter, HostFailure::Panicked);
            return Done::Ends;
        };
        for action in actions {
            match action {
                Action::Send(_) => {}
                Action::Suspend { dispatch, .. } => {
                    self.register(&filter, Phase::Waiting);
                    if let (Some(dispatch), Some((worker, _))) = (dispatch, self.place.get()) {
                        worker.send(&dispatch);
                    }
                }
                Action::ReadBody { bytes, .. } => {
                    self.reads.set(true);
                    self.register(&filter, Phase::Reading(bytes));
                }
                Action::Forward { edits, access_log, .. } => {
                    return self.forward(filter, &edits, &access_log);
                }
                Action::Reply { reply, details, access_log, .. } => {
                    publish(&mut filter, &access_log);
                    self.answer(filter, &reply, details);
                    return Done::Ends;
                }
            }
        }
        Done::Stays(filter)
    }

    /// Enters a phase in which other streams' events may concern the request.
    fn register(self: &Rc<Self>, filter: &Filter<'_>, phase: Phase) {
        self.phase.set(phase);
        let Some((worker, number)) = self.place.get() else { return };
        let pending = self.pending.get_or_init(Rc::default);
        let waker = pending.waker(|| filter.waker());
        let client = filter.while_current(*number, || Client::of(*number));
        worker.register(*number, pending, waker, client);
    }

    /// Edits the request as decided, for the upstream.
    fn forward<'hook>(
        self: &Rc<Self>,
        mut filter: Filter<'hook>,
        edits: &HeaderEdits,
        access_log: &AccessLogFields,
    ) -> Done<'hook> {
        publish(&mut filter, access_log);
        if self.reads.get() {
            // Its body has been consumed.
            self.fail(filter, HostFailure::BodyConsumed);
            return Done::Ends;
        }
        for edit in edits.edits() {
            let is_done = match edit {
                Edit::Remove(name) => filter.remove(Map::Request, name.as_bytes()),
                Edit::Set(name, value) => filter.set(Map::Request, name.as_bytes(), value),
                Edit::Path(path) => filter.set(Map::Request, b":path", path),
            };
            if !is_done {
                self.fail(filter, HostFailure::HeadersNotEdited);
                return Done::Ends;
            }
        }
        self.phase.set(Phase::Passing);
        match self.place.get() {
            // It ends with its token: its hook is called from time to time.
            Some((worker, number)) if worker.ends_with_token(*number) => {
                self.register(&filter, Phase::Passing);
            }
            _ => self.release(),
        }
        Done::Passes(filter)
    }

    /// Answers the request.
    fn answer(&self, filter: Filter<'_>, reply: &LocalReply, details: &str) {
        self.phase.set(Phase::Answered);
        self.release();
        let pairs = reply.headers.iter();
        let pairs: Vec<_> =
            pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        filter.respond(reply.status, &pairs, &reply.body, details);
    }

    /// Answers a request that Envoy or this door failed to process.
    fn fail(&self, filter: Filter<'_>, failure: HostFailure) {
        write_log(&Event::HostError(failure));
        self.answer(filter, &LocalReply::new(500), failure.details());
    }

    /// Denies the request, since no gateway can decide it.
    fn deny_unconfigured(&self, mut filter: Filter<'_>) {
        let denial = Denial::ConfigurationInvalid;
        let code = denial.code().name();
        publish(&mut filter, &AccessLogFields { code: Some(code), ..AccessLogFields::EMPTY });
        self.shared.denied_unconfigured();
        self.answer(filter, &denial.reply_unconfigured(), code);
    }

    fn release(&self) {
        if let Some((worker, number)) = self.place.get() {
            worker.release(*number);
        }
    }
}

/// Sets the fields for the access log, under the names that the WebAssembly filter uses,
/// so that one format works for both.
fn publish(filter: &mut Filter<'_>, fields: &AccessLogFields) {
    const PREFIX: &str = "wasm.";
    // Room for the longest of the names.
    let mut key = String::with_capacity(32);
    for (name, value) in fields.entries() {
        key.clear();
        key.push_str(PREFIX);
        key.push_str(name);
        filter.set_access_log_field(&key, value);
    }
}
