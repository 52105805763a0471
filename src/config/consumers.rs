//! `consumers`: the clients, selected by a claim or by credentials.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::access::claim_path;
use super::identity::MinterParts;
use super::kong_jwt::{self, KongJwt};
use super::providers;
use super::reader::{Fields, Node};
use super::values::{printable, twice};
use crate::consumer::{Consumer, ConsumerDirectory, HostConsumers, HostField};
use crate::keys::{KeySet, VerifyingKey};
use crate::token::{ClaimPath, ClientClaims, ProviderId};

/// `consumers` in the configuration.
pub struct Consumers {
    /// The consumers.
    pub directory: ConsumerDirectory,
    /// The consumer of requests without a token, where a rule allows them.
    pub anonymous: Option<Consumer>,
    /// The claims that name clients and groups.
    pub client_claims: Rc<ClientClaims>,
    /// The keys of their credentials.
    pub credentials: Option<Rc<KeySet>>,
    /// Where the consumers of a name are in the directory: rules name thousands.
    places: HashMap<String, Vec<usize>>,
}

impl Consumers {
    /// The number of consumers with this name whose tokens may come from one of
    /// `providers`; from any provider if the list is empty.
    pub fn count(&self, name: &str, providers: &[ProviderId]) -> usize {
        let places = self.places.get(name).into_iter().flatten();
        places.filter(|place| self.directory.may_use(**place, providers)).count()
    }
}

/// Reads `consumers`; `kong_jwt` determines the form of their credentials and the
/// anonymous consumer; `providers` are the names of all providers.
pub fn read(
    node: &Node<'_>,
    kong_jwt: Option<&KongJwt>,
    providers: Option<&[String]>,
) -> Option<Consumers> {
    let issuers = Issuers { kong_jwt, names: providers };
    let mut fields = node.fields_as("an object with the claim and its entries: [...]")?;
    let default = ["azp", "client_id", "iss"].map(ClaimPath::dotted).to_vec();
    let claims = fields.or("claim", default, |node| node.full_list(claim_path));
    let client_id = fields.or("client_id_claims", ClientClaims::default().client_id, |node| {
        node.full_list(claim_path)
    });
    let groups = fields.or("groups_claims", Vec::new(), |node| node.list(claim_path));
    let entries =
        fields.or("entries", Vec::new(), |node| node.list(|item| consumer(item, issuers)));
    let optional = fields.or("optional", false, Node::flag);
    let anonymous = fields.optional("anonymous", printable);
    let host = of_host(&mut fields, issuers);
    let node = fields.node().clone();
    fields.finish()?;
    let mut directory = ConsumerDirectory::new(claims?, optional?).with_host(host?);
    let (mut credentials, mut places) = (Vec::new(), HashMap::<String, Vec<usize>>::new());
    for (place, (consumer, providers, keys)) in entries?.into_iter().enumerate() {
        places.entry(consumer.name().to_owned()).or_default().push(place);
        let ids = keys.iter().filter_map(|key| key.id().map(str::to_owned)).collect();
        if let Err(key) = directory.add(consumer, providers, ids) {
            return node.reject_as(
                format_args!("the key {key:?} twice"),
                "each key once for each provider",
            );
        }
        credentials.extend(keys);
    }
    let by_plugin = kong_jwt.and_then(|kong_jwt| kong_jwt.plugin.anonymous.as_ref());
    let anonymous = match (anonymous?, by_plugin) {
        (Some(_), Some(_)) => return twice(&node, "anonymous"),
        (Some(name), None) => {
            let nobody = || Consumer { username: Some(name.clone()), ..Consumer::default() };
            Some(directory.by_username(&name).cloned().unwrap_or_else(nobody))
        }
        // Kong also accepts an id, and answers 500 if there is no such consumer.
        (None, Some(name)) => {
            let known = directory.by_id(name).or_else(|| directory.by_username(name));
            match known {
                Some(consumer) => Some(consumer.clone()),
                None => {
                    let found = format_args!("no consumer with the id or username {name:?}");
                    return node.reject_as(found, "an entry for the provider's anonymous");
                }
            }
        }
        (None, None) => None,
    };
    if anonymous.as_ref().is_some_and(|anonymous: &Consumer| anonymous.disabled) {
        return node.reject_as("a disabled consumer as anonymous", "one that is enabled");
    }
    let credentials = KeySet::from_credentials(credentials).map(Rc::new);
    let client_claims = Rc::new(ClientClaims { client_id: client_id?, groups: groups? });
    Some(Consumers { directory, anonymous, client_claims, credentials, places })
}

/// A transaction token does not contain which of Kong's consumers it is for.
pub fn check_replacement(whole: &Node<'_>, consumers: &ConsumerDirectory, minter: &MinterParts) {
    if consumers.queries_host() && minter.replaces() {
        let found = "consumers.kong beside identity_token.replace";
        let node = whole.nearest(&["consumers", "kong"]);
        let _: Option<()> = node.reject_as(found, "one of them");
    }
}

/// The possible issuers of consumers' tokens.
#[derive(Clone, Copy)]
struct Issuers<'a> {
    kong_jwt: Option<&'a KongJwt>,
    /// The names of all providers, if they could be read.
    names: Option<&'a [String]>,
}

