//! One list: its entries, their feed, and the state shared with other workers.

use std::rc::Rc;

use serde_json::Value;

use super::change::{Change, Effect, Source};
use super::change_log::Tail;
use super::entry::{Entry, Unknown};
use super::entry_index::{EntryIndex, Policy};
use super::feed::{Feed, FeedEndpoint, FeedError, Page};
use super::shared_list::{FeedState, SharedList, State};
use crate::callout::{Callout, CalloutReply};
use crate::denial::Denial;
use crate::json::Document;
use crate::schedule::Schedule;
use crate::shared_data::SharedStore;
use crate::time::{Period, Span, UnixTime};
use crate::token::Verified;

/// Entries against which tokens are checked.
#[derive(Debug)]
pub(super) struct List {
    index: EntryIndex,
    feed: Option<Feed>,
    shared: SharedList,
    /// Beyond this number no more are added here. Those of gateways that share the list, and
    /// have room for more, count nevertheless.
    max_entries: usize,
    /// Another worker added entries that cannot be read here.
    is_unread: bool,
}

/// Why entries were not added; none of them was.
#[derive(Debug)]
pub(super) enum UpdateError {
    /// No room for more entries than this.
    Full(usize),
    /// Entries could not be shared with the other workers.
    NotShared,
    /// The data that workers share has no room for them.
    NoRoom,
}

/// A reply of a feed, with its request.
#[derive(Clone, Copy)]
pub(super) struct FeedReply<'a> {
    pub reply: &'a CalloutReply,
    /// The requested cursor.
    pub since: &'a str,
    pub sent: UnixTime,
}

/// Entries to be added, all or none.
struct Batch<'a> {
    entries: &'a [Entry],
    source: Source,
    /// They are the feed's contents from its start.
    from_start: bool,
}

/// How much of a shared list must be of no use any more before it is written anew.
#[derive(Clone, Copy)]
enum Waste {
    Any,
    Half,
}

/// The number of attempts to write before an error.
const MAX_TRIES: u8 = 100;

/// A shared list is rewritten if it has this many lines more than twice its entries.
const SLACK_LINES: usize = 1000;

impl List {
    /// The list of this `identity`.
    pub(super) fn new(
        identity: &Value,
        policy: Policy,
        feed: Option<FeedEndpoint>,
        max_entries: usize,
        skew: Span,
    ) -> Self {
        let source = feed.as_ref().map(FeedEndpoint::identity);
        Self {
            index: EntryIndex::new(policy, max_entries, skew),
            feed: feed.map(Feed::new),
            shared: SharedList::new(identity, source.as_ref()),
            max_entries,
            is_unread: false,
        }
    }

    /// Prepares the list in a store that workers share.
    pub(super) fn share(&self, store: &dyn SharedStore) {
        self.shared.prepare(store);
    }

    /// True if an entry applies to this token with these `claims`.
    pub(super) fn matches(&self, token: &Verified, claims: &Document, now: UnixTime) -> bool {
        self.index.matches(token, claims, now)
    }

    /// Changes whenever an entry was added or withdrawn.
    pub(super) const fn generation(&self) -> u64 {
        self.index.generation()
    }

    /// Whether it has no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it is read from a feed.
    pub(super) const fn has_feed(&self) -> bool {
        self.feed.is_some()
    }

    /// When its feed was read to its end.
    pub(super) fn fresh_at(&self) -> Option<UnixTime> {
        self.feed.as_ref()?.progress.fresh_at
    }

    /// True if nothing was ever read: no entry, and the feed not to its end.
    pub(super) fn is_unknown(&self) -> bool {
        self.index.len() == 0 && self.feed.as_ref().is_none_or(|it| !it.progress.is_loaded)
    }

    /// True if the list is complete and fresh.
    pub(super) fn is_complete(&self, now: UnixTime) -> bool {
        !self.is_unread && self.feed.as_ref().is_none_or(|feed| feed.is_fresh(now))
    }

