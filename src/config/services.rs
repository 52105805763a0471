//! `services` and `user_info`.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::reader::{Fields, Node, shown_member};
use super::values::{HEADER_NAME, repeated, seconds};
use crate::callout::{Scheme, Service};
use crate::http::{Authority, HeaderName};
use crate::identity::is_reserved;
use crate::secret::Secret;
use crate::time::Span;
use crate::token::ClaimPath;
use crate::user_info::{FailureMode, Lifetimes, PathTemplate, UserClaimNames, UserInfoSource};

/// The services by name; `None` for an invalid one.
pub type Services = BTreeMap<String, Option<Rc<Service>>>;

/// Reads `services`.
pub fn read(node: &Node<'_>) -> Option<Services> {
    let services = node.named(service)?.into_iter();
    Some(services.map(|(name, service)| (name.to_owned(), service)).collect())
}

fn service(name: &str, node: &Node<'_>) -> Option<Rc<Service>> {
    let mut fields = node.fields_as("an object such as {upstream: CLUSTER, authority: HOST}")?;
    let upstream = "Envoy: the name of a cluster; Kong: host:port";
    let upstream = fields.required("upstream", upstream, |node| {
        let text = node.plain_text()?;
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
        let port = text.rsplit_once(':').map(|(_, port)| port).filter(|port| is_port(port));
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port != 0)) {
            return node.reject("a port from 1 to 65535");
        }
        // ngx_wasm_module traps on a URL; Envoy has no such cluster. A slash alone is
        // fine: the names that Envoy Gateway generates have some.
        let has_path = text.contains(':') && text.contains('/') && !text.starts_with("unix:/");
        if has_path || text.contains(' ') {
            return node.reject(upstream);
        }
        Some(text.to_owned())
    });
    let authority = fields.optional("authority", |node| {
        let text = node.plain_text()?;
        let is_host = match text.rsplit_once(':') {
            Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Authority::configured(text.as_bytes()).is_some()
            }
            _ => !text.contains(['/', ' ', '@']),
        };
        if !is_host {
            return node.reject("host or host:port");
        }
        Some(text.to_owned())
    });
    let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
    let scheme = fields.or("scheme", Scheme::Http, |node| node.one_of(&schemes));
    let timeout = fields.or("timeout_ms", 1000, |node| node.integer(1..=60_000));
    let headers = fields.or("headers", Vec::new(), |node| {
        let headers = header_secrets(node)?;
        const OWN: [&str; 3] = ["accept", "content-type", "user-agent"];
        let is_own = |(name, _): &&(HeaderName, _)| OWN.contains(&name.as_str());
        if let Some((name, _)) = headers.iter().find(is_own) {
            let found = format_args!("{}, which each call has as it needs", name.as_str());
            return node.reject_as(found, "other headers");
        }
        Some(headers)
    });
    fields.finish()?;
    let (upstream, scheme, timeout, headers) = (upstream?, scheme?, timeout?, headers?);
    let authority = authority?.unwrap_or_else(|| upstream.clone());
    let timeout = Span::from_millis(timeout);
    Some(Rc::new(Service { name: name.to_owned(), upstream, authority, scheme, timeout, headers }))
}

/// Header fields to send, with secret values.
fn header_secrets(node: &Node<'_>) -> Option<Vec<(HeaderName, Secret<String>)>> {
    let headers = node.entries(|name, value| {
        let Ok(name) = HeaderName::parse(name) else {
            return value.reject_as(format_args!("the name {}", shown_member(name)), HEADER_NAME);
        };
        let secret = value.secret()?;
        let is_value = |b: u8| b == b'\t' || (0x20..0x7F).contains(&b);
        if !secret.expose().bytes().all(is_value) {
            return value.reject_as("a value with other bytes", "printable ASCII");
        }
        Some((name, secret))
    })?;
    if let Some(name) = repeated(headers.iter().map(|(name, _)| name)) {
        return node.reject_as(format_args!("the header {} twice", name.as_str()), "each once");
    }
    Some(headers)
}

