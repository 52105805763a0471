//! The outcome of a request: forwarded with edited headers, or answered.
//!
//! Edits that forward a request can be built only from a proof that it may pass.

use crate::bearer::Sanitized;
use crate::denial::Denial;
use crate::http::{Edit, HeaderName, LocalReply, NewFields, SetFields};
use crate::identity::Identity;
use crate::rules::{Anonymous, Bypassed};

/// Whether denials are enforced: `mode` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is denied.
    #[default]
    Enforce,
    /// It is forwarded without identity.
    Shadow,
}

/// Proof that shadow mode is on: a request that would be denied may be forwarded.
#[derive(Debug)]
pub struct Shadowed(());

impl Mode {
    /// The proof, in shadow mode.
    pub const fn shadowed(self) -> Option<Shadowed> {
        match self {
            Self::Enforce => None,
            Self::Shadow => Some(Shadowed(())),
        }
    }
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Forward it with these edits.
    Forward(HeaderEdits),
    /// Deny it, with this reply.
    Deny(Denial, LocalReply),
    /// Answer it: it is for the gateway itself.
    Answer(LocalReply),
}

impl Verdict {
    /// Why the request is denied, or would be outside shadow mode.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Forward(edits) => edits.denial.as_deref(),
            Self::Deny(denial, _) => Some(denial),
            Self::Answer(_) => None,
        }
    }
}

/// The edits that turn a public request into an internal one.
///
/// Only this file makes them, from proof that the request may pass.
#[derive(Debug)]
pub struct HeaderEdits {
    sanitized: Sanitized,
    set: SetFields,
    denial: Option<Box<Denial>>,
}

impl HeaderEdits {
    /// For a request that needs no identity.
    pub(crate) fn bypassed(sanitized: Sanitized, _: Bypassed) -> Self {
        Self { sanitized, set: SetFields::default(), denial: None }
    }

    /// For a CORS preflight, which has no body: a host that does not say whether one
    /// follows is told its length, and rejects what comes.
    pub(crate) fn preflight(sanitized: Sanitized, _: Bypassed, announces_bodies: bool) -> Self {
        let mut set = NewFields::default();
        if !announces_bodies {
            set.push(&HeaderName::content_length(), b"0");
        }
        Self { sanitized, set: set.into(), denial: None }
    }

    /// For a request that would be denied, in shadow mode.
    pub(crate) fn shadowed(sanitized: Sanitized, _: Shadowed, denial: Denial) -> Self {
        Self { sanitized, set: SetFields::default(), denial: Some(Box::new(denial)) }
    }

    /// For a request without a token, where the rule allows that.
    pub(crate) fn anonymous(sanitized: Sanitized, anonymous: &Anonymous) -> Self {
        Self { sanitized, set: anonymous.fields(), denial: None }
    }

    /// For a request with an identity.
    pub(crate) fn identified(sanitized: Sanitized, identity: &Identity) -> Self {
        Self { sanitized, set: identity.fields(), denial: None }
    }

    /// Removals of client-supplied values; must be applied first.
    pub const fn sanitized(&self) -> &Sanitized {
        &self.sanitized
    }

    /// The fields that the gateway sets.
    pub const fn set(&self) -> &SetFields {
        &self.set
    }

    /// Both, in the order in which they must be applied.
    pub fn edits(&self) -> impl Iterator<Item = Edit<'_>> {
        let is_set =
            |name: &str| self.set.iter().any(|(set, _)| set.as_str().eq_ignore_ascii_case(name));
        let set = self.set.iter().map(|(name, value)| Edit::Set(name.as_str(), value));
        self.sanitized.edits(is_set).chain(set)
    }
}
