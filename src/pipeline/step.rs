//! The next step of a request.

use crate::bearer::Sanitized;
use crate::event::Trace;
use crate::host::RequestId;
use crate::http::RequestHead;
use crate::in_flight::{CalloutId, Dispatch, RequestMemory};
use crate::metrics::RequestOutcome;
use crate::verdict::Verdict;

/// What the caller must do next. Every request ends with exactly one `Done`.
#[must_use]
#[derive(Debug)]
pub enum Step {
    /// Send the callout and keep the request; when the reply comes, give it to
    /// [`Pipeline::complete`](super::Pipeline::complete) and then resume every
    /// request that waits for it.
    Wait(Dispatch, Waiting),
    /// Keep the request: the callout it waits for is already in flight. Only where
    /// [`HostCapabilities::resumes_others`](crate::host::HostCapabilities).
    Join(Waiting),
    /// Remove the sanitized headers, keep the request from the upstream, read its whole
    /// body and pass it to [`Pipeline::submit`](super::Pipeline::submit).
    Receive(Submission),
    /// Execute the verdict: the request is decided. The trace tells how far it got.
    Done(Verdict, Trace),
}

/// A request that waits for a callout.
#[derive(Debug)]
pub struct Waiting {
    pub(crate) request: RequestId,
    pub(crate) callout: CalloutId,
    pub(crate) head: RequestHead,
    pub(crate) memory: RequestMemory,
    pub(crate) trace: Trace,
}

impl Waiting {
    /// The awaited callout.
    pub const fn callout(&self) -> CalloutId {
        self.callout
    }

    /// Its progress.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// A request that the gateway itself answers, whose body must be read.
#[derive(Debug)]
pub struct Submission {
    pub(crate) request: RequestId,
    pub(crate) recipient: Recipient,
    pub(crate) head: RequestHead,
    pub(crate) trace: Trace,
    /// Client-supplied values that must not reach an upstream. No field is set: the gateway
    /// answers.
    pub sanitized: Sanitized,
    /// The length of the body.
    pub bytes: usize,
    /// The body, if all of it has arrived, but trailers may follow.
    pub(crate) received: Option<Vec<u8>>,
}

impl Submission {
    /// True for a login, whose body goes to a service.
    pub const fn is_login(&self) -> bool {
        matches!(self.recipient, Recipient::Login(_))
    }

    /// Its progress.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// The recipient of the body of a [`Submission`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipient {
    /// The revocation list; the sender is authorized.
    Revocations,
    /// An endpoint for logout tokens or security events.
    Signal,
    /// The service of the login at this position.
    Login(usize),
}

impl Recipient {
    pub(super) const fn outcome(self) -> RequestOutcome {
        match self {
            Self::Revocations | Self::Signal => RequestOutcome::Revocation,
            Self::Login(_) => RequestOutcome::Login,
        }
    }
}

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The method is not POST.
    Method,
    /// Its length is unknown (RFC 9110 section 15.5.12).
    LengthMissing,
    /// It is too long, for the endpoint or for the host.
    TooLong,
    /// It is shorter than announced (RFC 9110 section 8.6).
    CutShort,
}

impl Unread {
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::LengthMissing => 411,
            Self::TooLong => 413,
            Self::CutShort => 400,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Method => "only POST is allowed here",
            Self::LengthMissing => "the request has no Content-Length",
            Self::TooLong => "the body is too long",
            Self::CutShort => "the body is shorter than its Content-Length",
        }
    }
}

/// The work that a tick found due.
#[must_use]
#[derive(Debug, Default)]
pub struct Tick {
    /// Fetches that are due.
    pub send: Vec<Dispatch>,
    /// Overdue callouts, which the caller must complete as failed.
    pub overdue: Vec<CalloutId>,
}
