//! Ingresses and HTTPRoutes with the plugins of Kong's ingress controller, as a `kong.yml`
//! would have them.
//!
//! What decides about a route and is not in the file lets nobody pass there: a Service, whose
//! annotations may name plugins; a plugin; a Gateway.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::annotations::plugins;
use super::controller::{Controller, Made};
use super::entities::Kong;
use super::gateway_routes::{self, Attached, is_of};
use super::ingress;
use super::metadata::{annotation, is_of_kong, is_plugin, kind, name, namespace};
use super::plugins::is_harmless;
use crate::convert::selection::full_name;
use crate::convert::{ConvertError, Notes};

/// Whether a manifest makes routes.
pub(in crate::convert) fn is_route(manifest: &Value) -> bool {
    ingress::is_own(manifest) || is_of(manifest, "HTTPRoute") || is_of(manifest, "GRPCRoute")
}

/// The classes of the Ingresses.
pub(super) fn classes<'m>(manifests: impl Iterator<Item = &'m Value>) -> BTreeSet<&'m str> {
    manifests.filter(|it| ingress::is_own(it)).filter_map(ingress::class).collect()
}

/// Routes, Services and plugins of a cluster.
pub(super) struct Cluster<'m> {
    manifests: &'m [Value],
    /// The class of the controller, if any manifest names one.
    class: Option<&'m str>,
    /// Plugins that consumers or their groups name, with their namespaces.
    of_consumers: BTreeSet<(String, String)>,
    routes: Vec<Made>,
}

impl<'m> Cluster<'m> {
    pub(super) fn of(
        manifests: &'m [Value],
        class: Option<&'m str>,
        notes: &mut Notes,
    ) -> Result<Self, ConvertError> {
        let owners = manifests.iter().filter(|it| {
            is_of_kong(it) && ["KongConsumer", "KongConsumerGroup"].contains(&kind(it))
        });
        let named = owners
            .flat_map(|it| plugins(it).into_iter().map(|called| place_of(&called, namespace(it))));
        let of_consumers = named.collect();
        let mut cluster = Self { manifests, class, of_consumers, routes: Vec::new() };
        let mut gateways = BTreeSet::new();
        for manifest in manifests {
            let called = format!("{} {}", kind(manifest), full_name(manifest));
            if ingress::is_own(manifest) {
                cluster.ingress(manifest, &called, notes);
            } else if is_route(manifest) {
                match gateway_routes::attached(manifest, manifests) {
                    Attached::Elsewhere => {
                        notes.add_info(&called, "is left out: its Gateways are not Kong's");
                    }
                    Attached::Here(..) if is_of(manifest, "GRPCRoute") => {
                        let text = "is not converted: leave it out, and give its hosts or paths \
                                    rules by hand, before those that are written";
                        return Err(ConvertError::Refused { place: called, text: text.to_owned() });
                    }
                    Attached::Here(classes, doubts) => {
                        gateways.extend(classes);
                        cluster.routes.extend(gateway_routes::routes(manifest, &doubts));
                    }
                }
            }
        }
        if gateways.len() > 1 {
            let text = "HTTPRoutes are for Gateways of several classes, of which each has a \
                        configuration of its own: convert a file with those of one";
            let place = "the file".to_owned();
            return Err(ConvertError::Refused { place, text: text.to_owned() });
        }
        cluster.doubt_services();
        cluster.doubt_plugins();
        Ok(cluster)
    }

    fn ingress(&mut self, manifest: &Value, called: &str, notes: &mut Notes) {
        let class = ingress::class(manifest);
        if class.is_some() && self.class.is_some() && class != self.class {
            notes.add_info(called, "is left out: it is for another class of controllers");
            return;
        }
        let mut routes = ingress::routes(manifest);
        if class.is_none() {
            let text = "it names no class, so that Kong's controller may not read it";
            routes.iter_mut().for_each(|route| route.doubts.add(text));
        }
        self.routes.extend(routes);
    }

