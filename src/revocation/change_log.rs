//! The changes of a shared list in their order, in two values of the host's store.
//!
//! A change costs what it adds, not what the list holds: it is appended to the *tail*, a
//! small value. When the tail is long, its lines are moved to the *base*, which a reader
//! that knows them does not read again.
//!
//! A position is a number of bytes from the start of all lines. The tail begins with its
//! epoch and the position of its first line, the base with its epoch and position 0.
//! Whatever a worker does, and wherever it dies, these hold:
//!
//! - Lines are added to the tail alone, in one step, and only by those who have read it.
//! - The base repeats lines of the tail of the same epoch. It is only made longer, and
//!   always ends at or behind the tail's first line; lines that both have count once.
//! - The tail is shortened only by lines that the base has.
//! - A rewrite is a tail of the next epoch that contains everything. A base of an earlier
//!   epoch is ignored, and one of a later epoch tells that the tail has changed since.
//!
//! A tail that begins at position 0 has the form that lists had before there were bases, so
//! workers of an older version read and write it. They refuse any other: then they
//! accept no revocations until the next rewrite.

use std::cmp::Ordering;

use serde_json::Value;

use super::change::Change;
use crate::json;
use crate::shared_data::{SharedStore, Slot};

/// The changes of one list, and this worker's position in them.
#[derive(Debug)]
pub(super) struct ChangeLog {
    tail: Slot,
    base: Slot,
    at: Option<Position>,
    lines_read: usize,
    /// Of the tail when it was last seen.
    tail_bytes: usize,
    /// Moving lines to the base failed, perhaps for lack of room: not again before the tail
    /// has this length.
    pause: usize,
    /// The host has lost lines that this worker has read.
    is_lost: bool,
    /// The host has lost the base: whoever starts now cannot read the list.
    is_torn: bool,
}

/// Behind the last line that was read.
#[derive(Clone, Copy, Debug)]
struct Position {
    epoch: u64,
    bytes: usize,
}

/// The changes that this worker has not read.
pub(super) struct Delta {
    /// True if the changes are the whole list, not only additions.
    pub whole: bool,
    /// True if the host has lost lines that this worker has read.
    pub lost: bool,
    pub changes: Vec<Change>,
    /// To be appended to.
    pub tail: Tail,
}

/// The latest lines.
pub(super) struct Tail {
    epoch: u64,
    /// The position of the first one.
    start: usize,
    lines: Vec<u8>,
    version: u32,
}

/// The first lines.
struct Base {
    epoch: u64,
    lines: Vec<u8>,
    version: Option<u32>,
}

/// What to do with a long tail.
enum Fold {
    /// The base has its lines up to this position.
    Shorten(usize),
    /// Another worker was faster, or a step is done.
    Again,
    /// There may be no room for a longer base.
    Failed,
    /// The base lacks lines that the tail no longer has.
    Torn,
}

/// How often to start over because other workers write.
const MAX_TRIES: u8 = 10;

impl ChangeLog {
    pub(super) fn new(identity: &Value) -> Self {
        Self {
            tail: Slot::new("tokens-list", identity),
            base: Slot::new("tokens-base", identity),
            at: None,
            lines_read: 0,
            tail_bytes: 0,
            pause: 0,
            is_lost: false,
            is_torn: false,
        }
    }

    /// Creates the tail if it is missing.
    pub(super) fn prepare(&self, store: &dyn SharedStore) {
        if self.tail.read(store).is_none() {
            // The base of a list that is lost must not be taken for a part of the new one.
            let base = self.read_base(store);
            let epoch = base.version.map_or(0, |_| base.epoch.wrapping_add(1));
            self.tail.prepare(store, head(epoch, 0).as_bytes());
        }
    }

    /// Keeps the host from forgetting the values.
    pub(super) fn keep(&self, store: &dyn SharedStore) {
        self.tail.keep(store);
        self.base.keep(store);
    }

    /// How many lines this worker has read since the last rewrite.
    pub(super) const fn lines(&self) -> usize {
        self.lines_read
    }

    /// Makes the next read start over, since the host has lost what this worker has read.
    pub(super) const fn note_loss(&mut self) {
        self.at = None;
        self.is_lost = true;
    }

