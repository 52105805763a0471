//! JSON of any shape out of bytes, with what matters to the reader in it.

use arbitrary::Unstructured;
use serde_json::{Map, Number, Value, json};

/// A choice out of `items`; the first when the bytes have run out.
pub fn one_of<'a, T>(u: &mut Unstructured<'_>, items: &'a [T]) -> &'a T {
    &items[u.choose_index(items.len()).unwrap_or(0)]
}

/// Once in `sides` times; never when the bytes have run out.
pub fn rarely(u: &mut Unstructured<'_>, sides: u8) -> bool {
    u.int_in_range(0..=sides - 1).is_ok_and(|roll| roll == sides - 1)
}

pub fn below(u: &mut Unstructured<'_>, end: usize) -> usize {
    u.choose_index(end).unwrap_or(0)
}

pub fn text(u: &mut Unstructured<'_>) -> String {
    u.arbitrary::<&str>().unwrap_or_default().chars().take(300).collect()
}

pub fn bytes(u: &mut Unstructured<'_>, most: usize) -> Vec<u8> {
    let length = below(u, most);
    u.bytes(length.min(u.len())).unwrap_or_default().to_vec()
}

/// Any value, at most that deep; `texts` are those that mean something here.
pub fn value(u: &mut Unstructured<'_>, depth: usize, texts: &[&str]) -> Value {
    match below(u, if depth == 0 { 7 } else { 9 }) {
        0 => json!(one_of(u, texts)),
        1 => Value::Null,
        2 => json!(u.arbitrary::<bool>().unwrap_or_default()),
        3 => json!(u.arbitrary::<i64>().unwrap_or_default()),
        4 => Number::from_f64(u.arbitrary().unwrap_or_default()).map_or(Value::Null, Value::Number),
        5 => json!(*one_of(u, &[0, 1, -1, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1])),
        6 => json!(text(u)),
        7 => (0..below(u, 5)).map(|_| value(u, depth - 1, texts)).collect(),
        _ => Value::Object(
            (0..below(u, 5))
                .map(|_| (one_of(u, texts).to_string(), value(u, depth - 1, texts)))
                .collect(),
        ),
    }
}

/// Changes some members of an object: another value, away, or one more.
pub fn change(u: &mut Unstructured<'_>, object: &mut Value, names: &[&str], texts: &[&str]) {
    while rarely(u, 3) {
        let members: &mut Map<String, Value> = object.as_object_mut().expect("an object");
        let name = *one_of(u, names);
        if rarely(u, 4) {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value(u, 2, texts));
        }
    }
}

/// The same without the members that are `null`: they are absent.
pub fn present(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let there = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(there.map(|(name, member)| (name, present(member))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(present).collect()),
        value => value,
    }
}

/// The JSON text of an object, sometimes not as it should be written.
pub fn written(u: &mut Unstructured<'_>, object: &Value) -> Vec<u8> {
    let mut text = object.to_string();
    match below(u, 12) {
        1 => text.push(' '),
        2 => text.insert(0, '\u{feff}'),
        3 => text.push_str("{}"),
        // A member twice, the second one under an escaped name.
        4 => text = text.replacen('{', r#"{"a":1,"\u0061":2,"#, 1),
        5 => text = text.replacen('{', r#"{"sub":"root","#, 1),
        6 => text = text.replacen(':', ": ", 1),
        7 => text = text.replacen('"', "'", 1),
        8 => text = format!("[{text}]"),
        9 => {
            let at = below(u, text.len());
            text.truncate((0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        }
        10 => {
            let mut bytes = text.into_bytes();
            let at = below(u, bytes.len());
            bytes[at] = u.arbitrary().unwrap_or(0xFF);
            return bytes;
        }
        _ => {}
    }
    text.into_bytes()
}
