//! The reasons, each with its stable code and its text.

use std::fmt;

use super::code::{Class, Code};
use super::settings::ErrorFormat;
use crate::binding::{Mismatch, ProofError};
use crate::http::PathAmbiguity;
use crate::token::{Rejection, TokenError};

/// A reason to deny a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The filter has no valid configuration.
    ConfigurationInvalid,
    /// Nothing held back the head of a request until the gateway had its body, and the
    /// upstream answered in its place.
    BodyNotAwaited,
    /// An owned header is repeated or misspelled in a way that the host cannot replace.
    HeaderRepeated(String),
    /// A header to remove whose name is not one, so that no host could find it.
    HeaderNameInvalid(String),
    /// A trailer that must not go upstream, on a host that cannot remove it.
    TrailerForbidden(String),
    /// More header fields than the host can list.
    HeadersTooMany {
        /// The smallest number that is too many.
        limit: usize,
    },
    /// A method that upstream frameworks may take for another one.
    MethodAmbiguous,
    /// A path that servers read differently, so no rule can be chosen reliably.
    PathAmbiguous(PathAmbiguity),
    /// An invalid host, where a rule has a condition on the host.
    HostAmbiguous,
    /// No token where one is needed.
    TokenMissing,
    /// More than one token (RFC 6750 section 2).
    TokenMultiple,
    /// The token itself is not acceptable.
    Token(Rejection),
    /// None of the keys opens the sealed token.
    TokenUnsealable,
    /// Inactive according to its issuer (RFC 7662).
    TokenInactive,
    /// The token is revoked, or not on the allowlist.
    TokenRevoked,
    /// A revocation request, a logout token or a security event cannot be applied, with
    /// the reason.
    EntriesInvalid(String),
    /// No consumer is configured for the token, or it is disabled.
    ConsumerUnknown,
    /// The token lacks a scope.
    InsufficientScope {
        /// All that are required.
        needed: Vec<String>,
        /// All that the token has.
        held: Vec<String>,
    },
    /// The consumer's name or groups do not meet the rule.
    GroupForbidden,
    /// A claim does not have an accepted value; the claim.
    ClaimForbidden(String),
    /// The token's provider is not accepted by the rule.
    ProviderForbidden,
    /// A token in a cookie, in a request that another site may have caused.
    OriginForbidden,
    /// The user-info service does not know the user.
    UserUnknown,
    /// The user-info service gave no usable answer.
    UserInfoUnavailable,
    /// The provider's keys could not be loaded.
    KeysUnavailable,
    /// A reference token could not be introspected.
    IntrospectionUnavailable,
    /// The client did not prove that it has the key to which the token is bound.
    BindingMismatch(Mismatch),
    /// The DPoP proof is not acceptable.
    DpopInvalid(ProofError),
    /// The revocation lists are not available.
    RevocationUnavailable,
    /// A revocation could not be shared with the other workers, and has no effect.
    RevocationNotStored,
    /// A revocation is in force here, but the service of the feed did not accept it.
    RevocationNotForwarded,
    /// A list has no room for the entries.
    RevocationsFull {
        /// The maximum number of entries.
        limit: usize,
    },
    /// The data that workers share has no room for the entries.
    NoRoomForRevocations,
    /// The login service gave no reply that may be passed on.
    LoginUnavailable,
    /// The host's clock is not set, so nothing can be decided.
    ClockNotSet,
    /// The host could not look up its consumer for the token.
    ConsumerUnavailable,
    /// No identity token could be minted.
    IdentityUnavailable,
    /// No callout may be added to those in flight. The code is the one for a failure of
    /// the service that it would be for.
    TooManyCallouts(Code),
}

