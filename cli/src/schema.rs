//! `schema`: the JSON Schema of the configuration.
//!
//! There is one schema, by which Kong checks a configuration and which is tested
//! field by field against the filter's reader; it is in draft 4, since Kong wants
//! that. Here it becomes 2020-12, which editors read, with the words of
//! docs/configuration.md, the one place where fields are described.

use serde_json::{Map, Value, json};

use crate::Output;
use crate::failure::Failure;

const METADATA: &str = include_str!("../../kong/gatepass.meta.json");
const PAGE: &str = include_str!("../../docs/configuration.md");

/// `schema`.
pub fn run() -> Result<Output, Failure> {
    let text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    Ok(Output::good(text))
}

fn schema() -> Value {
    let metadata: Value = serde_json::from_str(METADATA).unwrap_or_default();
    let mut schema = metadata.get("config_schema").cloned().unwrap_or_default();
    modernize(&mut schema);
    for Row { sections, fields, text } in rows(PAGE) {
        for section in &sections {
            for field in &fields {
                let path = section.iter().chain(field).map(String::as_str).collect::<Vec<_>>();
                describe(&mut schema, &path, &text);
            }
        }
    }
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("title".to_owned(), json!("Gatepass"));
    if let Value::Object(schema) = schema {
        whole.extend(schema);
    }
    Value::Object(whole)
}

/// From draft 4 to 2020-12: the keywords that changed.
fn modernize(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    for (limit, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        match keywords.get(exclusive) {
            Some(Value::Bool(true)) => {
                let value = keywords.remove(limit).unwrap_or_default();
                keywords.insert(exclusive.to_owned(), value);
            }
            Some(Value::Bool(false)) => drop(keywords.remove(exclusive)),
            _ => {}
        }
    }
    for (old, new) in [("id", "$id"), ("definitions", "$defs")] {
        if let Some(value) = keywords.remove(old) {
            keywords.insert(new.to_owned(), value);
        }
    }
    if keywords.get("items").is_some_and(Value::is_array)
        && let Some(items) = keywords.remove("items")
    {
        if let Some(others) = keywords.remove("additionalItems") {
            keywords.insert("items".to_owned(), others);
        }
        keywords.insert("prefixItems".to_owned(), items);
    }
    for (name, value) in keywords.iter_mut() {
        match (name.as_str(), value) {
            ("properties" | "patternProperties" | "$defs", Value::Object(named)) => {
                named.values_mut().for_each(modernize);
            }
            ("oneOf" | "anyOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(modernize);
            }
            ("items" | "additionalProperties" | "not", value) => modernize(value),
            _ => {}
        }
    }
}

/// A row of one of the page's tables of fields.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// The objects that it is about.
    sections: Vec<Vec<String>>,
    /// The fields of it, each a path.
    fields: Vec<Vec<String>>,
    /// Their description.
    text: String,
}

/// The tables of the page. A table is about the object in the heading
/// above it, or about those in the line before it that ends with a colon.
fn rows(page: &str) -> Vec<Row> {
    let (mut heading, mut sections) = (Vec::new(), Vec::new());
    let (mut header, mut rows) = (Vec::new(), Vec::new());
    let mut is_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        if let Some(title) = line.strip_prefix("## ") {
            heading = match title {
                title if title.starts_with("Providers") => vec!["providers".to_owned()],
                title => quoted(title).into_iter().take(1).collect(),
            };
            sections = vec![heading.clone()];
        } else if let Some(row) = line.strip_prefix('|') {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let first = cells.first().copied().unwrap_or_default();
            if first == "field" {
                header = cells.iter().map(|cell| (*cell).to_owned()).collect();
            } else if header.len() == cells.len() && first.starts_with('`') {
                let fields = fields(first);
                rows.push(Row { sections: sections.clone(), fields, text: words(&header, &cells) });
            }
        } else {
            header.clear();
            if line.starts_with('`') && line.ends_with(':') {
                let named = quoted(line.split('(').next().unwrap_or_default());
                sections = named
                    .into_iter()
                    .map(|name| heading.iter().cloned().chain([name]).collect())
                    .collect();
            }
        }
    }
    rows
}

/// The description in a row: its last column, and the default.
fn words(header: &[String], cells: &[&str]) -> String {
    let column = |name: &str| {
        let position = header.iter().position(|cell| cell == name)?;
        cells.get(position).copied().filter(|cell| !cell.is_empty())
    };
    // The text after the last bar is empty.
    let about = cells.iter().rev().nth(1).copied().unwrap_or_default();
    let default = column("default").filter(|default| *default != about);
    let default = default.map(|default| match default {
        "required" => "Required.".to_owned(),
        default => format!("Default: {default}."),
    });
    let about = Some(without_links(about)).filter(|about| !about.is_empty());
    let separator = if default.is_some() { ". " } else { "" };
    format!("{}{separator}{}", about.as_deref().unwrap_or_default(), default.unwrap_or_default())
        .trim_start_matches(". ")
        .replace('`', "")
}

