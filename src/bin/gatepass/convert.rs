//! `convert`: from a kong.yml with the jwt and acl plugins to a configuration.

use gatepass::config::convert::{ConvertError, Converted, from_kong};
use serde_json::json;

use crate::arguments::Convert;
use crate::document::Unreadable;
use crate::failure::Failure;
use crate::text::Plain;
use crate::{Ending, Output, outside};

/// `convert`.
pub fn run(arguments: &Convert) -> Result<Output, Failure> {
    let file = &arguments.file;
    let text = outside::read(file)?;
    let Converted { configuration, notes } = match from_kong(&text) {
        Ok(converted) => converted,
        Err(ConvertError::NotYaml(cause)) => {
            return Err(Failure::Format { file: file.clone(), cause: Unreadable::Yaml(cause) });
        }
        Err(error) => {
            let mut output = Output::new("", Ending::Bad);
            output.notes = format!("{}: {}\n", Plain(file), Plain(&error.to_string()));
            return Ok(output);
        }
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
    let text = serde_norway::to_string(&configuration).unwrap_or_default();
    let notes = notes.iter().map(|note| format!("{}: {}\n", Plain(file), Plain(&note.to_string())));
    Ok(Output { text, notes: notes.collect(), ending })
}
