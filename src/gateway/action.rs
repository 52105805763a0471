//! The actions that a door executes.

use crate::access_log::AccessLogFields;
use crate::bearer::Sanitized;
use crate::host::RequestId;
use crate::http::LocalReply;
use crate::in_flight::Dispatch;
use crate::verdict::HeaderEdits;

/// Something for the door to do. Actions must be executed in order.
///
/// It may concern another request than the event that caused it: a reply resumes every
/// request that waits for it.
#[must_use]
#[derive(Debug)]
pub enum Action {
    /// Send a callout that no request waits for.
    Send(Dispatch),
    /// Hold a request until another action names it. No part of it may go upstream
    /// meanwhile, whatever the host does by default. Then send the callout, if there is
    /// one; otherwise the awaited callout is already in flight.
    Suspend {
        /// The request.
        request: RequestId,
        /// The callout that it waits for.
        dispatch: Option<Dispatch>,
    },
    /// Read a request's whole body and give it to [`Gateway::body`](super::Gateway::body).
    /// The upstream must not get the request; where the host must pass the head on to
    /// receive the body, apply `sanitized` first.
    ReadBody {
        /// The request.
        request: RequestId,
        /// Client-supplied values that must not reach an upstream.
        sanitized: Sanitized,
        /// The length of the body.
        bytes: usize,
    },
    /// Forward a request with these edits. A door that cannot apply all of them calls
    /// [`Gateway::fail`](super::Gateway::fail).
    Forward {
        /// The request.
        request: RequestId,
        /// The edits.
        edits: HeaderEdits,
        /// What the access log may print.
        access_log: AccessLogFields,
    },
    /// Answer a request. If it was already forwarded and
    /// [ends with its token](super::Gateway::ends_with_token), its response may have begun;
    /// then it is reset.
    Reply {
        /// The request.
        request: RequestId,
        /// The answer.
        reply: LocalReply,
        /// Why, in a word for Envoy's `%RESPONSE_CODE_DETAILS%`: a denial's code.
        details: &'static str,
        /// What the access log may print.
        access_log: AccessLogFields,
    },
}

impl Action {
    /// The request that this concerns, if any.
    pub const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Send(_) => None,
            Self::Suspend { request, .. }
            | Self::ReadBody { request, .. }
            | Self::Forward { request, .. }
            | Self::Reply { request, .. } => Some(*request),
        }
    }
}
