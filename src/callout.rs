//! An HTTP exchange with a service, as plain data.
//!
//! The core builds requests and reads replies; the door sends them. Nothing here depends
//! on the host.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::{Fields, HeaderName};
use crate::secret::Secret;
use crate::time::Span;
use crate::unreached::Unreached;

/// A service that the filter may call.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Header fields of every request to it, such as the gateway's credentials.
    pub headers: Vec<(HeaderName, Secret<String>)>,
}

impl Service {
    /// Everything that determines the answer: data from one service may be used for another
    /// only if their identities are equal. The name is not part of it (two configurations
    /// may call different services the same), nor is its timeout.
    ///
    /// Each field is named here, so that a new one cannot be forgotten. Header
    /// fields are hashed: identities are written into stores.
    pub fn identity(&self) -> Value {
        let Self { name: _, upstream, authority, scheme, timeout: _, headers } = self;
        let place = json!([upstream, authority, scheme.as_str()]);
        if headers.is_empty() {
            return place;
        }
        let text =
            |(name, value): &(HeaderName, Secret<String>)| json!([name.as_str(), value.expose()]);
        let fields = Value::Array(headers.iter().map(text).collect()).to_string();
        json!([place, BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(fields))])
    }

    /// The path and query of a reference to something on this service (RFC 9110
    /// section 10.2.2): a path, or a URL with its scheme and authority. `None` for
    /// anything else, so that no reply can send the filter elsewhere.
    pub fn own_path<'a>(&self, reference: &'a str) -> Option<&'a str> {
        let is_plain = |path: &&str| {
            path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
        };
        let rest = match reference.split_once("://") {
            _ if reference.starts_with('/') && !reference.starts_with("//") => {
                return Some(reference).filter(is_plain);
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(self.scheme.as_str()) => rest,
            Some(_) => return None,
            None => reference.strip_prefix("//")?,
        };
        let (authority, path) = rest.split_at_checked(rest.find('/')?)?;
        let port = self.scheme.default_port();
        let without_port =
            |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
        let is_here = without_port(authority) == without_port(&self.authority);
        Some(path).filter(|_| is_here).filter(is_plain)
    }
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
    /// As sent in `:scheme`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL may omit.
    const fn default_port(self) -> &'static str {
        match self {
            Self::Http => ":80",
            Self::Https => ":443",
        }
    }
}

/// The header by which hosts name a request.
pub const REQUEST_ID: &str = "x-request-id";

/// `User-Agent` of every callout: firewalls refuse requests without one.
pub const USER_AGENT: &str = concat!("gatepass/", env!("CARGO_PKG_VERSION"));

/// The default `Accept` of callouts.
const JSON: &str = "application/json";

/// `Accept` for key sets (RFC 7517 section 8.5.1): some issuers answer 406 if it does not
/// list the type that they send.
pub const KEY_SET_TYPES: &str = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1";

/// Which header fields of a reply are read, beside `Cache-Control`: all of them
/// cost more than the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyFields {
    /// The first field of each of these names.
    These(&'static [&'static str]),
    /// All: the reply is passed on.
    All,
}

/// A request to be sent to a service.
#[derive(Clone, Debug)]
pub struct Callout {
    /// The service to call.
    pub service: Rc<Service>,
    /// The request method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Header fields beside the pseudo-headers; their values may be secret.
    /// [`Callout::head`] adds those of every request.
    pub headers: Vec<(HeaderName, Secret<String>)>,
    /// The body; its type is among the header fields.
    pub body: Option<Secret<Vec<u8>>>,
    /// What is read of the reply's header fields.
    pub reads: ReplyFields,
    /// The id of the request that it is sent for, by which the service's log can be compared
    /// with the host's; `None` if it is sent for none.
    pub request_id: Option<Rc<str>>,
    /// Whether its reply serves identical callouts that are requested while it is in
    /// flight.
    pub serves_all: bool,
    /// Whether the door may send it again over a new connection, if the service closed the
    /// kept one without a reply: it may have acted all the same, so only what is safe to
    /// repeat may be (RFC 9110 section 9.2.2).
    pub may_repeat: bool,
}

impl Callout {
    /// A GET without header fields of its own.
    pub fn get(service: &Rc<Service>, path: String) -> Self {
        Self::new(service, "GET", path)
    }

