//! The response to the client for a denial.

use serde::Serialize;
use serde_json::{Value, json};

use super::code::Class;
use super::{Denial, ErrorFormat, ErrorSettings, ResourceHint};
use crate::binding::ProofError;
use crate::http::{
    GrpcProtocol, GrpcStatus, LocalReply, RequestHead, is_unambiguous, percent_encode,
};
use crate::token::{Malformed, Part, Rejection, TokenError};

/// A longer list of scopes is not returned to a client: it has to fit into a header.
const MAX_HELD_BYTES: usize = 2048;

/// The body of a denial (RFC 9457 section 3.1).
#[derive(Serialize)]
struct Problem {
    code: &'static str,
    detail: String,
    status: u16,
    title: &'static str,
}

/// A challenge with the parameters that there are, all quoted (RFC 9110 section 11.6.1).
fn challenge_of<const N: usize>(scheme: &str, parameters: [(&str, Option<&str>); N]) -> String {
    let mut challenge = String::with_capacity(128);
    challenge.push_str(scheme);
    let mut separator = " ";
    for (name, value) in parameters {
        let Some(value) = value else { continue };
        for part in [separator, name, "=\"", value, "\""] {
            challenge.push_str(part);
        }
        separator = ", ";
    }
    challenge
}

impl Denial {
    /// The reply to a request with this `head`. `target`: the requested target without
    /// any token, for a login page. `frames_grpc`: see
    /// [`HostCapabilities::frames_grpc_replies`](crate::host::HostCapabilities). `hint`:
    /// the requested resource.
    pub fn reply(
        &self,
        head: &RequestHead,
        target: &[u8],
        settings: &ErrorSettings,
        frames_grpc: bool,
        hint: Option<&ResourceHint>,
    ) -> LocalReply {
        if let Some(location) = self.login_location(head, target, settings) {
            return LocalReply::unstored(302).with_header("location", location);
        }
        let mut reply = match head.grpc() {
            None | Some(GrpcProtocol::Transcoded) => self.http_reply(settings),
            Some(protocol) => self.grpc_reply(protocol, settings, frames_grpc),
        };
        // RFC 9111 section 5.2.2.5: "a cache MUST NOT store any part of either the immediate
        // request or the response" (R41)
        reply = reply.with_header("cache-control", "no-store");
        if let Some(challenge) = self.challenge(settings, hint) {
            reply = reply.with_header("www-authenticate", challenge);
        }
        if self.class() == Class::Unavailable {
            reply = reply.with_header("retry-after", "1");
        }
        reply
    }

    /// The reply of a door that has no gateway, and so no settings. It need not read the
    /// head for it: a client of gRPC takes the HTTP status for what it means.
    pub fn reply_unconfigured(&self) -> LocalReply {
        self.reply(&RequestHead::default(), b"", &ErrorSettings::default(), false, None)
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

    /// A gRPC reply without messages, with its status in the header fields (gRPC over
    /// HTTP/2, "Trailers-Only"; gRPC-Web is alike).
    ///
    /// The HTTP status matches it. For a gRPC client the host sets it to 200; a gRPC-Web
    /// client, or one whose request a filter converted to gRPC, relies on it and would
    /// take 200 for success.
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
            .with_grpc_status(self.grpc_status())
            .with_header("grpc-message", self.code().name())
    }

    /// The redirect of a browser to the login page (302): for a navigation without a valid
    /// token.
    ///
    /// There is no redirect for a valid token without a consumer, since another login would
    /// not help, and none for the login page itself, which would redirect forever.
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

