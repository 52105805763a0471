//! Security event tokens (RFC 8417) delivered by push (RFC 8935): the events of the
//! Shared Signals Framework, CAEP and RISC, and of their predecessors.

use sha2::{Digest, Sha256};

use super::error::SignalError;
use super::form::has_media_type;
use super::subject::{Bounds, Named, RevokeBy, User, name_of};
use crate::features;
use crate::http::{RequestHead, log_word};
use crate::json::{Json, Members};
use crate::keys::AlgorithmSet;
use crate::revocation::Entry;
use crate::secret::Secret;
use crate::time::{Span, UnixTime};
use crate::token::{
    Audience, EVENTS_CLAIM, Found, Issuer, Provider, ProviderId, Rejection, Untrusted, numeric_date,
};

/// The endpoint for security events, and their senders.
#[derive(Debug)]
pub struct EventsEndpoint {
    /// The path, compared byte for byte.
    pub path: String,
    /// The senders.
    pub transmitters: Vec<Transmitter>,
    /// A build without it has no such endpoint.
    pub feature: features::Signals,
}

/// One of `transmitters` in the configuration, without its keys.
#[derive(Debug)]
pub struct Transmitter {
    /// Its `iss`, which often differs from that of the tokens.
    pub issuer: String,
    /// The provider whose tokens its events concern.
    pub provider: ProviderId,
    /// Accepted `aud`, any of them.
    pub audiences: Vec<String>,
    /// Accepted algorithms.
    pub algorithms: AlgorithmSet,
    /// The tolerated clock difference.
    pub clock_skew: Span,
    /// Accepted `typ`, in lower case and without `application/`; `None` accepts a missing
    /// one.
    pub token_types: Vec<Option<String>>,
    /// The value of its `Authorization` header.
    pub authorization: Option<Secret<String>>,
    /// Which tokens an event revokes.
    pub revoke: RevokeBy,
}

/// The effect of a security event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The revocations.
    pub entries: Vec<Entry>,
    /// Its events, by the last part of their names.
    pub kinds: Vec<&'static str>,
    /// The new state of the stream, if the event reports it.
    pub stream: Option<String>,
}

/// The effect of one event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Revokes the tokens of its subject.
    Revokes,
    /// Confirms that the stream works.
    Verifies,
    /// Reports the state of the stream.
    StreamUpdated,
    /// None here.
    None,
}

const OTHER: &str = "other";

/// The event types that are counted separately, by the last part of their names; others
/// are counted together.
const EVENTS: [(&str, Effect); 10] = [
    ("session-revoked", Effect::Revokes),
    ("credential-change", Effect::Revokes),
    ("account-disabled", Effect::Revokes),
    ("account-purged", Effect::Revokes),
    ("credential-compromise", Effect::Revokes),
    ("sessions-revoked", Effect::Revokes),
    ("tokens-revoked", Effect::Revokes),
    ("verification", Effect::Verifies),
    ("stream-updated", Effect::StreamUpdated),
    (OTHER, Effect::None),
];

pub(super) const KINDS: [&str; 10] = {
    let mut kinds = [OTHER; 10];
    let mut position = 0;
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // while compiling
    while position < kinds.len() {
        kinds[position] = EVENTS[position].0;
        position += 1;
    }
    kinds
};

/// The type of an event by its URI: from CAEP, RISC, Google, or about the stream itself.
fn kind_of(uri: &str) -> (&'static str, Effect) {
    let rest = uri.strip_prefix("https://schemas.openid.net/secevent/");
    let name = rest.and_then(|rest| {
        let (family, name) = rest.split_once("/event-type/")?;
        matches!(
            (family, name),
            ("caep", "session-revoked" | "credential-change")
                | (
                    "risc",
                    "account-disabled"
                        | "account-purged"
                        | "credential-compromise"
                        | "sessions-revoked"
                        | "verification"
                )
                | ("oauth", "tokens-revoked")
                | ("ssf", "verification" | "stream-updated")
        )
        .then_some(name)
    });
    let known = EVENTS.into_iter().find(|(known, _)| Some(*known) == name);
    known.unwrap_or((OTHER, Effect::None))
}

