//! Documents that the gateway itself publishes: its key set, and the metadata by which
//! clients discover the resources behind it.

use super::Pipeline;
use crate::denial::ResourceHint;
use crate::event::Trace;
use crate::http::{LocalReply, RequestHead};
use crate::identity::Published;
use crate::metrics::RequestOutcome;
use crate::rules::Rule;
use crate::time::UnixTime;
use crate::token::Scopes;

impl Pipeline {
    /// The reply to a request for one of the gateway's own documents. They are public: no
    /// rule, token or login applies.
    pub(super) fn publish(&mut self, head: &RequestHead, now: UnixTime) -> Option<LocalReply> {
        match self.minter.published(head.target().path, now) {
            Some(Published::Keys(document)) => {
                self.counters.ended(RequestOutcome::Jwks);
                return Some(document.reply(head));
            }
            // On the host of a resource, clients would take the gateway for its
            // authorization server.
            Some(Published::Discovery(document)) if !self.resources.denies_to_have(head) => {
                self.counters.ended(RequestOutcome::Metadata);
                return Some(document.reply(head));
            }
            _ => {}
        }
        let reply = self.resources.published(head)?;
        self.counters.ended(RequestOutcome::Metadata);
        Some(reply)
    }

    /// 404 for a document that a client may look for on the host of a resource and that
    /// does not exist, unless a rule covers its path.
    pub(super) fn deny_to_publish(
        &mut self,
        head: &RequestHead,
        rule: Option<&Rule>,
    ) -> Option<LocalReply> {
        if !self.resources.denies_to_have(head) || rule.is_some_and(Rule::is_for_well_known) {
            return None;
        }
        self.counters.ended(RequestOutcome::Metadata);
        let reply = LocalReply::new(404).with_header("cache-control", "public, max-age=300");
        Some(reply.with_header("access-control-allow-origin", "*"))
    }

    /// What a denial tells the client about the requested resource.
    pub(super) fn hint(&self, head: &RequestHead, trace: &Trace) -> Option<ResourceHint> {
        let resource = trace.resource.as_ref()?;
        let rule = trace.rule.and_then(|position| self.rules.get(position));
        let needed = self.rules.requirements(rule).scopes_needed(&Scopes::default());
        Some(ResourceHint {
            metadata_url: resource.metadata_url(head),
            scopes: if needed.is_empty() { resource.scopes.clone() } else { needed },
        })
    }
}
