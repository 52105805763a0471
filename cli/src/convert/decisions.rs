//! Turns decisions of other gateways into rules, of which the first that matches decides.
//!
//! No rule is less strict than the source is with any request that it may decide. Where no
//! rule can match exactly the requests that the source means, a rule that lets requests
//! pass is left out, and one that denies them is widened.

use super::Notes;
use super::matching::{Match, Path};
use super::need::Need;

/// The requirements for a set of requests, as the source states them.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    /// The place in the source.
    pub(super) place: String,
    pub(super) matching: Match,
    pub(super) need: Need,
}

/// A clause of a policy.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub(super) place: String,
    pub(super) effect: Effect,
    pub(super) matching: Match,
    /// Requests of `matching` that the clause does not apply to.
    pub(super) except: Vec<Match>,
}

/// The effect of a clause.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// Its requests pass if they meet this.
    Allow(Need),
    /// Its requests are denied unless they meet this.
    DenyUnless(Need),
}

/// Once an allowed set of requests is split into more pieces than this, a denial of a part of
/// it applies to all of it.
const MAX_PIECES: usize = 64;

/// The rules for a source whose own rules decide by the first match as well.
pub(super) fn first_match(stated: &[Stated], default: &Need, notes: &mut Notes) -> Vec<Stated> {
    let mut rules = Vec::new();
    for (position, own) in stated.iter().enumerate() {
        if own.matching.is_exact() {
            rules.push(own.clone());
            continue;
        }
        let wide = own.matching.widened();
        // The widened rule also matches requests that the source leaves to later ones: those
        // must meet the later requirements.
        let mut need = own.need.clone();
        let mut is_decided = false;
        for later in stated.iter().skip(position.saturating_add(1)) {
            if !later.matching.meets(&wide) {
                continue;
            }
            need = need.and(&later.need);
            if later.matching.is_exact() && later.matching.covers(&wide) {
                is_decided = true;
                break;
            }
        }
        if !is_decided {
            need = need.and(default);
        }
        if own.need == Need::Open {
            let text = "uses conditions that rules do not support: it is left out, and its requests must meet \
                 the rules that apply instead";
            notes.add(&own.place, text);
            continue;
        }
        let text = match need {
            Need::Nobody if own.need != Need::Nobody => {
                "uses conditions that rules do not support: nobody passes where it might apply"
            }
            _ => {
                "uses conditions that rules do not support: it is widened to all requests to which it \
                  might apply"
            }
        };
        notes.add(&own.place, text);
        rules.push(Stated { place: own.place.clone(), matching: wide, need });
    }
    finished(rules, "no other rule", default)
}

/// The rules for a policy: a request passes if a clause allows it, and none before that
/// clause denies it.
pub(super) fn policy(clauses: Vec<Clause>, notes: &mut Notes) -> Vec<Stated> {
    let clauses = merged(clauses);
    let mut groups: Vec<(usize, bool, Vec<Stated>)> = Vec::new();
    for (position, clause) in clauses.iter().enumerate() {
        let Effect::Allow(need) = &clause.effect else { continue };
        if !clause.matching.is_exact() {
            let text = "uses conditions that rules do not support: what it allowed is now denied";
            notes.add(&clause.place, text);
            continue;
        }
        let piece = |matching: &Match, need: &Need| Stated {
            place: clause.place.clone(),
            matching: matching.clone(),
            need: need.clone(),
        };
        let except = clause.except.iter().map(Match::widened);
        let mut pieces: Vec<_> = except
            .filter(|it| it.meets(&clause.matching))
            .map(|it| piece(&it.and(&clause.matching).unwrap_or(it), &Need::Nobody))
            .collect();
        let has_exceptions = !pieces.is_empty();
        pieces.push(piece(&clause.matching, need));
        for denial in clauses.iter().take(position) {
            let Effect::DenyUnless(unless) = &denial.effect else { continue };
            pieces = if pieces.len() > MAX_PIECES {
                let both = |it: &Stated| Stated { need: it.need.and(unless), ..it.clone() };
                pieces.iter().map(both).collect()
            } else {
                pieces.iter().flat_map(|it| refused(it, denial, unless)).collect()
            };
        }
        groups.push((need.weight(), has_exceptions, pieces));
    }
    // Where several clauses allow a request, the least strict must decide. An exception must
    // not hide what another clause allows.
    groups.sort_by_key(|(weight, has_exceptions, _)| (*has_exceptions, *weight));
    about_overlaps(&groups, notes);
    let rules = groups.into_iter().flat_map(|(.., pieces)| pieces).collect();
    finished(rules, "what nothing allows", &Need::Nobody)
}

