//! Every field of the configuration: what it accepts, and what is said where it
//! does not.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod accepted;
mod conditions;
mod refused;
mod secrets;
mod support;
mod whole;
