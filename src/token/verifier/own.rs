//! The gateway's own transaction tokens, which internal services present for replacement.
//!
//! Everything in them was decided when the first one was minted. So their contents are
//! the gateway's own statements, and nothing else is known of the public token they stem
//! from.

use serde_json::{Map, Value};

use super::{Extras, Verified};
use crate::distinct::Distinct;
use crate::json::{Document, Members};
use crate::keys::{Algorithm, Crypto, VerifyingKey};
use crate::time::{Span, UnixTime};
use crate::token::claims::{Claims, has_ended};
use crate::token::{
    Actor, Audience, Found, Grant, Provider, ProviderId, Providers, REVOKED_BY, Rejection, Scopes,
    Untrusted, numeric_date, text_of,
};

/// What the gateway knows about its own tokens.
pub struct OwnTokens<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`: the trust domain.
    pub audiences: &'a [String],
    /// `typ`.
    pub media_type: &'a str,
    /// The keys whose tokens may still be valid, by `kid`.
    pub keys: Vec<(&'a str, &'a VerifyingKey)>,
    /// The providers of public tokens.
    pub providers: &'a Providers,
}

/// The tolerated clock difference between the gateways of a trust domain. It does not
/// extend a token's expiry: an expired token must not be replaced.
const CLOCK_SKEW: Span = Span::from_secs(60);

impl OwnTokens<'_> {
    /// Checks a token in full; also returns its unmodified claims.
    pub fn verify(
        &self,
        token: Untrusted<'_>,
        crypto: &Crypto,
        now: UnixTime,
    ) -> Result<(Verified, Map<String, Value>), Rejection> {
        if token.media_type().as_deref() != Some(self.media_type) {
            return Err(Rejection::TypeMismatch(Found::of(token.typ())));
        }
        let claims = token.unverified_claims();
        if text_of(claims, "iss") != Some(self.issuer) {
            return Err(Rejection::unknown_issuer(claims));
        }
        Audience::of(claims).check(self.audiences)?;
        let expires = check_times(claims, now)?;
        self.check_signature(&token, crypto)?;
        let claims = token.into_claims().members().to_map();
        let verified = self.accept(&claims, expires)?;
        Ok((verified, claims))
    }

    fn check_signature(&self, token: &Untrusted<'_>, crypto: &Crypto) -> Result<(), Rejection> {
        let named = self.keys.iter().find(|(id, _)| Some(*id) == token.key_id());
        let (_, key) = named.ok_or_else(|| Rejection::KeyUnknown(Found::of(token.key_id())))?;
        let name = token.algorithm_name();
        let algorithm = Algorithm::from_name(name)
            .ok_or_else(|| Rejection::AlgorithmUnknown(Found::of(Some(name))))?;
        if !key.admits(algorithm) {
            return Err(Rejection::AlgorithmNotAllowed(Found::of(Some(name))));
        }
        let is_signed = key.verify(crypto, algorithm, token.signing_input(), token.signature());
        if is_signed { Ok(()) } else { Err(Rejection::SignatureInvalid) }
    }

    /// The provider of the original public token.
    fn origin(&self, context: &Map<String, Value>) -> Result<(ProviderId, &Provider), Rejection> {
        let missing = || Rejection::ClaimMissing("tctx.origin".into());
        let origin = context.get("origin").and_then(Value::as_object).ok_or_else(missing)?;
        let name = text_of(origin, "provider").ok_or_else(missing)?;
        let id = self.providers.id_of(name);
        let found = id.and_then(|id| Some((id, self.providers.get(id)?.as_ref())));
        found.ok_or_else(|| Rejection::IssuerUnknown(Found::of(Some(name))))
    }

    /// The verified claims in the form of a public token's: rules treat both alike.
    fn accept(
        &self,
        claims: &Map<String, Value>,
        expires: UnixTime,
    ) -> Result<Verified, Rejection> {
        let text = |name: &str| {
            let text = text_of(claims, name).map(str::to_owned);
            text.ok_or_else(|| Rejection::ClaimMissing(name.into()))
        };
        for name in ["txn", "req_wl", "scope"] {
            text(name)?;
        }
        let context = claims.get("tctx").and_then(Value::as_object).cloned().unwrap_or_default();
        let (id, provider) = self.origin(&context)?;
        let unique = text("sub")?;
        let subject = match provider.names_subjects {
            false => unique.clone(),
            true => {
                let own = unique.strip_prefix(&provider.name).and_then(|it| it.strip_prefix(':'));
                own.ok_or_else(|| Rejection::ClaimMismatch("sub".into()))?.to_owned()
            }
        };
        let groups = groups(&context);
        let origin = context.get("origin").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut members = context;
        let member = |from: &Map<String, Value>, name: &str| {
            Some((name.to_owned(), from.get(name)?.clone()))
        };
        members.extend(
            ["scope", "client_id", "act", "exp"].iter().filter_map(|name| member(claims, name)),
        );
        members.insert("sub".into(), subject.as_str().into());
        let actor = Actor::of(&members)?;
        let client = text_of(&members, "client_id").map(Box::from);
        // What revokes the public token revokes the transaction. Its own `iat` is later
        // than the public token's, and so does not count: a logout in between would spare
        // it. Without the public token's, nothing is spared.
        members.extend(["iss"].iter().chain(&REVOKED_BY).filter_map(|name| member(&origin, name)));
        let claims = Document::of(&members);
        let scopes = Scopes::in_claims(&claims);
        let grant = Grant { client, scopes, audience: Audience::default() };
        let extras = Extras {
            unique_subject: provider.names_subjects.then_some(unique.into()),
            groups,
            actor,
            ..Extras::default()
        };
        Ok(Verified {
            provider: id.small(),
            leeway: 0,
            subject: subject.into(),
            grant: grant.into(),
            extras: extras.boxed(),
            expires: Some(expires).into(),
            claims: Claims::new(claims),
        })
    }
}

/// The groups in its context, each once.
fn groups(context: &Map<String, Value>) -> Vec<String> {
    let groups = context.get("groups").and_then(Value::as_array).into_iter().flatten();
    let mut known = Distinct::default();
    let groups = groups.filter_map(Value::as_str).filter(|group| known.add(group));
    groups.map(str::to_owned).collect()
}

/// Its `exp`, which must be in the future; the other dates must not be.
fn check_times(claims: Members<'_>, now: UnixTime) -> Result<UnixTime, Rejection> {
    let date = |name: &'static str| {
        let date = numeric_date(claims, name).map_err(|_| Rejection::ClaimMalformed(name))?;
        date.ok_or_else(|| Rejection::ClaimMissing(name.into()))
    };
    let (exp, iat, nbf) = (date("exp")?, date("iat")?, date("nbf")?);
    if has_ended(exp, now) {
        return Err(Rejection::Expired { exp, now });
    }
    match [iat, nbf].into_iter().find(|from| now < from.minus(CLOCK_SKEW)) {
        Some(from) => Err(Rejection::NotYetValid { from, now }),
        None => Ok(exp),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_group_is_there_once() {
        let context = json!({"groups": ["b", "a", "b", 7, "a", "c"]});
        assert_eq!(groups(context.as_object().unwrap()), ["b", "a", "c"]);
        assert!(groups(&Map::new()).is_empty());
    }
}
