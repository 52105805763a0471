//! Secrets of a configuration that come from Envoy's secret discovery service: `{sds:
//! {name: ..., sds_config: ...}}` in place of any secret.
//!
//! They arrive after the configuration was created, and may change. Each change results
//! in a new configuration text, and from that a new plan.

use std::cell::RefCell;
use std::rc::Rc;

use gatepass::config::{self, Problem, ProblemKind, Problems, Variable};
use gatepass::json;
use gatepass_native::{AwsLc, environment};
use serde_json::{Map, Value};

use crate::abi::{Config, SecretId, secrets_are_given};

/// The secrets in a configuration.
pub(crate) struct Secrets {
    document: Value,
    named: Vec<Named>,
    /// Their values when last read.
    seen: RefCell<Vec<Vec<u8>>>,
}

struct Named {
    /// Its position.
    path: String,
    /// The object in its place.
    reference: Value,
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
            match ask(config, &path, &members) {
                Ok(id) => named.push(Named { path, reference: object(members), id }),
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
        if problems.is_empty() { Ok(Some(secrets)) } else { Err(Problems(problems)) }
    }

    /// The configuration with its secrets filled in; `None` if one has not arrived yet,
    /// or nothing has changed since the last call.
    pub(crate) fn changed(&self, config: &Config<'_>) -> Option<Vec<u8>> {
        let values: Option<Vec<_>> =
            self.named.iter().map(|named| config.secret(named.id)).collect();
        let values = values?;
        if *self.seen.borrow() == values {
            return None;
        }
        let value_of = |reference: &Value| {
            let position = self.named.iter().position(|named| named.reference == *reference)?;
            let text = String::from_utf8_lossy(values.get(position)?).into_owned();
            // Editors and `echo` end a file with a line break.
            Some(Value::String(text.trim_end_matches(['\r', '\n']).to_owned()))
        };
        let text = replaced(&self.document, &value_of).to_string().into_bytes();
        *self.seen.borrow_mut() = values;
        Some(text)
    }

    /// The problems of the rest of the configuration.
    fn problems(&self) -> Vec<Problem> {
        let variable = |_: &Value| Some(serde_json::json!({ "env": TO_COME }));
        let text = replaced(&self.document, &variable).to_string();
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
fn ask(config: &Config<'_>, path: &str, members: &Map<String, Value>) -> Result<SecretId, Problem> {
    let refused = |found: &str, accepted: &str| Problem::new(path, found.to_owned(), accepted);
    let known = |name: &String| name == "name" || name == "sds_config";
    if let Some(other) = members.keys().find(|name| !known(name)) {
        return Err(refused(&format!("sds with {other:?}"), ACCEPTED));
    }
    let name = members.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let source = match members.get("sds_config") {
        Some(source @ Value::Object(_)) => Some(source.to_string()),
        _ => None,
    };
    let Some((name, source)) = name.zip(source) else {
        return Err(refused("sds without one of both", ACCEPTED));
    };
    if !secrets_are_given() {
        return Err(refused(
            "sds",
            "{env: NAME}: this Envoy gives no secrets to modules, 1.40 does",
        ));
    }
    let refuses = || refused("sds that Envoy refuses, as its log says", ACCEPTED);
    config.subscribe(name, &source).ok_or_else(refuses)
}

fn object(members: Map<String, Value>) -> Value {
    Value::Object(members)
}

/// The members of `sds`, if a value is `{sds: {...}}`.
fn reference(value: &Value) -> Option<&Map<String, Value>> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get("sds")?.as_object()
}

/// Every reference, with its position.
fn find(value: &Value, path: &str, found: &mut Vec<(String, Map<String, Value>)>) {
    if let Some(members) = reference(value) {
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

/// The value with each reference replaced by the result of `value_of`.
fn replaced(value: &Value, value_of: &dyn Fn(&Value) -> Option<Value>) -> Value {
    if let Some(members) = reference(value) {
        return value_of(&object(members.clone())).unwrap_or(Value::Null);
    }
    match value {
        Value::Array(items) => items.iter().map(|item| replaced(item, value_of)).collect(),
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, member)| (name.clone(), replaced(member, value_of)));
            object(members.collect())
        }
        other => other.clone(),
    }
}
