//! From Envoy's filter `jwt_authn`.
//!
//! Its rules are tried in their order, and the first that matches decides; what none
//! matches passes without a token (config.proto of the filter, RequirementRule).

mod authz;
mod matcher;
mod provider;
mod regex;
mod requirement;
mod routes;

use gatepass::config::reader::{Document, Node};
use gatepass::config::{Problems, Variable};
use serde_json::Value;

pub(super) use self::provider::Tokens;
use super::assemble::{Headers, Parts, assemble};
use super::decisions::{Stated, first_match};
use super::issuers::Issuers;
use super::matching::Match;
use super::need::Need;
use super::selection::Selection;
use super::url::Url;
use super::{ConvertError, Converted, Notes};
use crate::yaml::{self, Reader};

pub(super) use self::provider::{
    FORWARDED_COOKIES, Provider, claim_of, claim_path, millis, source_of,
};

/// A filter, and where it is.
struct Found {
    path: String,
    filter: Value,
}

/// Converts the filter in some documents.
pub(super) fn from_documents(
    documents: &[Value],
    selection: &Selection,
) -> Result<Converted, ConvertError> {
    let documents: Vec<_> = documents.iter().map(expanded).collect();
    let mut found = Vec::new();
    for document in &documents {
        search(document, "$", &mut found);
    }
    found.retain(|it| selection.only.is_empty() || selection.only.contains(&it.path));
    found.dedup_by(|one, two| one.filter == two.filter);
    if found.len() > 1 {
        let names = found.into_iter().map(|it| it.path).collect();
        return Err(ConvertError::Several { what: "filters jwt_authn", names });
    }
    let Some(Found { filter, .. }) = found.pop() else { return Err(ConvertError::Unknown) };
    let mut notes = Notes::default();
    let switched_off = routes::look(&documents, &mut notes)?;
    authz::look(&documents, &filter, &mut notes);
    let nothing = |_: &str| Variable::Unset;
    let document = Document::new(&nothing);
    let parts = read(&document.root(&filter), &mut notes);
    match (parts, document.into_problems()) {
        (Some(mut parts), problems) if problems.is_empty() => {
            parts.rules.splice(0..0, switched_off);
            about_paths(&documents, &parts.rules, &mut notes);
            assemble(parts, notes)
        }
        (_, problems) => Err(ConvertError::NotUnderstood(Problems(problems))),
    }
}

/// Rules read paths decoded. Where Envoy reads them as they are sent, and a rule asks less than
/// another, it asks so of more requests.
fn about_paths(documents: &[Value], rules: &[Stated], notes: &mut Notes) {
    if documents.iter().any(normalizes) {
        return;
    }
    let differ = rules.iter().any(|it| Some(&it.need) != rules.first().map(|first| &first.need));
    if differ && documents.iter().any(routes::has_manager) {
        let text = "percent-encoded letters in paths count as the letters, which Envoy compares \
                    as they are sent: what passes at /health passes at /%68ealth, too. Add \
                    normalize_path: true to the HttpConnectionManager, so that Envoy's routes \
                    read paths alike";
        notes.add("the file", text);
        return;
    }
    let text = "percent-encoded letters in paths count as the letters, as in Envoy with \
                normalize_path";
    notes.add_info("the file", text);
}

/// Finds filters: in a configuration of Envoy, in manifests with one, or alone.
fn search(value: &Value, path: &str, found: &mut Vec<Found>) {
    let is_filter = |name: Option<&Value>| {
        name.and_then(Value::as_str).is_some_and(|it| it.ends_with(".JwtAuthentication"))
    };
    match value {
        Value::Object(members) => {
            let wrapped = members.get("value").filter(|_| {
                is_filter(members.get("type_url")) || is_filter(members.get("typeUrl"))
            });
            let is_alone = path == "$"
                && members.get("providers").is_some_and(Value::is_object)
                && members.get("rules").is_some_and(Value::is_array)
                && !members.contains_key("identity_token");
            if let Some(inner) = wrapped {
                found.push(Found { path: path.to_owned(), filter: snake(inner, false) });
            } else if is_filter(members.get("@type")) || is_alone {
                let mut own = members.clone();
                own.remove("@type");
                found.push(Found { path: path.to_owned(), filter: snake(&own.into(), false) });
            } else {
                for (name, member) in members {
                    search(member, &crate::document::step(path, name), found);
                }
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                search(item, &format!("{path}[{position}]"), found);
            }
        }
        _ => {}
    }
}

