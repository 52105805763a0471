//! The lines of what is in a file, by JSON path.
//!
//! The values come from another parser, which refuses what hosts refuse; this one is
//! asked only where things are. What it cannot tell has no line.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// The lines of a file.
#[derive(Clone, Debug, Default)]
pub struct Lines(Vec<Rc<Place>>);

/// A value of a file, and where it begins.
#[derive(Debug)]
struct Place {
    line: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Members(Vec<(String, usize, Rc<Place>)>),
    Items(Vec<Rc<Place>>),
    /// Text, in which there may be another document; with the line before its first one,
    /// if the text has the file's lines.
    Text(String, Option<usize>),
}

impl Lines {
    /// The lines of a text that is YAML, or JSON; none, if it is not.
    pub fn of(text: &str) -> Self {
        Self::after(text, 0)
    }

    /// With so many lines before them.
    fn after(text: &str, before: usize) -> Self {
        let mut reader =
            Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), before };
        Self(reader.documents().unwrap_or_default())
    }

    /// The line of what is at a path, or of the nearest thing around it.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.below(path.strip_prefix('$')?)
    }

    /// The line before the text at a path, where the lines of that text are the file's.
    pub fn before_text(&self, path: &str) -> Option<usize> {
        let (place, rest) = self.document(path.strip_prefix('$')?)?;
        place.before_text(rest)
    }

    fn below(&self, path: &str) -> Option<usize> {
        let (place, rest) = self.document(path)?;
        Some(place.line_of(rest, place.line))
    }

    /// The document that a path is in, and its path there.
    fn document<'p>(&self, path: &'p str) -> Option<(&Rc<Place>, &'p str)> {
        match self.0.as_slice() {
            [] => None,
            [only] => Some((only, path)),
            several => {
                let (position, rest) = position(path)?;
                Some((several.get(position)?, rest))
            }
        }
    }
}

impl Place {
    /// The member with which a path begins, or that of a mapping which is merged by `<<`;
    /// and what comes after it.
    fn member<'p>(&self, path: &'p str) -> Option<(usize, &Rc<Self>, &'p str)> {
        let members = match &self.content {
            Content::Members(members) => members,
            Content::Items(several) => return several.iter().find_map(|one| one.member(path)),
            Content::Text(..) => return None,
        };
        let below = members.iter().filter_map(|(name, line, place)| {
            Some((name.len(), *line, place, after_name(path, name)?))
        });
        // A name may have dots: the longest that fits is meant.
        let longest = below.max_by_key(|(length, ..)| *length);
        let own = longest.map(|(_, line, place, rest)| (line, place, rest));
        own.or_else(|| {
            let mut merged = members.iter().filter(|(name, ..)| name == "<<");
            merged.find_map(|(.., place)| place.member(path))
        })
    }

    /// The line before a text, where its lines are the file's.
    fn before_text(&self, path: &str) -> Option<usize> {
        match &self.content {
            Content::Text(_, before) => before.filter(|_| path.is_empty()),
            Content::Members(_) => self.member(path).and_then(|(_, it, rest)| it.before_text(rest)),
            Content::Items(items) => {
                let (at, rest) = position(path)?;
                items.get(at)?.before_text(rest)
            }
        }
    }

    /// The line of what is below, if it is there; else `own`.
    fn line_of(&self, path: &str, own: usize) -> usize {
        match &self.content {
            Content::Members(_) => {
                self.member(path).map_or(own, |(line, place, rest)| place.line_of(rest, line))
            }
            Content::Items(items) => {
                let below = position(path).and_then(|(at, rest)| Some((items.get(at)?, rest)));
                below.map_or(own, |(place, rest)| place.line_of(rest, place.line))
            }
            Content::Text(..) if path.is_empty() => own,
            Content::Text(text, Some(before)) => {
                Lines::after(text, *before).below(path).unwrap_or(own)
            }
            Content::Text(_, None) => own,
        }
    }
}

/// What comes after a member of that name at the beginning of a path.
fn after_name<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let quoted = format!("[{}]", serde_json::Value::from(name));
    let rest = match path.strip_prefix('.') {
        Some(rest) => rest.strip_prefix(name)?,
        None => path.strip_prefix(&quoted)?,
    };
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

