//! Verifies tokens: signature, issuer, audience, times, and the provider's further
//! requirements.

mod own;
mod times;

use std::rc::Rc;

use serde_json::{Map, Value};

pub use self::own::OwnTokens;

use crate::distinct::Distinct;
use crate::json::{Document, Json, Members};
use crate::keys::{Algorithm, AlgorithmSet, Crypto, Excerpt, KeyError, KeySet, VerifyingKey};
use crate::time::UnixTime;
use crate::token::claims::{Claims, text_of};
use crate::token::verified::Extras;
use crate::token::{
    Actor, Audience, ClaimPath, Confirmation, Found, Grant, Issuance, Issuer, Provider, ProviderId,
    Rejection, Scopes, Untrusted, Verified,
};

/// JOSE types of tokens that only the gateway itself issues.
pub const IDENTITY_TYPES: [&str; 2] = ["identity+jwt", "txntoken+jwt"];

/// JOSE types of tokens about events: never accepted as a public token.
pub const EVENT_TYPES: [&str; 2] = ["logout+jwt", "secevent+jwt"];

/// The claim that identifies a token about events: a logout token (OpenID Connect
/// Back-Channel Logout 1.0 section 2.4) or a security event token (RFC 8417 section 2.2).
/// Its audience is a client or this gateway, as a public token's may be, and its `typ`
/// need not tell.
pub const EVENTS_CLAIM: &str = "events";

/// `sub`, `iss` and the like are kept in headers and cache keys; longer ones are not
/// identifiers.
const MAX_SUBJECT_BYTES: usize = 512;

/// The claims by which a revocation names a token or its session. A token in which one of
/// them is not a text could not be revoked; they are texts according to RFC 7519 section
/// 4.1.7 and OpenID Connect Front-Channel Logout section 3.
const NAMES: [&str; 2] = ["jti", "sid"];

/// A subject that is no text, or too long.
fn unusable_subject(path: &ClaimPath) -> Rejection {
    match path.to_string() {
        name if name == "sub" => Rejection::ClaimMalformed("sub"),
        name => Rejection::ClaimMismatch(name),
    }
}

/// The groups in some claims, without duplicates: a text is split at spaces and commas,
/// an object is a group by its `name`, and a list contains either, where a text is one
/// group.
fn groups(paths: &[ClaimPath], claims: Members<'_>) -> Vec<String> {
    fn name(value: Json<'_>) -> Option<&str> {
        value.as_str().or_else(|| value.get("name")?.as_str())
    }
    let (mut groups, mut known) = (Vec::new(), Distinct::default());
    for found in paths.iter().filter_map(|path| path.find(claims)) {
        let names: Vec<&str> = match found {
            Json::Text(text) => text.split([' ', ',']).collect(),
            Json::Array(items) => items.iter().filter_map(name).collect(),
            other => name(other).into_iter().collect(),
        };
        let names = names.into_iter().filter(|name| !name.is_empty() && known.add(name));
        groups.extend(names.map(str::to_owned));
    }
    groups
}

/// The keys that may have signed a token.
struct Signers<'k> {
    candidates: Vec<&'k VerifyingKey>,
    algorithm: Algorithm,
    keys: &'k KeySet,
}

impl<'k> Signers<'k> {
    /// The keys that may have signed a token of these issuers; `None` if there are none.
    fn of(
        keys: &'k KeySet,
        key_id: Option<&str>,
        algorithm: Algorithm,
        token: &Untrusted<'_>,
        issuers: Option<&Issuer>,
    ) -> Result<Option<Self>, Rejection> {
        let mut candidates: Vec<_> =
            keys.candidates(key_id, algorithm, token.signature()).collect();
        let Some(first) = candidates.first().copied() else { return Ok(None) };
        if let Some(issuers) = issuers {
            candidates.retain(|key| issuers.admits_key(key.issuer(), token.unverified_claims()));
        }
        if candidates.is_empty() {
            let other = Excerpt::of(first.issuer().unwrap_or_default());
            let reason = KeyError::OfAnotherIssuer(other);
            return Err(Rejection::KeyUnusable(Found::of(key_id), reason));
        }
        Ok(Some(Self { candidates, algorithm, keys }))
    }

