//! `schema`: the JSON Schema of the configuration.
//!
//! There is one schema, by which Kong checks a configuration and which is tested
//! field by field against the filter's reader; it is in draft 4, since Kong wants
//! that. Here it becomes 2020-12, which editors read.

use serde_json::{Map, Value, json};

use crate::Output;
use crate::failure::Failure;

const METADATA: &str = include_str!("../../../kong/gatepass.meta.json");

/// `schema`.
pub fn run() -> Result<Output, Failure> {
    let text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    Ok(Output::good(text))
}

fn schema() -> Value {
    let metadata: Value = serde_json::from_str(METADATA).unwrap_or_default();
    let mut schema = metadata.get("config_schema").cloned().unwrap_or_default();
    modernize(&mut schema);
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
