//! Issuers of tokens, as other gateways have them, and the providers they become.
//!
//! Rules know tokens by their provider, and there is one provider for each issuer. What
//! a source has several of for one issuer, differing in audiences only, is one provider
//! with all of them; the rules then say which audience they mean.

use std::collections::{BTreeMap, BTreeSet};

use gatepass::keys::{KeySet, Origin};
use serde_json::{Map, Value, json};

use super::Notes;
use super::need::{Access, Audiences, Need};
use super::url::Url;

/// An issuer as the source has it.
pub(super) struct Issuer {
    pub(super) name: String,
    /// `provider shop`.
    pub(super) place: String,
    pub(super) issuer: Option<String>,
    /// `None` if any will do.
    pub(super) audiences: Audiences,
    /// An error says why there are none that could be carried over.
    pub(super) keys: Result<Keys, String>,
    /// Further fields of the provider.
    pub(super) options: Map<String, Value>,
}

/// Where keys are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Keys {
    /// At a URL.
    Fetched {
        /// The host's name for the service, if the source says it.
        upstream: Option<String>,
        url: Url,
        timeout_ms: Option<u64>,
        cache_seconds: Option<u64>,
    },
    /// Where the issuer's document says.
    Discovered {
        /// The URL of the document.
        url: Url,
    },
    /// In the file.
    Local(Value),
}

/// The name of a service's upstream on the host, where the source has none.
pub(super) type Upstream = fn(&Url) -> String;

/// All issuers of a source.
pub(super) struct Issuers {
    upstream: Upstream,
    services: Map<String, Value>,
    providers: Vec<Provider>,
    /// By the source's names: the provider, and its audiences there.
    names: BTreeMap<String, (String, Audiences)>,
}

struct Provider {
    name: String,
    issuer: String,
    audiences: Audiences,
    keys: Keys,
    options: Map<String, Value>,
}

