//! The problems of a configuration, all at once.

use std::fmt::{self, Write as _};

/// A problem in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its position, as a JSON path: `$.providers.shop.issuer`.
    pub path: String,
    /// What was found; never the value of a secret.
    pub found: String,
    /// What is accepted.
    pub accepted: String,
    /// The kind of problem, for programs.
    pub kind: ProblemKind,
}

/// The kind of a problem, if it helps to solve it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProblemKind {
    /// An unknown field.
    UnknownField {
        /// Its name.
        name: String,
        /// The names of the known fields.
        known: Vec<&'static str>,
    },
    /// An unknown name or keyword.
    UnknownName {
        /// The name.
        name: Box<str>,
        /// The known ones.
        known: Box<[String]>,
    },
    /// An environment variable that is not set.
    VariableUnset,
    /// An environment variable that configurations may not read.
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

    /// Sets the kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ProblemKind) -> Self {
        self.kind = kind;
        self
    }
}

impl fmt::Display for Problem {
    /// On one line: names in a configuration may contain line breaks and terminal escape
    /// sequences.
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

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Problems {
    /// These problems, if there are any.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// All problems for a log: on one line, or on as few as possible if the host cuts
    /// lines that are longer than `limit` bytes.
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
