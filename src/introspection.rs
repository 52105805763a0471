//! Reference tokens: opaque tokens whose claims come from their issuer's introspection
//! endpoint (RFC 7662).
//!
//! Owns the introspection request, the strict parsing of the response, and its lifetime
//! in the cache. The claims of a response are checked like those of a JWT; see
//! [`Provider::accept_introspected`](crate::token::Provider).

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::bounded::ByText;
use crate::callout::{Callout, CalloutFailure, CalloutReply, Service};
use crate::denial::Denial;
use crate::http::{HeaderName, is_bearer_token, percent_encode};
use crate::json::{self, Document, JsonError};
use crate::secret::Secret;
use crate::time::{Period, Span, UnixTime};
use crate::token::{ProviderId, Rejection, Verified, numeric_date};

/// How to introspect tokens: `introspection` of a provider in the configuration.
#[derive(Debug)]
pub struct IntrospectionEndpoint {
    /// The introspection service.
    pub service: Rc<Service>,
    /// Its path.
    pub path: String,
    /// The gateway's credentials as a client of the issuer.
    pub client: ClientAuth,
    /// Whether JWTs are introspected too.
    pub jwts: bool,
    /// `token_type_hint` (RFC 7662 section 2.1).
    pub token_type_hint: Option<String>,
    /// Whether a response must name its issuer. Only the provider's own endpoint is
    /// queried, so a response that names none may be trusted to be the provider's.
    pub require_issuer: bool,
    /// How long a response is cached, at most.
    pub ttl: Span,
    /// How long an inactive token is cached.
    pub negative_ttl: Span,
}

/// How the gateway authenticates to the issuer: `client_auth` in the configuration.
#[derive(Debug)]
pub enum ClientAuth {
    /// With this value of `Authorization`.
    Header(Secret<String>),
    /// With these encoded pairs in the form itself (RFC 6749 section 2.3.1).
    Form(Secret<String>),
}

/// The issuer's response about a token.
#[derive(Clone, Debug)]
pub enum IntrospectionAnswer {
    /// Active, with these claims.
    Active(Document),
    /// Inactive: expired, revoked, or never issued.
    Inactive,
}

impl IntrospectionEndpoint {
    /// The introspection request for `token`.
    pub fn callout(&self, token: &[u8]) -> Callout {
        let mut form = format!("token={}", percent_encode(token));
        if let Some(hint) = &self.token_type_hint {
            form.push_str("&token_type_hint=");
            form.push_str(&percent_encode(hint.as_bytes()));
        }
        // It only asks (RFC 7662 section 2.1).
        let callout = |form| Callout {
            may_repeat: true,
            ..Callout::post_form(&self.service, self.path.clone(), form)
        };
        match &self.client {
            ClientAuth::Header(authorization) => {
                let mut callout = callout(form);
                callout.headers.push((HeaderName::authorization(), authorization.clone()));
                callout
            }
            ClientAuth::Form(pairs) => callout(format!("{form}&{}", pairs.expose())),
        }
    }

    /// Reads a reply: 200 with a JSON object whose `active` is a boolean (RFC 7662
    /// section 2.2). Anything else is a failure.
    pub fn read(reply: &CalloutReply) -> Result<IntrospectionAnswer, IntrospectionFailure> {
        let answer = match reply {
            CalloutReply::Answer(answer) if answer.status == 200 => answer,
            CalloutReply::Answer(answer) => {
                return Err(IntrospectionFailure::Status(answer.status));
            }
            CalloutReply::Failed(failure) => return Err(IntrospectionFailure::NoAnswer(*failure)),
        };
        let mut members = json::parse_object(&answer.body).map_err(IntrospectionFailure::Json)?;
        match members.remove("active") {
            Some(Value::Bool(true)) => Ok(IntrospectionAnswer::Active(Document::of(&members))),
            Some(Value::Bool(false)) => Ok(IntrospectionAnswer::Inactive),
            _ => Err(IntrospectionFailure::NotSaid),
        }
    }
}

