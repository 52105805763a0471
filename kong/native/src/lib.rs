//! The native door for Kong and any OpenResty: the core behind a C interface, which the
//! plugin in `kong/plugins/gatepass` calls through LuaJIT's FFI.
//!
//! ```text
//!   Lua      gatepass_begin ...  -> action ...
//!   abi      pointers become slices, panics become 500
//!   door     one gateway: its requests, callouts, actions, log
//!   core     gatepass::gateway
//! ```
//!
//! `gatepass.h` documents each call. The core makes the decisions; this crate adds what
//! nginx workers need: a store shared between processes ([`store`]), addresses of
//! services, and C structs for actions.

pub mod abi;
mod address;
pub mod check;
mod door;
mod encode;
mod frame;
mod numbers;
pub mod store;
