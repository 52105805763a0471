//! `google.protobuf.Struct` in its binary form.
//!
//! According to Envoy's documentation, a filter gets a `Struct` as JSON; Envoy 1.40
//! passes the binary message (`anyToBytes` unwraps only `StringValue` and `BytesValue`).
//! Both forms are accepted.
//!
//! The messages (google/protobuf/struct.proto) and the wire types they use:
//!
//! ```text
//! Struct     1: repeated entry { 1: key (LEN), 2: Value (LEN) }
//! Value      1: null (VARINT)  2: number (I64)  3: string (LEN)
//!            4: bool (VARINT)  5: Struct (LEN)  6: ListValue (LEN)
//! ListValue  1: repeated Value (LEN)
//! ```

use gatepass::json::{self, MAX_DEPTH};
use serde_json::{Map, Value};

/// Reads a `Struct`; `None` for any other bytes, and for one with a duplicate key or
/// deeper nesting than is allowed in JSON.
pub fn parse_struct(bytes: &[u8]) -> Option<Map<String, Value>> {
    object(bytes, MAX_DEPTH)
}

/// A field's value by wire type.
enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

fn object(mut bytes: &[u8], depth: usize) -> Option<Map<String, Value>> {
    let depth = depth.checked_sub(1)?;
    let mut members = Map::new();
    while !bytes.is_empty() {
        let (1, Wire::Bytes(mut entry)) = field(&mut bytes)? else { return None };
        let (mut key, mut member) = (String::new(), Value::Null);
        while !entry.is_empty() {
            match field(&mut entry)? {
                (1, Wire::Bytes(text)) => key = String::from_utf8(text.to_vec()).ok()?,
                (2, Wire::Bytes(message)) => member = value(message, depth)?,
                _ => return None,
            }
        }
        if members.insert(key, member).is_some() {
            return None;
        }
    }
    Some(members)
}

fn value(mut bytes: &[u8], depth: usize) -> Option<Value> {
    let mut value = Value::Null;
    while !bytes.is_empty() {
        value = match field(&mut bytes)? {
            (1, Wire::Varint(_)) => Value::Null,
            (2, Wire::Fixed64(number)) => Value::Number(json::rounded(f64::from_le_bytes(number))?),
            (3, Wire::Bytes(text)) => Value::String(String::from_utf8(text.to_vec()).ok()?),
            (4, Wire::Varint(flag)) => Value::Bool(flag != 0),
            (5, Wire::Bytes(message)) => Value::Object(object(message, depth)?),
            (6, Wire::Bytes(message)) => Value::Array(list(message, depth)?),
            _ => return None,
        };
    }
    Some(value)
}

fn list(mut bytes: &[u8], depth: usize) -> Option<Vec<Value>> {
    let depth = depth.checked_sub(1)?;
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (1, Wire::Bytes(message)) = field(&mut bytes)? else { return None };
        items.push(value(message, depth)?);
    }
    Some(items)
}

/// Takes one field from `bytes`: its number and its value.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(bytes)?;
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => {
            let (number, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Wire::Fixed64(*number)
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Wire::Bytes(value)
        }
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A length-delimited field.
    fn len(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length], content].concat()
    }

    fn entry(key: &str, value: &[u8]) -> Vec<u8> {
        len(1, &[len(1, key.as_bytes()), len(2, value)].concat())
    }

    fn number(number: f64) -> Vec<u8> {
        [&[0x11][..], &number.to_le_bytes()].concat()
    }

    #[test]
    fn every_kind_of_value() {
        let list = len(6, &[len(1, &number(1.5)), len(1, &[0x20, 1])].concat());
        let bytes = [
            entry("text", &len(3, "é".as_bytes())),
            entry("whole", &number(600.0)),
            entry("none", &[0x08, 0]),
            entry("unset", &[]),
            entry("list", &list),
            entry("object", &len(5, &entry("no", &[0x20, 0]))),
        ]
        .concat();
        let expected = json!({
            "text": "é", "whole": 600, "none": null, "unset": null,
            "list": [1.5, true], "object": {"no": false},
        });
        assert_eq!(parse_struct(&bytes).map(Value::Object), Some(expected));
    }

    #[test]
    fn other_bytes_are_refused() {
        let twice = [entry("a", &[0x20, 1]), entry("a", &[0x20, 0])].concat();
        for (case, bytes) in [
            ("JSON", &b"{}"[..]),
            ("JSON after a line break", b"\n{}"),
            ("a key twice", &twice),
            ("cut short", &entry("a", &number(1.0))[..8]),
            ("another field", &len(2, b"")),
            ("not a number", &entry("a", &number(f64::NAN))),
            ("text that is not UTF-8", &entry("a", &len(3, b"\xff"))),
            ("a varint without end", &[0x80; 12]),
            ("a length beyond the end", &[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            assert_eq!(parse_struct(bytes), None, "{case}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        fn long(number: u8, content: &[u8]) -> Vec<u8> {
            let length = content.len();
            let length = [
                (length & 0x7F | 0x80) as u8,
                (length >> 7 & 0x7F | 0x80) as u8,
                (length >> 14) as u8,
            ];
            [&[number << 3 | 2], &length[..], content].concat()
        }
        let nest = |levels: usize| {
            (1..levels).fold(Vec::new(), |inner: Vec<u8>, _| {
                long(1, &[len(1, b"a"), long(2, &long(5, &inner))].concat())
            })
        };
        assert!(parse_struct(&nest(MAX_DEPTH)).is_some());
        assert!(parse_struct(&nest(MAX_DEPTH + 1)).is_none());
    }
}
