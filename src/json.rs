//! JSON as security needs it: no member twice, no endless nesting.
//!
//! Two readers of a document with a repeated member may see two different
//! documents (RFC 7515 section 4 requires to reject it in a JOSE header; the
//! same is done for claims, replies and configuration).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Arrays and objects within each other, at most.
///
/// Dropping a tree recurses too, so the bound holds for the destructor as well.
pub const MAX_DEPTH: usize = 32;

/// Reads one JSON text: UTF-8, nothing before or after it, no repeated member,
/// at most [`MAX_DEPTH`] levels.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(JsonError)?;
    reader.end().map_err(JsonError)?;
    Ok(value)
}

/// Reads one JSON text that must be an object; see [`parse`].
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match parse(text)? {
        Value::Object(members) => Ok(members),
        other => Err(JsonError(serde_json::Error::custom(format_args!(
            "expected an object, found {}",
            kind(&other)
        )))),
    }
}

/// An object of these members.
///
/// One by one: to collect them, the standard library sorts them first, with a
/// copy of its sorting for each place that does so, and hosts compile all of it
/// when the module starts.
pub fn object(members: impl IntoIterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in members {
        object.insert(name, value);
    }
    object
}

/// About how many bytes the members of an object take in memory.
pub fn memory(members: &Map<String, Value>) -> usize {
    let of = |(name, value): (&String, &Value)| {
        name.len().saturating_add(memory_of(value)).saturating_add(VALUE)
    };
    members.iter().map(of).fold(0, usize::saturating_add)
}

/// How many bytes the texts in an object have: less than its JSON.
pub fn text_bytes(members: &Map<String, Value>) -> usize {
    let of = |(name, value): (&String, &Value)| name.len().saturating_add(text_bytes_of(value));
    members.iter().map(of).fold(0, usize::saturating_add)
}

fn text_bytes_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes_of).fold(0, usize::saturating_add),
        Value::Object(members) => text_bytes(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// What a value takes beside its text, with its place in a list or an object.
const VALUE: usize = 64;

fn memory_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => {
            let of = |item| memory_of(item).saturating_add(VALUE);
            items.iter().map(of).fold(0, usize::saturating_add)
        }
        Value::Object(members) => memory(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// What sort of value this is, with its article, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Why a text is not acceptable JSON. The message holds positions and member
/// names, never values.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for JsonError {}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(deeper)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("member {name:?} appears twice")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        for (case, text, accepted) in [
            ("an object", r#"{"a":[1,2.5,-3,"x",true,null,{}]}"#, true),
            ("white space around", " {} \n", true),
            ("a member twice", r#"{"a":1,"a":1}"#, false),
            ("a member twice, one escaped", r#"{"a":1,"\u0061":2}"#, false),
            ("a member twice, deep inside", r#"{"a":[{"b":1,"b":2}]}"#, false),
            ("the same member in two objects", r#"[{"b":1},{"b":2}]"#, true),
            ("trailing bytes", "{}{}", false),
            ("a byte order mark", "\u{feff}{}", false),
            ("a lone surrogate", r#""\ud800""#, false),
            ("a number too large", "1e999", false),
            ("nothing", "", false),
        ] {
            assert_eq!(parse(text.as_bytes()).is_ok(), accepted, "{case}");
        }
        assert!(parse(b"\"\xff\"").is_err(), "not UTF-8");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(parse(&nested(MAX_DEPTH + 1)).is_err());
        assert!(parse(&vec![b'['; 1_000_000]).is_err());
    }

    #[test]
    fn only_objects_where_an_object_is_due() {
        assert!(parse_object(b"{}").is_ok());
        let error = parse_object(b"[]").unwrap_err().to_string();
        assert_eq!(error, "expected an object, found an array");
    }
}
