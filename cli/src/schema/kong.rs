//! The schema by which Kong checks the configuration of the filter: draft 4, without
//! references and descriptions.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{each_schema, source};

/// What `kong/gatepass.meta.json` must be, from what it is.
pub fn metadata(current: &str) -> String {
    let mut metadata: Value = serde_json::from_str(current).expect("JSON");
    metadata["config_schema"] = config_schema();
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    metadata.serialize(&mut serializer).expect("JSON");
    String::from_utf8(text).expect("UTF-8") + "\n"
}

fn config_schema() -> Value {
    let mut schema = source();
    let description = schema["description"].clone();
    let definitions = schema["$defs"].as_object().cloned().expect("definitions");
    each_schema(&mut schema, &mut |keywords| resolve(keywords, &definitions));
    schema["description"] = description;
    schema
}

fn resolve(keywords: &mut Map<String, Value>, definitions: &Map<String, Value>) {
    keywords.remove("$defs");
    while let Some(reference) = keywords.remove("$ref") {
        let name = reference.as_str().and_then(|it| it.strip_prefix("#/$defs/")).expect("a name");
        let definition = definitions.get(name).and_then(Value::as_object).expect(name);
        keywords.extend(definition.clone());
    }
    if let Some(Value::Object(kongs)) = keywords.remove("x-kong") {
        keywords.extend(kongs);
    }
    keywords
        .retain(|word, _| !["description", "default", "x-type", "x-default"].contains(&&**word));
}
