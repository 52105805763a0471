//! Consumers: the parties with access, identified by a claim of their tokens.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use crate::callout::{Answer, Callout, CalloutReply, Scheme, Service};
use crate::denial::Denial;
use crate::json::{self, Document};
use crate::secret::Secret;
use crate::time::Span;
use crate::token::{ClaimPath, PresentedToken, ProviderId};

/// A client with access: an application, a partner, a device.
///
/// The names are Kong's; each becomes an `X-Consumer-*` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// The value of the selecting claim; `None` if it is identified by credentials only.
    pub key: Option<String>,
    /// `X-Consumer-ID`.
    pub id: Option<String>,
    /// `X-Consumer-Username`.
    pub username: Option<String>,
    /// `X-Consumer-Custom-ID`.
    pub custom_id: Option<String>,
    /// `X-Consumer-Groups`; rules check them.
    pub groups: Vec<String>,
    /// Whether its tokens without any scope are good for a transaction token.
    pub trusted_without_scope: bool,
    /// True while access is suspended.
    pub disabled: bool,
}

impl Consumer {
    /// The consumer's claim in identity tokens.
    pub fn claim(&self) -> Value {
        let named = self.names().map(|(name, value)| (name.to_owned(), value.into()));
        Value::Object(json::object(named))
    }

    /// Whether `claim` is [its own](Self::claim).
    fn is_claimed_by(&self, claim: &Value) -> bool {
        let Some(claim) = claim.as_object() else { return false };
        let has = |(name, value): (&str, &str)| {
            claim.get(name).and_then(Value::as_str).is_some_and(|found| found == value)
        };
        self.names().count() == claim.len() && self.names().all(has)
    }

    /// The names that it has for services.
    fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let names =
            [("id", &self.id), ("username", &self.username), ("custom_id", &self.custom_id)];
        names.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// Its name in logs and rules.
    pub fn name(&self) -> &str {
        let names = [&self.key, &self.username, &self.custom_id, &self.id];
        names.into_iter().find_map(Option::as_deref).unwrap_or_default()
    }
}

/// The field by which the host's own consumers are found: `consumers.kong`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostField {
    /// Kong's `id`.
    Id,
    /// Kong's `username`.
    Username,
    /// Kong's `custom_id`.
    CustomId,
}

impl HostField {
    /// Kong's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Username => "username",
            Self::CustomId => "custom_id",
        }
    }
}

/// How the host's own consumers are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConsumers {
    /// The field.
    pub field: HostField,
    /// The providers whose tokens may select one; `None` for the only one.
    pub providers: Option<Vec<ProviderId>>,
}

/// One of the host's own consumers, as named by a token. The host may change or remove it
/// at any time, so it is queried for each request; the host caches its consumers in
/// memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostConsumer {
    field: HostField,
    value: Rc<str>,
}

impl HostConsumer {
    /// The query to the host, answered by its door: a GET whose path is the field and
    /// whose body is the value.
    pub fn callout(&self) -> Callout {
        let service = Service {
            name: "kong".to_owned(),
            // No address: this is not an HTTP call.
            upstream: String::new(),
            authority: "kong".to_owned(),
            scheme: Scheme::Http,
            timeout: Span::from_secs(5),
            headers: Vec::new(),
        };
        let mut callout = Callout::get(&Rc::new(service), format!("/{}", self.field.as_str()));
        callout.body = Some(Secret::new(self.value.as_bytes().to_vec()));
        callout
    }

