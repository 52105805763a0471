//! The entries of a [`Document`](super::Document)'s index.

/// A value, or the name of a member, before its value. In the order of the text, so the
/// nodes of what an array or object contains follow its own.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub kind: Kind,
    /// Of the name of a member; any for a value.
    pub mark: Mark,
    /// Where its text begins.
    pub from: u32,
    /// Where its text ends; for a value without a text, the position of the node after it
    /// and all that it contains.
    pub to: u32,
}

/// A number for a name that tells most names apart without comparing them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark(u8);

impl Mark {
    #[allow(clippy::cast_possible_truncation, reason = "any byte of the length will do")]
    pub(super) fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let [first, last] = [bytes.first(), bytes.last()].map(|it| it.copied().unwrap_or_default());
        let sum = first.wrapping_add(last.wrapping_mul(3));
        Self(sum.wrapping_add((bytes.len() as u8).wrapping_mul(7)))
    }
}

/// The names that an object may have, as one bit for each: of a name whose bit is not set
/// it is certain that there is none.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks(u64);

impl Marks {
    /// Any name.
    pub(super) const ANY: Self = Self(u64::MAX);

    /// Adds a name; false if none with its bit was there.
    pub(super) const fn add(&mut self, mark: Mark) -> bool {
        let was_there = self.may_have(mark);
        self.0 |= Self::bit(mark);
        was_there
    }

    pub(super) const fn may_have(self, mark: Mark) -> bool {
        self.0 & Self::bit(mark) != 0
    }

    const fn bit(Mark(mark): Mark) -> u64 {
        1_u64.rotate_left(mark as u32)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    False,
    True,
    Number,
    Text,
    Array,
    Object,
}

impl Node {
    /// A text or a number.
    pub(super) fn of_text(kind: Kind, from: usize, to: usize) -> Self {
        Self { kind, mark: Mark::default(), from: position(from), to: position(to) }
    }

    /// Another value, with `next` behind it.
    pub(super) fn of_value(kind: Kind, next: usize) -> Self {
        Self { kind, mark: Mark::default(), from: 0, to: position(next) }
    }

    /// Whether it may be the name with this mark and length.
    pub(super) const fn may_be(self, mark: Mark, bytes: usize) -> bool {
        self.mark.0 == mark.0 && self.to.saturating_sub(self.from) as usize == bytes
    }

    /// The range of its text.
    #[allow(clippy::cast_possible_truncation, reason = "32 bits fit")]
    pub(super) const fn range(self) -> (usize, usize) {
        (self.from as usize, self.to as usize)
    }

    /// The position after the node at `own`, which this is, and all that it contains.
    pub(super) const fn next(self, own: usize) -> usize {
        match self.kind {
            Kind::Number | Kind::Text => own.saturating_add(1),
            Kind::Null | Kind::False | Kind::True | Kind::Array | Kind::Object => self.range().1,
        }
    }
}

/// A position in a text, which is never as long as 4 GiB: one that was would be outside of
/// any text, and the value there absent.
pub(super) fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
