//! Why a request is denied, and how that looks from outside.
//!
//! The only place that turns a reason into a status, a challenge and a body.
//! Texts name what was wrong with the request, never what a token, a key or a
//! service's reply held.

mod code;

use std::fmt;

use serde_json::{Value, json};

use self::code::Class;
pub use self::code::Code;
use crate::http::{
    Authority, GrpcProtocol, LocalReply, RequestHead, is_unambiguous, percent_decode,
    percent_encode,
};
use crate::token::{Malformed, Part, Rejection, TokenError};

/// A reason to deny a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The filter has no configuration that it may trust.
    ConfigurationInvalid,
    /// A header that the filter owns came more often than the host can replace,
    /// or in a spelling that it cannot.
    HeaderRepeated(String),
    /// More header fields than the host can list.
    HeadersTooMany {
        /// The first number that is too many.
        limit: usize,
    },
    /// A method that those behind may take for another one.
    MethodAmbiguous,
    /// A path that servers read differently, so no rule can be sure of it.
    PathAmbiguous,
    /// A host that is no host name, where a rule asks for it.
    HostAmbiguous,
    /// No token where one is needed.
    TokenMissing,
    /// More than one token (RFC 6750 section 2).
    TokenMultiple,
    /// The token itself is not acceptable.
    Token(Rejection),
    /// None of the keys opens the sealed token.
    TokenUnsealable,
    /// Its issuer says that the token is not active (RFC 7662).
    TokenInactive,
    /// The token is revoked, or not on the allowlist.
    TokenRevoked,
    /// What was sent to be revoked cannot be read; why.
    EntriesInvalid(String),
    /// No consumer is configured for the token, or it is disabled.
    ConsumerUnknown,
    /// The token lacks a scope; the scopes needed.
    InsufficientScope(Vec<String>),
    /// The consumer is not one of those that may pass, by name or by group.
    GroupForbidden,
    /// The token is not from a provider that the rule accepts, or a claim does
    /// not have a value that it accepts; the claim.
    ClaimForbidden(String),
    /// A cookie came with a request that another site may have made.
    OriginForbidden,
    /// The user-info service does not know the user.
    UserUnknown,
    /// The user-info service gave no usable answer.
    UserInfoUnavailable,
    /// The provider's keys could not be loaded.
    KeysUnavailable,
    /// The provider could not be asked about a reference token.
    IntrospectionUnavailable,
    /// Which tokens are revoked is not known, or could not be noted.
    RevocationUnavailable,
    /// The login's service gave no reply that may be passed on.
    LoginUnavailable,
    /// No identity token could be made.
    IdentityUnavailable,
}

/// The gRPC status codes that denials map to.
#[derive(Clone, Copy)]
#[repr(u8)]
enum GrpcStatus {
    /// The request is malformed.
    InvalidArgument = 3,
    /// Known, but not allowed.
    PermissionDenied = 7,
    /// Cannot be decided now.
    Unavailable = 14,
    /// Not known.
    Unauthenticated = 16,
}

/// How denials are presented: `errors` in the configuration.
#[derive(Clone, Debug)]
pub struct ErrorSettings {
    /// `realm` of the challenge.
    pub realm: Option<String>,
    /// The form of the body.
    pub format: ErrorFormat,
    /// Where to send a person who is not logged in.
    pub login_redirect: Option<LoginRedirect>,
}

impl Default for ErrorSettings {
    fn default() -> Self {
        let realm = Some("gatepass".to_owned());
        Self { realm, format: ErrorFormat::Problem, login_redirect: None }
    }
}

/// The form of a denial's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// `{"message": ...}` in the words of Kong's jwt plugin.
    Kong,
}

/// `errors.login_redirect` in the configuration.
#[derive(Clone, Debug)]
pub struct LoginRedirect {
    /// Path of the login page.
    pub to: String,
    /// Query parameter that takes the path to return to.
    pub return_to_param: String,
}

