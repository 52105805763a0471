//! What services get to see of a call: its head, and where it goes when a service
//! sends it on.

use gatepass::callout::{Answer, Callout, CalloutReply};
use gatepass::pipeline::Step;
use serde_json::{Value, json};

use crate::support::*;

const KEY_SETS: &str = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1";

fn header<'a>(callout: &'a Callout, name: &str) -> Option<&'a str> {
    let mut values = callout.head().into_iter().filter(|(other, _)| *other == name);
    let value = values.next().map(|(_, value)| value);
    assert!(values.next().is_none(), "{name} is sent once");
    value
}

fn sent(step: Step) -> Callout {
    awaits(step).0.callout
}

fn redirect(status: u16, location: &str) -> CalloutReply {
    let fields = [("location", location)].into_iter().collect();
    CalloutReply::Answer(Answer { status, cache_control: None, fields, body: Vec::new() })
}

fn discovering() -> Value {
    remote([
        ("/providers/shop/remote_jwks", Value::Null),
        ("/providers/shop/discovery", json!({"service": "auth"})),
    ])
}

fn introspecting() -> Value {
    local([(
        "/providers/shop/introspection",
        json!({"service": "auth", "path": "/ask", "client_id": "gate", "client_secret": "s3cret"}),
    )])
}

#[test]
fn each_call_says_who_asks_and_what_it_takes() {
    let version = concat!("gatepass/", env!("CARGO_PKG_VERSION"));
    for (case, config, token, accept) in [
        ("keys", remote([]), alice(), KEY_SETS),
        ("discovery", discovering(), alice(), KEY_SETS),
        ("user info", with_users([]), alice(), "application/json"),
        ("introspection", introspecting(), "reference".to_owned(), "application/json"),
    ] {
        let callout = sent(World::new(&config, ENVOY).get(&token));
        assert_eq!(header(&callout, "user-agent"), Some(version), "{case}");
        assert_eq!(header(&callout, "accept"), Some(accept), "{case}");
    }
}

#[test]
fn a_call_names_the_request_that_it_is_sent_for() {
    let named = |token: &str, id: &str| {
        head(&[("authorization", &format!("Bearer {token}")), ("x-request-id", id)])
    };
    let named_first = Some("the-first");
    for (case, config, token, event, expected) in [
        // All requests depend on it, so that no client may have a say in it.
        ("keys", remote([]), alice(), "keys_not_fetched", None),
        ("discovery", discovering(), alice(), "keys_not_fetched", None),
        ("user info", with_users([]), alice(), "user_info_failed", named_first),
        (
            "introspection",
            introspecting(),
            "reference".to_owned(),
            "introspection_failed",
            named_first,
        ),
    ] {
        let mut world = World::new(&config, ENVOY);
        let (first, _) = awaits(world.begin(named(&token, "the-first")));
        assert_eq!(header(&first.callout, "x-request-id"), expected, "{case}");
        joins(world.begin(named(&token, "the-second")));
        world.gateway.take_log();
        world.gateway.complete(first.id, &reply(500, b"{}"), world.now()).unwrap();
        let log = world.gateway.take_log();
        let [line] = log.as_slice() else { panic!("{case}: {log:?}") };
        assert_eq!((line.name(), line.level().as_str()), (event, "WARN"), "{case}");
        let line = line.json();
        assert_eq!((&line["event"], &line["request_id"]), (&json!(event), &json!("the-first")));
        assert!(line["cause"].is_string(), "{case}: {line}");
    }
    // What a client calls its request is masked and bounded, as in the log.
    for (id, expected) in [
        (alice().as_str(), Some("[token]")),
        (&*"a".repeat(70), Some(&*"a".repeat(64))),
        ("one two", Some("one?two")),
        ("", None),
    ] {
        let callout = sent(World::new(&with_users([]), ENVOY).begin(named(&alice(), id)));
        assert_eq!(header(&callout, "x-request-id"), expected, "{id}");
    }
    let own = with_users([("/user_info/headers", json!({"x-request-id": "of-the-gateway"}))]);
    let callout = sent(World::new(&own, ENVOY).begin(named(&alice(), "of-the-client")));
    assert_eq!(header(&callout, "x-request-id"), Some("of-the-gateway"));
    assert_eq!(
        header(&sent(World::new(&with_users([]), ENVOY).get(&alice())), "x-request-id"),
        None
    );
}

#[test]
fn a_service_gets_its_headers_with_every_call() {
    let headers = json!({"x-tenant": "shop"});
    for (case, mut config, token) in [
        ("keys", remote([]), alice()),
        ("discovery", discovering(), alice()),
        ("user info", with_users([]), alice()),
        ("introspection", introspecting(), "reference".to_owned()),
    ] {
        put(&mut config, "/services/auth/headers", headers.clone());
        put(&mut config, "/services/users/headers", headers.clone());
        let callout = sent(World::new(&config, ENVOY).get(&token));
        assert_eq!(header(&callout, "x-tenant"), Some("shop"), "{case}");
        let version = concat!("gatepass/", env!("CARGO_PKG_VERSION"));
        assert_eq!(header(&callout, "user-agent"), Some(version), "{case}");
    }
    let token = json!({"authorization": "Bearer of-the-gateway"});
    let mut world = World::new(&remote([("/services/auth/headers", token)]), ENVOY);
    let tick = world.gateway.tick(world.now());
    let [fetch] = tick.send.as_slice() else { panic!("one fetch") };
    assert_eq!(header(&fetch.callout, "authorization"), Some("Bearer of-the-gateway"));
    assert!(!format!("{fetch:?}").contains("of-the-gateway"), "a secret");
}

