//! From a kong.yml with plugins that authenticate to a configuration.
//!
//! Nothing becomes more open than Kong has it. Unknown parts are refused with their
//! place; parts that cannot be carried over are left out if that denies more, and
//! mentioned in a note.

mod annotations;
mod applied;
mod bearer;
mod beside;
pub(super) mod cluster;
mod consumers;
mod controller;
mod entities;
mod fields;
mod file;
mod gateway_routes;
mod ingress;
mod issuer;
mod joined;
mod keycloak;
pub(super) mod manifests;
pub(super) mod metadata;
mod openid_connect;
mod placeholder;
mod plugins;
mod router;
mod routes;
mod secrets;

use gatepass::config::reader::Document;
use gatepass::config::{Problems, Variable};
use serde_json::{Map, Value, json};

use self::applied::Applied;
use self::bearer::Bearer;
use self::entities::Kong;
use self::plugins::Jwt;
use super::assemble::{Headers, whole};
use super::envoy::FORWARDED_COOKIES;
use super::need::{Access, Need};
use super::{ConvertError, Converted, ISSUER, Notes};
use crate::arguments::ConvertTo;

/// The name of the provider in the configuration.
const PROVIDER: &str = "kong";

/// Converts the declarative configuration of Kong (`_format_version` 1.1, 2.1 and 3.0).
pub fn from_kong(text: &str) -> Result<Converted, ConvertError> {
    from_value(file::parse(text).map_err(ConvertError::NotYaml)?, ConvertTo::Configuration)
}

/// As [`from_kong`], of what a text says.
pub(super) fn from_value(mut value: Value, to: ConvertTo) -> Result<Converted, ConvertError> {
    let version = match value.get("_format_version") {
        Some(Value::String(version)) => version.clone(),
        Some(Value::Number(version)) => version.to_string(),
        found => {
            return Err(ConvertError::Format(found.map_or("missing".into(), Value::to_string)));
        }
    };
    let mut problems = match version.as_str() {
        "3.0" | "3" => Vec::new(),
        "1.1" | "2.1" => file::upgrade(&mut value),
        _ => return Err(ConvertError::Format(Value::from(version).to_string())),
    };
    problems.extend(file::share(&mut value));
    let nothing = |_: &str| Variable::Unset;
    let document = Document::new(&nothing);
    let kong = entities::read(&document.root(&value));
    problems.extend(document.into_problems());
    match kong {
        Some(kong) if problems.is_empty() => convert(&kong, to, Notes::default()),
        _ => Err(ConvertError::NotUnderstood(Problems(problems))),
    }
}

fn convert(kong: &Kong, to: ConvertTo, mut notes: Notes) -> Result<Converted, ConvertError> {
    let routes = routes::in_use(kong, &mut notes);
    let plugins = routes.iter().filter_map(|(position, route)| {
        Applied::to(kong, *position, route).jwt.map(|jwt| (route.place.as_str(), jwt))
    });
    let plugins: Vec<_> = plugins.collect();
    let Some((_, first)) = plugins.first() else {
        let bearer = bearer::read(kong, &routes, &mut notes).ok_or(ConvertError::NoPlugin)?;
        return of_issuers(kong, &routes, bearer, to, notes);
    };
    let entries = consumers::entries(kong, first.lookup.secret_is_base64, &mut notes)?;
    if !entries.iter().any(|entry| entry.get("jwt_secrets").is_some()) {
        return Err(ConvertError::NoCredential(notes.0));
    }
    let anonymous = anonymous(&plugins, &entries, &mut notes);
    let lookup = Some(&first.lookup);
    let tokens = Some([(PROVIDER.to_owned(), None)].into());
    let valid = &Access { tokens, ..Access::default() };
    let common = routes::Common { lookup, anonymous: anonymous.as_ref(), bearer: None, valid, to };
    let needs = routes::needs(kong, &routes, &common, &mut notes);
    let provider = provider(&plugins, &needs.all, &mut notes);
    let (rule_places, rules): (Vec<_>, Vec<_>) =
        routes::rules(&routes, &needs, valid, &mut notes).into_iter().unzip();
    for field in &kong.others {
        notes.add("the file", format_args!("its {field} stay in Kong"));
    }
    beside::to_remove(kong, &mut notes);
    let mut consumers = json!({ "entries": entries });
    if let (Some(anonymous), Value::Object(members)) = (&anonymous, &mut consumers) {
        members.insert("anonymous".into(), anonymous.username.as_str().into());
    }
    let configuration = configuration(provider, consumers, rules, &mut notes);
    Ok(Converted { configuration, rule_places, notes: notes.0 })
}

