//! The whole configuration: all sections, and the constraints between them.

use std::rc::Rc;

use super::consumers::Consumers;
use super::identity::{MinterParts, Surroundings};
use super::kong_jwt::{KongJwt, PluginOptions};
use super::options::Options;
use super::reader::{Fields, Node};
use super::services::Services;
use super::values::twice;
use super::{
    consumers, crypto, errors, identity, kong_jwt, providers, resources, revocation, rules,
    sealing, separation, services, signals, token,
};
use crate::bearer::{HeaderSource, TokenSources};
use crate::binding::{Bindings, Dpop};
use crate::denial::ErrorSettings;
use crate::http::HeaderName;
use crate::identity::{ClaimHeader, USERNAME_CLAIMS};
use crate::keys::{Crypto, HostCrypto, SigningKey};
use crate::pipeline::Settings;
use crate::refresh::KeySource;
use crate::revocation::{GatewayIdentity, RevocationSettings, Revocations};
use crate::rules::{Requirements, Rule, Rules};
use crate::sealing::SealedTokens;
use crate::signals::{LogoutReceiver, Signals};
use crate::token::{ClaimPath, Provider, ProviderId};
use crate::user_info::UserInfoSource;

/// What stands there for services.
const IDENTITY_TOKEN: &str = "an object with issuer, audiences and signing_keys";

/// Reads the whole configuration.
pub(super) fn settings(root: &Node<'_>, host: Option<Rc<dyn HostCrypto>>) -> Option<Settings> {
    let mut fields = root.fields()?;
    // All sections are read before any of them can fail: no problem hides another.
    let sections = Sections::read(&mut fields, host);
    let whole = fields.node().clone();
    let known = fields.finish();
    let settings = sections.check(&whole)?.settings(&whole)?;
    known?;
    Some(settings)
}

/// The sections; `None` for an invalid one, whose problems are recorded.
#[allow(clippy::option_option)] // as Fields::optional
struct Sections {
    services: Option<Services>,
    kong_jwt: Option<Option<KongJwt>>,
    consumers: Option<Option<Consumers>>,
    providers: Option<providers::Configured>,
    sources: Option<Option<TokenSources>>,
    user_info: Option<Option<(UserInfoSource, usize, usize)>>,
    headers: Option<Vec<ClaimHeader>>,
    crypto: Option<Crypto>,
    minter: Option<MinterParts>,
    access: AccessSections,
    sealed_tokens: Option<Option<SealedTokens>>,
    options: Options,
}

impl Sections {
    fn read(fields: &mut Fields<'_>, host: Option<Rc<dyn HostCrypto>>) -> Self {
        let services = fields.or("services", Services::default(), services::read);
        let services_read = services.as_ref();
        let providers = fields.node().member("providers");
        let provider_names = providers.as_ref().and_then(providers::names);
        let names = provider_names.as_deref();
        let kong_jwt = providers.map_or(Some(None), |node| kong_jwt::find(&node));
        let found = kong_jwt.as_ref().and_then(Option::as_ref);
        let plugin = found.map(|kong_jwt| &kong_jwt.plugin);
        let consumers = fields.optional("consumers", |node| consumers::read(node, found, names));
        let credentials = consumers.iter().flatten().find_map(|it| it.credentials.as_ref());
        let providers = fields.required("providers", "an object of providers by name", |node| {
            providers::read(node, services_read, found, credentials)
        });
        let sources = fields.optional("token", |node| token::read(node, plugin));
        let user_info =
            fields.optional("user_info", |node| services::user_info(node, services_read));
        let headers =
            fields.or("claim_to_headers", Vec::new(), |node| node.list(identity::claim_header));
        let crypto = crypto::read(fields.node_of("crypto").as_ref(), host);
        let are_several = names.is_some_and(|names| names.len() > 1);
        let minter = fields.required("identity_token", IDENTITY_TOKEN, |node| {
            identity::minter(node, crypto.as_ref(), are_several)
        });
        let by_user = user_info.as_ref().map(|user_info| {
            user_info.as_ref().map(|(source, ..)| source.names.clone()).unwrap_or_default()
        });
        let bounds = minter.as_ref().map(|minter| minter.bounds(by_user.as_ref()));
        let known = rules::Names {
            providers: names,
            consumers: consumers.as_ref().map(Option::as_ref),
            bindings: providers.as_ref().map(|providers| &providers.bindings),
            identity: bounds.as_ref(),
        };
        let access = AccessSections::read(fields, services_read, known);
        let options = Options::read(fields, plugin);
        let sealed_tokens = fields.optional("sealed_tokens", |node| {
            sealing::read(node, services_read, sources.as_ref(), options.limits.as_ref())
        });
        Self {
            services,
            kong_jwt,
            consumers,
            providers,
            sources,
            user_info,
            headers,
            crypto,
            minter,
            access,
            sealed_tokens,
            options,
        }
    }

