//! From a token nobody checked to one that was: signature, issuer, audience,
//! times and what the provider's configuration asks for.

use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::keys::{Algorithm, AlgorithmSet, Crypto, KeySet};
use crate::time::{Span, UnixTime};
use crate::token::claims::numeric_date;
use crate::token::{ClaimRule, Claims, TokenError, Untrusted};

/// Position of a provider in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(pub usize);

/// What a provider's tokens must be like: one of `providers` in the
/// configuration, without its keys.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// `iss`, compared byte for byte (RFC 8725 section 3.8).
    pub issuer: String,
    /// Accepted `aud`, any of them; `None` accepts any audience.
    pub audiences: Option<Vec<String>>,
    /// Accepted algorithms.
    pub algorithms: AlgorithmSet,
    /// How far clocks may differ.
    pub clock_skew: Span,
    /// Whether a token without `exp` is refused.
    pub require_expiration: bool,
    /// The longest `exp - iat` accepted.
    pub max_lifetime: Option<Span>,
    /// Accepted `typ` in lower case, without `application/`; `None` stands for
    /// absent, `jwt` or `at+jwt`.
    pub token_types: Option<Vec<String>>,
    /// Claims that must be there, with accepted values.
    pub required_claims: Vec<ClaimRule>,
    /// Whether a token bound to a key of the client (`cnf`) is accepted without
    /// proof of that key.
    pub accept_unbound: bool,
}

/// A token whose signature, algorithm, issuer, audience and times were checked.
///
/// Only [`Provider::verify`] makes one, and [`Provider::accept_introspected`] of a
/// reference token, so what takes a `Verified` cannot be reached by a token nobody
/// checked.
#[derive(Debug)]
pub struct Verified {
    provider: ProviderId,
    claims: Claims,
    subject: String,
    scopes: Vec<String>,
    expires: Option<UnixTime>,
    usable_until: Option<UnixTime>,
}

impl Verified {
    /// Who issued it.
    pub const fn provider(&self) -> ProviderId {
        self.provider
    }

    /// Its claims.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// `sub`, never empty.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The scopes, see [`Claims::scopes`].
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// `exp`.
    pub const fn expires(&self) -> Option<UnixTime> {
        self.expires
    }

    /// Whether it is still accepted `now`, clock skew included.
    pub fn is_current(&self, now: UnixTime) -> bool {
        self.usable_until.is_none_or(|end| now < end)
    }
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It is no compact JWS that a JWT may be.
    Unreadable(TokenError),
    /// A claim has a value of the wrong kind; the claim.
    ClaimMalformed(&'static str),
    /// Its `alg` is not one of the provider's.
    AlgorithmNotAllowed,
    /// No key of the provider fits its `kid` and `alg`.
    KeyUnknown,
    /// No fitting key made its signature.
    SignatureInvalid,
    /// No provider has its `iss`.
    IssuerUnknown,
    /// It is for somebody else.
    AudienceMismatch,
    /// It is over.
    Expired {
        /// Its `exp`.
        exp: UnixTime,
        /// The time it was checked.
        now: UnixTime,
    },
    /// It is not valid yet, by its `nbf` or `iat`.
    NotYetValid {
        /// When it will be.
        from: UnixTime,
        /// The time it was checked.
        now: UnixTime,
    },
    /// It is valid for longer than the provider allows.
    LifetimeExceeded {
        /// The longest allowed.
        limit: Span,
    },
    /// A claim is missing; the claim.
    ClaimMissing(String),
    /// A claim does not have an accepted value; the claim.
    ClaimMismatch(String),
    /// Its `typ` is not accepted.
    TypeMismatch,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::ClaimMalformed(claim) => write!(f, "claim {claim:?} is malformed"),
            Self::AlgorithmNotAllowed => f.write_str("the token's algorithm is not allowed"),
            Self::KeyUnknown => f.write_str("the token's key is not known"),
            Self::SignatureInvalid => f.write_str("the token's signature is not valid"),
            Self::IssuerUnknown => f.write_str("the token's issuer is not known"),
            Self::AudienceMismatch => f.write_str("the token is for another audience"),
            Self::Expired { exp, now } => write!(f, "token expired at {exp}, it is {now}"),
            Self::NotYetValid { from, now } => write!(f, "token valid from {from}, it is {now}"),
            Self::LifetimeExceeded { limit } => {
                write!(f, "the token is valid for more than {} seconds", limit.as_secs())
            }
            Self::ClaimMissing(claim) => write!(f, "claim {claim:?} is missing"),
            Self::ClaimMismatch(claim) => write!(f, "claim {claim:?} has a value not accepted"),
            Self::TypeMismatch => f.write_str("the token's type is not accepted"),
        }
    }
}

