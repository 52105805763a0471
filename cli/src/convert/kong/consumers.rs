//! Consumers with their credentials and groups.

use gatepass::config::check_credential;
use gatepass::http::header_text;
use serde_json::{Map, Value, json};

use super::entities::{Consumer, Kong, Plugin};
use super::issuer::Mapping;
use super::placeholder::{environment, is_secret, is_template};
use super::plugins::{Settings, is_harmless};
use crate::convert::issuers::Issuers;
use crate::convert::{ConvertError, ISSUER, Notes};

/// The entries, each with what is its own.
pub(super) fn entries(
    kong: &Kong,
    is_base64: bool,
    notes: &mut Notes,
) -> Result<Vec<Value>, ConvertError> {
    let mut entries = Vec::new();
    let mut keys = Vec::new();
    for (position, consumer) in kong.consumers.iter().enumerate() {
        let names = [consumer.username(), consumer.custom_id.as_deref(), consumer.id()];
        let name = names.iter().flatten().next().unwrap_or(&"without a name");
        let place = format!("consumer {name}");
        for secret in &consumer.secrets {
            let key = secret.get("key").and_then(Value::as_str);
            if key.is_some_and(|key| keys.contains(&key)) {
                let text = "a credential has the key of another one".to_owned();
                return Err(ConvertError::Refused { place, text });
            }
            keys.extend(key);
        }
        if names.into_iter().flatten().any(|name| is_template(name) || header_text(name).is_err()) {
            notes.add(&place, "is left out: its name is a placeholder");
            continue;
        }
        if consumer.id().is_none() {
            let text = "has no id, so X-Consumer-ID is not sent for it: Kong made one up, which its \
                        Admin API has at /consumers";
            notes.add(&place, text);
        }
        if consumer.username().is_none() && consumer.custom_id.is_none() {
            notes.add(&place, "is left out: it has neither username nor custom_id");
            continue;
        }
        for field in &consumer.others {
            notes.add(&place, format_args!("its {field} stay in Kong"));
        }
        let mut entry = Map::new();
        for (field, value) in ["username", "custom_id", "id"].into_iter().zip(names) {
            entry.extend(value.map(|value| (field.to_owned(), value.into())));
        }
        let secrets = consumer.secrets.iter();
        let secrets: Vec<_> =
            secrets.filter_map(|secret| credential(secret, is_base64, &place, notes)).collect();
        if !secrets.is_empty() {
            entry.insert("jwt_secrets".to_owned(), secrets.into());
        }
        groups(consumer, &place, &mut entry, notes);
        shut_by_plugins(kong, position, &place, &mut entry, notes);
        entries.push(Value::Object(entry));
    }
    Ok(entries)
}

/// The entries by which tokens of issuers find their consumers: a name of `by` that comes
/// first wins.
pub(super) fn mapped(
    kong: &Kong,
    mapping: &Mapping,
    issuers: &Issuers,
    notes: &mut Notes,
) -> Result<Vec<Value>, ConvertError> {
    let providers = issuers.provider_names();
    let mut entries: Vec<Value> = Vec::new();
    for field in &mapping.by {
        for (position, consumer) in kong.consumers.iter().enumerate() {
            let names = [consumer.username(), consumer.custom_id.as_deref(), consumer.id()];
            let key = match field.as_str() {
                "username" => consumer.username(),
                "custom_id" => consumer.custom_id.as_deref(),
                _ => consumer.id(),
            };
            let Some(key) = key else { continue };
            if is_template(key) || header_text(key).is_err() {
                left_out(kong, position, mapping, &format!("consumer {key:?}"), notes)?;
                continue;
            }
            if entries.iter().any(|entry| entry.get("key").is_some_and(|it| it == key)) {
                continue;
            }
            let place = format!("consumer {key}");
            let mut entry = Map::from_iter([("key".to_owned(), key.into())]);
            if providers.len() > 1 {
                entry.insert("providers".to_owned(), json!(providers));
            }
            for (field, value) in ["username", "custom_id", "id"].into_iter().zip(names) {
                let value = value.filter(|value| !is_template(value));
                entry.extend(value.map(|value| (field.to_owned(), value.into())));
            }
            groups(consumer, &place, &mut entry, notes);
            shut_by_plugins(kong, position, &place, &mut entry, notes);
            entries.push(Value::Object(entry));
        }
    }
    Ok(entries)
}

