//! Text as hosts read YAML: scalars without quotes by the host's own rules, merge keys
//! resolved where the host resolves them.
//!
//! Kubernetes and Kong know merge keys; Envoy knows anchors and aliases only, and leaves
//! out members whose name has the tag `!ignore`. Text that they read differently is
//! refused: a repeated key, another tag, an invalid number.

mod plain;

use std::rc::Rc;

use gatepass::json;
use serde::Deserialize as _;
use serde::de::IgnoredAny;
use serde_json::map::Entry;
use serde_json::{Map, Value};

pub use self::plain::Reader;
use self::plain::{Plain, agree, looks};
use crate::text::step;
use crate::tree::{self, Content, Node};
use crate::unreadable::Unreadable;

/// What is in a text.
#[derive(Debug, Default)]
pub struct Text {
    /// The documents that say something.
    pub documents: Vec<Value>,
    /// The scalars that may not mean what they look like.
    pub surprises: Vec<Surprise>,
}

/// A scalar without quotes that may not mean what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surprise {
    /// Where it is, as a JSON path in the file.
    pub path: String,
    /// What it means, and what to write.
    pub text: String,
    /// `text` without the scalar itself, which may be a secret.
    pub discreet: String,
    /// Whether it is a word for true or false, to all readers alike.
    pub is_flag: bool,
    /// Whether it is a name that the reader would not take as it is written.
    pub is_not_text: bool,
}

impl Surprise {
    /// With its path in the file that contains this one, which is at `path` there.
    pub fn within(self, path: &str) -> Self {
        let below = self.path.strip_prefix('$').unwrap_or(&self.path);
        Self { path: format!("{path}{below}"), ..self }
    }
}

/// Whether a value is a file of Envoy's, or a piece of one.
pub fn is_of_envoy(document: &Value) -> bool {
    let has = |name: &&str| document.get(*name).is_some();
    OF_ENVOY.iter().any(has) && !["_format_version", "apiVersion", "providers"].iter().any(has)
}

/// Whether every reader takes a scalar without quotes for this text.
pub fn is_plain_text(text: &str) -> bool {
    let own = Plain::Value(text.into());
    agree(&own, &looks(text)) && Reader::ALL.iter().all(|reader| agree(&own, &reader.read(text)))
}

/// Reads a text. `reader`: of what is not a file of a host.
pub fn read(text: &str, reader: Reader) -> Result<Text, Unreadable> {
    // A byte order mark is none of the text (YAML 1.2 section 5.2); here it would pass for
    // a document of its own.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // One parser says best what is wrong; the other says what is written.
    let mut documents = serde_norway::Deserializer::from_str(text);
    let strict = documents.try_for_each(|it| IgnoredAny::deserialize(it).map(drop));
    let strict = strict.map_err(|error| Unreadable::yaml(text, &error));
    let composed = tree::documents(text).map(|nodes| composed(text, nodes, reader));
    match (composed, strict) {
        // Its lines are those of what is wrong.
        (Ok(Err(error)), _) => Err(Unreadable::other_than_yaml(text).unwrap_or(error)),
        (_, Err(error)) => Err(error),
        (Ok(read), Ok(())) => read,
        (Err(tree::Error::Deep(line)), Ok(())) => Err(Unreadable::deep(line)),
        (Err(tree::Error::At(line)), Ok(())) => Err(Unreadable::not_by_all(text, line)),
    }
}

fn composed(text: &str, nodes: Vec<Rc<Node>>, reader: Reader) -> Result<Text, Unreadable> {
    let nodes: Vec<_> = nodes.into_iter().filter(|node| !node.is_nothing()).collect();
    let mut read = Text::default();
    for (position, node) in nodes.iter().enumerate() {
        let path = if nodes.len() == 1 { "$".to_owned() } else { format!("$[{position}]") };
        let mut composer = Composer::of(node, text, reader);
        read.documents.push(composer.value(node, &path)?);
        read.surprises.append(&mut composer.surprises);
    }
    Ok(read)
}

/// The documents of a text that say something.
pub fn documents(text: &str, reader: Reader) -> Result<Vec<Value>, Unreadable> {
    read(text, reader).map(|read| read.documents)
}

/// What a document has that is a file of Envoy's, or a piece of one.
const OF_ENVOY: [&str; 8] = [
    "static_resources",
    "staticResources",
    "dynamic_resources",
    "dynamicResources",
    "admin",
    "typed_config",
    "typedConfig",
    "resources",
];

/// Makes values of a document.
struct Composer<'t> {
    text: &'t str,
    reader: Reader,
    /// Whether nobody knows who will read it.
    is_open: bool,
    /// How many values it may still make: aliases of aliases make very many.
    left: usize,
    surprises: Vec<Surprise>,
}

