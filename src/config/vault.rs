//! References to vaults, which some doors resolve before the configuration is read.

use serde_json::{Map, Value, json};

/// Replaces each object for which `replacement` returns a value.
pub fn replace_references(
    value: &mut Value,
    replacement: &dyn Fn(&Map<String, Value>) -> Option<Value>,
) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(|item| replace_references(item, replacement));
        }
        Value::Object(members) => match replacement(members) {
            Some(replaced) => *value = replaced,
            None => {
                members.values_mut().for_each(|member| replace_references(member, replacement));
            }
        },
        _ => {}
    }
}

/// The members of `sds`, if an object is `{sds: {...}}`: a secret that Envoy is to fetch.
pub fn sds_reference(members: &Map<String, Value>) -> Option<&Map<String, Value>> {
    members.get("sds").filter(|_| members.len() == 1)?.as_object()
}

/// The reference, if an object is `{vault: "{vault://...}"}`: a secret that Kong is to fetch.
pub fn vault_reference(members: &Map<String, Value>) -> Option<&str> {
    let vault = members.get("vault").filter(|_| members.len() == 1)?.as_str()?;
    vault.starts_with("{vault://").then_some(vault)
}

/// Turns all references, such as `{vault: "{vault://env/key}"}`, into variables, for
/// checking a configuration without access to its vaults.
pub fn name_vaults(value: &mut Value) {
    replace_references(value, &|members| {
        vault_reference(members).map(|_| json!({ "env": "VAULT" }))
    });
}

/// Turns all secrets that Envoy is to fetch, such as `{sds: {name: key, sds_config: {...}}}`,
/// into variables, for checking a configuration without access to them.
pub fn name_sds(value: &mut Value) {
    replace_references(value, &|members| sds_reference(members).map(|_| json!({ "env": "SDS" })));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_are_variables() {
        let mut value = json!({
            "keys": [{"vault": "{vault://env/key}"}, {"vault": "env/key"}],
            "vault": "{vault://env/key}",
            "both": {"vault": "{vault://env/key}", "env": "KEY"},
        });
        name_vaults(&mut value);
        assert_eq!(
            value,
            json!({
                "keys": [{"env": "VAULT"}, {"vault": "env/key"}],
                "vault": "{vault://env/key}",
                "both": {"vault": "{vault://env/key}", "env": "KEY"},
            })
        );
    }
}