    /// Checks the constraints between sections that are valid, whatever is wrong with others.
    /// `sources`: those of tokens, if they are known.
    fn check_pairs(&self, whole: &Node<'_>, sources: Option<&TokenSources>) {
        if let (Some(found), Some(consumers)) = (&self.kong_jwt, &self.consumers) {
            consumers::check_use(whole, found.as_ref(), consumers.as_ref());
        }
        if let (Some(found), Some(errors)) = (&self.kong_jwt, &self.options.errors) {
            let default = errors::default_errors(found.as_ref().map(|it| &it.plugin));
            errors::check_realm(whole, errors.as_ref().unwrap_or(&default));
        }
        let Some(minter) = &self.minter else { return separation::check_texts(whole) };
        if let Some(rules) = &self.access.rules {
            separation::check_purposes(whole, minter, rules);
        }
        let identities = self.identities(minter);
        match &self.providers {
            Some(configured) => {
                let resources = self.access.resources.iter().flatten();
                let audiences: Vec<_> = resources.flat_map(|it| it.audiences()).cloned().collect();
                let providers = &configured.providers;
                separation::check_separation(whole, providers, &audiences, &identities);
            }
            None => separation::check_texts(whole),
        }
        if let (Some(headers), Some(sources)) = (&self.headers, sources) {
            separation::check_headers(whole, &identities, headers, sources);
        }
        if let (Some(headers), Some(user_info)) = (&self.headers, &self.user_info) {
            let by_user = user_info.as_ref().map(|(source, ..)| &source.names);
            separation::check_constants(whole, &identities, headers, by_user);
        }
        if let Some(limits) = &self.options.limits {
            separation::check_size(whole, minter, limits.max_identity_bytes);
        }
    }

    /// The identities of the valid rules and resources.
    fn identities<'a>(&self, defaults: &'a MinterParts) -> separation::Identities<'a> {
        let rules = self.access.rules.iter().flatten();
        let resources = self.access.resources.iter().flatten();
        separation::Identities {
            defaults,
            rules: rules.filter_map(|rule| rule.identity.clone()).collect(),
            resources: resources.filter_map(|it| it.identity().cloned()).collect(),
        }
    }

    /// The sources of tokens, if they are known.
    fn sources(&mut self) -> Option<TokenSources> {
        let kong_jwt = self.kong_jwt.as_ref().map(Option::as_ref);
        let mut sources = match self.sources.take()? {
            Some(sources) => sources,
            None => token::default_sources(kong_jwt?.map(|it| &it.plugin)),
        };
        let bindings = self.providers.as_ref().map(|it| &it.bindings);
        let take_proofs = bindings.is_some_and(Bindings::take_proofs);
        sources.proofs = take_proofs.then(HeaderSource::of_proofs);
        Some(sources)
    }

    /// Checks the constraints between sections.
    fn check(mut self, whole: &Node<'_>) -> Option<Checked> {
        let sources = self.sources();
        self.check_pairs(whole, sources.as_ref());
        let minter = self.minter.take()?;
        let identities = self.identities(&minter);
        let carriers: Vec<_> = identities.headers().cloned().collect();
        let audiences = identities.audiences().cloned().collect();
        let forwards = identities.forward();
        let (mut providers, mut sources) = (self.providers?, sources?);
        let (headers, user_info) = (self.headers?, self.user_info?);
        let (kong_jwt, consumers) = (self.kong_jwt.flatten(), self.consumers.flatten());
        providers::name_subjects(whole, &mut providers.providers, &minter);
        if let Some(consumers) = &consumers {
            providers::name_clients(&mut providers.providers, &consumers.client_claims);
        }
        let (resources, rules) = (self.access.resources?, self.access.rules?);
        let credentials = consumers.as_ref().and_then(|it| it.credentials.as_ref());
        if let (Some(kong_jwt), Some(credentials)) = (&kong_jwt, credentials) {
            kong_jwt.check_separation(whole, credentials, &providers.providers, &minter);
        }
        sources.carry(&carriers);
        Some(Checked {
            carriers: carriers.into_iter().map(|carrier| carrier.name).collect(),
            audiences,
            forwards,
            services: self.services,
            kong_jwt,
            consumers,
            providers,
            sources,
            user_info,
            headers,
            crypto: self.crypto,
            minter,
            rules,
            resources,
            revocation: self.access.revocation,
            sealed_tokens: self.sealed_tokens,
            options: self.options,
        })
    }
}

