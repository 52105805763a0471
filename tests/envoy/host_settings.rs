//! Configurations with TLS, which need names and certificates of their users.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use rcgen::{CertificateParams, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::stack::door::Door;
use crate::stack::{envoy, keys};

/// A certificate of an authority of its own, with its key, and that authority.
fn certificates(directory: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let authority = CertificateParams::new(vec!["authority.internal".to_owned()]).unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let gateway = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
    let gateway = gateway.signed_by(&key, &issuer).unwrap();
    fs::write(directory.join("gateway.crt"), gateway.pem()).unwrap();
    fs::write(directory.join("gateway.key"), key.serialize_pem()).unwrap();
    fs::write(directory.join("services-ca.crt"), root.pem()).unwrap();
}

/// Whether Envoy accepts a configuration, and what it says.
fn validate(configuration: &str) -> (bool, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{count}"));
    fs::create_dir_all(&directory).unwrap();
    certificates(&directory);
    let file = directory.join("envoy.yaml");
    let here = directory.to_str().unwrap();
    let door = Door::chosen();
    let configuration = door.translate(&configuration.replace("/etc/envoy/tls", here));
    fs::write(&file, configuration).unwrap();
    let output = Command::new(envoy::installed())
        .current_dir(envoy::directory())
        .args(["--mode", "validate", "--config-path", file.to_str().unwrap()])
        .envs(door.environment().iter().copied())
        .env("GATEPASS_SIGNING_KEY", keys::p256_pem())
        .env("USERS_API_KEY", keys::random_text())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

#[test]
fn the_form_with_tls_is_accepted_by_envoy() {
    let bundled = fs::read_to_string(envoy::directory().join("envoy/envoy-tls.yaml")).unwrap();
    let (accepted, said) = validate(&bundled);
    assert!(accepted, "{said}");
    // A certificate that is not there is found.
    let (accepted, said) = validate(&bundled.replace("services-ca.crt", "absent.crt"));
    assert!(!accepted && said.contains("absent.crt"), "{said}");
    let (accepted, said) = validate(&bundled.replace("tls_params:", "tls_parms:"));
    assert!(!accepted, "{said}");
}

#[test]
fn the_minimal_form_is_accepted_by_envoy() {
    let minimal = fs::read_to_string(envoy::directory().join("envoy/minimal.yaml")).unwrap();
    let authorities = "/etc/ssl/certs/ca-certificates.crt";
    let (accepted, said) =
        validate(&minimal.replace(authorities, "/etc/envoy/tls/services-ca.crt"));
    assert!(accepted, "{said}");
    let (accepted, said) = validate(&minimal.replace("normalize_path", "normalise_path"));
    assert!(!accepted, "{said}");
}

/// What the manual puts before a service that cannot verify.
#[test]
fn the_sidecar_is_accepted_by_envoy() {
    let page = fs::read_to_string(envoy::directory().join("docs/services.md")).unwrap();
    let (_, rest) = page.split_once("\n```yaml sidecar\n").expect("the example");
    let filter: Value = serde_norway::from_str(rest.split("\n```").next().unwrap()).unwrap();
    let minimal = fs::read_to_string(envoy::directory().join("envoy/minimal.yaml")).unwrap();
    let mut envoy: Value = serde_norway::from_str(&minimal).unwrap();
    let settings = &mut envoy["static_resources"];
    let filters = "/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    *settings.pointer_mut(filters).expect("the gateway's filter") = filter;
    settings["clusters"][0]["name"] = json!("gateway");
    let envoy = envoy.to_string().replace("my-service\"", "gateway\"");
    let authorities = "/etc/ssl/certs/ca-certificates.crt";
    let (accepted, said) = validate(&envoy.replace(authorities, "/etc/envoy/tls/services-ca.crt"));
    assert!(accepted, "{said}");
}

/// The cluster that the manual shows, for a provider somewhere else.
#[test]
fn the_cluster_of_a_provider_is_accepted_by_envoy_and_verifies_whom_it_talks_to() {
    let page = fs::read_to_string(envoy::directory().join("docs/providers.md")).unwrap();
    let (_, rest) = page.split_once("\n```yaml cluster\n").expect("the example");
    let cluster: Value = serde_norway::from_str(rest.split("\n```").next().unwrap()).unwrap();
    let tls = &cluster["transport_socket"]["typed_config"];
    let verification = &tls["common_tls_context"]["validation_context"];
    let authorities = verification["trusted_ca"]["filename"].as_str().expect("who is trusted");
    let host = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        ["socket_address"]["address"];
    // What is absent is no host: two absent ones would be equal.
    let host = host.as_str().expect("a host");
    assert_eq!(tls["sni"], host);
    assert_eq!(verification["match_typed_subject_alt_names"][0]["matcher"]["exact"], host);
    // The host and the cluster of the example that it is for.
    let example = envoy::directory().join("examples/providers/auth0.yaml");
    let example: Value = serde_norway::from_str(&fs::read_to_string(example).unwrap()).unwrap();
    assert_eq!(&example["services"]["auth0"]["upstream"], &cluster["name"]);
    assert_eq!(example["services"]["auth0"]["authority"], host);
    let bootstrap = json!({"static_resources": {"clusters": [cluster]}}).to_string();
    let bootstrap = bootstrap.replace(authorities, "/etc/envoy/tls/services-ca.crt");
    let (accepted, said) = validate(&bootstrap);
    assert!(accepted, "{said}");
}
