//! One run of a request through the pipeline.

use std::rc::Rc;

use crate::event::Trace;
use crate::host::RequestId;
use crate::http::RequestHead;
use crate::in_flight::{Answers, Outcome, Purpose};
use crate::metrics::{Cache, CacheUse, Counters};
use crate::session::Session;
use crate::time::UnixTime;

/// A request, at the time of an event about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current<'a> {
    /// The host is queried about this one.
    pub request: RequestId,
    pub head: &'a RequestHead,
    pub now: UnixTime,
}

/// One run of the pipeline, from its start to a decision or to the next callout that the
/// request must wait for.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub request: RequestId,
    pub head: &'a RequestHead,
    /// The outcomes that earlier runs waited for.
    pub answers: Answers,
    /// The progress of the request, for the log.
    pub trace: Trace,
    pub now: UnixTime,
    /// The session whose end also ends the request, once it is forwarded.
    pub followed: Option<Rc<Session>>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(current: Current<'a>, answers: Answers) -> Self {
        let Current { request, head, now } = current;
        Self { request, head, answers, trace: Trace::default(), now, followed: None }
    }

    pub(super) const fn current(&self) -> Current<'a> {
        Current { request: self.request, head: self.head, now: self.now }
    }

    /// The outcome for `purpose`, if the request waited for it.
    pub(super) fn answer_for(&self, purpose: &Purpose) -> Option<&Outcome> {
        self.answers.latest(purpose)
    }

    /// Counts a cache hit or miss: once per request, since later runs repeat the lookup.
    pub(super) fn count(&mut self, counters: &mut Counters, cache: Cache, used: CacheUse) {
        if self.answers.counts(cache) {
            counters.cache(cache, used);
        }
    }
}
