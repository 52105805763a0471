//! Log events for operators: one JSON object per line.
//!
//! A line names the event and its subject. It never contains a token, a key, a header
//! value that a client chose freely, or a service's data about a user.

use std::fmt;
use std::rc::Rc;

use log::Level;
use serde::Serialize;
use serde_json::{Value, json};

use crate::access_log::AccessLogFields;
use crate::callout::Service;
use crate::consumer::Consumer;
use crate::denial::{Code, Denial};
use crate::features;
use crate::host::HostFailure;
use crate::http::log_word;
use crate::identity::{MintError, ScheduleGap};
use crate::introspection::IntrospectionFailure;
use crate::keys::{Algorithm, AlgorithmSet, SkippedKey};
use crate::refresh::FetchError;
use crate::resource::Resource;
use crate::revocation::{FeedError, ListId, Submitted};
use crate::sealing::LoginFailure;
use crate::session::Session;
use crate::signals::ForwardError;
use crate::token::{Provider, TokenContent, TokenNames};
use crate::user_info::UserInfoFailure;

/// The steps of a request, in order. A step may have nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its head: sanitizing, and requests for the gateway itself.
    #[default]
    Head,
    /// The rule that applies to it.
    Rule,
    /// Finding its token.
    Token,
    /// Verification of the token, by signature or by introspection.
    Verify,
    /// The revocation check.
    Revocation,
    /// Resolution of the token's consumer.
    Consumer,
    /// The rule's requirements for token and consumer.
    Authorize,
    /// The request to the user service.
    UserInfo,
    /// The rule's requirements for user info.
    AuthorizeUser,
    /// Minting of its identity token.
    Mint,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 10] = [
        Self::Head,
        Self::Rule,
        Self::Token,
        Self::Verify,
        Self::Revocation,
        Self::Consumer,
        Self::Authorize,
        Self::UserInfo,
        Self::AuthorizeUser,
        Self::Mint,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Rule => "rule",
            Self::Token => "token",
            Self::Verify => "verify",
            Self::Revocation => "revocation",
            Self::Consumer => "consumer",
            Self::Authorize | Self::AuthorizeUser => "authorize",
            Self::UserInfo => "user info",
            Self::Mint => "mint",
        }
    }
}

/// The progress of a request. One is made per request, so it copies no text.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The current step, or the one that ended the request.
    pub stage: Stage,
    /// Position of the rule that matched.
    pub rule: Option<usize>,
    /// The resource that the request is for.
    pub resource: Option<Rc<Resource>>,
    /// The provider that the token is from.
    pub provider: Option<Rc<Provider>>,
    /// The token's unverified header and claims, if it is not a cached one.
    pub token: Option<TokenContent>,
    /// The token's consumer.
    pub consumer: Option<Rc<Consumer>>,
    /// Fields for the access log.
    pub access_log: AccessLogFields,
}

impl Trace {
    /// Records the holder of the token, which was valid when it was verified.
    pub fn authenticated(&mut self, session: &Session) {
        self.consumer = session.principal().consumer().cloned();
        self.access_log = session.access_log();
    }
}

/// A request that was denied, or would be.
#[derive(Debug)]
pub struct DeniedRequest {
    /// The code.
    pub code: Code,
    /// The reason in words, with the value found.
    pub detail: String,
    /// The status of the reply.
    pub status: u16,
    /// The method and the path, without the query, which may contain secrets.
    pub target: (String, String),
    /// Its progress.
    pub trace: Trace,
    /// The request id of the host or the client.
    pub request_id: Option<String>,
}

/// How a revocation reached the gateway.
#[derive(Debug)]
pub enum RevokedBy {
    /// By a request to the endpoint of `revocation`.
    Endpoint,
    /// By a logout token.
    Logout,
    /// By a security event.
    Events {
        /// The sender.
        transmitter: String,
        /// The types of the events.
        kinds: Vec<&'static str>,
    },
    /// By a request to another node.
    Node,
}

impl RevokedBy {
    fn json(&self) -> Value {
        match self {
            Self::Endpoint => json!({"by": "endpoint"}),
            Self::Logout => json!({"by": "logout"}),
            Self::Node => json!({"by": "node"}),
            Self::Events { transmitter, kinds } => {
                json!({"by": "events", "transmitter": log_word(transmitter), "kinds": kinds})
            }
        }
    }
}

