//! Plugins that take tokens of an issuer: openid-connect (bearer tokens), jwt-keycloak and
//! jwt-signer (access tokens), as far as their options go.
//!
//! An option that may refuse a request and is not known here closes the routes.

use std::collections::BTreeSet;

use gatepass::config::reader::Node;
use gatepass::json;
use gatepass::token::MAX_CLOCK_SKEW_SECONDS;
use serde_json::{Map, Value};

use super::placeholder::is_template;
use crate::convert::condition::with_scope;
use crate::convert::envoy::claim_path;
use crate::convert::issuers::{DOCUMENT, Keys, discovered};
use crate::convert::need::{Access, Audiences, Claim, Kind, Need};

/// A plugin and what it asks.
#[derive(Clone)]
pub(super) struct IssuerPlugin {
    /// Its issuers, with their keys.
    pub(super) issuers: Vec<(String, Result<Keys, String>)>,
    pub(super) audiences: Audiences,
    /// Fields of the provider.
    pub(super) options: Map<String, Value>,
    /// What it asks beside.
    pub(super) need: Need,
    /// `token`.
    pub(super) sources: Map<String, Value>,
    pub(super) consumer: Option<Mapping>,
    /// The claim with groups for acl.
    pub(super) groups_claim: Option<Value>,
    /// The headers that it writes, and the claims in them.
    pub(super) headers: Vec<(String, Option<Value>)>,
    /// Why nobody passes.
    pub(super) closed: Vec<String>,
    /// What else is different.
    pub(super) notes: Vec<String>,
}

/// How a token's consumer is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) claim: Value,
    pub(super) by: Vec<String>,
    pub(super) is_optional: bool,
}

/// Whether a plugin is one of them.
pub(super) fn is_own(name: &str) -> bool {
    ["openid-connect", "jwt-keycloak", "jwt-signer"].contains(&name)
}

/// The options of a plugin; those that are not asked for are left.
pub(super) struct Options<'a> {
    pub(super) fields: &'a Map<String, Value>,
    used: BTreeSet<&'static str>,
}

impl<'a> Options<'a> {
    pub(super) fn of(config: &Node<'a>) -> Option<Self> {
        match config.value() {
            Value::Object(fields) => Some(Self { fields, used: BTreeSet::new() }),
            _ => config.reject("an object"),
        }
    }

    fn value(&mut self, name: &'static str) -> Option<&Value> {
        self.used.insert(name);
        self.fields.get(name).filter(|it| !it.is_null())
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.value(name).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let list = self.value(name)?;
        let items = list.as_array().map_or(std::slice::from_ref(list), Vec::as_slice);
        Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.value(name).and_then(Value::as_bool).unwrap_or(default)
    }

    pub(super) fn number(&mut self, name: &'static str) -> u64 {
        self.value(name).and_then(Value::as_f64).map_or(0, |number| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = number.clamp(0.0, 31_536_000.0) as u64;
            whole
        })
    }

    /// Those that say something else than Kong's `defaults`, which a dump has all of, and
    /// are not known: by their beginning, if that is harmless.
    pub(super) fn unknown(&self, harmless: &[&str], defaults: &Value) -> Vec<String> {
        let says = |name: &str, value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(items) if items.is_empty() => false,
            Value::Object(members) if members.is_empty() => false,
            value => defaults.get(name).is_none_or(|it| !json::is_same(it, value)),
        };
        let is_harmless = |name: &str| harmless.iter().any(|start| name.starts_with(start));
        let unknown = self.fields.iter().filter(|(name, value)| {
            says(name, value) && !self.used.contains(name.as_str()) && !is_harmless(name)
        });
        unknown
            .map(|(name, _)| format!("its {name} may refuse requests, and is not known"))
            .collect()
    }
}

impl IssuerPlugin {
    pub(super) fn new() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: None,
            options: Map::new(),
            need: Need::of(Access::default()),
            sources: Map::new(),
            consumer: None,
            groups_claim: None,
            headers: Vec::new(),
            closed: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn asks(&mut self, need: &Need) {
        self.need = self.need.and(need);
    }

