//! The login routes, and the request to the service behind one: the gateway sends it in
//! the client's place, so that it receives the reply before the client does.

use std::net::IpAddr;
use std::rc::Rc;

use crate::bearer::Sanitized;
use crate::callout::{Callout, ReplyFields, Service};
use crate::denial::Denial;
use crate::http::{AUTHORIZATION, HeaderName, RequestHead};
use crate::rules::Rules;
use crate::secret::Secret;

/// The logins, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Logins {
    /// The conditions of each, in order.
    rules: Rules,
    logins: Vec<Login>,
}

/// A route on which tokens are issued.
#[derive(Debug)]
pub struct Login {
    /// The service that issues the tokens.
    pub service: Rc<Service>,
    /// JSON pointers to the tokens in a JSON body (RFC 6901).
    pub json: Vec<String>,
    /// The cookies that contain one.
    pub cookies: Vec<String>,
}

/// Why a request cannot be sent to a login service.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginError {
    /// The method is not allowed for logins (405).
    Method,
    /// The length of the body is unknown (411).
    LengthMissing,
    /// The body is too long (413).
    TooLarge,
    /// Too many requests wait for services.
    TooMany,
    /// The path contains bytes that no request may contain.
    Path,
}

/// Methods accepted on login routes, and whether a missing Content-Length is an error.
const METHODS: [(&str, bool); 5] =
    [("GET", false), ("POST", true), ("PUT", true), ("PATCH", true), ("DELETE", false)];

/// Header fields passed to the service, besides method, target, body and cookies.
const PASSED: [&str; 8] = [
    "accept",
    "accept-language",
    // Of the body, which is passed on as it is.
    "content-encoding",
    "content-type",
    // Services check these to detect forged requests.
    "origin",
    "referer",
    "sec-fetch-site",
    "user-agent",
];

/// The source of the client's address: never the client itself.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// The fields written by the host.
    AsForwarded,
    /// The address known to the host, if any.
    At(Option<IpAddr>),
}

/// Headers with the client's address, if the host writes them.
const FORWARDED: [&str; 2] = ["x-forwarded-for", "x-forwarded-proto"];

impl Logins {
    /// The logins; each is for the requests that the rule at its position matches.
    pub const fn new(rules: Rules, logins: Vec<Login>) -> Self {
        Self { rules, logins }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.logins.is_empty()
    }

    /// The methods accepted for logins, for `Allow`.
    pub fn methods() -> String {
        METHODS.map(|(method, _)| method).join(", ")
    }

    /// The login that a request is for, with its position.
    ///
    /// A path that servers read differently is refused, as with rules: its reply would
    /// not be sealed.
    pub fn find(&self, head: &RequestHead) -> Result<Option<(usize, &Login)>, Denial> {
        let found = self.rules.find(head)?;
        Ok(found.and_then(|(position, _)| Some((position, self.get(position)?))))
    }

    /// The conditions of each.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The login at a position.
    pub fn get(&self, position: usize) -> Option<&Login> {
        self.logins.get(position)
    }
}

impl Login {
    /// The length of a request's body. It is required (RFC 9110 section 15.5.12): a body
    /// without a length may never end, and a host may announce a body and not deliver it.
    pub fn body_length(head: &RequestHead) -> Result<usize, LoginError> {
        let (_, expects_body) = method(head)?;
        let has_body = expects_body || head.may_have_body();
        head.content_length().or((!has_body).then_some(0)).ok_or(LoginError::LengthMissing)
    }

    /// The request to the service; `sanitized`: client-supplied values that must not be
    /// passed on.
    ///
    /// Only the fields named here are sent, without headers that the filter owns and
    /// without public tokens. `Authorization` is for clients with a secret of their own
    /// (RFC 6749 section 2.3.1), even where services read the identity in that header.
    pub fn callout(
        &self,
        head: &RequestHead,
        sanitized: &Sanitized,
        body: Option<Vec<u8>>,
        client: Client,
    ) -> Result<Callout, LoginError> {
        let (method, _) = method(head)?;
        let target = sanitized.path.as_deref().or_else(|| head.first(":path"));
        let target = target.and_then(|target| std::str::from_utf8(target).ok());
        let is_plain = |target: &&str| target.bytes().all(|byte| byte.is_ascii_graphic());
        let path = target.filter(is_plain).ok_or(LoginError::Path)?.to_owned();
        let mut headers = Vec::new();
        let mut send = |name: &str, value: &[u8]| {
            let is_cleared = sanitized.clear.iter().any(|own| own.eq_ignore_ascii_case(name));
            let is_withheld = is_cleared && name != AUTHORIZATION;
            let text = std::str::from_utf8(value).ok();
            let text = text.filter(|text| !is_withheld && !text.is_empty());
            if let (Ok(name), Some(text)) = (HeaderName::parse(name), text) {
                headers.push((name, Secret::new(text.to_owned())));
            }
        };
        // A header of the client, without tokens.
        let left_of = |name: &str, separator: &[u8]| {
            let rewritten = sanitized.rewrite.iter().find(|(other, _)| other == name);
            let whole = || head.values(name).collect::<Vec<_>>().join(separator);
            rewritten.map_or_else(whole, |(_, rest)| rest.clone())
        };
        let forwarded: &[&str] = match client {
            Client::AsForwarded => &FORWARDED,
            Client::At(_) => &[],
        };
        for name in PASSED.iter().chain(forwarded) {
            // A list may be in several fields (RFC 9110 section 5.3).
            send(name, &left_of(name, b", "));
        }
        send("cookie", &left_of("cookie", b"; "));
        if let Some(value) = head.first(AUTHORIZATION).filter(|value| is_basic(value)) {
            send(AUTHORIZATION, value);
        }
        if let Client::At(Some(address)) = client {
            send("x-forwarded-for", address.to_string().as_bytes());
        }
        // A compressed reply could not be searched.
        send("accept-encoding", b"identity");
        let body = body.map(Secret::new);
        let callout = Callout::new(&self.service, method, path);
        // A code or a refresh token is good for once.
        Ok(Callout { headers, body, reads: ReplyFields::All, may_repeat: false, ..callout })
    }
}

fn method(head: &RequestHead) -> Result<(&'static str, bool), LoginError> {
    let known = METHODS.iter().find(|(method, _)| method.as_bytes() == head.method());
    known.copied().ok_or(LoginError::Method)
}

fn is_basic(value: &[u8]) -> bool {
    value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}
