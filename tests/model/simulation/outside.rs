//! Everybody around the workers: issuers with keys that change, a user service, a
//! feed. Each reply comes with what it is about, for the model.

use std::sync::OnceLock;

use gatepass::callout::{Callout, CalloutReply};
use serde_json::{Value, json};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::super::options;
use super::super::support::{self, START};
use super::signatures::{self, Signatures};

/// What a reply is about.
#[derive(Clone, Debug)]
pub enum Fact {
    /// The keys of an issuer: key id and number.
    Keys(usize, Vec<(usize, u64)>),
    /// A user's data: the path, and when it was so.
    User(String, i64),
    /// The feed up to this entry, and whether that is its end.
    Page(usize, bool),
    /// The last page of this version of the allowlist.
    Allowed(usize),
    /// Something that says nothing about any of these.
    Nothing,
}

/// The issuers: two behind one cluster for the first listener, two with their own
/// discovery services and one service of keys for the second.
pub const ISSUERS: [&str; 4] =
    ["https://a.example", "https://b.example", "https://d.example", "https://e.example"];

/// The listener at which an issuer's tokens are good.
pub const fn listener_of(issuer: usize) -> usize {
    issuer / 2
}

pub const CACHE_MS: i64 = 20_000;
pub const MAX_STALE_MS: i64 = 40_000;
pub const COOLDOWN_MS: i64 = 10_000;
pub const USER_TTL_MS: i64 = 5_000;
pub const USER_STALE_MS: i64 = 10_000;
pub const FEED_STALE_MS: i64 = 20_000;

/// The longest callout, and the tick that ends it.
pub const SLOW_MS: i64 = 5000;

/// Where a version of the configurations takes revocations.
pub const fn endpoint(version: usize) -> &'static str {
    if version == 0 { "/revoke" } else { "/withdraw" }
}

/// The text of a listener's configuration, in one of its versions.
pub fn text(listener: usize, version: usize) -> &'static str {
    static TEXTS: [OnceLock<String>; 4] = [const { OnceLock::new() }; 4];
    TEXTS[2 * listener + version].get_or_init(|| configuration(listener, version).to_string())
}

fn configuration(listener: usize, version: usize) -> Value {
    let times = |mut endpoint: Value| {
        endpoint["cache_seconds"] = (CACHE_MS / 1000).into();
        endpoint["max_stale_seconds"] = (MAX_STALE_MS / 1000).into();
        endpoint["unknown_kid_cooldown_seconds"] = (COOLDOWN_MS / 1000).into();
        endpoint
    };
    let provider = |issuer: usize, kind: &str, endpoint: Value| {
        json!({
            "issuer": ISSUERS[issuer], "audiences": ["api"], "clock_skew_seconds": 0,
            kind: times(endpoint),
        })
    };
    // They differ in nothing but the service of their documents.
    let discovery = |service: &str| json!({"service": service, "jwks_service": "keys"});
    let providers = match listener {
        0 => json!({
            "a": provider(0, "remote_jwks", json!({"service": "idp", "path": "/a.json"})),
            "b": provider(1, "discovery", json!({"service": "idp", "path": "/b/openid"})),
        }),
        _ => json!({
            "d": provider(2, "discovery", discovery("idp-d")),
            "e": provider(3, "discovery", discovery("idp-e")),
        }),
    };
    let path = endpoint(version);
    let requires = json!({"scopes_all": ["admin"]});
    let mut config = json!({
        "services": {},
        "providers": providers,
        "user_info": {
            "service": "users", "path": "/users/{iss}/{sub}",
            "claims": {"as_of": "/as_of", "path": "/path"},
            "cache": {"ttl_seconds": USER_TTL_MS / 1000, "negative_ttl_seconds": 1,
                "stale_if_error_seconds": USER_STALE_MS / 1000, "max_entries": 6},
        },
        "identity_token": {
            "issuer": "https://gateway.internal", "audiences": ["services"], "ttl_seconds": 60,
            "signing_keys": [{"algorithm": "EdDSA", "private_key": support::gateway_key("EdDSA")}],
        },
        "revocation": {"endpoint": {"path": path, "requires": requires}},
        "limits": {"token_cache_entries": 8},
    });
    for service in ["idp", "idp-d", "idp-e", "keys", "users", "feeds"] {
        config["services"][service] = json!({"upstream": service, "timeout_ms": 1000});
    }
    if listener == 0 {
        config["revocation"]["feed"] = json!({
            "service": "feeds", "path": if version == 0 { "/list" } else { "/entries" },
            "poll_seconds": 3, "max_stale_seconds": FEED_STALE_MS / 1000,
        });
    } else {
        config["revocation"]["allowlist"] = json!({
            "service": "feeds", "path": "/allowed",
            "poll_seconds": 3, "max_stale_seconds": FEED_STALE_MS / 1000,
        });
        config["revocation"]["failure_mode"] = if version == 0 { "deny" } else { "allow" }.into();
    }
    if options::PROVIDERS_TOLD_APART {
        config["identity_token"]["subject"] = "{sub}".into();
    }
    config
}

