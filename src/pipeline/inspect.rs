//! What a request was decided by, for reports such as that of `gatepass explain`. The
//! choices are those of the pipeline itself, so that no report has to make them again.

use std::borrow::Cow;
use std::rc::Rc;

use super::Pipeline;
use super::attempt::{Attempt, Current};
use crate::event::Trace;
use crate::host::RequestId;
use crate::http::RequestHead;
use crate::in_flight::{CalloutId, CalloutPurpose, Purpose, RequestMemory};
use crate::refresh::KeySource;
use crate::resource::accepted_audiences;
use crate::rules::{Decision, Requirements};
use crate::time::UnixTime;
use crate::token::{ClaimPath, Provider, Providers, Untrusted};

impl Pipeline {
    /// The providers.
    pub const fn providers(&self) -> &Providers {
        &self.providers
    }

    /// The public token of a request that got as far as `trace` says, as it was sent. A
    /// signal is not sent with one.
    pub fn token_in<'a>(
        &self,
        request: RequestId,
        head: &'a RequestHead,
        trace: &Trace,
        now: UnixTime,
    ) -> Option<Cow<'a, [u8]>> {
        if self.signals.at(head.target().path).is_some() {
            return None;
        }
        let attempt = Attempt::new(Current { request, head, now }, RequestMemory::default());
        let attempt = Attempt { trace: trace.clone(), ..attempt };
        self.token_of(&attempt).ok().flatten()
    }

    /// The token itself, unsealed if it was sealed; `None` if it cannot be unsealed.
    pub fn unsealed<'a>(&self, token: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        self.open(token).ok()
    }

    /// The provider whose token it claims to be.
    pub fn provider_of(&self, token: &Untrusted<'_>) -> Option<Rc<Provider>> {
        self.providers.issuer_of(token).ok().map(|(_, provider)| provider)
    }

    /// The audiences of which a token must have one; `None` if it may have any.
    pub fn audiences_of<'a>(
        &self,
        trace: &'a Trace,
        provider: &'a Provider,
    ) -> Option<&'a [String]> {
        accepted_audiences(trace.resource.as_deref(), provider)
    }

    /// The requirements that the token of a request must meet, all of them: those of its
    /// rule, and of the rules that may apply while its MCP call is unknown.
    pub fn requirements_of(
        &self,
        request: RequestId,
        head: &RequestHead,
        trace: &Trace,
    ) -> Vec<&Requirements> {
        if let Some(endpoint) = self.revocation_endpoint(head) {
            return vec![&endpoint.requires];
        }
        let call = self.mcp_call(request, head);
        let rule = trace.rule.and_then(|position| Some((position, self.rules.get(position)?)));
        match self.rules.decision(head, &call, rule) {
            Decision::Bypass(_) => Vec::new(),
            Decision::Require(applicable) => applicable.all().collect(),
        }
    }

    /// What a callout in flight is for.
    pub fn purpose_of(&self, callout: CalloutId) -> Option<CalloutPurpose> {
        let name = |source| self.key_sources.name(source).to_owned();
        Some(match self.callouts.purpose(callout)? {
            Purpose::Keys(id) => {
                let source = self.key_sources.get(*id);
                let is_discovery = source.is_some_and(KeySource::is_discovering);
                let new =
                    if is_discovery { CalloutPurpose::Discovery } else { CalloutPurpose::Keys };
                new(name(*id))
            }
            Purpose::DuplicateKeys(id) => CalloutPurpose::Keys(name(*id)),
            Purpose::UserInfo(_) => CalloutPurpose::UserInfo,
            Purpose::Introspection(_) => CalloutPurpose::Introspection,
            Purpose::Tokens(list, _) => CalloutPurpose::Feed(*list),
            Purpose::Login(_) => CalloutPurpose::Login,
            Purpose::Consumer(_) => CalloutPurpose::HostConsumer,
            Purpose::Forward => CalloutPurpose::Forward,
        })
    }

    /// True if user info decides about a claim, whatever the token says.
    pub fn is_decided_by_user_info(&self, claim: &ClaimPath) -> bool {
        self.decided_by_user_info(claim)
    }
}