/// More than any file has.
const MOST: usize = 1_000_000;

impl<'t> Composer<'t> {
    fn of(document: &Node, text: &'t str, reader: Reader) -> Self {
        let own = match () {
            () if document.has(&["_format_version"]) => Some(Reader::Kong),
            () if document.has(&["apiVersion"]) => Some(Reader::Kubernetes),
            () if document.has(&["providers"]) => None,
            () if document.has(&["kind"]) => Some(Reader::Kubernetes),
            () if document.has(&OF_ENVOY) => Some(Reader::Envoy),
            () => None,
        };
        let (is_open, reader) = (own.is_none(), own.unwrap_or(reader));
        Self { text, reader, is_open, left: MOST, surprises: Vec::new() }
    }

    fn value(&mut self, node: &Node, path: &str) -> Result<Value, Unreadable> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(Unreadable::at(Unreadable::ALIASES.to_owned(), Some(node.line)));
        };
        self.left = left;
        let is_text = self.is_text(node)?;
        match &node.content {
            Content::Scalar { text, is_plain, .. } if *is_plain && !is_text => {
                let value = self.plain(text, node.line)?;
                self.note(text, &value, path, false);
                Ok(value)
            }
            Content::Scalar { text, .. } => Ok(text.as_str().into()),
            Content::Items(items) => {
                let items = items.iter().enumerate();
                items.map(|(at, item)| self.value(item, &format!("{path}[{at}]"))).collect()
            }
            Content::Members(members) => self.members(members, path).map(Value::Object),
        }
    }

    /// Whether a tag says that a scalar is text. Envoy does not heed tags, so that one is
    /// refused there like any other.
    fn is_text(&self, node: &Node) -> Result<bool, Unreadable> {
        let Some(tag) = node.tag.as_deref() else { return Ok(false) };
        let is_heeded = self.reader != Reader::Envoy && !self.is_open;
        let instead = match tag {
            "!!str" if is_heeded => return Ok(true),
            "!ignore" if self.reader == Reader::Envoy => {
                ": before a value Envoy reads over it; it belongs before the name (!ignore NAME: ...)"
            }
            "!!str" | "!!bool" | "!!int" | "!!float" | "!!null" => {
                ", which hosts do not read alike: write \"text\" in quotes, numbers, true and false \
                 without"
            }
            _ => ", which is not read",
        };
        Err(Unreadable::at(format!("the tag {tag}{instead}"), Some(node.line)))
    }

    /// What a plain scalar means here.
    fn plain(&self, text: &str, line: usize) -> Result<Value, Unreadable> {
        match (self.reader.read(text), looks(text)) {
            (Plain::Value(value), Plain::Value(_)) => Ok(value),
            // JSON has no name for it, and would say that nothing is there.
            _ => Err(Unreadable::at(format!("{text}, which is not a number"), Some(line))),
        }
    }

    /// Notes a scalar that means something else than it looks like, here or elsewhere.
    fn note(&mut self, text: &str, value: &Value, path: &str, is_name: bool) {
        let readers = match self.reader {
            _ if self.is_open => &Reader::ALL[..],
            // decK reads these files too.
            Reader::Kong => &[Reader::Kong, Reader::Kubernetes],
            Reader::Envoy => &[Reader::Envoy],
            Reader::Kubernetes => &[Reader::Kubernetes],
        };
        let own = Plain::Value(value.clone());
        // Envoy takes a name as it is written.
        let readers = readers.iter().filter(|it| !is_name || **it != Reader::Envoy);
        let mut others = readers.map(|reader| (*reader, reader.read(text)));
        let other = others.find(|(_, other)| !agree(&own, other));
        if other.is_none() && agree(&own, &looks(text)) {
            return;
        }
        let is_flag = value.is_boolean() && other.is_none();
        let kind = json::kind(value);
        let discreet = format!("it is {kind} to {} without quotes: quote it", self.reader.name());
        let text = surprise(text, value, self.reader, other);
        let is_not_text = is_name && (self.is_open || !value.is_string());
        let path = path.to_owned();
        self.surprises.push(Surprise { path, text, discreet, is_flag, is_not_text });
    }

    /// A key beside `<<` wins over a merged one, and an earlier element of a list of merged
    /// mappings over a later one.
    fn members(
        &mut self,
        members: &[(Rc<Node>, Rc<Node>)],
        path: &str,
    ) -> Result<Map<String, Value>, Unreadable> {
        let (mut own, mut bases) = (Map::new(), Vec::new());
        let mut is_merged = false;
        for (key, node) in members {
            let is_ignored = key.tag.as_deref() == Some("!ignore");
            if is_ignored && self.reader == Reader::Envoy {
                continue;
            }
            if key.text() == Some("<<") {
                if self.reader == Reader::Envoy && !self.is_open {
                    let cause = "a merge key (<<), which Envoy does not read: write the members \
                                 out, or put an alias (*name) in the place of the whole value";
                    return Err(Unreadable::at(cause.to_owned(), Some(key.line)));
                }
                if std::mem::replace(&mut is_merged, true) {
                    return Err(Unreadable::twice("<<", Some(key.line)));
                }
                match self.value(node, path)? {
                    Value::Array(several) => bases.extend(several),
                    one => bases.push(one),
                }
                continue;
            }
            let name = self.name(key, path)?;
            let value = self.value(node, &step(path, &name))?;
            match own.entry(name) {
                Entry::Vacant(place) => drop(place.insert(value)),
                Entry::Occupied(place) => {
                    return Err(Unreadable::twice(place.key(), Some(key.line)));
                }
            }
        }
        for base in bases {
            let Value::Object(base) = base else {
                let cause = "<< with something else than mappings".to_owned();
                let line = members.iter().find(|(key, _)| key.text() == Some("<<"));
                return Err(Unreadable::at(cause, line.map(|(key, _)| key.line)));
            };
            for (key, value) in base {
                own.entry(key).or_insert(value);
            }
        }
        Ok(own)
    }

    /// The name of a member. Envoy takes it as it is written; for others one that is a
    /// number or a boolean is not that text.
    fn name(&mut self, key: &Node, path: &str) -> Result<String, Unreadable> {
        let Some(text) = key.text() else {
            return Err(Unreadable::unnamed(self.text, Some(key.line)));
        };
        let is_plain = matches!(key.content, Content::Scalar { is_plain: true, .. });
        if self.is_text(key)? || !is_plain {
            return Ok(text.to_owned());
        }
        let value = self.plain(text, key.line)?;
        if value.is_null() {
            return Err(Unreadable::unnamed(self.text, Some(key.line)));
        }
        if self.reader == Reader::Envoy {
            if self.is_open {
                self.note(text, &text.into(), &step(path, text), true);
            }
            return Ok(text.to_owned());
        }
        // What JSON makes of it.
        let name = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.note(text, &value, &step(path, &name), true);
        Ok(name)
    }
}

