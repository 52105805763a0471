//! The bearer token on its way in, and what a client may not say on the way out.
//!
//! Where a token is found, which requests with one in a cookie are trusted, and
//! what is taken off a request before it goes upstream. Nothing here looks into
//! a token.

mod origin;
mod sanitize;
mod sources;

pub use self::origin::OriginPolicy;
pub(crate) use self::sanitize::note;
pub use self::sanitize::{OwnedHeaders, Sanitized, refuse_repeated};
pub use self::sources::{HeaderSource, TokenSources, check_form};
