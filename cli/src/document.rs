//! Files with configurations: Gatepass's own, or those of hosts in which one is.

use std::fmt;

use gatepass::json::{self, JsonError};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::arguments::HostKind;
use crate::capabilities;

/// A configuration of Gatepass in a file.
#[derive(Clone, Debug)]
pub struct Located {
    /// Where, as a JSON path: `$` for the whole file.
    pub path: String,
    /// The configuration; unchanged if it is not an object.
    pub value: Value,
    /// The host that it is for.
    pub host: HostKind,
    /// The host's settings around the filter, if it is a host's file.
    pub frame: Frame,
}

/// The settings around a configuration in a host's file.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The variables that the filter will see; `None` where the file does not say.
    pub environment: Option<Vec<String>>,
    /// Where the file lets requests pass when the filter fails.
    pub fails_open: Option<String>,
    /// Where the file says what the filter may call and be called for, and what it
    /// needs of that and does not get.
    pub withheld: Option<(String, Vec<&'static str>)>,
    /// Whether it loads the native module for Envoy; `None` where the file does not say.
    pub is_native: Option<bool>,
}

/// Why a text cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not JSON, though it begins like it.
    Json(JsonError),
    /// It is not YAML.
    Yaml(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::Yaml(error) => write!(f, "not acceptable YAML: {error}"),
        }
    }
}

/// Reads a file: JSON, or YAML with any number of documents, whose numbers are
/// those that a host makes of them.
pub fn parse(text: &str) -> Result<Vec<Value>, Unreadable> {
    if text.trim_start().starts_with('{') {
        // JSON is parsed as strictly as by the filter.
        match json::parse(text.as_bytes()) {
            Ok(value) => return Ok(vec![value]),
            Err(error) if serde_norway::from_str::<serde_norway::Value>(text).is_err() => {
                return Err(Unreadable::Json(error));
            }
            Err(_) => {}
        }
    }
    let unreadable = |error: serde_norway::Error| Unreadable::Yaml(error.to_string());
    let mut documents = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        // By its own type of value, which refuses a key that comes twice.
        let value = serde_norway::Value::deserialize(document).map_err(unreadable)?;
        let value = serde_json::to_value(value)
            .map_err(|error| Unreadable::Yaml(format!("{error}, where JSON has text")))?;
        if !value.is_null() {
            documents.push(as_doubles(value));
        }
    }
    Ok(documents)
}

/// The value as hosts hold it: all numbers are doubles. A configuration that goes
/// to the filter as text keeps its own.
fn as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            number.as_f64().and_then(json::rounded).map_or(Value::Number(number), Value::Number)
        }
        Value::Array(items) => items.into_iter().map(as_doubles).collect(),
        Value::Object(members) => {
            json::object(members.into_iter().map(|(name, member)| (name, as_doubles(member))))
                .into()
        }
        other => other,
    }
}

/// Finds the configurations in a file.
pub fn configurations(documents: &[Value]) -> Vec<Located> {
    let is_only = documents.len() == 1;
    let mut found = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        let path = if is_only { "$".to_owned() } else { format!("$[{position}]") };
        let Value::Object(members) = document else { continue };
        if is_own(members) {
            found.push(Located {
                path,
                value: document.clone(),
                host: HostKind::Envoy,
                frame: Frame::default(),
            });
            continue;
        }
        let host = match members.get("_format_version") {
            Some(_) => HostKind::Kong,
            None => HostKind::Envoy,
        };
        search(document, &path, host, &mut found);
    }
    found
}

/// True if a document is a configuration itself. A nearly empty one counts too, so that
/// missing fields are reported.
fn is_own(members: &Map<String, Value>) -> bool {
    const HOSTS: [&str; 6] =
        ["static_resources", "_format_version", "apiVersion", "typed_config", "admin", "resources"];
    const OWN: [&str; 5] = ["providers", "identity_token", "user_info", "consumers", "rules"];
    !HOSTS.iter().any(|name| members.contains_key(*name))
        && OWN.iter().any(|name| members.contains_key(*name))
}

