//! `AuthorizationPolicy`.

use std::collections::BTreeSet;

use gatepass::config::reader::{Fields, Node};

use super::values::{
    hosts, methods, names_within, of_paths, plain_values, principals, with_claim, without_claim,
};
use crate::convert::Notes;
use crate::convert::condition::{Conditions, Requests, with_scope};
use crate::convert::decisions::Clause;
use crate::convert::envoy::claim_path;
use crate::convert::issuers::Issuers;
use crate::convert::matching::{Header, Match};
use crate::convert::need::Need;

/// The action of an `AuthorizationPolicy`, with its clauses.
pub(super) enum Policy {
    Allow(Vec<Clause>),
    Deny(Vec<Clause>),
    Audit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Allow,
    Deny,
    Audit,
    Custom,
}

/// Fields of a rule's `source` that Gatepass's rules have no condition for.
const OF_SOURCES: [&str; 10] = [
    "principals",
    "not_principals",
    "namespaces",
    "not_namespaces",
    "ip_blocks",
    "not_ip_blocks",
    "remote_ip_blocks",
    "not_remote_ip_blocks",
    "service_accounts",
    "not_service_accounts",
];

/// Reads a policy; `base` is what every request must meet.
pub(super) fn read(
    spec: &Node<'_>,
    place: &str,
    base: &Need,
    words: &BTreeSet<String>,
    issuers: &mut Issuers,
    notes: &mut Notes,
) -> Option<Policy> {
    let mut fields = spec.fields()?;
    for field in ["selector", "target_ref", "target_refs", "provider"] {
        fields.ignored(field);
    }
    let actions = [
        ("ALLOW", Action::Allow),
        ("DENY", Action::Deny),
        ("AUDIT", Action::Audit),
        ("CUSTOM", Action::Custom),
    ];
    let action = fields.or("action", Action::Allow, |node| node.one_of(&actions));
    let rules = fields.or("rules", Vec::new(), nodes);
    fields.finish()?;
    let action = action?;
    if action == Action::Audit {
        return Some(Policy::Audit);
    }
    let mut clauses = Vec::new();
    for (position, rule) in rules?.iter().enumerate() {
        let place = format!("{place} rules[{position}]");
        for (conditions, requests) in ways(rule, words, issuers)? {
            if let Some(claim) = &conditions.words_of {
                let text = format_args!(
                    "takes the text of the claim {claim} as a whole, where Istio takes its words: \
                     a token with several must have them as a list"
                );
                notes.add(&place, text);
            }
            match action {
                Action::Allow => clauses.extend(conditions.allow(&place, &requests, base)),
                Action::Deny => {
                    about_denial(&conditions, &requests, &place, notes);
                    clauses.push(conditions.deny(&place, &requests));
                }
                Action::Custom => {
                    let text = "its provider is not asked: nobody passes, until you take it out \
                                of what is converted and leave it to Istio";
                    notes.add(&place, text);
                    clauses.push(Conditions::default().deny(&place, &requests));
                }
                Action::Audit => {}
            }
        }
    }
    Some(if action == Action::Allow { Policy::Allow(clauses) } else { Policy::Deny(clauses) })
}

fn about_denial(conditions: &Conditions, requests: &Requests, place: &str, notes: &mut Notes) {
    if conditions.have_values {
        notes.add(
            place,
            "now denies every token that has the claim, whatever its value: rules cannot require \
             that a claim has another one",
        );
    }
    let is_exact = requests.matching.is_exact() && requests.except.iter().all(Match::is_exact);
    if conditions.denies_more() || requests.has_other_exceptions || !is_exact {
        notes.add(
            place,
            "uses conditions that rules do not support: it now denies regardless of them",
        );
    }
}

fn nodes<'a>(node: &Node<'a>) -> Option<Vec<Node<'a>>> {
    node.list(|item| Some(item.clone()))
}

