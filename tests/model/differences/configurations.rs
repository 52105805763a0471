//! Two gateways in one VM with one store, whose configurations differ in one leaf:
//! neither uses what the other one learned, unless it would have learned the same.

use gatepass::callout::{Callout, CalloutReply};
use gatepass::config;
use gatepass::host::RequestId;
use gatepass::http::RequestHead;
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::super::simulation::outside::{jwk, signed};
use super::super::simulation::signatures::Signatures;
use super::super::simulation::stores::{Kind, Store};
use super::super::support::{self, ENVOY, START};

/// What the twin has of its own when this leaf differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// Its keys come from elsewhere.
    Keys,
    /// It is another gateway: other keys and other revocations.
    All,
    /// Its feed is another one.
    Feed,
    /// Nothing.
    Nothing,
}

/// Leaves, another value for each, and what depends on it.
fn leaves() -> Vec<(&'static str, Value, Own)> {
    vec![
        ("/services/idp/upstream", "idp-2".into(), Own::Keys),
        ("/services/idp/authority", "idp-2.internal".into(), Own::Keys),
        ("/services/idp/scheme", "https".into(), Own::Keys),
        ("/services/idp/timeout_ms", 700.into(), Own::Nothing),
        ("/services/keys/upstream", "keys-2".into(), Own::Keys),
        ("/services/keys/authority", "keys-2.internal".into(), Own::Keys),
        ("/services/feeds/upstream", "feeds-2".into(), Own::Feed),
        ("/services/feeds/authority", "feeds-2.internal".into(), Own::Feed),
        ("/providers/p/issuer", "https://two.example".into(), Own::All),
        ("/providers/p/discovery/service", "other".into(), Own::Keys),
        ("/providers/p/discovery/path", "/openid-2".into(), Own::Keys),
        ("/providers/p/discovery/jwks_service", "other".into(), Own::Keys),
        ("/providers/p/discovery/cache_seconds", 60.into(), Own::Nothing),
        ("/providers/p/discovery/max_stale_seconds", 60.into(), Own::Nothing),
        ("/providers/p/remote_jwks/service", "other".into(), Own::Keys),
        ("/providers/p/remote_jwks/path", "/keys-2".into(), Own::Keys),
        ("/providers/p/audiences", json!(["api", "web"]), Own::Nothing),
        ("/revocation/feed/service", "other".into(), Own::Feed),
        ("/revocation/feed/path", "/list-2".into(), Own::Feed),
        ("/revocation/feed/poll_seconds", 7.into(), Own::Nothing),
        ("/revocation/endpoint/path", "/withdraw".into(), Own::Nothing),
        ("/identity_token/issuer", "https://gateway-2.internal".into(), Own::Nothing),
        ("/limits", json!({"token_cache_entries": 3}), Own::Nothing),
    ]
}

fn base(has_discovery: bool) -> Value {
    let mut config = json!({
        "services": {},
        "providers": {"p": {"issuer": "https://one.example", "audiences": ["api"]}},
        "identity_token": {
            "issuer": "https://gateway.internal", "audiences": ["services"],
            "signing_keys": [{"algorithm": "EdDSA", "private_key": support::gateway_key("EdDSA")}],
        },
        "revocation": {
            "endpoint": {"path": "/revoke", "requires": {"scopes_all": ["admin"]}},
            "feed": {"service": "feeds", "path": "/list"},
        },
    });
    for name in ["idp", "keys", "feeds", "other"] {
        config["services"][name] = json!({
            "upstream": name, "authority": format!("{name}.internal"), "scheme": "http",
        });
    }
    let provider = &mut config["providers"]["p"];
    if has_discovery {
        provider["discovery"] =
            json!({"service": "idp", "jwks_service": "keys", "path": "/openid"});
    } else {
        provider["remote_jwks"] = json!({"service": "idp", "path": "/keys"});
    }
    config
}

/// One of the two, and the world as it is for it.
struct Twin {
    gateway: Pipeline,
    issuer: String,
    endpoint: String,
    /// The number of the key that its issuer publishes.
    key: u64,
    feed: Vec<Value>,
    asked: Vec<String>,
}

