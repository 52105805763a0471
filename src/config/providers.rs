//! `providers`: the issuers of access tokens, and their keys.

use std::collections::HashSet;
use std::rc::Rc;

use serde_json::Value;

use super::identity::MinterParts;
use super::kong_jwt::{self, KongJwt};
use super::reader::{Fields, Node, is_env, member_names};
use super::services::{self, Services};
use super::values::{algorithms, seconds};
use super::{access, binding, introspection, logout};
use crate::binding::{Binding, Bindings};
use crate::introspection::IntrospectionEndpoint;
use crate::json::{self, kind};
use crate::keys::{Algorithm, AlgorithmSet, KeySet, Origin};
use crate::refresh::{JwksEndpoint, JwksLocation, KeySource, RemoteKeys};
use crate::signals::LogoutReceiver;
use crate::time::Span;
use crate::token::{
    ClaimPath, ClaimRule, ClaimTest, ClientClaims, EVENT_TYPES, IDENTITY_TYPES, Issuance, Issuer,
    MAX_CLOCK_SKEW_SECONDS, Provider, ProviderId,
};

/// The result of reading `providers`.
pub struct Configured {
    /// The providers and their keys.
    pub providers: Vec<(Provider, KeySource)>,
    /// The provider with introspection, and the number of cached answers.
    pub introspection: Option<(ProviderId, IntrospectionEndpoint, usize)>,
    /// How clients prove possession of the keys that tokens are bound to.
    pub bindings: Bindings,
    /// The senders of logout tokens.
    pub logouts: Vec<LogoutReceiver>,
}

/// Reads `providers`. The one of kind kong_jwt, if any, has already been read, and its
/// keys are the `credentials` of consumers.
pub fn read(
    node: &Node<'_>,
    services: Option<&Services>,
    kong_jwt: Option<&KongJwt>,
    credentials: Option<&Rc<KeySet>>,
) -> Option<Configured> {
    if is_one(node) {
        return node.reject_as(
            "the fields of a provider",
            "an object of providers by name, such as NAME: {issuer: ...}",
        );
    }
    let providers = node.entries(|name, node| {
        if kong_jwt::is_kind(node) {
            // Its problems are already recorded.
            return Some(OneProvider {
                provider: kong_jwt?.provider(),
                keys: KeySource::Local(Rc::clone(credentials?)),
                introspection: None,
                logout: None,
                binding: None,
            });
        }
        provider(name, node, services)
    })?;
    if providers.is_empty() {
        return node.reject("at least one provider");
    }
    let issuers: Vec<_> = providers.iter().filter_map(|one| one.provider.issuers()).collect();
    check_issuers(node, &issuers)?;
    let mut bindings = Vec::new();
    let mut configured = Configured {
        providers: Vec::new(),
        introspection: None,
        bindings: Bindings::default(),
        logouts: Vec::new(),
    };
    for OneProvider { provider, keys, introspection, logout, binding } in providers {
        let provider_id = ProviderId(configured.providers.len());
        bindings.extend(binding.map(|binding| (provider_id, binding)));
        configured.logouts.extend(logout.map(|(client_ids, revoke)| LogoutReceiver {
            provider: provider_id,
            client_ids,
            revoke,
        }));
        if let Some((endpoint, max_entries)) = introspection {
            let other = configured.introspection.replace((provider_id, endpoint, max_entries));
            if other.is_some() {
                return node.reject_as(
                    "introspection in two providers",
                    "introspection in one provider: a reference token does not say whose it is",
                );
            }
        }
        configured.providers.push((provider, keys));
    }
    configured.bindings = Bindings::new(bindings);
    Some(configured)
}

/// Whether it is a provider, instead of an object of them by name.
fn is_one(node: &Node<'_>) -> bool {
    node.value().get("issuer").is_some_and(Value::is_string)
}