/// The whole, for credentials of the jwt plugin.
fn configuration(
    provider: Map<String, Value>,
    consumers: Value,
    rules: Vec<Value>,
    notes: &mut Notes,
) -> Value {
    notes.add_info(
        "identity_token",
        "is new: choose issuer and audiences, and put a signing key in GATEPASS_SIGNING_KEY",
    );
    let forwards = forwards(provider.get("cookie_names"), notes);
    json!({
        "providers": { PROVIDER: provider },
        "token": { "forward": forwards },
        "consumers": consumers,
        "identity_token": {
            "issuer": ISSUER,
            "audiences": ["services"],
            "signing_keys":
                [{ "algorithm": "ES256", "private_key": { "env": "GATEPASS_SIGNING_KEY" } }],
        },
        "rules": rules,
        "errors": { "format": "kong" },
    })
}

/// Whether the token is forwarded, as by Kong's plugins: not where it may be in a cookie.
fn forwards(cookies: Option<&Value>, notes: &mut Notes) -> bool {
    let has_cookies = cookies.and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    if has_cookies {
        notes.add("token", FORWARDED_COOKIES);
    }
    !has_cookies
}

/// A file whose tokens are of issuers.
fn of_issuers(
    kong: &Kong,
    routes: &[(usize, &entities::Route)],
    bearer: Bearer,
    to: ConvertTo,
    mut notes: Notes,
) -> Result<Converted, ConvertError> {
    let valid = &Access::default();
    let common = routes::Common { lookup: None, anonymous: None, bearer: Some(&bearer), valid, to };
    let needs = routes::needs(kong, routes, &common, &mut notes);
    let rules = routes::rules(routes, &needs, valid, &mut notes);
    for field in &kong.others {
        notes.add("the file", format_args!("its {field} stay in Kong"));
    }
    beside::to_remove(kong, &mut notes);
    let mut entries = Vec::new();
    if let Some(mapping) = &bearer.mapping {
        entries = consumers::mapped(kong, mapping, &bearer.issuers, &mut notes)?;
        if entries.is_empty() && !mapping.is_optional {
            // Without entries a configuration has every token pass.
            notes.add("consumers", "a token needs one, and the file has none that could be found");
            return Err(ConvertError::NoCredential(notes.0));
        }
    }
    let mut token = bearer.sources.clone();
    let forwards = forwards(token.get("from_cookies"), &mut notes);
    token.insert("forward".to_owned(), forwards.into());
    let mut sections = Map::from_iter([
        ("token".to_owned(), Value::Object(token)),
        ("errors".to_owned(), json!({ "format": "kong" })),
        ("bypass_cors_preflight".to_owned(), json!(false)),
    ]);
    sections.extend(bearer.consumers(entries).map(|it| ("consumers".to_owned(), it)));
    let setting = "a plugin request-transformer with config: {remove: {headers: [{}]}}";
    let headers = Headers { all: bearer.headers, setting, encodes_lists: false };
    whole(bearer.issuers, sections, headers, rules, notes)
}

/// The anonymous consumer.
struct Anonymous {
    /// The username or id that plugins have.
    named: String,
    username: String,
    groups: Vec<String>,
}