impl ClientAuth {
    /// Basic (RFC 6749 section 2.3.1: both parts are form-encoded first).
    pub fn basic(client_id: &str, client_secret: &Secret<String>) -> Self {
        let secret = percent_encode(client_secret.expose().as_bytes());
        Self::of_pair(&percent_encode(client_id.as_bytes()), &secret)
    }

    /// Basic according to RFC 7617, without that encoding: for issuers that do not decode
    /// it.
    pub fn basic_raw(client_id: &str, client_secret: &Secret<String>) -> Self {
        Self::of_pair(client_id, client_secret.expose())
    }

    /// In the form.
    pub fn post(client_id: &str, client_secret: &Secret<String>) -> Self {
        let id = percent_encode(client_id.as_bytes());
        let secret = percent_encode(client_secret.expose().as_bytes());
        Self::Form(Secret::new(format!("client_id={id}&client_secret={secret}")))
    }

    /// By a bearer token of the gateway's own (RFC 7662 section 2.1).
    pub fn bearer(token: &Secret<String>) -> Self {
        Self::Header(Secret::new(format!("Bearer {}", token.expose())))
    }

    fn of_pair(id: &str, secret: &str) -> Self {
        let pair = STANDARD.encode(format!("{id}:{secret}"));
        Self::Header(Secret::new(format!("Basic {pair}")))
    }
}

/// True for a reference token: one without the two dots of a compact JWS. It consists of
/// the characters of RFC 6750 section 2.1.
pub fn is_reference(token: &[u8]) -> bool {
    token.iter().filter(|byte| **byte == b'.').count() != 2 && is_bearer_token(token)
}

/// The claims of an introspection response, over the token's own `signed` claims. A
/// response about another issuer, subject, session or id is about another token. It cannot make
/// the token younger, which would spare it from a logout, nor extend its life.
pub(crate) fn completed(
    signed: Option<Map<String, Value>>,
    said: &Document,
) -> Result<Map<String, Value>, Rejection> {
    let said = said.members().to_map();
    let mut members = signed.unwrap_or_default();
    for name in ["iss", "sub", "jti", "sid"] {
        if let (Some(own), Some(other)) = (members.get(name), said.get(name))
            && own != other
        {
            return Err(match name {
                "iss" => Rejection::unknown_issuer(&said),
                name => Rejection::ClaimMismatch(name.into()),
            });
        }
    }
    let earlier = |name| {
        let (own, said) = (numeric_date(&members, name).ok()??, numeric_date(&said, name).ok()??);
        (own < said).then(|| members.get(name).cloned()).flatten().map(|own| (name, own))
    };
    let earlier: Vec<(&str, Value)> = ["iat", "exp"].into_iter().filter_map(earlier).collect();
    members.extend(said);
    members.extend(earlier.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(members)
}

/// A provider's endpoint, and the tokens recently refused after introspection. Accepted
/// ones are among the sessions.
#[derive(Debug)]
pub(crate) struct Introspection {
    pub provider: ProviderId,
    pub endpoint: IntrospectionEndpoint,
    /// Separate from accepted tokens, and small: anybody can make up bad tokens.
    refused: ByText<(Denial, Period)>,
}

/// Memory for refused tokens.
const MAX_REFUSED_BYTES: usize = 1024 * 1024;

impl Introspection {
    /// Caches at most `max_entries` refused tokens. Whoever knows `secret` might find another
    /// text for one.
    pub(crate) fn new(
        provider: ProviderId,
        endpoint: IntrospectionEndpoint,
        max_entries: usize,
        secret: &[u8],
    ) -> Self {
        Self { provider, endpoint, refused: ByText::new(max_entries, MAX_REFUSED_BYTES, secret) }
    }

    /// Why `token` was refused, for `resource` or for all, if that still holds. A refusal
    /// from the future, after the clock was set back, does not.
    pub(crate) fn refusal(
        &mut self,
        token: &[u8],
        resource: &str,
        now: UnixTime,
    ) -> Option<Denial> {
        [RefusedFor::Everything, RefusedFor::Resource(resource)].into_iter().find_map(|refused| {
            let key = refused.key(token);
            let (denial, holds) = self.refused.get_mut(&key)?;
            if holds.contains(now) {
                return Some(denial.clone());
            }
            self.refused.remove(&key);
            None
        })
    }

    /// Caches a refusal; otherwise a client that repeats a bad token would cause a
    /// callout each time.
    pub(crate) fn cache_refusal(
        &mut self,
        token: &[u8],
        refused: RefusedFor<'_>,
        denial: Denial,
        now: UnixTime,
    ) {
        let holds = Period::of(now, self.endpoint.negative_ttl);
        let key = refused.key(token);
        self.refused.insert(&key, (denial, holds), key.len());
    }

    /// How long a response that arrived `at` this time may be used.
    // RFC 7662 section 4: "the response MUST NOT be cached beyond the time indicated
    // therein" (R67)
    pub(crate) fn serves(&self, token: &Verified, at: UnixTime) -> Period {
        let end = at.plus(self.endpoint.ttl);
        Period::new(at, token.expires().map_or(end, |exp| exp.min(end)))
    }
}

/// What a token was refused for. A token for another resource is not refused there.
#[derive(Clone, Copy)]
pub(crate) enum RefusedFor<'a> {
    /// Any request.
    Everything,
    /// Requests for the resource of this name; if empty, those for none.
    Resource(&'a str),
}

impl RefusedFor<'_> {
    /// No reference token contains a space.
    fn key<'t>(&self, token: &'t [u8]) -> Cow<'t, [u8]> {
        match self {
            Self::Everything => token.into(),
            Self::Resource(name) => [token, name.as_bytes()].join(&b' ').into(),
        }
    }
}