/// Names in order, for references from rules, including those of invalid providers.
/// `None` if there are none.
pub fn names(node: &Node<'_>) -> Option<Vec<String>> {
    if is_one(node) {
        return None;
    }
    let names: Vec<_> = node.value().as_object()?.keys().cloned().collect();
    (!names.is_empty()).then_some(names)
}

/// Prepends the providers' names to subjects, if `identity_token` says so. The first
/// colon then ends the name, so names must not contain one.
pub fn name_subjects(
    whole: &Node<'_>,
    providers: &mut [(Provider, KeySource)],
    minter: &MinterParts,
) {
    for (provider, _) in providers.iter_mut().filter(|_| minter.names_subjects()) {
        // A header carries the subject, with this name.
        let is_usable = |char: char| char != ':' && !char.is_control();
        if !provider.name.chars().all(is_usable) {
            let found =
                format_args!("the name {:?} with subject {{provider}}:{{sub}}", provider.name);
            let node = whole.member("providers");
            let _: Option<()> = node.and_then(|node| {
                node.reject_as(found, "names without colons and control characters")
            });
        }
        provider.names_subjects = true;
    }
}

/// Sets the claims for clients and groups in all providers.
pub fn name_clients(providers: &mut [(Provider, KeySource)], claims: &Rc<ClientClaims>) {
    for (provider, _) in providers {
        provider.client_claims = Rc::clone(claims);
    }
}

/// A reference to a provider, by its name.
pub fn reference(node: &Node<'_>, names: Option<&[String]>) -> Option<ProviderId> {
    let name = node.text()?;
    let names = names?;
    let position = names.iter().position(|known| known == name);
    position.map(ProviderId).or_else(|| {
        let known: Vec<_> = names.iter().map(String::as_str).collect();
        node.reject_name(&known, format_args!("one of providers: {}", names.join(", ")))
    })
}

/// One configured provider.
struct OneProvider {
    provider: Provider,
    keys: KeySource,
    /// Its introspection endpoint.
    introspection: Option<introspection::Configured>,
    logout: Option<logout::Logout>,
    binding: Option<Binding>,
}

fn provider(name: &str, node: &Node<'_>, services: Option<&Services>) -> Option<OneProvider> {
    let mut fields = node.fields()?;
    let kind = fields.or("kind", (), |node| node.one_of(&[("jwt", ()), ("kong_jwt", ())]));
    let issuer = fields.required("issuer", "the iss of its tokens", issuer);
    let subject_claims = fields.or("subject_claims", vec![ClaimPath::dotted("sub")], |node| {
        node.full_list(access::claim_path)
    });
    let any_audience = fields.or("allow_any_audience", false, Node::flag);
    let audiences = fields.optional("audiences", |node| node.full_list(|item| item.text()));
    let algorithms = fields.or("algorithms", AlgorithmSet::asymmetric(), algorithms);
    // RFC 7519 section 4.1.4: "Implementers MAY provide for some small leeway, usually no
    // more than a few minutes, to account for clock skew." (R27)
    let clock_skew = seconds(&mut fields, "clock_skew_seconds", 60, MAX_CLOCK_SKEW_SECONDS);
    let require_expiration = fields.or("require_expiration", true, Node::flag);
    let max_lifetime =
        fields.condition("max_lifetime_seconds", |node| node.integer(1..=31_536_000));
    let token_types = fields.condition("token_types", token_types);
    let required_claims = fields.condition("required_claims", access::required_claims);
    let accept_unbound = fields.or("accept_unbound", false, Node::flag);
    let trusted = fields.or("trusted_without_scope", false, Node::flag);
    let introspection =
        fields.optional("introspection", |node| introspection::read(node, services));
    let logout = fields.optional("logout", logout::logout);
    let binding = fields.optional("binding", |node| binding::read(node, clock_skew));
    let keys = key_source(&mut fields, services, issuer.as_ref());
    let whole = fields.node().clone();
    let known = fields.finish();

    let keys = with_introspection(&whole, keys, !matches!(introspection, Some(None)));
    let audiences = accepted_audiences(&whole, audiences, any_audience);
    kind?;
    known?;
    let (keys, audiences, introspection) = (keys?, audiences?, introspection?);
    let (logout, binding) = (logout?, binding?);
    let algorithms = algorithms?;
    check_algorithms(&whole, &keys, algorithms)?;
    let (issuer, required_claims) = (issuer?, required_claims?.unwrap_or_default());
    check_tenants(&whole, &issuer, &required_claims)?;
    let provider = Provider {
        name: name.to_owned(),
        issuance: Issuance::Issuer(issuer),
        audiences,
        algorithms,
        clock_skew: Span::from_secs(clock_skew?),
        require_expiration: require_expiration?,
        require_not_before: false,
        max_lifetime: max_lifetime?.map(Span::from_secs),
        token_types: token_types?,
        required_claims,
        accept_unbound: accept_unbound?,
        trusted_without_scope: trusted?,
        subject_claims: subject_claims?,
        client_claims: Rc::default(),
        methods: binding.as_ref().map(Binding::methods).unwrap_or_default(),
        names_subjects: false,
    };
    Some(OneProvider { provider, keys, introspection, logout, binding })
}

