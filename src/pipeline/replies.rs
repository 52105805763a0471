//! Processes the replies to callouts.

use std::rc::Rc;

use super::Pipeline;
use crate::callout::{CalloutFailure, CalloutReply};
use crate::denial::Denial;
use crate::event::Event;
use crate::in_flight::{CalloutId, CalloutOutcome, InFlight, Outcome, Purpose};
use crate::introspection::{IntrospectionAnswer, IntrospectionEndpoint, RefusedFor};
use crate::refresh::{Fetched, KeySourceId};
use crate::time::{Span, UnixTime};
use crate::token::{Found, Rejection, Untrusted};
use crate::user_info::{
    SharedAnswer, Times, UserInfoAnswer, UserInfoFailure, UserInfoSource, UserKey,
};

impl Pipeline {
    /// Processes the reply to a callout. `None` if it is not awaited: late, or a
    /// duplicate.
    ///
    /// Must be called before the requests that wait for it are resumed; there may be none
    /// left.
    pub fn complete(
        &mut self,
        callout: CalloutId,
        reply: &CalloutReply,
        now: UnixTime,
    ) -> Option<CalloutOutcome> {
        let mut callout = self.callouts.close(callout)?;
        let request_id = callout.request_id.take();
        let logged = self.log.len();
        let outcome = self.outcome(callout, reply, now);
        if let Some(id) = request_id {
            let events = self.log.split_off(logged);
            self.log.extend(events.into_iter().map(|event| event.for_request(&id)));
        }
        Some(CalloutOutcome(Rc::new(outcome)))
    }

    fn outcome(&mut self, callout: InFlight, reply: &CalloutReply, now: UnixTime) -> Outcome {
        let reply = &*reply.of_service();
        if matches!(reply, CalloutReply::Failed(CalloutFailure::NotSent)) {
            self.log.push(Event::NotSent(Rc::clone(&callout.service)));
        }
        if !matches!(*callout.purpose, Purpose::Consumer(_)) {
            self.counters.called(&callout.service, reply, callout.sent, now);
        }
        let purpose = Rc::unwrap_or_clone(callout.purpose);
        match purpose {
            Purpose::Keys(source) => {
                let settled = self.complete_keys(source, reply, callout.sent, now);
                Outcome::Keys { source, settled }
            }
            Purpose::DuplicateKeys(source) => {
                self.complete_duplicate_keys(source, reply, callout.sent, now);
                Outcome::Keys { source, settled: true }
            }
            Purpose::UserInfo(key) => {
                let waited = now.since(callout.sent);
                let answer = self.complete_user_info(&key, callout.token_end, reply, waited, now);
                Outcome::UserInfo(key, answer)
            }
            Purpose::Introspection(token) => {
                let answer = self.complete_introspection(token.expose(), reply, now);
                Outcome::Introspection(token, answer, now)
            }
            Purpose::Tokens(list, since) => {
                let (store, jitter) = (self.store.as_deref(), self.jitter());
                let request = (&*since, callout.sent);
                match self.revocations.settle(list, reply, request, store, jitter, now) {
                    Ok(None) => {}
                    Ok(Some(ignored)) => self.log.push(Event::MemberIgnored(list, ignored)),
                    Err(error) => self.log.push(Event::TokensNotListed(list, error)),
                }
                Outcome::Tokens(list)
            }
            Purpose::Consumer(consumer) => {
                let found = consumer.read(reply);
                Outcome::Consumer(consumer, found)
            }
            Purpose::Login(position) => Outcome::Login(self.complete_login(position, reply, now)),
            Purpose::Forward => Outcome::Forwarded(self.complete_forward(reply)),
        }
    }

