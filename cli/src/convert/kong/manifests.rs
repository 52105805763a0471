//! Manifests of Kong's ingress controller: KongConsumers with their Secrets, routes and
//! their plugins.
//!
//! All of them become what a `kong.yml` would say of them. Without routes one rule for
//! nobody stands for them.

use std::collections::BTreeSet;

use gatepass::config::Problems;
use gatepass::config::Variable;
use gatepass::config::reader::Document;
use serde_json::{Map, Value, json};

use super::cluster::{self, Cluster};
use super::entities::{self, Kong};
use super::metadata::{annotation, is_of_kong, is_plugin, kind, name, namespace, texts};
use super::plugins::{Jwt, Settings, is_harmless};
use super::secrets::Secrets;
use super::{configuration, consumers, convert, provider};
use crate::convert::assemble::accepted;
use crate::convert::need::NOBODY;
use crate::convert::selection::{Selection, full_name};
use crate::convert::{ConvertError, Converted, Notes};

/// Whether a file has consumers that are read here.
pub(in crate::convert) fn is_consumer(manifest: &Value) -> bool {
    is_of_kong(manifest) && kind(manifest) == "KongConsumer"
}

/// The consumers of the file with their credentials, and rules that let nobody pass.
pub(in crate::convert) fn from_manifests(
    manifests: &[Value],
    selection: &Selection,
) -> Result<Converted, ConvertError> {
    let mut notes = Notes::default();
    let chosen: Vec<_> =
        manifests.iter().filter(|it| is_consumer(it) && selection.has(it)).collect();
    one_class(&chosen)?;
    if manifests.iter().any(cluster::is_route) {
        return with_routes(&chosen, manifests, selection, notes);
    }
    let plugins = jwt_plugins(manifests, &mut notes);
    let consumers = consumers_of(&chosen, manifests, &mut notes);
    let places = plugins.iter().filter_map(|it| it.get("name")?.as_str()).map(str::to_owned);
    let places: Vec<_> = places.collect();
    let kong = read(&json!({ "consumers": consumers, "routes": plugins }), &places)?;
    about_others(manifests, &mut notes);
    converted(&kong, notes)
}

/// The routes of the file, and rules for them.
fn with_routes(
    consumers: &[&Value],
    manifests: &[Value],
    selection: &Selection,
    mut notes: Notes,
) -> Result<Converted, ConvertError> {
    let of_consumers = consumers.iter().find_map(|it| class(it));
    let class = match of_consumers {
        Some(class) => Some(class),
        None => {
            let chosen = || manifests.iter().filter(|it| selection.has(it));
            let classes = cluster::classes(chosen());
            if classes.len() > 1 {
                let names = chosen().filter(|it| cluster::is_route(it)).map(full_name).collect();
                return Err(ConvertError::Several { what: "classes of Ingresses", names });
            }
            classes.into_iter().next()
        }
    };
    let consumers = consumers_of(consumers, manifests, &mut notes);
    let cluster = Cluster::of(manifests, class, &mut notes)?;
    let mut value = cluster.to_json()?;
    value.insert("consumers".to_owned(), consumers.into());
    let mut kong = read(&Value::Object(value), &cluster.places())?;
    cluster.mark(&mut kong, &mut notes);
    let converted = convert(&kong, selection.to, notes)?;
    accepted(&converted.configuration)?;
    Ok(converted)
}

fn consumers_of(chosen: &[&Value], manifests: &[Value], notes: &mut Notes) -> Vec<Value> {
    let is_base64 = manifests.iter().any(|it| {
        is_plugin(it)
            && it.get("plugin") == Some(&json!("jwt"))
            && it.pointer("/config/secret_is_base64") == Some(&Value::Bool(true))
    });
    let mut secrets = Secrets::of(manifests, is_base64);
    let consumers = chosen.iter().filter_map(|manifest| {
        let place = place(manifest);
        if class(manifest).is_none() {
            let text = "is left out: without the annotation kubernetes.io/ingress.class most \
                        controllers do not read it";
            notes.add(&place, text);
            return None;
        }
        Some(consumer(manifest, manifests, &mut secrets, &place, notes))
    });
    consumers.collect()
}

fn read(value: &Value, places: &[String]) -> Result<Kong, ConvertError> {
    let nothing = |_: &str| Variable::Unset;
    let document = Document::new(&nothing);
    let kong = entities::read(&document.root(value));
    let mut problems = document.into_problems();
    problems.iter_mut().for_each(|problem| rename(&mut problem.path, value, places));
    match kong {
        Some(kong) if problems.is_empty() => Ok(kong),
        _ => Err(ConvertError::NotUnderstood(Problems(problems))),
    }
}