    fn check(&self, token: &Untrusted<'_>, crypto: &Crypto) -> Result<(), Rejection> {
        let (input, signature) = (token.signing_input(), token.signature());
        let made_it = |key: &&VerifyingKey| key.verify(crypto, self.algorithm, input, signature);
        if self.candidates.iter().any(made_it) {
            return Ok(());
        }
        let tried = self.candidates.len();
        let known = self.keys.keys().iter().filter(|key| key.admits(self.algorithm)).count();
        Err(match token.key_id() {
            None if tried < known => Rejection::KeyUnnamed { tried, known },
            _ => Rejection::SignatureInvalid,
        })
    }
}

impl Provider {
    /// Its `iss`, if its tokens are recognized by that.
    pub fn issuer(&self) -> Option<&str> {
        self.issuers().map(Issuer::text)
    }

    /// All its issuers, if its tokens are recognized by `iss`.
    pub const fn issuers(&self) -> Option<&Issuer> {
        match &self.issuance {
            Issuance::Issuer(issuer) => Some(issuer),
            Issuance::Credentials(_) => None,
        }
    }

    /// True if `iss` of the unverified `token` names this provider. Use the token for
    /// nothing else before [`Provider::verify`].
    // RFC 8725 section 3.8: "the application MUST validate that the cryptographic keys used
    // for the cryptographic operations in the JWT belong to the issuer" (R21)
    pub fn claims_to_issue(&self, token: &Untrusted<'_>) -> bool {
        self.issuers().is_some_and(|issuer| issuer.is_named_by(token.unverified_claims()))
    }

    /// Checks the header without a key: whether this provider issues such tokens. Hostile
    /// tokens are refused here without cryptography.
    // RFC 8725 section 3.1: "Libraries MUST enable the caller to specify a supported set of
    // algorithms and MUST NOT use any other algorithms when performing cryptographic
    // operations." (R06)
    // RFC 8725 section 3.11: "Explicit JWT typing is accomplished by using the "typ" Header
    // Parameter." (R30)
    pub fn check_header(&self, token: &Untrusted<'_>) -> Result<Algorithm, Rejection> {
        let algorithm = self.check_algorithm(token)?;
        self.check_type(token)?;
        Ok(algorithm)
    }

    /// The algorithm of a token, if it is one of this provider's.
    pub fn check_algorithm(&self, token: &Untrusted<'_>) -> Result<Algorithm, Rejection> {
        algorithm_of(token, self.algorithms)
    }

    /// Whether `typ` is one of this provider's (RFC 8725 section 3.11).
    pub fn check_type(&self, token: &Untrusted<'_>) -> Result<(), Rejection> {
        let typ = token.media_type();
        let accepted = match (&self.token_types, typ.as_deref()) {
            (_, Some(typ)) if IDENTITY_TYPES.contains(&typ) || EVENT_TYPES.contains(&typ) => false,
            // Tokens of credentials may have any type.
            _ if self.issuer().is_none() => true,
            (None, typ) => matches!(typ, None | Some("jwt" | "at+jwt")),
            (Some(types), typ) => types.iter().any(|accepted| accepted.as_deref() == typ),
        };
        if accepted { Ok(()) } else { Err(Rejection::TypeMismatch(Found::of(token.typ()))) }
    }

