//! The bytes of `google.protobuf.Value`, as Envoy gives a configuration; for a
//! `Struct`, `fields` alone.

use serde_json::{Map, Value};

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number % 0x80) as u8 | 0x80);
        number /= 0x80;
    }
    bytes.push(number as u8);
    bytes
}

pub fn delimited(field: usize, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len()), content.to_vec()].concat()
}

pub fn fields(object: &Map<String, Value>) -> Vec<u8> {
    let entry = |(name, value): (&String, &Value)| {
        delimited(1, &[delimited(1, name.as_bytes()), delimited(2, &self::value(value))].concat())
    };
    object.iter().flat_map(entry).collect()
}

fn value(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![1 << 3, 0],
        Value::Number(number) => {
            [vec![2 << 3 | 1], number.as_f64().unwrap().to_le_bytes().to_vec()].concat()
        }
        Value::String(text) => delimited(3, text.as_bytes()),
        Value::Bool(flag) => vec![4 << 3, u8::from(*flag)],
        Value::Object(object) => delimited(5, &fields(object)),
        Value::Array(items) => {
            let items: Vec<u8> =
                items.iter().flat_map(|item| delimited(1, &self::value(item))).collect();
            delimited(6, &items)
        }
    }
}