impl LoginRedirect {
    /// Whether a request is for the login page itself.
    fn is_target_of(&self, head: &RequestHead) -> bool {
        let (authority, rest) = match self.to.strip_prefix("https://") {
            Some(url) => url.split_at(url.find(['/', '?']).unwrap_or(url.len())),
            None => ("", self.to.as_str()),
        };
        let path = rest.split('?').next().filter(|path| !path.is_empty()).unwrap_or("/");
        percent_decode(path.as_bytes()) == percent_decode(head.target().path)
            && (authority.is_empty() || is_same_host(authority, head))
    }
}

/// Whether a request is for the host of an https URL.
fn is_same_host(authority: &str, head: &RequestHead) -> bool {
    let (Some(own), Some(asked)) = (Authority::parse(authority.as_bytes()), head.authority())
    else {
        return false;
    };
    // A request behind a proxy may have the port of neither.
    own.host.eq_ignore_ascii_case(asked.host)
        && asked.port.is_none_or(|port| port == own.port.unwrap_or(b"443"))
}

impl Denial {
    /// The stable code, the same in bodies and logs.
    pub const fn code(&self) -> Code {
        match self {
            Self::ConfigurationInvalid => Code::ConfigurationInvalid,
            Self::HeaderRepeated(_) => Code::HeaderRepeated,
            Self::HeadersTooMany { .. } => Code::HeadersTooMany,
            Self::MethodAmbiguous => Code::MethodAmbiguous,
            Self::PathAmbiguous => Code::PathAmbiguous,
            Self::HostAmbiguous => Code::HostAmbiguous,
            Self::TokenMissing => Code::TokenMissing,
            Self::TokenMultiple => Code::TokenMultiple,
            Self::Token(rejection) => match rejection {
                Rejection::Unreadable(TokenError::TooLarge { .. }) => Code::TokenTooLarge,
                Rejection::Unreadable(TokenError::Malformed(_)) => Code::TokenMalformed,
                Rejection::Unreadable(TokenError::CriticalHeader { .. }) => Code::CriticalHeader,
                Rejection::ClaimMalformed(_) => Code::TokenMalformed,
                Rejection::CredentialMalformed(_) => Code::TokenMalformed,
                Rejection::AlgorithmUnknown | Rejection::AlgorithmNotAllowed => {
                    Code::AlgorithmNotAllowed
                }
                Rejection::KeyUnknown | Rejection::CredentialUnknown(_) => Code::KeyUnknown,
                Rejection::SignatureInvalid => Code::SignatureInvalid,
                Rejection::IssuerUnknown => Code::IssuerUnknown,
                Rejection::AudienceMismatch => Code::AudienceMismatch,
                Rejection::Expired { .. } => Code::TokenExpired,
                Rejection::NotYetValid { .. } => Code::TokenNotYetValid,
                Rejection::LifetimeExceeded { .. } => Code::LifetimeExceeded,
                Rejection::ClaimMissing(_) | Rejection::NotDates(_) => Code::ClaimMissing,
                Rejection::ClaimMismatch(_) => Code::ClaimMismatch,
                Rejection::TypeMismatch => Code::TokenTypeMismatch,
            },
            Self::TokenUnsealable => Code::TokenUnsealable,
            Self::TokenInactive => Code::TokenInactive,
            Self::TokenRevoked => Code::TokenRevoked,
            Self::EntriesInvalid(_) => Code::EntriesInvalid,
            Self::ConsumerUnknown => Code::ConsumerUnknown,
            Self::InsufficientScope(_) => Code::InsufficientScope,
            Self::GroupForbidden => Code::GroupForbidden,
            Self::ClaimForbidden(_) => Code::ClaimForbidden,
            Self::OriginForbidden => Code::OriginForbidden,
            Self::UserUnknown => Code::UserUnknown,
            Self::UserInfoUnavailable => Code::UserInfoUnavailable,
            Self::KeysUnavailable => Code::KeysUnavailable,
            Self::IntrospectionUnavailable => Code::IntrospectionUnavailable,
            Self::RevocationUnavailable => Code::RevocationUnavailable,
            Self::LoginUnavailable => Code::LoginUnavailable,
            Self::IdentityUnavailable => Code::IdentityUnavailable,
        }
    }

    const fn class(&self) -> Class {
        self.code().class()
    }

