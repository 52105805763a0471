//! The reader of a token's claims, beside that of every other JSON: both accept the same
//! texts, and find the same in them.

use arbitrary::Unstructured;
use gatepass::json::{Document, Json, is_same, parse_object};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::shapes::{below, bytes, one_of, value, written};

const NAMES: [&str; 8] = ["sub", "aud", "a", "b", "", "é", "a\"b", "$serde_json::private::Number"];

/// Parts of texts, most of which fit together in some order.
const PIECES: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    " ",
    "\n",
    "\t",
    "null",
    "true",
    "false",
    "nul",
    "0",
    "-0",
    "-",
    "7",
    "01",
    "1.5",
    "1.",
    ".5",
    "1e2",
    "1E+2",
    "1e",
    "1e999",
    "1764000000",
    "18446744073709551616",
    "\"a\"",
    "\"b\"",
    "\"\\u0061\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\n\"",
    "\"\\x\"",
    "\"a\":1",
    "\"a\":null",
    "{\"a\":",
    "[[[[[[[[",
    "]]]]]]]]",
    "\u{7f}",
    "\u{1}",
    "é",
];

/// A text of JSON, or nearly so.
fn text(u: &mut Unstructured<'_>) -> Vec<u8> {
    let object = Value::Object((0..below(u, 24)).map(|_| member(u)).collect());
    let mut text = written(u, &object);
    for _ in 0..below(u, 6) {
        let at = below(u, text.len() + 1);
        match below(u, 8) {
            0 => drop(text.splice(at..at, bytes(u, 4))),
            1 => text.truncate(at),
            _ => drop(text.splice(at..at, one_of(u, &PIECES).bytes())),
        }
    }
    text
}

fn member(u: &mut Unstructured<'_>) -> (String, Value) {
    let name = format!("{}{}", one_of(u, &NAMES), one_of(u, &["", "1", "2", "3"]));
    (name, value(u, 3, &NAMES))
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let text = if below(u, 4) == 0 {
        (0..below(u, 40)).flat_map(|_| one_of(u, &PIECES).bytes()).collect()
    } else {
        text(u)
    };
    let shown = String::from_utf8_lossy(&text).into_owned();
    let tree = parse_object(&text).ok();
    let document = Document::parse(text.clone()).ok();
    assert_eq!(document.as_ref().map(|it| it.members().to_map()), tree, "{shown}");
    let (Some(document), Some(tree)) = (document, tree) else { return };
    assert!(serde_json::from_slice::<IgnoredAny>(&text).is_ok(), "no JSON at all: {shown}");
    let members = document.members();
    assert_eq!((members.len(), members.is_empty()), (tree.len(), tree.is_empty()), "{shown}");
    for (name, own) in &tree {
        let found = document.get(name).expect("a member of the tree");
        assert_eq!(found.to_value(), *own, "{name} of {shown}");
        assert!(is_same(found, own), "{name} of {shown}");
        assert_eq!(found.text_bytes(), Json::from(own).text_bytes(), "{name} of {shown}");
    }
    assert!(NAMES.iter().all(|name| tree.contains_key(*name) == members.contains_key(name)));
    let written = Value::Object(tree.clone()).to_string();
    assert_eq!(serde_json::to_string(&members).expect("text"), written, "{shown}");
    let again = Document::of(&tree);
    assert_eq!(again.members().to_map(), tree, "made of the tree of {shown}");
    let mut changed = again;
    changed.retain(|name| name != "sub");
    changed.add_text("sub", "alice");
    assert_eq!(changed.get("sub").and_then(Json::as_str), Some("alice"), "{shown}");
    assert_eq!(changed.members().len(), tree.len() + usize::from(!tree.contains_key("sub")));
}
