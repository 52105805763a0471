//! The whole configuration, from the parts that a source has.

use std::collections::BTreeSet;

use gatepass::config::{self, Problems};
use gatepass::http::is_spelled;
use gatepass::identity::IdentityHeaders;
use serde_json::{Map, Value, json};

use super::decisions::Stated;
use super::issuers::Issuers;
use super::{ConvertError, Converted, ISSUER, Notes};
use crate::placeholders;

/// What a source comes to.
pub(super) struct Parts {
    pub(super) issuers: Issuers,
    /// `token`.
    pub(super) token: Map<String, Value>,
    pub(super) headers: Headers,
    pub(super) rules: Vec<Stated>,
    pub(super) bypass_cors_preflight: bool,
}

/// The headers that the source writes, so that a client cannot set them.
pub(super) struct Headers {
    pub(super) all: Vec<SourceHeader>,
    /// The setting of the source's proxy that removes a header, with `{}` for its name.
    pub(super) setting: &'static str,
    /// It writes lists and objects in base64, as Envoy does.
    pub(super) encodes_lists: bool,
}

/// A header that the source writes, and the claim in it: `None` where it is something else,
/// or nothing any more.
pub(super) struct SourceHeader {
    pub(super) place: String,
    pub(super) header: String,
    pub(super) claim: Option<Value>,
    /// The issuers whose tokens have their claim there.
    pub(super) issuers: Vec<String>,
}

/// Claims that an identity token has as the public token has them.
const SAME_CLAIMS: [&str; 2] = ["sub", "scope"];

/// Claims that an identity token has of its own, with other values.
const OWN_CLAIMS: [&str; 6] = ["iss", "aud", "exp", "iat", "client_id", "groups"];

/// Claims that are texts, numbers or booleans.
const TEXTS: [&str; 15] = [
    "sub",
    "iss",
    "email",
    "email_verified",
    "name",
    "given_name",
    "family_name",
    "preferred_username",
    "azp",
    "client_id",
    "jti",
    "sid",
    "exp",
    "iat",
    "scope",
];

/// A claim that no identity token has: a header with it is never sent, and never as a client
/// sent it.
pub(crate) const NO_CLAIM: &str = "removed-by-convert";

/// Puts the parts together. What a header cannot carry is left out, with a note.
pub(super) fn assemble(parts: Parts, mut notes: Notes) -> Result<Converted, ConvertError> {
    let Parts { issuers, token, headers, rules, bypass_cors_preflight } = parts;
    let simplified = rules.into_iter().map(|rule| {
        let need = issuers.simplified(rule.need.clone(), &rule.place, &mut notes);
        Stated { need, ..rule }
    });
    let rules: Vec<_> = simplified.collect();
    let rules =
        rules.iter().map(|rule| (rule.place.clone(), rule.need.rule(&rule.matching.to_json())));
    let rules = rules.collect();
    let mut sections =
        Map::from_iter([("bypass_cors_preflight".to_owned(), json!(bypass_cors_preflight))]);
    if !token.is_empty() {
        sections.insert("token".to_owned(), Value::Object(token));
    }
    whole(issuers, sections, headers, rules, notes)
}

