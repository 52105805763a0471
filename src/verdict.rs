//! What becomes of a request: forwarded with edited headers, or answered.
//!
//! Edits that let a request pass can be made only from what proves that it may.

use std::borrow::Cow;
use std::rc::Rc;

use crate::denial::Denial;
use crate::http::HeaderName;
use crate::hygiene::Cleansing;
use crate::identity::Identity;
use crate::rules::{Anonymous, Bypassed};

/// What becomes of a request that is to be denied: `mode` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is denied.
    #[default]
    Enforce,
    /// It is forwarded without identity.
    Shadow,
}

/// The configuration's word that a request is forwarded which would be denied.
#[derive(Debug)]
pub struct Shadowed(());

impl Mode {
    /// The word, in shadow mode.
    pub const fn shadowed(self) -> Option<Shadowed> {
        match self {
            Self::Enforce => None,
            Self::Shadow => Some(Shadowed(())),
        }
    }
}

/// The end of a request, as far as the filter goes.
#[derive(Debug)]
pub enum Verdict {
    /// Send it on with these edits.
    Forward(HeaderEdits),
    /// Deny it, with this reply.
    Deny(Denial, LocalReply),
    /// Answer it here: it is for the gateway itself.
    Answer(LocalReply),
}

impl Verdict {
    /// Why the request is denied, or would be outside of shadow mode.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Forward(edits) => edits.denial.as_deref(),
            Self::Deny(denial, _) => Some(denial),
            Self::Answer(_) => None,
        }
    }
}

/// What the host's access log may print of a request: verified, and each one
/// [word](crate::http::log_word).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessNote {
    /// The consumer's key.
    pub consumer: Option<Rc<str>>,
    /// Whose the token is.
    pub subject: Option<Rc<str>>,
    /// The code of the denial, in shadow mode too.
    pub code: Option<&'static str>,
    /// The transaction, with the profile `txn_token`.
    pub txn: Option<Rc<str>>,
}

impl AccessNote {
    /// Nothing to print.
    pub const EMPTY: Self = Self { consumer: None, subject: None, code: None, txn: None };

    /// What there is to print, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let entries = [
            ("gatepass.consumer", self.consumer.as_deref()),
            ("gatepass.subject", self.subject.as_deref()),
            ("gatepass.code", self.code),
            ("gatepass.txn", self.txn.as_deref()),
        ];
        entries.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A response made by the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u16,
    /// Header fields, each name once: Kong keeps only the last of a kind. See
    /// [`HostTraits::repeats_reply_fields`](crate::gateway::HostTraits).
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl LocalReply {
    /// A reply with `status`, no headers and no body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
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

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

/// A header field to set upstream; it replaces every field of its name.
pub type SetField = (HeaderName, Box<[u8]>);

/// The edits that turn a public request into an internal one.
///
/// Only this file makes them, from what proves that the request may pass.
#[derive(Debug)]
pub struct HeaderEdits {
    cleansing: Cleansing,
    // Shared: a cached identity sets the same fields each time.
    set: Rc<[SetField]>,
    denial: Option<Box<Denial>>,
}

impl HeaderEdits {
    /// For a request that needs no identity.
    pub(crate) fn bypassed(cleansing: Cleansing, _: Bypassed) -> Self {
        Self { cleansing, set: Rc::from([]), denial: None }
    }

    /// For a request that would be denied, in shadow mode.
    pub(crate) fn shadowed(cleansing: Cleansing, _: Shadowed, denial: Denial) -> Self {
        Self { cleansing, set: Rc::from([]), denial: Some(Box::new(denial)) }
    }

    /// For a request without a token, where the rule allows that.
    pub(crate) fn anonymous(cleansing: Cleansing, anonymous: &Anonymous) -> Self {
        Self { cleansing, set: anonymous.fields(), denial: None }
    }

    /// For a request with an identity.
    pub(crate) fn identified(cleansing: Cleansing, identity: &Identity) -> Self {
        Self { cleansing, set: identity.fields(), denial: None }
    }

    /// What the client sent and must not reach the upstream; to be done first.
    pub const fn cleansing(&self) -> &Cleansing {
        &self.cleansing
    }

    /// What the filter says instead.
    pub fn set(&self) -> &[SetField] {
        &self.set
    }
}
