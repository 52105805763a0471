//! The requests that wait, and what is held for requests at all.

use std::collections::HashMap;

use super::host::Guard;
use crate::gateway::{FlightId, Waiting};

/// A paused request.
pub(super) struct Parked {
    pub(super) context_id: u32,
    pub(super) waiting: Waiting,
    /// What takes off the guard of [`Host::guard`].
    pub(super) guard: Guard,
    /// The host's token of the callout, if it is this request's own and ends
    /// with it.
    pub(super) call: Option<u32>,
}

/// The paused requests, found by what they wait for and by who they are, so
/// that a reply costs the same however many requests wait for others.
#[derive(Default)]
pub(super) struct Waiters {
    by_flight: HashMap<FlightId, Vec<Parked>>,
    flights: HashMap<u32, FlightId>,
}

impl Waiters {
    pub(super) fn insert(&mut self, parked: Parked) {
        let flight = parked.waiting.flight();
        self.flights.insert(parked.context_id, flight);
        self.by_flight.entry(flight).or_default().push(parked);
    }

    /// All that wait for `flight`.
    pub(super) fn take(&mut self, flight: FlightId) -> Vec<Parked> {
        let parked = self.by_flight.remove(&flight).unwrap_or_default();
        for parked in &parked {
            self.flights.remove(&parked.context_id);
        }
        parked
    }

    /// One request, wherever it waits.
    pub(super) fn remove(&mut self, context_id: u32) -> Option<Parked> {
        let flight = self.flights.remove(&context_id)?;
        let waiters = self.by_flight.get_mut(&flight)?;
        let position = waiters.iter().position(|parked| parked.context_id == context_id)?;
        let parked = waiters.swap_remove(position);
        if waiters.is_empty() {
            self.by_flight.remove(&flight);
        }
        Some(parked)
    }

    /// How many wait, and for how many callouts.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.flights.len(), self.by_flight.len())
    }
}

/// What is held for requests, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Contexts of requests.
    pub contexts: usize,
    /// Requests that wait for a callout.
    pub waiting: usize,
    /// Callouts that requests wait for.
    pub flights: usize,
    /// Requests whose body comes in.
    pub submissions: usize,
    /// Requests that may go upstream and are not over.
    pub passing: usize,
    /// Callouts under way, those of no request included.
    pub calls: usize,
}

impl Held {
    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            contexts: self.contexts.saturating_add(other.contexts),
            waiting: self.waiting.saturating_add(other.waiting),
            flights: self.flights.saturating_add(other.flights),
            submissions: self.submissions.saturating_add(other.submissions),
            passing: self.passing.saturating_add(other.passing),
            calls: self.calls.saturating_add(other.calls),
        }
    }
}