/// The audiences of a provider's tokens; the inner `None` accepts any.
#[allow(clippy::option_option)] // as Fields::optional
fn accepted_audiences(
    whole: &Node<'_>,
    audiences: Option<Option<Vec<&str>>>,
    any_audience: Option<bool>,
) -> Option<Option<Vec<String>>> {
    match (audiences, any_audience) {
        (Some(Some(audiences)), Some(false)) => {
            Some(Some(audiences.into_iter().map(str::to_owned).collect()))
        }
        (Some(None), Some(true)) => Some(None),
        (Some(Some(_)), Some(true)) => {
            whole.reject_as("both audiences and allow_any_audience", "one of the two")
        }
        (Some(None), Some(false)) => {
            whole.reject_as("no audiences", "audiences, or allow_any_audience: true")
        }
        _ => None,
    }
}

/// Refuses algorithms that no key supports, and fetched shared secrets.
fn check_algorithms(whole: &Node<'_>, keys: &KeySource, algorithms: AlgorithmSet) -> Option<()> {
    if let KeySource::Local(keys) = keys
        && !keys.algorithms().is_empty()
        && keys.algorithms().intersection(algorithms).is_empty()
    {
        let found = format!("local_jwks with keys for {}", keys.algorithms());
        return whole.reject_as(found, format_args!("a key for one of algorithms: {algorithms}"));
    }
    let is_symmetric = algorithms.iter().any(Algorithm::is_symmetric);
    if is_symmetric && matches!(keys, KeySource::Remote(_)) {
        return whole.reject_as(
            "HS* algorithms with keys that are fetched",
            "HS* with local_jwks only: a shared secret cannot be published",
        );
    }
    Some(())
}

/// A provider's keys; without any, its tokens must be introspected.
#[allow(clippy::option_option)] // as Fields::optional
fn with_introspection(
    whole: &Node<'_>,
    keys: Option<Option<KeySource>>,
    has_introspection: bool,
) -> Option<KeySource> {
    match keys? {
        // Its tokens are opaque: a JWT that names it has an unknown key.
        None if has_introspection => Some(KeySource::Local(Rc::default())),
        None => {
            whole.reject_as("no source of keys", format_args!("{KEY_SOURCES}, or introspection"))
        }
        Some(keys) => Some(keys),
    }
}

/// The values that [`key_source`] accepts.
pub(super) const KEY_SOURCES: &str = "one of local_jwks, remote_jwks and discovery";

