//! What operators read: one JSON object a line.
//!
//! Lines name what happened and to whom, never a token, a key, a header value
//! that a client chose freely, or what a service said of a user.

use std::rc::Rc;

use log::Level;
use serde_json::{Value, json};

use crate::consumer::Consumer;
use crate::denial::{Denial, ErrorFormat};
use crate::identity::{MintError, ScheduleGap};
use crate::introspection::IntrospectionFailure;
use crate::keys::{Algorithm, AlgorithmSet, Crypto, SkippedKey};
use crate::refresh::FetchError;
use crate::revocation::{FeedError, ListId, Submitted};
use crate::sealing::LoginFailure;
use crate::session::Session;
use crate::token::Provider;
use crate::user_info::UserInfoFailure;
use crate::verdict::AccessNote;

/// A line for the host's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How bad it is.
    pub level: Level,
    /// A JSON object in one line.
    pub text: String,
}

/// How far a request came. Made for every request, so it copies no text.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Position of the rule that matched.
    pub rule: Option<usize>,
    /// The provider that the token is from.
    pub provider: Option<Rc<Provider>>,
    /// Whose the token is.
    pub consumer: Option<Rc<Consumer>>,
    /// What the access log may print.
    pub note: AccessNote,
}

impl Trace {
    /// Notes whose token it is, found to be valid at some time.
    pub fn knows(&mut self, session: &Session) {
        self.consumer = session.who().consumer().cloned();
        self.note = session.note().clone();
    }
}

impl LogLine {
    /// A request was denied.
    pub fn denied(
        request_id: Option<&str>,
        denial: &Denial,
        format: ErrorFormat,
        trace: &Trace,
    ) -> Self {
        Self::decided("denied", request_id, denial, format, trace)
    }

    /// A request was forwarded that is denied outside of shadow mode.
    pub fn would_deny(
        request_id: Option<&str>,
        denial: &Denial,
        format: ErrorFormat,
        trace: &Trace,
    ) -> Self {
        Self::decided("would_deny", request_id, denial, format, trace)
    }

    fn decided(
        event: &str,
        request_id: Option<&str>,
        denial: &Denial,
        format: ErrorFormat,
        trace: &Trace,
    ) -> Self {
        let status = denial.status(format);
        let text = json!({
            "event": event,
            "code": denial.code().name(),
            "status": status,
            "rule": trace.rule,
            "provider": trace.provider.as_ref().map(|provider| &provider.name),
            "consumer": trace.consumer.as_ref().map(|consumer| consumer.name()),
            "request_id": request_id,
        });
        // What the client did is no fault here; what a service did is.
        let level = if status >= 500 { Level::Warn } else { Level::Info };
        Self { level, text: text.to_string() }
    }

    /// A fetch of a provider's keys failed.
    pub fn keys_not_fetched(provider: &str, error: &FetchError) -> Self {
        let text = json!({
            "event": "keys_not_fetched", "provider": provider, "cause": error.to_string(),
        });
        Self { level: Level::Warn, text: text.to_string() }
    }

    /// A key of a provider's set cannot be used.
    pub fn key_skipped(provider: &str, key: &SkippedKey) -> Self {
        let text = json!({
            "event": "key_skipped", "provider": provider, "cause": key.to_string(),
        });
        Self { level: Level::Debug, text: text.to_string() }
    }

    /// The user-info service gave no usable answer.
    pub fn user_info_failed(service: &str, failure: &UserInfoFailure) -> Self {
        let text = json!({
            "event": "user_info_failed", "service": service, "cause": failure.to_string(),
        });
        Self { level: Level::Warn, text: text.to_string() }
    }

    /// A provider could not be asked about a reference token.
    pub fn introspection_failed(provider: &str, failure: &IntrospectionFailure) -> Self {
        let text = json!({
            "event": "introspection_failed", "provider": provider, "cause": failure.to_string(),
        });
        Self { level: Level::Warn, text: text.to_string() }
    }

    /// The feed of a list of tokens could not be read.
    pub fn tokens_not_listed(list: ListId, error: &FeedError) -> Self {
        let text = json!({
            "event": "tokens_not_listed", "list": list.name(), "cause": error.to_string(),
        });
        Self { level: Level::Warn, text: text.to_string() }
    }

    /// The service of a login gave no reply that may be passed on.
    pub fn login_failed(service: &str, failure: &LoginFailure) -> Self {
        let text = json!({
            "event": "login_failed", "service": service, "cause": failure.to_string(),
        });
        Self { level: Level::Warn, text: text.to_string() }
    }

    /// An entry of a feed has a member that says nothing to the gateway.
    pub fn member_ignored(list: ListId, member: &str) -> Self {
        let text = json!({
            "event": "entry_member_ignored", "list": list.name(), "member": member,
        });
        Self { level: Level::Info, text: text.to_string() }
    }

    /// Somebody who may revoked tokens, or took a revocation back.
    pub fn revoked(submitted: &Submitted, request_id: Option<&str>, trace: &Trace) -> Self {
        let text = json!({
            "event": "revoked",
            "entries": submitted.entries,
            "names": submitted.names,
            "taken_back": submitted.taken_back,
            "provider": trace.provider.as_ref().map(|provider| &provider.name),
            "consumer": trace.consumer.as_ref().map(|consumer| &consumer.key),
            "subject": trace.note.subject.as_deref(),
            "request_id": request_id,
        });
        Self { level: Level::Info, text: text.to_string() }
    }

    /// There is a time at which no key may sign identity tokens.
    pub fn nobody_signs(gap: ScheduleGap) -> Self {
        let text = json!({ "event": "nobody_signs", "cause": gap.to_string() });
        Self { level: Level::Warn, text: text.to_string() }
    }

    /// Nothing is enforced.
    pub fn shadow_mode() -> Self {
        let cause = "requests that would be denied are forwarded without identity";
        let text = json!({ "event": "shadow_mode", "cause": cause });
        Self { level: Level::Warn, text: text.to_string() }
    }

    /// Who computes the signatures that are verified, and those of the
    /// algorithms in `signing`.
    pub fn crypto(crypto: &Crypto, signing: AlgorithmSet) -> Self {
        let by = |host: AlgorithmSet, all: AlgorithmSet| {
            let all = all.iter().map(|algorithm| {
                let by = if host.contains(algorithm) { "host" } else { "module" };
                (algorithm.name().to_owned(), Value::from(by))
            });
            Value::Object(all.collect())
        };
        let text = json!({
            "event": "crypto",
            "verify": by(crypto.host_verifies(), Algorithm::ALL.into_iter().collect()),
            "sign": by(crypto.host_signs(), signing),
        });
        Self { level: Level::Info, text: text.to_string() }
    }

    /// The host would not do what a request needs; the request got 500.
    pub fn host_error(cause: &str) -> Self {
        let text = json!({ "event": "host_error", "cause": cause });
        Self { level: Level::Error, text: text.to_string() }
    }

    /// No identity token could be made.
    pub fn not_minted(error: &MintError) -> Self {
        let text = json!({ "event": "identity_not_minted", "cause": error.to_string() });
        Self { level: Level::Error, text: text.to_string() }
    }
}
