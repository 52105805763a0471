//! Kong's router and plugins, small and slow: what becomes of a request by the
//! documentation of Kong and its sources, not by what convert makes of them.

use serde_json::Value;

/// A declarative configuration before it is text.
#[derive(Clone, Debug, Default)]
pub struct Kong {
    pub services: Vec<Service>,
    pub routes: Vec<Route>,
    pub plugins: Vec<Plugin>,
    /// What stands in the file for dave's secret, which is put in its place later.
    pub placeholder: &'static str,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub is_enabled: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Shrinking takes it out, so that positions stay.
    pub is_gone: bool,
    pub service: Option<usize>,
    pub paths: Vec<Path>,
    pub methods: Vec<&'static str>,
    pub hosts: Vec<&'static str>,
    /// Values of `x-mode`, of which a request has one in any case.
    pub modes: Vec<&'static str>,
    pub regex_priority: usize,
}

/// A path as it is written, and for a regular expression what it matches.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub text: &'static str,
    pub regex: Option<fn(&str) -> bool>,
}

#[derive(Clone, Debug)]
pub struct Plugin {
    pub is_gone: bool,
    pub name: &'static str,
    pub is_enabled: bool,
    pub service: Option<usize>,
    pub route: Option<usize>,
    pub consumer: Option<&'static str>,
    pub config: Value,
    /// How it is written: in its place or beside, its config shared or merged.
    pub style: usize,
}

/// A request as a client sends it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: &'static str,
    pub host: &'static str,
    pub mode: Option<&'static str>,
    pub token: Option<Token>,
    /// Whether it has the headers of a CORS preflight.
    pub is_preflight: bool,
}

/// A token, and the header in which it is.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub consumer: &'static str,
    pub header: &'static str,
    /// Seconds from now.
    pub expires: Option<i64>,
    pub not_before: Option<i64>,
    pub is_signed: bool,
}

/// Groups of consumers.
pub fn groups(consumer: &str) -> &'static [&'static str] {
    match consumer {
        "alice" => &["staff", "eu"],
        "bob" => &["eu"],
        "guest" => &["guests"],
        _ => &[],
    }
}

impl Kong {
    /// The routes of which Kong takes one; which one of several, is not certain.
    pub fn winners(&self, request: &Request) -> Vec<usize> {
        let path = normalize(request.path);
        let mut best = None;
        let mut winners = Vec::new();
        for (position, route) in self.routes.iter().enumerate() {
            let is_off = route.service.is_some_and(|service| !self.services[service].is_enabled);
            if route.is_gone || is_off || !route.matches(request) {
                continue;
            }
            let paths: Vec<Option<&Path>> = match route.paths.as_slice() {
                [] => vec![None],
                paths => paths.iter().filter(|own| own.matches(&path)).map(Some).collect(),
            };
            for priority in paths.into_iter().map(|path| route.priority(path)) {
                if Some(priority) > best {
                    best = Some(priority);
                    winners.clear();
                }
                if Some(priority) == best && !winners.contains(&position) {
                    winners.push(position);
                }
            }
        }
        winners
    }

    /// Whether the plugins of a route let a request pass.
    pub fn passes(&self, route: usize, request: &Request) -> bool {
        let mut consumer = None;
        if let Some(jwt) = self.plugin("jwt", route) {
            let config = &jwt.config;
            let is_skipped = request.method == "OPTIONS" && config["run_on_preflight"] == false;
            if !is_skipped {
                let by_token = request.token.filter(|token| is_valid(config, token));
                let anonymous = config["anonymous"].as_str().map(|_| "guest");
                consumer = by_token.map(|token| token.consumer).or(anonymous);
                if consumer.is_none() {
                    return false;
                }
            }
        }
        if let Some(acl) = self.plugin("acl", route) {
            let Some(consumer) = consumer else { return false };
            let has = |names: &Value| {
                let names = names.as_array().into_iter().flatten();
                names.into_iter().any(|name| groups(consumer).contains(&name.as_str().unwrap()))
            };
            let is_denied = if acl.config["deny"].is_array() {
                has(&acl.config["deny"])
            } else {
                !has(&acl.config["allow"])
            };
            if is_denied {
                return false;
            }
        }
        // These answer instead of the service.
        !self.plugins.iter().any(|plugin| {
            plugin.name == "request-termination"
                && plugin.is_in_use()
                && plugin.route.is_none_or(|own| own == route)
                && (plugin.service.is_none() || plugin.service == self.routes[route].service)
                && (plugin.consumer.is_none() || plugin.consumer == consumer)
        })
    }

