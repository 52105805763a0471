//! `convert`: from another gateway's configuration to one of Gatepass.

use std::fmt;

use serde_json::json;

use super::{ConvertError, Selection, convert, writer};
use crate::arguments::{Convert, ConvertTo};
use crate::document::Unreadable;
use crate::failure::Failure;
use crate::text::Escaped;
use crate::{Ending, Output, system};

/// `convert`.
pub fn run(arguments: &Convert) -> Result<Output, Failure> {
    let file = &arguments.file;
    let text = system::read(file)?;
    let selection = Selection { only: arguments.only.clone(), to: arguments.to };
    let converted = match convert(&text, &selection) {
        Ok(converted) => converted,
        Err(ConvertError::NotYaml(cause)) => {
            return Err(Failure::Format { file: file.clone(), cause: Unreadable::Yaml(cause) });
        }
        Err(error) => return Ok(refused(file, &error)),
    };
    let notes = &converted.notes;
    let is_whole = notes.iter().all(|note| !note.is_change);
    let ending = if is_whole { Ending::Good } else { Ending::Partial };
    if arguments.json {
        let notes = notes.iter().map(
            |note| json!({ "place": note.place, "text": note.text, "change": note.is_change }),
        );
        let notes: Vec<_> = notes.collect();
        let configuration = match arguments.to {
            ConvertTo::Configuration => converted.configuration,
            ConvertTo::KongPlugin => json!({
                "_format_version": "3.0",
                "plugins": [{"name": "gatepass", "config": converted.configuration}],
            }),
        };
        let report = json!({ "configuration": configuration, "notes": notes });
        return Ok(Output::new(report.to_string(), ending));
    }
    let text = writer::text(&converted, arguments.to);
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
