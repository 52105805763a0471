//! `revocation.logout_path` and `revocation.events`: the endpoints for logout tokens and
//! security events, and their senders.

use super::logout::revoke_by;
use super::providers::{self, KEY_SOURCES};
use super::reader::Node;
use super::services::{self, Services, own_path};
use super::values::{algorithms, in_build, repeated, seconds};
use crate::features;
use crate::identity::PublishedPaths;
use crate::keys::{Algorithm, AlgorithmSet};
use crate::refresh::KeySource;
use crate::revocation::RevocationSettings;
use crate::signals::{
    EventsEndpoint, Forward, LogoutReceiver, Logouts, RevokeBy, Signals, Transmitter,
};
use crate::time::Span;
use crate::token::{IDENTITY_TYPES, Issuer, MAX_CLOCK_SKEW_SECONDS, Provider, ProviderId};

/// The configured endpoints.
pub struct Configured {
    /// The path for logout tokens.
    pub logout_path: Option<(String, features::Signals)>,
    /// The endpoint for events, with the keys of their transmitters.
    pub events: Option<(EventsEndpoint, Vec<KeySource>)>,
    /// Where everything is forwarded to.
    pub forward: Option<Forward>,
}

/// The contents of `revocation.events`.
#[derive(Default)]
pub struct Events {
    endpoint: Option<(EventsEndpoint, Vec<KeySource>)>,
    forward: Option<Forward>,
}

impl Events {
    /// Together with `revocation.logout_path`.
    pub fn with(self, logout_path: Option<(String, features::Signals)>) -> Configured {
        Configured { logout_path, events: self.endpoint, forward: self.forward }
    }
}

impl Configured {
    /// Whether nothing is configured.
    pub const fn is_empty(&self) -> bool {
        self.logout_path.is_none() && self.events.is_none()
    }
}

/// The default path for events.
const EVENTS_PATH: &str = "/.well-known/gatepass/events";

/// Reads `revocation.events`.
pub fn events(
    node: &Node<'_>,
    services: Option<&Services>,
    providers: Option<&[String]>,
) -> Option<Events> {
    let feature = in_build(node, features::Signals::proof())?;
    let mut fields = node.fields()?;
    let path = fields.or("path", EVENTS_PATH.to_owned(), own_path);
    const ACCEPTED: &str = "a list of those who send events";
    let read = |node: &Node<'_>| node.full_list(|node| transmitter(node, services, providers));
    // `forward` alone is for logouts.
    let transmitters = match fields.node_of("forward") {
        Some(_) => fields.optional("transmitters", read),
        None => fields.required("transmitters", ACCEPTED, read).map(Some),
    };
    let forward = fields.optional("forward", |node| forward(node, services));
    let whole = fields.node().clone();
    fields.finish()?;
    let (forward, path) = (forward?, path?);
    let Some(transmitters) = transmitters? else {
        return Some(Events { endpoint: None, forward });
    };
    let (transmitters, keys): (Vec<_>, Vec<_>) = transmitters.into_iter().unzip();
    if let Some(issuer) = repeated(transmitters.iter().map(|transmitter| &transmitter.issuer)) {
        let found = format_args!("the issuer {issuer:?} in two transmitters");
        return whole.reject_as(found, "each issuer in one transmitter");
    }
    let endpoint = EventsEndpoint { path, transmitters, feature };
    Some(Events { endpoint: Some((endpoint, keys)), forward })
}

/// Reads `revocation.logout_path`.
pub fn logout_path(node: &Node<'_>) -> Option<(String, features::Signals)> {
    let feature = in_build(node, features::Signals::proof())?;
    Some((own_path(node)?, feature))
}

/// The service to which everything is forwarded, for the other proxies.
fn forward(node: &Node<'_>, services: Option<&Services>) -> Option<Forward> {
    let mut fields = node.fields()?;
    let service = services::reference(&mut fields, "service", services);
    let path = fields.required("path", "a path that starts with /", services::path);
    fields.finish()?;
    Some(Forward { service: service?, path: path? })
}

