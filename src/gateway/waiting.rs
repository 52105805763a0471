//! The requests that wait for a callout.

use crate::host::{ById, RequestId};
use crate::in_flight::CalloutId;
use crate::pipeline::Waiting;

/// The suspended requests, indexed by callout and by request, so that the cost of a reply
/// does not depend on how many requests wait for others.
#[derive(Debug, Default)]
pub(super) struct WaitingRequests {
    by_callout: ById<CalloutId, Vec<(RequestId, Waiting)>>,
    callouts: ById<RequestId, CalloutId>,
}

impl WaitingRequests {
    pub(super) fn insert(&mut self, request: RequestId, waiting: Waiting) {
        let callout = waiting.callout();
        self.callouts.insert(request, callout);
        self.by_callout.entry(callout).or_default().push((request, waiting));
    }

    /// Removes and returns all that wait for `callout`.
    pub(super) fn take(&mut self, callout: CalloutId) -> Vec<(RequestId, Waiting)> {
        let requests = self.by_callout.remove(&callout).unwrap_or_default();
        for (request, _) in &requests {
            self.callouts.remove(request);
        }
        requests
    }

    /// Removes one request, whatever it waits for; returns the callout it waited for.
    pub(super) fn remove(&mut self, request: RequestId) -> Option<CalloutId> {
        let callout = self.callouts.remove(&request)?;
        let requests = self.by_callout.get_mut(&callout)?;
        let position = requests.iter().position(|(other, _)| *other == request)?;
        requests.swap_remove(position);
        if requests.is_empty() {
            self.by_callout.remove(&callout);
        }
        Some(callout)
    }

    /// A request, if it waits for a callout.
    pub(super) fn get(&self, request: RequestId) -> Option<&Waiting> {
        let requests = self.by_callout.get(self.callouts.get(&request)?)?;
        requests.iter().find(|(other, _)| *other == request).map(|(_, waiting)| waiting)
    }

    /// The number of waiting requests.
    pub(super) fn len(&self) -> usize {
        self.callouts.len()
    }

    /// The number of callouts they wait for.
    pub(super) fn callouts(&self) -> usize {
        self.by_callout.len()
    }
}