impl EventsEndpoint {
    /// The alleged transmitter of an event, and its position.
    pub fn transmitter(&self, token: &Untrusted<'_>) -> Option<(usize, &Transmitter)> {
        let issuer = token.unverified_claims().get("iss").and_then(Json::as_str)?;
        self.transmitters.iter().enumerate().find(|(_, it)| it.issuer == issuer)
    }

    /// Checks a request before its body is read: its media type, and that some
    /// transmitter has its `Authorization`.
    pub fn check_head(&self, head: &RequestHead) -> Result<(), SignalError> {
        if !has_media_type(head, b"application/secevent+jwt") {
            return Err(SignalError::MediaType);
        }
        if !self.transmitters.iter().any(|transmitter| transmitter.authenticates(head)) {
            return Err(SignalError::Unauthenticated);
        }
        Ok(())
    }
}

impl Transmitter {
    /// Whether a request has the transmitter's `Authorization`, if one was agreed.
    /// Compared by digest, so that the time it takes reveals nothing.
    fn authenticates(&self, head: &RequestHead) -> bool {
        let Some(wanted) = &self.authorization else { return true };
        let mut values = head.values("authorization");
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        Sha256::digest(value.trim_ascii()) == Sha256::digest(wanted.expose().as_bytes())
    }

    /// Checks everything but the signature, which costs more than the rest. Returns the
    /// effect of the event once its signature is verified.
    ///
    /// A token with `sub` or `exp` is refused (SSF 1.0 section 4.1), so that no token
    /// that was issued for another purpose is taken for an event.
    // RFC 8417 section 2.2 (R85)
    pub fn check(
        &self,
        token: &Untrusted<'_>,
        head: &RequestHead,
        provider: &Provider,
        now: UnixTime,
    ) -> Result<Received, SignalError> {
        if !self.authenticates(head) {
            return Err(SignalError::Unauthenticated);
        }
        let media_type = token.media_type();
        if !self.token_types.iter().any(|own| own.as_deref() == media_type.as_deref()) {
            return Err(Rejection::TypeMismatch(Found::of(token.typ())).into());
        }
        let claims = token.unverified_claims();
        if let Some(claim) = ["sub", "exp", "nonce"].into_iter().find(|it| claims.contains_key(it))
        {
            return Err(SignalError::Forbidden(claim));
        }
        Audience::of(claims).check(&self.audiences)?;
        let issued = numeric_date(claims, "iat")
            .map_err(|_| Rejection::ClaimMalformed("iat"))?
            .ok_or_else(|| Rejection::ClaimMissing("iat".into()))?;
        if now < issued.minus(self.clock_skew) {
            return Err(Rejection::NotYetValid { from: issued, now }.into());
        }
        match name_of(claims, "jti") {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Rejection::ClaimMissing("jti".into()).into()),
            Err(()) => return Err(Rejection::ClaimMalformed("jti").into()),
        }
        let events = claims.get(EVENTS_CLAIM).and_then(Json::as_object);
        let events = events.filter(|events| !events.is_empty()).ok_or(SignalError::NoEvent)?;
        let mut received = Received::default();
        for (uri, event) in events.sorted() {
            let event = event.as_object().ok_or(SignalError::NoEvent)?;
            let (kind, effect) = kind_of(uri);
            received.kinds.push(kind);
            match effect {
                Effect::Revokes => {
                    let at = happened_at(claims, event, issued).min(now);
                    received.entries.extend(self.entries(claims, event, provider, at, now)?);
                }
                Effect::StreamUpdated => {
                    let status = event.get("status").and_then(Json::as_str).unwrap_or("unknown");
                    received.stream = Some(log_word(status));
                }
                Effect::Verifies | Effect::None => {}
            }
        }
        Ok(received)
    }

    fn entries(
        &self,
        claims: Members<'_>,
        event: Members<'_>,
        provider: &Provider,
        at: UnixTime,
        now: UnixTime,
    ) -> Result<Vec<Entry>, SignalError> {
        // Before RFC 9493 the subject was part of the event.
        let subject = claims.get("sub_id").or_else(|| event.get("subject"));
        let subject = subject.and_then(Json::as_object).ok_or(SignalError::Subject)?;
        let own = provider.issuers().ok_or(SignalError::SubjectIssuer)?;
        let named =
            Reader { transmitter: &self.issuer, own, provider }.read(subject, Nesting::Top)?;
        // A user of one tenant is not the user of the same name in another, or elsewhere.
        let issuer = if own.is_template() {
            let transmitter = Some(&self.issuer).filter(|it| provider.is_tenant(it));
            named.tenant.as_ref().or(transmitter).ok_or(SignalError::SubjectIssuer)?.clone()
        } else {
            own.text().to_owned()
        };
        let bounds = Bounds {
            issuer: Some(&issuer),
            at,
            until: provider.max_lifetime.map(|lifetime| now.plus(lifetime)),
            by: self.revoke,
        };
        named.entries(&bounds).map_err(SignalError::Unnameable)
    }
}

