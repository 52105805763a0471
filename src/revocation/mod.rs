//! Tokens that are not accepted although they are valid: revoked ones, and where
//! there is an allowlist all that are not on it.
//!
//! Owns the lists, where their entries come from and how all workers of a proxy
//! learn of them. An entry counts from the moment it is taken in, for tokens in
//! the caches too.

mod change;
mod entry;
mod entry_index;
mod feed;
mod list;
mod shared_list;

use std::rc::Rc;

use serde_json::{Value, json};

use self::change::{Change, Effect};
use self::entry::Unknown;
pub use self::entry::{Entry, EntryError, Selector, Validity, claim_key};
use self::entry_index::Policy;
use self::feed::read_entries;
pub use self::feed::{EntriesError, FeedEndpoint, FeedError};
use self::list::{FeedReply, List};
use crate::callout::{Callout, CalloutReply};
use crate::denial::Denial;
use crate::json;
use crate::rules::Requirements;
use crate::shared_data::SharedStore;
use crate::time::{Span, UnixTime};
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
    /// Whether requests pass while a feed is stale.
    pub failure_mode: FailureMode,
    /// How many entries a list may have.
    pub max_entries: usize,
    /// The name shared by gateways of a proxy that share revocations.
    pub ledger: Option<String>,
}

/// The identity of a gateway: configurations of a proxy with the same one share
/// revocations.
///
/// Revocations outlive changes of paths, feeds, rules and listeners. Only a gateway
/// with other providers is a different one, unless both have the same
/// `revocation.ledger`.
#[derive(Clone, Debug)]
pub struct GatewayIdentity {
    /// The providers, by name and `iss`.
    pub providers: Vec<(String, Option<String>)>,
    /// The largest clock skew of them: for so long a token is accepted beyond its
    /// end, and an entry that ends with it holds.
    pub clock_skew: Span,
}

impl GatewayIdentity {
    fn name(mut self, ledger: Option<&str>) -> Value {
        self.providers.sort();
        match ledger {
            Some(name) => json!({ "ledger": name }),
            None => json!({ "providers": self.providers }),
        }
    }
}

/// The change that a request made.
#[derive(Debug)]
pub struct Submitted {
    /// How many entries it had.
    pub entries: usize,
    /// Their names, the first few.
    pub names: Vec<String>,
    /// How many took something back.
    pub taken_back: usize,
}

/// The path of the revocation endpoint, and its requirements for senders.
#[derive(Debug)]
pub struct RevocationEndpoint {
    /// The path, compared byte for byte.
    pub path: String,
    /// Requirements for the sender's token.
    pub requires: Requirements,
}

/// Whether requests with a token pass while a feed is stale.
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
pub struct RevocationEpoch(u64);

/// How many entries of a request are named in the log.
const MAX_NAMES: usize = 8;

/// The lists of one gateway; by default there are none, and every token passes.
#[derive(Debug, Default)]
pub struct Revocations {
    revoked: Option<List>,
    allowed: Option<List>,
    endpoint: Option<Rc<RevocationEndpoint>>,
    failure_mode: FailureMode,
    /// Which gateways share revocations with this one.
    gateway: Value,
    /// What was taken in from requests, for other nodes; `None` where there are none.
    announcements: Option<Vec<String>>,
}

impl Revocations {
    /// The lists of a configuration.
    ///
    /// An allowlist belongs to its feed, and does not apply to another one. Revocations do
    /// not, and stay when the feed changes.
    pub fn new(settings: RevocationSettings, gateway: GatewayIdentity) -> Self {
        let RevocationSettings { feed, allowlist, endpoint, failure_mode, max_entries, ledger } =
            settings;
        let clock_skew = gateway.clock_skew;
        let gateway = gateway.name(ledger.as_deref());
        let revoked = json!({"list": ListId::Revoked.name(), "gateway": gateway});
        let allowed = |feed: FeedEndpoint| {
            let (list, identity) = (ListId::Allowed.name(), feed.identity());
            let identity = json!({"list": list, "gateway": gateway, "feed": identity});
            List::new(&identity, Policy::Replace, Some(feed), max_entries, Span::ZERO)
        };
        Self {
            revoked: Some(List::new(&revoked, Policy::Add, feed, max_entries, clock_skew)),
            allowed: allowlist.map(allowed),
            endpoint: endpoint.map(Rc::new),
            failure_mode,
            gateway,
            announcements: None,
        }
    }

