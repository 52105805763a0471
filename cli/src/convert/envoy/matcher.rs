//! `RouteMatch` of Envoy.

use std::collections::BTreeSet;

use gatepass::config::reader::Node;
use gatepass::http::Authority;

use super::regex::paths_of;
use crate::convert::matching::{Header, Match, Path};

/// Conditions that no rule can have.
const OTHERS: [&str; 9] = [
    "connect_matcher",
    "cookies",
    "dynamic_metadata",
    "filter_state",
    "grpc",
    "path_match_policy",
    "query_parameters",
    "runtime_fraction",
    "tls_context",
];

pub(super) fn matching(node: &Node<'_>) -> Option<Match> {
    let mut fields = node.fields()?;
    let prefix = fields.optional("prefix", |node| Some(Path::Beginning(path_text(node)?)));
    let exact = fields.optional("path", |node| Some(Path::Exact(path_text(node)?)));
    let separated =
        fields.optional("path_separated_prefix", |node| Some(Path::Below(path_text(node)?)));
    let safe = fields.optional("safe_regex", regex);
    let old = fields.optional("regex", |node| Some(paths_of(node.text()?)));
    let headers = fields.or("headers", Vec::new(), |node| node.list(|item| Some(item.clone())));
    // Rules refuse a path that in another case is another rule's.
    fields.ignored("case_sensitive");
    let others = OTHERS.map(|name| fields.node_of(name).is_some_and(|node| says(&node)));
    fields.finish()?;
    let mut matching = Match::all();
    let mut paths = [prefix?, exact?, separated?].into_iter().flatten();
    if let Some(path) = paths.next() {
        matching.path = path;
    } else if let Some((path, is_exact)) = safe?.or(old?) {
        matching.path = path;
        matching.is_partial = !is_exact;
    }
    matching.is_partial |= others.contains(&true);
    for header in headers? {
        self::header(&header, &mut matching)?;
    }
    Some(matching)
}

/// A path in the file; an empty prefix is that of all.
fn path_text(node: &Node<'_>) -> Option<String> {
    match node.value().as_str() {
        Some("") => Some("/".to_owned()),
        Some(text) => Some(text.to_owned()),
        None => node.reject("a path"),
    }
}

/// Whether it is more than an empty list.
fn says(node: &Node<'_>) -> bool {
    node.value().as_array().is_none_or(|items| !items.is_empty())
}

fn regex(node: &Node<'_>) -> Option<(Path, bool)> {
    let mut fields = node.fields()?;
    fields.ignored("google_re2");
    let expression = fields.required("regex", "a regular expression", Node::text);
    fields.finish()?;
    expression.map(paths_of)
}

/// A header by which requests are told apart.
fn header(node: &Node<'_>, matching: &mut Match) -> Option<()> {
    let mut fields = node.fields()?;
    let name = fields.required("name", "the name of a header", Node::text);
    let exact = fields.optional("exact_match", |node| node.text());
    let present = fields.optional("present_match", Node::flag);
    let is_inverted = fields.or("invert_match", false, Node::flag);
    let text = fields.optional("string_match", |node| Some(node.clone()));
    let treats_missing = fields.node_of("treat_missing_header_as_empty").is_some();
    let name = name?.to_ascii_lowercase();
    let (exact, present) = (exact?, present?);
    let mut words = None;
    let mut exact = exact.map(str::to_owned);
    if let Some(text) = text? {
        let ignores_case = text.member("ignore_case").is_some_and(|it| *it.value() == true);
        let expression = text.member("safe_regex").and_then(|it| it.member("regex"));
        if let (Some(value), false) = (text.member("exact"), ignores_case) {
            exact = value.value().as_str().map(str::to_owned);
        }
        words = expression.and_then(|it| it.value().as_str().and_then(alternatives));
    }
    let values = exact.map(|it| BTreeSet::from([it])).or(words);
    let is_plain = !is_inverted? && !treats_missing;
    match (name.as_str(), values, present) {
        (":method", Some(methods), None) if is_plain => {
            let both = match &matching.methods {
                Some(own) => own.intersection(&methods).cloned().collect(),
                None => methods,
            };
            matching.methods = Some(both);
        }
        (":authority" | "host", Some(hosts), None) if is_plain && matching.hosts.is_none() => {
            matching.hosts = hosts.iter().map(|host| name_of(host)).collect();
            // Envoy compares the whole text, with a port and in its case.
            matching.is_partial = true;
        }
        (name, Some(values), None)
            if is_plain
                && !name.starts_with(':')
                && values.len() == 1
                && !matching.headers.contains_key(name) =>
        {
            let value = values.into_iter().next().unwrap_or_default();
            matching.headers.insert(name.to_owned(), Header::Equals(value));
        }
        (name, None, Some(is_there))
            if !treats_missing
                && !name.starts_with(':')
                && !matching.headers.contains_key(name) =>
        {
            let is_there = is_there == is_plain;
            let header = if is_there { Header::Present } else { Header::Absent };
            matching.headers.insert(name.to_owned(), header);
        }
        _ => matching.is_partial = true,
    }
    Some(())
}

/// A host as rules compare it, without its port.
fn name_of(host: &str) -> Option<String> {
    let name = Authority::parse(host.as_bytes())?.host;
    std::str::from_utf8(name).ok().map(str::to_ascii_lowercase)
}

/// The words of an expression such as `GET|POST`.
fn alternatives(expression: &str) -> Option<BTreeSet<String>> {
    let inner = expression.strip_prefix('^').unwrap_or(expression);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let inner = match inner.strip_prefix('(').and_then(|it| it.strip_suffix(')')) {
        Some(inner) => inner.strip_prefix("?:").unwrap_or(inner),
        None => inner,
    };
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    inner.split('|').map(|word| is_word(word).then(|| word.to_owned())).collect()
}