    /// Checks a token in full (RFC 7519 section 7.2, RFC 8725). Errs on the side of
    /// refusing: a malformed claim never counts as absent. `audiences`: the
    /// accepted ones; `None` skips that check.
    // RFC 8725 section 3.3: "the entire JWT MUST be rejected if any of them fail to
    // validate" (R20)
    pub fn verify(
        &self,
        id: ProviderId,
        token: Untrusted<'_>,
        audiences: Option<&[String]>,
        keys: &KeySet,
        crypto: &Crypto,
        now: UnixTime,
    ) -> Result<Verified, Rejection> {
        // An expired token, or one for another audience, is not worth cryptography or a key
        // fetch.
        let algorithm = self.check_header(&token)?;
        let is_issued = self.issuer().is_some();
        let checked =
            is_issued.then(|| self.check_unverified(&token, audiences, now)).transpose()?;
        let credential = self.credential_of(&token)?;
        let key_id = credential.as_deref().or_else(|| token.key_id());
        let signed = self.candidates(keys, key_id, algorithm, &token)?;
        // For a credential, an unknown one is reported first.
        let expires = checked.map_or_else(|| self.check_unverified(&token, audiences, now), Ok)?;
        signed.check(&token, crypto)?;
        self.accept(id, credential, token.into_claims(), expires)
    }

    /// For a token that will be introspected, checks only that it is worth it: that its
    /// issuer signed it, and that it has not expired.
    pub fn verify_before_introspection(
        &self,
        token: &Untrusted<'_>,
        keys: &KeySet,
        crypto: &Crypto,
        now: UnixTime,
    ) -> Result<(), Rejection> {
        let algorithm = self.check_header(token)?;
        refuse_events(token.unverified_claims())?;
        match self.check_times(token.unverified_claims(), now) {
            // The introspection response may contain it.
            Ok(_) | Err(Rejection::ClaimMissing(_)) => {}
            Err(rejection) => return Err(rejection),
        }
        self.candidates(keys, token.key_id(), algorithm, token)?.check(token, crypto)
    }

    /// Checks what the provider says of a user in a JWT (OpenID Connect Core section
    /// 5.3.2): that it is signed by the provider, and its times and issuer, all of which
    /// it may lack.
    pub fn verify_user_info(
        &self,
        token: Untrusted<'_>,
        keys: &KeySet,
        crypto: &Crypto,
        now: UnixTime,
    ) -> Result<Map<String, Value>, Rejection> {
        let algorithm = self.check_algorithm(&token)?;
        let typ = token.media_type();
        if typ
            .as_deref()
            .is_some_and(|typ| IDENTITY_TYPES.contains(&typ) || EVENT_TYPES.contains(&typ))
        {
            return Err(Rejection::TypeMismatch(Found::of(token.typ())));
        }
        let claims = token.unverified_claims();
        refuse_events(claims)?;
        if claims.contains_key("iss") && !self.claims_to_issue(&token) {
            return Err(Rejection::unknown_issuer(token.unverified_claims()));
        }
        match self.check_times(claims, now) {
            Ok(_) | Err(Rejection::ClaimMissing(_) | Rejection::LifetimeExceeded { .. }) => {}
            Err(rejection) => return Err(rejection),
        }
        self.candidates(keys, token.key_id(), algorithm, &token)?.check(&token, crypto)?;
        Ok(token.into_claims().members().to_map())
    }

