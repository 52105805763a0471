//! What becomes of a request next.

use crate::bearer::Sanitized;
use crate::event::Trace;
use crate::http::RequestHead;
use crate::in_flight::{Answers, CalloutId, Dispatch};
use crate::metrics::RequestOutcome;
use crate::verdict::Verdict;

/// What the caller must do next. Every request ends with exactly one `Done`.
#[must_use]
#[derive(Debug)]
pub enum Step {
    /// Send the callout and keep the request; when the reply comes, give it to
    /// [`Pipeline::complete`](super::Pipeline::complete) and then resume every
    /// request that waits for it.
    Await(Dispatch, Waiting),
    /// Keep the request: the callout it waits for is already under way. Only
    /// where [`HostCapabilities::resumes_others`](crate::host::HostCapabilities).
    Join(Waiting),
    /// Take the public headers off the request, keep it from the upstream, read
    /// its whole body and give that to [`Pipeline::submit`](super::Pipeline::submit).
    Receive(Submission),
    /// Carry out the verdict: the request is decided, having come this far.
    Done(Verdict, Trace),
}

/// A request that waits for a callout.
#[derive(Debug)]
pub struct Waiting {
    pub(crate) callout: CalloutId,
    pub(crate) head: RequestHead,
    pub(crate) answers: Answers,
    pub(crate) trace: Trace,
}

impl Waiting {
    /// What it waits for.
    pub const fn callout(&self) -> CalloutId {
        self.callout
    }

    /// How far it came.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// A request that the gateway itself answers, whose body is to be read.
#[derive(Debug)]
pub struct Submission {
    pub(crate) recipient: Recipient,
    pub(crate) head: RequestHead,
    pub(crate) trace: Trace,
    /// What the client sent and must not reach an upstream. There is nothing to
    /// set: no upstream is to answer.
    pub sanitized: Sanitized,
    /// The length of the body.
    pub bytes: usize,
}

impl Submission {
    /// Whether it is a login, and not for the gateway alone.
    pub const fn is_login(&self) -> bool {
        matches!(self.recipient, Recipient::Login(_))
    }

    /// How far it came.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// Who gets the body of a [`Submission`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipient {
    /// The list of revoked tokens, from somebody who may write it.
    Revocations,
    /// The service of the login at this position.
    Login(usize),
}

impl Recipient {
    pub(super) const fn outcome(self) -> RequestOutcome {
        match self {
            Self::Revocations => RequestOutcome::Revocation,
            Self::Login(_) => RequestOutcome::Login,
        }
    }
}

/// What is to be done at a tick.
#[must_use]
#[derive(Debug, Default)]
pub struct Tick {
    /// Fetches that are due.
    pub send: Vec<Dispatch>,
    /// Flights whose reply will not come any more: to be landed as failed.
    pub overdue: Vec<CalloutId>,
}
