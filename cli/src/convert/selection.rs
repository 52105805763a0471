//! Which of several things in a file are converted.

use serde_json::Value;

use crate::arguments::ConvertTo;

/// What is chosen of a file, where there are several of something, and what it is for.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Names: of manifests also with their namespace, as `shop/orders`.
    pub only: Vec<String>,
    /// What is written: of Kong's other plugins, it depends on the host what they see.
    pub to: ConvertTo,
}

impl Selection {
    /// Whether a manifest is chosen.
    pub(super) fn has(&self, manifest: &Value) -> bool {
        let full = full_name(manifest);
        let name = manifest.pointer("/metadata/name").and_then(Value::as_str);
        self.only.is_empty()
            || self.only.iter().any(|only| *only == full || Some(only.as_str()) == name)
    }
}

/// The namespace and the name of a manifest.
pub(super) fn full_name(manifest: &Value) -> String {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or("without a name");
    match text("/metadata/namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}
