//! Made-up secrets in the place of `{env: NAME}`, of vaults' `{vault: ...}` and of Envoy's
//! `{sds: ...}`, so that a configuration can be checked where its secrets are not, as in CI.
//!
//! Most secrets are text, for which [`TEXT`] will do. Keys have to be of the
//! kind that the field beside them says; they are made anew each time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepass::config::{replace_references, sds_reference, vault_reference};
use serde_json::{Map, Value, json};

use crate::arguments::{HostKind, KeyAlgorithm};
use crate::failure::Failure;
use crate::keygen::{self, NewKey};

/// A value for any secret that is text: also a secret of 64 bytes in base64url,
/// long enough for HS512.
pub const TEXT: &str =
    "made-up-by-gatepass-check-made-up-by-gatepass-check-made-up-by-gatepass-check-made-upA";

/// The variable in whose place a host has fetched a secret; no environment has it.
const FETCHED: &str = "=fetched";

/// Whether a member is a secret that is not here.
type IsMissing = fn(&Value) -> bool;

/// Puts made-up keys in the place of those that would come from the environment or that the
/// host would fetch; for other secrets [`TEXT`] is to be the value of every variable.
pub fn fill(mut configuration: Value) -> Result<Value, Failure> {
    gatepass::config::name_vaults(&mut configuration);
    gatepass::config::name_sds(&mut configuration);
    visit(&mut configuration, |member| member.get("env").is_some())?;
    Ok(configuration)
}

/// Puts made-up secrets in the place of those that only the host can fetch.
pub fn fill_fetched(mut configuration: Value, host: HostKind) -> Result<Value, Failure> {
    let is_fetched = |members: &Map<String, Value>| match host {
        HostKind::Envoy => sds_reference(members).is_some(),
        HostKind::Kong | HostKind::KongFilter => vault_reference(members).is_some(),
    };
    replace_references(&mut configuration, &|members| {
        is_fetched(members).then(|| json!({ "env": FETCHED }))
    });
    visit(&mut configuration, |member| member.as_object().is_some_and(is_fetched_variable))?;
    replace_references(&mut configuration, &|members| {
        is_fetched_variable(members).then(|| TEXT.into())
    });
    Ok(configuration)
}

fn is_fetched_variable(members: &Map<String, Value>) -> bool {
    members.get("env").is_some_and(|name| name == FETCHED)
}

fn visit(value: &mut Value, is_missing: IsMissing) -> Result<(), Failure> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| visit(item, is_missing)),
        Value::Object(members) => {
            let algorithm = members.get("algorithm").and_then(Value::as_str).map(str::to_owned);
            for (name, member) in members.iter_mut() {
                if name == "private_key" && is_missing(member) {
                    // Otherwise only the problem of `algorithm` is reported.
                    let algorithm = match algorithm.as_deref() {
                        Some("EdDSA") => KeyAlgorithm::EdDsa,
                        Some("RS256") => KeyAlgorithm::Rs256,
                        Some("PS256") => KeyAlgorithm::Ps256,
                        Some("ES384") => KeyAlgorithm::Es384,
                        _ => KeyAlgorithm::Es256,
                    };
                    *member = NewKey::generate(algorithm)?.jwk(None);
                } else if name == "rsa_public_key" && is_missing(member) {
                    let algorithm = algorithm.as_deref().unwrap_or_default();
                    *member = keygen::public_pem(algorithm)?.into();
                } else if name == "sealed_tokens" {
                    seal_keys(member, is_missing);
                } else {
                    visit(member, is_missing)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// 32 bytes for each key, none of them twice.
fn seal_keys(sealed_tokens: &mut Value, is_missing: IsMissing) {
    let keys = sealed_tokens.get_mut("keys").and_then(Value::as_array_mut);
    for (number, key) in (0u8..).zip(keys.into_iter().flatten()) {
        if is_missing(key) {
            *key = STANDARD.encode([number; 32]).into();
        }
    }
}
