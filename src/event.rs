//! What operators read: one JSON object a line.
//!
//! Lines name what happened and to whom, never a token, a key, a header value
//! that a client chose freely, or what a service said of a user.

use std::rc::Rc;

use log::Level;
use serde_json::{Value, json};

use crate::consumer::Consumer;
use crate::denial::Denial;
use crate::http::RequestHead;
use crate::identity::{MintError, ScheduleGap};
use crate::introspection::IntrospectionFailure;
use crate::keys::{Algorithm, AlgorithmSet, Crypto, SkippedKey};
use crate::refresh::FetchError;
use crate::revocation::{FeedError, ListId};
use crate::token::Provider;
use crate::user_info::UserInfoFailure;

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
}

/// Request ids are chosen by the client or the host; longer ones are cut.
const MAX_REQUEST_ID: usize = 64;

fn request_id(head: &RequestHead) -> Option<String> {
    // JSON leaves some line breaks of Unicode as they are.
    let shown = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    let id = head.first("x-request-id")?;
    Some(id.iter().take(MAX_REQUEST_ID).map(shown).collect())
}

impl LogLine {
    /// A request was denied.
    pub fn denied(head: &RequestHead, denial: &Denial, trace: &Trace) -> Self {
        let text = json!({
            "event": "denied",
            "code": denial.code(),
            "status": denial.status(),
            "rule": trace.rule,
            "provider": trace.provider.as_ref().map(|provider| &provider.name),
            "consumer": trace.consumer.as_ref().map(|consumer| &consumer.key),
            "request_id": request_id(head),
        });
        // What the client did is no fault here; what a service did is.
        let level = if denial.status() >= 500 { Level::Warn } else { Level::Info };
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

    /// Somebody who may revoked tokens.
    pub fn revoked(entries: usize, head: &RequestHead, trace: &Trace) -> Self {
        let text = json!({
            "event": "revoked",
            "entries": entries,
            "provider": trace.provider.as_ref().map(|provider| &provider.name),
            "consumer": trace.consumer.as_ref().map(|consumer| &consumer.key),
            "request_id": request_id(head),
        });
        Self { level: Level::Info, text: text.to_string() }
    }

    /// There is a time at which no key may sign identity tokens.
    pub fn nobody_signs(gap: ScheduleGap) -> Self {
        let text = json!({ "event": "nobody_signs", "cause": gap.to_string() });
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

    /// The host would not edit a request's headers; the request got 500.
    pub fn headers_not_edited() -> Self {
        let text = json!({ "event": "host_error", "cause": "headers could not be edited" });
        Self { level: Level::Error, text: text.to_string() }
    }

    /// No identity token could be made.
    pub fn not_minted(error: &MintError) -> Self {
        let text = json!({ "event": "identity_not_minted", "cause": error.to_string() });
        Self { level: Level::Error, text: text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        for (case, id, expected) in [
            ("an id", "9c3f-1", "9c3f-1"),
            ("a line more", "1\r\n{\"event\":1}", "1??{\\\"event\\\":1}"),
            ("a line of Unicode", "1\u{85}2\u{2028}3\u{7f}", "1??2???3?"),
            ("escape codes", "\u{1b}[2J", "?[2J"),
        ] {
            let head = RequestHead::new([("x-request-id".to_owned(), id.as_bytes().to_vec())]);
            let line = LogLine::denied(&head, &Denial::TokenMissing, &Trace::default());
            let shown = format!("\"request_id\":\"{expected}\"");
            assert!(line.text.contains(&shown), "{case}: {}", line.text);
            assert!(!line.text.chars().any(char::is_control), "{case}");
        }
        let head = RequestHead::new([("x-request-id".to_owned(), vec![b'a'; 1000])]);
        let line = LogLine::denied(&head, &Denial::TokenMissing, &Trace::default());
        assert!(line.text.contains(&"a".repeat(64)) && !line.text.contains(&"a".repeat(65)));
    }
}
