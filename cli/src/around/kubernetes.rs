//! Manifests: Istio's WasmPlugin, TrafficExtension and EnvoyFilter, and Envoy Gateway's
//! EnvoyExtensionPolicy.

mod backends;

use serde_json::Value;

use super::{Notes, upstreams};
use crate::document::step;
use crate::located::{Located, Step, get};

pub(super) fn look(trail: &[Step<'_>], documents: &[Value], located: &Located, notes: &mut Notes) {
    let Some(root) = trail.first() else { return };
    let kind = root.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let spec = step(&root.path, "spec");
    match kind {
        "WasmPlugin" | "TrafficExtension" => {
            selection(root.value, &spec, notes);
            cluster_names(documents, located, notes);
        }
        "EnvoyFilter" => {
            patch(trail, notes);
            cluster_names(documents, located, notes);
        }
        "EnvoyExtensionPolicy" => backends::look(root.value, documents, located, notes),
        _ => {}
    }
}

/// Requests for which Istio does not run the filter.
fn selection(manifest: &Value, path: &str, notes: &mut Notes) {
    let Some(spec) = manifest.get("spec") else { return };
    let typ = spec.get("type").and_then(Value::as_str);
    if typ.is_some_and(|typ| !["HTTP", "UNSPECIFIED_PLUGIN_TYPE"].contains(&typ)) {
        notes.problem(&step(path, "type"), &format!("{:?}", typ.unwrap_or_default()), "HTTP");
    }
    let selectors = spec.get("match").and_then(Value::as_array);
    let list = step(path, "match");
    for (position, selector) in selectors.into_iter().flatten().enumerate() {
        let place = format!("{list}[{position}]");
        if selector.get("mode").and_then(Value::as_str) == Some("CLIENT") {
            let text = "only requests that the workloads send themselves go through the filter: \
                        SERVER is for those that come in";
            notes.warn(&step(&place, "mode"), text);
        }
        let ports = selector.get("ports").and_then(Value::as_array);
        let ports = ports.into_iter().flatten().filter_map(|port| port.get("number"));
        let ports: Vec<_> = ports.map(ToString::to_string).collect();
        if !ports.is_empty() {
            let text = format!(
                "requests to other ports than {} pass without the filter",
                ports.join(", ")
            );
            notes.warn(&step(&place, "ports"), text);
        }
    }
}

/// Where an EnvoyFilter puts the filter.
fn patch(trail: &[Step<'_>], notes: &mut Notes) {
    let Some(patch) = trail.iter().find(|step| step.value.get("applyTo").is_some()) else { return };
    let text = |pointer: &str| patch.value.pointer(pointer).and_then(Value::as_str);
    if text("/applyTo") != Some("HTTP_FILTER") {
        return;
    }
    let subject = "/match/listener/filterChain/filter/subFilter/name";
    let operation = step(&step(&patch.path, "patch"), "operation");
    match (text("/patch/operation"), text(subject)) {
        (Some("ADD"), _) | (Some("INSERT_AFTER"), Some("envoy.filters.http.router")) => {
            let found = "the filter behind the router, where no request comes to it";
            notes.problem(
                &operation,
                found,
                "INSERT_BEFORE envoy.filters.http.router, or INSERT_FIRST",
            );
        }
        _ => {}
    }
    if text("/match/context") == Some("SIDECAR_OUTBOUND") {
        let text = "only requests that the workloads send themselves go through the filter: \
                    SIDECAR_INBOUND or GATEWAY is for those that come in";
        notes.warn(&step(&step(&patch.path, "match"), "context"), text);
    }
}

/// Istio makes the names of clusters.
fn cluster_names(documents: &[Value], located: &Located, notes: &mut Notes) {
    for (path, upstream) in upstreams(located) {
        let is_istios = upstream.starts_with("outbound|") && upstream.matches('|').count() == 3;
        if !is_istios && !is_made(documents, upstream) {
            let text = format!(
                "Istio calls no cluster {upstream:?}: its names are such as \
                 outbound|8080||auth.shop.svc.cluster.local"
            );
            notes.warn(&path, text);
        }
    }
}

/// Whether a manifest of the file makes a cluster of that name.
fn is_made(documents: &[Value], name: &str) -> bool {
    fn holds(value: &Value, name: &str) -> bool {
        match value {
            Value::Object(members) => {
                let is_it = members.get("name").and_then(Value::as_str) == Some(name);
                let is_cluster = ["load_assignment", "connect_timeout", "lb_policy"]
                    .iter()
                    .any(|field| get(value, field).is_some());
                is_it && is_cluster || members.values().any(|below| holds(below, name))
            }
            Value::Array(items) => items.iter().any(|item| holds(item, name)),
            _ => false,
        }
    }
    let patches = ["EnvoyFilter", "EnvoyPatchPolicy"];
    let is_patch = |it: &&Value| {
        it.get("kind").and_then(Value::as_str).is_some_and(|kind| patches.contains(&kind))
    };
    documents.iter().filter(is_patch).any(|document| holds(document, name))
}
