//! Kong's ingress controller, small: which routes it makes of manifests, and which one
//! a request takes, by the controller's documentation and sources (3.x), for both flavours of
//! the router that it writes for.

use serde_json::{Value, json};

use crate::model::kong::{Request, Token, groups};

/// What is in the file.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub services: Vec<Vec<&'static str>>,
    pub ingresses: Vec<Ingress>,
    pub routes: Vec<HttpRoute>,
    /// A plugin for all routes.
    pub global: Option<&'static str>,
}

#[derive(Clone, Debug, Default)]
pub struct Ingress {
    pub class: Option<&'static str>,
    pub plugins: Vec<&'static str>,
    pub methods: Vec<&'static str>,
    pub aliases: Vec<&'static str>,
    pub has_mode: bool,
    pub priority: usize,
    /// The host, the type and the text of a path, and its Service.
    pub paths: Vec<(&'static str, &'static str, &'static str, usize)>,
    pub default_backend: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct HttpRoute {
    pub gateway: &'static str,
    pub hosts: Vec<&'static str>,
    pub plugins: Vec<&'static str>,
    pub methods: Vec<&'static str>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub matches: Vec<Match>,
    pub plugin: Option<&'static str>,
    pub service: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Match {
    pub kind: &'static str,
    pub path: &'static str,
    pub method: Option<&'static str>,
    pub has_mode: bool,
    pub has_query: bool,
}

/// What is not in manifests: how the controller was installed.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub has_expressions: bool,
    /// Whether it reads Ingresses without a class, and Gateways that are not in the file.
    pub reads_all: bool,
}

/// A route of Kong.
#[derive(Clone, Debug, Default)]
struct Route {
    hosts: Vec<&'static str>,
    methods: Vec<&'static str>,
    has_mode: bool,
    has_query: bool,
    /// Types and texts.
    paths: Vec<(&'static str, &'static str)>,
    regex_priority: usize,
    /// For expressions.
    priority: u64,
    service: usize,
    plugins: Vec<&'static str>,
}

/// The kind and options of plugins by their names.
pub fn plugin(name: &str) -> (&'static str, Value, bool) {
    match name {
        "jwt" => ("jwt", json!({"claims_to_verify": ["exp"]}), true),
        "jwt-off" => ("jwt", json!({"claims_to_verify": ["exp"]}), false),
        "staff" => ("acl", json!({"allow": ["staff"]}), true),
        "eu" => ("acl", json!({"allow": ["eu"]}), true),
        "not-staff" => ("acl", json!({"deny": ["staff"]}), true),
        "stop" => ("request-termination", json!({"status_code": 403}), true),
        _ => ("cors", json!({}), true),
    }
}

impl Cluster {
    fn made(&self, world: World) -> Vec<Route> {
        let mut made = Vec::new();
        for ingress in &self.ingresses {
            let is_read = match ingress.class {
                Some(class) => class == "kong",
                None => world.reads_all,
            };
            if is_read {
                ingress.routes(world, &mut made);
            }
        }
        for route in &self.routes {
            let is_read = match route.gateway {
                "own" => true,
                "elsewhere" => false,
                _ => world.reads_all,
            };
            let has_query =
                route.rules.iter().flat_map(|rule| &rule.matches).any(|it| it.has_query);
            if is_read && (world.has_expressions || !has_query) {
                route.routes(world, &mut made);
            }
        }
        made
    }

    /// Whether Kong lets a request pass; `None` if it has no route for it.
    pub fn passes(&self, request: &Request, world: World) -> Option<bool> {
        let routes = self.made(world);
        let mut best = None;
        let mut winners: Vec<&Route> = Vec::new();
        for route in &routes {
            for rank in route.ranks(request, world) {
                if Some(rank) > best {
                    best = Some(rank);
                    winners.clear();
                }
                if Some(rank) == best {
                    winners.push(route);
                }
            }
        }
        // Which one of several it is, is not certain.
        (!winners.is_empty()).then(|| winners.iter().all(|route| self.lets(route, request)))
    }

    fn lets(&self, route: &Route, request: &Request) -> bool {
        let scopes = [
            route.plugins.clone(),
            self.services[route.service].clone(),
            self.global.into_iter().collect(),
        ];
        let find = |kind: &str| {
            let names = scopes.iter().flatten().map(|name| plugin(name));
            let mut enabled = names.filter(|(own, _, is_enabled)| *own == kind && *is_enabled);
            enabled.next().map(|(_, config, _)| config)
        };
        let mut consumer = None;
        if find("jwt").is_some() {
            let is_valid = |token: &Token| {
                token.is_signed
                    && token.header == "authorization"
                    && token.expires.is_some_and(|it| it > 0)
            };
            consumer = request.token.filter(is_valid).map(|token| token.consumer);
            if consumer.is_none() {
                return false;
            }
        }
        if let Some(acl) = find("acl") {
            let Some(consumer) = consumer else { return false };
            let has = |list: &Value| {
                let list = list.as_array().into_iter().flatten();
                list.into_iter().any(|it| groups(consumer).contains(&it.as_str().unwrap()))
            };
            let is_let =
                if acl["deny"].is_array() { !has(&acl["deny"]) } else { has(&acl["allow"]) };
            if !is_let {
                return false;
            }
        }
        find("request-termination").is_none()
    }
}

impl Ingress {
    fn routes(&self, world: World, made: &mut Vec<Route>) {
        let mut groups: Vec<(&str, usize)> = Vec::new();
        for (host, _, _, service) in &self.paths {
            if !groups.contains(&(*host, *service)) {
                groups.push((*host, *service));
            }
        }
        for (host, service) in groups {
            let own = self.paths.iter().filter(|it| (it.0, it.3) == (host, service));
            let paths: Vec<_> = own.map(|(_, kind, text, _)| (*kind, *text)).collect();
            let mut hosts: Vec<&'static str> = self
                .paths
                .iter()
                .map(|it| it.0)
                .filter(|it| *it == host && !it.is_empty())
                .collect();
            hosts.truncate(1);
            hosts.extend(&self.aliases);
            let length = |(kind, text): &(&str, &str)| match *kind {
                "Exact" => 1 + text.trim_start_matches('/').len(),
                "Prefix" if text.trim_matches('/').is_empty() => 1,
                "Prefix" => 2 + text.trim_matches('/').len(),
                _ => text.strip_prefix("/~").unwrap_or(text).len(),
            };
            let has_regex =
                paths.iter().any(|(kind, text)| *kind != "Any" || text.starts_with("/~"));
            let fields = [true, !hosts.is_empty(), self.has_mode, !self.methods.is_empty()];
            let fields: u64 = fields.into_iter().map(u64::from).sum();
            let is_plain = !hosts.is_empty() && !hosts.iter().any(|it| it.starts_with('*'));
            let priority = (3 << 44)
                + (fields << 41)
                + (u64::from(self.has_mode) << 33)
                + (u64::from(is_plain) << 32)
                + (u64::from(has_regex) << 16)
                + u64::try_from(paths.iter().map(length).max().unwrap()).unwrap();
            made.push(Route {
                hosts,
                methods: self.methods.clone(),
                has_mode: self.has_mode,
                paths,
                regex_priority: if world.has_expressions { 0 } else { self.priority },
                priority,
                service,
                plugins: self.plugins.clone(),
                ..Route::default()
            });
        }
        if let Some(service) = self.default_backend {
            let mut route = Route {
                paths: vec![("Any", "/")],
                service,
                plugins: self.plugins.clone(),
                ..Route::default()
            };
            if !world.has_expressions {
                route.methods = self.methods.clone();
                route.hosts = self.aliases.clone();
                route.has_mode = self.has_mode;
            }
            made.push(route);
        }
    }
}

impl HttpRoute {
    fn routes(&self, world: World, made: &mut Vec<Route>) {
        for rule in &self.rules {
            for one in &rule.matches {
                let methods: Vec<_> = one.method.into_iter().collect();
                let replaced = !world.has_expressions && !self.methods.is_empty();
                let hosts = |hosts: Vec<&'static str>, priority| Route {
                    hosts,
                    methods: if replaced { self.methods.clone() } else { methods.clone() },
                    has_mode: one.has_mode,
                    has_query: one.has_query,
                    paths: vec![(http_kind(one.kind), one.path)],
                    priority,
                    service: rule.service,
                    plugins: self.plugins.iter().copied().chain(rule.plugin).collect(),
                    ..Route::default()
                };
                let kind = match one.kind {
                    "Exact" => 1 << 34,
                    "RegularExpression" => 1 << 33,
                    _ => 0,
                };
                let of_match = (2 << 44)
                    + kind
                    + ((u64::try_from(one.path.len()).unwrap() - 1) << 23)
                    + (u64::from(one.method.is_some()) << 22)
                    + (u64::from(one.has_mode) << 17)
                    + (u64::from(one.has_query) << 12);
                if !world.has_expressions || self.hosts.is_empty() {
                    made.push(hosts(self.hosts.clone(), of_match));
                    continue;
                }
                for host in &self.hosts {
                    let of_host = (u64::from(!host.starts_with('*')) << 43)
                        + (u64::try_from(host.len()).unwrap() << 35);
                    made.push(hosts(vec![*host], of_match + of_host));
                }
            }
        }
    }
}

/// How the paths of HTTPRoutes are called here.
fn http_kind(kind: &str) -> &'static str {
    match kind {
        "Exact" => "Exact",
        "RegularExpression" => "Regex",
        _ => "HttpPrefix",
    }
}

