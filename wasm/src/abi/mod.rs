//! The host's functions, as the proxy-wasm ABI 0.2.1 has them.
//!
//! Written here and not taken from the SDK's `hostcalls`, which panic on every status
//! that they do not expect, and a panic ends the VM: on Kong the worker dies if a
//! request waits in it. Here a status is a value, and each caller decides what follows
//! from a failure:
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
//! The SDK's dispatcher still panics on unexpected callbacks. No host makes any of them
//! as long as nothing has trapped (read in the sources of Envoy, proxy-wasm-cpp-host
//! and ngx_wasm_module):
//!
//! | the SDK panics on | hosts |
//! |---|---|
//! | a context that was not made, or twice | make each once, before they name it |
//! | a reply to a callout that it does not know, or a second one | give one to each |
//! | a callback within a call of the host | put off what the call causes until the callback is over |
//! | a token that is still awaited | count them up, 2^30 (Envoy) or 2^32 of them; those of requests that left are [released](release) |
//! | failing to enter the context of a reply | Envoy has it; whether it may be entered is asked when the filter is configured |
//! | another status of `proxy_http_call` | see [`dispatch`] |
//!
//! After a trap Envoy does not call the VM's contexts any more. ngx_wasm_module makes
//! those that it still has in a new instance, and gives that one the replies to
//! callouts of the old one: it traps as well. The guard answers the request with 500,
//! and the next one gets another instance.
//!
//! - `callouts` are the calls that go through the SDK.
//! - `imports` declares the functions, and is the only place with their pointers.
//! - `calls` are the functions that the filter calls.
//! - `maps` is the form in which header maps cross the border.

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

/// How a call ended, if not well. A number: a host may know more of them than the
/// specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u32);

impl Status {
    const OK: Self = Self(0);
    /// The value does not exist.
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
