//! Logout tokens and security events: the sender is authenticated by its signature. A
//! revocation is in force at every worker by the time it is answered.

use std::rc::Rc;

use serde_json::json;

use super::Pipeline;
use super::attempt::Attempt;
use super::decide::Halt;
use super::step::{Recipient, Unread};
use crate::bearer::Sanitized;
use crate::callout::CalloutReply;
use crate::denial::Denial;
use crate::event::{Event, RevokedBy, Stage};
use crate::http::LocalReply;
use crate::in_flight::{Outcome, Purpose};
use crate::json::Json;
use crate::keys::AlgorithmSet;
use crate::metrics::RequestOutcome;
use crate::refresh::KeySourceId;
use crate::revocation::Entry;
use crate::seen::Lifetime;
use crate::signals::{self, Forward, Received, SignalError, SignalKind, Signals, logout_token_of};
use crate::time::Span;
use crate::token::{Issuer, Rejection, Untrusted, check_signature};
use crate::verdict::Verdict;

/// How long a logout token is remembered: its sender retries within minutes, and a later
/// replay is harmless, since it only revokes what existed before it.
const REMEMBERED: Span = Span::from_secs(3600);

/// Why a signal was not accepted: its own fault, or bad timing.
enum Refused {
    Signal(SignalError),
    Halt(Halt),
}

impl<E: Into<SignalError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Signal(error.into())
    }
}

impl Pipeline {
    /// Handles a request to an endpoint for signals: reads its body, then applies it.
    pub(super) fn receive_signal(
        &mut self,
        attempt: &mut Attempt<'_>,
        sanitized: Sanitized,
        kind: SignalKind,
    ) -> Result<Verdict, Halt> {
        let signals = Rc::clone(&self.signals);
        let Some(body) = attempt.memory.body() else {
            if attempt.head.method() != b"POST" {
                return Ok(self.refuse_body(attempt.head, Recipient::Signal, Unread::Method));
            }
            // Without valid headers the body need not be read.
            if kind == SignalKind::Events
                && let Some(events) = &signals.events
                && let Err(error) = events.check_head(attempt.head)
            {
                return Ok(self.refuse_signal(attempt, kind, error));
            }
            let max_bytes = self.limits.max_reply_bytes.min(signals::MAX_BYTES);
            return self.read_body(attempt.head, Recipient::Signal, sanitized, max_bytes);
        };
        let received = match kind {
            SignalKind::Logout => self.receive_logout(attempt, &signals, &body),
            SignalKind::Events => self.receive_events(attempt, &signals, &body),
        };
        match received {
            Ok(()) => {
                self.counters.ended(RequestOutcome::Revocation);
                let status = if kind == SignalKind::Logout { 200 } else { 202 };
                Ok(Verdict::Answer(LocalReply::unstored(status)))
            }
            Err(Refused::Signal(error)) => Ok(self.refuse_signal(attempt, kind, error)),
            Err(Refused::Halt(Halt::Deny(denial))) => {
                let error = "temporarily_unavailable";
                let text = format!("{}: {denial}", denial.code());
                let (status, body) = match kind {
                    // OpenID Connect Back-Channel Logout section 2.8.
                    SignalKind::Logout => (400, json!({"error": error, "error_description": text})),
                    // RFC 8935 section 2.4: a general error has its own status.
                    SignalKind::Events => (503, json!({"err": error, "description": text})),
                };
                Ok(self.refuse_with(attempt, denial, status, body))
            }
            Err(Refused::Halt(halt)) => Err(halt),
        }
    }

    fn receive_logout(
        &mut self,
        attempt: &mut Attempt<'_>,
        signals: &Signals,
        body: &[u8],
    ) -> Result<(), Refused> {
        let now = attempt.now;
        attempt.trace.stage = Stage::Verify;
        let text = logout_token_of(attempt.head, body)?;
        let token =
            Untrusted::parse(&text, self.limits.max_token_bytes).map_err(Rejection::Unreadable)?;
        let (id, provider) = self.providers.issuer_of(&token)?;
        let receiver = signals.logouts.as_ref().and_then(|logouts| logouts.receiver(id));
        let unknown = || Rejection::unknown_issuer(token.unverified_claims());
        let receiver = receiver.ok_or_else(unknown)?;
        attempt.trace.provider = Some(Rc::clone(&provider));
        let (entries, jti) = receiver.check(&token, &provider, now)?;
        self.verify_signal(attempt, &token, id.into(), provider.algorithms, provider.issuers())?;
        // Other gateways of the proxy do not see the revocation, unless they have the
        // same ledger.
        let (ledger, issuer) = (self.revocations.ledger_id(), token.unverified_claims());
        let issuer = issuer.get("iss").and_then(Json::as_str).unwrap_or_default();
        let parts = [ledger.as_bytes(), issuer.as_bytes(), jti.as_bytes()];
        if self.logouts_seen.knows(&parts, self.store.as_deref()) {
            return Err(SignalError::Repeated.into());
        }
        attempt.trace.stage = Stage::Revocation;
        self.revoke_by(attempt, &entries, RevokedBy::Logout, signals)?;
        // Only once it is in force: a signal that could not be applied may be retried,
        // and so may one that could not be recorded.
        let lifetime = Lifetime::of(now.plus(REMEMBERED));
        let _ = self.logouts_seen.note(&parts, lifetime, self.store.as_deref(), now);
        self.counters.signal("logout");
        Ok(())
    }

