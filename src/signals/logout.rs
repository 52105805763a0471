//! Logout tokens (OpenID Connect Back-Channel Logout 1.0).

use super::error::SignalError;
use super::subject::{Bounds, Named, RevokeBy, User, name_of};
use crate::features;
use crate::json::Json;
use crate::revocation::Entry;
use crate::time::UnixTime;
use crate::token::{
    Audience, EVENTS_CLAIM, Found, Provider, ProviderId, Rejection, Untrusted, numeric_date,
};

/// The label for counts of logouts.
pub(super) const KIND: &str = "logout";

/// The member of `events` that identifies a logout token (section 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The endpoint for logout tokens, and their senders.
#[derive(Debug)]
pub struct Logouts {
    /// The path, compared byte for byte.
    pub path: String,
    /// The providers that send them.
    pub receivers: Vec<LogoutReceiver>,
    /// A build without it has no such endpoint.
    pub feature: features::Signals,
}

/// The settings for one provider: its `logout` in the configuration.
#[derive(Debug)]
pub struct LogoutReceiver {
    /// The provider.
    pub provider: ProviderId,
    /// The client ids for which this gateway receives logouts: `aud`.
    pub client_ids: Vec<String>,
    /// Which tokens a logout revokes.
    pub revoke: RevokeBy,
}

impl Logouts {
    /// The settings for this provider; `None` if its logout tokens are not accepted.
    pub fn receiver(&self, provider: ProviderId) -> Option<&LogoutReceiver> {
        self.receivers.iter().find(|receiver| receiver.provider == provider)
    }
}

impl LogoutReceiver {
    /// Checks everything in section 2.6 but the signature, which costs more than the
    /// rest. Returns the revocations once the signature is verified, and the `jti`.
    ///
    /// `typ` is not required, since older issuers send none (section 2.4), nor is `exp`;
    /// a `typ` for another kind of token is refused.
    pub fn check(
        &self,
        token: &Untrusted<'_>,
        provider: &Provider,
        now: UnixTime,
    ) -> Result<(Vec<Entry>, String), SignalError> {
        if !matches!(token.media_type().as_deref(), None | Some("jwt" | "logout+jwt")) {
            return Err(Rejection::TypeMismatch(Found::of(token.typ())).into());
        }
        let claims = token.unverified_claims();
        if !provider.accepts_tenant(|path| path.find(claims)) {
            return Err(Rejection::unknown_issuer(claims).into());
        }
        let events = claims.get(EVENTS_CLAIM).and_then(|events| events.get(LOGOUT_EVENT));
        if events.and_then(Json::as_object).is_none() {
            return Err(SignalError::NoEvent);
        }
        // An ID token has one, so this is not a logout token (section 2.4).
        if claims.contains_key("nonce") {
            return Err(SignalError::Forbidden("nonce"));
        }
        Audience::of(claims).check(&self.client_ids)?;
        let date = |name: &'static str| {
            numeric_date(claims, name).map_err(|_| Rejection::ClaimMalformed(name))
        };
        let issued = date("iat")?.ok_or_else(|| Rejection::ClaimMissing("iat".into()))?;
        for from in [Some(issued), date("nbf")?].into_iter().flatten() {
            if now < from.minus(provider.clock_skew) {
                return Err(Rejection::NotYetValid { from, now }.into());
            }
        }
        if let Some(exp) = date("exp")?.filter(|exp| now >= exp.plus(provider.clock_skew)) {
            return Err(Rejection::Expired { exp, now }.into());
        }
        let name = |claim: &'static str| {
            name_of(claims, claim).map_err(|()| Rejection::ClaimMalformed(claim))
        };
        let id = name("jti")?.ok_or_else(|| Rejection::ClaimMissing("jti".into()))?;
        let named = Named {
            users: name("sub")?.into_iter().map(User::Subject).collect(),
            sessions: name("sid")?.into_iter().collect(),
            tokens: Vec::new(),
            tenant: None,
        };
        let at = issued.min(now);
        let bounds = Bounds {
            issuer: claims.get("iss").and_then(Json::as_str),
            at,
            until: provider.max_lifetime.map(|lifetime| now.plus(lifetime)),
            by: self.revoke,
        };
        Ok((named.entries(&bounds).map_err(SignalError::Unnameable)?, id))
    }
}
