//! The command as people and scripts use it: the built binary, its files, its
//! exit status and what it prints.
//!
//! What it signs is checked with `jsonwebtoken`, never by our own code.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod around;
mod around_it;
mod beside;
mod broken;
mod check;
mod examples;
mod explain;
mod files;
mod further;
mod keys;
#[allow(dead_code)] // what others read of it
mod kinds;
mod mistakes;
mod misuse;
mod readme;
mod scalars;
mod support;
mod tokens;
