//! Routes of HTTPRoutes (internal/dataplane/translator/subtranslator/httproute.go of the
//! controller's sources).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::annotations::{Annotated, plugins};
use super::controller::{Doubts, Made, OfHttpRoute, Order};
use super::metadata::{kind, name, namespace, texts};
use crate::convert::selection::full_name;

/// Whether a manifest is of the Gateway API, and of this kind.
pub(super) fn is_of(manifest: &Value, wanted: &str) -> bool {
    let version = manifest.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    version.starts_with("gateway.networking.k8s.io/") && kind(manifest) == wanted
}

/// Whether Kong has a route of the Gateway API, and why that is not certain.
pub(super) enum Attached {
    /// To Gateways of other controllers only.
    Elsewhere,
    /// To Gateways of these classes.
    Here(BTreeSet<String>, Doubts),
}

/// To whose Gateways a route belongs.
pub(super) fn attached(route: &Value, manifests: &[Value]) -> Attached {
    let parents = route.pointer("/spec/parentRefs").and_then(Value::as_array);
    let mut doubts = Doubts::default();
    let mut classes = BTreeSet::new();
    let mut is_elsewhere = false;
    for parent in parents.into_iter().flatten() {
        let text = |field: &str| parent.get(field).and_then(Value::as_str);
        let space = text("namespace").unwrap_or_else(|| namespace(route));
        let called = text("name").unwrap_or_default();
        let is_it =
            |it: &&Value| is_of(it, "Gateway") && namespace(it) == space && name(it) == called;
        let Some(gateway) = manifests.iter().find(is_it) else {
            doubts.add(format_args!("its Gateway {space}/{called} is not in the file"));
            continue;
        };
        let class = gateway.pointer("/spec/gatewayClassName").and_then(Value::as_str);
        match is_of_kong(class.unwrap_or_default(), manifests) {
            Some(true) => {
                classes.extend(class.map(str::to_owned));
                listeners(route, parent, gateway, &mut doubts);
            }
            Some(false) => is_elsewhere = true,
            None => doubts.add("the GatewayClass of its Gateway is not in the file"),
        }
    }
    if is_elsewhere && classes.is_empty() && doubts.texts.is_empty() {
        return Attached::Elsewhere;
    }
    if classes.is_empty() && doubts.texts.is_empty() {
        doubts.add("it names no Gateway");
    }
    Attached::Here(classes, doubts)
}

/// Whether a class of Gateways is Kong's; `None` if that is not known.
fn is_of_kong(class: &str, manifests: &[Value]) -> Option<bool> {
    let is_it = |it: &&Value| is_of(it, "GatewayClass") && name(it) == class;
    let found = manifests.iter().find(is_it).map(|it| it.pointer("/spec/controllerName"));
    match found {
        Some(controller) => {
            let controller = controller.and_then(Value::as_str).unwrap_or_default();
            Some(controller.starts_with("konghq.com/"))
        }
        None if class == "kong" => Some(true),
        None => None,
    }
}

/// Listeners that may not take the route, or only some of its hosts.
fn listeners(route: &Value, parent: &Value, gateway: &Value, doubts: &mut Doubts) {
    let wanted = parent.get("sectionName").and_then(Value::as_str);
    let list = gateway.pointer("/spec/listeners").and_then(Value::as_array);
    let is_own = |it: &&Value| wanted.is_none_or(|wanted| it.get("name") == Some(&json!(wanted)));
    let own: Vec<_> = list.into_iter().flatten().filter(is_own).collect();
    let is_same = namespace(route) == namespace(gateway);
    let is_open = |it: &&Value| {
        let from = it.pointer("/allowedRoutes/namespaces/from").and_then(Value::as_str);
        match from {
            None | Some("Same") => is_same,
            from => from == Some("All"),
        }
    };
    let takes_kinds = |it: &&Value| it.pointer("/allowedRoutes/kinds").is_some();
    if own.is_empty() || !own.iter().all(is_open) || own.iter().any(takes_kinds) {
        doubts.add("its Gateway may have no listener that takes it");
    }
    if own.iter().any(|it| it.get("hostname").is_some()) {
        doubts.add("its Gateway takes only some hosts");
    }
}

/// The routes of an HTTPRoute.
pub(super) fn routes(manifest: &Value, of_gateway: &Doubts) -> Vec<Made> {
    let annotated = Annotated::of(manifest);
    let mut of_all = of_gateway.clone();
    of_all.extend(annotated.doubts.clone());
    if annotated.has_conditions() {
        let text = "not every controller reads its annotations about methods, hosts, headers or \
                    priority";
        of_all.about_requests(text);
    }
    let rules = manifest.pointer("/spec/rules").and_then(Value::as_array);
    let rules: Vec<_> = rules.into_iter().flatten().collect();
    let matches = |rule: &Value| {
        let list = rule.get("matches").and_then(Value::as_array);
        // As Kubernetes puts it in.
        list.filter(|it| !it.is_empty()).cloned().unwrap_or_else(|| vec![json!({})])
    };
    let has_query = |it: &Value| {
        it.get("queryParams").is_some_and(|it| it.as_array().is_none_or(|list| !list.is_empty()))
    };
    if rules.iter().any(|rule| matches(rule).iter().any(has_query)) {
        of_all.add("a rule cannot ask its queryParams, with which many controllers leave it out");
    }
    let mut routes = Vec::new();
    for (position, rule) in rules.iter().enumerate() {
        let mut of_rule = of_all.clone();
        let mut named = plugins(manifest);
        filters(rule, &mut named, &mut of_rule);
        let services = services(rule, manifest, &mut of_rule);
        for matching in matches(rule) {
            let mut doubts = of_rule.clone();
            let (conditions, order) = conditions(manifest, &matching, &annotated, &mut doubts);
            routes.push(Made {
                place: format!("HTTPRoute {} rules[{position}]", full_name(manifest)),
                namespace: namespace(manifest).to_owned(),
                conditions,
                services: services.clone(),
                plugins: named.clone(),
                doubts,
                order,
            });
        }
    }
    routes
}