/// The sections, once they are consistent.
#[allow(clippy::option_option)] // as Fields::optional
struct Checked {
    /// Every header that may carry a token.
    carriers: Vec<HeaderName>,
    /// `aud` for all services together.
    audiences: Vec<String>,
    /// Whether a rule or resource forwards the public token.
    forwards: bool,
    services: Option<Services>,
    kong_jwt: Option<KongJwt>,
    consumers: Option<Consumers>,
    providers: providers::Configured,
    sources: TokenSources,
    user_info: Option<(UserInfoSource, usize, usize)>,
    headers: Vec<ClaimHeader>,
    crypto: Option<Crypto>,
    minter: MinterParts,
    rules: Vec<Rule>,
    resources: Vec<resources::Configured>,
    revocation: Option<Option<(RevocationSettings, signals::Configured)>>,
    sealed_tokens: Option<Option<SealedTokens>>,
    options: Options,
}

impl Checked {
    fn settings(self, whole: &Node<'_>) -> Option<Settings> {
        let plugin = self.kong_jwt.as_ref().map(|kong_jwt| &kong_jwt.plugin);
        let providers::Configured { providers, introspection, bindings, logouts } = self.providers;
        let (user_info, user_info_entries, user_info_bytes) =
            user_info(self.user_info, &self.headers);
        let default_requirements = default_requirements(whole, plugin, self.consumers.as_ref())?;
        let options = self.options;
        let bypass_cors_preflight =
            bypasses_preflight(whole, options.bypass_cors_preflight?, plugin)?;
        let consumers = self.consumers.map(|consumers| consumers.directory).unwrap_or_default();
        consumers::check_replacement(whole, &consumers, &self.minter);
        let limits = options.limits?;
        let surroundings = Surroundings {
            headers: self.headers,
            carriers: self.carriers,
            audiences: self.audiences,
            trusted_without_scope: trusted_without_scope(&providers),
            user_claims: user_info.as_ref().map(|source| source.names.clone()).unwrap_or_default(),
            origins: origins(&providers, self.minter.replaces()),
            taken: consumers.taken_names(),
            max_bytes: limits.max_identity_bytes,
        };
        let errors = error_settings(options.errors?, plugin, &bindings);
        let (sources, paths) = (&self.sources, limits.paths);
        let resources =
            resources::finish(whole, self.resources, &providers, &bindings, sources, paths);
        let crypto = SigningKey::sign_on_host(self.crypto?, self.minter.signing_keys());
        let (revocation, sealed_tokens) = (self.revocation?, self.sealed_tokens?);
        let (revocations, signals, transmitter_keys) =
            revocations(whole, revocation, &providers, logouts, &self.minter)?;
        refuse_forward(whole, self.forwards && sealed_tokens.is_some());
        Some(Settings {
            config_hash: 0,
            services: self.services.iter().flat_map(|it| it.values()).flatten().cloned().collect(),
            providers,
            introspection,
            sources: self.sources,
            consumers,
            bindings,
            signals,
            transmitter_keys,
            revocations,
            user_info,
            user_info_entries,
            user_info_bytes,
            crypto,
            minter: identity::finish(self.minter, surroundings),
            rules: Rules::new(self.rules, default_requirements, limits.paths),
            resources: resources?,
            errors,
            limits,
            bypass_cors_preflight,
            mode: options.mode?,
            access_log_properties: options.access_log_properties?.flatten(),
            shared_data: options.shared_data?,
            sealed_tokens,
        })
    }
}

