//! A file for Envoy: the connection manager, its routes, and the clusters.

use serde_json::Value;

use super::{Notes, is_same, own_clusters, tls, unknown, upstreams};
use crate::document::step;
use crate::located::{Located, Step, get, member, names_gatepass};

/// Where the filter is in a chain of filters.
struct Chain<'a> {
    filters: &'a [Value],
    position: usize,
    /// The entry of the filter.
    entry: &'a Value,
    path: &'a str,
    /// The connection manager, if the list is its `http_filters`.
    manager: Option<(&'a Value, &'a str)>,
}

pub(super) fn look(trail: &[Step<'_>], located: &Located, notes: &mut Notes) {
    let Some(root) = trail.first() else { return };
    clusters(root.value, located, notes);
    if let Some(resources) = get(root.value, "static_resources") {
        tls::look(resources, &step(&root.path, "static_resources"), located, notes);
    }
    if let Some(chain) = chain(trail) {
        in_chain(&chain, notes);
        let is_manager = |it: &Value| {
            type_of_message(it).ends_with("HttpConnectionManager")
                || ["stat_prefix", "route_config", "rds"]
                    .iter()
                    .any(|field| get(it, field).is_some())
        };
        if let Some((manager, path)) = chain.manager.filter(|(manager, _)| is_manager(manager)) {
            let name = get(chain.entry, "name").and_then(Value::as_str).unwrap_or_default();
            upgrades(manager, path, name, notes);
            normalisation(manager, path, notes);
            if let Some((field, routes)) =
                manager.as_object().and_then(|it| member(it, "route_config"))
            {
                switched_off(routes, &step(path, field), name, notes);
                own_clusters::look(routes, &step(path, field), located, notes);
            }
            bodies(manager, &chain, located, notes);
            if let Some(resources) = get(root.value, "static_resources") {
                others(resources, &step(&root.path, "static_resources"), manager, notes);
            }
        }
    }
}

/// Its chain of HTTP filters.
fn chain<'a>(trail: &'a [Step<'a>]) -> Option<Chain<'a>> {
    let is_chain = |step: &Step<'_>| {
        let is_named = step.path.ends_with(".http_filters") || step.path.ends_with(".httpFilters");
        is_named && step.value.is_array()
    };
    let at = trail.iter().rposition(is_chain)?;
    let (list, entry) = (trail.get(at)?, trail.get(at.checked_add(1)?)?);
    let filters = list.value.as_array()?;
    let position = filters.iter().position(|it| is_same(it, entry.value))?;
    let manager = at.checked_sub(1).and_then(|above| trail.get(above));
    Some(Chain {
        filters,
        position,
        entry: entry.value,
        path: &entry.path,
        manager: manager.map(|it| (it.value, it.path.as_str())),
    })
}

fn type_of(filter: &Value) -> &str {
    get(filter, "typed_config").map(type_of_message).unwrap_or_default()
}

fn type_of_message(message: &Value) -> &str {
    message.get("@type").and_then(Value::as_str).unwrap_or_default()
}

fn is_router(filter: &Value) -> bool {
    let name = get(filter, "name").and_then(Value::as_str);
    type_of(filter).ends_with(".router.v3.Router") || name == Some("envoy.filters.http.router")
}

fn in_chain(chain: &Chain<'_>, notes: &mut Notes) {
    const TYPES: [&str; 4] = [
        "envoy.extensions.filters.http.wasm.v3.Wasm",
        "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "xds.type.v3.TypedStruct",
        "udpa.type.v1.TypedStruct",
    ];
    let Chain { entry, path, .. } = chain;
    if chain.filters.iter().take(chain.position).any(is_router) {
        let found = "the filter behind the router, where no request comes to it";
        notes.problem(path, found, "a place before envoy.filters.http.router in http_filters");
    }
    if let Some((field, config)) = entry.as_object().and_then(|it| member(it, "typed_config")) {
        let place = step(path, field);
        match config.get("@type").and_then(Value::as_str) {
            None => notes.problem(
                &place,
                "no @type",
                &format!("\"@type\": type.googleapis.com/{}", TYPES[0]),
            ),
            Some(typ) if !TYPES.contains(&typ.rsplit('/').next().unwrap_or_default()) => {
                let accepted = format!("type.googleapis.com/ and one of {}", TYPES.join(", "));
                notes.problem(&step(&place, "@type"), &format!("{typ:?}"), &accepted);
            }
            Some(_) => {}
        }
    }
    let is = |name: &str| get(entry, name).and_then(Value::as_bool) == Some(true);
    if is("disabled") {
        let text = "the filter is off for every route that does not switch it on: requests of the \
                    others pass without it";
        notes.warn(&step(path, "disabled"), text);
    }
    if is("is_optional") {
        let text = "an Envoy that does not know the filter's kind leaves it out, and every request \
                    passes";
        notes.warn(&step(path, "is_optional"), text);
    }
}

/// Upgrades that have a chain of filters of their own.
fn upgrades(manager: &Value, path: &str, name: &str, notes: &mut Notes) {
    let upgrades = manager.as_object().and_then(|it| member(it, "upgrade_configs"));
    let Some((field, Value::Array(upgrades))) = upgrades else { return };
    for (position, upgrade) in upgrades.iter().enumerate() {
        let Some((filters, Value::Array(list))) =
            upgrade.as_object().and_then(|it| member(it, "filters"))
        else {
            continue;
        };
        let is_it = |filter: &Value| get(filter, "name").and_then(Value::as_str) == Some(name);
        if !list.is_empty() && !list.iter().any(is_it) {
            let kind =
                get(upgrade, "upgrade_type").and_then(Value::as_str).unwrap_or("of this kind");
            let text = format!(
                "upgrades ({kind}) pass without the filter: add it to this list, or leave the list \
                 out"
            );
            let place = format!("{}[{position}]", step(path, field));
            notes.warn(&step(&place, filters), text);
        }
    }
}

/// What upstreams may read in another way than the rules.
fn normalisation(manager: &Value, path: &str, notes: &mut Notes) {
    let mut missing = Vec::new();
    if get(manager, "normalize_path").and_then(Value::as_bool) != Some(true) {
        missing.push("normalize_path: true");
    }
    if get(manager, "merge_slashes").and_then(Value::as_bool) != Some(true) {
        missing.push("merge_slashes: true");
    }
    let slashes = get(manager, "path_with_escaped_slashes_action").and_then(Value::as_str);
    if matches!(slashes, None | Some("KEEP_UNCHANGED" | "IMPLEMENTATION_SPECIFIC_DEFAULT")) {
        missing.push("path_with_escaped_slashes_action: REJECT_REQUEST");
    }
    if !missing.is_empty() {
        let text = format!(
            "without {}, clients that write a path in another way (//, /../, %2F) get 400 \
             path_ambiguous",
            missing.join(", ")
        );
        notes.warn(path, text);
    }
}

/// Routes and virtual hosts that switch the filter off.
fn switched_off(value: &Value, path: &str, name: &str, notes: &mut Notes) {
    match value {
        Value::Object(members) => {
            for (field, below) in members {
                let place = step(path, field);
                if !["typed_per_filter_config", "typedPerFilterConfig"].contains(&field.as_str()) {
                    switched_off(below, &place, name, notes);
                    continue;
                }
                let own = below.get(name);
                if own.and_then(|it| it.get("disabled")).and_then(Value::as_bool) == Some(true) {
                    let text = "the filter is off here: requests pass without a token, and with \
                                the headers that the client made up";
                    notes.warn(&step(&step(&place, name), "disabled"), text);
                }
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                switched_off(item, &format!("{path}[{position}]"), name, notes);
            }
        }
        _ => {}
    }
}

/// Other listeners, or chains of one, that send requests on without the filter.
fn others(value: &Value, path: &str, own: &Value, notes: &mut Notes) {
    // What only this Envoy itself or its machine reaches is its own concern.
    let address = get(value, "address").map(Value::to_string).unwrap_or_default();
    let is_inside = get(value, "internal_listener").is_some()
        || ["\"127.", "\"::1\"", "\"localhost\"", "\"pipe\""].iter().any(|it| address.contains(it));
    if is_same(value, own) || is_inside {
        return;
    }
    let filters = get(value, "http_filters").and_then(Value::as_array);
    if let Some(filters) = filters {
        if !filters.iter().any(loads_gatepass) && (get(value, "rds").is_some() || sends_on(value)) {
            let text = "the filter is not in this list: requests that come in here pass without it";
            notes.warn(&step(path, "http_filters"), text);
        }
        return;
    }
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, it)| others(it, &step(path, name), own, notes));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(at, it)| others(it, &format!("{path}[{at}]"), own, notes));
        }
        _ => {}
    }
}

