//! Files: JSON, or YAML with any number of documents.

use gatepass::json;
use serde_json::{Map, Value};

use crate::lines::Lines;
pub use crate::text::step;
pub use crate::unreadable::Unreadable;
use crate::yaml::{self, Reader, Surprise, Text};

/// Reads a file: JSON, or YAML with any number of documents, whose values are those that
/// a host makes of them; `reader` makes them of what is not a file of a host. Documents
/// within a ConfigMap take the place of their text.
pub fn parse(text: &str, reader: Reader) -> Result<Text, Unreadable> {
    expanded(parse_text(text, reader)?, text, reader)
}

/// Reads a file whose name says that it is JSON, which a host reads as nothing else.
pub fn parse_json(text: &str, reader: Reader) -> Result<Text, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = json::parse(text.as_bytes()).map_err(Unreadable::Json)?;
    expanded(Text { documents: vec![document], ..Text::default() }, text, reader)
}

fn expanded(mut read: Text, text: &str, reader: Reader) -> Result<Text, Unreadable> {
    let is_one = read.documents.len() == 1;
    for (position, document) in read.documents.iter_mut().enumerate() {
        let path = if is_one { "$".to_owned() } else { format!("$[{position}]") };
        expand(document, &path, (text, reader), &mut read.surprises)?;
    }
    Ok(read)
}

fn parse_text(text: &str, reader: Reader) -> Result<Text, Unreadable> {
    // Editors of Windows write one; hosts skip it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        // JSON is parsed as strictly as by the filter.
        match json::parse(text.as_bytes()) {
            Ok(value) if yaml::is_of_envoy(&value) => {
                // Envoy looks at the name of the file, and has other numbers in YAML.
                let document = || Text { documents: vec![value], ..Text::default() };
                return Ok(read_yaml(text, reader).unwrap_or_else(|_| document()));
            }
            Ok(value) => return Ok(Text { documents: vec![value], ..Text::default() }),
            Err(error) if serde_norway::from_str::<serde_norway::Value>(text).is_err() => {
                return Err(Unreadable::Json(error));
            }
            Err(_) => {}
        }
    }
    read_yaml(text, reader)
}

fn read_yaml(text: &str, reader: Reader) -> Result<Text, Unreadable> {
    let Text { documents, surprises } = yaml::read(text, reader)?;
    Ok(Text { documents: documents.into_iter().map(as_doubles).collect(), surprises })
}

/// Where documents are as text: the fields of a ConfigMap or a Secret.
pub fn embedded(members: &Map<String, Value>) -> Option<&'static str> {
    match members.get("kind").and_then(Value::as_str)? {
        "ConfigMap" => Some("data"),
        "Secret" => Some("stringData"),
        _ => None,
    }
}

/// `path`: of the document in the whole text.
fn expand(
    document: &mut Value,
    path: &str,
    (whole, reader): (&str, Reader),
    surprises: &mut Vec<Surprise>,
) -> Result<(), Unreadable> {
    let Some(members) = document.as_object_mut() else { return Ok(()) };
    if let Some(Value::Array(items)) = members.get_mut("items") {
        return items.iter_mut().enumerate().try_for_each(|(at, item)| {
            expand(item, &format!("{path}.items[{at}]"), (whole, reader), surprises)
        });
    }
    let Some(field) = embedded(members) else { return Ok(()) };
    let path = step(path, field);
    let files = members.get_mut(field).and_then(Value::as_object_mut);
    for (name, file) in files.into_iter().flatten() {
        let Some(text) = file.as_str() else { continue };
        match parse_text(text, reader) {
            Ok(read) if read.documents.iter().any(Value::is_object) => {
                let below = step(&path, name);
                surprises.extend(read.surprises.into_iter().map(|it| it.within(&below)));
                let mut documents = read.documents.into_iter();
                *file = match (documents.next(), documents.len()) {
                    (Some(only), 0) => only,
                    (first, _) => first.into_iter().chain(documents).collect(),
                };
            }
            Err(error) if text.contains("gatepass") || text.contains("identity_token") => {
                let (lines, path) = (Lines::of(whole), step(&path, name));
                let (own, before) = (lines.line(&path), lines.before_text(&path));
                return Err(error.within(&format!("{field}.{name}"), own, before));
            }
            // Something else, and nobody's concern here.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// The value as hosts hold it: all numbers are doubles. A configuration that goes
/// to the filter as text keeps its own.
pub fn as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            number.as_f64().and_then(json::rounded).map_or(Value::Number(number), Value::Number)
        }
        Value::Array(items) => items.into_iter().map(as_doubles).collect(),
        Value::Object(members) => {
            json::object(members.into_iter().map(|(name, member)| (name, as_doubles(member))))
                .into()
        }
        other => other,
    }
}

/// The texts of a list.
pub fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_one_way_only() {
        for (case, text) in [
            ("a key twice in YAML", "a: 1\na: 2"),
            ("a key twice in JSON", r#"{"providers": 1, "providers": 2}"#),
            ("no YAML", "a: [1"),
            ("keys that are lists", "{[1]: 2}"),
        ] {
            assert!(parse(text, Reader::Envoy).is_err(), "{case}");
        }
    }

    #[test]
    fn files_in_a_config_map() {
        let map = |text: &str| format!("kind: ConfigMap\ndata:\n  envoy.yaml: |\n    {text}\n");
        let parse = |text: &str| parse(text, Reader::Envoy).map(|read| read.documents);
        let found = parse(&map("admin: {}")).unwrap();
        assert_eq!(found[0]["data"]["envoy.yaml"]["admin"], serde_json::json!({}));
        let found = parse(&map("a: 1\n    ---\n    b: 2")).unwrap();
        assert_eq!(found[0]["data"]["envoy.yaml"][1]["b"], 2);
        let error = parse(&map("identity_token: [")).unwrap_err().to_string();
        assert!(error.starts_with("not acceptable YAML: in data.envoy.yaml: "), "{error}");
        assert_eq!(parse(&map("just text [")).unwrap()[0]["data"]["envoy.yaml"], "just text [\n");
    }

    #[test]
    fn steps() {
        assert_eq!(step("$", "shop-1"), "$.shop-1");
        assert_eq!(step("$", "a.b"), r#"$["a.b"]"#);
    }
}
