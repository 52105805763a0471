//! A running filter, whichever engine runs it.

use std::sync::{Arc, Mutex};

use super::abi::Trap;
use super::fake::FakeHost;
use super::in_process::InProcess;
use super::{Filter, module, native};

/// The fake host as the engines share it with the scenario.
pub type SharedHost = Arc<Mutex<FakeHost>>;

/// What runs the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Linked into the test binary: quick, debuggable, the coverage tool sees it.
    Native,
    /// The `.wasm` that ships, in an interpreter.
    Module,
    /// The same, and what each export takes is measured: see
    /// [`Host::take_fuel`](super::Host::take_fuel).
    Metered,
    /// Another door than the filter's: the core alone.
    InProcess,
}

impl Engine {
    pub fn boot(self, filter: &Filter, host: SharedHost) -> Result<Box<dyn Vm>, Trap> {
        Ok(match self {
            Self::Native => Box::new(native::NativeVm::boot(filter, host)),
            Self::Module => Box::new(module::ModuleVm::boot(filter, host, false)?),
            Self::Metered => Box::new(module::ModuleVm::boot(filter, host, true)?),
            Self::InProcess => Box::new(InProcess::boot(host)),
        })
    }
}

/// One instance of the filter.
pub trait Vm {
    /// Calls an export; a bool or an action comes back as a number, nothing as 0.
    ///
    /// After a trap the instance is broken and must not be called again.
    fn call(&mut self, export: Export, args: &[u32]) -> Result<u32, Trap>;
}

/// The exports that the fake host calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    Initialize,
    ContextCreate,
    VmStart,
    Configure,
    Tick,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    HttpCallResponse,
    Done,
    Log,
    Delete,
    /// None of the host's: how much is in progress in the filter, natively.
    InProgress,
}

impl Export {
    pub fn name(self) -> &'static str {
        match self {
            Self::Initialize => "_initialize",
            Self::ContextCreate => "proxy_on_context_create",
            Self::VmStart => "proxy_on_vm_start",
            Self::Configure => "proxy_on_configure",
            Self::Tick => "proxy_on_tick",
            Self::RequestHeaders => "proxy_on_request_headers",
            Self::RequestBody => "proxy_on_request_body",
            Self::RequestTrailers => "proxy_on_request_trailers",
            Self::ResponseHeaders => "proxy_on_response_headers",
            Self::ResponseBody => "proxy_on_response_body",
            Self::HttpCallResponse => "proxy_on_http_call_response",
            Self::Done => "proxy_on_done",
            Self::Log => "proxy_on_log",
            Self::Delete => "proxy_on_delete",
            Self::InProgress => "what is in progress",
        }
    }
}
