//! Suggestions for unknown fields and names.

use gatepass::config::{Problem, ProblemKind};

/// What other products call a field.
const ELSEWHERE: [(&str, &str); 41] = [
    ("aud", "audiences"),
    ("iss", "issuer"),
    ("jwks", "remote_jwks"),
    ("jwks", "local_jwks"),
    ("jwksuri", "remote_jwks"),
    ("jwksurl", "remote_jwks"),
    ("wellknown", "discovery"),
    ("httpuri", "service"),
    ("cacheduration", "cache_seconds"),
    ("providername", "providers"),
    ("fromheader", "from_headers"),
    ("cluster", "upstream"),
    ("url", "upstream"),
    ("uri", "upstream"),
    ("host", "authority"),
    ("hostname", "authority"),
    ("timeout", "timeout_ms"),
    ("leeway", "clock_skew_seconds"),
    ("prefix", "path_prefix"),
    ("pathregex", "path_template"),
    ("scope", "scopes_all"),
    ("scopes", "scopes_all"),
    ("group", "groups_any"),
    ("groups", "groups_any"),
    ("roles", "groups_any"),
    ("anonymous", "allow_missing"),
    ("optional", "allow_missing"),
    ("key", "private_key"),
    ("tls", "scheme"),
    ("ssl", "scheme"),
    ("uri", "path"),
    ("url", "path"),
    ("verb", "methods"),
    ("method", "methods"),
    ("interval", "poll_seconds"),
    ("prefix", "value_prefix"),
    ("in", "equals"),
    ("anyof", "equals"),
    ("name", "username"),
    ("alg", "algorithm"),
    ("alg", "algorithms"),
];

/// The field or name that is most like the one that a problem is about, if it is about an
/// unknown one.
pub fn of(problem: &Problem) -> Option<String> {
    let nearest = match &problem.kind {
        ProblemKind::UnknownField { name, known } => nearest(name, known),
        ProblemKind::UnknownName { name, known } => {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            nearest(name, &known)
        }
        _ => None,
    };
    nearest.map(str::to_owned)
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let own = bare(name);
    let spelled = known.iter().find(|field| bare(field) == own);
    let elsewhere = ELSEWHERE.iter().filter(|(other, _)| *other == own);
    let mut elsewhere = elsewhere.filter_map(|(_, field)| known.iter().find(|it| *it == field));
    if let Some(field) = spelled.or_else(|| elsewhere.next()) {
        return Some(field);
    }
    let near =
        known.iter().map(|field| (strsim::osa_distance(&own, &bare(field)), *field)).min()?;
    // One letter in three, or the beginning of it.
    let is_near = near.0 <= (own.len() / 3).min(3);
    let longer =
        || known.iter().copied().find(|field| !own.is_empty() && bare(field).starts_with(&own));
    if is_near { Some(near.1) } else { longer() }
}

/// A name as all spellings have it: `localJwks`, `local-jwks` and `LOCAL_JWKS`.
fn bare(name: &str) -> String {
    name.chars().filter(|c| !"_- ".contains(*c)).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_may_have_been_meant() {
        for (name, known, expected) in [
            (
                "audience",
                &["issuer", "allow_any_audience", "audiences"] as &[&'static str],
                Some("audiences"),
            ),
            ("ttl", &["header", "ttl_seconds", "claims"], Some("ttl_seconds")),
            ("rule", &["rules", "providers"], Some("rules")),
            ("scope_all", &["scopes_any", "scopes_all"], Some("scopes_all")),
            ("maxStaleSeconds", &["cache_seconds", "max_stale_seconds"], Some("max_stale_seconds")),
            ("jwks_uri", &["issuer", "remote_jwks"], Some("remote_jwks")),
            ("maximum", &["max_token_bytes", "max_reply_bytes"], None),
            ("x", &["a", "b"], None),
        ] {
            let kind = ProblemKind::UnknownField { name: name.to_owned(), known: known.to_vec() };
            let problem = Problem::new("$", "an unknown field", "others").of_kind(kind);
            assert_eq!(of(&problem).as_deref(), expected, "{name}");
        }
        let known = vec!["ES256".to_owned(), "EdDSA".to_owned()];
        let kind = ProblemKind::UnknownName { name: "es256".into(), known: known.into() };
        let problem = Problem::new("$", "\"es256\"", "ES256 | EdDSA").of_kind(kind);
        assert_eq!(of(&problem).as_deref(), Some("ES256"));
        let known = vec!["auth".to_owned(), "users".to_owned()];
        let kind = ProblemKind::UnknownName { name: "atuh".into(), known: known.into() };
        assert_eq!(of(&Problem::new("$", "", "").of_kind(kind)).as_deref(), Some("auth"));
    }

    #[test]
    fn other_problems_have_none() {
        assert_eq!(of(&Problem::new("$.rules", "text", "a list")), None);
    }
}
