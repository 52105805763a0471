//! Suggestions for unknown fields.

use gatepass::config::{Problem, ProblemKind};

/// The field that is most like the one that a problem is about, if it is about an
/// unknown one.
pub fn of(problem: &Problem) -> Option<&'static str> {
    let ProblemKind::UnknownField { name, known } = &problem.kind else { return None };
    let near = known.iter().map(|field| (distance(name, field), *field)).min()?;
    // One letter in three, or the beginning of it.
    let is_near = near.0 <= (name.len() / 3).min(3);
    let longer = || known.iter().copied().find(|field| field.starts_with(name.as_str()));
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
        for (name, known, expected) in [
            (
                "audience",
                &["issuer", "allow_any_audience", "audiences"] as &[&'static str],
                Some("audiences"),
            ),
            ("ttl", &["header", "ttl_seconds", "claims"], Some("ttl_seconds")),
            ("rule", &["rules", "providers"], Some("rules")),
            ("scope_all", &["scopes_any", "scopes_all"], Some("scopes_all")),
            ("maximum", &["max_token_bytes", "max_reply_bytes"], None),
            ("x", &["a", "b"], None),
        ] {
            let kind = ProblemKind::UnknownField { name: name.to_owned(), known: known.to_vec() };
            let problem = Problem::new("$", "an unknown field", "others").of_kind(kind);
            assert_eq!(of(&problem), expected, "{name}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn other_problems_have_none() {
        assert_eq!(of(&Problem::new("$.rules", "text", "a list")), None);
    }
}
