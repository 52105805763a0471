//! The requirements of requests: the first rule that matches decides, and a request that
//! no rule matches needs a valid token.
//!
//! A rule sees the method, the path, the host and the header fields that it names, as the
//! service will see them, and nothing else: in particular no header by which a client
//! overrides path, host or method.

mod applicable;
mod conditions;
mod index;
mod mcp;
mod path;
mod reading;
mod requirements;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::rc::Rc;

pub use self::applicable::{Applicable, Decision};
pub use self::conditions::{Conditions, HeaderCondition, HeaderTest, HostPattern};
use self::index::PathIndex;
use self::mcp::MCP_HEADERS;
pub use self::mcp::{McpCall, McpCondition};
pub use self::path::{InvalidPattern, PathPattern};
use self::reading::{folded, lenient_readings};
pub use self::requirements::Requirements;
use crate::denial::Denial;
use crate::http::{
    KeptFields, PathAmbiguity, RequestHead, SetFields, Start, canonical_path, is_spelled,
    unambiguous_start,
};
use crate::overrides::Overrides;

/// The rules, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    default_requirements: Requirements,
    index: PathIndex,
    /// The index for case-insensitive readers; `None` if it would equal `index`, or if all
    /// services are case-sensitive.
    blind_index: Option<PathIndex>,
    paths: PathReaders,
    has_mcp_conditions: bool,
}

/// How services behind the gateway read paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathReaders {
    /// Whether an ambiguous path is matched by its unambiguous start, rather than refused.
    pub allow_ambiguous: bool,
    /// Whether all of them are case-sensitive.
    pub are_case_sensitive: bool,
}

/// One rule: the requests it matches, and their requirements.
#[derive(Debug)]
pub struct Rule {
    /// The requests it applies to.
    pub matcher: Matcher,
    /// Requirements for requests that match.
    pub access: Access,
    /// The identity for the service behind, if it differs from the default.
    pub identity: Option<Rc<Overrides>>,
}

/// The requests a rule applies to.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Their paths; any if `None`.
    pub path: Option<PathPattern>,
    /// Further conditions.
    pub conditions: Conditions,
}

impl Matcher {
    /// Whether it matches every request.
    pub const fn is_for_all(&self) -> bool {
        let Conditions { methods, hosts, headers, mcp } = &self.conditions;
        let has_no_conditions = methods.is_empty() && hosts.is_empty() && headers.is_empty();
        self.path.is_none() && has_no_conditions && mcp.is_none()
    }
}

/// Requirements of a rule.
#[derive(Debug)]
pub enum Access {
    /// Nothing: it passes without identity.
    Bypass,
    /// A valid token that meets these requirements. Shared by the rules that
    /// name one policy.
    Requires(Rc<Requirements>),
}

/// Proof that a request needs no identity: a rule bypasses it, or it is a preflight.
#[derive(Debug)]
pub struct Bypassed(());

/// The identity of a request without a token, where a rule allows it.
#[derive(Debug)]
pub struct Anonymous {
    fields: KeptFields,
}

impl Rule {
    /// A rule for a host's path and everything below it that requires a valid token;
    /// `None` if servers read the path differently.
    pub(crate) fn for_all_below(host: &str, path: &str) -> Option<Self> {
        let path = PathPattern::prefix(if path.is_empty() { "/" } else { path }).ok()?;
        let hosts = vec![HostPattern::Exact(host.to_owned())];
        let conditions = Conditions { hosts, ..Conditions::default() };
        let matcher = Matcher { path: Some(path), conditions };
        Some(Self { matcher, access: Access::Requires(Rc::default()), identity: None })
    }

    /// Whether its path is below `/.well-known` (RFC 8615), so that it is a rule for such
    /// documents and does not just include them.
    pub(crate) fn is_for_well_known(&self) -> bool {
        self.matcher.path.as_ref().is_some_and(|path| path.starts_with(b".well-known"))
    }
}

impl Anonymous {
    /// The identity announced upstream by `fields`.
    pub(crate) const fn new(fields: KeptFields) -> Self {
        Self { fields }
    }

    /// The header fields that announce it upstream.
    pub fn fields(&self) -> SetFields {
        self.fields.open()
    }
}

impl Rules {
    /// These rules, in order, and the requirements of requests that no rule matches.
    pub fn new(rules: Vec<Rule>, default_requirements: Requirements, paths: PathReaders) -> Self {
        let patterns = || rules.iter().map(|rule| rule.matcher.path.as_ref());
        let index = PathIndex::new(patterns());
        let folded: Vec<_> = patterns().map(|path| path.map(PathPattern::folded)).collect();
        let is_other = patterns().zip(&folded).any(|(path, folded)| path != folded.as_ref());
        let blind_index = (is_other && !paths.are_case_sensitive)
            .then(|| PathIndex::new(folded.iter().map(Option::as_ref)));
        let has_mcp_conditions = rules.iter().any(|rule| rule.matcher.conditions.mcp.is_some());
        Self { rules, default_requirements, index, blind_index, paths, has_mcp_conditions }
    }

