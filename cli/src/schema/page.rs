//! The tables of docs/configuration.md.
//!
//! A table stands between two marks: `<!-- fields: NAME -->`, where NAME is a field of the
//! configuration or one of the schema's `$defs`, and `<!-- end of fields -->`. With several
//! names it is about the fields themselves and what is in them.

use serde_norway::Value;

use super::SOURCE;

const END: &str = "<!-- end of fields -->";

/// What the page must be, from what it is.
pub fn with_tables(page: &str) -> String {
    let source: Value = serde_norway::from_str(SOURCE).expect("the schema");
    let mut parts = page.split("<!-- fields: ");
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (names, rest) = part.split_once(" -->").expect("the end of the mark");
        let (_, after) = rest.split_once(END).expect(END);
        let table = table(&source, &names.split(", ").collect::<Vec<_>>());
        written += &format!("<!-- fields: {names} -->\n\n{table}\n{END}{after}");
    }
    written
}

/// The names of all marks.
pub fn named(page: &str) -> Vec<&str> {
    let marks = page.split("<!-- fields: ").skip(1);
    marks.flat_map(|mark| mark.split(" -->").next().unwrap_or_default().split(", ")).collect()
}

struct Row {
    field: String,
    kind: String,
    default: String,
    about: String,
}

fn table(source: &Value, names: &[&str]) -> String {
    let mut rows = Vec::new();
    match names {
        [name] => {
            let found = source["$defs"].get(*name).or_else(|| source["properties"].get(*name));
            collect("", found.expect(name), source, &mut rows);
        }
        names => {
            for name in names {
                collect_field(name, &source["properties"][*name], false, source, &mut rows);
            }
        }
    }
    let has_defaults = rows.iter().any(|row| row.default != "none");
    let mut table = String::from("| field | type |");
    table += if has_defaults { " default | |\n|---|---|---|---|\n" } else { " |\n|---|---|---|\n" };
    for Row { field, kind, default, about } in rows {
        let default = if has_defaults { format!(" {default} |") } else { String::new() };
        table += &format!("| `{field}` | {kind} |{default} {about} |\n");
    }
    table
}

/// A row for each field of an object, or of the objects of a list.
fn collect(prefix: &str, schema: &Value, source: &Value, rows: &mut Vec<Row>) {
    let schema = if schema.get("items").is_some() { &schema["items"] } else { schema };
    let Value::Mapping(fields) = &schema["properties"] else { return };
    for (name, field) in fields {
        let name = name.as_str().expect("a name");
        let required = schema["required"].as_sequence();
        let is_required = required.is_some_and(|it| it.iter().any(|it| it.as_str() == Some(name)));
        collect_field(&format!("{prefix}{name}"), field, is_required, source, rows);
    }
}

fn collect_field(
    name: &str,
    field: &Value,
    is_required: bool,
    source: &Value,
    rows: &mut Vec<Row>,
) {
    if let Some(about) = field["description"].as_str() {
        let default = match (field.get("default"), field["x-default"].as_str()) {
            (_, Some(words)) => words.to_owned(),
            (Some(value), None) => shown(value),
            (None, None) => (if is_required { "required" } else { "none" }).to_owned(),
        };
        let (field, kind) = (name.to_owned(), kind(field, source));
        rows.push(Row { field, kind, default, about: about.to_owned() });
    }
    if field["properties"].is_mapping() {
        collect(&format!("{name}."), field, source, rows);
    } else if field["items"]["properties"].is_mapping() {
        collect(&format!("{name}[]."), field, source, rows);
    }
}

/// What a field may be, in words.
fn kind(schema: &Value, source: &Value) -> String {
    if let Some(words) = schema["x-type"].as_str() {
        return words.to_owned();
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/$defs/");
        return kind(&source["$defs"][name], source);
    }
    if let Value::Sequence(words) = &schema["enum"] {
        return words.iter().map(shown).collect::<Vec<_>>().join(", ");
    }
    match schema["type"].as_str() {
        Some("integer") => {
            format!("{} to {}", shown(&schema["minimum"]), shown(&schema["maximum"]))
        }
        Some("string") if schema["pattern"] == "^/" => "path".to_owned(),
        Some("string") => "string".to_owned(),
        Some("array") => format!("list of {}", plural(&kind(&schema["items"], source))),
        Some("object") if schema["additionalProperties"].is_mapping() => {
            format!("object of {}", plural(&kind(&schema["additionalProperties"], source)))
        }
        Some(name) => name.to_owned(),
        None if schema["type"].is_sequence() => "value".to_owned(),
        None => panic!("no words for {schema:?}"),
    }
}