/// The provider: options that several plugins have are as strict as the
/// strictest of them.
fn provider(plugins: &[(&str, &Jwt)], needs: &[Need], notes: &mut Notes) -> Map<String, Value> {
    let place = "plugin jwt";
    let Some((first_route, first)) = plugins.first() else { return Map::new() };
    // The routes of the others are closed.
    let alike = |(_, jwt): &&(&str, &Jwt)| jwt.lookup == first.lookup;
    let plugins: Vec<_> = plugins.iter().filter(alike).copied().collect();
    let mut provider = Map::from_iter([("kind".to_owned(), json!("kong_jwt"))]);
    provider.extend(first.lookup.options());
    let checks = |jwt: &Jwt| {
        let dates = jwt.claims_to_verify.clone().unwrap_or_default();
        let has = |date: &str| dates.iter().any(|it| it == date);
        (has("exp"), has("nbf"), jwt.maximum_expiration, jwt.run_on_preflight)
    };
    for (route, _) in plugins.iter().filter(|(_, jwt)| checks(jwt) != checks(first)) {
        notes.add(
            place,
            format_args!(
                "has other options for {route} than for {first_route}: the stricter hold for both"
            ),
        );
    }
    let of_all = plugins.iter().filter_map(|(_, jwt)| jwt.claims_to_verify.as_ref());
    let dates = ["exp", "nbf"]
        .into_iter()
        .filter(|date| of_all.clone().any(|dates| dates.iter().any(|it| it == date)));
    let mut dates: Vec<_> = dates.collect();
    let longest = plugins.iter().map(|(_, jwt)| jwt.maximum_expiration).filter(|max| *max > 0);
    let shortest = longest.min();
    if plugins.iter().any(|(_, jwt)| jwt.claims_to_verify.is_none()) {
        notes.add(
            place,
            "did not check exp; now a token needs one, unless you write claims_to_verify: []",
        );
        dates.extend((!dates.contains(&"exp")).then_some("exp"));
    }
    dates.extend((shortest.is_some() && !dates.contains(&"exp")).then_some("exp"));
    provider.insert("claims_to_verify".to_owned(), json!(dates));
    if let Some(shortest) = shortest {
        provider.insert("maximum_expiration".to_owned(), shortest.into());
    }
    if plugins.iter().all(|(_, jwt)| !jwt.run_on_preflight) {
        let asks_more = |need: &Need| {
            let Need::Token(access) = need else { return *need == Need::Nobody };
            access.groups_any.is_some() || !access.groups_none.is_empty()
        };
        if needs.iter().any(asks_more) {
            let text = "run_on_preflight false is not carried over: in Kong acl refuses the \
                        preflight that jwt lets pass; here it needs a token";
            notes.add(place, text);
        } else {
            provider.insert("run_on_preflight".to_owned(), json!(false));
            notes.add(place, "run_on_preflight false: of OPTIONS only CORS preflights pass");
        }
    }
    let realm = first.realm.as_ref().map(|realm| ("realm".to_owned(), json!(realm)));
    provider.extend(realm);
    provider
}

fn anonymous(plugins: &[(&str, &Jwt)], entries: &[Value], notes: &mut Notes) -> Option<Anonymous> {
    let mut names = plugins.iter().filter_map(|(_, jwt)| jwt.anonymous.as_deref());
    let named = names.next()?.to_owned();
    if let Some(other) = names.find(|other| **other != named) {
        notes.add("plugin jwt", format_args!("there is one anonymous consumer: not {other}"));
    }
    let is_named = |entry: &&Value| {
        ["id", "username"].iter().any(|field| entry.get(field).is_some_and(|it| *it == *named))
    };
    let entry = entries.iter().find(is_named).filter(|entry| entry.get("enabled").is_none());
    let username = entry.and_then(|entry| entry.get("username")?.as_str());
    let (Some(entry), Some(username)) = (entry, username) else {
        notes.add(
            "plugin jwt",
            format_args!("anonymous {named} is not a consumer with a username: a token is needed"),
        );
        return None;
    };
    let text = "anonymous is for requests without a token: one that is not valid is refused";
    notes.add("plugin jwt", text);
    let acls = entry.get("acls").and_then(Value::as_array).into_iter().flatten();
    let groups = acls.filter_map(|acl| Some(acl.get("group")?.as_str()?.to_owned())).collect();
    Some(Anonymous { named, username: username.to_owned(), groups })
}
