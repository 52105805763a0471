//! A thread that calls periodically, since Envoy offers filters no timer.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Calls periodically until it is dropped.
#[derive(Debug)]
pub(crate) struct Timer {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Timer {
    /// Calls `call` now, and again each time after as long as it returns, on a thread of
    /// its own.
    ///
    /// # Errors
    ///
    /// The system cannot create the thread.
    pub(crate) fn start(call: impl Fn() -> Duration + Send + 'static) -> std::io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopping = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("gatepass".to_owned())
            .spawn(move || while !stopping.within(call()) {})?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Stop {
    /// Waits this long; true if it was stopped.
    fn within(&self, period: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, period, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Timer {
    /// Returns only after the thread has ended: what it calls may be gone afterwards.
    fn drop(&mut self) {
        *self.stop.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been logged.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn calls_until_it_is_dropped_and_not_after() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let timer = Timer::start(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Duration::from_millis(1)
        });
        while calls.load(Ordering::Relaxed) < 3 {
            thread::yield_now();
        }
        drop(timer);
        let after = calls.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(calls.load(Ordering::Relaxed), after);
        // The thread's own reference is gone.
        assert_eq!(Arc::strong_count(&calls), 1);
    }

    #[test]
    fn is_stopped_at_once() {
        let timer = Timer::start(|| Duration::from_secs(3600));
        drop(timer);
    }
}
