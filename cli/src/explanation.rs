//! The result of `explain` for a request.

use gatepass::callout::{Callout, CalloutReply};
use gatepass::denial::Denial;
use gatepass::event::Trace;
use gatepass::verdict::Verdict;
use serde_json::{Map, Value};

use crate::callouts::Kind;
use crate::comparison::Comparison;

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
    /// The end of it; `None` if a reply is missing.
    pub verdict: Option<Verdict>,
    /// The status with which the host answers it, and the filter never sees it.
    pub refused: Option<u16>,
    /// Whether it is authorized and its body would be read, to revoke tokens.
    pub is_received: bool,
    /// Whether it is a login, whose service only the gateway can ask.
    pub is_login: bool,
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
    pub kind: Option<Kind>,
    /// The callout.
    pub callout: Callout,
    /// The reply and its source; `None` if no option gives one.
    pub reply: Option<(CalloutReply, String)>,
}

impl Explanation {
    /// For a request that was not decided yet.
    pub fn of(request: (String, String)) -> Self {
        Self {
            request,
            trace: Trace::default(),
            token: None,
            provider: None,
            checks: Vec::new(),
            callouts: Vec::new(),
            log: Vec::new(),
            verdict: None,
            refused: None,
            is_received: false,
            is_login: false,
        }
    }

    /// Why it is denied, or would be outside of shadow mode.
    pub fn denial(&self) -> Option<&Denial> {
        self.verdict.as_ref()?.denial()
    }
}