    /// The rule at a position.
    pub fn get(&self, position: usize) -> Option<&Rule> {
        self.rules.get(position)
    }

    /// The requirements for requests of this rule, or of none. Where a rule bypasses, they
    /// are those for requests that no rule matches.
    pub fn requirements<'a>(&'a self, rule: Option<&'a Rule>) -> &'a Requirements {
        match rule.map(|rule| &rule.access) {
            Some(Access::Requires(requirements)) => requirements,
            Some(Access::Bypass) | None => &self.default_requirements,
        }
    }

    /// The first rule that matches, with its position.
    ///
    /// A path that two servers could read differently is refused, since the rule might be
    /// chosen for one reading and the request served by the other; without rules there is
    /// nothing to bypass.
    pub fn find(&self, head: &RequestHead) -> Result<Option<(usize, &Rule)>, Denial> {
        self.find_call(head, &McpCall::Unknown)
    }

    /// As [`Rules::find`], for a request with this MCP call. Rules that match only some
    /// calls are skipped while the call is uncertain: [`Rules::decision`] adds their requirements.
    pub fn find_call(
        &self,
        head: &RequestHead,
        call: &McpCall,
    ) -> Result<Option<(usize, &Rule)>, Denial> {
        if self.rules.is_empty() {
            return Ok(None);
        }
        let path = head.target().path;
        match canonical_path(path) {
            Some(path) => {
                let decide = |matching: &[usize]| {
                    self.decide(matching.iter().copied().map(certainly), head, call)
                };
                let found = self.index.with_matching(&path, decide)?;
                let lenient = lenient_readings(&path);
                let mut readings: Vec<_> =
                    lenient.iter().map(|it| (self.read(it), PathAmbiguity::Reading)).collect();
                let own = self.read(&path);
                if *own != *path || self.blind_index.is_some() {
                    readings.push((own, PathAmbiguity::Case));
                }
                for (reading, ambiguity) in readings {
                    let index = self.blind_index.as_ref().unwrap_or(&self.index);
                    let other = index.with_matching(&reading, decide)?;
                    check_same(found, other, ambiguity)?;
                }
                Ok(found)
            }
            None if self.paths.allow_ambiguous => {
                let ambiguous = || Denial::PathAmbiguous(PathAmbiguity::of(path, true));
                let start = unambiguous_start(path).ok_or_else(ambiguous)?;
                // Two ambiguities at once are too many.
                if !lenient_readings(&start.path).is_empty() {
                    return Err(Denial::PathAmbiguous(PathAmbiguity::Reading));
                }
                let matching = self.index.matching_below(&start).into_iter();
                let found = self.decide(matching, head, call)?;
                let path = self.read(&start.path).into_owned();
                let index = self.blind_index.as_ref().unwrap_or(&self.index);
                let start = Start { path, ..start };
                let other = self.decide(index.matching_below(&start).into_iter(), head, call)?;
                check_same(found, other, PathAmbiguity::Case)?;
                Ok(found)
            }
            None => Err(Denial::PathAmbiguous(PathAmbiguity::of(path, false))),
        }
    }

    /// The path as case-insensitive readers may compare it.
    fn read<'a>(&self, path: &'a [u8]) -> Cow<'a, [u8]> {
        if self.paths.are_case_sensitive { Cow::Borrowed(path) } else { folded(path) }
    }

    /// The first of `matching` whose conditions hold. A rule that matches only in some
    /// readings of the path must neither be skipped nor decide.
    fn decide(
        &self,
        matching: impl Iterator<Item = (usize, bool)>,
        head: &RequestHead,
        call: &McpCall,
    ) -> Result<Option<(usize, &Rule)>, Denial> {
        for (position, in_every_reading) in matching {
            let Some(rule) = self.rules.get(position) else { continue };
            let mcp = rule.matcher.conditions.mcp.as_ref();
            if mcp.is_some_and(|mcp| mcp.holds(call) != Some(true)) {
                continue;
            }
            match rule.matcher.conditions.hold(head) {
                Ok(false) => {}
                _ if !in_every_reading => {
                    return Err(Denial::PathAmbiguous(PathAmbiguity::Reading));
                }
                Ok(true) => return Ok(Some((position, rule))),
                Err(denial) => return Err(denial),
            }
        }
        Ok(None)
    }
}

/// Refuses a path that selects another rule in another reading, unless the two rules'
/// paths differ only in case, which is then intentional.
fn check_same(
    found: Option<(usize, &Rule)>,
    other: Option<(usize, &Rule)>,
    ambiguity: PathAmbiguity,
) -> Result<(), Denial> {
    let is_same = match (found, other) {
        (None, None) => true,
        (Some((position, rule)), Some((other_position, other))) => {
            let pattern = |rule: &Rule| rule.matcher.path.as_ref().map(PathPattern::folded);
            position == other_position || pattern(rule) == pattern(other)
        }
        _ => false,
    };
    if is_same { Ok(()) } else { Err(Denial::PathAmbiguous(ambiguity)) }
}