impl Issuers {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self { upstream, services: Map::new(), providers: Vec::new(), names: BTreeMap::new() }
    }

    /// Adds one. One that cannot be carried over is left out, and none of its tokens pass.
    pub(super) fn add(&mut self, source: Issuer, notes: &mut Notes) {
        let Issuer { name, place, issuer, audiences, keys, options } = source;
        let mut leave_out = |why: &str| {
            notes.add(&place, format_args!("is left out, with all its tokens: {why}"));
        };
        let issuer = match issuer {
            Some(issuer) if issuer.contains(['{', '}']) => {
                return leave_out("braces in its issuer would stand for claims");
            }
            Some(issuer) if !issuer.is_empty() => issuer,
            _ => {
                return leave_out(
                    "it has no issuer, and only tokens of known issuers are accepted: write the iss \
                     of its tokens there",
                );
            }
        };
        let keys = match keys.and_then(checked) {
            Ok(keys) => keys,
            Err(why) => return leave_out(&why),
        };
        match self.providers.iter_mut().find(|it| it.issuer == issuer) {
            Some(known) if known.keys == keys && known.options == options => {
                known.audiences = either(&known.audiences, &audiences);
                self.names.insert(name, (known.name.clone(), audiences));
            }
            Some(known) => leave_out(&format!(
                "{} has the same issuer, with other keys or options",
                known.name
            )),
            None => {
                let own = self.free_name(&name);
                self.names.insert(name, (own.clone(), audiences.clone()));
                self.providers.push(Provider { name: own, issuer, audiences, keys, options });
            }
        }
    }

    fn free_name(&self, name: &str) -> String {
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
            .collect();
        let plain = if plain.is_empty() { "issuer".to_owned() } else { plain };
        let mut free = plain.clone();
        for number in 2_u32.. {
            if self.providers.iter().all(|it| it.name != free) {
                break;
            }
            free = format!("{plain}-{number}");
        }
        free
    }

    pub(super) fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// The names of the providers.
    pub(super) fn provider_names(&self) -> Vec<&str> {
        self.providers.iter().map(|it| it.name.as_str()).collect()
    }

    /// A name for a source that has none, from what it is about.
    pub(super) fn unused(&self, name: &str) -> String {
        let mut free = name.to_owned();
        for number in 2_u32.. {
            if !self.names.contains_key(&free) {
                break;
            }
            free = format!("{name}-{number}");
        }
        free
    }

    /// The name that the source gave to the provider of this issuer.
    pub(super) fn named_for(&self, issuer: &str) -> Option<&str> {
        let provider = self.providers.iter().find(|it| it.issuer == issuer)?;
        let found = self.names.iter().find(|(_, (name, _))| *name == provider.name);
        found.map(|(name, _)| name.as_str())
    }

    /// All that there are.
    pub(super) fn issuers(&self) -> std::vec::IntoIter<String> {
        let issuers: Vec<_> = self.providers.iter().map(|it| it.issuer.clone()).collect();
        issuers.into_iter()
    }

    /// A token of the one that the source calls so, for these audiences instead of its own.
    pub(super) fn token_of(&mut self, name: &str, instead: Audiences) -> Need {
        let Some((provider, own)) = self.names.get(name) else { return Need::Nobody };
        let audiences = if instead.is_some() { instead } else { own.clone() };
        if let Some(known) = self.providers.iter_mut().find(|it| it.name == *provider) {
            known.audiences = either(&known.audiences, &audiences);
        }
        let tokens = BTreeMap::from([(provider.clone(), audiences)]);
        Need::of(Access { tokens: Some(tokens), ..Access::default() })
    }

    /// A token of any of them.
    pub(super) fn any_token(&self) -> Access {
        let mut tokens: BTreeMap<String, Audiences> = BTreeMap::new();
        for (provider, audiences) in self.names.values() {
            let both = match tokens.get(provider) {
                Some(known) => either(known, audiences),
                None => audiences.clone(),
            };
            tokens.insert(provider.clone(), both);
        }
        Access { tokens: Some(tokens), ..Access::default() }
    }

    /// What is asked without what holds anyway. A rule has one list of audiences for all of
    /// its providers: where that would let other tokens pass, fewer pass.
    pub(super) fn simplified(&self, need: Need, place: &str, notes: &mut Notes) -> Need {
        let Need::Token(mut access) = need else { return need };
        let Some(tokens) = access.tokens.take() else { return Need::Token(access) };
        let accepted = |name: &str| {
            let provider = self.providers.iter().find(|it| it.name == name);
            provider.and_then(|it| it.audiences.as_ref())
        };
        let is_full = |(name, own): &(&String, &Audiences)| own.as_ref() == accepted(name);
        let all: BTreeSet<String> = tokens.values().flatten().flatten().cloned().collect();
        // A token has several audiences: one for its provider and another for the rule are
        // not the one that is meant, unless every one of the rule's is.
        let is_meant = |it: &(&String, &Audiences)| {
            is_full(it) || it.1.as_ref().is_some_and(|own| all.is_subset(own))
        };
        let owned = |(name, own): (&String, &Audiences)| (name.clone(), own.clone());
        let mut kept: BTreeMap<_, _> = tokens.iter().filter(is_meant).map(owned).collect();
        if kept.is_empty() {
            kept.extend(tokens.first_key_value().map(owned));
        }
        if !kept.iter().all(|it| is_full(&it)) {
            let all: BTreeSet<_> = kept.values().flatten().flatten().cloned().collect();
            kept.values_mut().for_each(|own| *own = Some(all.clone()));
        } else {
            kept.values_mut().for_each(|own| *own = None);
        }
        let is_narrower = |(name, own): &(&String, &Audiences)| match kept.get(*name) {
            None => true,
            Some(kept) => own.is_none() && kept.is_some(),
        };
        let fewer = tokens.iter().filter(is_narrower).map(|(name, _)| name.as_str());
        let fewer: Vec<_> = fewer.collect();
        if !fewer.is_empty() {
            let text =
                "one rule cannot require other audiences of each provider: fewer tokens pass of";
            notes.add(place, format_args!("{text} {}", fewer.join(", ")));
        }
        let is_any = kept.len() == self.providers.len() && kept.values().all(Option::is_none);
        access.tokens = (!is_any).then_some(kept);
        Need::Token(access)
    }

    /// `services` and `providers`.
    pub(super) fn finish(mut self) -> (Value, Value) {
        let mut providers = Map::new();
        for provider in std::mem::take(&mut self.providers) {
            let mut fields = Map::from_iter([("issuer".to_owned(), json!(provider.issuer))]);
            match &provider.audiences {
                Some(audiences) => fields.insert("audiences".to_owned(), json!(audiences)),
                None => fields.insert("allow_any_audience".to_owned(), json!(true)),
            };
            fields.extend(provider.options);
            match provider.keys {
                Keys::Local(keys) => drop(fields.insert("local_jwks".to_owned(), keys)),
                Keys::Discovered { url } => {
                    let path = url.path.clone();
                    let service = self.service(None, &url, None);
                    let discovery = json!({ "service": service, "path": path });
                    fields.insert("discovery".to_owned(), discovery);
                }
                Keys::Fetched { upstream, url, timeout_ms, cache_seconds } => {
                    let path = url.path.clone();
                    let service = self.service(upstream, &url, timeout_ms);
                    let mut remote = json!({ "service": service, "path": path });
                    if let (Some(seconds), Value::Object(remote)) = (cache_seconds, &mut remote) {
                        remote.insert("cache_seconds".to_owned(), seconds.into());
                    }
                    fields.insert("remote_jwks".to_owned(), remote);
                }
            }
            providers.insert(provider.name, Value::Object(fields));
        }
        (Value::Object(self.services), Value::Object(providers))
    }

    /// The name of the service at a URL, made if there is none yet.
    fn service(&mut self, upstream: Option<String>, url: &Url, timeout_ms: Option<u64>) -> String {
        let upstream = upstream.unwrap_or_else(|| (self.upstream)(url));
        let mut service = json!({
            "upstream": upstream, "authority": url.authority, "scheme": url.scheme,
        });
        if let (Some(timeout), Value::Object(service)) = (timeout_ms, &mut service) {
            service.insert("timeout_ms".to_owned(), timeout.clamp(1, 60_000).into());
        }
        if let Some((name, _)) = self.services.iter().find(|(_, known)| **known == service) {
            return name.clone();
        }
        let plain: String =
            url.host().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let plain = plain.trim_matches('-').to_owned();
        let mut name = plain.clone();
        for number in 2_u32.. {
            if !self.services.contains_key(&name) {
                break;
            }
            name = format!("{plain}-{number}");
        }
        self.services.insert(name.clone(), service);
        name
    }
}