    /// Reads the host's answer. `Ok(None)`: there is no such consumer; `Err`: it is
    /// unknown whether there is one.
    pub fn read(&self, reply: &CalloutReply) -> Result<Option<Rc<Consumer>>, HostUnavailable> {
        let CalloutReply::Answer(Answer { status, body, .. }) = reply else {
            return Err(HostUnavailable);
        };
        let consumer = match status {
            200 => json::parse_object(body).map_err(|_| HostUnavailable)?,
            404 => return Ok(None),
            _ => return Err(HostUnavailable),
        };
        let text = |name| consumer.get(name).and_then(Value::as_str).map(str::to_owned);
        let groups = consumer.get("groups").and_then(Value::as_array).into_iter().flatten();
        let found = Consumer {
            key: Some(self.value.to_string()),
            id: text("id"),
            username: text("username"),
            custom_id: text("custom_id"),
            groups: groups.filter_map(Value::as_str).map(str::to_owned).collect(),
            trusted_without_scope: false,
            disabled: false,
        };
        // Anything else is not the requested consumer.
        let own = match self.field {
            HostField::Id => &found.id,
            HostField::Username => &found.username,
            HostField::CustomId => &found.custom_id,
        };
        let is_it = own.as_deref() == Some(&*self.value);
        if is_it { Ok(Some(Rc::new(found))) } else { Err(HostUnavailable) }
    }

    /// Its approximate size in bytes.
    pub fn bytes(&self) -> usize {
        self.value.len()
    }
}

/// The host did not say whether there is a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostUnavailable;

/// What a token selects.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// A configured consumer.
    pub consumer: Option<Rc<Consumer>>,
    /// Otherwise, the consumer that the host may have.
    pub of_host: Option<HostConsumer>,
}

/// The consumers, looked up by tokens: `consumers` in the configuration.
#[derive(Debug, Default)]
pub struct ConsumerDirectory {
    /// Claims that may select a consumer; the first one present does.
    claims: Vec<ClaimPath>,
    /// Whether a token that selects no consumer may pass.
    optional: bool,
    /// How to find the host's own consumers, if they count.
    host: Option<HostConsumers>,
    everyone: Vec<Selectable>,
    by_key: HashMap<String, Vec<Selectable>>,
    by_credential: HashMap<String, Rc<Consumer>>,
}

/// A consumer, and the providers whose tokens may select it: a claim written by one
/// provider must not select the consumer of another.
#[derive(Clone, Debug)]
struct Selectable {
    /// `None` where there is one provider only.
    providers: Option<Vec<ProviderId>>,
    consumer: Rc<Consumer>,
}

impl Selectable {
    fn is_for(&self, provider: ProviderId) -> bool {
        self.providers.as_ref().is_none_or(|providers| providers.contains(&provider))
    }

    fn overlaps(&self, others: Option<&[ProviderId]>) -> bool {
        others.is_none_or(|others| others.iter().any(|provider| self.is_for(*provider)))
    }
}

/// The names of configured consumers, as sent in headers. A user without an entry never
/// gets one of these names, whatever the token or user info contains.
#[derive(Debug, Default)]
pub struct TakenNames {
    /// `X-Consumer-Username`.
    pub usernames: NameSet,
    /// `X-Consumer-Custom-ID`.
    pub custom_ids: NameSet,
    /// `X-Credential-Identifier`.
    pub credentials: NameSet,
}

/// Names, ignoring case: services or their databases may compare them so.
#[derive(Debug)]
pub enum NameSet {
    /// These.
    These(HashSet<String>),
    /// Any name may be taken: the host has consumers that are unknown here.
    Any,
}

impl Default for NameSet {
    fn default() -> Self {
        Self::These(HashSet::new())
    }
}

impl NameSet {
    fn of<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        Self::These(names.map(|name| folded(name)).collect())
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::These(names) => !names.is_empty() && names.contains(&folded(name)),
            Self::Any => true,
        }
    }
}

fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

