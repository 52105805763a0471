//! The whole: every section, and what holds between them.

use std::rc::Rc;

use super::kong_jwt::PluginOptions;
use super::reader::Node;
use super::values::twice;
use super::{
    consumers, crypto, errors, identity, kong_jwt, limits, providers, resources, revocation, rules,
    sealing, services, signals, token,
};
use crate::bearer::HeaderSource;
use crate::binding::Dpop;
use crate::identity::USERNAME_CLAIMS;
use crate::keys::{HostCrypto, SigningKey};
use crate::pipeline::{Settings, SharedData};
use crate::refresh::KeySource;
use crate::revocation::{GatewayIdentity, Revocations};
use crate::rules::{Requirements, Rules};
use crate::token::{ClaimPath, Provider, ProviderId};
use crate::user_info::UserInfoSource;
use crate::verdict::Mode;

/// Reads the whole.
pub(super) fn settings(root: &Node<'_>, host: Option<Rc<dyn HostCrypto>>) -> Option<Settings> {
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
    let sources = fields.optional("token", |node| token::read(node, plugin));
    let user_info = fields.optional("user_info", |node| services::user_info(node, services));
    let headers =
        fields.or("claim_to_headers", Vec::new(), |node| node.list(identity::claim_header));
    let crypto = crypto::read(fields.node_of("crypto").as_ref(), host);
    let are_several = provider_names.as_ref().is_some_and(|names| names.len() > 1);
    let minter = fields.required("identity_token", "an object", |node| {
        identity::minter(node, crypto.as_ref(), are_several)
    });
    let by_user = user_info.as_ref().map(|user_info| {
        user_info.as_ref().map(|(source, ..)| source.names.clone()).unwrap_or_default()
    });
    let bounds = minter.as_ref().map(|minter| minter.bounds(by_user.as_ref()));
    let anonymous = consumers.as_ref().and_then(Option::as_ref);
    let names = rules::Names {
        providers: provider_names.as_deref(),
        consumers: consumers.as_ref().map(Option::as_ref),
        identity: bounds.as_ref(),
    };
    let policies = fields.or("policies", Vec::new(), |node| rules::policies(node, names));
    let rules = fields.or("rules", Vec::new(), |node| rules::rules(node, names, policies.as_ref()));
    let resources = fields.or("resources", Vec::new(), |node| {
        resources::read(node, provider_names.as_deref(), bounds.as_ref())
    });
    let revocation = fields.optional("revocation", |node| revocation::read(node, services, names));
    let errors = fields.optional("errors", |node| errors::read(node, plugin));
    let limits = fields.or("limits", limits::DEFAULT, limits::read);
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
        consumers::check_use(&whole, found.as_ref(), consumers.as_ref());
    }
    let (providers, minter, headers) = (providers?, minter?, headers?);
    let providers::Configured { mut providers, introspection, bindings, logouts } = providers;
    let (user_info, mut sources) =
        (user_info?, sources?.unwrap_or_else(|| token::default_sources(plugin)));
    sources.proofs = bindings.take_proofs().then(HeaderSource::of_proofs);
    providers::name_subjects(&whole, &mut providers, &minter);
    if let Some(consumers) = anonymous {
        providers::name_clients(&mut providers, &consumers.client_claims);
    }
    let resources = resources?;
    let audiences: Vec<_> = resources.iter().flat_map(|it| it.audiences()).cloned().collect();
    let rules = rules?;
    let identities = identity::Identities {
        defaults: &minter,
        rules: rules.iter().filter_map(|rule| rule.identity.clone()).collect(),
        resources: resources.iter().filter_map(|it| it.identity().cloned()).collect(),
    };
    identity::check_purposes(&whole, &minter, &rules);
    identity::check_separation(&whole, &providers, &audiences, &identities);
    if let (Some(kong_jwt), Some(credentials)) = (kong_jwt, credentials) {
        kong_jwt.check_separation(&whole, credentials, &providers, &minter);
    }
    identity::check_headers(&whole, &identities, &headers, &sources);
    let carriers: Vec<_> = identities.headers().cloned().collect();
    sources.carry(&carriers);
    let audiences = identities.audiences().cloned().collect();
    let forwards = identities.forward();
    let (user_info, user_info_entries, user_info_bytes) = match user_info {
        Some((source, max_entries, max_bytes)) => (Some(source), max_entries, max_bytes),
        None => (None, 0, 0),
    };
    let user_info = user_info.map(|source| with_header_claims(source, &headers));
    let default_requirements = default_requirements(&whole, plugin, anonymous)?;
    let bypass_cors_preflight = bypasses_preflight(&whole, bypass_cors_preflight?, plugin)?;
    let consumers = consumers?.map(|consumers| consumers.directory).unwrap_or_default();
    let names = providers.iter().map(|(provider, _)| provider.name.clone());
    let limits = limits?;
    let trusted = providers.iter().enumerate().filter(|(_, (it, _))| it.trusted_without_scope);
    let trusted = trusted.map(|(position, _)| ProviderId(position));
    let surroundings = identity::Surroundings {
        headers,
        carriers: carriers.into_iter().map(|carrier| carrier.name).collect(),
        audiences,
        trusted_without_scope: trusted.collect(),
        user_claims: user_info.as_ref().map(|source| source.names.clone()).unwrap_or_default(),
        origins: if are_several || minter.replaces() { names.collect() } else { Vec::new() },
        taken: consumers.taken_names(),
        max_bytes: limits.max_identity_bytes,
    };
    let mut errors = errors?.unwrap_or_else(|| errors::default_errors(plugin));
    errors.proof_algorithms = bindings.take_proofs().then(Dpop::algorithm_names);
    errors::check_realm(&whole, &errors, !resources.is_empty());
    let resources =
        resources::finish(&whole, resources, &providers, &bindings, &sources, limits.paths);
    let crypto = SigningKey::sign_on_host(crypto?, minter.signing_keys());
    let (revocation, sealed_tokens) = (revocation?, sealed_tokens?);
    let (revocation, heard) = revocation.unzip();
    signals::check_paths(&whole, revocation.as_ref(), heard.as_ref(), minter.paths());
    let (signals, transmitter_keys) = signals::finish(&whole, heard, logouts)?;
    if forwards && sealed_tokens.is_some() {
        let accepted = "sealed_tokens without forward: no service can read a sealed token";
        let _: Option<()> = whole.reject_as("sealed tokens with identity.forward", accepted);
    }
    let gateway = gateway_identity(&providers);
    known?;
    Some(Settings {
        services: services.into_iter().flat_map(|it| it.values().flatten().cloned()).collect(),
        providers,
        introspection,
        sources,
        consumers,
        bindings,
        signals,
        transmitter_keys,
        revocations: revocation.map(|it| Revocations::new(it, gateway)).unwrap_or_default(),
        user_info,
        user_info_entries,
        user_info_bytes,
        minter: identity::finish(minter, surroundings)?,
        rules: Rules::new(rules, default_requirements, limits.paths),
        resources: resources?,
        errors,
        limits,
        bypass_cors_preflight,
        crypto,
        mode: mode?,
        access_log_properties: access_log_properties?.flatten(),
        shared_data: shared_data?,
        sealed_tokens,
    })
}

