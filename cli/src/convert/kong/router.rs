//! In which order Kong's router tries routes, and which requests two of them may
//! both be for (router_flavor traditional_compatible, the default;
//! kong/router/transform.lua).
//!
//! Where something is not certain, two routes are taken to share requests.

use std::borrow::Cow;
use std::cmp::Ordering;

use gatepass::config::check_match;
use gatepass::http::percent_decode;
use serde_json::{Map, Value, json};

use super::entities::Route;
use crate::convert::need::Need;

/// One path of a route, or a route without paths: Kong ranks each by itself.
pub(super) struct Entry<'k> {
    pub(super) route: &'k Route,
    path: Option<&'k str>,
    rank: Option<Rank>,
    /// Kong's requirements.
    pub(super) need: Need,
    /// The `match` of a rule for it, if rules can tell its requests.
    pub(super) matching: Option<Value>,
}

/// Kong's priority: how many fields a route has, whether its hosts are all
/// without a wildcard, how many headers, whether its path is a regular
/// expression and of which priority, how long the path is.
type Rank = (usize, bool, usize, bool, u64, usize);

/// How a rule's path matches: whole segments, any text after it, or nothing after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Segments,
    Text,
    Exact,
}

impl<'k> Entry<'k> {
    /// The entries of a route that is asked `need` of.
    pub(super) fn of(route: &'k Route, need: &Need) -> Vec<Self> {
        let paths: Vec<_> = match route.paths.as_slice() {
            [] => vec![None],
            _ if route.is_expression => vec![None],
            paths => paths.iter().map(|path| Some(path.as_str())).collect(),
        };
        let entry = |path| {
            let mut entry =
                Self { route, path, rank: rank(route, path), need: need.clone(), matching: None };
            entry.matching = entry.matching();
            entry
        };
        paths.into_iter().map(entry).collect()
    }

    /// The order in which rules stand: Kong's, as far as it is known.
    pub(super) const fn order(&self) -> Option<Rank> {
        self.rank
    }

    /// A rule that matches at least the requests of this entry; of an open one
    /// at most, since more of them would be open.
    fn matching(&self) -> Option<Value> {
        let Route { methods, hosts, headers, others, is_expression, .. } = self.route;
        if *headers > 0 || *others > 0 || *is_expression {
            return None;
        }
        let mut matching = Map::new();
        if let Some(path) = self.path_of_rule() {
            let field = match self.extent() {
                Extent::Exact => "path",
                Extent::Segments => "path_prefix",
                Extent::Text if path == "/" => "path_prefix",
                Extent::Text => "path_starts_with",
            };
            matching.insert(field.to_owned(), path.into());
        }
        if !methods.is_empty() {
            matching.insert("methods".to_owned(), json!(methods));
        }
        if !hosts.is_empty() {
            matching.insert("hosts".to_owned(), json!(hosts));
        }
        let matching = Value::Object(matching);
        // A rule cannot have what the reader of rules refuses.
        check_match(&matching).is_ok().then_some(matching)
    }

    fn extent(&self) -> Extent {
        match self.path.and_then(literal) {
            Some(_) => Extent::Exact,
            None if self.need == Need::Open => Extent::Segments,
            None => Extent::Text,
        }
    }