/// Why introspection failed.
#[derive(Debug)]
pub enum IntrospectionFailure {
    /// No reply.
    NoAnswer(CalloutFailure),
    /// A status other than 200; 401 if the gateway's own credentials are wrong.
    Status(u16),
    /// Not an acceptable JSON object.
    Json(JsonError),
    /// `active` is missing, or not a boolean.
    NotSaid,
}

impl fmt::Display for IntrospectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(401) => f.write_str("status 401: the gateway's own credentials"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::NotSaid => f.write_str("the reply has no boolean \"active\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_by_their_form() {
        for (case, token, expected) in [
            ("opaque", "tGzv3JOkF0XG5Qx2TlKWIA", true),
            ("with one dot", "ory_at.x1", true),
            ("five parts", "a.b.c.d.e", true),
            ("padded", "abc+/==", true),
            ("a JWS", "a.b.c", false),
            ("an empty JWS", "..", false),
            ("nothing", "", false),
            ("not a token", "abc def", false),
            ("not ASCII", "abc\u{e9}", false),
        ] {
            assert_eq!(is_reference(token.as_bytes()), expected, "{case}");
        }
    }

    /// What servers read of it: made here by hand from the RFCs.
    #[test]
    fn credentials() {
        let secret = Secret::new("p:%+ä".to_owned());
        let header = |auth| match auth {
            ClientAuth::Header(value) => value.expose().clone(),
            ClientAuth::Form(pairs) => pairs.expose().clone(),
        };
        let encoded = header(ClientAuth::basic("gate way", &secret));
        assert_eq!(encoded, "Basic Z2F0ZSUyMHdheTpwJTNBJTI1JTJCJUMzJUE0");
        // printf 'gate way:p:%%+ä' | base64
        assert_eq!(
            header(ClientAuth::basic_raw("gate way", &secret)),
            "Basic Z2F0ZSB3YXk6cDolK8Ok"
        );
        let form = "client_id=gate%20way&client_secret=p%3A%25%2B%C3%A4";
        assert_eq!(header(ClientAuth::post("gate way", &secret)), form);
        assert_eq!(header(ClientAuth::bearer(&Secret::new("t0k".to_owned()))), "Bearer t0k");
    }
}