/// An event for operators. It becomes text only when it is written.
#[derive(Debug)]
pub enum Event {
    /// A request was denied.
    Denied(DeniedRequest),
    /// A request was forwarded that would be denied outside shadow mode.
    WouldDeny(DeniedRequest),
    /// A request that was forwarded ended with its token.
    StreamEnded(DeniedRequest),
    /// The host refused to send a callout to this service.
    NotSent(Rc<Service>),
    /// A fetch of a provider's keys failed.
    KeysNotFetched(String, FetchError),
    /// A key of a provider's set cannot be used.
    KeySkipped(String, SkippedKey),
    /// The user-info service gave no usable answer.
    UserInfoFailed(String, UserInfoFailure),
    /// A reference token could not be introspected.
    IntrospectionFailed(String, IntrospectionFailure),
    /// The feed of a list of tokens could not be read.
    TokensNotListed(ListId, FeedError),
    /// The service of a login gave no reply that may be passed on.
    LoginFailed(String, LoginFailure),
    /// An entry of a feed has a member that the gateway does not know.
    MemberIgnored(ListId, String),
    /// An authorized client revoked tokens or withdrew a revocation.
    Revoked {
        /// The change.
        submitted: Submitted,
        /// How it arrived.
        by: RevokedBy,
        /// The progress of the request.
        trace: Trace,
        /// The request id of the host or the client.
        request_id: Option<String>,
    },
    /// A transmitter reported the state of its event stream: while paused or disabled, it
    /// sends no events.
    StreamUpdated(String, String),
    /// The service of the feed did not accept the revocations of a signal.
    NotForwarded(String, ForwardError),
    /// Another node revoked something that is not revoked here.
    AnnouncementNotApplied(Denial),
    /// There is a time when no key may sign identity tokens.
    NobodySigns(ScheduleGap),
    /// Shadow mode: nothing is enforced.
    ShadowMode,
    /// A gateway begins to use a configuration.
    Started {
        /// The configuration, as in `gatepass_config_hash`.
        config_hash: u64,
        /// The algorithms that the host verifies; the module itself verifies the others.
        host_verifies: AlgorithmSet,
        /// The algorithms that the host signs with.
        host_signs: AlgorithmSet,
        /// The algorithms that identity tokens are signed with.
        signing: AlgorithmSet,
    },
    /// The host failed to do what a request needs; the request got 500.
    HostError(HostFailure),
    /// No identity token could be made.
    NotMinted(MintError),
    /// The event of a callout that was sent for the request with this id.
    ForRequest(String, Box<Self>),
}

impl Event {
    /// The same event, of a callout that was sent for the request with this id.
    pub(crate) fn for_request(self, request_id: &str) -> Self {
        Self::ForRequest(request_id.to_owned(), Box::new(self))
    }

    /// The severity.
    pub fn level(&self) -> Level {
        match self {
            Self::ForRequest(_, event) => event.level(),
            // A client's mistake is informational; a service's failure is a warning.
            Self::Denied(it) | Self::WouldDeny(it) if it.status < 500 => Level::Info,
            Self::StreamEnded(_) => Level::Info,
            Self::KeySkipped(..) => Level::Debug,
            Self::MemberIgnored(..) | Self::Revoked { .. } | Self::Started { .. } => Level::Info,
            Self::Denied(_)
            | Self::WouldDeny(_)
            | Self::NotSent(_)
            | Self::KeysNotFetched(..)
            | Self::UserInfoFailed(..)
            | Self::IntrospectionFailed(..)
            | Self::TokensNotListed(..)
            | Self::LoginFailed(..)
            | Self::StreamUpdated(..)
            | Self::NotForwarded(..)
            | Self::NobodySigns(_)
            | Self::ShadowMode => Level::Warn,
            Self::AnnouncementNotApplied(_) | Self::HostError(_) | Self::NotMinted(_) => {
                Level::Error
            }
        }
    }

    /// Its `event` in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ForRequest(_, event) => event.name(),
            Self::Denied(_) => "denied",
            Self::WouldDeny(_) => "would_deny",
            Self::StreamEnded(_) => "stream_ended",
            Self::NotSent(_) => "not_sent",
            Self::KeysNotFetched(..) => "keys_not_fetched",
            Self::KeySkipped(..) => "key_skipped",
            Self::UserInfoFailed(..) => "user_info_failed",
            Self::IntrospectionFailed(..) => "introspection_failed",
            Self::TokensNotListed(..) => "tokens_not_listed",
            Self::LoginFailed(..) => "login_failed",
            Self::MemberIgnored(..) => "entry_member_ignored",
            Self::Revoked { .. } => "revoked",
            Self::StreamUpdated(..) => "stream_updated",
            Self::NotForwarded(..) => "revocation_not_forwarded",
            Self::AnnouncementNotApplied(_) => "announcement_not_applied",
            Self::NobodySigns(_) => "nobody_signs",
            Self::ShadowMode => "shadow_mode",
            Self::Started { .. } => "started",
            Self::HostError(_) => "host_error",
            Self::NotMinted(_) => "identity_not_minted",
        }
    }

    /// The JSON object for the log line.
    pub fn json(&self) -> Value {
        let event = self.name();
        let caused =
            |cause: &dyn fmt::Display| json!({ "event": event, "cause": cause.to_string() });
        let failed = |of: &str, name: &str, cause: &dyn fmt::Display| json!({ "event": event, (of): name, "cause": cause.to_string() });
        match self {
            Self::Denied(it) | Self::WouldDeny(it) | Self::StreamEnded(it) => {
                serde_json::to_value(it.line(event)).unwrap_or_default()
            }
            Self::NotSent(service) => json!({
                "event": event,
                "service": service.name,
                "upstream": service.upstream,
                "cause": not_sent(&service.upstream),
            }),
            Self::KeysNotFetched(provider, error) => failed("provider", provider, error),
            Self::KeySkipped(provider, key) => failed("provider", provider, key),
            Self::UserInfoFailed(service, failure) => failed("service", service, failure),
            Self::IntrospectionFailed(provider, failure) => failed("provider", provider, failure),
            Self::TokensNotListed(list, error) => failed("list", list.name(), error),
            Self::LoginFailed(service, failure) => failed("service", service, failure),
            Self::NotForwarded(service, error) => failed("service", service, error),
            Self::MemberIgnored(list, member) => {
                json!({ "event": event, "list": list.name(), "member": member })
            }
            Self::StreamUpdated(transmitter, status) => json!({
                "event": event,
                "transmitter": log_word(transmitter),
                "status": status,
            }),
            Self::Revoked { submitted, by, trace, request_id } => {
                merged(by.json(), revoked(event, submitted, trace, request_id.as_deref()))
            }
            Self::NobodySigns(gap) => caused(gap),
            Self::ShadowMode => caused(&SHADOW_MODE),
            Self::Started { config_hash, host_verifies, host_signs, signing } => merged(
                of_build(),
                json!({
                    "event": event,
                    "config_hash": config_hash,
                    "verify": computed(Algorithm::in_build(), *host_verifies),
                    "sign": computed(signing.iter(), *host_signs),
                }),
            ),
            Self::AnnouncementNotApplied(denial) => caused(denial),
            Self::HostError(failure) => caused(failure),
            Self::NotMinted(error) => caused(error),
            Self::ForRequest(id, event) => merged(event.json(), json!({ "request_id": id })),
        }
    }
}

