//! JSON parsing for security purposes: no repeated members, limited nesting.
//!
//! Two readers of a document with a repeated member may see two different documents (RFC
//! 7515 section 4 requires unique names in a JOSE header; here the same applies to
//! claims, replies and configuration). Numbers keep their text, and are compared by
//! value: as doubles, two tenants with long numbers could become equal.

mod document;
mod error;
mod node;
mod reading;
mod view;

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::de::Read;
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

pub use self::document::{Document, NotAnObject};
pub use self::error::{JsonError, other_format};
pub use self::view::{Items, Json, Members, is_same};

/// The maximum nesting of arrays and objects.
///
/// Dropping a tree recurses too, so the bound holds for the destructor as well.
pub const MAX_DEPTH: usize = 32;

/// Parses a JSON text: UTF-8, nothing before or after it, no repeated member, at most
/// [`MAX_DEPTH`] levels.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    read(text, Strict { depth: 0, keeps_null: true })
}

/// Parses a JSON text of a token, a key or a reply: like [`parse`], but a member that is
/// `null` counts as absent, so no caller has to distinguish the two.
pub fn parse_present(text: &[u8]) -> Result<Value, JsonError> {
    read(text, Strict { depth: 0, keeps_null: false })
}

/// Parses a JSON text that must be an object; see [`parse_present`].
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    object_of(parse_present(text)?)
}

/// Parses a JSON text that must be an object; see [`parse`].
pub fn parse_whole_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    object_of(parse(text)?)
}

fn object_of(value: Value) -> Result<Map<String, Value>, JsonError> {
    match value {
        Value::Object(members) => Ok(members),
        other => {
            Err(JsonError::content(format_args!("expected an object, found {}", kind(&other))))
        }
    }
}

// RFC 8259 section 9: "An implementation may set limits on the maximum depth of
// nesting." (R05)
fn read(text: &[u8], strict: Strict) -> Result<Value, JsonError> {
    // A whole text is checked for UTF-8 in less time than each of its strings.
    let value = match std::str::from_utf8(text) {
        Ok(text) => strict.read(serde_json::Deserializer::from_str(text)),
        Err(_) => strict.read(serde_json::Deserializer::from_slice(text)),
    };
    value.map_err(|error| JsonError::of(text, error))
}

/// The members that are not `null`, of a document that was parsed including them.
pub fn present(members: &Map<String, Value>) -> Map<String, Value> {
    let present = members.iter().filter(|(_, member)| !member.is_null());
    object(present.map(|(name, member)| (name.clone(), member.clone())))
}

/// Whether a number in a configuration may differ from the one written: Envoy and Kong
/// store numbers as doubles. Envoy's are written here with a fraction or an exponent from
/// 2^53 on ([`rounded`]). Kong writes 14 digits, or 16, and an exponent where there are
/// more. A number with more digits and no exponent has not been changed.
pub fn may_be_rounded(number: &Number) -> bool {
    const KONG: f64 = 1e14;
    const KONG_AT_MOST: f64 = 1e16;
    let Some(size) = number.as_f64().map(f64::abs) else { return true };
    let decimal = Decimal::of(number.as_str());
    if decimal.exponent < 0 {
        return decimal.digits.len() > 14;
    }
    let is_rewritten = number.as_str().contains(['.', 'e', 'E']);
    is_rewritten && size >= KONG || (EXACT..=KONG_AT_MOST).contains(&size)
}

/// The smallest whole number to which a double may have been rounded, 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number as passed on by a host that has only doubles: a whole number that a double
/// represents exactly as is, any other with a fraction or an exponent.
pub fn rounded(number: f64) -> Option<Number> {
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[allow(clippy::cast_possible_truncation)] // whole and in range
        return Some(Number::from(number as i64));
    }
    Number::from_f64(number)
}

