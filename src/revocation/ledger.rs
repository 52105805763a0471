//! A list as the workers of a proxy share it: what one of them takes in is seen
//! by all, at their next request.
//!
//! Two values in the host's store. The *state* is small and read for every
//! request; it changes when the list does. The *list* holds the entries, a line
//! each, in the order in which they came, so that a worker reads only what is
//! new to it; once in a while it is written anew without those that have ended,
//! under another epoch.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::entry::Entry;
use crate::json;
use crate::shared_data::SharedStore;
use crate::time::UnixTime;

/// What is known of a list beside its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Changes whenever the list does.
    pub generation: u64,
    /// When the feed was last read to its end.
    pub fresh_at: Option<UnixTime>,
    /// Until when a worker is reading the feed.
    pub leased_until: UnixTime,
    /// Where the feed goes on; empty at its start.
    pub cursor: String,
}

/// The place of one list in a store, and how far this worker has read it.
#[derive(Debug)]
pub(super) struct Ledger {
    state_key: String,
    list_key: String,
    /// The state as it was last read.
    seen: Vec<u8>,
    generation: Option<u64>,
    epoch: Option<u64>,
    bytes_read: usize,
    lines_read: usize,
}

/// What is in the list that this worker did not know.
pub(super) struct News {
    /// Whether the entries are the whole list and not only what was added.
    pub whole: bool,
    pub entries: Vec<Entry>,
    /// The version of the value that they are from.
    pub version: u32,
}

const NEVER: UnixTime = UnixTime::from_millis(i64::MIN);

/// How often a write is tried while others write too.
const MAX_TRIES: u8 = 100;

impl Ledger {
    /// The place of the list that `name` identifies, the same for all workers of
    /// a configuration.
    pub(super) fn new(name: &str) -> Self {
        let digest = Sha256::digest(name);
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self {
            state_key: format!("gatepass/tokens/{hex}/state"),
            list_key: format!("gatepass/tokens/{hex}/list"),
            seen: Vec::new(),
            generation: None,
            epoch: None,
            bytes_read: 0,
            lines_read: 0,
        }
    }

    /// Makes the values if they are not there, so that there are versions to
    /// compare with. To be done while nobody else does it: when the filter
    /// starts.
    pub(super) fn prepare(&self, store: &dyn SharedStore) {
        if store.read(&self.state_key).is_none() {
            store.write(&self.list_key, self.list_head(0).as_bytes(), None);
            let start =
                State { generation: 0, fresh_at: None, leased_until: NEVER, cursor: String::new() };
            store.write(&self.state_key, &self.encode(&start), None);
        }
    }

    /// How many lines the list has that this worker has read.
    pub(super) const fn lines(&self) -> usize {
        self.lines_read
    }

    /// The state, if it is not the one seen before.
    pub(super) fn changed_state(&mut self, store: &dyn SharedStore) -> Option<State> {
        let (value, _) = store.read(&self.state_key)?;
        if value == self.seen {
            return None;
        }
        let state = self.decode(&value)?;
        self.seen = value;
        Some(state)
    }

    /// Lets the state be read again, whether or not it changes.
    pub(super) fn forget_state(&mut self) {
        self.seen.clear();
    }

    /// The state and its version.
    pub(super) fn state(&self, store: &dyn SharedStore) -> Option<(State, u32)> {
        let (value, version) = store.read(&self.state_key)?;
        Some((self.decode(&value)?, version))
    }

    /// Replaces a state; false if another worker was faster.
    pub(super) fn put(&self, store: &dyn SharedStore, state: &State, version: u32) -> bool {
        store.write(&self.state_key, &self.encode(state), Some(version))
    }

    /// Changes the state, whoever else does; false if that keeps failing.
    pub(super) fn update(&self, store: &dyn SharedStore, change: impl Fn(&mut State)) -> bool {
        (0..MAX_TRIES).any(|_| {
            self.state(store).is_some_and(|(mut state, version)| {
                change(&mut state);
                self.put(store, &state, version)
            })
        })
    }

