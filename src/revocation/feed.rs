//! A feed of entries: when to ask for more, and the strict reading of a reply.

use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use super::entry::{Entry, EntryError};
use crate::callout::{Callout, CalloutFailure, CalloutReply, Service};
use crate::http::percent_encode;
use crate::json::{self, JsonError, kind};
use crate::time::{Span, UnixTime};

/// Where entries come from: `feed` or `allowlist` in the configuration.
#[derive(Clone, Debug)]
pub struct FeedEndpoint {
    /// The service that has the list.
    pub service: Rc<Service>,
    /// Its path.
    pub path: String,
    /// How often to ask.
    pub poll: Span,
    /// How long the list serves while asking fails.
    pub max_stale: Span,
}

/// One page of a feed.
#[derive(Debug)]
pub(super) struct Page {
    pub cursor: String,
    pub entries: Vec<Entry>,
    /// Whether there is another page already.
    pub more: bool,
}

/// A feed and how far it was read.
#[derive(Debug)]
pub(super) struct Feed {
    pub endpoint: FeedEndpoint,
    pub cursor: String,
    /// When it was last read to its end.
    pub fresh_at: Option<UnixTime>,
    /// When to ask next.
    pub due: UnixTime,
    failures: u32,
}

/// The first wait after a failure; it doubles, up to the time between polls or
/// half a minute.
const MIN_BACKOFF: Span = Span::from_millis(1000);
const MAX_BACKOFF: Span = Span::from_secs(30);

impl Feed {
    pub(super) const fn new(endpoint: FeedEndpoint) -> Self {
        const NOW: UnixTime = UnixTime::from_millis(i64::MIN);
        Self { endpoint, cursor: String::new(), fresh_at: None, due: NOW, failures: 0 }
    }

    /// Whether the list may be relied on.
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        self.fresh_at.is_some_and(|at| now < at.plus(self.endpoint.max_stale))
    }

    /// Whether the latest request failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// The request for what comes after the cursor. None is due for as long as
    /// the service may take to answer.
    pub(super) fn ask(&mut self, now: UnixTime) -> Callout {
        let Self { endpoint, cursor, .. } = self;
        let mut path = endpoint.path.clone();
        if !cursor.is_empty() {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str("since=");
            path.push_str(&percent_encode(cursor.as_bytes()));
        }
        self.due = now.plus(endpoint.service.timeout).plus(MIN_BACKOFF);
        Callout::get(&endpoint.service, path)
    }

    /// Notes a page that was taken in.
    pub(super) fn advance(&mut self, cursor: String, more: bool, now: UnixTime) {
        self.failures = 0;
        self.cursor = cursor;
        self.due = if more { now } else { now.plus(self.endpoint.poll) };
        if !more {
            self.fresh_at = Some(now);
        }
    }

    /// Notes a failure.
    pub(super) fn fail(&mut self, now: UnixTime) {
        let longest = self.endpoint.poll.max(MIN_BACKOFF).min(MAX_BACKOFF);
        let doubled = 1000_u32.saturating_mul(1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        self.due = now.plus(Span::from_millis(doubled).min(longest));
    }
}

impl Page {
    /// Reads a reply. One entry that cannot be read refuses the page: what it
    /// revokes would stay valid.
    pub(super) fn read(reply: &CalloutReply) -> Result<Self, FeedError> {
        let answer = match reply {
            CalloutReply::Answer(answer) if answer.status == 200 => answer,
            CalloutReply::Answer(answer) => return Err(FeedError::Status(answer.status)),
            CalloutReply::Failed(failure) => return Err(FeedError::NoAnswer(*failure)),
        };
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
        let entries = read_entries(members.get("entries")).map_err(FeedError::Entries)?;
        Ok(Self { cursor, entries, more })
    }
}

const MAX_CURSOR_BYTES: usize = 512;

/// The list `entries`, in a feed's page or in a request.
pub(super) fn read_entries(entries: Option<&Value>) -> Result<Vec<Entry>, EntriesError> {
    let entries = match entries {
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(EntriesError::NoList(kind(other))),
        None => return Err(EntriesError::NoList("nothing")),
    };
    let read = |(position, entry)| {
        Entry::read(entry).map_err(|error| EntriesError::Entry { position, error })
    };
    entries.iter().enumerate().map(read).collect()
}

/// Why something holds no entries.
#[derive(Debug)]
pub enum EntriesError {
    /// It is no acceptable JSON object.
    Json(JsonError),
    /// It has a member beside `entries`.
    Unknown(String),
    /// Its `entries` is no list.
    NoList(&'static str),
    /// One of them is no entry.
    Entry {
        /// Which, from 0.
        position: usize,
        /// Why.
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

/// Why a feed brought nothing.
#[derive(Debug)]
pub enum FeedError {
    /// No reply.
    NoAnswer(CalloutFailure),
    /// A status other than 200.
    Status(u16),
    /// Not an acceptable JSON object.
    Json(JsonError),
    /// `cursor` is no string of up to 512 bytes.
    NoCursor,
    /// `more` is no boolean.
    More,
    /// `entries` cannot be read.
    Entries(EntriesError),
    /// There is no room for them: `revocation.max_entries`.
    Full,
    /// The other workers could not be told.
    NotShared,
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::NoCursor => {
                write!(f, "\"cursor\" is no string of up to {MAX_CURSOR_BYTES} bytes")
            }
            Self::More => f.write_str("\"more\" is neither true nor false"),
            Self::Entries(error) => error.fmt(f),
            Self::Full => f.write_str("more entries than revocation.max_entries"),
            Self::NotShared => f.write_str("the other workers could not be told"),
        }
    }
}
