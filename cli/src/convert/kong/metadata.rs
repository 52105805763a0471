//! How manifests are called, and what is said of them.

use serde_json::Value;

pub(super) fn annotation<'m>(manifest: &'m Value, called: &str) -> Option<&'m str> {
    manifest.get("metadata")?.get("annotations")?.get(called)?.as_str()
}

pub(super) fn kind(manifest: &Value) -> &str {
    manifest.get("kind").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn name(manifest: &Value) -> &str {
    manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn namespace(manifest: &Value) -> &str {
    manifest.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default")
}

pub(super) fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    // What is no text names nothing that is in the file.
    list.and_then(Value::as_array).into_iter().flatten().map(|it| it.as_str().unwrap_or_default())
}

/// Whether it is a manifest of Kong's.
pub(in crate::convert) fn is_of_kong(manifest: &Value) -> bool {
    let version = manifest.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    version.starts_with("configuration.konghq.com/")
}

/// Whether it is a plugin of Kong's.
pub(in crate::convert) fn is_plugin(manifest: &Value) -> bool {
    is_of_kong(manifest) && ["KongPlugin", "KongClusterPlugin"].contains(&kind(manifest))
}