/// Whether an entry of a list of filters is Gatepass, by whatever of its names.
fn loads_gatepass(value: &Value) -> bool {
    match value {
        Value::Object(members) => names_gatepass(members) || members.values().any(loads_gatepass),
        _ => false,
    }
}

/// Whether a route leads to a cluster; others redirect, or answer by themselves. One for a
/// single path is such as that of metrics.
fn sends_on(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let is_single = |matching: &Value| get(matching, "path").is_some();
            let is_broad = members.get("match").is_some_and(|matching| !is_single(matching));
            is_broad && members.contains_key("route") || members.values().any(sends_on)
        }
        Value::Array(items) => items.iter().any(sends_on),
        _ => false,
    }
}

/// Upstreams that are no clusters, where the file has all of them.
fn clusters(root: &Value, located: &Located, notes: &mut Notes) {
    let Some(resources) = get(root, "static_resources") else { return };
    let dynamic = get(root, "dynamic_resources");
    if dynamic.is_some_and(|it| get(it, "cds_config").is_some() || get(it, "ads_config").is_some())
    {
        return;
    }
    let clusters = get(resources, "clusters").and_then(Value::as_array);
    let names = clusters.into_iter().flatten().filter_map(|it| get(it, "name")?.as_str());
    let names: Vec<_> = names.collect();
    for (path, upstream) in upstreams(located) {
        if !names.contains(&upstream) {
            let found = format!("{upstream:?}, which is not a cluster of this file");
            notes.problems.push(unknown(path, upstream, found, &names));
        }
    }
}

