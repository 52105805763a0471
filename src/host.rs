//! What the core has to know of the host it runs in.

use std::net::IpAddr;

/// What a host can do, where hosts differ in what it means for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCapabilities {
    /// Whether it can remove header fields, however often they occur; else only
    /// the first of a name can be overwritten.
    pub removes_headers: bool,
    /// Whether one request's callback can resume another request.
    pub resumes_others: bool,
    /// Whether a reply of the filter can have several fields of one name; else
    /// only the last of them is sent.
    pub repeats_reply_fields: bool,
    /// Whether `X-Forwarded-For` and `X-Forwarded-Proto`, as the filter sees
    /// them, are the host's own; else they are what the client sent.
    pub writes_forwarded: bool,
    /// Whether it gives the reply to a gRPC call the HTTP status 200 itself, and
    /// keeps the reply's own for filters that made gRPC of something else.
    pub frames_grpc_replies: bool,
}

impl HostCapabilities {
    /// Envoy.
    pub const ENVOY: Self = Self {
        removes_headers: true,
        resumes_others: true,
        repeats_reply_fields: true,
        writes_forwarded: true,
        frames_grpc_replies: true,
    };

    /// ngx_wasm_module, as Kong has it.
    pub const NGX_WASM: Self = Self {
        removes_headers: false,
        resumes_others: false,
        repeats_reply_fields: false,
        writes_forwarded: false,
        frames_grpc_replies: false,
    };
}

/// What the host knows of the request that is being decided, and its head does
/// not say or says as the client wants it. Asked only when it is needed.
pub trait RequestInfo: std::fmt::Debug {
    /// The id under which the host logs the request, if that is not the head's
    /// `x-request-id`.
    fn request_id(&self) -> Option<Vec<u8>>;

    /// The client's address, behind the proxies that the host trusts.
    fn client_address(&self) -> Option<IpAddr>;
}
