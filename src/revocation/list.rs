//! One list: its entries, the feed that they come from, and what it shares with
//! the other workers.

use super::entry::Entry;
use super::feed::{Feed, FeedEndpoint, FeedError, Page};
use super::ledger::{Ledger, State};
use super::register::{Policy, Register};
use crate::callout::{Callout, CalloutReply};
use crate::shared_data::SharedStore;
use crate::time::{Span, UnixTime};
use crate::token::Verified;

/// Entries that tokens are compared with.
#[derive(Debug)]
pub(super) struct List {
    register: Register,
    feed: Option<Feed>,
    ledger: Ledger,
    max_entries: usize,
    /// Another worker took in more than there is room for here.
    overflowed: bool,
}

/// Why entries were not taken in; none of them was.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// There is no room.
    Full,
    /// The other workers could not be told.
    NotShared,
}

/// How often workers try to write before they give up.
const MAX_TRIES: u8 = 100;

/// A shared list is written anew when it has this many lines more than twice
/// its entries.
const SLACK_LINES: usize = 1000;

const NEVER: UnixTime = UnixTime::from_millis(i64::MIN);

impl List {
    pub(super) fn new(
        name: &str,
        policy: Policy,
        feed: Option<FeedEndpoint>,
        max_entries: usize,
    ) -> Self {
        Self {
            register: Register::new(policy, max_entries),
            feed: feed.map(Feed::new),
            ledger: Ledger::new(name),
            max_entries,
            overflowed: false,
        }
    }

    /// Makes a place for the list in a store that workers share.
    pub(super) fn share(&self, store: &dyn SharedStore) {
        self.ledger.prepare(store);
    }

    /// Whether an entry is about this token.
    pub(super) fn names(&self, token: &Verified, now: UnixTime) -> bool {
        self.register.names(token, now)
    }

    /// Changes whenever an entry was added.
    pub(super) const fn generation(&self) -> u64 {
        self.register.generation()
    }

    /// Whether there are no entries.
    pub(super) const fn is_empty(&self) -> bool {
        self.register.len() == 0
    }

    /// Whether everything is known that should be.
    pub(super) fn is_complete(&self, now: UnixTime) -> bool {
        !self.overflowed && self.feed.as_ref().is_none_or(|feed| feed.is_fresh(now))
    }

    /// Takes in what other workers added. Costs one small read when that is
    /// nothing.
    pub(super) fn catch_up(&mut self, store: &dyn SharedStore, now: UnixTime) {
        let Some(state) = self.ledger.changed_state(store) else { return };
        if self.ledger.is_behind(&state) {
            if self.read_news(store, now).is_none() {
                self.ledger.forget_state();
                return;
            }
            self.ledger.caught_up(state.generation);
        }
        if let Some(feed) = &mut self.feed {
            feed.cursor = state.cursor;
            feed.fresh_at = state.fresh_at.max(feed.fresh_at);
        }
    }

