//! Two issuers: whose user it is, and whose consumer.

use gatepass::pipeline::Step;
use gatepass::verdict::{HeaderEdits, Verdict};
use serde_json::{Value, json};

use crate::support::*;

/// A configuration with a second provider, whose key is `KEY_B`.
fn two<const N: usize>(edits: [(&str, Value); N]) -> Value {
    let mut config = with_users([("/identity_token/subject", "{provider}:{sub}".into())]);
    config["providers"]["partner"] = json!({
        "issuer": "https://partner.example", "audiences": ["shop-api"],
        "local_jwks": {"keys": [KEY_B.jwk("b")]},
    });
    for (pointer, value) in edits {
        put(&mut config, pointer, value);
    }
    config
}

/// A token of the partner's for its own alice.
fn partners(changes: Value) -> String {
    let mut claims = claims(changes);
    claims["iss"] = json!("https://partner.example");
    KEY_B.token("b", &claims)
}

fn names(edits: &HeaderEdits) -> [Option<String>; 2] {
    ["x-consumer-custom-id", "x-credential-identifier"].map(|name| field(edits, name))
}

/// Two users of the same name are two users, for the services and in each cache.
#[test]
fn one_subject_of_two_issuers_is_two_users() {
    for (form, subjects) in
        [("{provider}:{sub}", ["shop:alice", "partner:alice"]), ("{sub}", ["alice", "alice"])]
    {
        for path in ["/users/{sub}", "/users/{iss}/{sub}"] {
            let config =
                two([("/identity_token/subject", form.into()), ("/user_info/path", path.into())]);
            let mut world = World::new(&config, ENVOY);
            let issuers = ["https://auth.example", "https://partner.example"];
            let providers = ["shop", "partner"];
            for (turn, token) in [alice(), partners(json!({}))].iter().enumerate() {
                // The partner's user is asked about, though the shop's is known.
                let (sent, waiting) = awaits(world.get(token));
                if path.contains("iss") {
                    let host = issuers[turn].strip_prefix("https://").unwrap();
                    assert_eq!(sent.callout.path, format!("/users/https%3A%2F%2F{host}/alice"));
                }
                let country = ["ES", "FR"][turn];
                let user = json!({"sub": "alice", "address": {"country": country}});
                let edits = forwarded(world.complete(sent.id, waiting, &ok(&user)));
                let expected = Some(subjects[turn].to_owned());
                assert_eq!(names(&edits), [expected.clone(), expected], "{form}");
                let identity = world.identity(&edits);
                assert_eq!(identity["sub"], subjects[turn]);
                assert_eq!(identity["country"], country);
                let origin = json!({"iss": issuers[turn], "provider": providers[turn]});
                assert_eq!(identity["origin"], origin);
            }
        }
    }
}

/// The access log tells them apart too.
#[test]
fn the_log_has_the_unique_subject() {
    let mut config = two([("/user_info", Value::Null)]);
    config["access_log"] = json!({"properties": true});
    let mut world = World::new(&config, ENVOY);
    let step = world.get(&partners(json!({})));
    let Step::Done(Verdict::Forward(_), trace) = step else { panic!("forwarded, not {step:?}") };
    assert_eq!(trace.access_log.subject.as_deref(), Some("partner:alice"));
}

/// What a partner writes into `azp` does not make its users the first party.
#[test]
fn a_consumer_is_bound_to_its_providers() {
    let entries = json!([
        {"key": "web", "providers": ["shop"], "username": "web-app", "groups": ["first-party"]},
        {"key": "web", "providers": ["partner"], "username": "their-web", "groups": ["partners"]},
        {"key": "app", "providers": ["shop", "partner"], "username": "app"},
        {"key": "own", "providers": ["shop"], "username": "own"},
    ]);
    for optional in [false, true] {
        let consumers = json!({"entries": entries, "optional": optional});
        let config = two([("/user_info", Value::Null), ("/consumers", consumers)]);
        for (case, token, expected) in [
            ("the shop's", alice(), Some("web-app")),
            ("the partner's", partners(json!({})), Some("their-web")),
            ("of both", partners(json!({"azp": "app"})), Some("app")),
            ("of the shop alone", partners(json!({"azp": "own"})), None),
        ] {
            let mut world = World::new(&config, ENVOY);
            match (expected, optional) {
                (None, false) => {
                    assert_eq!(world.denied(&token), denial(401, "consumer_unknown"), "{case}");
                }
                (expected, _) => {
                    let edits = world.forwarded(&token);
                    let name = field(&edits, "x-consumer-username");
                    assert_eq!(name.as_deref(), expected, "{case}");
                    let groups = field(&edits, "x-consumer-groups");
                    let is_first_party = groups.as_deref() == Some("first-party");
                    assert_eq!(is_first_party, expected == Some("web-app"), "{case}");
                }
            }
        }
    }
}

/// RFC 7515 section 4.1.4: the name of a key is one of its issuer's.
#[test]
fn a_kid_is_sought_in_the_set_of_its_issuer() {
    let partner = |changes: Value| {
        let mut claims = claims(changes);
        claims["iss"] = json!("https://partner.example");
        claims
    };
    let mut config = two([("/user_info", Value::Null)]);
    for (case, token, code) in [
        ("the shop's key for the partner", KEY_A.token("a", &partner(json!({}))), "key_unknown"),
        ("the partner's for the shop", KEY_B.token("b", &claims(json!({}))), "key_unknown"),
        ("its own by the other's name", KEY_B.token("a", &partner(json!({}))), "key_unknown"),
    ] {
        let mut world = World::new(&config, ENVOY);
        assert_eq!(world.denied(&token), denial(401, code), "{case}");
    }
    // Two keys of one name.
    put(&mut config, "/providers/partner/local_jwks", json!({"keys": [KEY_B.jwk("a")]}));
    let mut world = World::new(&config, ENVOY);
    world.forwarded(&alice());
    world.forwarded(&KEY_B.token("a", &partner(json!({}))));
    let forged = KEY_A.token("a", &partner(json!({})));
    assert_eq!(world.denied(&forged), denial(401, "signature_invalid"));
}

/// A key of two entries is one consumer where a rule names its provider.
#[test]
fn a_rule_names_a_consumer_of_one_provider() {
    let entries = json!([
        {"key": "web", "providers": ["shop"]}, {"key": "web", "providers": ["partner"]},
    ]);
    let rules =
        json!([{"match": {}, "requires": {"providers": ["partner"], "consumers": ["web"]}}]);
    let config = two([
        ("/user_info", Value::Null),
        ("/consumers", json!({"entries": entries})),
        ("/rules", rules),
    ]);
    let mut world = World::new(&config, ENVOY);
    world.forwarded(&partners(json!({})));
    assert_eq!(world.denied(&alice()), denial(403, "claim_forbidden"));
}

/// One provider alone needs none of this, and may say it.
#[test]
fn one_provider_alone() {
    let mut world = World::new(&local([]), ENVOY);
    let edits = world.forwarded(&alice());
    let identity = world.identity(&edits);
    assert_eq!((&identity["sub"], identity.get("origin")), (&json!("alice"), None));
    let mut world =
        World::new(&local([("/identity_token/subject", "{provider}:{sub}".into())]), ENVOY);
    let edits = world.forwarded(&alice());
    assert_eq!(world.identity(&edits)["sub"], "shop:alice");
}
