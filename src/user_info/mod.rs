//! User info: data about the user from an internal service, fetched once on behalf of all
//! services behind the gateway.
//!
//! Owns the request, the strict parsing of the reply and the cached parts of it. A reply
//! that is not a complete, valid answer about this very user is a failure.

mod cache;
mod shared;
mod template;

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value};

pub use self::cache::{Cached, UserInfoCache};
pub(crate) use self::shared::{SharedAnswer, Times};
pub use self::template::PathTemplate;
use crate::callout::{Answer, Callout, CalloutFailure, CalloutReply, ReplyFields, Service};
use crate::http::HeaderName;
use crate::json::{self, Document, Json, JsonError};
use crate::secret::Secret;
use crate::time::{Span, UnixTime};
use crate::token::{ClaimPath, ProviderId, Rejection, TemplateError, Verified};

/// How to query the user service and what to use of the answer: `user_info` in the
/// configuration.
#[derive(Debug)]
pub struct UserInfoSource {
    /// The user service.
    pub service: Rc<Service>,
    /// The path, with claims in braces.
    pub path: PathTemplate,
    /// Header fields to send.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// Whether to send the public token as bearer token (OpenID Connect Core
    /// section 5.3.1).
    pub forward_token: bool,
    /// Where the reply must name its user, if required.
    pub subject_pointer: Option<String>,
    /// Identity claims to take from the reply, by JSON pointer (RFC 6901); when
    /// there are none, the whole reply becomes the claim `user`.
    pub claims: Vec<(String, String)>,
    /// The names of the claims filled from the reply.
    pub names: UserClaimNames,
    /// Identity claims that the reply must fill.
    pub required: Vec<String>,
    /// Identity claims that become headers and therefore must not contain control
    /// characters.
    pub header_claims: Vec<ClaimPath>,
    /// Whether a request passes when there is no answer.
    pub failure_mode: FailureMode,
    /// How long answers are cached.
    pub lifetimes: Lifetimes,
}

/// Whether a request passes when user info is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureMode {
    /// It is denied with 503.
    Deny,
    /// It is forwarded; the identity token has `enrichment: none`.
    Degrade,
}

/// How long answers are cached: `user_info.cache` in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// A user's data.
    pub ttl: Span,
    /// The fact that a user is unknown.
    pub negative_ttl: Span,
    /// How long after `ttl` data may be served while the service fails.
    pub stale_if_error: Span,
}

impl Lifetimes {
    /// How long a user counts as unknown, if the service lets that be used for `max_age`.
    fn negative(&self, max_age: Option<Span>) -> Span {
        max_age.map_or(self.negative_ttl, |age| age.min(self.negative_ttl))
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            ttl: Span::from_secs(60),
            negative_ttl: Span::from_secs(5),
            stale_if_error: Span::from_secs(300),
        }
    }
}

/// Everything that an answer depends on: all sent values that vary by user, and the
/// expected subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserKey {
    provider: ProviderId,
    // Shared: a key is kept with the answer, and with each request that waits for one.
    path: Secret<Rc<str>>,
    token: Option<Secret<Rc<str>>>,
    subject: Secret<Rc<str>>,
}

impl UserKey {
    /// The provider of the user's token.
    pub const fn provider(&self) -> ProviderId {
        self.provider
    }

    /// Its approximate size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let token = self.token.as_ref().map_or(0, |token| token.expose().len());
        let texts = [self.path.expose().len(), self.subject.expose().len(), token];
        texts.into_iter().fold(0, usize::saturating_add)
    }
}

/// Names of the identity claims that come from user info.
///
/// User info alone determines them: if the reply lacks one, the token's claim of the same
/// name does not replace it.
#[derive(Clone, Debug, Default)]
pub struct UserClaimNames(Rc<BTreeSet<String>>);