/// Whether any number in a value of a configuration [`may_be_rounded`].
pub fn holds_rounded(value: &Value) -> bool {
    match value {
        Value::Number(number) => may_be_rounded(number),
        Value::Array(items) => items.iter().any(holds_rounded),
        Value::Object(members) => members.values().any(holds_rounded),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The number of this text times a thousand, truncated to a whole number: seconds to
/// milliseconds.
pub fn thousandfold(number: &str) -> Option<i64> {
    // Whole ones, as nearly every token has them.
    match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(1000),
        Err(_) => Decimal::of(number).cut(3),
    }
}

/// The number, if it is whole, in any notation: `600`, `600.0`, `6e2`.
pub fn whole(number: &Number) -> Option<i64> {
    let decimal = Decimal::of(number.as_str());
    if decimal.exponent < 0 { None } else { decimal.cut(0) }
}

/// The exact value of a number: its digits, without zeros at either end, times a power of
/// ten. Zero has no digits and no sign.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Self { is_negative: false, digits: String::new(), exponent: 0 };
        }
        let zeros = digits.len().saturating_sub(digits.trim_end_matches('0').len());
        let shift = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        // Always in range: see `is_in_range`.
        let exponent = exponent.trim_start_matches('+').parse().unwrap_or(i64::MAX);
        let exponent = exponent.saturating_sub(shift(fraction.len())).saturating_add(shift(zeros));
        Self { is_negative, digits: significant.to_owned(), exponent }
    }

    /// The number times ten to the power of `places`, truncated to a whole number.
    fn cut(&self, places: i64) -> Option<i64> {
        let exponent = self.exponent.saturating_add(places);
        let length = i64::try_from(self.digits.len()).ok()?.saturating_add(exponent);
        let length = usize::try_from(length.max(0)).ok().filter(|length| *length <= 19)?;
        let digits = self.digits.chars().chain(std::iter::repeat('0')).take(length);
        let sign = if self.is_negative { '-' } else { '+' };
        let text: String = std::iter::once(sign).chain(digits).collect();
        if length == 0 { Some(0) } else { text.parse().ok() }
    }
}

/// A number of a JSON text, if it [`is_in_range`].
fn number(text: &str) -> Option<Value> {
    // Nearly always a time in seconds, which has the same text again. `-0` has not.
    let plain = text.parse::<u64>().ok().filter(|_| text.len() < 19).map(Number::from);
    plain.or_else(|| text.parse().ok().filter(is_in_range)).map(Value::Number)
}

/// Whether a text is a number that [`is_in_range`].
fn is_number(text: &str) -> bool {
    text.parse().is_ok_and(|number| is_in_range(&number))
}

/// Whether services can read a number too: most have only doubles, and refuse a whole
/// document for one number out of range.
fn is_in_range(number: &Number) -> bool {
    let exponent = number.as_str().split_once(['e', 'E']).map_or("0", |(_, exponent)| exponent);
    number.as_f64().is_some() && exponent.trim_start_matches('+').parse::<i16>().is_ok()
}

/// An object of these members.
///
/// Inserted one by one: `collect` would sort them first, with a copy of the sorting code
/// for each call site, and hosts compile all of it when the module starts.
pub fn object(members: impl IntoIterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in members {
        object.insert(name, value);
    }
    object
}

/// The approximate memory of an object's members, in bytes.
pub fn memory(members: &Map<String, Value>) -> usize {
    let texts = members.iter().map(|(name, value)| name.len().saturating_add(memory_of(value)));
    let texts = texts.fold(0, usize::saturating_add);
    texts.saturating_add(nodes(members.len()).saturating_mul(NODE))
}

/// Memory of a node of a map, which has room for eleven members.
const NODE: usize = size_of::<(String, Value)>() * 11;

/// How many nodes so many members take: all but the first are at least half full.
const fn nodes(members: usize) -> usize {
    if members <= 11 { members.div_ceil(11) } else { members.div_ceil(6) }
}

/// Memory of an item besides its text: its slot in a list, which may have room for as many
/// again.
const ITEM: usize = size_of::<Value>() * 2;

fn memory_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => {
            let of = |item| memory_of(item).saturating_add(ITEM);
            items.iter().map(of).fold(0, usize::saturating_add)
        }
        Value::Object(members) => memory(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The type of a value with its article, for messages.
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

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
    /// Whether members that are `null` are kept.
    keeps_null: bool,
}

impl Strict {
    fn read<'de, R: Read<'de>>(
        self,
        mut reader: serde_json::Deserializer<R>,
    ) -> Result<Value, serde_json::Error> {
        let value = self.deserialize(&mut reader)?;
        reader.end().map(|()| value)
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth, ..self })
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

    /// An object, or a number that is not a 64-bit integer: serde_json passes its text as
    /// a map with one member, whose name [`MemberName`] distinguishes from a real one.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut has_null = false;
        while let Some(name) = members.next_key_seed(MemberName)? {
            let Some(name) = name else {
                let text: String = members.next_value()?;
                let number = number(&text);
                return number.ok_or_else(|| A::Error::custom("number out of range"));
            };
            let value = members.next_value_seed(self.deeper()?)?;
            has_null |= value.is_null();
            match object.entry(name) {
                Entry::Vacant(place) => drop(place.insert(value)),
                Entry::Occupied(place) => {
                    let name = place.key();
                    return Err(A::Error::custom(format_args!("member {name:?} appears twice")));
                }
            }
        }
        if has_null && !self.keeps_null {
            object.retain(|_, value| !value.is_null());
        }
        Ok(Value::Object(object))
    }
}