impl ConsumerDirectory {
    /// The consumer named in a transaction token ([`Consumer::claim`]): the one that
    /// still has these names. Its groups are those in the token.
    pub fn named(
        &self,
        claim: Option<&Value>,
        provider: ProviderId,
    ) -> Result<Option<Rc<Consumer>>, Denial> {
        let Some(claim) = claim else {
            let has_none = self.everyone.is_empty() && self.host.is_none();
            return if has_none || self.optional { Ok(None) } else { Err(Denial::ConsumerUnknown) };
        };
        let is_it =
            |known: &&Selectable| known.is_for(provider) && known.consumer.is_claimed_by(claim);
        let mut found = self.everyone.iter().filter(is_it);
        match (found.next(), found.next()) {
            (Some(known), None) if !known.consumer.disabled => {
                let consumer = Consumer { groups: Vec::new(), ..Consumer::clone(&known.consumer) };
                Ok(Some(Rc::new(consumer)))
            }
            _ => Err(Denial::ConsumerUnknown),
        }
    }

    /// No consumers yet.
    pub fn new(claims: Vec<ClaimPath>, optional: bool) -> Self {
        Self { claims, optional, ..Self::default() }
    }

    /// Also those of the host.
    pub fn with_host(mut self, host: Option<HostConsumers>) -> Self {
        self.host = host;
        self
    }

    /// Whether the host's own consumers count.
    pub const fn queries_host(&self) -> bool {
        self.host.is_some()
    }

    /// Adds a consumer, the providers whose claims may select it (`None` for the only
    /// one) and the keys of its credentials. Returns a key that another consumer already
    /// has.
    pub fn add(
        &mut self,
        consumer: Consumer,
        providers: Option<Vec<ProviderId>>,
        credentials: Vec<String>,
    ) -> Result<(), String> {
        let added = Selectable { providers, consumer: Rc::new(consumer) };
        let consumer = &added.consumer;
        if let Some(key) = consumer.key.clone() {
            let known = self.by_key.entry(key.clone()).or_default();
            if known.iter().any(|other| other.overlaps(added.providers.as_deref())) {
                return Err(key);
            }
            known.push(added.clone());
        }
        for key in credentials {
            if self.by_credential.insert(key.clone(), Rc::clone(consumer)).is_some() {
                return Err(key);
            }
        }
        self.everyone.push(added);
        Ok(())
    }

    /// The consumer of a token: the owner of its credential, else the one that
    /// its claims select.
    ///
    /// A disabled consumer counts as unknown too, but never as a token without an entry.
    pub fn resolve(&self, token: PresentedToken<'_>) -> Result<Selected, Denial> {
        let (token, claims) = (token.token(), token.claims());
        let selected = match token.credential() {
            Some(key) => {
                let consumer = self.by_credential.get(key).ok_or(Denial::ConsumerUnknown)?;
                Selected { consumer: Some(Rc::clone(consumer)), of_host: None }
            }
            None => {
                let claims = claims.ok_or(Denial::ConsumerUnknown)?;
                self.select(token.provider(), &claims)?
            }
        };
        match &selected.consumer {
            Some(consumer) if consumer.disabled => Err(Denial::ConsumerUnknown),
            _ => Ok(selected),
        }
    }

    /// The consumer of a token for which the host `found` this one, or none.
    pub fn admit(&self, found: Option<Rc<Consumer>>) -> Result<Option<Rc<Consumer>>, Denial> {
        if found.is_none() && !self.optional { Err(Denial::ConsumerUnknown) } else { Ok(found) }
    }

    /// Only the first claim that is present counts: a token cannot fall back on
    /// a weaker claim when its stronger one is unknown.
    fn select(&self, provider: ProviderId, claims: &Document) -> Result<Selected, Denial> {
        let selecting = self.claims.iter().find_map(|path| path.find(claims));
        let key = selecting.and_then(|value| value.as_str());
        let known = key.and_then(|key| self.by_key.get(key)).into_iter().flatten();
        match known.into_iter().find(|known| known.is_for(provider)) {
            Some(known) => {
                Ok(Selected { consumer: Some(Rc::clone(&known.consumer)), of_host: None })
            }
            None => self.select_of_host(provider, key),
        }
    }

