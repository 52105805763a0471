//! One run of a request through the pipeline.

use std::rc::Rc;

use crate::event::Trace;
use crate::host::RequestId;
use crate::http::RequestHead;
use crate::in_flight::{Outcome, Purpose, RequestMemory};
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
    /// What earlier runs left for this one.
    pub memory: RequestMemory,
    /// The progress of the request, for the log.
    pub trace: Trace,
    pub now: UnixTime,
    /// The session whose end also ends the request, once it is forwarded.
    pub ends_with: Option<Rc<Session>>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(current: Current<'a>, memory: RequestMemory) -> Self {
        let Current { request, head, now } = current;
        Self { request, head, memory, trace: Trace::default(), now, ends_with: None }
    }

    pub(super) const fn current(&self) -> Current<'a> {
        Current { request: self.request, head: self.head, now: self.now }
    }

    /// The outcome for `purpose`, if the request waited for it.
    pub(super) fn outcome_for(&self, purpose: &Purpose) -> Option<&Outcome> {
        self.memory.latest(purpose)
    }

    /// Counts a cache hit or miss: once per request, since later runs repeat the lookup.
    pub(super) fn count(&mut self, counters: &mut Counters, cache: Cache, used: CacheUse) {
        if self.memory.count_once(cache) {
            counters.cache(cache, used);
        }
    }
}