impl Route {
    /// The ranks of what of the route matches.
    fn ranks(&self, request: &Request, world: World) -> Vec<[u64; 6]> {
        let host = request.host.split(':').next().unwrap();
        let is_for = |own: &&str| match own.strip_prefix('*') {
            Some(end) => host.ends_with(end),
            None => *own == host,
        };
        let matches = (self.hosts.is_empty() || self.hosts.iter().any(is_for))
            && (self.methods.is_empty() || self.methods.contains(&request.method))
            && (!self.has_mode || request.mode.is_some_and(|it| it.eq_ignore_ascii_case("one")))
            && (!self.has_query || request.path.contains("?x=1"));
        if !matches {
            return Vec::new();
        }
        let path = crate::model::kong::normalize(request.path.split('?').next().unwrap());
        let lists = [!self.methods.is_empty(), !self.hosts.is_empty(), self.has_mode];
        let fields: u64 = 1 + lists.into_iter().map(u64::from).sum::<u64>();
        let is_plain = !self.hosts.is_empty() && !self.hosts.iter().any(|it| it.contains('*'));
        let mut ranks = Vec::new();
        for (kind, text) in &self.paths {
            for (is_regex, length, is_met) in written(kind, text, &path, world) {
                if !is_met {
                    continue;
                }
                ranks.push(if world.has_expressions {
                    [self.priority, 0, 0, 0, 0, 0]
                } else {
                    [
                        fields,
                        u64::from(is_plain),
                        u64::from(self.has_mode),
                        u64::from(is_regex),
                        if is_regex { u64::try_from(self.regex_priority).unwrap() } else { 0 },
                        if is_regex { 0 } else { length },
                    ]
                });
            }
        }
        ranks
    }
}