    /// Of several instances the one of the narrowest scope runs.
    fn plugin(&self, name: &str, route: usize) -> Option<&Plugin> {
        let service = self.routes[route].service;
        let weight = |plugin: &&Plugin| {
            usize::from(plugin.route.is_some()) * 2 + usize::from(plugin.service.is_some())
        };
        let applies = |plugin: &&Plugin| {
            plugin.name == name
                && plugin.is_in_use()
                && plugin.route.is_none_or(|own| own == route)
                && (plugin.service.is_none() || plugin.service == service)
        };
        self.plugins.iter().filter(applies).max_by_key(weight)
    }
}

impl Plugin {
    fn is_in_use(&self) -> bool {
        self.is_enabled && !self.is_gone
    }
}

impl Route {
    fn matches(&self, request: &Request) -> bool {
        let host = request.host.split(':').next().unwrap();
        let is_for = |own: &&str| match (own.strip_prefix('*'), own.strip_suffix('*')) {
            (Some(end), _) => host.ends_with(end),
            (_, Some(start)) => host.starts_with(start),
            _ => *own == host,
        };
        let has_mode = |mode: &str| self.modes.iter().any(|own| own.eq_ignore_ascii_case(mode));
        (self.methods.is_empty() || self.methods.contains(&request.method))
            && (self.hosts.is_empty() || self.hosts.iter().any(is_for))
            && (self.modes.is_empty() || request.mode.is_some_and(has_mode))
    }

    fn priority(&self, path: Option<&Path>) -> [usize; 6] {
        let (paths, methods) = (!self.paths.is_empty(), !self.methods.is_empty());
        let (hosts, headers) = (!self.hosts.is_empty(), !self.modes.is_empty());
        let is_regex = path.is_some_and(|path| path.regex.is_some());
        [
            [paths, methods, hosts, headers].into_iter().map(usize::from).sum(),
            usize::from(hosts && !self.hosts.iter().any(|host| host.contains('*'))),
            usize::from(headers),
            usize::from(is_regex),
            if is_regex { self.regex_priority } else { 0 },
            path.filter(|_| !is_regex).map_or(0, |path| path.text.len()),
        ]
    }
}

impl Path {
    fn matches(&self, path: &str) -> bool {
        self.regex.map_or_else(|| path.starts_with(self.text), |regex| regex(path))
    }
}

fn is_valid(config: &Value, token: &Token) -> bool {
    let verifies = |claim: &str| {
        let claims = config["claims_to_verify"].as_array();
        claims.is_some_and(|claims| claims.iter().any(|it| it == claim))
    };
    let header = config["header_names"][0].as_str().unwrap_or("authorization");
    let longest = config["maximum_expiration"].as_i64().filter(|max| *max > 0);
    token.is_signed
        && token.header == header
        && config["key_claim_name"].as_str().is_none_or(|name| name == "iss")
        && (!verifies("exp") || token.expires.is_some_and(|expires| expires > 0))
        && (!verifies("nbf") || token.not_before.is_some_and(|before| before <= 0))
        && longest.is_none_or(|max| token.expires.is_some_and(|expires| expires <= max))
}

/// The path that routes are compared with: escapes decoded but of reserved
/// characters, slashes merged, dot segments resolved.
pub fn normalize(path: &str) -> String {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let (digits, after) = after.split_at(2);
        let byte = u8::from_str_radix(digits, 16).unwrap();
        if b"!*'();:@&=+$,/?%#[]".contains(&byte) {
            decoded.push_str(&format!("%{byte:02X}"));
        } else {
            decoded.push(char::from(byte));
        }
        rest = after;
    }
    decoded.push_str(rest);
    let mut segments = Vec::new();
    let parts: Vec<_> = decoded.split('/').skip(1).collect();
    for (position, part) in parts.iter().enumerate() {
        let is_last = position + 1 == parts.len();
        match *part {
            ".." => drop(segments.pop()),
            "" if !is_last => {}
            "." => {}
            part => segments.push(part),
        }
        if is_last && matches!(*part, "." | "..") {
            segments.push("");
        }
    }
    format!("/{}", segments.join("/"))
}