    /// The cursor of the feed's next request.
    pub(super) fn cursor(&self) -> Rc<str> {
        self.feed.as_ref().map(|feed| Rc::clone(&feed.progress.cursor)).unwrap_or_default()
    }

    /// Adds what other workers have added. Costs one small read if that is nothing.
    pub(super) fn catch_up(&mut self, store: &dyn SharedStore, now: UnixTime) {
        let Some(state) = self.shared.changed_state(store) else { return };
        if self.shared.is_behind(&state) {
            if self.shared.is_set_back(&state) {
                self.shared.log.note_loss();
            }
            if self.read_delta(store, now).is_none() {
                self.shared.forget_state();
                // Nothing was ever added: the list could not be created at the start.
                if state.generation == 0 {
                    self.shared.prepare(store);
                } else {
                    self.is_unread = true;
                }
                return;
            }
            self.is_unread = false;
            self.shared.caught_up(state.generation);
        }
        if let Some(feed) = &mut self.feed {
            let FeedState { progress, .. } = self.shared.feed_state(&state);
            let seen = |at: Option<UnixTime>| at.and_then(|at| at.as_seen(now));
            let (theirs, own) = (seen(progress.fresh_at), seen(feed.progress.fresh_at));
            if let Some(at) = theirs.filter(|_| theirs > own) {
                feed.schedule.answered(Period::of(at, feed.endpoint.poll));
            }
            feed.progress = progress;
        }
    }

