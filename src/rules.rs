//! Which requests need what: the first rule that matches decides, and a request
//! that none matches needs a valid token.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::consumer::Consumer;
use crate::denial::Denial;
use crate::http::{RequestHead, escaped_byte, percent_decode};
use crate::token::{ClaimRule, ProviderId, Verified};
use crate::verdict::SetField;

/// The rules, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    otherwise: Requirements,
}

/// One rule: what it matches, and what it asks for.
#[derive(Debug)]
pub struct Rule {
    /// The requests it is for.
    pub matcher: Matcher,
    /// What they need.
    pub access: Access,
}

/// The requests a rule is for: those that all its parts match.
#[derive(Debug, Default)]
pub struct Matcher {
    /// The path, percent-decoded; any if `None`.
    pub path: Option<PathMatch>,
    /// The methods, upper case; any if empty.
    pub methods: Vec<String>,
}

/// How a rule matches a path.
#[derive(Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(Vec<u8>),
    /// The path, or its first segments: `/admin` matches `/admin` and
    /// `/admin/users`, not `/administrator`.
    Prefix(Vec<u8>),
}

/// What a request needs to pass.
#[derive(Debug)]
pub enum Access {
    /// Nothing: it passes without identity.
    Bypass,
    /// A valid token that meets these requirements.
    Requires(Requirements),
}

/// What a rule asks of a token and its consumer. Empty lists ask nothing.
#[derive(Debug, Default)]
pub struct Requirements {
    /// Providers, one of which must have issued the token.
    pub providers: Vec<ProviderId>,
    /// Scopes that the token must all have.
    pub scopes_all: Vec<String>,
    /// Scopes of which the token must have one.
    pub scopes_any: Vec<String>,
    /// Groups of which the consumer must be in one.
    pub groups_any: Vec<String>,
    /// Claims that must all have an accepted value.
    pub claims: Vec<ClaimRule>,
    /// Who passes without a token; `None` if nobody. A token that is sent must
    /// be valid all the same.
    pub anonymous: Option<Rc<Anonymous>>,
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
    pub fn new(fields: Vec<SetField>) -> Self {
        Self { fields: fields.into() }
    }

    /// The header fields that say so upstream.
    pub fn fields(&self) -> Rc<[SetField]> {
        Rc::clone(&self.fields)
    }
}

impl Rules {
    /// These rules, in this order, and what a request needs that none matches.
    pub const fn new(rules: Vec<Rule>, otherwise: Requirements) -> Self {
        Self { rules, otherwise }
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
        let path = canonical_path(head.target().path).ok_or(Denial::PathAmbiguous)?;
        let matches = |rule: &Rule| rule.matcher.matches(&path, head.method());
        Ok(self.rules.iter().enumerate().find(|(_, rule)| matches(rule)))
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

impl Matcher {
    fn matches(&self, path: &[u8], method: &[u8]) -> bool {
        self.path.as_ref().is_none_or(|wanted| wanted.matches(path))
            && (self.methods.is_empty()
                || self.methods.iter().any(|wanted| wanted.as_bytes() == method))
    }
}

impl PathMatch {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => path == wanted,
            Self::Prefix(wanted) => path
                .strip_prefix(wanted.as_slice())
                .is_some_and(|rest| matches!(rest, [] | [b'/', ..]) || wanted.ends_with(b"/")),
        }
    }
}

impl Requirements {
    /// Whether every valid token meets them.
    pub const fn asks_nothing(&self) -> bool {
        self.providers.is_empty()
            && self.scopes_all.is_empty()
            && self.scopes_any.is_empty()
            && self.groups_any.is_empty()
            && self.claims.is_empty()
    }

    /// What the token and its consumer alone can decide: asked before any
    /// callout is made. Claims in `from_user_info` are left for
    /// [`Requirements::check_claims`].
    pub fn check_token(
        &self,
        token: &Verified,
        consumer: Option<&Consumer>,
        from_user_info: impl Fn(&str) -> bool,
    ) -> Result<(), Denial> {
        if !self.providers.is_empty() && !self.providers.contains(&token.provider()) {
            return Err(Denial::ClaimForbidden("iss".into()));
        }
        let has = |scope: &String| token.scopes().contains(scope);
        if !self.scopes_all.iter().all(has) {
            return Err(Denial::InsufficientScope(self.scopes_all.clone()));
        }
        if !self.scopes_any.is_empty() && !self.scopes_any.iter().any(has) {
            return Err(Denial::InsufficientScope(self.scopes_any.clone()));
        }
        let groups = consumer.map_or(&[][..], |consumer| &consumer.groups);
        if !self.groups_any.is_empty()
            && !self.groups_any.iter().any(|group| groups.contains(group))
        {
            return Err(Denial::GroupForbidden);
        }
        let by_token = self.claims.iter().filter(|rule| !from_user_info(rule.path.first()));
        check_all(by_token, |rule| rule.path.find(token.claims().members()))
    }

