//! What may have been meant by a field that there is not.

use gatepass::config::Problem;

use crate::document;

/// The field that is most like the one that a problem is about, if it is about an
/// unknown one.
pub fn of(problem: &Problem) -> Option<&str> {
    let known = problem.accepted.strip_prefix("only the fields ")?;
    let written = problem.path.rsplit('.').next()?;
    // A path that could be read in another way would have brackets.
    if document::step("$", written) != format!("$.{written}") {
        return None;
    }
    let near = known.split(", ").map(|field| (distance(written, field), field)).min()?;
    // One letter in three, or the beginning of it.
    let is_near = near.0 <= (written.len() / 3).min(3);
    let longer = || known.split(", ").find(|field| field.starts_with(written));
    if is_near { Some(near.1) } else { longer() }
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (position, letter) in from.bytes().enumerate() {
        let mut next = vec![position.saturating_add(1)];
        for ((other, above), corner) in to.bytes().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            let changed = corner.saturating_add(usize::from(letter != other));
            next.push(changed.min(left.saturating_add(1)).min(above.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_may_have_been_meant() {
        for (path, known, expected) in [
            (
                "$.providers.shop.audience",
                "issuer, allow_any_audience, audiences",
                Some("audiences"),
            ),
            ("$.identity_token.ttl", "header, ttl_seconds, claims", Some("ttl_seconds")),
            ("$.rule", "rules, providers", Some("rules")),
            ("$.rules[4].requires.scope_all", "scopes_any, scopes_all", Some("scopes_all")),
            ("$.limits.maximum", "max_token_bytes, max_reply_bytes", None),
            ("$.x", "a, b", None),
            (r#"$.a["b.audience"]"#, "audiences", None),
        ] {
            let problem = Problem {
                path: path.to_owned(),
                found: "an unknown field".to_owned(),
                accepted: format!("only the fields {known}"),
            };
            assert_eq!(of(&problem), expected, "{path}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn other_problems_have_none() {
        let problem = Problem {
            path: "$.rules".to_owned(),
            found: "text".to_owned(),
            accepted: "a list".to_owned(),
        };
        assert_eq!(of(&problem), None);
    }
}
