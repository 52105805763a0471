//! A configuration as text: in the order of the documentation, with what a person should
//! read before using it beside what it is about.

use serde_json::{Map, Value};
use serde_norway::{Mapping, Value as Yaml};

use super::{Converted, Note};
use crate::arguments::ConvertTo;
use crate::text::Escaped;
use crate::yaml::is_plain_text;

/// The fields in the order in which the documentation has them; others come after, by
/// name.
const ORDER: [&str; 62] = [
    // The whole.
    "services",
    "providers",
    "token",
    "consumers",
    "user_info",
    "identity_token",
    "claim_to_headers",
    "policies",
    "rules",
    "resources",
    "revocation",
    "errors",
    "limits",
    "bypass_cors_preflight",
    "crypto",
    "mode",
    // Rules, and what they ask.
    "match",
    "path",
    "path_prefix",
    "path_starts_with",
    "path_template",
    "methods",
    "hosts",
    "headers",
    "bypass",
    "requires",
    // Services and providers.
    "kind",
    "upstream",
    "authority",
    "scheme",
    "timeout_ms",
    "issuer",
    "audiences",
    "allow_any_audience",
    "algorithms",
    "remote_jwks",
    "local_jwks",
    "discovery",
    "service",
    "cache_seconds",
    "clock_skew_seconds",
    "require_expiration",
    "max_lifetime_seconds",
    "token_types",
    "required_claims",
    // Tokens, consumers and what services are told.
    "from_headers",
    "from_cookies",
    "from_params",
    "forward",
    "name",
    "value_prefix",
    "header",
    "claim",
    "format",
    "entries",
    "key",
    "id",
    "username",
    "custom_id",
    "groups",
    "algorithm",
    "private_key",
];

/// The text for standard output.
pub(super) fn text(converted: &Converted, to: ConvertTo) -> String {
    let own = sections(converted);
    match to {
        ConvertTo::Configuration => own,
        // The rules are for all routes, those without plugins included.
        ConvertTo::KongPlugin => {
            let start = "_format_version: '3.0'\nplugins:\n- name: gatepass\n  config:\n";
            let lines = own.lines().map(|line| match line {
                "" => "\n".to_owned(),
                line => format!("    {line}\n"),
            });
            format!("{start}{}", lines.collect::<String>())
        }
    }
}

fn sections(converted: &Converted) -> String {
    let Value::Object(sections) = &converted.configuration else { return String::new() };
    let is_of = |note: &&Note, section: &str| section_of(note, sections) == section;
    let mut text = String::new();
    text.extend(converted.notes.iter().filter(|note| is_of(note, "")).map(comment));
    for (name, section) in ordered(sections) {
        let mut notes: Vec<_> = converted.notes.iter().filter(|it| is_of(it, name)).collect();
        if let ("rules", Value::Array(rules)) = (name.as_str(), section) {
            let (about_rules, about_all) = notes
                .into_iter()
                .partition(|note| converted.rule_places.iter().any(|it| is_at(it, &note.place)));
            notes = about_all;
            text.extend(notes.iter().map(|note| comment(note)));
            text.push_str("rules:\n");
            text.push_str(&rules_text(rules, &converted.rule_places, about_rules));
            continue;
        }
        text.extend(notes.iter().map(|note| comment(note)));
        let one = Mapping::from_iter([(scalar(name), yaml(section))]);
        text.push_str(&written(&one.into()));
    }
    text
}

/// Each rule below the place where it comes from.
fn rules_text(rules: &[Value], places: &[String], mut notes: Vec<&Note>) -> String {
    let mut text = String::new();
    let mut last = None;
    for (position, rule) in rules.iter().enumerate() {
        let place = places.get(position);
        if let Some(place) = place.filter(|it| last != Some(*it)) {
            let (own, others): (Vec<_>, _) =
                notes.into_iter().partition(|note| is_at(place, &note.place));
            notes = others;
            if own.iter().all(|note| note.place != *place) {
                text.push_str(&format!("# {}\n", line(place)));
            }
            text.extend(own.into_iter().map(comment));
        }
        last = place;
        let list = Yaml::Sequence(vec![yaml(rule)]);
        text.push_str(&written(&list));
    }
    text.extend(notes.into_iter().map(comment));
    text
}

fn is_at(rule_place: &str, place: &str) -> bool {
    rule_place == place || rule_place.strip_prefix(place).is_some_and(|it| it.starts_with(" ("))
}