impl UserClaimNames {
    /// The names of these claims, or of the one that holds the whole reply.
    pub fn of(claims: &[(String, String)]) -> Self {
        match claims {
            [] => Self(Rc::new([WHOLE_REPLY_CLAIM.to_owned()].into())),
            claims => Self(Rc::new(claims.iter().map(|(name, _)| name.clone()).collect())),
        }
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// True if the claim of this name comes from user info.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// True if the claim at `path` comes from user info.
    pub fn decide(&self, path: &ClaimPath) -> bool {
        path.starts_at(|name| self.has(name))
    }
}

/// A user's data, mapped to identity claims.
pub struct UserInfo {
    claims: Map<String, Value>,
}

/// A service's answer.
#[derive(Clone, Debug)]
pub enum UserInfoAnswer {
    /// The user's data, and how long the service lets it be used.
    Known(Rc<UserInfo>, Option<Span>),
    /// The user does not exist, and how long the service lets that be used.
    Unknown(Option<Span>),
}

/// The name of the claim that holds the whole reply.
pub const WHOLE_REPLY_CLAIM: &str = "user";

impl UserInfoSource {
    /// The cache key for the user of `token` with these `claims`; `text` is the token as
    /// sent.
    // RFC 9111 section 2 (R63)
    pub fn key(
        &self,
        token: &Verified,
        claims: &Document,
        text: &[u8],
    ) -> Result<UserKey, Rejection> {
        let path = self.path.fill(claims).map_err(|error| match error {
            TemplateError::Missing(claim) => Rejection::ClaimMissing(claim),
            TemplateError::Unusable(claim) => Rejection::ClaimMismatch(claim),
        })?;
        let token_text = self.forward_token.then(|| String::from_utf8_lossy(text).into());
        Ok(UserKey {
            provider: token.provider(),
            path: Secret::new(path.into()),
            token: token_text.map(Secret::new),
            subject: Secret::new(Rc::clone(token.subject())),
        })
    }

    /// The request for the user's data.
    pub fn callout(&self, key: &UserKey) -> Callout {
        let mut headers = self.headers.clone();
        if let Some(token) = &key.token {
            let bearer = format!("Bearer {}", token.expose());
            headers.push((HeaderName::authorization(), Secret::new(bearer)));
        }
        let reads = ReplyFields::These(&["content-type"]);
        Callout {
            headers,
            reads,
            serves_all: true,
            ..Callout::get(&self.service, key.path.expose().to_string())
        }
    }

    /// Parses the reply to the request with this `key`.
    ///
    /// Only 2xx with a JSON object is an answer, and only about this user (OpenID Connect
    /// Core section 5.3.2); 404 and 410 mean that the user does not exist.
    /// A reply of the type `application/jwt` is signed by the provider, and `verify`
    /// returns its claims.
    // RFC 9110 section 15.6.4 (R61)
    // RFC 9110 section 15.4 (R62)
    pub fn read(
        &self,
        reply: &CalloutReply,
        key: &UserKey,
        verify: impl FnOnce(&[u8]) -> Result<Map<String, Value>, Rejection>,
    ) -> Result<UserInfoAnswer, UserInfoFailure> {
        let answer = match reply {
            CalloutReply::Answer(answer) => answer,
            CalloutReply::Failed(failure) => return Err(UserInfoFailure::NoAnswer(*failure)),
        };
        match answer.status {
            404 | 410 => Ok(UserInfoAnswer::Unknown(answer.max_age())),
            200..=299 => {
                let reply = if is_jwt(answer) {
                    verify(answer.body.trim_ascii()).map_err(UserInfoFailure::Token)?
                } else {
                    json::parse_object(&answer.body).map_err(UserInfoFailure::Json)?
                };
                self.read_user(reply, answer.max_age(), key.subject.expose())
            }
            status => Err(UserInfoFailure::Status(status)),
        }
    }

