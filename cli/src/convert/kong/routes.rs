//! Routes as rules, none of which asks less than Kong does.
//!
//! A rule may decide requests that Kong has for another route: one that no rule
//! can tell, one of the same rank, one that is matched byte for byte. Each rule
//! asks what all of those need together, and a last rule what is needed of
//! requests that no other rule matches.

use std::collections::BTreeSet;

use gatepass::http::is_unambiguous;
use serde_json::{Value, json};

use super::Anonymous;
use super::applied::Applied;
use super::bearer::Bearer;
use super::beside;
use super::entities::{Kong, Route};
use super::issuer::IssuerPlugin;
use super::joined;
use super::plugins::{Jwt, Lookup, asks_consumers, is_harmless};
use super::router::Entry;
use crate::arguments::ConvertTo;
use crate::convert::Notes;
use crate::convert::need::{Access, Claim, Missing, Need};

/// The settings common to all routes.
pub(super) struct Common<'k> {
    /// The first jwt plugin's way to find tokens and keys.
    pub(super) lookup: Option<&'k Lookup>,
    pub(super) anonymous: Option<&'k Anonymous>,
    /// The plugins that take tokens of issuers, if these are what is converted.
    pub(super) bearer: Option<&'k Bearer>,
    /// What a valid token is.
    pub(super) valid: &'k Access,
    /// What is written.
    pub(super) to: ConvertTo,
}

/// The requirements of each route.
pub(super) struct Needs<'k> {
    pub(super) all: Vec<Need>,
    /// Those without the plugins that may refuse requests and are not carried over.
    without: Vec<Need>,
    /// The names of these.
    closing: Vec<Vec<&'k str>>,
}

/// The routes of which Kong's router knows, with their plugins.
pub(super) fn in_use<'k>(kong: &'k Kong, notes: &mut Notes) -> Vec<(usize, &'k Route)> {
    let mut routes = Vec::new();
    for (position, route) in kong.routes.iter().enumerate() {
        let service = route.service.and_then(|service| kong.services.get(service));
        let is_of_streams = |protocol: &String| {
            ["tcp", "tls", "udp", "tls_passthrough"].contains(&protocol.as_str())
        };
        if service.is_some_and(|service| !service.is_enabled) {
            notes.add_info(&route.place, "is left out: its service is disabled");
        } else if route.protocols.first().is_some_and(is_of_streams) {
            notes.add_info(&route.place, "is left out: it is not for HTTP");
        } else {
            routes.push((position, route));
        }
    }
    routes
}

/// The requirements of each route.
pub(super) fn needs<'k>(
    kong: &'k Kong,
    routes: &[(usize, &'k Route)],
    common: &Common<'_>,
    notes: &mut Notes,
) -> Needs<'k> {
    let mut needs = Needs { all: Vec::new(), without: Vec::new(), closing: Vec::new() };
    for (position, route) in routes {
        let applied = Applied::to(kong, *position, route);
        let own = of_plugins(applied, &route.place, common, notes);
        let mut closing = Vec::new();
        for plugin in Applied::others(kong, *position, route) {
            let name = &plugin.name;
            if plugin.scope.consumer.is_none() && !is_harmless(name) {
                closing.push(name.as_str());
                let text = "may refuse requests, and is not carried over: nobody passes, until \
                            you decide what stands for it";
                notes.add(&route.place, format_args!("{name} {text}"));
            } else if common.to == ConvertTo::Configuration
                && asks_consumers(name)
                && (applied.jwt.is_some() || applied.issuer.is_some())
            {
                let text = "runs before the filter and sees no consumer there; beside Gatepass's \
                            plugin it sees it";
                notes.add(&format!("plugin {name}"), text);
            }
        }
        for plugin in kong.plugins.iter().filter(|plugin| !plugin.is_enabled) {
            if plugin.scope.route == Some(*position) && plugin.name == "jwt" {
                let text = "its jwt plugin is disabled, so that of its service or of all holds";
                notes.add_info(&route.place, text);
            }
        }
        about_protocols(route, notes);
        // The notes say why.
        let is_closed = route.controller.as_ref().is_some_and(|it| it.is_closed);
        let own = if is_closed { Need::Nobody } else { own };
        needs.all.push(if closing.is_empty() { own.clone() } else { Need::Nobody });
        needs.without.push(own);
        needs.closing.push(closing);
    }
    needs
}

