//! Requests that outlast being forwarded: WebSockets, gRPC calls, long responses. With
//! `limits.end_streams` such a request ends when its token expires or is revoked.

use std::rc::Rc;

use super::Pipeline;
use super::attempt::Current;
use super::step::Step;
use super::tracked::TrackedStream;
use crate::access_log::AccessLogFields;
use crate::denial::Denial;
use crate::event::{Event, Stage, Trace};
use crate::host::RequestId;
use crate::http::RequestHead;
use crate::session::Session;
use crate::time::UnixTime;
use crate::token::Rejection;
use crate::verdict::Verdict;

impl Pipeline {
    /// Whether requests with a token end with it.
    pub(super) fn ends_streams(&self) -> bool {
        self.limits.end_streams && self.host.ends_streams && self.mode.shadowed().is_none()
    }

    /// Makes the request that was just decided end with its token.
    pub(super) fn track_stream(
        &mut self,
        request: RequestId,
        session: Rc<Session>,
        head: RequestHead,
        trace: &Trace,
    ) {
        let trace = trace.clone();
        self.streams.insert(request, TrackedStream { session, head, trace });
    }

    /// Whether a request that was forwarded ends with its token.
    pub fn ends_with_token(&self, request: RequestId) -> bool {
        self.streams.contains_key(&request)
    }

    /// The number of requests that end with their token.
    pub fn ending_with_token(&self) -> usize {
        self.streams.len()
    }

    /// A request is over.
    pub fn forget_stream(&mut self, request: RequestId) {
        self.streams.remove(&request);
    }

    /// Ends the requests whose token has expired or been revoked. Each of them is denied,
    /// although it was forwarded. The revocation lists must be current.
    pub fn end_streams(&mut self, now: UnixTime) -> Vec<(RequestId, Step)> {
        if self.streams.is_empty() {
            return Vec::new();
        }
        let ended = |(request, stream): (&RequestId, &TrackedStream)| {
            Some((*request, self.ended(&stream.session, now)?))
        };
        let ended: Vec<_> = self.streams.iter().filter_map(ended).collect();
        ended.into_iter().filter_map(|(request, why)| self.end_stream(request, why, now)).collect()
    }

    /// Why a token that was accepted no longer is.
    fn ended(&self, session: &Session, now: UnixTime) -> Option<(Stage, Denial)> {
        let token = session.principal().token();
        if !token.is_current(now) {
            let exp = token.expires().unwrap_or(now);
            return Some((Stage::Verify, Denial::Token(Rejection::Expired { exp, now })));
        }
        self.recheck(session, token.alone(), now).err().map(|denial| (Stage::Revocation, denial))
    }

    fn end_stream(
        &mut self,
        request: RequestId,
        (stage, denial): (Stage, Denial),
        now: UnixTime,
    ) -> Option<(RequestId, Step)> {
        let TrackedStream { head, trace, .. } = self.streams.remove(&request)?;
        // The access log got the other fields when the request was forwarded.
        let trace = Trace { stage, access_log: AccessLogFields::EMPTY, ..trace };
        self.counters.stream_ended(denial.code());
        let event = Event::StreamEnded(self.denied_request(request, &head, &denial, &trace));
        self.log.push(event);
        let reply = self.reply_to(Current { request, head: &head, now }, &denial, &trace);
        Some((request, self.end(Verdict::Deny(denial, reply), trace)))
    }
}