/// The keys of a provider or another signer; the inner `None` means none.
#[allow(clippy::option_option)] // as Fields::optional
pub(super) fn key_source(
    fields: &mut Fields<'_>,
    services: Option<&Services>,
    issuer: Option<&Issuer>,
) -> Option<Option<KeySource>> {
    let local = fields.optional("local_jwks", local_jwks);
    let remote = fields.optional("remote_jwks", |node| remote_jwks(node, services));
    let discovery = fields.optional("discovery", |node| discovery(node, services, issuer));
    let remote = match (local?, remote?, discovery?) {
        (Some(keys), None, None) => return Some(Some(KeySource::Local(keys.into()))),
        (None, Some(endpoint), None) | (None, None, Some(endpoint)) => endpoint,
        (None, None, None) => return Some(None),
        _ => {
            let accepted = format_args!("{KEY_SOURCES}");
            return fields.node().reject_as("more than one source of keys", accepted);
        }
    };
    Some(Some(KeySource::Remote(Box::new(RemoteKeys::new(remote)))))
}

/// A single issuer, or a template for those of several tenants.
fn issuer(node: &Node<'_>) -> Option<Issuer> {
    let text = node.text()?;
    let accepted = "an issuer as it is in its tokens, without spaces around it, in which {claim} \
                    is the claim that names the tenant";
    let parsed = Some(text).filter(|text| text.trim() == *text).and_then(Issuer::parse);
    parsed.or_else(|| node.reject(accepted))
}

/// If the same keys sign for all tenants, the accepted ones must be configured: anybody
/// may become a tenant there.
fn check_tenants(node: &Node<'_>, issuer: &Issuer, required: &[ClaimRule]) -> Option<()> {
    let is_listed = |claim: &ClaimPath| {
        let lists =
            |rule: &ClaimRule| rule.path == *claim && matches!(rule.test, ClaimTest::AnyOf(_));
        required.iter().any(lists)
    };
    match issuer.claims().find(|claim| !is_listed(claim)) {
        Some(claim) => node.reject_as(
            format_args!("the issuer {:?} without required_claims.{claim}", issuer.text()),
            format_args!("required_claims with the accepted values of {claim}"),
        ),
        None => Some(()),
    }
}

/// Refuses issuers if a token's could match two providers.
fn check_issuers(node: &Node<'_>, issuers: &[&Issuer]) -> Option<()> {
    // Only a template may be another text than its own.
    let templates: Vec<_> = issuers.iter().filter(|issuer| issuer.is_template()).collect();
    let texts = || issuers.iter().map(|issuer| issuer.text());
    let mut known = HashSet::new();
    let repeated: HashSet<_> = texts().filter(|text| !known.insert(*text)).collect();
    // The first that is not alone is named, wherever its like is.
    for text in texts() {
        let others = templates.iter().filter(|template| template.text() != text);
        if repeated.contains(text) || others.into_iter().any(|template| template.may_be(text)) {
            return node.reject_as(
                format_args!("the issuer {text:?} in two providers"),
                "each issuer in one provider",
            );
        }
    }
    Some(())
}

/// `none` means without a type.
fn token_types(node: &Node<'_>) -> Option<Vec<Option<String>>> {
    node.full_list(|item| {
        let typ = item.text()?.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ).to_owned();
        match typ.as_str() {
            "none" => return Some(None),
            "at" => return item.reject("the whole type, at+jwt"),
            _ => {}
        }
        if IDENTITY_TYPES.contains(&typ.as_str()) {
            return item.reject("types of access tokens; this one is the gateway's own");
        }
        if EVENT_TYPES.contains(&typ.as_str()) {
            return item.reject("types of access tokens; this one tells of an event");
        }
        Some(Some(typ))
    })
}

/// In the place of a URL.
const ENDPOINT: &str =
    "an object such as {service: auth, path: /jwks.json}, with auth one of services";

