//! Callouts to services, and the replies that the options of a command give.

use gatepass::callout::{Answer, Callout, CalloutFailure, CalloutReply};
use serde_json::{Value, json};

use crate::arguments::Replies;
use crate::failure::Failure;
use crate::system;

/// The purpose of a callout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The keys of a provider.
    Keys(String),
    /// Where a provider has its keys.
    Discovery(String),
    /// The user.
    UserInfo,
    /// A reference token.
    Introspection,
    /// The tokens that are revoked.
    RevocationFeed,
    /// The tokens that may pass.
    Allowlist,
}

impl Kind {
    /// The purpose in words.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Keys(_) => "keys",
            Self::Discovery(_) => "discovery",
            Self::UserInfo => "user info",
            Self::Introspection => "introspection",
            Self::RevocationFeed => "revocation feed",
            Self::Allowlist => "allowlist",
        }
    }

    /// The option that gives the reply.
    pub const fn option(&self) -> &'static str {
        match self {
            Self::Keys(_) => "--jwks",
            Self::Discovery(_) => "--discovery",
            Self::UserInfo => "--user-info",
            Self::Introspection => "--introspection",
            Self::RevocationFeed => "--revocation-feed",
            Self::Allowlist => "--allowlist",
        }
    }

    /// The purpose of a callout of the gateway with this configuration.
    pub fn of(callout: &Callout, configuration: &Value) -> Option<Self> {
        if callout.body.is_some() {
            return Some(Self::Introspection);
        }
        let is_asked = |endpoint: Option<&Value>, service: &str, usual: Option<&str>| {
            let text = |name: &str| endpoint?.get(name)?.as_str();
            let path = text("path").or(usual);
            // The feed's cursor is in the query.
            let asked = callout.path.split('?').next();
            text(service) == Some(&callout.service.name)
                && path.is_some_and(|path| path == callout.path || Some(path) == asked)
        };
        let revocation = configuration.get("revocation");
        for (name, kind) in [("feed", Self::RevocationFeed), ("allowlist", Self::Allowlist)] {
            if is_asked(revocation.and_then(|it| it.get(name)), "service", None) {
                return Some(kind);
            }
        }
        let providers = || configuration.get("providers").and_then(Value::as_object);
        for (name, provider) in providers().into_iter().flatten() {
            if is_asked(provider.get("remote_jwks"), "service", None) {
                return Some(Self::Keys(name.clone()));
            }
            let usual = Some("/.well-known/openid-configuration");
            if is_asked(provider.get("discovery"), "service", usual) {
                return Some(Self::Discovery(name.clone()));
            }
        }
        let user_info = configuration.get("user_info");
        let text = |name: &str| user_info.and_then(|it| it.get(name)).and_then(Value::as_str);
        let fixed = text("path").and_then(|path| path.split('{').next());
        if text("service") == Some(&callout.service.name)
            && fixed.is_some_and(|fixed| callout.path.starts_with(fixed))
        {
            return Some(Self::UserInfo);
        }
        // Where a discovery document leads.
        let leads_here = |provider: &Value| {
            let discovery = provider.get("discovery")?;
            let service = discovery.get("jwks_service").or_else(|| discovery.get("service"))?;
            (service.as_str()? == callout.service.name).then_some(())
        };
        let mut providers = providers().into_iter().flatten();
        let found = providers.find(|(_, provider)| leads_here(provider).is_some());
        found.map(|(name, _)| Self::Keys(name.clone()))
    }
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
    pub fn to(&self, kind: &Kind, configuration: &Value) -> Result<Option<Given>, Failure> {
        let text = match kind {
            Kind::Keys(provider) => {
                let own = format!("{provider}=");
                let own = self.jwks.iter().find_map(|text| text.strip_prefix(&own));
                let is_for_all = |text: &&String| !is_for_one(text, configuration);
                own.or_else(|| self.jwks.iter().find(is_for_all).map(String::as_str))
            }
            Kind::Discovery(_) => self.discovery.as_deref(),
            Kind::UserInfo => self.user_info.as_deref(),
            Kind::Introspection => self.introspection.as_deref(),
            Kind::RevocationFeed => self.revocation_feed.as_deref(),
            Kind::Allowlist => self.allowlist.as_deref(),
        };
        if let Some(text) = text {
            let from = format!("{} {text}", kind.option());
            return Ok(Some(Given { reply: reply(text)?, from }));
        }
        Ok(match kind {
            Kind::RevocationFeed => Some(Given {
                reply: ok(json!({ "cursor": "", "entries": [] }).to_string()),
                from: "assumed: nothing is revoked".to_owned(),
            }),
            Kind::Discovery(provider) => {
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