    /// The path as a rule has it. A regular expression that no rule can have stays one, and
    /// is refused by the reader of rules.
    fn path_of_rule(&self) -> Option<Cow<'k, str>> {
        let path = self.path?;
        Some(literal(path).map_or(Cow::Borrowed(path), |literal| Cow::Owned(literal.text)))
    }

    /// Whether the rule of `self` may decide a request that Kong has for `other`.
    /// `is_before`: whether that rule stands before the other one.
    pub(super) fn may_decide_for(&self, other: &Self, is_before: bool) -> bool {
        if !self.shares_methods(other) || !self.shares_hosts(other) || !self.shares_paths(other) {
            return false;
        }
        match self.compared(other) {
            // Kong would take this route for all that its rule matches.
            Ordering::Greater => !self.is_within(other),
            // The other rule stands before this one.
            Ordering::Less => !other.is_covered(),
            Ordering::Equal => is_before || !other.is_covered(),
        }
    }

    /// Which of the two Kong tries first, where that is certain.
    fn compared(&self, other: &Self) -> Ordering {
        let (Some(own), Some(others)) = (self.rank, other.rank) else { return Ordering::Equal };
        let order = own.cmp(&others);
        match (&self.route.controller, &other.route.controller) {
            // Which flavour of the router the controller writes for is not in its manifests.
            (Some(one), Some(two)) if one.order.compared(&two.order) != order => Ordering::Equal,
            _ => order,
        }
    }

    /// Whether the rule matches all the requests of its route.
    pub(super) fn is_covered(&self) -> bool {
        // The paths of open routes may cover less, which does not matter.
        self.matching.is_some() && self.is_plain()
    }

    /// Whether the rule matches only requests that Kong has for this route, or
    /// else for one that `other` is not.
    fn is_within(&self, other: &Self) -> bool {
        // Hosts of rules are matched in any case, in Kong only as they stand.
        let is_lower = |host: &String| !host.bytes().any(|byte| byte.is_ascii_uppercase());
        let is_exact = |host: &String| !host.contains(['*', ':']) && is_lower(host);
        let (own, others) = (&self.route.hosts, &other.route.hosts);
        let is_told_by_host =
            own.iter().all(is_lower) && !others.is_empty() && others.iter().all(is_exact);
        self.is_plain() && (own.is_empty() || is_told_by_host)
    }

    /// Whether the path is read alike by both: without characters that Kong
    /// leaves encoded and rules decode.
    fn is_plain(&self) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        self.path.is_none_or(|path| match literal(path) {
            Some(literal) => literal.is_only,
            None => path.starts_with('/') && path.bytes().all(is_plain),
        })
    }

    /// Whether a path in another case may be this entry's and, for those who do not tell
    /// cases apart, the other's: Kong takes it for this one's, rules refuse it.
    pub(super) fn differs_in_case(&self, other: &Self) -> bool {
        let of_rule = other.path_of_rule().filter(|_| other.matching.is_some());
        let Some(others) = of_rule else { return false };
        let folded = |start: &[u8]| start.to_ascii_lowercase();
        let (own, others) = (
            folded(&self.path.map(certain_start).unwrap_or_default()),
            folded(&percent_decode(others.as_bytes())),
        );
        own != others
            && others.iter().any(u8::is_ascii_alphabetic)
            && (own.starts_with(&others) || others.starts_with(&own))
            && self.shares_methods(other)
            && self.shares_hosts(other)
    }

    fn shares_methods(&self, other: &Self) -> bool {
        let (own, others) = (&self.route.methods, &other.route.methods);
        let is_any = |entry: &Self| entry.route.methods.is_empty() || entry.route.is_expression;
        is_any(self) || is_any(other) || own.iter().any(|method| others.contains(method))
    }

    fn shares_hosts(&self, other: &Self) -> bool {
        let (own, others) = (&self.route.hosts, &other.route.hosts);
        let is_any = |entry: &Self| entry.route.hosts.is_empty() || entry.route.is_expression;
        is_any(self)
            || is_any(other)
            || own.iter().any(|one| others.iter().any(|two| hosts_meet(one, two)))
    }

    /// Whether a path that this entry's rule matches may be one of `other`.
    fn shares_paths(&self, other: &Self) -> bool {
        let Some(start) = other.path.map(certain_start) else { return true };
        let Some(own) = self.path_of_rule().map(|it| percent_decode(it.as_bytes()).into_owned())
        else {
            return true;
        };
        let is_whole = other.path.and_then(literal).is_some_and(|it| it.is_only);
        let is_below = match self.extent() {
            Extent::Exact => is_whole && own == start,
            Extent::Text => start.starts_with(&own),
            Extent::Segments => start.strip_prefix(own.as_slice()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(b"/") || own.ends_with(b"/")
            }),
        };
        is_below || !is_whole && own.starts_with(&start)
    }
}

