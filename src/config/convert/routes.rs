//! Routes with the jwt and acl plugins as rules.

use serde_json::{Map, Value, json};

use super::{Anonymous, ConvertError, Note, Notes, list, text};

/// A route and the plugins that apply to it.
pub(super) struct Route {
    pub(super) place: String,
    pub(super) plugins: Plugins,
    paths: Vec<String>,
    methods: Vec<String>,
    hosts: Vec<String>,
    headers: usize,
}

/// The plugins that apply: the route's, else the service's, else the global.
#[derive(Clone, Default)]
pub(super) struct Plugins {
    pub(super) jwt: Option<Map<String, Value>>,
    acl: Option<Map<String, Value>>,
    pub(super) others: Vec<String>,
}

/// Every route.
pub(super) fn all(kong: &Value, notes: &mut Notes) -> Vec<Route> {
    let beside: Vec<&Value> = list(kong, "plugins").collect();
    let global = Plugins::default().with(
        beside.iter().copied().filter(|plugin| {
            ["service", "route"].iter().all(|scope| plugin.get(scope).is_none_or(Value::is_null))
        }),
        notes,
    );
    let mut routes = Vec::new();
    for service in list(kong, "services") {
        let plugins = global.clone().with(of(service, "service", &beside), notes);
        let nested = list(service, "routes");
        let beside_it = list(kong, "routes").filter(|route| refers(route, "service", service));
        routes.extend(
            nested.chain(beside_it).map(|route| Route::read(route, &plugins, &beside, notes)),
        );
    }
    let alone =
        list(kong, "routes").filter(|route| route.get("service").is_none_or(Value::is_null));
    routes.extend(alone.map(|route| Route::read(route, &global, &beside, notes)));
    routes
}

/// The plugins of an entity: in it, or beside it with its name.
fn of<'a>(
    entity: &'a Value,
    kind: &'static str,
    beside: &'a [&'a Value],
) -> impl Iterator<Item = &'a Value> {
    let attached = beside.iter().copied().filter(move |plugin| refers(plugin, kind, entity));
    list(entity, "plugins").chain(attached)
}

fn refers(item: &Value, kind: &str, entity: &Value) -> bool {
    let Some(reference) = item.get(kind) else { return false };
    let name =
        reference.as_str().or_else(|| text(reference, "id")).or_else(|| text(reference, "name"));
    name.is_some() && (text(entity, "name") == name || text(entity, "id") == name)
}

impl Plugins {
    fn with<'a>(mut self, plugins: impl Iterator<Item = &'a Value>, notes: &mut Notes) -> Self {
        for plugin in plugins {
            let name = text(plugin, "name").unwrap_or_default();
            let is_enabled = plugin.get("enabled") != Some(&json!(false));
            let is_of_consumer = ["consumer", "consumer_group"]
                .iter()
                .any(|scope| plugin.get(scope).is_some_and(|it| !it.is_null()));
            let config =
                plugin.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
            match name {
                "jwt" | "acl" if is_of_consumer => {
                    notes
                        .add(&format!("plugin {name}"), "for a consumer alone is not carried over");
                }
                // One that is disabled takes away that of the service.
                "jwt" => self.jwt = is_enabled.then_some(config),
                "acl" => self.acl = is_enabled.then_some(config),
                _ if is_enabled => self.others.push(name.to_owned()),
                _ => {}
            }
        }
        self
    }
}

impl Route {
    fn read(route: &Value, plugins: &Plugins, beside: &[&Value], notes: &mut Notes) -> Self {
        let texts =
            |field| list(route, field).filter_map(Value::as_str).map(str::to_owned).collect();
        let name = text(route, "name").or_else(|| text(route, "id")).unwrap_or("without a name");
        let conditions = ["headers", "snis", "sources", "destinations", "expression"];
        Self {
            place: format!("route {name}"),
            plugins: plugins.clone().with(of(route, "route", beside), notes),
            paths: texts("paths"),
            methods: texts("methods"),
            hosts: texts("hosts"),
            headers: conditions
                .iter()
                .filter(|it| route.get(it).is_some_and(|v| !v.is_null()))
                .count(),
        }
    }

    /// Whether rules can tell its requests: not by regular expressions, and by
    /// no other condition than path, method and host.
    fn can_be_told(&self) -> bool {
        let is_plain = |path: &String| !path.starts_with('~');
        let is_name = |host: &String| !host.ends_with(".*") && !host.contains(':');
        self.headers == 0 && self.paths.iter().all(is_plain) && self.hosts.iter().all(is_name)
    }

    /// Kong's router tries routes with more conditions first, then hosts without
    /// a wildcard, then the longest path.
    fn precedence(&self, path: Option<&str>) -> (usize, bool, usize) {
        let conditions = [!self.paths.is_empty(), !self.methods.is_empty(), !self.hosts.is_empty()];
        let count = conditions.iter().filter(|it| **it).count();
        let is_exact = !self.hosts.iter().any(|host| host.contains('*'));
        (count, is_exact, path.map_or(0, str::len))
    }

