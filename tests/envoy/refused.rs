//! Configurations that must not serve.

use serde_json::json;

use crate::gateway::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_mistakes_is_refused_with_all_of_them_in_one_line() {
    let log = Setup::bundled()
        .replace("algorithms: [RS256, ES256, EdDSA]", "algorithms: [RS256, none]")
        .replace("service: users\n", "service: user\n")
        .replace("failure_mode: deny", "failure_mode: allow")
        .replace("ttl_seconds: 300\n", "ttl_seconds: 0\n")
        .replace("required: [country]", "required: [county]")
        .replace_block("errors:", "errors: {realm: shop}\nerors: {}")
        .start_refused()
        .await;
    let line = log.lines().find(|line| line.contains("invalid configuration"));
    let line = line.unwrap_or_else(|| panic!("no such line:\n{log}"));
    for part in [
        "problem(s)",
        "$.providers.shop.algorithms[1]",
        "$.user_info.service",
        "$.user_info.failure_mode",
        "$.user_info.required[0]",
        "$.identity_token.ttl_seconds",
        "$.erors",
        "accepted: deny | degrade",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

/// Mistakes of new users are in Envoy's log in the words of `gatepass check`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_of_new_users_are_told_as_envoy_starts() {
    let public = "\"-----BEGIN PUBLIC KEY-----\\nMFkw\\n-----END PUBLIC KEY-----\\n\"";
    for (right, wrong, told) in [
        (
            "remote_jwks: {service: auth, path: /.well-known/jwks.json}",
            "remote_jwks: {service: atuh, path: /.well-known/jwks.json}",
            "$.providers.shop.remote_jwks.service: found \"atuh\", accepted: one of services: auth, \
             users",
        ),
        (
            "private_key: {env: GATEPASS_SIGNING_KEY}",
            &format!("private_key: {public}"),
            "$.identity_token.signing_keys[0].private_key: found a public key, with which nobody \
             can sign",
        ),
        (
            "private_key: {env: GATEPASS_SIGNING_KEY}",
            "private_key: {env: GATEPASS_SIGNING_KEYS}",
            "found {env: GATEPASS_SIGNING_KEYS}, which is not set, accepted: a string, or {env: NAME} with \
             NAME set and passed on to the filter: by vm_config.environment_variables.host_env_keys",
        ),
    ] {
        let log = Setup::bundled().replace(right, wrong).refused_beside_others().await;
        assert!(log.contains(told), "{told}:\n{log}");
    }
}

/// A revocation that is answered with 204 holds on every worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_share_no_data_take_no_revocations() {
    let log = Setup::bundled()
        .replace_block("errors:", "errors: {realm: shop}\nshared_data: never")
        .refused_beside_others()
        .await;
    assert!(log.contains("$.revocation.endpoint: found workers that share no data"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_configuration_is_refused() {
    let kind = "\"@type\": type.googleapis.com/google.protobuf.Struct\nvalue: {}";
    for configuration in [
        format!("configuration:\n  {}", kind.replace('\n', "\n  ")),
        "configuration:\n  \"@type\": type.googleapis.com/google.protobuf.StringValue\n  value: ''"
            .to_owned(),
        String::new(),
    ] {
        let log = Setup::bundled()
            .replace_block("configuration:", &configuration)
            .refused_beside_others()
            .await;
        assert!(log.contains("invalid configuration"), "{configuration}:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_wrong_is_refused_and_not_shown() {
    let secret = "hunter2-hunter2-hunter2";
    let key =
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "aHVudGVyMi1odW50ZXIy"});
    for (path, private_key) in [
        ("text", json!(secret)),
        (
            "PEM",
            json!(format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n")),
        ),
        ("JWK", key),
        ("a list", json!([secret])),
        ("absent", json!({"env": "NOT_THERE"})),
    ] {
        let log = Setup::bundled()
            .replace(
                "private_key: {env: GATEPASS_SIGNING_KEY}",
                &format!("private_key: {private_key}"),
            )
            .secret(secret)
            .secret("aHVudGVyMi1odW50ZXIy")
            .refused_beside_others()
            .await;
        assert!(log.contains("$.identity_token.signing_keys[0].private_key"), "{path}:\n{log}");
    }
}
