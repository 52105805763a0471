//! The actions that a door carries out.

use crate::access_log::AccessLogFields;
use crate::bearer::Sanitized;
use crate::host::RequestId;
use crate::http::LocalReply;
use crate::in_flight::Dispatch;
use crate::verdict::HeaderEdits;

/// Something for the door to do, in the order in which it comes.
///
/// It may be about another request than the one whose event it follows: a reply
/// resumes every request that waits for it.
#[must_use]
#[derive(Debug)]
pub enum Action {
    /// Send a callout that no request waits for.
    Send(Dispatch),
    /// Hold a request until another action names it. Nothing of it may pass meanwhile,
    /// whatever the host does by default. Then send the callout, if there is one; otherwise
    /// the awaited callout is already in flight.
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
        /// How long the body is.
        bytes: usize,
    },
    /// Send a request on with these edits. The door that cannot do all of them
    /// tells [`Gateway::fail`](super::Gateway::fail).
    Forward {
        /// The request.
        request: RequestId,
        /// The edits.
        edits: HeaderEdits,
        /// What the access log may print.
        access_log: AccessLogFields,
    },
    /// Answer a request. One that was forwarded and is followed is cut off where its
    /// response has begun.
    Reply {
        /// The request.
        request: RequestId,
        /// The answer.
        reply: LocalReply,
        /// The denial's code, if it is one.
        code: Option<&'static str>,
        /// What the access log may print.
        access_log: AccessLogFields,
    },
}

impl Action {
    /// The request that it is about, if it is about one.
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