/// The one path that an expression matches, as `~/admin$`.
struct Literal {
    text: String,
    /// False if a dot in it stands for other characters, too.
    is_only: bool,
}

fn literal(path: &str) -> Option<Literal> {
    let inner = path.strip_prefix('~')?.strip_suffix('$')?;
    let mut literal = Literal { text: String::new(), is_only: true };
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        let is_plain = character.is_ascii_alphanumeric() || "-_~/".contains(character);
        match character {
            '\\' if characters.next()? == '.' => literal.text.push('.'),
            '.' => {
                literal.is_only = false;
                literal.text.push('.');
            }
            _ if is_plain => literal.text.push(character),
            _ => return None,
        }
    }
    literal.text.starts_with('/').then_some(literal)
}

fn rank(route: &Route, path: Option<&str>) -> Option<Rank> {
    let is_uncertain = route.controller.as_ref().is_some_and(|it| it.is_uncertain);
    if route.is_expression || route.has_empty_hosts || is_uncertain {
        return None;
    }
    let fields = [
        !route.paths.is_empty(),
        !route.methods.is_empty(),
        !route.hosts.is_empty(),
        route.headers > 0,
    ];
    let count = fields.iter().filter(|it| **it).count().saturating_add(route.others);
    let is_exact = !route.hosts.is_empty() && !route.hosts.iter().any(|host| host.contains('*'));
    let is_regex = path.is_some_and(|path| path.starts_with('~'));
    let priority = if is_regex { route.regex_priority } else { 0 };
    let length = path.filter(|_| !is_regex).map_or(0, str::len);
    Some((count, is_exact, route.headers, is_regex, priority, length))
}

/// With what all paths begin that a path of Kong matches, percent-decoded.
fn certain_start(path: &str) -> Vec<u8> {
    if let Some(literal) = literal(path).filter(|it| it.is_only) {
        return literal.text.into_bytes();
    }
    let Some(expression) = path.strip_prefix('~') else {
        // An escape is matched as text, so that a path may end within one.
        let text = path.split('%').next().unwrap_or_default();
        return text.as_bytes().to_vec();
    };
    // Alternatives may begin differently; those within brackets are not analysed.
    if expression.contains('|') && expression.contains(['[', '\\']) || has_outer_choice(expression)
    {
        return Vec::new();
    }
    let is_literal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_~/".contains(byte);
    let mut start: Vec<u8> = expression.bytes().take_while(is_literal).collect();
    // A quantifier makes the character before it optional.
    if expression.as_bytes().get(start.len()).is_some_and(|byte| b"*?{".contains(byte)) {
        start.pop();
    }
    start
}

fn has_outer_choice(expression: &str) -> bool {
    let mut depth = 0_usize;
    expression.bytes().any(|byte| {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        byte == b'|' && depth == 0
    })
}

/// Whether a request may be for both hosts, whatever case and port.
fn hosts_meet(one: &str, two: &str) -> bool {
    let plain = |host: &str| {
        let host = host.to_ascii_lowercase();
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
            _ => host,
        }
    };
    let (one, two) = (plain(one), plain(two));
    let fits = |pattern: &str, host: &str| match pattern.split_once('*') {
        // Two patterns may overlap unless their ends differ.
        _ if host.contains('*') => {
            let (of_pattern, of_host) = (pattern.strip_prefix('*'), host.strip_prefix('*'));
            match (of_pattern, of_host) {
                (Some(one), Some(two)) => one.ends_with(two) || two.ends_with(one),
                _ => pattern.contains('*'),
            }
        }
        Some((start, end)) => host.starts_with(start) && host.ends_with(end),
        None => pattern == host,
    };
    fits(&one, &two) || fits(&two, &one)
}
