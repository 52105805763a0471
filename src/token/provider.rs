//! The providers: the requirements for their tokens, and the choice of a token's
//! provider.

use std::rc::Rc;

use crate::json::Json;
use crate::keys::AlgorithmSet;
use crate::time::Span;
use crate::token::{ClaimPath, ClaimRule, Issuer, Methods, Rejection, Untrusted};

/// Position of a provider in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(pub usize);

impl ProviderId {
    /// In less memory; no configuration has so many providers that it changes.
    pub(super) fn small(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

/// The largest clock difference that can be tolerated: "no more than a few minutes"
/// (RFC 7519 section 4.1.4).
pub const MAX_CLOCK_SKEW_SECONDS: u32 = 300;

/// The checks for a provider's tokens: one of `providers` in the configuration, without
/// its keys.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// How its tokens are recognized.
    pub issuance: Issuance,
    /// Accepted `aud`, any of them; `None` accepts any audience.
    pub audiences: Option<Vec<String>>,
    /// Accepted algorithms.
    pub algorithms: AlgorithmSet,
    /// The tolerated clock difference, at most [`MAX_CLOCK_SKEW_SECONDS`].
    pub clock_skew: Span,
    /// Whether a token without `exp` is refused.
    pub require_expiration: bool,
    /// Whether a token without `nbf` is refused.
    pub require_not_before: bool,
    /// The maximum of `exp - iat`; for credentials, of the remaining lifetime.
    pub max_lifetime: Option<Span>,
    /// Accepted `typ` in lower case, without `application/`, in it `None` for a missing one;
    /// without a list, a missing one, `jwt` or `at+jwt`.
    pub token_types: Option<Vec<Option<String>>>,
    /// Claims that must be present, with accepted values.
    pub required_claims: Vec<ClaimRule>,
    /// Whether a token bound to a key of the client (`cnf`) is accepted without
    /// proof of that key.
    pub accept_unbound: bool,
    /// Whether a token without any scope is good for a transaction token.
    pub trusted_without_scope: bool,
    /// Claims for the subject; the first one present counts.
    pub subject_claims: Vec<ClaimPath>,
    /// Claims for the client and for groups: `client_id_claims` and `groups_claims` of
    /// `consumers`.
    pub client_claims: Rc<ClientClaims>,
    /// The keys that its tokens may be bound to, see [`binding`](crate::binding).
    pub methods: Methods,
    /// Whether its name is prepended to `sub`, which other providers may use too.
    pub names_subjects: bool,
}

impl Provider {
    /// Whether the tenant that `value_of` tells the claims of is accepted, by
    /// `required_claims`: anybody may become a tenant of a multi-tenant issuer.
    pub fn accepts_tenant<'a>(&self, value_of: impl Fn(&ClaimPath) -> Option<Json<'a>>) -> bool {
        self.issuers().into_iter().flat_map(Issuer::claims).all(|path| {
            let mut rules = self.required_claims.iter().filter(|rule| rule.path == *path);
            rules.all(|rule| rule.accepts(value_of(path)))
        })
    }

    /// Whether this is the issuer of a tenant, and one that is accepted.
    pub fn is_tenant(&self, issuer: &str) -> bool {
        let claims = self.issuers().and_then(|own| own.tenant(issuer));
        claims.is_some_and(|claims| {
            self.accepts_tenant(|path| {
                let (_, value) = claims.iter().find(|(claim, _)| *claim == path)?;
                Some(Json::Text(value))
            })
        })
    }
}

/// The claims that name the client and the groups of the token's holder.
#[derive(Debug)]
pub struct ClientClaims {
    /// The first one present names the client.
    pub client_id: Vec<ClaimPath>,
    /// Each of them may hold groups.
    pub groups: Vec<ClaimPath>,
}

impl Default for ClientClaims {
    fn default() -> Self {
        let client_id = ["azp", "client_id"].map(ClaimPath::dotted).to_vec();
        Self { client_id, groups: Vec::new() }
    }
}

/// How a provider's tokens are recognized, and therefore what they prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuance {
    /// By `iss`: an authorization server, which is trusted about its users.
    Issuer(Issuer),
    /// By the credential that a claim names, as in Kong's jwt plugin: one key of one
    /// algorithm, of one consumer.
    Credentials(CredentialClaim),
}

/// The location of the credential's name in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialClaim {
    /// The claim or, if it is missing, the header parameter.
    pub name: String,
    /// Whether the other claims are trusted. A credential proves only its owner, who can
    /// write any `sub` and `scope`.
    pub trust_claims: bool,
}

/// All providers, and the choice of a token's provider.
#[derive(Debug, Default)]
pub struct Providers {
    providers: Vec<Rc<Provider>>,
}

impl Providers {
    /// These providers, identified by position.
    pub fn new(providers: Vec<Provider>) -> Self {
        Self { providers: providers.into_iter().map(Rc::new).collect() }
    }

    /// The alleged provider of `token`: the one of its `iss`, else the one whose tokens
    /// are recognized by credentials.
    // RFC 7519 section 7.3 (R33)
    pub fn issuer_of(
        &self,
        token: &Untrusted<'_>,
    ) -> Result<(ProviderId, Rc<Provider>), Rejection> {
        let find = |fits: &dyn Fn(&Provider) -> bool| {
            self.providers.iter().enumerate().find(|(_, provider)| fits(provider))
        };
        let found = find(&|provider| provider.claims_to_issue(token))
            .or_else(|| find(&|provider| provider.issuer().is_none()));
        match (found, token.unverified_claims().get("iss")) {
            (Some((position, provider)), _) => Ok((ProviderId(position), Rc::clone(provider))),
            (None, None) => Err(Rejection::ClaimMissing("iss".into())),
            (None, Some(Json::Text(_))) => {
                Err(Rejection::unknown_issuer(token.unverified_claims()))
            }
            (None, Some(_)) => Err(Rejection::ClaimMalformed("iss")),
        }
    }

    /// All of them, by position.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Provider>> {
        self.providers.iter()
    }

    /// The provider of this name.
    pub fn id_of(&self, name: &str) -> Option<ProviderId> {
        self.providers.iter().position(|provider| provider.name == name).map(ProviderId)
    }

    /// A provider by its position.
    pub fn get(&self, id: ProviderId) -> Option<&Rc<Provider>> {
        self.providers.get(id.0)
    }

    /// The name of a provider, for logs.
    pub fn name(&self, id: ProviderId) -> &str {
        self.get(id).map(|provider| provider.name.as_str()).unwrap_or_default()
    }
}
