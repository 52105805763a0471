//! Keeps the identity token apart from the rest: no header with two meanings, and no
//! token that passes for another kind.

use std::collections::HashSet;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::identity::MinterParts;
use super::reader::Node;
use crate::bearer::TokenSources;
use crate::http::HeaderName;
use crate::identity::{ClaimHeader, IdentityHeaders};
use crate::overrides::{IdentityHeader, Overrides, TemplateKey};
use crate::refresh::KeySource;
use crate::rules::{Access, Rule};
use crate::token::Provider;
use crate::user_info::UserClaimNames;

/// The identities of rules and resources that override something, and the default.
pub struct Identities<'a> {
    /// `identity_token`.
    pub defaults: &'a MinterParts,
    /// Of rules.
    pub rules: Vec<Rc<Overrides>>,
    /// Of resources.
    pub resources: Vec<Rc<Overrides>>,
}

impl Identities<'_> {
    fn overrides(&self) -> impl Iterator<Item = &Overrides> {
        self.rules.iter().chain(&self.resources).map(Rc::as_ref)
    }

    /// Every header that may carry a token.
    pub fn headers(&self) -> impl Iterator<Item = &IdentityHeader> {
        let others = self.overrides().filter_map(|it| it.header.as_ref());
        std::iter::once(&self.defaults.token().header).chain(others)
    }

    /// A header that is configured for both the access token and the identity, by itself.
    /// If a rule forwards the access token and a resource names its header, the identity
    /// gets the header.
    fn clash(&self, sources: &TokenSources) -> Option<HeaderName> {
        let own = self.rules.iter().chain(&self.resources).cloned().map(Some);
        own.chain([None]).find_map(|rule| {
            let key = TemplateKey { rule, resource: None };
            let name = &key.header(self.defaults.token()).name;
            let forwards = key.forward().unwrap_or(sources.forward);
            (forwards && sources.may_carry_token(name.as_str().as_bytes())).then(|| name.clone())
        })
    }

    /// Whether a rule or resource forwards the access token of some request.
    pub fn forward(&self) -> bool {
        self.overrides().any(|it| it.forward == Some(true))
    }

    /// `aud` for all services together.
    pub fn audiences(&self) -> impl Iterator<Item = &String> {
        let others = self.overrides().filter_map(|it| it.audiences.as_ref());
        std::iter::once(&self.defaults.token().audiences).chain(others).flatten()
    }
}

/// A transaction token always has a purpose, so each rule defines one, or the default
/// does.
pub fn check_purposes(whole: &Node<'_>, minter: &MinterParts, rules: &[Rule]) {
    if !minter.is_transaction() {
        return;
    }
    let own = |rule: &Rule| rule.identity.as_ref().and_then(|it| it.scopes.clone());
    let refuse_empty = |node: Node<'_>, scopes: Option<Vec<String>>| {
        if scopes.is_some_and(|scopes| scopes.is_empty()) {
            let found = "an empty list of scopes with txn_token";
            let _: Option<()> = node.reject_as(found, "a list with at least one scope");
        }
    };
    refuse_empty(whole.nearest(&["identity_token", "scopes"]), minter.token().scopes.clone());
    for (position, rule) in rules.iter().enumerate() {
        let node = whole.nearest(&["rules"]);
        let node = node.item(position).unwrap_or(node);
        refuse_empty(node.nearest(&["identity", "scopes"]), own(rule));
    }
    let needs = |rule: &&Rule| matches!(rule.access, Access::Requires(_));
    let says_all = rules.iter().filter(needs).all(|rule| own(rule).is_some())
        && rules.last().is_some_and(|rule| rule.matcher.is_for_all());
    if minter.token().scopes.is_none() && !says_all {
        let found = "the profile txn_token without scopes";
        let accepted = "identity_token.scopes, or identity.scopes in each rule, of which the \
                        last one matches every request";
        let node = whole.nearest(&["identity_token", "profile"]);
        let _: Option<()> = node.reject_as(found, accepted);
    }
}

/// Public and identity tokens must not be exchangeable (RFC 8725 section 3.12): no
/// issuer, audience or key may be used for both. Fetched keys are compared when they
/// arrive. `resources`: the audiences of tokens for resources.
// RFC 8725 section 3.12: "the validation rules for those JWTs MUST be written such that
// they are mutually exclusive, rejecting JWTs of the wrong kind" (R31)
pub fn check_separation(
    whole: &Node<'_>,
    providers: &[(Provider, KeySource)],
    resources: &[String],
    identities: &Identities<'_>,
) {
    let minter = identities.defaults;
    let identity = |name| whole.nearest(&["identity_token", name]);
    let own: HashSet<&String> = identities.audiences().collect();
    if let Some(audience) = resources.iter().find(|audience| own.contains(audience)) {
        let found = format!("the audience {audience:?} of one of resources in identity tokens");
        let node = identity("audiences");
        let _: Option<()> = node.reject_as(found, "audiences that no access token has");
    }
    for (provider, keys) in providers {
        if let KeySource::Local(keys) = keys
            && minter.signing_keys().any(|own| keys.contains(own.verifying_key()))
        {
            let found = format!("a signing key of the gateway in provider {:?}", provider.name);
            let node = identity("signing_keys");
            let _: Option<()> = node.reject_as(found, "signing keys that nobody else has");
        }
        if provider.issuers().is_some_and(|issuer| issuer.may_be(minter.issuer())) {
            refuse_issuer(whole, &provider.name);
        }
        let shared = provider.audiences.iter().flatten().find(|it| own.contains(it));
        if let Some(audience) = shared {
            refuse_audience(whole, audience, &provider.name);
        }
    }
}

