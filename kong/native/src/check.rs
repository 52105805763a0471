//! Reads and validates configurations.

use std::rc::Rc;

use gatepass::config::{self, Problem, Problems};
use gatepass::host::HostCapabilities;
use gatepass::json;
use gatepass::pipeline::Settings;
use gatepass_native::{AwsLc, MadeUpKeys};

use crate::address::{self, Address};

/// The settings of a configuration that is to run here, with the machine's environment
/// and cryptography.
pub fn settings(text: &[u8], host: HostCapabilities) -> Result<Settings, Problems> {
    gatepass_native::load(text, Rc::new(AwsLc)).and_then(|settings| fitting(settings, host))
}

/// The problems of a configuration, wherever it will run: of secrets from the environment or
/// a vault only that they are asked for, with made-up ones in their place.
pub fn problems(text: &[u8]) -> Vec<Problem> {
    let filled = json::parse(text).map(|mut value| {
        config::name_vaults(&mut value);
        config::make_up_keys(&mut value, config::is_variable, &MadeUpKeys::default())
            .map(|()| value.to_string().into_bytes())
    });
    let filled = match filled {
        Ok(Ok(filled)) => filled,
        Ok(Err(error)) => {
            return vec![Problem::new("$", error.to_string(), "a machine that can make keys")];
        }
        // The reader reports text that is not JSON.
        Err(_) => text.to_vec(),
    };
    let loaded = config::load(&filled, &config::made_up, Some(Rc::new(AwsLc)));
    let fitted = loaded.and_then(|settings| fitting(settings, HostCapabilities::KONG_PLUGIN));
    fitted.err().map(|Problems(problems)| problems).unwrap_or_default()
}

/// Refuses addresses that nginx cannot parse, and features that it does not support.
fn fitting(settings: Settings, host: HostCapabilities) -> Result<Settings, Problems> {
    let services = settings.services.iter().filter(|service| Address::of(service).is_none());
    let mut problems: Vec<_> = services
        .map(|service| {
            let path = format!("$.services.{}.upstream", service.name);
            Problem::new(path, format!("{:?}", service.upstream), address::ACCEPTED)
        })
        .collect();
    problems.extend(config::check_host(&settings, host));
    Problems::check(problems).map(|()| settings)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn configuration(signing_keys: &Value) -> Value {
        json!({
            "services": {"auth": {"upstream": "auth:80", "authority": "auth"}},
            "providers": {"shop": {
                "issuer": "https://auth.example", "audiences": ["api"],
                "remote_jwks": {"service": "auth", "path": "/jwks"},
            }},
            "identity_token": {
                "issuer": "https://gateway.example", "audiences": ["services"],
                "signing_keys": signing_keys,
            },
        })
    }

    fn paths(configuration: &Value) -> Vec<String> {
        let found = problems(configuration.to_string().as_bytes());
        found.into_iter().map(|problem| problem.path).collect()
    }

    /// Where a configuration is made, its keys may not be; the cryptography is that of
    /// the workers all the same. What the whole of it shows is found without them.
    #[test]
    fn only_what_needs_a_secret_itself_waits_for_the_workers() {
        for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
            for key in [json!({"env": "GATEPASS_KEY"}), json!({"vault": "{vault://env/key}"})] {
                let key = json!({"algorithm": algorithm, "private_key": key});
                // Two of the same name: they may be two keys.
                let good = configuration(&json!([key, key]));
                assert_eq!(paths(&good), [""; 0], "{algorithm}");
                for (field, value, expected) in [
                    ("limits", json!({"end_streams": true}), "$.limits.end_streams"),
                    (
                        "rules",
                        json!([{"match": {}, "identity": {"ttl_seconds": 301}}]),
                        "$.rules[0].identity.ttl_seconds",
                    ),
                    (
                        "resources",
                        json!([{"resource": "https://a.example/x", "audiences": ["services"]}]),
                        "$.identity_token.audiences",
                    ),
                    (
                        "user_info",
                        json!({"service": "none", "path": "/u", "headers": {"x-key": {"env": "K"}}}),
                        "$.user_info.service",
                    ),
                ] {
                    let mut bad = good.clone();
                    bad[field] = value;
                    assert_eq!(paths(&bad), [expected], "{algorithm}");
                }
            }
        }
    }

    /// No environment and no vault can give these.
    #[test]
    fn what_is_no_reference_is_no_secret() {
        for reference in [
            json!({"env": ["KEY"]}),
            json!({"env": 5}),
            json!({"env": null}),
            json!({"env": {}}),
            json!({"env": ""}),
            json!({"env": "KEY=x"}),
            json!({"env": "-----BEGIN PRIVATE KEY-----\nMIG"}),
            json!({"env": "KEY", "default": "x"}),
            json!({"env": "KEY", "vault": "{vault://env/key}"}),
        ] {
            let key = json!({"algorithm": "ES256", "private_key": reference});
            let path = "$.identity_token.signing_keys[0].private_key";
            assert_eq!(paths(&configuration(&json!([key]))), [path], "{reference}");
            let mut other = configuration(
                &json!([{"algorithm": "ES256", "private_key": {"env": "GATEPASS_KEY"}}]),
            );
            other["services"]["auth"]["headers"] = json!({"x-key": reference});
            assert_eq!(paths(&other), ["$.services.auth.headers.x-key"], "{reference}");
        }
    }

    #[test]
    fn the_keys_of_consumers_may_be_elsewhere_too() {
        let mut configuration =
            configuration(&json!([{"algorithm": "ES256", "private_key": {"env": "GATEPASS_KEY"}}]));
        configuration["providers"] = json!({"legacy": {"kind": "kong_jwt"}});
        let credential = |algorithm: &str| {
            let name = if algorithm == "HS512" { "secret" } else { "rsa_public_key" };
            json!({"key": algorithm, "algorithm": algorithm, name: {"env": "GATEPASS_KEY"}})
        };
        let all = ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS512"].map(credential);
        configuration["consumers"] = json!({"entries": [{"username": "acme", "jwt_secrets": all}]});
        configuration["sealed_tokens"] = json!({
            "keys": [{"env": "GATEPASS_SEAL"}, {"vault": "{vault://env/seal}"}], "logins": [],
        });
        let found = problems(configuration.to_string().as_bytes());
        assert!(found.is_empty(), "{found:?}");
    }
}
