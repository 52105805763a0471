//! The identity token: a signed statement to the services behind the gateway.
//!
//! Owns the claims, the signing keys and their schedule, the published JWKS and the
//! header fields with the same contents in plain text. It contains nothing of the public
//! token but claims.

mod authenticated;
mod claims;
mod error;
mod fields;
mod identities;
mod keys;
mod published;
mod replaced;
mod transaction;

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

pub use self::authenticated::Authenticated;
use self::claims::{ClaimSet, Payload, WriteMembers};
pub use self::error::MintError;
use self::fields::ClaimSources;
pub use self::fields::{ClaimHeader, FieldFormat, IdentityHeaders, USERNAME_CLAIMS};
pub use self::identities::Identities;
pub use self::keys::{IdentityKey, IdentityKeys, ScheduleGap};
pub use self::published::{Published, PublishedPaths, origin};
pub use self::replaced::Replaced;
pub use self::transaction::{Profile, RequestContext};
use self::transaction::{TXN_TOKEN_TYPE, TransactionClaims};
use crate::http::{HeaderName, KeptFields, SetFields};
use crate::json::{self, Document, Json, Members};
use crate::keys::Crypto;
use crate::network::Network;
use crate::overrides::{TemplateKey, TokenDefaults};
use crate::time::{Period, Span, UnixTime};
use crate::token::{ClaimPath, ProviderId, Scopes};
use crate::user_info::{UserClaimNames, UserInfo};

/// Claims that only the gateway may set; configuration and user info cannot.
pub const RESERVED_CLAIMS: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "groups",
    "consumer",
    "enrichment",
    "cnf",
    "act",
    "origin",
    "txn",
    "tctx",
];

/// True if only the gateway sets the claim `name`, or one that it could be mistaken
/// for: `consumer.id` also names the member `id` of `consumer`.
// RFC 7519 section 4.1 (R77)
pub fn is_reserved(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    RESERVED_CLAIMS.iter().any(|reserved| *reserved == name || *reserved == first)
}

/// An identity token is not reused in its last seconds: it must reach the last service of
/// a call chain in time.
const REUSE_MARGIN: Span = Span::from_secs(30);

/// The user info available when an identity token is minted.
#[derive(Clone, Debug)]
pub enum Enrichment {
    /// No user-info service is configured.
    NotConfigured,
    /// The service's answer, and its expiry.
    Known(Rc<UserInfo>, UnixTime),
    /// The service failed, and the configuration allows the request without it.
    None,
}

impl Enrichment {
    /// What is known of the user.
    pub const fn info(&self) -> Option<&Rc<UserInfo>> {
        match self {
            Self::Known(info, _) => Some(info),
            Self::NotConfigured | Self::None => None,
        }
    }

    /// The identity claims from user info.
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        self.info().map(|info| info.claims())
    }
}

/// Makes identity tokens: `identity_token` in the configuration.
#[derive(Debug)]
pub struct Minter {
    /// The settings, unless a rule or resource overrides them.
    pub defaults: TokenDefaults,
    /// Every header that may carry a token upstream.
    pub carriers: Vec<HeaderName>,
    /// `iss`.
    pub issuer: String,
    /// Claims to copy from the public token, under the same names.
    pub copy: Vec<ClaimPath>,
    /// Claims with fixed values.
    pub set: Map<String, Value>,
    /// Claims that come from user info only.
    pub user_claims: UserClaimNames,
    /// The names of the providers, by position; empty if there is only one provider.
    pub origins: Vec<String>,
    /// Providers whose tokens without a scope get the scopes of a transaction's purpose.
    pub trusted_without_scope: Vec<ProviderId>,
    /// `aud` for all services together.
    pub audiences: Vec<String>,
    /// The keys to sign with.
    pub keys: IdentityKeys,
    /// The plain-text headers beside the token.
    pub headers: IdentityHeaders,
    /// The token's profile.
    pub profile: Profile,
    /// The networks from which transaction tokens are accepted for replacement.
    pub replace: Vec<Network>,
    /// The maximum size of its headers.
    pub max_bytes: usize,
}

