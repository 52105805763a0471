//! `convert`: from a kong.yml with the jwt and acl plugins to a configuration.

use std::fmt;

use gatepass::config;
use serde_json::{Value, json};

use super::{ConvertError, Converted, from_kong};
use crate::arguments::{Convert, ConvertTo};
use crate::document::Unreadable;
use crate::failure::Failure;
use crate::text::Escaped;
use crate::{Ending, Output, placeholders, system};

/// `convert`.
pub fn run(arguments: &Convert) -> Result<Output, Failure> {
    let file = &arguments.file;
    let text = system::read(file)?;
    let Converted { configuration, notes } = match from_kong(&text) {
        Ok(converted) => converted,
        Err(ConvertError::NotYaml(cause)) => {
            return Err(Failure::Format { file: file.clone(), cause: Unreadable::Yaml(cause) });
        }
        Err(error) => return Ok(refused(file, &error)),
    };
    // A configuration that is not accepted is of no use, whatever it was made from.
    let sample = placeholders::fill(configuration.clone())?.to_string();
    let made_up = |_: &str| Some(placeholders::TEXT.to_owned());
    if let Err(problems) = config::load(sample.as_bytes(), &made_up, None) {
        return Ok(refused(file, &format_args!("what it comes to is not accepted: {problems}")));
    }
    let configuration = match arguments.to {
        ConvertTo::Configuration => configuration,
        // The rules are for all routes, those without plugins included.
        ConvertTo::KongPlugin => json!({
            "_format_version": "3.0",
            "plugins": [{"name": "gatepass", "config": configuration}],
        }),
    };
    let is_whole = notes.iter().all(|note| !note.is_change);
    let ending = if is_whole { Ending::Good } else { Ending::Partial };
    if arguments.json {
        let notes = notes.iter().map(
            |note| json!({ "place": note.place, "text": note.text, "change": note.is_change }),
        );
        let report = json!({ "configuration": configuration, "notes": notes.collect::<Vec<_>>() });
        return Ok(Output::new(report.to_string(), ending));
    }
    let text = serde_norway::to_string(&yaml(&configuration)).unwrap_or_default();
    let notes =
        notes.iter().map(|note| format!("{}: {}\n", Escaped(file), Escaped(&note.to_string())));
    Ok(Output { text, notes: notes.collect(), ending })
}

/// The file was refused.
fn refused(file: &str, why: &dyn fmt::Display) -> Output {
    let mut output = Output::new("", Ending::Bad);
    output.notes = format!("{}: {}\n", Escaped(file), Escaped(&why.to_string()));
    output
}

/// A value as YAML has it: the numbers of serde_json keep their text, which other
/// formats do not know how to write.
fn yaml(value: &Value) -> serde_norway::Value {
    match value {
        Value::Null => serde_norway::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.to_string().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => serde_norway::Value::Sequence(items.iter().map(yaml).collect()),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.as_str().into(), yaml(value)));
            serde_norway::Value::Mapping(members.collect())
        }
    }
}
