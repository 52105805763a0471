//! What the plugins come to that take tokens of issuers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::applied::Applied;
use super::entities::{Kong, Route};
use super::issuer::{IssuerPlugin, Mapping};
use crate::convert::Notes;
use crate::convert::assemble::SourceHeader;
use crate::convert::condition::any_of;
use crate::convert::issuers::{Issuer, Issuers};
use crate::convert::need::{Access, Need};
use crate::convert::url::Url;

/// The plugins of a file that are in use.
pub(super) struct Bearer {
    pub(super) issuers: Issuers,
    /// What is asked of a token, by the plugin's place.
    pub(super) needs: BTreeMap<usize, Need>,
    /// `token`.
    pub(super) sources: Map<String, Value>,
    pub(super) mapping: Option<Mapping>,
    pub(super) groups_claim: Option<Value>,
    pub(super) headers: Vec<SourceHeader>,
}

/// Reads them; `None` if there are none.
pub(super) fn read(kong: &Kong, routes: &[(usize, &Route)], notes: &mut Notes) -> Option<Bearer> {
    let applied = routes.iter().filter_map(|(at, route)| Applied::to(kong, *at, route).issuer);
    let plugins: BTreeMap<usize, &IssuerPlugin> = applied.collect();
    let (_, first) = plugins.first_key_value()?;
    let mut bearer = Bearer {
        issuers: Issuers::new(upstream),
        needs: BTreeMap::new(),
        sources: first.sources.clone(),
        mapping: first.consumer.clone(),
        // With a consumer its own groups count.
        groups_claim: first.groups_claim.clone().filter(|_| first.consumer.is_none()),
        headers: Vec::new(),
    };
    let mut told = BTreeSet::new();
    for (at, plugin) in &plugins {
        let name = kong.plugins.get(*at).map_or("", |it| it.name.as_str());
        let place = format!("plugin {name}");
        for text in &plugin.notes {
            if told.insert((place.clone(), text.clone())) {
                notes.add(&place, text);
            }
        }
        let need = bearer.need(plugin, first, &place, notes);
        bearer.needs.insert(*at, need);
    }
    let needs = std::mem::take(&mut bearer.needs).into_iter();
    let needs = needs.map(|(at, need)| {
        let name = kong.plugins.get(at).map_or("", |it| it.name.as_str());
        (at, bearer.issuers.simplified(need, &format!("plugin {name}"), notes))
    });
    bearer.needs = needs.collect();
    Some(bearer)
}

/// Kong's plugin and filter call `host:port`.
fn upstream(url: &Url) -> String {
    format!("{}:{}", url.host(), url.port())
}

impl Bearer {
    fn need(
        &mut self,
        plugin: &IssuerPlugin,
        first: &IssuerPlugin,
        place: &str,
        notes: &mut Notes,
    ) -> Need {
        let mut closed = plugin.closed.clone();
        if plugin.sources != first.sources {
            closed.push("its tokens are elsewhere than those of the first one".to_owned());
        }
        if plugin.consumer != first.consumer || plugin.groups_claim != first.groups_claim {
            closed
                .push("it finds consumers or groups in another way than the first one".to_owned());
        }
        for why in &closed {
            notes.add(place, format_args!("{why}: nobody passes"));
        }
        let mut tokens = Vec::new();
        for (issuer, keys) in &plugin.issuers {
            let host =
                Url::parse(issuer).map_or_else(|| issuer.clone(), |url| url.host().to_owned());
            let name = self.issuers.unused(&host);
            let source = Issuer {
                name: name.clone(),
                place: place.to_owned(),
                issuer: Some(issuer.clone()),
                audiences: plugin.audiences.clone(),
                keys: keys.clone(),
                options: plugin.options.clone(),
            };
            self.issuers.add(source, notes);
            tokens.push(self.issuers.token_of(&name, None));
        }
        for (header, claim) in &plugin.headers {
            let (header, claim) = (header.to_ascii_lowercase(), claim.clone());
            let issuers = plugin.issuers.iter().map(|(issuer, _)| issuer.clone()).collect();
            self.headers.push(SourceHeader { place: place.to_owned(), header, claim, issuers });
        }
        let token = any_of(tokens).into_iter().next().unwrap_or(Need::Nobody);
        if !closed.is_empty() { Need::Nobody } else { token.and(&plugin.need) }
    }

    /// The token that a plugin asks for; `None` if nobody passes.
    pub(super) fn access(&self, at: usize) -> Option<Box<Access>> {
        match self.needs.get(&at)? {
            Need::Token(access) => Some(access.clone()),
            Need::Open | Need::Nobody => None,
        }
    }

    /// `consumers`, from those of the file.
    pub(super) fn consumers(&self, entries: Vec<Value>) -> Option<Value> {
        let mut consumers = Map::new();
        if let Some(Mapping { claim, is_optional, .. }) = &self.mapping {
            consumers.insert("claim".to_owned(), json!([claim]));
            consumers.insert("entries".to_owned(), entries.into());
            if *is_optional {
                consumers.insert("optional".to_owned(), json!(true));
            }
        }
        if let Some(claim) = &self.groups_claim {
            consumers.insert("groups_claims".to_owned(), json!([claim]));
        }
        (!consumers.is_empty()).then_some(Value::Object(consumers))
    }
}
