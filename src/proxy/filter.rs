//! One request.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{Host, Metric};
use super::shared::Shared;
use crate::denial::{Denial, ErrorSettings};
use crate::http::RequestHead;

/// The context of one request.
pub(super) struct Filter {
    context_id: u32,
    plugin: Plugin,
}

/// What a request has to do with.
#[derive(Clone)]
pub(super) enum Plugin {
    /// A gateway.
    Ready(Rc<Shared>),
    /// No valid configuration: every request is denied, and counted.
    Closed(Host, Option<Metric>),
}

impl Filter {
    pub(super) const fn new(context_id: u32, plugin: Plugin) -> Self {
        Self { context_id, plugin }
    }
}

impl Context for Filter {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _: usize) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.reply(self.context_id, token, headers, body_bytes);
        }
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, fields: usize, _end_of_stream: bool) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.begin(self.context_id, fields),
            Plugin::Closed(host, denials) => {
                if let Some(denials) = denials {
                    host.measure(*denials, 1);
                }
                let reply = Denial::ConfigurationInvalid.reply(
                    &RequestHead::default(),
                    b"",
                    &ErrorSettings::default(),
                    false,
                );
                host.reply(&reply);
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

    /// Without this callback the SDK lets a request go on, whatever it waits for.
    fn on_http_request_trailers(&mut self, _fields: usize) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.trailers(self.context_id),
            // Answered already.
            Plugin::Closed(..) => Action::Pause,
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
