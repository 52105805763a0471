//! Gatepass as a dynamic module for Envoy: the same gateway as in the WebAssembly filter,
//! in Envoy's own process.
//!
//! # Threads
//!
//! Envoy processes a request on one of its workers, and a configuration lives on the main
//! thread. A gateway belongs to one thread, so there is one for each worker and one for
//! the main thread, all made from the same text (`snapshot`).
//!
//! - A worker's gateway (`worker`) decides its requests (`stream`). It never calls a
//!   service itself: Envoy cancels a stream's callout with the stream, but other streams
//!   may wait for it. Its callouts go to the main thread.
//! - The main thread (`configuration`) sends callouts and puts each reply into the
//!   `mailbox` of the worker that sent it; one of the streams waiting there is woken on
//!   its own thread, and reads the mail for all of them. Its own gateway fetches keys and
//!   feeds, and shares them with the workers through the process's store.
//! - A `timer` for each configuration wakes the main thread ten times a second, since
//!   Envoy offers filters no timer.
//!
//! # Panics
//!
//! A panic is caught in its hook (`abi`): the request is denied, and the worker's
//! gateway, whose state may be inconsistent, is replaced. Nothing else protects Envoy
//! from this code, which is why only `abi` may use `unsafe`.

mod abi;
mod configuration;
mod in_flight;
mod mailbox;
mod metrics;
mod outgoing;
mod pending_actions;
mod secrets;
mod shared;
mod snapshot;
mod stream;
mod timer;
mod worker;

pub use self::abi::{Callbacks, REQUIRED_HOOKS, SECRET_SYMBOLS};
