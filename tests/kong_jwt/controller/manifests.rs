//! Clusters at random, and their manifests.

use serde_json::{Map, Value, json};

use super::cluster::{Cluster, HttpRoute, Ingress, Match, Rule, plugin};
use crate::keys::SECRET_32;
use crate::model::kong::groups;
use crate::support::Random;

const PLUGINS: [&str; 7] = ["jwt", "jwt-off", "staff", "eu", "not-staff", "stop", "cors"];

const PATHS: [(&str, &str); 18] = [
    ("Prefix", "/"),
    ("Prefix", "/"),
    ("Prefix", "/a"),
    ("Prefix", "/a/"),
    ("Prefix", "/a/b"),
    ("Prefix", "/b"),
    ("Prefix", "/b/x"),
    ("Prefix", "/a.b"),
    ("Exact", "/a"),
    ("Exact", "/a/b"),
    ("Exact", "/b/"),
    ("Exact", "/a.b"),
    ("Any", "/"),
    ("Any", "/a"),
    ("Any", "/a/b"),
    ("Any", "/b/"),
    ("Any", "/~/a/[bc]"),
    ("Any", "/~/b/x$"),
];

const MATCHES: [(&str, &str); 9] = [
    ("PathPrefix", "/"),
    ("PathPrefix", "/a"),
    ("PathPrefix", "/a/"),
    ("PathPrefix", "/a/b"),
    ("PathPrefix", "/b"),
    ("Exact", "/a"),
    ("Exact", "/b/x"),
    ("Exact", "/a.b"),
    ("RegularExpression", "/a/[bc]"),
];

const HOSTS: [&str; 5] = ["", "", "a.example", "b.example", "*.example"];

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

/// Some plugins, of each kind one.
fn some_plugins(random: &mut Random) -> Vec<&'static str> {
    let mut some: Vec<&'static str> = Vec::new();
    for _ in 0..pick(random, &[0, 0, 1, 1, 2, 3]) {
        let name = pick(random, &PLUGINS);
        let name = if random.below(2) == 0 { "jwt" } else { name };
        if !some.iter().any(|it| plugin(it).0 == plugin(name).0) {
            some.push(name);
        }
    }
    some
}

fn rarely<T>(random: &mut Random, one_in: usize, value: T) -> Option<T> {
    (random.below(one_in) == 0).then_some(value)
}

pub fn cluster(random: &mut Random) -> Cluster {
    let services: Vec<_> = (0..3)
        .map(|_| if random.below(3) == 0 { some_plugins(random) } else { Vec::new() })
        .collect();
    let ingress = |random: &mut Random| Ingress {
        class: Some("kong")
            .map(|class| if random.below(12) == 0 { "nginx" } else { class })
            .filter(|_| random.below(12) > 0),
        plugins: some_plugins(random),
        methods: rarely(random, 4, vec!["GET"]).unwrap_or_default(),
        aliases: rarely(random, 6, vec!["c.example"]).unwrap_or_default(),
        has_mode: random.below(24) == 0,
        priority: pick(random, &[0, 0, 0, 1]),
        paths: (0..1 + random.below(3))
            .map(|_| {
                let (kind, text) = pick(random, &PATHS);
                (pick(random, &HOSTS), kind, text, random.below(3))
            })
            .collect(),
        default_backend: rarely(random, 8, 0),
    };
    let ingresses = (0..random.below(4)).map(|_| ingress(random)).collect();
    let route = |random: &mut Random| HttpRoute {
        gateway: pick(
            random,
            &["own", "own", "own", "own", "own", "own", "own", "elsewhere", "missing"],
        ),
        hosts: (0..random.below(3)).map(|_| pick(random, &HOSTS[2..])).collect(),
        plugins: some_plugins(random),
        methods: rarely(random, 10, vec!["POST"]).unwrap_or_default(),
        rules: (0..1 + random.below(2))
            .map(|_| Rule {
                matches: (0..1 + random.below(2))
                    .map(|_| {
                        let (kind, path) = pick(random, &MATCHES);
                        Match {
                            kind,
                            path,
                            method: rarely(random, 3, "GET"),
                            has_mode: random.below(24) == 0,
                            has_query: random.below(50) == 0,
                        }
                    })
                    .collect(),
                plugin: None,
                service: random.below(3),
            })
            .collect(),
    };
    let routes = (0..random.below(3)).map(|_| route(random)).collect();
    let global = pick(random, &["jwt", "staff", "cors"]);
    let global = rarely(random, 5, global);
    Cluster { services, ingresses, routes, global }
}

impl Cluster {
    pub fn text(&self) -> String {
        let mut manifests: Vec<Value> = Vec::new();
        for name in PLUGINS {
            manifests.push(of_plugin("KongPlugin", name, json!({"namespace": "shop"})));
        }
        if let Some(name) = self.global {
            let metadata = json!({"labels": {"global": "true"},
                "annotations": {"kubernetes.io/ingress.class": "kong"}});
            let mut own = of_plugin("KongClusterPlugin", name, metadata);
            own["metadata"]["name"] = json!("for-all");
            manifests.push(own);
        }
        for (position, plugins) in self.services.iter().enumerate() {
            manifests.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": {
                "name": format!("s{position}"), "namespace": "shop",
                "annotations": {"konghq.com/plugins": plugins.join(",")}}}));
        }
        for (position, ingress) in self.ingresses.iter().enumerate() {
            manifests.push(ingress.to_json(position));
        }
        for class in ["own", "elsewhere"] {
            let controller =
                if class == "own" { "konghq.com/kic-gateway-controller" } else { "istio.io/x" };
            let version = "gateway.networking.k8s.io/v1";
            manifests.push(json!({"apiVersion": version, "kind": "GatewayClass",
                "metadata": {"name": class}, "spec": {"controllerName": controller}}));
            manifests.push(json!({"apiVersion": version, "kind": "Gateway",
                "metadata": {"name": class, "namespace": "shop"},
                "spec": {"gatewayClassName": class, "listeners": [{"name": "http"}]}}));
        }
        for (position, route) in self.routes.iter().enumerate() {
            manifests.push(route.to_json(position));
        }
        manifests.extend(["alice", "bob", "carol"].into_iter().flat_map(consumer));
        let texts: Vec<_> = manifests.iter().map(Value::to_string).collect();
        texts.join("\n---\n")
    }
}

