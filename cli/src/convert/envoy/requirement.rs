//! `JwtRequirement` of Envoy.

use std::collections::{BTreeMap, BTreeSet};

use gatepass::config::reader::Node;

use crate::convert::Notes;
use crate::convert::issuers::Issuers;
use crate::convert::need::{Access, Missing, Need};

/// What a requirement asks, or more.
pub(super) fn need(
    node: &Node<'_>,
    place: &str,
    issuers: &mut Issuers,
    notes: &mut Notes,
) -> Option<Need> {
    let mut fields = node.fields()?;
    let name = fields.optional("provider_name", Node::text);
    let other = fields.optional("provider_and_audiences", |node| {
        let mut fields = node.fields()?;
        let name = fields.required("provider_name", "the name of a provider", Node::text);
        let audiences = fields.or("audiences", Vec::new(), Node::texts);
        fields.finish()?;
        Some((name?.to_owned(), audiences?))
    });
    let any = fields.optional("requires_any", list);
    let all = fields.optional("requires_all", list);
    let missing = fields.node_of("allow_missing").is_some();
    let failed = fields.node_of("allow_missing_or_failed").is_some();
    fields.finish()?;
    let (name, other, any, all) = (name?, other?, any?, all?);
    let given = [name.is_some(), other.is_some(), any.is_some(), all.is_some(), missing, failed];
    if given.iter().filter(|it| **it).count() > 1 {
        return node.reject_as("several requirements", "one of them");
    }
    let mut each = |nodes: Vec<Node<'_>>| {
        let needs = nodes.iter().map(|node| need(node, place, issuers, notes));
        needs.collect::<Option<Vec<_>>>()
    };
    if let Some(nodes) = any {
        let needs = each(nodes)?;
        return Some(any_of(&needs, issuers));
    }
    if let Some(nodes) = all {
        let needs = each(nodes)?;
        return Some(all_of(needs, place, notes));
    }
    if missing || failed {
        let missing = if failed { Missing::EvenIfInvalid } else { Missing::Allowed };
        return Some(Need::of(Access { missing, ..issuers.any_token() }));
    }
    Some(match (name, other) {
        (Some(name), _) => issuers.token_of(name, None),
        (None, Some((name, audiences))) => {
            let audiences = (!audiences.is_empty()).then(|| audiences.into_iter().collect());
            issuers.token_of(&name, audiences)
        }
        (None, None) => Need::Open,
    })
}

fn list<'a>(node: &Node<'a>) -> Option<Vec<Node<'a>>> {
    let mut fields = node.fields()?;
    let all = fields.required("requirements", "a list", |node| node.list(|it| Some(it.clone())));
    fields.finish()?;
    all
}

/// One of them is enough. In such a list `allow_missing` only lets pass what has no token:
/// Envoy tries the others' providers alone. By itself it takes a token of any provider.
fn any_of(needs: &[Need], issuers: &Issuers) -> Need {
    if needs.contains(&Need::Open) {
        return Need::Open;
    }
    let accesses = || {
        needs.iter().filter_map(|need| match need {
            Need::Token(access) => Some(access.as_ref()),
            _ => None,
        })
    };
    let missing = accesses().map(|access| access.missing).max().unwrap_or_default();
    let all = issuers.any_token().tokens;
    let is_bare = |access: &Access| access.missing != Missing::Refused && access.tokens == all;
    let are_bare = needs.iter().all(|need| matches!(need, Need::Token(it) if is_bare(it)));
    let given = accesses().filter(|access| are_bare || !is_bare(access));
    let mut tokens = BTreeMap::new();
    for (name, audiences) in given.filter_map(|it| it.tokens.as_ref()).flatten() {
        let both = match (tokens.remove(name), audiences) {
            (None, audiences) => audiences.clone(),
            (Some(Some(one)), Some(two)) => {
                let mut both: BTreeSet<String> = one;
                both.extend(two.iter().cloned());
                Some(both)
            }
            _ => None,
        };
        tokens.insert(name.clone(), both);
    }
    if tokens.is_empty() && missing != Missing::EvenIfInvalid {
        return Need::Nobody;
    }
    Need::of(Access { tokens: Some(tokens), missing, ..Access::default() })
}

/// All of them, of the one token that a request has here. One that takes any request asks
/// nothing beside others.
fn all_of(needs: Vec<Need>, place: &str, notes: &mut Notes) -> Need {
    let asks = |need: &Need| match need {
        Need::Open => false,
        Need::Nobody => true,
        Need::Token(access) => access.missing != Missing::EvenIfInvalid,
    };
    let (asked, others): (Vec<_>, Vec<_>) = needs.into_iter().partition(asks);
    let asked = if asked.is_empty() { others } else { asked };
    let all = asked.iter().fold(Need::Open, |all, need| all.and(need));
    if all == Need::Nobody && !asked.contains(&Need::Nobody) {
        let text = "requires two tokens in one request, which is not supported: nobody passes";
        notes.add(place, text);
    }
    all
}