/// Each way in which a rule matches a request: a source, an operation, and all of `when`.
fn ways(
    rule: &Node<'_>,
    words: &BTreeSet<String>,
    issuers: &mut Issuers,
) -> Option<Vec<(Conditions, Requests)>> {
    let mut fields = rule.fields()?;
    let from = fields.or("from", Vec::new(), nodes);
    let to = fields.or("to", Vec::new(), nodes);
    let when = fields.or("when", Vec::new(), nodes);
    fields.finish()?;
    let (from, to, when) = (from?, to?, when?);
    let mut common = Conditions::default();
    let mut headers = Match::all();
    for node in &when {
        condition(node, words, issuers, &mut common, &mut headers)?;
    }
    let mut sources = Vec::new();
    for node in &from {
        let mut fields = node.fields()?;
        let source = fields.required("source", "a source", |node| Some(node.clone()));
        fields.finish()?;
        sources.push(self::source(&source?, issuers)?);
    }
    if sources.is_empty() {
        sources.push(Conditions::default());
    }
    let mut operations = Vec::new();
    for node in &to {
        let mut fields = node.fields()?;
        let operation = fields.required("operation", "an operation", |node| Some(node.clone()));
        fields.finish()?;
        operations.extend(self::operation(&operation?)?);
    }
    if to.is_empty() {
        operations.push(Requests::all());
    }
    let mut ways = Vec::new();
    for source in &sources {
        for operation in &operations {
            let matching = operation.matching.and(&headers);
            let matching = matching.unwrap_or_else(|| Match { is_partial: true, ..Match::all() });
            let requests = Requests { matching, ..operation.clone() };
            ways.push((source.and(&common), requests));
        }
    }
    Some(ways)
}

fn texts(fields: &mut Fields<'_>, name: &'static str) -> Option<Vec<String>> {
    fields.or(name, Vec::new(), Node::texts)
}

fn source(node: &Node<'_>, issuers: &mut Issuers) -> Option<Conditions> {
    let mut fields = node.fields()?;
    let with = texts(&mut fields, "request_principals");
    let without = texts(&mut fields, "not_request_principals");
    let mut conditions = Conditions::default();
    for field in OF_SOURCES {
        let is_asked = |node: Node<'_>| node.value().as_array().is_none_or(|it| !it.is_empty());
        conditions.has_others |= fields.node_of(field).is_some_and(is_asked);
    }
    fields.finish()?;
    of_principals(&with?, &without?, issuers, &mut conditions);
    Some(conditions)
}

fn of_principals(
    with: &[String],
    without: &[String],
    issuers: &mut Issuers,
    conditions: &mut Conditions,
) {
    if !with.is_empty() {
        conditions.token(principals(with, issuers), None);
    }
    if !without.is_empty() {
        let told = principals(without, issuers);
        // One of them is enough to get around, and may be less than all.
        conditions.token(Vec::new(), told.into_iter().min_by_key(Need::weight));
    }
}

/// Requests of an operation, by path.
fn operation(node: &Node<'_>) -> Option<Vec<Requests>> {
    let mut fields = node.fields()?;
    let names = ["paths", "not_paths", "methods", "not_methods", "hosts", "not_hosts", "ports"];
    let lists = names.map(|name| texts(&mut fields, name));
    let not_ports = texts(&mut fields, "not_ports");
    fields.finish()?;
    let [paths, not_paths, own_methods, not_methods, own_hosts, not_hosts, ports] = lists;
    let mut common = Requests::all();
    let (own_methods, own_hosts, paths) = (own_methods?, own_hosts?, paths?);
    if !own_methods.is_empty() {
        let (told, are_all) = methods(&own_methods);
        common.matching.is_partial |= !are_all;
        common.matching.methods = told.filter(|_| are_all);
    }
    if !own_hosts.is_empty() {
        let own = hosts(&own_hosts);
        common.matching.is_partial |= !own.are_all || !own.have_ports;
        common.matching.hosts = own.told.filter(|_| own.are_all);
    }
    let (not_ports, ports) = (not_ports?, ports?);
    common.matching.is_partial |= !ports.is_empty() || !not_ports.is_empty();
    let (except, are_all) = of_paths(&not_paths?);
    common.except.extend(except);
    let mut all_told = are_all;
    let (methods, are_all) = methods(&not_methods?);
    all_told &= are_all;
    if methods.as_ref().is_none_or(|it| !it.is_empty()) {
        common.except.push(Match { methods, ..Match::all() });
    }
    let not_hosts = hosts(&not_hosts?);
    all_told &= not_hosts.are_all;
    if not_hosts.told.as_ref().is_none_or(|it| !it.is_empty()) {
        let is_partial = !not_hosts.have_ports;
        common.except.push(Match { hosts: not_hosts.told, is_partial, ..Match::all() });
    }
    common.has_other_exceptions = !all_told;
    if paths.is_empty() {
        return Some(vec![common]);
    }
    let (told, are_all) = of_paths(&paths);
    let with = |matching: Match| Requests {
        matching: Match { path: matching.path, ..common.matching.clone() },
        ..common.clone()
    };
    let mut requests: Vec<_> = told.into_iter().map(with).collect();
    if !are_all {
        // The paths that cannot be told may be any.
        let matching = Match { is_partial: true, ..common.matching.clone() };
        requests.push(Requests { matching, ..common });
    }
    Some(requests)
}

