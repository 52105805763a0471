//! Values to look at, whether they are in a tree or in a [`Document`](super::Document).

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::Decimal;
use super::node::{Kind, Mark, Marks, Node};

/// A JSON value that is stored elsewhere.
#[derive(Clone, Copy)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, by its text.
    Number(&'a str),
    /// A string.
    Text(&'a str),
    /// An array.
    Array(Items<'a>),
    /// An object.
    Object(Members<'a>),
}

/// The items of an array.
#[derive(Clone, Copy)]
pub struct Items<'a>(Stored<'a, [Value]>);

/// The members of an object.
#[derive(Clone, Copy)]
pub struct Members<'a>(Stored<'a, Map<String, Value>>);

enum Stored<'a, T: ?Sized> {
    Tree(&'a T),
    Document(Inside<'a>),
}

impl<T: ?Sized> Clone for Stored<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Stored<'_, T> {}

impl<'a> Json<'a> {
    /// Whether it is `null`.
    pub const fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// A string.
    pub const fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a number.
    pub const fn as_number(self) -> Option<&'a str> {
        match self {
            Self::Number(text) => Some(text),
            _ => None,
        }
    }

    /// An array.
    pub const fn as_array(self) -> Option<Items<'a>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// An object.
    pub const fn as_object(self) -> Option<Members<'a>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member called `name` of an object.
    pub fn get(self, name: &str) -> Option<Self> {
        self.as_object()?.get(name)
    }

    /// Copies the value into a tree.
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is_true) => Value::Bool(is_true),
            Self::Number(text) => text.parse().map_or(Value::Null, Value::Number),
            Self::Text(text) => Value::String(text.to_owned()),
            Self::Array(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Self::Object(members) => Value::Object(members.to_map()),
        }
    }

    /// The size of the texts in it, in bytes: less than its JSON.
    pub fn text_bytes(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Array(items) => items.iter().map(Json::text_bytes).fold(0, usize::saturating_add),
            Self::Object(members) => {
                let of =
                    |(name, value): (&str, Json<'_>)| name.len().saturating_add(value.text_bytes());
                members.iter().map(of).fold(0, usize::saturating_add)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
        }
    }
}

impl<'a> From<&'a Value> for Json<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is_true) => Self::Bool(*is_true),
            Value::Number(number) => Self::Number(number.as_str()),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::Array(Items(Stored::Tree(items))),
            Value::Object(members) => Self::Object(members.into()),
        }
    }
}

impl PartialEq<&str> for Json<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl fmt::Debug for Json<'_> {
    /// Its type only: it may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        })
    }
}

impl fmt::Display for Json<'_> {
    /// As JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(is_true) => serializer.serialize_bool(is_true),
            // Nearly always a time in seconds, which has the same text again. `-0` has not.
            Self::Number(text) => match text.parse::<u64>() {
                Ok(number) => serializer.serialize_u64(number),
                Err(_) => text.parse::<Number>().map_err(S::Error::custom)?.serialize(serializer),
            },
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items.iter()),
            Self::Object(members) => members.serialize(serializer),
        }
    }
}

impl<'a> Items<'a> {
    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Json<'a>> + Clone {
        let (tree, document) = match self.0 {
            Stored::Tree(items) => (items, None),
            Stored::Document(inside) => (&[][..], Some(inside)),
        };
        tree.iter().map(Json::from).chain(document.into_iter().flatten())
    }
}

impl<'a> From<Inside<'a>> for Items<'a> {
    fn from(inside: Inside<'a>) -> Self {
        Self(Stored::Document(inside))
    }
}

impl<'a> Members<'a> {
    pub(super) const fn of(inside: Inside<'a>) -> Self {
        Self(Stored::Document(inside))
    }

    /// The member called `name`.
    pub fn get(self, name: &str) -> Option<Json<'a>> {
        match self.0 {
            Stored::Tree(members) => members.get(name).map(Json::from),
            Stored::Document(inside) => inside.member(name),
        }
    }

    /// Whether there is a member called `name`.
    pub fn contains_key(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Json<'a>)> + Clone {
        let (tree, document) = match self.0 {
            Stored::Tree(members) => (Some(members), None),
            Stored::Document(inside) => (None, Some(inside.into_members())),
        };
        let tree =
            tree.into_iter().flatten().map(|(name, value)| (name.as_str(), Json::from(value)));
        tree.chain(document.into_iter().flatten())
    }

    /// In the order of their names, as in a tree.
    pub fn sorted(self) -> BTreeMap<&'a str, Json<'a>> {
        // Inserted one by one: `collect` would bring a copy of the sorting code.
        let mut sorted = BTreeMap::new();
        for (name, value) in self.iter() {
            sorted.insert(name, value);
        }
        sorted
    }

    /// Copies the members into a tree.
    pub fn to_map(self) -> Map<String, Value> {
        match self.0 {
            Stored::Tree(members) => members.clone(),
            Stored::Document(_) => {
                super::object(self.iter().map(|(name, value)| (name.to_owned(), value.to_value())))
            }
        }
    }
}

