//! Gatepass as a dynamic module of Envoy: the same gateway as the WebAssembly
//! filter's, in Envoy's own process.
//!
//! # Threads
//!
//! Envoy decides a request on one of its workers, and a configuration lives on the
//! main thread. A gateway belongs to one thread, so there is one for each worker and
//! one for the main thread, all made of the same text (`plan`).
//!
//! - A worker's gateway (`worker`) decides its requests (`stream`). It never calls
//!   a service itself: Envoy ends a stream's callout with the stream, and others may
//!   wait for it. Its callouts go to the main thread.
//! - The main thread (`configuration`) sends callouts and puts each reply into the
//!   `mailbox` of the worker that asked; one of the streams that wait there is woken
//!   on its own thread, and takes the mail in for all of them. Its own gateway fetches
//!   keys and feeds, and shares them with the workers through the process's store.
//! - A `timer` for each configuration calls the main thread ten times a second, since
//!   Envoy gives a filter no timer.
//!
//! # What may go wrong
//!
//! A panic ends in the hook that it happens in (`abi`): the request is denied, and
//! the worker's gateway, which may be in the middle of something, is replaced. Nothing
//! else protects Envoy from this code, which is why only `abi` may say `unsafe`.

mod abi;
mod configuration;
mod held;
mod in_flight;
mod mailbox;
mod metrics;
mod outgoing;
mod plan;
mod secrets;
mod shared;
mod stream;
mod timer;
mod worker;

pub use self::abi::{Callbacks, REQUIRED_HOOKS, SECRET_SYMBOLS};