fn transmitter(
    node: &Node<'_>,
    services: Option<&Services>,
    names: Option<&[String]>,
) -> Option<(Transmitter, KeySource)> {
    let mut fields = node.fields()?;
    let issuer = fields.required("issuer", "the iss of its events", |node| {
        let issuer = Issuer::parse(node.text()?).filter(|issuer| !issuer.is_template());
        issuer.or_else(|| node.reject("one issuer, without { and }"))
    });
    let only = names.filter(|names| names.len() == 1).map(|_| ProviderId(0));
    let provider = match (fields.node_of("provider"), only) {
        (Some(node), _) => providers::reference(&node, names),
        (None, Some(only)) => Some(only),
        (None, None) => {
            fields.required("provider", "the provider whose tokens are meant", |_| None)
        }
    };
    let audiences = fields.required("audiences", "the aud of its events, any of them", |node| {
        node.full_list(|item| item.text().map(str::to_owned))
    });
    let algorithms = fields.or("algorithms", AlgorithmSet::asymmetric(), asymmetric);
    let clock_skew = seconds(&mut fields, "clock_skew_seconds", 60, MAX_CLOCK_SKEW_SECONDS);
    let usual = || vec![Some("secevent+jwt".to_owned())];
    let token_types = fields.optional("token_types", |node| node.full_list(event_type));
    let authorization = fields.optional("authorization", Node::secret);
    let revoke = fields.or("revoke", RevokeBy::default(), revoke_by);
    let keys = providers::key_source(&mut fields, services, issuer.as_ref());
    let whole = fields.node().clone();
    fields.finish()?;
    let keys = match keys? {
        Some(keys) => keys,
        None => return whole.reject_as("no source of keys", KEY_SOURCES),
    };
    let transmitter = Transmitter {
        issuer: issuer?.text().to_owned(),
        provider: provider?,
        audiences: audiences?,
        algorithms: algorithms?,
        clock_skew: Span::from_secs(clock_skew?),
        token_types: token_types?.unwrap_or_else(usual),
        authorization: authorization?,
        revoke: revoke?,
    };
    Some((transmitter, keys))
}

/// Asymmetric algorithms only, for senders with which the gateway shares no secret.
pub fn asymmetric(node: &Node<'_>) -> Option<AlgorithmSet> {
    let algorithms = algorithms(node)?;
    if algorithms.iter().any(Algorithm::is_symmetric) {
        return node.reject_as("HS* algorithms", "asymmetric algorithms");
    }
    Some(algorithms)
}

/// A type of event tokens; `none` means without a type, as before RFC 8417.
fn event_type(node: &Node<'_>) -> Option<Option<String>> {
    let typ = node.text()?.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    match typ {
        "none" => Some(None),
        "secevent" => node.reject("the whole type, secevent+jwt"),
        "at+jwt" | "logout+jwt" | "dpop+jwt" => node.reject("types of security events"),
        typ if IDENTITY_TYPES.contains(&typ) => node.reject("types of security events"),
        typ => Some(Some(typ.to_owned())),
    }
}

/// Refuses a path that is used twice.
pub fn check_paths(
    whole: &Node<'_>,
    revocation: Option<&RevocationSettings>,
    signals: Option<&Configured>,
    published: &PublishedPaths,
) {
    let endpoint = revocation.and_then(|it| it.endpoint.as_ref()).map(|it| it.path.as_str());
    let logout = signals.and_then(|it| it.logout_path.as_ref()).map(|(path, _)| path.as_str());
    let events = signals.and_then(|it| it.events.as_ref()).map(|(it, _)| it.path.as_str());
    let mut taken: Vec<&str> = published.all().collect();
    for path in [endpoint, logout, events].into_iter().flatten() {
        if taken.contains(&path) {
            let node = whole.nearest(&["revocation"]);
            let found = format_args!("the path {path:?} for two things");
            let _: Option<()> = node.reject_as(found, "a path of its own for each endpoint");
        }
        taken.push(path);
    }
}

/// Combines the settings of providers and `revocation`.
pub fn finish(
    whole: &Node<'_>,
    configured: Option<Configured>,
    receivers: Vec<LogoutReceiver>,
    providers: &[(Provider, KeySource)],
) -> Option<(Signals, Vec<KeySource>)> {
    let configured = configured.unwrap_or_else(|| Events::default().with(None));
    if configured.is_empty() && configured.forward.is_some() {
        let node = whole.nearest(&["revocation"]);
        let accepted = "events.transmitters or logout_path beside it";
        return node.reject_as("events.forward without anything to forward", accepted);
    }
    let logouts = match (configured.logout_path, receivers.is_empty()) {
        (None, true) => None,
        (Some((path, feature)), false) => Some(Logouts { path, receivers, feature }),
        (Some(_), true) => {
            let node = whole.nearest(&["revocation"]);
            let found = "logout_path, but no provider has logout";
            return node.reject_as(found, "logout in a provider: {client_ids: [...]}");
        }
        (None, false) => {
            let node = whole.nearest(&["providers"]);
            let accepted = "revocation.logout_path beside it: where its logout tokens are posted";
            return node.reject_as("logout in a provider, but no revocation.logout_path", accepted);
        }
    };
    let (events, keys) = configured.events.unzip();
    let transmitters = events.iter().flat_map(|events: &EventsEndpoint| &events.transmitters);
    let nameless = |transmitter: &Transmitter| {
        let (provider, _) = providers.get(transmitter.provider.0)?;
        provider.issuer().is_none().then_some(&provider.name)
    };
    if let Some(name) = transmitters.clone().find_map(nameless) {
        let node = whole.nearest(&["revocation"]);
        let found = format_args!("events about the provider {name:?}, whose tokens have no issuer");
        return node.reject_as(found, "a provider with an issuer");
    }
    let forward = configured.forward;
    Some((Signals { logouts, events, forward }, keys.unwrap_or_default()))
}
