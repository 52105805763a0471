//! The statuses of gRPC calls.

use super::{GrpcProtocol, LocalReply, RequestHead};

/// What became of a gRPC call ("Status codes and their use in gRPC"); those that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum GrpcStatus {
    /// It succeeded.
    Ok = 0,
    /// It failed, without a status for why.
    Unknown = 2,
    /// The request is malformed.
    InvalidArgument = 3,
    /// Authenticated, but not allowed.
    PermissionDenied = 7,
    /// There is no such method.
    Unimplemented = 12,
    /// Client and server do not agree on the protocol.
    Internal = 13,
    /// Cannot be decided at present.
    Unavailable = 14,
    /// Not authenticated.
    Unauthenticated = 16,
}

/// The field that has it.
const STATUS: &str = "grpc-status";

impl GrpcStatus {
    /// By gRPC's "HTTP to gRPC Status Code Mapping", as Envoy does for its own replies.
    const fn of_http(status: u16) -> Self {
        match status {
            200..=299 => Self::Ok,
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

impl LocalReply {
    /// Says this status, to a gRPC call.
    #[must_use]
    pub(crate) fn with_grpc_status(self, status: GrpcStatus) -> Self {
        self.with_header(STATUS, (status as u8).to_string())
    }

    /// Says the HTTP status to a gRPC call in its own form too, for hosts that set that to 200
    /// then: without it a refusal would be a success. `head`: that of the request.
    #[must_use]
    pub(crate) fn for_grpc_call(self, head: &RequestHead) -> Self {
        match head.grpc() {
            // What a filter converted to gRPC is answered as HTTP.
            None | Some(GrpcProtocol::Transcoded) => self,
            // As a service said it that a login was forwarded to.
            Some(_) if self.headers.iter().any(|(name, _)| name == STATUS) => self,
            Some(_) => {
                let status = GrpcStatus::of_http(self.status);
                self.with_grpc_status(status)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_calls_learn_the_status_in_their_own_form() {
        let status = |status: u16, fields: &[(&str, &str)]| {
            let reply = LocalReply::new(status).for_grpc_call(&RequestHead::new(fields.to_vec()));
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
            for kind in ["application/grpc", "Application/gRPC+json", "application/grpc-Web"] {
                let expected = format!("grpc-status: {grpc}");
                assert_eq!(status(http, &[("content-type", kind)]), Some(expected), "{http}");
            }
            assert_eq!(status(http, &[("content-type", "application/json")]), None);
            let transcoded =
                [("content-type", "application/grpc"), ("x-envoy-original-method", "GET")];
            assert_eq!(status(http, &transcoded), None);
        }
        let said = LocalReply::new(200).with_grpc_status(GrpcStatus::Unavailable);
        let call = RequestHead::new([("content-type", "application/grpc")]);
        assert_eq!(said.clone().for_grpc_call(&call), said, "each name once");
    }
}
