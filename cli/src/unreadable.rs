//! Why a file cannot be read, in the words of a person who looks at it.

use std::fmt;

use gatepass::json::JsonError;

/// Why a text cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not JSON, though it begins like it.
    Json(JsonError),
    /// It is not YAML: what is wrong.
    Yaml(String),
    /// The same, and the line.
    YamlAt(String, usize),
}

impl Unreadable {
    /// The line with the mistake.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Json(error) => error.line(),
            Self::Yaml(_) => None,
            Self::YamlAt(_, line) => Some(*line),
        }
    }

    /// What is wrong, with the line.
    pub fn cause(self) -> String {
        match self {
            Self::Json(error) => error.to_string(),
            Self::Yaml(cause) => cause,
            Self::YamlAt(cause, line) => format!("{cause} (line {line})"),
        }
    }

    /// The same of a file within another: `own`, the line of the text there; `before`, the
    /// line before its first one, where the lines of both are the same.
    pub fn within(self, place: &str, own: Option<usize>, before: Option<usize>) -> Self {
        let line = self.line();
        let cause = match self {
            Self::Json(error) => error.to_string(),
            Self::Yaml(cause) | Self::YamlAt(cause, _) => cause,
        };
        let cause = format!("in {place}: {cause}");
        match (line, before) {
            (Some(line), Some(before)) => Self::YamlAt(cause, line.saturating_add(before)),
            (Some(line), None) => Self::at(format!("{cause} (line {line} of that text)"), own),
            (None, _) => Self::at(cause, own),
        }
    }

    /// A name of YAML's that is no text.
    pub fn unnamed(text: &str) -> Self {
        let (cause, line) = not_yaml(text)
            .unwrap_or(("a name that is no text, where JSON has text: quote it", None));
        Self::at(cause.to_owned(), line)
    }

    /// What a parser of YAML did not like.
    pub fn yaml(text: &str, error: &serde_norway::Error) -> Self {
        let place = error.location();
        if let Some((cause, line)) = not_yaml(text) {
            return Self::at(cause.to_owned(), line);
        }
        let message = error.to_string();
        if message.contains("duplicate entry") {
            let name = message.split('"').nth(1).unwrap_or_default();
            let cause = format!("{name:?} twice in one place: the later would silently win");
            return Self::at(cause, second(text, name));
        }
        let line = place.as_ref().map(serde_norway::Location::line);
        let before = |line: usize| text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let row = line.map(before).unwrap_or_default();
        let found = MEANINGS.iter().find(|(part, _)| message.contains(part));
        let cause = match found {
            Some((part, _)) if part.contains("cannot start") && row.starts_with('\t') => {
                "a tab, where YAML has spaces".to_owned()
            }
            Some((_, meaning)) => (*meaning).to_owned(),
            None => "something that YAML does not have".to_owned(),
        };
        Self::at(cause, line)
    }

    pub fn at(cause: String, line: Option<usize>) -> Self {
        match line {
            Some(line) => Self::YamlAt(cause, line),
            None => Self::Yaml(cause),
        }
    }
}

/// What the parser says, and what it means.
const MEANINGS: [(&str, &str); 14] = [
    (
        "mapping values are not allowed",
        "a second `: ` in a line, or a value and members below it: quote the text, or indent",
    ),
    ("cannot start any token", "a value that begins with @, ` or %: quote it"),
    ("scanning an alias", "a * that is not quoted, which YAML takes for the name of an anchor"),
    ("unknown anchor", "an anchor (*name) that is not in this document: quote a * that is meant"),
    ("expected node content", "a [ or { without its end, or without a value where one is due"),
    ("expected ',' or ']'", "a [ that is not closed, or a comma that is missing"),
    ("expected ',' or '}'", "a { that is not closed, or a comma that is missing"),
    (
        "did not find expected key",
        "an indentation that fits nothing above, or a quote inside of quotes",
    ),
    ("expected '-' indicator", "an indentation that does not fit the list above"),
    ("could not find expected ':'", "a line without `: ` (a text of several lines needs |)"),
    ("while scanning a quoted", "a quote that is not closed"),
    ("while parsing a quoted", "a quote that is not closed"),
    ("recursion limit", "nested too deep"),
    ("unexpected end of stream", "it ends before it is complete"),
];

/// The line in which a member comes a second time, as far as its indentation tells.
fn second(text: &str, name: &str) -> Option<usize> {
    let mut before = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let own = line.trim_start_matches([' ', '-']);
        let depth = line.len().saturating_sub(own.len());
        let own = own.trim_start_matches(['"', '\'']);
        let rest = own.strip_prefix(name).map(|rest| rest.trim_start_matches(['"', '\'']));
        let is_member = rest.is_some_and(|rest| rest.starts_with(':'));
        if is_member && before.contains(&depth) {
            return Some(number);
        }
        if is_member {
            before.push(depth);
        } else if !own.is_empty() && !own.starts_with('#') {
            // Another object begins.
            before.retain(|other| *other <= depth);
        }
    }
    None
}

/// What a file is that is not YAML at all, and where that is seen.
fn not_yaml(text: &str) -> Option<(&'static str, Option<usize>)> {
    let at = |starts: &[&str]| {
        let is = |line: &str| starts.iter().any(|start| line.starts_with(start));
        text.lines().position(is).map(|position| Some(position.saturating_add(1)))
    };
    if let Some(line) = at(&["<<<<<<< ", ">>>>>>> ", "======="]) {
        return Some(("the marks of a merge that git left to you", line));
    }
    if let Some(line) = at(&["```"]) {
        return Some(("a fence of Markdown, copied with the example", line));
    }
    let first = text.trim_start();
    if first.starts_with('<') {
        return Some(("it is HTML or XML", Some(1)));
    }
    if first.starts_with("eyJ") && !first.contains(char::is_whitespace) {
        return Some(("it is a JWT, or base64", Some(1)));
    }
    let template = text.lines().position(|line| {
        let opens = line.find("{{").or_else(|| line.find("{%"));
        opens.is_some() && (line.contains("}}") || line.contains("%}"))
    });
    let line = template.map(|position| position.saturating_add(1))?;
    Some(("a template ({{ ... }}): check what it makes, such as helm template prints", Some(line)))
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::Yaml(cause) | Self::YamlAt(cause, _) => write!(f, "not acceptable YAML: {cause}"),
        }
    }
}
