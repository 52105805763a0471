//! From a kong.yml with the jwt and acl plugins to a configuration.
//!
//! What cannot be carried over is told in notes. A route that was open may need
//! a token afterwards, but none that was protected becomes open; where rules
//! cannot ask for the groups of a route, nothing is converted. Not part of the
//! module, which never sees a kong.yml.

mod routes;

use std::fmt;

use serde_json::{Map, Value, json};

use self::routes::Route;
use super::kong_jwt;
use super::reader::Document;

/// The configuration, and what a person should read before using it.
#[derive(Debug)]
pub struct Converted {
    /// For Gatepass.
    pub configuration: Value,
    /// What is different from before, and what could not be carried over.
    pub notes: Vec<Note>,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where in the kong.yml: `route shop`, `consumer alice`.
    pub place: String,
    /// What about it.
    pub text: String,
    /// Whether something is not as it was, or only to be known.
    pub is_change: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Why there is no configuration.
#[derive(Debug, PartialEq, Eq)]
pub enum ConvertError {
    /// It is not YAML.
    NotYaml(String),
    /// It is another format than 3.0; which.
    Format(String),
    /// No jwt plugin is configured.
    NoPlugin,
    /// Routes that ask for groups in a way that no rule can tell: without them
    /// others could pass.
    Routes(Vec<Note>),
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYaml(cause) => write!(f, "not YAML: {cause}"),
            Self::Format(found) => write!(f, "_format_version is {found}, \"3.0\" is read"),
            Self::NoPlugin => f.write_str("no jwt plugin is enabled"),
            Self::Routes(notes) => {
                f.write_str("routes that must be converted by hand")?;
                notes.iter().try_for_each(|note| write!(f, "; {note}"))
            }
        }
    }
}

impl std::error::Error for ConvertError {}

/// Converts the declarative configuration of Kong (`_format_version` 3.0).
pub fn from_kong(text: &str) -> Result<Converted, ConvertError> {
    let kong: Value =
        serde_norway::from_str(text).map_err(|error| ConvertError::NotYaml(error.to_string()))?;
    match kong.get("_format_version") {
        Some(Value::String(version)) if version == "3.0" => {}
        Some(Value::Number(version)) if version.as_f64() == Some(3.0) => {}
        found => {
            return Err(ConvertError::Format(found.map_or("missing".into(), Value::to_string)));
        }
    }
    let mut notes = Notes::default();
    let routes = routes::all(&kong, &mut notes);
    let plugins: Vec<_> = routes.iter().filter_map(|route| route.plugins.jwt.as_ref()).collect();
    let first = plugins.first().ok_or(ConvertError::NoPlugin)?;
    let provider = provider(first, &mut notes);
    for route in &routes {
        if route.plugins.jwt.as_ref().is_some_and(|jwt| options(jwt) != options(first)) {
            notes.add(
                &route.place,
                "its jwt plugin has other options than the first one, whose are taken; give it \
                 a filter chain of its own",
            );
        }
    }
    let is_base64 = provider.get("secret_is_base64") == Some(&json!(true));
    let entries = consumers(&kong, is_base64, &mut notes);
    let anonymous = anonymous(&plugins, &entries, &mut notes);
    let rules = routes::rules(&routes, anonymous.as_ref(), &mut notes)?;
    other_plugins(&routes, &mut notes);
    notes.tell(
        "identity_token",
        "is new: choose issuer and audiences, and put a signing key in GATEPASS_SIGNING_KEY",
    );
    let mut consumers = json!({ "entries": entries });
    if let (Some(anonymous), Value::Object(members)) = (&anonymous, &mut consumers) {
        members.insert("anonymous".into(), anonymous.username.as_str().into());
    }
    let configuration = json!({
        "providers": { "kong": provider },
        "token": { "forward": true },
        "consumers": consumers,
        "identity_token": {
            "issuer": "https://gateway.internal",
            "audiences": ["services"],
            "signing_keys":
                [{ "algorithm": "ES256", "private_key": { "env": "GATEPASS_SIGNING_KEY" } }],
        },
        "rules": rules,
        "errors": { "format": "kong" },
    });
    Ok(Converted { configuration, notes: notes.0 })
}