    /// What gateways have in common that share what was revoked.
    pub fn ledger(&self) -> String {
        self.gateway.to_string()
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
    pub fn epoch(&self) -> RevocationEpoch {
        RevocationEpoch(self.revoked.as_ref().map_or(0, List::generation))
    }

    /// True if a token that was admitted at `epoch` is still admitted.
    pub fn still_admits(
        &self,
        token: &Verified,
        epoch: RevocationEpoch,
        now: UnixTime,
    ) -> Result<(), Denial> {
        // Entries on the allowlist end, so that one is asked each time.
        if self.allowed.is_none() && epoch == self.epoch() {
            return Ok(());
        }
        self.check(token, now)
    }

    /// True if [`Revocations::still_admits`] needs the claims of each token.
    pub const fn asks_each_time(&self) -> bool {
        self.allowed.is_some()
    }

    fn check(&self, token: &Verified, now: UnixTime) -> Result<(), Denial> {
        if self.revoked.as_ref().is_some_and(|list| list.names(token, now)) {
            return Err(Denial::TokenRevoked);
        }
        // A list that was never loaded does not count; `incomplete` decides then. A loaded,
        // empty one allows no token.
        let is_listed = |list: &List| list.names(token, now) || list.is_unknown();
        if self.allowed.as_ref().is_none_or(is_listed) { Ok(()) } else { Err(Denial::TokenRevoked) }
    }

    /// The lists by name, and whether each has a feed.
    pub fn series(&self) -> impl Iterator<Item = (&'static str, bool)> {
        ListId::ALL.into_iter().filter_map(|id| Some((id.name(), self.list(id)?.has_feed())))
    }

    /// How many entries each list has, and when its feed was read to its end.
    pub fn state(&self) -> impl Iterator<Item = (&'static str, usize, Option<UnixTime>)> {
        ListId::ALL.into_iter().filter_map(|id| {
            let list = self.list(id)?;
            Some((id.name(), list.len(), list.fresh_at()))
        })
    }

    /// The cursor of the next request to a list's feed.
    pub fn cursor(&self, id: ListId) -> Rc<str> {
        self.list(id).map(List::cursor).unwrap_or_default()
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

    /// Polls the feed for a request that waits for the list.
    pub fn ask(&mut self, id: ListId, now: UnixTime) -> Option<Callout> {
        self.list_mut(id)?.ask(now)
    }

    /// Takes the reply of a list's feed to a request that was sent at `sent`, with
    /// the cursor `since`; gives the name of a member of an entry that was
    /// ignored, if there is one.
    pub fn settle(
        &mut self,
        id: ListId,
        reply: &CalloutReply,
        (since, sent): (&str, UnixTime),
        store: Option<&dyn SharedStore>,
        jitter: u8,
        now: UnixTime,
    ) -> Result<Option<String>, FeedError> {
        let page = FeedReply { reply, since, sent };
        self.list_mut(id).map_or(Ok(None), |list| list.settle(page, store, jitter, now))
    }

    /// Takes in the entries of a request's body, all or none, for every worker.
    /// The request must have been authorized.
    pub fn submit(
        &mut self,
        body: &[u8],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<Submitted, Denial> {
        let (entries, _) = json::parse_object(body)
            .map_err(EntriesError::Json)
            .and_then(|members| match members.keys().find(|name| *name != "entries") {
                Some(name) => Err(EntriesError::Unknown(name.chars().take(40).collect())),
                None => read_entries(members.get("entries"), Unknown::Refused),
            })
            .map_err(|error| Denial::EntriesInvalid(error.to_string()))?;
        self.revoke(&entries, store, now)
    }

    /// Takes entries in, all or none, for every worker. Their sender must have been
    /// authorized.
    pub fn revoke(
        &mut self,
        entries: &[Entry],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<Submitted, Denial> {
        let submitted = self.take_in(entries, store, now)?;
        if let Some(announcements) = &mut self.announcements {
            let entries: Vec<_> = entries.iter().map(Entry::to_json).collect();
            let text = json!({"gateway": self.gateway, "entries": entries});
            announcements.push(text.to_string());
        }
        Ok(submitted)
    }

    /// From now on keeps what requests revoke, for [`Revocations::take_announcement`].
    pub fn announce(&mut self) {
        self.announcements.get_or_insert_default();
    }

    /// What a request revoked, as text for [`Revocations::hear`] of the other nodes.
    pub fn take_announcement(&mut self) -> Option<String> {
        self.announcements.as_mut()?.pop()
    }

    /// Takes in what another node announced. `None` if that is for other gateways, or no
    /// announcement of this version.
    pub fn hear(
        &mut self,
        text: &[u8],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Option<Result<Submitted, Denial>> {
        let members = json::parse_object(text).ok()?;
        if members.get("gateway") != Some(&self.gateway) {
            return None;
        }
        let (entries, _) = read_entries(members.get("entries"), Unknown::Refused).ok()?;
        Some(self.take_in(&entries, store, now))
    }

    fn take_in(
        &mut self,
        entries: &[Entry],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<Submitted, Denial> {
        let list = self.revoked.as_mut().ok_or(Denial::RevocationUnavailable)?;
        let changes =
            list.submit(entries, store, now).map_err(|_| Denial::RevocationUnavailable)?;
        let is_back = |change: &&Change| change.effect != Effect::Add;
        Ok(Submitted {
            entries: entries.len(),
            names: entries.iter().take(MAX_NAMES).map(Entry::summary).collect(),
            taken_back: changes.iter().filter(is_back).count(),
        })
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