impl Denial {
    /// The stable code, the same in bodies and logs.
    pub const fn code(&self) -> Code {
        match self {
            Self::ConfigurationInvalid | Self::BodyNotAwaited => Code::ConfigurationInvalid,
            Self::HeaderRepeated(_) | Self::HeaderNameInvalid(_) | Self::TrailerForbidden(_) => {
                Code::HeaderRepeated
            }
            Self::HeadersTooMany { .. } => Code::HeadersTooMany,
            Self::MethodAmbiguous => Code::MethodAmbiguous,
            Self::PathAmbiguous(_) => Code::PathAmbiguous,
            Self::HostAmbiguous => Code::HostAmbiguous,
            Self::TokenMissing => Code::TokenMissing,
            Self::TokenMultiple => Code::TokenMultiple,
            Self::Token(rejection) => code_of(rejection),
            Self::TokenUnsealable => Code::TokenUnsealable,
            Self::TokenInactive => Code::TokenInactive,
            Self::TokenRevoked => Code::TokenRevoked,
            Self::BindingMismatch(_) => Code::BindingMismatch,
            Self::DpopInvalid(_) => Code::DpopInvalid,
            Self::EntriesInvalid(_) => Code::EntriesInvalid,
            Self::ConsumerUnknown => Code::ConsumerUnknown,
            Self::InsufficientScope { .. } => Code::InsufficientScope,
            Self::GroupForbidden => Code::GroupForbidden,
            Self::ClaimForbidden(_) | Self::ProviderForbidden => Code::ClaimForbidden,
            Self::OriginForbidden => Code::OriginForbidden,
            Self::UserUnknown => Code::UserUnknown,
            Self::UserInfoUnavailable => Code::UserInfoUnavailable,
            Self::KeysUnavailable => Code::KeysUnavailable,
            Self::IntrospectionUnavailable => Code::IntrospectionUnavailable,
            Self::RevocationUnavailable
            | Self::RevocationNotStored
            | Self::RevocationNotForwarded
            | Self::RevocationsFull { .. }
            | Self::NoRoomForRevocations => Code::RevocationUnavailable,
            Self::LoginUnavailable => Code::LoginUnavailable,
            Self::ClockNotSet | Self::ConsumerUnavailable | Self::IdentityUnavailable => {
                Code::IdentityUnavailable
            }
            Self::TooManyCallouts(code) => *code,
        }
    }

    /// The denial of a request that cannot wait for what this one says is unavailable,
    /// since too many others do: the service may be well.
    #[must_use]
    pub fn of_overload(self) -> Self {
        match self {
            // What its sender has to know first.
            Self::RevocationNotForwarded => self,
            _ if self.class() == Class::Unavailable => Self::TooManyCallouts(self.code()),
            _ => self,
        }
    }

    pub(super) const fn class(&self) -> Class {
        self.code().class()
    }

    /// Whether the token is unusable for any request.
    pub fn is_of_token(&self) -> bool {
        self.class() == Class::Token
    }

    /// The HTTP status. Kong's plugin uses 401 for any fault of tokens, even for too many
    /// of them.
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
}

/// The code of a rejected token.
const fn code_of(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::Unreadable(TokenError::TooLarge { .. }) => Code::TokenTooLarge,
        Rejection::Unreadable(TokenError::Malformed(_)) => Code::TokenMalformed,
        Rejection::Unreadable(TokenError::CriticalHeader { .. }) => Code::CriticalHeader,
        Rejection::ClaimMalformed(_) => Code::TokenMalformed,
        Rejection::CredentialMalformed(_) => Code::TokenMalformed,
        Rejection::AlgorithmUnknown(_) | Rejection::AlgorithmNotAllowed(_) => {
            Code::AlgorithmNotAllowed
        }
        Rejection::KeyUnknown(_) | Rejection::KeyUnusable(..) | Rejection::CredentialUnknown(_) => {
            Code::KeyUnknown
        }
        Rejection::SignatureInvalid | Rejection::KeyUnnamed { .. } => Code::SignatureInvalid,
        Rejection::IssuerUnknown(_) => Code::IssuerUnknown,
        Rejection::AudienceMismatch(_) => Code::AudienceMismatch,
        Rejection::Expired { .. } => Code::TokenExpired,
        Rejection::NotYetValid { .. } => Code::TokenNotYetValid,
        Rejection::LifetimeExceeded { .. } => Code::LifetimeExceeded,
        Rejection::ClaimMissing(_) | Rejection::NotDates(_) => Code::ClaimMissing,
        Rejection::ClaimMismatch(_) => Code::ClaimMismatch,
        Rejection::TypeMismatch(_) => Code::TokenTypeMismatch,
        Rejection::Unconfirmed => Code::BindingMismatch,
    }
}