    fn receive_events(
        &mut self,
        attempt: &mut Attempt<'_>,
        signals: &Signals,
        body: &[u8],
    ) -> Result<(), Refused> {
        let now = attempt.now;
        attempt.trace.stage = Stage::Verify;
        let events = signals.events.as_ref().ok_or(SignalError::Unauthenticated)?;
        let token = Untrusted::parse(body.trim_ascii(), signals::MAX_BYTES)
            .map_err(Rejection::Unreadable)?;
        let unknown = || Rejection::unknown_issuer(token.unverified_claims());
        let (position, transmitter) = events.transmitter(&token).ok_or_else(unknown)?;
        let provider = self.providers.get(transmitter.provider).cloned();
        let provider = provider.ok_or_else(unknown)?;
        attempt.trace.provider = Some(Rc::clone(&provider));
        let received = transmitter.check(&token, attempt.head, &provider, now)?;
        let keys = KeySourceId::Transmitter(position);
        self.verify_signal(attempt, &token, keys, transmitter.algorithms, None)?;
        let Received { entries, kinds, stream } = received;
        attempt.trace.stage = Stage::Revocation;
        let by =
            RevokedBy::Events { transmitter: transmitter.issuer.clone(), kinds: kinds.clone() };
        if !entries.is_empty() {
            self.revoke_by(attempt, &entries, by, signals)?;
        }
        if let Some(status) = stream {
            self.log.push(Event::StreamUpdated(transmitter.issuer.clone(), status));
        }
        kinds.into_iter().for_each(|kind| self.counters.signal(kind));
        Ok(())
    }

    /// Checks the signature, once there are keys.
    fn verify_signal(
        &mut self,
        attempt: &Attempt<'_>,
        token: &Untrusted<'_>,
        keys_of: KeySourceId,
        algorithms: AlgorithmSet,
        issuers: Option<&Issuer>,
    ) -> Result<(), Refused> {
        let Some(keys) = self.current_keys(keys_of, attempt.now) else {
            return Err(Refused::Halt(self.wait_for_keys(attempt, keys_of)));
        };
        check_signature(token, algorithms, issuers, &keys, &self.crypto).map_err(|rejection| {
            match self.wait_for_key(attempt, keys_of, token.key_id(), rejection) {
                Halt::Deny(Denial::Token(rejection)) => rejection.into(),
                halt => Refused::Halt(halt),
            }
        })
    }

    /// Applies entries here, then forwards them. The sender gets a success response only
    /// when both are done, and retries without one.
    fn revoke_by(
        &mut self,
        attempt: &Attempt<'_>,
        entries: &[Entry],
        by: RevokedBy,
        signals: &Signals,
    ) -> Result<(), Refused> {
        match attempt.outcome_for(&Purpose::Forward) {
            // It was applied before the request waited for this.
            Some(Outcome::Forwarded(true)) => return Ok(()),
            Some(_) => return Err(Refused::Halt(Denial::RevocationNotForwarded.into())),
            None => {}
        }
        let revoked = self.revocations.revoke(entries, self.store.as_deref(), attempt.now);
        let submitted = revoked.map_err(|denial| Refused::Halt(denial.into()))?;
        let request_id = self.request_id(attempt.request, attempt.head);
        let trace = attempt.trace.clone();
        self.log.push(Event::Revoked { submitted, by, trace, request_id });
        let Some(forward) = &signals.forward else { return Ok(()) };
        let (memory, make) = (&attempt.memory, || Some(forward.callout(entries)));
        let requested = self.callouts.request(Purpose::Forward, memory, None, attempt.now, make);
        Err(Refused::Halt(Halt::wait_or(requested, Denial::RevocationNotForwarded)))
    }

    /// Whether the service of the feed accepted what was forwarded.
    pub(super) fn complete_forward(&mut self, reply: &CalloutReply) -> bool {
        let forwarded = Forward::read(reply);
        if let (Err(error), Some(forward)) = (forwarded, &self.signals.forward) {
            self.log.push(Event::NotForwarded(forward.service.name.clone(), error));
        }
        forwarded.is_ok()
    }

    fn refuse_signal(
        &mut self,
        attempt: &Attempt<'_>,
        kind: SignalKind,
        error: SignalError,
    ) -> Verdict {
        let text = error.to_string();
        let body = match kind {
            SignalKind::Logout => json!({"error": "invalid_request", "error_description": text}),
            SignalKind::Events => json!({"err": error.of_delivery(), "description": text}),
        };
        self.refuse_with(attempt, error.into(), 400, body)
    }

    /// A denial in the form that the sender's protocol defines.
    fn refuse_with(
        &mut self,
        attempt: &Attempt<'_>,
        denial: Denial,
        status: u16,
        body: serde_json::Value,
    ) -> Verdict {
        self.counters.ended(RequestOutcome::Denied(denial.code()));
        let mut denied =
            self.denied_request(attempt.request, attempt.head, &denial, &attempt.trace);
        denied.status = status;
        self.log.push(Event::Denied(denied));
        let mut reply = LocalReply::unstored(status)
            .with_header("content-type", "application/json")
            .with_header("content-language", "en")
            .with_body(body.to_string().into_bytes());
        if status == 503 {
            reply = reply.with_header("retry-after", "1");
        }
        Verdict::Deny(denial, reply)
    }
}