    fn matching(&self, path: Option<&str>) -> Value {
        let mut matching = Map::new();
        if let Some(path) = path {
            matching.insert("path_prefix".into(), path.into());
        }
        if !self.methods.is_empty() {
            matching.insert("methods".into(), json!(self.methods));
        }
        if !self.hosts.is_empty() {
            matching.insert("hosts".into(), json!(self.hosts));
        }
        Value::Object(matching)
    }

    fn requires(&self, anonymous: Option<&Anonymous>, notes: &mut Notes) -> Value {
        let mut requires = Map::from_iter([("providers".to_owned(), json!(["kong"]))]);
        let groups = |option: &str| -> Vec<String> {
            let acl = self.plugins.acl.as_ref().and_then(|acl| acl.get(option)?.as_array());
            acl.into_iter().flatten().filter_map(|it| Some(it.as_str()?.to_owned())).collect()
        };
        let (allow, deny) = (groups("allow"), groups("deny"));
        for (option, value) in self.plugins.acl.iter().flatten() {
            let is_read = ["allow", "deny", "hide_groups_header"].contains(&option.as_str());
            if !is_read && !matches!(value, Value::Null | Value::Bool(false)) {
                notes.add(&self.place, format_args!("acl's {option} is not carried over"));
            }
            if option == "hide_groups_header" && *value == json!(true) {
                notes
                    .add(&self.place, "X-Consumer-Groups is sent: hide_groups_header is not known");
            }
        }
        for (field, names) in [("groups_any", &allow), ("groups_none", &deny)] {
            if !names.is_empty() {
                requires.insert(field.to_owned(), json!(names));
            }
        }
        let wanted = self.plugins.jwt.as_ref().and_then(|jwt| jwt.get("anonymous")?.as_str());
        if let (Some(anonymous), Some(wanted)) = (anonymous, wanted)
            && anonymous.named == wanted
        {
            let has = |names: &[String]| names.iter().any(|it| anonymous.groups.contains(it));
            if (allow.is_empty() || has(&allow)) && !has(&deny) {
                requires.insert("allow_missing".into(), json!(true));
            } else {
                notes
                    .add(&self.place, "without a token 401, not 403: anonymous has not its groups");
            }
        }
        Value::Object(requires)
    }
}

/// The rules, in the order of Kong's router.
pub(super) fn rules(
    routes: &[Route],
    anonymous: Option<&Anonymous>,
    notes: &mut Notes,
) -> Result<Vec<Value>, ConvertError> {
    const NO_RULE: &str = "its conditions (a regular expression, headers, a host with a port or \
                           a wildcard at its end, or others) are none that a rule can have";
    let mut by_hand = Vec::new();
    let mut told = Vec::new();
    for route in routes {
        let is_protected = route.plugins.jwt.is_some();
        if route.can_be_told() {
            let paths: Vec<_> = route.paths.iter().map(|path| Some(path.as_str())).collect();
            let paths = if paths.is_empty() { vec![None] } else { paths };
            told.extend(paths.into_iter().map(|path| (route, path)));
        } else if is_protected && route.plugins.acl.is_some() {
            let (place, text) = (route.place.clone(), NO_RULE.to_owned());
            by_hand.push(Note { place, text, is_change: true });
        } else {
            notes.add(&route.place, format_args!("{NO_RULE}; a valid token is needed"));
        }
    }
    if !by_hand.is_empty() {
        return Err(ConvertError::Routes(by_hand));
    }
    let is_hidden = routes.iter().any(|route| !route.can_be_told() && route.plugins.jwt.is_some());
    told.sort_by_key(|(route, path)| std::cmp::Reverse(route.precedence(*path)));
    let protected: Vec<_> =
        told.iter().filter(|(route, _)| route.plugins.jwt.is_some()).copied().collect();
    let mut rules = Vec::new();
    for (route, path) in &told {
        let (route, path) = (*route, *path);
        let below = protected.iter().find(|(other, longer)| {
            goes_on(path, *longer) && other.plugins.acl.as_ref() != route.plugins.acl.as_ref()
                || goes_on(path, *longer) && route.plugins.jwt.is_none()
        });
        let access = if route.plugins.jwt.is_some() {
            if let Some((other, longer)) = below {
                notes.add(
                    &route.place,
                    format_args!(
                        "a path that goes on after {} without a slash is this route's here; in \
                         Kong it is that of {}",
                        longer.unwrap_or("/"),
                        other.place
                    ),
                );
            }
            json!({ "match": route.matching(path), "requires": route.requires(anonymous, notes) })
        } else if is_hidden || below.is_some() {
            notes.add(
                &route.place,
                "has no jwt plugin, but shares its paths with protected routes: a valid token is \
                 needed, until you write a rule with bypass",
            );
            continue;
        } else {
            notes.tell(&route.place, "has no jwt plugin: it passes without a token, as before");
            json!({ "match": route.matching(path), "bypass": true })
        };
        rules.push(access);
    }
    Ok(rules)
}

/// Whether `longer` begins with `path`, and could go on within a segment: paths
/// of Kong are prefixes of the text, those of rules of whole segments.
fn goes_on(path: Option<&str>, longer: Option<&str>) -> bool {
    let (path, longer) = (path.unwrap_or("/"), longer.unwrap_or("/"));
    longer.len() > path.len() && longer.starts_with(path) && !longer.ends_with('/')
}
