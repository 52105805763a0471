//! What a file is the configuration of.

use gatepass::config::Problems;
use serde_json::Value;

use super::assemble::accepted;
use super::kong::{cluster, manifests, metadata};
use super::selection::{Selection, full_name};
use super::{ConvertError, Converted, envoy, gateway, istio, kong};
use crate::yaml::{self, Reader, Text};

/// Converts a file, whatever of those that are known it is.
pub fn convert(text: &str, selection: &Selection) -> Result<Converted, ConvertError> {
    let read = yaml::read(text, Reader::Envoy);
    let Text { documents, surprises } = read.map_err(|it| ConvertError::NotYaml(it.cause()))?;
    of_documents(documents, selection).map_err(|error| match error {
        ConvertError::NotUnderstood(Problems(mut problems)) => {
            for problem in &mut problems {
                // Its path begins at the filter or the policy.
                let below = problem.path.strip_prefix('$').unwrap_or_default();
                let told =
                    surprises.iter().find(|it| !below.is_empty() && it.path.ends_with(below));
                if let Some(told) = told {
                    problem.accepted = format!("{}; {}", problem.accepted, told.discreet);
                }
            }
            ConvertError::NotUnderstood(Problems(problems))
        }
        error => error,
    })
}

fn of_documents(documents: Vec<Value>, selection: &Selection) -> Result<Converted, ConvertError> {
    let has_format = |document: &Value| document.get("_format_version").is_some();
    if documents.iter().any(has_format) {
        return match <[Value; 1]>::try_from(documents) {
            Ok([document]) => {
                let converted = kong::from_value(document, selection.to)?;
                accepted(&converted.configuration).map(|()| converted)
            }
            Err(_) => Err(ConvertError::NotYaml("more than one document".to_owned())),
        };
    }
    let manifests: Vec<Value> = documents.iter().flat_map(items).collect();
    let chosen =
        |is_own: fn(&Value) -> bool| manifests.iter().any(|it| is_own(it) && selection.has(it));
    if chosen(istio::is_own) && chosen(gateway::is_own) {
        let own = manifests.iter().filter(|it| istio::is_own(it) || gateway::is_own(it));
        let names = own.map(full_name).collect();
        return Err(ConvertError::Several { what: "policies of Istio and Envoy Gateway", names });
    }
    if chosen(istio::is_own) {
        return istio::from_manifests(&manifests, selection);
    }
    if chosen(gateway::is_own) {
        return gateway::from_manifests(&manifests, selection);
    }
    match envoy::from_documents(&manifests, selection) {
        Err(ConvertError::Unknown) if chosen(manifests::is_consumer) || has_routes(&manifests) => {
            manifests::from_manifests(&manifests, selection)
        }
        Err(ConvertError::Unknown) if manifests.iter().any(metadata::is_of_kong) => {
            Err(ConvertError::KongManifests)
        }
        Err(ConvertError::Unknown) if manifests.iter().any(is_of_kong) => {
            Err(ConvertError::Format("missing".to_owned()))
        }
        converted => converted,
    }
}

/// Whether it has the lists of a kong.yml.
fn is_of_kong(document: &Value) -> bool {
    let has = |name: &str| document.get(name).is_some_and(Value::is_array);
    ["services", "routes", "consumers", "plugins"].into_iter().any(has)
}

/// Whether there are routes of Kong's ingress controller, and plugins for them.
fn has_routes(manifests: &[Value]) -> bool {
    manifests.iter().any(metadata::is_plugin) && manifests.iter().any(cluster::is_route)
}

/// The manifests of a list.
fn items(document: &Value) -> Vec<Value> {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
    match document.get("items").and_then(Value::as_array) {
        Some(items) if kind.ends_with("List") => items.clone(),
        _ => vec![document.clone()],
    }
}