    /// The claims that come from user info.
    pub fn check_claims(
        &self,
        user_claims: &Map<String, Value>,
        from_user_info: impl Fn(&str) -> bool,
    ) -> Result<(), Denial> {
        let by_user = self.claims.iter().filter(|rule| from_user_info(rule.path.first()));
        check_all(by_user, |rule| rule.path.find(user_claims))
    }
}

fn check_all<'a, 'v>(
    mut rules: impl Iterator<Item = &'a ClaimRule>,
    find: impl Fn(&ClaimRule) -> Option<&'v Value>,
) -> Result<(), Denial> {
    match rules.find(|rule| !rule.accepts(find(rule))) {
        Some(failed) => Err(Denial::ClaimForbidden(failed.path.to_string())),
        None => Ok(()),
    }
}

/// The path as every server reads it: percent-decoded once.
///
/// `None` for a path that servers read differently: with an encoded slash,
/// backslash, dot segment or control character, with an escape that is none,
/// with `//`, `;`, `\`, a space or a fragment, or one that does not start with `/`
/// (`OPTIONS *` is the exception).
fn canonical_path(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    if path == b"*" {
        return Some(Cow::Borrowed(path));
    }
    // A space ends the target in a request line of HTTP/1, and parsers of URLs
    // cut it off at the end.
    if !path.starts_with(b"/") || path.contains(&b' ') || has_bad_escape(path) {
        return None;
    }
    let is_ambiguous = |byte: &u8| b"\\;#".contains(byte) || byte.is_ascii_control();
    // An encoded slash is found by there being more slashes once decoded.
    let slashes = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
    let decoded = percent_decode(path);
    if decoded.iter().any(is_ambiguous) || slashes(&decoded) != slashes(path) {
        return None;
    }
    let mut segments = decoded.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, b"." | b"..") || (segment.is_empty() && !is_last) {
            return None;
        }
    }
    Some(decoded)
}

fn has_bad_escape(path: &[u8]) -> bool {
    let starts = path.iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| at);
    starts.into_iter().any(|at| path.get(at..).and_then(escaped_byte).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, path: &str) -> RequestHead {
        RequestHead::new(
            [(":method", method), (":path", path)]
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())),
        )
    }

    fn rule(path: PathMatch, methods: &[&str]) -> Rule {
        let methods = methods.iter().map(|method| (*method).to_owned()).collect();
        Rule { matcher: Matcher { path: Some(path), methods }, access: Access::Bypass }
    }

    fn of(rules: Vec<Rule>) -> Rules {
        Rules::new(rules, Requirements::default())
    }

    #[test]
    fn first_match_wins() {
        let rules = of(vec![
            rule(PathMatch::Exact(b"/health".to_vec()), &["GET"]),
            rule(PathMatch::Prefix(b"/admin".to_vec()), &[]),
            rule(PathMatch::Prefix(b"/admin/public/".to_vec()), &[]),
            rule(PathMatch::Prefix("/café".as_bytes().to_vec()), &[]),
        ]);
        for (method, path, expected) in [
            ("GET", "/health", Some(0)),
            ("GET", "/health?full=1", Some(0)),
            ("POST", "/health", None),
            ("GET", "/health/", None),
            ("GET", "/admin", Some(1)),
            ("GET", "/admin/public/x", Some(1)),
            ("GET", "/%61dmin/users", Some(1)),
            ("GET", "/administrator", None),
            ("GET", "/caf%C3%A9/menu", Some(3)),
            ("GET", "/admin/a%20b", Some(1)),
            ("GET", "/", None),
            ("OPTIONS", "*", None),
        ] {
            let found = rules.find(&head(method, path)).unwrap().map(|(position, _)| position);
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        let rules = of(vec![rule(PathMatch::Prefix(b"/login".to_vec()), &[])]);
        for path in [
            "/login/../admin",
            "/login/%2e%2e/admin",
            "/login/.%2E/admin",
            "/login/..",
            "/login/./x",
            "//login",
            "/login//x",
            "/login%2f..%2fadmin",
            "/login%5c..%5cadmin",
            "/login\\..\\admin",
            "/login;/../admin",
            "/login%3b/admin",
            "/login%00",
            "/login%0a",
            "/login#/admin",
            "/login%23",
            "/login%",
            "/login%2",
            "/login%zz",
            "/login ",
            "/login HTTP/1.1",
            "login",
            "http://other.example/login",
            "",
        ] {
            let found = rules.find(&head("GET", path)).map(|_| ());
            assert_eq!(found, Err(Denial::PathAmbiguous), "{path}");
        }
        assert!(Rules::default().find(&head("GET", "//")).is_ok(), "no rules, nothing to evade");
    }
}
