//! Secrets of a configuration that come from Envoy's secret discovery service: `{sds:
//! {name: ..., sds_config: ...}}` in place of any secret.
//!
//! They arrive after the configuration was created, and may change. Each change results
//! in a new configuration text, and from that a new snapshot.

use std::cell::RefCell;
use std::rc::Rc;

use gatepass::config::{self, Problem, ProblemKind, Problems, Variable};
use gatepass::json;
use gatepass_native::{AwsLc, environment};
use serde_json::{Map, Value};

use crate::abi::{Config, SecretId, secrets_are_given};
use crate::snapshot::log_problems;

/// The secrets in a configuration.
pub(crate) struct Secrets {
    document: Value,
    named: Vec<Named>,
    /// Their values when last read.
    seen: RefCell<Vec<Vec<u8>>>,
}

/// Secrets of which no configuration can be made.
pub(crate) struct Refused;

struct Named {
    /// Its position.
    path: String,
    /// The members of `sds` there.
    members: Map<String, Value>,
    id: SecretId,
}

const ACCEPTED: &str = "{name, sds_config}, as Envoy has them: a text, and a config source";

/// The variable in place of a secret that has not arrived yet. No process has one of this
/// name.
const TO_COME: &str = "=sds";

impl Secrets {
    /// Subscribes to the secrets in a configuration; `None` if it has none.
    pub(crate) fn subscribe(config: &Config<'_>, text: &[u8]) -> Result<Option<Self>, Problems> {
        // The reader reports text that is not JSON.
        let Ok(document) = json::parse(text) else { return Ok(None) };
        let mut found = Vec::new();
        find(&document, "$", &mut found);
        let (mut named, mut problems) = (Vec::new(), Vec::new());
        for (path, members) in found {
            match subscribe_to(config, &path, &members) {
                Ok(id) => named.push(Named { path, members, id }),
                Err(problem) => problems.push(problem),
            }
        }
        if named.is_empty() && problems.is_empty() {
            return Ok(None);
        }
        let secrets = Self { document, named, seen: RefCell::default() };
        if problems.is_empty() {
            problems.extend(secrets.problems());
        }
        Problems::check(problems).map(|()| Some(secrets))
    }

    /// The configuration with its secrets filled in; `None` if one has not arrived yet,
    /// or nothing has changed since the last call. An error is logged.
    pub(crate) fn changed(&self, config: &Config<'_>) -> Option<Result<Vec<u8>, Refused>> {
        let values: Option<Vec<_>> =
            self.named.iter().map(|named| config.secret(named.id)).collect();
        let values = values?;
        if *self.seen.borrow() == values {
            return None;
        }
        let text = self.filled_in(&values);
        *self.seen.borrow_mut() = values;
        Some(text.map_err(|problems| {
            log_problems(&problems);
            Refused
        }))
    }

    /// The configuration with these values. They must be text: bytes that are none would
    /// be replaced, and different keys would become the same.
    fn filled_in(&self, values: &[Vec<u8>]) -> Result<Vec<u8>, Problems> {
        let (mut texts, mut problems) = (Vec::new(), Vec::new());
        for (named, value) in self.named.iter().zip(values) {
            match std::str::from_utf8(value) {
                // Editors and `echo` end a file with a line break.
                Ok(text) => texts.push((&named.members, text.trim_end_matches(['\r', '\n']))),
                Err(_) => problems.push(Problem::new(
                    &named.path,
                    "a secret that is not UTF-8".to_owned(),
                    "text",
                )),
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let text = self.replaced(&|members| {
            let (_, text) = texts.iter().find(|(known, _)| *known == members)?;
            Some(Value::String((*text).to_owned()))
        });
        Ok(text.into_bytes())
    }

    /// The configuration with each reference replaced, by its members.
    fn replaced(&self, replacement: &dyn Fn(&Map<String, Value>) -> Option<Value>) -> String {
        let mut document = self.document.clone();
        config::replace_references(&mut document, &|members| {
            config::sds_reference(members).and_then(replacement)
        });
        document.to_string()
    }

    /// The problems of the rest of the configuration.
    fn problems(&self) -> Vec<Problem> {
        let text = self.replaced(&|_| Some(serde_json::json!({ "env": TO_COME })));
        let read = |name: &str| match name {
            TO_COME => Variable::Unset,
            name => environment(name),
        };
        let Err(Problems(problems)) = config::load(text.as_bytes(), &read, Some(Rc::new(AwsLc)))
        else {
            return Vec::new();
        };
        let is_to_come = |problem: &Problem| {
            problem.kind == ProblemKind::VariableUnset
                && self.named.iter().any(|named| named.path == problem.path)
        };
        problems.into_iter().filter(|problem| !is_to_come(problem)).collect()
    }
}

/// Subscribes to a secret by the name and source in `members`.
fn subscribe_to(
    config: &Config<'_>,
    path: &str,
    members: &Map<String, Value>,
) -> Result<SecretId, Problem> {
    let refused = |found: &str, accepted: &str| Problem::new(path, found.to_owned(), accepted);
    let known = |name: &String| name == "name" || name == "sds_config";
    if let Some(other) = members.keys().find(|name| !known(name)) {
        return Err(refused(&format!("sds with {}", config::shown_member(other)), ACCEPTED));
    }
    let name = members.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let source = match members.get("sds_config") {
        Some(source @ Value::Object(_)) => Some(source.to_string()),
        _ => None,
    };
    let Some((name, source)) = name.zip(source) else {
        return Err(refused("sds without name or sds_config", ACCEPTED));
    };
    if !secrets_are_given() {
        return Err(refused("sds", "{env: NAME}: secrets from SDS need Envoy 1.40"));
    }
    let refuses = || refused("sds that Envoy refuses, as its log says", ACCEPTED);
    config.subscribe(name, &source).ok_or_else(refuses)
}

/// Every reference, with its position.
fn find(value: &Value, path: &str, found: &mut Vec<(String, Map<String, Value>)>) {
    if let Some(members) = value.as_object().and_then(config::sds_reference) {
        found.push((path.to_owned(), members.clone()));
        return;
    }
    match value {
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                find(item, &format!("{path}[{position}]"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                find(member, &format!("{path}.{name}"), found);
            }
        }
        _ => {}
    }
}