/// The parameters of one identity.
#[derive(Debug)]
pub struct MintOrder<'a> {
    /// The template for the service.
    pub template: &'a TemplateKey,
    /// The claims of the token that it is minted for.
    pub claims: &'a Document,
    /// The scopes from [`Minter::scopes`].
    pub scopes: Cow<'a, Scopes>,
    /// The token that it is minted for.
    pub source: MintSource<'a>,
}

/// The token for which an identity is minted.
#[derive(Debug)]
pub enum MintSource<'a> {
    /// A public token.
    Public {
        /// The request context, for transaction tokens only.
        context: RequestContext,
        /// Must be unique: it becomes the `jti`, or the `txn` of a transaction token.
        nonce: [u8; 32],
        /// Whether its claims are from its issuer's introspection response.
        is_introspected: bool,
    },
    /// The transaction token that it replaces.
    Replaced(&'a Replaced),
}

impl MintSource<'_> {
    /// `rctx`.
    fn context(self) -> Value {
        match self {
            Self::Public { context, .. } => context.claim(),
            Self::Replaced(replaced) => replaced.context(),
        }
    }
}

/// Claims besides `scope` from which verifiers read scopes.
const OTHER_SCOPE_CLAIMS: [&str; 2] = ["scp", "scopes"];

/// A minted identity: the header fields that carry it.
///
/// Only [`Minter::mint`] makes one, and only for an [`Authenticated`] request.
#[derive(Debug)]
pub struct Identity {
    /// What it is for; `None`: for any service without overrides.
    template: Option<Box<TemplateKey>>,
    fields: KeptFields,
    /// When it may be reused for the same public token.
    reusable: Period,
    user_info: Option<Rc<UserInfo>>,
    // In memory of its own: only one that is never cached has it.
    txn: Option<Box<Rc<str>>>,
}

impl Identity {
    /// The transaction id, if it is a transaction token.
    pub fn txn(&self) -> Option<Rc<str>> {
        self.txn.as_deref().cloned()
    }

    /// Whether it was minted for this template.
    fn is_for(&self, template: &TemplateKey) -> bool {
        match &self.template {
            Some(own) => **own == *template,
            None => *template == TemplateKey::default(),
        }
    }

    /// The header fields to set upstream.
    pub fn fields(&self) -> SetFields {
        self.fields.open()
    }

    /// Whether it may be reused `now`, for the same public token.
    pub fn is_reusable(&self, now: UnixTime) -> bool {
        self.reusable.contains(now)
    }

    /// Its approximate memory in bytes.
    pub fn bytes(&self) -> usize {
        // The same data may be shared by several identities; it is counted for each, so
        // the sum is never too small.
        let info = self.user_info.as_ref().map_or(0, |info| info.bytes());
        self.fields.bytes().saturating_add(info).saturating_add(Self::BLOCKS)
    }

    /// Its own memory, and what the allocator adds to its two blocks.
    const BLOCKS: usize = size_of::<Self>() + 6 * size_of::<usize>();

    /// Its user info, if any.
    pub fn user_info(&self) -> Option<&UserInfo> {
        self.user_info.as_deref()
    }
}

