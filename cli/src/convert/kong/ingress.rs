//! Routes of Ingresses (internal/dataplane/translator/subtranslator/ingress.go of the
//! controller's sources).

use serde_json::{Map, Value, json};

use super::annotations::{Annotated, plugins};
use super::controller::{Doubts, Made, OfIngress, Order};
use super::metadata::{annotation, namespace};
use crate::convert::selection::full_name;

/// Whether a manifest is an Ingress.
pub(super) fn is_own(manifest: &Value) -> bool {
    let text = |name: &str| manifest.get(name).and_then(Value::as_str).unwrap_or_default();
    let version = text("apiVersion");
    text("kind") == "Ingress"
        && (version.starts_with("networking.k8s.io/") || version.starts_with("extensions/"))
}

/// The class of the controller that reads an Ingress.
pub(super) fn class(manifest: &Value) -> Option<&str> {
    let named = manifest.pointer("/spec/ingressClassName").and_then(Value::as_str);
    let named = named.or_else(|| annotation(manifest, "kubernetes.io/ingress.class"));
    named.filter(|class| !class.is_empty())
}

/// A path as the controller writes it.
struct Path {
    /// For the router: text, or regular expressions that begin with `~`.
    written: Vec<String>,
    /// How long it is, where the controller ranks by itself.
    length: usize,
    is_regex: bool,
}

/// Paths of one host that lead to one port of a Service: one route.
struct Group {
    host: String,
    service: String,
    port: String,
    paths: Vec<Path>,
    doubts: Doubts,
}

/// The routes of an Ingress.
pub(super) fn routes(manifest: &Value) -> Vec<Made> {
    let annotated = Annotated::of(manifest);
    let groups = groups(manifest);
    let mut routes: Vec<_> =
        groups.into_iter().map(|group| made(manifest, &annotated, group)).collect();
    routes.extend(default_backend(manifest, &annotated));
    routes
}

fn groups(manifest: &Value) -> Vec<Group> {
    let prefix = annotation(manifest, "konghq.com/regex-prefix").unwrap_or("/~");
    let mut groups: Vec<Group> = Vec::new();
    let rules = manifest.pointer("/spec/rules").and_then(Value::as_array);
    for rule in rules.into_iter().flatten() {
        let host = rule.get("host").and_then(Value::as_str).unwrap_or_default();
        let paths = rule.pointer("/http/paths").and_then(Value::as_array);
        for item in paths.into_iter().flatten() {
            let mut doubts = Doubts::default();
            let service = item.pointer("/backend/service/name").and_then(Value::as_str);
            if service.is_none() {
                doubts.add("it leads to something else than a Service");
            }
            let port = item.pointer("/backend/service/port").map(Value::to_string);
            let (service, port) = (service.unwrap_or_default(), port.unwrap_or_default());
            let path = path(item, prefix, &mut doubts);
            let is_same =
                |it: &&mut Group| it.host == host && it.service == service && it.port == port;
            let group = match groups.iter_mut().find(is_same) {
                Some(group) => group,
                None => {
                    groups.push(Group {
                        host: host.to_owned(),
                        service: service.to_owned(),
                        port,
                        paths: Vec::new(),
                        doubts: Doubts::default(),
                    });
                    let Some(group) = groups.last_mut() else { continue };
                    group
                }
            };
            group.paths.push(path);
            group.doubts.extend(doubts);
        }
    }
    groups
}

