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

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_says_how_many_microseconds_have_passed() {
        let watch = Stopwatch::start();
        thread::sleep(Duration::from_millis(20));
        // Milliseconds would be fewer, and nanoseconds more.
        let micros = watch.micros();
        assert!((20_000..10_000_000).contains(&micros), "{micros}");
    }
}
