//! One request.

use std::rc::Rc;

use gatepass::denial::{Denial, ErrorSettings};
use gatepass::http::{LocalReply, RequestHead};

use crate::abi::Action;
use crate::host::{Host, Metric};
use crate::shared::Shared;

/// The context of one request.
pub(crate) struct Filter {
    context_id: u32,
    plugin: Plugin,
}

/// What a request has to do with.
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

    pub(crate) fn on_http_request_headers(&self, fields: usize) -> Action {
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

    pub(crate) fn on_http_request_body(&self, bytes: usize, end_of_stream: bool) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.body(self.context_id, bytes, end_of_stream),
            // Answered already.
            Plugin::Closed(..) => Action::Pause,
        }
    }

    pub(crate) fn on_http_request_trailers(&self, fields: usize) -> Action {
        match &self.plugin {
            Plugin::Ready(shared) => shared.trailers(self.context_id, fields),
            // Answered already.
            Plugin::Closed(..) => Action::Pause,
        }
    }

    pub(crate) fn on_http_call_response(&self, token: u32, fields: usize, body_bytes: usize) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.reply(token, fields, body_bytes);
        }
    }
}

/// Answers a request that the filter knows nothing of: the host did not say that
/// it begins, or never configured the plugin.
pub(crate) fn refuse() -> Action {
    Host::UNKNOWN.reply(&LocalReply::new(500));
    Action::Pause
}

impl Drop for Filter {
    /// The client may leave while its request waits.
    fn drop(&mut self) {
        if let Plugin::Ready(shared) = &self.plugin {
            shared.forget(self.context_id);
        }
    }
}