/// The earliest plausible time of an event (2010-01-01): an earlier one is an error.
const EARLIEST: UnixTime = UnixTime::from_secs(1_262_304_000);

/// The time of an event: `event_timestamp` (CAEP 1.0 section 2), in seconds or, as some
/// send it, in milliseconds; else `toe` (RFC 8417 section 2.2); else the time of
/// delivery, which is also the latest possible.
fn happened_at(claims: Members<'_>, event: Members<'_>, issued: UnixTime) -> UnixTime {
    const MAX_SECONDS: f64 = 1e11;
    const MAX_MILLIS: f64 = 1e14;
    let moment = |value: Json<'_>| {
        let text = value.as_number()?;
        let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
        if number.abs() <= MAX_SECONDS {
            UnixTime::from_numeric_date(text)
        } else if number.abs() <= MAX_MILLIS {
            #[allow(clippy::cast_possible_truncation)] // 10^14 is exact
            Some(UnixTime::from_millis(number as i64))
        } else {
            None
        }
    };
    let told = [event.get("event_timestamp"), claims.get("toe")];
    let mut told = told.into_iter().flatten().filter_map(moment).filter(|at| *at >= EARLIEST);
    told.next().unwrap_or(issued).min(issued)
}

/// Parses subjects: those of RFC 9493, of the Shared Signals Framework, and the older
/// formats, with `subject_type`, with hyphens, or without any format member.
struct Reader<'a> {
    /// The transmitter's issuer, whose subjects are those of the provider's tokens.
    transmitter: &'a str,
    /// The issuer of the provider's tokens.
    own: &'a Issuer,
    /// Knows which tenants are accepted.
    provider: &'a Provider,
}

/// The nesting of a subject: `aliases` and `complex` contain others, but not each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Top,
    Inside,
}

