//! Conditions of policies: on the token, on the request, and those that rules cannot express.

use std::collections::BTreeSet;

use super::decisions::{Clause, Effect};
use super::matching::Match;
use super::need::{Access, Need};

/// The conditions that must all hold for a clause to apply to a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// The conditions on the token. Each holds for tokens that meet one of the first
    /// requirements, and certainly not for those that meet the second.
    of_token: Vec<(Vec<Need>, Option<Need>)>,
    /// There are others, of which it is not known whether they hold.
    pub(super) has_others: bool,
    /// They compare a claim's value, where no rule can require that it is another one: to
    /// fail them, the claim must be absent.
    pub(super) have_values: bool,
    /// A claim of which the words of its text count, which rules take as a whole.
    pub(super) words_of: Option<String>,
}

/// A set of requests with exceptions.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    pub(super) matching: Match,
    pub(super) except: Vec<Match>,
    /// An exception could not be read.
    pub(super) has_other_exceptions: bool,
}

impl Requests {
    pub(super) const fn all() -> Self {
        Self { matching: Match::all(), except: Vec::new(), has_other_exceptions: false }
    }
}

impl Conditions {
    /// Whether a denial by these conditions denies more than they say: rules cannot express
    /// all of them.
    pub(super) fn denies_more(&self) -> bool {
        let is_told = self.of_token.is_empty() || self.of_token.iter().any(|it| it.1.is_some());
        self.has_others || self.of_token.len() > 1 || !is_told
    }

    /// A condition that holds with one of `holds`, and not with `fails`.
    pub(super) fn token(&mut self, holds: Vec<Need>, fails: Option<Need>) {
        self.of_token.push((holds, fails));
    }

    /// The conditions of both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let of_token = self.of_token.iter().chain(&other.of_token).cloned().collect();
        Self {
            of_token,
            has_others: self.has_others || other.has_others,
            have_values: self.have_values || other.have_values,
            words_of: self.words_of.as_ref().or(other.words_of.as_ref()).cloned(),
        }
    }

    /// One clause for each way to meet all of them; `base` is what every request must meet.
    pub(super) fn allow(&self, place: &str, requests: &Requests, base: &Need) -> Vec<Clause> {
        let mut ways = vec![base.clone()];
        for (holds, _) in &self.of_token {
            let each = ways.iter().flat_map(|way| holds.iter().map(|it| way.and(it)));
            ways = each.collect();
        }
        let is_partial = self.has_others || requests.has_other_exceptions || ways.is_empty();
        if is_partial {
            ways = vec![Need::Nobody];
        }
        let clause = |need| Clause {
            place: place.to_owned(),
            effect: Effect::Allow(need),
            matching: Match {
                is_partial: requests.matching.is_partial || is_partial,
                ..requests.matching.clone()
            },
            except: requests.except.clone(),
        };
        ways.into_iter().map(clause).collect()
    }

    /// A clause that denies the requests for which all of them hold, or may hold. Its
    /// requirement is the least strict that makes one of them fail.
    pub(super) fn deny(&self, place: &str, requests: &Requests) -> Clause {
        let fails = self.of_token.iter().filter_map(|(_, fails)| fails.clone());
        let unless = fails.min_by_key(Need::weight).unwrap_or(Need::Nobody);
        Clause {
            place: place.to_owned(),
            effect: Effect::DenyUnless(unless),
            matching: requests.matching.clone(),
            except: requests.except.clone(),
        }
    }
}

/// Merges alternative requirements into as few as can express them.
pub(super) fn any_of(needs: Vec<Need>) -> Vec<Need> {
    let mut all: Vec<Need> = Vec::new();
    for need in needs {
        let known = all.iter_mut().find_map(|it| it.or(&need).map(|both| (both, it)));
        match known {
            Some((both, it)) => *it = both,
            None => all.push(need),
        }
    }
    all
}

/// One of these scopes, in the claim `scope`: no other claim with scopes counts.
pub(super) fn with_scope(scopes: BTreeSet<String>) -> Need {
    let claims = [("scope".to_owned(), super::need::Claim::Present)];
    Need::of(Access {
        scopes_any: Some(scopes),
        claims: claims.into_iter().collect(),
        ..Access::default()
    })
}
