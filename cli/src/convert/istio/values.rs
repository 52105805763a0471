//! Values in Istio's policies: `abc`, `abc*`, `*abc` and `*`.

use std::collections::BTreeSet;

use crate::convert::condition::any_of;
use crate::convert::issuers::Issuers;
use crate::convert::matching::{Match, Path};
use crate::convert::need::{Access, Claim, Kind, Missing, Need};

/// Paths of a pattern, where rules can have them.
pub(super) fn path(pattern: &str) -> Option<Path> {
    if pattern == "*" {
        return Some(Path::Any);
    }
    if pattern.contains(['{', '}']) {
        return template(pattern);
    }
    match pattern.strip_suffix('*') {
        Some(start) if !start.contains('*') && !start.is_empty() => {
            Some(Path::Beginning(start.to_owned()))
        }
        None if !pattern.contains('*') => Some(Path::Exact(pattern.to_owned())),
        _ => None,
    }
}

/// `{*}` is a segment, `{**}` all that is below.
fn template(pattern: &str) -> Option<Path> {
    if let Some(start) = pattern.strip_suffix("/{**}") {
        let is_plain = !start.contains(['{', '}', '*']);
        return is_plain.then(|| Path::Beginning(format!("{start}/")));
    }
    let text = pattern.replace("{*}", "*");
    let is_segment = |segment: &str| segment == "*" || !segment.contains(['*', '{', '}']);
    text.split('/').all(is_segment).then_some(Path::Template(text))
}

/// Hosts of patterns.
pub(super) struct Hosts {
    /// Those that rules can have; any if `None`.
    pub(super) told: Option<BTreeSet<String>>,
    /// No pattern is left out.
    pub(super) are_all: bool,
    /// They are meant with any port, too, as rules take them: Istio compares the port.
    pub(super) have_ports: bool,
}

pub(super) fn hosts(patterns: &[String]) -> Hosts {
    let (mut are_all, mut have_ports) = (true, true);
    let mut hosts = BTreeSet::new();
    for pattern in patterns {
        let lower = pattern.to_ascii_lowercase();
        if lower == "*" {
            return Hosts { told: None, are_all: true, have_ports: true };
        }
        // Beside the host alone, this adds nothing here.
        let bare = lower.strip_suffix(":*").unwrap_or(&lower);
        let is_beside = bare != lower && patterns.iter().any(|it| it.eq_ignore_ascii_case(bare));
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        // Rules take a host with a dot at its end for the one without.
        let is_host = !name.contains(['*', ':']) && !name.is_empty() && !name.ends_with('.');
        if is_host {
            let with_port = format!("{lower}:*");
            have_ports &= !lower.starts_with('*')
                && patterns.iter().any(|it| it.eq_ignore_ascii_case(&with_port));
            hosts.insert(lower);
        } else if !is_beside {
            are_all = false;
        }
    }
    Hosts { told: Some(hosts), are_all, have_ports }
}

/// Methods of patterns, any if `None`; and whether no pattern is left out.
pub(super) fn methods(patterns: &[String]) -> (Option<BTreeSet<String>>, bool) {
    if patterns.iter().any(|it| it == "*") {
        return (None, true);
    }
    let (told, others): (Vec<_>, Vec<_>) = patterns.iter().partition(|it| !it.contains('*'));
    (Some(told.into_iter().cloned().collect()), others.is_empty())
}

/// Tokens with one of these principals, `ISS/SUB`, as far as they can be told.
pub(super) fn principals(patterns: &[String], issuers: &mut Issuers) -> Vec<Need> {
    any_of(patterns.iter().filter_map(|it| principal(it, issuers)).collect())
}

fn principal(pattern: &str, issuers: &mut Issuers) -> Option<Need> {
    if pattern == "*" {
        return Some(Need::of(issuers.any_token()));
    }
    let (issuer, subject) = pattern.rsplit_once('/')?;
    if subject == "*" && !issuer.contains('*') {
        let name = issuers.named_for(issuer)?.to_owned();
        return Some(issuers.token_of(&name, None));
    }
    if pattern.contains('*') {
        return None;
    }
    // A subject may have slashes, as those of SPIFFE.
    let issuer = issuers
        .issuers()
        .find(|it| pattern.strip_prefix(it.as_str()).is_some_and(|rest| rest.starts_with('/')))?;
    let subject = pattern.strip_prefix(issuer.as_str())?.strip_prefix('/')?.to_owned();
    let name = issuers.named_for(&issuer)?.to_owned();
    Some(issuers.token_of(&name, None).and(&with_claim("sub", &[subject])))
}

/// A claim with one of these values.
pub(super) fn with_claim(path: &str, values: &[String]) -> Need {
    let claim = Claim::Values(Kind::Either, values.iter().map(|it| it.as_str().into()).collect());
    Need::of(Access { claims: [(path.to_owned(), claim)].into(), ..Access::default() })
}

/// No token, or one without the claim.
pub(super) fn without_claim(path: &str) -> Need {
    let claims = [(path.to_owned(), Claim::Absent)].into();
    Need::of(Access { claims, missing: Missing::Allowed, ..Access::default() })
}

/// The values that stand for themselves: `*` asks for a text that is not empty.
pub(super) fn plain_values(values: &[String]) -> Vec<String> {
    values.iter().filter(|it| !it.contains('*')).cloned().collect()
}

/// The names in `request.auth.claims[a][b]`.
pub(super) fn names_within<'k>(key: &'k str, of: &str) -> Option<Vec<&'k str>> {
    let inner = key.strip_prefix(of)?.strip_prefix('[')?.strip_suffix(']')?;
    let names: Vec<_> = inner.split("][").collect();
    names.iter().all(|it| !it.is_empty()).then_some(names)
}

/// Requests of each of these paths.
pub(super) fn of_paths(patterns: &[String]) -> (Vec<Match>, bool) {
    let paths: Vec<_> = patterns.iter().map(|it| path(it)).collect();
    let are_all = paths.iter().all(Option::is_some);
    (paths.into_iter().flatten().map(Match::of).collect(), are_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, expected) in [
            ("*", Some(Path::Any)),
            ("/a", Some(Path::Exact("/a".into()))),
            ("/a*", Some(Path::Beginning("/a".into()))),
            ("/a/*", Some(Path::Beginning("/a/".into()))),
            ("*/a", None),
            ("/a/*/b", None),
            ("/a/{*}/b", Some(Path::Template("/a/*/b".into()))),
            ("/a/{**}", Some(Path::Beginning("/a/".into()))),
            ("/a/{*}/{**}", None),
            ("/a/{**}/b", None),
        ] {
            assert_eq!(path(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn hosts_with_their_ports() {
        for (patterns, told, are_all, have_ports) in [
            (vec!["*"], None, true, true),
            (vec!["A.example"], Some(vec!["a.example"]), true, false),
            (vec!["a.example", "A.EXAMPLE:*"], Some(vec!["a.example"]), true, true),
            (vec!["*.a.example", "*.a.example:*"], Some(vec!["*.a.example"]), true, false),
            (vec!["a.example:*"], Some(vec![]), false, true),
            (vec!["a.example:8080"], Some(vec![]), false, true),
            (vec!["a.example."], Some(vec![]), false, true),
        ] {
            let patterns: Vec<_> = patterns.into_iter().map(str::to_owned).collect();
            let found = hosts(&patterns);
            let expected = told.map(|it: Vec<&str>| it.into_iter().map(str::to_owned).collect());
            assert_eq!(
                (found.told, found.are_all, found.have_ports),
                (expected, are_all, have_ports),
                "{patterns:?}"
            );
        }
    }
}
