//! Reads a JSON document field by field and records every problem.
//!
//! serde stops at the first error; an operator wants all of them at once, each with its
//! position. A function that returns `None` has recorded why.
//!
//! Functions that read a field are never inlined: otherwise the whole configuration would
//! become one function, which would take a host's compiler longer at start than all the
//! cryptography.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::environment::Variable;
use super::problem::{Problem, ProblemKind, Problems};
use super::shown::{SHOWN, is_field, step, unshown, without_end};
pub use super::shown::{is_env, member_names, shown_member, shown_variable};
use crate::json::{kind, whole};
use crate::secret::Secret;

/// The state shared by all nodes of a document.
pub struct Document<'e> {
    problems: RefCell<Vec<Problem>>,
    /// The paths of the secrets that are in the document itself.
    secrets: RefCell<HashSet<String>>,
    environment: &'e dyn Fn(&str) -> Variable,
}

impl<'e> Document<'e> {
    /// A document whose `{env: NAME}` values are resolved by `environment`.
    pub fn new(environment: &'e dyn Fn(&str) -> Variable) -> Self {
        Self { problems: RefCell::default(), secrets: RefCell::default(), environment }
    }

    /// The root node.
    pub fn root<'a>(&'a self, value: &'a Value) -> Node<'a> {
        Node { document: self, path: "$".to_owned(), value }
    }

    /// Records a problem.
    pub fn record(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Reads a part of a configuration by itself, without an environment.
    pub fn check<T>(
        value: &Value,
        read: impl FnOnce(&Node<'_>) -> Option<T>,
    ) -> Result<(), Problems> {
        let nothing = |_: &str| Variable::Unset;
        let document = Document::new(&nothing);
        let is_read = read(&document.root(value)).is_some();
        match document.into_problems() {
            problems if is_read && problems.is_empty() => Ok(()),
            problems => Err(Problems(problems)),
        }
    }

    /// Takes the paths of the secrets that are in the document itself.
    pub fn take_secrets(&self) -> HashSet<String> {
        self.secrets.take()
    }

    /// All recorded problems.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A value and its position in the document.
#[derive(Clone)]
pub struct Node<'a> {
    document: &'a Document<'a>,
    path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    /// The raw value.
    pub const fn value(&self) -> &'a Value {
        self.value
    }

    /// Records that the value is not accepted here; always `None`.
    pub fn reject<T>(&self, accepted: impl fmt::Display) -> Option<T> {
        self.record_found(&accepted);
        None
    }

    /// Like [`Node::reject`], for a name that is not one of `known`.
    pub fn reject_name<T>(&self, known: &[&str], accepted: impl fmt::Display) -> Option<T> {
        let kind = self.value.as_str().map(|name| ProblemKind::UnknownName {
            name: name.into(),
            known: known.iter().map(|name| (*name).to_owned()).collect(),
        });
        self.record(&self.shown(), &accepted, kind.unwrap_or_default());
        None
    }

    #[cold]
    fn record_found(&self, accepted: &dyn fmt::Display) {
        self.record(&self.shown(), accepted, ProblemKind::Other);
    }

    /// The value in the form in which a problem may show it.
    fn shown(&self) -> String {
        match self.value {
            Value::String(text) if text.len() <= SHOWN => format!("{text:?}"),
            Value::String(text) => format!("a string of {} bytes", text.len()),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => kind(other).to_owned(),
        }
    }

    /// Like [`Node::reject`], for values that must not be shown.
    pub fn reject_as<T>(&self, found: impl fmt::Display, accepted: impl fmt::Display) -> Option<T> {
        self.record(&found, &accepted, ProblemKind::Other);
        None
    }

    #[cold]
    fn record(&self, found: &dyn fmt::Display, accepted: &dyn fmt::Display, kind: ProblemKind) {
        let (found, accepted) = (found.to_string(), accepted.to_string());
        self.document.record(Problem { path: self.path.clone(), found, accepted, kind });
    }

    #[inline(never)]
    fn child(&self, value: &'a Value, step: fmt::Arguments<'_>) -> Node<'a> {
        Node { document: self.document, path: format!("{}{step}", self.path), value }
    }

