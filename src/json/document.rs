//! An object as one text and a flat index of it.
//!
//! A token's claims are read once and asked for a few names. As a tree, each name and each
//! text in them would be a block of memory of its own; here all of them stay in the text
//! that was received, and the index says where.

use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::node::{Kind, Mark, Marks, Node, position};
use super::reading::{Nodes, read};
use super::view::{Inside, Json, Members};

/// An object, parsed as strictly as [`parse_object`](super::parse_object) does: a member
/// that is `null` counts as absent.
#[derive(Clone, Default)]
pub struct Document {
    /// The text as received, and behind it the numbers, and the texts that it contains only
    /// in an escaped form.
    text: String,
    nodes: Vec<Node>,
    /// Of the members' names.
    names: Marks,
}

/// A text that is not an acceptable JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnObject;

impl Document {
    /// Parses a text that must be an object.
    pub fn parse(text: Vec<u8>) -> Result<Self, NotAnObject> {
        let text = String::from_utf8(text).map_err(|_| NotAnObject)?;
        let Nodes { nodes, apart, names, .. } = read(&text).map_err(|_| NotAnObject)?;
        let mut document = Self { text, nodes, names };
        document.text.push_str(&apart);
        match document.nodes.first() {
            Some(Node { kind: Kind::Object, .. }) => Ok(document),
            _ => Err(NotAnObject),
        }
    }

    /// The object with these members.
    pub fn of(members: &Map<String, Value>) -> Self {
        let mut document = Self { names: Marks::ANY, ..Self::default() };
        document.push(Json::Object(members.into()));
        document
    }

    /// Its members.
    pub fn members(&self) -> Members<'_> {
        Members::of(Inside::of(&self.text, &self.nodes, 0, self.names))
    }

    /// The member called `name`.
    pub fn get(&self, name: &str) -> Option<Json<'_>> {
        self.members().get(name)
    }

    /// Adds a member that is not there yet.
    pub fn add_text(&mut self, name: &str, value: &str) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::of_value(Kind::Object, 1));
        }
        self.push_name(name);
        self.names.add(Mark::of(name));
        self.push(Json::Text(value));
        self.close(0);
    }

    /// Removes the members whose names are not `kept`.
    pub fn retain(&mut self, kept: impl Fn(&str) -> bool) {
        let mut at = 1_usize;
        while let Some(value) = self.nodes.get(at.saturating_add(1)).copied() {
            let own = at.saturating_add(1);
            let (next, is_kept) = (value.next(own), self.text_at(at).is_some_and(&kept));
            if let Some(node) = self.nodes.get_mut(own).filter(|_| !is_kept) {
                *node = Node::of_value(Kind::Null, next);
            }
            at = next;
        }
    }

    /// Its memory, in bytes.
    pub const fn bytes(&self) -> usize {
        let nodes = self.nodes.capacity().saturating_mul(size_of::<Node>());
        self.text.capacity().saturating_add(nodes)
    }

    fn push(&mut self, value: Json<'_>) {
        let own = self.nodes.len();
        let next = own.saturating_add(1);
        match value {
            Json::Null => self.nodes.push(Node::of_value(Kind::Null, next)),
            Json::Bool(false) => self.nodes.push(Node::of_value(Kind::False, next)),
            Json::Bool(true) => self.nodes.push(Node::of_value(Kind::True, next)),
            Json::Number(text) => self.push_text(Kind::Number, text),
            Json::Text(text) => self.push_text(Kind::Text, text),
            Json::Array(items) => {
                self.nodes.push(Node::of_value(Kind::Array, next));
                items.iter().for_each(|item| self.push(item));
                self.close(own);
            }
            Json::Object(members) => {
                self.nodes.push(Node::of_value(Kind::Object, next));
                for (name, value) in members.iter() {
                    self.push_name(name);
                    self.push(value);
                }
                self.close(own);
            }
        }
    }

    fn push_name(&mut self, name: &str) {
        self.push_text(Kind::Text, name);
        if let Some(node) = self.nodes.last_mut() {
            node.mark = Mark::of(name);
        }
    }

    fn push_text(&mut self, kind: Kind, text: &str) {
        let from = self.text.len();
        self.text.push_str(text);
        self.nodes.push(Node::of_text(kind, from, self.text.len()));
    }

    /// Ends the array or object at `own` here.
    fn close(&mut self, own: usize) {
        let next = position(self.nodes.len());
        if let Some(node) = self.nodes.get_mut(own) {
            node.to = next;
        }
    }

    fn text_at(&self, at: usize) -> Option<&str> {
        let (from, to) = self.nodes.get(at)?.range();
        self.text.get(from..to)
    }
}

impl<'a> From<&'a Document> for Members<'a> {
    fn from(document: &'a Document) -> Self {
        document.members()
    }
}

