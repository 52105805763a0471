//! References to vaults, which some doors resolve before the configuration is read.

use serde_json::Value;

/// Turns all references, such as `{vault: "{vault://env/key}"}`, into variables, for
/// checking a configuration without access to its vaults.
pub fn name_vaults(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(name_vaults),
        Value::Object(members) => {
            let vault = members.get("vault").and_then(Value::as_str);
            if members.len() == 1 && vault.is_some_and(|it| it.starts_with("{vault://")) {
                members.clear();
                members.insert("env".into(), "VAULT".into());
            }
            members.values_mut().for_each(name_vaults);
        }
        _ => {}
    }
}

/// Turns all secrets that Envoy is to fetch into variables, such as `{sds: {name: key,
/// sds_config: {...}}}`, likewise.
pub fn name_sds(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(name_sds),
        Value::Object(members) => {
            if members.len() == 1 && members.get("sds").is_some_and(Value::is_object) {
                members.clear();
                members.insert("env".into(), "SDS".into());
            }
            members.values_mut().for_each(name_sds);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
