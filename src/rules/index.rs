//! Finds the rules for a path without trying each of them.
//!
//! A tree of path segments: a walk along the segments of a path passes every rule that
//! matches the path, and few others. Its cost depends on the length of the path and on
//! the rules for that path, not on the total number of rules.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::path::{Extent, PathPattern, Segment};
use crate::http::Start;

/// Positions of rules, by path.
#[derive(Debug, Default)]
pub struct PathIndex {
    root: Node,
    /// Rules for any path.
    everywhere: Vec<usize>,
    /// Where matching rules are collected: a request has no use for them afterwards.
    found: RefCell<Vec<usize>>,
}

#[derive(Debug, Default)]
struct Node {
    // Few names of one node are compared, and hashing one takes longer.
    literals: BTreeMap<Box<[u8]>, Node>,
    any: Option<Box<Node>>,
    /// Rules for the path that ends here.
    here: Vec<usize>,
    /// Rules for that path and those below it.
    from_here: Vec<usize>,
    /// Rules for the paths below it.
    below: Vec<usize>,
    /// Rules for the paths below it whose next segment begins with a text.
    within: Vec<(Box<[u8]>, usize)>,
}

impl PathIndex {
    /// The patterns of rules in order; `None` for a rule without a path.
    pub fn new<'a>(patterns: impl Iterator<Item = Option<&'a PathPattern>>) -> Self {
        let mut index = Self::default();
        for (position, pattern) in patterns.enumerate() {
            let Some(PathPattern { segments, extent }) = pattern else {
                index.everywhere.push(position);
                continue;
            };
            let node = segments.iter().fold(&mut index.root, |node, segment| match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
            });
            match extent {
                Extent::Nothing => node.here.push(position),
                Extent::Anything => node.from_here.push(position),
                Extent::Something => node.below.push(position),
                Extent::Within(text) => node.within.push((text.clone(), position)),
            }
        }
        index
    }

    /// The rules whose pattern matches `path`, in their order.
    pub fn matching(&self, path: &[u8]) -> Vec<usize> {
        self.with_matching(path, <[usize]>::to_vec)
    }

    /// Gives `decide` the rules whose pattern matches `path`, in their order.
    pub fn with_matching<T>(&self, path: &[u8], decide: impl FnOnce(&[usize]) -> T) -> T {
        let mut found = self.found.take();
        found.clear();
        found.extend_from_slice(&self.everywhere);
        // `*`, the target of a request to the whole server, is not a path.
        if let Some(path) = path.strip_prefix(b"/") {
            self.root.collect(segments(path), &mut found);
        }
        found.sort_unstable();
        let decided = decide(&found);
        self.found.replace(found);
        decided
    }

    /// The rules that match `start` with any continuation (true), and those that match
    /// with some (false); in order.
    pub fn matching_below(&self, start: &Start) -> Vec<(usize, bool)> {
        let (mut always, mut perhaps) = (self.everywhere.clone(), Vec::new());
        let names = start.path.strip_prefix(b"/").map(segments).into_iter().flatten();
        self.root.collect_below(names, start.goes_on, &mut always, &mut perhaps);
        let always = always.into_iter().map(|position| (position, true));
        let perhaps = perhaps.into_iter().map(|position| (position, false));
        let mut found: Vec<_> = always.chain(perhaps).collect();
        found.sort_unstable();
        found
    }
}

/// The segments of a path, without its leading slash.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    path.split(|byte| *byte == b'/')
}

impl Node {
    /// Each node can be reached in one way only, so no path can visit more nodes than
    /// there are; the depth is that of the longest pattern.
    fn collect<'a>(
        &self,
        mut segments: impl Iterator<Item = &'a [u8]> + Clone,
        found: &mut Vec<usize>,
    ) {
        found.extend(&self.from_here);
        let Some(segment) = segments.next() else {
            found.extend(&self.here);
            return;
        };
        found.extend(&self.below);
        found.extend(self.within(segment));
        if let Some(node) = self.literals.get(segment) {
            node.collect(segments.clone(), found);
        }
        if let Some(node) = self.any.as_deref().filter(|_| !segment.is_empty()) {
            node.collect(segments, found);
        }
    }

    fn collect_below<'a>(
        &self,
        mut segments: impl Iterator<Item = &'a [u8]> + Clone,
        goes_on: bool,
        always: &mut Vec<usize>,
        perhaps: &mut Vec<usize>,
    ) {
        always.extend(&self.from_here);
        let Some(segment) = segments.next() else {
            if goes_on { &mut *always } else { &mut *perhaps }.extend(&self.below);
            perhaps.extend(&self.here);
            perhaps.extend(self.within.iter().map(|(_, position)| position));
            self.children().for_each(|child| child.collect_all(perhaps));
            return;
        };
        always.extend(&self.below);
        always.extend(self.within(segment));
        if let Some(node) = self.literals.get(segment) {
            node.collect_below(segments.clone(), goes_on, always, perhaps);
        }
        if let Some(node) = &self.any {
            node.collect_below(segments, goes_on, always, perhaps);
        }
    }

    fn collect_all(&self, found: &mut Vec<usize>) {
        found.extend(self.here.iter().chain(&self.from_here).chain(&self.below));
        found.extend(self.within.iter().map(|(_, position)| position));
        self.children().for_each(|child| child.collect_all(found));
    }

    /// Rules for a beginning of the next segment with which `segment` begins.
    fn within(&self, segment: &[u8]) -> impl Iterator<Item = &usize> {
        let begins = move |(text, _): &&(Box<[u8]>, usize)| segment.starts_with(text);
        self.within.iter().filter(begins).map(|(_, position)| position)
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        self.literals.values().chain(self.any.as_deref())
    }
}
