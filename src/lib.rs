//! Gatepass: skeleton.
pub mod json;
pub mod keys;
pub mod secret;
pub mod time;
pub mod token;
