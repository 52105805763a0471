//! Periodic work: fetches that are due, and callouts that are overdue.

use super::Pipeline;
use super::step::Tick;
use crate::event::Event;
use crate::in_flight::{CalloutId, InFlight, Purpose};
use crate::metrics::Cache;
use crate::refresh::Poll;
use crate::revocation::ListId;
use crate::time::UnixTime;

impl Pipeline {
    /// Records that a request which waited for this callout is gone. True if the callout
    /// ends with it: unless
    /// [`HostCapabilities::resumes_others`](crate::host::HostCapabilities).
    pub fn abandon(&mut self, callout: CalloutId) -> bool {
        let Some(InFlight { purpose, .. }) = self.callouts.leave(callout) else { return false };
        if let Purpose::Keys(source) = *purpose
            && let Some(remote) = self.key_sources.remote_mut(source)
        {
            remote.abandon();
        }
        true
    }

    /// Must be called every [`TICK`](crate::gateway::TICK).
    pub fn tick(&mut self, now: UnixTime) -> Tick {
        let overdue = self.callouts.overdue(now);
        let mut tick = Tick { send: Vec::new(), overdue };
        let (store, jitter) = (self.store.as_deref(), self.jitter());
        for (source, name, remote) in self.key_sources.remotes_mut() {
            let purpose = Purpose::Keys(source);
            if self.callouts.is_awaited(&purpose, now) {
                continue;
            }
            match remote.poll(store, jitter, now) {
                Poll::Idle => {}
                Poll::Adopted(skipped) => {
                    self.log.extend(
                        skipped.into_iter().map(|key| Event::KeySkipped(name.to_owned(), key)),
                    );
                }
                Poll::Fetch(callout) => {
                    tick.send.push(self.callouts.open_at_tick(purpose, callout, now));
                }
            }
        }
        for list in ListId::ALL {
            let purpose = Purpose::Tokens(list, self.revocations.cursor(list));
            if self.callouts.is_awaited(&purpose, now) {
                continue;
            }
            if let Some(callout) = self.revocations.poll(list, store, now) {
                // Another worker may have read further.
                let purpose = Purpose::Tokens(list, self.revocations.cursor(list));
                tick.send.push(self.callouts.open_at_tick(purpose, callout, now));
            }
        }
        self.gauge_keys(now);
        self.gauge_lists(now);
        self.gauge_caches();
        let keys = &self.minter.keys;
        self.counters.gauges().signing_keys(keys.changes_at(now), keys.ends_at(now));
        tick
    }

    /// Must be called when the configuration is no longer in use, before the last
    /// [`Pipeline::take_metrics`].
    pub fn retire(&mut self) {
        self.counters.gauges().retire();
    }

    /// Records the size and the age of the lists; for lists never read, the time since the
    /// start.
    fn gauge_lists(&mut self, now: UnixTime) {
        let since = self.since.unwrap_or(now);
        for (list, entries, fresh_at) in self.revocations.state() {
            self.counters.gauges().list(list, entries, now.since(fresh_at.unwrap_or(since)));
        }
    }

    fn gauge_caches(&mut self) {
        let (jwts, references) = self.sessions.bytes();
        let gauges = self.counters.gauges();
        gauges.cache(Cache::Token, jwts);
        gauges.cache(Cache::Introspection, references);
        gauges.cache(Cache::UserInfo, self.user_infos.bytes());
    }

    /// Records the age of the keys; for keys never fetched, the time since the start.
    fn gauge_keys(&mut self, now: UnixTime) {
        // Not the future: the clock may have been set back since.
        let since = self.since.map_or(now, |since| since.min(now));
        self.since = Some(since);
        for (_, name, remote) in self.key_sources.remotes_mut() {
            self.counters.gauges().keys_age(name, now.since(remote.loaded_at().unwrap_or(since)));
        }
    }
}
