//! Tokens that are not accepted although they are valid: revoked ones, and where
//! there is an allowlist all that are not on it.
//!
//! Owns the lists, where their entries come from and how all workers of a proxy
//! learn of them. An entry counts from the moment it is taken in, for tokens in
//! the caches too.

mod entry;
mod feed;
mod ledger;
mod list;
mod register;

use std::rc::Rc;

pub use self::entry::{Entry, EntryError, Selector, Term};
use self::feed::read_entries;
pub use self::feed::{EntriesError, FeedEndpoint, FeedError};
use self::list::{List, NotTaken};
use self::register::Policy;
use crate::callout::{Callout, CalloutReply};
use crate::denial::Denial;
use crate::json;
use crate::rules::Requirements;
use crate::shared_data::SharedStore;
use crate::time::UnixTime;
use crate::token::Verified;

/// `revocation` in the configuration.
#[derive(Debug)]
pub struct RevocationSettings {
    /// Where revocations come from.
    pub feed: Option<FeedEndpoint>,
    /// Where the tokens are listed that alone may pass.
    pub allowlist: Option<FeedEndpoint>,
    /// Where this proxy takes revocations itself.
    pub endpoint: Option<RevocationEndpoint>,
    /// What happens while a feed cannot be relied on.
    pub failure_mode: FailureMode,
    /// How many entries a list may have.
    pub max_entries: usize,
}

/// A path at which the gateway takes revocations, and who may send them.
#[derive(Debug)]
pub struct RevocationEndpoint {
    /// The path, compared byte for byte.
    pub path: String,
    /// What the sender's token needs.
    pub requires: Requirements,
}

/// What happens to requests with a token while a feed cannot be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureMode {
    /// They are denied with 503.
    #[default]
    Deny,
    /// They are decided by what is known.
    Allow,
}

/// One of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListId {
    /// Tokens that are revoked.
    Revoked,
    /// Tokens that alone may pass.
    Allowed,
}

impl ListId {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Revoked, Self::Allowed];

    /// Its name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revocations",
            Self::Allowed => "allowlist",
        }
    }
}

/// A verified token that is not revoked.
///
/// Only [`Revocations::admit`] makes one.
#[derive(Debug)]
pub struct Unrevoked(Verified);

impl Unrevoked {
    /// The token.
    pub fn into_token(self) -> Verified {
        self.0
    }

    /// The token.
    pub const fn token(&self) -> &Verified {
        &self.0
    }
}

/// The state of the lists in which a token was found to be admitted. It need not
/// be compared again while this is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clearance(u64);

/// The lists of one gateway; by default there are none, and every token passes.
#[derive(Debug, Default)]
pub struct Revocations {
    revoked: Option<List>,
    allowed: Option<List>,
    endpoint: Option<Rc<RevocationEndpoint>>,
    failure_mode: FailureMode,
}

impl Revocations {
    /// The lists of a configuration.
    pub fn new(settings: RevocationSettings) -> Self {
        let RevocationSettings { feed, allowlist, endpoint, failure_mode, max_entries } = settings;
        // The same for all workers, and another one for another configuration.
        let name = |id: ListId, feed: Option<&FeedEndpoint>| {
            let feed =
                feed.map(|feed| (&feed.service.upstream, &feed.service.authority, &feed.path));
            let endpoint = endpoint.as_ref().map(|endpoint| &endpoint.path);
            format!("{} {feed:?} {endpoint:?}", id.name())
        };
        let revoked = name(ListId::Revoked, feed.as_ref());
        let allowed = name(ListId::Allowed, allowlist.as_ref());
        Self {
            revoked: Some(List::new(&revoked, Policy::Add, feed, max_entries)),
            allowed: allowlist
                .map(|feed| List::new(&allowed, Policy::Replace, Some(feed), max_entries)),
            endpoint: endpoint.map(Rc::new),
            failure_mode,
        }
    }

    /// Where this proxy takes revocations itself.
    pub const fn endpoint(&self) -> Option<&Rc<RevocationEndpoint>> {
        self.endpoint.as_ref()
    }

    /// Makes places for the lists in a store that workers share.
    pub fn share(&self, store: &dyn SharedStore) {
        self.lists().for_each(|list| list.share(store));
    }