/// Tokens for one or the other.
fn either(one: &Audiences, two: &Audiences) -> Audiences {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.union(two).cloned().collect()),
        _ => None,
    }
}

/// Keys in the file must all be usable.
fn checked(keys: Keys) -> Result<Keys, String> {
    let Keys::Local(set) = &keys else { return Ok(keys) };
    match KeySet::from_jwks(set, Origin::Local) {
        Ok((_, skipped)) if skipped.is_empty() => Ok(keys),
        Ok((_, skipped)) => {
            let reasons: Vec<_> = skipped.iter().map(ToString::to_string).collect();
            Err(format!("a key of its key set cannot be used: {}", reasons.join(", ")))
        }
        Err(error) => Err(format!("its key set cannot be used: {error}")),
    }
}

/// Where an issuer's document is.
pub(super) const DOCUMENT: &str = "/.well-known/openid-configuration";

/// Keys where the issuer says that they are.
pub(super) fn discovered(issuer: &str) -> Result<Keys, String> {
    let url = Url::parse(&format!("{}{DOCUMENT}", issuer.trim_end_matches('/')));
    url.map(|url| Keys::Discovered { url })
        .ok_or_else(|| format!("{issuer:?} is not a URL at which its keys could be found"))
}

/// A key set that is a text of JSON.
pub(super) fn inline_keys(text: &str) -> Result<Keys, String> {
    let set: Value = serde_json::from_str(text.trim())
        .map_err(|_| "its key set is not JSON: paste the keys as JSON".to_owned())?;
    if set.get("keys").is_none_or(|keys| !keys.is_array()) {
        return Err("its key set has no list of keys".to_owned());
    }
    Ok(Keys::Local(json!({ "keys": set.get("keys") })))
}

/// The algorithms of keys in the file: shared secrets must be named, and keys of one kind
/// are never tried for another.
pub(super) fn algorithms(keys: &Keys) -> Option<Value> {
    let Keys::Local(set) = keys else { return None };
    let keys = set.get("keys").and_then(Value::as_array)?;
    let is_secret = |key: &Value| key.get("kty").is_some_and(|kty| kty == "oct");
    keys.iter().all(is_secret).then(|| {
        let named = keys.iter().map(|key| key.get("alg").and_then(Value::as_str));
        let named: Option<BTreeSet<_>> = named.collect();
        named.map_or_else(|| json!(["HS256", "HS384", "HS512"]), |named| json!(named))
    })
}
