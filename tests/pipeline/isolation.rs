//! Nothing passes between configurations that differ in what it depends on.
//!
//! The shared values and the caches are listed in the documentation of the crate,
//! each with what it depends on; these tests go through that list.

use gatepass::callout::CalloutReply;
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use crate::support::*;

const ENDPOINT: &str = "/.well-known/gatepass/revocations";
const DISCOVERED: &str = "/.well-known/openid-configuration";

/// A gateway that shares all that can be shared.
fn base() -> Value {
    let mut config = local([
        ("/providers/shop/local_jwks", Value::Null),
        ("/providers/shop/discovery", json!({"service": "idp", "jwks_service": "keys"})),
        (
            "/revocation",
            json!({
                "feed": {"service": "feed", "path": "/revoked"},
                "endpoint": {"requires": {"scopes_all": ["revoke"]}},
            }),
        ),
    ]);
    for service in ["idp", "keys", "feed"] {
        config["services"][service] = json!({
            "upstream": service, "authority": format!("{service}.internal"),
            "scheme": "http", "timeout_ms": 1000,
        });
    }
    config
}

/// A difference between two configurations, and whether they share the keys, what
/// was revoked, and how far the feed was read in spite of it.
type Difference = (&'static str, fn(&mut Value), [bool; 3]);

const ALL: [bool; 3] = [true, true, true];
const NO_KEYS: [bool; 3] = [false, true, true];
const NO_FEED: [bool; 3] = [true, true, false];
const NO_LIST: [bool; 3] = [true, false, false];

fn rename(config: &mut Value, service: &str) {
    let services = config["services"].as_object_mut().unwrap();
    let moved = services.remove(service).unwrap();
    services.insert("renamed".into(), moved);
    for pointer in ["/providers/shop/discovery", "/revocation/feed"] {
        for value in config.pointer_mut(pointer).unwrap().as_object_mut().unwrap().values_mut() {
            if *value == service {
                *value = json!("renamed");
            }
        }
    }
}

const DIFFERENCES: [Difference; 22] = [
    ("nothing", |_| (), ALL),
    ("the upstream of the keys", |it| it["services"]["keys"]["upstream"] = json!("x"), NO_KEYS),
    ("the authority of the keys", |it| it["services"]["keys"]["authority"] = json!("x"), NO_KEYS),
    ("the scheme of the keys", |it| it["services"]["keys"]["scheme"] = json!("https"), NO_KEYS),
    ("the upstream of discovery", |it| it["services"]["idp"]["upstream"] = json!("x"), NO_KEYS),
    ("the authority of discovery", |it| it["services"]["idp"]["authority"] = json!("x"), NO_KEYS),
    ("the scheme of discovery", |it| it["services"]["idp"]["scheme"] = json!("https"), NO_KEYS),
    ("the document", |it| it["providers"]["shop"]["discovery"]["path"] = json!("/d"), NO_KEYS),
    ("the issuer", |it| it["providers"]["shop"]["issuer"] = json!("https://b"), [false; 3]),
    (
        "the provider's name",
        |it| {
            let providers = it["providers"].as_object_mut().unwrap();
            let shop = providers.remove("shop").unwrap();
            providers.insert("other".into(), shop);
        },
        NO_LIST,
    ),
    ("the ledger", |it| it["revocation"]["ledger"] = json!("other"), NO_LIST),
    ("the feed's path", |it| it["revocation"]["feed"]["path"] = json!("/other"), NO_FEED),
    ("the feed's upstream", |it| it["services"]["feed"]["upstream"] = json!("x"), NO_FEED),
    ("the feed's authority", |it| it["services"]["feed"]["authority"] = json!("x"), NO_FEED),
    ("the feed's scheme", |it| it["services"]["feed"]["scheme"] = json!("https"), NO_FEED),
    // What says nothing of the values.
    ("a service's name", |it| rename(it, "keys"), ALL),
    ("another service's name", |it| rename(it, "feed"), ALL),
    ("a timeout", |it| it["services"]["keys"]["timeout_ms"] = json!(900), ALL),
    ("when to fetch", |it| it["providers"]["shop"]["discovery"]["cache_seconds"] = json!(500), ALL),
    ("the endpoint", |it| it["revocation"]["endpoint"]["path"] = json!("/revoke"), ALL),
    ("the poll", |it| it["revocation"]["feed"]["poll_seconds"] = json!(9), ALL),
    ("the rules", |it| it["rules"] = json!([{"match": {"path": "/x"}, "bypass": true}]), ALL),
];

/// A worker of a gateway, and what it asked.
struct Worker {
    world: World,
    issuer: String,
    endpoint: String,
    asked: Vec<String>,
}

impl Worker {
    fn new(config: &Value, store: &Store) -> Self {
        let provider = config["providers"].as_object().unwrap().values().next().unwrap();
        let endpoint = config["revocation"]["endpoint"]["path"].as_str().unwrap_or(ENDPOINT);
        Self {
            world: World::sharing(config, ENVOY, store),
            issuer: provider["issuer"].as_str().unwrap().to_owned(),
            endpoint: endpoint.to_owned(),
            asked: Vec::new(),
        }
    }

    fn answer(&self, path: &str) -> CalloutReply {
        match path {
            "/keys" => jwks(&[KEY_A.jwk("a")]),
            "/revoked" | "/other" => ok(&json!({"cursor": "7", "entries": [{"sub": "carol"}]})),
            path if path.contains("since=") => ok(&json!({"cursor": "7", "entries": []})),
            _ => ok(&json!({"issuer": self.issuer, "jwks_uri": "https://idp.example/keys"})),
        }
    }

    /// Lets it fetch all that it does not know.
    fn settle(&mut self) {
        for _ in 0..5 {
            let now = self.world.now();
            for sent in self.world.gateway.tick(now).send {
                let reply = self.answer(&sent.callout.path);
                self.asked.push(sent.callout.path);
                assert!(self.world.gateway.complete(sent.id, &reply, now).is_some());
            }
        }
    }

    fn token(&self, sub: &str) -> String {
        token(json!({"iss": self.issuer, "sub": sub, "scope": "revoke"}))
    }

    fn revoke(&mut self, sub: &str) {
        let body = json!({"entries": [{"sub": sub}]}).to_string();
        let request = head(&[
            (":method", "POST"),
            (":path", &self.endpoint),
            ("authorization", &format!("Bearer {}", self.token("root"))),
            ("content-length", &body.len().to_string()),
        ]);
        let step = self.world.begin(request);
        let Step::Receive(submission) = step else { panic!("{:?}: {step:?}", self.asked) };
        let now = self.world.now();
        let step = self.world.gateway.submit(submission, Some(body.into_bytes()), now);
        assert_eq!(answered(step).status, 204);
    }

    fn is_revoked(&mut self, sub: &str) -> bool {
        let token = self.token(sub);
        match self.world.get(&token) {
            Step::Done(Verdict::Forward(_), _) => false,
            step => {
                assert_eq!(denied(step), denial(401, "token_revoked"));
                true
            }
        }
    }
}

/// Each difference against each: what two gateways share that differ in both.
#[test]
fn what_is_shared_is_shared_by_those_for_whom_it_is_the_same() {
    for (one_case, change_one, one_shares) in DIFFERENCES {
        for (other_case, change_other, other_shares) in DIFFERENCES {
            let case = format!("{one_case}, {other_case}");
            let (mut one, mut other) = (base(), base());
            change_one(&mut one);
            change_other(&mut other);
            let shares = |at: usize| one_case == other_case || one_shares[at] && other_shares[at];
            let store = Store::default();
            let mut one = Worker::new(&one, &store);
            one.settle();
            one.revoke("alice");
            let mut other = Worker::new(&other, &store);
            other.settle();
            let asks_for_keys = other.asked.iter().any(|path| path == "/keys");
            assert_eq!(asks_for_keys, !shares(0), "{case}: keys, {:?}", other.asked);
            let discovers = |path: &&String| path.as_str() == DISCOVERED || *path == "/d";
            assert_eq!(other.asked.iter().any(|path| discovers(&path)), !shares(0), "{case}");
            assert_eq!(other.is_revoked("alice"), shares(1), "{case}: revoked");
            let reads_anew = other
                .asked
                .iter()
                .any(|path| path.starts_with("/revoked") || path.starts_with("/other"));
            assert_eq!(reads_anew, !shares(2), "{case}: the feed, {:?}", other.asked);
            assert!(other.is_revoked("carol"), "{case}: the feed says so");
        }
    }
}

/// What is allowed at one gateway is not at one with another list.
#[test]
fn an_allowlist_is_shared_by_those_who_read_the_same() {
    let allows = |path: &str, upstream: &str| {
        let mut config =
            local([("/revocation", json!({"allowlist": {"service": "auth", "path": path}}))]);
        config["services"]["auth"]["upstream"] = json!(upstream);
        config
    };
    let config = allows("/a", "auth");
    for (other, expected) in
        [(config.clone(), true), (allows("/b", "auth"), false), (allows("/a", "other"), false)]
    {
        let store = Store::default();
        let mut one = World::sharing(&config, ENVOY, &store);
        one.tick(&ok(&json!({"cursor": "1", "entries": [{"sub": "alice"}]})));
        one.forwarded(&alice());
        let mut other = World::sharing(&other, ENVOY, &store);
        let step = other.get(&alice());
        assert_eq!(matches!(step, Step::Done(Verdict::Forward(_), _)), expected, "{step:?}");
    }
}

/// In one gateway: what was said for one token is not taken for another that
/// differs in anything that is sent, or that the answer must be about.
#[test]
fn user_info_is_for_the_user_it_was_asked_for() {
    let first = json!({"tenant": "acme"});
    for (case, forwards, other, is_known) in [
        ("the same", false, json!({"tenant": "acme"}), true),
        ("another token of the user", false, json!({"tenant": "acme", "jti": "2"}), true),
        ("another path", false, json!({"tenant": "other"}), false),
        ("another subject", false, json!({"tenant": "acme", "sub": "bob"}), false),
        ("the same, sent on", true, json!({"tenant": "acme"}), true),
        ("another token, sent on", true, json!({"tenant": "acme", "jti": "2"}), false),
    ] {
        let config = with_users([
            ("/user_info/path", json!("/of/{tenant}")),
            ("/user_info/forward_token", json!(forwards)),
        ]);
        let mut world = World::new(&config, ENVOY);
        let step = world.get(&token(first.clone()));
        forwarded(world.answer(step, &ok(&json!({"sub": "alice"}))));
        let step = world.get(&token(other));
        assert_eq!(
            matches!(step, Step::Done(Verdict::Forward(_), _)),
            is_known,
            "{case}: {step:?}"
        );
    }
}

/// A token is remembered by all of it.
#[test]
fn a_session_is_for_its_token_alone() {
    let mut world = World::new(&local([]), ENVOY);
    let alice = alice();
    world.forwarded(&alice);
    let parts: Vec<&str> = alice.split('.').collect();
    let other = token(json!({"sub": "bob"}));
    let of_bob: Vec<&str> = other.split('.').collect();
    for forged in [
        [of_bob[0], of_bob[1], parts[2]].join("."),
        [parts[0], of_bob[1], parts[2]].join("."),
        [parts[0], parts[1], of_bob[2]].join("."),
    ] {
        assert_eq!(world.denied(&forged), denial(401, "signature_invalid"));
    }
}
