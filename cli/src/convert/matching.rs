//! Sets of requests, described by conditions that rules have, and how two such sets
//! relate: whether one contains the other, and whether they overlap.
//!
//! Paths are compared as rules compare them: decoded, whatever the query. In doubt, two
//! sets are taken to overlap.

use std::collections::{BTreeMap, BTreeSet};

use gatepass::config::check_match;
use serde_json::{Map, Value, json};

/// A set of paths, as a condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Every path.
    Any,
    /// This path only.
    Exact(String),
    /// This path, and those below it.
    Below(String),
    /// Paths that begin with this text.
    Beginning(String),
    /// Paths that match a template such as `/users/*`.
    Template(String),
}

/// A condition on a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It must be sent.
    Present,
    /// It must not be sent.
    Absent,
    /// It must have this value.
    Equals(String),
}

/// A set of requests, as conditions of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) path: Path,
    /// Their methods; `None` for every method.
    pub(super) methods: Option<BTreeSet<String>>,
    /// Their hosts, such as `a.example` or `*.a.example`; `None` for every host.
    pub(super) hosts: Option<BTreeSet<String>>,
    pub(super) headers: BTreeMap<String, Header>,
    /// True if there are further conditions, which rules cannot express.
    pub(super) is_partial: bool,
}

impl Path {
    /// The text that all of these paths begin with.
    fn start(&self) -> &str {
        match self {
            Self::Any => "",
            Self::Exact(text) | Self::Below(text) | Self::Beginning(text) => text,
            Self::Template(text) => text.split(['*', '{']).next().unwrap_or_default(),
        }
    }

    /// Whether this set contains all paths of `other`.
    fn covers(&self, other: &Self) -> bool {
        match self {
            // As a rule has it: every path begins with a slash.
            _ if self.field().is_none() => true,
            Self::Any => true,
            Self::Beginning(text) => other.start().starts_with(text.as_str()),
            Self::Below(text) => {
                let is_whole = |other: &Self| matches!(other, Self::Exact(_) | Self::Below(_));
                match other.start().strip_prefix(text.as_str()) {
                    Some("") if !text.ends_with('/') => is_whole(other),
                    Some(rest) => text.ends_with('/') || rest.starts_with('/'),
                    None => false,
                }
            }
            Self::Exact(_) | Self::Template(_) => self == other,
        }
    }

    fn meets(&self, other: &Self) -> bool {
        let is_template = |path: &Self| matches!(path, Self::Template(_));
        let (own, others) = (self.start(), other.start());
        let is_near = own.starts_with(others) || others.starts_with(own);
        self.covers(other)
            || other.covers(self)
            || (is_template(self) || is_template(other)) && is_near
    }

    /// Whether the source and Gatepass read the path alike: it has only characters that
    /// nobody encodes.
    fn is_plain(&self) -> bool {
        let (text, operators) = match self {
            Self::Any => return true,
            Self::Template(text) => (text, "{}*="),
            Self::Exact(text) | Self::Below(text) | Self::Beginning(text) => (text, ""),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        text.starts_with('/') && text.chars().all(|c| is_plain(c) || operators.contains(c))
    }

    fn field(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Any => None,
            Self::Beginning(text) if text == "/" => None,
            Self::Below(text) if text == "/" => None,
            Self::Exact(text) => Some(("path", text)),
            Self::Below(text) => Some(("path_prefix", text)),
            Self::Beginning(text) => Some(("path_starts_with", text)),
            Self::Template(text) => Some(("path_template", text)),
        }
    }

    fn is_accepted(&self) -> bool {
        self.field().is_none_or(|(name, text)| check_match(&json!({ name: text })).is_ok())
    }

    /// Whether the other one differs in case only.
    pub(super) fn is_in_another_case(&self, other: &Self) -> bool {
        let text = |path: &Self| path.field().map(|(name, text)| (name, text.to_lowercase()));
        self != other && text(self) == text(other)
    }

