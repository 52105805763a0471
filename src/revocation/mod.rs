//! Valid tokens that are not accepted: revoked ones, and if there is an allowlist, those
//! that are not on it.
//!
//! Owns the lists, the sources of their entries and their propagation to all workers of a
//! proxy. An entry is in force as soon as it is added, for cached tokens too.

mod change;
mod change_log;
mod entry;
mod entry_index;
mod feed;
mod list;
mod shared_list;
mod validities;

use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::{Value, json};

use self::change::{Change, Effect};
use self::entry::Unknown;
pub use self::entry::{Entry, EntryError, MAX_VALUE_BYTES, Selector, Validity, claim_key};
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
use crate::token::{PresentedToken, Verified};

/// `revocation` in the configuration.
#[derive(Debug)]
pub struct RevocationSettings {
    /// The feed of revocations.
    pub feed: Option<FeedEndpoint>,
    /// The feed of the only tokens that may pass.
    pub allowlist: Option<FeedEndpoint>,
    /// The endpoint for revocations at this proxy.
    pub endpoint: Option<RevocationEndpoint>,
    /// Whether requests pass while a feed is stale.
    pub failure_mode: FailureMode,
    /// The maximum number of entries in a list.
    pub max_entries: usize,
    /// A name that gateways of a proxy use to share revocations.
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
    /// The largest clock skew of them: a token is accepted for this long after its
    /// expiry, so an entry that expires with it holds as long.
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

/// The effect of a revocation request.
#[derive(Debug)]
pub struct Submitted {
    /// The number of entries.
    pub entries: usize,
    /// The names of the first few.
    pub names: Vec<String>,
    /// Whose tokens each of these names is about: the `iss` of its entry, or `any`.
    pub issuers: Vec<String>,
    /// The number of withdrawals.
    pub withdrawn: usize,
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
    /// They are decided by the known entries.
    Allow,
}

/// One of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListId {
    /// Revoked tokens.
    Revoked,
    /// The only tokens that may pass.
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

/// The state of the lists when a token was last admitted. It need not be checked again
/// while this is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationEpoch(u64);

/// How many entries of a request the log names.
const MAX_NAMES: usize = 8;

/// The lists of one gateway; by default there are none, and every token passes.
#[derive(Debug, Default)]
pub struct Revocations {
    revoked: Option<List>,
    allowed: Option<List>,
    endpoint: Option<Rc<RevocationEndpoint>>,
    failure_mode: FailureMode,
    /// The identity that gateways sharing revocations have in common.
    gateway: Value,
    /// Revocations from requests, for other nodes; `None` if there are none.
    announcements: Option<VecDeque<String>>,
}

impl Revocations {
    /// The lists of a configuration.
    ///
    /// An allowlist belongs to its feed, and does not outlive a change of it. Revocations
    /// stay when the feed changes.
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

    /// The identity that gateways sharing revocations have in common.
    pub fn ledger_id(&self) -> String {
        self.gateway.to_string()
    }

    /// Where this proxy takes revocations itself.
    pub const fn endpoint(&self) -> Option<&Rc<RevocationEndpoint>> {
        self.endpoint.as_ref()
    }

    /// Prepares the lists in a store that workers share.
    pub fn share(&self, store: &dyn SharedStore) {
        self.lists().for_each(|list| list.share(store));
    }

    /// Adds what other workers have added.
    pub fn catch_up(&mut self, store: &dyn SharedStore, now: UnixTime) {
        self.lists_mut().for_each(|list| list.catch_up(store, now));
    }

    /// A list that cannot be relied on, if that is a reason to deny.
    pub fn incomplete(&self, now: UnixTime) -> Option<ListId> {
        if self.failure_mode == FailureMode::Allow {
            return None;
        }
        let is_incomplete = |id: &ListId| self.list(*id).is_some_and(|list| !list.is_complete(now));
        ListId::ALL.into_iter().find(is_incomplete)
    }

    /// Refuses a token that is revoked, or missing from the allowlist if there is one.
    pub fn admit(&self, token: Verified, now: UnixTime) -> Result<Unrevoked, Denial> {
        self.check(token.alone(), now)?;
        Ok(Unrevoked(token))
    }

    /// The current state of the lists.
    pub fn epoch(&self) -> RevocationEpoch {
        RevocationEpoch(self.revoked.as_ref().map_or(0, List::generation))
    }

    /// True if a token that was admitted at `epoch` is still admitted.
    pub fn still_admits(
        &self,
        token: PresentedToken<'_>,
        epoch: RevocationEpoch,
        now: UnixTime,
    ) -> Result<(), Denial> {
        // Entries on the allowlist expire, so it is checked each time.
        if self.allowed.is_none() && epoch == self.epoch() {
            return Ok(());
        }
        self.check(token, now)
    }

