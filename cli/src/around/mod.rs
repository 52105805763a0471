//! The file around a configuration: whether the host refuses it, whether the filter is in
//! the way of every request, and whether what it calls is there.

mod envoy;
mod kong;
mod kong_plugins;
mod kubernetes;
mod own_clusters;
mod tls;

use gatepass::config::{Problem, ProblemKind};
use serde_json::Value;

use crate::arguments::HostKind;
use crate::document::step;
use crate::located::{Located, Step, Warning};

/// Adds what is to be said of the file around a configuration. `trail`: the objects and
/// lists in which it is, from its document to what loads it.
pub fn look(trail: &[Step<'_>], documents: &[Value], located: &mut Located) {
    let mut notes = Notes::default();
    match located.host {
        HostKind::Kong | HostKind::KongFilter => kong::look(trail, located, &mut notes),
        HostKind::Envoy => {
            envoy::look(trail, located, &mut notes);
            kubernetes::look(trail, documents, located, &mut notes);
        }
    }
    located.frame.problems.extend(notes.problems);
    located.frame.warnings.extend(notes.warnings);
}

/// What is found.
#[derive(Default)]
struct Notes {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Notes {
    fn problem(&mut self, path: &str, found: &str, accepted: &str) {
        self.problems.push(Problem::new(path, found, accepted));
    }

    fn warn(&mut self, path: &str, text: impl Into<String>) {
        self.warnings.push(Warning { path: path.to_owned(), text: text.into() });
    }
}

/// The upstream of every service, with its path.
fn upstreams(located: &Located) -> impl Iterator<Item = (String, &str)> {
    let services = located.value.get("services").and_then(Value::as_object);
    let root = step(&located.path, "services");
    services.into_iter().flatten().filter_map(move |(name, service)| {
        let upstream = service.get("upstream")?.as_str()?;
        Some((step(&step(&root, name), "upstream"), upstream))
    })
}

/// A name that is none of those that there are.
fn unknown(path: String, name: &str, found: String, known: &[&str]) -> Problem {
    let accepted = match known {
        [] => "one of which there are none".to_owned(),
        known => format!("one of {}", known.join(", ")),
    };
    let known = known.iter().map(|name| (*name).to_owned()).collect();
    let kind = ProblemKind::UnknownName { name: name.into(), known };
    Problem::new(path, found, accepted).of_kind(kind)
}

/// Whether both are one value in one place, not only equal.
fn is_same(one: &Value, other: &Value) -> bool {
    std::ptr::eq(one, other)
}
