//! A feed of entries: its schedule, and the strict parsing of replies.

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use serde_json::{Value, json};

use super::entry::{Entry, EntryError, Unknown};
use super::entry_index::Policy;
use crate::callout::{Callout, CalloutFailure, CalloutReply, Service};
use crate::http::percent_encode;
use crate::json::{self, JsonError, kind};
use crate::schedule::Schedule;
use crate::time::{Period, Span, UnixTime};

/// The source of entries: `feed` or `allowlist` in the configuration.
#[derive(Clone, Debug)]
pub struct FeedEndpoint {
    /// The service with the list.
    pub service: Rc<Service>,
    /// Its path.
    pub path: String,
    /// The polling interval.
    pub poll: Span,
    /// How long the list may be used while polling fails.
    pub max_stale: Span,
}

impl FeedEndpoint {
    /// Everything that determines what a reader gets: readers may share their progress only
    /// if this is equal.
    ///
    /// Each field is named here, so that a new one cannot be forgotten.
    pub(super) fn identity(&self) -> Value {
        let Self { service, path, poll: _, max_stale: _ } = self;
        json!({"service": service.identity(), "path": path})
    }
}

/// One page of a feed.
#[derive(Debug)]
pub(super) struct Page {
    pub cursor: String,
    pub entries: Vec<Entry>,
    /// True if another page is available.
    pub more: bool,
    /// A member of an entry that was ignored.
    pub ignored: Option<String>,
}

/// The progress of reading a feed, shared by the workers of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The cursor of the next page; empty at the start.
    pub cursor: Rc<str>,
    /// When the reply was requested with which the feed was last read to its end.
    pub fresh_at: Option<UnixTime>,
    /// True if it was read to its end at least once.
    pub is_loaded: bool,
}

impl Progress {
    /// Advances past a page that was requested at `sent`.
    pub(super) fn pass(&mut self, page: &Page, since: &str, policy: Policy, sent: UnixTime) {
        self.cursor = Rc::from(page.cursor.as_str());
        if !page.more {
            self.fresh_at = Some(sent);
            self.is_loaded = true;
        } else if since.is_empty() && policy == Policy::Replace {
            // The old list is gone, and this is only the start of the new one.
            self.fresh_at = None;
        }
    }
}

/// A feed and the reader's progress.
#[derive(Debug)]
pub(super) struct Feed {
    pub endpoint: FeedEndpoint,
    pub progress: Progress,
    pub schedule: Schedule,
    /// The last lease that this worker took: it need not wait for itself.
    pub lease: Option<Period>,
    /// The cursors since the end was last reached: a repeated one means a loop.
    passed: HashSet<Rc<str>>,
    /// True if it was restarted since then.
    has_restarted: bool,
}

/// The longest pause after failures.
const MAX_BACKOFF: Span = Span::from_secs(30);

/// How many pages may follow each other immediately.
const MAX_PAGES: usize = 10_000;

impl Feed {
    pub(super) fn new(endpoint: FeedEndpoint) -> Self {
        Self {
            endpoint,
            progress: Progress::default(),
            schedule: Schedule::default(),
            lease: None,
            passed: HashSet::new(),
            has_restarted: false,
        }
    }

    /// True if the list is fresh. A list that was read in the future, because the clock was
    /// set back, has an unknown age.
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        let at = self.progress.fresh_at.and_then(|at| at.as_seen(now));
        at.is_some_and(|at| now < at.plus(self.endpoint.max_stale))
    }

    /// True if a page with this cursor makes progress, rather than a loop.
    pub(super) fn goes_on(&self, cursor: &str) -> bool {
        *self.progress.cursor != *cursor
            && !self.passed.contains(cursor)
            && self.passed.len() < MAX_PAGES
    }

    /// True if a cursor is a smaller number than the previous one: a feed that was set up
    /// anew counts from its start, and its next entries would be missed.
    pub(super) fn is_behind(&self, cursor: &str) -> bool {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { text.parse::<u128>().ok() } else { None }
        };
        let both = number(cursor).zip(number(&self.progress.cursor));
        both.is_some_and(|(next, current)| next < current)
    }

    /// The request for the page after the cursor. No other one is due until its timeout.
    pub(super) fn request(&mut self, now: UnixTime) -> Callout {
        let Self { endpoint, progress: Progress { cursor, .. }, .. } = self;
        let mut path = endpoint.path.clone();
        if !cursor.is_empty() {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str("since=");
            path.push_str(&percent_encode(cursor.as_bytes()));
        }
        self.schedule.requested(endpoint.service.timeout, now);
        Callout::get(&endpoint.service, path)
    }

    /// Records a page that was applied.
    pub(super) fn advance(&mut self, progress: Progress, more: bool, now: UnixTime) {
        self.progress = progress;
        self.schedule.answered(Period::of(now, self.endpoint.poll));
        if more {
            self.passed.insert(Rc::clone(&self.progress.cursor));
            self.schedule.hurry();
        } else {
            self.passed.clear();
            self.has_restarted = false;
        }
    }

    /// Records a failure. A restart of the feed happens immediately, but not repeatedly.
    pub(super) fn fail(&mut self, error: &FeedError, jitter: u8, now: UnixTime) {
        self.passed.clear();
        if error.needs_restart() && !std::mem::replace(&mut self.has_restarted, true) {
            self.schedule.hurry();
        } else {
            self.schedule.failed(self.endpoint.poll.min(MAX_BACKOFF), jitter, now);
        }
    }
}

