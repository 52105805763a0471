//! The hashes of one bucket, by the time when they expire.

use crate::time::UnixTime;

/// How long an identifier is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// If this identifier was recorded before, that record lasts until at least this time.
    pub earliest: UnixTime,
    /// When this identifier can be forgotten: it is no longer accepted.
    pub until: UnixTime,
    /// No record of this kind that was made so far lasts longer than this.
    pub all_until: UnixTime,
}

impl Lifetime {
    /// For a kind of which every identifier is recorded for the same period: this one until
    /// `until`, and those before it no longer than that.
    pub(crate) const fn of(until: UnixTime) -> Self {
        Self { earliest: until, until, all_until: until }
    }
}

/// The result of recording an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was new.
    New,
    /// It was seen before, or may have been.
    Again,
    /// It could not be recorded, so a replay could not be detected.
    Failed,
}

/// The capacity of a bucket: 10 KiB.
pub(super) const ROOM: usize = 1280;

/// Those that expire within this time of each other are kept until the last one does.
const GRAIN_MILLIS: i64 = 8000;

/// A keyed hash.
pub(super) type Id = [u8; 8];

/// What tells the buckets of one key from those of another.
pub(super) type Tag = [u8; 4];

/// An expiry, in units of the grain.
type End = u32;

/// A bucket, as read from its value: the tag, the end of what was dropped, and for each end
/// the number of its hashes and the hashes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bucket<'a> {
    tag: Tag,
    /// Everything that expired by then may have been dropped.
    forgotten_until: End,
    /// Sorted by their ends, none empty.
    groups: Vec<(End, &'a [Id])>,
    added: Option<(End, Id)>,
}

/// Rounded down.
fn before(time: UnixTime) -> End {
    let grains = time.as_millis().div_euclid(GRAIN_MILLIS);
    End::try_from(grains.max(0)).unwrap_or(End::MAX)
}

/// Rounded up.
fn after(time: UnixTime) -> End {
    before(UnixTime::from_millis(time.as_millis().saturating_add(GRAIN_MILLIS.saturating_sub(1))))
}

impl<'a> Bucket<'a> {
    /// The value of a bucket in which nothing was recorded.
    pub(super) fn empty(tag: Tag) -> Vec<u8> {
        Self { tag, forgotten_until: 0, groups: Vec::new(), added: None }.encode()
    }

    /// One whose entries are lost: they ended by then.
    pub(super) fn lost(tag: Tag, all_until: UnixTime) -> Self {
        let forgotten_until = after(all_until);
        Self { tag, forgotten_until, groups: Vec::new(), added: None }
    }

    /// Reads a value; `None` if it is one of another key, or none at all.
    pub(super) fn read(value: &'a [u8], tag: Tag) -> Option<Self> {
        let (found, rest) = value.split_first_chunk::<4>()?;
        let (forgotten, mut rest) = rest.split_first_chunk::<4>()?;
        let forgotten_until = End::from_be_bytes(*forgotten);
        let mut groups = Vec::new();
        while let Some((end, more)) = rest.split_first_chunk::<4>() {
            let (count, more) = more.split_first_chunk::<2>()?;
            let bytes = usize::from(u16::from_be_bytes(*count)).checked_mul(size_of::<Id>())?;
            let (ids, more) = more.split_at_checked(bytes)?;
            groups.push((End::from_be_bytes(*end), ids.as_chunks().0));
            rest = more;
        }
        let is_whole = rest.is_empty() && *found == tag;
        is_whole.then_some(Self { tag, forgotten_until, groups, added: None })
    }

    pub(super) fn has(&self, id: Id) -> bool {
        self.groups.iter().any(|(_, ids)| ids.contains(&id))
    }

    pub(super) fn note(&mut self, id: Id, lifetime: Lifetime, now: UnixTime) -> Noted {
        if self.has(id) {
            return Noted::Again;
        }
        let now = before(now);
        while self.groups.first().is_some_and(|(end, _)| *end <= now || self.len() >= ROOM) {
            let (end, _) = self.groups.remove(0);
            self.forgotten_until = self.forgotten_until.max(end);
        }
        if after(lifetime.earliest) <= self.forgotten_until {
            return Noted::Again;
        }
        self.added = Some((after(lifetime.until), id));
        Noted::New
    }

    fn len(&self) -> usize {
        self.groups.iter().map(|(_, ids)| ids.len()).sum()
    }

    /// Its value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let bytes = self.len().saturating_mul(size_of::<Id>()).saturating_add(640);
        let mut value = Vec::with_capacity(bytes);
        value.extend_from_slice(&self.tag);
        value.extend_from_slice(&self.forgotten_until.to_be_bytes());
        let mut write = |end: End, ids: &[Id], more: Option<Id>| {
            let count = ids.len().saturating_add(usize::from(more.is_some()));
            value.extend_from_slice(&end.to_be_bytes());
            value.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
            value.extend_from_slice(ids.as_flattened());
            value.extend_from_slice(more.as_ref().map_or(&[], |id| &id[..]));
        };
        let mut added = self.added;
        for (end, ids) in &self.groups {
            if let Some((its, id)) = added.take_if(|(its, _)| *its < *end) {
                write(its, &[], Some(id));
            }
            write(*end, ids, added.take_if(|(its, _)| its == end).map(|(_, id)| id));
        }
        if let Some((end, id)) = added {
            write(end, &[], Some(id));
        }
        value
    }
}