    /// True if [`Revocations::still_admits`] needs the claims of each token.
    pub const fn needs_claims_each_time(&self) -> bool {
        self.allowed.is_some()
    }

    fn check(&self, token: PresentedToken<'_>, now: UnixTime) -> Result<(), Denial> {
        let revoked = self.revoked.as_ref().filter(|list| !list.is_empty());
        if revoked.is_none() && self.allowed.is_none() {
            return Ok(());
        }
        let (token, claims) = (token.token(), token.claims().ok_or(Denial::TokenRevoked)?);
        if revoked.is_some_and(|list| list.matches(token, &claims, now)) {
            return Err(Denial::TokenRevoked);
        }
        // A list that was never loaded does not count; `incomplete` decides then. A
        // loaded but empty one admits no token.
        let is_listed = |list: &List| list.matches(token, &claims, now) || list.is_unknown();
        if self.allowed.as_ref().is_none_or(is_listed) { Ok(()) } else { Err(Denial::TokenRevoked) }
    }

    /// The lists by name, and whether each has a feed.
    pub fn series(&self) -> impl Iterator<Item = (&'static str, bool)> {
        ListId::ALL.into_iter().filter_map(|id| Some((id.name(), self.list(id)?.has_feed())))
    }

    /// The number of entries in each list, and when its feed was last read to its end.
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
    pub fn poll_now(&mut self, id: ListId, now: UnixTime) -> Option<Callout> {
        self.list_mut(id)?.poll_now(now)
    }

    /// Processes the reply of a list's feed to a request that was sent at `sent`, with
    /// the cursor `since`; returns the name of an ignored member, if any.
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

    /// Adds the entries in a request's body, all or none, for every worker. The request
    /// must have been authorized.
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

    /// Adds entries, all or none, for every worker. Their sender must have been
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
            announcements.push_back(text.to_string());
        }
        Ok(submitted)
    }

    /// From now on records revocations made by requests, for
    /// [`Revocations::take_announcement`].
    pub fn announce(&mut self) {
        self.announcements.get_or_insert_default();
    }

    /// The revocations made by requests, oldest first, as text for
    /// [`Revocations::apply_announcement`] of the other nodes.
    pub fn take_announcement(&mut self) -> Option<String> {
        self.announcements.as_mut()?.pop_front()
    }

    /// Applies what another node announced. `None` if it is for other gateways or names
    /// none. One for this gateway with entries that cannot be read, perhaps of a later
    /// version, is an error: something was revoked that passes here.
    pub fn apply_announcement(
        &mut self,
        text: &[u8],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Option<Result<Submitted, Denial>> {
        let members = json::parse_object(text).ok()?;
        if members.get("gateway") != Some(&self.gateway) {
            return None;
        }
        Some(match read_entries(members.get("entries"), Unknown::Refused) {
            Ok((entries, _)) => self.take_in(&entries, store, now),
            Err(error) => Err(Denial::EntriesInvalid(error.to_string())),
        })
    }

    fn take_in(
        &mut self,
        entries: &[Entry],
        store: Option<&dyn SharedStore>,
        now: UnixTime,
    ) -> Result<Submitted, Denial> {
        let list = self.revoked.as_mut().ok_or(Denial::RevocationUnavailable)?;
        let changes = list.submit(entries, store, now)?;
        let is_withdrawal = |change: &&Change| change.effect != Effect::Add;
        let named = entries.iter().take(MAX_NAMES);
        Ok(Submitted {
            entries: entries.len(),
            names: named.clone().map(Entry::summary).collect(),
            issuers: named.map(|entry| entry.validity.issuer_summary()).collect(),
            withdrawn: changes.iter().filter(is_withdrawal).count(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise an entry for one of them would not select the token.
    #[test]
    fn a_token_whose_claims_cannot_be_read_is_not_admitted() {
        let allowed = List::new(&Value::Null, Policy::Replace, None, 10, Span::ZERO);
        let revocations = Revocations {
            revoked: None,
            allowed: Some(allowed),
            endpoint: None,
            failure_mode: FailureMode::Deny,
            gateway: Value::Null,
            announcements: None,
        };
        let (token, text) = Verified::with_claims_in_its_text();
        let epoch = revocations.epoch();
        let check = |token| revocations.still_admits(token, epoch, UnixTime::from_secs(1));
        assert_eq!(check(token.presented(text)), Ok(()), "a list that was never loaded");
        assert_eq!(check(token.alone()), Err(Denial::TokenRevoked));
        assert_eq!(check(token.presented(b"another")), Err(Denial::TokenRevoked));
    }
}
