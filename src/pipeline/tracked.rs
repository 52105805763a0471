//! A forwarded request that ends with its token.

use std::rc::Rc;

use crate::event::Trace;
use crate::host::{ById, RequestId};
use crate::http::RequestHead;
use crate::session::Session;

/// The requests that end with their token; empty unless that is configured.
pub(super) type TrackedStreams = ById<RequestId, TrackedStream>;

/// A request that was forwarded because of a token, and is not over.
#[derive(Debug)]
pub(super) struct TrackedStream {
    pub session: Rc<Session>,
    /// Decides the form of its denial.
    pub head: RequestHead,
    pub trace: Trace,
}