    /// Whether the list is another one than this worker has read.
    pub(super) fn is_behind(&self, state: &State) -> bool {
        self.generation != Some(state.generation)
    }

    /// Notes that the list of this generation was read.
    pub(super) fn caught_up(&mut self, generation: u64) {
        self.generation = Some(generation);
    }

    /// What is new in the list. `None` if there is none that can be read.
    pub(super) fn news(&mut self, store: &dyn SharedStore) -> Option<News> {
        let (value, version) = store.read(&self.list_key)?;
        let (epoch, start) = self.decode_list_head(&value)?;
        let whole = self.epoch != Some(epoch) || value.len() < self.bytes_read;
        let from = if whole { start } else { self.bytes_read };
        let lines = value.get(from..)?.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let entries: Option<Vec<Entry>> =
            lines.map(|line| Entry::read(&json::parse(line).ok()?).ok()).collect();
        let entries = entries?;
        let known = if whole { 0 } else { self.lines_read };
        self.epoch = Some(epoch);
        self.bytes_read = value.len();
        self.lines_read = known.saturating_add(entries.len());
        Some(News { whole, entries, version })
    }

    /// Adds entries to the list of this version; false if another worker was
    /// faster.
    pub(super) fn append(&self, store: &dyn SharedStore, entries: &[Entry], version: u32) -> bool {
        let Some((mut value, current)) = store.read(&self.list_key) else { return false };
        push_lines(&mut value, entries);
        current == version && store.write(&self.list_key, &value, Some(version))
    }

    /// Writes the list of this version anew; false if another worker was faster.
    pub(super) fn rewrite(&self, store: &dyn SharedStore, entries: &[Entry], version: u32) -> bool {
        let epoch = self.epoch.unwrap_or(0).wrapping_add(1);
        let mut value = self.list_head(epoch).into_bytes();
        push_lines(&mut value, entries);
        store.write(&self.list_key, &value, Some(version))
    }

    fn list_head(&self, epoch: u64) -> String {
        format!("{}\n{epoch}\n", self.list_key)
    }

    /// The epoch, and where the entries start.
    fn decode_list_head(&self, value: &[u8]) -> Option<(u64, usize)> {
        let rest = value.strip_prefix(self.list_key.as_bytes())?.strip_prefix(b"\n")?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let epoch = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
        let start = value.len().checked_sub(rest.len())?.checked_add(end)?.checked_add(1)?;
        Some((epoch, start))
    }

    /// The key stands in the value too: some hosts compare keys by a checksum
    /// only (ngx_wasm_module).
    fn encode(&self, state: &State) -> Vec<u8> {
        let State { generation, fresh_at, leased_until, cursor } = state;
        let fresh_at = fresh_at.unwrap_or(NEVER).as_millis();
        let leased_until = leased_until.as_millis();
        format!("{}\n{generation}\n{fresh_at}\n{leased_until}\n{cursor}", self.state_key)
            .into_bytes()
    }

    fn decode(&self, value: &[u8]) -> Option<State> {
        let text = std::str::from_utf8(value).ok()?;
        let rest = text.strip_prefix(self.state_key.as_str())?.strip_prefix('\n')?;
        let mut parts = rest.splitn(4, '\n');
        let generation = parts.next()?.parse().ok()?;
        let mut moment = || parts.next()?.parse().ok().map(UnixTime::from_millis);
        let (fresh_at, leased_until) = (moment()?, moment()?);
        Some(State {
            generation,
            fresh_at: (fresh_at != NEVER).then_some(fresh_at),
            leased_until,
            cursor: parts.next()?.to_owned(),
        })
    }
}

fn push_lines(value: &mut Vec<u8>, entries: &[Entry]) {
    for entry in entries.iter().map(Entry::to_json) {
        value.extend_from_slice(Value::to_string(&entry).as_bytes());
        value.push(b'\n');
    }
}
