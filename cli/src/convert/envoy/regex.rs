//! Regular expressions of paths, as far as rules can have them.

use crate::convert::matching::Path;

/// The paths that an expression matches as a whole, and whether it matches just these;
/// else these are some more.
pub(in crate::convert) fn paths_of(expression: &str) -> (Path, bool) {
    let inner = expression.strip_prefix('^').unwrap_or(expression);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    match exact(inner) {
        Some(path) => (path, true),
        None => (Path::Beginning(literal_start(inner)), false),
    }
}

fn exact(inner: &str) -> Option<Path> {
    let is_plain =
        |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_~/".contains(c));
    if inner == ".*" || inner == "/.*" {
        return Some(Path::Any);
    }
    let text = inner.replace("\\.", "\u{0}").replace("\\-", "-").replace("\\/", "/");
    let plain = |text: &str| {
        let is_fine = text.starts_with('/') && is_plain(&text.replace('\u{0}', ""));
        is_fine.then(|| text.replace('\u{0}', "."))
    };
    if let Some(path) = plain(&text) {
        return Some(Path::Exact(path));
    }
    for end in ["(/.*)?", "(?:/.*)?", "(/|/.*)?", "($|/.*)"] {
        if let Some(path) = text.strip_suffix(end).and_then(plain)
            && !path.ends_with('/')
        {
            return Some(Path::Below(path));
        }
    }
    if let Some(path) = text.strip_suffix(".*").and_then(plain) {
        return Some(Path::Beginning(path));
    }
    // `[^/]+` has a slash of its own.
    let joined = text.replace("[^/]+", "\u{1}");
    let is_segment = |segment: &str| {
        segment == "\u{1}" || !segment.is_empty() && is_plain(&segment.replace('\u{0}', ""))
    };
    let is_template = joined.starts_with('/') && joined.split('/').skip(1).all(is_segment);
    is_template.then(|| Path::Template(joined.replace('\u{1}', "*").replace('\u{0}', ".")))
}

/// With what everything begins that an expression matches.
fn literal_start(expression: &str) -> String {
    // Alternatives may begin differently.
    if expression.contains('|') && !is_within_brackets(expression) || expression.contains("(?") {
        return String::new();
    }
    let is_literal = |c: &char| c.is_ascii_alphanumeric() || "-_~/".contains(*c);
    let mut start: String = expression.chars().take_while(is_literal).collect();
    let next = expression.chars().nth(start.chars().count());
    // A quantifier makes the character before it optional.
    if next.is_some_and(|c| "*?{".contains(c)) {
        start.pop();
    }
    start
}

fn is_within_brackets(expression: &str) -> bool {
    let mut depth = 0_usize;
    !expression.contains(['[', '\\'])
        && expression.chars().all(|c| {
            match c {
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c != '|' || depth > 0
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for (expression, path, is_exact) in [
            ("/a", Path::Exact("/a".into()), true),
            ("^/a$", Path::Exact("/a".into()), true),
            ("/a/.*", Path::Beginning("/a/".into()), true),
            ("/a.*", Path::Beginning("/a".into()), true),
            ("/a(/.*)?", Path::Below("/a".into()), true),
            (r"/a/v1\.0/x", Path::Exact("/a/v1.0/x".into()), true),
            ("/a/[^/]+/b", Path::Template("/a/*/b".into()), true),
            ("/a/v1.0", Path::Beginning("/a/v1".into()), false),
            ("/a/b?", Path::Beginning("/a/".into()), false),
            ("/a|/b", Path::Beginning(String::new()), false),
            ("/(a|b)/c", Path::Beginning("/".into()), false),
            (r"/[\w|x]+", Path::Beginning(String::new()), false),
            ("(?i)/a", Path::Beginning(String::new()), false),
            (".*", Path::Any, true),
            ("/a/[^/]*", Path::Beginning("/a/".into()), false),
        ] {
            assert_eq!(paths_of(expression), (path, is_exact), "{expression}");
        }
    }
}