/// The public half of a key.
pub fn jwk(kid: usize, number: u64) -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode(signatures::public(number)),
        "kid": format!("k{kid}"), "use": "sig",
    })
}

/// A token with these claims, signed by a key.
pub fn signed(kid: usize, number: u64, claims: &Value, signatures: Signatures) -> String {
    let header = json!({"alg": "EdDSA", "kid": format!("k{kid}"), "typ": "JWT"}).to_string();
    let input = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims.to_string()));
    let signature = signatures.sign(number, input.as_bytes());
    format!("{input}.{}", BASE64URL.encode(signature))
}

/// The services.
pub struct Outside {
    /// The keys that each issuer publishes.
    pub keys: [Vec<(usize, u64)>; 4],
    /// Those that it has withdrawn.
    pub withdrawn: [Vec<(usize, u64)>; 4],
    /// When each key was published, in real time, by its number.
    published: Vec<i64>,
    /// The feed's entries.
    pub feed: Vec<Value>,
    /// How many pages of it have been read.
    pub pages: usize,
    /// How often the feed forgot its cursors; it goes on from none of before.
    pub epoch: usize,
    /// The users on the allowlist, in each of its versions.
    pub allowed: Vec<Vec<&'static str>>,
}

/// By how much a feed's cursors grow when it forgets those before.
const EPOCH: usize = 1_000_000;

/// Everybody.
pub const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

impl Outside {
    pub fn new() -> Self {
        let mut outside = Self {
            keys: Default::default(),
            withdrawn: Default::default(),
            published: Vec::new(),
            feed: Vec::new(),
            pages: 0,
            epoch: 0,
            allowed: vec![USERS.to_vec()],
        };
        (0..4).for_each(|issuer| outside.add_key(issuer, 0, 0));
        outside
    }

    /// A number that no issuer has published a key of.
    pub const UNPUBLISHED: u64 = 1_000_000;

    /// Publishes a new key, in the place of one with the same id.
    pub fn add_key(&mut self, issuer: usize, kid: usize, real: i64) {
        self.withdraw(issuer, kid);
        self.keys[issuer].push((kid, u64::try_from(self.published.len()).expect("few")));
        self.published.push(real);
    }

    /// For how long a key has been published, if it is now.
    pub fn published_for(&self, issuer: usize, key: (usize, u64), real: i64) -> Option<i64> {
        let is_there = self.keys[issuer].contains(&key);
        let since = self.published.get(usize::try_from(key.1).expect("few"))?;
        is_there.then(|| real - since)
    }

    /// Withdraws the key with an id.
    pub fn withdraw(&mut self, issuer: usize, kid: usize) {
        let gone = self.keys[issuer].iter().position(|(known, _)| *known == kid);
        if let Some(at) = gone {
            let key = self.keys[issuer].remove(at);
            self.withdrawn[issuer].push(key);
        }
    }

