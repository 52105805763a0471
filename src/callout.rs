//! An HTTP exchange with a service, as plain data.
//!
//! The core says what to send and reads what came back; the adapter does the
//! sending. Nothing here knows which host carries it.

use std::fmt;
use std::rc::Rc;

use crate::http::{Fields, HeaderName};
use crate::secret::Secret;
use crate::time::Span;

/// A service that the filter may call.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name in the configuration.
    pub name: String,
    /// How the host finds it: a cluster name on Envoy, `host:port` on Kong.
    pub upstream: String,
    /// The `:authority` to send; over TLS also the name to verify.
    pub authority: String,
    /// The `:scheme` to send; Kong turns TLS on by it.
    pub scheme: Scheme,
    /// How long an exchange may take.
    pub timeout: Span,
}

/// The scheme of a service's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As `:scheme` carries it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A request to be sent to a service.
#[derive(Clone, Debug)]
pub struct Callout {
    /// Whom to ask.
    pub service: Rc<Service>,
    /// The request method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Header fields beside the pseudo headers; their values may be secret.
    /// Without an `accept` among them JSON is asked for.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// The body, whose type is among the header fields.
    pub body: Option<Secret<Vec<u8>>>,
    /// Whether the header fields of the reply are to be read: all of them cost
    /// more than the body, and only a reply that is passed on needs them.
    pub wants_fields: bool,
}

impl Callout {
    /// A GET without header fields of its own.
    pub fn get(service: &Rc<Service>, path: String) -> Self {
        Self::new(service, "GET", path)
    }

    /// A POST of a form.
    pub fn post_form(service: &Rc<Service>, path: String, form: String) -> Self {
        let media_type = "application/x-www-form-urlencoded".to_owned();
        let headers = vec![(HeaderName::content_type(), Secret::new(media_type))];
        let body = Some(Secret::new(form.into_bytes()));
        Self { headers, body, ..Self::new(service, "POST", path) }
    }

    /// A request without header fields and body.
    pub fn new(service: &Rc<Service>, method: &'static str, path: String) -> Self {
        let (service, headers) = (Rc::clone(service), Vec::new());
        Self { service, method, path, headers, body: None, wants_fields: false }
    }
}

/// What came of a [`Callout`].
#[derive(Clone)]
pub enum CalloutReply {
    /// A whole answer.
    Answer(Answer),
    /// No answer that could be used.
    Failed(CalloutFailure),
}

/// A service's answer.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The first `Cache-Control` header.
    pub cache_control: Option<Vec<u8>>,
    /// The header fields, if [`Callout::wants_fields`] asked for them.
    pub fields: Fields,
    /// The body, at most `limits.max_reply_bytes`.
    pub body: Vec<u8>,
}

impl Answer {
    /// `max-age` of the reply's `Cache-Control` (RFC 9111 section 5.2.2.1);
    /// zero where it forbids storing or reuse.
    pub fn max_age(&self) -> Option<Span> {
        let text = std::str::from_utf8(self.cache_control.as_deref()?).ok()?;
        let directives = text.split(',').map(|directive| directive.trim().to_ascii_lowercase());
        let directives: Vec<String> = directives.collect();
        if directives.iter().any(|directive| directive == "no-store" || directive == "no-cache") {
            return Some(Span::ZERO);
        }
        let seconds = directives.iter().find_map(|directive| directive.strip_prefix("max-age="))?;
        Some(Span::from_secs(seconds.trim_matches('"').parse().unwrap_or(0)))
    }
}

/// Why a callout brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalloutFailure {
    /// The host would not send it: no such cluster, no address.
    NotSent,
    /// Refused, reset, timed out: the host does not always say which.
    NoReply,
    /// The reply's body is over `limits.max_reply_bytes`.
    TooLarge {
        /// That limit.
        limit: usize,
    },
    /// More header fields than the host can list.
    TooManyFields {
        /// The first number that is too many.
        limit: usize,
    },
}

impl fmt::Display for CalloutFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent => f.write_str("the host could not send the request"),
            Self::NoReply => f.write_str("no reply, or not in time"),
            Self::TooLarge { limit } => write!(f, "the reply is over {limit} bytes"),
            Self::TooManyFields { limit } => {
                write!(f, "the reply has {limit} header fields or more")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age() {
        for (case, header, expected) in [
            ("none", None, None),
            ("plain", Some("max-age=60"), Some(60)),
            ("among others", Some("private, Max-Age=5"), Some(5)),
            ("no-store wins", Some("max-age=60, no-store"), Some(0)),
            ("no-cache wins", Some("no-cache, max-age=60"), Some(0)),
            ("not a number", Some("max-age=soon"), Some(0)),
            ("only others", Some("private"), None),
        ] {
            let cache_control = header.map(|text| text.as_bytes().to_vec());
            let answer =
                Answer { status: 200, cache_control, fields: Fields::default(), body: vec![] };
            assert_eq!(answer.max_age().map(Span::as_secs), expected, "{case}");
        }
    }
}
