//! Made-up secrets in the place of `{env: NAME}`, of vaults' `{vault: ...}` and of Envoy's
//! `{sds: ...}`, so that a configuration can be checked where its secrets are not, as in CI.

use gatepass::config::{
    KeyMaker, MADE_UP, is_variable, make_up_keys, replace_references, sds_reference,
    vault_reference,
};
use gatepass::keys::SigningAlgorithm;
use serde_json::{Map, Value, json};

use crate::arguments::{HostKind, KeyAlgorithm};
use crate::failure::Failure;
use crate::keygen::{self, NewKey};

/// The variable in whose place a host has fetched a secret; no environment has it.
const FETCHED: &str = "=fetched";

/// Makes keys as `keygen` does.
struct Maker;

impl KeyMaker for Maker {
    type Error = Failure;

    fn private_key(&self, algorithm: SigningAlgorithm) -> Result<Vec<u8>, Failure> {
        let key = NewKey::generate(match algorithm {
            SigningAlgorithm::Es256 => KeyAlgorithm::Es256,
            SigningAlgorithm::EdDsa => KeyAlgorithm::EdDsa,
            SigningAlgorithm::Rs256 => KeyAlgorithm::Rs256,
            SigningAlgorithm::Ps256 => KeyAlgorithm::Ps256,
            SigningAlgorithm::Es384 => KeyAlgorithm::Es384,
        })?;
        key.pkcs8().map(<[u8]>::to_vec).ok_or(Failure::Random)
    }

    fn public_key(&self, algorithm: &str) -> Result<Vec<u8>, Failure> {
        keygen::public_key(algorithm)
    }
}

/// Puts made-up keys in the place of those that would come from the environment or that the
/// host would fetch; for other secrets [`gatepass::config::made_up`] is to be the environment.
pub fn fill(mut configuration: Value) -> Result<Value, Failure> {
    gatepass::config::name_vaults(&mut configuration);
    gatepass::config::name_sds(&mut configuration);
    make_up_keys(&mut configuration, is_variable, &Maker)?;
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
    let is_missing = |member: &Value| member.as_object().is_some_and(is_fetched_variable);
    make_up_keys(&mut configuration, is_missing, &Maker)?;
    replace_references(&mut configuration, &|members| {
        is_fetched_variable(members).then(|| MADE_UP.into())
    });
    Ok(configuration)
}

fn is_fetched_variable(members: &Map<String, Value>) -> bool {
    members.get("env").is_some_and(|name| name == FETCHED)
}
