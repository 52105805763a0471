//! Key sets that are fetched from their issuer and kept up to date.
//!
//! Owns when to fetch and how long to keep; the fetching itself is a callout
//! like any other. A fetch that fails never takes away keys that still serve.

mod discovery;
mod endpoint;
mod error;
mod remote;
mod source;
mod store;
mod wanted;

pub use self::discovery::DiscoveryError;
pub use self::endpoint::{JwksEndpoint, JwksLocation};
pub use self::error::FetchError;
pub use self::remote::{Fetched, Poll, RemoteKeys};
pub use self::source::KeySource;
pub use self::wanted::{Lookup, Wanted};
