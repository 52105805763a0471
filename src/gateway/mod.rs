//! The interface to a door: one gateway, owned by one thread.
//!
//! A door connects the gateway to a host. It reports events and executes the resulting
//! actions:
//!
//! 1. Call the method for the event: a request begins ([`Gateway::begin`]), its body or
//!    its trailers arrived ([`Gateway::body`], [`Gateway::trailers`]), it is over
//!    ([`Gateway::gone`]), a reply arrived ([`Gateway::reply`]), time has passed
//!    ([`Gateway::tick`]).
//! 2. Call [`Gateway::poll`] until it returns no more, and execute each [`Action`]. One
//!    that cannot be executed is another event: [`Gateway::fail`] for a request, a reply
//!    of [`CalloutFailure::NotSent`] for a callout.
//! 3. Log what [`Gateway::take_log`] returns, and feed the metrics now and then.
//!
//! Every request ends with one [`Action::Forward`] or [`Action::Reply`], unless it is
//! gone before; one that ends with its token ([`Gateway::ends_with_token`]) may be forwarded
//! first and answered later.
//! Until then no part of it may go upstream; [`Gateway::passes`] tells whether the rest
//! of it may.
//!
//! It does no IO and knows no host; [`HostCapabilities`] describes what a host can do.

mod action;
mod waiting;

use std::collections::VecDeque;

pub use self::action::Action;
use self::waiting::WaitingRequests;
use crate::access_log::AccessLogFields;
use crate::callout::{CalloutFailure, CalloutReply};
use crate::denial::Denial;
use crate::event::{Event, Trace};
pub use crate::host::RequestId;
use crate::host::{ById, HostCapabilities, HostFailure, RequestInfo};
use crate::http::{Fields, LocalReply, RequestHead};
pub use crate::in_flight::{CalloutId, Dispatch};
use crate::metrics::{Sample, Series};
use crate::pipeline::{
    AnnouncementOutcome, CalloutOutcome, Pipeline, Settings, Step, Submission, Waiting,
};
use crate::shared_data::SharedStore;
use crate::time::{Span, UnixTime};
use crate::verdict::Verdict;

/// The period of [`Gateway::tick`]: short compared with any timeout, and rare compared
/// with requests. It is the same for all doors: a worker that slept until something is
/// due would have to track every event that moves that time forward.
pub const TICK: Span = Span::from_millis(100);

/// The `details` of answers that are neither denials nor failures.
const OWN_ANSWER: &str = "gatepass";

/// One active configuration, with the requests that it decides.
#[derive(Debug)]
pub struct Gateway {
    pipeline: Pipeline,
    waiting: WaitingRequests,
    /// Requests whose body is being read.
    bodies: ById<RequestId, Submission>,
    /// Requests that may go upstream. No part of any other may, whatever the host
    /// reports.
    passing: ById<RequestId, ()>,
    /// Requests whose callout is complete.
    resumable: VecDeque<Resumable>,
    actions: VecDeque<Action>,
    /// Callouts whose reply arrived while the host did not tell the time.
    lost: Vec<CalloutId>,
}

/// A request that can be resumed.
#[derive(Debug)]
struct Resumable {
    request: RequestId,
    waiting: Waiting,
    outcome: CalloutOutcome,
    now: UnixTime,
}

/// What is in progress in a gateway, by kind; nothing once its requests are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InProgress {
    /// Requests that wait for a callout.
    pub waiting: usize,
    /// Callouts that requests wait for.
    pub awaited: usize,
    /// Requests whose body is being read.
    pub bodies: usize,
    /// Requests that may go upstream and are not over.
    pub passing: usize,
    /// Those of them that end when their token expires or is revoked.
    pub ending_with_token: usize,
}

impl InProgress {
    /// The sum of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            waiting: self.waiting.saturating_add(other.waiting),
            awaited: self.awaited.saturating_add(other.awaited),
            bodies: self.bodies.saturating_add(other.bodies),
            passing: self.passing.saturating_add(other.passing),
            ending_with_token: self.ending_with_token.saturating_add(other.ending_with_token),
        }
    }
}

/// Getters.
impl Gateway {
    /// What is in progress.
    pub fn in_progress(&self) -> InProgress {
        InProgress {
            waiting: self.waiting.len().saturating_add(self.resumable.len()),
            awaited: self.waiting.callouts(),
            bodies: self.bodies.len(),
            passing: self.passing.len(),
            ending_with_token: self.pipeline.ending_with_token(),
        }
    }

