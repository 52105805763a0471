//! The configuration: from JSON text to what the gateway works with.
//!
//! Every problem is reported at once, each with its JSON path, what was found
//! and what is accepted. Nothing is guessed: an unknown field, a field of a
//! later version or a contradiction refuses the whole.

mod access;
mod consumers;
mod crypto;
mod identity;
mod introspection;
mod kong_jwt;
mod problem;
mod providers;
pub mod reader;
mod reserved;
mod revocation;
mod rules;
mod sealing;
mod services;

use std::rc::Rc;

use serde_json::Value;

use self::kong_jwt::PluginOptions;
pub use self::kong_jwt::check_credential;
pub use self::problem::{Problem, ProblemKind, Problems};
pub use self::reader::Variable;
use self::reader::{Document, Fields, Node};
pub use self::rules::check_match;
use crate::bearer::{HeaderSource, OriginPolicy, TokenSources};
use crate::denial::{ErrorFormat, ErrorSettings, LoginRedirect};
use crate::http::{Authority, HeaderName, is_unambiguous};
use crate::identity::USERNAME_CLAIMS;
use crate::json;
use crate::keys::{HostCrypto, SigningKey};
use crate::pipeline::{Limits, Settings, SharedData};
use crate::revocation::{GatewayIdentity, Revocations};
use crate::rules::{Requirements, Rules};
use crate::token::ClaimPath;
use crate::verdict::Mode;

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
        let found = if text.is_empty() { "nothing".into() } else { error.to_string() };
        Problems(vec![Problem::new("$", found, "a JSON object")])
    })
}

/// Reads a configuration. `environment` finds the values of `{env: NAME}`, with a
/// [`Variable`], or with an `Option` where every variable may be read; `host` is
/// the cryptography of the host, if it has any, and is tried here.
pub fn read<V: Into<Variable>>(
    value: &Value,
    environment: &dyn Fn(&str) -> V,
    host: Option<Rc<dyn HostCrypto>>,
) -> Result<Settings, Problems> {
    let environment = |name: &str| environment(name).into();
    let document = Document::new(&environment);
    let settings = settings(&document.root(value), host);
    match (settings, document.into_problems()) {
        (Some(settings), problems) if problems.is_empty() => Ok(settings),
        (_, problems) => Err(Problems(problems)),
    }
}

/// What a configuration asks of the host that shares no data between workers: a
/// revocation that is answered with 204 holds in every worker.
pub fn check_unshared(settings: &Settings) -> Result<(), Problem> {
    let accepted = "shared_data: always (in Kong with a zone: nginx_wasm_shm_kv)";
    let problem = |path| Problem::new(path, "workers that share no data", accepted);
    match settings.revocations.endpoint() {
        Some(_) => Err(problem("$.revocation.endpoint")),
        None => Ok(()),
    }
}