    /// True if only a rewrite makes the list readable for workers that start.
    pub(super) const fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// The changes since the last read. `None` if they cannot be read.
    pub(super) fn read(&mut self, store: &dyn SharedStore) -> Option<Delta> {
        let before = self.at;
        for _ in 0..MAX_TRIES {
            let tail = self.read_tail(store)?;
            let known = before.filter(|at| at.epoch == tail.epoch && at.bytes <= tail.end());
            let (from, base) = match known {
                Some(at) if at.bytes >= tail.start => (at.bytes, None),
                _ if tail.start == 0 => (0, None),
                known => {
                    let base = self.read_base(store);
                    match base.epoch.cmp(&tail.epoch) {
                        Ordering::Greater => continue,
                        Ordering::Equal if base.lines.len() >= tail.start => {}
                        _ => return None,
                    }
                    (known.map_or(0, |at| at.bytes), Some(base))
                }
            };
            let of_base = base.as_ref().map_or(&[][..], |base| &base.lines);
            let from_tail = from.max(of_base.len()).saturating_sub(tail.start);
            // The base may be of a longer tail than the one that was read.
            let rest = tail.lines.get(from_tail..).unwrap_or_default();
            let mut changes = Vec::new();
            read_lines(of_base.get(from.min(of_base.len())..)?, &mut changes)?;
            read_lines(rest, &mut changes)?;
            let whole = known.is_none();
            let bytes = tail.end().max(of_base.len());
            let lines = if whole { 0 } else { self.lines_read };
            self.at = Some(Position { epoch: tail.epoch, bytes });
            self.tail_bytes = tail.lines.len();
            self.lines_read = lines.saturating_add(changes.len());
            let is_behind = before.is_some_and(|at| at.epoch >= tail.epoch);
            let lost = std::mem::take(&mut self.is_lost) || whole && is_behind;
            return Some(Delta { whole, lost, changes, tail });
        }
        None
    }

    /// True if the tail was so long, when it was last seen, that its lines are to be moved.
    pub(super) fn is_long(&self, store: &dyn SharedStore) -> bool {
        self.tail_bytes >= store.cheap_bytes().max(self.pause)
    }

    /// True if nobody has written the tail since it had this version: then a write of it
    /// that failed was not too late.
    pub(super) fn is_at(&self, store: &dyn SharedStore, version: u32) -> bool {
        self.read_tail(store).is_some_and(|tail| tail.version == version)
    }

    /// Lets lines be moved to the base again, although that failed before.
    pub(super) const fn end_pause(&mut self) {
        self.pause = 0;
    }

    /// Appends changes to the tail that was read; false if another worker was faster, or if
    /// there is no room.
    pub(super) fn append(
        &mut self,
        store: &dyn SharedStore,
        mut tail: Tail,
        changes: &[Change],
    ) -> bool {
        push_lines(&mut tail.lines, changes);
        let is_written = self.write_tail(store, &tail);
        if is_written {
            self.at = Some(Position { epoch: tail.epoch, bytes: tail.end() });
            self.tail_bytes = tail.lines.len();
            self.lines_read = self.lines_read.saturating_add(changes.len());
        }
        is_written
    }

    /// Replaces everything by these changes; false if another worker was faster, or if there
    /// is no room.
    pub(super) fn rewrite(
        &mut self,
        store: &dyn SharedStore,
        tail: &Tail,
        changes: &[Change],
    ) -> bool {
        let (epoch, version) = (tail.epoch.wrapping_add(1), tail.version);
        let tail = Tail { epoch, start: 0, lines: Vec::new(), version };
        let lines_read = std::mem::take(&mut self.lines_read);
        let is_written = self.append(store, tail, changes);
        if is_written {
            self.is_torn = false;
        } else {
            self.lines_read = lines_read;
        }
        is_written
    }

    /// Moves the lines of a long tail to the base, and finishes what another worker began.
    /// Nothing is lost if that fails.
    pub(super) fn fold(&mut self, store: &dyn SharedStore) {
        for _ in 0..MAX_TRIES {
            if !self.is_long(store) {
                return;
            }
            let Some(tail) = self.read_tail(store) else { return };
            self.tail_bytes = tail.lines.len();
            if !self.is_long(store) {
                return;
            }
            match self.lengthen_base(store, &tail) {
                Fold::Shorten(start) => {
                    let from = start.saturating_sub(tail.start);
                    let lines = tail.lines.get(from..).unwrap_or_default().to_vec();
                    if self.write_tail(store, &Tail { start, lines, ..tail }) {
                        self.pause = 0;
                        return;
                    }
                }
                Fold::Again => {}
                Fold::Failed => {
                    self.pause = tail.lines.len().saturating_mul(2);
                    return;
                }
                Fold::Torn => {
                    self.is_torn = true;
                    return;
                }
            }
        }
    }