    /// The HTTP status. Kong's plugin answers 401 to whatever is wrong with
    /// tokens, also to their number.
    pub const fn status(&self, format: ErrorFormat) -> u16 {
        match self.class() {
            Class::Request
                if matches!((self, format), (Self::TokenMultiple, ErrorFormat::Kong)) =>
            {
                401
            }
            Class::Request => 400,
            Class::Missing | Class::Token => 401,
            Class::Scope | Class::Forbidden => 403,
            Class::TooLarge => 431,
            Class::Unavailable => 503,
        }
    }

    /// The reply to a request with this `head`. `target` is where it wanted to
    /// go, without any token: what a login page may see. `frames_grpc`: see
    /// [`HostCapabilities::frames_grpc_replies`](crate::host::HostCapabilities).
    pub fn reply(
        &self,
        head: &RequestHead,
        target: &[u8],
        settings: &ErrorSettings,
        frames_grpc: bool,
    ) -> LocalReply {
        if let Some(location) = self.login_location(head, target, settings) {
            return LocalReply::new(302)
                .with_header("location", location)
                .with_header("cache-control", "no-store");
        }
        let mut reply = match head.grpc() {
            None | Some(GrpcProtocol::Transcoded) => self.http_reply(settings),
            Some(protocol) => self.grpc_reply(protocol, settings, frames_grpc),
        };
        reply = reply.with_header("cache-control", "no-store");
        if let Some(challenge) = self.challenge(settings) {
            reply = reply.with_header("www-authenticate", challenge);
        }
        if self.class() == Class::Unavailable {
            reply = reply.with_header("retry-after", "1");
        }
        reply
    }

    fn http_reply(&self, settings: &ErrorSettings) -> LocalReply {
        let (media_type, body) = match settings.format {
            ErrorFormat::Problem => ("application/problem+json", self.problem()),
            ErrorFormat::Kong => ("application/json; charset=utf-8", self.kong_body()),
        };
        LocalReply::new(self.status(settings.format))
            .with_header("content-type", media_type)
            .with_body(body.into_bytes())
    }

    /// A gRPC reply without messages, its status among the header fields (gRPC
    /// over HTTP/2, "Trailers-Only"; gRPC-Web does likewise).
    ///
    /// The HTTP status says the same. Where the client speaks gRPC the host makes
    /// it 200; a client of gRPC-Web, or of a filter that made gRPC of its request,
    /// goes by it, and would take 200 for success.
    fn grpc_reply(
        &self,
        protocol: GrpcProtocol,
        settings: &ErrorSettings,
        frames_grpc: bool,
    ) -> LocalReply {
        let (media_type, is_framed) = match protocol {
            GrpcProtocol::Web => ("application/grpc-web+proto", true),
            GrpcProtocol::WebText => ("application/grpc-web-text+proto", true),
            GrpcProtocol::Grpc | GrpcProtocol::Transcoded => ("application/grpc", frames_grpc),
        };
        let status = if is_framed { self.status(settings.format) } else { 200 };
        LocalReply::new(status)
            .with_header("content-type", media_type)
            .with_header("grpc-status", (self.grpc_status() as u8).to_string())
            .with_header("grpc-message", self.code().name())
    }

    /// Where a browser goes to log in (302), when that is what would help: a
    /// navigation without a token that is valid.
    ///
    /// Someone whose token is good and who is no consumer is not sent: after the
    /// next login they would be where they are. Nor is a request for the login
    /// page itself: it would come back, each time with a longer address.
    ///
    /// The way back is a path on this host, percent-encoded as one query value;
    /// a target that a browser could read as another host (`//`, `/\`), or that
    /// anyone could read as another path, is replaced by `/`.
    fn login_location(
        &self,
        head: &RequestHead,
        target: &[u8],
        settings: &ErrorSettings,
    ) -> Option<String> {
        let login = settings.login_redirect.as_ref()?;
        let can_help =
            matches!(self.class(), Class::Missing | Class::Token) && *self != Self::ConsumerUnknown;
        let is_page = head.is_navigation() && head.grpc().is_none();
        if !can_help || !is_page || login.is_target_of(head) {
            return None;
        }
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let is_local = path.starts_with(b"/") && is_unambiguous(path);
        let back = percent_encode(if is_local { target } else { b"/" });
        let separator = if login.to.contains('?') { '&' } else { '?' };
        Some(format!("{}{separator}{}={back}", login.to, login.return_to_param))
    }

