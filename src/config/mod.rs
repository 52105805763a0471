//! The configuration: from JSON text to what the gateway works with.
//!
//! Every problem is reported at once, each with its JSON path, what was found
//! and what is accepted. Nothing is guessed: an unknown field, a field of a
//! later version or a contradiction refuses the whole.

mod access;
mod crypto;
mod identity;
mod introspection;
mod protobuf;
mod providers;
mod reader;
mod revocation;
mod services;

use std::rc::Rc;

use serde_json::Value;

use self::reader::{Document, Fields, Node};
pub use self::reader::{Problem, Problems};
use crate::denial::{ErrorFormat, ErrorSettings, LoginRedirect};
use crate::gateway::{Limits, Settings, SharedData};
use crate::http::HeaderName;
use crate::identity::USERNAME_CLAIMS;
use crate::json;
use crate::keys::HostCrypto;
use crate::revocation::Revocations;
use crate::token::{ClaimPath, HeaderSource, TokenSources};
use crate::verdict::Mode;

/// Reads a configuration: JSON, or a binary `google.protobuf.Struct`, which is
/// what Envoy makes of one. `environment` finds the values of `{env: NAME}`;
/// `host` is the cryptography of the host, if it has any, and is tried here.
pub fn load(
    text: &[u8],
    environment: &dyn Fn(&str) -> Option<String>,
    host: Option<Rc<dyn HostCrypto>>,
) -> Result<Settings, Problems> {
    let value = match json::parse(text) {
        Ok(value) => value,
        Err(error) => match protobuf::parse_struct(text) {
            Some(members) if !text.is_empty() => Value::Object(members),
            _ => {
                let found = if text.is_empty() { "nothing".into() } else { error.to_string() };
                let accepted = "a JSON object".to_owned();
                return Err(Problems(vec![Problem { path: "$".into(), found, accepted }]));
            }
        },
    };
    let document = Document::new(environment);
    let settings = settings(&document.root(&value), host);
    match (settings, document.into_problems()) {
        (Some(settings), problems) if problems.is_empty() => Ok(settings),
        (_, problems) => Err(Problems(problems)),
    }
}

fn settings(root: &Node<'_>, host: Option<Rc<dyn HostCrypto>>) -> Option<Settings> {
    let mut fields = root.fields()?;
    // All sections are read before any of them can end the reading: `?` comes
    // last, so that no problem hides another.
    let services = fields.or("services", services::Services::default(), services::read);
    let services = services.as_ref();
    let provider_names = fields.node().member("providers").and_then(|node| providers::names(&node));
    let providers = fields.required("providers", "an object of providers by name", |node| {
        providers::read(node, services)
    });
    let sources = fields.optional("token", token_sources);
    let consumers = fields.optional("consumers", access::consumers);
    let user_info = fields.optional("user_info", |node| services::user_info(node, services));
    let headers =
        fields.or("claim_to_headers", Vec::new(), |node| node.list(identity::claim_header));
    let crypto = crypto::read(fields.node_of("crypto").as_ref(), host);
    let minter = fields
        .required("identity_token", "an object", |node| identity::minter(node, crypto.as_ref()));
    let anonymous = consumers.as_ref().and_then(Option::as_ref);
    let rules = fields
        .or("rules", Vec::new(), |node| access::rules(node, provider_names.as_deref(), anonymous));
    let revocation = fields.optional("revocation", |node| {
        revocation::read(node, services, provider_names.as_deref(), anonymous)
    });
    let errors = fields.optional("errors", errors);
    let limits = fields.optional("limits", limits);
    let bypass_cors_preflight = fields.or("bypass_cors_preflight", true, Node::flag);
    let shared_data =
        [("auto", SharedData::Auto), ("on", SharedData::On), ("off", SharedData::Off)];
    let shared_data = fields.or("shared_data", SharedData::Auto, |node| node.one_of(&shared_data));
    let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
    let mode = fields.or("mode", Mode::Enforce, |node| node.one_of(&modes));
    let access_log_properties = fields.optional("access_log", access_log);
    let whole = fields.node().clone();
    let known = fields.finish();

    let (providers, minter, headers) = (providers?, minter?, headers?);
    let providers::Configured { providers, introspection } = providers;
    let (user_info, sources) = (user_info?, sources?.unwrap_or_else(default_sources));
    identity::check_separation(&whole, &providers, &minter);
    identity::check_headers(&whole, &minter, &headers, &sources);
    let (user_info, user_info_entries) = match user_info {
        Some((source, max_entries)) => (Some(source), max_entries),
        None => (None, 0),
    };
    let user_info = user_info.map(|mut source| {
        let configured = headers.iter().map(|header| header.path.clone());
        let usernames = USERNAME_CLAIMS.map(ClaimPath::dotted);
        source.header_claims =
            configured.chain(usernames).filter(|path| source.provides(path.first())).collect();
        source
    });
    let consumers = consumers?.map(|(directory, _)| directory).unwrap_or_default();
    let crypto = crypto?.signing_with(minter.signing_keys());
    let revocation = revocation?;
    known?;
    Some(Settings {
        services: services.into_iter().flat_map(|it| it.values().flatten().cloned()).collect(),
        providers,
        introspection,
        sources,
        consumers,
        revocations: revocation.map(Revocations::new).unwrap_or_default(),
        user_info,
        user_info_entries,
        minter: identity::finish(minter, headers)?,
        rules: rules.map(crate::rules::Rules::new)?,
        errors: errors?.unwrap_or_default(),
        limits: limits?.unwrap_or(DEFAULT_LIMITS),
        bypass_cors_preflight: bypass_cors_preflight?,
        crypto,
        mode: mode?,
        access_log_properties: access_log_properties?.flatten(),
        shared_data: shared_data?,
    })
}

