//! One request.

use std::rc::Rc;

use gatepass::denial::Denial;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{Host, Metric};
use crate::shared::Shared;

/// The context of one request.
pub(crate) struct Filter {
    context_id: u32,
    plugin: Plugin,
}

/// The plugin that a request belongs to.
#[derive(Clone)]
pub(crate) enum Plugin {
    /// A gateway.
    Ready(Rc<Shared>),
    /// No valid configuration: every request is denied, and counted.
    Closed(Host, Option<Metric>),
}

impl Filter {
    pub(crate) const fn new(context_id: u32, plugin: Plugin) -> Self {
        Self { context_id, plugin }
    }
}

impl Context for Filter {
    /// Called on hosts where a callout ends with its request.
    fn on_http_call_response(&mut self, token: u32, fields: usize, body_bytes: usize, _: usize) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.reply(self.context_id, token, fields, body_bytes);
        }
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, fields: usize, end_of_stream: bool) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.begin(self.context_id, fields, end_of_stream),
            Plugin::Closed(host, denials) => {
                if let Some(denials) = denials {
                    host.measure(*denials, 1);
                }
                let denial = Denial::ConfigurationInvalid;
                host.reply(&denial.reply_unconfigured(), denial.code().name());
                Action::Pause
            }
        }
    }

    fn on_http_request_body(&mut self, bytes: usize, end_of_stream: bool) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.body(self.context_id, bytes, end_of_stream),
            // Answered already.
            Plugin::Closed(..) => Action::Pause,
        }
    }

    fn on_http_request_trailers(&mut self, fields: usize) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.trailers(self.context_id, fields),
            // Answered already.
            Plugin::Closed(..) => Action::Pause,
        }
    }

    /// Envoy hands over a body only after the head went on. What stands behind this filter
    /// has to hold it back (the buffer filter does), or the upstream answers in its place.
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.response(self.context_id),
            Plugin::Closed(..) => Action::Continue,
        }
    }
}

impl Drop for Filter {
    /// The client may leave while its request waits.
    fn drop(&mut self) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.forget(self.context_id);
        }
    }
}