    /// `WWW-Authenticate` (RFC 6750 section 3), in Kong's format without a
    /// description.
    fn challenge(&self, settings: &ErrorSettings) -> Option<String> {
        let error = match self.class() {
            Class::Missing => None,
            Class::Request if self.status(settings.format) == 400 => Some("invalid_request"),
            Class::Request | Class::Token => Some("invalid_token"),
            Class::Scope => Some("insufficient_scope"),
            Class::TooLarge | Class::Forbidden | Class::Unavailable => return None,
        };
        let described = error.filter(|_| settings.format == ErrorFormat::Problem);
        let scope = match self {
            Self::InsufficientScope(scopes) => Some(scopes.join(" ")),
            _ => None,
        };
        let parameters = [
            ("realm", settings.realm.as_deref()),
            ("error", error),
            ("error_description", described.map(|_| self.title())),
            ("scope", scope.as_deref()),
        ];
        let parameters: Vec<_> = parameters
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}=\"{}\"", value?)))
            .collect();
        let separator = if parameters.is_empty() { "" } else { " " };
        Some(format!("Bearer{separator}{}", parameters.join(", ")))
    }

    fn problem(&self) -> String {
        json!({
            "title": self.title(),
            "status": self.status(ErrorFormat::Problem),
            "code": self.code().name(),
            "detail": self.to_string(),
        })
        .to_string()
    }

    /// The code in words; plain ASCII without quotes, fit for a challenge.
    const fn title(&self) -> &'static str {
        match self.class() {
            Class::Request if matches!(self, Self::EntriesInvalid(_)) => {
                "The entries cannot be read"
            }
            Class::Request => "The request is ambiguous",
            Class::TooLarge => "Too many header fields",
            Class::Missing => "A token is required",
            Class::Token => "The token is not accepted",
            Class::Scope => "The token lacks a scope",
            Class::Forbidden => "Access is not allowed",
            Class::Unavailable => "Access cannot be decided at the moment",
        }
    }

    fn kong_body(&self) -> String {
        let message = match self {
            Self::TokenMissing => "Unauthorized",
            Self::TokenMultiple => "Multiple tokens provided",
            Self::HeaderRepeated(_)
            | Self::MethodAmbiguous
            | Self::PathAmbiguous
            | Self::HostAmbiguous => "Bad request",
            Self::HeadersTooMany { .. } => "Request header or cookie too large",
            Self::Token(rejection) => match rejection {
                Rejection::Expired { .. } => return json!({"exp": "token expired"}).to_string(),
                Rejection::NotYetValid { .. } => {
                    return json!({"nbf": "token not valid yet"}).to_string();
                }
                Rejection::LifetimeExceeded { .. } => {
                    return json!({"exp": "exceeds maximum allowed expiration"}).to_string();
                }
                Rejection::NotDates(claims) => {
                    let texts =
                        claims.iter().map(|claim| ((*claim).to_owned(), "must be a number".into()));
                    return Value::Object(texts.collect()).to_string();
                }
                Rejection::Unreadable(error) => unreadable(*error),
                Rejection::ClaimMalformed(_) => "Bad token; invalid claims",
                Rejection::AlgorithmUnknown => "Bad token; invalid alg",
                Rejection::AlgorithmNotAllowed => "Invalid algorithm",
                Rejection::CredentialMalformed(claim) => {
                    return json!({"message": format!("Invalid '{claim}' in claims")}).to_string();
                }
                Rejection::CredentialUnknown(claim) => {
                    let message = format!("No credentials found for given '{claim}'");
                    return json!({"message": message}).to_string();
                }
                Rejection::KeyUnknown | Rejection::IssuerUnknown => {
                    "No credentials found for given 'iss'"
                }
                Rejection::SignatureInvalid => "Invalid signature",
                Rejection::ClaimMissing(claim) => {
                    let message = format!("No mandatory '{claim}' in claims");
                    return json!({"message": message}).to_string();
                }
                Rejection::AudienceMismatch
                | Rejection::ClaimMismatch(_)
                | Rejection::TypeMismatch => "Bad token; invalid claims",
            },
            Self::TokenUnsealable => "Bad token; invalid JSON",
            Self::TokenInactive | Self::TokenRevoked => "Bad token; invalid claims",
            Self::EntriesInvalid(why) => why,
            Self::ConsumerUnknown => "No credentials found for given 'iss'",
            Self::InsufficientScope(_)
            | Self::GroupForbidden
            | Self::ClaimForbidden(_)
            | Self::OriginForbidden
            | Self::UserUnknown => "You cannot consume this service",
            Self::ConfigurationInvalid
            | Self::UserInfoUnavailable
            | Self::KeysUnavailable
            | Self::IntrospectionUnavailable
            | Self::RevocationUnavailable
            | Self::LoginUnavailable
            | Self::IdentityUnavailable => "An unexpected error occurred",
        };
        json!({ "message": message }).to_string()
    }

    const fn grpc_status(&self) -> GrpcStatus {
        match self.class() {
            Class::Missing | Class::Token => GrpcStatus::Unauthenticated,
            Class::Scope | Class::Forbidden => GrpcStatus::PermissionDenied,
            Class::Request | Class::TooLarge => GrpcStatus::InvalidArgument,
            Class::Unavailable => GrpcStatus::Unavailable,
        }
    }
}

