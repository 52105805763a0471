//! Sealed tokens: the client never holds its token, only a value that the gateway alone
//! can open. Nothing is stored or looked up: the token is inside.
//!
//! Owns the keys and the format of sealed tokens, the login routes on which tokens are
//! sealed, and the filter for replies of login services.

mod decoding;
mod keys;
mod leak;
mod login;
mod reading;
mod reply;
mod shape;

use std::rc::Rc;

pub use self::keys::{InvalidSealKey, InvalidSealKeys, SealKey, SealKeys, Unsealable, is_sealed};
pub use self::login::{Client, Login, LoginError, Logins};
pub use self::reply::{LoginFailure, SealedReply};
use crate::features;

/// `sealed_tokens` in the configuration.
#[derive(Clone, Debug)]
pub struct SealedTokens {
    /// The keys that seal and open.
    pub keys: Rc<SealKeys>,
    /// The login routes.
    pub logins: Rc<Logins>,
    /// A build without it has no sealed tokens.
    pub feature: features::SealedTokens,
}