    /// Whether the rest of a request, its body and its trailers, may go upstream.
    pub fn passes(&self, request: RequestId) -> bool {
        self.passing.contains_key(&request)
    }

    /// Whether a forwarded request ends with its token: an [`Action::Reply`] may come for
    /// it until it is [`Gateway::gone`].
    pub fn ends_with_token(&self, request: RequestId) -> bool {
        self.pipeline.ends_with_token(request)
    }

    /// Whether a request waits for a callout or for its body. No response but the gateway's
    /// own may reach its client meanwhile.
    pub fn is_undecided(&self, request: RequestId) -> bool {
        self.undecided(request).is_some()
            || self.actions.iter().any(|action| is_answer_to(action, request))
    }

    /// The head and the progress of a request that waits for a callout or for its body.
    fn undecided(&self, request: RequestId) -> Option<(&RequestHead, &Trace)> {
        if let Some(submission) = self.bodies.get(&request) {
            return Some((&submission.head, &submission.trace));
        }
        let resumable = || self.resumable.iter().find(|it| it.request == request);
        let waiting = self.waiting.get(request).or_else(|| Some(&resumable()?.waiting))?;
        Some((&waiting.head, &waiting.trace))
    }

    /// The number of bytes of a request's body to collect before [`Gateway::body`] is
    /// called; `None` if the body is not for the gateway.
    pub fn body_wanted(&self, request: RequestId) -> Option<usize> {
        self.bodies.get(&request).map(|submission| submission.bytes)
    }

    /// The largest reply body to read.
    pub const fn max_reply_bytes(&self) -> usize {
        self.pipeline.max_reply_bytes()
    }

    /// True if [`Action::ReadBody`] may come after [`Action::Suspend`] for a request: a
    /// host must not hold back its body. It is never forwarded.
    pub fn may_wait_and_read(&self, head: &RequestHead) -> bool {
        self.pipeline.may_wait_and_read(head)
    }

    /// The series of the samples that [`Gateway::take_metrics`] returns.
    pub fn metrics(&self) -> Vec<Series> {
        self.pipeline.metrics()
    }
}

/// Construction.
impl Gateway {
    /// Makes a gateway for a host. `seed` must be unique for each one: it makes the `jti`
    /// of identity tokens unique, and spreads key fetches over time.
    pub fn new(settings: Settings, host: HostCapabilities, seed: [u8; 16]) -> Self {
        Self {
            pipeline: Pipeline::new(settings, host, seed),
            waiting: WaitingRequests::default(),
            bodies: ById::default(),
            passing: ById::default(),
            resumable: VecDeque::new(),
            actions: VecDeque::new(),
            lost: Vec::new(),
        }
    }

    /// Lets the gateway share fetched data with the other workers of the proxy. Must be
    /// called before any event.
    pub fn share(&mut self, store: Box<dyn SharedStore>) {
        self.pipeline.share(store);
    }

    /// Lets the gateway share answers about users with other gateways of the same
    /// configuration. There is one value per user, so the store must evict old ones.
    pub fn share_user_info(&mut self, store: Box<dyn SharedStore>) {
        self.pipeline.share_user_info(store);
    }

    /// Lets the gateway query the host about requests.
    #[must_use]
    pub fn with_request_info(self, info: Box<dyn RequestInfo>) -> Self {
        Self { pipeline: self.pipeline.with_request_info(info), ..self }
    }
}

/// Events.
impl Gateway {
    /// A request begins. Must be called once, with the whole head, before any part of it
    /// goes upstream.
    pub fn begin(&mut self, request: RequestId, head: RequestHead, now: UnixTime) {
        let step = self.pipeline.begin(request, head, now);
        self.enqueue(request, step);
    }

    /// Denies a request whose head cannot be read, in shadow mode too: unseen headers
    /// cannot be sanitized. Also works for one that passed, or was suspended: of that the
    /// head is known.
    pub fn deny_unreadable(&mut self, request: RequestId, denial: Denial) {
        let known = self.undecided(request).map(|(head, trace)| (head.clone(), trace.clone()));
        let (head, trace) = known.unwrap_or_default();
        self.gone(request);
        let step = self.pipeline.deny_unasked(request, &head, denial, trace);
        self.enqueue(request, step);
    }

