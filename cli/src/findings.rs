//! What `check` finds, as a compiler says it: `envoy.yaml:36: error: providers.shop: ...`.

use std::fmt::Write as _;

use gatepass::config::Problem;
use serde_json::{Value, json};

use crate::lines::Lines;
use crate::located::Warning;
use crate::suggestion;
use crate::text::{Escaped, Paint};

/// The findings of one configuration.
pub struct Findings {
    /// The file.
    pub file: String,
    /// The place of the configuration in it.
    pub path: String,
    /// The host that it is for.
    pub host: &'static str,
    /// What is refused.
    pub problems: Vec<Problem>,
    /// What may not be meant.
    pub warnings: Vec<Warning>,
    /// Where things are in the file.
    pub lines: std::rc::Rc<Lines>,
    /// Whether the lines tell it from the others in the file.
    pub has_own_line: bool,
}

impl Findings {
    /// For people.
    pub fn write(&self, text: &mut String, paint: Paint) {
        let problems = self.problems.iter().map(|problem| {
            let Problem { path, found, accepted, .. } = problem;
            let meant = suggestion::of(problem).map(|name| format!("did you mean {name}? "));
            let about = format!("{}found {found}, accepted: {accepted}", meant.unwrap_or_default());
            (self.lines.line(path), paint.error("error:"), path, about)
        });
        let warnings = self.warnings.iter().map(|Warning { path, text }| {
            (self.lines.line(path), paint.warning("warning:"), path, text.clone())
        });
        let mut all: Vec<_> = problems.chain(warnings).collect();
        all.sort_by_key(|(line, ..)| *line);
        for (line, severity, path, about) in all {
            let place = paint.bold(&place(&self.file, line));
            let path = if self.has_own_line { shortest(path, &self.path) } else { path.clone() };
            let path = Escaped(&path).to_string();
            let path = if path.is_empty() { path } else { format!("{}: ", paint.bold(&path)) };
            let about = Escaped(&about.replace('\n', " ")).to_string();
            let _ = writeln!(text, "{place} {severity} {path}{about}");
        }
        if self.problems.is_empty() {
            let (file, path) = (Escaped(&self.file), Escaped(&self.path));
            let _ = writeln!(text, "{file}: {path}: {}, for {}", paint.good("valid"), self.host);
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let problems = self.problems.iter().map(|problem| {
            let Problem { path, found, accepted, .. } = problem;
            let (line, meant) = (self.lines.line(path), suggestion::of(problem));
            json!({
                "line": line, "path": path, "found": found, "accepted": accepted, "perhaps": meant,
            })
        });
        let warnings = self.warnings.iter().map(|Warning { path, text }| {
            json!({ "line": self.lines.line(path), "path": path, "text": text })
        });
        json!({
            "file": self.file,
            "path": self.path,
            "line": self.lines.line(&self.path),
            "host": self.host,
            "valid": self.problems.is_empty(),
            "problems": problems.collect::<Vec<_>>(),
            "warnings": warnings.collect::<Vec<_>>(),
        })
    }
}

/// A file, and the line in it, as editors and terminals know how to follow it.
pub fn place(file: &str, line: Option<usize>) -> String {
    let line = line.map(|line| format!("{line}:"));
    format!("{}:{}", Escaped(file), line.unwrap_or_default())
}

/// A path without what it has in common with that of its configuration; of what is around
/// the whole configuration its last step.
fn shortest(path: &str, root: &str) -> String {
    let is_end = |text: &str, at: usize| {
        text.get(at..).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let same = path.bytes().zip(root.bytes()).take_while(|(one, other)| one == other).count();
    let common =
        (0..=same).rev().find(|at| is_end(path, *at) && is_end(root, *at)).unwrap_or_default();
    // A position says nothing without its list.
    let is_position = path.get(common..).is_some_and(|rest| rest.starts_with('['));
    let before = path.get(..common).filter(|_| is_position && common < root.len());
    let common = before.and_then(|before| before.rfind('.')).unwrap_or(common);
    let rest = path.get(common..).unwrap_or(path);
    match rest.strip_prefix('.').unwrap_or(rest) {
        "" if common < root.len() => {
            path.rsplit('.').next().unwrap_or_default().trim_start_matches('$').to_owned()
        }
        rest => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_short_as_they_can_be() {
        const ROOT: &str = "$.a.http_filters[1].typed_config.config.configuration.value";
        for (path, root, expected) in [
            ("$.providers.shop", "$", "providers.shop"),
            ("$", "$", ""),
            ("$[1].providers", "$[1]", "providers"),
            (&format!("{ROOT}.providers.shop"), ROOT, "providers.shop"),
            (ROOT, ROOT, ""),
            ("$.a.http_filters[1].typed_config.config.failure_policy", ROOT, "failure_policy"),
            ("$.a.http_filters[1].typed_config.config.configuration.@type", ROOT, "@type"),
            ("$.a.http_filters[1]", ROOT, "http_filters[1]"),
            ("$.a.http_filters[10].disabled", ROOT, "http_filters[10].disabled"),
            ("$.a.route_config.virtual_hosts[0]", ROOT, "route_config.virtual_hosts[0]"),
        ] {
            assert_eq!(shortest(path, root), expected, "{path}");
        }
    }
}