    fn read_user(
        &self,
        reply: Map<String, Value>,
        max_age: Option<Span>,
        subject: &str,
    ) -> Result<UserInfoAnswer, UserInfoFailure> {
        let reply = Value::Object(reply);
        if let Some(pointer) = &self.subject_pointer {
            match reply.pointer(pointer) {
                Some(Value::String(named)) if named == subject => {}
                Some(_) => return Err(UserInfoFailure::AnotherUser),
                None => return Err(UserInfoFailure::NoSubject(pointer.clone())),
            }
        }
        let claims = self.map(reply);
        for name in &self.required {
            if claims.get(name).is_none_or(Value::is_null) {
                return Err(UserInfoFailure::Missing(name.clone()));
            }
        }
        for path in &self.header_claims {
            if path.find(&claims).is_some_and(has_control_characters) {
                return Err(UserInfoFailure::ControlCharacter(path.to_string()));
            }
        }
        Ok(UserInfoAnswer::Known(Rc::new(UserInfo { claims }), max_age))
    }

    fn map(&self, reply: Value) -> Map<String, Value> {
        if self.claims.is_empty() {
            return json::object([(WHOLE_REPLY_CLAIM.to_owned(), reply)]);
        }
        let filled = |(name, pointer): &(String, String)| {
            Some((name.clone(), reply.pointer(pointer)?.clone()))
        };
        json::object(self.claims.iter().filter_map(filled))
    }

    /// The expiry of an answer that arrived at `came`: never later than the token's.
    pub fn current_until(
        &self,
        answer: &UserInfoAnswer,
        token_end: Option<UnixTime>,
        came: UnixTime,
    ) -> UnixTime {
        match answer {
            UserInfoAnswer::Known(_, max_age) => self.fresh_until(*max_age, token_end, came),
            UserInfoAnswer::Unknown(max_age) => came.plus(self.lifetimes.negative(*max_age)),
        }
    }

    /// The expiry of an answer for a token that is valid until `token_end`: never later
    /// than the token's.
    pub fn fresh_until(
        &self,
        max_age: Option<Span>,
        token_end: Option<UnixTime>,
        now: UnixTime,
    ) -> UnixTime {
        let ttl = max_age.map_or(self.lifetimes.ttl, |age| age.min(self.lifetimes.ttl));
        let end = now.plus(ttl);
        token_end.map_or(end, |token_end| end.min(token_end))
    }
}

impl UserInfo {
    /// User info in a token that the gateway minted earlier.
    pub(crate) const fn from_token(claims: Map<String, Value>) -> Self {
        Self { claims }
    }

    /// The identity claims.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Its approximate size in bytes.
    pub fn bytes(&self) -> usize {
        json::memory(&self.claims)
    }
}

impl fmt::Debug for UserInfo {
    /// Names only: the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.claims.keys()).finish()
    }
}

/// Whether a reply is a JWT (RFC 7519 section 10.3.1).
fn is_jwt(answer: &Answer) -> bool {
    let media_type = answer.fields.values("content-type").next().unwrap_or_default();
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/jwt")
}

fn has_control_characters(value: Json<'_>) -> bool {
    match value {
        Json::Text(text) => text.chars().any(char::is_control),
        Json::Array(items) => items.iter().any(has_control_characters),
        // Objects become JSON text, which escapes them.
        _ => false,
    }
}

/// Why there is no answer about a user.
#[derive(Debug)]
pub enum UserInfoFailure {
    /// No reply.
    NoAnswer(CalloutFailure),
    /// A status other than 2xx, 404 and 410.
    Status(u16),
    /// Not an acceptable JSON object.
    Json(JsonError),
    /// A JWT that fails verification.
    Token(Rejection),
    /// The reply is about another user.
    AnotherUser,
    /// The reply lacks the required name of its subject.
    NoSubject(String),
    /// A required claim is not in the reply.
    Missing(String),
    /// A claim for a header has control characters.
    ControlCharacter(String),
}

impl fmt::Display for UserInfoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::Token(rejection) => write!(f, "the reply is a JWT: {rejection}"),
            Self::AnotherUser => f.write_str("the reply is about another user"),
            Self::NoSubject(pointer) => {
                write!(f, "the reply has no subject at {pointer:?}: see subject_pointer")
            }
            Self::Missing(claim) => write!(f, "the reply has no value for claim {claim:?}"),
            Self::ControlCharacter(claim) => {
                write!(f, "claim {claim:?} has control characters, which no header can carry")
            }
        }
    }
}