    /// The host failed to execute something for a request: answers it with 500 and
    /// forgets it.
    pub fn fail(&mut self, request: RequestId, failure: HostFailure) {
        self.gone(request);
        self.pipeline.log_event(Event::HostError(failure));
        self.actions.push_back(Action::Reply {
            request,
            reply: LocalReply::new(500),
            details: failure.details(),
            access_log: AccessLogFields::EMPTY,
        });
    }

    /// The body of a request has ended: with its last bytes, or with trailers. `None` if the
    /// host cannot provide it (413); fewer than [`Gateway::body_wanted`] bytes are too few
    /// (400).
    pub fn body(&mut self, request: RequestId, body: Option<Vec<u8>>, now: UnixTime) {
        let wanted = self.body_wanted(request).unwrap_or_default();
        if body.as_ref().is_some_and(|body| body.len() < wanted) {
            self.cut_short(request);
        } else if let Some(submission) = self.bodies.remove(&request) {
            let step = self.pipeline.submit(submission, body, now);
            self.enqueue(request, step);
        }
    }

    /// All bytes of a request's body have arrived, but it may end with trailers.
    pub fn buffer_body(&mut self, request: RequestId, body: Option<Vec<u8>>) {
        if let Some(submission) = self.bodies.get_mut(&request) {
            submission.received = body;
        }
    }

    /// What [`Gateway::buffer_body`] was given, or nothing, if the body has not ended;
    /// `None` if the gateway wants none.
    pub fn take_buffered_body(&mut self, request: RequestId) -> Option<Vec<u8>> {
        Some(self.bodies.get_mut(&request)?.received.take().unwrap_or_default())
    }

    fn cut_short(&mut self, request: RequestId) {
        if let Some(submission) = self.bodies.remove(&request) {
            let step = self.pipeline.cut_short(submission);
            self.enqueue(request, step);
        }
    }

    /// The trailers of a request arrived. Returns the names of the trailers to remove,
    /// whether the request passes now or waits; `None` if it ends here.
    pub fn trailers(&mut self, request: RequestId, trailers: &Fields) -> Option<Vec<String>> {
        if self.bodies.contains_key(&request) {
            self.cut_short(request);
            return None;
        }
        match self.pipeline.sanitize_trailers(trailers) {
            Ok(names) => Some(names),
            Err(denial) => {
                self.deny_unreadable(request, denial);
                None
            }
        }
    }

    /// A callout is complete. A reply that is not awaited, such as a second one, is
    /// dropped.
    pub fn reply(&mut self, callout: CalloutId, reply: &CalloutReply, now: UnixTime) {
        let Some(outcome) = self.pipeline.complete(callout, reply, now) else { return };
        for (request, waiting) in self.waiting.take(callout) {
            let outcome = outcome.clone();
            self.resumable.push_back(Resumable { request, waiting, outcome, now });
        }
    }

    /// A callout is complete, but the host does not tell the time. Every request that
    /// waits for it is answered with 500: nothing can be decided without the time.
    pub fn lose(&mut self, callout: CalloutId) {
        self.lost.push(callout);
        for (request, _) in self.waiting.take(callout) {
            self.fail(request, HostFailure::NoClock);
        }
    }

    /// A request is over: nothing more is done for it. Returns the callout that ends with
    /// it, unless [`HostCapabilities::resumes_others`].
    pub fn gone(&mut self, request: RequestId) -> Option<CalloutId> {
        self.passing.remove(&request);
        self.pipeline.forget_stream(request);
        self.bodies.remove(&request);
        self.resumable.retain(|resumable| resumable.request != request);
        self.actions.retain(|action| !is_answer_to(action, request));
        let callout = self.waiting.remove(request)?;
        self.pipeline.abandon(callout).then_some(callout)
    }

    /// Time has passed. Must be called every [`TICK`]; a door without timers calls it
    /// with the first request after that.
    pub fn tick(&mut self, now: UnixTime) {
        let tick = self.pipeline.tick(now);
        let lost = std::mem::take(&mut self.lost);
        for callout in lost.into_iter().chain(tick.overdue) {
            self.reply(callout, &CalloutReply::Failed(CalloutFailure::NoReply), now);
        }
        self.actions.extend(tick.send.into_iter().map(Action::Send));
        for (request, step) in self.pipeline.end_streams(now) {
            self.passing.remove(&request);
            self.enqueue(request, step);
        }
    }

    /// The configuration is no longer in use. Must be called before the last
    /// [`Gateway::take_metrics`].
    pub fn retire(&mut self) {
        self.pipeline.retire();
    }
}

