//! The host's functions, as the proxy-wasm ABI 0.2.1 has them.
//!
//! Written here and not taken from the SDK, which panics on every status that it
//! does not expect, and a panic ends the VM: on Kong the worker dies if a request
//! waits in it. Here a status is a value, and each caller says what becomes of a
//! call that failed:
//!
//! | what fails | what becomes of it |
//! |---|---|
//! | reading the request's headers, the clock; an edit; the guard | 500 |
//! | sending a callout | as one without a reply |
//! | reading a reply, whole or in part | as one that failed |
//! | letting a request go on | 500 |
//! | an answer | 500 without anything else, then the request stays paused |
//! | entering another request's context | it is gone, or stays paused |
//! | reading the configuration, setting the tick | the configuration is refused |
//! | shared data | as if it were not there |
//! | Envoy's cryptography | the module's own is used |
//! | a property that only informs, a metric, the log | nothing |
//!
//! - `imports` declares the functions, and is the only place with their pointers.
//! - `calls` are the functions that the filter calls.
//! - `maps` is the form in which header maps cross the border.

mod calls;
mod imports;
mod maps;

pub(super) use calls::{
    Buffer, LocalResponse, Map, MetricKind, add_to_metric, allocate, buffer, call_foreign_function,
    continue_request, define_metric, dispatch, enter_context, header_fields, header_value, log,
    now_nanos, property, record_metric, remove_header, send_local_response, set_header,
    set_property, set_shared_data, set_tick_period, shared_data,
};

/// Whether a request goes on, as the ABI says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Action {
    Continue = 0,
    Pause = 1,
}

/// How a call ended, if not well. A number: a host may know more of them than the
/// specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u32);

impl Status {
    const OK: Self = Self(0);
    /// There is no such thing.
    pub(super) const NOT_FOUND: Self = Self(1);
    /// The host gave something that is not what it should be.
    const SERIALIZATION_FAILURE: Self = Self(3);

    fn ok(self) -> Result<(), Self> {
        if self == Self::OK { Ok(()) } else { Err(self) }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.0)
    }
}

/// `None` for what is not there.
fn if_found<T>(result: Result<T, Status>) -> Result<Option<T>, Status> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Status::NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}
