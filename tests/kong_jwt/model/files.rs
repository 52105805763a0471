//! Configurations at random, and the many ways of writing one down.

use serde_json::{Map, Value, json};

use super::kong::{Kong, Path, Plugin, Request, Route, Service, Token};
use crate::keys::SECRET_32;
use crate::support::Random;

const fn plain(text: &'static str) -> Path {
    Path { text, regex: None }
}

const PATHS: [Path; 18] = [
    plain("/"),
    plain("/a"),
    plain("/a"),
    plain("/a/"),
    plain("/a/b"),
    plain("/ab"),
    plain("/a/b/c"),
    plain("/b"),
    plain("/b/x"),
    plain("/a+b"),
    plain("/a%2Bb"),
    plain("/b*"),
    plain("/b/{id}"),
    Path { text: "~/a/[bc]", regex: Some(|it| it.starts_with("/a/b") || it.starts_with("/a/c")) },
    Path { text: "~/(a|b)/x$", regex: Some(|it| it == "/a/x" || it == "/b/x") },
    Path { text: "~/b", regex: Some(|it| it.starts_with("/b")) },
    Path { text: "~/ab?", regex: Some(|it| it.starts_with("/a")) },
    Path { text: "~/a/x|/b/x", regex: Some(|it| it.starts_with("/a/x") || it.contains("/b/x")) },
];

const TARGETS: [&str; 28] = [
    "/",
    "/a",
    "/a/",
    "/ab",
    "/abc",
    "/a/b",
    "/a/bx",
    "/a/b/c",
    "/a/c",
    "/a/x",
    "/a%2Bb",
    "/a+b",
    "/%61/b",
    "/b",
    "/bx",
    "/b/x",
    "/b/y",
    "/b%2A",
    "/b*x",
    "/b/7",
    "/none",
    "/a%2bb",
    "/a/b/",
    "/a/%62?x=/b",
    "/A",
    "/a/B",
    "/B/X",
    "/AB",
];

const HOSTS: [&str; 6] = ["a.example", "b.example", "*.example", "A.example", "a.*", "*.b.example"];

const ASKED: [&str; 7] = [
    "a.example",
    "b.example",
    "A.EXAMPLE",
    "x.b.example",
    "other",
    "a.example:8080",
    "x.B.example",
];

/// Marks for a secret that is filled in later, long enough for one.
const PLACEHOLDERS: [&str; 6] = [
    "${A_SECRET_THAT_IS_ONLY_KNOWN_LATER_ON}",
    "{{ .Values.gateway.consumers.dave.secret }}",
    "<REPLACE THIS BY A SECRET OF 32 BYTES OR MORE>",
    "{vault://aws/consumers/dave/the-secret-of-dave}",
    "__A_SECRET_THAT_IS_ONLY_KNOWN_LATER_ON__",
    "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
];

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

/// Some of them, often none.
fn some<T: Copy>(random: &mut Random, from: &[T], most: usize) -> Vec<T> {
    let count = if random.below(3) == 0 { random.below(most + 1) } else { 0 };
    (0..count).map(|_| pick(random, from)).collect()
}

pub fn kong(random: &mut Random) -> Kong {
    let services = (0..1 + random.below(3)).map(|_| Service { is_enabled: random.below(9) > 0 });
    let services: Vec<_> = services.collect();
    let routes = (0..1 + random.below(5)).map(|_| {
        let mut paths: Vec<_> = (0..random.below(3)).map(|_| pick(random, &PATHS)).collect();
        if random.below(4) == 0 {
            paths.clear();
        }
        Route {
            is_gone: false,
            service: (random.below(8) > 0).then(|| random.below(services.len())),
            paths,
            methods: some(random, &["GET", "POST"], 2),
            hosts: some(random, &HOSTS, 2),
            modes: if random.below(12) == 0 { vec!["one"] } else { Vec::new() },
            regex_priority: random.below(3),
        }
    });
    let routes: Vec<_> = routes.collect();
    // Nearly all jwt plugins of a file are alike.
    let usual = jwt(random);
    let mut plugins: Vec<Plugin> = Vec::new();
    for _ in 0..1 + random.below(7) {
        let name =
            pick(random, &["jwt", "jwt", "jwt", "acl", "acl", "request-termination", "cors"]);
        let (service, route) = match random.below(8) {
            0 => (None, None),
            1..4 => (Some(random.below(services.len())), None),
            4..7 => (None, Some(random.below(routes.len()))),
            _ => (Some(random.below(services.len())), Some(random.below(routes.len()))),
        };
        let is_rare = random.below(6) == 0;
        let (consumer, config) = match name {
            "jwt" if is_rare => (None, jwt(random)),
            "jwt" => (None, usual.clone()),
            "acl" => (None, acl(random)),
            "request-termination" => (is_rare.then_some("bob"), json!({"status_code": 403})),
            _ => (None, json!({})),
        };
        if name == "request-termination" && random.below(3) > 0 {
            continue;
        }
        let scope = (name, service, route, consumer);
        if plugins.iter().any(|it| (it.name, it.service, it.route, it.consumer) == scope) {
            continue;
        }
        let (is_enabled, style) = (random.below(5) > 0, random.below(16));
        plugins.push(Plugin {
            is_gone: false,
            name,
            is_enabled,
            service,
            route,
            consumer,
            config,
            style,
        });
    }
    Kong { services, routes, plugins, placeholder: pick(random, &PLACEHOLDERS) }
}