/// What a scalar means, and what to write instead.
fn surprise(text: &str, value: &Value, reader: Reader, other: Option<(Reader, Plain)>) -> String {
    let quoted = format!("\"{text}\"");
    let named = |value: &Value| match value {
        Value::String(text) => format!("the text \"{text}\""),
        other => other.to_string(),
    };
    let name = reader.name();
    let mut said = format!("{text} without quotes is {} to {name}", named(value));
    let other = other.map(|(other, read)| match read {
        Plain::Value(value) => (other, named(&value), Some(value)),
        Plain::NoNumber => (other, "no number".to_owned(), None),
    });
    if let Some((other, read, _)) = &other {
        said = format!("{said}, and {read} to {}", other.name());
    }
    // What it may be meant for.
    let meant = [
        Some(value.clone()),
        other.and_then(|(.., value)| value),
        match looks(text) {
            Plain::Value(value) => Some(value),
            Plain::NoNumber => None,
        },
    ];
    let mut meant: Vec<_> = meant.into_iter().flatten().filter(|it| !it.is_string()).collect();
    meant.dedup_by(|one, two| json::is_same(&*one, &*two));
    let meant: Vec<_> = meant.iter().filter(|it| is_alike(it)).map(Value::to_string).collect();
    match meant.as_slice() {
        [] => format!("{said}: write {quoted} for the text"),
        meant => format!("{said}: write {quoted} for the text, else {}", meant.join(" or ")),
    }
}

