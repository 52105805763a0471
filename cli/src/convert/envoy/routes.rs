//! What routes say of the filter.

use std::collections::BTreeSet;

use gatepass::config::Variable;
use gatepass::config::reader::Document;
use serde_json::Value;

use super::{matcher, snake};
use crate::convert::decisions::Stated;
use crate::convert::matching::Match;
use crate::convert::need::Need;
use crate::convert::writer::flow;
use crate::convert::{ConvertError, Notes};
use crate::document::step;

/// Where a search is.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    /// The domains of the virtual host.
    domains: Option<&'a Value>,
    /// What has the settings of filters: a route, a virtual host, a cluster of several.
    holder: Option<&'a Value>,
}

/// What was found.
struct Found<'a> {
    /// The routes that all requests have, in their order, if it is certain that these are all.
    routes: Option<&'a [Value]>,
    /// Rules for the routes without the filter.
    rules: Vec<Stated>,
}

/// Looks for what routes say of the filter, and makes the rules of those that switch it off.
/// A requirement of a route counts instead of the rules.
pub(super) fn look(documents: &[Value], notes: &mut Notes) -> Result<Vec<Stated>, ConvertError> {
    let mut found = Found { routes: only_routes(documents), rules: Vec::new() };
    for document in documents {
        search(document, "$", Place::default(), &mut found, notes)?;
    }
    Ok(found.rules)
}

/// The routes, if there is one virtual host, for every host, and one connection manager.
fn only_routes(documents: &[Value]) -> Option<&[Value]> {
    let (mut hosts, mut managers) = (Vec::new(), Vec::new());
    for document in documents {
        members(document, ["virtual_hosts", "virtualHosts"], &mut hosts);
        members(document, ["http_filters", "httpFilters"], &mut managers);
    }
    let ([hosts], [_]) = (hosts.as_slice(), managers.as_slice()) else { return None };
    let [host] = hosts.as_array()?.as_slice() else { return None };
    let is_for_all = host.get("domains")?.as_array()?.iter().any(|domain| domain == "*");
    host.get("routes")?.as_array().filter(|_| is_for_all).map(Vec::as_slice)
}

/// Whether there is a connection manager, whose setting for paths is then known.
pub(super) fn has_manager(document: &Value) -> bool {
    let mut managers = Vec::new();
    members(document, ["http_filters", "httpFilters"], &mut managers);
    !managers.is_empty()
}

/// The members of these names, wherever they are.
fn members<'a>(value: &'a Value, names: [&str; 2], found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(all) => {
            found.extend(names.iter().filter_map(|name| all.get(*name)));
            all.values().for_each(|member| members(member, names, found));
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, names, found)),
        _ => {}
    }
}

fn search(
    value: &Value,
    path: &str,
    place: Place<'_>,
    found: &mut Found<'_>,
    notes: &mut Notes,
) -> Result<(), ConvertError> {
    match value {
        Value::Object(members) => {
            let place = Place { domains: members.get("domains").or(place.domains), ..place };
            for (name, member) in members {
                // The name of a filter is free, and the type of its configuration is not.
                let is_of_filters = |text: &str| {
                    text.contains("er_filter_config") || text.contains("erFilterConfig")
                };
                let is_of_a_filter = is_of_filters(path);
                let path = step(path, name);
                let text = if is_of_a_filter { member.to_string() } else { String::new() };
                let is_of_type = text.contains("jwt_authn") && text.contains("PerRouteConfig");
                if is_of_a_filter && (name.contains("jwt_authn") || is_of_type) {
                    if text.contains("requirement_name") || text.contains("requirementName") {
                        let text = "a requirement of one route, which counts instead of the \
                                    rules, is not carried over: write it as a rule first"
                            .to_owned();
                        return Err(ConvertError::Refused { place: path, text });
                    }
                    switch_off(&path, member, place, found, notes);
                    continue;
                }
                let holder = if is_of_filters(name) { Some(value) } else { place.holder };
                search(member, &path, Place { holder, ..place }, found, notes)?;
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| search(item, &format!("{path}[{at}]"), place, found, notes)),
        _ => Ok(()),
    }
}

/// Makes the rule of a route without the filter, or tells it where it is not certain that it
/// would let no other requests pass.
fn switch_off(
    path: &str,
    setting: &Value,
    place: Place<'_>,
    found: &mut Found<'_>,
    notes: &mut Notes,
) {
    match rule(setting, place, found) {
        Some(matching) => {
            let text = "switches jwt_authn off: its requests pass without a token, as before";
            notes.add_info(path, text);
            found.rules.push(Stated { place: path.to_owned(), matching, need: Need::Open });
        }
        None => notes.add("rules", format_args!("{path} {}", switched_off(place))),
    }
}

/// The requests of a route without the filter, if no route before it takes any of them that
/// has the filter.
fn rule(setting: &Value, place: Place<'_>, found: &Found<'_>) -> Option<Match> {
    if setting.get("disabled") != Some(&Value::Bool(true)) {
        return None;
    }
    let (own, routes) = (place.holder?, found.routes?);
    let position = routes.iter().position(|route| std::ptr::eq(route, own))?;
    let matching = matching(place)?;
    let takes_some = |route: &Value| {
        let ignores_case = ["case_sensitive", "caseSensitive"]
            .iter()
            .any(|name| route.pointer(&format!("/match/{name}")) == Some(&Value::Bool(false)));
        ignores_case || condition(route).is_none_or(|other| other.meets(&matching))
    };
    let before = routes.iter().take(position);
    (!before.into_iter().any(takes_some)).then_some(matching)
}

/// The requests of a route, or more.
fn condition(route: &Value) -> Option<Match> {
    let nothing = |_: &str| Variable::Unset;
    let document = Document::new(&nothing);
    let condition = snake(route.get("match")?, false);
    let matching = matcher::matching(&document.root(&condition));
    matching.filter(|_| document.into_problems().is_empty())
}

/// That the filter is off, and the rule that would be the same.
fn switched_off(place: Place<'_>) -> String {
    let rule = matching(place).map(|it| flow(&Need::Open.rule(&it.to_json())));
    match rule {
        Some(rule) => format!(
            "switches jwt_authn off, and Gatepass stays on: these requests need a token now if \
             rules ask for one. As before with {rule}, before all other rules"
        ),
        None => {
            "switches jwt_authn off, and Gatepass stays on: these requests need a token now if \
                 rules ask for one. As before with a rule for them with bypass: true, before all \
                 others"
                .to_owned()
        }
    }
}

/// The requests of a route or of a virtual host, if a rule can match just them.
fn matching(place: Place<'_>) -> Option<Match> {
    let holder = place.holder?;
    let mut matching = match (holder.get("match"), holder.get("domains")) {
        (Some(_), _) => condition(holder)?,
        (None, Some(_)) => Match::all(),
        (None, None) => return None,
    };
    let domains = place.domains.and_then(Value::as_array).into_iter().flatten();
    let domains: BTreeSet<_> = domains.filter_map(Value::as_str).map(str::to_owned).collect();
    if !domains.is_empty() && !domains.contains("*") {
        matching.hosts = Some(domains);
    }
    matching.is_exact().then_some(matching)
}