/// A value with the files of ConfigMaps and Secrets, which are texts, as documents.
fn expanded(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let embedded = crate::document::embedded(members);
            let members = members.iter().map(|(name, member)| {
                let files = member.as_object().filter(|_| embedded == Some(name.as_str()));
                let member = match files {
                    Some(files) => {
                        files.iter().map(|(name, it)| (name.clone(), file(it))).collect()
                    }
                    None => expanded(member),
                };
                (name.clone(), member)
            });
            members.collect()
        }
        Value::Array(items) => items.iter().map(expanded).collect(),
        other => other.clone(),
    }
}

/// The documents of a text; a single one stands for itself.
fn file(text: &Value) -> Value {
    let documents = text.as_str().and_then(|text| yaml::documents(text, Reader::Envoy).ok());
    match documents.map(<[Value; 1]>::try_from) {
        Some(Ok([document])) => document,
        Some(Err(documents)) => documents.into(),
        None => text.clone(),
    }
}

fn normalizes(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, member)| {
            (name == "normalize_path" || name == "normalizePath") && *member == true
                || normalizes(member)
        }),
        Value::Array(items) => items.iter().any(normalizes),
        _ => false,
    }
}

/// Fields in the spelling of protobuf, of the two that its JSON may have; names of
/// entries stay.
pub(super) fn snake(value: &Value, are_names: bool) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| {
                let name = if are_names { name.clone() } else { snake_name(name) };
                let holds_names =
                    !are_names && ["providers", "requirement_map"].contains(&name.as_str());
                let member = snake(member, holds_names);
                (name, member)
            });
            Value::Object(members.collect())
        }
        Value::Array(items) => items.iter().map(|item| snake(item, false)).collect(),
        other => other.clone(),
    }
}

fn snake_name(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// Reads the filter.
fn read(node: &Node<'_>, notes: &mut Notes) -> Option<Parts> {
    let mut fields = node.fields()?;
    let providers = fields.node_of("providers");
    let map = fields.node_of("requirement_map");
    let rules = fields.or("rules", Vec::new(), |node| node.list(|item| Some(item.clone())));
    let has_state = fields.node_of("filter_state_rules").is_some();
    let bypass = fields.or("bypass_cors_preflight", false, Node::flag);
    fields.ignored("strip_failure_response");
    fields.finish()?;
    let rules = rules?;
    all_used(map.as_ref(), &rules)?;
    let mut issuers = Issuers::new(upstream);
    let mut tokens = Tokens::default();
    for (name, provider) in
        providers.map_or(Some(Vec::new()), |node| node.named(|_, node| provider::provider(node)))?
    {
        tokens.add(name, provider?, &mut issuers, notes);
    }
    let token = tokens.sources(notes);
    let mut stated = Vec::new();
    for (position, rule) in rules.iter().enumerate() {
        let place = format!("rules[{position}]");
        stated.push(self::rule(rule, &place, map.as_ref(), &mut issuers, notes)?);
    }
    let default = if has_state {
        let text = "filter_state_rules are not carried over: what no other rule matches is refused";
        notes.add("rules", text);
        Need::Nobody
    } else {
        Need::Open
    };
    if stated.iter().any(|it| it.matching.hosts.is_some()) {
        let text = "hosts are compared without their port and in any case, of which Envoy takes \
                    the written one only";
        notes.add("rules", text);
    }
    in_any_case(&rules, &mut stated, notes);
    let rules = first_match(&stated, &default, notes);
    Some(Parts {
        headers: Headers {
            all: tokens.headers,
            setting: "request_headers_to_remove: [{}] to the virtual host",
            encodes_lists: true,
        },
        issuers,
        token,
        rules,
        bypass_cors_preflight: bypass?,
    })
}

/// A requirement that no rule names is one of routes, which may be in another file:
/// without them, what they protect would be open.
fn all_used(map: Option<&Node<'_>>, rules: &[Node<'_>]) -> Option<()> {
    let Some(map) = map else { return Some(()) };
    let is_used = |name: &str| {
        let mut named = rules.iter().filter_map(|rule| rule.value().get("requirement_name"));
        named.any(|it| it == name)
    };
    let all = map.named(|name, node| {
        if is_used(name) {
            return Some(());
        }
        let found = format_args!("the requirement {name:?}, which no rule names");
        node.reject_as(found, "requirements of rules: write those of routes as rules first")
    })?;
    all.into_iter().map(|(_, used)| used).collect()
}

