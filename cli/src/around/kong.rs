//! A file for Kong: a kong.yml, or manifests of its ingress controller.

use serde_json::Value;

use super::{Notes, kong_plugins, upstreams};
use crate::document::step;
use crate::located::{Located, Step};

pub(super) fn look(trail: &[Step<'_>], located: &Located, notes: &mut Notes) {
    for Step { path, value } in trail {
        if value.get("enabled").and_then(Value::as_bool) == Some(false) {
            let text = "it is off: every request passes without the filter";
            notes.warn(&step(path, "enabled"), text);
        }
        if value.get("disabled").and_then(Value::as_bool) == Some(true) {
            let text = "it is off: every request passes without the filter";
            notes.warn(&step(path, "disabled"), text);
        }
    }
    kong_plugins::look(trail, located, notes);
    for (path, upstream) in upstreams(located) {
        // A URL is refused anyway.
        let is_url = upstream.contains("://") || upstream.starts_with("unix:");
        if upstream.contains(['|', '/']) && !is_url {
            let found = format!("{upstream:?}, the name of a cluster");
            notes.problem(&path, &found, "host:port, as the Kong node reaches the service");
        }
    }
}
