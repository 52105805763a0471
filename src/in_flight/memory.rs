//! What a request keeps between runs of the pipeline.

use std::rc::Rc;

use super::purpose::Purpose;
use crate::consumer::{Consumer, HostConsumer, HostUnavailable};
use crate::http::LocalReply;
use crate::introspection::IntrospectionAnswer;
use crate::metrics::Cache;
use crate::refresh::KeySourceId;
use crate::revocation::ListId;
use crate::rules::McpCall;
use crate::secret::Secret;
use crate::time::UnixTime;
use crate::user_info::{UserInfoAnswer, UserKey};

/// The outcome of a callout, for
/// [`Pipeline::resume`](crate::pipeline::Pipeline::resume) of each request that waits
/// for it.
#[derive(Clone, Debug)]
pub struct CalloutOutcome(pub(crate) Rc<Outcome>);

/// The outcome of a callout, with its purpose.
#[derive(Debug)]
pub(crate) enum Outcome {
    Keys {
        source: KeySourceId,
        /// False for a discovery document, which is followed by a second callout.
        settled: bool,
    },
    /// The answer and until when it is current; `None` for a failure.
    UserInfo(UserKey, Option<(UserInfoAnswer, UnixTime)>),
    /// The issuer's answer about a reference token, and its time; `None` for a failure.
    Introspection(Secret<Box<[u8]>>, Option<IntrospectionAnswer>, UnixTime),
    /// The feed of a list was read, or failed.
    Tokens(ListId),
    /// The reply to the client of a login; `None` for a failure.
    Login(Option<LocalReply>),
    /// The host's consumer of this name, if there is one; `Err` for a failure.
    Consumer(HostConsumer, Result<Option<Rc<Consumer>>, HostUnavailable>),
    /// Whether the revocations of a signal were forwarded.
    Forwarded(bool),
}

impl Outcome {
    /// Whether this is an outcome for `purpose`.
    fn answers(&self, purpose: &Purpose) -> bool {
        match (self, purpose) {
            (Self::Keys { source, .. }, Purpose::Keys(asked) | Purpose::DuplicateKeys(asked)) => {
                source == asked
            }
            (Self::UserInfo(key, _), Purpose::UserInfo(asked)) => key == asked,
            (Self::Introspection(token, ..), Purpose::Introspection(asked)) => token == asked,
            (Self::Tokens(list), Purpose::Tokens(asked, _)) => list == asked,
            (Self::Login(_), Purpose::Login(_)) | (Self::Forwarded(_), Purpose::Forward) => true,
            (Self::Consumer(consumer, _), Purpose::Consumer(asked)) => consumer == asked,
            _ => false,
        }
    }
}

/// What a request keeps between runs of the pipeline: all outcomes that it waited for.
/// They are kept until the request is decided; otherwise two uncacheable answers would be
/// fetched in turn forever.
#[derive(Debug, Default)]
pub(crate) struct RequestMemory {
    outcomes: Vec<Rc<Outcome>>,
    /// The caches whose use was counted.
    counted: u8,
    /// Whether the proof of the request was checked: it counts once.
    is_proof_accepted: bool,
    /// The request's MCP call: hosts can provide it only at the beginning.
    call: Option<McpCall>,
    /// The body of the request, if the gateway itself read it.
    body: Option<Rc<[u8]>>,
}

impl RequestMemory {
    /// Adds one.
    pub(crate) fn add(&mut self, outcome: &CalloutOutcome) {
        self.outcomes.push(Rc::clone(&outcome.0));
    }

    /// The MCP call, determined once.
    pub(crate) fn call(&mut self, find: impl FnOnce() -> McpCall) -> McpCall {
        self.call.get_or_insert_with(find).clone()
    }

    /// Records that the request's proof was accepted.
    pub(crate) const fn mark_proof_accepted(&mut self) {
        self.is_proof_accepted = true;
    }

    /// Whether the request's proof was accepted.
    pub(crate) const fn is_proof_accepted(&self) -> bool {
        self.is_proof_accepted
    }

    /// With the request's body, for which its callouts are made.
    pub(crate) fn with_body(body: Vec<u8>) -> Self {
        Self { body: Some(body.into()), ..Self::default() }
    }

    /// The request's body, if it was read.
    pub(crate) fn body(&self) -> Option<Rc<[u8]>> {
        self.body.clone()
    }

    /// The latest outcome for `purpose`.
    pub(crate) fn latest(&self, purpose: &Purpose) -> Option<&Outcome> {
        let mut latest_first = self.outcomes.iter().rev();
        latest_first.find(|outcome| outcome.answers(purpose)).map(Rc::as_ref)
    }

    /// True if the request already has the maximum number of outcomes for `purpose`. So
    /// the configuration bounds how often a request waits.
    pub(crate) fn has_all_outcomes(&self, purpose: &Purpose) -> bool {
        let number = self.outcomes.iter().filter(|outcome| outcome.answers(purpose)).count();
        number >= purpose.max_outcomes()
    }

    /// True for the first use of `cache` by a request; later runs of the pipeline repeat
    /// it.
    pub(crate) fn count_once(&mut self, cache: Cache) -> bool {
        let own = 1_u8.rotate_left(cache as u32);
        let is_first = self.counted & own == 0;
        self.counted |= own;
        is_first
    }
}