/// The part of [`check_separation`] that texts show, for when a section is not valid.
pub fn check_texts(whole: &Node<'_>) {
    let texts = |value: Option<&Value>| -> Vec<String> {
        let texts = value.and_then(Value::as_array).into_iter().flatten();
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let Some(identity) = whole.member("identity_token") else { return };
    let own = texts(identity.value().get("audiences"));
    let issuer = identity.value().get("issuer").and_then(Value::as_str);
    let providers = whole.member("providers");
    let providers = providers.iter().filter_map(|node| node.value().as_object()).flatten();
    for (name, provider) in providers {
        if issuer.is_some() && provider.get("issuer").and_then(Value::as_str) == issuer {
            refuse_issuer(whole, name);
        }
        if let Some(audience) = texts(provider.get("audiences")).iter().find(|it| own.contains(it))
        {
            refuse_audience(whole, audience, name);
        }
    }
}

fn refuse_issuer(whole: &Node<'_>, provider: &str) {
    let found = format!("the issuer of provider {provider:?} as identity_token.issuer");
    let node = whole.nearest(&["identity_token", "issuer"]);
    let _: Option<()> = node.reject_as(found, "an issuer of the gateway's own");
}

fn refuse_audience(whole: &Node<'_>, audience: &str, provider: &str) {
    let found = format!("the audience {audience:?} of provider {provider:?} in identity tokens");
    let node = whole.nearest(&["identity_token", "audiences"]);
    let _: Option<()> = node.reject_as(found, "audiences that no access token has");
}

/// Claims with the same value in every identity must be such that headers can carry them:
/// otherwise every request would fail.
pub fn check_constants(
    whole: &Node<'_>,
    identities: &Identities<'_>,
    headers: &[ClaimHeader],
    by_user: Option<&UserClaimNames>,
) {
    let mut constants = vec![identities.defaults.constants()];
    let audiences = identities.overrides().filter_map(|it| it.audiences.as_ref());
    let of_rule = |it: &Vec<String>| Map::from_iter([("aud".to_owned(), it.as_slice().into())]);
    constants.extend(audiences.map(of_rule));
    for ClaimHeader { name, path, format, .. } in headers {
        let is_by_user = by_user.is_some_and(|names| names.decide(path));
        let mut values = constants.iter().filter_map(|it| path.find(it));
        if !is_by_user && values.any(|value| !format.can_write(value)) {
            let found = format!("the claim {path} with control characters, for the header {name}");
            let accepted = "a value without them, or the format json or json_base64";
            let _: Option<()> = whole.nearest(&["claim_to_headers"]).reject_as(found, accepted);
        }
    }
}

/// Constant claims that are larger than what identities may be: every request would fail.
pub fn check_size(whole: &Node<'_>, minter: &MinterParts, limit: usize) {
    let text = Value::from(minter.constants()).to_string().len();
    // base64url adds a third.
    let bytes = text.saturating_add(text / 3);
    if bytes > limit {
        let found = format!("constant claims of {bytes} bytes in each identity token");
        let accepted = format!("less than limits.max_identity_bytes, {limit}");
        let node = whole.nearest(&["identity_token", "claims", "set"]);
        let _: Option<()> = node.reject_as(found, accepted);
    }
}

/// A header can have only one meaning, except for one in which the identity token
/// replaces the access token.
pub fn check_headers(
    whole: &Node<'_>,
    identities: &Identities<'_>,
    headers: &[ClaimHeader],
    sources: &TokenSources,
) {
    let mut taken: HashSet<_> =
        IdentityHeaders::new(Vec::new()).of_kong().map(|name| name.folded()).collect();
    if !identities.defaults.is_transaction() {
        // Services that trust this header expect a transaction token in it.
        taken.insert(HeaderName::txn_token().folded());
    }
    let refuse = |place: &[&str], name: &HeaderName, accepted: &str| {
        let found = format!("the header {name} for two things");
        let _: Option<()> = whole.nearest(place).reject_as(found, accepted);
    };
    const IDENTITY: &[&str] = &["identity_token", "header"];
    const ONCE: &str = "each header once, none of Kong's own";
    let mut carriers = Vec::new();
    for IdentityHeader { name, scheme } in identities.headers() {
        let is_source = sources.may_carry_token(name.as_str().as_bytes());
        if taken.contains(&name.folded()) || is_source && scheme.is_empty() {
            refuse(
                IDENTITY,
                name,
                "each header once, none of Kong's own; of a header that may carry the access token with a value_prefix",
            );
        }
        carriers.push(name.folded());
    }
    if let Some(name) = identities.clash(sources) {
        refuse(
            IDENTITY,
            &name,
            "another header for the identity token, where the access token is forwarded",
        );
    }
    taken.extend(carriers);
    taken.extend(sources.headers.iter().map(|source| source.name.folded()));
    for ClaimHeader { name, .. } in headers {
        if !taken.insert(name.folded()) {
            refuse(&["claim_to_headers"], name, ONCE);
        }
    }
}
