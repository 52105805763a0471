//! The result of `explain` for a request.

use gatepass::callout::{Callout, CalloutReply};
use gatepass::denial::Denial;
use gatepass::event::Trace;
use gatepass::pipeline::CalloutPurpose;
use gatepass::verdict::Verdict;
use serde_json::{Map, Value};

use crate::Ending;
use crate::comparison::Comparison;

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The host itself answers with this status; the filter never sees the request.
    RefusedByHost(u16),
    /// The gateway decided.
    Decided(Verdict),
    /// It is authorized, and its body would be read, to revoke tokens.
    ReadsBody,
    /// It is a login, whose service only the gateway can call.
    Login,
    /// It depends on the reply to the last callout, which this option gives.
    NeedsReply(Option<&'static str>),
}

impl Outcome {
    /// In one word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RefusedByHost(_) => "refused",
            Self::Decided(Verdict::Forward(_)) => "forwarded",
            Self::Decided(Verdict::Deny(..)) => "denied",
            Self::Decided(Verdict::Answer(_)) | Self::ReadsBody | Self::Login => "answered",
            Self::NeedsReply(_) => "undecided",
        }
    }

    /// Whether no rule was needed for it.
    pub const fn is_without_rule(&self) -> bool {
        match self {
            Self::RefusedByHost(_)
            | Self::Decided(Verdict::Answer(_))
            | Self::ReadsBody
            | Self::Login => true,
            Self::Decided(Verdict::Forward(_) | Verdict::Deny(..)) | Self::NeedsReply(_) => false,
        }
    }

    /// How the command ends.
    pub const fn ending(&self) -> Ending {
        match self {
            Self::Decided(Verdict::Forward(_) | Verdict::Answer(_))
            | Self::ReadsBody
            | Self::Login => Ending::Good,
            Self::RefusedByHost(_) | Self::Decided(Verdict::Deny(..)) => Ending::Bad,
            Self::NeedsReply(_) => Ending::Partial,
        }
    }

    /// Why it is denied, or would be outside of shadow mode.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Decided(verdict) => verdict.denial(),
            _ => None,
        }
    }
}

/// The outcome of a request, and its reasons.
pub struct Explanation {
    /// The method, and the target as it was asked for.
    pub request: (String, String),
    /// Its progress.
    pub trace: Trace,
    /// The form of its token.
    pub token: Option<TokenForm>,
    /// The provider whose token it claims to be.
    pub provider: Option<String>,
    /// What is in it beside what is expected.
    pub checks: Vec<Comparison>,
    /// Every callout, in order.
    pub callouts: Vec<Exchange>,
    /// The gateway's log lines, except the denial itself.
    pub log: Vec<Value>,
    /// The end of it.
    pub outcome: Outcome,
}

/// A token, as far as it may be shown.
pub struct TokenForm {
    /// Its length.
    pub bytes: usize,
    /// The lengths of its parts.
    pub parts: Vec<usize>,
    /// `alg`, `kid` and `typ`, if it is a JWT.
    pub header: Map<String, Value>,
    /// The unverified claims that decide whether it is accepted.
    pub claims: Map<String, Value>,
}

/// A callout and its reply.
pub struct Exchange {
    /// Its purpose.
    pub purpose: CalloutPurpose,
    /// The callout.
    pub callout: Callout,
    /// The reply and its source; `None` if no option gives one.
    pub reply: Option<(CalloutReply, String)>,
}

impl Explanation {
    /// For a request with this outcome.
    pub fn of(request: (String, String), outcome: Outcome) -> Self {
        Self {
            request,
            trace: Trace::default(),
            token: None,
            provider: None,
            checks: Vec::new(),
            callouts: Vec::new(),
            log: Vec::new(),
            outcome,
        }
    }
}
