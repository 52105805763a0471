//! What the core needs to know about its host.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, SocketAddr};

/// What a host can do, as far as it affects decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCapabilities {
    /// Whether it can remove header fields, however often they occur; otherwise only the
    /// first of a name can be overwritten.
    pub removes_headers: bool,
    /// Whether one request's callback can resume another request.
    pub resumes_others: bool,
    /// Whether a local reply can have several fields of one name; otherwise only the last
    /// of them is sent.
    pub repeats_reply_fields: bool,
    /// Whether `X-Forwarded-For` and `X-Forwarded-Proto`, as the filter sees them, are
    /// set by the host; otherwise they are the client's.
    pub writes_forwarded: bool,
    /// Whether it sets the HTTP status of local replies to gRPC calls to 200 itself, and
    /// keeps the given status for filters that converted the request to gRPC.
    pub frames_grpc_replies: bool,
    /// Whether it can end a request that was already forwarded.
    pub ends_streams: bool,
    /// Whether it has consumers of its own that can be queried.
    pub has_consumers: bool,
    /// Whether it tells if a body follows that no header announces (HTTP/2 without
    /// `Content-Length`); otherwise it forwards no more of a body than the `Content-Length`
    /// set here.
    pub announces_bodies: bool,
}

/// What a host or its door failed to do for a request, which then gets 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFailure {
    /// The host does not tell the time.
    NoClock,
    /// It does not provide the request's header fields.
    HeadersUnread,
    /// It reported the header fields of one request twice.
    HeadersRepeated,
    /// It does not make the edits without which the request must not go upstream.
    HeadersNotEdited,
    /// It does not provide the trailers.
    TrailersUnread,
    /// It does not remove a trailer that must not go upstream.
    TrailersNotEdited,
    /// The request is to be forwarded, but its body was read and is gone.
    BodyConsumed,
    /// Without a guard, the request could pass while it waits.
    NotGuarded,
    /// It does not let a decided request continue.
    NotResumed,
    /// The gateway panicked.
    Panicked,
}

impl HostFailure {
    /// Every failure.
    pub const ALL: [Self; 10] = [
        Self::NoClock,
        Self::HeadersUnread,
        Self::HeadersRepeated,
        Self::HeadersNotEdited,
        Self::TrailersUnread,
        Self::TrailersNotEdited,
        Self::BodyConsumed,
        Self::NotGuarded,
        Self::NotResumed,
        Self::Panicked,
    ];

    /// The word for Envoy's `%RESPONSE_CODE_DETAILS%`.
    pub const fn details(self) -> &'static str {
        match self {
            Self::NoClock => "gatepass_no_clock",
            Self::HeadersUnread => "gatepass_headers_unread",
            Self::HeadersRepeated => "gatepass_headers_repeated",
            Self::HeadersNotEdited => "gatepass_headers_not_edited",
            Self::TrailersUnread => "gatepass_trailers_unread",
            Self::TrailersNotEdited => "gatepass_trailers_not_edited",
            Self::BodyConsumed => "gatepass_body_consumed",
            Self::NotGuarded => "gatepass_not_guarded",
            Self::NotResumed => "gatepass_not_resumed",
            Self::Panicked => "gatepass_panic",
        }
    }
}

impl fmt::Display for HostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoClock => "the time could not be read",
            Self::HeadersUnread => "the headers could not be read",
            Self::HeadersRepeated => "the headers came twice",
            Self::HeadersNotEdited => "the headers could not be edited",
            Self::TrailersUnread => "the trailers could not be read",
            Self::TrailersNotEdited => "the trailers could not be edited",
            Self::BodyConsumed => "the body was already read, so the request cannot be forwarded",
            Self::NotGuarded => "the request could not be guarded while it waits",
            Self::NotResumed => "the request could not be resumed",
            Self::Panicked => "the gateway panicked",
        })
    }
}

impl HostCapabilities {
    /// Envoy, for the WebAssembly filter.
    pub const ENVOY: Self = Self {
        removes_headers: true,
        resumes_others: true,
        repeats_reply_fields: true,
        writes_forwarded: true,
        frames_grpc_replies: true,
        ends_streams: false,
        has_consumers: false,
        announces_bodies: true,
    };

    /// Envoy, for its native module.
    pub const ENVOY_NATIVE: Self = Self { ends_streams: true, ..Self::ENVOY };

    /// Kong, for its plugin: nginx from Lua.
    pub const KONG_PLUGIN: Self = Self {
        removes_headers: true,
        resumes_others: true,
        repeats_reply_fields: true,
        // nginx writes them after this, from what the client sent.
        writes_forwarded: false,
        frames_grpc_replies: false,
        ends_streams: false,
        has_consumers: true,
        announces_bodies: false,
    };

    /// Kong, for the WebAssembly filter: ngx_wasm_module.
    pub const NGX_WASM: Self = Self {
        removes_headers: false,
        resumes_others: false,
        repeats_reply_fields: false,
        writes_forwarded: false,
        frames_grpc_replies: false,
        ends_streams: false,
        has_consumers: false,
        announces_bodies: false,
    };
}

/// Identifies a request of a gateway. The door chooses it; unique among requests that are
/// not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Maps by numbers that the gateway or its host counts.
///
/// Nobody outside can choose such a number, so its hash needs no key, and is quick.
pub type ById<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// The hasher of [`ById`].
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    /// The table looks at the highest bits and at the lowest.
    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product.rotate_left(32);
    }
}

/// Facts about a request that its head does not contain, or that the client could
/// choose there. Queried only when needed.
pub trait RequestInfo: std::fmt::Debug {
    /// The id under which the host logs the request, if that is not the head's
    /// `x-request-id`.
    fn request_id(&self, request: RequestId) -> Option<Vec<u8>>;

    /// What Envoy's `mcp` filter extracted from the call in the body, at this path;
    /// nothing without such a filter before this one. Queried only at the beginning of a
    /// request.
    fn mcp(&self, _: RequestId, _: &[&str]) -> Option<Vec<u8>> {
        None
    }

    /// The SHA-256 of the client's certificate (DER), which the host requested and whose
    /// key the client proved to have.
    fn client_certificate(&self, _: RequestId) -> Option<[u8; 32]> {
        None
    }

    /// The client's address, as seen behind the proxies that the host trusts.
    fn client_address(&self, request: RequestId) -> Option<IpAddr>;

    /// The address of the connection, if the host reports it. Client addresses in headers
    /// do not affect it.
    fn peer_address(&self, _: RequestId) -> Option<IpAddr> {
        None
    }
}

/// Parses an address in a host's format: with a port or without.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
    with_port.or_else(|_| text.parse()).ok()
}

/// Parses the address of a connection, which has a port: an address without one, or with
/// port 0, is what a header says.
pub fn parse_connection(text: &[u8]) -> Option<IpAddr> {
    let address = std::str::from_utf8(text).ok()?.parse::<SocketAddr>().ok()?;
    (address.port() != 0).then(|| address.ip())
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
            let found = parse_address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
            let is_connection = text.ends_with(b":5000");
            assert_eq!(parse_connection(text).is_some(), is_connection, "{text:?}");
        }
        assert_eq!(parse_connection(b"192.0.2.1:0"), None);
        assert_eq!(parse_connection(b"[2001:db8::1]:0"), None);
    }
}
