//! `check`: every problem of every configuration in some files.

use std::fmt::Write as _;

use gatepass::config::{self, Problem, ProblemKind, Problems};
use gatepass::host::HostCapabilities;
use gatepass::http::RequestHead;
use gatepass::pipeline::Settings;
use gatepass::rules::Openness;
use serde_json::{Value, json};

use crate::arguments::{Check, HostKind};
use crate::configuration::Configuration;
use crate::failure::{Failure, placed};
use crate::text::Escaped;
use crate::warnings::{self, Warning};
use crate::{Ending, Output, suggestion, system};

/// The findings of one configuration.
struct Finding {
    file: String,
    path: String,
    host: &'static str,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Finding {
    fn of(configuration: &Configuration) -> Self {
        let now = system::now();
        let (mut problems, warnings) = match configuration.read() {
            Ok(settings) => (
                Vec::from_iter(closed_login(configuration, &settings)),
                warnings::all(configuration, &settings, now),
            ),
            Err(Problems(problems)) => {
                let placed = problems.iter().map(|problem| placed(&configuration.path, problem));
                (placed.collect(), warnings::of_frame(configuration))
            }
        };
        problems.extend(beyond_host(configuration));
        problems.extend(hidden_variables(configuration));
        problems.extend(withheld_capabilities(configuration));
        Self {
            file: configuration.file.clone(),
            path: configuration.path.clone(),
            host: configuration.host.name(),
            problems,
            warnings,
        }
    }

    fn write(&self, text: &mut String) {
        let file = Escaped(&self.file).to_string();
        for problem in &self.problems {
            let meant = suggestion::of(problem).map(|field| format!(" (perhaps {field}?)"));
            let meant = meant.unwrap_or_default();
            let _ = writeln!(text, "{file}: {}{meant}", Escaped(&problem.to_string()));
        }
        for warning in &self.warnings {
            let Warning { path, text: about } = warning;
            let _ = writeln!(text, "{file}: {}: warning: {}", Escaped(path), Escaped(about));
        }
        if self.problems.is_empty() {
            let _ = writeln!(text, "{file}: {}: valid, for {}", Escaped(&self.path), self.host);
        }
    }

    fn json(&self) -> Value {
        let problems = self.problems.iter().map(|problem| {
            let Problem { path, found, accepted, .. } = problem;
            let meant = suggestion::of(problem);
            json!({ "path": path, "found": found, "accepted": accepted, "perhaps": meant })
        });
        let warnings = self
            .warnings
            .iter()
            .map(|Warning { path, text }| json!({ "path": path, "text": text }));
        json!({
            "file": self.file,
            "path": self.path,
            "host": self.host,
            "valid": self.problems.is_empty(),
            "problems": problems.collect::<Vec<_>>(),
            "warnings": warnings.collect::<Vec<_>>(),
        })
    }
}

/// `check`.
pub fn run(arguments: &Check) -> Result<Output, Failure> {
    let (mut findings, mut failures) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        match Configuration::all(file, &arguments.reading) {
            Ok(found) => findings.extend(found.iter().map(Finding::of)),
            // The other files are worth a look all the same.
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    let is_bad = |finding: &Finding| {
        !finding.problems.is_empty() || arguments.strict && !finding.warnings.is_empty()
    };
    let ending = match () {
        () if !failures.is_empty() => Ending::Failed,
        () if findings.iter().any(is_bad) => Ending::Bad,
        () => Ending::Good,
    };
    let notes: String = failures.iter().map(|failure| format!("gatepass: {failure}\n")).collect();
    if arguments.json {
        let findings: Vec<_> = findings.iter().map(Finding::json).collect();
        let found = json!({ "configurations": findings, "failures": failures });
        return Ok(Output { notes, ..Output::new(found.to_string(), ending) });
    }
    let mut text = String::new();
    findings.iter().for_each(|finding| finding.write(&mut text));
    let mut output = Output { notes, ..Output::new(text, ending) };
    let problems = findings.iter().flat_map(|finding| &finding.problems);
    if problems.into_iter().any(|problem| problem.kind == ProblemKind::VariableUnset) {
        output.notes += "gatepass: --no-env checks without the secrets\n";
    }
    Ok(output)
}

/// A login page that requires a token itself. The filter accepts that: requests for the
/// page may not pass through it.
fn closed_login(configuration: &Configuration, settings: &Settings) -> Option<Problem> {
    let login = settings.errors.login_redirect.as_ref()?;
    let path = warnings::login_path(login)?;
    let head = RequestHead::new([(":method", "GET"), (":path", path)]);
    let sealed = settings.sealed_tokens.as_ref();
    let is_login = sealed.is_some_and(|sealed| !matches!(sealed.logins.find(&head), Ok(None)));
    if is_login || settings.rules.openness(path.as_bytes()) != Openness::Closed {
        return None;
    }
    Some(Problem::new(
        format!("{}.errors.login_redirect.to", configuration.path),
        format!("{:?}, which needs a token itself", login.to),
        "a page that a rule lets pass (bypass: true), or an https URL elsewhere",
    ))
}

/// Variables that the configuration names and the host's file keeps from the
/// filter: set or not, it would not see them.
fn hidden_variables(configuration: &Configuration) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(visible) = &configuration.frame.environment {
        let read = configuration.variables();
        let mut named = Vec::new();
        variables(&configuration.document, &configuration.path, &mut named);
        named.retain(|(_, name)| read.contains(name) && !visible.contains(name));
        for (path, name) in named {
            problems.push(Problem::new(
                path,
                format!("{{env: {name}}}, which the filter does not get to see"),
                "a variable that the host's file passes on to the filter",
            ));
        }
    }
    problems
}

/// What is asked of a host that cannot do it, where the file says which one it is.
fn beyond_host(configuration: &Configuration) -> Vec<Problem> {
    let Some(is_native) = configuration.frame.is_native else { return Vec::new() };
    let host = match configuration.host {
        HostKind::Envoy if is_native => HostCapabilities::ENVOY_NATIVE,
        HostKind::Envoy => HostCapabilities::ENVOY,
        // An entry of `plugins` may be the plugin or the filter, one of `filters` the filter.
        HostKind::Kong => HostCapabilities {
            has_consumers: !configuration.path.contains(".filters["),
            ..HostCapabilities::NGX_WASM
        },
    };
    let Ok(settings) = configuration.read() else { return Vec::new() };
    let problems = config::check_host(&settings, host);
    problems.iter().map(|problem| placed(&configuration.path, problem)).collect()
}

/// Capabilities that Envoy withholds. An error, not a warning: without some of them
/// every request passes.
fn withheld_capabilities(configuration: &Configuration) -> Option<Problem> {
    let (path, names) = configuration.frame.withheld.as_ref()?;
    Some(Problem::new(
        path,
        format!("a list without {}", names.join(", ")),
        "all that the filter needs: the list is in docs/install-envoy.md",
    ))
}

/// Every `{env: NAME}`, with its path; including claims of that name that are not
/// secrets.
fn variables(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => match members.get("env") {
            Some(Value::String(name)) if members.len() == 1 => {
                found.push((path.to_owned(), name.clone()));
            }
            _ => members.iter().for_each(|(name, member)| {
                variables(member, &crate::document::step(path, name), found);
            }),
        },
        Value::Array(items) => items.iter().enumerate().for_each(|(position, item)| {
            variables(item, &format!("{path}[{position}]"), found);
        }),
        _ => {}
    }
}
