//! Manifests of Kong's ingress controller.

use gatepass_cli::convert::{ConvertError, Converted, Selection, convert};
use serde_json::{Value, json};

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

fn consumer(fields: &Value) -> Value {
    let mut manifest = json!({
        "apiVersion": "configuration.konghq.com/v1", "kind": "KongConsumer",
        "metadata": {"name": "alice", "namespace": "shop",
            "annotations": {"kubernetes.io/ingress.class": "kong"}},
        "username": "alice", "custom_id": "c-1", "credentials": ["alice-jwt", "alice-acl"],
    });
    for (name, value) in fields.as_object().unwrap() {
        manifest[name] = value.clone();
    }
    manifest
}

fn secret(name: &str, label: &str, fields: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "stringData": fields, "metadata": {"name": name,
        "namespace": "shop", "labels": {"konghq.com/credential": label}}})
}

fn jwt() -> Value {
    secret("alice-jwt", "jwt", &json!({"key": "alice-key", "algorithm": "HS256", "secret": SECRET}))
}

fn acl() -> Value {
    secret("alice-acl", "acl", &json!({"group": "staff"}))
}

fn plugin(name: &str, fields: &Value) -> Value {
    let mut manifest = json!({"apiVersion": "configuration.konghq.com/v1", "kind": "KongPlugin",
        "metadata": {"name": name, "namespace": "shop"}});
    for (name, value) in fields.as_object().unwrap() {
        manifest[name] = value.clone();
    }
    manifest
}

fn attempt(manifests: &[Value]) -> Result<Converted, ConvertError> {
    let texts: Vec<_> = manifests.iter().map(Value::to_string).collect();
    convert(&texts.join("\n---\n"), &Selection::default())
}

fn converted(manifests: &[Value]) -> (Value, Vec<String>) {
    let made = attempt(manifests).unwrap_or_else(|error| panic!("{error}"));
    let nobody = json!({"groups_any": ["closed-by-convert"], "groups_none": ["closed-by-convert"]});
    assert_eq!(made.configuration["rules"], json!([{"match": {}, "requires": nobody}]));
    assert!(made.notes.iter().any(|note| note.is_change), "never whole");
    (made.configuration, made.notes.iter().map(ToString::to_string).collect())
}