fn remote_jwks(node: &Node<'_>, services: Option<&Services>) -> Option<JwksEndpoint> {
    let mut fields = node.fields_as(ENDPOINT)?;
    let service = services::reference(&mut fields, "service", services);
    let path = fields.required("path", "a path that starts with /", services::path);
    let [cache, max_stale, cooldown] = lifetimes(&mut fields);
    fields.finish()?;
    Some(JwksEndpoint {
        service: service?,
        location: JwksLocation::Path(path?),
        cache: cache?,
        max_stale: max_stale?,
        unknown_kid_cooldown: cooldown?,
    })
}

fn discovery(
    node: &Node<'_>,
    services: Option<&Services>,
    issuer: Option<&Issuer>,
) -> Option<JwksEndpoint> {
    let mut fields =
        node.fields_as("an object such as {service: auth}, with auth one of services")?;
    let service = services::reference(&mut fields, "service", services);
    let usual = "/.well-known/openid-configuration".to_owned();
    let path = fields.or("path", usual, services::path);
    // An issuer may keep its keys on another host, which is another service.
    let jwks_service = fields.optional("jwks_service", |node| services::named(node, services));
    let [cache, max_stale, cooldown] = lifetimes(&mut fields);
    fields.finish()?;
    let (service, issuer) = (service?, issuer?.clone());
    Some(JwksEndpoint {
        service: jwks_service?.unwrap_or_else(|| Rc::clone(&service)),
        location: JwksLocation::Discovered { service, path: path?, issuer },
        cache: cache?,
        max_stale: max_stale?,
        unknown_kid_cooldown: cooldown?,
    })
}

/// How long a set is current, how long it may be used after that, and the minimum time
/// between fetches for unknown key ids.
fn lifetimes(fields: &mut Fields<'_>) -> [Option<Span>; 3] {
    const YEAR: u32 = 31_536_000;
    let cache = fields.or("cache_seconds", 600, |node| node.integer(1..=86_400));
    let max_stale = seconds(fields, "max_stale_seconds", 86_400, YEAR);
    let cooldown = fields.or("unknown_kid_cooldown_seconds", 30, |node| node.integer(1..=3600));
    [cache, max_stale, cooldown].map(|seconds| seconds.map(Span::from_secs))
}

/// An inline JWKS. Unlike a fetched one it must not contain unusable keys: each was
/// configured on purpose.
fn local_jwks(node: &Node<'_>) -> Option<KeySet> {
    let mut fields = node.fields_as("an object such as {keys: [...]}, with a JWK for each key")?;
    let keys = fields.required("keys", "a list of JWKs", |node| {
        if node.value().as_array().is_some_and(Vec::is_empty) {
            return node
                .reject_as("an empty list of keys", "a list with at least one element, a JWK");
        }
        node.full_list(resolved_jwk)
    });
    let node = fields.node().clone();
    fields.finish()?;
    let document = Value::Object(json::object([("keys".to_owned(), Value::Array(keys?))]));
    match KeySet::from_jwks(&document, Origin::Local) {
        Ok((keys, skipped)) if skipped.is_empty() => Some(keys),
        Ok((_, skipped)) => {
            let reasons: Vec<_> = skipped.iter().map(ToString::to_string).collect();
            node.reject_as(reasons.join(", "), "usable keys (RFC 7517, RFC 7518 section 6)")
        }
        Err(error) => node.reject_as(error, "a JWKS with usable keys (RFC 7517 section 5)"),
    }
}

/// A JWK whose secret `k` may come from the environment.
fn resolved_jwk(node: &Node<'_>) -> Option<Value> {
    let Value::Object(members) = node.value() else {
        return node.reject_as(kind(node.value()), "a JWK, which is an object");
    };
    let mut members = json::present(members);
    if !members.contains_key("kty") {
        return node.reject_as(member_names(&members), "a JWK, which has a kty");
    }
    match members.get("k") {
        Some(Value::Object(env)) if is_env(env) => {
            let secret = node.member("k")?.secret()?;
            members.insert("k".to_owned(), Value::String(secret.expose().clone()));
        }
        Some(_) => node.member("k")?.is_secret(),
        None => {}
    }
    Some(Value::Object(members))
}
