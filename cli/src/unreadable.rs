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
    /// It is not YAML: what is wrong, and in which line.
    YamlAt(String, usize),
}

impl Unreadable {
    /// A text that is small and would be huge.
    pub const ALIASES: &str =
        "aliases (*name) of what has aliases itself, which make more than any host reads";

    /// If a text is none of YAML's at all: what it is.
    pub fn other_than_yaml(text: &str) -> Option<Self> {
        not_yaml(text).map(|(cause, line)| Self::at(cause.to_owned(), line))
    }

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

    /// Turns it into an error of the file that contains this text at `place`. `own`: the line
    /// of the text in that file. `before`: the line before the text's first, if the text has
    /// the same lines there as by itself.
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
    pub fn unnamed(text: &str, line: Option<usize>) -> Self {
        let (cause, line) =
            not_yaml(text).unwrap_or(("a name that is not text, as JSON requires: quote it", line));
        Self::at(cause.to_owned(), line)
    }

    /// Lists in lists, and so on.
    pub fn deep(line: usize) -> Self {
        Self::at("nested too deep".to_owned(), Some(line))
    }

    /// What some parsers take and others do not.
    pub fn not_by_all(text: &str, line: usize) -> Self {
        let row = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let is_glued = ["]#", "}#", "\"#", "'#"].iter().any(|part| row.contains(part));
        let cause = match is_glued {
            true => "a # right behind a value: a comment has a space before it",
            false => {
                "something that not every reader of YAML takes: quote the text, or write it in \
                 another way"
            }
        };
        Self::at(cause.to_owned(), Some(line))
    }

    /// A member that an object has already.
    pub fn twice(name: &str, line: Option<usize>) -> Self {
        Self::at(format!("{name:?} twice in one place: the later would silently win"), line)
    }

    /// What a parser of YAML did not like.
    pub fn yaml(text: &str, error: &serde_norway::Error) -> Self {
        let place = error.location();
        if let Some(other) = Self::other_than_yaml(text) {
            return other;
        }
        let message = error.to_string();
        if message.contains("duplicate entry") {
            let name = message.split('"').nth(1).unwrap_or_default();
            return Self::twice(name, second(text, name));
        }
        let line = place.as_ref().map(serde_norway::Location::line);
        if let Some(line) = line.and_then(|line| indented_by_tab(text, line)) {
            return Self::at("a tab, where YAML has spaces".to_owned(), Some(line));
        }
        let found = MEANINGS.iter().find(|(part, _)| message.contains(part));
        let cause = found.map_or("something that YAML does not have", |(_, meaning)| meaning);
        // What is not closed is where it begins, not where the parser gave up.
        let begins = BEGINNINGS.iter().any(|part| message.contains(part));
        let begun = begins.then(|| line_in(&message)).flatten();
        Self::at(cause.to_owned(), begun.or(line))
    }

    pub fn at(cause: String, line: Option<usize>) -> Self {
        match line {
            Some(line) => Self::YamlAt(cause, line),
            None => Self::Yaml(cause),
        }
    }
}

/// What the parser had begun, where that is the line to look at.
const BEGINNINGS: [&str; 5] = [
    "scanning a simple key",
    "scanning a quoted",
    "parsing a quoted",
    "parsing a flow sequence",
    "parsing a flow mapping",
];

/// The last line that a message names: where the parser had begun something.
fn line_in(message: &str) -> Option<usize> {
    let (_, rest) = message.rsplit_once("at line ")?;
    rest.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

/// The line with a tab among the blanks at its start: this one, or the one before, where a
/// parser sees what comes after it.
fn indented_by_tab(text: &str, line: usize) -> Option<usize> {
    let is_tabbed = |line: &usize| {
        let row = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let blanks = row.len().saturating_sub(row.trim_start().len());
        row.get(..blanks).is_some_and(|blanks| blanks.contains('\t'))
    };
    [line, line.saturating_sub(1)].into_iter().find(is_tabbed)
}

/// What the parser says, and what it means.
const MEANINGS: [(&str, &str); 18] = [
    (
        "found unknown escape",
        "a \\ in \"double quotes\" that begins nothing: write \\\\, or 'single quotes'",
    ),
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
    ("repetition limit", Unreadable::ALIASES),
    ("expected the node content", "a [ or { without its end, or without a value where one is due"),
    ("control characters", "a character that no text has: type the line again"),
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
