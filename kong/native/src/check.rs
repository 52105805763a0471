//! Reading a configuration, and what is wrong with one.

use gatepass::config::{self, Problem, ProblemKind, Problems};
use gatepass::json;
use gatepass::pipeline::Settings;
use serde_json::Value;

use crate::address::{self, Address};

/// The settings of a configuration that is to be used here.
pub fn settings(
    text: &[u8],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Problems> {
    let settings = config::load(text, environment, None)?;
    let problems = unreachable_services(&settings);
    if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
}

/// What is wrong with a configuration wherever it is used: a secret that is taken from the
/// environment or from a vault is taken for given.
pub fn problems(text: &[u8]) -> Vec<Problem> {
    let Ok(mut value) = json::parse(text) else {
        return Vec::new();
    };
    name_vaults(&mut value);
    let unset = |problem: &Problem| problem.kind == ProblemKind::VariableUnset;
    match settings(value.to_string().as_bytes(), &|_| None) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems.into_iter().filter(|it| !unset(it)).collect(),
    }
}

/// References to vaults are the caller's to resolve: here they are as good as variables.
fn name_vaults(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(name_vaults),
        Value::Object(members) => {
            let vault = members.get("vault").and_then(Value::as_str);
            if members.len() == 1 && vault.is_some_and(|it| it.starts_with("{vault://")) {
                members.clear();
                members.insert("env".into(), "VAULT".into());
            }
            members.values_mut().for_each(name_vaults);
        }
        _ => {}
    }
}

fn unreachable_services(settings: &Settings) -> Vec<Problem> {
    let services = settings.services.iter().filter(|service| Address::of(service).is_none());
    services
        .map(|service| {
            let path = format!("$.services.{}.upstream", service.name);
            Problem::new(path, format!("{:?}", service.upstream), address::ACCEPTED)
        })
        .collect()
}

/// What a configuration may read of the environment: names that begin with `GATEPASS_`,
/// and those that the variable `GATEPASS_ENV` lists. Whoever writes the configuration
/// could otherwise send any secret of the process to a service.
#[allow(clippy::disallowed_methods, reason = "the core asks for it here")]
pub fn environment(name: &str) -> Option<String> {
    let listed = || std::env::var("GATEPASS_ENV").unwrap_or_default();
    let is_own = name.starts_with("GATEPASS_");
    let may = is_own || listed().split(',').any(|listed| listed.trim() == name);
    may.then(|| std::env::var(name).ok()).flatten()
}
