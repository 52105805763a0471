//! When to query a service again: when its answer expires, or after a pause that grows
//! while it fails.

use crate::time::{Period, Span, UnixTime};

/// The time of the next fetch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    /// Until when to wait; none at the start, and when a fetch is due.
    pause: Option<Period>,
    failures: u32,
    /// True while a request is in flight.
    is_in_flight: bool,
}

/// The first pause after a failure; it doubles with each.
const MIN_BACKOFF_MS: u32 = 1000;

/// Grace period after a service's timeout before it is queried again: the host may report
/// the timeout a little late.
const GRACE: Span = Span::from_secs(1);

impl Schedule {
    /// True if a request is due. A pause that starts in the future, because the clock was
    /// set back, is ignored.
    pub(crate) fn is_due(&self, now: UnixTime) -> bool {
        self.pause.is_none_or(|pause| !pause.contains(now))
    }

    /// True if the latest attempt failed.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// How long a request that is sent now may be in flight.
    pub(crate) const fn attempt(timeout: Span, now: UnixTime) -> Period {
        Period::new(now, now.plus(timeout).plus(GRACE))
    }

    /// Records that a request was sent, with this timeout.
    pub(crate) const fn requested(&mut self, timeout: Span, now: UnixTime) {
        self.is_in_flight = true;
        self.pause = Some(Self::attempt(timeout, now));
    }

    /// Records an answer that is current for this period.
    pub(crate) const fn answered(&mut self, serves: Period) {
        *self = Self { pause: Some(serves), failures: 0, is_in_flight: false };
    }

    /// Makes the next request due at once.
    pub(crate) const fn hurry(&mut self) {
        self.pause = None;
    }

    /// Records a failure and backs off: 1, 2, 4, ... s, at most `longest`, minus up to a
    /// tenth by `jitter` (0 to 255), which differs between workers. Of concurrent requests
    /// only the first failure counts.
    pub(crate) fn failed(&mut self, longest: Span, jitter: u8, now: UnixTime) {
        if !std::mem::take(&mut self.is_in_flight) && !self.is_due(now) {
            return;
        }
        let doubled = MIN_BACKOFF_MS.saturating_mul(1 << self.failures.min(5));
        let longest = longest.max(Span::from_millis(MIN_BACKOFF_MS));
        self.failures = self.failures.saturating_add(1);
        let pause = shortened(Span::from_millis(doubled).min(longest), jitter);
        self.pause = Some(Period::of(now, pause));
    }
}

/// `span` minus up to a tenth of it, so that workers do not query in step.
pub(crate) fn shortened(span: Span, jitter: u8) -> Span {
    let tenth = span.as_millis().div_euclid(10);
    let off = tenth.saturating_mul(i64::from(jitter)).div_euclid(255);
    let rest = span.as_millis().saturating_sub(off);
    Span::from_millis(u32::try_from(rest).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> UnixTime {
        UnixTime::from_millis(1_800_000_000_000_i64.saturating_add(millis))
    }

    /// When the schedule is due, in milliseconds after `from`.
    fn due_after(schedule: &Schedule, from: i64) -> i64 {
        (0..100_000).find(|wait| schedule.is_due(at(from.saturating_add(*wait)))).unwrap()
    }

    #[test]
    fn pauses_grow_and_differ_between_workers() {
        const LONGEST: Span = Span::from_secs(5);
        for (jitter, expected) in
            [(0, [1000, 2000, 4000, 5000, 5000]), (255, [900, 1800, 3600, 4500, 4500])]
        {
            let mut schedule = Schedule::default();
            assert!(schedule.is_due(at(0)), "at the start");
            for pause in expected {
                schedule.requested(Span::from_secs(1), at(0));
                schedule.failed(LONGEST, jitter, at(0));
                assert_eq!(due_after(&schedule, 0), pause, "{jitter}");
            }
            assert!(schedule.is_failing());
            schedule.answered(Period::of(at(0), Span::from_secs(10)));
            assert!(!schedule.is_failing());
            assert_eq!(due_after(&schedule, 0), 10_000);
        }
    }

    #[test]
    fn failures_of_requests_side_by_side_count_once() {
        let mut schedule = Schedule::default();
        for _ in 0..100 {
            schedule.requested(Span::from_secs(1), at(0));
        }
        for _ in 0..100 {
            schedule.failed(Span::from_secs(30), 0, at(0));
        }
        assert_eq!(due_after(&schedule, 0), 1000);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_everything_due() {
        const HOUR: i64 = 3_600_000;
        let mut schedule = Schedule::default();
        schedule.requested(Span::from_secs(1), at(0));
        assert!(!schedule.is_due(at(1999)) && schedule.is_due(at(2000)), "asked");
        assert!(schedule.is_due(at(-HOUR)), "asked");
        schedule.answered(Period::of(at(0), Span::from_secs(600)));
        assert!(schedule.is_due(at(-HOUR)), "answered");
        schedule.failed(Span::from_secs(30), 0, at(0));
        assert!(schedule.is_due(at(-HOUR)), "failed");
        schedule.answered(Period::of(at(0), Span::from_secs(600)));
        schedule.hurry();
        assert!(schedule.is_due(at(1)));
    }
}