    /// Periodic work: polls the feed, if no other worker does.
    pub(super) fn poll(
        &mut self,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Option<Callout> {
        if let Some(store) = store {
            self.catch_up(store, now);
            self.shared.log.keep(store);
        }
        let feed = self.feed.as_mut().filter(|feed| feed.schedule.is_due(now))?;
        if let Some(store) = store {
            let lease = Schedule::attempt(feed.endpoint.service.timeout, now);
            // If the state cannot be read, each worker polls for itself.
            let is_free = |_: &mut State, feed_state: &mut FeedState| {
                let of_another = feed_state.lease.filter(|lease| Some(*lease) != feed.lease);
                feed_state.lease = Some(lease);
                !of_another.is_some_and(|lease| lease.contains_as_seen(now))
            };
            if self.shared.is_readable(store) && !self.shared.update(store, is_free) {
                return None;
            }
            feed.lease = Some(lease);
        }
        Some(feed.request(now))
    }

    /// Polls the feed for a request that cannot be decided without it. While the service
    /// fails, its backoff is respected.
    pub(super) fn poll_now(&mut self, now: UnixTime) -> Option<Callout> {
        let feed = self.feed.as_mut()?;
        (!feed.schedule.is_failing() || feed.schedule.is_due(now)).then(|| feed.request(now))
    }

    /// Processes a reply of the feed; returns the name of an ignored member, if any. A
    /// reply to a cursor beyond which the feed has been read meanwhile is late, and
    /// contains nothing new.
    pub(super) fn settle(
        &mut self,
        page: FeedReply<'_>,
        store: Option<&dyn SharedStore>,
        jitter: u8,
        now: UnixTime,
    ) -> Result<Option<String>, FeedError> {
        if let Some(store) = store {
            self.catch_up(store, now);
        }
        if *self.cursor() != *page.since {
            return Ok(None);
        }
        let taken = self.take_page(page, store, now);
        if let (Err(error), Some(feed)) = (&taken, &mut self.feed) {
            feed.fail(error, jitter, now);
        }
        taken
    }

    fn take_page(
        &mut self,
        FeedReply { reply, since, sent }: FeedReply<'_>,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<Option<String>, FeedError> {
        let unknown = match self.index.policy() {
            Policy::Add => Unknown::UnlessTheyRestrict,
            Policy::Replace => Unknown::NotesOnly,
        };
        let page = match Page::read(reply, since, unknown) {
            Err(error) if error.needs_restart() => return self.start_over(since, store, error),
            page => page?,
        };
        let Some(feed) = &self.feed else { return Ok(None) };
        // The entries of such a page are added, but its cursor is not used.
        let problem = match (feed.is_behind(&page.cursor), feed.goes_on(&page.cursor)) {
            (true, _) => Some(FeedError::SetBack),
            (_, false) if page.more => Some(FeedError::Circle),
            _ => None,
        };
        let mut progress = feed.progress.clone();
        if problem.is_none() {
            progress.pass(&page, since, self.index.policy(), sent.min(now));
        }
        let next = progress.clone();
        let note = |feed_state: &mut FeedState| {
            let is_late = *feed_state.progress.cursor != *since;
            *feed_state = FeedState { progress: next.clone(), lease: None };
            !is_late
        };
        let from_start = since.is_empty();
        let batch = Batch { entries: &page.entries, source: Source::Feed, from_start };
        if let Err(error) = self.extend(&batch, store, now, note) {
            // Another worker may have been slightly faster.
            store.into_iter().for_each(|store| self.catch_up(store, now));
            let is_late = *self.cursor() != *since;
            return if is_late { Ok(None) } else { Err(error.into()) };
        }
        match problem {
            Some(error) if error.needs_restart() => return self.start_over(since, store, error),
            Some(error) => return Err(error),
            None => {}
        }
        if let Some(feed) = &mut self.feed {
            feed.advance(progress, page.more, now);
        }
        Ok(page.ignored)
    }

    /// Makes every worker read the feed from its start, unless the cursor has moved.
    fn start_over<T>(
        &mut self,
        since: &str,
        store: Option<&dyn SharedStore>,
        error: FeedError,
    ) -> Result<T, FeedError> {
        if let Some(store) = store {
            let _ = self.shared.update(store, |_, feed_state| {
                let is_there = *feed_state.progress.cursor == *since;
                feed_state.progress.cursor = Rc::default();
                feed_state.lease = None;
                is_there
            });
        }
        if let Some(feed) = &mut self.feed {
            feed.progress.cursor = Rc::default();
        }
        Err(error)
    }

    /// Adds entries that were sent to this proxy, all or none, for every worker. Returns
    /// their effect.
    pub(super) fn submit(
        &mut self,
        entries: &[Entry],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<Vec<Change>, UpdateError> {
        let batch = Batch { entries, source: Source::Here, from_start: false };
        self.extend(&batch, store, now, |_| true)
    }

    /// Applies entries. `note` updates the feed's state with them, and returns false to
    /// refuse.
    fn extend(
        &mut self,
        batch: &Batch<'_>,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
        note: impl Fn(&mut FeedState) -> bool,
    ) -> Result<Vec<Change>, UpdateError> {
        let Some(store) = store else {
            let changes = self.changes(batch, now)?;
            if self.replaces(batch) {
                self.index.clear();
            }
            for change in &changes {
                self.index.apply(change.clone(), now);
            }
            return Ok(changes);
        };
        let changes = self.publish(batch, store, now)?;
        let update = |state: &mut State, feed_state: &mut FeedState| {
            if !batch.entries.is_empty() || self.replaces(batch) {
                state.generation = state.generation.wrapping_add(1);
            }
            note(feed_state)
        };
        if self.shared.update(store, update) { Ok(changes) } else { Err(UpdateError::NotShared) }
    }

    /// True if the batch replaces the list: an allowlist that is read from its start
    /// contains nothing else.
    fn replaces(&self, batch: &Batch<'_>) -> bool {
        batch.from_start && self.index.policy() == Policy::Replace
    }

    /// Writes entries to the shared list, of which everything must be known, and applies
    /// them.
    fn publish(
        &mut self,
        batch: &Batch<'_>,
        store: &dyn SharedStore,
        now: UnixTime,
    ) -> Result<Vec<Change>, UpdateError> {
        let replaces = self.replaces(batch);
        let mut has_made_room = false;
        for _ in 0..MAX_TRIES {
            let tail = self.read_delta(store, now).ok_or(UpdateError::NotShared)?;
            let version = tail.version();
            let changes = self.changes(batch, now)?;
            if changes.is_empty() && !replaces {
                return Ok(changes);
            }
            let is_written = if replaces {
                self.shared.log.rewrite(store, &tail, &changes)
            } else {
                self.shared.log.append(store, tail, &changes)
            };
            if is_written {
                self.apply(replaces, changes.iter().cloned(), now);
                if self.shared.log.is_long(store) {
                    self.tidy(store, Waste::Half, now);
                }
                return Ok(changes);
            }
            // Another worker was faster, or else the next try would fail as this one did.
            if self.shared.log.is_at(store, version) {
                if has_made_room {
                    return Err(UpdateError::NoRoom);
                }
                has_made_room = true;
                self.shared.log.end_pause();
                self.tidy(store, Waste::Any, now);
            }
        }
        Err(UpdateError::NotShared)
    }

    /// Shortens the shared list, which costs what it holds: once in many changes, or where
    /// there is no room left. Nothing is lost if that fails.
    fn tidy(&mut self, store: &dyn SharedStore, waste: Waste, now: UnixTime) {
        self.index.drop_ended(now);
        let Some(tail) = self.read_delta(store, now) else { return };
        let (lines, entries) = (self.shared.log.lines(), self.index.len());
        let is_wasteful = match waste {
            Waste::Half => lines.saturating_sub(SLACK_LINES) > entries.saturating_mul(2),
            Waste::Any => lines > entries,
        };
        if is_wasteful || self.shared.log.is_torn() {
            let all: Vec<_> = self.index.entries().collect();
            // If another worker is faster, the next one does it.
            let _ = self.shared.log.rewrite(store, &tail, &all);
        }
        self.shared.log.fold(store);
    }

    /// Applies new changes of the shared list; returns its tail.
    fn read_delta(&mut self, store: &dyn SharedStore, now: UnixTime) -> Option<Tail> {
        let delta = self.shared.log.read(store)?;
        // Revocations that the host has lost stay in force here.
        let is_kept = delta.lost && self.index.policy() == Policy::Add;
        self.apply(delta.whole && !is_kept, delta.changes, now);
        Some(delta.tail)
    }

    /// Applies changes, to an empty list if they are `whole`.
    fn apply(&mut self, whole: bool, changes: impl IntoIterator<Item = Change>, now: UnixTime) {
        if whole {
            self.index.clear();
        }
        for change in changes {
            self.index.apply(change, now);
        }
    }

    /// The changes that the entries make; there must be room for them.
    fn changes(&mut self, batch: &Batch<'_>, now: UnixTime) -> Result<Vec<Change>, UpdateError> {
        let Batch { entries, source, from_start } = *batch;
        let empty = EntryIndex::new(Policy::Replace, self.max_entries, Span::ZERO);
        let (index, held) = match self.replaces(batch) {
            true => (&empty, 0),
            false => (&self.index, self.index.len()),
        };
        let changes = index.changes(entries, source, from_start, now);
        let added = changes.iter().filter(|change| change.effect == Effect::Add).count();
        // There may be more than that here, which can be withdrawn.
        let is_room = |len: usize| added == 0 || len.saturating_add(added) <= self.max_entries;
        if !is_room(held) && held > 0 {
            self.index.drop_ended(now);
        }
        let held = held.min(self.index.len());
        if is_room(held) { Ok(changes) } else { Err(UpdateError::Full(self.max_entries)) }
    }
}

impl From<UpdateError> for FeedError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Full(_) => Self::Full,
            UpdateError::NotShared | UpdateError::NoRoom => Self::NotShared,
        }
    }
}

impl From<UpdateError> for Denial {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Full(limit) => Self::RevocationsFull { limit },
            UpdateError::NotShared => Self::RevocationNotStored,
            UpdateError::NoRoom => Self::NoRoomForRevocations,
        }
    }
}