fn settings(root: &Node<'_>, host: Option<Rc<dyn HostCrypto>>) -> Option<Settings> {
    let mut fields = root.fields()?;
    // All sections are read before any of them can end the reading: `?` comes
    // last, so that no problem hides another.
    let services = fields.or("services", services::Services::default(), services::read);
    let services = services.as_ref();
    let provider_names = fields.node().member("providers").and_then(|node| providers::names(&node));
    let found = fields.node().member("providers").map_or(Some(None), |node| kong_jwt::find(&node));
    let kong_jwt = found.as_ref().and_then(Option::as_ref);
    let plugin = kong_jwt.map(|kong_jwt| &kong_jwt.plugin);
    let consumers = fields
        .optional("consumers", |node| consumers::read(node, kong_jwt, provider_names.as_deref()));
    let credentials =
        consumers.as_ref().and_then(|consumers| consumers.as_ref()?.credentials.as_ref());
    let providers = fields.required("providers", "an object of providers by name", |node| {
        providers::read(node, services, kong_jwt, credentials)
    });
    let sources = fields.optional("token", |node| token_sources(node, plugin));
    let user_info = fields.optional("user_info", |node| services::user_info(node, services));
    let headers =
        fields.or("claim_to_headers", Vec::new(), |node| node.list(identity::claim_header));
    let crypto = crypto::read(fields.node_of("crypto").as_ref(), host);
    let are_several = provider_names.as_ref().is_some_and(|names| names.len() > 1);
    let minter = fields.required("identity_token", "an object", |node| {
        identity::minter(node, crypto.as_ref(), are_several)
    });
    let anonymous = consumers.as_ref().and_then(Option::as_ref);
    let names = rules::Names {
        providers: provider_names.as_deref(),
        consumers: consumers.as_ref().map(Option::as_ref),
    };
    let policies = fields.or("policies", Vec::new(), |node| rules::policies(node, names));
    let rules = fields.or("rules", Vec::new(), |node| rules::rules(node, names, policies.as_ref()));
    let revocation = fields.optional("revocation", |node| revocation::read(node, services, names));
    let errors = fields.optional("errors", |node| errors(node, plugin));
    let limits = fields.or("limits", DEFAULT_LIMITS, limits);
    let sealed_tokens = fields.optional("sealed_tokens", |node| {
        sealing::read(node, services, sources.as_ref(), limits.as_ref())
    });
    let bypass_cors_preflight = fields.optional("bypass_cors_preflight", Node::flag);
    let shared_data =
        [("auto", SharedData::Auto), ("always", SharedData::Always), ("never", SharedData::Never)];
    let shared_data = fields.or("shared_data", SharedData::Auto, |node| node.one_of(&shared_data));
    let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
    let mode = fields.or("mode", Mode::Enforce, |node| node.one_of(&modes));
    let access_log_properties = fields.optional("access_log", access_log);
    let whole = fields.node().clone();
    let known = fields.finish();

    if let (Some(found), Some(consumers)) = (&found, &consumers) {
        kong_jwt::check_use(&whole, found.as_ref(), consumers.as_ref());
    }
    let (providers, minter, headers) = (providers?, minter?, headers?);
    let providers::Configured { mut providers, introspection } = providers;
    let (user_info, sources) = (user_info?, sources?.unwrap_or_else(|| default_sources(plugin)));
    providers::name_subjects(&whole, &mut providers, &minter);
    identity::check_separation(&whole, &providers, &minter);
    if let (Some(kong_jwt), Some(credentials)) = (kong_jwt, credentials) {
        kong_jwt.check_separation(&whole, credentials, &providers, &minter);
    }
    identity::check_headers(&whole, &minter, &headers, &sources);
    let (user_info, user_info_entries, user_info_bytes) = match user_info {
        Some((source, max_entries, max_bytes)) => (Some(source), max_entries, max_bytes),
        None => (None, 0, 0),
    };
    let user_info = user_info.map(|mut source| {
        let configured = headers.iter().map(|header| header.path.clone());
        let usernames = USERNAME_CLAIMS.map(ClaimPath::dotted);
        source.header_claims =
            configured.chain(usernames).filter(|path| source.names.decide(path)).collect();
        source
    });
    let otherwise = match plugin.and_then(|plugin| plugin.anonymous.as_ref()) {
        Some(_) => Requirements {
            anonymous: Some(Rc::new(rules::anonymous(&whole, anonymous)?)),
            ..Requirements::default()
        },
        None => Requirements::default(),
    };
    let bypass_cors_preflight = match (bypass_cors_preflight?, plugin) {
        (Some(_), Some(PluginOptions { run_on_preflight: Some(_), .. })) => {
            return consumers::twice(&whole, "bypass_cors_preflight, which is run_on_preflight,");
        }
        (Some(flag), _) => flag,
        // The plugin runs on preflights unless told otherwise.
        (None, Some(plugin)) => !plugin.run_on_preflight.unwrap_or(true),
        (None, None) => true,
    };
    let consumers = consumers?.map(|consumers| consumers.directory).unwrap_or_default();
    let names = providers.iter().map(|(provider, _)| provider.name.clone());
    let limits = limits?;
    let surroundings = identity::Surroundings {
        headers,
        user_claims: user_info.as_ref().map(|source| source.names.clone()).unwrap_or_default(),
        origins: if are_several { names.collect() } else { Vec::new() },
        taken: consumers.taken_names(),
        max_bytes: limits.max_identity_bytes,
    };
    let crypto = SigningKey::sign_on_host(crypto?, minter.signing_keys());
    let (revocation, sealed_tokens) = (revocation?, sealed_tokens?);
    let gateway = GatewayIdentity {
        providers: providers
            .iter()
            .map(|(provider, _)| (provider.name.clone(), provider.issuer().map(str::to_owned)))
            .collect(),
        clock_skew: providers.iter().map(|(it, _)| it.clock_skew).max().unwrap_or_default(),
    };
    known?;
    Some(Settings {
        services: services.into_iter().flat_map(|it| it.values().flatten().cloned()).collect(),
        providers,
        introspection,
        sources,
        consumers,
        revocations: revocation.map(|it| Revocations::new(it, gateway)).unwrap_or_default(),
        user_info,
        user_info_entries,
        user_info_bytes,
        minter: identity::finish(minter, surroundings)?,
        rules: Rules::new(rules?, otherwise, limits.allow_ambiguous_paths),
        errors: errors?.unwrap_or_else(|| default_errors(plugin)),
        limits,
        bypass_cors_preflight,
        crypto,
        mode: mode?,
        access_log_properties: access_log_properties?.flatten(),
        shared_data: shared_data?,
        sealed_tokens,
    })
}

