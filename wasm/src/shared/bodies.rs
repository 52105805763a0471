//! Bodies of requests that the gateway answers itself, and trailers.

use gatepass::gateway::RequestId;
use gatepass::host::HostFailure;
use proxy_wasm::types::Action;

use super::Shared;

impl Shared {
    /// Takes the body of a request, of which `bytes` have arrived; `is_whole` if no more
    /// will. Only bodies for the gateway itself are read.
    ///
    /// In Envoy they are complete when it says so, not when all bytes of the
    /// `Content-Length` are there: it closes an HTTP/1 connection on which it replies before.
    pub(crate) fn body(&self, context_id: u32, bytes: usize, is_whole: bool) -> Action {
        let request = self.in_callback_of(context_id);
        let wanted = self.gateway.borrow().body_wanted(request);
        match wanted {
            Some(wanted) if is_whole || bytes >= wanted => {
                let body = self.host.request_body(bytes);
                if is_whole || !self.host.ends_bodies() {
                    return self.body_ended(request, body);
                }
                self.with_gateway(|gateway| gateway.buffer_body(request, body));
                Action::Pause
            }
            Some(_) => Action::Pause,
            None => self.as_decided(request),
        }
    }

    fn body_ended(&self, request: RequestId, body: Option<Vec<u8>>) -> Action {
        let Ok(now) = self.host.now() else { return self.fail(request, HostFailure::NoClock) };
        self.with_gateway(|gateway| gateway.body(request, body, now));
        self.execute_all(Some(request))
    }

    /// Takes the trailers of a request. They are sanitized whether it passes now
    /// or waits: the host does not show them again.
    pub(crate) fn trailers(&self, context_id: u32, fields: usize) -> Action {
        let request = self.in_callback_of(context_id);
        if let Some(body) = self.with_gateway(|gateway| gateway.take_buffered_body(request)) {
            // They end the body.
            return self.body_ended(request, Some(body));
        }
        let Ok(fields) = self.host.request_trailers(fields) else {
            return self.fail(request, HostFailure::TrailersUnread);
        };
        let names = self.with_gateway(|gateway| gateway.trailers(request, &fields));
        match names.map(|names| self.host.remove_trailers(&names)) {
            Some(Ok(())) => self.as_decided(request),
            Some(Err(_)) => self.fail(request, HostFailure::TrailersNotEdited),
            None => self.execute_all(Some(request)),
        }
    }
}
