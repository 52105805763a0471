//! Finds configurations in files: Gatepass's own, or those of hosts in which one is.

use gatepass::config::Problem;
use gatepass::json;
use serde_json::{Map, Value};

use crate::arguments::HostKind;
use crate::document::{as_doubles, embedded, step, texts};
use crate::located::{Frame, Located, Step, Variables, get, member, names_gatepass};
use crate::{around, capabilities};

/// Finds the configurations in a file.
pub fn configurations(documents: &[Value]) -> Vec<Located> {
    let mut search = Search { documents, found: Vec::new() };
    for (position, document) in documents.iter().enumerate() {
        let path = if documents.len() == 1 { "$".to_owned() } else { format!("$[{position}]") };
        search.document(document, path);
    }
    if search.found.is_empty() {
        for (position, document) in documents.iter().enumerate() {
            let path = if documents.len() == 1 { "$".to_owned() } else { format!("$[{position}]") };
            search.alone(document, path);
        }
    }
    search.found
}

/// Whether a manifest is several, as kubectl prints them.
fn is_list(members: &Map<String, Value>) -> bool {
    members.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
}

/// True if a document is a configuration itself. A nearly empty one counts too, so that
/// missing fields are reported.
fn is_own(members: &Map<String, Value>) -> bool {
    const HOSTS: [&str; 7] = [
        "static_resources",
        "staticResources",
        "_format_version",
        "apiVersion",
        "typed_config",
        "typedConfig",
        "admin",
    ];
    const OWN: [&str; 5] = ["providers", "identity_token", "user_info", "consumers", "rules"];
    let has = |name: &&str| members.contains_key(*name);
    // What Envoy's discovery service answers, or a section of Gatepass's.
    let is_answer = has(&"resources") && !has(&"providers");
    !is_answer && !HOSTS.iter().any(&has) && OWN.iter().any(has)
}

struct Search<'a> {
    documents: &'a [Value],
    found: Vec<Located>,
}

impl<'a> Search<'a> {
    fn document(&mut self, document: &'a Value, path: String) {
        if let Value::Array(documents) = document {
            for (position, document) in documents.iter().enumerate() {
                self.document(document, format!("{path}[{position}]"));
            }
        }
        let Value::Object(members) = document else { return };
        if let Some(Value::Array(items)) = members.get("items").filter(|_| is_list(members)) {
            for (position, item) in items.iter().enumerate() {
                self.document(item, format!("{path}.items[{position}]"));
            }
            return;
        }
        if is_own(members) {
            let value = document.clone();
            let (host, frame) = (HostKind::Envoy, Frame::default());
            self.found.push(Located { path, value, host, frame });
            return;
        }
        if let Some(field) = embedded(members) {
            let files = members.get(field).and_then(Value::as_object);
            let below = step(&path, field);
            for (name, file) in files.into_iter().flatten() {
                self.document(file, step(&below, name));
            }
            return;
        }
        let of_kong = members.contains_key("_format_version")
            || members.get("kind").and_then(Value::as_str).is_some_and(|it| it.starts_with("Kong"));
        let host = if of_kong { HostKind::Kong } else { HostKind::Envoy };
        self.search(&mut vec![Step { path, value: document }], host);
    }

    fn search(&mut self, trail: &mut Vec<Step<'a>>, host: HostKind) {
        let Some(Step { path, value }) = trail.last().cloned() else { return };
        if let Value::Object(members) = value
            && let Some(mut located) = filter(members, trail, host)
        {
            around::look(trail, self.documents, &mut located);
            self.found.push(located);
            return;
        }
        let below: Vec<(String, &Value)> = match value {
            Value::Object(members) => {
                members.iter().map(|(name, member)| (step(&path, name), member)).collect()
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(at, item)| (format!("{path}[{at}]"), item)).collect()
            }
            _ => return,
        };
        for (path, value) in below {
            trail.push(Step { path, value });
            self.search(trail, host);
            trail.pop();
        }
    }

    /// What looks like one, in a piece of a file.
    fn alone(&mut self, value: &Value, path: String) {
        match value {
            Value::Object(members) if looks_like_it(value) => {
                let value = Value::Object(members.clone());
                let (host, frame) = (HostKind::Envoy, Frame::default());
                self.found.push(Located { path, value, host, frame });
            }
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| self.alone(member, step(&path, name)));
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(at, item)| self.alone(item, format!("{path}[{at}]")));
            }
            _ => {}
        }
    }
}