    /// True if the fetch is complete.
    fn complete_keys(
        &mut self,
        source: KeySourceId,
        reply: &CalloutReply,
        sent: UnixTime,
        now: UnixTime,
    ) -> bool {
        let (store, jitter) = (self.store.as_deref(), self.jitter());
        let remote = self.key_sources.remote_mut(source);
        let settled = remote.map(|remote| remote.settle(reply, store, jitter, sent, now));
        let name = self.key_sources.name(source);
        match settled {
            Some(Ok(Fetched::Location)) => return false,
            Some(Ok(Fetched::Keys(skipped))) => {
                self.log
                    .extend(skipped.into_iter().map(|key| Event::KeySkipped(name.to_owned(), key)));
            }
            Some(Err(error)) => self.log.push(Event::KeysNotFetched(name.to_owned(), error)),
            None => {}
        }
        true
    }

    /// Failures are logged and counted by the original fetch.
    fn complete_duplicate_keys(
        &mut self,
        source: KeySourceId,
        reply: &CalloutReply,
        sent: UnixTime,
        now: UnixTime,
    ) {
        let jitter = self.jitter();
        let remote = self.key_sources.remote_mut(source);
        let skipped = remote.and_then(|remote| remote.settle_again(reply, jitter, sent, now));
        let name = self.key_sources.name(source);
        let skipped = skipped.into_iter().flatten();
        self.log.extend(skipped.map(|key| Event::KeySkipped(name.to_owned(), key)));
    }

    fn complete_user_info(
        &mut self,
        key: &UserKey,
        token_end: Option<UnixTime>,
        reply: &CalloutReply,
        waited: Span,
        now: UnixTime,
    ) -> Option<(UserInfoAnswer, UnixTime)> {
        let source = self.user_info.as_ref()?;
        match self.read_user_info(source, reply, key, now) {
            Ok(answer) => {
                let end = self.user_infos.insert(key.clone(), &answer, source, token_end, now);
                if let (Some(store), CalloutReply::Answer(reply)) = (&self.user_info_store, reply)
                    && source.current_until(&answer, None, now) > now
                {
                    let times = Times { came: now, token_end };
                    SharedAnswer::to(&source.callout(key)).publish(store.as_ref(), reply, times);
                }
                Some((answer, end))
            }
            Err(failure) => {
                let service = source.service.name.clone();
                self.log.push(Event::UserInfoFailed(service, failure));
                // Failures that return quickly are cheap to retry.
                let timeout = source.service.timeout.as_millis();
                if waited.as_millis().saturating_mul(2) >= timeout {
                    self.user_infos.record_timeout(key.clone(), now);
                }
                None
            }
        }
    }

    /// Parses a user service's reply; a JWT is verified with the keys of the token's
    /// provider.
    pub(super) fn read_user_info(
        &self,
        source: &UserInfoSource,
        reply: &CalloutReply,
        key: &UserKey,
        now: UnixTime,
    ) -> Result<UserInfoAnswer, UserInfoFailure> {
        let (id, limit) = (key.provider(), self.limits.max_reply_bytes);
        source.read(reply, key, |text| {
            let keys =
                self.current_keys(id.into(), now).ok_or(Rejection::KeyUnknown(Found::of(None)))?;
            let provider =
                self.providers.get(id).ok_or(Rejection::IssuerUnknown(Found::of(None)))?;
            let token = Untrusted::parse(text, limit).map_err(Rejection::Unreadable)?;
            provider.verify_user_info(token, &keys, &self.crypto, now)
        })
    }

    fn complete_introspection(
        &mut self,
        token: &[u8],
        reply: &CalloutReply,
        now: UnixTime,
    ) -> Option<IntrospectionAnswer> {
        let introspection = self.introspection.as_mut()?;
        match IntrospectionEndpoint::read(reply) {
            Ok(answer) => {
                if matches!(answer, IntrospectionAnswer::Inactive) {
                    introspection.cache_refusal(
                        token,
                        RefusedFor::Everything,
                        Denial::TokenInactive,
                        now,
                    );
                }
                Some(answer)
            }
            Err(failure) => {
                let provider = self.providers.name(introspection.provider);
                self.log.push(Event::IntrospectionFailed(provider.to_owned(), failure));
                None
            }
        }
    }
}