/// Before which section a note stands.
fn section_of<'a>(note: &Note, sections: &Map<String, Value>) -> &'a str {
    let first = note.place.split([' ', '[', '.']).next().unwrap_or_default();
    let section = match first {
        "plugin" | "provider" => "providers",
        "service" => "services",
        "consumer" => "consumers",
        "identity_token" => "identity_token",
        "token" => "token",
        "header" => "claim_to_headers",
        "the" if note.place == "the file" => "",
        "limits" => "limits",
        _ => "rules",
    };
    if sections.contains_key(section) { section } else { "" }
}

fn comment(note: &Note) -> String {
    let mut text = String::new();
    let mut row = "#".to_owned();
    for word in line(&note.to_string()).split(' ') {
        if row.len().saturating_add(word.len()) > 92 {
            text.push_str(&row);
            text.push('\n');
            row = "#  ".to_owned();
        }
        row.push(' ');
        row.push_str(word);
    }
    format!("{text}{row}\n")
}

/// Text of one line: a name in a file must not end a comment.
fn line(text: &str) -> String {
    Escaped(text).to_string().replace('\n', "\\n")
}

/// A value on one line, with spaces where a line may be broken.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let members = ordered(members);
            let members = members.iter().map(|(name, it)| {
                let name = if is_word(name) { (*name).clone() } else { json_text(name) };
                format!("{name}: {}", flow(it))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) if is_word(text) => text.clone(),
        other => other.to_string(),
    }
}

fn json_text(text: &str) -> String {
    Value::from(text).to_string()
}

/// Whether a text needs no quotes, also between brackets.
fn is_word(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(is_plain)
        && is_plain_text(text)
}

fn ordered(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let rank = |name: &str| ORDER.iter().position(|it| *it == name).unwrap_or(ORDER.len());
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(name, _)| rank(name));
    members
}

/// A value as YAML has it: the numbers of serde_json keep their text, which other
/// formats do not know how to write.
fn yaml(value: &Value) -> Yaml {
    match value {
        Value::Null => Yaml::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(number)) => number.into(),
            (None, None) => number.to_string().into(),
        },
        Value::String(text) => scalar(text),
        Value::Array(items) => Yaml::Sequence(items.iter().map(yaml).collect()),
        Value::Object(members) => {
            let members = ordered(members);
            let members = members.iter().map(|(name, value)| (scalar(name), yaml(value)));
            Yaml::Mapping(members.collect())
        }
    }
}

/// Stands before a text that has to be in quotes, until it is written.
const QUOTED: &str = "gatepass-convert-quotes-";

/// A text. Without quotes, some readers would take it for a number or a boolean, and the one
/// that writes does not know them all.
fn scalar(text: &str) -> Yaml {
    if is_plain_text(text) { text.into() } else { format!("{QUOTED}{text}").into() }
}

fn written(value: &Yaml) -> String {
    let text = serde_norway::to_string(value).unwrap_or_default();
    let mut parts = text.split(QUOTED);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let row = part.lines().next().unwrap_or_default();
        let name = row.split_once(": ").map(|(name, _)| name).or_else(|| row.strip_suffix(':'));
        let (own, rest) = part.split_at_checked(name.unwrap_or(row).len()).unwrap_or_default();
        match text.ends_with(['\'', '"']) {
            // It is in quotes already.
            true => text.push_str(part),
            false => text.push_str(&format!("'{own}'{rest}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Reader, read};
    use serde_json::json;

    /// As a name, as a value and in a list.
    #[test]
    fn what_is_written_means_the_same_to_every_reader() {
        let lines = include_str!("../../../tests/fixtures/spellings.tsv").lines();
        let spellings = lines.filter(|line| !line.starts_with('#')).skip(1);
        let spellings = spellings.filter_map(|line| line.split('\t').next());
        for text in spellings.chain(["", "1:30:", "a: 1:30", "it's", "- no", "no #", "plain"]) {
            let value = json!({"list": [text, {"a": text}], "one": text, (text): {(text): text}});
            let written = written(&yaml(&value));
            for reader in Reader::ALL {
                let found = read(&written, reader).unwrap_or_else(|it| panic!("{it}: {written}"));
                assert_eq!(found.documents, std::slice::from_ref(&value), "{written}");
                assert_eq!(found.surprises, [], "{written}");
            }
        }
    }
}
