//! The scopes of a token.

/// Scopes in their order, each once.
///
/// As one text with spaces between them, the form of a `scope` claim (RFC 8693 section
/// 4.2): a gateway remembers them for each of its tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Box<str>);

impl Scopes {
    /// These scopes; `bytes` is the size of the text that they come from.
    pub(super) fn of<'a>(scopes: impl Iterator<Item = &'a str>, bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        for scope in scopes {
            if !text.split(' ').any(|known| known == scope) {
                let separator = if text.is_empty() { "" } else { " " };
                text.push_str(separator);
                text.push_str(scope);
            }
        }
        Self(text.into())
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }

    /// With a space between two.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `scope` is one of them.
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|own| own == scope)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One by one.
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<T: IntoIterator<Item = &'a str>>(scopes: T) -> Self {
        Self::of(scopes.into_iter(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_in_order() {
        for (case, scopes, expected) in [
            ("none", &[][..], ""),
            ("one", &["read"], "read"),
            ("two", &["read", "write"], "read write"),
            ("one twice", &["read", "write", "read"], "read write"),
            ("a part of another", &["reads", "read"], "reads read"),
        ] {
            let found: Scopes = scopes.iter().copied().collect();
            assert_eq!(found.as_str(), expected, "{case}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{case}");
            assert!(scopes.iter().all(|scope| found.contains(scope)), "{case}");
            assert!(!found.contains("") && !found.contains("rea"), "{case}");
        }
        let found: Scopes = ["b", "a"].into_iter().collect();
        assert_eq!(found.to_vec(), ["b", "a"]);
    }
}