    /// `WWW-Authenticate` (RFC 6750 section 3), in Kong's format without a description.
    /// For a resource it includes the URL of its metadata (RFC 9728 section 5.1).
    ///
    /// Some clients parse it with regular expressions and use the first match for a
    /// parameter: so all values are quoted, and none before `scope` contains `=`.
    // RFC 6750 section 3.1: "the resource server SHOULD NOT include an error code or other
    // error information" (R39)
    fn challenge(&self, settings: &ErrorSettings, hint: Option<&ResourceHint>) -> Option<String> {
        let error = match self.class() {
            Class::Missing => None,
            Class::Request if self.status(settings.format) == 400 => Some("invalid_request"),
            // The DPoP challenge carries the error.
            Class::Token if matches!(self, Self::DpopInvalid(_)) => None,
            Class::Request | Class::Token => Some("invalid_token"),
            Class::Scope => Some("insufficient_scope"),
            Class::TooLarge | Class::Forbidden | Class::Unavailable => return None,
        };
        let described = error.filter(|_| settings.format == ErrorFormat::Problem);
        let asks_login = self.status(settings.format) == 401 || self.class() == Class::Scope;
        let metadata = hint.filter(|_| asks_login).map(|hint| hint.metadata_url.as_str());
        let scope = self.scope_to_ask_for(hint);
        let parameters = [
            ("realm", settings.realm.as_deref()),
            ("error", error),
            ("error_description", described.map(|_| self.title())),
            ("scope", scope.as_deref()),
            ("resource_metadata", metadata),
        ];
        let mut challenge = challenge_of("Bearer", parameters);
        if let Some(dpop) = self.dpop_challenge(settings) {
            // The second: some clients read the first only.
            challenge.push_str(", ");
            challenge.push_str(&dpop);
        }
        Some(challenge)
    }

    /// The challenge of the scheme DPoP (RFC 9449 sections 7.1 and 9).
    fn dpop_challenge(&self, settings: &ErrorSettings) -> Option<String> {
        let algorithms = settings.proof_algorithms.as_ref()?;
        if self.status(settings.format) != 401 {
            return None;
        }
        let error = match self {
            Self::DpopInvalid(ProofError::Nonce) => Some("use_dpop_nonce"),
            Self::DpopInvalid(_) => Some("invalid_dpop_proof"),
            _ => (self.class() != Class::Missing).then_some("invalid_token"),
        };
        let described = error.filter(|_| settings.format == ErrorFormat::Problem);
        let parameters = [
            ("error", error),
            ("error_description", described.map(|_| self.title())),
            ("algs", Some(algorithms.as_str())),
        ];
        Some(challenge_of("DPoP", parameters))
    }

    /// The scopes that a client should request next: all that are required, at once; for
    /// a resource also those that it has, which the new token would lack otherwise.
    fn scope_to_ask_for(&self, hint: Option<&ResourceHint>) -> Option<String> {
        let scopes = match (self, hint) {
            (Self::InsufficientScope { needed, held }, Some(_)) => {
                let mut scopes = needed.clone();
                let bytes = |scopes: &[String]| scopes.iter().map(String::len).sum::<usize>();
                // Text from an issuer could look like a parameter.
                let is_plain = |scope: &&String| !scope.contains('=') && !needed.contains(*scope);
                let held = held.iter().filter(is_plain).cloned();
                let held = held.collect::<Vec<_>>();
                if bytes(&held) <= MAX_HELD_BYTES {
                    scopes.extend(held);
                }
                scopes
            }
            (Self::InsufficientScope { needed, .. }, None) => needed.clone(),
            (Self::TokenMissing, Some(hint)) => hint.scopes.clone(),
            _ => return None,
        };
        (!scopes.is_empty()).then(|| scopes.join(" "))
    }

    // RFC 9457 section 5: "when actually generating a problem -- however it is serialized
    // -- the details given must also be scrutinized" (R40)
    fn problem(&self) -> String {
        let problem = Problem {
            code: self.code().name(),
            detail: self.to_string(),
            status: self.status(ErrorFormat::Problem),
            title: self.title(),
        };
        // Texts and a number are always written.
        serde_json::to_string(&problem).unwrap_or_default()
    }