/// Sections about access.
#[allow(clippy::option_option)] // as Fields::optional
struct AccessSections {
    rules: Option<Vec<Rule>>,
    resources: Option<Vec<resources::Configured>>,
    revocation: Option<Option<(RevocationSettings, signals::Configured)>>,
}

impl AccessSections {
    fn read(fields: &mut Fields<'_>, services: Option<&Services>, names: rules::Names<'_>) -> Self {
        let policies = fields.or("policies", Vec::new(), |node| rules::policies(node, names));
        let policies = policies.as_ref();
        Self {
            rules: fields.or("rules", Vec::new(), |node| rules::rules(node, names, policies)),
            resources: fields.or("resources", Vec::new(), |node| {
                resources::read(node, names.providers, names.identity)
            }),
            revocation: fields
                .optional("revocation", |node| revocation::read(node, services, names)),
        }
    }
}

fn refuse_forward(whole: &Node<'_>, is_conflict: bool) {
    if !is_conflict {
        return;
    }
    let accepted = "sealed_tokens without forward: no service can read a sealed token";
    let node = whole.nearest(&["sealed_tokens"]);
    let _: Option<()> = node.reject_as("sealed tokens with identity.forward", accepted);
}

/// Providers whose tokens need no scope for a transaction token.
fn trusted_without_scope(providers: &[(Provider, KeySource)]) -> Vec<ProviderId> {
    let trusted = providers.iter().enumerate().filter(|(_, (it, _))| it.trusted_without_scope);
    trusted.map(|(position, _)| ProviderId(position)).collect()
}

/// The names of the providers, if there are two or more, or if transaction tokens are
/// replaced.
fn origins(providers: &[(Provider, KeySource)], replaces: bool) -> Vec<String> {
    let names = || providers.iter().map(|(provider, _)| provider.name.clone());
    if providers.len() > 1 || replaces { names().collect() } else { Vec::new() }
}

fn error_settings(
    errors: Option<ErrorSettings>,
    plugin: Option<&PluginOptions>,
    bindings: &Bindings,
) -> ErrorSettings {
    let errors = errors.unwrap_or_else(|| errors::default_errors(plugin));
    let proof_algorithms = bindings.take_proofs().then(Dpop::algorithm_names);
    ErrorSettings { proof_algorithms, ..errors }
}

/// The source of user info, with the limits of its cache.
fn user_info(
    configured: Option<(UserInfoSource, usize, usize)>,
    headers: &[ClaimHeader],
) -> (Option<UserInfoSource>, usize, usize) {
    configured.map_or((None, 0, 0), |(source, entries, bytes)| {
        (Some(with_header_claims(source, headers)), entries, bytes)
    })
}

/// Also sets the claims that headers and the consumer's name take from it.
fn with_header_claims(mut source: UserInfoSource, headers: &[ClaimHeader]) -> UserInfoSource {
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

/// The revocation lists, and the sources that add to them.
fn revocations(
    whole: &Node<'_>,
    configured: Option<(RevocationSettings, signals::Configured)>,
    providers: &[(Provider, KeySource)],
    logouts: Vec<LogoutReceiver>,
    minter: &MinterParts,
) -> Option<(Revocations, Signals, Vec<KeySource>)> {
    let (settings, heard) = configured.unzip();
    signals::check_paths(whole, settings.as_ref(), heard.as_ref(), minter.paths());
    let (signals, keys) = signals::finish(whole, heard, logouts, providers)?;
    let gateway = gateway_identity(providers);
    let revocations = settings.map(|it| Revocations::new(it, gateway)).unwrap_or_default();
    Some((revocations, signals, keys))
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
