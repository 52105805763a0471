//! Code shared by the native doors: what a library in a proxy can do and a sandboxed
//! filter cannot.
//!
//! [`AwsLc`] computes signatures, [`VerifiesOnce`] verifies each for all workers of the
//! process, [`MadeUpKeys`]
//! stand in for keys that are not here, [`Store`] is shared by the workers,
//! [`environment`] reads permitted variables, [`seed`] draws randomness, and [`Stopwatch`]
//! measures. Nothing here knows a proxy; only the doors do.

mod configuration;
mod crypto;
mod environment;
mod random;
mod stopwatch;
mod store;

pub use self::configuration::load;
pub use self::crypto::{AwsLc, MadeUpKeys, VerifiesOnce, take_reused_signatures};
pub use self::environment::environment;
pub use self::random::{NoRandomness, seed};
pub use self::stopwatch::Stopwatch;
pub use self::store::Store;
