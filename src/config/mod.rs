//! The configuration: from JSON text to the gateway's settings.
//!
//! All problems are reported at once, each with its JSON path, the value found and the
//! accepted values. Nothing is guessed: an unknown field, a field of a later version or a
//! contradiction refuses the whole configuration.

mod access;
mod binding;
mod consumers;
mod crypto;
mod environment;
mod errors;
mod fingerprint;
mod identity;
mod introspection;
mod kong_jwt;
mod limits;
mod logout;
mod made_up;
mod options;
mod overrides;
mod problem;
mod providers;
mod published;
pub mod reader;
mod reserved;
mod resources;
mod revocation;
mod rules;
mod sealing;
mod separation;
mod services;
mod shown;
mod signals;
mod token;
mod values;
mod vault;
mod whole;

use std::rc::Rc;

use serde_json::Value;

pub use self::environment::{Variable, process_variable};
pub use self::kong_jwt::check_credential;
pub use self::made_up::{KeyMaker, MADE_UP, is_variable, made_up, make_up_keys, pem};
pub use self::problem::{Problem, ProblemKind, Problems};
use self::reader::Document;
pub use self::rules::check_match;
pub use self::shown::{shown_member, shown_variable};
pub use self::vault::{name_sds, name_vaults, replace_references, sds_reference, vault_reference};
use self::whole::settings;
use crate::host::HostCapabilities;
use crate::json;
use crate::keys::HostCrypto;
use crate::pipeline::Settings;

/// Reads a configuration from JSON text: [`parse`], then [`read`].
pub fn load<V: Into<Variable>>(
    text: &[u8],
    environment: &dyn Fn(&str) -> V,
    host: Option<Rc<dyn HostCrypto>>,
) -> Result<Settings, Problems> {
    read(&parse(text)?, environment, host)
}

/// Parses JSON text.
pub fn parse(text: &[u8]) -> Result<Value, Problems> {
    json::parse(text).map_err(|error| {
        let found = match text {
            [] => "nothing".to_owned(),
            _ => format!("text that is not acceptable JSON ({error})"),
        };
        Problems(vec![Problem::new("$", found, "a JSON object")])
    })
}

/// Reads a configuration. `environment` resolves `{env: NAME}`, to a [`Variable`], or to
/// an `Option` if every variable may be read; `host` is the cryptography of the host, if
/// any, and is tested here.
pub fn read<V: Into<Variable>>(
    value: &Value,
    environment: &dyn Fn(&str) -> V,
    host: Option<Rc<dyn HostCrypto>>,
) -> Result<Settings, Problems> {
    let environment = |name: &str| environment(name).into();
    let document = Document::new(&environment);
    let mut settings = settings(&document.root(value), host);
    if let Some(settings) = &mut settings {
        settings.config_hash = fingerprint::fingerprint(value, &document.take_secrets());
    }
    match (settings, document.into_problems()) {
        (Some(settings), problems) if problems.is_empty() => Ok(settings),
        (_, problems) => Err(Problems(problems)),
    }
}

/// Settings that require something of a host that it does not support.
pub fn check_host(settings: &Settings, host: HostCapabilities) -> Vec<Problem> {
    let mut problems = Vec::new();
    if settings.limits.end_streams && !host.ends_streams {
        problems.push(streams_go_on());
    }
    if settings.consumers.queries_host() && !host.has_consumers {
        let accepted = "entries: only the plugin for Kong knows Kong's consumers";
        problems.push(Problem::new("$.consumers.kong", "Kong's own consumers", accepted));
    }
    problems
}

/// The problem with `limits.end_streams: true` on such a host.
fn streams_go_on() -> Problem {
    let accepted = "false: only the native module for Envoy can end a stream";
    Problem::new("$.limits.end_streams", "true", accepted)
}

/// Checks a configuration against a host that shares no data between workers: 204 for a
/// revocation promises that every worker applies it.
pub fn check_unshared(settings: &Settings) -> Result<(), Problem> {
    let accepted = "shared_data: always (in Kong with a zone: nginx_wasm_shm_kv)";
    let problem = |path| Err(Problem::new(path, "workers that share no data", accepted));
    if settings.revocations.endpoint().is_some() {
        return problem("$.revocation.endpoint");
    }
    if settings.bindings.take_proofs() {
        return problem("$.providers");
    }
    if settings.signals.logouts.is_some() {
        return problem("$.revocation.logout_path");
    }
    if settings.signals.events.is_some() {
        return problem("$.revocation.events");
    }
    Ok(())
}