    /// Selects among the host's consumers, for a token without an entry whose selecting
    /// claim is `key`.
    fn select_of_host(&self, provider: ProviderId, key: Option<&str>) -> Result<Selected, Denial> {
        let is_for = |host: &&HostConsumers| {
            host.providers.as_ref().is_none_or(|providers| providers.contains(&provider))
        };
        let host = self.host.as_ref().filter(is_for).map(|host| host.field);
        let of_host = host.zip(key.filter(|key| !key.is_empty()));
        let of_host = of_host.map(|(field, key)| HostConsumer { field, value: key.into() });
        let needs_none = self.everyone.is_empty() && self.host.is_none();
        if of_host.is_some() || needs_none || self.optional {
            Ok(Selected { consumer: None, of_host })
        } else {
            Err(Denial::ConsumerUnknown)
        }
    }

    /// The names that only consumers may have.
    pub fn taken_names(&self) -> TakenNames {
        if self.queries_host() {
            let (usernames, custom_ids) = (NameSet::Any, NameSet::Any);
            return TakenNames { usernames, custom_ids, credentials: NameSet::Any };
        }
        let everyone = || self.everyone.iter().map(|known| &known.consumer);
        TakenNames {
            usernames: NameSet::of(everyone().filter_map(|consumer| consumer.username.as_ref())),
            custom_ids: NameSet::of(everyone().filter_map(|consumer| consumer.custom_id.as_ref())),
            credentials: NameSet::of(self.by_key.keys().chain(self.by_credential.keys())),
        }
    }

    /// Whether tokens of the consumer that was added as the one of this number, from 0, may
    /// come from one of `providers`; from any provider if the list is empty.
    pub fn may_use(&self, number: usize, providers: &[ProviderId]) -> bool {
        let may_use = |known: &Selectable| {
            providers.is_empty() || providers.iter().any(|provider| known.is_for(*provider))
        };
        self.everyone.get(number).is_some_and(may_use)
    }

    /// The consumer with this username.
    pub fn by_username(&self, username: &str) -> Option<&Consumer> {
        let mut everyone = self.everyone.iter().map(|known| known.consumer.as_ref());
        everyone.find(|consumer| consumer.username.as_deref() == Some(username))
    }

