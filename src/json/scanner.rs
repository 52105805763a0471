//! Reads a JSON text into the nodes of a [`Document`](super::Document).
//!
//! Only the structure is read here. What a text with escapes means, and whether a number
//! with a sign, a fraction or an exponent is one, is left to `serde_json`.

use std::collections::BTreeSet;

use super::node::{Kind, Node};
use super::{MAX_DEPTH, is_number};

/// The nodes of a text.
pub(super) struct Scanned {
    pub nodes: Vec<Node>,
    /// The texts that are escaped: their nodes count as if this was behind the text.
    pub unescaped: String,
}

/// Reads a text; `None` unless it is acceptable: see [`parse`](super::parse).
pub(super) fn scan(text: &str) -> Option<Scanned> {
    // A name and a value of less than 16 bytes together are rare, so it need not grow.
    let nodes = Vec::with_capacity((text.len() / 8).saturating_add(2));
    let mut scanner = Scanner { text, at: 0, nodes, unescaped: String::new() };
    scanner.value(0)?;
    scanner.peek().is_none().then_some(())?;
    Some(Scanned { nodes: scanner.nodes, unescaped: scanner.unescaped })
}

/// Up to so many members of an object are compared with each other as they come.
const FEW: usize = 16;

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    nodes: Vec<Node>,
    unescaped: String,
}

impl Scanner<'_> {
    /// The byte after any white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.skip(1);
        }
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.skip(1);
        Some(byte)
    }

    const fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Kind::True),
            b'f' => self.word("false", Kind::False),
            b'n' => self.word("null", Kind::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then_some(())?;
        self.skip(word.len());
        self.nodes.push(Node::of_value(kind, self.nodes.len().saturating_add(1)));
        Some(())
    }

    /// A number: nearly always a time in seconds.
    fn number(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_of_number =
            |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = match rest.get(digits) {
            Some(byte) if is_of_number(&byte) => rest.iter().take_while(is_of_number).count(),
            _ => digits,
        };
        let (from, to) = (self.at, self.at.saturating_add(length));
        let is_plain =
            digits == length && length < 19 && (length == 1 || rest.first() != Some(&b'0'));
        if !is_plain {
            is_number(self.text.get(from..to)?).then_some(())?;
        }
        self.nodes.push(Node::of_text(Kind::Number, from, to));
        self.at = to;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let from = self.at.saturating_add(1);
        let rest = self.text.as_bytes().get(from..)?;
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        let to = from.saturating_add(length);
        match rest.get(length)? {
            b'"' => {
                self.nodes.push(Node::of_text(Kind::Text, from, to));
                self.at = to.saturating_add(1);
                Some(())
            }
            b'\\' => self.escaped(to),
            _ => None,
        }
    }

    /// A string of which the first escape is at this position.
    #[cold]
    fn escaped(&mut self, mut end: usize) -> Option<()> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => end = end.saturating_add(2),
                _ => end = end.saturating_add(1),
            }
        }
        let end = end.saturating_add(1);
        let text: String = serde_json::from_str(self.text.get(self.at..end)?).ok()?;
        let from = self.text.len().saturating_add(self.unescaped.len());
        self.unescaped.push_str(&text);
        self.nodes.push(Node::of_text(Kind::Text, from, from.saturating_add(text.len())));
        self.at = end;
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let depth = deeper(depth)?;
        let own = self.open();
        if self.peek()? == b']' {
            self.skip(1);
        } else {
            loop {
                self.value(depth)?;
                match self.take()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.close(own, Kind::Array)
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let own = self.open();
        if self.peek()? == b'}' {
            self.skip(1);
            return self.close(own, Kind::Object);
        }
        let depth = deeper(depth)?;
        let mut members = 0_usize;
        loop {
            (self.peek()? == b'"').then_some(())?;
            self.string()?;
            members = members.saturating_add(1);
            if members <= FEW && self.repeats_one(own) {
                return None;
            }
            (self.take()? == b':').then_some(())?;
            self.value(depth)?;
            match self.take()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        (members <= FEW || self.are_distinct(own)).then_some(())?;
        self.close(own, Kind::Object)
    }

    /// Begins an array or object: its position.
    fn open(&mut self) -> usize {
        self.skip(1);
        self.nodes.push(Node::of_value(Kind::Null, 0));
        self.nodes.len().saturating_sub(1)
    }

    fn close(&mut self, own: usize, kind: Kind) -> Option<()> {
        let next = self.nodes.len();
        *self.nodes.get_mut(own)? = Node::of_value(kind, next);
        Some(())
    }

    /// Whether the last node is the name of an earlier member of the object at `own`.
    fn repeats_one(&self, own: usize) -> bool {
        let (Some(last), end) = (self.nodes.last(), self.nodes.len().saturating_sub(1)) else {
            return false;
        };
        let mut names = self.names(own, end);
        names.any(|name| name.bytes() == last.bytes() && self.text_of(name) == self.text_of(*last))
    }

    /// Whether all members of the object at `own`, which ends here, have different names.
    fn are_distinct(&self, own: usize) -> bool {
        let mut known = BTreeSet::new();
        self.names(own, self.nodes.len()).all(|name| known.insert(self.text_of(name)))
    }

    /// The names of the members of the object at `own` that end before `end`.
    fn names(&self, own: usize, end: usize) -> impl Iterator<Item = Node> {
        let mut at = own.saturating_add(1);
        std::iter::from_fn(move || {
            let name = *self.nodes.get(at).filter(|_| at < end)?;
            let value = at.saturating_add(1);
            at = self.nodes.get(value)?.next(value);
            Some(name)
        })
    }

    fn text_of(&self, node: Node) -> Option<&str> {
        let (from, to) = node.range();
        match from.checked_sub(self.text.len()) {
            None => self.text.get(from..to),
            Some(from) => self.unescaped.get(from..to.checked_sub(self.text.len())?),
        }
    }
}

/// One level deeper. An empty object has no level of its own, as in
/// [`parse`](super::parse).
fn deeper(depth: usize) -> Option<usize> {
    let depth = depth.saturating_add(1);
    (depth <= MAX_DEPTH).then_some(depth)
}
