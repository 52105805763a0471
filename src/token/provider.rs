//! The providers: what their tokens must be like, and which one a token is from.

use std::rc::Rc;

use serde_json::Value;

use crate::keys::AlgorithmSet;
use crate::time::Span;
use crate::token::{ClaimPath, ClaimRule, Issuer, Methods, Rejection, Untrusted};

/// Position of a provider in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(pub usize);

/// The checks for a provider's tokens: one of `providers` in the configuration, without
/// its keys.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// By what its tokens are known.
    pub issuance: Issuance,
    /// Accepted `aud`, any of them; `None` accepts any audience.
    pub audiences: Option<Vec<String>>,
    /// Accepted algorithms.
    pub algorithms: AlgorithmSet,
    /// How far clocks may differ.
    pub clock_skew: Span,
    /// Whether a token without `exp` is refused.
    pub require_expiration: bool,
    /// Whether a token without `nbf` is refused.
    pub require_not_before: bool,
    /// The longest `exp - iat` accepted; of credentials, `exp` less the time it
    /// is checked.
    pub max_lifetime: Option<Span>,
    /// Accepted `typ` in lower case, without `application/`; `None` stands for
    /// absent, `jwt` or `at+jwt`.
    pub token_types: Option<Vec<String>>,
    /// Claims that must be there, with accepted values.
    pub required_claims: Vec<ClaimRule>,
    /// Whether a token bound to a key of the client (`cnf`) is accepted without
    /// proof of that key.
    pub accept_unbound: bool,
    /// Whether a token without any scope is good for a transaction token.
    pub trusted_without_scope: bool,
    /// Claims of which the first that is there is the subject.
    pub subject_claims: Vec<ClaimPath>,
    /// Claims of which the first that is there names the client, and those that
    /// hold groups: `client_id_claims` and `groups_claims` of `consumers`.
    pub client_claims: Rc<ClientClaims>,
    /// The keys that its clients may show, see [`binding`](crate::binding).
    pub methods: Methods,
    /// Whether its name is put before `sub`, which other providers may use too.
    pub names_subjects: bool,
}

/// Where tokens say which client has them, and in which groups its owner is.
#[derive(Debug)]
pub struct ClientClaims {
    /// The first that is there names the client.
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

/// By what a provider's tokens are known, and so what they prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuance {
    /// By this `iss`: an authorization server, whose word about its users counts.
    Issuer(Issuer),
    /// By the credential that a claim names, as Kong's jwt plugin knows them:
    /// one key of one algorithm, of one consumer.
    Credentials(CredentialClaim),
}

/// Where a token names its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialClaim {
    /// The claim or, where the claims have none, the header parameter.
    pub name: String,
    /// Whether the other claims count. A credential proves only its owner, who can write
    /// any `sub` and `scope`.
    pub trust_claims: bool,
}

/// The providers, as a token finds its own.
#[derive(Debug, Default)]
pub struct Providers {
    providers: Vec<Rc<Provider>>,
    /// The names of those whose keys follow the providers': transmitters of events.
    transmitters: Vec<String>,
}

impl Providers {
    /// These providers, identified by position.
    pub fn new(providers: Vec<Provider>, transmitters: Vec<String>) -> Self {
        Self { providers: providers.into_iter().map(Rc::new).collect(), transmitters }
    }

    /// The transmitter of events at this position: no provider, but it has keys.
    pub const fn transmitter(&self, position: usize) -> ProviderId {
        ProviderId(self.providers.len().saturating_add(position))
    }

    /// The provider that `token` says it is from: the one of its `iss`, else the
    /// one that knows its tokens by credentials.
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
            (None, Some(Value::String(_))) => {
                Err(Rejection::unknown_issuer(token.unverified_claims()))
            }
            (None, Some(_)) => Err(Rejection::ClaimMalformed("iss")),
        }
    }

    /// The provider of this name.
    pub fn id_of(&self, name: &str) -> Option<ProviderId> {
        self.providers.iter().position(|provider| provider.name == name).map(ProviderId)
    }

    /// A provider by its position.
    pub fn get(&self, id: ProviderId) -> Option<&Rc<Provider>> {
        self.providers.get(id.0)
    }

    /// The name of a provider, or of a transmitter, for logs.
    pub fn name(&self, id: ProviderId) -> &str {
        let transmitter = || {
            let position = id.0.checked_sub(self.providers.len())?;
            self.transmitters.get(position).map(String::as_str)
        };
        let provider = self.get(id).map(|provider| provider.name.as_str());
        provider.or_else(transmitter).unwrap_or_default()
    }
}