/// Endpoints of the gateway that take a body, which only the buffer filter keeps from the
/// upstream until it is there.
fn bodies(manager: &Value, chain: &Chain<'_>, located: &Located, notes: &mut Notes) {
    if located.frame.is_native == Some(true) {
        return;
    }
    let is_buffer = |filter: &&Value| type_of(filter).ends_with(".buffer.v3.Buffer");
    let behind = chain.filters.iter().skip(chain.position.saturating_add(1)).find(is_buffer);
    let is_off = |filter: &Value| get(filter, "disabled").and_then(Value::as_bool) == Some(true);
    if behind.is_some_and(|filter| !is_off(filter)) {
        return;
    }
    let name = behind.and_then(|filter| get(filter, "name")?.as_str());
    for (place, path) in endpoints(located) {
        let is_buffered = name.is_some_and(|name| {
            get(manager, "route_config").is_none_or(|routes| buffers(routes, name, &path))
        });
        if !is_buffered {
            let text = format!(
                "the body of a request comes in after its head went on: give {path} a route with \
                 the buffer filter, which is to stand behind this one"
            );
            notes.warn(&format!("{}{place}", located.path), text);
        }
    }
}

/// Where the gateway takes a body, and the path.
fn endpoints(located: &Located) -> Vec<(&'static str, String)> {
    const USUAL: &str = "/.well-known/gatepass/revocations";
    let config = &located.value;
    let mut found = Vec::new();
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if config.pointer("/revocation/endpoint").is_some_and(|it| !it.is_null()) {
        let path = text("/revocation/endpoint/path").unwrap_or_else(|| USUAL.to_owned());
        found.push((".revocation.endpoint", path));
    }
    found.extend(text("/revocation/logout_path").map(|it| (".revocation.logout_path", it)));
    let logins = config.pointer("/sealed_tokens/logins").and_then(Value::as_array);
    let paths = logins.into_iter().flatten().filter_map(|login| login.get("match")?.get("path"));
    let paths = paths.filter_map(Value::as_str).map(str::to_owned);
    found.extend(paths.map(|it| (".sealed_tokens.logins", it)));
    found.extend(text("/revocation/events/path").map(|it| (".revocation.events.path", it)));
    found
}

/// Whether a route for the path switches the buffer filter on.
fn buffers(value: &Value, name: &str, path: &str) -> bool {
    let is_for_it = |route: &Value| {
        let text = |field: &str| get(get(route, "match")?, field)?.as_str();
        text("path") == Some(path)
            || text("prefix")
                .or(text("path_separated_prefix"))
                .is_some_and(|it| path.starts_with(it))
    };
    let switches = |it: &Value| {
        let own = get(it, "typed_per_filter_config").and_then(|all| all.get(name));
        own.and_then(|own| own.get("buffer")).is_some()
    };
    match value {
        Value::Array(items) => items.iter().any(|item| buffers(item, name, path)),
        Value::Object(members) => {
            let is_route = members.contains_key("match");
            if is_route {
                return is_for_it(value) && switches(value);
            }
            switches(value) || members.values().any(|below| buffers(below, name, path))
        }
        _ => false,
    }
}