    /// Values of a claim, of which there must be those of one element.
    pub(super) fn requires(&mut self, claim: &[String], values: Option<Vec<String>>, what: &str) {
        let Some(values) = values.filter(|values| !values.is_empty()) else { return };
        let names: Vec<_> = claim.iter().map(String::as_str).collect();
        let is_one = |value: &&String| !value.contains(' ');
        let (single, several): (Vec<_>, Vec<_>) = values.iter().partition(is_one);
        let single: BTreeSet<String> = single.into_iter().cloned().collect();
        let is_scope = names == ["scope"];
        let need = match several.first() {
            _ if !single.is_empty() && is_scope => with_scope(single),
            _ if !single.is_empty() => claim_of(&names, single),
            Some(words) if is_scope => Need::of(Access {
                scopes_all: words.split_whitespace().map(str::to_owned).collect(),
                claims: [("scope".to_owned(), Claim::Present)].into(),
                ..Access::default()
            }),
            _ => Need::Nobody,
        };
        let fewer = if values.iter().any(|value| !value.contains(' ')) { 0 } else { 1 };
        if several.len() > fewer || need == Need::Nobody {
            self.notes.push(format!("{what} has elements of several words: fewer tokens pass"));
        }
        self.asks(&need);
    }

    pub(super) fn maps(
        &mut self,
        claim: Option<Vec<String>>,
        by: Option<Vec<String>>,
        is_optional: bool,
    ) {
        let Some(claim) = claim.filter(|claim| !claim.is_empty()) else { return };
        let names: Vec<_> = claim.iter().map(String::as_str).collect();
        let default = || vec!["username".to_owned(), "custom_id".to_owned()];
        let by = by.unwrap_or_else(default);
        let claim = Value::from(claim_path(&names));
        self.consumer = Some(Mapping { claim, by, is_optional });
    }

    /// The headers in which it puts other things than claims; the access token stays in its own.
    pub(super) fn writes(&mut self, options: &mut Options<'_>, names: &[&'static str]) {
        for name in names {
            let Some(text) = options.text(name) else { continue };
            let header = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !["", "authorization"].contains(&header.as_str()) {
                let text = format!("{name} is not supported: services verify the identity token");
                self.notes.push(text);
                self.headers.push((header, None));
            }
        }
    }

    pub(super) fn skew(&mut self, leeway: u64) {
        // Kong has none unless it is told.
        self.options.insert(
            "clock_skew_seconds".to_owned(),
            leeway.min(MAX_CLOCK_SKEW_SECONDS.into()).into(),
        );
    }
}

/// A claim with one of these values.
pub(super) fn claim_of(names: &[&str], values: BTreeSet<String>) -> Need {
    let values = Claim::Values(Kind::Either, values.into_iter().map(Value::from).collect());
    Need::of(Access { claims: [(claim_path(names), values)].into(), ..Access::default() })
}

/// Keys where the issuer says that they are. Kong takes the address of its document, too.
pub(super) fn keys_of(issuer: &str) -> Result<Keys, String> {
    if is_template(issuer) {
        return Err(format!("{issuer:?} is not a URL at which its keys could be found"));
    }
    discovered(issuer.strip_suffix(DOCUMENT).unwrap_or(issuer))
}

/// Audiences of which a token must have one.
pub(super) fn audiences(
    plugin: &mut IssuerPlugin,
    claim: &[String],
    required: Option<Vec<String>>,
) {
    let Some(required) = required.filter(|it| !it.is_empty()) else { return };
    if claim != ["aud"] {
        plugin.requires(claim, Some(required), "audience_required");
        return;
    }
    let single: BTreeSet<_> = required.iter().filter(|it| !it.contains(' ')).cloned().collect();
    if single.len() < required.len() {
        let text = "audience_required has elements of several words: fewer tokens pass";
        plugin.notes.push(text.to_owned());
    }
    if single.is_empty() {
        // One of them does not do; a provider needs some.
        plugin.asks(&Need::Nobody);
        let words = required.iter().flat_map(|it| it.split_whitespace());
        plugin.audiences = Some(words.map(str::to_owned).collect());
        return;
    }
    plugin.audiences = Some(single);
}