fn path(item: &Value, prefix: &str, doubts: &mut Doubts) -> Path {
    let text = item.get("path").filter(|path| !path.is_null());
    let text = text.map_or(Some(""), Value::as_str);
    let mut path = text.unwrap_or_default().to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    if path.is_empty() {
        path.push('/');
    }
    let kind = item.get("pathType").and_then(Value::as_str).unwrap_or("ImplementationSpecific");
    let is_expression =
        kind == "ImplementationSpecific" && !prefix.is_empty() && path.starts_with(prefix);
    let inner = path.trim_start_matches('/');
    let base = inner.trim_end_matches('/');
    let (mut written, length, is_regex) = match kind {
        "Prefix" if base.is_empty() => (vec!["/".to_owned()], 1, true),
        "Prefix" => {
            let written = vec![format!("~/{base}$"), format!("/{base}/")];
            (written, base.len().saturating_add(2), true)
        }
        "Exact" => (vec![format!("~/{inner}$")], inner.len().saturating_add(1), true),
        "ImplementationSpecific" if is_expression => {
            let expression = path.strip_prefix(prefix).unwrap_or_default();
            (vec![format!("~{expression}")], expression.len(), true)
        }
        "ImplementationSpecific" => (vec![path.clone()], path.len(), false),
        other => {
            doubts.about_requests(format_args!("its pathType {} is not known", Value::from(other)));
            (vec!["/".to_owned()], 0, false)
        }
    };
    let is_usual = |c: char| c.is_ascii_alphanumeric() || ".-_~/%".contains(c);
    let is_certain = is_expression
        || text.is_some()
            && path.starts_with('/')
            && !prefix.is_empty()
            && !path.starts_with(prefix)
            && path.chars().all(is_usual);
    if !is_certain {
        let text = "may be a regular expression for its controller";
        doubts.about_requests(format_args!("its path {} {text}", Value::from(path.as_str())));
        let expressions: Vec<_> = written
            .iter()
            .filter(|path| !path.starts_with('~'))
            .flat_map(|path| [Some(path.as_str()), path.strip_prefix(prefix)])
            .flatten()
            .map(|path| format!("~{path}"))
            .collect();
        written.extend(expressions);
    }
    Path { written, length, is_regex }
}

fn made(manifest: &Value, annotated: &Annotated, group: Group) -> Made {
    let Group { host, service, paths, doubts: of_paths, .. } = group;
    let mut doubts = annotated.doubts.clone();
    doubts.extend(of_paths);
    let named = [&host].into_iter().filter(|host| !host.is_empty());
    let mut hosts: Vec<String> = named.cloned().collect();
    for alias in &annotated.host_aliases {
        if !hosts.contains(alias) {
            hosts.push(alias.clone());
        }
    }
    let order = order(&paths, &hosts, annotated);
    let mut conditions = annotated.conditions();
    let written: Vec<_> = paths.into_iter().flat_map(|path| path.written).collect();
    conditions.insert("paths".to_owned(), json!(written));
    if !hosts.is_empty() {
        conditions.insert("hosts".to_owned(), json!(hosts));
    }
    let space = namespace(manifest);
    let at = if host.is_empty() { String::new() } else { format!(" {host}") };
    Made {
        place: format!("Ingress {}{at} to {service}", full_name(manifest)),
        namespace: space.to_owned(),
        conditions,
        services: vec![(space.to_owned(), service)],
        plugins: plugins(manifest),
        doubts,
        order: Order::Ingress(order),
    }
}

fn order(paths: &[Path], hosts: &[String], annotated: &Annotated) -> OfIngress {
    let headers = annotated.headers.len();
    let fields = [true, !hosts.is_empty(), headers > 0, !annotated.methods.is_empty()];
    (
        fields.into_iter().filter(|it| *it).count(),
        headers,
        !hosts.is_empty() && !hosts.iter().any(|host| host.starts_with('*')),
        paths.iter().any(|path| path.is_regex),
        paths.iter().map(|path| path.length).max().unwrap_or_default(),
    )
}

/// The route for all that no other one is for.
fn default_backend(manifest: &Value, annotated: &Annotated) -> Option<Made> {
    let backend = manifest.pointer("/spec/defaultBackend")?;
    let service = backend.pointer("/service/name").and_then(Value::as_str);
    let mut doubts = annotated.doubts.clone();
    if service.is_none() {
        doubts.add("it leads to something else than a Service");
    }
    if annotated.has_conditions() {
        doubts.about_requests("whether its annotations hold for its default backend is not known");
    }
    let space = namespace(manifest);
    let mut conditions = Map::new();
    conditions.insert("paths".to_owned(), json!(["/"]));
    Some(Made {
        place: format!("Ingress {} default backend", full_name(manifest)),
        namespace: space.to_owned(),
        conditions,
        services: vec![(space.to_owned(), service.unwrap_or_default().to_owned())],
        plugins: plugins(manifest),
        doubts,
        order: Order::Last,
    })
}