/// Puts the name of a manifest in the place of where a `kong.yml` would have it.
fn rename(path: &mut String, kong: &Value, places: &[String]) {
    let item = |list: &str, position: usize| kong.get(list)?.as_array()?.get(position);
    for (list, fields) in [
        ("routes", &["name"] as &[&str]),
        ("consumers", &["username", "custom_id"]),
        ("services", &["name"]),
    ] {
        let Some(rest) = path.strip_prefix(&format!("$.{list}[")) else { continue };
        let Some((digits, rest)) = rest.split_once(']') else { continue };
        let Some((position, found)) =
            digits.parse().ok().and_then(|at| Some((at, item(list, at)?)))
        else {
            continue;
        };
        let called = fields.iter().find_map(|field| found.get(field)?.as_str());
        let place = match list {
            "routes" => places.get(position).cloned(),
            "consumers" => called.map(|called| format!("KongConsumer {called}")),
            _ => called.map(|called| format!("Service {called}")),
        };
        // The routes of a file without routes are its plugins.
        let rest = rest
            .strip_prefix(".plugins[0]")
            .filter(|_| found.get("paths").is_none() && list == "routes")
            .unwrap_or(rest);
        if let Some(place) = place {
            *path = format!("{place}{rest}");
            return;
        }
    }
}

fn converted(kong: &Kong, mut notes: Notes) -> Result<Converted, ConvertError> {
    let jwt = |plugin: &entities::Plugin| match &plugin.settings {
        Settings::Jwt(jwt) => Some(jwt.as_ref().clone()),
        _ => None,
    };
    let own: Vec<(&str, Jwt)> = kong
        .plugins
        .iter()
        .filter_map(|plugin| {
            let route = kong.routes.get(plugin.scope.route?)?;
            Some((route.place.as_str(), jwt(plugin)?))
        })
        .collect();
    let default = Jwt::default();
    let mut plugins: Vec<_> = own.iter().map(|(place, jwt)| (*place, jwt)).collect();
    if plugins.is_empty() {
        let text = "is not in the file: tokens are found and verified as without options";
        notes.add("plugin jwt", text);
        plugins.push(("plugin jwt", &default));
    }
    let first = plugins.first().map_or(&default.lookup, |(_, jwt)| &jwt.lookup);
    for (place, _) in plugins.iter().filter(|(_, jwt)| jwt.lookup != *first) {
        let text = "finds tokens or keys in another way than the first one, whose is taken: give \
                    its routes a configuration of their own";
        notes.add("plugin jwt", format_args!("{place}: {text}"));
    }
    let entries = consumers::entries(kong, first.secret_is_base64, &mut notes)?;
    if !entries.iter().any(|entry| entry.get("jwt_secrets").is_some()) {
        return Err(ConvertError::NoCredential(notes.0));
    }
    let provider = provider(&plugins, &[], &mut notes);
    let text = "nobody passes until you write rules: the file has no routes, by which it would be known \
                which plugins they have";
    notes.add("rules", text);
    let nobody = json!({
        "match": {}, "requires": { "groups_any": [NOBODY], "groups_none": [NOBODY] },
    });
    let configuration =
        configuration(provider, json!({ "entries": entries }), vec![nobody], &mut notes);
    accepted(&configuration)?;
    Ok(Converted { configuration, rule_places: vec!["rules".to_owned()], notes: notes.0 })
}

/// Controllers of different classes have gateways of their own.
fn one_class(consumers: &[&Value]) -> Result<(), ConvertError> {
    let classes: BTreeSet<_> = consumers.iter().filter_map(|it| class(it)).collect();
    if classes.len() > 1 {
        let names = consumers.iter().map(|it| full_name(it)).collect();
        return Err(ConvertError::Several { what: "classes of KongConsumers", names });
    }
    Ok(())
}

/// A consumer as a `kong.yml` has it.
fn consumer(
    manifest: &Value,
    manifests: &[Value],
    secrets: &mut Secrets<'_>,
    place: &str,
    notes: &mut Notes,
) -> Value {
    const OWN: [&str; 6] =
        ["apiVersion", "kind", "metadata", "status", "credentials", "consumerGroups"];
    let members = manifest.as_object().into_iter().flatten();
    let is_empty = |value: &Value| value.is_null() || value == "";
    let kept = members.filter(|(name, value)| !OWN.contains(&name.as_str()) && !is_empty(value));
    let mut made: Map<_, _> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    // What these could say is said below, in their own words.
    ["jwt_secrets", "acls", "plugins", "id"].iter().for_each(|name| drop(made.remove(*name)));
    let owned = secrets.owned_by(manifest, place, notes);
    made.insert("jwt_secrets".to_owned(), owned.jwt.into());
    made.insert("acls".to_owned(), owned.acl.into());
    let mut plugins = attached(manifest, manifests);
    for group in texts(manifest.get("consumerGroups")) {
        let is_it = |it: &&Value| {
            is_of_kong(it)
                && kind(it) == "KongConsumerGroup"
                && namespace(it) == namespace(manifest)
                && name(it) == group
        };
        match manifests.iter().find(is_it) {
            Some(found) => plugins.extend(attached(found, manifests)),
            // It may have plugins that refuse requests.
            None => plugins.push(json!({ "name": format!("KongConsumerGroup {group}") })),
        }
    }
    made.insert("plugins".to_owned(), plugins.into());
    Value::Object(made)
}