/// The filter names the cluster, so that this is not asked.
fn upstream(url: &Url) -> String {
    url.host().to_owned()
}

fn rule(
    node: &Node<'_>,
    place: &str,
    map: Option<&Node<'_>>,
    issuers: &mut Issuers,
    notes: &mut Notes,
) -> Option<Stated> {
    let mut fields = node.fields()?;
    let matching = fields.required("match", "the requests that it is for", matcher::matching);
    let requires = fields.node_of("requires");
    let named = fields.optional("requirement_name", |node| {
        let name = node.text()?;
        let found = map.and_then(|map| map.member(name));
        found.or_else(|| node.reject("a name in requirement_map"))
    });
    fields.finish()?;
    let need = match (requires, named?) {
        (Some(_), Some(_)) => return node.reject_as("two requirements", "one"),
        (Some(node), None) | (None, Some(node)) => requirement::need(&node, place, issuers, notes)?,
        (None, None) => Need::Open,
    };
    let matching: Match = matching?;
    if ignores_case(node) {
        let text = "case_sensitive: false is not supported: a path in another case than here is \
                    rejected (400, path_ambiguous) if other rules would apply to it";
        notes.add(place, text);
    }
    if need == Need::Nobody && !notes.0.iter().any(|note| note.place == place) {
        let text = "nobody passes: it asks for tokens of a provider that is left out";
        notes.add(place, text);
    }
    Some(Stated { place: place.to_owned(), matching, need })
}

fn ignores_case(rule: &Node<'_>) -> bool {
    let condition = rule.member("match");
    let case = condition.as_ref().and_then(|it| it.member("case_sensitive"));
    case.is_some_and(|it| *it.value() == false)
}

/// A rule that ignores case takes the requests of later ones whose path differs in case only:
/// of two such rules here, each has the paths in its own case.
fn in_any_case(rules: &[Node<'_>], stated: &mut [Stated], notes: &mut Notes) {
    for (position, _) in rules.iter().enumerate().filter(|(_, rule)| ignores_case(rule)) {
        let Some((own, later)) = stated.get_mut(position..).and_then(<[_]>::split_first_mut) else {
            continue;
        };
        let is_alike = |it: &&mut Stated| it.matching.path.is_in_another_case(&own.matching.path);
        for other in later.iter_mut().filter(is_alike) {
            other.need = other.need.and(&own.need);
            let text = format_args!(
                "its path differs from that of {} in case only: what that requires is also required",
                own.place
            );
            notes.add(&other.place, text);
        }
    }
}

/// A provider that another gateway has Envoy have.
pub(super) fn provider_of(value: &Value) -> Result<Provider, Problems> {
    let nothing = |_: &str| Variable::Unset;
    let document = Document::new(&nothing);
    let provider = provider::provider(&document.root(value));
    match (provider, document.into_problems()) {
        (Some(provider), problems) if problems.is_empty() => Ok(provider),
        (_, problems) => Err(Problems(problems)),
    }
}
