//! Gatepass: skeleton.
pub mod json;
pub mod secret;
pub mod time;
