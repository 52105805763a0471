//! The whole configuration, from the parts that a source has.

use gatepass::config::{self, Problems};
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
    pub(super) claim_headers: Vec<ClaimHeader>,
    pub(super) rules: Vec<Stated>,
    pub(super) bypass_cors_preflight: bool,
}

/// A header that services get, and the claim that is in it.
pub(super) struct ClaimHeader {
    pub(super) place: String,
    pub(super) header: String,
    pub(super) claim: Value,
}

/// Claims of identity tokens that are there without being copied.
const OWN_CLAIMS: [&str; 8] = ["iss", "aud", "sub", "exp", "iat", "client_id", "scope", "groups"];

/// Puts the parts together. What a header cannot carry is left out, with a note.
pub(super) fn assemble(parts: Parts, mut notes: Notes) -> Result<Converted, ConvertError> {
    let Parts { issuers, token, claim_headers, rules, bypass_cors_preflight } = parts;
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
    whole(issuers, sections, claim_headers, rules, notes)
}

/// The whole, from issuers, rules with their places, and other sections.
pub(super) fn whole(
    issuers: Issuers,
    sections: Map<String, Value>,
    claim_headers: Vec<ClaimHeader>,
    rules: Vec<(String, Value)>,
    mut notes: Notes,
) -> Result<Converted, ConvertError> {
    if issuers.is_empty() {
        return Err(ConvertError::NoCredential(notes.0));
    }
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
        let text = "subject is {provider}:{sub}, since two issuers may have the same users' names";
        notes.add_info("identity_token", text);
    }
    let (places, rules): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
    let mut configuration = sections;
    configuration.extend([
        ("services".to_owned(), services),
        ("providers".to_owned(), providers),
        ("identity_token".to_owned(), identity),
        ("rules".to_owned(), rules.into()),
    ]);
    let mut configuration = Value::Object(configuration);
    for header in claim_headers {
        if let Some(with) = with_header(&configuration, &header) {
            configuration = with;
        } else {
            let ClaimHeader { place, header, claim } = header;
            let text = format_args!("the header {header} with the claim {claim} cannot be sent");
            notes.add(&place, text);
        }
    }
    accepted(&configuration)?;
    Ok(Converted { configuration, rule_places: places, notes: notes.0 })
}

/// The configuration with one more header, if that is accepted.
fn with_header(configuration: &Value, added: &ClaimHeader) -> Option<Value> {
    let mut with = configuration.clone();
    let mut push = |section: &[&str], value: Value| {
        let mut place = &mut with;
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
    };
    let name = added.claim.as_str().unwrap_or_default();
    if !OWN_CLAIMS.contains(&name) {
        push(&["identity_token", "claims", "copy"], added.claim.clone())?;
    }
    let header = json!({ "header": added.header, "claim": added.claim, "format": "text" });
    push(&["claim_to_headers"], header)?;
    accepted(&with).is_ok().then_some(with)
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
