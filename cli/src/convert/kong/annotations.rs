//! Annotations by which the ingress controller changes the routes of a manifest
//! (internal/dataplane/kongstate/route.go of its sources).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::controller::Doubts;
use super::metadata::annotation;

const PREFIX: &str = "konghq.com/";

/// Those that change neither who passes nor for which requests a route is.
const HARMLESS: [&str; 25] = [
    "plugins",
    "protocol",
    "protocols",
    "client-cert",
    "strip-path",
    "path",
    "https-redirect-status-code",
    "preserve-host",
    "host-header",
    "request-buffering",
    "response-buffering",
    "connect-timeout",
    "write-timeout",
    "read-timeout",
    "retries",
    "headers-separator",
    "path-handling",
    "tags",
    "tls-verify",
    "tls-verify-depth",
    "ca-certificates-secrets",
    "ca-certificates-configmaps",
    "upstream-policy",
    "regex-prefix",
    "regex-priority",
];

/// What annotations say of a route.
#[derive(Default)]
pub(super) struct Annotated {
    pub(super) methods: Vec<String>,
    pub(super) host_aliases: Vec<String>,
    pub(super) headers: BTreeMap<String, Vec<String>>,
    regex_priority: u32,
    protocols: Vec<String>,
    pub(super) doubts: Doubts,
}

impl Annotated {
    pub(super) fn of(manifest: &Value) -> Self {
        let mut own = Self::default();
        let members = manifest.pointer("/metadata/annotations").and_then(Value::as_object);
        for (name, value) in members.into_iter().flatten() {
            let Some(option) = name.strip_prefix(PREFIX) else { continue };
            match value.as_str() {
                Some(value) => own.read(option, value),
                None => own.doubts.about_requests(format_args!("its {name} is not text")),
            }
        }
        own.protocols = words(annotation(manifest, "konghq.com/protocols").unwrap_or_default());
        if annotation(manifest, "ingress.kubernetes.io/force-ssl-redirect") == Some("true") {
            own.protocols = vec!["https".to_owned()];
        }
        own
    }

    fn read(&mut self, option: &str, value: &str) {
        let doubts = &mut self.doubts;
        let is_upper = |method: &String| method.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_host =
            |host: &String| host.chars().all(|c| c.is_alphanumeric() || "-.*".contains(c));
        match option {
            "methods" => {
                self.methods = words(&value.to_ascii_uppercase());
                if !self.methods.iter().all(is_upper) {
                    doubts
                        .about_requests("its konghq.com/methods has a value that is not a method");
                    self.methods.clear();
                }
            }
            "host-aliases" => {
                self.host_aliases = words(value);
                if !self.host_aliases.iter().all(is_host) {
                    doubts.about_requests(
                        "its konghq.com/host-aliases has a value that is not a host",
                    );
                }
            }
            "regex-priority" => match value.parse() {
                Ok(priority) => self.regex_priority = priority,
                Err(_) => doubts.about_requests("its konghq.com/regex-priority is not read"),
            },
            "snis" => doubts.about_requests("a rule cannot ask its konghq.com/snis"),
            "override" => {
                doubts.about_requests("what its konghq.com/override changes is not read");
            }
            "rewrite" => {
                doubts.add("with konghq.com/rewrite many controllers leave it out");
            }
            _ if HARMLESS.contains(&option) => {}
            _ => match option.strip_prefix("headers.") {
                Some(name) if !name.is_empty() && !value.is_empty() => {
                    let values = words(value);
                    self.headers.insert(name.to_ascii_lowercase(), values);
                }
                _ => doubts.add(format_args!("its annotation {PREFIX}{option} is not known")),
            },
        }
    }

    /// Whether something is said of which requests are the route's.
    pub(super) fn has_conditions(&self) -> bool {
        !self.methods.is_empty()
            || !self.host_aliases.is_empty()
            || !self.headers.is_empty()
            || self.regex_priority > 0
    }

    /// The conditions that are said, as a `kong.yml` has them.
    pub(super) fn conditions(&self) -> Map<String, Value> {
        let fields = [
            ("methods", json!(self.methods), self.methods.is_empty()),
            ("headers", json!(self.headers), self.headers.is_empty()),
            ("regex_priority", json!(self.regex_priority), self.regex_priority == 0),
            ("protocols", json!(self.protocols), self.protocols.is_empty()),
        ];
        let said = fields.into_iter().filter(|(_, _, is_empty)| !is_empty);
        said.map(|(name, value, _)| (name.to_owned(), value)).collect()
    }
}

/// The names of a list with commas.
pub(super) fn words(list: &str) -> Vec<String> {
    let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The plugins that a manifest names.
pub(super) fn plugins(manifest: &Value) -> Vec<String> {
    let lists = ["konghq.com/plugins", "plugins.konghq.com"];
    let lists = lists.iter().filter_map(|called| annotation(manifest, called));
    lists.flat_map(words).collect()
}
