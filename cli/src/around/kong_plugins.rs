//! The other plugins of a kong.yml that run for the same requests.

use serde_json::Value;

use super::{Notes, is_same};
use crate::arguments::HostKind;
use crate::document::step;
use crate::located::{Located, Step};

/// Plugins that take a token, or set the consumer before Gatepass does.
const OF_TOKENS: [&str; 6] =
    ["jwt", "jwt-keycloak", "jwt-signer", "mtls-auth", "oauth2", "openid-connect"];

/// Plugins with another credential, that set its consumer after the plugin Gatepass.
const OF_OTHERS: [&str; 4] = ["basic-auth", "hmac-auth", "key-auth", "ldap-auth"];

/// Those of them that with `anonymous` deny nobody, and leave whom Gatepass has
/// authenticated alone: as their source says.
const WITH_ANONYMOUS: [&str; 6] =
    ["basic-auth", "hmac-auth", "jwt", "key-auth", "ldap-auth", "oauth2"];

/// Something of the file, and what it belongs to: `None` for everything.
#[derive(Clone)]
struct Placed<'a> {
    path: String,
    value: &'a Value,
    service: Option<&'a Value>,
    route: Option<&'a Value>,
}

/// Warns of plugins whose consumer Gatepass replaces, or that do not find its consumers.
pub(super) fn look(trail: &[Step<'_>], located: &Located, notes: &mut Notes) {
    let Some(Step { value: document, .. }) = trail.first() else { return };
    if document.get("_format_version").is_none() {
        return;
    }
    let services = listed(document, "$", "services");
    let routes = routes(document, &services);
    let plugins = of_all(document, &services, &routes, "plugins");
    for plugin in plugins.iter().filter(|it| is_enabled(it.value)) {
        let name = text(plugin.value, "name");
        if !is_harmful(plugin.value, name, located) {
            continue;
        }
        let is_beside = |route: &Placed<'_>| {
            let own = chosen(&plugins, name, route);
            own.is_some_and(|own| is_same(own.value, plugin.value))
                && is_here(trail, located.host, (document, &services, &routes, &plugins), route)
        };
        let beside: Vec<_> = routes.iter().filter(|it| is_beside(it)).collect();
        if !beside.is_empty() {
            notes.warn(&plugin.path, text_of(name, located, &places(&beside)));
        }
    }
}

/// Whether it shuts out whom Gatepass lets in, or names others to the services.
fn is_harmful(plugin: &Value, name: &str, located: &Located) -> bool {
    let anonymous = plugin.pointer("/config/anonymous").and_then(Value::as_str);
    let is_open = anonymous.is_some_and(|it| !it.is_empty()) && WITH_ANONYMOUS.contains(&name);
    match name {
        "acl" => !knows_groups(plugin, located),
        // In shadow mode they go on deciding.
        _ if is_shadow(located) || is_open => false,
        // What they set, the filter replaces.
        name if OF_OTHERS.contains(&name) => located.host != HostKind::KongFilter,
        name => OF_TOKENS.contains(&name),
    }
}

fn is_shadow(located: &Located) -> bool {
    located.value.get("mode").is_some_and(|mode| mode == "shadow")
}

fn text_of(name: &str, located: &Located, places: &str) -> String {
    match (name, located.host) {
        ("acl", HostKind::KongFilter) => format!(
            "acl runs before the filter on {places}, and finds no consumer: it rejects everyone. \
             Remove it from there, and test groups in rules (requires.groups_any)"
        ),
        ("acl", _) => {
            let text = "and finds no groups of consumers that Kong does not have: allow rejects \
                        everyone, and deny nobody";
            let instead = if is_shadow(located) {
                "Give entries the id that their consumers have in Kong"
            } else {
                "Remove it from there, and test groups in rules (requires.groups_any), or set \
                 always_use_authenticated_groups: true"
            };
            format!("acl is beside Gatepass on {places}, {text}. {instead}")
        }
        (name, _) if OF_OTHERS.contains(&name) => format!(
            "{name} is beside Gatepass on {places}, and asks for a credential of its own: \
             X-Consumer-ID and -Username are then its consumer's, the groups and the identity \
             token Gatepass's. Remove it from there, or give it an anonymous consumer: then it \
             leaves requests with a token alone"
        ),
        (name, _) => format!(
            "{name} is beside Gatepass on {places}: both ask for a credential, and only one of them \
             says who the consumer is. Remove it from there"
        ),
    }
}

/// Whether acl finds the groups of Gatepass's consumers: the plugin gives them to it, or the
/// consumers are Kong's own.
fn knows_groups(acl: &Value, located: &Located) -> bool {
    let consumers = located.value.get("consumers");
    let entries = consumers.and_then(|it| it.get("entries")).and_then(Value::as_array);
    let are_kongs = consumers.is_some_and(|it| it.get("kong").is_some())
        || entries.is_some_and(|all| {
            !all.is_empty() && all.iter().all(|entry| entry.get("id").is_some())
        });
    let takes_groups = acl.pointer("/config/always_use_authenticated_groups");
    located.host != HostKind::KongFilter && (are_kongs || takes_groups == Some(&Value::Bool(true)))
}

