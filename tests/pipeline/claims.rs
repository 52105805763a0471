//! Claims: one way to name them, one way to compare them, and which word counts.

use serde_json::{Value, json};

use crate::support::*;

/// What the services get of a token, after the user service's reply.
fn served(config: &Value, token: &str, reply: &Value) -> (World, gatepass::verdict::HeaderEdits) {
    let mut world = World::new(config, ENVOY);
    let step = world.get(token);
    let edits = forwarded(world.answer(step, &ok(reply)));
    (world, edits)
}

/// The code of a denial; `None` for a request that passes.
fn decided(config: &Value, token: &str, reply: Option<&Value>) -> Option<String> {
    let mut world = World::new(config, ENVOY);
    let step = world.get(token);
    let step = match reply {
        Some(reply) => world.answer(step, &ok(reply)),
        None => step,
    };
    match step {
        gatepass::pipeline::Step::Done(gatepass::verdict::Verdict::Forward(_), _) => None,
        step => Some(denied(step).1),
    }
}

const ROLE: &str = "https://shop.example/role";

/// A claim that user info decides is sought there, whatever its name looks like
/// and whatever the token says under the same name.
#[test]
fn rules_ask_the_source_that_decides() {
    let mapped = json!({"account.blocked": "/blocked", ROLE: "/role", "account": "/account"});
    let token = token(json!({
        ROLE: "admin", "account.blocked": false, "account": {"blocked": null, "plan": "gold"},
        "https://shop": {"example/role": "admin"},
    }));
    for (case, rule, reply, passes) in [
        ("blocked", json!({"account.blocked": "absent"}), json!({"blocked": true}), false),
        ("not blocked", json!({"account.blocked": "absent"}), json!({}), true),
        ("a role of the token's", json!({ROLE: ["admin"]}), json!({}), false),
        ("another role", json!({ROLE: ["admin"]}), json!({"role": "user"}), false),
        ("the role", json!({ROLE: ["admin"]}), json!({"role": "admin"}), true),
        ("by a pointer", json!({"/https:~1~1shop.example~1role": ["admin"]}), json!({}), false),
        ("into the reply", json!({"account.plan": ["gold"]}), json!({}), false),
        (
            "into the reply, there",
            json!({"/account/plan": ["gold"]}),
            json!({"account": {"plan": "gold"}}),
            true,
        ),
    ] {
        let mut reply = reply;
        reply["sub"] = json!("alice");
        let rules = json!([{"match": {}, "requires": {"claims": rule}}]);
        let config = with_users([("/user_info/claims", mapped.clone()), ("/rules", rules)]);
        let code = (!passes).then(|| "claim_forbidden".to_owned());
        assert_eq!(decided(&config, &token, Some(&reply)), code, "{case}");
    }
}

/// The same words lead to the same claim wherever one is named.
#[test]
fn a_claim_is_named_in_one_way() {
    let token = token(json!({
        "kubernetes.io": {"namespace": "shop"}, "realm_access": {"roles": ["a"]},
        "realm_access.roles": null, "azp": null, "client": {"id": "web"},
    }));
    for name in [json!(["kubernetes.io", "namespace"]), json!("/kubernetes.io/namespace")] {
        let mut config = local([
            ("/identity_token/claims", json!({"copy": [name, "realm_access.roles"]})),
            ("/consumers", json!({"claim": [["client", "id"]], "entries": [{"key": "web"}]})),
            (
                "/claim_to_headers",
                json!([
                    {"header": "x-namespace", "claim": "kubernetes.io.namespace"},
                    {"header": "x-roles", "claim": "realm_access.roles", "format": "csv"},
                ]),
            ),
            ("/providers/shop/required_claims", json!({"/kubernetes.io/namespace": ["shop"]})),
        ]);
        config["user_info"] = json!({
            "service": "users", "path": "/{/kubernetes.io/namespace}/{sub}", "claims": {"x": "/x"},
        });
        let mut world = World::new(&config, ENVOY);
        let (sent, waiting) = awaits(world.get(&token));
        assert_eq!(sent.callout.path, "/shop/alice");
        let edits = forwarded(world.complete(sent.id, waiting, &ok(&json!({"sub": "alice"}))));
        assert_eq!(field(&edits, "x-namespace").as_deref(), Some("shop"));
        assert_eq!(field(&edits, "x-roles").as_deref(), Some("a"));
        assert_eq!(field(&edits, "x-credential-identifier").as_deref(), Some("web"));
        let identity = world.identity(&edits);
        assert_eq!(identity["kubernetes.io.namespace"], "shop");
        assert_eq!(identity["realm_access.roles"], json!(["a"]));
    }
}