impl Denial {
    /// The text of what is wrong with header fields, with what was found.
    fn of_headers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderRepeated(name) => {
                write!(f, "the header {name} must not be sent twice or in another spelling")
            }
            Self::HeaderNameInvalid(name) => write!(f, "the header name {name} is not valid"),
            Self::TrailerForbidden(name) => write!(f, "{name} must not be sent as a trailer"),
            Self::HeadersTooMany { limit } => {
                write!(f, "the request has {limit} header fields or more")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigurationInvalid => "the gateway is not configured correctly",
            Self::BodyNotAwaited => {
                "the upstream answered before the body came in: the path needs the buffer filter \
                 behind this one"
            }
            Self::HeaderRepeated(_)
            | Self::HeaderNameInvalid(_)
            | Self::TrailerForbidden(_)
            | Self::HeadersTooMany { .. } => return self.of_headers(f),
            Self::MethodAmbiguous => {
                "the method must be in upper case, and an upgrade must use GET"
            }
            Self::PathAmbiguous(ambiguity) => return ambiguity.fmt(f),
            Self::HostAmbiguous => "the request must have exactly one valid host",
            Self::TokenMissing => "no token was sent",
            Self::TokenMultiple => "more than one token was sent",
            Self::Token(rejection) => return rejection.fmt(f),
            Self::TokenUnsealable => "the sealed token cannot be opened",
            Self::TokenInactive => "the token is not active",
            Self::TokenRevoked => "the token is revoked",
            Self::BindingMismatch(mismatch) => return mismatch.fmt(f),
            Self::DpopInvalid(error) => return error.fmt(f),
            Self::EntriesInvalid(why) => why,
            Self::ConsumerUnknown => "no consumer is registered for the token",
            Self::InsufficientScope { needed, .. } => {
                return write!(f, "scope needed: {}", needed.join(" "));
            }
            Self::GroupForbidden => "the consumer is not one of those allowed",
            Self::ClaimForbidden(claim) => {
                return write!(f, "claim {claim:?} does not have a value that is allowed here");
            }
            Self::ProviderForbidden => "the token's issuer is not one of those allowed here",
            Self::OriginForbidden => {
                "a request with the session cookie must come from a page of this site"
            }
            Self::UserUnknown => "the user is not known",
            Self::UserInfoUnavailable => "the user's data could not be loaded",
            Self::KeysUnavailable => "the issuer's keys could not be loaded",
            Self::IntrospectionUnavailable => "the issuer could not be asked about the token",
            Self::RevocationUnavailable => "which tokens are revoked is not known at the moment",
            Self::RevocationNotStored => "the revocation could not be stored: send it again",
            Self::RevocationNotForwarded => {
                "the revocation is in force here, but could not be passed on: send it again"
            }
            Self::RevocationsFull { limit } => {
                return write!(f, "no room for these entries: revocation.max_entries is {limit}");
            }
            Self::NoRoomForRevocations => {
                "no room for these entries: the data that workers share is full"
            }
            Self::LoginUnavailable => "the login service gave no answer that can be passed on",
            Self::ClockNotSet => "the host's clock is not set",
            Self::ConsumerUnavailable => "the host's consumer could not be looked up",
            Self::IdentityUnavailable => "no identity token could be made",
            Self::TooManyCallouts(_) => "too many requests are waiting for the same service",
        })
    }
}