    /// A Service that is not known may have plugins.
    fn doubt_services(&mut self) {
        let mut routes = std::mem::take(&mut self.routes);
        for Made { services, doubts, .. } in &mut routes {
            let mut lists = BTreeSet::new();
            for (space, called) in services.iter() {
                match self.service(space, called) {
                    Some(service) => {
                        let names = plugins(service);
                        for called in &names {
                            self.doubt_plugin(called, space, &mut |text| doubts.add(text));
                        }
                        lists.insert(names);
                    }
                    None => doubts.add(format_args!("its Service {called} is not in the file")),
                }
            }
            if lists.len() > 1 {
                doubts.add("its Services have other plugins than each other");
            }
        }
        self.routes = routes;
    }

    fn doubt_plugins(&mut self) {
        let mut routes = std::mem::take(&mut self.routes);
        for Made { plugins, namespace, doubts, .. } in &mut routes {
            for called in plugins.iter() {
                self.doubt_plugin(called, namespace, &mut |text| doubts.add(text));
            }
        }
        self.routes = routes;
    }

    fn service(&self, space: &str, called: &str) -> Option<&'m Value> {
        let is_it = |it: &&Value| {
            it.get("apiVersion") == Some(&json!("v1"))
                && kind(it) == "Service"
                && namespace(it) == space
                && name(it) == called
        };
        self.manifests.iter().find(is_it)
    }

    /// The plugin that is meant: that of the namespace before that of the cluster.
    fn plugin(&self, called: &str, space: &str) -> Option<&'m Value> {
        let mut own = self.manifests.iter().filter(|it| is_plugin(it) && name(it) == called);
        let of_space = own.clone().find(|it| kind(it) == "KongPlugin" && namespace(it) == space);
        of_space.or_else(|| own.find(|it| kind(it) == "KongClusterPlugin" && self.is_read(it)))
    }

    /// Whether the controller reads a KongClusterPlugin.
    fn is_read(&self, manifest: &Value) -> bool {
        let class = annotation(manifest, "kubernetes.io/ingress.class");
        class.is_some() && (self.class.is_none() || class == self.class)
    }

    /// Why it is not certain that a plugin runs, if it may decide.
    fn doubt_plugin(&self, called: &str, space: &str, add: &mut dyn FnMut(String)) {
        let key = place_of(called, space);
        if key.0 != space {
            add(format!("its plugin {called} is of another namespace"));
            return;
        }
        let Some(plugin) = self.plugin(called, space) else {
            let text = "is not in the file, or has no class that its controller reads";
            add(format!("its plugin {called} {text}"));
            return;
        };
        let decides = |it: &&str| !is_harmless(it);
        let kind = plugin.get("plugin").and_then(Value::as_str);
        let Some(kind) = kind.filter(decides) else { return };
        if ["configFrom", "configPatches"].iter().any(|field| plugin.get(field).is_some()) {
            add(format!("its plugin {called} ({kind}) has options in a Secret"));
        }
        if self.of_consumers.contains(&key) {
            add(format!("its plugin {called} ({kind}) is for some consumers only"));
        }
    }

    /// The plugins of a list, as a `kong.yml` has them.
    fn plugins(&self, named: &[String], space: &str) -> Vec<Value> {
        let mut unique: Vec<&String> = Vec::new();
        named.iter().for_each(|it| {
            if !unique.contains(&it) {
                unique.push(it);
            }
        });
        unique.into_iter().filter_map(|called| self.plugin(called, space)).map(entity).collect()
    }

    /// Services, routes and plugins for all, as a `kong.yml` has them.
    pub(super) fn to_json(&self) -> Result<Map<String, Value>, ConvertError> {
        let mut services: Vec<(String, Value)> = Vec::new();
        let mut routes = Vec::new();
        for (position, route) in self.routes.iter().enumerate() {
            let mut made = route.conditions.clone();
            if route.doubts.of_requests {
                ["hosts", "methods", "headers"].iter().for_each(|it| drop(made.remove(*it)));
            }
            made.insert("name".to_owned(), json!(format!("{position}")));
            let own = self.plugins(&route.plugins, &route.namespace);
            made.insert("plugins".to_owned(), own.into());
            if let Some((space, called)) = route.services.first() {
                let full = format!("{space}/{called}");
                made.insert("service".to_owned(), json!(full));
                if !services.iter().any(|(name, _)| *name == full) {
                    let named = self.service(space, called).map(plugins).unwrap_or_default();
                    let own = self.plugins(&named, space);
                    services.push((full.clone(), json!({ "name": full, "plugins": own })));
                }
            }
            routes.push(Value::Object(made));
        }
        let services: Vec<_> = services.into_iter().map(|(_, service)| service).collect();
        Ok(Map::from_iter([
            ("services".to_owned(), services.into()),
            ("routes".to_owned(), routes.into()),
            ("plugins".to_owned(), self.global()?.into()),
        ]))
    }

    /// The plugins for all routes.
    fn global(&self) -> Result<Vec<Value>, ConvertError> {
        let is_global = |it: &&Value| {
            is_plugin(it)
                && kind(it) == "KongClusterPlugin"
                && it.pointer("/metadata/labels/global") == Some(&json!("true"))
        };
        let mut plugins = Vec::new();
        for manifest in self.manifests.iter().filter(is_global) {
            let has_class = annotation(manifest, "kubernetes.io/ingress.class").is_some();
            let has_secret =
                ["configFrom", "configPatches"].iter().any(|it| manifest.get(it).is_some());
            let decides = !manifest.get("plugin").and_then(Value::as_str).is_some_and(is_harmless);
            let text = match () {
                () if !decides || has_class && !self.is_read(manifest) => None,
                () if !has_class => Some(
                    "is for all routes, and has no annotation kubernetes.io/ingress.class, \
                     without which most controllers do not read it: give it one, or take it out",
                ),
                () if has_secret => Some("is for all routes, and has options in a Secret"),
                () => None,
            };
            if let Some(text) = text {
                let place = format!("KongClusterPlugin {}", name(manifest));
                return Err(ConvertError::Refused { place, text: text.to_owned() });
            }
            if self.is_read(manifest) {
                plugins.push(entity(manifest));
            }
        }
        Ok(plugins)
    }

    /// Puts into routes what a `kong.yml` cannot say, and tells it.
    pub(super) fn mark(self, kong: &mut Kong, notes: &mut Notes) {
        for (made, route) in self.routes.into_iter().zip(&mut kong.routes) {
            let Made { place, doubts, order, .. } = made;
            for text in &doubts.texts {
                notes.add(&place, format_args!("{text}: nobody passes"));
            }
            let is_closed = !doubts.texts.is_empty();
            route.place = place;
            route.controller =
                Some(Controller { is_closed, is_uncertain: doubts.of_requests, order });
        }
    }

    /// Names for places in what was made, for messages.
    pub(super) fn places(&self) -> Vec<String> {
        self.routes.iter().map(|route| route.place.clone()).collect()
    }
}

