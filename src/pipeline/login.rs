//! Sealed tokens: sealing them at login, unsealing them in later requests.

use std::borrow::Cow;

use super::Pipeline;
use super::attempt::{Attempt, Current};
use super::decide::Halt;
use super::step::{Recipient, Step, Submission, Waiting};
use crate::bearer::Sanitized;
use crate::callout::CalloutReply;
use crate::denial::Denial;
use crate::event::Event;
use crate::http::{LocalReply, PathAmbiguity, RequestHead};
use crate::in_flight::{Dispatch, Outcome, Purpose, RequestMemory, Requested, TooManyCallouts};
use crate::metrics::RequestOutcome;
use crate::sealing::{Client, Login, LoginError, Logins, SealedReply, is_sealed};
use crate::time::UnixTime;
use crate::token::{Rejection, TokenError};
use crate::verdict::Verdict;

impl Pipeline {
    /// True if this gateway may have sealed the token.
    pub(super) fn is_sealed(&self, token: &[u8]) -> bool {
        self.sealed_tokens.is_some() && is_sealed(token)
    }

    /// The token itself, unsealed if it was sealed.
    pub(super) fn open<'a>(&self, token: &'a [u8]) -> Result<Cow<'a, [u8]>, Denial> {
        let Some(sealed_tokens) = self.sealed_tokens.as_ref().filter(|_| is_sealed(token)) else {
            return Ok(Cow::Borrowed(token));
        };
        let limit = self.limits.max_token_bytes;
        if token.len() > limit {
            return Err(Denial::Token(Rejection::Unreadable(TokenError::TooLarge { limit })));
        }
        let opened = sealed_tokens.keys.open(token);
        opened.map(Cow::Owned).map_err(|_| Denial::TokenUnsealable)
    }

    /// True if a request is for a login, or an upstream could take it for one.
    pub(super) fn may_be_login(&self, head: &RequestHead) -> bool {
        let Some(sealed_tokens) = &self.sealed_tokens else { return false };
        let logins = &sealed_tokens.logins;
        let is_doubtful = !logins.is_empty() && !head.has_plain_method();
        is_doubtful || !matches!(logins.find(head), Ok(None))
    }

    /// Handles a request to a login route: the gateway sends it to the login service
    /// itself, since only the gateway may see the token. `None` if it is not a login.
    pub(super) fn log_in(
        &mut self,
        attempt: &Attempt<'_>,
        sanitized: &Sanitized,
    ) -> Result<Option<Verdict>, Halt> {
        if self.sealed_tokens.is_none() {
            return Ok(None);
        }
        self.log_in_sealed(attempt, sanitized)
    }

    #[inline(never)]
    fn log_in_sealed(
        &mut self,
        attempt: &Attempt<'_>,
        sanitized: &Sanitized,
    ) -> Result<Option<Verdict>, Halt> {
        let head = attempt.head;
        let Some(sealed_tokens) = self.sealed_tokens.clone() else { return Ok(None) };
        let Some((position, login)) = sealed_tokens.logins.find(head)? else { return Ok(None) };
        if let Some(Outcome::Login(reply)) = attempt.outcome_for(&Purpose::Login(position)) {
            let reply = reply.clone().ok_or(Denial::LoginUnavailable)?;
            self.counters.ended(RequestOutcome::Login);
            return Ok(Some(Verdict::Answer(reply)));
        }
        match Login::body_length(head) {
            Ok(bytes) if bytes > self.limits.max_login_bytes => {
                Ok(Some(self.refuse_login(&LoginError::TooLarge)?))
            }
            Ok(0) => {
                match self.call_login_service(position, login, attempt.current(), sanitized, None) {
                    Ok(dispatch) => Err(Halt::Wait(Box::new(dispatch))),
                    Err(error) => Ok(Some(self.refuse_login(&error)?)),
                }
            }
            Ok(bytes) => {
                let sanitized = Box::new(sanitized.clone());
                Err(Halt::Receive(Recipient::Login(position), sanitized, bytes))
            }
            Err(error) => Ok(Some(self.refuse_login(&error)?)),
        }
    }

    /// Continues a login whose body has arrived.
    pub(crate) fn submit_login(
        &mut self,
        position: usize,
        submission: Submission,
        body: Vec<u8>,
        now: UnixTime,
    ) -> Step {
        let Submission { request, head, sanitized, trace, .. } = submission;
        let current = Current { request, head: &head, now };
        let sealed_tokens = self.sealed_tokens.clone();
        let login = sealed_tokens.as_ref().and_then(|sealed| sealed.logins.get(position));
        let Some(login) = login else {
            return self.deny(current, Denial::LoginUnavailable, trace);
        };
        match self.call_login_service(position, login, current, &sanitized, Some(body)) {
            Ok(mut dispatch) => {
                self.attribute(&mut dispatch, request, &head);
                let callout = dispatch.id;
                let memory = RequestMemory::default();
                Step::Wait(dispatch, Waiting { request, callout, head, memory, trace })
            }
            Err(error) => match self.refuse_login(&error) {
                Ok(verdict) => Step::Done(self.framed(&head, verdict), trace),
                Err(denial) => self.deny(current, denial, trace),
            },
        }
    }

    /// The request to the login service.
    fn call_login_service(
        &mut self,
        position: usize,
        login: &Login,
        current: Current<'_>,
        sanitized: &Sanitized,
        body: Option<Vec<u8>>,
    ) -> Result<Dispatch, LoginError> {
        let Current { request, head, now } = current;
        let client = match self.host.writes_forwarded {
            true => Client::AsForwarded,
            false => Client::At(self.client_address(request)),
        };
        let callout = login.callout(head, sanitized, body, client)?;
        let (purpose, memory) = (Purpose::Login(position), RequestMemory::default());
        match self.callouts.request(purpose, &memory, None, now, || Some(callout)) {
            Ok(Some(Requested::Opened(dispatch))) => Ok(dispatch),
            Ok(_) | Err(TooManyCallouts) => Err(LoginError::TooMany),
        }
    }

    /// Builds the reply to the client of a login. Nothing of the service's reply is
    /// passed on if it could still contain a token.
    pub(crate) fn complete_login(
        &mut self,
        position: usize,
        reply: &CalloutReply,
        now: UnixTime,
    ) -> Option<LocalReply> {
        let sealed_tokens = self.sealed_tokens.clone()?;
        let login = sealed_tokens.logins.get(position)?;
        let seal = SealedReply {
            keys: &sealed_tokens.keys,
            random: &self.nonce(now),
            max_token_bytes: self.limits.max_token_bytes,
            repeats_fields: self.host.repeats_reply_fields,
        };
        match seal.read(login, reply) {
            Ok(reply) => Some(reply),
            Err(failure) => {
                self.log.push(Event::LoginFailed(login.service.name.clone(), failure));
                None
            }
        }
    }

    fn refuse_login(&mut self, error: &LoginError) -> Result<Verdict, Denial> {
        let reply = match error {
            LoginError::Method => LocalReply::unstored(405).with_header("allow", Logins::methods()),
            LoginError::LengthMissing => LocalReply::unstored(411),
            LoginError::TooLarge => LocalReply::unstored(413),
            LoginError::TooMany => return Err(Denial::LoginUnavailable.of_overload()),
            LoginError::Path => return Err(Denial::PathAmbiguous(PathAmbiguity::Unescaped)),
        };
        self.counters.ended(RequestOutcome::Login);
        Ok(Verdict::Answer(reply))
    }
}