/// Whether all readers take a value for the same.
fn is_alike(value: &Value) -> bool {
    let text = value.to_string();
    let own = Plain::Value(value.clone());
    Reader::ALL.iter().all(|reader| agree(&own, &reader.read(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        documents(text, Reader::Envoy).unwrap()[0].to_string()
    }

    #[test]
    fn merge_keys() {
        for (case, text, expected) in [
            ("a merged member", "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", "{\"x\":1,\"y\":3}"),
            ("several", "a: &a {x: 1}\nc: &c {x: 2, z: 4}\nb: {<<: [*a, *c]}", "{\"x\":1,\"z\":4}"),
            ("within one that is merged", "a: &a {d: {<<: {e: 1}}}\nb: *a", "{\"d\":{\"e\":1}}"),
        ] {
            let found = documents(text, Reader::Kong).unwrap();
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(found[0]["b"], expected, "{case}");
        }
        // As Envoy says for itself: "no such field: '<<'".
        let text = "admin: {}\nbases:\n- &a {x: 1}\n- <<: *a\n  y: 2";
        let envoys = documents(text, Reader::Envoy).unwrap_err();
        assert_eq!(envoys.line(), Some(4), "{envoys}");
        assert!(envoys.to_string().contains("which Envoy does not read"), "{envoys}");
    }

    /// Only a name can have the tag: seen on Envoy 1.40.
    #[test]
    fn what_envoy_leaves_out() {
        let text = "admin: {port: &p 1}\n!ignore bases:\n- x: 1\nlist: [2, *p]";
        assert_eq!(json(text), r#"{"admin":{"port":1},"list":[2,1]}"#);
        for (text, line, told) in [
            ("apiVersion: v1\na: 1\nb: !ignore 1", 3, "the tag !ignore, which is not read"),
            ("admin: {}\nb: !ignore 1", 2, "it belongs before the name"),
            ("admin: {}\nb: !!str no", 2, "the tag !!str, which hosts do not read alike"),
            ("admin: {}\nb: !!bool 'true'", 2, "the tag !!bool, which hosts do not read alike"),
            ("a: 1\nb: !mine 1", 2, "the tag !mine, which is not read"),
        ] {
            let error = documents(text, Reader::Envoy).unwrap_err();
            assert_eq!(error.line(), Some(line), "{text}: {error}");
            assert!(error.to_string().contains(told), "{text}: {error}");
        }
        assert_eq!(json("apiVersion: v1\na: !!str 010"), r#"{"a":"010","apiVersion":"v1"}"#);
    }

    /// The same spelling in files of each host; and in one that is nobody's.
    #[test]
    fn files_are_read_as_their_host_reads_them() {
        const LIST: &str = "[no, \"no\", y, 010, 0b11, 1e3, 1.5, 1:30, 08]";
        for (head, expected) in [
            ("admin: {}", r#"[false,"no",true,8,"0b11","1e3","1.5","1:30","08"]"#),
            ("_format_version: '3.0'", r#"[false,"no","y",8,3,1000,1.5,90,8]"#),
            ("apiVersion: v1", r#"[false,"no",true,8,3,1000,1.5,"1:30",8]"#),
            ("b: 1", r#"[false,"no",true,8,"0b11","1e3","1.5","1:30","08"]"#),
        ] {
            let found = documents(&format!("{head}\na: {LIST}\n"), Reader::Envoy).unwrap();
            assert_eq!(found[0]["a"].to_string(), expected, "{head}");
        }
        let found = documents("a: [y, 0b11]", Reader::Kong).unwrap();
        assert_eq!(found[0]["a"].to_string(), r#"["y",3]"#);
    }

    #[test]
    fn what_may_mean_something_else_is_told() {
        for (case, text, expected) in [
            (
                "a word",
                "admin: {}\na: [no]",
                Some("no without quotes is false to Envoy: write \"no\" for the text, else false"),
            ),
            (
                "an octal number",
                "admin: {}\na: 010",
                Some("010 without quotes is 8 to Envoy: write \"010\" for the text, else 8 or 10"),
            ),
            (
                "a number that is text",
                "admin: {}\na: 1e3",
                Some(
                    "1e3 without quotes is the text \"1e3\" to Envoy: write \"1e3\" for the text, else 1000",
                ),
            ),
            (
                "a fraction",
                "admin: {}\na: 1.5",
                Some("1.5 without quotes is the text \"1.5\" to Envoy: write \"1.5\" for the text"),
            ),
            ("a fraction in Kubernetes", "kind: a\na: 1.5", None),
            ("plain ones", "admin: {}\na: [1, true, null, ~, text, 2026-01-01, -5]", None),
            ("quoted", "admin: {}\na: ['no', \"010\"]", None),
            (
                "a letter, by decK too",
                "_format_version: '3.0'\na: y",
                Some(
                    "y without quotes is the text \"y\" to Kong, and true to Kubernetes: write \"y\" for the text, else true",
                ),
            ),
            (
                "a fraction of nobody's",
                "a: 1.5",
                Some(
                    "1.5 without quotes is the text \"1.5\" to Envoy, and 1.5 to Kong: write \"1.5\" for the text",
                ),
            ),
            ("a name in Envoy", "admin: {}\na: {no: 1, 010: 1}", None),
            (
                "a name in Kong",
                "_format_version: '3.0'\na: {no: 1}",
                Some("no without quotes is false to Kong: write \"no\" for the text, else false"),
            ),
            (
                "a name of nobody's",
                "a: {010: 1}",
                Some(
                    "010 without quotes is the text \"010\" to Envoy, and 8 to Kong: write \"010\" for the text, else 8 or 10",
                ),
            ),
        ] {
            let found = read(text, Reader::Envoy).unwrap().surprises;
            let texts: Vec<_> = found.iter().map(|it| it.text.as_str()).collect();
            assert_eq!(texts, Vec::from_iter(expected), "{case}");
        }
    }
}
