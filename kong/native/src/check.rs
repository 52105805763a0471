//! Reads and validates configurations.

use std::rc::Rc;

use gatepass::config::{self, Problem, ProblemKind, Problems, Variable};
use gatepass::host::HostCapabilities;
use gatepass::json;
use gatepass::pipeline::Settings;
use gatepass_native::AwsLc;

use crate::address::{self, Address};

/// The settings of a configuration that is to run here, with the machine's environment
/// and cryptography.
pub fn settings(text: &[u8]) -> Result<Settings, Problems> {
    gatepass_native::load(text, Rc::new(AwsLc)).and_then(fitting)
}

/// The problems of a configuration, wherever it will run: secrets from the environment or
/// a vault are assumed to exist.
pub fn problems(text: &[u8]) -> Vec<Problem> {
    let named = json::parse(text).map(|mut value| {
        config::name_vaults(&mut value);
        value.to_string().into_bytes()
    });
    let unset = |problem: &Problem| problem.kind == ProblemKind::VariableUnset;
    // The reader reports text that is not JSON.
    let text = named.as_deref().unwrap_or(text);
    let loaded = config::load(text, &|_| Variable::Unset, Some(Rc::new(AwsLc)));
    match loaded.and_then(fitting) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => {
            let mut problems: Vec<_> = problems.into_iter().filter(|it| !unset(it)).collect();
            // Without its secrets there are no settings to check.
            let asks = json::parse(text)
                .is_ok_and(|it| it.pointer("/limits/end_streams") == Some(&true.into()));
            let streams = config::streams_go_on();
            if asks && !problems.contains(&streams) {
                problems.push(streams);
            }
            problems
        }
    }
}

/// Refuses addresses that nginx cannot parse, and features that it does not support.
fn fitting(settings: Settings) -> Result<Settings, Problems> {
    let services = settings.services.iter().filter(|service| Address::of(service).is_none());
    let mut problems: Vec<_> = services
        .map(|service| {
            let path = format!("$.services.{}.upstream", service.name);
            Problem::new(path, format!("{:?}", service.upstream), address::ACCEPTED)
        })
        .collect();
    problems.extend(config::check_host(&settings, HostCapabilities::KONG_PLUGIN));
    Problems::check(problems).map(|()| settings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Where a configuration is made, its keys may not be; the cryptography is that of
    /// the workers all the same.
    #[test]
    fn what_the_workers_sign_with_is_accepted_where_the_configuration_is_made() {
        for algorithm in ["ES256", "EdDSA", "RS256", "PS256", "ES384"] {
            for key in [json!({"env": "GATEPASS_KEY"}), json!({"vault": "{vault://env/key}"})] {
                let configuration = json!({
                    "services": {"auth": {"upstream": "auth:80", "authority": "auth"}},
                    "providers": {"shop": {
                        "issuer": "https://auth.example", "audiences": ["api"],
                        "remote_jwks": {"service": "auth", "path": "/jwks"},
                    }},
                    "identity_token": {
                        "issuer": "https://gateway.example", "audiences": ["services"],
                        "signing_keys": [{"algorithm": algorithm, "private_key": key}],
                    },
                });
                let found = problems(configuration.to_string().as_bytes());
                assert!(found.is_empty(), "{algorithm}: {found:?}");
                let mut lasting = configuration;
                lasting["limits"] = json!({"end_streams": true});
                let found = problems(lasting.to_string().as_bytes());
                let paths: Vec<_> = found.iter().map(|problem| problem.path.as_str()).collect();
                assert_eq!(paths, ["$.limits.end_streams"], "nginx ends no stream");
            }
        }
    }
}