fn jwt(random: &mut Random) -> Value {
    let mut config = Map::new();
    let dates = [json!(["exp"]), json!(["exp"]), json!(["exp", "nbf"]), json!([])];
    let mut add = |odds: usize, random: &mut Random, name: &str, value: Value| {
        if random.below(odds) == 0 {
            config.insert(name.to_owned(), value);
        }
    };
    let dates = dates[random.below(dates.len())].clone();
    add(1, random, "claims_to_verify", dates);
    let guest = if random.below(2) == 0 { "guest" } else { "g1" };
    add(4, random, "anonymous", json!(guest));
    add(5, random, "run_on_preflight", json!(false));
    add(8, random, "header_names", json!(["x-token"]));
    add(12, random, "key_claim_name", json!("kid"));
    if config["claims_to_verify"].as_array().is_some_and(|dates| !dates.is_empty())
        && random.below(5) == 0
    {
        config.insert("maximum_expiration".to_owned(), json!(300));
    }
    Value::Object(config)
}

fn acl(random: &mut Random) -> Value {
    let list = [json!(["staff"]), json!(["eu"]), json!(["staff", "guests"]), json!(["others"])];
    let list = list[random.below(list.len())].clone();
    let name = if random.below(4) == 0 { "deny" } else { "allow" };
    json!({ name: list })
}

pub fn request(random: &mut Random) -> Request {
    let token = (random.below(4) > 0).then(|| Token {
        consumer: pick(random, &["alice", "alice", "bob", "carol", "dave"]),
        header: pick(random, &["authorization", "authorization", "authorization", "x-token"]),
        expires: pick(random, &[Some(200), Some(200), Some(3600), Some(-5), None]),
        not_before: pick(random, &[Some(-5), Some(-5), Some(5), None]),
        is_signed: random.below(8) > 0,
    });
    // Nobody has the secret that dave will have; everybody has what stands for it.
    let token = token
        .map(|token| Token { is_signed: token.is_signed && token.consumer != "dave", ..token });
    let method = pick(random, &["GET", "GET", "POST", "OPTIONS", "DELETE"]);
    Request {
        method,
        is_preflight: method == "OPTIONS" && random.below(2) == 0,
        path: pick(random, &TARGETS),
        host: pick(random, &ASKED),
        mode: pick(random, &[None, None, Some("one"), Some("ONE"), Some("two")]),
        token,
    }
}