    /// A set that contains all of these paths, and that a rule can express.
    fn widened(&self) -> Self {
        let mut path = self.clone();
        while !path.is_accepted() {
            let start = path.start();
            let above = start.trim_end_matches('/').rsplit_once('/');
            // What is left of doubled slashes begins no accepted path.
            path = match above.map(|(above, _)| above.trim_end_matches('/')) {
                Some(above) if !above.is_empty() => Self::Beginning(format!("{above}/")),
                _ => Self::Any,
            };
        }
        path
    }
}

impl Match {
    /// All requests.
    pub(super) const fn all() -> Self {
        Self {
            path: Path::Any,
            methods: None,
            hosts: None,
            headers: BTreeMap::new(),
            is_partial: false,
        }
    }

    /// All requests with these paths.
    pub(super) fn of(path: Path) -> Self {
        Self { path, ..Self::all() }
    }

    /// Whether this set contains all requests of `other`, by the conditions that rules have.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let has_methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(own), Some(others)) => own.is_superset(others),
            (Some(_), None) => false,
        };
        let has_hosts = match (&self.hosts, &other.hosts) {
            (None, _) => true,
            (Some(own), Some(others)) => {
                others.iter().all(|host| own.iter().any(|it| covers_host(it, host)))
            }
            (Some(_), None) => false,
        };
        let is_asked = |(name, header): (&String, &Header)| match other.headers.get(name) {
            Some(Header::Equals(_)) if *header == Header::Present => true,
            found => found == Some(header),
        };
        self.path.covers(&other.path)
            && has_methods
            && has_hosts
            && self.headers.iter().all(is_asked)
    }

    /// Whether a request may be in both sets.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let share_methods = match (&self.methods, &other.methods) {
            (Some(own), Some(others)) => !own.is_disjoint(others),
            _ => true,
        };
        let share_hosts = match (&self.hosts, &other.hosts) {
            (Some(own), Some(others)) => {
                own.iter().any(|one| others.iter().any(|two| meet_hosts(one, two)))
            }
            _ => true,
        };
        let contradicts = |(name, own): (&String, &Header)| match (own, other.headers.get(name)) {
            (Header::Equals(own), Some(Header::Equals(others))) => own != others,
            (Header::Absent, Some(others)) => *others != Header::Absent,
            (own, Some(Header::Absent)) => *own != Header::Absent,
            _ => false,
        };
        self.path.meets(&other.path)
            && share_methods
            && share_hosts
            && !self.headers.iter().any(contradicts)
    }

    /// The requests that are in both sets; `None` if neither set has all paths of the other.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let path = if self.path.covers(&other.path) {
            other.path.clone()
        } else if other.path.covers(&self.path) {
            self.path.clone()
        } else {
            return None;
        };
        let methods = match (&self.methods, &other.methods) {
            (Some(own), Some(others)) => Some(own.intersection(others).cloned().collect()),
            (own, others) => own.as_ref().or(others.as_ref()).cloned(),
        };
        let hosts = match (&self.hosts, &other.hosts) {
            (Some(own), Some(others)) => Some(shared_hosts(own, others)),
            (own, others) => own.as_ref().or(others.as_ref()).cloned(),
        };
        let mut headers = self.headers.clone();
        for (name, header) in &other.headers {
            match headers.get(name) {
                Some(Header::Equals(_)) => {}
                _ => drop(headers.insert(name.clone(), header.clone())),
            }
        }
        let is_partial = self.is_partial || other.is_partial;
        Some(Self { path, methods, hosts, headers, is_partial })
    }

    /// Whether a rule can match exactly these requests.
    pub(super) fn is_exact(&self) -> bool {
        !self.is_partial && self.path.is_plain() && check_match(&self.to_json()).is_ok()
    }

    /// A set that contains all of these requests, and that a rule can match.
    pub(super) fn widened(&self) -> Self {
        let mut wide = Self {
            path: self.path.widened(),
            is_partial: self.is_partial || !self.path.is_plain(),
            ..self.clone()
        };
        if check_match(&wide.to_json()).is_ok() {
            return wide;
        }
        wide = Self { is_partial: true, methods: None, ..wide };
        if check_match(&wide.to_json()).is_err() {
            wide = Self { hosts: None, headers: BTreeMap::new(), ..wide };
        }
        wide
    }

    /// The `match` of a rule for these requests.
    pub(super) fn to_json(&self) -> Value {
        let mut matching = Map::new();
        if let Some((name, text)) = self.path.field() {
            matching.insert(name.to_owned(), text.into());
        }
        if let Some(methods) = &self.methods {
            matching.insert("methods".to_owned(), json!(methods));
        }
        if let Some(hosts) = &self.hosts {
            matching.insert("hosts".to_owned(), json!(hosts));
        }
        if !self.headers.is_empty() {
            let headers = self.headers.iter().map(|(name, header)| match header {
                Header::Present => json!({ "name": name, "present": true }),
                Header::Absent => json!({ "name": name, "present": false }),
                Header::Equals(value) => json!({ "name": name, "value": value }),
            });
            matching.insert("headers".to_owned(), headers.collect());
        }
        Value::Object(matching)
    }
}

