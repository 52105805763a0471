//! A callout on its way from a gateway to the thread that sends it.

use std::sync::Arc;

use gatepass::callout::{CalloutReply, ReplyFields};
use gatepass::gateway::{CalloutId, Dispatch};
use gatepass::http::{Fields, Span};

use crate::abi::Config;

/// A callout that can move between threads. Its contents are secret.
pub(crate) struct Outgoing {
    pub(crate) id: CalloutId,
    /// Shared with identical callouts meanwhile.
    pub(crate) request: Arc<OutgoingRequest>,
    /// The header field that identical callouts do not share.
    pub(crate) request_id: Option<(String, String)>,
    /// Whether the reply serves those too.
    pub(crate) serves_all: bool,
}

/// Everything else that is sent, and which parts of the reply are read.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct OutgoingRequest {
    cluster: String,
    head: Vec<(String, String)>,
    body: Vec<u8>,
    pub(crate) timeout_milliseconds: u64,
    limits: ReplyLimits,
}

/// How the reply is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ReplyLimits {
    reads: ReplyFields,
    max_bytes: usize,
}

/// A reply as Envoy lends it.
pub(crate) struct Reply<'a> {
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
    pub(crate) body: Vec<&'a [u8]>,
}

impl Outgoing {
    pub(crate) fn new(dispatch: &Dispatch, max_bytes: usize) -> Self {
        let Dispatch { id, callout } = dispatch;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let request = OutgoingRequest {
            cluster: callout.service.upstream.clone(),
            head: callout.common_head().into_iter().map(owned).collect(),
            body: callout.body().to_vec(),
            timeout_milliseconds: u64::try_from(callout.service.timeout.as_millis())
                .unwrap_or_default(),
            limits: ReplyLimits { reads: callout.reads, max_bytes },
        };
        Self {
            id: *id,
            request: Arc::new(request),
            request_id: callout.request_id_field().map(owned),
            serves_all: callout.serves_all,
        }
    }

    /// Sends it; returns Envoy's number for it, or `None` if it was not sent.
    pub(crate) fn send(&self, config: &Config<'_>) -> Option<u64> {
        let OutgoingRequest { cluster, head, body, timeout_milliseconds, limits: _ } =
            &*self.request;
        let pairs = head.iter().chain(&self.request_id);
        let head: Vec<_> = pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        config.send(cluster, &head, body, *timeout_milliseconds)
    }
}

impl OutgoingRequest {
    /// The reply in the core's form.
    pub(crate) fn read(&self, reply: &Reply<'_>) -> CalloutReply {
        self.limits.read(reply)
    }
}

impl ReplyLimits {
    fn read(self, reply: &Reply<'_>) -> CalloutReply {
        let status = field(&reply.fields, b":status").next();
        let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let fields = match self.reads {
            ReplyFields::All => fields(&reply.fields),
            ReplyFields::These(names) => {
                let of = |name: &'static str| {
                    field(&reply.fields, name.as_bytes()).map(move |value| (name, value))
                };
                names.iter().copied().chain(["cache-control"]).flat_map(of).collect()
            }
        };
        // Only enough to show that it is too long.
        let mut body = Vec::new();
        for chunk in &reply.body {
            let room = self.max_bytes.saturating_add(1).saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        }
        CalloutReply::whole(status, fields, body, self.max_bytes)
    }
}

fn field<'a>(fields: &'a [(&'a [u8], &'a [u8])], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// In the core's form: all in one piece of memory.
pub(crate) fn fields(pairs: &[(&[u8], &[u8])]) -> Fields {
    let size = pairs.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
    let mut bytes = Vec::with_capacity(size);
    let mut append = |text: &[u8]| {
        let start = bytes.len();
        bytes.extend_from_slice(text);
        start..bytes.len()
    };
    let spans = pairs.iter().map(|(name, value)| Span::new(append(name), append(value))).collect();
    Fields::of(bytes, spans)
}