impl Kong {
    /// As a file: plugins nested or beside, their configs in place, shared or
    /// merged, what routes of a service have in common in a merge.
    pub fn text(&self) -> String {
        let mut anchors = Vec::new();
        let mut shared = Map::new();
        let mut written: Vec<(&Plugin, String)> = Vec::new();
        for (position, plugin) in self.plugins.iter().enumerate().filter(|(_, it)| !it.is_gone) {
            let config = match plugin.style % 4 {
                0 => {
                    shared.insert(format!("c{position}"), plugin.config.clone());
                    format!("_config: c{position}")
                }
                1 => {
                    anchors.push(format!("&c{position} {}", plugin.config));
                    format!("config: {{<<: *c{position}}}")
                }
                2 => {
                    anchors.push(format!("&p{position} {{config: {}}}", plugin.config));
                    format!("<<: *p{position}")
                }
                _ => format!("config: {}", plugin.config),
            };
            let enabled = match (plugin.is_enabled, plugin.style % 3) {
                (true, 0) => String::new(),
                (true, _) => ", enabled: true".to_owned(),
                (false, _) => ", enabled: false".to_owned(),
            };
            written.push((plugin, format!("name: {}, {config}{enabled}", plugin.name)));
        }
        let is_nested = |plugin: &Plugin| plugin.style >= 8 && plugin.consumer.is_none();
        let at_routes = |position: usize| {
            let own = written.iter().filter(|(it, _)| is_nested(it) && it.route == Some(position));
            let own = own.map(|(plugin, text)| match plugin.service {
                Some(service) => format!("{{{text}, service: s{service}}}"),
                None => format!("{{{text}}}"),
            });
            own.collect::<Vec<_>>().join(", ")
        };
        let at_services = |position: usize| {
            let own = written.iter().filter(|(it, _)| {
                is_nested(it) && it.route.is_none() && it.service == Some(position)
            });
            own.map(|(_, text)| format!("{{{text}}}")).collect::<Vec<_>>().join(", ")
        };
        let mut beside = Vec::new();
        for (plugin, text) in &written {
            if is_nested(plugin) && (plugin.route.is_some() || plugin.service.is_some()) {
                continue;
            }
            let scopes = [
                plugin.service.map(|it| format!(", service: s{it}")),
                plugin.route.map(|it| format!(", route: {{name: r{it}}}")),
                plugin.consumer.map(|it| format!(", consumer: {it}")),
            ];
            beside
                .push(format!("- {{{text}{}}}", scopes.into_iter().flatten().collect::<String>()));
        }
        let routes = self.routes.iter().enumerate().filter(|(_, route)| !route.is_gone);
        let route = |(position, route): (usize, &Route)| {
            (
                route.service,
                format!("{}, plugins: [{}]}}", route.head(position), at_routes(position)),
            )
        };
        let routes: Vec<_> = routes.map(route).collect();
        let mut services = Vec::new();
        for (position, service) in self.services.iter().enumerate() {
            anchors.push(format!("&s{position} {{plugins: [{}]}}", at_services(position)));
            let own = routes.iter().filter(|(owner, _)| *owner == Some(position));
            let own: Vec<_> = own.map(|(_, text)| text.as_str()).collect();
            services.push(format!(
                "- {{<<: *s{position}, name: s{position}, host: h, enabled: {}, routes: [{}]}}",
                service.is_enabled,
                own.join(", ")
            ));
        }
        let alone = routes.iter().filter(|(owner, _)| owner.is_none());
        let alone: Vec<_> = alone.map(|(_, text)| format!("- {text}")).collect();
        let list = |name: &str, items: &[String]| match items {
            [] => String::new(),
            items => format!("{name}:\n{}\n", items.join("\n")),
        };
        format!(
            "_format_version: '3.0'\n_plugin_configs: {}\n_ignore: [{}]\n{}{}{}{}",
            Value::Object(shared),
            anchors.join(", "),
            list("services", &services),
            list("routes", &alone),
            list("plugins", &beside),
            consumers(self.placeholder),
        )
    }
}

impl Route {
    fn head(&self, position: usize) -> String {
        let paths: Vec<_> = self.paths.iter().map(|path| path.text).collect();
        let mut fields = format!("{{name: r{position}, regex_priority: {}", self.regex_priority);
        let lists = [("paths", &paths), ("methods", &self.methods), ("hosts", &self.hosts)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            fields += &format!(", {name}: {}", json!(list));
        }
        if !self.modes.is_empty() {
            fields += &format!(", headers: {{x-mode: {}}}", json!(self.modes));
        }
        fields
    }
}

fn consumers(placeholder: &str) -> String {
    let consumers = ["alice", "bob", "carol", "dave"].map(|name| {
        let groups = super::kong::groups(name).iter().map(|group| json!({"group": group}));
        let secret = if name == "dave" { placeholder } else { SECRET_32 };
        let consumer = json!({
            "id": name, "username": name, "acls": groups.collect::<Vec<_>>(),
            "jwt_secrets": [{"key": format!("key-{name}"), "secret": secret}],
        });
        format!("- {consumer}\n")
    });
    format!(
        "consumers:\n{}- {{id: g1, username: guest, acls: [{{group: guests}}]}}\n",
        consumers.concat()
    )
}