/// JOSE types of tokens that only the gateway itself issues.
pub const IDENTITY_TYPES: [&str; 2] = ["identity+jwt", "txntoken+jwt"];

/// `sub`, `iss` and the like are kept in headers and cache keys; longer ones
/// are no identifiers.
const MAX_SUBJECT_BYTES: usize = 512;

impl Provider {
    /// Whether `token` says that this provider issued it. Nothing else may be
    /// done with what it says before [`Provider::verify`].
    pub fn claims_to_issue(&self, token: &Untrusted<'_>) -> bool {
        token.unverified_claims().get("iss").and_then(Value::as_str) == Some(&self.issuer)
    }

    /// What can be told without a key: whether the header asks for something
    /// this provider never issues. Costs no cryptography, so that hostile
    /// tokens cost none either.
    pub fn check_header(&self, token: &Untrusted<'_>) -> Result<Algorithm, Rejection> {
        let algorithm = Algorithm::from_name(token.algorithm_name())
            .filter(|algorithm| self.algorithms.contains(*algorithm))
            .ok_or(Rejection::AlgorithmNotAllowed)?;
        let typ = token.typ().map(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
        });
        let accepted = match (&self.token_types, typ.as_deref()) {
            (_, Some(typ)) if IDENTITY_TYPES.contains(&typ) => false,
            (None, typ) => matches!(typ, None | Some("jwt" | "at+jwt")),
            (Some(types), Some(typ)) => types.iter().any(|accepted| accepted == typ),
            (Some(_), None) => false,
        };
        if accepted { Ok(algorithm) } else { Err(Rejection::TypeMismatch) }
    }

    /// Checks a token in full (RFC 7519 section 7.2, RFC 8725). Errs on the
    /// side of refusing: a claim that cannot be read is never taken as absent.
    pub fn verify(
        &self,
        id: ProviderId,
        token: Untrusted<'_>,
        keys: &KeySet,
        crypto: &Crypto,
        now: UnixTime,
    ) -> Result<Verified, Rejection> {
        let algorithm = self.check_header(&token)?;
        let mut candidates = keys.candidates(token.key_id(), algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(Rejection::KeyUnknown);
        }
        // Before the signature, since that is what costs: a flood of tokens
        // that are over or for somebody else needs no cryptography.
        let unverified = token.unverified_claims();
        if !self.claims_to_issue(&token) {
            return Err(Rejection::IssuerUnknown);
        }
        let expires = self.check_times(unverified, now)?;
        self.check_audience(unverified.get("aud"))?;
        let (input, signature) = (token.signing_input(), token.signature());
        if !candidates.any(|key| key.verify(crypto, algorithm, input, signature)) {
            return Err(Rejection::SignatureInvalid);
        }
        drop(candidates);
        self.accept(id, Claims::new(token.into_claims()), expires)
    }

    /// Checks what the provider says of a reference token, in full, like the
    /// claims of a JWT. With `require_issuer` it has to name itself.
    pub fn accept_introspected(
        &self,
        id: ProviderId,
        claims: &Claims,
        require_issuer: bool,
        now: UnixTime,
    ) -> Result<Verified, Rejection> {
        let mut members = claims.members().clone();
        match members.get("iss") {
            None if require_issuer => return Err(Rejection::ClaimMissing("iss".into())),
            None => drop(members.insert("iss".into(), self.issuer.as_str().into())),
            Some(Value::String(issuer)) if *issuer == self.issuer => {}
            Some(Value::String(_)) => return Err(Rejection::IssuerUnknown),
            Some(_) => return Err(Rejection::ClaimMalformed("iss")),
        }
        let expires = self.check_times(&members, now)?;
        self.check_audience(members.get("aud"))?;
        self.accept(id, Claims::new(members), expires)
    }

    /// The rest of the checks, on claims that the provider vouches for.
    fn accept(
        &self,
        id: ProviderId,
        claims: Claims,
        expires: Option<UnixTime>,
    ) -> Result<Verified, Rejection> {
        let subject = match claims.get("sub") {
            None => return Err(Rejection::ClaimMissing("sub".into())),
            Some(Value::String(sub)) if sub.is_empty() => {
                return Err(Rejection::ClaimMissing("sub".into()));
            }
            Some(Value::String(sub)) if sub.len() <= MAX_SUBJECT_BYTES => sub.clone(),
            Some(_) => return Err(Rejection::ClaimMalformed("sub")),
        };
        if claims.get("cnf").is_some() && !self.accept_unbound {
            return Err(Rejection::ClaimMismatch("cnf".into()));
        }
        for rule in &self.required_claims {
            let found = rule.path.find(claims.members());
            if !rule.accepts(found) {
                let claim = rule.path.to_string();
                return Err(match found {
                    None => Rejection::ClaimMissing(claim),
                    Some(_) => Rejection::ClaimMismatch(claim),
                });
            }
        }
        Ok(Verified {
            provider: id,
            subject,
            scopes: claims.scopes(),
            expires,
            usable_until: expires.map(|exp| exp.plus(self.clock_skew)),
            claims,
        })
    }

    /// `exp`, `nbf` and `iat` (RFC 7519 section 4.1); gives `exp`.
    fn check_times(
        &self,
        claims: &Map<String, Value>,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, Rejection> {
        let date = |name: &'static str| {
            numeric_date(claims, name).map_err(|_| Rejection::ClaimMalformed(name))
        };
        let (exp, nbf, iat) = (date("exp")?, date("nbf")?, date("iat")?);
        match exp {
            Some(exp) if now >= exp.plus(self.clock_skew) => {
                return Err(Rejection::Expired { exp, now });
            }
            None if self.require_expiration => {
                return Err(Rejection::ClaimMissing("exp".into()));
            }
            _ => {}
        }
        if iat.is_some_and(|iat| iat.as_millis() < 0) {
            return Err(Rejection::ClaimMalformed("iat"));
        }
        for from in [nbf, iat].into_iter().flatten() {
            if now < from.minus(self.clock_skew) {
                return Err(Rejection::NotYetValid { from, now });
            }
        }
        if let Some(limit) = self.max_lifetime
            && exp.is_none_or(|exp| exp.since(iat.unwrap_or(now)) > limit)
        {
            return Err(Rejection::LifetimeExceeded { limit });
        }
        Ok(exp)
    }

    /// `aud`: one text or a list of texts, one of them accepted (RFC 7519
    /// section 4.1.3). A list with anything else in it is no audience.
    fn check_audience(&self, aud: Option<&Value>) -> Result<(), Rejection> {
        let Some(accepted) = &self.audiences else { return Ok(()) };
        let is_accepted = |audience: &str| accepted.iter().any(|known| known == audience);
        let matched = match aud {
            None => return Err(Rejection::ClaimMissing("aud".into())),
            Some(Value::String(audience)) => is_accepted(audience),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).any(is_accepted)
            }
            Some(_) => return Err(Rejection::ClaimMalformed("aud")),
        };
        if matched { Ok(()) } else { Err(Rejection::AudienceMismatch) }
    }
}

