//! The text of a kong.yml as Kong and decK read it: merge keys resolved, shared
//! plugin configurations filled in.
//!
//! Text that YAML parsers read differently is refused: a repeated key, a tag, an
//! invalid number.

use gatepass::config::Problem;
use serde_json::{Map, Value};
use serde_norway::Value as Yaml;

/// Reads the text, as far as YAML goes; an error says why it cannot be read.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    // A byte order mark is none of the text (YAML 1.2 section 5.2); here it would pass for
    // a document of its own.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // By YAML's own type of value, which refuses a key that comes twice.
    let yaml: Yaml = serde_norway::from_str(text).map_err(|error| error.to_string())?;
    serde_json::to_value(merged(yaml)?).map_err(|error| error.to_string())
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
        Yaml::Tagged(tagged) => Err(format!("the tag {}, which Kong does not know", tagged.tag)),
        // JSON has no name for it, and would say that nothing is there.
        Yaml::Number(number) if number.as_f64().is_some_and(|it| !it.is_finite()) => {
            Err(format!("{number}, which is no number"))
        }
        other => Ok(other),
    }
}

/// Fills in what plugins take from `_plugin_configs` by `_config`. Their own
/// options win.
pub(super) fn share(kong: &mut Value) -> Vec<Problem> {
    let shared = kong.get("_plugin_configs").and_then(Value::as_object).cloned();
    let mut problems = Vec::new();
    visit(kong, "$", &shared.unwrap_or_default(), &mut problems);
    problems
}

fn visit(value: &mut Value, path: &str, shared: &Map<String, Value>, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}.{name}");
                if let ("plugins", Value::Array(plugins)) = (name.as_str(), &mut *member) {
                    for (position, plugin) in plugins.iter_mut().enumerate() {
                        problems.extend(fill(plugin, &format!("{path}[{position}]"), shared));
                    }
                }
                if name != "config" && name != "_plugin_configs" {
                    visit(member, &path, shared, problems);
                }
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                visit(item, &format!("{path}[{position}]"), shared, problems);
            }
        }
        _ => {}
    }
}

fn fill(plugin: &mut Value, path: &str, shared: &Map<String, Value>) -> Option<Problem> {
    let members = plugin.as_object_mut()?;
    let source = members.remove("_config")?;
    let base = source.as_str().and_then(|name| shared.get(name)).and_then(Value::as_object);
    let own = members.entry("config").or_insert(Value::Null);
    if own.is_null() {
        *own = Value::Object(Map::new());
    }
    let (Some(base), Value::Object(own)) = (base, own) else {
        return Some(Problem::new(
            format!("{path}._config"),
            source.to_string(),
            "the name of one of _plugin_configs",
        ));
    };
    for (name, value) in base {
        own.entry(name).or_insert_with(|| value.clone());
    }
    None
}
