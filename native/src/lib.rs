//! What the native doors share: what a library loaded into a proxy can do and a
//! filter in a sandbox cannot.
//!
//! [`AwsLc`] computes signatures, [`Store`] is what the workers of the process
//! share, [`environment`] reads what configurations may know of the process, and
//! [`seed`] draws randomness. Nothing here knows a proxy: the doors do.

mod configuration;
mod crypto;
mod environment;
mod random;
mod store;

pub use self::configuration::load;
pub use self::crypto::AwsLc;
pub use self::environment::environment;
pub use self::random::{NoRandomness, seed};
pub use self::store::Store;