/// A text whose links are the words that they stand on: editors show no Markdown.
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

/// The texts in backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The fields that a cell names; one without steps of its own is beside the first.
fn fields(cell: &str) -> Vec<Vec<String>> {
    let mut fields: Vec<_> = quoted(cell).iter().map(|field| steps(field)).collect();
    if let Some((first, others)) = fields.split_first_mut()
        && let [parents @ .., _] = first.as_slice()
    {
        for field in others.iter_mut().filter(|field| field.len() == 1) {
            field.splice(0..0, parents.iter().cloned());
        }
    }
    fields
}

/// The steps of a path such as `signing_keys[].kid`.
fn steps(field: &str) -> Vec<String> {
    field.split('.').map(|step| step.trim_end_matches("[]").to_owned()).collect()
}

/// Puts a description where a path of field names leads, through lists and
/// objects by name; nowhere, if it leads nowhere.
fn describe(schema: &mut Value, path: &[&str], text: &str) {
    let Some((first, rest)) = path.split_first() else {
        if let Value::Object(keywords) = schema
            && !text.is_empty()
        {
            keywords.insert("description".to_owned(), text.into());
        }
        return;
    };
    let Value::Object(keywords) = schema else { return };
    let is_named = |keywords: &Map<String, Value>| {
        keywords.get("properties").is_some_and(|properties| properties.get(*first).is_some())
    };
    if is_named(keywords) {
        if let Some(named) = keywords.get_mut("properties").and_then(|it| it.get_mut(*first)) {
            describe(named, rest, text);
        }
        return;
    }
    for (name, inner) in keywords.iter_mut() {
        match (name.as_str(), inner) {
            ("items" | "additionalProperties", inner) => describe(inner, path, text),
            ("oneOf" | "anyOf", Value::Array(kinds)) => {
                kinds.iter_mut().for_each(|kind| describe(kind, path, text));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_says() {
        let page = "\n# Configuration\n\n## `a` and more\n\n| field | type | default | |\n\
                      |---|---|---|---|\n| `b` | text | required | of `b` |\n\
                      | `c[].d`, `e` | text | 5 | |\n\n`f` and `g` (`x`), of it:\n\n\
                      | field | |\n|---|---|\n| `h` | text |\n\n";
        let row = |sections: &[&[&str]], fields: &[&[&str]], text: &str| Row {
            sections: sections
                .iter()
                .map(|it| it.iter().map(|it| (*it).into()).collect())
                .collect(),
            fields: fields.iter().map(|it| it.iter().map(|it| (*it).into()).collect()).collect(),
            text: text.into(),
        };
        assert_eq!(
            rows(page),
            [
                row(&[&["a"]], &[&["b"]], "of b. Required."),
                row(&[&["a"]], &[&["c", "d"], &["c", "e"]], "Default: 5."),
                row(&[&["a", "f"], &["a", "g"]], &[&["h"]], "text"),
            ]
        );
    }

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
    fn every_row_describes_a_field() {
        let metadata: Value = serde_json::from_str(METADATA).unwrap();
        let plain = &metadata["config_schema"];
        let rows = rows(PAGE);
        assert!(rows.len() > 80, "{}", rows.len());
        for row in rows {
            for (section, field) in
                row.sections.iter().flat_map(|it| row.fields.iter().map(move |field| (it, field)))
            {
                let path: Vec<_> = section.iter().chain(field).map(String::as_str).collect();
                let mut described = plain.clone();
                describe(&mut described, &path, "words of a test");
                // `path` of discovery has no words for remote_jwks, and the like.
                let is_known = described.to_string().contains("words of a test");
                let of_discovery = path.ends_with(&["remote_jwks", "jwks_service"]);
                assert!(is_known || of_discovery, "{path:?}");
            }
        }
    }

    #[test]
    fn keywords_of_draft_4() {
        let mut schema = json!({
            "id": "a", "definitions": {"b": {"minimum": 1, "exclusiveMinimum": true}},
            "items": [{"maximum": 2, "exclusiveMaximum": false}], "additionalItems": false,
        });
        modernize(&mut schema);
        assert_eq!(
            schema,
            json!({
                "$id": "a", "$defs": {"b": {"exclusiveMinimum": 1}},
                "prefixItems": [{"maximum": 2}], "items": false,
            })
        );
    }
}
