//! From the configuration of another gateway to one of Gatepass.
//!
//! Nothing becomes more open than the source has it. Unknown parts are refused with
//! their place; parts that cannot be carried over are left out if that denies more, and
//! mentioned in a note.

mod assemble;
pub(crate) mod command;
mod condition;
mod decisions;
mod envoy;
mod gateway;
mod issuers;
mod istio;
mod kong;
mod matching;
mod need;
mod selection;
mod source;
mod url;
mod writer;

use std::fmt;

use gatepass::config::Problems;
use serde_json::Value;

pub(crate) use self::assemble::NO_CLAIM;
pub use self::selection::Selection;
pub use self::source::convert;
pub use crate::arguments::ConvertTo;

/// Converts the declarative configuration of Kong.
pub use self::kong::from_kong;

/// The configuration, and what a person should read before using it.
#[derive(Debug)]
pub struct Converted {
    /// For Gatepass.
    pub configuration: Value,
    /// Where each of its rules comes from.
    pub rule_places: Vec<String>,
    /// The differences, and the parts that could not be carried over.
    pub notes: Vec<Note>,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where in the source: `route shop`, `consumer alice`.
    pub place: String,
    /// The note.
    pub text: String,
    /// True for a change of behaviour, false for information.
    pub is_change: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Why the file was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum ConvertError {
    /// It cannot be read as YAML; why.
    NotYaml(String),
    /// There is nothing in it that is converted.
    Unknown,
    /// It has manifests of Kong's ingress controller, and neither routes nor consumers.
    KongManifests,
    /// It is of another format than those that are read; which.
    Format(String),
    /// There are several of what becomes one configuration; their names.
    Several {
        /// What: `SecurityPolicy`.
        what: &'static str,
        /// How they are called.
        names: Vec<String>,
    },
    /// Something in it is not understood.
    NotUnderstood(Problems),
    /// Something in it contradicts itself, or would be more open.
    Refused {
        /// Where: `consumer alice`.
        place: String,
        /// What.
        text: String,
    },
    /// No plugin that is carried over is enabled for a route.
    NoPlugin,
    /// No credential or issuer could be carried over, so that nobody would pass.
    NoCredential(Vec<Note>),
    /// What it comes to is no valid configuration.
    NotAccepted(Problems),
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYaml(cause) => write!(f, "cannot be read as YAML: {cause}"),
            Self::Unknown => f.write_str(
                "nothing to convert: it takes a kong.yml, an Envoy configuration with the filter \
                 jwt_authn, Istio's RequestAuthentication and AuthorizationPolicy, Envoy Gateway's \
                 SecurityPolicy with jwt, or routes and consumers of Kong's ingress controller",
            ),
            Self::KongManifests => f.write_str(
                "manifests of Kong's ingress controller without Ingresses, HTTPRoutes or \
                 KongConsumers: convert a file that has them with their plugins, Services and Secrets",
            ),
            Self::Format(found) => {
                write!(f, "_format_version is {found}; \"1.1\", \"2.1\" and \"3.0\" are read")
            }
            Self::Several { what, names } => write!(
                f,
                "several {what} that apply to different places, each of which needs a \
                 configuration of its own: choose with --only among {}",
                names.join(", ")
            ),
            Self::NotUnderstood(Problems(problems)) => {
                f.write_str("nothing is converted, since not all of it was understood")?;
                problems.iter().try_for_each(|problem| write!(f, "; {problem}"))
            }
            Self::Refused { place, text } => write!(f, "{place}: {text}"),
            Self::NoPlugin => f.write_str("no plugin that can be carried over is enabled"),
            Self::NoCredential(notes) => {
                f.write_str("no credential or issuer could be carried over")?;
                let told = notes.iter().filter(|note| note.is_change);
                told.into_iter().try_for_each(|note| write!(f, "; {note}"))
            }
            Self::NotAccepted(problems) => {
                write!(f, "the converted configuration is not valid: {problems}")
            }
        }
    }
}

impl std::error::Error for ConvertError {}

/// The default issuer of identity tokens.
const ISSUER: &str = "https://gateway.internal";

/// The notes so far, each once.
#[derive(Default)]
struct Notes(Vec<Note>);

impl Notes {
    /// Adds a note about a change of behaviour.
    fn add(&mut self, place: &str, text: impl fmt::Display) {
        self.note(Note { place: place.to_owned(), text: text.to_string(), is_change: true });
    }

    /// Adds a note for information.
    fn add_info(&mut self, place: &str, text: impl fmt::Display) {
        self.note(Note { place: place.to_owned(), text: text.to_string(), is_change: false });
    }

    fn note(&mut self, note: Note) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }
}