/// Where tokens are unless `token` says: the `Authorization` header, or where
/// Kong's plugin looks for them.
fn default_sources(plugin: Option<&PluginOptions>) -> TokenSources {
    let own = (vec![kong_jwt::bearer(HeaderName::authorization())], Vec::new(), Vec::new());
    let (headers, cookies, params) = match plugin {
        Some(plugin) => (
            plugin.headers.clone().unwrap_or(own.0),
            plugin.cookies.clone().unwrap_or(own.1),
            plugin.params.clone().unwrap_or_else(|| vec!["jwt".to_owned()]),
        ),
        None => own,
    };
    TokenSources { headers, cookies, params, forward: false, origins: default_origins() }
}

const fn default_origins() -> OriginPolicy {
    OriginPolicy { enforce: true, allowed: Vec::new() }
}

fn token_sources(node: &Node<'_>, plugin: Option<&PluginOptions>) -> Option<TokenSources> {
    let mut fields = node.fields()?;
    let headers = fields.optional("from_headers", |node| node.list(header_source));
    let cookies = fields.optional("from_cookies", |node| node.list(token_name));
    let params = fields.optional("from_params", |node| node.list(token_name));
    let forward = fields.or("forward", false, Node::flag);
    let origins = fields.or("csrf", default_origins(), origin_policy);
    let node = fields.node().clone();
    fields.finish()?;
    let (headers, cookies, params) = (headers?, cookies?, params?);
    let names_sources = headers.is_some() || cookies.is_some() || params.is_some();
    if names_sources && plugin.is_some_and(PluginOptions::names_sources) {
        return consumers::twice(&node, "where tokens are");
    }
    let default = default_sources(plugin.filter(|_| !names_sources));
    let sources = TokenSources {
        headers: headers.unwrap_or(default.headers),
        cookies: cookies.unwrap_or(default.cookies),
        params: params.unwrap_or(default.params),
        forward: forward?,
        origins: origins?,
    };
    if sources.headers.is_empty() && sources.cookies.is_empty() && sources.params.is_empty() {
        return node.reject("at least one of from_headers, from_cookies and from_params");
    }
    Some(sources)
}

fn origin_policy(node: &Node<'_>) -> Option<OriginPolicy> {
    let mut fields = node.fields()?;
    let enforce = fields.or("enforce", true, Node::flag);
    let allowed = fields.or("allowed_origins", Vec::new(), |node| node.list(origin));
    fields.finish()?;
    Some(OriginPolicy { enforce: enforce?, allowed: allowed? })
}

/// An origin as browsers write it: no path, no default port.
fn origin(node: &Node<'_>) -> Option<String> {
    let is_origin = |text: &&str| {
        let (scheme, authority) = text.split_once("://").unwrap_or_default();
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let default: &[u8] = if scheme.eq_ignore_ascii_case("http") { b"80" } else { b"443" };
        let authority = Authority::parse(authority.as_bytes());
        is_scheme && authority.is_some_and(|authority| authority.port != Some(default))
    };
    let origin = node.value().as_str().filter(is_origin).map(str::to_owned);
    origin.or_else(|| node.reject("an origin such as https://app.example, without a path"))
}

fn header_source(node: &Node<'_>) -> Option<HeaderSource> {
    let mut fields = node.fields()?;
    let name = fields.required("name", HEADER_NAME, header_name);
    let scheme = fields.or("value_prefix", String::new(), |node| match node.value() {
        Value::String(prefix) if prefix.is_empty() => Some(String::new()),
        _ => node.plain_text().map(|prefix| prefix.trim_end().to_owned()),
    });
    fields.finish()?;
    Some(HeaderSource { name: name?, scheme: scheme? })
}

/// What [`header_name`] accepts.
const HEADER_NAME: &str = "a header name, such as x-user-country";

fn header_name(node: &Node<'_>) -> Option<HeaderName> {
    let name = node.value().as_str().and_then(|name| HeaderName::parse(name).ok());
    name.or_else(|| node.reject(HEADER_NAME))
}

/// The name of a cookie or a query parameter.
fn token_name(node: &Node<'_>) -> Option<String> {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$*+".contains(&b))
    };
    let name = node.value().as_str().filter(is_name).map(str::to_owned);
    name.or_else(|| node.reject("a name of letters, digits and -._~"))
}