/// Refuses a header that the service already sets: only one of the two would be sent.
pub fn check_header(node: &Node<'_>, service: Option<&Service>, name: &HeaderName) -> Option<()> {
    match service {
        Some(service) if service.headers.iter().any(|(own, _)| own == name) => node.reject_as(
            format_args!("{} here and in services.{}.headers", name.as_str(), service.name),
            "one of the two",
        ),
        _ => Some(()),
    }
}

/// A field that names a service.
pub fn reference(
    fields: &mut Fields<'_>,
    field: &'static str,
    services: Option<&Services>,
) -> Option<Rc<Service>> {
    fields.required(field, "the name of one of services", |node| named(node, services))
}

/// The service of that name. Problems of `services` itself are already recorded.
pub fn named(node: &Node<'_>, services: Option<&Services>) -> Option<Rc<Service>> {
    let name = node.text()?;
    let services = services?;
    match services.get(name) {
        Some(service) => service.clone(),
        None => {
            let known: Vec<_> = services.keys().map(String::as_str).collect();
            match known.as_slice() {
                [] => node.reject(format_args!("one of services, of which there are none")),
                known => {
                    node.reject_name(known, format_args!("one of services: {}", known.join(", ")))
                }
            }
        }
    }
}

/// A path at a service.
pub fn path(node: &Node<'_>) -> Option<String> {
    let is_path = |text: &&str| text.starts_with('/') && !text.contains([' ', '#']);
    if !node.value().as_str().is_some_and(|text| is_path(&text)) {
        return reject_path(node, "a path that starts with /");
    }
    node.plain_text().map(str::to_owned)
}

/// Refuses what is no path. A URL has what belongs into the service.
fn reject_path<T>(node: &Node<'_>, accepted: &str) -> Option<T> {
    let is_url = node.value().as_str().is_some_and(|text| text.contains("://"));
    if is_url {
        let host = "the host and the port of a service are its upstream and authority";
        return node.reject_as("a URL", format_args!("{accepted}; {host}"));
    }
    node.reject(accepted)
}

/// A path that the gateway itself answers.
pub fn own_path(node: &Node<'_>) -> Option<String> {
    let text = path(node)?;
    if text.contains('?') { node.reject("a path without a query") } else { Some(text) }
}

const DEFAULT_ENTRIES: u32 = 10_000;
const DEFAULT_BYTES: u32 = 16_777_216;

/// Reads `user_info`; also the number of users whose data is cached, and the bytes for
/// it.
pub fn user_info(
    node: &Node<'_>,
    services: Option<&Services>,
) -> Option<(UserInfoSource, usize, usize)> {
    let mut fields = node.fields()?;
    let service = reference(&mut fields, "service", services);
    let path = fields.required("path", USER_PATH, user_path);
    let known = service.as_deref();
    let headers = fields.or("headers", Vec::new(), |node| {
        let headers = header_secrets(node)?;
        headers.iter().try_for_each(|(name, _)| check_header(node, known, name))?;
        Some(headers)
    });
    let forward_token = fields.or("forward_token", false, |node| {
        let forwards = node.flag()?;
        if forwards {
            check_header(node, known, &HeaderName::authorization())?;
        }
        Some(forwards)
    });
    // Here `null` has a meaning: the reply need not name its user.
    let is_waived = fields.node().member("subject_pointer").is_some_and(|it| it.value().is_null());
    let subject_pointer = fields.or("subject_pointer", "/sub".to_owned(), pointer);
    let claims = fields.or("claims", Vec::new(), mapped_claims);
    let required =
        fields.or("required", Vec::new(), |node| required_claims(node, claims.as_deref()));
    let cache = fields.optional("cache", cache);
    let modes = [("deny", FailureMode::Deny), ("degrade", FailureMode::Degrade)];
    let failure_mode = fields.or("failure_mode", FailureMode::Deny, |node| node.one_of(&modes));
    fields.finish()?;
    let default = || (Lifetimes::default(), DEFAULT_ENTRIES as usize, DEFAULT_BYTES as usize);
    let (lifetimes, max_entries, max_bytes) = cache?.unwrap_or_else(default);
    subject_pointer.as_ref()?;
    let claims = claims?;
    let source = UserInfoSource {
        service: service?,
        path: path?,
        headers: headers?,
        forward_token: forward_token?,
        subject_pointer: subject_pointer.filter(|_| !is_waived),
        names: UserClaimNames::of(&claims),
        claims,
        required: required?,
        header_claims: Vec::new(),
        failure_mode: failure_mode?,
        lifetimes,
    };
    Some((source, max_entries, max_bytes))
}