/// The providers, as a token finds its own.
#[derive(Debug, Default)]
pub struct Providers(Vec<Rc<Provider>>);

impl Providers {
    /// These providers, identified by position.
    pub fn new(providers: Vec<Provider>) -> Self {
        Self(providers.into_iter().map(Rc::new).collect())
    }

    /// The provider that `token` says it is from.
    pub fn issuer_of(
        &self,
        token: &Untrusted<'_>,
    ) -> Result<(ProviderId, Rc<Provider>), Rejection> {
        let issuer = token.unverified_claims().get("iss");
        match issuer {
            None => return Err(Rejection::ClaimMissing("iss".into())),
            Some(Value::String(_)) => {}
            Some(_) => return Err(Rejection::ClaimMalformed("iss")),
        }
        let found = self.0.iter().enumerate().find(|(_, provider)| provider.claims_to_issue(token));
        let (position, provider) = found.ok_or(Rejection::IssuerUnknown)?;
        Ok((ProviderId(position), Rc::clone(provider)))
    }

    /// A provider by its position.
    pub fn get(&self, id: ProviderId) -> Option<&Rc<Provider>> {
        self.0.get(id.0)
    }

    /// The provider's name, for logs.
    pub fn name(&self, id: ProviderId) -> &str {
        self.get(id).map_or("", |provider| &provider.name)
    }
}