/// What two gateways fetch with different credentials are two key sets; and the
/// store does not hold the credentials.
#[test]
fn key_sets_are_shared_by_those_with_the_same_credentials() {
    let with = |token: &str| remote([("/services/auth/headers", json!({"authorization": token}))]);
    let store = Store::default();
    let mut first = World::sharing(&with("Bearer one-of-them"), ENVOY, &store);
    assert_eq!(first.tick(&jwks(&[KEY_A.jwk("a")])), 1);
    let mut same = World::sharing(&with("Bearer one-of-them"), ENVOY, &store);
    assert_eq!(same.tick(&failed()), 0, "taken over");
    same.forwarded(&alice());
    let mut other = World::sharing(&with("Bearer another-one"), ENVOY, &store);
    assert_eq!(other.tick(&jwks(&[KEY_B.jwk("a")])), 1);
    let step = other.get(&alice());
    let step = other.answer(step, &jwks(&[KEY_B.jwk("a")]));
    assert_eq!(denied(step), denial(401, "signature_invalid"));
    let stored = format!("{:?}", store.0.borrow());
    let bytes: Vec<u8> = store.0.borrow().values().flat_map(|(value, _)| value.clone()).collect();
    let stored = stored + &String::from_utf8_lossy(&bytes);
    assert!(!stored.contains("one-of-them") && !stored.contains("another-one"));
}

#[test]
fn a_redirect_to_the_same_service_is_followed_once() {
    for host in HOSTS {
        for (status, location, path) in [
            (301, "/keys/", "/keys/"),
            (302, "http://auth/keys?v=2", "/keys?v=2"),
            (303, "//auth:80/keys", "/keys"),
            (307, "HTTP://AUTH/keys", "/keys"),
            (308, "http://auth:80/keys", "/keys"),
        ] {
            let mut world = World::new(&remote([]), host);
            let step = world.get(&alice());
            let next = world.answer(step, &redirect(status, location));
            let (fetch, waiting) = awaits(next);
            assert_eq!(fetch.callout.path, path, "{location}");
            assert_eq!(fetch.callout.service.name, "auth");
            assert_eq!(header(&fetch.callout, "accept"), Some(KEY_SETS));
            forwarded(world.complete(fetch.id, waiting, &jwks(&[KEY_A.jwk("a")])));
            // What it led to is not remembered.
            world.pass(600);
            let tick = world.gateway.tick(world.now());
            assert_eq!(tick.send[0].callout.path, "/jwks.json", "{location}");
        }
    }
}

#[test]
fn discovery_and_keys_may_each_be_redirected() {
    for host in HOSTS {
        let mut world = World::new(&discovering(), host);
        let document =
            json!({"issuer": "https://auth.example", "jwks_uri": "https://auth.example/k"});
        let mut step = world.get(&alice());
        for (path, answer) in [
            ("/.well-known/openid-configuration", redirect(301, "/v2/configuration")),
            ("/v2/configuration", ok(&document)),
            ("/k", redirect(302, "/k2")),
            ("/k2", jwks(&[KEY_A.jwk("a")])),
        ] {
            let (fetch, waiting) = awaits(step);
            assert_eq!(fetch.callout.path, path);
            step = world.complete(fetch.id, waiting, &answer);
        }
        forwarded(step);
    }
}

#[test]
fn no_redirect_leads_elsewhere() {
    for (location, said) in [
        ("https://auth/keys", "redirected to https://auth, which is not the service"),
        ("http://auth:8080/keys", "redirected to http://auth:8080,"),
        ("http://auth.evil/secret-path", "redirected to http://auth.evil,"),
        ("http://user@auth/keys", "redirected to http://user@auth,"),
        ("//evil/keys", "redirected to //evil,"),
        ("/\\evil/#x", "without a location"),
        ("keys", "without a location"),
        ("", "without a location"),
        ("/a\r\nx: y", "without a location"),
        ("http://auth", "redirected to http://auth,"),
    ] {
        let mut world = World::new(&remote([]), ENVOY);
        let step = world.get(&alice());
        let denied = denied(world.answer(step, &redirect(302, location)));
        assert_eq!(denied, denial(503, "keys_unavailable"), "{location}");
        let log = logged(&mut world.gateway);
        assert!(log.contains(said) && !log.contains("secret-path"), "{location}: {log}");
    }
    let mut world = World::new(&remote([]), ENVOY);
    let step = world.get(&alice());
    let step = world.answer(step, &redirect(302, "/a"));
    let denied = denied(world.answer(step, &redirect(302, "/b")));
    assert_eq!(denied, denial(503, "keys_unavailable"));
    assert!(logged(&mut world.gateway).contains("redirected twice"));
}

/// Of users and tokens nothing is asked that a reply leads to.
#[test]
fn only_key_fetches_are_redirected() {
    let mut world = World::new(&with_users([]), ENVOY);
    let step = world.get(&alice());
    let denied = denied(world.answer(step, &redirect(302, "/elsewhere")));
    assert_eq!(denied, denial(503, "user_info_unavailable"));
}
