//! A response made by the gateway.

use std::borrow::Cow;

use super::{GrpcProtocol, RequestHead};

/// A response made by the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u16,
    /// Header fields, each name once: Kong keeps only the last of a kind. See
    /// [`HostCapabilities::repeats_reply_fields`](crate::host::HostCapabilities).
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl LocalReply {
    /// A reply with `status`, no headers and no body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A reply with `status` for one client only: no cache stores it (RFC 9111 section
    /// 5.2.2.5).
    pub fn unstored(status: u16) -> Self {
        Self::new(status).with_header("cache-control", "no-store")
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Says the status to a gRPC call in its own form too, for hosts that set the HTTP status
    /// to 200 then: without it a refusal would be a success. `head`: that of the request.
    ///
    /// By gRPC's "HTTP to gRPC Status Code Mapping", as Envoy does for its own replies.
    #[must_use]
    pub fn with_grpc_status(self, head: &RequestHead) -> Self {
        // What a filter converted to gRPC is answered as HTTP.
        if matches!(head.grpc(), None | Some(GrpcProtocol::Transcoded)) {
            return self;
        }
        let status = match self.status {
            200..=299 => "0",
            400 => "13",
            401 => "16",
            403 => "7",
            404 => "12",
            429 | 502..=504 => "14",
            _ => "2",
        };
        self.with_header("grpc-status", status)
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_calls_learn_the_status_in_their_own_form() {
        let status = |status: u16, fields: &[(&str, &str)]| {
            let reply =
                LocalReply::new(status).with_grpc_status(&RequestHead::new(fields.to_vec()));
            reply.headers.first().map(|(name, value)| format!("{name}: {value}"))
        };
        for (http, grpc) in [
            (200, 0),
            (204, 0),
            (302, 2),
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 2),
            (413, 2),
            (429, 14),
            (500, 2),
            (503, 14),
        ] {
            for kind in ["application/grpc", "application/grpc+json", "application/grpc-web"] {
                let expected = format!("grpc-status: {grpc}");
                assert_eq!(status(http, &[("content-type", kind)]), Some(expected), "{http}");
            }
            assert_eq!(status(http, &[("content-type", "application/json")]), None);
            let transcoded =
                [("content-type", "application/grpc"), ("x-envoy-original-method", "GET")];
            assert_eq!(status(http, &transcoded), None);
        }
    }
}