fn default_sources() -> TokenSources {
    TokenSources {
        headers: vec![HeaderSource { name: HeaderName::authorization(), scheme: "Bearer".into() }],
        cookies: Vec::new(),
        params: Vec::new(),
        forward: false,
    }
}

fn token_sources(node: &Node<'_>) -> Option<TokenSources> {
    let mut fields = node.fields()?;
    let headers =
        fields.or("from_headers", default_sources().headers, |node| node.list(header_source));
    let cookies = fields.or("from_cookies", Vec::new(), |node| node.list(token_name));
    let params = fields.or("from_params", Vec::new(), |node| node.list(token_name));
    let forward = fields.or("forward", false, Node::flag);
    let node = fields.node().clone();
    fields.finish()?;
    let sources =
        TokenSources { headers: headers?, cookies: cookies?, params: params?, forward: forward? };
    if sources.headers.is_empty() && sources.cookies.is_empty() && sources.params.is_empty() {
        return node.reject("at least one of from_headers, from_cookies and from_params");
    }
    Some(sources)
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

fn errors(node: &Node<'_>) -> Option<ErrorSettings> {
    let mut fields = node.fields()?;
    let default = ErrorSettings::default();
    let realm = fields.or("realm", default.realm, |node| node.plain_text().map(str::to_owned));
    let formats = [("problem", ErrorFormat::Problem), ("kong", ErrorFormat::Kong)];
    let format = fields.or("format", default.format, |node| node.one_of(&formats));
    let login_redirect = fields.optional("login_redirect", login_redirect);
    fields.finish()?;
    Some(ErrorSettings { realm: realm?, format: format?, login_redirect: login_redirect? })
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

const DEFAULT_LIMITS: Limits =
    Limits { max_token_bytes: 8192, token_cache_entries: 10_000, max_reply_bytes: 262_144 };

fn limits(node: &Node<'_>) -> Option<Limits> {
    let mut fields = node.fields()?;
    let mut size = |name, default: usize, range| {
        let read = |node: &Node<'_>| node.integer(range).map(|number| number as usize);
        fields.or(name, default, read)
    };
    let max_token_bytes = size("max_token_bytes", DEFAULT_LIMITS.max_token_bytes, 256..=65_536);
    let token_cache_entries =
        size("token_cache_entries", DEFAULT_LIMITS.token_cache_entries, 0..=1_000_000);
    let max_reply_bytes =
        size("max_reply_bytes", DEFAULT_LIMITS.max_reply_bytes, 1024..=16_777_216);
    fields.finish()?;
    Some(Limits {
        max_token_bytes: max_token_bytes?,
        token_cache_entries: token_cache_entries?,
        max_reply_bytes: max_reply_bytes?,
    })
}

fn seconds(fields: &mut Fields<'_>, name: &'static str, default: u32, max: u32) -> Option<u32> {
    fields.or(name, default, |node| node.integer(0..=max))
}
