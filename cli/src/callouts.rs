//! Callouts to services, and the replies that the options of a command give.

use gatepass::callout::{Answer, CalloutFailure, CalloutReply};
use gatepass::pipeline::CalloutPurpose;
use gatepass::revocation::ListId;
use serde_json::{Value, json};

use crate::arguments::Replies;
use crate::failure::Failure;
use crate::system;

/// The purpose of a callout in words.
pub const fn name(purpose: &CalloutPurpose) -> &'static str {
    match purpose {
        CalloutPurpose::Keys(_) => "keys",
        CalloutPurpose::Discovery(_) => "discovery",
        CalloutPurpose::UserInfo => "user info",
        CalloutPurpose::Introspection => "introspection",
        CalloutPurpose::Feed(ListId::Revoked) => "revocation feed",
        CalloutPurpose::Feed(ListId::Allowed) => "allowlist",
        CalloutPurpose::Login => "login",
        CalloutPurpose::HostConsumer => "Kong's consumer",
        CalloutPurpose::Forward => "forwarding of revocations",
    }
}

/// The option that gives the reply; `None` if none does.
pub const fn option(purpose: &CalloutPurpose) -> Option<&'static str> {
    Some(match purpose {
        CalloutPurpose::Keys(_) => "--jwks",
        CalloutPurpose::Discovery(_) => "--discovery",
        CalloutPurpose::UserInfo => "--user-info",
        CalloutPurpose::Introspection => "--introspection",
        CalloutPurpose::Feed(ListId::Revoked) => "--revocation-feed",
        CalloutPurpose::Feed(ListId::Allowed) => "--allowlist",
        CalloutPurpose::HostConsumer => "--kong-consumer",
        CalloutPurpose::Login | CalloutPurpose::Forward => return None,
    })
}

/// A reply, and where it is from.
pub struct Given {
    /// The reply.
    pub reply: CalloutReply,
    /// `--jwks keys.json`, or that it is assumed.
    pub from: String,
}

impl Replies {
    /// The reply to a callout; `None` if no option gives it.
    pub fn to(
        &self,
        purpose: &CalloutPurpose,
        configuration: &Value,
    ) -> Result<Option<Given>, Failure> {
        let text = match purpose {
            CalloutPurpose::Keys(provider) => {
                let own = format!("{provider}=");
                let own = self.jwks.iter().find_map(|text| text.strip_prefix(&own));
                let is_for_all = |text: &&String| !is_for_one(text, configuration);
                own.or_else(|| self.jwks.iter().find(is_for_all).map(String::as_str))
            }
            CalloutPurpose::Discovery(_) => self.discovery.as_deref(),
            CalloutPurpose::UserInfo => self.user_info.as_deref(),
            CalloutPurpose::Introspection => self.introspection.as_deref(),
            CalloutPurpose::Feed(ListId::Revoked) => self.revocation_feed.as_deref(),
            CalloutPurpose::Feed(ListId::Allowed) => self.allowlist.as_deref(),
            CalloutPurpose::HostConsumer => self.kong_consumer.as_deref(),
            CalloutPurpose::Login | CalloutPurpose::Forward => None,
        };
        if let Some(text) = text {
            let from = format!("{} {text}", option(purpose).unwrap_or_default());
            return Ok(Some(Given { reply: reply(text)?, from }));
        }
        Ok(match purpose {
            CalloutPurpose::Feed(ListId::Revoked) => Some(Given {
                reply: ok(json!({ "cursor": "", "entries": [] }).to_string()),
                from: "assumed: nothing is revoked".to_owned(),
            }),
            CalloutPurpose::Discovery(provider) => {
                let issuer = configuration.pointer("/providers").and_then(|it| it.get(provider));
                let issuer = issuer.and_then(|provider| provider.get("issuer"));
                let document = json!({ "issuer": issuer, "jwks_uri": "https://issuer/jwks" });
                Some(Given {
                    reply: ok(document.to_string()),
                    from: "assumed: leads to the keys".to_owned(),
                })
            }
            _ => None,
        })
    }
}

/// True if a reply with keys is for one provider: it begins with its name.
fn is_for_one(text: &str, configuration: &Value) -> bool {
    let name = text.split_once('=').map(|(name, _)| name);
    let providers = configuration.get("providers").and_then(Value::as_object);
    name.is_some_and(|name| providers.is_some_and(|providers| providers.contains_key(name)))
}

/// A reply by its option: a status, `failed`, or a file.
fn reply(text: &str) -> Result<CalloutReply, Failure> {
    if text == "failed" {
        return Ok(CalloutReply::Failed(CalloutFailure::NoReply));
    }
    if let Some(status) = text.parse().ok().filter(|status| (100..=599).contains(status)) {
        let answer = Answer {
            status,
            cache_control: None,
            fields: gatepass::http::Fields::default(),
            body: Vec::new(),
        };
        return Ok(CalloutReply::Answer(answer));
    }
    Ok(ok(system::read(text)?))
}

fn ok(body: String) -> CalloutReply {
    CalloutReply::Answer(Answer {
        status: 200,
        cache_control: None,
        fields: gatepass::http::Fields::default(),
        body: body.into_bytes(),
    })
}