fn about_protocols(route: &Route, notes: &mut Notes) {
    let names = |wanted: &[&str]| route.protocols.iter().any(|it| wanted.contains(&it.as_str()));
    if !route.protocols.is_empty() && !names(&["http"]) {
        let protocols = route.protocols.join(", ");
        notes.add(
            &route.place,
            format_args!("is for {protocols} only: Gatepass does not ask how a request came"),
        );
    }
}

fn of_plugins(applied: Applied<'_>, place: &str, common: &Common<'_>, notes: &mut Notes) -> Need {
    if let Some((at, plugin)) = applied.issuer {
        return of_issuer(applied, at, plugin, place, common, notes);
    }
    let Some(jwt) = applied.jwt else {
        if applied.acl.is_none() {
            return Need::Open;
        }
        notes.add(place, "acl without jwt lets nobody pass");
        return Need::Nobody;
    };
    if Some(&jwt.lookup) != common.lookup {
        let own = match common.to {
            ConvertTo::Configuration => "filter chain, or a plugin,",
            ConvertTo::KongPlugin => "plugin",
        };
        notes.add(
            place,
            format_args!(
                "its jwt plugin finds tokens or keys in another way than the first one, whose is \
                 taken: nobody passes; give it a {own} of its own"
            ),
        );
        return Need::Nobody;
    }
    let Some(mut access) = of_acl(applied, place, notes) else { return Need::Nobody };
    if takes_anonymous(jwt, &access, place, common, notes) {
        access.missing = Missing::Allowed;
    }
    Need::of(Access { tokens: common.valid.tokens.clone(), ..access })
}

/// What acl asks; `None` if nobody passes.
fn of_acl(applied: Applied<'_>, place: &str, notes: &mut Notes) -> Option<Access> {
    let access = match applied.acl.map_or(Ok(Access::default()), |acl| acl.need()) {
        Ok(access) => access,
        Err(why) => {
            notes.add(place, format_args!("{why}: nobody passes"));
            return None;
        }
    };
    if applied.acl.is_some_and(|acl| acl.is_partial()) {
        notes.add(place, "acl allows other groups, too, which are not known here");
    }
    if applied.acl.is_some_and(|acl| acl.hides_groups) {
        notes.add(place, "X-Consumer-Groups is sent: hide_groups_header is not known");
    }
    Some(access)
}

/// What a plugin asks that takes tokens of an issuer.
fn of_issuer(
    applied: Applied<'_>,
    at: usize,
    plugin: &IssuerPlugin,
    place: &str,
    common: &Common<'_>,
    notes: &mut Notes,
) -> Need {
    let Some(bearer) = common.bearer else {
        let text = "tokens of issuers beside credentials of the jwt plugin are not converted: \
                    nobody passes; convert a file without the jwt plugins by itself";
        notes.add(place, text);
        return Need::Nobody;
    };
    if applied.jwt.is_some() || applied.has_several {
        notes.add(place, "several plugins ask for a token each: nobody passes");
        return Need::Nobody;
    }
    let Some(token) = bearer.access(at) else {
        notes.add(place, "nobody passes its plugin");
        return Need::Nobody;
    };
    let has_groups = plugin.consumer.is_some() || plugin.groups_claim.is_some();
    let is_certain = plugin.consumer.as_ref().is_none_or(|mapping| !mapping.is_optional);
    if applied.acl.is_some() && !(has_groups && is_certain) {
        notes.add(place, "acl without a consumer or a claim with groups lets nobody pass");
        return Need::Nobody;
    }
    let has_both = plugin.consumer.is_some() && plugin.groups_claim.is_some();
    if has_both && applied.acl.is_some_and(|acl| acl.prefers_token) {
        let text = "acl takes groups of the token where it has some, else its consumer's: nobody \
                    passes";
        notes.add(place, text);
        return Need::Nobody;
    }
    let Some(access) = of_acl(applied, place, notes) else { return Need::Nobody };
    let groups = plugin.groups_claim.as_ref().and_then(Value::as_str);
    let mut need = Need::Token(token).and(&Need::of(access));
    if let Some(claim) = groups.filter(|_| plugin.consumer.is_none() && applied.acl.is_some()) {
        // acl refuses a token without groups, even if it only denies some.
        let claims = [(claim.to_owned(), Claim::Present)].into();
        need = need.and(&Need::of(Access { claims, ..Access::default() }));
    }
    need
}