/// Merges clauses that allow the same requests, where one rule can accept either
/// requirement.
fn merged(clauses: Vec<Clause>) -> Vec<Clause> {
    let mut all: Vec<Clause> = Vec::new();
    for clause in clauses {
        if let Effect::Allow(need) = &clause.effect {
            let allows = |it: &&mut Clause| matches!(it.effect, Effect::Allow(_));
            let mut earlier = all.iter_mut().rev().take_while(allows).filter(|it| {
                let is_plain = it.matching.is_exact() && clause.matching.is_exact();
                is_plain && it.matching == clause.matching && it.except == clause.except
            });
            let both = earlier.find_map(|it| match &it.effect {
                Effect::Allow(other) => other.or(need).map(|both| (both, it)),
                Effect::DenyUnless(_) => None,
            });
            if let Some((both, it)) = both {
                it.effect = Effect::Allow(both);
                continue;
            }
        }
        all.push(clause);
    }
    all
}

/// Splits a piece of what is allowed where a denial demands more of a part of it.
fn refused(piece: &Stated, denial: &Clause, unless: &Need) -> Vec<Stated> {
    let both = piece.need.and(unless);
    if both == piece.need || !denial.matching.meets(&piece.matching) {
        return vec![piece.clone()];
    }
    let with = |matching: Match, need: &Need| Stated {
        place: format!("{} ({})", piece.place, denial.place),
        matching,
        need: need.clone(),
    };
    let part = denial.matching.widened().and(&piece.matching);
    // An exception counts only if a rule can match exactly its requests.
    let spared = denial.except.iter().filter(|it| it.is_exact());
    let spared: Option<Vec<_>> =
        spared.filter(|it| it.meets(&piece.matching)).map(|it| it.and(&piece.matching)).collect();
    let mut pieces = Vec::new();
    for matching in spared.unwrap_or_default() {
        pieces.push(with(matching, &piece.need));
    }
    match part {
        Some(part) if !part.covers(&piece.matching) => {
            pieces.push(with(Match { is_partial: false, ..part }, &both));
            pieces.push(piece.clone());
        }
        _ => pieces.push(with(piece.matching.clone(), &both)),
    }
    pieces
}

/// Notes where two clauses allow the same requests: rules try only the first of them.
fn about_overlaps(groups: &[(usize, bool, Vec<Stated>)], notes: &mut Notes) {
    for (position, (.., pieces)) in groups.iter().enumerate() {
        let Some(own) = pieces.last() else { continue };
        let before = groups.iter().take(position).filter_map(|(.., pieces)| pieces.last());
        for earlier in before {
            if earlier.matching.meets(&own.matching) && !own.need.covers(&earlier.need) {
                notes.add(
                    &own.place,
                    format_args!(
                        "of requests that {} is for, too, only what that asks is asked: rules \
                         have no \"or\"",
                        earlier.place
                    ),
                );
            }
        }
    }
}

/// Removes rules that are never reached, and adds one for all other requests.
fn finished(rules: Vec<Stated>, place: &str, default: &Need) -> Vec<Stated> {
    let mut reached: Vec<Stated> = Vec::new();
    let last =
        Stated { place: place.to_owned(), matching: Match::of(Path::Any), need: default.clone() };
    for rule in rules.into_iter().chain([last]) {
        let is_hidden = |earlier: &Stated| earlier.matching.covers(&rule.matching);
        if !reached.iter().any(is_hidden) {
            reached.push(rule);
        }
    }
    reached
}
