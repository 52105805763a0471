//! Made-up secrets in the place of `{env: NAME}`, of vaults' `{vault: ...}` and of Envoy's
//! `{sds: ...}`, so that a configuration can be checked where its secrets are not, as in CI.
//!
//! Most secrets are text, for which [`TEXT`] will do. Keys have to be of the
//! kind that the field beside them says; they are made anew each time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::arguments::KeyAlgorithm;
use crate::failure::Failure;
use crate::keygen::{self, NewKey};

/// A value for any secret that is text: also a secret of 64 bytes in base64url,
/// long enough for HS512.
pub const TEXT: &str =
    "made-up-by-gatepass-check-made-up-by-gatepass-check-made-up-by-gatepass-check-made-upA";

/// Puts keys in the place of those that would come from the environment or a vault.
pub fn fill(mut configuration: Value) -> Result<Value, Failure> {
    gatepass::config::name_vaults(&mut configuration);
    gatepass::config::name_sds(&mut configuration);
    visit(&mut configuration)?;
    Ok(configuration)
}

fn visit(value: &mut Value) -> Result<(), Failure> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(visit),
        Value::Object(members) => {
            let algorithm = members.get("algorithm").and_then(Value::as_str).map(str::to_owned);
            for (name, member) in members.iter_mut() {
                if name == "private_key" && member.get("env").is_some() {
                    // Otherwise only the problem of `algorithm` is reported.
                    let algorithm = match algorithm.as_deref() {
                        Some("EdDSA") => KeyAlgorithm::EdDsa,
                        Some("RS256") => KeyAlgorithm::Rs256,
                        _ => KeyAlgorithm::Es256,
                    };
                    *member = NewKey::generate(algorithm)?.jwk(None);
                } else if name == "rsa_public_key" && member.get("env").is_some() {
                    let algorithm = algorithm.as_deref().unwrap_or_default();
                    *member = keygen::public_pem(algorithm)?.into();
                } else if name == "sealed_tokens" {
                    seal_keys(member);
                } else {
                    visit(member)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// 32 bytes for each key, none of them twice.
fn seal_keys(sealed_tokens: &mut Value) {
    let keys = sealed_tokens.get_mut("keys").and_then(Value::as_array_mut);
    for (number, key) in (0u8..).zip(keys.into_iter().flatten()) {
        if key.get("env").is_some() {
            *key = STANDARD.encode([number; 32]).into();
        }
    }
}
