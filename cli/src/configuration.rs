//! The configuration that a command works with.

use std::cell::RefCell;
use std::rc::Rc;

use gatepass::config::{self, Problems};
use gatepass::keys::HostCrypto;
use gatepass::pipeline::Settings;
use serde_json::Value;

use crate::arguments::{HostKind, Reading};
use crate::document;
use crate::door::Door;
use crate::failure::{Failure, placed};
use crate::lines::Lines;
use crate::located::{Frame, Located};
use crate::signer::RustCryptoHost;
use crate::yaml::{Reader, Surprise, Text};
use crate::{placeholders, search, system};

/// A configuration and where it is from.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file.
    pub file: String,
    /// Its place in the file.
    pub path: String,
    /// The host that it is for.
    pub host: HostKind,
    /// The host's settings around the filter.
    pub frame: Frame,
    /// As written, secrets included.
    pub document: Value,
    /// Where things are in the file.
    pub lines: Rc<Lines>,
    /// What in it may not mean what it looks like.
    pub surprises: Vec<Surprise>,
    /// Likewise in the file around all of its configurations; only with the first of them.
    pub around: Vec<Surprise>,
    /// As read: with made-up secrets, if it is read without the environment.
    filled: Value,
    no_env: bool,
}

const NOTHING: &str = "neither Gatepass's own nor a filter named gatepass in a file for Envoy, Istio, \
                       Envoy Gateway or Kong";

/// What is in a file that has no configuration.
fn instead(text: &str, documents: &[Value]) -> &'static str {
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let has_format = |it: &Value| it.get("_format_version").is_some();
    match () {
        () if text.lines().all(is_blank) => "the file is empty",
        () if documents.iter().any(has_format) => {
            "a kong.yml without the plugin gatepass; of other plugins `gatepass convert FILE` makes a \
             configuration"
        }
        () if text.contains("jwt_authn") => {
            "Envoy's filter jwt_authn, and none named gatepass: `gatepass convert FILE` makes a \
             configuration of it"
        }
        () => NOTHING,
    }
}

/// Whether a scalar is in the configuration at a path.
fn is_within(surprise: &Surprise, path: &str) -> bool {
    let below = surprise.path.strip_prefix(path);
    below.is_some_and(|below| below.starts_with(['.', '[']))
}

impl Configuration {
    /// All configurations in a file.
    pub fn all(file: &str, reading: &Reading) -> Result<Vec<Self>, Failure> {
        let text = system::read(file)?;
        let parse = match file.ends_with(".json") {
            true => document::parse_json,
            false => document::parse,
        };
        let reader = match reading.host {
            Some(HostKind::Kong | HostKind::KongFilter) => Reader::Kong,
            Some(HostKind::Envoy) | None => Reader::Envoy,
        };
        let Text { documents, surprises } = parse(&text, reader)
            .map_err(|cause| Failure::Format { file: file.to_owned(), cause })?;
        let found = search::configurations(&documents);
        if found.is_empty() {
            let instead = instead(&text, &documents);
            return Err(Failure::NoConfiguration { file: file.to_owned(), instead });
        }
        let paths = Vec::from_iter(found.iter().map(|located| located.path.clone()));
        let chosen: Vec<Located> = match &reading.at_path {
            Some(path) => found.into_iter().filter(|located| located.path == *path).collect(),
            None => found,
        };
        if let (Some(path), []) = (&reading.at_path, chosen.as_slice()) {
            return Err(Failure::NotThere { file: file.to_owned(), path: path.clone(), paths });
        }
        let lines = Rc::new(Lines::of(&text));
        let new = |located| Self::new(file, located, reading, &lines, &surprises);
        let mut all = chosen.into_iter().map(new).collect::<Result<Vec<_>, _>>()?;
        // Told once, whatever is in the file.
        if let Some(first) = all.first_mut() {
            let is_around = |it: &&Surprise| !paths.iter().any(|path| is_within(it, path));
            first.around = surprises.iter().filter(is_around).cloned().collect();
        }
        Ok(all)
    }