    /// A GET of a key set, or of the document that contains its URL.
    pub fn get_keys(service: &Rc<Service>, path: String) -> Self {
        let headers = vec![(HeaderName::accept(), Secret::new(KEY_SET_TYPES.to_owned()))];
        let reads = ReplyFields::These(&["location"]);
        Self { headers, reads, ..Self::get(service, path) }
    }

    /// A POST of a form.
    pub fn post_form(service: &Rc<Service>, path: String, form: String) -> Self {
        let media_type = "application/x-www-form-urlencoded".to_owned();
        let headers = vec![(HeaderName::content_type(), Secret::new(media_type))];
        let body = Some(Secret::new(form.into_bytes()));
        Self { headers, body, ..Self::new(service, "POST", path) }
    }

    /// A POST with a JSON body.
    pub fn post_json(service: &Rc<Service>, path: String, body: &Value) -> Self {
        let headers = vec![(HeaderName::content_type(), Secret::new(JSON.to_owned()))];
        let body = Some(Secret::new(body.to_string().into_bytes()));
        Self { headers, body, ..Self::new(service, "POST", path) }
    }

    /// A request without header fields and body; one to read something may be repeated.
    pub fn new(service: &Rc<Service>, method: &'static str, path: String) -> Self {
        let (service, headers) = (Rc::clone(service), Vec::new());
        Self {
            service,
            method,
            path,
            headers,
            body: None,
            reads: ReplyFields::These(&[]),
            request_id: None,
            serves_all: false,
            may_repeat: method == "GET",
        }
    }
}

impl Callout {
    /// The whole head, with pseudo-headers.
    pub fn head(&self) -> Vec<(&str, &str)> {
        let mut head = self.common_head();
        head.extend(self.request_id_field());
        head
    }

    /// The part of the head that identical callouts have in common. It includes the service's
    /// fields, which the callout's own cannot replace; unless the callout says otherwise, it
    /// names the gateway as user agent and asks for JSON.
    pub fn common_head(&self) -> Vec<(&str, &str)> {
        let Self { service, method, path, headers, .. } = self;
        let mut head = vec![
            (":method", *method),
            (":path", path.as_str()),
            (":authority", service.authority.as_str()),
            (":scheme", service.scheme.as_str()),
        ];
        let is_own = |name: &HeaderName| !service.headers.iter().any(|(other, _)| other == name);
        let own = headers.iter().filter(|(name, _)| is_own(name));
        let fields = own.chain(&service.headers);
        head.extend(fields.map(|(name, value)| (name.as_str(), value.expose().as_str())));
        for (name, value) in [("accept", JSON), ("user-agent", USER_AGENT)] {
            if !head.iter().any(|(other, _)| *other == name) {
                head.push((name, value));
            }
        }
        head
    }

    /// The rest of the head: `x-request-id`, unless the configuration sends one of its own.
    pub fn request_id_field(&self) -> Option<(&str, &str)> {
        let id = self.request_id.as_deref()?;
        let mut fields = self.headers.iter().chain(&self.service.headers);
        let is_sent = fields.any(|(name, _)| name.as_str() == REQUEST_ID);
        (!is_sent).then_some((REQUEST_ID, id))
    }

    /// The body; empty if there is none.
    pub fn body(&self) -> &[u8] {
        self.body.as_ref().map(|body| body.expose().as_slice()).unwrap_or_default()
    }
}

/// The outcome of a [`Callout`].
#[derive(Clone)]
pub enum CalloutReply {
    /// A complete answer.
    Answer(Answer),
    /// No usable answer.
    Failed(CalloutFailure),
}

impl CalloutReply {
    /// A reply that the host delivers as a whole. Without a status it is a failure.
    pub fn whole(status: Option<u16>, fields: Fields, body: Vec<u8>, max_bytes: usize) -> Self {
        let Some(status) = status else { return Self::Failed(CalloutFailure::NoReply) };
        if body.len() > max_bytes {
            return Self::Failed(CalloutFailure::TooLarge { limit: max_bytes });
        }
        let cache_control = joined(&fields, "cache-control");
        Self::Answer(Answer { status, cache_control, fields, body })
    }