const SHADOW_MODE: &str = "requests that would be denied are forwarded without identity";

/// The line of a request that was denied, in the order of its members' names.
#[derive(Serialize)]
struct DeniedLine<'a> {
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Box<str>>,
    code: &'static str,
    consumer: Option<&'a str>,
    detail: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<Box<str>>,
    method: &'a str,
    path: &'a str,
    provider: Option<&'a str>,
    request_id: Option<&'a str>,
    rule: Option<usize>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<Box<str>>,
}

impl DeniedRequest {
    /// What the token says is there only if it was read for this request.
    fn line<'a>(&'a self, event: &'a str) -> DeniedLine<'a> {
        let Self { code, detail, status, target: (method, path), trace, request_id } = self;
        let names = trace.token.as_ref().map(TokenContent::names).unwrap_or_default();
        let TokenNames { iss, aud, kid, typ, alg } = names;
        DeniedLine {
            actor: trace.access_log.actor.as_deref(),
            alg,
            aud,
            code: code.name(),
            consumer: trace.consumer.as_ref().map(|consumer| consumer.name()),
            detail,
            event,
            iss,
            kid,
            method,
            path,
            provider: trace.provider.as_ref().map(|provider| provider.name.as_str()),
            request_id: request_id.as_deref(),
            rule: trace.rule,
            status: *status,
            typ,
        }
    }
}

impl fmt::Display for Event {
    /// The log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Anybody can cause it, so it is written without a tree of values.
            Self::Denied(it) | Self::WouldDeny(it) | Self::StreamEnded(it) => {
                let mut line = Vec::with_capacity(1024);
                let written = serde_json::to_writer(&mut line, &it.line(self.name()));
                written.map_err(|_| fmt::Error)?;
                f.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)
            }
            other => other.json().fmt(f),
        }
    }
}

fn revoked(event: &str, submitted: &Submitted, trace: &Trace, request_id: Option<&str>) -> Value {
    json!({
        "event": event,
        "entries": submitted.entries,
        "names": submitted.names,
        "issuers": submitted.issuers,
        "taken_back": submitted.withdrawn,
        "provider": trace.provider.as_ref().map(|provider| &provider.name),
        "consumer": trace.consumer.as_ref().map(|consumer| consumer.name()),
        "subject": trace.access_log.subject.as_deref(),
        "request_id": request_id,
    })
}

/// Merges two objects.
fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

/// The version, and the features that this build was made without, if there are any.
fn of_build() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let without: Vec<_> = features::left_out().map(|left_out| left_out.feature).collect();
    if without.is_empty() {
        json!({ "version": version })
    } else {
        json!({ "version": version, "without": without })
    }
}

/// Where each of these algorithms is computed.
fn computed(algorithms: impl IntoIterator<Item = Algorithm>, host: AlgorithmSet) -> Value {
    let by = |algorithm| if host.contains(algorithm) { "host" } else { "module" };
    let algorithms = algorithms.into_iter();
    Value::Object(algorithms.map(|it| (it.name().to_owned(), by(it).into())).collect())
}

/// What may keep a host from sending a request: none says which it was.
fn not_sent(upstream: &str) -> String {
    format!(
        "the host did not send the request and does not say why: on Envoy there is no such \
         cluster, its circuit breaker is open (then \
         cluster.{upstream}.upstream_rq_pending_overflow has grown), or the filter may not call \
         it; on Kong no such host:port, or nginx has no timer left (lua_max_pending_timers)"
    )
}
