//! The scalars of a file as they are written, with quotes or without, and their lines.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

/// The plain scalars that are `null`.
pub const NULL: [&str; 5] = ["", "~", "null", "Null", "NULL"];

/// A value of a file.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub line: usize,
    /// Such as `!!str`.
    pub tag: Option<String>,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Scalar {
        text: String,
        is_plain: bool,
        /// Whether it is a literal block: its lines are lines of the file.
        is_block: bool,
    },
    Items(Vec<Rc<Node>>),
    Members(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            Content::Items(_) | Content::Members(_) => None,
        }
    }

    /// Whether it says nothing: a plain scalar by which every reader means `null`.
    pub fn is_nothing(&self) -> bool {
        match &self.content {
            Content::Scalar { text, is_plain: true, .. } => NULL.contains(&text.as_str()),
            _ => false,
        }
    }

    /// Whether it is an object with a member of one of these names.
    pub fn has(&self, names: &[&str]) -> bool {
        let Content::Members(members) = &self.content else { return false };
        members.iter().any(|(name, _)| name.text().is_some_and(|name| names.contains(&name)))
    }
}

/// Why a text cannot be read.
pub enum Error {
    /// It can be read up to this line.
    At(usize),
    /// It is nested too deep there.
    Deep(usize),
}

/// Its documents.
pub fn documents(text: &str) -> Result<Vec<Rc<Node>>, Error> {
    let mut reader =
        Reader { events: Parser::new_from_str(text), depth: 0, anchors: HashMap::new() };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                let (event, span) = reader.next()?;
                documents.push(reader.node(event, span)?);
            }
            _ => {}
        }
    }
}

/// As deep as the strict parser goes.
const MAX_DEPTH: usize = 128;

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    depth: usize,
    anchors: HashMap<usize, Rc<Node>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Error> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Error::At(error.marker().line())),
            None => Err(Error::At(1)),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Rc<Node>, Error> {
        let line = span.start.line();
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(Error::Deep(line));
        }
        let (anchor, tag, content) = match event {
            // An alias within its own anchor is refused before.
            Event::Alias(anchor) => {
                self.depth = self.depth.saturating_sub(1);
                return self.anchors.get(&anchor).cloned().ok_or(Error::At(line));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let is_block = style == ScalarStyle::Literal;
                (anchor, tag, Content::Scalar { text: text.into_owned(), is_plain, is_block })
            }
            Event::SequenceStart(anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span)?),
                    }
                }
                (anchor, tag, Content::Items(items))
            }
            Event::MappingStart(anchor, tag) => {
                let mut members = Vec::new();
                loop {
                    match self.next()? {
                        (Event::MappingEnd, _) => break,
                        (event, span) => {
                            let name = self.node(event, span)?;
                            let (event, span) = self.next()?;
                            members.push((name, self.node(event, span)?));
                        }
                    }
                }
                (anchor, tag, Content::Members(members))
            }
            _ => return Err(Error::At(line)),
        };
        self.depth = self.depth.saturating_sub(1);
        let node = Rc::new(Node { line, tag: tag.map(|tag| written(&tag)), content });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }
}

/// A tag as it is written.
fn written(tag: &Tag) -> String {
    let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
    format!("{handle}{}", tag.suffix)
}