impl Reader<'_> {
    fn read(&self, subject: Members<'_>, nesting: Nesting) -> Result<Named, SignalError> {
        let said = subject.get("format").or_else(|| subject.get("subject_type"));
        let format = match said {
            Some(Json::Text(format)) => format.replace('-', "_"),
            Some(_) => return Err(SignalError::Subject),
            None if subject.contains_key("user") || subject.contains_key("session") => {
                "complex".into()
            }
            None => "iss_sub".into(),
        };
        let name =
            |member: &str| name_of(subject, member).ok().flatten().ok_or(SignalError::Subject);
        let user = |user, tenant| Ok(Named { users: vec![user], tenant, ..Named::default() });
        match (format.as_str(), nesting) {
            ("iss_sub", _) => {
                let tenant = self.check_issuer(subject)?;
                user(User::Subject(name("sub")?), tenant)
            }
            ("id_token_claims", _) => {
                let tenant = self.check_issuer(subject)?;
                match (name("sub"), name("email")) {
                    (Ok(sub), _) => user(User::Subject(sub), tenant),
                    (_, email) => user(User::Claim("email", email?), tenant),
                }
            }
            ("opaque", _) => user(User::Subject(name("id")?), None),
            ("email", _) => user(User::Claim("email", name("email")?), None),
            ("phone_number", _) => user(User::Claim("phone_number", name("phone_number")?), None),
            ("jwt_id", _) => {
                let tenant = self.check_issuer(subject)?;
                Ok(Named { tokens: vec![name("jti")?], tenant, ..Named::default() })
            }
            ("aliases", Nesting::Top) => self.aliases(subject),
            ("complex", Nesting::Top) => self.complex(subject),
            _ => Err(SignalError::Subject),
        }
    }

    /// All identifiers name the same subject; one that is supported is enough.
    fn aliases(&self, subject: Members<'_>) -> Result<Named, SignalError> {
        let identifiers = subject.get("identifiers").and_then(Json::as_array);
        let identifiers = identifiers.ok_or(SignalError::Subject)?.iter();
        let read = identifiers
            .filter_map(|one| self.read(one.as_object()?, Nesting::Inside).ok())
            .reduce(|mut all, one| {
                // That of another tenant is another subject.
                if all.tenant.is_none() || one.tenant.is_none() || all.tenant == one.tenant {
                    all.users.extend(one.users);
                    all.tokens.extend(one.tokens);
                    all.tenant = all.tenant.or(one.tenant);
                }
                all
            });
        read.ok_or(SignalError::Subject)
    }

    /// A user, a session, or a session of a user (SSF 1.0 section 3.2). Other members,
    /// such as the device, would narrow that by criteria that tokens do not contain: then
    /// more is revoked, not less.
    fn complex(&self, subject: Members<'_>) -> Result<Named, SignalError> {
        let member = |name: &str| {
            let member = subject.get(name)?;
            Some(member.as_object().ok_or(SignalError::Subject))
        };
        let mut named = Named::default();
        if let Some(session) = member("session") {
            let session = session?;
            let id = ["id", "sid"].into_iter().find_map(|it| name_of(session, it).ok().flatten());
            named.sessions.push(id.ok_or(SignalError::Subject)?);
            if session.contains_key("iss") {
                named.tenant = self.check_issuer(session)?;
            }
        }
        match member("user").map(|user| self.read(user?, Nesting::Inside)) {
            Some(Ok(user)) => {
                let is_other = named.tenant.is_some() && named.tenant != user.tenant;
                if is_other && user.tenant.is_some() {
                    return Err(SignalError::SubjectIssuer);
                }
                named.users = user.users;
                named.tenant = user.tenant.or(named.tenant);
            }
            // The session says it already, unless it is another issuer's.
            Some(Err(error))
                if named.sessions.is_empty() || error == SignalError::SubjectIssuer =>
            {
                return Err(error);
            }
            Some(Err(_)) | None => {}
        }
        Ok(named)
    }

    /// A subject of another issuer may have the same `sub` as another user here. A
    /// trailing slash does not make another issuer: Google writes one in events but not
    /// in tokens.
    ///
    /// Returns the issuer if the provider's tokens may have several.
    fn check_issuer(&self, subject: Members<'_>) -> Result<Option<String>, SignalError> {
        let issuer = name_of(subject, "iss").ok().flatten().ok_or(SignalError::Subject)?;
        if self.provider.is_tenant(&issuer) {
            return Ok(Some(issuer));
        }
        let plain = |issuer: &str| issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
        let is_own =
            [self.transmitter, self.own.text()].iter().any(|it| plain(it) == plain(&issuer));
        if is_own { Ok(None) } else { Err(SignalError::SubjectIssuer) }
    }
}