/// A position in a list at the beginning of a path, and what comes after it.
fn position(path: &str) -> Option<(usize, &str)> {
    let (position, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((position.parse().ok()?, rest))
}

struct Reader<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Rc<Place>>,
    before: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.events.next()?.ok()
    }

    /// Every document that is not empty; `None` if the text cannot be read.
    fn documents(&mut self) -> Option<Vec<Rc<Place>>> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Some(documents),
                (Event::DocumentStart(_), _) => {
                    let (event, span) = self.next()?;
                    let is_null = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..)
                        if ["", "~", "null", "Null", "NULL"].contains(&text.as_ref()));
                    let place = self.place(event, span)?;
                    if !is_null {
                        documents.push(place);
                    }
                }
                _ => {}
            }
        }
    }

    fn place(&mut self, event: Event<'t>, span: Span) -> Option<Rc<Place>> {
        let line = span.start.line().saturating_add(self.before);
        let (anchor, content) = match event {
            Event::Alias(anchor) => return self.anchors.get(&anchor).cloned(),
            Event::Scalar(text, style, anchor, _) => {
                // Only here the lines of the text are those of the file. A block begins
                // with its first line, not with the |.
                let before = line.saturating_sub(1);
                let before = (style == ScalarStyle::Literal).then_some(before);
                (anchor, Content::Text(text.into_owned(), before))
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break (anchor, Content::Items(items)),
                        (event, span) => items.push(self.place(event, span)?),
                    }
                }
            }
            Event::MappingStart(anchor, _) => (anchor, Content::Members(self.members()?)),
            _ => return None,
        };
        let place = Rc::new(Place { line, content });
        self.anchors.insert(anchor, Rc::clone(&place));
        Some(place)
    }

    fn members(&mut self) -> Option<Vec<(String, usize, Rc<Place>)>> {
        let mut members = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Some(members);
            }
            let name = match &event {
                Event::Scalar(text, ..) => text.clone().into_owned(),
                _ => String::new(),
            };
            self.place(event, span)?;
            let line = span.start.line().saturating_add(self.before);
            let (event, span) = self.next()?;
            members.push((name, line, self.place(event, span)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_things_are() {
        let text = "# A comment.\n\
            providers:\n  \
              shop:\n    \
                issuer: &own https://a\n    \
                audiences:\n    \
                - one\n    \
                - two\n  \
              my.shop: {issuer: *own}\n\
            rules:\n\
            - match:\n    \
                path: /a\n\
            - {match: {path: /b}}\n\
            text: |\n  \
              {\n  \
                \"services\": {\n  \
                  \"a\": {}}}\n";
        let lines = Lines::of(text);
        for (path, expected) in [
            ("$", 2),
            ("$.providers", 2),
            ("$.providers.shop", 3),
            ("$.providers.shop.issuer", 4),
            ("$.providers.shop.audiences[1]", 7),
            ("$.providers.shop.surplus", 3),
            ("$.providers.my.shop.issuer", 8),
            ("$.providers[\"my.shop\"].issuer", 8),
            ("$.rules[0]", 10),
            ("$.rules[0].match.path", 11),
            ("$.rules[1].match", 12),
            ("$.rules[2]", 9),
            ("$.text.services.a", 16),
            ("$.text.services.b", 15),
            ("$.nothing", 2),
        ] {
            assert_eq!(lines.line(path), Some(expected), "{path}");
        }
        let two = Lines::of("---\n---\na: 1\n---\nb:\n  c: 1\n");
        assert_eq!(two.line("$[0].a"), Some(3), "an empty document does not count");
        assert_eq!(two.line("$[1].b.c"), Some(6));
        assert_eq!(Lines::of("a: [").line("$.a"), None);
        let merged = Lines::of("a: &a\n  x: 1\nb: &b {y: 1}\nc:\n  <<: [*a, *b]\n  z: 1\n");
        for (path, expected) in [("$.c.x", 2), ("$.c.y", 3), ("$.c.z", 6), ("$.c.w", 4)] {
            assert_eq!(merged.line(path), Some(expected), "{path}");
        }
        assert_eq!(lines.before_text("$.text"), Some(13));
        assert_eq!(lines.before_text("$.rules"), None);
        let json = Lines::of("{\n  \"a\": {\n\t\"b\": 1\n  }\n}");
        assert_eq!(json.line("$.a.b"), Some(3));
    }
}