/// The notes so far, each once.
#[derive(Default)]
struct Notes(Vec<Note>);

impl Notes {
    /// Notes that something is not as it was.
    fn add(&mut self, place: &str, text: impl fmt::Display) {
        self.note(Note { place: place.to_owned(), text: text.to_string(), is_change: true });
    }

    /// Notes something to be known.
    fn tell(&mut self, place: &str, text: impl fmt::Display) {
        self.note(Note { place: place.to_owned(), text: text.to_string(), is_change: false });
    }

    fn note(&mut self, note: Note) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }
}

/// Who comes without a token.
struct Anonymous {
    /// The username or id that plugins have.
    named: String,
    username: String,
    groups: Vec<String>,
}

/// The plugin's options that are the provider's as well.
const OPTIONS: [&str; 9] = [
    "key_claim_name",
    "secret_is_base64",
    "claims_to_verify",
    "maximum_expiration",
    "uri_param_names",
    "cookie_names",
    "header_names",
    "run_on_preflight",
    "realm",
];

fn options(plugin: &Map<String, Value>) -> Map<String, Value> {
    let is_option =
        |(name, value): &(&String, &Value)| OPTIONS.contains(&name.as_str()) && !value.is_null();
    plugin.iter().filter(is_option).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn provider(plugin: &Map<String, Value>, notes: &mut Notes) -> Map<String, Value> {
    let place = "plugin jwt";
    let mut provider = Map::from_iter([("kind".to_owned(), json!("kong_jwt"))]);
    provider.extend(options(plugin));
    if !provider.contains_key("claims_to_verify") {
        notes.add(
            place,
            "did not check exp; now a token needs one, unless you write claims_to_verify: []",
        );
    }
    for name in plugin.keys() {
        if !OPTIONS.contains(&name.as_str()) && name != "anonymous" {
            notes.add(place, format_args!("its option {name} is not known"));
        }
    }
    provider
}

fn anonymous(
    plugins: &[&Map<String, Value>],
    entries: &[Value],
    notes: &mut Notes,
) -> Option<Anonymous> {
    let mut names = plugins.iter().filter_map(|plugin| plugin.get("anonymous")?.as_str());
    let named = names.next()?.to_owned();
    if let Some(other) = names.find(|other| **other != named) {
        notes.add("plugin jwt", format_args!("there is one anonymous consumer: not {other}"));
    }
    let is_named = |entry: &&Value| {
        ["id", "username"].iter().any(|field| entry.get(field).is_some_and(|it| *it == *named))
    };
    let entry = entries.iter().find(is_named);
    let username = entry.and_then(|entry| entry.get("username")?.as_str());
    let (Some(entry), Some(username)) = (entry, username) else {
        notes.add(
            "plugin jwt",
            format_args!("anonymous {named} is no consumer with a username: a token is needed"),
        );
        return None;
    };
    let acls = entry.get("acls").and_then(Value::as_array).into_iter().flatten();
    let groups = acls.filter_map(|acl| Some(acl.get("group")?.as_str()?.to_owned())).collect();
    Some(Anonymous { named, username: username.to_owned(), groups })
}

/// The consumers with what is theirs, wherever it stands.
fn consumers(kong: &Value, is_base64: bool, notes: &mut Notes) -> Vec<Value> {
    let mut entries = Vec::new();
    for consumer in list(kong, "consumers") {
        let name = ["username", "custom_id", "id"].iter().find_map(|name| text(consumer, name));
        let name = name.unwrap_or("without a name");
        let place = format!("consumer {name}");
        let mut entry = Map::new();
        for field in ["id", "username", "custom_id"] {
            if let Some(value) = text(consumer, field) {
                entry.insert(field.to_owned(), value.into());
            }
        }
        if !entry.contains_key("id") {
            notes.add(&place, "has no id, so X-Consumer-ID is not sent for it");
        }
        if !entry.contains_key("username") && !entry.contains_key("custom_id") {
            notes.add(&place, "is left out: it has neither username nor custom_id");
            continue;
        }
        let secrets: Vec<_> = owned(kong, consumer, "jwt_secrets")
            .filter_map(|secret| credential(secret, is_base64, &place, notes))
            .collect();
        let acls: Vec<_> = owned(kong, consumer, "acls")
            .filter_map(|acl| text(acl, "group"))
            .map(|group| json!({ "group": group }))
            .collect();
        for (field, values) in [("jwt_secrets", secrets), ("acls", acls)] {
            if !values.is_empty() {
                entry.insert(field.to_owned(), values.into());
            }
        }
        for field in consumer.as_object().into_iter().flat_map(Map::keys) {
            let is_read = ["id", "username", "custom_id", "jwt_secrets", "acls", "tags"];
            if !is_read.contains(&field.as_str()) {
                notes.add(&place, format_args!("its {field} stay in Kong"));
            }
        }
        entries.push(Value::Object(entry));
    }
    entries
}

/// What belongs to a consumer: in it, or beside it with its name.
fn owned<'a>(
    kong: &'a Value,
    consumer: &'a Value,
    field: &'static str,
) -> impl Iterator<Item = &'a Value> {
    let is_its = |item: &&Value| {
        let owner = item.get("consumer");
        let owner = owner.and_then(|owner| owner.as_str().or_else(|| owner.get("id")?.as_str()));
        owner.is_some()
            && ["id", "username", "custom_id"].iter().any(|name| text(consumer, name) == owner)
    };
    list(consumer, field).chain(list(kong, field).filter(is_its))
}

