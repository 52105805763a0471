//! Tokens: from bytes that anybody may have sent to claims that hold.
//!
//! [`TokenSources`](crate::bearer::TokenSources) finds the bytes. [`Untrusted`] is a token whose form is
//! right (RFC 7515 section 7.1) and nothing more; nobody signed it as far as
//! that goes. [`Provider::verify`] makes of it a [`Verified`], which is the only
//! form in which the rest of the gateway takes a token.

mod audience;
mod claims;
mod compact;
mod error;
mod header;
mod provider;
mod rejection;
mod verifier;

pub use self::audience::Audience;
pub use self::claims::{ClaimPath, ClaimRule, ClaimTest, Claims, numeric_date, text_of};
pub use self::compact::Untrusted;
pub use self::error::{Malformed, Part, TokenError};
pub use self::provider::{CredentialClaim, Issuance, Provider, ProviderId, Providers};
pub use self::rejection::Rejection;
pub use self::verifier::{EVENT_TYPES, EVENTS_CLAIM, IDENTITY_TYPES, Verified};