    /// Takes in what other workers added.
    pub fn catch_up(&mut self, store: &dyn SharedStore, now: UnixTime) {
        self.lists_mut().for_each(|list| list.catch_up(store, now));
    }

    /// A list that cannot be relied on, where that is a reason to deny.
    pub fn incomplete(&self, now: UnixTime) -> Option<ListId> {
        if self.failure_mode == FailureMode::Allow {
            return None;
        }
        let is_incomplete = |id: &ListId| self.list(*id).is_some_and(|list| !list.is_complete(now));
        ListId::ALL.into_iter().find(is_incomplete)
    }

    /// Refuses a token that is revoked, or on no allowlist where there is one.
    pub fn admit(&self, token: Verified, now: UnixTime) -> Result<Unrevoked, Denial> {
        self.check(&token, now)?;
        Ok(Unrevoked(token))
    }

    /// The state of the lists now.
    pub fn clearance(&self) -> Clearance {
        Clearance(self.revoked.as_ref().map_or(0, List::generation))
    }

    /// Whether a token that had `clearance` is still admitted.
    pub fn still_admits(
        &self,
        token: &Verified,
        clearance: Clearance,
        now: UnixTime,
    ) -> Result<(), Denial> {
        // Entries on the allowlist end, so that one is asked each time.
        if self.allowed.is_none() && clearance == self.clearance() {
            return Ok(());
        }
        self.check(token, now)
    }

    /// Whether [`Revocations::still_admits`] looks at the claims of each token.
    pub const fn asks_each_time(&self) -> bool {
        self.allowed.is_some()
    }

    fn check(&self, token: &Verified, now: UnixTime) -> Result<(), Denial> {
        if self.revoked.as_ref().is_some_and(|list| list.names(token, now)) {
            return Err(Denial::TokenRevoked);
        }
        // One that was never loaded is no list; whether that lets requests pass
        // is decided by `incomplete`.
        let is_listed =
            |list: &List| list.names(token, now) || list.is_empty() && !list.is_complete(now);
        if self.allowed.as_ref().is_none_or(is_listed) { Ok(()) } else { Err(Denial::TokenRevoked) }
    }

    /// The request that is due for a list, if no other worker makes it.
    pub fn poll(
        &mut self,
        id: ListId,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Option<Callout> {
        self.list_mut(id)?.poll(store, now)
    }

    /// The request for the sake of a client's request that waits for the list.
    pub fn ask(&mut self, id: ListId, now: UnixTime) -> Option<Callout> {
        self.list_mut(id)?.ask(now)
    }

    /// Takes the reply of a list's feed.
    pub fn settle(
        &mut self,
        id: ListId,
        reply: &CalloutReply,
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<(), FeedError> {
        self.list_mut(id).map_or(Ok(()), |list| list.settle(reply, store, now))
    }

    /// Takes in the entries of a request's body, all or none, for every worker;
    /// gives how many. The request must have been authorized.
    pub fn submit(
        &mut self,
        body: &[u8],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<usize, Denial> {
        let entries = json::parse_object(body)
            .map_err(EntriesError::Json)
            .and_then(|members| match members.keys().find(|name| *name != "entries") {
                Some(name) => Err(EntriesError::Unknown(name.chars().take(40).collect())),
                None => read_entries(members.get("entries")),
            })
            .map_err(|error| Denial::EntriesInvalid(error.to_string()))?;
        let list = self.revoked.as_mut().ok_or(Denial::RevocationUnavailable)?;
        match list.extend(&entries, store, now, |_| ()) {
            Ok(()) => Ok(entries.len()),
            Err(NotTaken::Full | NotTaken::NotShared) => Err(Denial::RevocationUnavailable),
        }
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        self.revoked.iter().chain(&self.allowed)
    }

    fn lists_mut(&mut self) -> impl Iterator<Item = &mut List> {
        self.revoked.iter_mut().chain(&mut self.allowed)
    }

    const fn list(&self, id: ListId) -> Option<&List> {
        match id {
            ListId::Revoked => self.revoked.as_ref(),
            ListId::Allowed => self.allowed.as_ref(),
        }
    }

    const fn list_mut(&mut self, id: ListId) -> Option<&mut List> {
        match id {
            ListId::Revoked => self.revoked.as_mut(),
            ListId::Allowed => self.allowed.as_mut(),
        }
    }
}