/// The namespace and the name of a plugin, as an annotation names it.
fn place_of(called: &str, space: &str) -> (String, String) {
    let (space, called) = called.split_once(':').unwrap_or((space, called));
    (space.to_owned(), called.to_owned())
}

/// A plugin as a `kong.yml` has it.
fn entity(manifest: &Value) -> Value {
    const OWN: [&str; 9] = [
        "apiVersion",
        "kind",
        "metadata",
        "status",
        "plugin",
        "disabled",
        "config",
        "configFrom",
        "configPatches",
    ];
    let members = manifest.as_object().into_iter().flatten();
    let kept = members.filter(|(name, value)| !OWN.contains(&name.as_str()) && !value.is_null());
    let mut made: Map<_, _> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    // Where the controller runs plugins; the one value that is left.
    made.remove("run_on");
    let name = manifest.get("plugin").cloned().unwrap_or_default();
    made.insert("name".to_owned(), name);
    let is_disabled = manifest.get("disabled").cloned().unwrap_or(Value::Bool(false));
    let enabled = is_disabled.as_bool().map_or(is_disabled.clone(), |it| Value::Bool(!it));
    made.insert("enabled".to_owned(), enabled);
    if let Some(config) = manifest.get("config").filter(|it| !it.is_null()) {
        made.insert("config".to_owned(), config.clone());
    }
    Value::Object(made)
}
