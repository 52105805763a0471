//! Counts a configuration's callouts in flight.
//!
//! Envoy destroys a configuration on the thread that drops the last reference, and
//! cancels its callouts there. If that reference is a stream's, the thread is a worker,
//! but callouts belong to the main thread: cancelling them on a worker would crash Envoy.
//! So a worker waits for them instead.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// The callouts of one configuration.
#[derive(Debug)]
pub(crate) struct CalloutsInFlight {
    /// The thread that sends callouts.
    main: ThreadId,
    state: Mutex<State>,
    completed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// The longest timeout of any callout.
    longest: Duration,
    closed: bool,
}

/// Grace period after the timeout.
const SLACK: Duration = Duration::from_secs(1);

impl CalloutsInFlight {
    /// Must be called on the main thread.
    pub(crate) fn new() -> Self {
        let main = thread::current().id();
        Self { main, state: Mutex::default(), completed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if callouts may still be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.state().closed
    }

    /// A callout was sent.
    pub(crate) fn sent(&self, timeout: Duration) {
        let mut state = self.state();
        state.count = state.count.saturating_add(1);
        state.longest = state.longest.max(timeout);
    }

    /// A callout is complete and fully handled.
    pub(crate) fn done(&self) {
        let mut state = self.state();
        state.count = state.count.saturating_sub(1);
        drop(state);
        self.completed.notify_all();
    }

    /// Stops further callouts. On any thread but the main one, returns when all are
    /// complete. While Envoy exits the main thread may be blocked, so this waits no
    /// longer than the longest callout may take.
    pub(crate) fn settle(&self) {
        let mut state = self.state();
        state.closed = true;
        if thread::current().id() == self.main {
            return;
        }
        let longest = state.longest.saturating_add(SLACK);
        let waited = self.completed.wait_timeout_while(state, longest, |state| state.count > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_worker_waits_until_all_are_over() {
        let in_flight = Arc::new(CalloutsInFlight::new());
        in_flight.sent(Duration::from_secs(60));
        in_flight.sent(Duration::from_secs(60));
        let settled = Arc::new(AtomicBool::new(false));
        let (on_worker, told) = (Arc::clone(&in_flight), Arc::clone(&settled));
        let worker = thread::spawn(move || {
            on_worker.settle();
            told.store(true, Ordering::SeqCst);
        });
        while in_flight.is_open() {
            thread::yield_now();
        }
        in_flight.done();
        thread::sleep(Duration::from_millis(50));
        assert!(!settled.load(Ordering::SeqCst), "one is under way");
        in_flight.done();
        worker.join().unwrap();
    }

    #[test]
    fn the_main_thread_does_not_wait() {
        let in_flight = CalloutsInFlight::new();
        in_flight.sent(Duration::from_secs(60));
        in_flight.settle();
        assert!(!in_flight.is_open());
    }

    #[test]
    fn a_main_thread_that_stands_still_is_not_waited_for() {
        let in_flight = Arc::new(CalloutsInFlight::new());
        in_flight.sent(Duration::ZERO);
        let worker = thread::spawn(move || in_flight.settle());
        worker.join().unwrap();
    }
}
