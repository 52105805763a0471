//! What the host knows of a request: asked by the core, in that request's
//! callback.

use std::net::{IpAddr, SocketAddr};

use super::host::Host;
use crate::host::RequestInfo;

/// Properties of the request whose context is entered.
#[derive(Debug)]
pub(super) struct Facts(pub Host);

impl RequestInfo for Facts {
    fn request_id(&self) -> Option<Vec<u8>> {
        self.0.request_id()
    }

    fn client_address(&self) -> Option<IpAddr> {
        address(&self.0.client_address()?)
    }
}

/// An address, with a port or without.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
    with_port.or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            (&b"192.0.2.1:5000"[..], Some("192.0.2.1")),
            (b"192.0.2.1", Some("192.0.2.1")),
            (b"[2001:db8::1]:5000", Some("2001:db8::1")),
            (b"2001:db8::1", Some("2001:db8::1")),
            (b"/run/socket", None),
            (b"", None),
            (b"\xff", None),
        ] {
            let found = address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }
}
