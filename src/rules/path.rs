//! The paths of rules, and their comparison with a request's path.

use super::reading::folded;
use crate::http::{canonical_path, percent_decode};

/// The paths that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    pub(super) segments: Vec<Segment>,
    pub(super) extent: Extent,
}

/// A pattern for one segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, percent-decoded.
    Literal(Box<[u8]>),
    /// Any text that is not empty.
    Any,
}

/// What may follow the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing.
    Nothing,
    /// Anything: `/a` matches `/a` and `/a/b`, not `/ab`.
    Anything,
    /// At least a slash: `/a/` matches `/a/` and `/a/b`, not `/a`.
    Something,
    /// A segment that begins with this text, percent-decoded, and anything after
    /// it: `/a` matches `/a`, `/ab` and `/ab/c`.
    Within(Box<[u8]>),
}

/// A rule's path that no request can have, or that is not a valid pattern.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidPattern;

/// Bounds the depth of the index, and with it the stack.
const MAX_SEGMENTS: usize = 64;

impl PathPattern {
    /// The same pattern for case-insensitive readers.
    pub(super) fn folded(&self) -> Self {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => Segment::Literal(folded(text).into()),
            Segment::Any => Segment::Any,
        });
        let extent = match &self.extent {
            Extent::Within(text) => Extent::Within(folded(text).into()),
            other => other.clone(),
        };
        Self { segments: segments.collect(), extent }
    }

    /// Whether all of its paths start with this segment.
    pub(super) fn starts_with(&self, first: &[u8]) -> bool {
        let first = Segment::Literal(first.into());
        self.segments.first() == Some(&first)
    }

    /// This path and no other.
    pub fn exact(path: &str) -> Result<Self, InvalidPattern> {
        let segments = literals(path)?;
        Ok(Self { segments, extent: Extent::Nothing })
    }

    /// The path, or its first segments.
    pub fn prefix(path: &str) -> Result<Self, InvalidPattern> {
        let mut segments = literals(path)?;
        let ends_in_slash = segments.pop_if(is_empty).is_some();
        // Every path starts with a slash.
        let extent = match segments.as_slice() {
            [_, ..] if ends_in_slash => Extent::Something,
            _ => Extent::Anything,
        };
        Ok(Self { segments, extent })
    }

    /// The paths that begin with this text, as in Kong's router and in Envoy's `prefix`.
    pub fn beginning(path: &str) -> Result<Self, InvalidPattern> {
        let mut segments = literals(path)?;
        let extent = match (segments.pop(), segments.as_slice()) {
            (Some(Segment::Literal(text)), _) if !text.is_empty() => Extent::Within(text),
            // A slash at the end stands for everything below.
            (_, [_, ..]) => Extent::Something,
            _ => Extent::Anything,
        };
        Ok(Self { segments, extent })
    }

    /// A path with variable segments, in the operators of Envoy's `uri_template`:
    /// `{name}`, `{name=*}` or `*` is exactly one non-empty segment; a final `**` or
    /// `{name=**}` is any number of segments, including none.
    pub fn template(text: &str) -> Result<Self, InvalidPattern> {
        let mut segments = Vec::new();
        let mut extent = Extent::Nothing;
        let mut names = Vec::new();
        // The path with a sample value for each variable.
        let mut sample = String::new();
        for part in split(text)? {
            if extent != Extent::Nothing {
                return Err(InvalidPattern);
            }
            match operator(part)? {
                Some((name, operator)) => {
                    if name.is_some_and(|name| names.contains(&name)) {
                        return Err(InvalidPattern);
                    }
                    names.extend(name);
                    match operator {
                        Operator::One => segments.push(Segment::Any),
                        Operator::Rest => extent = Extent::Anything,
                    }
                    sample.push_str("/x");
                }
                None => {
                    segments.push(literal(part));
                    sample.push('/');
                    sample.push_str(part);
                }
            }
        }
        if is_canonical(sample.as_bytes()) {
            Ok(Self { segments, extent })
        } else {
            Err(InvalidPattern)
        }
    }
}

#[derive(Clone, Copy)]
enum Operator {
    One,
    Rest,
}

/// The operator in a segment of a template; `None` if it is literal text.
fn operator(part: &str) -> Result<Option<(Option<&str>, Operator)>, InvalidPattern> {
    let braced = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let (name, operator) = match (part, braced) {
        (_, Some(inner)) => {
            let (name, operator) = inner.split_once('=').unwrap_or((inner, "*"));
            let is_name = |name: &str| {
                name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                    && name.chars().all(|other| other.is_ascii_alphanumeric() || other == '_')
            };
            if !is_name(name) {
                return Err(InvalidPattern);
            }
            (Some(name), operator)
        }
        ("*" | "**", None) => (None, part),
        (_, None) if has_operator(part) => return Err(InvalidPattern),
        (_, None) => return Ok(None),
    };
    match operator {
        "*" => Ok(Some((name, Operator::One))),
        "**" => Ok(Some((name, Operator::Rest))),
        _ => Err(InvalidPattern),
    }
}

fn has_operator(text: &str) -> bool {
    text.contains(['{', '}', '*'])
}

/// The segments of a path without operators. `/users/{id}` as a literal path would never
/// match, so it must be a template.
fn literals(path: &str) -> Result<Vec<Segment>, InvalidPattern> {
    if has_operator(path) || !is_canonical(path.as_bytes()) {
        return Err(InvalidPattern);
    }
    Ok(split(path)?.into_iter().map(literal).collect())
}

fn is_canonical(path: &[u8]) -> bool {
    !path.contains(&b'?') && canonical_path(path).is_some()
}

fn literal(part: &str) -> Segment {
    Segment::Literal(percent_decode(part.as_bytes()).into())
}

fn is_empty(segment: &mut Segment) -> bool {
    matches!(segment, Segment::Literal(text) if text.is_empty())
}

fn split(path: &str) -> Result<Vec<&str>, InvalidPattern> {
    let parts: Vec<_> = path.strip_prefix('/').ok_or(InvalidPattern)?.split('/').collect();
    if parts.len() > MAX_SEGMENTS { Err(InvalidPattern) } else { Ok(parts) }
}
