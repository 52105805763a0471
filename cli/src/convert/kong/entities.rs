//! A kong.yml, read as strictly as a configuration: each entity has its known
//! fields and no others, and what refers to something finds it.
//!
//! A field that is not known may be a condition or make a plugin stricter, so
//! the file is refused with the place of the field.

use gatepass::config::reader::Node;
use serde_json::Value;

use super::controller::Controller;
use super::fields::{
    OF_CONSUMERS, OF_PLUGINS, OF_ROUTES, OF_SERVICES, OTHER_ENTITIES, info, no_decisions,
};
use super::placeholder::plain;
use super::plugins::{self, Settings};

/// The routes, plugins and consumers of the file.
#[derive(Default)]
pub(super) struct Kong {
    pub(super) services: Vec<Service>,
    pub(super) routes: Vec<Route>,
    pub(super) plugins: Vec<Plugin>,
    pub(super) consumers: Vec<Consumer>,
    /// Entities that convert does not read, by their field.
    pub(super) others: Vec<&'static str>,
}

/// The names of an entity for references.
#[derive(Default)]
pub(super) struct Names {
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
}

pub(super) struct Service {
    names: Names,
    pub(super) is_enabled: bool,
}

pub(super) struct Route {
    names: Names,
    /// `route shop`, for notes.
    pub(super) place: String,
    pub(super) service: Option<usize>,
    pub(super) paths: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) hosts: Vec<String>,
    /// A list of hosts that is empty: whether Kong counts it, is not certain.
    pub(super) has_empty_hosts: bool,
    pub(super) headers: usize,
    /// How many of the other fields by which Kong chooses a route it has.
    pub(super) others: usize,
    pub(super) is_expression: bool,
    pub(super) regex_priority: u64,
    pub(super) protocols: Vec<String>,
    /// What else is known of a route that the ingress controller made.
    pub(super) controller: Option<Controller>,
}

/// Where a plugin is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) service: Option<usize>,
    pub(super) route: Option<usize>,
    pub(super) consumer: Option<usize>,
    pub(super) is_of_group: bool,
}

pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) is_enabled: bool,
    pub(super) scope: Scope,
    pub(super) settings: Settings,
}

pub(super) struct Consumer {
    names: Names,
    pub(super) custom_id: Option<String>,
    pub(super) secrets: Vec<Value>,
    pub(super) groups: Vec<Value>,
    /// Its other fields that say something.
    pub(super) others: Vec<String>,
}

impl Service {
    /// `service shop`, for notes.
    pub(super) fn place(&self) -> String {
        let called = self.names.name.as_deref().or(self.names.id.as_deref());
        format!("service {}", called.unwrap_or("without a name"))
    }
}

impl Consumer {
    pub(super) fn id(&self) -> Option<&str> {
        self.names.id.as_deref()
    }

    pub(super) fn username(&self) -> Option<&str> {
        self.names.name.as_deref()
    }
}

/// Reads the file; `None` if something in it is not understood.
pub(super) fn read(root: &Node<'_>) -> Option<Kong> {
    let mut fields = root.fields()?;
    for field in [
        "_format_version",
        "_transform",
        "_workspace",
        "_konnect",
        "_comment",
        "_ignore",
        "_plugin_configs",
    ] {
        fields.ignored(field);
    }
    let info = fields.optional("_info", info);
    let mut nodes = |field| fields.or(field, Vec::new(), nodes);
    let (services, routes, plugins) = (nodes("services"), nodes("routes"), nodes("plugins"));
    let (consumers, secrets, groups) = (nodes("consumers"), nodes("jwt_secrets"), nodes("acls"));
    let mut kong = Kong::default();
    let mut is_read = true;
    for field in OTHER_ENTITIES {
        let Some(node) = fields.node_of(field) else { continue };
        if node.value().as_array().is_none_or(|items| !items.is_empty()) {
            kong.others.push(field);
        }
        is_read &= no_decisions(&node, field).is_some();
    }
    let known = fields.finish();
    let mut pending = Vec::new();
    let mut nested = Vec::new();
    is_read &= known.is_some() && info.is_some();
    for node in services? {
        is_read &= kong.service(&node, &mut nested, &mut pending).is_some();
    }
    for (node, service) in nested {
        is_read &= kong.route(&node, Some(service), &mut pending).is_some();
    }
    for node in routes? {
        is_read &= kong.route(&node, None, &mut pending).is_some();
    }
    for node in consumers? {
        is_read &= kong.consumer(&node, &mut pending).is_some();
    }
    for node in secrets? {
        is_read &= kong.owner(&node).map(|it| it.secrets.push(node.value().clone())).is_some();
    }
    for node in groups? {
        is_read &= kong.owner(&node).map(|it| it.groups.push(node.value().clone())).is_some();
    }
    pending.extend(plugins?.into_iter().map(|node| (node, Scope::default())));
    for (node, scope) in pending {
        is_read &= kong.plugin(&node, scope).is_some();
    }
    is_read.then_some(kong)
}