    /// What is due: asking the feed, if no other worker does.
    pub(super) fn poll(
        &mut self,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Option<Callout> {
        if let Some(store) = store {
            self.catch_up(store, now);
        }
        let feed = self.feed.as_mut().filter(|feed| now >= feed.due)?;
        let shared = store.and_then(|store| Some((store, self.ledger.state(store)?)));
        if let Some((store, (state, version))) = shared {
            let next = state.fresh_at.map(|at| at.plus(feed.endpoint.poll));
            if let Some(next) = next.filter(|next| now < *next) {
                feed.due = next;
                return None;
            }
            let leased_until =
                now.plus(feed.endpoint.service.timeout).plus(Span::from_millis(1000));
            let leased = State { leased_until, ..state.clone() };
            if now < state.leased_until || !self.ledger.put(store, &leased, version) {
                return None;
            }
        }
        Some(feed.ask(now))
    }

    /// The request to the feed for the sake of a client's request, which cannot
    /// be decided without. While the service fails its pauses are kept.
    pub(super) fn ask(&mut self, now: UnixTime) -> Option<Callout> {
        let feed = self.feed.as_mut()?;
        (!feed.is_failing() || now >= feed.due).then(|| feed.ask(now))
    }

    /// Takes the reply to a request to the feed.
    pub(super) fn settle(
        &mut self,
        reply: &CalloutReply,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<(), FeedError> {
        let taken = Page::read(reply).and_then(|page| {
            let Page { cursor, entries, more } = page;
            let note = |state: &mut State| {
                state.cursor.clone_from(&cursor);
                state.leased_until = NEVER;
                if !more {
                    state.fresh_at = Some(now);
                }
            };
            self.extend(&entries, store, now, note).map_err(|error| match error {
                NotTaken::Full => FeedError::Full,
                NotTaken::NotShared => FeedError::NotShared,
            })?;
            Ok((cursor, more))
        });
        let Some(feed) = &mut self.feed else { return Ok(()) };
        match taken {
            Ok((cursor, more)) => {
                feed.advance(cursor, more, now);
                Ok(())
            }
            Err(error) => {
                feed.fail(now);
                Err(error)
            }
        }
    }

    /// Takes entries in, all of them or none, for every worker. `note` is what
    /// changes of the state beside.
    pub(super) fn extend(
        &mut self,
        entries: &[Entry],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
        note: impl Fn(&mut State),
    ) -> Result<(), NotTaken> {
        let Some(store) = store else {
            let news = self.new_among(entries, now)?;
            for entry in news {
                self.register.add(entry, now).map_err(|_| NotTaken::Full)?;
            }
            return Ok(());
        };
        if !entries.is_empty() {
            self.publish(entries, store, now)?;
        }
        let update = |state: &mut State| {
            note(state);
            if !entries.is_empty() {
                state.generation = state.generation.wrapping_add(1);
            }
        };
        if self.ledger.update(store, update) { Ok(()) } else { Err(NotTaken::NotShared) }
    }

    /// Writes entries to the shared list, and reads them from there.
    fn publish(
        &mut self,
        entries: &[Entry],
        store: &dyn SharedStore,
        now: UnixTime,
    ) -> Result<(), NotTaken> {
        for _ in 0..MAX_TRIES {
            let version = self.read_news(store, now).ok_or(NotTaken::NotShared)?;
            let news = self.new_among(entries, now)?;
            if news.is_empty() {
                return Ok(());
            }
            let lines = self.ledger.lines().saturating_sub(SLACK_LINES);
            if lines > 0 {
                self.register.drop_ended(now);
            }
            let is_written = if lines > self.register.len().saturating_mul(2) {
                let all: Vec<_> = self.register.entries().chain(news).collect();
                self.ledger.rewrite(store, &all, version)
            } else {
                self.ledger.append(store, &news, version)
            };
            if is_written {
                return self.read_news(store, now).map(drop).ok_or(NotTaken::NotShared);
            }
        }
        Err(NotTaken::NotShared)
    }

    /// Takes in what is new in the shared list; gives its version.
    fn read_news(&mut self, store: &dyn SharedStore, now: UnixTime) -> Option<u32> {
        let news = self.ledger.news(store)?;
        if news.whole {
            self.register.clear();
            self.overflowed = false;
        }
        for entry in news.entries {
            self.overflowed |= self.register.add(entry, now).is_err();
        }
        Some(news.version)
    }

    /// Those that say something new, for which there is room.
    fn new_among(&mut self, entries: &[Entry], now: UnixTime) -> Result<Vec<Entry>, NotTaken> {
        let news = entries.iter().filter(|entry| !self.register.knows(entry)).cloned();
        let news: Vec<Entry> = news.collect();
        let is_room = |len: usize| len.saturating_add(news.len()) <= self.max_entries;
        if !is_room(self.register.len()) {
            self.register.drop_ended(now);
        }
        if is_room(self.register.len()) { Ok(news) } else { Err(NotTaken::Full) }
    }
}
