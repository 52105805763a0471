//! The text of a kong.yml as Kong and decK read it: shared plugin configurations filled
//! in, old formats brought to the new one.

use gatepass::config::Problem;
use serde_json::{Map, Value};

use crate::unreadable::Unreadable;
use crate::yaml::{self, Reader};

/// The text of one file; an error says why it cannot be read.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let documents = yaml::documents(text, Reader::Kong).map_err(Unreadable::cause)?;
    let mut documents = documents.into_iter();
    match (documents.next(), documents.next()) {
        (Some(document), None) => Ok(document),
        (None, _) => Ok(Value::Null),
        _ => Err("more than one document".to_owned()),
    }
}

/// Brings a file of the formats 1.1 and 2.1 to 3.0, as Kong does when it reads one
/// (kong/db/declarative/migrations). Paths that it would rewrite are refused.
pub(super) fn upgrade(kong: &mut Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    visit_old(kong, "$", &mut problems);
    problems
}

fn visit_old(value: &mut Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}.{name}");
                match (name.as_str(), &mut *member) {
                    ("routes", Value::Array(routes)) => {
                        for (position, route) in routes.iter_mut().enumerate() {
                            old_paths(route, &format!("{path}[{position}]"), problems);
                        }
                    }
                    ("plugins", Value::Array(plugins)) => {
                        plugins.iter_mut().for_each(old_plugin);
                    }
                    _ => {}
                }
                if name != "config" {
                    visit_old(member, &path, problems);
                }
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                visit_old(item, &format!("{path}[{position}]"), problems);
            }
        }
        _ => {}
    }
}

/// Until 2.8 a path with other than these characters was a regular expression.
fn old_paths(route: &mut Value, path: &str, problems: &mut Vec<Problem>) {
    let paths = route.get_mut("paths").and_then(Value::as_array_mut);
    for (position, item) in paths.into_iter().flatten().enumerate() {
        let Value::String(text) = item else { continue };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_~/%".contains(c);
        let is_normal = !["%", "//", "/./", "/../"].iter().any(|it| text.contains(it))
            && !["/.", "/.."].iter().any(|it| text.ends_with(it));
        if !is_normal {
            problems.push(Problem::new(
                format!("{path}.paths[{position}]"),
                format!("{text:?} in a file of an old format, which Kong rewrites"),
                "a path without %, //, and dot segments; or `deck convert` first",
            ));
        } else if !text.chars().all(is_plain) {
            *text = format!("~{text}");
        }
    }
}

/// Names of old: of the options of acl, and of where in a mesh a plugin runs.
fn old_plugin(plugin: &mut Value) {
    let Value::Object(members) = plugin else { return };
    if members.get("run_on").is_some_and(|it| it == "first" || it == "all" || it.is_null()) {
        members.remove("run_on");
    }
    let is_acl = members.get("name").is_some_and(|name| name == "acl");
    if let (true, Some(Value::Object(config))) = (is_acl, members.get_mut("config")) {
        for (old, new) in [("whitelist", "allow"), ("blacklist", "deny")] {
            match config.remove(old) {
                // Both are refused, as unknown.
                Some(list) if config.get(new).is_some_and(|it| !it.is_null()) => {
                    config.insert(old.to_owned(), list);
                }
                Some(list) => drop(config.insert(new.to_owned(), list)),
                None => {}
            }
        }
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