    /// The consumer with this id.
    pub fn by_id(&self, id: &str) -> Option<&Consumer> {
        let mut everyone = self.everyone.iter().map(|known| known.consumer.as_ref());
        everyone.find(|consumer| consumer.id.as_deref() == Some(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Fields;
    use serde_json::json;

    fn directory(optional: bool) -> ConsumerDirectory {
        let web = Consumer {
            key: Some("web".into()),
            id: Some("1".into()),
            username: Some("web-app".into()),
            custom_id: None,
            groups: vec![],
            trusted_without_scope: false,
            disabled: false,
        };
        let claims = vec![ClaimPath::dotted("azp"), ClaimPath::dotted("iss")];
        let mut directory = ConsumerDirectory::new(claims, optional);
        let shop = Some(vec![ProviderId(0)]);
        directory.add(web, shop, vec!["credential".to_owned()]).unwrap();
        directory
    }

    #[test]
    fn each_key_is_of_one_consumer() {
        let other = |key: Option<&str>| Consumer {
            key: key.map(str::to_owned),
            id: None,
            username: Some("other".into()),
            custom_id: None,
            groups: vec![],
            trusted_without_scope: false,
            disabled: false,
        };
        let mut directory = directory(false);
        let (shop, partner) = (Some(vec![ProviderId(0)]), Some(vec![ProviderId(1)]));
        assert_eq!(directory.add(other(Some("web")), None, vec![]), Err("web".into()));
        assert_eq!(directory.add(other(Some("web")), shop, vec![]), Err("web".into()));
        let credential = vec!["credential".to_owned()];
        assert_eq!(directory.add(other(None), None, credential), Err("credential".into()));
        let web = vec!["web".to_owned()];
        assert_eq!(directory.add(other(None), None, web), Ok(()), "other namespaces");
        let of_partner = directory.add(other(Some("web")), partner, vec![]);
        assert_eq!(of_partner, Ok(()), "of another provider");
    }

    #[test]
    fn selection() {
        for (case, claims, optional, expected) in [
            ("first claim", json!({"azp": "web", "iss": "x"}), false, Ok(Some("web"))),
            ("second claim", json!({"iss": "web"}), false, Ok(Some("web"))),
            (
                "no way back from an unknown first",
                json!({"azp": "x", "iss": "web"}),
                false,
                Err(()),
            ),
            ("none present", json!({}), false, Err(())),
            ("not text", json!({"azp": 7}), false, Err(())),
            ("unknown, optional", json!({"azp": "x"}), true, Ok(None)),
        ] {
            let claims = Document::of(claims.as_object().unwrap());
            let directory = directory(optional);
            let consumer = directory.select(ProviderId(0), &claims);
            let key = consumer.map(|found| found.consumer.and_then(|it| it.key.clone()));
            let key = key.as_ref().map(|key| key.as_deref());
            assert_eq!(key.map_err(|_| ()), expected, "{case}");
        }
        let claims = Document::of(&serde_json::Map::new());
        let none = ConsumerDirectory::default();
        let selected = none.select(ProviderId(0), &claims).unwrap();
        assert!(selected.consumer.is_none() && selected.of_host.is_none(), "no entries");
    }

    #[test]
    fn a_provider_selects_its_own_consumers() {
        let claims = Document::of(json!({"azp": "web"}).as_object().unwrap());
        let strict = directory(false);
        assert!(matches!(strict.select(ProviderId(1), &claims), Err(Denial::ConsumerUnknown)));
        let selected = directory(true).select(ProviderId(1), &claims).unwrap();
        assert_eq!(selected.consumer, None, "optional");
    }

    #[test]
    fn a_token_without_an_entry_is_looked_up_in_the_host() {
        let claims = |value| Document::of(json!({"azp": value}).as_object().unwrap());
        let providers = Some(vec![ProviderId(0)]);
        let host = HostConsumers { field: HostField::CustomId, providers };
        let directory = directory(false).with_host(Some(host));
        let foreign = directory.select(ProviderId(1), &claims(json!("till")));
        assert!(matches!(foreign, Err(Denial::ConsumerUnknown)), "of another provider");
        let select = |value| directory.select(ProviderId(0), &claims(value));
        assert!(select(json!("web")).unwrap().of_host.is_none(), "the entry comes first");
        let asked = select(json!("till")).unwrap().of_host.unwrap();
        let callout = asked.callout();
        assert_eq!((callout.path.as_str(), callout.body()), ("/custom_id", &b"till"[..]));
        for value in [json!(""), json!(7), json!(null)] {
            assert!(matches!(select(value), Err(Denial::ConsumerUnknown)));
        }
        let answer = |status, body: &str| {
            CalloutReply::whole(Some(status), Fields::default(), body.into(), 100)
        };
        let found =
            asked.read(&answer(200, r#"{"id": "1", "custom_id": "till", "groups": ["a"]}"#));
        let found = found.unwrap().unwrap();
        assert_eq!((found.id.as_deref(), found.groups.len()), (Some("1"), 1));
        assert_eq!(asked.read(&answer(404, "")), Ok(None));
        for (status, body) in [(200, "{}"), (200, "no"), (500, ""), (200, r#"{"custom_id": "x"}"#)]
        {
            assert_eq!(asked.read(&answer(status, body)), Err(HostUnavailable), "{status} {body}");
        }
        assert_eq!(directory.admit(None), Err(Denial::ConsumerUnknown));
        assert!(directory.taken_names().usernames.contains("anybody"));
    }

    #[test]
    fn names_are_taken_in_any_case() {
        let taken = directory(true).taken_names();
        assert!(taken.usernames.contains("web-app") && taken.usernames.contains(" Web-APP "));
        assert!(taken.credentials.contains("web") && taken.credentials.contains("credential"));
        assert!(!taken.usernames.contains("web") && !taken.custom_ids.contains("web"));
    }
}