fn looks_like_it(value: &Value) -> bool {
    let has = |name: &str| value.get(name).is_some_and(|it| !it.is_null());
    has("identity_token") && has("providers")
}

/// The object by which a host loads a filter with its configuration.
#[derive(Clone, Copy)]
enum Carrier {
    /// Envoy's `DynamicModuleFilter`.
    EnvoyModule,
    /// Envoy's `PluginConfig`.
    EnvoyFilter,
    /// Istio's `WasmPlugin`, or the wasm of a `TrafficExtension`.
    Istio,
    /// A `KongPlugin`.
    KongPlugin,
    /// A filter or a plugin of Kong, or the wasm extension of Envoy Gateway.
    Listed,
}

impl Carrier {
    /// The field with the configuration, as it is called where there is none.
    const fn field(self) -> &'static str {
        match self {
            Self::EnvoyModule => "filter_config",
            Self::EnvoyFilter => "configuration",
            Self::Istio => "pluginConfig",
            Self::KongPlugin | Self::Listed => "config",
        }
    }

    /// The variables that it passes on. Those of the process itself are not in the file.
    fn variables(self, members: &Map<String, Value>) -> Option<Variables> {
        let (field, names) = match self {
            Self::EnvoyModule | Self::KongPlugin => return None,
            Self::EnvoyFilter => {
                let variables = get(member(members, "vm_config")?.1, "environment_variables");
                ("vm_config.environment_variables.host_env_keys", envoy_environment(variables))
            }
            Self::Istio => {
                let variables = members.get("vmConfig").and_then(|vm| vm.get("env"));
                ("vmConfig.env", istio_environment(variables))
            }
            Self::Listed => ("env.hostKeys", texts(members.get("env")?.get("hostKeys"))),
        };
        Some(Variables { field, names })
    }
}

