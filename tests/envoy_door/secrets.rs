//! Secrets that Envoy gets by its secret discovery service: they come late, and change.

use serde_json::{Value, json};

use crate::host::{CONTINUE, Envoy, LOG, Route, STOP, STOP_ALL};
use crate::{ALICE, SIGNING_KEY, bearer, begin, configuration, only_callout};

fn sds(name: &str) -> Value {
    json!({"sds": {"name": name, "sds_config": {"path_config_source": {"path": "/secrets"}}}})
}

/// Another key on the same curve (RFC 6979 appendix A.2.5).
const OTHER_KEY: &str = r#"{"kty": "EC", "crv": "P-256",
    "d": "ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE",
    "x": "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y",
    "y": "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"}"#;

fn signed_by(name: &str) -> Value {
    let mut configuration = configuration();
    configuration["identity_token"]["signing_keys"][0]["private_key"] = sds(name);
    configuration
}

fn logged(text: &str) -> bool {
    LOG.with_borrow(|log| log.iter().any(|line| line.contains(text)))
}

/// The identity token of a new request of bob's, or the status and the details of its
/// answer.
fn identity(envoy: &Envoy) -> Result<String, (u32, String)> {
    let authorization = bearer("bob");
    let request = envoy.open(&[("authorization", &authorization)]);
    match request.headers(true) {
        CONTINUE => {}
        STOP => {
            let answer = request.answer().expect("an answer");
            return Err((answer.status, answer.details));
        }
        STOP_ALL => {
            let callouts = envoy.callouts();
            let (callout, _) = callouts.iter().find(|(_, path)| path == "/users/bob").unwrap();
            envoy.reply(*callout, Some(("200", r#"{"sub": "bob", "country": "ES"}"#)));
            assert_eq!(request.continued(), 1);
        }
        other => panic!("{other}"),
    }
    Ok(request.values("x-identity-token").remove(0))
}

/// The key that signed, by the header of the token.
fn key_of(token: &str) -> &str {
    token.split('.').next().unwrap()
}

#[test]
fn nobody_passes_before_a_secret_came_and_each_change_counts() {
    let envoy = Envoy::start(&signed_by("key").to_string()).expect("what is known of it is valid");
    assert_eq!(envoy.source_of("key"), r#"{"path_config_source":{"path":"/secrets"}}"#);
    envoy.run();
    assert_eq!(identity(&envoy), Err((503, "configuration_invalid".to_owned())));
    envoy.set_secret("key", format!("{SIGNING_KEY}\n"));
    envoy.run_until("it came", || identity(&envoy).is_ok());
    let first = identity(&envoy).unwrap();
    let waiting = begin(&envoy, "alice");
    // A wrong one changes nothing.
    envoy.set_secret("key", "no key");
    envoy.run_until("it is refused", || logged("$.identity_token.signing_keys[0].private_key"));
    assert!(logged("gatepass: invalid configuration, 1 problem(s)"));
    assert!(logged("the configuration with the previous ones stays in use"));
    assert_eq!(key_of(&identity(&envoy).unwrap()), key_of(&first));
    assert!(!logged("no key"), "a secret in the log");
    envoy.set_secret("key", OTHER_KEY);
    envoy.run_until("it changed", || key_of(&identity(&envoy).unwrap()) != key_of(&first));
    // A request that waits meanwhile goes on with the key that it began with.
    assert_eq!((waiting.continued(), waiting.status()), (0, 0));
    envoy.reply(only_callout(&envoy), ALICE);
    assert_eq!(waiting.continued(), 1);
    assert_eq!(key_of(&waiting.values("x-identity-token")[0]), key_of(&first));
    envoy.set_secret("key", "");
    envoy.run();
    assert!(identity(&envoy).is_ok(), "one that is gone leaves the one before in use");
}

#[test]
fn a_secret_of_the_bootstrap_is_there_at_once() {
    let mut configuration = configuration();
    configuration.as_object_mut().unwrap().remove("user_info");
    configuration["services"]["users"]["headers"] = json!({"x-api-key": sds("static")});
    let envoy = Envoy::start(&configuration.to_string()).expect("it is valid");
    assert!(identity(&envoy).is_ok());
}

#[test]
fn what_else_is_wrong_is_said_before_the_secrets_come() {
    let mut wrong = signed_by("key");
    wrong["identity_token"]["ttl_seconds"] = json!(0);
    assert!(Envoy::start(&wrong.to_string()).is_none());
    assert!(logged("1 problem(s): $.identity_token.ttl_seconds"));
    let mut wrong = signed_by("key");
    wrong["services"]["users"]["headers"] = json!({"x-api-key": {"env": "GATEPASS_NOT_SET"}});
    assert!(Envoy::start(&wrong.to_string()).is_none(), "a variable does not come later");
    assert!(logged("1 problem(s): $.services.users.headers"));
    for (reference, told) in [
        (json!({"sds": {"name": "key"}}), "sds without name or sds_config"),
        (json!({"sds": {"name": "", "sds_config": {}}}), "sds without name or sds_config"),
        (json!({"sds": {"name": "key", "sds_config": {}, "x": 1}}), "sds with \"x\""),
        (sds("refused"), "sds that Envoy refuses"),
        (json!({"sds": "key"}), "an object with \"sds\""),
    ] {
        let mut wrong = signed_by("key");
        wrong["identity_token"]["signing_keys"][0]["private_key"] = reference.clone();
        assert!(Envoy::start(&wrong.to_string()).is_none(), "{reference}");
        assert!(logged(told), "{reference}");
    }
}

/// Only the listener's configuration can subscribe to secrets.
#[test]
fn a_route_cannot_have_sds() {
    assert!(Route::new(&configuration().to_string()).is_some());
    assert!(Route::new(&signed_by("key").to_string()).is_none());
    assert!(logged("$.identity_token.signing_keys[0].private_key: found an object with \"sds\""));
}

/// Its bytes would be replaced, and with them the randomness of a key.
#[test]
fn a_secret_that_is_not_text_is_refused_and_the_one_before_stays() {
    let envoy = Envoy::start(&signed_by("key").to_string()).expect("what is known of it is valid");
    let path = "$.identity_token.signing_keys[0].private_key: found a secret that is not UTF-8";
    envoy.set_secret("key", [b"binary".as_slice(), &[0xff, 0xfe]].concat());
    envoy.run_until("it is refused", || logged(path));
    assert!(!logged("binary"), "a secret in the log");
    assert!(identity(&envoy).is_err(), "none was there before");
    assert!(logged("the new secrets from SDS are not accepted: requests get 503 until others"));
    LOG.take();
    std::thread::sleep(std::time::Duration::from_millis(150));
    envoy.run();
    assert!(!logged(path), "it is told once");
    envoy.set_secret("key", SIGNING_KEY);
    envoy.run_until("it came", || identity(&envoy).is_ok());
    let first = identity(&envoy).unwrap();
    envoy.set_secret("key", [b"binary".as_slice(), &[0xff, 0xfe]].concat());
    envoy.run_until("it is refused", || logged(path));
    assert_eq!(key_of(&identity(&envoy).unwrap()), key_of(&first));
}

/// As from the plugin for Kong, whose worker has no configuration yet, and counted as there.
#[test]
fn a_request_before_the_secrets_is_told_why_and_so_is_the_access_log() {
    let envoy = Envoy::start(&signed_by("key").to_string()).expect("what is known of it is valid");
    let request = envoy.open(&[]);
    assert_eq!(request.headers(true), STOP);
    let answer = request.answer().expect("an answer");
    assert_eq!((answer.status, answer.details.as_str()), (503, "configuration_invalid"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&body["code"], &body["status"]), (&json!("configuration_invalid"), &json!(503)));
    let type_of = answer.headers.iter().find(|(name, _)| name == "content-type");
    assert_eq!(type_of.unwrap().1, b"application/problem+json");
    assert_eq!(body["detail"], "the gateway is not configured correctly");
    let denied = "gatepass_requests_total denied configuration_invalid";
    envoy.run_until("it is counted", || envoy.count(denied) == 1);
    assert_eq!(request.note("wasm.gatepass.code").as_deref(), Some("configuration_invalid"));
}