fn default_errors(plugin: Option<&PluginOptions>) -> ErrorSettings {
    let default = ErrorSettings::default();
    let realm = plugin.and_then(|plugin| plugin.realm.clone()).or(default.realm);
    ErrorSettings { realm, ..default }
}

fn errors(node: &Node<'_>, plugin: Option<&PluginOptions>) -> Option<ErrorSettings> {
    let mut fields = node.fields()?;
    let default = default_errors(plugin);
    let realm = fields.optional("realm", |node| node.plain_text().map(str::to_owned));
    let formats = [("problem", ErrorFormat::Problem), ("kong", ErrorFormat::Kong)];
    let format = fields.or("format", default.format, |node| node.one_of(&formats));
    let login_redirect = fields.optional("login_redirect", login_redirect);
    let node = fields.node().clone();
    fields.finish()?;
    let (realm, format) = (realm?, format?);
    let by_plugin = plugin.and_then(|plugin| plugin.realm.clone());
    let realm = match (realm, by_plugin, format) {
        (Some(_), Some(_), _) => return consumers::twice(&node, "realm"),
        (Some(realm), None, _) | (None, Some(realm), _) => Some(realm),
        // Kong's plugin names no realm unless told one.
        (None, None, ErrorFormat::Kong) => None,
        (None, None, ErrorFormat::Problem) => default.realm,
    };
    Some(ErrorSettings { realm, format, login_redirect: login_redirect? })
}

fn login_redirect(node: &Node<'_>) -> Option<LoginRedirect> {
    const ACCEPTED: &str = "a path that starts with one slash, or an https URL";
    let mut fields = node.fields()?;
    let to = fields.required("to", ACCEPTED, |node| {
        let text = node.plain_text()?;
        let is_path = text.starts_with('/') && !text.starts_with("//");
        if !is_path && !text.starts_with("https://") || text.contains(['#', ' ']) {
            return node.reject(ACCEPTED);
        }
        // A browser may ask for another path than this, and be sent on and on.
        if is_path && !text.split('?').next().is_some_and(|path| is_unambiguous(path.as_bytes())) {
            return node.reject("a path without dot segments, empty segments or encoded slashes");
        }
        Some(text.to_owned())
    });
    let return_to_param = fields.or("return_to_param", "return_to".to_owned(), token_name);
    fields.finish()?;
    Some(LoginRedirect { to: to?, return_to_param: return_to_param? })
}

#[allow(clippy::option_option)] // as Fields::optional
fn access_log(node: &Node<'_>) -> Option<Option<bool>> {
    let mut fields = node.fields()?;
    let properties = fields.optional("properties", Node::flag);
    fields.finish()?;
    properties
}

const DEFAULT_LIMITS: Limits = Limits {
    max_token_bytes: 8192,
    token_cache_entries: 10_000,
    token_cache_bytes: 67_108_864,
    max_reply_bytes: 262_144,
    max_identity_bytes: 7168,
    allow_ambiguous_paths: false,
};

fn limits(node: &Node<'_>) -> Option<Limits> {
    let mut fields = node.fields()?;
    let mut size = |name, default: usize, range| {
        let read = |node: &Node<'_>| node.integer(range).map(|number| number as usize);
        fields.or(name, default, read)
    };
    let max_token_bytes = size("max_token_bytes", DEFAULT_LIMITS.max_token_bytes, 256..=65_536);
    let token_cache_entries =
        size("token_cache_entries", DEFAULT_LIMITS.token_cache_entries, 0..=1_000_000);
    let token_cache_bytes =
        size("token_cache_bytes", DEFAULT_LIMITS.token_cache_bytes, 1_048_576..=805_306_368);
    let max_reply_bytes =
        size("max_reply_bytes", DEFAULT_LIMITS.max_reply_bytes, 1024..=16_777_216);
    let max_identity_bytes =
        size("max_identity_bytes", DEFAULT_LIMITS.max_identity_bytes, 1024..=1_048_576);
    let allow_ambiguous_paths = fields.or("allow_ambiguous_paths", false, Node::flag);
    fields.finish()?;
    Some(Limits {
        max_token_bytes: max_token_bytes?,
        token_cache_entries: token_cache_entries?,
        token_cache_bytes: token_cache_bytes?,
        max_reply_bytes: max_reply_bytes?,
        max_identity_bytes: max_identity_bytes?,
        allow_ambiguous_paths: allow_ambiguous_paths?,
    })
}

fn seconds(fields: &mut Fields<'_>, name: &'static str, default: u32, max: u32) -> Option<u32> {
    fields.or(name, default, |node| node.integer(0..=max))
}