    /// The keys that may have signed a token, at least one.
    fn candidates<'k>(
        &self,
        keys: &'k KeySet,
        key_id: Option<&str>,
        algorithm: Algorithm,
        token: &Untrusted<'_>,
    ) -> Result<Signers<'k>, Rejection> {
        if let Some(signers) = Signers::of(keys, key_id, algorithm, token, self.issuers())? {
            return Ok(signers);
        }
        Err(match (&self.issuance, key_id) {
            (Issuance::Issuer(_), key_id) => Rejection::KeyUnknown(Found::of(key_id)),
            (Issuance::Credentials(_), Some(key)) if keys.knows(key) => {
                Rejection::AlgorithmNotAllowed(Found::of(Some(algorithm.name())))
            }
            (Issuance::Credentials(claim), _) => Rejection::CredentialUnknown(claim.name.clone()),
        })
    }

    /// Checks times and audience before the expensive signature; returns `exp`.
    fn check_unverified(
        &self,
        token: &Untrusted<'_>,
        audiences: Option<&[String]>,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, Rejection> {
        if self.issuer().is_some() && !self.claims_to_issue(token) {
            return Err(Rejection::unknown_issuer(token.unverified_claims()));
        }
        let claims = token.unverified_claims();
        refuse_events(claims)?;
        let expires = self.check_times(claims, now)?;
        audiences.map_or(Ok(()), |accepted| Audience::of(claims).check(accepted))?;
        Ok(expires)
    }

    /// The key of the credential that the token names, if the provider recognizes its
    /// tokens by that.
    fn credential_of(&self, token: &Untrusted<'_>) -> Result<Option<String>, Rejection> {
        let Issuance::Credentials(claim) = &self.issuance else { return Ok(None) };
        let in_claims = token.unverified_claims().get(&claim.name);
        match in_claims.or_else(|| token.header_parameter(&claim.name).map(Json::from)) {
            None => Err(Rejection::ClaimMissing(claim.name.clone())),
            Some(Json::Text(key)) if !key.is_empty() => Ok(Some(key.to_owned())),
            Some(_) => Err(Rejection::CredentialMalformed(claim.name.clone())),
        }
    }

    /// Checks an introspection response in full, like the claims of a JWT. With
    /// `require_issuer` it must name its issuer.
    pub fn accept_introspected(
        &self,
        id: ProviderId,
        members: &Map<String, Value>,
        audiences: Option<&[String]>,
        require_issuer: bool,
        now: UnixTime,
    ) -> Result<Verified, Rejection> {
        let own = self.issuers().ok_or_else(|| Rejection::unknown_issuer(members))?;
        let mut claims = Document::of(members);
        match members.get("iss") {
            None => {
                let named = own.of(members).filter(|_| !require_issuer);
                let named = named.ok_or_else(|| Rejection::ClaimMissing("iss".into()))?;
                claims.add_text("iss", &named);
            }
            Some(Value::String(_)) if own.is_named_by(members) => {}
            Some(Value::String(_)) => return Err(Rejection::unknown_issuer(members)),
            Some(_) => return Err(Rejection::ClaimMalformed("iss")),
        }
        refuse_events(claims.members())?;
        let expires = self.check_times(claims.members(), now)?;
        audiences.map_or(Ok(()), |accepted| Audience::of(&claims).check(accepted))?;
        self.accept(id, None, claims.into(), expires)
    }

    /// The rest of the checks, on claims that the provider vouches for.
    // RFC 7800 section 3 (R34)
    fn accept(
        &self,
        id: ProviderId,
        credential: Option<String>,
        mut claims: Rc<Document>,
        expires: Option<UnixTime>,
    ) -> Result<Verified, Rejection> {
        let confirmation = claims.get("cnf").map_or(Some(Confirmation::default()), |cnf| {
            Confirmation::read(cnf, self.methods, self.accept_unbound)
        });
        let confirmation = confirmation.ok_or(Rejection::Unconfirmed)?;
        let audience = Audience::of(&claims);
        if let Some(key) = &credential {
            self.keep_claims_that_count(key, Rc::make_mut(&mut claims));
        }
        let subject = self.subject(claims.members())?;
        let is_unnameable = |name: &&str| claims.get(name).is_some_and(|it| it.as_str().is_none());
        if let Some(name) = NAMES.into_iter().find(is_unnameable) {
            return Err(Rejection::ClaimMalformed(name));
        }
        for rule in &self.required_claims {
            let found = rule.path.find(&claims);
            if !rule.accepts(found) {
                let claim = rule.path.to_string();
                return Err(match found {
                    None => Rejection::ClaimMissing(claim),
                    Some(_) => Rejection::ClaimMismatch(claim),
                });
            }
        }
        // Wherever `sub` is used, there is one.
        let is_whole = credential.is_none() && text_of(&claims, "sub").is_some();
        if text_of(&claims, "sub").is_none() {
            let claims = Rc::make_mut(&mut claims);
            claims.retain(|name| name != "sub");
            claims.add_text("sub", &subject);
        }
        let client_claims = &self.client_claims;
        let client = client_claims.client_id.iter().find_map(|path| path.text(&claims));
        let client = client.map(Box::from);
        let groups = groups(&client_claims.groups, claims.members());
        let actor = Actor::of(&claims)?;
        let grant = Grant { client, scopes: Scopes::in_claims(&claims), audience };
        let claims = if is_whole { Claims::whole(claims) } else { Claims::new(claims) };
        let unique = self.names_subjects.then(|| format!("{}:{subject}", self.name).into());
        let extras = Extras { credential, unique_subject: unique, groups, actor, confirmation };
        Ok(Verified {
            provider: id.small(),
            leeway: u32::try_from(self.clock_skew.as_millis()).unwrap_or_default(),
            subject,
            grant: grant.into(),
            extras: extras.boxed(),
            expires: expires.into(),
            claims,
        })
    }

    /// The first subject claim that is a non-empty string. If none is, the reason is the
    /// first that is present.
    fn subject(&self, claims: Members<'_>) -> Result<Rc<str>, Rejection> {
        let paths = || self.subject_claims.iter();
        if let Some((path, text)) = paths().find_map(|path| Some((path, path.text(claims)?))) {
            if text.len() <= MAX_SUBJECT_BYTES {
                return Ok(text.into());
            }
            return Err(unusable_subject(path));
        }
        let is_other =
            |path: &&ClaimPath| path.find(claims).is_some_and(|value| value.as_str().is_none());
        if let Some(path) = paths().find(is_other) {
            return Err(unusable_subject(path));
        }
        let first = paths().next().map(ToString::to_string);
        Err(Rejection::ClaimMissing(first.unwrap_or_else(|| "sub".to_owned())))
    }

    /// Keeps the claims that the owner of a credential may set. The subject is the
    /// credential itself, unless its claims are trusted.
    fn keep_claims_that_count(&self, key: &str, claims: &mut Document) {
        if let Issuance::Credentials(claim) = &self.issuance
            && !claim.trust_claims
        {
            let counts = ["exp", "nbf", "iat", "jti", claim.name.as_str()];
            claims.retain(|name| counts.contains(&name));
        }
        if claims.get("sub").is_none() {
            claims.add_text("sub", key);
        }
    }
}