/// The name of a member; `None` for the one that serde_json invents to pass a number.
///
/// The text alone cannot distinguish them, since a document may contain a member of that
/// name. But only a name in a document can be deserialized as an option.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        de::Deserialize::deserialize(deserializer).map(Some)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
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
            ("a number too small", "1e-99999999999999999999", false),
            ("nothing", "", false),
        ] {
            assert_eq!(parse(text.as_bytes()).is_ok(), accepted, "{case}");
        }
        assert!(parse(b"\"\xff\"").is_err(), "not UTF-8");
    }

    #[test]
    fn numbers_are_kept_as_they_are() {
        for text in [
            "123456789012345678901",
            "-0.10000000000000000001",
            "3.0",
            "3.00",
            "1e+2",
            "-0",
            "18446744073709551616",
        ] {
            let document = format!(r#"{{"n":{text}}}"#);
            assert_eq!(parse(document.as_bytes()).unwrap().to_string(), document);
        }
        // An object that looks like serde_json's number stays an object.
        for text in [
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"$serde_json::private::Number":"x"}"#,
            r#"{"\u0024serde_json::private::Number":7}"#,
        ] {
            assert!(parse(text.as_bytes()).unwrap().is_object(), "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let value = |text: &str| parse(text.as_bytes()).unwrap();
        for (one, other, expected) in [
            ("3", "3.0", true),
            ("3", "3.00", true),
            ("100", "1e2", true),
            ("100", "0.1E+3", true),
            ("0", "-0.0", true),
            ("0", "0e7", true),
            ("-3", "3", false),
            ("123456789012345678901", "123456789012345678902", false),
            ("123456789012345678901", "123456789012345678901.0", true),
            ("0.1", "0.10000000000000000001", false),
            ("9007199254740993", "9007199254740992.0", false),
            ("1e300", "1e301", false),
            ("1e-400", "0", false),
            (r#"[1,{"a":2}]"#, r#"[1.0,{"a":2.0}]"#, true),
            (r#"{"a":1}"#, r#"{"b":1}"#, false),
            ("[1]", "[1,1]", false),
            ("1", r#""1""#, false),
        ] {
            assert_eq!(is_same(&value(one), &value(other)), expected, "{one} and {other}");
        }
    }

    #[test]
    fn what_a_double_may_have_changed() {
        for (text, expected) in [
            ("0", false),
            ("9007199254740991", false),
            ("9007199254740992", true),
            ("-9007199254740993", true),
            ("9999999999999999", true),
            ("12345678901234567", false),
            ("1.2345678901234567e+16", true),
            ("1.2345678901234e+14", true),
            ("600.0", false),
            ("6e2", false),
            ("0.1", false),
            ("0.123456789012345", true),
            ("1e300", true),
        ] {
            assert_eq!(may_be_rounded(&text.parse().unwrap()), expected, "{text}");
        }
        let written = |number: f64| rounded(number).unwrap().to_string();
        assert_eq!(written(9_007_199_254_740_991.0), "9007199254740991");
        assert_eq!(written(9_007_199_254_740_992.0), "9007199254740992.0");
        assert!(rounded(f64::NAN).is_none());
    }

    #[test]
    fn numbers_are_cut_exactly() {
        let number = |text: &str| text.parse::<Number>().unwrap();
        for (text, thousand, is_whole) in [
            ("1", Some(1000), Some(1)),
            ("1.5", Some(1500), None),
            ("1.0019999999999999999999", Some(1001), None),
            ("-1.0019", Some(-1001), None),
            ("0.0001", Some(0), None),
            ("1.79586462e9", Some(1_795_864_620_000), Some(1_795_864_620)),
            ("600.0", Some(600_000), Some(600)),
            ("600.0000000000000000000001", Some(600_000), None),
            ("9223372036854775.807", Some(i64::MAX), None),
            ("9223372036854775.808", None, None),
            ("9223372036854775807", None, Some(i64::MAX)),
            ("1e300", None, None),
            ("1e-300", Some(0), None),
            ("0e300", Some(0), Some(0)),
        ] {
            assert_eq!(thousandfold(text), thousand, "{text}");
            assert_eq!(whole(&number(text)), is_whole, "{text}");
        }
    }

    #[test]
    fn null_is_absent_where_it_says_so() {
        let text = br#"{"a":null,"b":[null,{"c":null}],"d":{"e":null,"f":1}}"#;
        let read = Value::Object(parse_object(text).unwrap());
        assert_eq!(read.to_string(), r#"{"b":[null,{}],"d":{"f":1}}"#);
        assert_eq!(parse(text).unwrap().to_string().as_bytes(), text);
        let given = serde_json::json!({"kid": null, "kty": "EC"});
        let kept = serde_json::json!({"kty": "EC"});
        assert_eq!(Value::Object(present(given.as_object().unwrap())), kept);
        assert!(parse_object(br#"{"a":null,"a":1}"#).is_err(), "a member twice all the same");
    }

    // RFC 8259 section 9: "An implementation may set limits on the maximum depth of
    // nesting." (R05)
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
