//! What the host knows about a request.

use std::net::IpAddr;
use std::rc::Rc;

use gatepass::binding::of_hex;
use gatepass::host::{RequestId, RequestInfo, parse_address};

use crate::host::Host;
use crate::shared::Entered;

/// Properties of a request. Its context is entered before they are read, since a reply to
/// a callout resumes requests in the root context.
#[derive(Debug)]
pub(crate) struct Properties {
    pub host: Host,
    pub entered: Rc<Entered>,
}

impl RequestInfo for Properties {
    fn request_id(&self, request: RequestId) -> Option<Vec<u8>> {
        self.entered.enter(request).then(|| self.host.request_id()).flatten()
    }

    fn mcp(&self, request: RequestId, path: &[&str]) -> Option<Vec<u8>> {
        self.entered.enter(request).then(|| self.host.mcp(path)).flatten()
    }

    fn client_address(&self, request: RequestId) -> Option<IpAddr> {
        let address = self.entered.enter(request).then(|| self.host.client_address()).flatten();
        parse_address(&address?)
    }

    fn peer_address(&self, request: RequestId) -> Option<IpAddr> {
        self.entered.enter(request).then(|| self.host.peer_address()).flatten()
    }

    fn client_certificate(&self, request: RequestId) -> Option<[u8; 32]> {
        let digest = self.entered.enter(request).then(|| self.host.client_certificate()).flatten();
        of_hex(std::str::from_utf8(&digest?).ok()?)
    }
}