fn plural(kind: &str) -> String {
    if kind.starts_with('`') { kind.to_owned() } else { format!("{kind}s") }
}

/// A value as it is written in YAML.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Sequence(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(item).replace('`', "")).collect();
            format!("`[{}]`", items.join(", "))
        }
        Value::Mapping(_) => "`{}`".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        value => format!("`{}`", value.as_str().unwrap_or("null")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "files are what this is about")]

    use std::path::PathBuf;
    use std::{env, fs};

    use super::*;
    use crate::schema::kong;

    const PAGE: &str = "docs/configuration.md";

    fn path(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_WORKSPACE_DIR")).join(name)
    }

    /// Compares a file with what it must be; with `GATEPASS_WRITE`, as `make docs` sets it,
    /// writes it.
    fn hold(name: &str, wanted: impl FnOnce(&str) -> String) {
        let current = fs::read_to_string(path(name)).unwrap();
        let wanted = wanted(&current);
        if env::var_os("GATEPASS_WRITE").is_some() {
            fs::write(path(name), wanted).unwrap();
        } else {
            assert!(current == wanted, "{name} is not what src/config/schema.yaml says: make docs");
        }
    }

    #[test]
    fn the_tables_of_the_page() {
        hold(PAGE, with_tables);
    }

    #[test]
    fn the_schema_of_kong() {
        hold("kong/gatepass.meta.json", kong::metadata);
    }

    #[test]
    fn every_field_is_on_the_page() {
        let source: Value = serde_norway::from_str(SOURCE).unwrap();
        let page = fs::read_to_string(path(PAGE)).unwrap();
        let named = named(&page);
        let has_fields = |schema: &Value| {
            schema["properties"].is_mapping() || schema["items"]["properties"].is_mapping()
        };
        for group in ["properties", "$defs"] {
            for (name, schema) in source[group].as_mapping().unwrap() {
                let name = name.as_str().unwrap();
                // What has words of its own stands in them.
                let is_leaf = group == "properties" && schema.get("$ref").is_none();
                let has_words = schema["x-type"].is_string();
                let headings = page.lines().filter(|line| line.starts_with("## "));
                let is_known = named.contains(&name)
                    || headings.into_iter().any(|it| it.contains(&format!("`{name}`")));
                assert!(
                    is_known || has_words || !(is_leaf || has_fields(schema)),
                    "{name} is in no table"
                );
                described(name, schema, has_words);
            }
        }
    }

    /// Every field has a description, or is in one that says what is in it.
    fn described(path: &str, schema: &Value, is_covered: bool) {
        for inner in [&schema["items"], &schema["additionalProperties"]] {
            if inner.is_mapping() {
                described(path, inner, is_covered);
            }
        }
        let Value::Mapping(fields) = &schema["properties"] else { return };
        for (name, field) in fields {
            let path = format!("{path}.{}", name.as_str().unwrap());
            let is_described = is_covered || field["description"].is_string();
            assert!(is_described || field["properties"].is_mapping(), "{path} has no description");
            described(&path, field, is_described);
        }
    }

    #[test]
    fn a_table() {
        let source: Value = serde_norway::from_str(
            "{properties: {a: {properties: {\
                b: {type: integer, minimum: 1, maximum: 2, default: 1, description: of b},\
                c: {type: array, items: {type: string}, x-default: as `b`, description: of c},\
                d: {properties: {e: {$ref: '#/$defs/s', description: of e}}}},\
              required: [e]}}, $defs: {s: {x-type: secret}}}",
        )
        .unwrap();
        assert_eq!(
            table(&source, &["a"]),
            "| field | type | default | |\n|---|---|---|---|\n\
             | `b` | 1 to 2 | 1 | of b |\n\
             | `c` | list of strings | as `b` | of c |\n\
             | `d.e` | secret | none | of e |\n"
        );
    }
}