impl Page {
    /// Parses a reply. One malformed entry refuses the page: otherwise the tokens it
    /// revokes would stay valid. `since`: the requested cursor.
    pub(super) fn read(
        reply: &CalloutReply,
        since: &str,
        unknown: Unknown,
    ) -> Result<Self, FeedError> {
        let answer = match reply {
            CalloutReply::Answer(answer) => answer,
            CalloutReply::Failed(failure) => return Err(FeedError::NoAnswer(*failure)),
        };
        match answer.status {
            200 => {}
            status @ (400 | 410) if !since.is_empty() => return Err(FeedError::Gone(status)),
            status => return Err(FeedError::Status(status)),
        }
        let members = json::parse_object(&answer.body).map_err(FeedError::Json)?;
        let cursor = match members.get("cursor") {
            Some(Value::String(cursor)) if cursor.len() <= MAX_CURSOR_BYTES => cursor.clone(),
            _ => return Err(FeedError::NoCursor),
        };
        let more = match members.get("more") {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return Err(FeedError::More),
        };
        let (entries, ignored) =
            read_entries(members.get("entries"), unknown).map_err(FeedError::Entries)?;
        Ok(Self { cursor, entries, more, ignored })
    }
}

const MAX_CURSOR_BYTES: usize = 512;

/// Parses the list `entries` of a page or a request; also returns the name of an ignored
/// member, if any.
pub(super) fn read_entries(
    entries: Option<&Value>,
    unknown: Unknown,
) -> Result<(Vec<Entry>, Option<String>), EntriesError> {
    let entries = match entries {
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(EntriesError::NoList(kind(other))),
        None => return Err(EntriesError::NoList("nothing")),
    };
    let mut ignored = None;
    let read = |(position, entry)| {
        let (entry, unknown) = Entry::read_with(entry, unknown)
            .map_err(|error| EntriesError::Entry { position, error })?;
        ignored = ignored.take().or(unknown);
        Ok(entry)
    };
    let entries = entries.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok((entries, ignored))
}

/// Why a text contains no entries.
#[derive(Debug)]
pub enum EntriesError {
    /// It is not an acceptable JSON object.
    Json(JsonError),
    /// It has a member besides `entries`.
    Unknown(String),
    /// Its `entries` is not a list.
    NoList(&'static str),
    /// One of them is not an entry.
    Entry {
        /// Its position, from 0.
        position: usize,
        /// The reason.
        error: EntryError,
    },
}

impl fmt::Display for EntriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::Unknown(name) => write!(f, "the member {name:?} is not known"),
            Self::NoList(found) => write!(f, "\"entries\" is {found}, not a list"),
            Self::Entry { position, error } => write!(f, "entries[{position}]: {error}"),
        }
    }
}

/// Why a poll failed.
#[derive(Debug)]
pub enum FeedError {
    /// No reply.
    NoAnswer(CalloutFailure),
    /// A status other than 200.
    Status(u16),
    /// A status that means that the feed no longer knows the cursor.
    Gone(u16),
    /// The cursor is a smaller number than before.
    SetBack,
    /// More pages are announced, but the cursor is one that came before: they would repeat.
    Circle,
    /// Not an acceptable JSON object.
    Json(JsonError),
    /// `cursor` is not a string of up to 512 bytes.
    NoCursor,
    /// `more` is not a boolean.
    More,
    /// `entries` is malformed.
    Entries(EntriesError),
    /// No room for them: `revocation.max_entries`.
    Full,
    /// They could not be shared with the other workers.
    NotShared,
}

impl FeedError {
    /// True if the feed must be read from its start.
    pub(super) const fn needs_restart(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::SetBack)
    }
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Gone(status) => {
                write!(f, "status {status} to an old cursor: the feed is read from its start")
            }
            Self::SetBack => {
                f.write_str("\"cursor\" is less than before: the feed is read from its start")
            }
            Self::Circle => f.write_str("\"more\" with a \"cursor\" that repeats an earlier one"),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::NoCursor => {
                write!(f, "\"cursor\" is not a string of up to {MAX_CURSOR_BYTES} bytes")
            }
            Self::More => f.write_str("\"more\" is neither true nor false"),
            Self::Entries(error) => error.fmt(f),
            Self::Full => f.write_str("more entries than revocation.max_entries"),
            Self::NotShared => {
                f.write_str("the entries could not be shared with the other workers")
            }
        }
    }
}
