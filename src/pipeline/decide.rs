//! The path of a request:
//!
//! ```text
//! sanitize -> match rule -> find token -> verify -> consumer -> authorize
//!         -> user info -> authorize -> mint -> forward
//! ```
//!
//! Each step may deny. Two may wait for a callout: verifying, for the issuer's keys, and
//! user info. A request that waited starts over with all the outcomes it waited for: the
//! earlier steps cost little the second time, and changes since (a token that expired, a
//! key that was withdrawn) are noticed.

use std::borrow::Cow;
use std::rc::Rc;

use super::Pipeline;
use super::attempt::{Attempt, Current};
use super::step::{Recipient, Step, Submission, Waiting};
use crate::access_log::AccessLogFields;
use crate::bearer::{Sanitized, add_name, refuse_repeated};
use crate::denial::Denial;
use crate::event::{DeniedRequest, Event, Stage, Trace};
use crate::host::RequestId;
use crate::http::{Field, Fields, LocalReply, RequestHead, log_word};
use crate::identity::Identity;
use crate::in_flight::{CalloutId, Dispatch, RequestMemory, Requested, TooManyCallouts};
use crate::metrics::RequestOutcome;
use crate::overrides::TemplateKey;
use crate::rules::{Anonymous, Applicable, Bypassed, Decision};
use crate::time::UnixTime;
use crate::token::Rejection;
use crate::verdict::{HeaderEdits, Verdict};

/// Why the pipeline stops at a step.
pub(super) enum Halt {
    Deny(Denial),
    Wait(Box<Dispatch>),
    Join(CalloutId),
    /// The gateway itself needs the body, of this length.
    Receive(Recipient, Box<Sanitized>, usize),
}