fn takes_anonymous(
    jwt: &Jwt,
    access: &Access,
    place: &str,
    common: &Common<'_>,
    notes: &mut Notes,
) -> bool {
    let Some(anonymous) = common.anonymous else { return false };
    if jwt.anonymous.as_deref() != Some(anonymous.named.as_str()) {
        return false;
    }
    let is_in = |groups: &BTreeSet<String>| anonymous.groups.iter().any(|it| groups.contains(it));
    let passes = access.groups_any.as_ref().is_none_or(is_in) && !is_in(&access.groups_none);
    if !passes {
        let text = "a request without a token gets 401, not 403: the anonymous consumer is not in \
                    the required groups";
        notes.add(place, text);
    }
    passes
}

/// The rules with their places, in the order of Kong's router.
pub(super) fn rules(
    routes: &[(usize, &Route)],
    needs: &Needs<'_>,
    valid: &Access,
    notes: &mut Notes,
) -> Vec<(String, Value)> {
    let rules = rules_of(routes, &needs.all, valid, notes);
    let without = rules_of(routes, &needs.without, valid, &mut Notes::default());
    beside::without_closing(routes, &needs.closing, &rules, &without, notes);
    rules
}

fn rules_of(
    routes: &[(usize, &Route)],
    needs: &[Need],
    valid: &Access,
    notes: &mut Notes,
) -> Vec<(String, Value)> {
    let entries = routes.iter().zip(needs).flat_map(|((_, route), need)| Entry::of(route, need));
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.order()));
    let mut rules = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        let Some(matching) = &entry.matching else {
            about_untold(entry, notes);
            continue;
        };
        let shared: Vec<_> = entries
            .iter()
            .enumerate()
            .filter(|(other_position, other)| {
                !entry.need.covers(&other.need)
                    && entry.may_decide_for(other, position < *other_position)
            })
            .map(|(_, other)| other)
            .collect();
        let need = shared.iter().fold(entry.need.clone(), |need, other| need.and(&other.need));
        about(entry, &shared, &need, notes);
        rules.push((entry.route.place.clone(), need.rule(matching)));
    }
    if entries.iter().any(|entry| entry.route.controller.is_some()) {
        let text = "nobody passes where no other rule matches: other files may have routes there";
        notes.add("the last rule", text);
        rules.push(("the last rule".to_owned(), Need::Nobody.rule(&json!({}))));
        rules = joined::prefixes(rules);
    } else {
        rules.extend(last(&entries, valid, notes));
    }
    about_case(&entries, notes);
    rules
}