fn nodes<'a>(node: &Node<'a>) -> Option<Vec<Node<'a>>> {
    node.list(|item| Some(item.clone()))
}

fn plains(node: &Node<'_>) -> Option<Vec<String>> {
    node.list(plain)
}

impl Names {
    fn is(&self, called: &str) -> bool {
        self.name.as_deref() == Some(called) || self.id.as_deref() == Some(called)
    }

    /// A name used twice is ambiguous.
    fn check<'n>(&self, node: &Node<'_>, mut others: impl Iterator<Item = &'n Self>) -> Option<()> {
        let is_mine = |other: &Self| {
            [&self.name, &self.id].into_iter().flatten().any(|called| other.is(called))
        };
        if others.any(is_mine) {
            return node.reject_as("a name or id that another one has", "each once");
        }
        Some(())
    }
}

/// The target of a reference: by name or id, as text or in an object.
fn reference<'n>(node: &Node<'_>, mut known: impl Iterator<Item = &'n Names>) -> Option<usize> {
    let value = node.value();
    let member = |name: &str| value.get(name).and_then(Value::as_str);
    let called = value.as_str().or_else(|| ["id", "name", "username"].into_iter().find_map(member));
    let found = called.and_then(|called| known.position(|names| names.is(called)));
    found.or_else(|| node.reject("the name or id of one in this file"))
}

impl Kong {
    fn service<'a>(
        &mut self,
        node: &Node<'a>,
        routes: &mut Vec<(Node<'a>, usize)>,
        plugins: &mut Vec<(Node<'a>, Scope)>,
    ) -> Option<()> {
        let mut fields = node.fields()?;
        let (name, id) = (fields.optional("name", plain), fields.optional("id", plain));
        let is_enabled = fields.or("enabled", true, Node::flag);
        let own_routes = fields.or("routes", Vec::new(), nodes);
        let own_plugins = fields.or("plugins", Vec::new(), nodes);
        OF_SERVICES.iter().for_each(|field| fields.ignored(field));
        fields.finish()?;
        let names = Names { name: name?, id: id? };
        names.check(node, self.services.iter().map(|service| &service.names))?;
        let position = self.services.len();
        routes.extend(own_routes?.into_iter().map(|route| (route, position)));
        let scope = Scope { service: Some(position), ..Scope::default() };
        plugins.extend(own_plugins?.into_iter().map(|plugin| (plugin, scope)));
        self.services.push(Service { names, is_enabled: is_enabled? });
        Some(())
    }

    fn route<'a>(
        &mut self,
        node: &Node<'a>,
        within: Option<usize>,
        plugins: &mut Vec<(Node<'a>, Scope)>,
    ) -> Option<()> {
        let mut fields = node.fields()?;
        let (name, id) = (fields.optional("name", plain), fields.optional("id", plain));
        let names_of = || self.services.iter().map(|service| &service.names);
        let service = fields.optional("service", |node| reference(node, names_of()));
        let paths = fields.or("paths", Vec::new(), plains);
        let methods = fields.or("methods", Vec::new(), plains);
        let has_hosts = fields.node_of("hosts").is_some();
        let hosts = fields.or("hosts", Vec::new(), plains);
        let headers = fields.node_of("headers");
        let lists = ["snis", "sources", "destinations"].map(|field| fields.node_of(field));
        let expression = fields.node_of("expression");
        fields.ignored("priority");
        let priority = fields.or("regex_priority", 0, |node| node.integer(0..=u32::MAX));
        let protocols = fields.or("protocols", Vec::new(), plains);
        let own_plugins = fields.or("plugins", Vec::new(), nodes);
        OF_ROUTES.iter().for_each(|field| fields.ignored(field));
        fields.finish()?;
        let count = |node: &Node<'_>| match node.value() {
            Value::Object(members) => members.len(),
            Value::Array(items) => items.len(),
            _ => 1,
        };
        let service = within.or(service?);
        let names = Names { name: name?, id: id? };
        names.check(node, self.routes.iter().map(|route| &route.names))?;
        let called = names.name.as_deref().or(names.id.as_deref()).unwrap_or("without a name");
        let place = format!("route {called}");
        let scope = Scope { route: Some(self.routes.len()), ..Scope::default() };
        plugins.extend(own_plugins?.into_iter().map(|plugin| (plugin, scope)));
        let hosts = hosts?;
        self.routes.push(Route {
            names,
            place,
            service,
            paths: paths?,
            methods: methods?,
            has_empty_hosts: has_hosts && hosts.is_empty(),
            hosts,
            headers: headers.as_ref().map_or(0, count),
            others: lists.iter().flatten().filter(|node| count(node) > 0).count(),
            is_expression: expression.is_some(),
            regex_priority: priority?.into(),
            protocols: protocols?,
            controller: None,
        });
        Some(())
    }