/// The credential that a request presents.
pub(super) enum Presented<'a> {
    /// A public token.
    Public(Cow<'a, [u8]>),
    /// A transaction token, from a peer that may present one.
    Transaction(&'a [u8]),
}

impl Halt {
    /// Waits for the requested callout. `unavailable`: the denial if there is none to wait
    /// for.
    pub(super) fn wait_or(
        requested: Result<Option<Requested>, TooManyCallouts>,
        unavailable: Denial,
    ) -> Self {
        match requested {
            Ok(Some(requested)) => requested.into(),
            Ok(None) => Self::Deny(unavailable),
            Err(TooManyCallouts) => Self::Deny(unavailable.of_overload()),
        }
    }
}

impl From<Requested> for Halt {
    fn from(requested: Requested) -> Self {
        match requested {
            Requested::Joined(callout) => Self::Join(callout),
            Requested::Opened(dispatch) => Self::Wait(Box::new(dispatch)),
        }
    }
}

impl From<Denial> for Halt {
    fn from(denial: Denial) -> Self {
        Self::Deny(denial)
    }
}

impl From<Rejection> for Halt {
    fn from(rejection: Rejection) -> Self {
        Self::Deny(Denial::Token(rejection))
    }
}

impl Pipeline {
    /// Runs the pipeline until it decides or must wait. `memory`: what earlier runs
    /// left for this one.
    pub(super) fn advance(
        &mut self,
        request: RequestId,
        head: RequestHead,
        memory: RequestMemory,
        now: UnixTime,
    ) -> Step {
        let mut attempt = Attempt::new(Current { request, head: &head, now }, memory);
        let decided = self.decide(&mut attempt);
        let Attempt { memory, trace, ends_with, .. } = attempt;
        let halt = match decided {
            Ok(verdict) => {
                let verdict = self.framed(&head, verdict);
                if let Some(session) = ends_with {
                    self.track_stream(request, session, head, &trace);
                }
                return self.end(verdict, trace);
            }
            Err(halt) => halt,
        };
        match halt {
            Halt::Deny(denial) => {
                self.deny_or_shadow(Current { request, head: &head, now }, denial, trace)
            }
            Halt::Wait(mut dispatch) => {
                self.attribute(&mut dispatch, request, &head);
                let callout = dispatch.id;
                Step::Wait(*dispatch, Waiting { request, callout, head, memory, trace })
            }
            Halt::Join(callout) => Step::Join(Waiting { request, callout, head, memory, trace }),
            Halt::Receive(recipient, sanitized, bytes) => {
                let sanitized = *sanitized;
                let submission = Submission {
                    request,
                    recipient,
                    head,
                    trace,
                    sanitized,
                    bytes,
                    received: None,
                };
                // No host delivers an empty body.
                match bytes {
                    0 => self.submit(submission, Some(Vec::new()), now),
                    _ => Step::Receive(submission),
                }
            }
        }
    }

    /// Ends a request that must not pass: with a denial, or in shadow mode by forwarding
    /// it without an identity, provided that it can be sanitized.
    #[inline(never)]
    fn deny_or_shadow(&mut self, current: Current<'_>, denial: Denial, trace: Trace) -> Step {
        let Current { request, head, .. } = current;
        if let Some(shadowed) = self.mode.shadowed()
            && !self.is_for_gateway(head)
            && let Ok(sanitized) =
                self.sanitize(request, head, self.forwards(&self.template(&trace)))
        {
            self.counters.ended(RequestOutcome::Shadow(denial.code()));
            let event = Event::WouldDeny(self.denied_request(request, head, &denial, &trace));
            self.log.push(event);
            let edits = HeaderEdits::shadowed(sanitized, shadowed, denial);
            return self.end(Verdict::Forward(edits), trace);
        }
        self.deny(current, denial, trace)
    }

    /// True if a request may be for a revocation endpoint, a signals endpoint or a login:
    /// only the gateway answers those.
    fn is_for_gateway(&self, head: &RequestHead) -> bool {
        self.revocation_endpoint(head).is_some()
            || self.signals.at(head.target().path).is_some()
            || self.may_be_login(head)
    }

    /// Ends a request with a denial.
    pub(super) fn deny(&mut self, current: Current<'_>, denial: Denial, trace: Trace) -> Step {
        let reply = self.reply_to(current, &denial, &trace);
        self.deny_with(current.request, current.head, denial, reply, trace)
    }

    /// Denies a request for what the host says of it, in shadow mode too; `head` is empty if
    /// it could not be read. No such denial asks for another proof.
    pub fn deny_unasked(
        &mut self,
        request: RequestId,
        head: &RequestHead,
        denial: Denial,
        trace: Trace,
    ) -> Step {
        let reply = self.reply_without_nonce(head, &denial, &trace);
        self.deny_with(request, head, denial, reply, trace)
    }

    fn deny_with(
        &mut self,
        request: RequestId,
        head: &RequestHead,
        denial: Denial,
        reply: LocalReply,
        trace: Trace,
    ) -> Step {
        self.counters.ended(RequestOutcome::Denied(denial.code()));
        let event = Event::Denied(self.denied_request(request, head, &denial, &trace));
        self.log.push(event);
        self.end(Verdict::Deny(denial, reply), trace)
    }

    pub(super) fn reply_to(
        &self,
        current: Current<'_>,
        denial: &Denial,
        trace: &Trace,
    ) -> LocalReply {
        let reply = self.reply_without_nonce(current.head, denial, trace);
        let is_challenge = denial.status(self.errors.format) == 401;
        match is_challenge.then(|| self.dpop_nonce(trace, current.now)).flatten() {
            Some(nonce) => reply.with_header("dpop-nonce", nonce),
            None => reply,
        }
    }

    fn reply_without_nonce(
        &self,
        head: &RequestHead,
        denial: &Denial,
        trace: &Trace,
    ) -> LocalReply {
        // For the way back from a login alone.
        let may_redirect = self.errors.login_redirect.is_some();
        let target = may_redirect.then(|| self.sources.target_without_token(head));
        let target = target.unwrap_or_default();
        let (errors, hint) = (&self.errors, self.hint(head, trace));
        denial.reply(head, &target, errors, self.host.frames_grpc_replies, hint.as_ref())
    }

    pub(super) fn denied_request(
        &self,
        request: RequestId,
        head: &RequestHead,
        denial: &Denial,
        trace: &Trace,
    ) -> DeniedRequest {
        DeniedRequest {
            code: denial.code(),
            detail: denial.to_string(),
            target: (log_text(head.method()), log_text(head.target().path)),
            status: denial.status(self.errors.format),
            trace: trace.clone(),
            request_id: self.request_id(request, head),
        }
    }

    /// Ends a request, with the fields for its access log.
    pub(super) fn end(&self, verdict: Verdict, mut trace: Trace) -> Step {
        if self.publishes {
            trace.access_log.code = verdict.denial().map(|denial| denial.code().name());
        } else {
            trace.access_log = AccessLogFields::EMPTY;
        }
        Step::Done(verdict, trace)
    }

    fn decide(&mut self, attempt: &mut Attempt<'_>) -> Result<Verdict, Halt> {
        let head = attempt.head;
        if !head.has_plain_method() {
            return Err(Denial::MethodAmbiguous.into());
        }
        if let Some(reply) = self.publish(head, attempt.now) {
            return Ok(Verdict::Answer(reply));
        }
        let sanitized = self.sanitize(attempt.request, head, self.sources.forward)?;
        if self.bypass_cors_preflight
            && let Some(bypassed) = Bypassed::preflight(head)
        {
            self.counters.ended(RequestOutcome::Bypassed);
            let announces = self.host.announces_bodies;
            return Ok(Verdict::Forward(HeaderEdits::preflight(sanitized, bypassed, announces)));
        }
        if let Some(endpoint) = self.revocation_endpoint(head).cloned() {
            return self.authorize_revocation(attempt, sanitized, &endpoint);
        }
        if let Some(kind) = self.signals.at(head.target().path) {
            return self.receive_signal(attempt, sanitized, kind);
        }
        attempt.trace.stage = Stage::Rule;
        if let Some(verdict) = self.log_in(attempt, &sanitized)? {
            return Ok(verdict);
        }
        let rules = Rc::clone(&self.rules);
        let call = attempt.memory.call(|| self.mcp_call(attempt.request, head));
        let rule = rules.find_call(head, &call)?;
        attempt.trace.rule = rule.map(|(position, _)| position);
        if let Some(reply) = self.deny_to_publish(head, rule.map(|(_, rule)| rule)) {
            return Ok(Verdict::Answer(reply));
        }
        attempt.trace.resource = self.resources.find(head)?.cloned();
        match rules.decision(head, &call, rule) {
            Decision::Bypass(bypassed) => {
                self.counters.ended(RequestOutcome::Bypassed);
                Ok(Verdict::Forward(HeaderEdits::bypassed(sanitized, bypassed)))
            }
            Decision::Require(applicable) => self.decide_by(attempt, sanitized, &applicable),
        }
    }

    /// Decides by the requirements that apply to the request.
    fn decide_by(
        &mut self,
        attempt: &mut Attempt<'_>,
        sanitized: Sanitized,
        applicable: &Applicable<'_>,
    ) -> Result<Verdict, Halt> {
        let template = self.template(&attempt.trace);
        let forward = self.forwards(&template);
        let head = attempt.head;
        let mut sanitized = if forward == self.sources.forward {
            sanitized
        } else {
            self.sanitize(attempt.request, head, forward)?
        };
        attempt.trace.stage = Stage::Token;
        let Some(presented) = self.presented(attempt)? else {
            let anonymous = applicable.anonymous().ok_or(Denial::TokenMissing)?;
            return Ok(self.forward_anonymous(sanitized, anonymous));
        };
        if forward {
            self.sanitize_ignored(attempt, &mut sanitized)?;
        }
        let denial = match self.identity_of(attempt, &presented, applicable, &template) {
            Ok(identity) => {
                self.counters.ended(RequestOutcome::Allowed);
                return Ok(Verdict::Forward(HeaderEdits::identified(sanitized, &identity)));
            }
            Err(Halt::Deny(denial)) => denial,
            Err(halt) => return Err(halt),
        };
        let Some(anonymous) = applicable.anonymous_despite(&denial) else {
            return Err(denial.into());
        };
        // The token was rejected: the log must not name its alleged holder.
        let (rule, resource) = (attempt.trace.rule, attempt.trace.resource.take());
        attempt.trace = Trace { rule, resource, ..Trace::default() };
        attempt.trace.stage = Stage::Token;
        Ok(self.forward_anonymous(sanitized, anonymous))
    }

    #[inline(never)]
    fn forward_anonymous(&mut self, sanitized: Sanitized, anonymous: &Anonymous) -> Verdict {
        self.counters.ended(RequestOutcome::Anonymous);
        Verdict::Forward(HeaderEdits::anonymous(sanitized, anonymous))
    }

    /// The identity of the token's holder.
    fn identity_of(
        &mut self,
        attempt: &mut Attempt<'_>,
        presented: &Presented<'_>,
        applicable: &Applicable<'_>,
        template: &TemplateKey,
    ) -> Result<Rc<Identity>, Halt> {
        let (session, token) = match presented {
            Presented::Public(token) => (self.authenticate(attempt, token)?, &**token),
            Presented::Transaction(token) => {
                (self.authenticate_transaction(attempt, token)?, *token)
            }
        };
        let identity = self.identify(attempt, &session, token, applicable, template)?;
        attempt.trace.access_log.txn = identity.txn();
        attempt.ends_with = self.ends_streams().then_some(session);
        Ok(identity)
    }

    /// The template of the identity for the service behind the request.
    fn template(&self, trace: &Trace) -> TemplateKey {
        let rule = trace.rule.and_then(|position| self.rules.get(position));
        TemplateKey {
            rule: rule.and_then(|rule| rule.identity.clone()),
            resource: trace.resource.as_ref().and_then(|resource| resource.identity.clone()),
        }
    }

    /// Whether the public token is forwarded to the service.
    fn forwards(&self, template: &TemplateKey) -> bool {
        let takes_its_header = || {
            let header = template.header(&self.minter.defaults);
            self.sources.may_carry_token(header.name.as_str().as_bytes())
        };
        template.forward().unwrap_or(self.sources.forward) && !takes_its_header()
    }

    /// Sanitizes the request. On a host that cannot remove a repeated header, such a
    /// request is refused.
    fn sanitize(
        &self,
        request: RequestId,
        head: &RequestHead,
        forward: bool,
    ) -> Result<Sanitized, Denial> {
        let mut sanitized = Sanitized::default();
        self.owned.sanitize(head, &mut sanitized)?;
        self.sanitize_certificates(request, head, &mut sanitized)?;
        if !forward {
            self.sources.sanitize(head, &mut sanitized)?;
        }
        if !self.host.removes_headers {
            refuse_repeated(head, &sanitized)?;
            self.owned.refuse_misspelled(&sanitized)?;
        }
        Ok(sanitized)
    }

    /// Of a token that is forwarded, the service sees none that nobody verified beside it.
    #[cold]
    #[inline(never)]
    fn sanitize_ignored(
        &self,
        attempt: &Attempt<'_>,
        sanitized: &mut Sanitized,
    ) -> Result<(), Denial> {
        let is_for_resource = attempt.trace.resource.is_some();
        self.sources.sanitize_ignored(attempt.head, is_for_resource, sanitized);
        if self.host.removes_headers { Ok(()) } else { refuse_repeated(attempt.head, sanitized) }
    }

    /// The names of trailers that must not reach the upstream and are to be removed:
    /// those the filter owns, those that may carry a token or a client certificate, those
    /// that rules test as headers. On a host that cannot remove them, a request with one of
    /// them is refused.
    pub fn sanitize_trailers(&self, trailers: &Fields) -> Result<Vec<String>, Denial> {
        let logins = self.sealed_tokens.as_ref().map(|sealed| sealed.logins.rules());
        let is_tested = |name: &[u8]| {
            [Some(&*self.rules), logins]
                .into_iter()
                .flatten()
                .any(|rules| rules.depends_on_header(name))
        };
        let mut unwanted = Vec::new();
        for Field { name, .. } in trailers.iter() {
            let is_ours = self.owned.forbids_trailer(name)
                || self.sources.may_carry_token(name)
                || self.bindings.forwarded().any(|(header, _)| header.is_spelled(name));
            if is_ours || name.starts_with(b":") || is_tested(name) {
                add_name(&mut unwanted, name)?;
            }
        }
        match unwanted.first() {
            Some(name) if !self.host.removes_headers => {
                Err(Denial::TrailerForbidden(name.to_ascii_lowercase()))
            }
            _ => Ok(unwanted),
        }
    }
}

/// A client-supplied value as one word of a log line, made of as much as may show in one.
fn log_text(bytes: &[u8]) -> String {
    const ENOUGH: usize = 8192;
    let bytes = bytes.get(..ENOUGH).unwrap_or(bytes);
    log_word(&String::from_utf8_lossy(bytes))
}
