//! How long something took.

use std::time::Instant;

/// Started when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the doors are where the clock is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The microseconds since then.
    #[must_use]
    pub fn micros(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