fn of_plugin(kind: &str, name: &str, mut metadata: Value) -> Value {
    let (plugin, config, is_enabled) = plugin(name);
    metadata["name"] = json!(name);
    json!({"apiVersion": "configuration.konghq.com/v1", "kind": kind, "metadata": metadata,
        "plugin": plugin, "config": config, "disabled": !is_enabled})
}

fn consumer(name: &str) -> Vec<Value> {
    let secret = |called: String, label: &str, fields: Value| {
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": fields, "metadata": {
            "name": called, "namespace": "shop", "labels": {"konghq.com/credential": label}}})
    };
    let fields = json!({"key": format!("key-{name}"), "secret": SECRET_32});
    let mut made = vec![secret(format!("{name}-jwt"), "jwt", fields)];
    let mut credentials = vec![format!("{name}-jwt")];
    for group in groups(name) {
        made.push(secret(format!("{name}-{group}"), "acl", json!({"group": group})));
        credentials.push(format!("{name}-{group}"));
    }
    made.push(json!({"apiVersion": "configuration.konghq.com/v1", "kind": "KongConsumer",
        "metadata": {"name": name, "namespace": "shop",
            "annotations": {"kubernetes.io/ingress.class": "kong"}},
        "username": name, "credentials": credentials}));
    made
}

fn annotations(plugins: &[&str], methods: &[&str]) -> Map<String, Value> {
    let mut made = Map::new();
    for (name, list) in [("konghq.com/plugins", plugins), ("konghq.com/methods", methods)] {
        if !list.is_empty() {
            made.insert(name.to_owned(), json!(list.join(", ")));
        }
    }
    made.insert("konghq.com/strip-path".to_owned(), json!("true"));
    made
}

impl Ingress {
    fn to_json(&self, position: usize) -> Value {
        let mut annotations = annotations(&self.plugins, &self.methods);
        let mut add = |name: &str, value: &str| annotations.insert(name.to_owned(), json!(value));
        if !self.aliases.is_empty() {
            add("konghq.com/host-aliases", &self.aliases.join(","));
        }
        if self.has_mode {
            add("konghq.com/headers.x-mode", "one");
        }
        if self.priority > 0 {
            add("konghq.com/regex-priority", &self.priority.to_string());
        }
        if let (Some(class), true) = (self.class, position.is_multiple_of(2)) {
            add("kubernetes.io/ingress.class", class);
        }
        let rules = self.paths.iter().map(|(host, kind, text, service)| {
            let kind = if *kind == "Any" { "ImplementationSpecific" } else { kind };
            let backend =
                json!({"service": {"name": format!("s{service}"), "port": {"number": 80}}});
            let paths = json!([{"path": text, "pathType": kind, "backend": backend}]);
            let mut rule = json!({"http": {"paths": paths}});
            if !host.is_empty() {
                rule["host"] = json!(host);
            }
            rule
        });
        let mut spec = json!({"rules": rules.collect::<Vec<_>>()});
        if let (Some(class), true) = (self.class, !position.is_multiple_of(2)) {
            spec["ingressClassName"] = json!(class);
        }
        if let Some(service) = self.default_backend {
            spec["defaultBackend"] = json!({"service": {"name": format!("s{service}")}});
        }
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec, "metadata":
            {"name": format!("i{position}"), "namespace": "shop", "annotations": annotations}})
    }
}

impl HttpRoute {
    fn to_json(&self, position: usize) -> Value {
        let rules = self.rules.iter().map(|rule| {
            let matches = rule.matches.iter().map(|one| {
                let mut made = json!({"path": {"type": one.kind, "value": one.path}});
                if let Some(method) = one.method {
                    made["method"] = json!(method);
                }
                if one.has_mode {
                    made["headers"] = json!([{"name": "X-Mode", "value": "one"}]);
                }
                if one.has_query {
                    made["queryParams"] = json!([{"name": "x", "value": "1"}]);
                }
                made
            });
            let extension = |name: &&str| {
                json!({"type": "ExtensionRef", "extensionRef":
                    {"group": "configuration.konghq.com", "kind": "KongPlugin", "name": name}})
            };
            json!({"matches": matches.collect::<Vec<_>>(),
                "filters": rule.plugin.iter().map(extension).collect::<Vec<_>>(),
                "backendRefs": [{"name": format!("s{}", rule.service), "port": 80}]})
        });
        let mut spec = json!({"parentRefs": [{"name": self.gateway}],
            "rules": rules.collect::<Vec<_>>()});
        if !self.hosts.is_empty() {
            spec["hostnames"] = json!(self.hosts);
        }
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "spec": spec,
            "metadata": {"name": format!("h{position}"), "namespace": "shop",
                "annotations": annotations(&self.plugins, &self.methods)}})
    }
}