/// A copied claim is not what user info decides, and neither is a header.
#[test]
fn copies_and_headers_follow_user_info() {
    let config = with_users([
        ("/user_info/claims", json!({"account": "/account", "tier": "/tier"})),
        ("/identity_token/claims", json!({"copy": ["account.plan", "tier", "azp"]})),
        (
            "/claim_to_headers",
            json!([
                {"header": "x-plan", "claim": "account.plan"}, {"header": "x-tier", "claim": "tier"},
            ]),
        ),
    ]);
    let token = token(json!({"account.plan": "gold", "tier": "vip"}));
    let reply = json!({"sub": "alice", "account": {"plan": "free"}});
    let (mut world, edits) = served(&config, &token, &reply);
    assert_eq!(field(&edits, "x-plan").as_deref(), Some("free"));
    assert_eq!(field(&edits, "x-tier"), None);
    let identity = world.identity(&edits);
    assert_eq!(identity.get("account.plan"), None);
    assert_eq!(identity.get("tier"), None);
    assert_eq!(identity["azp"], "web");
}

#[test]
fn user_info_names_the_user() {
    let by_token = json!({"preferred_username": "ceo", "username": "root"});
    for (case, mapped, reply, expected) in [
        ("username", json!({"username": "/name"}), json!({"name": "alice"}), Some("alice")),
        ("the better one", json!({"preferred_username": "/name"}), json!({"name": "a"}), Some("a")),
        ("no name there", json!({"username": "/name"}), json!({}), None),
        ("not mapped", json!({"country": "/country"}), json!({"name": "alice"}), Some("ceo")),
    ] {
        let mut reply = reply;
        reply["sub"] = json!("alice");
        let config = with_users([("/user_info/claims", mapped)]);
        let (_, edits) = served(&config, &token(by_token.clone()), &reply);
        assert_eq!(field(&edits, "x-consumer-username").as_deref(), expected, "{case}");
    }
}

/// Somebody without an entry is not called as a consumer, by token or user info.
#[test]
fn a_consumers_name_is_its_own() {
    let entries = json!([
        {"key": "web", "username": "web-app", "custom_id": "web-1"}, {"key": "off", "enabled": false},
    ]);
    let config = local([("/consumers", json!({"entries": entries, "optional": true}))]);
    let named = |edits: &gatepass::verdict::HeaderEdits| {
        ["x-consumer-username", "x-consumer-custom-id", "x-credential-identifier"]
            .map(|name| field(edits, name))
    };
    let some = |text: &str| Some(text.to_owned());
    for (case, changes, expected) in [
        ("the consumer", json!({}), [some("web-app"), some("web-1"), some("web")]),
        (
            "nobody's name",
            json!({"azp": "x", "preferred_username": "al"}),
            [some("al"), some("alice"), some("alice")],
        ),
        (
            "its username",
            json!({"azp": "x", "preferred_username": "web-app"}),
            [None, some("alice"), some("alice")],
        ),
        (
            "its username, in capitals",
            json!({"azp": "x", "username": "Web-App"}),
            [None, some("alice"), some("alice")],
        ),
        ("its custom id", json!({"azp": "x", "sub": "web-1"}), [None, None, some("web-1")]),
        ("its key", json!({"azp": "x", "sub": "WEB"}), [None, some("WEB"), None]),
        ("one that is disabled", json!({"azp": "x", "sub": "off"}), [None, some("off"), None]),
    ] {
        let mut world = World::new(&config, ENVOY);
        assert_eq!(named(&world.forwarded(&token(changes))), expected, "{case}");
    }
    let mut mapped = with_users([("/user_info/claims", json!({"username": "/name"}))]);
    mapped["consumers"] = config["consumers"].clone();
    let reply = json!({"sub": "alice", "name": "web-app"});
    let (_, edits) = served(&mapped, &token(json!({"azp": "x"})), &reply);
    assert_eq!(field(&edits, "x-consumer-username"), None, "from user info");
}