#[test]
fn a_consumer_with_its_credentials() {
    let (configuration, told) = converted(&[
        consumer(&json!({})),
        jwt(),
        acl(),
        plugin(
            "auth",
            &json!({"plugin": "jwt", "config": {"claims_to_verify": ["exp"],
            "key_claim_name": "kid", "run_on_preflight": false, "anonymous": "guest"}}),
        ),
        plugin("staff", &json!({"plugin": "acl", "config": {"allow": ["staff"]}})),
        plugin("bots", &json!({"plugin": "bot-detection"})),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web",
            "namespace": "shop", "annotations": {"konghq.com/plugins": "auth,staff"}}}),
    ]);
    assert_eq!(
        configuration["consumers"],
        json!({"entries": [{"username": "alice", "custom_id": "c-1",
            "jwt_secrets": [{"key": "alice-key", "algorithm": "HS256",
                "secret": {"env": "GATEPASS_SHOP__ALICE_JWT"}}],
            "acls": [{"group": "staff"}]}]})
    );
    assert_eq!(
        configuration["providers"]["kong"],
        json!({"kind": "kong_jwt", "key_claim_name": "kid", "claims_to_verify": ["exp"]})
    );
    let told = told.join("\n");
    assert!(!told.contains(SECRET) && !configuration.to_string().contains(SECRET));
    for expected in [
        "consumer alice: put the secret of the Secret shop/alice-jwt in the variable \
         GATEPASS_SHOP__ALICE_JWT",
        "KongPlugin shop/auth: run_on_preflight is true until you write rules",
        "KongPlugin shop/auth: anonymous is not carried over",
        "KongPlugin shop/staff: acl: write its groups",
        "KongPlugin shop/bots: bot-detection may refuse requests",
        "Service shop/web: write rules for it by hand; its plugins are auth,staff",
        "rules: nobody passes until you write rules",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn encoded_secrets_and_public_keys() {
    let mut encoded = jwt();
    encoded["data"] = json!({"key": "YWxpY2Uta2V5", "secret": "\n b25l\n"});
    encoded["stringData"] = json!({"secret": SECRET});
    let (configuration, _) = converted(&[consumer(&json!({})), encoded, acl()]);
    assert_eq!(
        configuration["consumers"]["entries"][0]["jwt_secrets"],
        json!([{"key": "alice-key", "secret": {"env": "GATEPASS_SHOP__ALICE_JWT"}}])
    );
    let short = secret("alice-jwt", "jwt", &json!({"key": "k", "secret": "short"}));
    let error = attempt(&[consumer(&json!({})), short, acl()]).unwrap_err().to_string();
    assert!(error.contains("credential k is left out") && !error.contains("short\""), "{error}");
}

#[test]
fn who_is_shut_out() {
    let group = |name: &str, plugins: &str| {
        json!({"apiVersion": "configuration.konghq.com/v1beta1", "kind": "KongConsumerGroup",
            "metadata": {"name": name, "namespace": "shop",
                "annotations": {"konghq.com/plugins": plugins}}})
    };
    let with = |annotation: &str, plugins: &str| {
        json!({"metadata": {"name": "alice", "namespace": "shop", "annotations":
            {"kubernetes.io/ingress.class": "kong", annotation: plugins}}})
    };
    let mut unlabelled = acl();
    unlabelled["metadata"]["labels"] = json!({});
    let mut elsewhere = acl();
    elsewhere["metadata"]["namespace"] = json!("other");
    let limit = plugin("limit", &json!({"plugin": "rate-limiting", "config": {"minute": 5}}));
    let deny = plugin("deny", &json!({"plugin": "request-termination"}));
    let none = json!({});
    for (case, fields, others, is_shut) in [
        ("as it is", none.clone(), vec![acl()], false),
        ("no Secret", none.clone(), vec![], true),
        ("a Secret elsewhere", none.clone(), vec![elsewhere], true),
        ("a Secret without a label", none.clone(), vec![unlabelled], true),
        ("a Secret twice", none.clone(), vec![acl(), acl()], true),
        (
            "a value that is no text",
            none.clone(),
            vec![json!({"apiVersion": "v1", "kind": "Secret", "data": {"group": "//8="},
                "metadata": acl()["metadata"]})],
            true,
        ),
        ("a group without a name", none, vec![secret("alice-acl", "acl", &json!({}))], true),
        ("a limit", with("konghq.com/plugins", "limit"), vec![acl(), limit.clone()], false),
        (
            "a plugin",
            with("konghq.com/plugins", "limit, deny"),
            vec![acl(), limit, deny.clone()],
            true,
        ),
        (
            "a plugin by an old name",
            with("plugins.konghq.com", "deny"),
            vec![acl(), deny.clone()],
            true,
        ),
        ("a plugin elsewhere", with("konghq.com/plugins", "deny"), vec![acl()], true),
        ("a group", json!({"consumerGroups": ["gold"]}), vec![acl(), group("gold", "")], false),
        ("a group elsewhere", json!({"consumerGroups": ["gold"]}), vec![acl()], true),
        (
            "a plugin of a group",
            json!({"consumerGroups": ["gold"]}),
            vec![acl(), deny, group("gold", "deny")],
            true,
        ),
    ] {
        let manifests: Vec<_> = [consumer(&fields), jwt()].into_iter().chain(others).collect();
        let (configuration, told) = converted(&manifests);
        let entry = &configuration["consumers"]["entries"][0];
        let enabled = if is_shut { json!(false) } else { Value::Null };
        assert_eq!(entry["enabled"], enabled, "{case}: {told:#?}");
        assert_eq!(told.iter().any(|note| note.contains("shut out")), is_shut, "{case}: {told:#?}");
    }
}

#[test]
fn what_is_refused() {
    let without_class = consumer(&json!({"metadata": {"name": "alice", "namespace": "shop"}}));
    let mut other_class = consumer(&json!({"username": "bob", "custom_id": "c-2"}));
    other_class["metadata"]["name"] = json!("bob");
    other_class["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!("inner");
    let unknown = plugin("auth", &json!({"plugin": "jwt", "config": {"on_mondays": true}}));
    let namesake = consumer(&json!({"custom_id": "c-2", "credentials": []}));
    for (case, manifests, expected) in [
        ("no class", vec![without_class], "without the annotation kubernetes.io/ingress.class"),
        (
            "two classes",
            vec![consumer(&json!({})), other_class],
            "choose with --only among shop/alice, shop/bob",
        ),
        (
            "an unknown option",
            vec![consumer(&json!({})), unknown],
            "KongPlugin shop/auth.config.on_mondays: found an unknown field",
        ),
        (
            "two of one name",
            vec![consumer(&json!({})), namesake],
            "KongConsumer alice: found a name or id that another one has",
        ),
        ("no credential", vec![consumer(&json!({"credentials": []}))], "no credential or issuer"),
    ] {
        let manifests: Vec<_> = manifests.into_iter().chain([jwt(), acl()]).collect();
        let error = attempt(&manifests).unwrap_err().to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}