/// The plugins that a manifest names. One that is not in the file may refuse requests.
fn attached(manifest: &Value, manifests: &[Value]) -> Vec<Value> {
    let lists = ["konghq.com/plugins", "plugins.konghq.com"];
    let lists = lists.iter().filter_map(|called| annotation(manifest, called));
    let names =
        lists.flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let plugin = |called: &str| {
        let (space, own) = called.split_once(':').unwrap_or((namespace(manifest), called));
        let is_it = |it: &&Value| {
            is_of_kong(it)
                && name(it) == own
                && (kind(it) == "KongClusterPlugin"
                    || kind(it) == "KongPlugin" && namespace(it) == space)
        };
        let mut found = manifests.iter().filter(is_it);
        let only = found.next().filter(|_| found.next().is_none());
        let kind = only.and_then(|it| it.get("plugin")?.as_str());
        json!({ "name": kind.filter(|kind| is_harmless(kind)).map_or_else(
            || format!("KongPlugin {called}"), str::to_owned) })
    };
    names.map(plugin).collect()
}

/// The jwt plugins of the file, each as that of a route.
fn jwt_plugins(manifests: &[Value], notes: &mut Notes) -> Vec<Value> {
    let own =
        manifests.iter().filter(|it| is_plugin(it) && it.get("plugin") == Some(&json!("jwt")));
    let enabled = own.filter(|it| it.get("disabled") != Some(&Value::Bool(true)));
    let route = |manifest: &Value| {
        let called = format!("{} {}", kind(manifest), full_name(manifest));
        if ["configFrom", "configPatches"].iter().any(|field| manifest.get(field).is_some()) {
            let text = "has options in a Secret, which are not read: compare them by hand";
            notes.add("plugin jwt", format_args!("{called} {text}"));
        }
        let mut config = match manifest.get("config") {
            None | Some(Value::Null) => json!({}),
            Some(config) => config.clone(),
        };
        if let Value::Object(config) = &mut config {
            if config.remove("run_on_preflight") == Some(Value::Bool(false)) {
                let text = "run_on_preflight is true until you write rules";
                notes.add("plugin jwt", format_args!("{called}: {text}"));
            }
            if config.remove("anonymous").is_some_and(|it| !it.is_null()) {
                let text = "anonymous is not carried over: a token is needed";
                notes.add("plugin jwt", format_args!("{called}: {text}"));
            }
        }
        json!({ "name": called, "plugins": [{ "name": "jwt", "config": config }] })
    };
    enabled.map(route).collect()
}

/// What has to be written by hand.
fn about_others(manifests: &[Value], notes: &mut Notes) {
    for manifest in manifests {
        let called = format!("{} {}", kind(manifest), full_name(manifest));
        let plugins = annotation(manifest, "konghq.com/plugins");
        if let Some(plugins) = plugins.filter(|_| kind(manifest) == "Service") {
            let text = "write rules for it by hand; its plugins are";
            notes.add(&called, format_args!("{text} {plugins}"));
        }
        let plugin = manifest.get("plugin").and_then(Value::as_str).unwrap_or_default();
        if is_plugin(manifest) && plugin == "acl" {
            notes.add(&called, "acl: write its groups as groups_any or groups_none of rules");
        } else if is_plugin(manifest) && plugin != "jwt" && !is_harmless(plugin) {
            let text = "may refuse requests, and is not carried over";
            notes.add(&called, format_args!("{plugin} {text}"));
        }
    }
}

fn place(manifest: &Value) -> String {
    let called = ["username", "custom_id"].iter().find_map(|field| manifest.get(field)?.as_str());
    format!("consumer {}", called.unwrap_or_else(|| name(manifest)))
}

fn class(manifest: &Value) -> Option<&str> {
    annotation(manifest, "kubernetes.io/ingress.class").filter(|class| !class.is_empty())
}
