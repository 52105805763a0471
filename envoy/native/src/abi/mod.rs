//! The border to Envoy: the only part of the crate with `unsafe` in it.
//!
//! - `types` are the values that cross it.
//! - `callbacks` are Envoy's functions, looked up by name.
//! - `envoy` makes safe calls of them. A value that is valid only in a hook cannot be
//!   kept: a [`Filter`] and a [`Config`] end with the hook that they were given to, and
//!   a call after which Envoy may have destroyed the stream consumes the filter.
//! - `copies` finds another copy of this module in the process.
//! - `metadata` is what other filters left, where this Envoy tells it.
//! - `secrets` subscribes to Envoy's secrets, where this Envoy exposes them to modules.
//! - `hooks` are the functions that Envoy calls. A panic ends in each of them.
//!
//! The ABI is that of Envoy's `source/extensions/dynamic_modules/abi/abi.h`, described
//! here in our own words: the contract of each function is at its declaration.
#![allow(unsafe_code, reason = "Envoy is C++")]
#![deny(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]

mod callbacks;
mod copies;
mod envoy;
mod hooks;
pub(crate) mod metadata;
mod secrets;
mod types;

pub use self::callbacks::Callbacks;
pub(crate) use self::envoy::{
    Config, ConfigWaker, Filter, ForeignRoute, Kind, Metric, Request, StreamWaker,
    peer_certificate_digest, source_address,
};
pub use self::hooks::REQUIRED_HOOKS;
pub use self::secrets::SECRET_SYMBOLS;
pub(crate) use self::secrets::{SecretId, are_given as secrets_are_given};
pub(crate) use self::types::{BodyStatus, HeadersStatus, Map, TrailersStatus};