/// The whole, from issuers, rules with their places, and other sections.
pub(super) fn whole(
    issuers: Issuers,
    sections: Map<String, Value>,
    headers: Headers,
    rules: Vec<(String, Value)>,
    mut notes: Notes,
) -> Result<Converted, ConvertError> {
    if issuers.is_empty() {
        return Err(ConvertError::NoCredential(notes.0));
    }
    let mut headers = headers;
    of_all_issuers(&mut headers.all, issuers.issuers(), &mut notes);
    let (services, providers) = issuers.finish();
    let are_several = providers.as_object().is_some_and(|providers| providers.len() > 1);
    let is_taken = |audience: &str| {
        let providers = providers.as_object().into_iter().flatten();
        let mut lists = providers.filter_map(|(_, it)| it.get("audiences")?.as_array());
        lists.any(|audiences| audiences.iter().any(|it| it == audience))
    };
    let audience = if is_taken("services") { "services-behind-gatepass" } else { "services" };
    let mut identity = json!({
        "issuer": ISSUER,
        "audiences": [audience],
        "signing_keys":
            [{ "algorithm": "ES256", "private_key": { "env": "GATEPASS_SIGNING_KEY" } }],
    });
    notes.add_info(
        "identity_token",
        "is new: choose issuer and audiences, and put a signing key in GATEPASS_SIGNING_KEY",
    );
    if let (true, Value::Object(identity)) = (are_several, &mut identity) {
        identity.insert("subject".to_owned(), json!("{provider}:{sub}"));
        let text = "subject is {provider}:{sub}, since two issuers may have the same users' names. \
                    So each user has another sub, X-Consumer-Custom-ID and header with sub than \
                    before (alice is PROVIDER:alice): services that keep data by it must know both. \
                    Write {sub} if no two users of these issuers have one sub";
        let is_sub = |it: &SourceHeader| it.claim.as_ref().is_some_and(|claim| claim == "sub");
        if headers.all.iter().any(is_sub) {
            notes.add("identity_token", text);
        } else {
            notes.add_info("identity_token", text);
        }
    }
    let (places, rules): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
    let mut configuration = sections;
    configuration.extend([
        ("services".to_owned(), services),
        ("providers".to_owned(), providers),
        ("identity_token".to_owned(), identity),
        ("rules".to_owned(), rules.into()),
    ]);
    let encodes_lists = headers.encodes_lists;
    let configuration = with_headers(Value::Object(configuration), headers, &mut notes);
    if encodes_lists {
        about_lists(&configuration, &mut notes);
    }
    accepted(&configuration)?;
    Ok(Converted { configuration, rule_places: places, notes: notes.0 })
}

/// Takes the claims out of headers that tokens of some issuers fill and those of others do not:
/// Gatepass would send what any of them says.
fn of_all_issuers(
    headers: &mut [SourceHeader],
    issuers: impl Iterator<Item = String>,
    notes: &mut Notes,
) {
    let issuers: Vec<_> = issuers.collect();
    let missing = |own: &SourceHeader| {
        let is_alike = |it: &&SourceHeader| it.header == own.header && it.claim == own.claim;
        let alike = || headers.iter().filter(is_alike).flat_map(|it| &it.issuers);
        let others = issuers.iter().filter(|issuer| !alike().any(|it| it == *issuer));
        others.cloned().collect::<Vec<_>>()
    };
    let missing: Vec<_> = headers.iter().map(missing).collect();
    for (own, missing) in headers.iter_mut().zip(missing) {
        let Some(claim) = own.claim.take_if(|_| !missing.is_empty()) else { continue };
        let text = format_args!(
            "the header {} with the claim {claim} is not sent: Gatepass would send it for tokens of \
             {} as well, which have another claim there, or none. Write it to claim_to_headers if \
             services may believe that claim of all issuers",
            own.header,
            missing.join(", ")
        );
        notes.add(&own.place, text);
    }
}

/// Notes the headers whose claim may be a list or an object.
fn about_lists(configuration: &Value, notes: &mut Notes) {
    let headers = configuration.get("claim_to_headers").and_then(Value::as_array);
    let is_text = |claim: &str| claim == NO_CLAIM || TEXTS.contains(&claim);
    let may_be = |it: &&Value| !it.get("claim").and_then(Value::as_str).is_some_and(is_text);
    let names = headers.into_iter().flatten().filter(may_be);
    let names: BTreeSet<_> = names.filter_map(|it| it.get("header")?.as_str()).collect();
    if !names.is_empty() {
        let place = format!("header {}", names.into_iter().collect::<Vec<_>>().join(", "));
        let text = "a list or an object is sent as text, where Envoy sends base64 of its JSON: for \
                    a claim that is one, write format: json_base64, or change the services";
        notes.add_info(&place, text);
    }
}

