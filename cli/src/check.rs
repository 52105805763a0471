//! `check`: every problem of every configuration in some files.

use std::rc::Rc;

use gatepass::config::{self, Problem, ProblemKind, Problems, Variable};
use gatepass::http::RequestHead;
use gatepass::pipeline::Settings;
use gatepass::rules::Openness;
use serde_json::{Value, json};

use crate::arguments::{Check, Color, HostKind};
use crate::configuration::Configuration;
use crate::door::Door;
use crate::failure::{Failure, placed};
use crate::findings::Findings;
use crate::located::Warning;
use crate::text::Paint;
use crate::yaml::Surprise;
use crate::{Ending, Output, system, warnings};

/// What is found of one configuration.
fn findings(configuration: &Configuration) -> Findings {
    let now = system::now();
    let (mut problems, mut warnings) = match configuration.read() {
        _ if configuration.document.is_null() => {
            let accepted = "Gatepass's configuration: providers and identity_token at least";
            let problem = Problem::new(&configuration.path, "nothing", accepted);
            (vec![problem], warnings::of_frame(configuration))
        }
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
    let (mut unread, perhaps) = withheld_variables(configuration);
    unread.extend(hidden_variables(configuration));
    // Set or not.
    let is_unread = |it: &Problem| unread.iter().any(|unread| unread.path == it.path);
    problems.retain(|it| it.kind != ProblemKind::VariableUnset || !is_unread(it));
    problems.extend(unread);
    warnings.extend(perhaps);
    problems.extend(withheld_capabilities(configuration));
    problems.extend(configuration.frame.problems.iter().cloned());
    surprises(configuration, &mut problems, &mut warnings);
    warnings.extend(words_around(configuration));
    Findings {
        file: configuration.file.clone(),
        path: configuration.path.clone(),
        host: configuration.host.name(),
        problems,
        warnings,
        lines: Rc::clone(&configuration.lines),
        has_own_line: true,
    }
}

/// Scalars that may not mean what they look like: said where they are the problem, else by
/// themselves.
fn surprises(
    configuration: &Configuration,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Warning>,
) {
    for Surprise { path, text, discreet, is_flag, is_not_text } in &configuration.surprises {
        let text = if may_be_secret(path) { discreet } else { text };
        let mut at_path = problems.iter_mut().filter(|problem| problem.path == *path).peekable();
        let is_reported = at_path.peek().is_some();
        at_path.for_each(|problem| problem.accepted = format!("{}; {text}", problem.accepted));
        let is_table = matches!(configuration.host, HostKind::Kong | HostKind::KongFilter);
        match () {
            () if is_reported => {}
            // A Lua table with other keys than text is no object any more.
            () if *is_not_text && is_table => {
                problems.push(Problem::new(path, "a name that is not text", text.as_str()));
            }
            // `yes` for true, where nothing but true and false can stand.
            () if *is_flag && !is_free(path) => {}
            () => warnings.push(Warning { path: path.clone(), text: text.clone() }),
        }
    }
}

/// Words for true and false around a configuration, where only a text makes sense: of the
/// other fields of a host it is not known here what they take.
fn words_around(configuration: &Configuration) -> impl Iterator<Item = Warning> {
    const TEXTS: [&str; 14] = [
        "cluster",
        "custom_id",
        "group",
        "host",
        "id",
        "key",
        "name",
        "namespace",
        "path",
        "prefix",
        "region",
        "stat_prefix",
        "username",
        "zone",
    ];
    const WORDS: [&str; 6] = ["n", "no", "off", "on", "y", "yes"];
    let is_word = |it: &&Surprise| {
        let word = it.text.split(' ').next().unwrap_or_default();
        !it.is_not_text && WORDS.contains(&word.to_ascii_lowercase().as_str())
    };
    let is_text = |it: &&Surprise| {
        let name = it.path.rsplit('.').next().unwrap_or_default();
        name.ends_with(']') || TEXTS.contains(&name)
    };
    let found = configuration.around.iter().filter(is_word).filter(is_text);
    found.map(|it| Warning { path: it.path.clone(), text: it.text.clone() })
}

/// Whether a secret may stand at a path.
fn may_be_secret(path: &str) -> bool {
    const FIELDS: [&str; 8] = [
        "authorization",
        "client_secret",
        "k",
        "keys",
        "nonce_keys",
        "private_key",
        "rsa_public_key",
        "secret",
    ];
    let name = path.rsplit('.').next().unwrap_or_default();
    let name = name.split('[').next().unwrap_or_default();
    FIELDS.contains(&name) || path.contains(".headers")
}

/// Whether a value of any type may stand at a path: the values of claims, and of what
/// identity tokens say.
fn is_free(path: &str) -> bool {
    let places = [".claims.", ".claims[", ".required_claims.", ".required_claims[", ".set."];
    path.ends_with(']') || places.iter().any(|place| path.contains(place))
}

/// Those of all configurations in a file. Where several are on one line, as in JSON
/// without line breaks, only whole paths tell them apart.
fn of_file(configurations: &[Configuration]) -> Vec<Findings> {
    let lines: Vec<_> = configurations.iter().map(|it| it.lines.line(&it.path)).collect();
    let is_own = |(at, line): (usize, &Option<usize>)| {
        lines.iter().enumerate().all(|(other, it)| other == at || it != line)
    };
    let has_own_line = lines.iter().enumerate().all(is_own);
    configurations.iter().map(|it| Findings { has_own_line, ..findings(it) }).collect()
}

/// `check`.
pub fn run(arguments: &Check) -> Result<Output, Failure> {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        match Configuration::all(file, &arguments.reading) {
            Ok(found) => all.extend(of_file(&found)),
            // The other files are worth a look all the same.
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    let is_bad = |found: &Findings| {
        !found.problems.is_empty() || arguments.strict && !found.warnings.is_empty()
    };
    let ending = match () {
        () if !failures.is_empty() => Ending::Failed,
        () if all.iter().any(is_bad) => Ending::Bad,
        () => Ending::Good,
    };
    let notes: String = failures.iter().map(|failure| format!("{failure}\n")).collect();
    if arguments.json {
        let all: Vec<_> = all.iter().map(Findings::json).collect();
        let found = json!({ "configurations": all, "failures": failures });
        return Ok(Output { notes, ..Output::new(found.to_string(), ending) });
    }
    let paint = Paint(match arguments.color {
        Color::Auto => system::has_colours(),
        Color::Always => true,
        Color::Never => false,
    });
    let mut text = String::new();
    all.iter().for_each(|found| found.write(&mut text, paint));
    let mut output = Output { notes, ..Output::new(text, ending) };
    let problems = all.iter().flat_map(|found| &found.problems);
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
    let Some(visible) = &configuration.frame.environment else { return Vec::new() };
    let hidden = named_variables(configuration).into_iter();
    let hidden = hidden.filter(|(_, name)| !visible.names.contains(name)).map(|(path, name)| {
        let found = format!("{}, which the filter cannot see", config::shown_variable(&name));
        let accepted = format!("a variable that the host's file passes on: {}", visible.field);
        Problem::new(path, found, accepted)
    });
    hidden.collect()
}

/// Variables that a host with the environment of the whole proxy keeps from configurations.
/// Where the environment here is not the proxy's, only what may be so: its list of more
/// names may be longer.
fn withheld_variables(configuration: &Configuration) -> (Vec<Problem>, Vec<Warning>) {
    if !matches!(configuration.door(), Door::EnvoyModule | Door::KongPlugin) {
        return Default::default();
    }
    let read = &system::environment;
    let withheld = named_variables(configuration).into_iter();
    let withheld = withheld.filter_map(|(path, name)| {
        let Variable::Withheld { permitted } = config::process_variable(&name, read) else {
            return None;
        };
        Some((path, config::shown_variable(&name), permitted))
    });
    if configuration.has_environment() {
        let problem = |(path, name, permitted): (String, String, &str)| {
            let found = format!("{name}, which may not be read");
            Problem::new(path, found, permitted).of_kind(ProblemKind::VariableWithheld)
        };
        return (withheld.map(problem).collect(), Vec::new());
    }
    let passed_on = match configuration.host {
        HostKind::Envoy => "",
        HostKind::Kong | HostKind::KongFilter => ", and nginx_main_env passes that on",
    };
    let warning = |(path, name, _)| {
        let text = format!(
            "the proxy refuses {name}, unless its own variable GATEPASS_ENV lists the name (with \
             commas){passed_on}; with GATEPASS_ENV set here as it is there, check knows the list"
        );
        Warning { path, text }
    };
    (Vec::new(), withheld.map(warning).collect())
}

/// The variables that secrets of the configuration are in, with their paths.
fn named_variables(configuration: &Configuration) -> Vec<(String, String)> {
    let read = configuration.variables();
    let mut named = Vec::new();
    variables(&configuration.document, &configuration.path, &mut named);
    // Of a $ before the name another problem tells.
    let is_read = |name: &String| {
        read.contains(name) && !(configuration.has_environment() && name.starts_with('$'))
    };
    named.retain(|(_, name)| is_read(name));
    named
}

/// What is asked of a host that cannot do it, where the file says which one it is.
fn beyond_host(configuration: &Configuration) -> Vec<Problem> {
    if configuration.frame.is_native.is_none() {
        return Vec::new();
    }
    let Ok(settings) = configuration.read() else { return Vec::new() };
    let problems = config::check_host(&settings, configuration.door().capabilities());
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
