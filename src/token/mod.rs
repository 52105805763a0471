//! Tokens: from untrusted bytes to verified claims.
//!
//! [`TokenSources`](crate::bearer::TokenSources) finds the bytes. [`Untrusted`] is a
//! well-formed token (RFC 7515 section 7.1) whose signature was not checked.
//! [`Provider::verify`] turns it into a [`Verified`], the only form in which the rest
//! of the gateway accepts a token.

mod actor;
mod audience;
mod claims;
mod compact;
mod confirmation;
mod error;
mod grant;
mod header;
mod issuer;
mod provider;
mod rejection;
mod scopes;
mod template;
mod verified;
mod verifier;

pub use self::actor::{Actor, ActorRule};
pub use self::audience::Audience;
pub use self::claims::{ClaimPath, ClaimRule, ClaimTest, numeric_date, text, text_of};
pub use self::compact::{KnownHeaders, TokenContent, TokenNames, Untrusted};
pub use self::confirmation::{Confirmation, Methods};
pub use self::error::{Malformed, Part, TokenError};
pub use self::grant::{Grant, KnownGrants};
pub use self::issuer::Issuer;
pub use self::provider::{
    ClientClaims, CredentialClaim, Issuance, MAX_CLOCK_SKEW_SECONDS, Provider, ProviderId,
    Providers,
};
pub use self::rejection::{Found, Rejection};
pub use self::scopes::Scopes;
pub use self::template::{ClaimTemplate, TemplateError};
pub use self::verified::{PresentedToken, REVOKED_BY, Verified};
pub use self::verifier::{
    EVENT_TYPES, EVENTS_CLAIM, IDENTITY_TYPES, OwnTokens, check_signature, refuse_events,
};
