//! Tokens: from bytes that anybody may have sent to claims that hold.
//!
//! [`Untrusted`] is a token whose form is right (RFC 7515 section 7.1) and
//! nothing more. Nobody signed it as far as this module knows.

mod compact;
mod error;
mod header;

pub use self::compact::Untrusted;
pub use self::error::{Malformed, Part, TokenError};
