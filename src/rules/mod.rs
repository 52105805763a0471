//! Which requests need what: the first rule that matches decides, and a request
//! that none matches needs a valid token.
//!
//! A rule sees the method, the path, the host and the header fields that it
//! names, as the service behind will see them, and nothing else: no header in
//! which a client says that it meant another path, host or method.

mod conditions;
mod index;
mod path;
mod reading;
mod requirements;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use self::conditions::{Conditions, HeaderCondition, HeaderTest, HostPattern};
use self::index::PathIndex;
pub use self::path::{InvalidPattern, PathPattern};
use self::reading::lenient_readings;
pub use self::requirements::Requirements;
use crate::denial::Denial;
use crate::http::{RequestHead, SetField, canonical_path, unambiguous_start};

/// The rules, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    otherwise: Requirements,
    index: PathIndex,
    allow_ambiguous_paths: bool,
}

/// One rule: what it matches, and what it asks for.
#[derive(Debug)]
pub struct Rule {
    /// The requests it is for: those that all of it matches.
    pub matcher: Matcher,
    /// What they need.
    pub access: Access,
}

/// The requests a rule is for.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Their paths; any if `None`.
    pub path: Option<PathPattern>,
    /// What else must be true of them.
    pub conditions: Conditions,
}

/// What a request needs to pass.
#[derive(Debug)]
pub enum Access {
    /// Nothing: it passes without identity.
    Bypass,
    /// A valid token that meets these requirements. Shared by the rules that
    /// name one policy.
    Requires(Rc<Requirements>),
}

/// A rule's word that a request needs no identity.
#[derive(Debug)]
pub struct Bypassed(());

/// Whoever comes without a token where a rule allows that.
#[derive(Debug)]
pub struct Anonymous {
    fields: Rc<[SetField]>,
}

impl Anonymous {
    /// Announced upstream with `fields`.
    pub(crate) fn new(fields: Vec<SetField>) -> Self {
        Self { fields: fields.into() }
    }

    /// The header fields that say so upstream.
    pub fn fields(&self) -> Rc<[SetField]> {
        Rc::clone(&self.fields)
    }
}

impl Rules {
    /// These rules, in this order, and what a request needs that none matches. A
    /// path that servers read differently is refused, or with
    /// `allow_ambiguous_paths` matched as far as it is clear.
    pub fn new(rules: Vec<Rule>, otherwise: Requirements, allow_ambiguous_paths: bool) -> Self {
        let index = PathIndex::new(rules.iter().map(|rule| rule.matcher.path.as_ref()));
        Self { rules, otherwise, index, allow_ambiguous_paths }
    }

    /// What a request needs that no rule matches.
    pub const fn otherwise(&self) -> &Requirements {
        &self.otherwise
    }

    /// The first rule that matches, with its position.
    ///
    /// A path that two servers could read as two paths is refused, since the
    /// rule might be chosen for one and the request served by the other; with
    /// no rules there is nothing to get around.
    pub fn find(&self, head: &RequestHead) -> Result<Option<(usize, &Rule)>, Denial> {
        if self.rules.is_empty() {
            return Ok(None);
        }
        let path = head.target().path;
        match canonical_path(path) {
            Some(path) => {
                let found = self.decide_canonical(&path, head)?;
                let position = found.map(|(position, _)| position);
                for reading in lenient_readings(&path) {
                    let other = self.decide_canonical(&reading, head)?;
                    if other.map(|(position, _)| position) != position {
                        return Err(Denial::PathAmbiguous);
                    }
                }
                Ok(found)
            }
            None if self.allow_ambiguous_paths => {
                let start = unambiguous_start(path).ok_or(Denial::PathAmbiguous)?;
                // Two doubts at once are one too many.
                if !lenient_readings(&start.path).is_empty() {
                    return Err(Denial::PathAmbiguous);
                }
                self.decide(self.index.matching_below(&start).into_iter(), head)
            }
            None => Err(Denial::PathAmbiguous),
        }
    }

    /// The first rule for a path that is taken as it is.
    fn decide_canonical(
        &self,
        path: &[u8],
        head: &RequestHead,
    ) -> Result<Option<(usize, &Rule)>, Denial> {
        let matching = self.index.matching(path).into_iter();
        self.decide(matching.map(|position| (position, true)), head)
    }

    /// The first of `matching` whose conditions hold. One that matches only in
    /// some readings of the path must not be passed over and must not decide.
    fn decide(
        &self,
        matching: impl Iterator<Item = (usize, bool)>,
        head: &RequestHead,
    ) -> Result<Option<(usize, &Rule)>, Denial> {
        for (position, in_every_reading) in matching {
            let Some(rule) = self.rules.get(position) else { continue };
            match rule.matcher.conditions.hold(head) {
                Ok(false) => {}
                _ if !in_every_reading => return Err(Denial::PathAmbiguous),
                Ok(true) => return Ok(Some((position, rule))),
                Err(denial) => return Err(denial),
            }
        }
        Ok(None)
    }
}

/// What a GET without a token may get at a path, whatever else is true of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    /// It may pass, with any token or none.
    Open,
    /// It may pass without a token; one that is not valid is denied.
    Anonymous,
    /// It is denied.
    Closed,
}

impl Rules {
    /// Whether a rule asks for the header `name`, in any spelling of it.
    pub fn ask_header(&self, name: &[u8]) -> bool {
        let mut headers = self.rules.iter().flat_map(|rule| &rule.matcher.conditions.headers);
        headers.any(|header| header.name.is_spelled(name))
    }

    /// What a GET of `path` without a token may get: by the first rule that is
    /// certainly for it, or one before that whose other conditions might hold.
    pub fn openness(&self, path: &[u8]) -> Openness {
        let Some(path) = canonical_path(path) else { return Openness::Closed };
        for position in self.index.matching(&path) {
            let Some(Rule { matcher, access }) = self.rules.get(position) else { continue };
            let Conditions { methods, hosts, headers } = &matcher.conditions;
            if !methods.is_empty() && !methods.iter().any(|method| method == "GET") {
                continue;
            }
            match access {
                Access::Bypass => return Openness::Open,
                Access::Requires(needs) if needs.anonymous.is_some() => return Openness::Anonymous,
                Access::Requires(_) if hosts.is_empty() && headers.is_empty() => break,
                Access::Requires(_) => {}
            }
        }
        Openness::Closed
    }

    /// Whether what a request needs may depend on a claim.
    pub fn asks_claims(&self) -> bool {
        let accesses = self.rules.iter().filter_map(|rule| match &rule.access {
            Access::Requires(requirements) => Some(requirements.as_ref()),
            Access::Bypass => None,
        });
        accesses.chain([&self.otherwise]).any(|requirements| !requirements.claims.is_empty())
    }
}

impl Bypassed {
    /// Made where the access of the rule that matched is [`Access::Bypass`].
    pub(crate) const fn by(access: &Access) -> Option<Self> {
        match access {
            Access::Bypass => Some(Self(())),
            Access::Requires(_) => None,
        }
    }

    /// A CORS preflight carries no credentials by design (Fetch standard), so
    /// it can be let through to the upstream, without any identity.
    pub(crate) fn preflight(head: &RequestHead) -> Option<Self> {
        head.is_cors_preflight().then_some(Self(()))
    }
}
