//! Key sets that are fetched from their issuer and kept up to date.
//!
//! Owns the schedule of fetches and the lifetime of keys; the fetch itself is an ordinary
//! callout. A failed fetch never removes keys that are still usable.

mod discovery;
mod endpoint;
mod error;
mod remote;
mod source;
mod sources;
mod store;
mod wanted;

pub use self::discovery::DiscoveryError;
pub use self::endpoint::{JwksEndpoint, JwksLocation};
pub use self::error::FetchError;
pub use self::remote::{Fetched, Poll, RemoteKeys};
pub use self::source::KeySource;
pub use self::sources::{KeySourceId, KeySources};
pub use self::wanted::{Lookup, NoFetch, Wanted};