    /// The title of the code; plain ASCII without quotes, usable in a challenge.
    const fn title(&self) -> &'static str {
        match self.class() {
            Class::Request if matches!(self, Self::EntriesInvalid(_)) => {
                "The entries cannot be read"
            }
            Class::Request => "The request is ambiguous",
            Class::TooLarge => "Too many header fields",
            Class::Missing => "A token is required",
            Class::Token if matches!(self, Self::DpopInvalid(_)) => {
                "The DPoP proof is not accepted"
            }
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
            | Self::HeaderNameInvalid(_)
            | Self::TrailerForbidden(_)
            | Self::MethodAmbiguous
            | Self::PathAmbiguous(_)
            | Self::HostAmbiguous => "Bad request",
            Self::HeadersTooMany { .. } => "Request header or cookie too large",
            Self::Token(rejection) => return rejected(rejection).to_string(),
            Self::TokenUnsealable => "Bad token; invalid JSON",
            Self::TokenInactive
            | Self::TokenRevoked
            | Self::BindingMismatch(_)
            | Self::DpopInvalid(_) => "Bad token; invalid claims",
            Self::EntriesInvalid(why) => why,
            Self::ConsumerUnknown => "No credentials found for given 'iss'",
            Self::InsufficientScope { .. }
            | Self::GroupForbidden
            | Self::ClaimForbidden(_)
            | Self::ProviderForbidden
            | Self::OriginForbidden
            | Self::UserUnknown => "You cannot consume this service",
            Self::ConfigurationInvalid
            | Self::BodyNotAwaited
            | Self::UserInfoUnavailable
            | Self::KeysUnavailable
            | Self::IntrospectionUnavailable
            | Self::RevocationUnavailable
            | Self::RevocationNotStored
            | Self::RevocationNotForwarded
            | Self::RevocationsFull { .. }
            | Self::NoRoomForRevocations
            | Self::LoginUnavailable
            | Self::ClockNotSet
            | Self::ConsumerUnavailable
            | Self::IdentityUnavailable
            | Self::TooManyCallouts(_) => "An unexpected error occurred",
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

/// The body of Kong's plugin for a rejected token.
fn rejected(rejection: &Rejection) -> Value {
    let message = match rejection {
        Rejection::Expired { .. } => return json!({"exp": "token expired"}),
        Rejection::NotYetValid { .. } => return json!({"nbf": "token not valid yet"}),
        Rejection::LifetimeExceeded { .. } => {
            return json!({"exp": "exceeds maximum allowed expiration"});
        }
        Rejection::NotDates(claims) => {
            let texts = claims.iter().map(|claim| ((*claim).to_owned(), "must be a number".into()));
            return Value::Object(texts.collect());
        }
        Rejection::Unreadable(error) => unreadable(*error),
        Rejection::ClaimMalformed(_) => "Bad token; invalid claims",
        Rejection::AlgorithmUnknown(_) => "Bad token; invalid alg",
        Rejection::AlgorithmNotAllowed(_) => "Invalid algorithm",
        Rejection::CredentialMalformed(claim) => {
            return json!({"message": format!("Invalid '{claim}' in claims")});
        }
        Rejection::CredentialUnknown(claim) => {
            return json!({"message": format!("No credentials found for given '{claim}'")});
        }
        Rejection::KeyUnknown(_) | Rejection::KeyUnusable(..) | Rejection::IssuerUnknown(_) => {
            "No credentials found for given 'iss'"
        }
        Rejection::SignatureInvalid | Rejection::KeyUnnamed { .. } => "Invalid signature",
        Rejection::ClaimMissing(claim) => {
            return json!({"message": format!("No mandatory '{claim}' in claims")});
        }
        Rejection::AudienceMismatch(_)
        | Rejection::ClaimMismatch(_)
        | Rejection::TypeMismatch(_)
        | Rejection::Unconfirmed => "Bad token; invalid claims",
    };
    json!({ "message": message })
}

/// The message of Kong's plugin for a malformed token.
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
