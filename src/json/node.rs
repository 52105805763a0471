//! The entries of a [`Document`](super::Document)'s index.

/// A value, or the name of a member, before its value. In the order of the text, so the
/// nodes of what an array or object contains follow its own.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub kind: Kind,
    /// Where its text begins.
    pub from: u32,
    /// Where its text ends; for a value without a text, the position of the node after it
    /// and all that it contains.
    pub to: u32,
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
        Self { kind, from: position(from), to: position(to) }
    }

    /// Another value, with `next` behind it.
    pub(super) fn of_value(kind: Kind, next: usize) -> Self {
        Self { kind, from: 0, to: position(next) }
    }

    pub(super) const fn bytes(self) -> u32 {
        self.to.saturating_sub(self.from)
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
