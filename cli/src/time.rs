//! Times as people write them.

use chrono::DateTime;
use gatepass::time::UnixTime;

use crate::failure::Failure;

/// A moment: RFC 3339 or seconds since 1970.
pub fn moment(text: &str) -> Result<UnixTime, Failure> {
    let seconds = text.parse().ok().map(UnixTime::from_secs);
    let date = || DateTime::parse_from_rfc3339(text).ok();
    seconds.or_else(|| date().map(|date| UnixTime::from_secs(date.timestamp()))).ok_or_else(|| {
        Failure::Argument {
            name: "--at",
            found: text.to_owned(),
            accepted: "a time such as 2026-01-31T12:00:00Z, or seconds since 1970",
        }
    })
}

/// A moment in RFC 3339.
pub fn date(time: UnixTime) -> String {
    let date = DateTime::from_timestamp(time.as_secs(), 0);
    date.map_or_else(|| time.to_string(), |date| date.format("%FT%TZ").to_string())
}