/// A token whose payload is this text: the tests' own JSON must not round.
fn token_with(members: &str) -> String {
    let claims = claims(json!({})).to_string();
    let payload = format!("{{{members},{}", claims.strip_prefix('{').unwrap());
    KEY_A.sign(br#"{"alg":"EdDSA","kid":"a","typ":"JWT"}"#, payload.as_bytes())
}

#[test]
fn numbers_are_compared_exactly() {
    for (accepted, number, passes) in [
        ("123456789012345678901", "123456789012345678901", true),
        ("123456789012345678901", "123456789012345678902", false),
        ("90071992547409930", "90071992547409920", false),
        ("18446744073709551615", "18446744073709551616", false),
        ("3", "3.0", true),
        ("3.0", "3", true),
        ("9007199254740991", "9007199254740991.0", true),
        ("3", "30e-1", true),
        ("100", "1e2", true),
        ("0.1", "0.10000000000000000001", false),
        ("3", "\"3\"", false),
    ] {
        let config = local([
            ("/rules", json!([{"match": {}, "requires": {"claims": {"tenant": ["N"]}}}])),
            ("/providers/shop/required_claims", json!({"tenant": ["N"]})),
        ]);
        let text = config.to_string().replace("\"N\"", accepted);
        let config: Value = serde_json::from_str(&text).unwrap();
        let token = token_with(&format!("\"tenant\":{number}"));
        let code = (!passes).then(|| "claim_mismatch".to_owned());
        assert_eq!(decided(&config, &token, None), code, "{accepted} and {number}");
        let mut of_rule = config;
        put(&mut of_rule, "/providers/shop/required_claims", json!({}));
        let code = (!passes).then(|| "claim_forbidden".to_owned());
        assert_eq!(decided(&of_rule, &token, None), code, "{accepted} and {number}, by a rule");
    }
}

/// What the services get is the number that the token or the reply has.
#[test]
fn numbers_are_passed_on_as_they_are() {
    let mut config = with_users([
        ("/user_info/path", "/users/{uid}".into()),
        ("/user_info/claims", json!({"account": "/account"})),
        ("/identity_token/claims", json!({"copy": ["uid"]})),
    ]);
    config["claim_to_headers"] = json!([
        {"header": "x-uid", "claim": "uid"},
        {"header": "x-account", "claim": "account", "format": "json"},
    ]);
    let mut world = World::new(&config, ENVOY);
    for uid in ["123456789012345678901", "123456789012345678902", "3.0", "3"] {
        let (sent, waiting) = awaits(world.get(&token_with(&format!("\"uid\":{uid}"))));
        assert_eq!(sent.callout.path, format!("/users/{uid}"), "each is asked about");
        let body = format!(r#"{{"sub":"alice","account":{{"n":0.{uid}}}}}"#).replace("3.0", "3");
        let edits = forwarded(world.complete(sent.id, waiting, &reply(200, body.as_bytes())));
        assert_eq!(field(&edits, "x-uid").as_deref(), Some(uid));
        let account = format!(r#"{{"n":0.{}}}"#, uid.replace("3.0", "3"));
        assert_eq!(field(&edits, "x-account").as_deref(), Some(account.as_str()));
        let identity = field(&edits, "x-identity-token").unwrap();
        let payload = identity.split('.').nth(1).unwrap();
        use base64::Engine as _;
        let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
        let payload = String::from_utf8(payload).unwrap();
        assert!(payload.contains(&format!(r#""uid":{uid}"#)), "{payload}");
        assert!(payload.contains(&account), "{payload}");
    }
}

/// `null` is absent in tokens, keys and replies.
#[test]
fn null_is_absent_everywhere() {
    let header = br#"{"alg":"EdDSA","kid":"a","typ":null,"x5t":null}"#;
    let mut claims = claims(json!({}));
    for name in ["cnf", "nbf", "scope", "preferred_username", "role", "jti"] {
        claims[name] = Value::Null;
    }
    claims["scp"] = json!(["read"]);
    claims["username"] = json!("al");
    let token = KEY_A.sign(header, claims.to_string().as_bytes());
    let rules = json!([{"match": {}, "requires": {
        "scopes_all": ["read"], "claims": {"role": "absent", "country": "absent"},
    }}]);
    let mut config = with_users([("/rules", rules)]);
    put(&mut config, "/identity_token/claims", json!({"copy": ["role"]}));
    let mut key = KEY_A.jwk("a");
    for name in ["use", "alg", "key_ops", "x5c"] {
        key[name] = Value::Null;
    }
    put(&mut config, "/providers/shop/local_jwks", json!({"keys": [key]}));
    let reply = json!({"sub": "alice", "type": null, "address": {"country": null}});
    let (mut world, edits) = served(&config, &token, &reply);
    assert_eq!(field(&edits, "x-consumer-username").as_deref(), Some("al"));
    let identity = world.identity(&edits);
    for name in ["role", "country", "type"] {
        assert_eq!(identity.get(name), None, "{name}");
    }
    put(&mut config, "/user_info/required", json!(["type"]));
    assert_eq!(decided(&config, &token, Some(&reply)).as_deref(), Some("user_info_unavailable"));
}

/// The reply must say whom it is about, unless that is waived.
#[test]
fn a_reply_without_its_subject() {
    let reply = json!({"id": "alice", "address": {"country": "ES"}});
    let unavailable = Some("user_info_unavailable");
    for (case, pointer, expected) in [
        ("by default", None, unavailable),
        ("not there", Some(json!("/name")), unavailable),
        ("where it is", Some(json!("/id")), None),
        ("waived", Some(Value::Null), None),
    ] {
        let mut config = with_users([]);
        if let Some(pointer) = pointer {
            put(&mut config, "/user_info/subject_pointer", pointer);
        }
        assert_eq!(decided(&config, &alice(), Some(&reply)).as_deref(), expected, "{case}");
    }
}
