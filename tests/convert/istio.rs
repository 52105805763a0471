//! Istio: a token that is sent must be valid; DENY policies before ALLOW policies.

use serde_json::{Value, json};

use crate::support::Random;
use crate::{ISSUERS, Request, Token, chance, jwks, normalized, pick, tried};

struct Policies {
    all: Vec<Policy>,
}

struct Policy {
    action: &'static str,
    rules: Vec<Rule>,
}

#[derive(Default)]
struct Rule {
    from: Vec<Source>,
    to: Vec<Operation>,
    when: Vec<(&'static str, Vec<&'static str>, Vec<&'static str>)>,
}

#[derive(Default)]
struct Source {
    with: Vec<&'static str>,
    without: Vec<&'static str>,
    /// A namespace, which no rule can ask.
    is_near: bool,
}

#[derive(Default)]
struct Operation {
    paths: Vec<&'static str>,
    not_paths: Vec<&'static str>,
    methods: Vec<&'static str>,
    not_methods: Vec<&'static str>,
    hosts: Vec<&'static str>,
    not_hosts: Vec<&'static str>,
}

fn some(random: &mut Random, from: &[&'static str], one_in: usize) -> Vec<&'static str> {
    if !chance(random, one_in) {
        return Vec::new();
    }
    (0..=random.below(2)).map(|_| pick(random, from)).collect()
}

/// A host is often there with its ports, too.
fn hosts(random: &mut Random) -> Vec<&'static str> {
    let mut hosts = some(random, &["a.example", "*.example", "b.*", "*.b.example"], 6);
    if hosts.contains(&"a.example") && chance(random, 2) {
        hosts.push("a.example:*");
    }
    hosts
}

const PRINCIPALS: [&str; 7] = [
    "*",
    "*",
    "https://a.example/*",
    "https://a.example/alice",
    "https://b.example//*",
    "https://b.example//bob",
    "*/alice",
];
const PATTERNS: [&str; 11] =
    ["/a", "/a*", "/a/*", "/a/b", "/health", "/healthz", "*", "*b", "/a/{*}/b", "/b/{**}", "/a+b"];
const KEYS: [(&str, &[&str]); 8] = [
    ("request.auth.claims[groups]", &["staff", "eu", "st*", "*"]),
    ("request.auth.claims[scope]", &["read", "write"]),
    ("request.auth.claims[permission]", &["read", "read write"]),
    ("request.auth.claims[org][id]", &["1", "2"]),
    ("request.auth.claims[iss]", &["https://a.example"]),
    ("request.auth.audiences", &["x", "y"]),
    ("request.headers[X-Mode]", &["one", "two", "*"]),
    ("source.namespace", &["near"]),
];

impl Policies {
    fn random(random: &mut Random) -> (String, Self) {
        let all = (0..random.below(4)).map(|_| Policy {
            action: pick(random, &["ALLOW", "ALLOW", "DENY", "DENY", "AUDIT"]),
            rules: (0..random.below(3)).map(|_| Rule::random(random)).collect(),
        });
        let policies = Self { all: all.collect() };
        (policies.text(), policies)
    }

    fn text(&self) -> String {
        let rules = [0, 1].map(|issuer| json!({"issuer": ISSUERS[issuer].0, "jwks": jwks(issuer)}));
        let mut documents = vec![json!({
            "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "metadata": {"name": "r", "namespace": "n"}, "spec": {"jwtRules": rules},
        })];
        for (position, policy) in self.all.iter().enumerate() {
            let mut spec =
                json!({"rules": policy.rules.iter().map(Rule::json).collect::<Vec<_>>()});
            if policy.action != "ALLOW" || position == 0 {
                spec["action"] = json!(policy.action);
            }
            documents.push(json!({
                "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
                "metadata": {"name": format!("p{position}"), "namespace": "n"}, "spec": spec,
            }));
        }
        let documents: Vec<_> = documents.iter().map(Value::to_string).collect();
        documents.join("\n---\n")
    }

    fn decides(&self, request: &Request) -> bool {
        if request.token.as_ref().is_some_and(|token| token.is_expired) {
            return false;
        }
        let of = |action: &'static str| self.all.iter().filter(move |it| it.action == action);
        let matches = |policy: &Policy| policy.rules.iter().any(|rule| rule.matches(request));
        let has_allow = of("ALLOW").next().is_some();
        !of("DENY").any(matches) && (!has_allow || of("ALLOW").any(matches))
    }
}

impl Rule {
    fn random(random: &mut Random) -> Self {
        let mut rule = Self::default();
        if random.below(3) > 0 {
            rule.from = (0..=random.below(2))
                .map(|_| Source {
                    with: some(random, &PRINCIPALS, 2),
                    without: some(random, &PRINCIPALS, 3),
                    is_near: chance(random, 8),
                })
                .collect();
        }
        if random.below(3) > 0 {
            rule.to = (0..=random.below(2))
                .map(|_| Operation {
                    not_hosts: some(random, &["a.example", "a.example:*", "*.b.example", "*"], 8),
                    paths: some(random, &PATTERNS, 2),
                    not_paths: some(random, &PATTERNS, 4),
                    methods: some(random, &["GET", "POST", "*"], 3),
                    not_methods: some(random, &["GET", "POST", "*"], 8),
                    hosts: hosts(random),
                })
                .collect();
        }
        if random.below(2) > 0 {
            for _ in 0..=random.below(2) {
                let (key, values) = pick(random, &KEYS);
                let (with, without) = (some(random, values, 2), some(random, values, 3));
                if !with.is_empty() || !without.is_empty() {
                    rule.when.push((key, with, without));
                }
            }
        }
        rule
    }

    fn json(&self) -> Value {
        let mut rule = json!({});
        if !self.from.is_empty() {
            let from = self.from.iter().map(|source| {
                let mut all = json!({});
                put(&mut all, "requestPrincipals", &source.with);
                put(&mut all, "notRequestPrincipals", &source.without);
                if source.is_near {
                    all["namespaces"] = json!(["near"]);
                }
                json!({"source": all})
            });
            rule["from"] = from.collect();
        }
        if !self.to.is_empty() {
            let to = self.to.iter().map(|operation| {
                let mut all = json!({});
                put(&mut all, "paths", &operation.paths);
                put(&mut all, "notPaths", &operation.not_paths);
                put(&mut all, "methods", &operation.methods);
                put(&mut all, "notMethods", &operation.not_methods);
                put(&mut all, "hosts", &operation.hosts);
                put(&mut all, "notHosts", &operation.not_hosts);
                json!({"operation": all})
            });
            rule["to"] = to.collect();
        }
        if !self.when.is_empty() {
            let when = self.when.iter().map(|(key, with, without)| {
                let mut all = json!({"key": key});
                put(&mut all, "values", with);
                put(&mut all, "notValues", without);
                all
            });
            rule["when"] = when.collect();
        }
        rule
    }

    fn matches(&self, request: &Request) -> bool {
        (self.from.is_empty() || self.from.iter().any(|it| it.matches(request)))
            && (self.to.is_empty() || self.to.iter().any(|it| it.matches(request)))
            && self.when.iter().all(|(key, with, without)| {
                let found = found(key, request);
                let has = |patterns: &[&str]| {
                    patterns.iter().any(|pattern| found.iter().any(|it| like(pattern, it)))
                };
                (with.is_empty() || has(with)) && (without.is_empty() || !has(without))
            })
    }
}

fn put(all: &mut Value, name: &str, list: &[&str]) {
    if !list.is_empty() {
        all[name] = json!(list);
    }
}

impl Source {
    fn matches(&self, request: &Request) -> bool {
        let principal = request.token.as_ref().map(principal);
        let has = |patterns: &[&str]| {
            principal.as_ref().is_some_and(|own| patterns.iter().any(|it| like(it, own)))
        };
        (self.with.is_empty() || has(&self.with))
            && (self.without.is_empty() || !has(&self.without))
            && (!self.is_near || request.is_near)
    }
}

impl Operation {
    fn matches(&self, request: &Request) -> bool {
        let path = normalized(request.path);
        let host = request.host.to_ascii_lowercase();
        let has = |patterns: &[&str], value: &str| patterns.iter().any(|it| like(it, value));
        let paths = |patterns: &[&str]| patterns.iter().any(|pattern| path_like(pattern, &path));
        (self.paths.is_empty() || paths(&self.paths))
            && !paths(&self.not_paths)
            && (self.methods.is_empty() || has(&self.methods, request.method))
            && !has(&self.not_methods, request.method)
            && (self.hosts.is_empty() || has(&self.hosts, &host))
            && !has(&self.not_hosts, &host)
    }
}

fn path_like(pattern: &str, path: &str) -> bool {
    match pattern {
        "/a/{*}/b" => path == "/a/x/b",
        "/b/{**}" => path.starts_with("/b/"),
        pattern => like(pattern, path),
    }
}

fn like(pattern: &str, value: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        _ if pattern == "*" => !value.is_empty(),
        (Some(end), _) => value.ends_with(end),
        (_, Some(start)) => value.starts_with(start),
        _ => value == pattern,
    }
}

fn principal(token: &Token) -> String {
    format!("{}/{}", ISSUERS[token.issuer].0, token.claims["sub"].as_str().unwrap())
}

fn words(texts: Vec<String>) -> Vec<String> {
    let words = texts.iter().flat_map(|text| text.split(' '));
    words.filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// The values of an attribute.
fn found(key: &str, request: &Request) -> Vec<String> {
    let texts = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().map(|it| it.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    };
    if key == "request.headers[X-Mode]" {
        return request.mode.into_iter().map(str::to_owned).collect();
    }
    if key == "source.namespace" {
        return vec![if request.is_near { "near" } else { "far" }.to_owned()];
    }
    let Some(token) = &request.token else { return Vec::new() };
    match key {
        "request.auth.claims[groups]" => texts(&token.claims["groups"]),
        // These are always lists of words.
        "request.auth.claims[scope]" => words(texts(&token.claims["scope"])),
        "request.auth.claims[permission]" => match &token.claims["permission"] {
            Value::String(text) => words(vec![text.clone()]),
            list => texts(list),
        },
        "request.auth.claims[org][id]" => texts(&token.claims["org"]["id"]),
        "request.auth.claims[iss]" => vec![ISSUERS[token.issuer].0.to_owned()],
        "request.auth.audiences" => texts(&token.claims["aud"]),
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_passes_that_istio_refuses() {
    let seen = tried(Policies::random, Policies::decides);
    if seen.is_full {
        assert!(seen.opened > 900 && seen.closed > 1500, "it proves something");
        assert!(seen.stricter < seen.closed / 2, "what is converted is of use");
    }
}
