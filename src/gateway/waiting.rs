//! The requests that wait for a callout.

use std::collections::HashMap;

use crate::host::RequestId;
use crate::in_flight::CalloutId;
use crate::pipeline::Waiting;

/// The suspended requests, found by the callout they wait for and by themselves,
/// so that a reply costs the same however many requests wait for others.
#[derive(Debug, Default)]
pub(super) struct WaitingRequests {
    by_callout: HashMap<CalloutId, Vec<(RequestId, Waiting)>>,
    callouts: HashMap<RequestId, CalloutId>,
}

impl WaitingRequests {
    pub(super) fn insert(&mut self, request: RequestId, waiting: Waiting) {
        let callout = waiting.callout();
        self.callouts.insert(request, callout);
        self.by_callout.entry(callout).or_default().push((request, waiting));
    }

    /// All that wait for `callout`.
    pub(super) fn take(&mut self, callout: CalloutId) -> Vec<(RequestId, Waiting)> {
        let requests = self.by_callout.remove(&callout).unwrap_or_default();
        for (request, _) in &requests {
            self.callouts.remove(request);
        }
        requests
    }

    /// One request, wherever it waits; gives what it waited for.
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

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.callouts.len()
    }

    /// For how many callouts.
    pub(super) fn callouts(&self) -> usize {
        self.by_callout.len()
    }
}