impl<'a> From<&'a Map<String, Value>> for Members<'a> {
    fn from(members: &'a Map<String, Value>) -> Self {
        Self(Stored::Tree(members))
    }
}

impl Serialize for Members<'_> {
    /// In the order of their names, as a tree is written.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Stored::Tree(members) => members.serialize(serializer),
            Stored::Document(_) => serializer.collect_map(self.sorted()),
        }
    }
}

/// What an array or object of a document contains: its items, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Inside<'a> {
    text: &'a str,
    nodes: &'a [Node],
    at: usize,
    end: usize,
    /// Of the names in it.
    names: Marks,
}

impl<'a> Inside<'a> {
    /// Inside of the array or object at `own`; of an object with these `names`.
    pub(super) fn of(text: &'a str, nodes: &'a [Node], own: usize, names: Marks) -> Self {
        let end = nodes.get(own).map_or(0, |node| node.range().1);
        Self { text, nodes, at: own.saturating_add(1), end, names }
    }

    fn text_of(self, node: Node) -> Option<&'a str> {
        let (from, to) = node.range();
        self.text.get(from..to)
    }

    fn value(self, at: usize) -> Option<Json<'a>> {
        let node = *self.nodes.get(at)?;
        let inside = || Self::of(self.text, self.nodes, at, Marks::ANY);
        Some(match node.kind {
            Kind::Null => Json::Null,
            Kind::False => Json::Bool(false),
            Kind::True => Json::Bool(true),
            Kind::Number => Json::Number(self.text_of(node)?),
            Kind::Text => Json::Text(self.text_of(node)?),
            Kind::Array => Json::Array(inside().into()),
            Kind::Object => Json::Object(Members::of(inside())),
        })
    }

    /// The member of an object called `name`, unless it is `null`.
    pub(super) fn member(self, name: &str) -> Option<Json<'a>> {
        let (Self { mut at, end, names, .. }, mark) = (self, Mark::of(name));
        while at < end && names.may_have(mark) {
            let node = self.nodes.get(at)?;
            let value = at.saturating_add(1);
            if node.may_be(mark, name.len())
                && self.text_of(*node) == Some(name)
                && let Some(value) = self.value(value).filter(|value| !value.is_null())
            {
                return Some(value);
            }
            at = self.nodes.get(value)?.next(value);
        }
        None
    }

    /// The members of an object that are not `null`.
    pub(super) fn into_members(mut self) -> impl Iterator<Item = (&'a str, Json<'a>)> + Clone {
        std::iter::from_fn(move || {
            loop {
                let name = self.next()?.as_str()?;
                let value = self.next()?;
                if !value.is_null() {
                    return Some((name, value));
                }
            }
        })
    }
}

impl<'a> Iterator for Inside<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        if self.at >= self.end {
            return None;
        }
        let value = self.value(self.at)?;
        self.at = self.nodes.get(self.at)?.next(self.at);
        Some(value)
    }
}

/// Whether two values are equal; numbers by their exact value, so `3` equals `3.0`.
pub fn is_same<'a>(one: impl Into<Json<'a>>, other: impl Into<Json<'a>>) -> bool {
    are_same(one.into(), other.into())
}

fn are_same(one: Json<'_>, other: Json<'_>) -> bool {
    match (one, other) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(one), Json::Bool(other)) => one == other,
        (Json::Number(one), Json::Number(other)) => match [one, other].map(str::parse::<i64>) {
            // Nearly always, and without memory.
            [Ok(one), Ok(other)] => one == other,
            _ => Decimal::of(one) == Decimal::of(other),
        },
        (Json::Text(one), Json::Text(other)) => one == other,
        (Json::Array(one), Json::Array(other)) => {
            let (mut one, mut other) = (one.iter(), other.iter());
            loop {
                match (one.next(), other.next()) {
                    (None, None) => return true,
                    (Some(one), Some(other)) if are_same(one, other) => {}
                    _ => return false,
                }
            }
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| {
                    other.get(name).is_some_and(|other| are_same(value, other))
                })
        }
        _ => false,
    }
}
