//! Values that must never be printed.

use std::fmt;

/// A value that `Debug` hides: a key, a password, a token.
///
/// There is no `Display`; the only way in is [`Secret::expose`], which is easy
/// to search for.
// draft-ietf-oauth-transaction-tokens: "Complete Txn-Tokens MUST NOT be logged
// verbatim." (R69)
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides `value` from `Debug`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; for the one place that has to use it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
        assert_eq!(format!("{:#?}", Some(Secret::new(vec![1]))), "Some(\n    [secret],\n)");
    }
}
