//! Requests to the gateway's own endpoints whose body is not read: the response has the
//! error format of its endpoint.

use serde_json::json;

use super::Pipeline;
use super::step::{Recipient, Unread};
use crate::denial::ErrorFormat;
use crate::http::{LocalReply, RequestHead};
use crate::signals::SignalKind;

impl Pipeline {
    /// The response to a request whose body is not read.
    pub(super) fn unread(
        &self,
        head: &RequestHead,
        recipient: Recipient,
        unread: Unread,
    ) -> LocalReply {
        let (status, text) = (unread.status(), unread.text());
        let mut reply = LocalReply::unstored(status);
        if unread == Unread::Method {
            reply = reply.with_header("allow", "POST");
        }
        let signal = || self.signals.at(head.target().path);
        let (media_type, body) = match recipient {
            Recipient::Login(_) => return reply,
            Recipient::Signal => match signal() {
                Some(SignalKind::Events) => {
                    ("application/json", json!({"err": "invalid_request", "description": text}))
                }
                Some(SignalKind::Logout) | None => (
                    "application/json",
                    json!({"error": "invalid_request", "error_description": text}),
                ),
            },
            Recipient::Revocations => match self.errors.format {
                ErrorFormat::Problem => (
                    "application/problem+json",
                    json!({
                        "code": "entries_invalid",
                        "detail": text,
                        "status": status,
                        "title": "The entries cannot be read",
                    }),
                ),
                ErrorFormat::Kong => ("application/json; charset=utf-8", json!({"message": text})),
            },
        };
        reply.with_header("content-type", media_type).with_body(body.to_string().into_bytes())
    }
}
