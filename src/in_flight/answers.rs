//! What a request has learned from its callouts so far.

use std::rc::Rc;

use super::purpose::Purpose;
use crate::http::LocalReply;
use crate::introspection::IntrospectionAnswer;
use crate::metrics::Cache;
use crate::revocation::ListId;
use crate::secret::Secret;
use crate::time::UnixTime;
use crate::token::ProviderId;
use crate::user_info::{UserInfoAnswer, UserKey};

/// What a callout brought: to be given to
/// [`Pipeline::resume`](crate::pipeline::Pipeline::resume) for each request that waits for
/// its flight.
#[derive(Clone, Debug)]
pub struct CalloutOutcome(pub(crate) Rc<Outcome>);

/// The outcome of a callout, and what it was for.
#[derive(Debug)]
pub(crate) enum Outcome {
    Keys {
        provider: ProviderId,
        /// Whether it is over: a discovery document only says where to go on.
        settled: bool,
    },
    /// The answer and until when it is current; `None` for a failure.
    UserInfo(UserKey, Option<(UserInfoAnswer, UnixTime)>),
    /// What the issuer says of a reference token, and since when; `None` for a
    /// failure.
    Introspection(Secret<Box<[u8]>>, Option<IntrospectionAnswer>, UnixTime),
    /// The feed of a list answered, or failed.
    Tokens(ListId),
    /// What the client of a login gets; `None` for a failure.
    Login(Option<LocalReply>),
}

impl Outcome {
    /// Whether this answers what `purpose` asks.
    fn answers(&self, purpose: &Purpose) -> bool {
        match (self, purpose) {
            (Self::Keys { provider, .. }, Purpose::Keys(asked) | Purpose::KeysAgain(asked)) => {
                provider == asked
            }
            (Self::UserInfo(key, _), Purpose::UserInfo(asked)) => key == asked,
            (Self::Introspection(token, ..), Purpose::Introspection(asked)) => token == asked,
            (Self::Tokens(list), Purpose::Tokens(asked, _)) => list == asked,
            (Self::Login(_), Purpose::Login(_)) => true,
            _ => false,
        }
    }
}

/// What a request takes from one run of the pipeline to the next: every answer
/// that it waited for. None is dropped before the request is decided, or two
/// answers that may not be cached would be asked for in turn, for ever.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    outcomes: Vec<Rc<Outcome>>,
    /// The caches whose use was counted.
    counted: Vec<Cache>,
}

impl Answers {
    /// Keeps one more.
    pub(crate) fn add(&mut self, landing: &CalloutOutcome) {
        self.outcomes.push(Rc::clone(&landing.0));
    }

    /// The latest answer to what `purpose` asks.
    pub(crate) fn latest(&self, purpose: &Purpose) -> Option<&Outcome> {
        let mut latest_first = self.outcomes.iter().rev();
        latest_first.find(|outcome| outcome.answers(purpose)).map(Rc::as_ref)
    }

    /// Whether the request has had all the answers there can be to what
    /// `purpose` asks: so each request waits only a number of times that follows
    /// from the configuration.
    pub(crate) fn have_all(&self, purpose: &Purpose) -> bool {
        let number = self.outcomes.iter().filter(|outcome| outcome.answers(purpose)).count();
        number >= purpose.most_answers()
    }

    /// Whether a use of `cache` is to be counted: once for each request, which
    /// comes by again after each answer.
    pub(crate) fn counts(&mut self, cache: Cache) -> bool {
        let is_first = !self.counted.contains(&cache);
        if is_first {
            self.counted.push(cache);
        }
        is_first
    }
}