impl Minter {
    /// The scopes for a service: those of the public token that the template allows.
    /// `None` if none is left where one is required.
    ///
    /// A transaction token always has a scope, which expresses its purpose. A missing
    /// scope does not mean an unlimited one: a public token without any is accepted only
    /// from trusted providers and consumers (draft-ietf-oauth-transaction-tokens,
    /// "Txn-Token Request").
    pub fn scopes<'a>(
        &'a self,
        principal: &'a Authenticated,
        key: &'a TemplateKey,
    ) -> Option<Cow<'a, Scopes>> {
        let (held, bound) = (principal.token().scopes(), key.scopes(&self.defaults));
        let is_trusted = || {
            let consumer = principal.consumer().is_some_and(|it| it.trusted_without_scope);
            consumer || self.trusted_without_scope.contains(&principal.token().provider())
        };
        let scopes = match (bound, self.profile.is_transaction()) {
            (Some(purpose), true) if held.is_empty() && is_trusted() => {
                Cow::Owned(purpose.iter().map(String::as_str).collect())
            }
            (Some(bound), _) => {
                let is_allowed = |scope: &&str| bound.iter().any(|own| own == scope);
                Cow::Owned(held.iter().filter(is_allowed).collect())
            }
            (None, _) => Cow::Borrowed(held),
        };
        (!scopes.is_empty() || !self.profile.is_transaction()).then_some(scopes)
    }

    /// Mints an identity for `principal`.
    // draft-ietf-oauth-transaction-tokens (R32)
    pub fn mint(
        &self,
        crypto: &Crypto,
        principal: &Authenticated,
        enrichment: Enrichment,
        order: MintOrder<'_>,
        now: UnixTime,
    ) -> Result<Identity, MintError> {
        let MintOrder { template, claims: document, scopes, source } = order;
        if let Some(exp) = principal.token().ended(now) {
            return Err(MintError::Ended(exp));
        }
        let key = self.keys.signing(now).ok_or(MintError::NoKey)?;
        let expires = now.plus(template.ttl(&self.defaults));
        let expires = principal.token().expires().map_or(expires, |exp| exp.min(expires));
        let public = document.members();
        let mut claims = match &source {
            MintSource::Public { nonce, is_introspected, .. } => {
                let mut claims = self.claims(principal, public, template, &scopes, &enrichment);
                claims.set("jti", jti(nonce));
                if self.profile.is_transaction() {
                    let token = principal.token();
                    transaction::add_revoked_by(&mut claims, token, document, *is_introspected);
                }
                claims
            }
            MintSource::Replaced(replaced) => replaced.identity(template, &scopes),
        };
        // Another spelling of it would contain more than the reduced scope.
        if template.scopes(&self.defaults).is_some() {
            OTHER_SCOPE_CLAIMS.into_iter().for_each(|name| claims.remove(name));
        }
        // Checked before signing, which is the expensive part; base64url adds a third.
        let texts = claims.text_bytes();
        self.check_size(texts.saturating_add(texts / 3))?;
        let token = self.sign(crypto, key, Payload { expires, now, claims: &claims }, source)?;
        let sources = ClaimSources {
            own: &claims,
            public,
            by_user: enrichment.claims(),
            names: &self.user_claims,
            template,
        };
        let header = template.header(&self.defaults);
        let fields = self.headers.render(header, token, principal, sources)?;
        self.check_size(fields.bytes())?;
        let fields = self.headers.kept(fields);

        let reusable = Period::new(now, self.reusable_until(expires, &enrichment, now));
        let txn = claims.get("jti").filter(|_| self.profile.is_transaction());
        let txn = txn.and_then(Json::as_str).map(|txn| Box::new(txn.into()));
        let user_info = enrichment.info().cloned();
        let template = (*template != TemplateKey::default()).then(|| Box::new(template.clone()));
        Ok(Identity { template, fields, reusable, user_info, txn })
    }

    fn sign(
        &self,
        crypto: &Crypto,
        key: &IdentityKey,
        payload: Payload<'_, ClaimSet<'_>>,
        source: MintSource<'_>,
    ) -> Result<String, MintError> {
        match &self.profile {
            Profile::Identity => sign(crypto, key, "identity+jwt", &payload),
            Profile::Transaction { requesting_workload } => {
                let Payload { expires, now, claims: identity } = payload;
                let context = source.context();
                let claims = TransactionClaims { identity, requesting_workload, context };
                sign(crypto, key, TXN_TOKEN_TYPE, &Payload { expires, now, claims: &claims })
            }
        }
    }

    /// Until when an identity that `expires` may be reused; `now` if it must not be.
    fn reusable_until(
        &self,
        expires: UnixTime,
        enrichment: &Enrichment,
        now: UnixTime,
    ) -> UnixTime {
        let until = expires.minus(REUSE_MARGIN).min(self.keys.next_change(now));
        match (&self.profile, enrichment) {
            (Profile::Transaction { .. }, _) => now,
            (Profile::Identity, Enrichment::NotConfigured) => until,
            (Profile::Identity, Enrichment::Known(_, fresh_until)) => until.min(*fresh_until),
            // The next request queries the service again.
            (Profile::Identity, Enrichment::None) => now,
        }
    }

    /// Services refuse a request whose headers are too large, with a response of their
    /// own and without a line in this log.
    const fn check_size(&self, bytes: usize) -> Result<(), MintError> {
        let limit = self.max_bytes;
        if bytes > limit { Err(MintError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// The claims beside `exp`, `nbf` and `iat`. The gateway's own claims are set last, so
    /// nothing configured or fetched can replace them.
    fn claims<'a>(
        &'a self,
        principal: &'a Authenticated,
        public: Members<'a>,
        template: &'a TemplateKey,
        scopes: &'a Scopes,
        enrichment: &'a Enrichment,
    ) -> ClaimSet<'a> {
        let mut claims = ClaimSet::new();
        let copied = self.copy.iter().filter(|path| !self.user_claims.decide(path));
        let copied = copied.filter_map(|path| Some((path.name(), path.find(public)?)));
        let others = self.set.iter().chain(enrichment.claims().into_iter().flatten());
        let others = others.map(|(name, value)| (Cow::from(name), Json::from(value)));
        for (name, value) in copied.chain(others).filter(|(name, _)| template.keeps(name)) {
            claims.set(name, value);
        }
        if matches!(enrichment, Enrichment::None) {
            claims.set("enrichment", "none");
        }
        claims.set("iss", self.issuer.as_str());
        match template.audiences(&self.defaults) {
            [only] => claims.set("aud", only.as_str()),
            several => claims.set("aud", json!(several)),
        }
        claims.set("sub", principal.token().unique_subject());
        if let Some(origin) = self.origin(principal, public) {
            claims.set("origin", origin);
        }
        // For services that need to know the client's proven key.
        if let Some(confirmation) = principal.token().confirmation().as_claim() {
            claims.set("cnf", confirmation);
        }
        if let Some(client) = principal.token().client() {
            claims.set("client_id", client);
        }
        // A copied `scope` in another form would be a second spelling of it.
        claims.remove("scope");
        if !scopes.is_empty() {
            claims.set("scope", scopes.as_str());
        }
        // An actor is never left out: the user alone may be allowed more.
        if let Some(actor) = public.get("act") {
            claims.set("act", actor);
        }
        if let Some(consumer) = principal.consumer() {
            claims.set("consumer", consumer.claim());
        }
        let groups = principal.groups();
        if !groups.is_empty() {
            claims.set("groups", json!(groups));
        }
        claims
    }

    /// The issuer and provider of the user, where there are several providers.
    fn origin(&self, principal: &Authenticated, public: Members<'_>) -> Option<Value> {
        let provider = self.origins.get(principal.token().provider().0)?;
        // The key of a credential is not an issuer.
        let issuer = public.get("iss").filter(|_| principal.token().credential().is_none());
        let members =
            [("iss", issuer.map(Json::to_value)), ("provider", Some(provider.as_str().into()))];
        let member = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
        Some(Value::Object(json::object(members.into_iter().filter_map(member))))
    }
}

fn sign<T: WriteMembers>(
    crypto: &Crypto,
    key: &IdentityKey,
    typ: &'static str,
    payload: &Payload<'_, T>,
) -> Result<String, MintError> {
    key.key.mint(crypto, &key.id, typ, payload).map_err(MintError::Sign)
}

/// 128 bits, base64url. A hash, so that a `jti` reveals nothing about the nonce.
fn jti(nonce: &[u8]) -> String {
    use base64::Engine as _;
    let digest = Sha256::digest(nonce);
    let short = digest.get(..16).unwrap_or_default();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(short)
}