/// Whether the Gatepass of the trail is what runs for a route.
fn is_here<'a>(
    trail: &[Step<'a>],
    host: HostKind,
    (document, services, routes, plugins): (&'a Value, &[Placed<'a>], &[Placed<'a>], &[Placed<'a>]),
    route: &Placed<'a>,
) -> bool {
    if host == HostKind::KongFilter {
        let chains = of_all(document, services, routes, "filter_chains");
        let is_own = |it: &&Placed<'_>| trail.iter().any(|step| is_same(step.value, it.value));
        return chains.iter().find(is_own).is_some_and(|it| rank(it, route).is_some());
    }
    let Some(own) = trail.last() else { return false };
    let found = chosen(plugins, text(own.value, "name"), route);
    found.is_some_and(|it| is_same(it.value, own.value))
}

/// The instance of a plugin that runs for a route: the most specific one.
fn chosen<'p, 'a>(
    plugins: &'p [Placed<'a>],
    name: &str,
    route: &Placed<'a>,
) -> Option<&'p Placed<'a>> {
    let own = plugins.iter().filter(|it| text(it.value, "name") == name && is_enabled(it.value));
    own.filter(|it| rank(it, route).is_some()).max_by_key(|it| rank(it, route))
}

/// How specific something is for a route; `None` if it is not for it.
fn rank(it: &Placed<'_>, route: &Placed<'_>) -> Option<(bool, bool)> {
    let is_for = |own: Option<&Value>, others: Option<&Value>| match (own, others) {
        (None, _) => true,
        (Some(own), Some(others)) => is_same(own, others),
        (Some(_), None) => false,
    };
    (is_for(it.route, route.route) && is_for(it.service, route.service))
        .then_some((it.route.is_some(), it.service.is_some()))
}

/// The routes, and one for requests of routes in other files.
fn routes<'a>(document: &'a Value, services: &[Placed<'a>]) -> Vec<Placed<'a>> {
    let nested = services.iter().flat_map(|service| {
        let own = listed(service.value, &service.path, "routes").into_iter();
        own.map(|route| Placed { service: Some(service.value), ..route })
    });
    let others = listed(document, "$", "routes").into_iter().map(|route| {
        let service = referred(route.value.get("service"), services);
        Placed { service, ..route }
    });
    let routes = nested.chain(others).map(|it| Placed { route: Some(it.value), ..it });
    let mut routes: Vec<_> = routes.collect();
    routes.push(Placed { path: "$".to_owned(), value: document, service: None, route: None });
    routes
}

/// Plugins or chains of filters: of the file, of services and of routes.
fn of_all<'a>(
    document: &'a Value,
    services: &[Placed<'a>],
    routes: &[Placed<'a>],
    field: &str,
) -> Vec<Placed<'a>> {
    let mut all: Vec<_> = listed(document, "$", field)
        .into_iter()
        .map(|it| Placed {
            service: referred(it.value.get("service"), services),
            route: referred(it.value.get("route"), routes),
            ..it
        })
        .collect();
    for service in services {
        let own = listed(service.value, &service.path, field).into_iter();
        all.extend(own.map(|it| Placed { service: Some(service.value), ..it }));
    }
    for route in routes.iter().filter(|it| it.route.is_some()) {
        let own = listed(route.value, &route.path, field).into_iter();
        all.extend(own.map(|it| Placed { route: route.route, ..it }));
    }
    all
}

fn listed<'a>(value: &'a Value, path: &str, field: &str) -> Vec<Placed<'a>> {
    let items = value.get(field).and_then(Value::as_array).into_iter().flatten();
    let path = step(path, field);
    let placed = items.enumerate().map(|(at, value)| Placed {
        path: format!("{path}[{at}]"),
        value,
        service: None,
        route: None,
    });
    placed.collect()
}

/// What a reference is to, by name or id, as text or in an object. One to something in
/// another file is to nothing that is here.
fn referred<'a>(reference: Option<&'a Value>, known: &[Placed<'a>]) -> Option<&'a Value> {
    let reference = reference.filter(|it| !it.is_null())?;
    let member = |name: &str| reference.get(name).and_then(Value::as_str);
    let called = reference.as_str().or_else(|| ["id", "name"].into_iter().find_map(member));
    let is_it = |it: &&Placed<'_>| {
        ["id", "name"].iter().any(|name| called == it.value.get(*name).and_then(Value::as_str))
    };
    let found = known.iter().find(|it| called.is_some() && is_it(it));
    Some(found.map_or(reference, |it| it.value))
}

/// Whether a plugin runs, and for every consumer.
fn is_enabled(plugin: &Value) -> bool {
    let is_of_some = ["consumer", "consumer_group"].iter().any(|it| plugin.get(*it).is_some());
    plugin.get("enabled") != Some(&Value::Bool(false)) && !is_of_some
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn places(routes: &[&Placed<'_>]) -> String {
    const SHOWN: usize = 3;
    let own = routes.iter().filter(|it| it.route.is_some());
    let names = own.map(|route| match text(route.value, "name") {
        "" => route.path.clone(),
        name => name.to_owned(),
    });
    let names: Vec<_> = names.collect();
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (names.len(), names.len().saturating_sub(SHOWN)) {
        (0, _) => "routes of other files".to_owned(),
        (1, _) => format!("route {shown}"),
        (_, 0) => format!("routes {shown}"),
        (_, more) => format!("routes {shown} and {more} more"),
    }
}