/// Filters name plugins, and what is no filter of these may refuse requests.
fn filters(rule: &Value, named: &mut Vec<String>, doubts: &mut Doubts) {
    const HARMLESS: [&str; 4] =
        ["RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite", "RequestRedirect"];
    let list = rule.get("filters").and_then(Value::as_array);
    for filter in list.into_iter().flatten() {
        let kind = filter.get("type").and_then(Value::as_str).unwrap_or_default();
        let plugin = filter.pointer("/extensionRef/name").and_then(Value::as_str);
        match plugin.filter(|_| kind == "ExtensionRef") {
            Some(plugin) => named.push(plugin.to_owned()),
            None if HARMLESS.contains(&kind) => {}
            None => doubts.add(format_args!("its filter {} is not known", Value::from(kind))),
        }
    }
}

fn services(rule: &Value, manifest: &Value, doubts: &mut Doubts) -> Vec<(String, String)> {
    let own = namespace(manifest);
    let list = rule.get("backendRefs").and_then(Value::as_array);
    let mut services = Vec::new();
    for backend in list.into_iter().flatten() {
        let text = |field: &str| backend.get(field).and_then(Value::as_str);
        if text("kind").is_some_and(|kind| kind != "Service") {
            doubts.add("it leads to something else than a Service");
        }
        if text("namespace").is_some_and(|space| space != own) {
            doubts.add("it leads to a Service of another namespace");
        }
        services.push((own.to_owned(), text("name").unwrap_or_default().to_owned()));
    }
    services
}

fn conditions(
    manifest: &Value,
    matching: &Value,
    annotated: &Annotated,
    doubts: &mut Doubts,
) -> (Map<String, Value>, Order) {
    const KNOWN: [&str; 4] = ["path", "method", "headers", "queryParams"];
    let members = matching.as_object().into_iter().flatten();
    for (field, _) in members.filter(|(field, _)| !KNOWN.contains(&field.as_str())) {
        doubts.about_requests(format_args!("its match has {field}, which is not known"));
    }
    let (paths, kind, length) = path(matching, doubts);
    let hosts: Vec<_> = texts(manifest.pointer("/spec/hostnames")).map(str::to_owned).collect();
    let method = matching.get("method").and_then(Value::as_str);
    let list = matching.get("headers").and_then(Value::as_array);
    let mut headers = Map::new();
    for header in list.into_iter().flatten() {
        let called = header.get("name").and_then(Value::as_str).unwrap_or_default();
        let value = header.get("value").and_then(Value::as_str).unwrap_or_default();
        if headers.insert(called.to_ascii_lowercase(), json!([value])).is_some() {
            doubts.about_requests("its match has a header twice");
        }
    }
    let order = OfHttpRoute {
        hosts: hosts.clone(),
        kind,
        length,
        has_method: method.is_some(),
        headers: headers.len(),
    };
    let mut conditions = annotated.conditions();
    let fields = [
        ("paths", json!(paths), false),
        ("hosts", json!(hosts), hosts.is_empty()),
        ("methods", json!([method]), method.is_none()),
        ("headers", Value::Object(headers.clone()), headers.is_empty()),
    ];
    let said = fields.into_iter().filter(|(_, _, is_empty)| !is_empty);
    conditions.extend(said.map(|(name, value, _)| (name.to_owned(), value)));
    (conditions, Order::HttpRoute(order))
}

/// The paths of a match as the router has them, and their rank for the controller.
fn path(matching: &Value, doubts: &mut Doubts) -> (Vec<String>, u8, usize) {
    let text = |field: &str| matching.pointer(&format!("/path/{field}")).and_then(Value::as_str);
    let (kind, value) = (text("type").unwrap_or("PathPrefix"), text("value").unwrap_or("/"));
    let length = value.len();
    let with_slash = if value.ends_with('/') { value.to_owned() } else { format!("{value}/") };
    let is_usual = |c: char| c.is_ascii_alphanumeric() || ".-_~/%".contains(c);
    let is_regex = kind == "RegularExpression";
    let is_plain = value.starts_with('/') && !value.contains("//") && value.chars().all(is_usual);
    if !is_regex && !is_plain || kind == "PathPrefix" && value != "/" && value.ends_with('/') {
        let text = "is read by controllers in several ways";
        doubts.about_requests(format_args!("its path {} {text}", Value::from(value)));
    }
    match kind {
        "Exact" => (vec![format!("~{value}$")], 2, length),
        "RegularExpression" => (vec![format!("~{value}")], 1, length),
        "PathPrefix" if value == "/" => (vec!["~/$".to_owned(), "/".to_owned()], 0, length),
        "PathPrefix" => {
            let base = value.trim_end_matches('/');
            (vec![format!("~{base}$"), with_slash], 0, length)
        }
        other => {
            let name = Value::from(other);
            doubts.about_requests(format_args!("its path is of the type {name}, not known"));
            (vec!["/".to_owned()], 0, 0)
        }
    }
}
