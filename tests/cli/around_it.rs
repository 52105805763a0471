//! What is wrong beside the configuration: variables that a proxy does not hand out, clusters
//! without TLS, and words that YAML does not take for text.

use serde_json::json;

use crate::files::{OWN, envoy, indented, with};
use crate::support::{API_KEY, Desk, SIGNING_KEY, changed, configuration};

/// The variables of the whole proxy are not for configurations, whatever is set.
#[test]
fn variables_that_a_proxy_does_not_hand_out() {
    let desk = Desk::new();
    let own = configuration().to_string();
    desk.put(
        "kong.yml",
        &format!("_format_version: '3.0'\nplugins: [{{name: gatepass, config: {own}}}]"),
    );
    desk.put(
        "native.yaml",
        &format!(
            "dynamic_module_config: {{name: gatepass_envoy}}\nfilter_name: gatepass\n\
             filter_config: {own}"
        ),
    );
    desk.put(
        "filter.yml",
        &format!(
            "_format_version: '3.0'\nservices: [{{name: s, filter_chains: [{{filters: [{{name: \
             gatepass, config: {own}}}]}}]}}]"
        ),
    );
    let place = "identity_token.signing_keys[0].private_key: found {env: SIGNING_KEY}, which may \
                 not be read, accepted: a name that begins with GATEPASS_, or one that the variable \
                 GATEPASS_ENV";
    let set = [("SIGNING_KEY", SIGNING_KEY), ("API_KEY", API_KEY)];
    let listed = |list| [&set[..], &[("GATEPASS_ENV", list)]].concat();
    for file in ["kong.yml", "native.yaml"] {
        let run = desk.run_with(&["check", file], &set, "").ended(1);
        assert!(run.out.contains(place), "{run:?}");
        assert!(run.out.contains("found {env: API_KEY}, which may not be read"), "{run:?}");
        assert!(!run.out.contains(SIGNING_KEY) && !run.out.contains(API_KEY), "{run:?}");
        let run = desk.run_with(&["check", file], &listed("API_KEY"), "").ended(1);
        assert!(run.out.contains(place) && !run.out.contains("{env: API_KEY}"), "{run:?}");
        let run = desk.run_with(&["check", file], &listed("API_KEY, SIGNING_KEY"), "").ended(0);
        assert_eq!(run.out.lines().count(), 1, "{run:?}");
        // Once, and as what is to be done first.
        let run = desk.run_with(&["check", file], &[], "").ended(1);
        assert!(run.out.contains(place) && !run.out.contains("not set"), "{run:?}");
        // Elsewhere the list may be another one.
        let run = desk.run_with(&["check", "--no-env", file], &[], "").ended(0);
        assert!(run.out.contains("the proxy refuses {env: SIGNING_KEY}, unless it is"), "{run:?}");
        let own = [("GATEPASS_ENV", "API_KEY,SIGNING_KEY")];
        let run = desk.run_with(&["check", "--no-env", file], &own, "").ended(0);
        assert_eq!(run.out.lines().count(), 1, "{run:?}");
    }
    let run = desk.run_with(&["check", "filter.yml"], &set, "").ended(0);
    assert_eq!(run.out.lines().count(), 1, "{run:?}");
    let key = json!([{"algorithm": "ES256", "private_key": {"env": "GATEPASS_KEY"}}]);
    let own = changed([("/identity_token/signing_keys", key), ("/user_info/headers", json!({}))]);
    desk.put("own.yaml", &own.to_string());
    let run = ["check", "--host", "kong", "own.yaml"];
    desk.run_with(&run, &[("GATEPASS_KEY", SIGNING_KEY)], "").ended(0);
}

/// What a variable that is missing may be missing from.
#[test]
fn a_variable_that_is_not_there_or_empty() {
    let desk = Desk::new();
    desk.put("own.yaml", OWN);
    let run = desk.run_with(&["check", "own.yaml"], &[], "").ended(1);
    for told in ["which is not set", "host_env_keys in Envoy", "nginx_main_env in Kong"] {
        assert!(run.out.contains(told), "{told}: {run:?}");
    }
    for empty in ["", "\n"] {
        let run = desk.run_with(&["check", "own.yaml"], &[("SIGNING_KEY", empty)], "").ended(1);
        assert!(run.out.contains("found {env: SIGNING_KEY}, which is empty"), "{run:?}");
    }
}

#[test]
fn secrets_with_a_line_break_at_their_end() {
    let desk = Desk::new();
    let own = |secret: &str| {
        let mut own = configuration();
        own["providers"]["shop"]["introspection"] = json!({
            "service": "auth", "path": "/i", "client_id": "g", "jwts": false,
            "client_secret": secret,
        });
        own.to_string()
    };
    for (secret, told) in [("hunter2\n", true), ("hunter2", false)] {
        desk.put("own.yaml", &own(secret));
        let run = desk.run(&["check", "own.yaml"]).ended(0);
        let text = "introspection.client_secret: a line break at its end";
        assert_eq!(run.out.contains(text), told, "{run:?}");
        assert!(!run.out.contains("hunter2"), "{run:?}");
    }
}

/// What `explain` tells of a rule for other providers, and of a path that may be another's.
#[test]
fn what_a_rule_refuses_is_told() {
    let partner = json!({
        "issuer": "https://partner.example", "audiences": ["shop-api"],
        "remote_jwks": {"service": "auth", "path": "/partner.json"},
    });
    let mut own = changed([(
        "/rules",
        json!([{"match": {"path_prefix": "/partners"}, "requires": {"providers": ["partner"]}}]),
    )]);
    own["providers"]["partner"] = partner;
    own["identity_token"]["subject"] = json!("{provider}:{sub}");
    for entry in own["consumers"]["entries"].as_array_mut().unwrap() {
        entry["providers"] = json!(["shop", "partner"]);
    }
    let desk = Desk::furnished(&configuration());
    desk.put("gatepass.yaml", &own.to_string());
    let explain = |path: &str| {
        let fixed = ["explain", "-c", "gatepass.yaml", "--at", crate::support::LATER];
        let more = ["--jwks", "issuer.jwks", "--token", "alice.token", "--path", path];
        desk.run(&[&fixed[..], &more].concat())
    };
    let run = explain("/partners");
    assert!(run.out.contains("NO provider, by the rule, \"shop\" is not \"partner\""), "{run:?}");
    assert!(run.out.contains("the token's issuer is not one of those allowed here"), "{run:?}");
    let run = explain("/PARTNERS");
    let told = "another rule is for this path, if upper and lower case are the same";
    assert!(run.out.contains(told), "{run:?}");
    let run = explain("//partners");
    assert!(run.out.contains("the path holds an empty segment (//)"), "{run:?}");
}
