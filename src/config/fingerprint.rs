//! A number that tells a configuration from others, for metrics and the log.

use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The first 48 bits of the SHA-256 of the configuration: a metric's value is a double,
/// which holds no more than 53. Without its secrets, at these paths, since anyone who sees
/// the number and the rest could otherwise test guesses of a short one.
pub(super) fn fingerprint(value: &Value, secrets: &HashSet<String>) -> u64 {
    let mut value = value.clone();
    conceal(&mut value, "$", secrets);
    // The members of objects are sorted.
    let digest = Sha256::digest(value.to_string());
    digest.iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Replaces the values at these paths, which have the form of those in problems.
fn conceal(value: &mut Value, path: &str, secrets: &HashSet<String>) {
    match value {
        _ if secrets.contains(path) => *value = Value::Null,
        Value::Object(members) => {
            for (name, member) in members {
                conceal(member, &format!("{path}.{name}"), secrets);
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                conceal(item, &format!("{path}[{position}]"), secrets);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_configurations_apart_but_not_secrets() {
        let of = |value: &Value| {
            let secrets = ["$.a[0].secret", "$.key"].map(str::to_owned).into();
            fingerprint(value, &secrets)
        };
        let one = json!({"a": [{"secret": "x", "b": 1}], "key": {"d": "y"}});
        assert_eq!(of(&one), of(&json!({"key": {"d": "z"}, "a": [{"b": 1, "secret": "other"}]})));
        for other in [
            json!({"a": [{"secret": "x", "b": 2}], "key": {"d": "y"}}),
            json!({"a": [{"b": 1}], "key": {"d": "y"}}),
            json!({"a": [{"secret": "x", "b": 1}]}),
            json!({}),
        ] {
            assert_ne!(of(&one), of(&other), "{other}");
        }
        assert!(of(&one) < 1 << 48);
    }
}
