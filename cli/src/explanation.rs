//! What `explain` finds out about a request.

use gatepass::callout::{Callout, CalloutReply};
use gatepass::denial::Denial;
use gatepass::event::Trace;
use gatepass::verdict::Verdict;
use serde_json::{Map, Value};

use crate::callouts::Kind;

/// What became of a request, and how.
pub struct Explanation {
    /// The method, and the target as it was asked for.
    pub request: (String, String),
    /// How far it came.
    pub trace: Trace,
    /// What its token is like.
    pub token: Option<TokenForm>,
    /// Every callout, in order.
    pub callouts: Vec<Exchange>,
    /// What the gateway logs, but for the denial itself.
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
    /// What nobody verified: the claims that decide whether it is accepted.
    pub claims: Map<String, Value>,
}

/// A callout and its reply.
pub struct Exchange {
    /// What it is for.
    pub kind: Option<Kind>,
    /// What is sent.
    pub callout: Callout,
    /// What came back, and from where; `None` if nobody says.
    pub reply: Option<(CalloutReply, String)>,
}

impl Explanation {
    /// Of a request of which nothing is known yet.
    pub fn of(request: (String, String)) -> Self {
        Self {
            request,
            trace: Trace::default(),
            token: None,
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
