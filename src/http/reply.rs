//! A response made by the gateway.

use std::borrow::Cow;

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

    /// Removes the body, and what is said of it.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.body.clear();
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}
