//! The codes of denials, and the class of each one.

use std::fmt;

/// The class of a failure: determines status, challenge and gRPC status.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The request itself is wrong: 400 with `invalid_request`.
    Request,
    /// 431, without a challenge.
    TooLarge,
    /// No credentials: 401 with a bare challenge (RFC 6750 section 3.1).
    Missing,
    /// 401 with `invalid_token`.
    Token,
    /// 403 with `insufficient_scope`.
    Scope,
    /// 403; another token would not help.
    Forbidden,
    /// 503 with `Retry-After`.
    Unavailable,
}

/// Generates the enum and the list of all its values from one table, so that neither can
/// lack a code.
macro_rules! codes {
    ($($code:ident: $name:literal, $class:ident;)*) => {
        /// The code of a denial: stable, and the same in bodies, logs and metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`")] $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// The code as text.
            // RFC 9457 section 5 (R71)
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }

            pub(super) const fn class(self) -> Class {
                match self {
                    $(Self::$code => Class::$class,)*
                }
            }
        }
    };
}

codes! {
    ConfigurationInvalid: "configuration_invalid", Unavailable;
    HeaderRepeated: "header_repeated", Request;
    HeadersTooMany: "headers_too_many", TooLarge;
    MethodAmbiguous: "method_ambiguous", Request;
    PathAmbiguous: "path_ambiguous", Request;
    HostAmbiguous: "host_ambiguous", Request;
    TokenMissing: "token_missing", Missing;
    TokenMalformed: "token_malformed", Token;
    TokenMultiple: "token_multiple", Request;
    TokenTooLarge: "token_too_large", Token;
    AlgorithmNotAllowed: "algorithm_not_allowed", Token;
    KeyUnknown: "key_unknown", Token;
    SignatureInvalid: "signature_invalid", Token;
    IssuerUnknown: "issuer_unknown", Token;
    AudienceMismatch: "audience_mismatch", Token;
    TokenExpired: "token_expired", Token;
    TokenNotYetValid: "token_not_yet_valid", Token;
    LifetimeExceeded: "lifetime_exceeded", Token;
    ClaimMissing: "claim_missing", Token;
    ClaimMismatch: "claim_mismatch", Token;
    TokenTypeMismatch: "token_type_mismatch", Token;
    CriticalHeader: "critical_header", Token;
    TokenUnsealable: "token_unsealable", Token;
    TokenInactive: "token_inactive", Token;
    TokenRevoked: "token_revoked", Token;
    BindingMismatch: "binding_mismatch", Token;
    DpopInvalid: "dpop_invalid", Token;
    EntriesInvalid: "entries_invalid", Request;
    ConsumerUnknown: "consumer_unknown", Token;
    InsufficientScope: "insufficient_scope", Scope;
    GroupForbidden: "group_forbidden", Forbidden;
    ClaimForbidden: "claim_forbidden", Forbidden;
    OriginForbidden: "origin_forbidden", Forbidden;
    UserUnknown: "user_unknown", Forbidden;
    UserInfoUnavailable: "user_info_unavailable", Unavailable;
    KeysUnavailable: "keys_unavailable", Unavailable;
    IntrospectionUnavailable: "introspection_unavailable", Unavailable;
    RevocationUnavailable: "revocation_unavailable", Unavailable;
    LoginUnavailable: "login_unavailable", Unavailable;
    IdentityUnavailable: "identity_unavailable", Unavailable;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
