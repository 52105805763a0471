//! One request.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::Host;
use super::shared::Shared;
use crate::denial::Denial;
use crate::http::RequestHead;

/// The context of one request.
pub(super) struct Filter {
    context_id: u32,
    shared: Option<Rc<Shared>>,
}

impl Filter {
    pub(super) const fn new(context_id: u32, shared: Option<Rc<Shared>>) -> Self {
        Self { context_id, shared }
    }
}

impl Context for Filter {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _: usize) {
        if let Some(shared) = &self.shared {
            shared.reply(self.context_id, token, headers, body_bytes);
        }
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, fields: usize, _end_of_stream: bool) -> Action {
        match &self.shared {
            Some(shared) => shared.begin(self.context_id, fields),
            None => {
                let settings = crate::config::default_errors();
                let denial = Denial::ConfigurationInvalid;
                Host::NgxWasm.reply(&denial.reply(&RequestHead::default(), b"", &settings));
                Action::Pause
            }
        }
    }
}

impl Drop for Filter {
    /// The client may leave while its request waits.
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.forget(self.context_id);
        }
    }
}
