//! Requests that revoke tokens: authorized like any other, then the gateway reads the
//! body.

use std::rc::Rc;

use super::Pipeline;
use super::attempt::{Attempt, Current};
use super::decide::Halt;
use super::step::{Recipient, Step, Submission, Unread};
use crate::bearer::Sanitized;
use crate::denial::Denial;
use crate::event::{Event, RevokedBy, Stage, Trace};
use crate::http::{LocalReply, RequestHead};
use crate::metrics::RequestOutcome;
use crate::revocation::RevocationEndpoint;
use crate::time::UnixTime;
use crate::verdict::Verdict;

/// The outcome of another node's announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncementOutcome {
    /// It is for other gateways.
    Foreign,
    /// It is in force here.
    Applied,
    /// It could not be applied.
    Failed,
}

impl Pipeline {
    /// The endpoint that the request is for.
    pub(super) fn revocation_endpoint(
        &self,
        head: &RequestHead,
    ) -> Option<&Rc<RevocationEndpoint>> {
        self.revocations.endpoint().filter(|own| own.path.as_bytes() == head.target().path)
    }

    /// True if the request may have to wait before its body is read.
    pub(crate) fn may_wait_and_read(&self, head: &RequestHead) -> bool {
        self.revocation_endpoint(head).is_some()
    }

    /// Authorizes the sender; then the body is to be read.
    #[inline(never)]
    pub(super) fn authorize_revocation(
        &mut self,
        attempt: &mut Attempt<'_>,
        sanitized: Sanitized,
        endpoint: &RevocationEndpoint,
    ) -> Result<Verdict, Halt> {
        let head = attempt.head;
        if head.method() != b"POST" {
            return Ok(self.refuse_body(head, Recipient::Revocations, Unread::Method));
        }
        attempt.trace.stage = Stage::Token;
        let token = self.token_of(attempt)?.ok_or(Denial::TokenMissing)?;
        let session = self.authenticate(attempt, &token)?;
        self.authorize_token(attempt, &session, &token, &endpoint.requires)?;
        // User info is fetched only if it matters: revocation must work while the user
        // service is down.
        if endpoint.requires.depends_on_user_info(|claim| self.decided_by_user_info(claim)) {
            let presented = session.presented(&token);
            let claims = presented.claims().ok_or(Denial::IdentityUnavailable)?;
            let enrichment = self.enrich(attempt, presented.token(), &claims, &token)?;
            self.authorize_user(attempt, &enrichment, &endpoint.requires)?;
        }
        let max_bytes = self.limits.max_reply_bytes;
        self.read_body(head, Recipient::Revocations, sanitized, max_bytes)
    }

    /// Reads the body of a POST that the gateway itself answers.
    ///
    /// Unless the length is known, the host may announce a body and never deliver it (RFC
    /// 9110 section 15.5.12).
    pub(super) fn read_body(
        &mut self,
        head: &RequestHead,
        recipient: Recipient,
        sanitized: Sanitized,
        max_bytes: usize,
    ) -> Result<Verdict, Halt> {
        let unread = match head.content_length() {
            Some(bytes) if bytes <= max_bytes => {
                return Err(Halt::Receive(recipient, Box::new(sanitized), bytes));
            }
            Some(_) => Unread::TooLong,
            None => Unread::LengthMissing,
        };
        Ok(self.refuse_body(head, recipient, unread))
    }

    /// Answers a request whose body is not read.
    pub(super) fn refuse_body(
        &mut self,
        head: &RequestHead,
        recipient: Recipient,
        unread: Unread,
    ) -> Verdict {
        self.counters.ended(recipient.outcome());
        Verdict::Answer(self.unread(head, recipient, unread))
    }

    /// From now on records revocations made by requests, for other nodes.
    pub fn announce_revocations(&mut self) {
        self.revocations.announce();
    }

    /// The revocations made by requests, for other nodes.
    pub fn take_announcement(&mut self) -> Option<String> {
        self.revocations.take_announcement()
    }

    /// Applies what another node announced.
    pub fn apply_announcement(&mut self, text: &[u8], now: UnixTime) -> AnnouncementOutcome {
        match self.revocations.apply_announcement(text, self.store.as_deref(), now) {
            None => AnnouncementOutcome::Foreign,
            Some(Err(denial)) => {
                self.log.push(Event::AnnouncementNotApplied(denial));
                AnnouncementOutcome::Failed
            }
            Some(Ok(submitted)) => {
                let (by, trace) = (RevokedBy::Node, Trace::default());
                self.log.push(Event::Revoked { submitted, by, trace, request_id: None });
                AnnouncementOutcome::Applied
            }
        }
    }

    /// Processes the body.
    pub(super) fn submit_revocations(
        &mut self,
        submission: Submission,
        body: &[u8],
        now: UnixTime,
    ) -> Step {
        let Submission { request, head, mut trace, .. } = submission;
        let store = self.store.as_deref();
        match self.revocations.submit(body, store, now) {
            Ok(submitted) => {
                self.counters.ended(RequestOutcome::Revocation);
                let request_id = self.request_id(request, &head);
                self.log.push(Event::Revoked {
                    submitted,
                    by: RevokedBy::Endpoint,
                    trace: trace.clone(),
                    request_id,
                });
                self.answered(&head, LocalReply::unstored(204), trace)
            }
            Err(denial) => {
                trace.stage = Stage::Revocation;
                self.deny(Current { request, head: &head, now }, denial, trace)
            }
        }
    }
}