/// Also gives the source the claims that headers and the consumer's name take from it.
fn with_header_claims(
    mut source: UserInfoSource,
    headers: &[crate::identity::ClaimHeader],
) -> UserInfoSource {
    let configured = headers.iter().map(|header| header.path.clone());
    let usernames = USERNAME_CLAIMS.map(ClaimPath::dotted);
    source.header_claims =
        configured.chain(usernames).filter(|path| source.names.decide(path)).collect();
    source
}

/// Requirements for requests that no rule matches.
fn default_requirements(
    whole: &Node<'_>,
    plugin: Option<&PluginOptions>,
    consumers: Option<&consumers::Consumers>,
) -> Option<Requirements> {
    if plugin.is_none_or(|plugin| plugin.anonymous.is_none()) {
        return Some(Requirements::default());
    }
    let anonymous = Some(Rc::new(rules::anonymous(whole, consumers)?));
    Some(Requirements { anonymous, ..Requirements::default() })
}

/// Whether CORS preflights pass. Kong's plugin runs on them by default.
fn bypasses_preflight(
    whole: &Node<'_>,
    bypass_cors_preflight: Option<bool>,
    plugin: Option<&PluginOptions>,
) -> Option<bool> {
    let run_on_preflight = plugin.map(|plugin| plugin.run_on_preflight);
    match (bypass_cors_preflight, run_on_preflight) {
        (Some(_), Some(Some(_))) => {
            twice(whole, "bypass_cors_preflight, which is run_on_preflight,")
        }
        (Some(flag), _) => Some(flag),
        (None, Some(runs)) => Some(!runs.unwrap_or(true)),
        (None, None) => Some(true),
    }
}

/// The identity of the gateway: configurations with the same one share revocations.
fn gateway_identity(providers: &[(Provider, KeySource)]) -> GatewayIdentity {
    let providers = providers.iter().map(|(provider, _)| provider);
    GatewayIdentity {
        clock_skew: providers.clone().map(|it| it.clock_skew).max().unwrap_or_default(),
        providers: providers
            .map(|provider| (provider.name.clone(), provider.issuer().map(str::to_owned)))
            .collect(),
    }
}

#[allow(clippy::option_option)] // as Fields::optional
fn access_log(node: &Node<'_>) -> Option<Option<bool>> {
    let mut fields = node.fields()?;
    let properties = fields.optional("properties", Node::flag);
    fields.finish()?;
    properties
}
