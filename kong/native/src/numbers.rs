//! The enumerations of `gatepass.h`.

use gatepass::callout::CalloutFailure;
use gatepass::metrics;
use gatepass::pipeline::AnnouncementOutcome;

/// `GATEPASS_ACTION_...`
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum ActionKind {
    None = 0,
    Send = 1,
    Suspend = 2,
    ReadBody = 3,
    Forward = 4,
    Reply = 5,
}

/// `GATEPASS_METRIC_...`
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum MetricKind {
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
}

impl MetricKind {
    pub const fn of(kind: metrics::Kind) -> Self {
        match kind {
            metrics::Kind::Counter => Self::Counter,
            metrics::Kind::Gauge => Self::Gauge,
            metrics::Kind::Histogram => Self::Histogram,
        }
    }
}

/// `GATEPASS_ANNOUNCEMENT_...`
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    Foreign = 0,
    Applied = 1,
    Failed = 2,
}

impl Announcement {
    pub const fn of(outcome: AnnouncementOutcome) -> Self {
        match outcome {
            AnnouncementOutcome::Foreign => Self::Foreign,
            AnnouncementOutcome::Applied => Self::Applied,
            AnnouncementOutcome::Failed => Self::Failed,
        }
    }
}

/// `GATEPASS_FAILURE_...`; a number that is none of these counts as no reply.
pub const fn failure(number: u32, max_reply_bytes: usize) -> CalloutFailure {
    match number {
        1 => CalloutFailure::NotSent,
        3 => CalloutFailure::Broken,
        4 => CalloutFailure::TooLarge { limit: max_reply_bytes },
        _ => CalloutFailure::NoReply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The enumerators of `gatepass.h` whose names begin so, with their numbers, in order.
    fn declared(prefix: &str) -> Vec<String> {
        let header = include_str!("../gatepass.h");
        let lines = header.lines().filter_map(|line| line.trim().strip_prefix(prefix));
        lines
            .filter_map(|line| line.trim_end_matches(',').split_once(" = "))
            .map(|(name, number)| format!("{} {number}", name.replace('_', "").to_lowercase()))
            .collect()
    }

    /// The same of a variant.
    macro_rules! named {
        ($($value:expr),*) => { vec![$(format!("{:?} {}", $value, $value as u32).to_lowercase()),*] };
    }

    #[test]
    fn the_header_declares_these_numbers() {
        use ActionKind::{Forward, ReadBody, Reply, Send, Suspend};
        use MetricKind::{Counter, Gauge, Histogram};
        assert_eq!(declared("GATEPASS_ACTION_"), named![Send, Suspend, ReadBody, Forward, Reply]);
        assert_eq!(declared("GATEPASS_METRIC_"), named![Counter, Gauge, Histogram]);
        use Announcement::{Applied, Failed, Foreign};
        assert_eq!(declared("GATEPASS_ANNOUNCEMENT_"), named![Foreign, Applied, Failed]);
        let failures = [1, 2, 3, 4].map(|number| {
            let name = match failure(number, 7) {
                CalloutFailure::NotSent => "notsent",
                CalloutFailure::NoReply => "noreply",
                CalloutFailure::Broken => "broken",
                CalloutFailure::TooLarge { limit: 7 } => "toolarge",
                other => panic!("{other:?}"),
            };
            format!("{name} {number}")
        });
        assert_eq!(declared("GATEPASS_FAILURE_"), failures);
    }
}