/// A credential as the filter reads it, unless it could not be used.
fn credential(secret: &Value, is_base64: bool, place: &str, notes: &mut Notes) -> Option<Value> {
    let mut credential = Map::new();
    for field in ["key", "algorithm", "secret", "rsa_public_key"] {
        if let Some(value) = text(secret, field) {
            credential.insert(field.to_owned(), from_environment(value));
        }
    }
    let key = text(secret, "key").unwrap_or("without a key");
    // Taken as it stands, the reference would be a secret that anybody can read.
    let is_reference = |value: &Value| value.as_str().is_some_and(|it| it.starts_with("{vault:"));
    if credential.values().any(is_reference) {
        let text = "its value is in a vault that the filter cannot read; use {env: NAME}";
        notes.add(place, format_args!("credential {key} is left out: {text}"));
        return None;
    }
    let algorithm = text(secret, "algorithm").unwrap_or("HS256");
    // Kong makes up a secret for each, and ignores a public key of HS*.
    let unused = if algorithm.starts_with("HS") { "rsa_public_key" } else { "secret" };
    credential.remove(unused);
    let credential = Value::Object(credential);
    // Of a value in the environment nothing is known but that it is there.
    let dummy = |_: &str| Some("0".repeat(86));
    let document = Document::new(&dummy);
    let is_known = [credential.get("secret"), credential.get("rsa_public_key")]
        .into_iter()
        .flatten()
        .all(Value::is_string);
    let read = kong_jwt::credential(&document.root(&credential), is_base64).is_some();
    let problems = document.into_problems();
    if read || !is_known {
        return Some(credential);
    }
    for problem in problems {
        notes.add(place, format_args!("credential {key} is left out: {}", problem.found));
    }
    None
}

/// A reference to Kong's vault of environment variables, as the filter writes it.
fn from_environment(value: &str) -> Value {
    let name = value.strip_prefix("{vault://env/").and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) => json!({ "env": name.to_ascii_uppercase().replace('-', "_") }),
        None => value.into(),
    }
}

/// Plugins that act on the consumer run before the filter finds it.
fn other_plugins(routes: &[Route], notes: &mut Notes) {
    for route in routes.iter().filter(|route| route.plugins.jwt.is_some()) {
        for name in &route.plugins.others {
            notes.add(
                &format!("plugin {name}"),
                "runs before the filter: it sees no consumer where jwt found one",
            );
        }
    }
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}
