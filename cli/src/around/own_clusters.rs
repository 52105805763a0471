//! Routes by which clients come to the clusters that the gateway calls itself.

use serde_json::Value;

use super::Notes;
use crate::document::step;
use crate::located::{Located, get};

/// What is told to, or asked of, a service by path alone: whoever comes there can do the same.
struct Open<'a> {
    cluster: &'a str,
    /// The path, up to its first part that differs from user to user.
    path: &'a str,
    is_whole: bool,
    /// What the gateway does there, and what clients then can.
    why: &'static str,
}

/// Warns of each route that leads to a cluster of the gateway's services.
pub(super) fn look(routes: &Value, path: &str, located: &Located, notes: &mut Notes) {
    let own: Vec<&str> = own(&located.value).collect();
    let open: Vec<Open<'_>> = open(&located.value).collect();
    in_lists(routes, path, &mut |list, path| {
        for (at, route) in list.iter().enumerate() {
            let Some(action) = get(route, "route") else { continue };
            let before = list.get(..at).unwrap_or_default();
            for (field, cluster) in clusters(action) {
                if !own.contains(&cluster) {
                    continue;
                }
                let is_open = |open: &&Open<'_>| open.cluster == cluster && comes_to(route, open);
                let is_taken = |open: &&Open<'_>| before.iter().any(|it| takes(it, open.path));
                let found = open.iter().filter(is_open).find(|open| !is_taken(open));
                let text = match found {
                    Some(Open { path, why, .. }) => format!(
                        "clients come to {path} of the cluster {cluster:?} here, where the gateway \
                         {why}; lead no route there"
                    ),
                    None => format!(
                        "clients come to the cluster {cluster:?} here, which the gateway calls \
                         itself: what they keep open counts in its circuit breaker, and the \
                         gateway's calls are then not sent (503 for others); make one of its own \
                         for the gateway"
                    ),
                };
                let place = step(&format!("{path}[{at}]"), "route");
                notes.warn(&step(&place, field), text);
            }
        }
    });
}

/// Each list of routes, with its path.
fn in_lists<'a>(value: &'a Value, path: &str, found: &mut impl FnMut(&'a [Value], &str)) {
    match value {
        Value::Object(members) => {
            for (name, below) in members {
                let place = step(path, name);
                match below.as_array().filter(|_| name == "routes") {
                    Some(routes) => found(routes, &place),
                    None => in_lists(below, &place, found),
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                in_lists(item, &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

/// Where a route leads, and the field that says so.
fn clusters(action: &Value) -> Vec<(&'static str, &str)> {
    let one = get(action, "cluster").and_then(Value::as_str).map(|it| ("cluster", it));
    let weighted = get(action, "weighted_clusters").and_then(|it| get(it, "clusters"));
    let weighted = weighted.and_then(Value::as_array).into_iter().flatten();
    let weighted = weighted.filter_map(|it| get(it, "name")?.as_str());
    one.into_iter().chain(weighted.map(|it| ("weighted_clusters", it))).collect()
}

/// The cluster of a service.
fn upstream<'a>(config: &'a Value, service: &str) -> Option<&'a str> {
    config.get("services")?.get(service)?.get("upstream")?.as_str()
}

/// The clusters of services that the gateway asks by itself. Where clients log in is none:
/// these are their requests.
fn own(config: &Value) -> impl Iterator<Item = &str> {
    fn names<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, below) in members {
                    match below.as_str().filter(|_| name == "service" || name == "jwks_service") {
                        Some(service) => found.push(service),
                        None => names(below, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| names(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for part in ["providers", "user_info", "revocation"] {
        config.get(part).iter().for_each(|part| names(part, &mut found));
    }
    found.into_iter().filter_map(|service| upstream(config, service))
}

/// What needs no secret that the gateway sends. Keys are public, and introspection always
/// has the gateway's credentials.
fn open(config: &Value) -> impl Iterator<Item = Open<'_>> {
    const USERS: &str = "asks about users without a secret of its own: whoever may pass by this \
                         route can ask about any of them";
    const FEED: &str = "reads what is revoked without a secret of its own: whoever may pass by \
                        this route can read it too";
    const FORWARD: &str = "tells what is revoked without a secret of its own: whoever may pass by \
                           this route can revoke anybody's tokens";
    let places = [
        ("/user_info", USERS),
        ("/revocation/feed", FEED),
        ("/revocation/allowlist", FEED),
        ("/revocation/events/forward", FORWARD),
    ];
    places.into_iter().filter_map(|(pointer, why)| {
        let place = config.pointer(pointer)?;
        let name = place.get("service")?.as_str()?;
        let has_own = |value: &Value| value.get("headers").is_some_and(|it| !it.is_null());
        let sends_token = place.get("forward_token").and_then(Value::as_bool) == Some(true);
        if sends_token || has_own(place) || has_own(config.get("services")?.get(name)?) {
            return None;
        }
        let whole = place.get("path")?.as_str()?;
        let path = whole.split(['{', '?']).next().unwrap_or_default();
        let is_whole = !whole.contains('{');
        Some(Open { cluster: upstream(config, name)?, path, is_whole, why })
    })
}

/// Whether a route is for every request to a path, or below it.
fn takes(route: &Value, path: &str) -> bool {
    let Some(conditions) = get(route, "match") else { return false };
    let text = |field: &str| get(conditions, field).and_then(Value::as_str);
    let has_others = ["headers", "query_parameters", "runtime_fraction", "grpc", "tls_context"]
        .iter()
        .any(|field| get(conditions, field).is_some());
    let is_below = |prefix: &str| {
        let rest = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !has_others
        && (text("prefix").is_some_and(|prefix| path.starts_with(prefix))
            || text("path_separated_prefix").is_some_and(is_below))
}

/// Whether clients come to the place by the path that the gateway uses.
fn comes_to(route: &Value, open: &Open<'_>) -> bool {
    let action = get(route, "route");
    let rewrites = ["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"];
    let is_rewritten =
        action.is_some_and(|action| rewrites.iter().any(|rewrite| get(action, rewrite).is_some()));
    let path = get(route, "match").and_then(|it| get(it, "path")).and_then(Value::as_str);
    !is_rewritten && (takes(route, open.path) || open.is_whole && path == Some(open.path))
}