/// One of `when`.
fn condition(
    node: &Node<'_>,
    words: &BTreeSet<String>,
    issuers: &mut Issuers,
    conditions: &mut Conditions,
    headers: &mut Match,
) -> Option<()> {
    let mut fields = node.fields()?;
    let key = fields.required("key", "an attribute", Node::text);
    let values = texts(&mut fields, "values");
    let without = texts(&mut fields, "not_values");
    fields.finish()?;
    let (key, values, without) = (key?, values?, without?);
    let claim = match key {
        "request.auth.presenter" => Some(vec!["azp"]),
        key => names_within(key, "request.auth.claims"),
    };
    let header = names_within(key, "request.headers");
    if let Some(names) = claim {
        of_claim(&names, &values, &without, words, conditions);
    } else if key == "request.auth.principal" {
        of_principals(&values, &without, issuers, conditions);
    } else if key == "request.auth.audiences" && without.is_empty() {
        let audiences: BTreeSet<_> = plain_values(&values).into_iter().collect();
        let mut access = issuers.any_token();
        for own in access.tokens.iter_mut().flat_map(|tokens| tokens.values_mut()) {
            *own = Some(audiences.clone());
        }
        let holds = if audiences.is_empty() { Vec::new() } else { vec![Need::of(access)] };
        conditions.token(holds, None);
    } else if let (Some([name]), [value], []) = (header.as_deref(), &*values, &*without) {
        let name = name.to_ascii_lowercase();
        // `*` asks for a value that is not empty.
        if value.contains('*') {
            conditions.has_others = true;
        } else if headers.headers.insert(name, Header::Equals(value.clone())).is_some() {
            headers.is_partial = true;
        }
    } else {
        conditions.has_others = true;
    }
    Some(())
}

fn of_claim(
    names: &[&str],
    values: &[String],
    without: &[String],
    words: &BTreeSet<String>,
    conditions: &mut Conditions,
) {
    let path = claim_path(names);
    let are_words = matches!(names, [name] if words.contains(*name));
    // No word has a space in it.
    let plain_values = |values: &[String]| {
        let mut plain = plain_values(values);
        plain.retain(|value| !are_words || !value.contains(' '));
        plain
    };
    if let ([name], true) = (names, are_words && names != ["scope"]) {
        conditions.words_of = Some((*name).to_owned());
    }
    // Istio reads scopes as words.
    let with = |plain: Vec<String>| match names {
        ["scope"] => with_scope(plain.into_iter().collect()),
        _ => with_claim(&path, &plain),
    };
    if !values.is_empty() {
        let plain = plain_values(values);
        let holds = if plain.is_empty() { Vec::new() } else { vec![with(plain)] };
        conditions.token(holds, Some(without_claim(&path)));
        conditions.have_values |= values != ["*"];
    }
    if !without.is_empty() {
        let plain = plain_values(without);
        let fails = (!plain.is_empty()).then(|| with(plain));
        conditions.token(Vec::new(), fails);
    }
}