fn shared_hosts(one: &BTreeSet<String>, two: &BTreeSet<String>) -> BTreeSet<String> {
    let within = |own: &BTreeSet<String>, others: &BTreeSet<String>| {
        let is_covered = |host: &&String| others.iter().any(|other| covers_host(other, host));
        own.iter().filter(is_covered).cloned().collect::<Vec<_>>()
    };
    within(one, two).into_iter().chain(within(two, one)).collect()
}

fn covers_host(one: &str, two: &str) -> bool {
    match one.strip_prefix('*') {
        // `*.example` is not for `example` itself.
        Some(end) => one == two || two.trim_start_matches('*').ends_with(end),
        None => one == two,
    }
}

fn meet_hosts(one: &str, two: &str) -> bool {
    covers_host(one, two) || covers_host(two, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        match (text.split_at(1), text) {
            (_, "any") => Path::Any,
            (("=", rest), _) => Path::Exact(rest.to_owned()),
            ((">", rest), _) => Path::Below(rest.to_owned()),
            (("~", rest), _) => Path::Beginning(rest.to_owned()),
            ((_, rest), _) => Path::Template(rest.to_owned()),
        }
    }

    #[test]
    fn paths_to_each_other() {
        for (one, two, covers, meets) in [
            ("any", "=/a", true, true),
            ("~/", "any", true, true),
            (">/", "any", true, true),
            ("~/a", "any", false, true),
            ("~/a", "=/ab", true, true),
            ("~/a", ">/a", true, true),
            (">/a", "~/a", false, true),
            (">/a", "=/a", true, true),
            (">/a", "=/a/b", true, true),
            (">/a", "=/ab", false, false),
            (">/a/", "=/a", false, false),
            (">/a/", "=/a/", true, true),
            (">/a", "~/a/", true, true),
            (">/a", "~/ab", false, false),
            ("=/a", "=/b", false, false),
            ("t/a/*/b", "=/a/x/b", false, true),
            ("t/a/*/b", "=/b", false, false),
            ("~/a", "t/a/*", true, true),
            (">/a", "t/a/*", true, true),
        ] {
            let (one_path, two_path) = (path(one), path(two));
            assert_eq!(one_path.covers(&two_path), covers, "{one} covers {two}");
            assert_eq!(one_path.meets(&two_path), meets, "{one} meets {two}");
            assert_eq!(two_path.meets(&one_path), meets, "{two} meets {one}");
        }
    }

    #[test]
    fn what_no_rule_can_have_is_widened() {
        for (from, to) in [
            ("=/a//b", Path::Beginning("/a/".into())),
            ("=/{x}", Path::Any),
            ("~a", Path::Any),
            ("=/a/b", Path::Exact("/a/b".into())),
        ] {
            assert_eq!(path(from).widened(), to, "{from}");
        }
    }

    #[test]
    fn hosts_to_each_other() {
        for (one, two, covers) in [
            ("a.example", "a.example", true),
            ("*.example", "a.example", true),
            ("*.example", "*.a.example", true),
            ("*.a.example", "*.example", false),
            ("*.example", "example", false),
        ] {
            assert_eq!(covers_host(one, two), covers, "{one} {two}");
        }
    }
}
