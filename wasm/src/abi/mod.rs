//! The host's functions of the proxy-wasm ABI 0.2.1.
//!
//! Declared here and not taken from the SDK's `hostcalls`, which panic on every
//! unexpected status, and a panic ends the VM: on Kong the worker dies if a request waits
//! in it. Here a status is a value, and each caller decides how to handle a failure:
//!
//! | failure | outcome |
//! |---|---|
//! | reading the request's headers, the clock; an edit; the guard | 500 |
//! | sending a callout | the callout counts as one without a reply |
//! | reading a reply, whole or in part | the callout counts as failed |
//! | resuming a request | 500 |
//! | sending an answer | a bare 500; if that fails too, the request stays paused |
//! | entering another request's context | the request is gone, or stays paused |
//! | reading the configuration, setting the tick | the configuration is refused |
//! | shared data | as if it were missing |
//! | Envoy's cryptography | the module's own is used |
//! | a property that only informs, a metric, the log | ignored |
//!
//! The SDK's dispatcher still panics on unexpected callbacks. No host makes any of them
//! as long as nothing has trapped (according to the sources of Envoy, proxy-wasm-cpp-host
//! and ngx_wasm_module):
//!
//! | the SDK panics on | hosts |
//! |---|---|
//! | an unknown context, or one created twice | create each once, before using it |
//! | a reply to an unknown callout, or a second one | deliver one to each |
//! | a callback within a host call | defer the effects of the call until the callback is over |
//! | a token that is still awaited | count tokens up, to 2^30 (Envoy) or 2^32; those of requests that are gone are [released](release) |
//! | failing to enter the context of a reply | Envoy has it; whether it may be entered is checked when the filter is configured |
//! | another status of `proxy_http_call` | see [`dispatch`] |
//!
//! After a trap Envoy does not call the VM's contexts any more. ngx_wasm_module recreates
//! the remaining ones in a new instance, and delivers to it the replies to callouts of
//! the old one: it traps as well. The guard answers the request with 500, and the next
//! one gets another instance.
//!
//! - `callouts` are the host calls that go through the SDK.
//! - `imports` declares the functions, and is the only place with their pointers.
//! - `calls` are the functions that the filter calls.
//! - `maps` is the serialization of header maps.

mod callouts;
mod calls;
mod imports;
mod maps;

pub(super) use callouts::{call_root, dispatch, release};
pub(super) use calls::{
    LocalResponse, add_to_metric, buffer, call_foreign_function, continue_request, define_metric,
    enter_context, header_fields, header_value, log, now_nanos, property, record_metric,
    remove_header, send_local_response, set_header, set_property, set_shared_data, set_tick_period,
    shared_data,
};

/// The status of a failed call. A number: a host may use more of them than the
/// specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u32);

impl Status {
    const OK: Self = Self(0);
    /// The value does not exist.
    pub(super) const NOT_FOUND: Self = Self(1);
    /// The host returned malformed data.
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

/// `None` for a missing value.
fn if_found<T>(result: Result<T, Status>) -> Result<Option<T>, Status> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Status::NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}
