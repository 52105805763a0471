//! The scopes of a token.

use crate::distinct::Distinct;
use crate::json::{Document, Items, Json};

/// Scopes in their order, each once.
///
/// As one text with spaces between them, the form of a `scope` claim (RFC 8693 section
/// 4.2): a gateway remembers them for each of its tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(Box<str>);

impl Scopes {
    /// These scopes; `bytes` is the size of the text that they come from.
    fn of<'a>(scopes: impl Iterator<Item = &'a str>, bytes: usize) -> Self {
        let (mut text, mut known) = (String::with_capacity(bytes), Distinct::default());
        for scope in scopes.filter(|scope| known.add(scope)) {
            let separator = if text.is_empty() { "" } else { " " };
            text.push_str(separator);
            text.push_str(scope);
        }
        Self(text.into())
    }

    /// Those of a token, in its order: from `scope` (RFC 8693 section 4.2), else `scp` or
    /// `scopes`, as a list or separated by spaces.
    pub fn in_claims(claims: &Document) -> Self {
        let claim = ["scope", "scp", "scopes"].into_iter().find_map(|name| claims.get(name));
        let text = claim.and_then(Json::as_str).into_iter().flat_map(|text| text.split(' '));
        let items = claim.and_then(Json::as_array).into_iter().flat_map(Items::iter);
        // RFC 6749 section 3.3; a list element with a space in it would become two scopes
        // when it is joined again.
        let is_scope = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        };
        let bytes = claim.map_or(0, Json::text_bytes);
        Self::of(text.chain(items.filter_map(Json::as_str)).filter(is_scope), bytes)
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
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_with_scopes() {
        for (case, value, expected) in [
            ("words", json!({"scope": "read  write read"}), &["read", "write"][..]),
            ("scp list", json!({"scp": ["read", "write"]}), &["read", "write"]),
            ("scp words", json!({"scp": "read write"}), &["read", "write"]),
            ("scopes list", json!({"scopes": ["read"]}), &["read"]),
            ("scope before scp", json!({"scope": "a", "scp": "b"}), &["a"]),
            ("an element of two words", json!({"scp": ["read admin"]}), &[]),
            ("not a scope at all", json!({"scope": 7}), &[]),
            ("absent", json!({}), &[]),
        ] {
            let claims = Document::of(value.as_object().unwrap());
            assert_eq!(Scopes::in_claims(&claims).to_vec(), expected, "{case}");
        }
    }

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
