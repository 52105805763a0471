//! The problems of a configuration, all at once.

use std::fmt::{self, Write as _};

/// Something in the configuration that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON path: `$.providers.shop.issuer`.
    pub path: String,
    /// What was found; never the value of a secret.
    pub found: String,
    /// What is accepted.
    pub accepted: String,
    /// The kind of problem, for programs.
    pub kind: ProblemKind,
}

/// The kind of a problem, where that helps to solve it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProblemKind {
    /// A field that there is not.
    UnknownField {
        /// Its name.
        name: String,
        /// The names of those that there are.
        known: Vec<&'static str>,
    },
    /// A name or a word that is none of those that there are.
    UnknownName {
        /// The name.
        name: Box<str>,
        /// Those that there are.
        known: Box<[String]>,
    },
    /// A variable of the environment that is not set.
    VariableUnset,
    /// A variable of the environment that is not for configurations to read.
    VariableWithheld,
    /// Any other.
    #[default]
    Other,
}

impl Problem {
    /// A problem of kind [`ProblemKind::Other`].
    pub fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        accepted: impl Into<String>,
    ) -> Self {
        let (path, found, accepted) = (path.into(), found.into(), accepted.into());
        Self { path, found, accepted, kind: ProblemKind::Other }
    }

    /// Tells it apart.
    #[must_use]
    pub fn of_kind(mut self, kind: ProblemKind) -> Self {
        self.kind = kind;
        self
    }
}

impl fmt::Display for Problem {
    /// On one line: names in a configuration may hold line breaks and the codes
    /// by which terminals are led.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}: found {}, accepted: {}", self.path, self.found, self.accepted);
        text.chars().try_for_each(|char| match char {
            char if char.is_control() => char.escape_unicode().try_for_each(|c| f.write_char(c)),
            char => f.write_char(char),
        })
    }
}

/// Everything wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// All of them for a log: one line, or as few as there can be where the host
    /// cuts lines that are longer than `limit` bytes.
    pub fn lines(&self, limit: usize) -> Vec<String> {
        let count = self.0.len();
        let mut lines = Vec::new();
        let mut line = format!("invalid configuration, {count} problem(s)");
        let mut separator = ": ";
        for problem in self.0.iter().map(Problem::to_string) {
            let length = line.len().saturating_add(problem.len()).saturating_add(separator.len());
            if separator == "; " && length > limit {
                lines.push(std::mem::replace(&mut line, "invalid configuration, continued".into()));
                separator = ": ";
            }
            line.push_str(separator);
            line.push_str(&problem);
            separator = "; ";
        }
        lines.push(line);
        lines
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines(usize::MAX).concat())
    }
}

impl std::error::Error for Problems {}
