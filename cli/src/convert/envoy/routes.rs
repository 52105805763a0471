//! What routes say of the filter.

use std::collections::BTreeSet;

use gatepass::config::Variable;
use gatepass::config::reader::Document;
use serde_json::Value;

use super::{matcher, snake};
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

/// Looks for what routes say of the filter. A requirement of a route counts instead of the
/// rules.
pub(super) fn look(document: &Value, notes: &mut Notes) -> Result<(), ConvertError> {
    search(document, "$", Place::default(), notes)
}

fn search(
    value: &Value,
    path: &str,
    place: Place<'_>,
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
                    notes.add("rules", format_args!("{path} {}", switched_off(place)));
                    continue;
                }
                let holder = if is_of_filters(name) { Some(value) } else { place.holder };
                search(member, &path, Place { holder, ..place }, notes)?;
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| search(item, &format!("{path}[{at}]"), place, notes)),
        _ => Ok(()),
    }
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
        (Some(condition), _) => {
            let nothing = |_: &str| Variable::Unset;
            let document = Document::new(&nothing);
            let condition = snake(condition, false);
            let matching = matcher::matching(&document.root(&condition));
            matching.filter(|_| document.into_problems().is_empty())?
        }
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