fn search(value: &Value, path: &str, host: HostKind, found: &mut Vec<Located>) {
    match value {
        Value::Object(members) => {
            if let Some(located) = filter(members, path, host) {
                found.push(located);
                return;
            }
            for (name, member) in members {
                search(member, &step(path, name), host, found);
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                search(item, &format!("{path}[{position}]"), host, found);
            }
        }
        _ => {}
    }
}

/// The configuration in an object by which a host loads a filter, if it is
/// Gatepass that it loads.
fn filter(members: &Map<String, Value>, path: &str, host: HostKind) -> Option<Located> {
    // Envoy's DynamicModuleFilter, or its PluginConfig; Istio's WasmPlugin and TrafficExtension; a filter of
    // Kong, or the wasm extension of Envoy Gateway.
    let (field, value, environment) = if members.contains_key("dynamic_module_config") {
        // What the process's own environment says is not in the file.
        ("filter_config", members.get("filter_config")?, None)
    } else if members.contains_key("vm_config") {
        let vm = members.get("vm_config");
        let environment = vm.and_then(|vm| vm.get("environment_variables"));
        ("configuration", members.get("configuration")?, Some(envoy_environment(environment)))
    } else if let Some(value) = members.get("pluginConfig") {
        let environment = members.get("vmConfig").and_then(|vm| vm.get("env"));
        ("pluginConfig", value, Some(istio_environment(environment)))
    } else if members.contains_key("name") {
        let keys = members.get("env").map(|env| texts(env.get("hostKeys")));
        ("config", members.get("config")?, keys)
    } else {
        return None;
    };
    let (below, value) = unwrap(value);
    let looks_like_it = value.as_object().is_some_and(|value| {
        value.contains_key("identity_token") && value.contains_key("providers")
    });
    if !names_gatepass(members) && !looks_like_it {
        return None;
    }
    let environment = environment.filter(|_| host == HostKind::Envoy);
    let frame = Frame {
        environment,
        fails_open: fails_open(members, path),
        withheld: withheld(members, path),
        // So does Envoy Gateway call it.
        is_native: Some(field == "filter_config" || members.contains_key("filterName")),
    };
    let path = format!("{}{below}", step(path, field));
    Some(Located { path, value, host, frame })
}

/// Takes a configuration out of what carries it: a message of protobuf, or text.
fn unwrap(value: &Value) -> (&'static str, Value) {
    let (below, inner) = match value.get("@type").and(value.get("value")) {
        Some(inner) => (".value", inner),
        None => ("", value),
    };
    let parsed = inner.as_str().and_then(|text| json::parse(text.as_bytes()).ok());
    (below, parsed.unwrap_or_else(|| as_doubles(inner.clone())))
}

fn names_gatepass(members: &Map<String, Value>) -> bool {
    let named = ["name", "root_id", "rootID", "pluginName", "url", "filter_name"];
    let names = named.iter().filter_map(|name| members.get(*name));
    let vm = members.get("vm_config");
    let of_vm = ["/vm_id", "/code/local/filename"];
    let of_vm = of_vm.iter().filter_map(|pointer| vm?.pointer(pointer));
    names.chain(of_vm).filter_map(Value::as_str).any(|name| name.contains("gatepass"))
}

fn fails_open(members: &Map<String, Value>, path: &str) -> Option<String> {
    let opens = |(name, value): &(&String, &Value)| match name.as_str() {
        "failure_policy" | "failStrategy" => value.as_str() == Some("FAIL_OPEN"),
        "fail_open" | "failOpen" => value.as_bool() == Some(true),
        _ => false,
    };
    members.iter().find(opens).map(|(name, _)| step(path, name))
}

/// An empty list of Envoy's restricts nothing.
fn withheld(members: &Map<String, Value>, path: &str) -> Option<(String, Vec<&'static str>)> {
    let field = "capability_restriction_config";
    let allowed = members.get(field)?.get("allowed_capabilities")?.as_object()?;
    let needed = [capabilities::FUNCTIONS, capabilities::CALLBACKS].concat();
    let is_withheld = |name: &&str| !allowed.is_empty() && !allowed.contains_key(*name);
    let withheld: Vec<_> = needed.into_iter().filter(is_withheld).collect();
    (!withheld.is_empty())
        .then(|| (format!("{}.allowed_capabilities", step(path, field)), withheld))
}