/// The values that [`user_path`] accepts.
const USER_PATH: &str = "a path such as /users/{sub}, with claims in braces";

fn user_path(node: &Node<'_>) -> Option<PathTemplate> {
    let text = node.value().as_str();
    // `{provider}` has a meaning in `identity_token.subject` only.
    if text.is_some_and(|text| text.contains("{provider}")) {
        return node.reject("{iss} for the issuer, {/provider} for a claim of that name");
    }
    let template = text.and_then(PathTemplate::parse);
    template.or_else(|| reject_path(node, USER_PATH))
}

/// Identity claims, with their pointers into the reply.
fn mapped_claims(node: &Node<'_>) -> Option<Vec<(String, String)>> {
    node.entries(|name, value| {
        if is_reserved(name) {
            return value.reject_as(
                format_args!("the claim {name}, which the gateway decides"),
                "names of other claims",
            );
        }
        Some((name.to_owned(), pointer(value)?))
    })
}

/// Claims without which a reply is a failure: a subset of the mapped ones.
fn required_claims(node: &Node<'_>, claims: Option<&[(String, String)]>) -> Option<Vec<String>> {
    let Some(claims) = claims else { return Some(Vec::new()) };
    let mapped = UserClaimNames::of(claims);
    node.list(|item| {
        let name = item.text()?;
        if !mapped.has(name) {
            let mapped: Vec<_> = mapped.names().map(String::as_str).collect();
            return item.reject_name(&mapped, format_args!("one of claims: {}", mapped.join(", ")));
        }
        Some(name.to_owned())
    })
}

/// A JSON pointer (RFC 6901 section 3).
pub fn pointer(node: &Node<'_>) -> Option<String> {
    const ACCEPTED: &str = "a JSON pointer such as /address/country";
    let text = node.value().as_str().filter(|text| text.starts_with('/'));
    let text = text.filter(|text| ClaimPath::parse(text).is_some());
    text.map(str::to_owned).or_else(|| node.reject(ACCEPTED))
}

fn cache(node: &Node<'_>) -> Option<(Lifetimes, usize, usize)> {
    const DAY: u32 = 86_400;
    let mut fields = node.fields()?;
    let ttl = seconds(&mut fields, "ttl_seconds", 60, DAY);
    let negative_ttl = seconds(&mut fields, "negative_ttl_seconds", 5, 3600);
    let stale_if_error = seconds(&mut fields, "stale_if_error_seconds", 300, DAY);
    let max_entries = fields.or("max_entries", DEFAULT_ENTRIES, |node| node.integer(0..=1_000_000));
    let bytes = 1_048_576..=805_306_368;
    let max_bytes = fields.or("max_bytes", DEFAULT_BYTES, |node| node.integer(bytes));
    fields.finish()?;
    let lifetimes = Lifetimes {
        ttl: Span::from_secs(ttl?),
        negative_ttl: Span::from_secs(negative_ttl?),
        stale_if_error: Span::from_secs(stale_if_error?),
    };
    Some((lifetimes, max_entries? as usize, max_bytes? as usize))
}
