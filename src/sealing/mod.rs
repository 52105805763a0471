//! Sealed tokens: a client that never holds its token, but a value that only the
//! gateway can open. There is nothing to keep and nothing to look up: the token
//! is inside.
//!
//! Owns the keys and the form of a sealed token, the login routes on which
//! tokens are sealed, and what of a login service's reply may reach a client.

mod keys;
mod leak;
mod login;
mod reading;
mod reply;
mod shape;

pub use self::keys::{InvalidSealKey, InvalidSealKeys, SealKey, SealKeys, Unsealable, is_sealed};
pub use self::login::{Client, Login, LoginError, Logins};
pub use self::reply::{LoginFailure, SealedReply};

/// `sealed_tokens` in the configuration.
#[derive(Debug)]
pub struct SealedTokens {
    /// The keys that seal and open.
    pub keys: SealKeys,
    /// Where tokens are issued.
    pub logins: Logins,
}