impl Twin {
    fn new(config: &Value, key: u64, feed: &[Value], store: &Store) -> Self {
        let settings = config::load(config.to_string().as_bytes(), &|_| None, None)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&key.to_be_bytes());
        let mut gateway = Pipeline::new(settings, ENVOY, seed);
        gateway.share(Box::new(store.clone()));
        let text = |pointer: &str| config.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let (issuer, endpoint) = (text("/providers/p/issuer"), text("/revocation/endpoint/path"));
        Self { gateway, issuer, endpoint, key, feed: feed.to_vec(), asked: Vec::new() }
    }

    fn token(&self, sub: &str, key: u64) -> String {
        let claims = json!({
            "iss": self.issuer, "aud": "api", "sub": sub, "iat": START, "exp": START + 600,
            "scope": "admin",
        });
        signed(0, key, &claims, Signatures::True)
    }

    fn answer(&mut self, callout: &Callout) -> CalloutReply {
        self.asked.push(callout.path.clone());
        let path = callout.path.split('?').next().expect("a path");
        support::ok(&match path {
            "/openid" | "/openid-2" => {
                json!({"issuer": self.issuer, "jwks_uri": "https://idp.example/keys"})
            }
            "/keys" | "/keys-2" => json!({"keys": [jwk(0, self.key)]}),
            "/list" | "/list-2" => json!({"cursor": "c", "entries": self.feed}),
            other => panic!("nobody has {other}"),
        })
    }

    fn tick(&mut self, at: i64) {
        let now = UnixTime::from_secs(at);
        for _ in 0..3 {
            for sent in self.gateway.tick(now).send {
                let reply = self.answer(&sent.callout);
                assert!(self.gateway.complete(sent.id, &reply, now).is_some());
            }
        }
    }

    /// What becomes of a request: its status, 200 if it goes on.
    fn send(&mut self, token: &str, body: Option<&Value>, at: i64) -> u16 {
        let now = UnixTime::from_secs(at);
        let bearer = format!("Bearer {token}");
        let body = body.map(|body| body.to_string().into_bytes());
        let length = body.as_ref().map_or(0, Vec::len).to_string();
        let endpoint = self.endpoint.clone();
        let (method, path) = if body.is_some() { ("POST", &*endpoint) } else { ("GET", "/") };
        let head = RequestHead::new([
            (":method", method),
            (":path", path),
            (":authority", "shop.example"),
            ("content-length", &length),
            ("authorization", &bearer),
        ]);
        let mut step = self.gateway.begin(RequestId::default(), head, now);
        loop {
            step = match step {
                Step::Done(Verdict::Forward(_), _) => return 200,
                Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
                    return reply.status;
                }
                Step::Wait(sent, waiting) => {
                    let reply = self.answer(&sent.callout);
                    let landing = self.gateway.complete(sent.id, &reply, now).expect("a flight");
                    self.gateway.resume(waiting, &landing, now)
                }
                Step::Receive(submission) => self.gateway.submit(submission, body.clone(), now),
                Step::Join(_) => panic!("nobody else asks"),
            };
        }
    }
}

fn compare(leaf: &str, value: &Value, own: Own, has_discovery: bool) {
    let case = format!("{leaf}, {}", if has_discovery { "discovery" } else { "remote_jwks" });
    let config = base(has_discovery);
    let mut other = config.clone();
    let (parent, name) = leaf.rsplit_once('/').expect("a pointer");
    let parent = other.pointer_mut(parent).unwrap_or_else(|| panic!("{case}: not in {config}"));
    parent[name] = value.clone();
    let store = Store::new(Kind::Quiet);
    let fed = json!({"sub": "fed"});
    let mut first = Twin::new(&config, 1, &[fed], &store);
    first.tick(START);
    assert_eq!(first.send(&first.token("alice", 1), None, START), 200, "{case}");
    let posted = json!({"entries": [{"sub": "bob"}]});
    assert_eq!(first.send(&first.token("alice", 1), Some(&posted), START), 204, "{case}");

    let is_elsewhere = own == Own::Keys || own == Own::All;
    let key = if is_elsewhere { 2 } else { 1 };
    let feed = if own == Own::Feed { vec![] } else { first.feed.clone() };
    let mut twin = Twin::new(&other, key, &feed, &store);
    for at in [START + 1, START + 3, START + 40] {
        if is_elsewhere {
            let foreign = twin.token("alice", 1);
            assert_ne!(twin.send(&foreign, None, at), 200, "{case}: the other one's key, {at}");
        }
        let bobs = twin.token("bob", key);
        match own {
            Own::All => {
                assert_eq!(twin.send(&bobs, None, at), 200, "{case}: the other one's list, {at}");
            }
            _ => {
                assert_eq!(twin.send(&bobs, None, at), 401, "{case}: revoked, {at}");
            }
        }
        let carols = twin.token("carol", key);
        assert_eq!(twin.send(&carols, None, at), 200, "{case}: nothing is amiss, {at}");
        // What the other feed said goes with its cursor.
        let lists: Vec<&String> =
            twin.asked.iter().filter(|path| path.starts_with("/list")).collect();
        if own == Own::Feed {
            assert!(lists.first().is_some_and(|path| !path.contains("since")), "{case}: {lists:?}");
        }
        twin.tick(at);
        first.tick(at);
    }
}

#[test]
fn twins_that_differ_in_one_leaf_share_nothing_that_depends_on_it() {
    for (leaf, value, own) in leaves() {
        let mut compared = 0;
        for has_discovery in [false, true] {
            let has_leaf = match leaf.split('/').nth(3) {
                Some("discovery") => has_discovery,
                Some("remote_jwks") => !has_discovery,
                _ => true,
            };
            let is_used = has_discovery || !leaf.starts_with("/services/keys");
            if has_leaf && is_used {
                compare(leaf, &value, own, has_discovery);
                compared += 1;
            }
        }
        let depends = leaf.starts_with("/services/keys") || leaf.split('/').count() == 5;
        assert_eq!(compared, if depends { 1 } else { 2 }, "{leaf}");
    }
}