/// The algorithm of a token, if it is one of those `allowed`.
fn algorithm_of(token: &Untrusted<'_>, allowed: AlgorithmSet) -> Result<Algorithm, Rejection> {
    let name = token.algorithm_name();
    let algorithm = Algorithm::from_name(name)
        .ok_or_else(|| Rejection::AlgorithmUnknown(Found::of(Some(name))))?;
    if allowed.contains(algorithm) {
        Ok(algorithm)
    } else {
        Err(Rejection::AlgorithmNotAllowed(Found::of(Some(name))))
    }
}

/// Checks the signature of a token that is not a public one: by a key of its issuer that
/// matches its `kid`, with one of these algorithms. `issuers`: those that have the keys in
/// common, if there may be several.
pub fn check_signature(
    token: &Untrusted<'_>,
    algorithms: AlgorithmSet,
    issuers: Option<&Issuer>,
    keys: &KeySet,
    crypto: &Crypto,
) -> Result<(), Rejection> {
    let algorithm = algorithm_of(token, algorithms)?;
    let key_id = token.key_id();
    let signers = Signers::of(keys, key_id, algorithm, token, issuers)?;
    signers.ok_or_else(|| Rejection::KeyUnknown(Found::of(key_id)))?.check(token, crypto)
}

/// Refuses a token about events: [`EVENTS_CLAIM`].
pub fn refuse_events(claims: Members<'_>) -> Result<(), Rejection> {
    if claims.contains_key(EVENTS_CLAIM) {
        Err(Rejection::TypeMismatch(Found::of(Some(EVENTS_CLAIM))))
    } else {
        Ok(())
    }
}