/// The configuration with the headers that it can send. The others are removed from clients'
/// requests, as the source does: services may still read them.
fn with_headers(mut configuration: Value, headers: Headers, notes: &mut Notes) -> Value {
    let mut unsent = Vec::new();
    for SourceHeader { place, header, claim, .. } in headers.all {
        match claim.as_ref().map(|claim| with_header(&configuration, &header, claim)) {
            Some(Some(with)) => configuration = with,
            Some(None) => {
                let claim = claim.unwrap_or_default();
                let text = match claim_in(&configuration, &header) {
                    Some(other) => format!(
                        "the header {header} has the claim {other} already: services do not get \
                         the claim {claim} in it"
                    ),
                    None => {
                        let why = why_unsent(&claim);
                        format!("the header {header} with the claim {claim} cannot be sent{why}")
                    }
                };
                notes.add(&place, text);
                unsent.push((place, header));
            }
            None => unsent.push((place, header)),
        }
    }
    for (place, header) in unsent {
        if is_owned(&configuration, &header) {
            continue;
        }
        if let Some(with) = with_claim_header(&configuration, &header, &NO_CLAIM.into()) {
            configuration = with;
            let text = format_args!(
                "is removed from clients' requests, as before: no identity token has the claim \
                 {NO_CLAIM}"
            );
            notes.add_info(&format!("header {header}"), text);
        } else {
            let setting = headers.setting.replace("{}", &header);
            let text = format_args!(
                "clients can set the header {header} now, which Gatepass cannot remove: add \
                 {setting}, until no service reads it"
            );
            notes.add(&place, text);
        }
    }
    configuration
}

/// Why a header cannot have a claim, if it is not the header's name.
fn why_unsent(claim: &Value) -> &'static str {
    match claim.as_str() {
        Some("groups") => {
            ": an identity token has its consumer's groups there. With consumers.groups_claims: \
             [groups] they are those of the token, and claim_to_headers can have them"
        }
        Some(name) if OWN_CLAIMS.contains(&name) => ": an identity token has its own value there",
        _ => "",
    }
}

/// The claim that a header has already.
fn claim_in<'a>(configuration: &'a Value, header: &str) -> Option<&'a Value> {
    let all = configuration.get("claim_to_headers")?.as_array()?;
    all.iter().find(|it| it.get("header").is_some_and(|own| own == header))?.get("claim")
}

/// Whether Gatepass removes a client's header already.
fn is_owned(configuration: &Value, header: &str) -> bool {
    let is_it = |own: &str| is_spelled(own.as_bytes(), header.as_bytes());
    let claims = configuration.get("claim_to_headers").and_then(Value::as_array);
    let mut claims = claims.into_iter().flatten().filter_map(|it| it.get("header")?.as_str());
    IdentityHeaders::new(Vec::new()).owned().any(|own| is_it(own.as_str()))
        || ["x-identity-token", "txn-token"].into_iter().any(is_it)
        || claims.any(is_it)
}

/// The configuration with one more header and its claim, if that is accepted.
fn with_header(configuration: &Value, header: &str, claim: &Value) -> Option<Value> {
    let mut with = configuration.clone();
    let name = claim.as_str().unwrap_or_default();
    let groups = configuration.pointer("/consumers/groups_claims");
    let has_groups = name == "groups" && groups.is_some_and(|it| *it == json!(["groups"]));
    if OWN_CLAIMS.contains(&name) && !has_groups {
        return None;
    }
    if !SAME_CLAIMS.contains(&name) && !has_groups {
        push(&mut with, &["identity_token", "claims", "copy"], claim.clone())?;
    }
    with_claim_header(&with, header, claim)
}

/// The configuration with one more header, if that is accepted.
fn with_claim_header(configuration: &Value, header: &str, claim: &Value) -> Option<Value> {
    let mut with = configuration.clone();
    let header = json!({ "header": header, "claim": claim, "format": "text" });
    push(&mut with, &["claim_to_headers"], header)?;
    accepted(&with).is_ok().then_some(with)
}

/// Adds to a list, which may not be there yet, what it does not have.
fn push(configuration: &mut Value, section: &[&str], value: Value) -> Option<()> {
    let mut place = configuration;
    for (position, name) in section.iter().enumerate() {
        let is_last = position.saturating_add(1) == section.len();
        let empty = if is_last { json!([]) } else { json!({}) };
        place = place.as_object_mut()?.entry((*name).to_owned()).or_insert(empty);
    }
    let list = place.as_array_mut()?;
    if !list.contains(&value) {
        list.push(value);
    }
    Some(())
}

/// Whether the filter takes it, with made-up secrets.
pub(super) fn accepted(configuration: &Value) -> Result<(), ConvertError> {
    let sample = placeholders::fill(configuration.clone()).map_err(|_| {
        let problem = config::Problem::new("$", "keys that could not be made up", "a machine");
        ConvertError::NotAccepted(Problems(vec![problem]))
    })?;
    match config::load(sample.to_string().as_bytes(), &config::made_up, None) {
        Ok(_) => Ok(()),
        Err(problems) => Err(ConvertError::NotAccepted(problems)),
    }
}