    fn consumer<'a>(
        &mut self,
        node: &Node<'a>,
        plugins: &mut Vec<(Node<'a>, Scope)>,
    ) -> Option<()> {
        let mut fields = node.fields()?;
        let id = fields.optional("id", Node::text);
        let username = fields.optional("username", Node::text);
        let custom_id = fields.optional("custom_id", Node::text);
        let secrets = fields.or("jwt_secrets", Vec::new(), nodes);
        let groups = fields.or("acls", Vec::new(), nodes);
        let own_plugins = fields.or("plugins", Vec::new(), nodes);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let names = Names { name: owned(username?), id: owned(id?) };
        names.check(node, self.consumers.iter().map(|consumer| &consumer.names))?;
        let members = node.value().as_object().into_iter().flatten();
        let others = members
            .filter(|(name, value)| !OF_CONSUMERS.contains(&name.as_str()) && !value.is_null());
        let scope = Scope { consumer: Some(self.consumers.len()), ..Scope::default() };
        plugins.extend(own_plugins?.into_iter().map(|plugin| (plugin, scope)));
        self.consumers.push(Consumer {
            names,
            custom_id: owned(custom_id?),
            secrets: secrets?.iter().map(|node| node.value().clone()).collect(),
            groups: groups?.iter().map(|node| node.value().clone()).collect(),
            others: others.map(|(name, _)| name.clone()).collect(),
        });
        Some(())
    }

    /// The consumer that something beside it belongs to.
    fn owner(&mut self, node: &Node<'_>) -> Option<&mut Consumer> {
        let Some(consumer) = node.member("consumer") else {
            return node.reject_as("nothing that says whose it is", "consumer");
        };
        let position = reference(&consumer, self.consumers.iter().map(|it| &it.names))?;
        self.consumers.get_mut(position)
    }

    fn plugin(&mut self, node: &Node<'_>, within: Scope) -> Option<()> {
        let mut fields = node.fields()?;
        let name = fields.required("name", "the name of a plugin", plain);
        let is_enabled = fields.or("enabled", true, Node::flag);
        let service = fields.optional("service", |node| {
            reference(node, self.services.iter().map(|service| &service.names))
        });
        let route = fields.optional("route", |node| {
            reference(node, self.routes.iter().map(|route| &route.names))
        });
        let consumer = fields.optional("consumer", |node| {
            reference(node, self.consumers.iter().map(|consumer| &consumer.names))
        });
        let is_of_group = fields.node_of("consumer_group").is_some();
        let config = fields.node_of("config");
        let ordering = fields.node_of("ordering");
        OF_PLUGINS.iter().for_each(|field| fields.ignored(field));
        let name = name?;
        let settings = match plugins::read(&name, config.as_ref()) {
            // Only the presence of the others is read.
            Some(Settings::Other) => Settings::Other,
            Some(settings) => {
                fields.finish()?;
                if let Some(ordering) = ordering {
                    return ordering.reject_as("an order of its own", "jwt before acl, as always");
                }
                settings
            }
            None => return None,
        };
        let (service, route, consumer) = (service?, route?, consumer?);
        let pairs = [(within.service, service), (within.route, route), (within.consumer, consumer)];
        if pairs.iter().any(|(outer, inner)| outer.is_some() && inner.is_some() && outer != inner) {
            return node.reject_as("a plugin of two", "one that belongs where it stands");
        }
        let scope = Scope {
            service: within.service.or(service),
            route: within.route.or(route),
            consumer: within.consumer.or(consumer),
            is_of_group,
        };
        let decides = !matches!(settings, Settings::Other);
        if is_of_group && !plugins::is_harmless(&name) {
            return node.reject_as(format!("{name} for a group"), "a plugin that decides nothing");
        }
        if decides && (scope.consumer.is_some() || is_of_group) {
            let found = format!("{name} for a consumer, which Kong refuses");
            return node.reject_as(found, "a plugin of a route, a service, or of all");
        }
        if decides && self.plugins.iter().any(|other| other.name == name && other.scope == scope) {
            return node.reject_as(format!("{name} twice in one place"), "one of them");
        }
        self.plugins.push(Plugin { name, is_enabled: is_enabled?, scope, settings });
        Some(())
    }
}
