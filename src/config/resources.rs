//! `resources`: metadata for clients without a token.

use std::collections::HashSet;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::overrides::{TokenBounds, overrides};
use super::providers;
use super::reader::Node;
use super::values::scope;
use crate::bearer::TokenSources;
use crate::binding::{Binding, Bindings, Dpop};
use crate::http::Document;
use crate::overrides::Overrides;
use crate::refresh::KeySource;
use crate::resource::{Location, Resource, Resources};
use crate::rules::{PathReaders, Requirements, Rule, Rules};
use crate::token::{Provider, ProviderId};

/// The values that [`resource`] accepts.
const IDENTIFIER: &str = "an https URL (http for loopback hosts) without a query, a fragment, dot \
                          segments, //, ; and encoded slashes";

/// One of `resources`, until the rest of the configuration is known.
pub struct Configured {
    location: Location,
    rule: Rule,
    providers: Option<Vec<ProviderId>>,
    authorization_servers: Option<Vec<String>>,
    audiences: Vec<String>,
    scopes: Vec<String>,
    identity: Option<Rc<Overrides>>,
    /// Text members of the document.
    texts: Vec<(&'static str, String)>,
}

/// Reads `resources`.
pub fn read(
    node: &Node<'_>,
    provider_names: Option<&[String]>,
    bounds: Option<&TokenBounds>,
) -> Option<Vec<Configured>> {
    let resources = node.list(|item| resource(item, provider_names, bounds))?;
    let mut known = HashSet::new();
    for own in resources.iter().map(|it| (&it.location.host, &it.location.path)) {
        if !known.insert(own) {
            let found = format_args!("two resources at {}{}", own.0, own.1);
            return node.reject_as(found, "each path of a host once, whatever its slash or port");
        }
    }
    Some(resources)
}

fn resource(
    node: &Node<'_>,
    provider_names: Option<&[String]>,
    bounds: Option<&TokenBounds>,
) -> Option<Configured> {
    let mut fields = node.fields()?;
    let location = fields.required("resource", IDENTIFIER, |node| {
        let location = node.value().as_str().and_then(Location::parse);
        let coverage = location.as_ref().and_then(Resources::coverage);
        location.zip(coverage).or_else(|| node.reject(IDENTIFIER))
    });
    let name = fields.optional("name", |node| node.text().map(str::to_owned));
    let documentation = fields.optional("documentation", url);
    let policy = fields.optional("policy", url);
    let terms = fields.optional("terms", url);
    let providers = fields.optional("providers", |node| {
        node.full_list(|item| providers::reference(item, provider_names))
    });
    let authorization_servers =
        fields.optional("authorization_servers", |node| node.full_list(url));
    let scopes = fields.or("scopes", Vec::new(), |node| node.list(scope));
    let audiences =
        fields.optional("audiences", |node| node.full_list(|item| item.text().map(str::to_owned)));
    let identity = fields.optional("identity", |node| overrides(node, bounds));
    let node = fields.node().clone();
    fields.finish()?;
    let (location, rule) = location?;
    let (providers, authorization_servers) = (providers?, authorization_servers?);
    const ONE: &str = "providers, or authorization_servers instead";
    let are_several = provider_names.is_some_and(|names| names.len() > 1);
    match (&providers, &authorization_servers) {
        (Some(_), Some(_)) => return node.reject_as("both of them", ONE),
        (None, None) if are_several => {
            return node.reject_as("neither, with several providers", ONE);
        }
        _ => {}
    }
    let named = [
        ("resource_name", name?),
        ("resource_documentation", documentation?),
        ("resource_policy_uri", policy?),
        ("resource_tos_uri", terms?),
    ];
    // Clients get the identifier back in `aud` as they wrote it.
    let own = || [location.identifier(false), location.identifier(true)].to_vec();
    Some(Configured {
        audiences: audiences?.unwrap_or_else(own),
        location,
        rule,
        providers,
        authorization_servers,
        scopes: scopes?,
        identity: identity?,
        texts: named.into_iter().filter_map(|(name, text)| Some((name, text?))).collect(),
    })
}

/// The URL of a page or of an authorization server.
fn url(node: &Node<'_>) -> Option<String> {
    let text = node.plain_text()?;
    let is_url = ["https://", "http://"].into_iter().any(|scheme| {
        let rest = text.strip_prefix(scheme);
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    });
    if is_url && !text.contains(' ') { Some(text.to_owned()) } else { node.reject("a URL") }
}

impl Configured {
    /// Accepted values of `aud`.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The identity for the services behind.
    pub const fn identity(&self) -> Option<&Rc<Overrides>> {
        self.identity.as_ref()
    }