/// Results of events.
impl Gateway {
    /// The next action, if any.
    pub fn poll(&mut self) -> Option<Action> {
        while self.actions.is_empty()
            && let Some(resumable) = self.resumable.pop_front()
        {
            self.resume(resumable);
        }
        self.actions.pop_front()
    }

    /// The next action for this request or for none, if any. For doors that cannot execute
    /// all of them in one callback of their host.
    pub fn poll_for(&mut self, request: RequestId) -> Option<Action> {
        let is_its = |action: &Action| action.request().is_none_or(|it| it == request);
        if let Some(position) = self.actions.iter().position(is_its) {
            return self.actions.remove(position);
        }
        let position = self.resumable.iter().position(|it| it.request == request)?;
        let resumable = self.resumable.remove(position)?;
        self.resume(resumable);
        self.actions.pop_back()
    }

    /// Resumes a request whose callout is complete: adds its action.
    // Not a part of the path of a request that waits for nothing.
    #[inline(never)]
    fn resume(&mut self, resumable: Resumable) {
        let Resumable { request, waiting, outcome, now } = resumable;
        let step = self.pipeline.resume(waiting, &outcome, now);
        self.enqueue(request, step);
    }

    /// Whether there may be a next action.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty() || !self.resumable.is_empty()
    }

    /// From now on records revocations made by requests, for
    /// [`Gateway::take_announcement`].
    pub fn announce_revocations(&mut self) {
        self.pipeline.announce_revocations();
    }

    /// The revocations made by requests, as text for [`Gateway::apply_announcement`] of
    /// the other nodes.
    pub fn take_announcement(&mut self) -> Option<String> {
        self.pipeline.take_announcement()
    }

    /// Applies what another node announced.
    pub fn apply_announcement(&mut self, text: &[u8], now: UnixTime) -> AnnouncementOutcome {
        self.pipeline.apply_announcement(text, now)
    }

    /// The events since the last call.
    pub fn take_log(&mut self) -> Vec<Event> {
        self.pipeline.take_log()
    }

    /// Records that this configuration has started. True if no other worker of the proxy has
    /// recorded it before, as far as they share data: the first events of the others say
    /// nothing new.
    pub fn record_start(&mut self) -> bool {
        self.pipeline.record_start()
    }

    /// A call for a request begins. True if the door is to measure it, for
    /// [`Gateway::end_measurement`].
    pub const fn begin_measurement(&mut self) -> bool {
        self.pipeline.begin_measurement()
    }

    /// Records how many microseconds a measured call took.
    pub fn end_measurement(&mut self, micros: u64) {
        self.pipeline.end_measurement(micros);
    }

    /// The samples since the last call.
    pub fn take_metrics(&mut self) -> Vec<Sample> {
        self.pipeline.take_metrics()
    }

    /// Records the outcome of a step and queues its action.
    fn enqueue(&mut self, request: RequestId, step: Step) {
        let action = match step {
            Step::Wait(dispatch, waiting) => self.suspend(request, Some(dispatch), waiting),
            Step::Join(waiting) => self.suspend(request, None, waiting),
            Step::Receive(submission) => self.read_body(request, submission),
            Step::Done(verdict, Trace { access_log, .. }) => match verdict {
                Verdict::Forward(edits) => {
                    self.passing.insert(request, ());
                    Action::Forward { request, edits, access_log }
                }
                Verdict::Deny(denial, reply) => {
                    Action::Reply { request, reply, details: denial.code().name(), access_log }
                }
                Verdict::Answer(reply) => {
                    Action::Reply { request, reply, details: OWN_ANSWER, access_log }
                }
            },
        };
        self.actions.push_back(action);
    }

    #[inline(never)]
    fn suspend(
        &mut self,
        request: RequestId,
        dispatch: Option<Dispatch>,
        waiting: Waiting,
    ) -> Action {
        self.waiting.insert(request, waiting);
        Action::Suspend { request, dispatch }
    }

    #[inline(never)]
    fn read_body(&mut self, request: RequestId, submission: Submission) -> Action {
        let (sanitized, bytes) = (submission.sanitized.clone(), submission.bytes);
        self.bodies.insert(request, submission);
        Action::ReadBody { request, sanitized, bytes }
    }
}

/// Whether an action does nothing but answer or forward `request`. An action that sends a
/// callout does not count: other requests may join it.
fn is_answer_to(action: &Action, request: RequestId) -> bool {
    matches!(
        action,
        Action::Forward { request: about, .. } | Action::Reply { request: about, .. }
            if *about == request
    )
}
