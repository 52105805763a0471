//! Reads a JSON text into the nodes of a [`Document`](super::Document), with serde_json.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::node::{Kind, Mark, Marks, Node};
use super::{MAX_DEPTH, is_number};

/// The nodes of a text.
pub(super) struct Nodes<'t> {
    text: &'t str,
    pub nodes: Vec<Node>,
    /// Texts that are not in `text` as they are: with escapes, and numbers. Their nodes count
    /// as if this was behind it.
    pub apart: String,
    /// Of the members' names, if the text is an object.
    pub names: Marks,
}

/// Reads a text as strictly as [`parse`](super::parse).
pub(super) fn read(text: &str) -> serde_json::Result<Nodes<'_>> {
    // A name and a value of less than 16 bytes together are rare, so it need not grow.
    let nodes = Vec::with_capacity((text.len() / 8).saturating_add(2));
    let mut nodes = Nodes { text, nodes, apart: String::new(), names: Marks::ANY };
    let mut reader = serde_json::Deserializer::from_str(text);
    Reading { nodes: &mut nodes, depth: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(nodes)
}

/// Up to so many members of an object are compared with each other as they come.
const FEW: usize = 16;

impl Nodes<'_> {
    fn add(&mut self, kind: Kind) {
        self.nodes.push(Node::of_value(kind, self.nodes.len().saturating_add(1)));
    }

    /// Adds a text that is a part of the text read.
    fn add_part(&mut self, part: &str) {
        let from = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let to = from.saturating_add(part.len());
        self.nodes.push(Node::of_text(Kind::Text, from, to));
    }

    /// Adds a text that is not.
    fn add_apart(&mut self, kind: Kind, text: &str) {
        self.add_written(kind, |apart| apart.push_str(text));
    }

    /// Adds a number.
    fn add_number(&mut self, number: impl fmt::Display) {
        self.add_written(Kind::Number, |apart| {
            // Into a String nothing fails.
            let _ = write!(apart, "{number}");
        });
    }

    fn add_written(&mut self, kind: Kind, write: impl FnOnce(&mut String)) {
        // Room for the times of a token.
        const ROOM: usize = 48;
        if self.apart.is_empty() {
            self.apart.reserve(ROOM);
        }
        let before = self.text.len();
        let from = before.saturating_add(self.apart.len());
        write(&mut self.apart);
        let to = before.saturating_add(self.apart.len());
        self.nodes.push(Node::of_text(kind, from, to));
    }

    /// Begins an array or object: its position.
    fn open(&mut self) -> usize {
        self.add(Kind::Null);
        self.nodes.len().saturating_sub(1)
    }

    fn close(&mut self, own: usize, kind: Kind) {
        let next = self.nodes.len();
        if let Some(node) = self.nodes.get_mut(own) {
            *node = Node::of_value(kind, next);
        }
    }

    /// Marks the last node as the name of a member: its mark.
    fn mark_name(&mut self) -> Mark {
        let name = self.nodes.last().and_then(|node| self.text_of(*node));
        let mark = Mark::of(name.unwrap_or_default());
        if let Some(node) = self.nodes.last_mut() {
            node.mark = mark;
        }
        mark
    }

    /// Whether the last node is the name of an earlier member of the object at `own`.
    fn repeats_one(&self, own: usize) -> bool {
        let (Some(last), end) = (self.nodes.last(), self.nodes.len().saturating_sub(1)) else {
            return false;
        };
        let Some(text) = self.text_of(*last) else { return false };
        let is_same =
            |name: Node| name.may_be(last.mark, text.len()) && self.text_of(name) == Some(text);
        self.members(own, end).any(is_same)
    }

    /// Whether all members of the object at `own`, which ends here, have different names.
    fn are_distinct(&self, own: usize) -> bool {
        let mut known = BTreeSet::new();
        self.members(own, self.nodes.len()).all(|name| known.insert(self.text_of(name)))
    }

    /// The names of the members of the object at `own` that end before `end`.
    fn members(&self, own: usize, end: usize) -> impl Iterator<Item = Node> {
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
            Some(from) => self.apart.get(from..to.checked_sub(self.text.len())?),
        }
    }
}

/// Where the next value goes.
struct Reading<'n, 't> {
    nodes: &'n mut Nodes<'t>,
    depth: usize,
}

impl<'t> Reading<'_, 't> {
    fn deeper<E: serde::de::Error>(&mut self) -> Result<Reading<'_, 't>, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Reading { nodes: self.nodes, depth })
    }
}

impl<'t> DeserializeSeed<'t> for Reading<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Reading<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.nodes.add(Kind::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.nodes.add(if value { Kind::True } else { Kind::False });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.nodes.add_number(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.nodes.add_number(value);
        Ok(())
    }

    fn visit_borrowed_str<E>(self, part: &'t str) -> Result<(), E> {
        self.nodes.add_part(part);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.nodes.add_apart(Kind::Text, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut items: A) -> Result<(), A::Error> {
        let own = self.nodes.open();
        while items.next_element_seed(self.deeper()?)?.is_some() {}
        self.nodes.close(own, Kind::Array);
        Ok(())
    }

    /// An object, or a number that is not a 64-bit integer: serde_json passes its text as a
    /// map with one member, whose name [`Name`] distinguishes from a real one.
    fn visit_map<A: MapAccess<'t>>(mut self, mut members: A) -> Result<(), A::Error> {
        let own = self.nodes.open();
        let (mut count, mut names) = (0_usize, Marks::default());
        while let Some(is_name) = members.next_key_seed(Name(self.nodes))? {
            if !is_name {
                let number: String = members.next_value()?;
                if !is_number(&number) {
                    return Err(A::Error::custom("number out of range"));
                }
                self.nodes.nodes.truncate(own);
                self.nodes.add_apart(Kind::Number, &number);
                return Ok(());
            }
            count = count.saturating_add(1);
            let is_perhaps_there = names.add(self.nodes.mark_name());
            if is_perhaps_there && count <= FEW && self.nodes.repeats_one(own) {
                return Err(A::Error::custom("a member appears twice"));
            }
            members.next_value_seed(self.deeper()?)?;
        }
        if count > FEW && !self.nodes.are_distinct(own) {
            return Err(A::Error::custom("a member appears twice"));
        }
        self.nodes.close(own, Kind::Object);
        // The last one to close is the outermost.
        self.nodes.names = names;
        Ok(())
    }
}

/// Where the name of a member goes; false for the one that serde_json invents, which
/// cannot be deserialized as an option: see [`MemberName`](super::MemberName).
struct Name<'n, 't>(&'n mut Nodes<'t>);

impl<'t> DeserializeSeed<'t> for Name<'_, 't> {
    type Value = bool;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'t> Visitor<'t> for Name<'_, 't> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_some<D: Deserializer<'t>>(self, deserializer: D) -> Result<bool, D::Error> {
        let name = Reading { nodes: self.0, depth: 0 };
        deserializer.deserialize_str(name).map(|()| true)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}