/// A consumer whose name is not known. Where a token need not have one, its own tokens
/// would pass without what its plugins ask.
fn left_out(
    kong: &Kong,
    position: usize,
    mapping: &Mapping,
    place: &str,
    notes: &mut Notes,
) -> Result<(), ConvertError> {
    let deciding = kong.plugins.iter().find(|it| decides(it, position));
    if let Some(plugin) = deciding.filter(|_| mapping.is_optional) {
        let name = &plugin.name;
        let text = format!("its {name} may refuse its requests, and its name is a placeholder");
        return Err(ConvertError::Refused { place: place.to_owned(), text });
    }
    notes.add(place, "is left out: its name is a placeholder");
    Ok(())
}

/// Whether a plugin is the consumer's, and may refuse its requests.
fn decides(plugin: &Plugin, consumer: usize) -> bool {
    plugin.scope.consumer == Some(consumer)
        && plugin.is_enabled
        && !is_harmless(&plugin.name)
        && matches!(plugin.settings, Settings::Other)
}

/// A plugin of the consumer that may refuse its requests.
fn shut_by_plugins(
    kong: &Kong,
    position: usize,
    place: &str,
    entry: &mut Map<String, Value>,
    notes: &mut Notes,
) {
    for plugin in kong.plugins.iter().filter(|it| decides(it, position)) {
        shut(entry);
        let text = "may refuse its requests, and is not carried over: it is shut out";
        notes.add(place, format_args!("{} {text}", plugin.name));
    }
}

/// A consumer in a group with an unknown name may be in a denied one.
fn groups(consumer: &Consumer, place: &str, entry: &mut Map<String, Value>, notes: &mut Notes) {
    let name = |acl: &Value| acl.get("group").and_then(Value::as_str).map(str::to_owned);
    let names: Vec<_> = consumer.groups.iter().map(name).collect();
    let is_known = |name: &&String| !is_template(name) && header_text(name).is_ok();
    let known: Vec<_> = names.iter().flatten().filter(is_known).collect();
    if known.len() < names.len() {
        shut(entry);
        notes.add(place, "is shut out: one of its groups is not known");
    }
    if !known.is_empty() {
        let groups: Vec<_> = known.into_iter().map(|name| json!({ "group": name })).collect();
        entry.insert("acls".to_owned(), groups.into());
    }
}

fn shut(entry: &mut Map<String, Value>) {
    entry.insert("enabled".to_owned(), json!(false));
}

/// A credential as the filter reads it, unless it could not be used.
fn credential(secret: &Value, is_base64: bool, place: &str, notes: &mut Notes) -> Option<Value> {
    let text = |field: &str| secret.get(field).and_then(Value::as_str);
    let key = text("key").unwrap_or("without a key");
    let mut leave_out = |why: &str| {
        notes.add(place, format_args!("credential {key} is left out: {why}"));
        None
    };
    if is_template(key) {
        return leave_out("its key is a placeholder");
    }
    if key == ISSUER {
        return leave_out("its key is the issuer of identity tokens");
    }
    let algorithm = text("algorithm").unwrap_or("HS256");
    // Kong makes up a secret for each, and ignores a public key of HS*.
    let field = if algorithm.starts_with("HS") { "secret" } else { "rsa_public_key" };
    let mut credential = Map::new();
    for field in ["key", "algorithm"] {
        credential.extend(text(field).map(|value| (field.to_owned(), value.into())));
    }
    let value = text(field).map(|value| (value, environment(value)));
    match value {
        Some((_, Some(variable))) => drop(credential.insert(field.to_owned(), variable)),
        Some((value, None)) if value.trim_start().starts_with("{vault:") => {
            return leave_out(
                "its value is in a vault, which convert does not read: write {env: NAME}, or for \
                 Gatepass's plugin {vault: REFERENCE}",
            );
        }
        Some((value, None)) if !is_secret(value) => {
            return leave_out("of its value there is only a placeholder; use {env: NAME}");
        }
        Some((value, None)) => drop(credential.insert(field.to_owned(), value.into())),
        None => {}
    }
    let is_here = credential.get(field).is_none_or(Value::is_string);
    let credential = Value::Object(credential);
    let mut sample = credential.clone();
    if let (false, Some(member)) = (is_here, sample.get_mut(field)) {
        // Only its presence is known. The real value is checked with the other fields when
        // the filter starts.
        *member = "0".repeat(86).into();
    }
    let problems = check_credential(&sample, is_base64).err().map_or_else(Vec::new, |it| it.0);
    // That a placeholder is not a public key is not a problem.
    let is_made_up = |path: &str| !is_here && path.ends_with(field);
    match problems.iter().find(|problem| !is_made_up(&problem.path)) {
        None => Some(credential),
        Some(problem) => leave_out(&problem.found),
    }
}
