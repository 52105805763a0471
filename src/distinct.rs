//! A set of texts that does not allocate while it is small.

use std::collections::BTreeSet;

/// Up to this many texts are compared one by one.
const FEW: usize = 16;

/// A set of texts.
///
/// A few texts are compared one by one, which does not allocate. With thousands of texts
/// that would occupy a worker for seconds, and the author of a token or a reply controls how
/// many there are.
#[derive(Default)]
pub(crate) struct Distinct<'a> {
    few: [&'a str; FEW],
    len: usize,
    /// All of them, once there are more than a few.
    many: BTreeSet<&'a str>,
}

impl<'a> Distinct<'a> {
    /// Whether the set contains `text`.
    pub(crate) fn has(&self, text: &str) -> bool {
        if self.many.is_empty() { self.few().contains(&text) } else { self.many.contains(text) }
    }

    /// Adds a text; false if the set contains it already.
    pub(crate) fn add(&mut self, text: &'a str) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(text);
        }
        if self.few().contains(&text) {
            return false;
        }
        if let Some(free) = self.few.get_mut(self.len) {
            *free = text;
            self.len = self.len.saturating_add(1);
        } else {
            self.many.extend(self.few);
            self.many.insert(text);
        }
        true
    }

    fn few(&self) -> &[&'a str] {
        self.few.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_once_however_many_there_are() {
        let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let mut known = Distinct::default();
        assert!(!known.has("") && !known.has("0"));
        for (at, text) in texts.iter().enumerate() {
            assert!(known.add(text), "{text} is new");
            assert!(texts.iter().take(at + 1).all(|text| known.has(text)), "after {text}");
            assert!(texts.iter().take(at + 1).all(|text| !known.add(text)), "after {text}");
            assert!(texts.iter().skip(at + 1).all(|text| !known.has(text)), "after {text}");
        }
        assert!(known.add("") && !known.add("") && known.has(""));
    }
}
