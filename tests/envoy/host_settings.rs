//! The configuration with TLS, which needs names and certificates of its users.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use rcgen::{CertificateParams, Issuer, KeyPair};

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
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls");
    fs::create_dir_all(&directory).unwrap();
    certificates(&directory);
    let file = directory.join("envoy.yaml");
    let here = directory.to_str().unwrap();
    fs::write(&file, configuration.replace("/etc/envoy/tls", here)).unwrap();
    let output = Command::new(envoy::installed())
        .current_dir(envoy::directory())
        .args(["--mode", "validate", "--config-path", file.to_str().unwrap()])
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