/// Kong's own consumers: `kong`, and with two providers or more `kong_providers`, for the
/// reason of [`providers_of`].
#[allow(clippy::option_option)] // as Fields::optional
fn of_host(fields: &mut Fields<'_>, issuers: Issuers<'_>) -> Option<Option<HostConsumers>> {
    let known = [HostField::CustomId, HostField::Username, HostField::Id];
    let known = known.map(|field| (field.as_str(), field));
    let kong = fields.optional("kong", |node| node.one_of(&known));
    let read = |node: &Node<'_>| node.full_list(|item| providers::reference(item, issuers.names));
    let is_set = fields.has("kong");
    let are_several = issuers.names.is_some_and(|names| names.len() > 1);
    let providers = if is_set && are_several {
        let accepted = "the names of the providers whose tokens may be of Kong's consumers";
        fields.required("kong_providers", accepted, read).map(Some)
    } else {
        fields.optional("kong_providers", read)
    };
    let (kong, providers) = (kong?, providers?);
    if kong.is_none() && providers.is_some() {
        return fields.node().member("kong_providers")?.reject("nothing, but beside kong");
    }
    Some(kong.map(|field| HostConsumers { field, providers }))
}

/// A consumer, the providers whose claims may select it, and the keys of its
/// credentials.
type Entry = (Consumer, Option<Vec<ProviderId>>, Vec<VerifyingKey>);

fn consumer(node: &Node<'_>, issuers: Issuers<'_>) -> Option<Entry> {
    let mut fields = node.fields()?;
    // Consumers as they are in Kong have no key.
    let has_credentials = fields.has("jwt_secrets");
    let may_lack_key = issuers.kong_jwt.is_some() || has_credentials;
    let key = if may_lack_key {
        fields.optional("key", printable)
    } else {
        fields.required("key", "the value of the selecting claim", printable).map(Some)
    };
    let providers = providers_of(&mut fields, issuers);
    let id = fields.optional("id", printable);
    let username = fields.optional("username", printable);
    let custom_id = fields.optional("custom_id", printable);
    let groups = fields.or("groups", Vec::new(), |node| node.list(printable));
    let acls = fields.or("acls", Vec::new(), |node| node.list(acl));
    let trusted = fields.or("trusted_without_scope", false, Node::flag);
    let enabled = fields.or("enabled", true, Node::flag);
    let is_base64 = issuers.kong_jwt.is_some_and(|kong_jwt| kong_jwt.plugin.secret_is_base64);
    let credentials = fields.or("jwt_secrets", Vec::new(), |node| {
        node.list(|item| kong_jwt::credential(item, is_base64))
    });
    fields.ignored("tags");
    let node = fields.node().clone();
    fields.finish()?;
    let mut groups = groups?;
    groups.extend(acls?);
    let mut known = HashSet::new();
    groups.retain(|group| known.insert(group.clone()));
    let (key, id, username, custom_id) = (key?, id?, username?, custom_id?);
    let (trusted_without_scope, disabled) = (trusted?, !enabled?);
    let consumer =
        Consumer { key, id, username, custom_id, groups, trusted_without_scope, disabled };
    if consumer.key.is_none() && consumer.username.is_none() && consumer.custom_id.is_none() {
        return node.reject_as("no name", "at least one of key, username and custom_id");
    }
    Some((consumer, providers?, credentials?))
}

/// The providers whose tokens may select a consumer. With two or more providers each
/// entry must name them: otherwise a partner's issuer could turn its users into
/// first-party ones by a value of `azp`. An entry without a key is identified by its
/// credentials, which belong to the provider of kind kong_jwt anyway.
#[allow(clippy::option_option)] // as Fields::optional
fn providers_of(fields: &mut Fields<'_>, issuers: Issuers<'_>) -> Option<Option<Vec<ProviderId>>> {
    const ACCEPTED: &str = "the names of the providers whose tokens may be this consumer's";
    let read = |node: &Node<'_>| node.full_list(|item| providers::reference(item, issuers.names));
    let has_key = fields.has("key");
    let has_credentials = fields.has("jwt_secrets");
    let are_several = issuers.names.is_some_and(|names| names.len() > 1);
    let listed = if are_several && has_key {
        Some(fields.required("providers", ACCEPTED, read)?)
    } else {
        fields.optional("providers", read)?
    };
    if let (Some(listed), Some(kong_jwt), true) = (&listed, issuers.kong_jwt, has_credentials) {
        let is_listed = listed.iter().filter_map(|id| issuers.names?.get(id.0));
        if !is_listed.into_iter().any(|name| *name == kong_jwt.name) {
            let found = format_args!("jwt_secrets, but not the provider {:?}", kong_jwt.name);
            return fields.node().member("providers")?.reject_as(found, ACCEPTED);
        }
    }
    Some(listed)
}

/// A group, as in Kong's acl plugin.
fn acl(node: &Node<'_>) -> Option<String> {
    let mut fields = node.fields()?;
    let group = fields.required("group", "the name of a group", printable);
    fields.ignored("id");
    fields.ignored("tags");
    fields.finish()?;
    group
}

/// Credentials, and the provider that uses them, require each other.
pub fn check_use(whole: &Node<'_>, found: Option<&KongJwt>, consumers: Option<&Consumers>) {
    let credentials = consumers.and_then(|consumers| consumers.credentials.as_ref());
    let _: Option<()> = match (found, credentials) {
        (Some(provider), None) => whole.reject_as(
            format_args!(
                "the provider {:?} of the kind kong_jwt without credentials",
                provider.name
            ),
            "jwt_secrets in consumers.entries",
        ),
        (None, Some(_)) => {
            whole.reject_as("jwt_secrets that no provider uses", "a provider of the kind kong_jwt")
        }
        _ => None,
    };
}
