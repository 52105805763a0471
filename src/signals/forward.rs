//! Forwards revocations from issuers to the service behind the feed, from which the other
//! proxies learn them.

use std::fmt;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::callout::{Callout, CalloutFailure, CalloutReply, Service};
use crate::revocation::Entry;

/// Where entries are forwarded to: `forward` of `events` in the configuration.
#[derive(Debug)]
pub struct Forward {
    /// The service.
    pub service: Rc<Service>,
    /// Its path.
    pub path: String,
}

/// Why entries were not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardError {
    /// No answer.
    NoAnswer(CalloutFailure),
    /// An answer that is not 2xx.
    Status(u16),
}

impl Forward {
    /// The forwarding request, in the format of this proxy's own revocation endpoint.
    pub(crate) fn callout(&self, entries: &[Entry]) -> Callout {
        let entries: Vec<Value> = entries.iter().map(Entry::to_json).collect();
        Callout::post_json(&self.service, self.path.clone(), &json!({ "entries": entries }))
    }

    /// Whether they were accepted.
    pub(crate) const fn read(reply: &CalloutReply) -> Result<(), ForwardError> {
        match reply {
            CalloutReply::Answer(answer) if matches!(answer.status, 200..=299) => Ok(()),
            CalloutReply::Answer(answer) => Err(ForwardError::Status(answer.status)),
            CalloutReply::Failed(failure) => Err(ForwardError::NoAnswer(*failure)),
        }
    }
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}