    /// The answer to a callout.
    pub fn answer(&self, callout: &Callout, real: i64) -> (Fact, CalloutReply) {
        let path = callout.path.as_str();
        let leads = |issuer: usize, to: &str| {
            let document =
                json!({"issuer": ISSUERS[issuer], "jwks_uri": format!("https://idp{to}")});
            (Fact::Nothing, support::ok(&document))
        };
        match (callout.service.upstream.as_str(), path) {
            ("idp", "/a.json") => self.key_set(0),
            ("idp", "/b/openid") => leads(1, "/b.json"),
            ("idp", "/b.json") => self.key_set(1),
            ("idp-d", _) => leads(2, "/d.json"),
            ("idp-e", _) => leads(3, "/e.json"),
            ("keys", "/d.json") => self.key_set(2),
            ("keys", "/e.json") => self.key_set(3),
            ("users", path) => {
                let sub = path.rsplit('/').next().expect("a subject");
                let body = json!({"sub": sub, "as_of": real, "path": path});
                (Fact::User(path.to_owned(), real), support::ok(&body))
            }
            ("feeds", path) if path.starts_with("/allowed") => {
                self.allowlist(path.split_once("since=").map_or("", |(_, cursor)| cursor))
            }
            ("feeds", path) => {
                let since = path.split_once("since=").map(|(_, at)| at.parse::<usize>().unwrap());
                if since.is_some_and(|since| since / EPOCH != self.epoch) {
                    return (Fact::Nothing, support::reply(410, b""));
                }
                let since = since.map_or(0, |since| since % EPOCH);
                let end = self.feed.len().min(since + 2);
                let page = json!({
                    "cursor": (self.epoch * EPOCH + end).to_string(), "entries": self.feed[since..end],
                    "more": end < self.feed.len(),
                });
                (Fact::Page(end, end == self.feed.len()), support::ok(&page))
            }
            other => panic!("nobody has {other:?}"),
        }
    }

    /// A page of the allowlist, of which each version has two or more. A version that
    /// is no longer there cannot go on.
    fn allowlist(&self, since: &str) -> (Fact, CalloutReply) {
        let version = self.allowed.len() - 1;
        let users = &self.allowed[version];
        let (of, at) = since.split_once('.').unwrap_or((since, "0"));
        if !of.is_empty() && of != format!("v{version}") {
            return (Fact::Nothing, support::reply(410, b""));
        }
        let at: usize = at.parse().expect("a cursor of this feed");
        let begins = since.is_empty();
        // The second page of an empty list, and what is asked at its end, is empty.
        let end = if begins { 1 } else { at + 3 }.min(users.len());
        let entries: Vec<Value> =
            users[at.min(end)..end].iter().map(|user| json!({"sub": user})).collect();
        let more = begins || end < users.len();
        let body = json!({"cursor": format!("v{version}.{end}"), "entries": entries, "more": more});
        (if more { Fact::Nothing } else { Fact::Allowed(version) }, support::ok(&body))
    }

    fn key_set(&self, issuer: usize) -> (Fact, CalloutReply) {
        let keys: Vec<Value> =
            self.keys[issuer].iter().map(|(kid, number)| jwk(*kid, *number)).collect();
        // A set without a key is no answer: the one before it goes on.
        let fact = match keys.is_empty() {
            true => Fact::Nothing,
            false => Fact::Keys(issuer, self.keys[issuer].clone()),
        };
        (fact, support::jwks(&keys))
    }
}

/// A page of the feed that says there is more, where it was asked to go on.
pub fn stuck(callout: &Callout) -> CalloutReply {
    let since = callout.path.split_once("since=").map_or("", |(_, cursor)| cursor);
    support::ok(&json!({"cursor": since, "entries": [], "more": true}))
}

/// The issuers' clocks, in seconds: they are right.
pub const fn issuer_time(real: i64) -> i64 {
    START + real / 1000
}
