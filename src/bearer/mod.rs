//! The bearer token of a request, and the header fields that a client must not set.
//!
//! Finds the token, checks the origin of requests with a token in a cookie, and
//! sanitizes requests before they go upstream. Nothing here parses a token.

mod cookies;
mod origin;
mod sanitize;
mod sources;

pub use self::origin::OriginPolicy;
pub(crate) use self::sanitize::add_name;
pub use self::sanitize::{OwnedHeaders, Sanitized, refuse_repeated};
pub use self::sources::{HeaderSource, TokenSources, check_form};
