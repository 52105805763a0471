//! What becomes of a request: forwarded with edited headers, or answered.
//!
//! Edits that let a request pass can be made only from what proves that it may.

use std::rc::Rc;

use crate::http::HeaderName;
use crate::hygiene::Cleansing;
use crate::identity::Identity;
use crate::rules::{Anonymous, Bypassed};

/// The end of a request, as far as the filter goes.
#[derive(Debug)]
pub enum Verdict {
    /// Send it on with these edits.
    Forward(HeaderEdits),
    /// Answer it here.
    Answer(LocalReply),
}

/// A response made by the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u16,
    /// Header fields, each name once: Kong keeps only the last of a kind.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// For a gRPC call: its status and message, which take the place of
    /// `status` and `body`.
    pub grpc: Option<(GrpcStatus, &'static str)>,
}

/// The gRPC status codes that denials map to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GrpcStatus {
    /// The request is malformed.
    InvalidArgument = 3,
    /// Known, but not allowed.
    PermissionDenied = 7,
    /// Cannot be decided now.
    Unavailable = 14,
    /// Not known.
    Unauthenticated = 16,
}

impl LocalReply {
    /// A reply with `status`, no headers and no body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), grpc: None }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Gives the reply the form of a gRPC error.
    #[must_use]
    pub fn for_grpc(mut self, status: GrpcStatus, message: &'static str) -> Self {
        self.headers.retain(|(name, _)| *name != "content-type");
        self.grpc = Some((status, message));
        self
    }
}

/// A header field to set upstream; it replaces every field of its name.
pub type SetField = (HeaderName, Vec<u8>);

/// The edits that turn a public request into an internal one.
#[derive(Debug)]
pub struct HeaderEdits {
    /// What the client sent and must not reach the upstream; to be done first.
    pub cleansing: Cleansing,
    /// What the filter says instead. Shared, because a cached identity sets the
    /// same fields each time.
    pub set: Rc<[SetField]>,
}

impl HeaderEdits {
    /// For a request that needs no identity.
    pub fn bypassed(cleansing: Cleansing, _: Bypassed) -> Self {
        Self { cleansing, set: Rc::from([]) }
    }

    /// For a request to the gateway itself, which no upstream is to answer.
    pub fn withheld(cleansing: Cleansing) -> Self {
        Self { cleansing, set: Rc::from([]) }
    }

    /// For a request without a token, where the rule allows that.
    pub fn anonymous(cleansing: Cleansing, anonymous: &Anonymous) -> Self {
        Self { cleansing, set: anonymous.fields() }
    }

    /// For a request with an identity.
    pub fn identified(cleansing: Cleansing, identity: &Identity) -> Self {
        Self { cleansing, set: identity.fields() }
    }
}
