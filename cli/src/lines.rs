//! The lines of what is in a file, by JSON path.
//!
//! Only where things are: [`yaml`](crate::yaml) says what they are. What cannot be read
//! has no lines.

use std::rc::Rc;

use crate::tree::{self, Content, Node};

/// The lines of a file.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    documents: Vec<Rc<Node>>,
    /// How many lines of the file come before them.
    before: usize,
}

impl Lines {
    /// The lines of a text that is YAML, or JSON; none, if it is not.
    pub fn of(text: &str) -> Self {
        Self::after(text, 0)
    }

    /// With so many lines before them.
    fn after(text: &str, before: usize) -> Self {
        let documents = tree::documents(text).unwrap_or_default();
        let documents = documents.into_iter().filter(|document| !document.is_nothing());
        Self { documents: documents.collect(), before }
    }

    /// The line of what is at a path, or of the nearest thing around it.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.below(path.strip_prefix('$')?)
    }

    /// The line before the text at a path, where the lines of that text are the file's.
    pub fn before_text(&self, path: &str) -> Option<usize> {
        let (node, rest) = self.document(path.strip_prefix('$')?)?;
        before_text(node, rest).map(|line| self.of_file(line))
    }

    fn below(&self, path: &str) -> Option<usize> {
        let (node, rest) = self.document(path)?;
        Some(self.line_of(node, rest, node.line))
    }

    /// The document that a path is in, and its path there.
    fn document<'p>(&self, path: &'p str) -> Option<(&Node, &'p str)> {
        match self.documents.as_slice() {
            [] => None,
            [only] => Some((only, path)),
            several => {
                let (position, rest) = position(path)?;
                Some((several.get(position)?, rest))
            }
        }
    }

    /// The line of what is below, if it is there; else `own`.
    fn line_of(&self, node: &Node, path: &str, own: usize) -> usize {
        let found = match &node.content {
            Content::Members(_) => {
                member(node, path).map(|(line, node, rest)| self.line_of(node, rest, line))
            }
            Content::Items(items) => position(path).and_then(|(at, rest)| {
                let node = items.get(at)?;
                Some(self.line_of(node, rest, node.line))
            }),
            Content::Scalar { text, is_block: true, .. } if !path.is_empty() => {
                let before = before_text(node, "").map(|line| self.of_file(line));
                before.and_then(|before| Self::after(text, before).below(path))
            }
            Content::Scalar { .. } => None,
        };
        found.unwrap_or_else(|| self.of_file(own))
    }

    const fn of_file(&self, line: usize) -> usize {
        line.saturating_add(self.before)
    }
}

/// The member with which a path begins, or that of a mapping which is merged by `<<`; its
/// line, and what comes after it.
fn member<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(usize, &'n Node, &'p str)> {
    let members = match &node.content {
        Content::Members(members) => members,
        Content::Items(several) => return several.iter().find_map(|one| member(one, path)),
        Content::Scalar { .. } => return None,
    };
    let below = members.iter().filter_map(|(name, node)| {
        let text = name.text().unwrap_or_default();
        Some((text.len(), name.line, &**node, after_name(path, text)?))
    });
    // A name may have dots: the longest that fits is meant.
    let longest = below.max_by_key(|(length, ..)| *length);
    let own = longest.map(|(_, line, node, rest)| (line, node, rest));
    own.or_else(|| {
        let mut merged = members.iter().filter(|(name, _)| name.text() == Some("<<"));
        merged.find_map(|(_, node)| member(node, path))
    })
}

/// The line before a text, where its lines are the file's: a block begins with its first
/// line, not with the |.
fn before_text(node: &Node, path: &str) -> Option<usize> {
    match &node.content {
        Content::Scalar { is_block, .. } => {
            (*is_block && path.is_empty()).then(|| node.line.saturating_sub(1))
        }
        Content::Members(_) => member(node, path).and_then(|(_, it, rest)| before_text(it, rest)),
        Content::Items(items) => {
            let (at, rest) = position(path)?;
            before_text(items.get(at)?, rest)
        }
    }
}

/// What comes after a member of that name at the beginning of a path.
fn after_name<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let quoted = format!("[{}]", serde_json::Value::from(name));
    let rest = match path.strip_prefix('.') {
        Some(rest) => rest.strip_prefix(name)?,
        None => path.strip_prefix(&quoted)?,
    };
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

/// A position in a list at the beginning of a path, and what comes after it.
fn position(path: &str) -> Option<(usize, &str)> {
    let (position, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((position.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_things_are() {
        let text = "# A comment.\n\
            providers:\n  \
              shop:\n    \
                issuer: &own https://a\n    \
                audiences:\n    \
                - one\n    \
                - two\n  \
              my.shop: {issuer: *own}\n\
            rules:\n\
            - match:\n    \
                path: /a\n\
            - {match: {path: /b}}\n\
            text: |\n  \
              {\n  \
                \"services\": {\n  \
                  \"a\": {}}}\n";
        let lines = Lines::of(text);
        for (path, expected) in [
            ("$", 2),
            ("$.providers", 2),
            ("$.providers.shop", 3),
            ("$.providers.shop.issuer", 4),
            ("$.providers.shop.audiences[1]", 7),
            ("$.providers.shop.surplus", 3),
            ("$.providers.my.shop.issuer", 8),
            ("$.providers[\"my.shop\"].issuer", 8),
            ("$.rules[0]", 10),
            ("$.rules[0].match.path", 11),
            ("$.rules[1].match", 12),
            ("$.rules[2]", 9),
            ("$.text.services.a", 16),
            ("$.text.services.b", 15),
            ("$.nothing", 2),
        ] {
            assert_eq!(lines.line(path), Some(expected), "{path}");
        }
        let two = Lines::of("---\n---\na: 1\n---\nb:\n  c: 1\n");
        assert_eq!(two.line("$[0].a"), Some(3), "an empty document does not count");
        assert_eq!(two.line("$[1].b.c"), Some(6));
        assert_eq!(Lines::of("a: [").line("$.a"), None);
        let merged = Lines::of("a: &a\n  x: 1\nb: &b {y: 1}\nc:\n  <<: [*a, *b]\n  z: 1\n");
        for (path, expected) in [("$.c.x", 2), ("$.c.y", 3), ("$.c.z", 6), ("$.c.w", 4)] {
            assert_eq!(merged.line(path), Some(expected), "{path}");
        }
        assert_eq!(lines.before_text("$.text"), Some(13));
        assert_eq!(lines.before_text("$.rules"), None);
        let json = Lines::of("{\n  \"a\": {\n\t\"b\": 1\n  }\n}");
        assert_eq!(json.line("$.a.b"), Some(3));
    }
}