    /// The only one, or the one named.
    pub fn one(file: &str, reading: &Reading) -> Result<Self, Failure> {
        let mut all = Self::all(file, reading)?;
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Failure::NoConfiguration { file: file.to_owned(), instead: NOTHING }),
            (Some(last), false) => {
                let paths = all.into_iter().chain([last]).map(|one| one.path).collect();
                Err(Failure::SeveralConfigurations { file: file.to_owned(), paths })
            }
        }
    }

    fn new(
        file: &str,
        located: Located,
        reading: &Reading,
        lines: &Rc<Lines>,
        surprises: &[Surprise],
    ) -> Result<Self, Failure> {
        let Located { path, value, host, frame } = located;
        let surprises = surprises.iter().filter(|it| is_within(it, &path)).cloned().collect();
        let host = match reading.host {
            // The file says more.
            Some(HostKind::Kong) if host == HostKind::KongFilter => host,
            asked => asked.unwrap_or(host),
        };
        // Filters get the reference as it is.
        let may_fetch = match host {
            HostKind::Kong => true,
            HostKind::KongFilter => false,
            HostKind::Envoy => frame.is_native != Some(false),
        };
        let filled = match value.clone() {
            value if reading.no_env => placeholders::fill(value)?,
            value if may_fetch => placeholders::fill_fetched(value, host)?,
            value => value,
        };
        Ok(Self {
            file: file.to_owned(),
            path,
            host,
            frame,
            document: value,
            lines: Rc::clone(lines),
            surprises,
            around: Vec::new(),
            filled,
            no_env: reading.no_env,
        })
    }

    /// The door that it is for.
    pub fn door(&self) -> Door {
        Door::of(self.host, self.frame.is_native == Some(true))
    }

    /// Whether it is read with the secrets of the environment.
    pub const fn has_environment(&self) -> bool {
        !self.no_env
    }

    /// The cryptography of its door. Where no file says whether it is for Envoy's native
    /// module, it may ask for all that one has.
    fn crypto(&self) -> Option<RustCryptoHost> {
        match self.door() {
            Door::EnvoyFilter if self.frame.is_native.is_none() => Door::EnvoyModule.crypto(),
            door => door.crypto(),
        }
    }

    /// Parses it.
    pub fn read(&self) -> Result<Settings, Problems> {
        self.read_as(&self.filled)
    }

    /// Like [`Configuration::read`], where a command cannot continue without it.
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.read().map_err(|problems| self.invalid(problems))
    }

    /// Parses it with changes.
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> Result<Settings, Failure> {
        let mut document = self.filled.clone();
        change(&mut document);
        self.read_as(&document).map_err(|problems| self.invalid(problems))
    }

    fn read_as(&self, document: &Value) -> Result<Settings, Problems> {
        let host = self.crypto().map(|host| Rc::new(host) as Rc<dyn HostCrypto>);
        let environment: &dyn Fn(&str) -> Option<String> =
            if self.no_env { &config::made_up } else { &system::environment };
        // Text that is still text could not be parsed: it is said why.
        let text = document.as_str().map_or_else(|| document.to_string(), str::to_owned);
        config::load(text.as_bytes(), environment, host)
    }

    /// The names of the variables that its secrets are in.
    pub fn variables(&self) -> Vec<String> {
        let asked = RefCell::new(Vec::new());
        let note = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            None
        };
        // Refused, since all of them are missing.
        let _ = config::load(self.document.to_string().as_bytes(), &note, None);
        asked.into_inner()
    }

    /// The secret that an object of the configuration is or names.
    pub fn secret(&self, value: &Value) -> Option<String> {
        match value.get("env").and_then(Value::as_str) {
            Some(name) => system::environment(name),
            None => value.as_str().map(str::to_owned),
        }
    }

    fn invalid(&self, problems: Problems) -> Failure {
        let placed = problems.0.iter().map(|problem| placed(&self.path, problem));
        let problems = placed.map(|problem| (self.lines.line(&problem.path), problem)).collect();
        Failure::Invalid { file: self.file.clone(), problems }
    }
}