    /// The reply of the service itself: an answer that a proxy made in its place counts
    /// as a failure.
    pub fn of_service(&self) -> Cow<'_, Self> {
        match self {
            Self::Answer(answer) => match Unreached::of(answer.status, &answer.body) {
                Some(reason) => Cow::Owned(Self::Failed(CalloutFailure::Unreached(reason))),
                None => Cow::Borrowed(self),
            },
            Self::Failed(_) => Cow::Borrowed(self),
        }
    }
}

/// The values of all fields of a name, joined by commas (RFC 9110 section 5.3).
pub fn joined(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    let values: Vec<_> = fields.values(name).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

/// A service's answer.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The values of all `Cache-Control` fields, joined by commas (RFC 9110
    /// section 5.3).
    pub cache_control: Option<Vec<u8>>,
    /// The header fields that [`Callout::reads`] asked for.
    pub fields: Fields,
    /// The body, at most `limits.max_reply_bytes`.
    pub body: Vec<u8>,
}

impl Answer {
    /// `max-age` of the reply's `Cache-Control` (RFC 9111 section 5.2.2.1); zero where it
    /// forbids storing or reuse. Of several the shortest counts, and a value that is not a
    /// number is ignored (section 4.2.1).
    // RFC 9111 section 5.2.2.1: "The max-age response directive indicates that the response
    // is to be considered stale after its age is greater than the specified number of
    // seconds." (R56)
    pub fn max_age(&self) -> Option<Span> {
        let text = String::from_utf8_lossy(self.cache_control.as_deref()?).to_ascii_lowercase();
        let directives = || text.split(',').map(str::trim);
        if directives().any(|directive| matches!(directive, "no-store" | "no-cache")) {
            return Some(Span::ZERO);
        }
        let ages = directives().filter_map(|directive| directive.strip_prefix("max-age="));
        ages.map(|age| Span::from_secs(delta_seconds(age.trim_matches('"')))).min()
    }
}

/// A number of seconds: the maximum for anything larger (RFC 9111 section 1.2.2), 0 for
/// text that is not a number.
fn delta_seconds(text: &str) -> u32 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().unwrap_or(u32::MAX) } else { 0 }
}

/// Why a callout got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalloutFailure {
    /// The host would not send it, and does not say why: no such cluster, its circuit
    /// breaker is open, no address, no timer.
    NotSent,
    /// Refused, reset, timed out: the host does not always say which.
    NoReply,
    /// No reply either, with the cause that Envoy's own response gives.
    Unreached(Unreached),
    /// The reply was truncated: the host announced more than it delivered.
    Broken,
    /// The reply's body is over `limits.max_reply_bytes`.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// More header fields than the host can list.
    TooManyFields {
        /// The smallest number that is too many.
        limit: usize,
    },
}

impl fmt::Display for CalloutFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent => f.write_str("the host could not send the request"),
            Self::NoReply => f.write_str("no reply, or not in time"),
            Self::Unreached(reason) => reason.fmt(f),
            Self::Broken => f.write_str("the reply broke off"),
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
            ("in another field", Some("max-age=60, private,no-store"), Some(0)),
            ("beside what is no text", Some("max-age=60, \u{fffd}, No-Store"), Some(0)),
            ("not a number", Some("max-age=soon"), Some(0)),
            ("signed", Some("max-age=+5"), Some(0)),
            ("no digits", Some("max-age="), Some(0)),
            ("over 32 bits", Some("max-age=31536000000"), Some(u32::MAX.into())),
            ("over 64 bits", Some("max-age=99999999999999999999999"), Some(u32::MAX.into())),
            ("two of them", Some("max-age=60, max-age=5"), Some(5)),
            ("only others", Some("private"), None),
        ] {
            let cache_control = header.map(|text| text.as_bytes().to_vec());
            let answer =
                Answer { status: 200, cache_control, fields: Fields::default(), body: vec![] };
            assert_eq!(answer.max_age().map(Span::as_secs), expected, "{case}");
        }
        let answer = Answer {
            status: 200,
            cache_control: Some(b"max-age=60, \xff, no-store".to_vec()),
            fields: Fields::default(),
            body: vec![],
        };
        assert_eq!(answer.max_age(), Some(Span::ZERO), "bytes that are no text hide nothing");
    }
}