/// The router's paths for one of a manifest: whether it is a regular expression, how long
/// it is, and whether it matches.
fn written(kind: &str, text: &str, path: &str, world: World) -> Vec<(bool, u64, bool)> {
    let length = |text: &str| u64::try_from(text.len()).unwrap();
    // Without expressions a dot is any character.
    let is = |text: &str| {
        let is_same = |(own, other): (u8, u8)| {
            own == other || !world.has_expressions && own == b'.' && other != b'/'
        };
        text.len() == path.len() && text.bytes().zip(path.bytes()).all(is_same)
    };
    match kind {
        "Exact" => vec![(true, 0, is(text))],
        "HttpPrefix" if text == "/" => vec![(true, 0, is("/")), (false, 1, true)],
        "HttpPrefix" => {
            let base = text.trim_end_matches('/');
            let below = format!("{base}/");
            let itself = if world.has_expressions { is(base) } else { is(text) };
            vec![(true, 0, itself), (false, length(&below), path.starts_with(&below))]
        }
        "Prefix" if text.trim_matches('/').is_empty() => vec![(false, 1, true)],
        "Prefix" => {
            let base = format!("/{}", text.trim_matches('/'));
            let below = format!("{base}/");
            vec![(true, 0, is(&base)), (false, length(&below), path.starts_with(&below))]
        }
        _ => match text.strip_prefix("/~").or((kind == "Regex").then_some(text)) {
            Some("/a/[bc]") => {
                vec![(true, 0, path.starts_with("/a/b") || path.starts_with("/a/c"))]
            }
            Some("/b/x$") => vec![(true, 0, path == "/b/x")],
            Some(other) => panic!("{other} has no meaning here"),
            None => vec![(false, length(text), path.starts_with(text))],
        },
    }
}
