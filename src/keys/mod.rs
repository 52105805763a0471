//! Keys: their kinds, their permitted use, and their signatures.
//!
//! A [`VerifyingKey`] is made from a JWK and knows the algorithms it may serve; the
//! algorithm a token names is compared with them, never obeyed. A [`KeySet`] finds the
//! keys for a token by key id. A [`SigningKey`] mints tokens and returns its public half
//! as a JWK.
//!
//! The rules for strength are applied where a key is created (RFC 7518 sections 3.2 to
//! 3.5, RFC 8037 section 3), so no weak key exists as a value. The cryptography is that
//! of the RustCrypto crates, of dalek and of jwt-compact, or that of the host
//! ([`HostCrypto`]). Only the equation of ECDSA is written here, on the curves of these
//! crates, since the crates' own verification costs three times as much, and anybody can
//! ask for it. It sees nothing secret. A [`Crypto`] selects which of them computes.
//!
//! Nothing here fetches keys, knows issuers or looks at claims.

mod algorithm;
mod certificate;
mod credential;
mod crypto;
mod ecdsa;
mod eddsa;
mod error;
mod hmac;
mod host;
mod jwk;
mod known_answers;
mod multiples;
mod pasted;
mod pkcs8;
mod private;
mod rsa;
mod set;
mod signing;
mod spki;
mod thumbprint;
mod verifying;

pub use self::algorithm::{Algorithm, AlgorithmSet, Family, MAX_CANDIDATES, SigningAlgorithm};
pub use self::crypto::Crypto;
pub use self::error::{Excerpt, KeyError, KeyKind, SignError, SigningKeyError};
pub use self::hmac::mac_sha256;
pub use self::host::{HostCrypto, HostSigningKey, HostVerifyingKey};
pub use self::jwk::Origin;
pub use self::pasted::Pasted;
pub use self::set::{KeySet, KeySetError, MAX_KEYS, SkippedKey};
pub use self::signing::SigningKey;
pub use self::thumbprint::jwk_thumbprint;
pub use self::verifying::VerifyingKey;

/// The longest key id accepted, in a key as in a token.
pub const MAX_KEY_ID_BYTES: usize = 256;
