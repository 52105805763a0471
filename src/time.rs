//! Points in time and spans, as numbers.
//!
//! There is no `now()` here: the host supplies the time, and each function takes it as
//! an argument.

use std::fmt;

use crate::json;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// All arithmetic saturates, so no claim, however far away, can overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

/// A span of time, in milliseconds; never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

/// The largest NumericDate accepted, 2^53 seconds in milliseconds: beyond it many
/// services no longer read the number exactly.
const MAX_NUMERIC_DATE: i64 = 9_007_199_254_740_992_000;

impl UnixTime {
    /// The moment `seconds` after the epoch.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The moment `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A NumericDate (RFC 7519 section 2): seconds, possibly with a fraction, as the text of
    /// a JSON number.
    ///
    /// `None` for a number beyond ±2^53: the caller must treat that as a
    /// malformed claim, never as an absent one.
    pub fn from_numeric_date(seconds: &str) -> Option<Self> {
        let millis = json::thousandfold(seconds)?;
        (-MAX_NUMERIC_DATE..=MAX_NUMERIC_DATE).contains(&millis).then_some(Self(millis))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment plus `span`.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// This moment minus `span`.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// A recorded time, maybe of another worker, as seen `now`: `None` for one in the
    /// future, since its age is unknown after the clock was set back. Workers read their
    /// clocks at slightly different times, so up to one second ahead counts as now.
    // RFC 7519 section 4.1.4 (R75)
    pub fn as_seen(self, now: Self) -> Option<Self> {
        const AHEAD: Span = Span::from_secs(1);
        (self <= now.plus(AHEAD)).then(|| self.min(now))
    }

    /// How long after `earlier` this moment is; zero when it is not after it,
    /// as happens when a clock is set back.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        let span = self.0.saturating_sub(earlier.0);
        Span(if span < 0 { 0 } else { span })
    }
}

impl fmt::Display for UnixTime {
    /// Seconds since the epoch, as a NumericDate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_secs())
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `seconds`.
    pub const fn from_secs(seconds: u32) -> Self {
        Self((seconds as i64).saturating_mul(1000))
    }

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis as i64)
    }

    /// The span in milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The span in whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// A moment at which something ends, or none; as small as a [`UnixTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(UnixTime);

impl Deadline {
    /// No clock gets there.
    const NEVER: UnixTime = UnixTime(i64::MAX);

    /// The moment, if there is one.
    pub fn get(self) -> Option<UnixTime> {
        (self.0 != Self::NEVER).then_some(self.0)
    }
}

impl From<Option<UnixTime>> for Deadline {
    fn from(end: Option<UnixTime>) -> Self {
        Self(end.unwrap_or(Self::NEVER))
    }
}

/// A period in which something holds, from its start until before its end.
///
/// Every cached value, pause, lease and timeout is one of these, and none is only an end:
/// if the clock were set back, an end alone would move into the future by as much. A
/// period that starts in the future contains nothing: its real age is unknown, so the
/// value is fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    from: UnixTime,
    until: UnixTime,
}

impl Period {
    /// From `from` until before `until`.
    pub const fn new(from: UnixTime, until: UnixTime) -> Self {
        Self { from, until }
    }

    /// A period of this length, starting at `from`.
    pub const fn of(from: UnixTime, length: Span) -> Self {
        Self::new(from, from.plus(length))
    }

    /// Its start.
    pub const fn from(self) -> UnixTime {
        self.from
    }

    /// Its end, which is not part of it.
    pub const fn until(self) -> UnixTime {
        self.until
    }

    /// Whether `now` is in it.
    pub fn contains(self, now: UnixTime) -> bool {
        self.from <= now && now < self.until
    }

    /// True if `now` is in it, where another worker may have recorded the start: see
    /// [`UnixTime::as_seen`].
    pub fn contains_as_seen(self, now: UnixTime) -> bool {
        self.from.as_seen(now).is_some() && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_holds_neither_before_its_start_nor_at_its_end() {
        let at = UnixTime::from_secs;
        let period = Period::of(at(100), Span::from_secs(10));
        for (case, now, expected) in [
            ("at the start", at(100), true),
            ("just before the end", UnixTime::from_millis(109_999), true),
            ("at the end", at(110), false),
            ("the clock was set back", UnixTime::from_millis(99_999), false),
        ] {
            assert_eq!(period.contains(now), expected, "{case}");
        }
    }

    #[test]
    fn a_deadline_is_a_moment_or_none() {
        for end in [None, Some(UnixTime::from_millis(MAX_NUMERIC_DATE)), Some(UnixTime(0))] {
            assert_eq!(Deadline::from(end).get(), end);
        }
        assert_eq!(size_of::<Deadline>(), size_of::<UnixTime>());
    }

    #[test]
    fn workers_read_their_clocks_at_different_moments() {
        let now = UnixTime::from_secs(100);
        for (case, seen, expected) in [
            ("earlier", UnixTime::from_secs(7), Some(UnixTime::from_secs(7))),
            ("a moment ahead", UnixTime::from_millis(100_900), Some(now)),
            ("from the future", UnixTime::from_millis(101_001), None),
        ] {
            assert_eq!(seen.as_seen(now), expected, "{case}");
        }
    }

    #[test]
    fn numeric_dates() {
        for (case, seconds, expected) in [
            ("whole", "1700000000", Some(1_700_000_000_000)),
            ("whole, with an exponent", "1.7e9", Some(1_700_000_000_000)),
            ("fraction", "1700000000.5", Some(1_700_000_000_500)),
            ("a fraction that no double has", "1700000000.001", Some(1_700_000_000_001)),
            ("negative", "-1.0", Some(-1000)),
            ("largest", "9007199254740992", Some(9_007_199_254_740_992_000)),
            ("beyond", "9007199254740992.001", None),
            ("beyond all", "1e300", None),
        ] {
            let got = UnixTime::from_numeric_date(seconds).map(UnixTime::as_millis);
            assert_eq!(got, expected, "{case}");
        }
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let latest = UnixTime::from_millis(i64::MAX);
        let earliest = UnixTime::from_millis(i64::MIN);
        assert_eq!(latest.plus(Span::from_secs(1)), latest);
        assert_eq!(earliest.minus(Span::from_secs(1)), earliest);
        assert_eq!(latest.since(earliest), Span(i64::MAX));
        assert_eq!(earliest.since(latest), Span::ZERO, "a clock set back gives no span");
        assert_eq!(UnixTime::from_secs(i64::MIN).as_millis(), i64::MIN);
    }
}