    /// A member of an object.
    #[inline(never)]
    pub fn member(&self, name: &str) -> Option<Node<'a>> {
        let value = self.value.as_object()?.get(name)?;
        Some(self.child(value, format_args!(".{}", step(name))))
    }

    /// An element of a list.
    #[inline(never)]
    pub fn item(&self, position: usize) -> Option<Node<'a>> {
        let value = self.value.as_array()?.get(position)?;
        Some(self.child(value, format_args!("[{position}]")))
    }

    /// The node at these member names, or the nearest one that exists: for conflicts
    /// between two positions, of which one must be changed.
    pub fn nearest(&self, names: &[&str]) -> Node<'a> {
        names
            .iter()
            .try_fold(self.clone(), |node, name| node.member(name).ok_or(node))
            .unwrap_or_else(|node| node)
    }

    /// A string that is not empty.
    #[inline(never)]
    pub fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => self.reject("a string that is not empty"),
        }
    }

    /// A string of visible ASCII, at most 256 bytes, that needs no escaping in a header.
    #[inline(never)]
    pub fn plain_text(&self) -> Option<&'a str> {
        let is_plain = |text: &str| {
            text.len() <= 256
                && text.bytes().all(|b| (0x20..0x7F).contains(&b) && b != b'"' && b != b'\\')
        };
        match self.value {
            Value::String(text) if !text.is_empty() && is_plain(text) => Some(text),
            _ => self.reject("printable ASCII without quotes or backslashes, up to 256 bytes"),
        }
    }

    /// A boolean.
    pub fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.reject("true or false"))
    }

    /// A whole number in a range. Hosts write whole numbers as `600`, `600.0`
    /// or `6e2`.
    #[inline(never)]
    pub fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let whole = match self.value {
            Value::Number(number) => whole(number).and_then(|number| u32::try_from(number).ok()),
            _ => None,
        };
        whole.filter(|number| range.contains(number)).or_else(|| {
            self.reject(format_args!("a whole number, {} to {}", range.start(), range.end()))
        })
    }

    /// One of these names.
    #[inline(never)]
    pub fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Option<T> {
        let text = self.value.as_str().unwrap_or_default();
        let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.or_else(|| {
            let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            self.reject_name(&names, names.join(" | "))
        })
    }

    /// A list, each element read by `read`; the problems of every element are recorded.
    /// Kong's JSON encoder writes an empty list as `{}`.
    #[inline(never)]
    pub fn list<T>(&self, read: impl Fn(&Node<'a>) -> Option<T>) -> Option<Vec<T>> {
        let items = match self.value {
            Value::Array(items) => items.as_slice(),
            Value::Object(members) if members.is_empty() => &[],
            other => return self.reject_as(kind(other), "a list"),
        };
        let read = |(position, item)| read(&self.child(item, format_args!("[{position}]")));
        // Collected first: an early exit would hide later problems.
        let items: Vec<Option<T>> = items.iter().enumerate().map(read).collect();
        items.into_iter().collect()
    }

    /// A non-empty list.
    pub fn full_list<T>(&self, read: impl Fn(&Node<'a>) -> Option<T>) -> Option<Vec<T>> {
        let items = self.list(read)?;
        if items.is_empty() {
            return self.reject_as("an empty list", "a list with at least one element");
        }
        Some(items)
    }

    /// A list of non-empty strings.
    #[inline(never)]
    pub fn texts(&self) -> Option<Vec<String>> {
        self.list(|item| item.text().map(str::to_owned))
    }

    /// An object with free names, each value read by `read`.
    pub fn entries<T>(&self, read: impl Fn(&'a str, &Node<'a>) -> Option<T>) -> Option<Vec<T>> {
        self.named(read)?.into_iter().map(|(_, value)| value).collect()
    }

    /// Like [`Node::entries`], with the names, including those of invalid values: a
    /// reference to one is not an error in itself.
    #[inline(never)]
    pub fn named<T>(
        &self,
        read: impl Fn(&'a str, &Node<'a>) -> Option<T>,
    ) -> Option<Vec<(&'a str, Option<T>)>> {
        let Value::Object(members) = self.value else {
            return self.reject_as(kind(self.value), "an object of names, such as NAME: {...}");
        };
        let read = |(name, value): (&'a String, &'a Value)| {
            (name.as_str(), read(name, &self.child(value, format_args!(".{}", step(name)))))
        };
        Some(members.iter().map(read).collect())
    }

    /// An object with known fields.
    pub fn fields(&self) -> Option<Fields<'a>> {
        self.fields_as("an object")
    }

    /// Like [`Node::fields`], where people write something else, with what is accepted.
    pub fn fields_as(&self, accepted: &'static str) -> Option<Fields<'a>> {
        match self.value {
            Value::Object(members) => Some(Fields {
                node: self.clone(),
                members,
                known: Vec::new(),
                null_is_absent: true,
            }),
            other => self.reject_as(kind(other), accepted),
        }
    }

    /// Like [`Node::fields_as`], of fields each of which restricts something: one without a
    /// value, as a template may leave it, is a mistake and not a restriction less.
    pub fn conditions(&self, accepted: &'static str) -> Option<Fields<'a>> {
        Some(Fields { null_is_absent: false, ..self.fields_as(accepted)? })
    }

    /// Records that the value is a secret, which nothing may be derived from that others
    /// see.
    pub fn is_secret(&self) {
        self.document.secrets.borrow_mut().insert(self.path.clone());
    }

    /// A secret: inline, or `{env: NAME}` to take it from the environment.
    #[inline(never)]
    pub fn secret(&self) -> Option<Secret<String>> {
        const ACCEPTED: &str = "a string, or {env: NAME} with NAME set in the filter's environment";
        const PASSED_ON: &str = "a string, or {env: NAME} with NAME set and passed on to the filter: by \
             vm_config.environment_variables.host_env_keys in Envoy, by nginx_main_env in Kong";
        match self.value {
            Value::String(text) if !text.is_empty() => {
                self.is_secret();
                Some(Secret::new(text.clone()))
            }
            Value::Object(members) if is_env(members) => {
                let name = members.get("env").and_then(Value::as_str).unwrap_or_default();
                let (found, accepted, kind) = match (self.document.environment)(name) {
                    Variable::Set(value) if !without_end(value.expose()).is_empty() => {
                        return Some(Secret::new(without_end(value.expose()).to_owned()));
                    }
                    Variable::Set(_) => ("which is empty", ACCEPTED, ProblemKind::VariableUnset),
                    Variable::Unset if name.starts_with('$') => (
                        "which is not set: the name has no $ before it",
                        ACCEPTED,
                        ProblemKind::VariableUnset,
                    ),
                    Variable::Unset => ("which is not set", PASSED_ON, ProblemKind::VariableUnset),
                    Variable::Withheld { permitted } => {
                        ("which may not be read", permitted, ProblemKind::VariableWithheld)
                    }
                };
                self.record(&format_args!("{}, {found}", shown_variable(name)), &accepted, kind);
                None
            }
            Value::Object(members) => self.reject_as(member_names(members), ACCEPTED),
            Value::String(_) => self.reject_as("an empty string", ACCEPTED),
            other => self.reject_as(kind(other), ACCEPTED),
        }
    }
}

/// The fields of an object; those never read are unknown.
#[must_use]
pub struct Fields<'a> {
    node: Node<'a>,
    members: &'a Map<String, Value>,
    known: Vec<&'static str>,
    null_is_absent: bool,
}

impl<'a> Fields<'a> {
    /// The object itself, for problems of the whole.
    pub const fn node(&self) -> &Node<'a> {
        &self.node
    }

    /// A field, if present; `null` counts as absent, except for conditions.
    #[inline(never)]
    pub fn node_of(&mut self, name: &'static str) -> Option<Node<'a>> {
        // Some are read twice.
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let value = self.present(name)?;
        Some(self.node.child(value, format_args!(".{name}")))
    }

    /// Whether a field is present, valid or not.
    pub fn has(&self, name: &str) -> bool {
        self.present(name).is_some()
    }

    fn present(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !(self.null_is_absent && value.is_null()))
    }

    /// A required field.
    #[inline(never)]
    pub fn required<T>(
        &mut self,
        name: &'static str,
        accepted: &str,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.node_of(name).filter(|node| !node.value().is_null()) {
            Some(node) => read(&node),
            None => {
                let missing = self.node.child(&Value::Null, format_args!(".{name}"));
                missing.reject_as("nothing", accepted)
            }
        }
    }

    /// An optional field. The outer `None` means that it is present but invalid.
    #[allow(clippy::option_option)]
    #[inline(never)]
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.node_of(name) {
            Some(node) => read(&node).map(Some),
            None => Some(None),
        }
    }

    /// A field with a default.
    pub fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<T> {
        self.optional(name, read).map(|value| value.unwrap_or(default))
    }

    /// Like [`Fields::optional`], for a field that restricts something in an object of others:
    /// `null` is not absent.
    #[allow(clippy::option_option)]
    pub fn condition<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        let others = std::mem::replace(&mut self.null_is_absent, false);
        let value = self.optional(name, read);
        self.null_is_absent = others;
        value
    }

    /// A field of another program that has no meaning here.
    pub fn ignored(&mut self, name: &'static str) {
        let _ = self.node_of(name);
    }

    /// Records unknown fields. Must be called after all known ones were read.
    #[inline(never)]
    pub fn finish(self) -> Option<()> {
        let unknown: Vec<_> =
            self.members.iter().filter(|(name, _)| !self.known.contains(&name.as_str())).collect();
        for (name, value) in &unknown {
            let is_shown = is_field(name, &self.known);
            let shown = if is_shown { (*name).clone() } else { unshown(name) };
            let node = self.node.child(value, format_args!(".{shown}"));
            let accepted = format!("only the fields {}", self.known.join(", "));
            let (name, known) = ((*name).clone(), self.known.clone());
            let kind = ProblemKind::UnknownField { name, known };
            node.record(&"an unknown field", &accepted, kind);
        }
        unknown.is_empty().then_some(())
    }
}
