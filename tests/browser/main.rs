//! The shop's page in a real browser: headless Chromium, driven by WebDriver.
//!
//! Needs `make wasm`, the Envoy of `.ci/install-envoy`, and `chromium` and
//! `chromedriver` on PATH, all of which `make test` sees to. With
//! `SCREENSHOTS=directory` it leaves pictures there.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may fail"
)]

mod browser;
mod clients;
mod page;

#[path = "../../examples/shop/stack.rs"]
mod stack;