fn envoy_environment(variables: Option<&Value>) -> Vec<String> {
    let mut names = texts(variables.and_then(|variables| variables.get("host_env_keys")));
    let given = variables.and_then(|variables| variables.get("key_values"));
    names.extend(given.and_then(Value::as_object).into_iter().flat_map(|it| it.keys().cloned()));
    names
}

fn istio_environment(variables: Option<&Value>) -> Vec<String> {
    let variables = variables.and_then(Value::as_array).into_iter().flatten();
    let names = variables.filter_map(|variable| variable.get("name").and_then(Value::as_str));
    names.map(str::to_owned).collect()
}

/// The texts of a list.
pub fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A path with one more step.
pub fn step(path: &str, name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_plain) {
        format!("{path}.{name}")
    } else {
        format!("{path}[{}]", Value::from(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let documents = parse(text).unwrap();
        configurations(&documents).into_iter().map(|located| located.path).collect()
    }

    #[test]
    fn where_configurations_are() {
        for (case, text, expected) in [
            ("its own", "providers: {}", &["$"][..]),
            ("JSON", r#"{"identity_token": {}}"#, &["$"]),
            ("none", "a: 1", &[]),
            ("nothing", "", &[]),
            (
                "Envoy's",
                "static_resources: {listeners: [{vm_config: {vm_id: gatepass}, configuration: \
                 {'@type': t, value: {providers: {}}}}]}",
                &["$.static_resources.listeners[0].configuration.value"],
            ),
            (
                "by what it looks like",
                "typed_config: {vm_config: {}, configuration: {providers: {}, identity_token: {}}}",
                &["$.typed_config.configuration"],
            ),
            (
                "another filter's",
                "typed_config: {vm_config: {vm_id: other}, configuration: {a: 1}}",
                &[],
            ),
            (
                "Kong's, two of them, and a plugin's",
                "{_format_version: '3.0', services: [{filter_chains: [{filters: [{name: gatepass, \
                 config: {}}, {name: gatepass, config: {}}, {name: other, config: {}}]}]}]}",
                &[
                    "$.services[0].filter_chains[0].filters[0].config",
                    "$.services[0].filter_chains[0].filters[1].config",
                ],
            ),
            (
                "Istio's, the second document",
                "kind: Service\n---\n{apiVersion: a, kind: WasmPlugin, spec: {pluginName: gatepass, \
                 pluginConfig: {a: 1}}}",
                &["$[1].spec.pluginConfig"],
            ),
            (
                "Istio's from 1.30 on",
                "{apiVersion: a, kind: TrafficExtension, spec: {wasm: {url: 'oci://r/gatepass:1', \
                 pluginConfig: {a: 1}}}}",
                &["$.spec.wasm.pluginConfig"],
            ),
            (
                "Envoy's for its native module",
                "typed_config: {dynamic_module_config: {name: m}, filter_name: gatepass, filter_config: \
                 {'@type': t, value: {providers: {}}}}",
                &["$.typed_config.filter_config.value"],
            ),
            (
                "Envoy Gateway's",
                "{apiVersion: a, spec: {wasm: [{name: my-gatepass, config: {a: 1}}]}}",
                &["$.spec.wasm[0].config"],
            ),
        ] {
            assert_eq!(paths(text), expected, "{case}");
        }
    }

    #[test]
    fn texts_within() {
        let documents =
            parse("{_format_version: '3.0', f: [{name: gatepass, config: '{\"rules\": []}'}]}");
        let found = configurations(&documents.unwrap());
        assert_eq!(found[0].value, serde_json::json!({"rules": []}));
        assert_eq!(found[0].host, HostKind::Kong);
    }

    #[test]
    fn what_is_read_in_one_way_only() {
        for (case, text) in [
            ("a key twice in YAML", "a: 1\na: 2"),
            ("a key twice in JSON", r#"{"providers": 1, "providers": 2}"#),
            ("no YAML", "a: [1"),
            ("keys that are lists", "{[1]: 2}"),
        ] {
            assert!(parse(text).is_err(), "{case}");
        }
    }

    #[test]
    fn steps() {
        assert_eq!(step("$", "shop-1"), "$.shop-1");
        assert_eq!(step("$", "a.b"), r#"$["a.b"]"#);
    }
}