/// Kong tells upper from lower case in paths. Rules refuse what another case makes
/// another rule's, since services may not tell them apart: that is kept, and told.
fn about_case(entries: &[Entry<'_>], notes: &mut Notes) {
    let differs = |entry: &Entry<'_>| entries.iter().any(|other| entry.differs_in_case(other));
    let affected: Vec<_> = entries.iter().filter(|entry| differs(entry)).collect();
    if !affected.is_empty() {
        notes.add(
            "limits.case_sensitive_paths",
            format_args!(
                "paths that in another case are another route's are 400, where Kong takes them \
                 for {}; set it to true where all services tell upper from lower case",
                places(&affected)
            ),
        );
    }
}

/// A rule for the requests that no other one matches, where they need more than
/// a valid token.
fn last(entries: &[Entry<'_>], valid: &Access, notes: &mut Notes) -> Option<(String, Value)> {
    let token = Need::of(valid.clone());
    let missed = entries.iter().filter(|entry| !entry.is_covered() && !token.covers(&entry.need));
    let missed: Vec<_> = missed.collect();
    let need = missed.iter().fold(token.clone(), |need, entry| need.and(&entry.need));
    (need != token).then(|| {
        let asks = asked(&need);
        let others = places(&missed);
        notes.add(
            "the last rule",
            format_args!("{asks} for all requests that no other rule matches: some are {others}'s"),
        );
        ("the last rule".to_owned(), need.rule(&json!({ "path_prefix": "/" })))
    })
}

fn about_untold(entry: &Entry<'_>, notes: &mut Notes) {
    let place = &entry.route.place;
    let paths = &entry.route.paths;
    if let Some(path) = paths.iter().find(|path| !path.starts_with('~') && !is_canonical(path)) {
        let path = Value::from(path.as_str());
        notes.add(place, format_args!("no accepted request has its path {path}"));
    }
    if entry.route.controller.is_some() {
        let text = "its conditions (a regular expression, a path with other than plain segments, \
                    headers, a host with a wildcard at its end, or others) are not supported by \
                    rules: nobody passes, and other rules that may apply to its requests require \
                    what they need, too";
        notes.add(place, text);
        return;
    }
    notes.add(
        place,
        "its conditions (a regular expression, a path with other than plain segments, headers, a \
         host with a port or a wildcard at its end, or others) are not supported by rules: a valid \
         token is needed, and rules that may apply to its requests require what else they need",
    );
}

fn is_canonical(path: &str) -> bool {
    is_unambiguous(path.as_bytes())
}

fn about(entry: &Entry<'_>, shared: &[&Entry<'_>], need: &Need, notes: &mut Notes) {
    let place = &entry.route.place;
    match (&entry.need, need) {
        (Need::Open, Need::Open) => about_open(entry, notes),
        (Need::Open, _) => notes.add(
            place,
            format_args!(
                "has no jwt plugin, but may share requests with {}: {}, until you write a rule \
                 with bypass",
                places(shared),
                asked(need),
            ),
        ),
        (own, need) if own != need => notes.add(
            place,
            format_args!("may share requests with {}: {}", places(shared), asked(need)),
        ),
        _ => {}
    }
}

/// Kong takes a path for all that begin with its text, and this rule for those below it.
fn about_open(entry: &Entry<'_>, notes: &mut Notes) {
    let place = &entry.route.place;
    let text = "has no jwt plugin: its requests pass without a token";
    match entry.matching.as_ref().and_then(|it| it.get("path_prefix")?.as_str()) {
        Some(path) if !path.ends_with('/') => notes.add(
            place,
            format_args!(
                "{text} at {path} and below it, as before; those for paths that only begin so, such \
                 as {path}-x, must meet the other rules"
            ),
        ),
        _ => notes.add_info(place, format_args!("{text}, as before")),
    }
}

fn places(entries: &[&Entry<'_>]) -> String {
    let places: BTreeSet<_> = entries.iter().map(|entry| entry.route.place.as_str()).collect();
    places.into_iter().collect::<Vec<_>>().join(", ")
}

fn asked(need: &Need) -> &'static str {
    match need {
        Need::Open => "nothing is asked",
        Need::Nobody => "nobody passes",
        Need::Token(access) if access.groups_any.is_none() && access.groups_none.is_empty() => {
            "a valid token is needed"
        }
        Need::Token(_) => "a valid token is needed, and the groups that each of them requires",
    }
}
