//! `schema`: the JSON Schema of the configuration.
//!
//! Every field is described in one place, `src/config/schema.yaml`. It is printed here in
//! the form that editors read; [`kong`] makes the schema for Kong of it, and [`page`] the
//! tables of the manual. `make docs` writes both, and the tests compare them.

#[cfg(test)]
mod kong;
#[cfg(test)]
mod page;

use serde_json::{Map, Value, json};

use crate::Output;
use crate::failure::Failure;

const SOURCE: &str = include_str!("../../../src/config/schema.yaml");

/// `schema`.
pub fn run() -> Result<Output, Failure> {
    let text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    Ok(Output::good(text))
}

/// The source as it is written; it is part of the program, and a test reads it.
fn source() -> Value {
    serde_norway::from_str(SOURCE).unwrap_or_default()
}

fn schema() -> Value {
    let mut schema = source();
    each_schema(&mut schema, &mut for_editors);
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("title".to_owned(), json!("Gatepass"));
    if let Value::Object(schema) = schema {
        whole.extend(schema);
    }
    Value::Object(whole)
}

/// Without what only the manual and Kong need. Editors show no Markdown.
fn for_editors(keywords: &mut Map<String, Value>) {
    let default = keywords.remove("x-default");
    let default = default.as_ref().and_then(Value::as_str).map(|it| format!("Default: {it}."));
    let described = keywords.get("description").and_then(Value::as_str).map(without_links);
    let texts: Vec<_> = described.into_iter().chain(default).collect();
    if !texts.is_empty() {
        keywords.insert("description".to_owned(), texts.join(" ").replace('`', "").into());
    }
    keywords.retain(|keyword, _| !keyword.starts_with("x-"));
}

/// Calls `change` for a schema and each schema within it, from the outside in.
fn each_schema(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(keywords) = schema else { return };
    change(keywords);
    for (keyword, value) in keywords.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Value::Object(named)) => {
                named.values_mut().for_each(|schema| each_schema(schema, change));
            }
            ("oneOf" | "anyOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|schema| each_schema(schema, change));
            }
            ("items" | "additionalProperties", schema) => each_schema(schema, change),
            _ => {}
        }
    }
}

/// A text whose links are the words that they stand on.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((lead, words)) = before.rsplit_once('[') else { break };
        plain += lead;
        plain += words;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_words() {
        for (text, expected) in [
            ("see [Access log](#access-log), [b](c) too", "see Access log, b too"),
            ("`[]`: must be there", "`[]`: must be there"),
            ("a list `[x]` as in [rules](#rules)", "a list `[x]` as in rules"),
            ("", ""),
        ] {
            assert_eq!(without_links(text), expected);
        }
    }

    #[test]
    fn editors_are_shown_words_and_defaults() {
        let mut keywords = Map::new();
        keywords.insert("description".to_owned(), json!("See [`a`](a.md)."));
        keywords.insert("x-default".to_owned(), json!("as `b`"));
        keywords.insert("x-type".to_owned(), json!("name"));
        for_editors(&mut keywords);
        assert_eq!(Value::Object(keywords), json!({"description": "See a. Default: as b."}));
    }

    #[test]
    fn the_source_is_read() {
        let schema = schema();
        assert!(schema["properties"]["providers"].is_object());
        let text = schema.to_string();
        for word in ["x-type", "x-default", "x-kong"] {
            assert!(!text.contains(&format!("\"{word}\":")), "{word}");
        }
    }
}