    /// The authorization servers for clients; records those that clients could not use.
    fn servers(
        &self,
        whole: &Node<'_>,
        providers: &[(Provider, KeySource)],
    ) -> Option<(Vec<ProviderId>, Vec<String>)> {
        if let Some(servers) = &self.authorization_servers {
            return Some((Vec::new(), servers.clone()));
        }
        let all = || (0..providers.len()).map(ProviderId).collect();
        let ids: Vec<_> = self.providers.clone().unwrap_or_else(all);
        let issuer = |id: &ProviderId| {
            let (provider, _) = providers.get(id.0)?;
            let is_url = |issuer: &&str| {
                (issuer.starts_with("https://") || issuer.starts_with("http://"))
                    && !issuer.contains(['{', '}'])
            };
            provider.issuer().filter(is_url).map(str::to_owned).or_else(|| {
                whole.member("resources")?.reject_as(
                    format_args!("provider {:?}, whose issuer is no URL", provider.name),
                    "authorization_servers: the URLs that clients are sent to",
                )
            })
        };
        let issuers: Vec<_> = ids.iter().map(issuer).collect();
        Some((ids, issuers.into_iter().collect::<Option<_>>()?))
    }

    /// The document for one spelling of the identifier (RFC 9728 sections 2 and 3.2:
    /// lists that are empty are left out).
    fn document(&self, identifier: &str, others: &FromOtherSections<'_>) -> Document {
        let FromOtherSections { servers, sources, bound } = others;
        let mut methods = Vec::new();
        if sources.headers.iter().any(|source| source.name.as_str() == "authorization") {
            methods.push("header");
        }
        if !sources.params.is_empty() && !sources.are_default_params {
            methods.push("query");
        }
        let mut members = Map::new();
        members.insert("resource".into(), identifier.into());
        let lists = [
            ("authorization_servers", json!(servers)),
            ("scopes_supported", json!(self.scopes)),
            ("bearer_methods_supported", json!(methods)),
        ];
        let is_full = |(_, list): &(&str, Value)| list.as_array().is_some_and(|it| !it.is_empty());
        let lists = lists.into_iter().filter(is_full);
        members.extend(lists.map(|(name, list)| (name.to_owned(), list)));
        let texts = self.texts.iter();
        members.extend(texts.map(|(name, text)| ((*name).to_owned(), text.as_str().into())));
        members.extend(bound.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Document::new("application/json", Value::Object(members).to_string())
    }
}

/// Members of a document that come from other sections.
struct FromOtherSections<'a> {
    servers: &'a [String],
    sources: &'a TokenSources,
    /// How tokens are bound to clients.
    bound: Vec<(&'static str, Value)>,
}

/// How tokens of these providers may be bound to their clients, and whether they must
/// (RFC 9728 section 2).
fn bound(bindings: &Bindings, providers: &[ProviderId]) -> Vec<(&'static str, Value)> {
    let of = || providers.iter().map(|provider| bindings.of(*provider));
    let is = |test: fn(&Binding) -> bool| move |it: Option<&Binding>| it.is_some_and(test);
    let mut members = Vec::new();
    if of().any(is(|it| it.certificate.is_some())) {
        members.push(("tls_client_certificate_bound_access_tokens", json!(true)));
    }
    if of().any(is(|it| it.dpop.is_some())) {
        let algorithms: Vec<_> = Dpop::algorithm_names().split(' ').map(Value::from).collect();
        members.push(("dpop_signing_alg_values_supported", algorithms.into()));
    }
    if of().all(is(|it| it.required && it.certificate.is_none())) {
        members.push(("dpop_bound_access_tokens_required", json!(true)));
    }
    members
}

/// Combines the resources with the rest of the configuration.
pub fn finish(
    whole: &Node<'_>,
    configured: Vec<Configured>,
    providers: &[(Provider, KeySource)],
    bindings: &Bindings,
    sources: &TokenSources,
    paths: PathReaders,
) -> Option<Resources> {
    let mut configured = configured;
    // The longest path takes precedence.
    configured.sort_by_key(|it| std::cmp::Reverse(it.location.path.len()));
    let (mut rules, mut resources, mut is_whole) = (Vec::new(), Vec::new(), true);
    for it in configured {
        let Some((ids, servers)) = it.servers(whole, providers) else {
            is_whole = false;
            continue;
        };
        let documents = it.location.identifiers();
        let all: Vec<_> = (0..providers.len()).map(ProviderId).collect();
        let bound = bound(bindings, if ids.is_empty() { &all } else { &ids });
        let others = FromOtherSections { servers: &servers, sources, bound };
        let documents = documents.map(|identifier| it.document(&identifier, &others));
        let Configured { location, rule, audiences, scopes, identity, .. } = it;
        rules.push(rule);
        let providers = ids;
        let name = location.identifier(location.ends_in_slash);
        let resource =
            Resource { name, location, providers, audiences, scopes, identity, documents };
        resources.push(resource);
    }
    let rules = Rules::new(rules, Requirements::default(), paths);
    is_whole.then(|| Resources::new(rules, resources))
}
