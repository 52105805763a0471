//! What is to be done with the plugins of Kong beside Gatepass.

use serde_json::Value;

use super::entities::{Kong, Plugin, Route};
use super::plugins::Settings;
use crate::convert::Notes;
use crate::convert::need::Need;
use crate::convert::writer::flow;

/// Notes, for each place, the plugins that Gatepass takes the place of.
pub(super) fn to_remove(kong: &Kong, notes: &mut Notes) {
    let mut places: Vec<(String, Vec<&str>)> = Vec::new();
    let is_replaced = |it: &&Plugin| it.is_enabled && !matches!(it.settings, Settings::Other);
    for plugin in kong.plugins.iter().filter(is_replaced) {
        let route = plugin.scope.route.and_then(|at| kong.routes.get(at));
        let service = plugin.scope.service.and_then(|at| kong.services.get(at));
        let place = match (route, service) {
            (Some(route), _) => route.place.clone(),
            (None, Some(service)) => service.place(),
            (None, None) => "the file".to_owned(),
        };
        match places.iter_mut().find(|(own, _)| *own == place) {
            Some((_, names)) => names.push(&plugin.name),
            None => places.push((place, vec![&plugin.name])),
        }
    }
    for (place, mut names) in places {
        names.sort_unstable_by_key(|name| (*name == "acl", *name));
        names.dedup();
        let plural = if names.len() == 1 { "" } else { "s" };
        let own = if place == "the file" { "the global" } else { "its" };
        let names = names.join(" and ");
        let text = format_args!(
            "when Gatepass is added, remove {own} plugin{plural} {names}: beside it, what it accepts \
             may be rejected"
        );
        notes.add_info(&place, text);
    }
}

/// Notes, for each rule that nobody passes because of plugins that are not carried over,
/// the rule without them. `closing`: the plugins of each route that are such.
pub(super) fn without_closing(
    routes: &[(usize, &Route)],
    closing: &[Vec<&str>],
    rules: &[(String, Value)],
    without: &[(String, Value)],
    notes: &mut Notes,
) {
    let is_nobodys = |rule: &Value| {
        let matching = rule.get("match").cloned().unwrap_or_default();
        *rule == Need::Nobody.rule(&matching)
    };
    let at = |rules: &[(String, Value)], place: &str, is_closed: bool| -> Vec<Value> {
        let own = rules.iter().filter(|(own, rule)| own == place && is_nobodys(rule) == is_closed);
        own.map(|(_, rule)| rule.clone()).collect()
    };
    for ((_, route), names) in routes.iter().zip(closing) {
        let (closed, open) = (at(rules, &route.place, true), at(without, &route.place, false));
        if names.is_empty() || closed.is_empty() || open.is_empty() {
            continue;
        }
        let names = names.join(", ");
        let open = open.iter().map(flow).collect::<Vec<_>>().join(", ");
        let text = format_args!("if {names} stays in Kong and decides there, the rule is {open}");
        notes.add_info(&route.place, text);
    }
    const LAST: &str = "the last rule";
    let mut names: Vec<_> = closing.iter().flatten().copied().collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() && !at(rules, LAST, true).is_empty() && at(without, LAST, true).is_empty()
    {
        let open = at(without, LAST, false);
        let open = open.first().map_or_else(|| "not needed".to_owned(), flow);
        let names = names.join(", ");
        let text = format_args!("if {names} stays in Kong and decides there, it is {open}");
        notes.add_info(LAST, text);
    }
}