    /// Adds lines of the tail to the base, unless it has most of them.
    fn lengthen_base(&self, store: &dyn SharedStore, tail: &Tail) -> Fold {
        let Base { epoch, mut lines, version } = self.read_base(store);
        if version.is_some() && epoch > tail.epoch {
            // The tail has changed since.
            return Fold::Failed;
        }
        let is_older = epoch != tail.epoch;
        if version.is_some() && is_older && !lines.is_empty() {
            // There may be room for one of them only.
            let is_written = self.write_base(store, tail.epoch, &[], version);
            return if is_written { Fold::Again } else { Fold::Failed };
        }
        let has = lines.len();
        let Some(rest) = has.checked_sub(tail.start).and_then(|from| tail.lines.get(from..)) else {
            // It has more than the tail, which has changed since; or less.
            return if has > tail.end() { Fold::Again } else { Fold::Torn };
        };
        if rest.len() < store.cheap_bytes() {
            return Fold::Shorten(has);
        }
        lines.extend_from_slice(rest);
        if self.write_base(store, tail.epoch, &lines, version) {
            return Fold::Shorten(tail.end());
        }
        // Another worker may have done the same.
        let now = self.read_base(store);
        if now.version == version { Fold::Failed } else { Fold::Again }
    }

    fn read_tail(&self, store: &dyn SharedStore) -> Option<Tail> {
        let (mut lines, version) = self.tail.read(store)?;
        let (epoch, start) = take_head(&mut lines)?;
        Some(Tail { epoch, start, lines, version })
    }

    fn write_tail(&self, store: &dyn SharedStore, tail: &Tail) -> bool {
        let value = [head(tail.epoch, tail.start).as_bytes(), &tail.lines].concat();
        self.tail.write(store, &value, tail.version)
    }

    /// The base; an empty one if there is none that can be read.
    fn read_base(&self, store: &dyn SharedStore) -> Base {
        let value = self.base.read(store);
        let base = value.and_then(|(mut lines, version)| match take_head(&mut lines)? {
            (epoch, 0) => Some(Base { epoch, lines, version: Some(version) }),
            _ => None,
        });
        base.unwrap_or_else(|| Base { epoch: 0, lines: Vec::new(), version: None })
    }

    fn write_base(
        &self,
        store: &dyn SharedStore,
        epoch: u64,
        lines: &[u8],
        version: Option<u32>,
    ) -> bool {
        let value = [head(epoch, 0).as_bytes(), lines].concat();
        match version {
            Some(version) => self.base.write(store, &value, version),
            None => self.base.create(store, &value),
        }
    }
}

impl Tail {
    /// The host's number of this value.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    /// The position behind the last line.
    const fn end(&self) -> usize {
        self.start.saturating_add(self.lines.len())
    }
}

/// The first line of a value.
fn head(epoch: u64, start: usize) -> String {
    match start {
        0 => format!("{epoch}\n"),
        start => format!("{epoch} {start}\n"),
    }
}

/// Removes the first line; returns the epoch and the position that it contains.
fn take_head(value: &mut Vec<u8>) -> Option<(u64, usize)> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(value.get(..end)?).ok()?;
    let (epoch, start) = text.split_once(' ').unwrap_or((text, "0"));
    let head = (epoch.parse().ok()?, start.parse().ok()?);
    value.drain(..=end);
    Some(head)
}

fn push_lines(value: &mut Vec<u8>, changes: &[Change]) {
    for change in changes.iter().map(Change::to_json) {
        value.extend_from_slice(Value::to_string(&change).as_bytes());
        value.push(b'\n');
    }
}

fn read_lines(value: &[u8], changes: &mut Vec<Change>) -> Option<()> {
    let lines = value.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for line in lines {
        changes.push(Change::read(&json::parse(line).ok()?)?);
    }
    Some(())
}

#[cfg(test)]
mod tests;