/// What an object is, if it may load a filter.
fn carrier(members: &Map<String, Value>, trail: &[Step<'_>]) -> Option<Carrier> {
    let above = trail.len().checked_sub(2).and_then(|at| trail.get(at));
    let is_in = |names: &[&str]| {
        let path = above.map(|above| above.path.as_str()).unwrap_or_default();
        names.iter().any(|name| path.ends_with(name))
    };
    let kind = members.get("kind").and_then(Value::as_str).unwrap_or_default();
    if member(members, "dynamic_module_config").is_some() {
        return Some(Carrier::EnvoyModule);
    }
    if is_istios(members) {
        return Some(Carrier::Istio);
    }
    if member(members, "vm_config").is_some() {
        return Some(Carrier::EnvoyFilter);
    }
    if kind.starts_with("Kong") && members.contains_key("plugin") {
        return members.get("configFrom").is_none().then_some(Carrier::KongPlugin);
    }
    let is_listed = is_in(&[".filters", ".plugins", ".wasm", ".dynamicModule"]);
    let has_config = members.get("config").is_some_and(|config| !config.is_null());
    let is_named = members.contains_key("name") || members.contains_key("code");
    // There an HTTP filter of Envoy has its configuration.
    let has_typed_config = member(members, "typed_config").is_some();
    (is_named && !has_typed_config && (has_config || is_listed)).then_some(Carrier::Listed)
}

/// The spec of a WasmPlugin, or the wasm of a TrafficExtension.
fn is_istios(members: &Map<String, Value>) -> bool {
    members.contains_key("pluginConfig")
        || members.contains_key("url")
            && ["phase", "selector", "vmConfig", "failStrategy", "imagePullPolicy", "sha256"]
                .iter()
                .any(|name| members.contains_key(*name))
}

/// The configuration in an object by which a host loads a filter, if it is
/// Gatepass that it loads.
fn filter(members: &Map<String, Value>, trail: &[Step<'_>], host: HostKind) -> Option<Located> {
    let path = &trail.last()?.path;
    let carrier = carrier(members, trail)?;
    let (name, value) = member(members, carrier.field()).unwrap_or((carrier.field(), &Value::Null));
    let place = step(path, name);
    let mut frame = Frame {
        environment: carrier.variables(members).filter(|_| host == HostKind::Envoy),
        fails_open: fails_open(members, path),
        withheld: withheld(members, path),
        // So does Envoy Gateway call it.
        is_native: Some(
            matches!(carrier, Carrier::EnvoyModule) || members.contains_key("filterName"),
        ),
        ..Frame::default()
    };
    let (below, value) = unwrap(value, &place, &mut frame.problems);
    if !names_gatepass(members) && !looks_like_it(&value) {
        return None;
    }
    let host = match host {
        // What a filter chain has; an entry of `plugins` is the plugin.
        HostKind::Kong if path.contains(".filters[") => HostKind::KongFilter,
        host => host,
    };
    Some(Located { path: format!("{place}{below}"), value, host, frame })
}

/// Takes a configuration out of what carries it: a message of protobuf, or text.
fn unwrap(value: &Value, path: &str, problems: &mut Vec<Problem>) -> (&'static str, Value) {
    let typ = value.get("@type").and_then(Value::as_str);
    let (below, inner) = match (typ, value.get("value")) {
        (Some(typ), Some(inner)) => {
            check_message(typ, inner, path, problems);
            (".value", inner.clone())
        }
        (Some(_), None) => {
            let mut members = value.as_object().cloned().unwrap_or_default();
            members.remove("@type");
            let found = "fields beside @type";
            let accepted = "value: below @type, with all of them in it (or @type left out in Istio \
                            and Envoy Gateway)";
            problems.push(Problem::new(path, found, accepted));
            ("", Value::Object(members))
        }
        (None, _) => ("", value.clone()),
    };
    let parsed = inner.as_str().and_then(|text| json::parse(text.as_bytes()).ok());
    (below, parsed.unwrap_or_else(|| as_doubles(inner)))
}

/// A message whose value is of another kind than its type says: Envoy refuses it.
fn check_message(typ: &str, inner: &Value, path: &str, problems: &mut Vec<Problem>) {
    let other = format!("{typ:?}");
    let (found, accepted) = match typ.rsplit('/').next().unwrap_or_default() {
        "google.protobuf.Struct" if !inner.is_object() => {
            ("a Struct whose value is not an object", "google.protobuf.StringValue for JSON text")
        }
        "google.protobuf.StringValue" if !inner.is_string() => (
            "a StringValue whose value is not text",
            "google.protobuf.Struct for YAML, or the configuration as JSON in text",
        ),
        "google.protobuf.Struct"
        | "google.protobuf.StringValue"
        | "google.protobuf.BytesValue"
        | "xds.type.v3.TypedStruct"
        | "udpa.type.v1.TypedStruct" => return,
        _ => (other.as_str(), "type.googleapis.com/google.protobuf.Struct"),
    };
    problems.push(Problem::new(step(path, "@type"), found, accepted));
}

fn fails_open(members: &Map<String, Value>, path: &str) -> Option<String> {
    let opens = |(name, value): &(&String, &Value)| match name.as_str() {
        // Or by its number.
        "failure_policy" | "failurePolicy" | "failStrategy" => {
            value.as_str() == Some("FAIL_OPEN") || value.as_u64() == Some(3)
        }
        "fail_open" | "failOpen" => value.as_bool() == Some(true),
        _ => false,
    };
    members.iter().find(opens).map(|(name, _)| step(path, name))
}

/// An empty list of Envoy's restricts nothing.
fn withheld(members: &Map<String, Value>, path: &str) -> Option<(String, Vec<&'static str>)> {
    let (field, restriction) = member(members, "capability_restriction_config")?;
    let (name, allowed) = member(restriction.as_object()?, "allowed_capabilities")?;
    let allowed = allowed.as_object()?;
    let needed = [capabilities::FUNCTIONS, capabilities::CALLBACKS].concat();
    let is_withheld = |name: &&str| !allowed.is_empty() && !allowed.contains_key(*name);
    let withheld: Vec<_> = needed.into_iter().filter(is_withheld).collect();
    (!withheld.is_empty()).then(|| (step(&step(path, field), name), withheld))
}

fn envoy_environment(variables: Option<&Value>) -> Vec<String> {
    let mut names = texts(variables.and_then(|it| get(it, "host_env_keys")));
    let given = variables.and_then(|it| get(it, "key_values"));
    names.extend(given.and_then(Value::as_object).into_iter().flat_map(|it| it.keys().cloned()));
    names
}

fn istio_environment(variables: Option<&Value>) -> Vec<String> {
    let variables = variables.and_then(Value::as_array).into_iter().flatten();
    let names = variables.filter_map(|variable| variable.get("name").and_then(Value::as_str));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;
    use crate::yaml::Reader;

    fn parse(text: &str) -> Vec<Value> {
        document::parse(text, Reader::Envoy).unwrap().documents
    }

    fn paths(text: &str) -> Vec<String> {
        let documents = parse(text);
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
        let found = configurations(&documents);
        assert_eq!(found[0].value, serde_json::json!({"rules": []}));
        assert_eq!(found[0].host, HostKind::Kong);
    }
}
