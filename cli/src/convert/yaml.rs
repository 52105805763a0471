//! Text as YAML parsers read it: merge keys resolved.
//!
//! Text that they read differently is refused: a repeated key, a tag, an invalid number.

use serde::Deserialize as _;
use serde_json::Value;
use serde_norway::Value as Yaml;

use crate::unreadable::Unreadable;

/// The documents of a text that say something; an error says why it cannot be read.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    // A byte order mark is none of the text (YAML 1.2 section 5.2); here it would pass for
    // a document of its own.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        // By YAML's own type of value, which refuses a key that comes twice.
        let yaml =
            Yaml::deserialize(document).map_err(|error| Unreadable::yaml(text, &error).cause())?;
        let value =
            serde_json::to_value(merged(yaml)?).map_err(|_| Unreadable::unnamed(text).cause())?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}

/// A value without merge keys. A key beside `<<` wins over a merged one, and an
/// earlier element of a list of merged mappings over a later one.
fn merged(value: Yaml) -> Result<Yaml, String> {
    match value {
        Yaml::Mapping(members) => {
            let mut own = serde_norway::Mapping::new();
            let mut bases = Vec::new();
            for (key, value) in members {
                let value = merged(value)?;
                match (key.as_str(), value) {
                    (Some("<<"), Yaml::Sequence(several)) => bases.extend(several),
                    (Some("<<"), one) => bases.push(one),
                    (_, value) => drop(own.insert(key, value)),
                }
            }
            for base in bases {
                let Yaml::Mapping(base) = base else {
                    return Err("<< with something else than mappings".to_owned());
                };
                for (key, value) in base {
                    own.entry(key).or_insert(value);
                }
            }
            Ok(Yaml::Mapping(own))
        }
        Yaml::Sequence(items) => {
            items.into_iter().map(merged).collect::<Result<_, _>>().map(Yaml::Sequence)
        }
        Yaml::Tagged(tagged) => Err(format!("the tag {}, which is not read", tagged.tag)),
        // JSON has no name for it, and would say that nothing is there.
        Yaml::Number(number) if number.as_f64().is_some_and(|it| !it.is_finite()) => {
            Err(format!("{number}, which is no number"))
        }
        other => Ok(other),
    }
}
