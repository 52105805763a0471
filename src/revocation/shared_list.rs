//! A list shared by the workers of a proxy: entries added by one are seen by all, at
//! their next request.
//!
//! The *state* is a small value, read for every request: it changes with the list, and
//! contains the progress of its feeds. The entries are in a [`ChangeLog`].

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::change_log::ChangeLog;
use super::feed::Progress;
use crate::json;
use crate::shared_data::{SharedStore, Slot};
use crate::time::{Period, UnixTime};

/// The state of a list besides its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Changes whenever the list does.
    pub generation: u64,
    /// By the identity of the feed: gateways that share a list may read different feeds.
    feeds: BTreeMap<String, FeedState>,
}

/// The progress of a feed, and the lease of the worker that reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FeedState {
    pub progress: Progress,
    pub lease: Option<Period>,
}

/// One list in a store, and this worker's progress in it.
#[derive(Debug)]
pub(super) struct SharedList {
    state: Slot,
    /// The feed that this gateway reads; empty without one.
    feed: String,
    /// The state as it was last read.
    seen: Vec<u8>,
    generation: Option<u64>,
    /// Its entries.
    pub log: ChangeLog,
}

impl SharedList {
    /// The list of this `identity`, shared by gateways of a proxy, and the feed that this
    /// one reads.
    pub(super) fn new(identity: &Value, feed: Option<&Value>) -> Self {
        Self {
            state: Slot::new("tokens-state", identity),
            feed: feed.map(Value::to_string).unwrap_or_default(),
            seen: Vec::new(),
            generation: None,
            log: ChangeLog::new(identity),
        }
    }

    /// Creates the values if they are missing.
    pub(super) fn prepare(&self, store: &dyn SharedStore) {
        // A list that had entries and is gone is not created again: that would withdraw them.
        let had_entries = self.read_state(store).is_some_and(|state| state.generation > 0);
        if !had_entries {
            self.log.prepare(store);
        }
        self.state.prepare(store, &State::default().encode());
    }

    fn read_state(&self, store: &dyn SharedStore) -> Option<State> {
        self.state.read(store).and_then(|(value, _)| State::decode(&value))
    }

    /// The state, if it is not the one seen before.
    pub(super) fn changed_state(&mut self, store: &dyn SharedStore) -> Option<State> {
        let Some((value, _)) = self.state.read(store) else {
            // The host may have failed when the filter started. A list that existed and is
            // gone is not created again: that would withdraw every revocation.
            if self.generation.is_none() {
                self.prepare(store);
            }
            return None;
        };
        if value == self.seen {
            return None;
        }
        let state = State::decode(&value)?;
        self.seen = value;
        Some(state)
    }

    /// Makes the next call read the state, even if it is unchanged.
    pub(super) fn forget_state(&mut self) {
        self.seen.clear();
    }

    /// True if the state exists and is readable.
    pub(super) fn is_readable(&self, store: &dyn SharedStore) -> bool {
        self.read_state(store).is_some()
    }

    /// The state of this gateway's feed.
    pub(super) fn feed_state(&self, state: &State) -> FeedState {
        state.feeds.get(&self.feed).cloned().unwrap_or_default()
    }

    /// Updates the state and the progress of this gateway's feed, if `change` agrees to
    /// their current values. False if it does not, or if writing keeps failing.
    pub(super) fn update(
        &self,
        store: &dyn SharedStore,
        change: impl Fn(&mut State, &mut FeedState) -> bool,
    ) -> bool {
        let updated = self.state.update(store, |value| {
            let mut state = State::decode(value?)?;
            let mut feed_state = self.feed_state(&state);
            if !change(&mut state, &mut feed_state) {
                return None;
            }
            if !self.feed.is_empty() {
                state.feeds.insert(self.feed.clone(), feed_state);
            }
            Some((state.encode(), ()))
        });
        updated.is_some()
    }

    /// True if this worker has not read the current list.
    pub(super) fn is_behind(&self, state: &State) -> bool {
        self.generation != Some(state.generation)
    }

    /// True if the host has lost the list and has another one: they are only counted up.
    pub(super) fn is_set_back(&self, state: &State) -> bool {
        self.generation.is_some_and(|known| state.generation < known)
    }

    /// Records that the list of this generation was read.
    pub(super) fn caught_up(&mut self, generation: u64) {
        self.generation = Some(generation);
    }
}

impl State {
    fn encode(&self) -> Vec<u8> {
        let feeds = self.feeds.iter().map(|(feed, feed_state)| {
            let FeedState { progress, lease } = feed_state;
            let lease = lease.map(|lease| [lease.from(), lease.until()].map(UnixTime::as_millis));
            let fresh_at = progress.fresh_at.map(UnixTime::as_millis);
            let value = json!([*progress.cursor, fresh_at, progress.is_loaded, lease]);
            (feed.clone(), value)
        });
        json!([self.generation, json::object(feeds)]).to_string().into_bytes()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let value = json::parse(value).ok()?;
        let [generation, feeds] = value.as_array()?.as_slice() else { return None };
        let feeds = feeds.as_object()?.iter();
        let feeds = feeds.map(|(feed, value)| Some((feed.clone(), FeedState::decode(value)?)));
        Some(Self { generation: generation.as_u64()?, feeds: feeds.collect::<Option<_>>()? })
    }
}

impl FeedState {
    fn decode(value: &Value) -> Option<Self> {
        let [cursor, fresh_at, is_loaded, lease] = value.as_array()?.as_slice() else {
            return None;
        };
        let moment = |value: &Value| value.as_i64().map(UnixTime::from_millis);
        let lease = match lease.as_array().map(Vec::as_slice) {
            Some([from, until]) => Some(Period::new(moment(from)?, moment(until)?)),
            _ => None,
        };
        let progress = Progress {
            cursor: Rc::from(cursor.as_str()?),
            fresh_at: moment(fresh_at),
            is_loaded: is_loaded.as_bool()?,
        };
        Some(Self { progress, lease })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_the_way_through_the_store() {
        let at = UnixTime::from_secs;
        let progress = Progress { cursor: "a\n\"1".into(), fresh_at: Some(at(5)), is_loaded: true };
        let feed_state = FeedState { progress, lease: Some(Period::new(at(6), at(8))) };
        let feeds = [("one".to_owned(), feed_state), ("two".to_owned(), FeedState::default())];
        for state in [State::default(), State { generation: u64::MAX, feeds: feeds.into() }] {
            assert_eq!(State::decode(&state.encode()), Some(state));
        }
        for odd in [&b""[..], b"[]", b"[1]", b"[1,{\"x\":[]}]", b"x"] {
            assert_eq!(State::decode(odd), None, "{odd:?}");
        }
    }
}
