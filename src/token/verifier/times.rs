//! Checks the dates of a token: `exp`, `nbf` and `iat` (RFC 7519 section 4.1).

use crate::json::Members;
use crate::time::{Span, UnixTime};
use crate::token::claims::has_ended;
use crate::token::{Provider, Rejection, numeric_date};

/// A date claim; a malformed one never counts as absent.
fn date(claims: Members<'_>, name: &'static str) -> Result<Option<UnixTime>, Rejection> {
    numeric_date(claims, name).map_err(|_| Rejection::ClaimMalformed(name))
}

fn check_ended(exp: Option<UnixTime>, now: UnixTime) -> Result<(), Rejection> {
    match exp {
        Some(exp) if has_ended(exp, now) => Err(Rejection::Expired { exp, now }),
        _ => Ok(()),
    }
}

impl Provider {
    /// Checks `exp`, `nbf` and `iat`; returns `exp`.
    pub(super) fn check_times(
        &self,
        claims: Members<'_>,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, Rejection> {
        if self.issuer().is_none() {
            self.check_dates(claims)?;
        }
        let (exp, nbf, iat) = (date(claims, "exp")?, date(claims, "nbf")?, date(claims, "iat")?);
        self.check_expiration(exp, now)?;
        self.check_not_before(nbf, now)?;
        self.check_issued_at(iat, now)?;
        self.check_lifetime(exp, iat, now)?;
        Ok(exp)
    }

    /// Each check of the dates by itself, for a report: the claim, or `lifetime`, and the
    /// result. A request is denied for the first that fails: within the skew after `exp`, where
    /// its identity would be minted.
    pub fn inspect_times(
        &self,
        claims: Members<'_>,
        now: UnixTime,
    ) -> [(&'static str, Result<(), Rejection>); 4] {
        let [exp, nbf, iat] = ["exp", "nbf", "iat"].map(|name| date(claims, name));
        let lifetime = match (&exp, &iat) {
            (Ok(exp), Ok(iat)) => self.check_lifetime(*exp, *iat, now),
            // It cannot be told; the malformed claim is reported.
            _ => Ok(()),
        };
        [
            ("exp", exp.and_then(|exp| self.check_expiration(exp, now).and(check_ended(exp, now)))),
            ("nbf", nbf.and_then(|nbf| self.check_not_before(nbf, now))),
            ("iat", iat.and_then(|iat| self.check_issued_at(iat, now))),
            ("lifetime", lifetime),
        ]
    }

    // RFC 6750 section 5.2: "the lifetime of the token MUST be limited" (R28)
    // RFC 7519 section 4.1.4: "identifies the expiration time on or after which the JWT
    // MUST NOT be accepted for processing" (R23)
    fn check_expiration(&self, exp: Option<UnixTime>, now: UnixTime) -> Result<(), Rejection> {
        match exp {
            Some(exp) if now >= exp.plus(self.clock_skew) => Err(Rejection::Expired { exp, now }),
            None if self.require_expiration => Err(Rejection::ClaimMissing("exp".into())),
            _ => Ok(()),
        }
    }

    // RFC 7519 section 4.1.5: "identifies the time before which the JWT MUST NOT be
    // accepted for processing" (R24)
    fn check_not_before(&self, nbf: Option<UnixTime>, now: UnixTime) -> Result<(), Rejection> {
        match nbf {
            Some(nbf) => self.check_start(nbf, now),
            None if self.require_not_before => Err(Rejection::ClaimMissing("nbf".into())),
            None => Ok(()),
        }
    }

    // RFC 7519 section 4.1.6: "identifies the time at which the JWT was issued" (R25)
    fn check_issued_at(&self, iat: Option<UnixTime>, now: UnixTime) -> Result<(), Rejection> {
        if iat.is_some_and(|iat| iat.as_millis() < 0) {
            return Err(Rejection::ClaimMalformed("iat"));
        }
        self.issued_at(iat).map_or(Ok(()), |iat| self.check_start(iat, now))
    }

    fn check_start(&self, from: UnixTime, now: UnixTime) -> Result<(), Rejection> {
        let is_early = now < from.minus(self.clock_skew);
        if is_early { Err(Rejection::NotYetValid { from, now }) } else { Ok(()) }
    }

    fn check_lifetime(
        &self,
        exp: Option<UnixTime>,
        iat: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<(), Rejection> {
        let Some(limit) = self.max_lifetime else { return Ok(()) };
        let is_long = self.lifetime(exp, iat, now).is_none_or(|lifetime| lifetime > limit);
        if is_long { Err(Rejection::LifetimeExceeded { limit }) } else { Ok(()) }
    }

    /// What [`Provider::max_lifetime`] limits, for a token with these dates; `None` if it
    /// never ends.
    pub fn lifetime(
        &self,
        exp: Option<UnixTime>,
        iat: Option<UnixTime>,
        now: UnixTime,
    ) -> Option<Span> {
        Some(exp?.since(self.issued_at(iat).unwrap_or(now)))
    }

    /// `iat`, if it counts: owners of credentials have clocks of their own, and Kong never
    /// checked this claim.
    fn issued_at(&self, iat: Option<UnixTime>) -> Option<UnixTime> {
        iat.filter(|_| self.issuer().is_some())
    }

    /// Checks all dates at once, those that are required and those that are present.
    fn check_dates(&self, claims: Members<'_>) -> Result<(), Rejection> {
        let wanted = [("exp", self.require_expiration), ("nbf", self.require_not_before)];
        let is_no_date = |(name, required): &(&'static str, bool)| {
            numeric_date(claims, name).map_or(true, |date| date.is_none() && *required)
        };
        let failed: Vec<_> = wanted.into_iter().filter(is_no_date).map(|(name, _)| name).collect();
        if failed.is_empty() { Ok(()) } else { Err(Rejection::NotDates(failed)) }
    }
}