/// What Kong's plugin says of a token that it cannot read.
const fn unreadable(error: TokenError) -> &'static str {
    let TokenError::Malformed(malformed) = error else { return "Bad token; invalid JSON" };
    match malformed {
        Malformed::Missing { .. } | Malformed::NotAString { .. } => "Bad token; invalid alg",
        Malformed::NotBase64Url(Part::Signature) | Malformed::MoreThanThreeParts => {
            "Bad token; invalid signature"
        }
        Malformed::Empty(Part::Signature) => "Invalid signature",
        _ => "Bad token; invalid JSON",
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigurationInvalid => f.write_str("the gateway is not configured correctly"),
            Self::HeaderRepeated(name) => write!(f, "the header {name} must not be sent twice, nor in another spelling"),
            Self::HeadersTooMany { limit } => {
                write!(f, "a request may have fewer than {limit} header fields")
            }
            Self::MethodAmbiguous => f.write_str(
                "a method in capitals is needed, and GET for an upgrade of the connection",
            ),
            Self::PathAmbiguous => f.write_str(
                "the path holds an encoded slash, dot segment, backslash, semicolon or empty segment",
            ),
            Self::HostAmbiguous => f.write_str("the request does not name its host plainly"),
            Self::TokenMissing => f.write_str("no token was sent"),
            Self::TokenMultiple => f.write_str("more than one token was sent"),
            Self::Token(rejection) => rejection.fmt(f),
            Self::TokenUnsealable => f.write_str("the sealed token cannot be opened"),
            Self::TokenInactive => f.write_str("the token is not active"),
            Self::TokenRevoked => f.write_str("the token is revoked"),
            Self::EntriesInvalid(why) => f.write_str(why),
            Self::ConsumerUnknown => f.write_str("no consumer is registered for the token"),
            Self::InsufficientScope(scopes) => write!(f, "scope needed: {}", scopes.join(" ")),
            Self::GroupForbidden => f.write_str("the consumer is not one of those allowed"),
            Self::ClaimForbidden(claim) => {
                write!(f, "claim {claim:?} does not have a value that is allowed here")
            }
            Self::OriginForbidden => f.write_str(
                "a request with the session cookie must come from a page of this site",
            ),
            Self::UserUnknown => f.write_str("the user is not known"),
            Self::UserInfoUnavailable => f.write_str("the user's data could not be loaded"),
            Self::KeysUnavailable => f.write_str("the issuer's keys could not be loaded"),
            Self::IntrospectionUnavailable => {
                f.write_str("the issuer could not be asked about the token")
            }
            Self::RevocationUnavailable => {
                f.write_str("which tokens are revoked is not known at the moment")
            }
            Self::LoginUnavailable => {
                f.write_str("the login service gave no answer that can be passed on")
            }
            Self::IdentityUnavailable => f.write_str("no identity token could be made"),
        }
    }
}