impl<'a> From<&'a Rc<Document>> for Members<'a> {
    fn from(document: &'a Rc<Document>) -> Self {
        document.members()
    }
}

impl fmt::Debug for Document {
    /// Names only: the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members().iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

    /// Texts whose readings by both readers are compared.
    const TEXTS: [&str; 50] = [
        r#"{"iss":"https://auth.example","aud":["a","b"],"exp":1764000000,"x":{"y":[{}]}}"#,
        r" { } ",
        "{\"a\"\t:\n1 ,\r\"b\": 2}",
        r#"{"a":"\u00e9\n\"\\\/","\u0062":"x"}"#,
        r#"{"a":"\ud83d\ude00"}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\"#,
        r#"{"a":""#,
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"é\u{7f}\"}",
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":null,"a":1}"#,
        // Names with one mark.
        r#"{"a1b":1,"a2b":2,"a3b":3}"#,
        r#"{"a1b":1,"a2b":2,"a1b":3}"#,
        r#"{"a":[{"b":1,"b":2}]}"#,
        r#"{"a":null,"b":[null,{"c":null}],"d":{"e":null,"f":1}}"#,
        r#"{"a":true,"b":false}"#,
        r#"{"a":tru}"#,
        r#"{"a":truee}"#,
        r#"{"a":nul"#,
        r#"{"a":0,"b":-0,"c":-1,"d":1.50,"e":1e2,"f":1E-2,"g":18446744073709551616}"#,
        r#"{"a":01}"#,
        r#"{"a":-}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":1.5.3}"#,
        r#"{"a":1-2}"#,
        r#"{"a":1e999}"#,
        r#"{"a":1e-99999999999999999999}"#,
        r#"{"a":NaN}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a" 1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[,1]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":[1,2}"#,
        r#"{a:1}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        "{}{}",
        "{} x",
        "\u{feff}{}",
        "[]",
        "7",
        "",
    ];

    fn as_tree(document: &Document) -> Map<String, Value> {
        document.members().to_map()
    }

    #[test]
    fn both_readers_read_the_same() {
        let nested = |levels: usize, inside: &str| {
            format!(r#"{{"a":{}{inside}{}}}"#, "[".repeat(levels), "]".repeat(levels))
        };
        let deep = [(31, ""), (32, ""), (31, "{}"), (30, r#"{"a":1}"#), (31, r#"{"a":1}"#)];
        let deep = deep.map(|(levels, inside)| nested(levels, inside));
        let many = |last: &str| {
            let members: Vec<_> = (0..100).map(|at| format!(r#""m{at}":{at}"#)).collect();
            format!(r#"{{{},"{last}":1}}"#, members.join(","))
        };
        let many = [many("m100"), many("m0"), many("m99"), many("m50")];
        let texts = TEXTS.into_iter().map(str::to_owned).chain(deep).chain(many);
        for text in texts {
            let expected = parse_object(text.as_bytes()).ok();
            let found = Document::parse(text.clone().into_bytes()).ok();
            assert_eq!(found.as_ref().map(as_tree), expected, "{text}");
            let Some(expected) = expected else { continue };
            let written = serde_json::to_string(&found.unwrap().members()).unwrap();
            assert_eq!(written, Value::Object(expected.clone()).to_string(), "{text}");
            assert_eq!(as_tree(&Document::of(&expected)), expected, "{text}");
        }
        assert!(Document::parse(b"{\"a\":\"\xff\"}".to_vec()).is_err(), "not UTF-8");
    }

    #[test]
    fn members_are_found_by_name() {
        let text = br#"{"a":{"sub":"no","b":[{"sub":1}]},"sub":"al\u0069ce","n":null,"z":7}"#;
        let mut document = Document::parse(text.to_vec()).unwrap();
        assert_eq!(document.get("sub").and_then(Json::as_str), Some("alice"));
        assert_eq!(document.get("z").map(Json::to_value), Some(7.into()));
        assert!(document.get("n").is_none() && document.get("b").is_none());
        document.add_text("client", "web");
        assert_eq!(document.get("client").and_then(Json::as_str), Some("web"));
        document.retain(|name| name != "a" && name != "z");
        let kept: Vec<_> = document.members().iter().map(|(name, _)| name).collect();
        assert_eq!(kept, ["sub", "client"]);
        assert_eq!(format!("{document:?}"), r#"{"sub", "client"}"#);
        let alike = Document::parse(br#"{"a1b":1,"a2b":2}"#.to_vec()).unwrap();
        assert_eq!(alike.get("a2b").map(Json::to_value), Some(2.into()));
        assert!(alike.get("a3b").is_none());
        let mut empty = Document::default();
        empty.add_text("sub", "bob");
        assert_eq!(empty.get("sub").and_then(Json::as_str), Some("bob"));
    }
}