impl Rules {
    /// True if the rule of a request may depend on what it calls by the Model Context
    /// Protocol.
    pub fn depends_on_mcp_call(&self, head: &RequestHead) -> bool {
        self.has_mcp_conditions && self.calls(head).next().is_some()
    }

    /// What a request must meet that has this MCP call and this rule, by
    /// [`Rules::find_call`].
    pub fn decision<'a>(
        &'a self,
        head: &RequestHead,
        call: &McpCall,
        rule: Option<(usize, &'a Rule)>,
    ) -> Decision<'a> {
        let (position, rule) = rule.unzip();
        let possible = match call {
            McpCall::Unknown => self.possible(head, position),
            _ => Vec::new(),
        };
        match rule {
            Some(Rule { access: Access::Bypass, .. }) if possible.is_empty() => {
                Decision::Bypass(Bypassed(()))
            }
            rule => Decision::Require(Applicable { own: self.requirements(rule), possible }),
        }
    }

    /// The requirements of the rules before `found` that may apply while the request's
    /// MCP call is uncertain: it must meet all of them.
    fn possible(&self, head: &RequestHead, found: Option<usize>) -> Vec<&Requirements> {
        if !self.has_mcp_conditions {
            return Vec::new();
        }
        let rules =
            self.calls(head).filter(|(position, _)| found.is_none_or(|found| *position < found));
        let requirements = rules.filter_map(|(_, rule)| match &rule.access {
            Access::Requires(requirements) => Some(requirements.as_ref()),
            Access::Bypass => None,
        });
        requirements.collect()
    }

    /// The rules for calls that a request may be one of by all else, however its path is
    /// read.
    fn calls(&self, head: &RequestHead) -> impl Iterator<Item = (usize, &Rule)> {
        let path = canonical_path(head.target().path);
        let mut positions: Vec<usize> = match &path {
            Some(path) => {
                let index = self.blind_index.as_ref().unwrap_or(&self.index);
                let lenient = lenient_readings(path);
                let readings = lenient.iter().map(|it| self.read(it)).chain([self.read(path)]);
                let others = readings.flat_map(|reading| index.matching(&reading));
                self.index.matching(path).into_iter().chain(others).collect()
            }
            None => (0..self.rules.len()).collect(),
        };
        positions.sort_unstable();
        positions.dedup();
        let rules = positions.into_iter();
        let rules = rules.filter_map(|position| Some((position, self.rules.get(position)?)));
        rules.filter(|(_, rule)| {
            let conditions = &rule.matcher.conditions;
            conditions.mcp.is_some() && conditions.hold(head) != Ok(false)
        })
    }
}

/// A rule that matches in every reading of a path.
const fn certainly(position: usize) -> (usize, bool) {
    (position, true)
}

/// What a GET without a token may access at a path, whatever its other properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openness {
    /// It may pass, with any token or none.
    Open,
    /// It may pass without a token; an invalid token is denied.
    Anonymous,
    /// It is denied.
    Closed,
}

impl Rules {
    /// True if a rule has a condition on the header `name`, in any spelling.
    pub fn depends_on_header(&self, name: &[u8]) -> bool {
        let mut headers = self.rules.iter().flat_map(|rule| &rule.matcher.conditions.headers);
        let is_mcp = || MCP_HEADERS.iter().any(|own| is_spelled(own.as_bytes(), name));
        headers.any(|header| header.name.is_spelled(name)) || self.has_mcp_conditions && is_mcp()
    }

    /// The openness of `path` for a GET without a token: by the first rule that certainly
    /// matches, or an earlier one whose other conditions may hold.
    pub fn openness(&self, path: &[u8]) -> Openness {
        let Some(path) = canonical_path(path) else { return Openness::Closed };
        for position in self.index.matching(&path) {
            let Some(Rule { matcher, access, .. }) = self.rules.get(position) else { continue };
            let Conditions { methods, hosts, headers, mcp } = &matcher.conditions;
            if mcp.is_some() {
                continue;
            }
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

    /// True if some rule has a condition on a claim.
    pub fn depends_on_claims(&self) -> bool {
        let accesses = self.rules.iter().filter_map(|rule| match &rule.access {
            Access::Requires(requirements) => Some(requirements.as_ref()),
            Access::Bypass => None,
        });
        accesses
            .chain([&self.default_requirements])
            .any(|requirements| !requirements.claims.is_empty())
    }
}

impl Bypassed {
    /// A CORS preflight never carries credentials (Fetch standard), so it may pass to the
    /// upstream, without an identity.
    pub(crate) fn preflight(head: &RequestHead) -> Option<Self> {
        head.is_cors_preflight().then_some(Self(()))
    }
}
