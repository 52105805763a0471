//! Two rules that say one thing: a path itself, and all below it.

use serde_json::{Map, Value};

type Rules = Vec<(String, Value)>;

/// Puts `path: /a` and `path_starts_with: /a/` together as `path_prefix: /a`, where both ask
/// the same and no rule between them may be for the path itself.
pub(super) fn prefixes(rules: Rules) -> Rules {
    let mut joined: Rules = Vec::new();
    let mut rules = rules.into_iter().map(Some).collect::<Vec<_>>();
    for position in 0..rules.len() {
        let Some(rule) = rules.get_mut(position).and_then(Option::take) else { continue };
        let later = rules.get_mut(position.saturating_add(1)..).unwrap_or_default();
        match below(&rule.1, later) {
            Some((other, path)) => {
                if let Some(matching) = other.get_mut("match").and_then(Value::as_object_mut) {
                    matching.remove("path_starts_with");
                    matching.insert("path_prefix".to_owned(), path.into());
                }
            }
            None => joined.push(rule),
        }
    }
    joined
}

/// The rule for all below the path of `rule`, and that path.
fn below<'r>(
    rule: &Value,
    later: &'r mut [Option<(String, Value)>],
) -> Option<(&'r mut Value, String)> {
    let path = rule.pointer("/match/path")?.as_str()?.to_owned();
    for (_, other) in later.iter_mut().flatten() {
        let of_other = path_of(other);
        let is_below = of_other.is_some_and(|(field, prefix)| {
            let is_root = prefix == "/" && path == "/";
            field != "path" && (is_root || prefix.strip_suffix('/') == Some(path.as_str()))
        });
        if is_below && rest_of(rule) == rest_of(other) {
            return Some((other, path));
        }
        let is_apart = of_other.is_some_and(|(field, prefix)| match field {
            "path" => prefix != path,
            _ => !path.starts_with(prefix),
        });
        if !is_apart && !is_below {
            return None;
        }
    }
    None
}

fn path_of(rule: &Value) -> Option<(&str, &str)> {
    let fields = ["path", "path_prefix", "path_starts_with"];
    fields
        .into_iter()
        .find_map(|field| Some((field, rule.pointer("/match")?.get(field)?.as_str()?)))
}

/// A rule without its path.
fn rest_of(rule: &Value) -> Option<Map<String, Value>> {
    let mut rest = rule.as_object()?.clone();
    let matching = rest.get_mut("match")?.as_object_mut()?;
    matching.retain(|field, _| !field.starts_with("path"));
    Some(rest)
}
