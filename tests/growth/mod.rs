//! The work of an input grows as its size does: what a client, an issuer or a service may
//! choose must not occupy a worker longer than its bytes take to be read.
//!
//! The work is the fuel of the interpreter, so it is the same in each run. Each input comes in
//! three sizes, `n`, `2n` and `4n`: of what is linear, the second step takes twice the first,
//! whatever an input costs besides; of what compares each part with all others, four times.

mod configuration;

use std::cell::Cell;

use serde_json::{Map, Value, json};

use crate::host::{Engine, Head, Host, Profile, Reply};
use crate::tokens::{AUDIENCE, SECRET_ISSUER, Signer, identity_key};
use crate::{FILTER, foreign};

/// The most by which the second step may exceed the first: sorting and hashing are allowed,
/// and tables that grow by doubling.
const MOST: f64 = 2.6;

/// An Envoy with the module, and whom its tokens are of.
struct World {
    host: Host,
    signer: Signer,
    tokens: Cell<u64>,
}

/// What a gateway receives.
struct Input {
    head: Head,
    /// What the service says that is asked because of it.
    reply: Option<Reply>,
}

impl From<Head> for Input {
    fn from(head: Head) -> Self {
        Self { head, reply: None }
    }
}

impl World {
    fn new(sections: Value) -> Self {
        let host = Host::new(FILTER, Engine::Metered, Profile::Envoy);
        host.with_foreign(foreign::envoy);
        let world = Self { host, signer: Signer::new("HS256"), tokens: Cell::new(0) };
        let configuration = world.configuration(sections);
        assert!(world.host.configure(configuration), "{:#?}", world.host.logs());
        world
    }

    /// A configuration with these sections besides, or members of a section.
    fn configuration(&self, sections: Value) -> Value {
        let mut configuration = json!({
            "services": {"users": {"upstream": "users"}},
            "providers": {"shop": {
                "issuer": SECRET_ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
                "local_jwks": {"keys": [self.signer.jwk()]},
                "introspection": {
                    "service": "users", "path": "/introspect", "client_id": "gateway",
                    "client_secret": "secret",
                },
            }},
            "identity_token": {
                "issuer": "https://gateway.shop.internal", "audiences": ["services"],
                "signing_keys": [{"algorithm": "ES256", "private_key": identity_key("ES256")}],
            },
            "token": {
                "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
                "from_cookies": ["shop_token"], "from_params": ["access_token"],
            },
            "limits": {
                "max_token_bytes": 65_536, "max_reply_bytes": 1_048_576,
                "max_login_bytes": 1_048_576, "max_identity_bytes": 1_048_576,
            },
        });
        merge(&mut configuration, sections);
        configuration
    }

    /// A token with these claims besides.
    fn token(&self, claims: Value) -> String {
        self.tokens.set(self.tokens.get() + 1);
        let now = self.host.now();
        let mut all = json!({
            "iss": SECRET_ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 3600,
            "jti": format!("{:016}", self.tokens.get()),
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        self.signer.sign_claims("JWT", &all)
    }

    fn bearer(&self, claims: Value) -> Input {
        Head::get("/").header("authorization", &format!("Bearer {}", self.token(claims))).into()
    }

    /// A token that is remembered from another request.
    fn remembered(&self, claims: Value) -> Input {
        let input = self.bearer(claims);
        self.host.send(input.head.clone()).finish();
        input
    }

    fn introspected(&self, members: Value) -> Input {
        self.tokens.set(self.tokens.get() + 1);
        let bearer = format!("Bearer reference-{:016}", self.tokens.get());
        let mut all = json!({
            "active": true, "iss": SECRET_ISSUER, "aud": AUDIENCE, "sub": "alice",
            "exp": self.host.now() + 3600,
        });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let head = Head::get("/").header("authorization", &bearer);
        Input { head, reply: Some(Reply::ok(all.to_string())) }
    }

    fn revoking(&self, entries: Vec<Value>) -> Input {
        let bearer = format!("Bearer {}", self.token(json!({"scope": "revoke"})));
        let head = Head::get("/.well-known/gatepass/revocations").header("authorization", &bearer);
        head.post(json!({ "entries": entries }).to_string()).into()
    }

    /// The fuel that an input takes; the status that it ends with.
    fn fuel(&self, input: Input) -> (f64, u16) {
        let _ = self.host.take_fuel();
        let request = self.host.send(input.head);
        if let Some(reply) = input.reply {
            request.answer(reply);
        }
        // None that waits is over.
        let status = if request.is_paused() { 0 } else { request.status() };
        request.finish();
        let _ = self.host.take_leaks();
        let fuel: u64 = self.host.take_fuel().values().sum();
        (fuel as f64, status)
    }
}

/// Puts the members of an object into another one, below too.
fn merge(one: &mut Value, other: Value) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            other
                .into_iter()
                .for_each(|(name, value)| merge(one.entry(name).or_insert(Value::Null), value));
        }
        (one, other) => *one = other,
    }
}

/// A word of four characters for each of `numbers`.
fn words(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("{number:04x}"))
}

fn list(count: usize) -> Vec<String> {
    words(0..count).collect()
}

fn members(count: usize) -> Map<String, Value> {
    words(0..count).map(|name| (format!("_{name}"), json!(1))).collect()
}

fn get(name: &str, value: &str) -> Input {
    Head::get("/").header(name, value).into()
}

fn login(media_type: &str, body: String) -> Input {
    let reply = Reply::status(200).header("content-type", media_type).body(body);
    Input { head: Head::get("/login"), reply: Some(reply) }
}

/// One input of a size, for a world.
type Build = fn(&World, usize) -> Input;

/// Name, smallest size, status, and the input of a size.
type Case = (&'static str, usize, u16, Build);

/// From clients, issuers and the services of one tenant.
const CASES: [Case; 29] = [
    ("a question mark after the other", 4000, 401, |_, n| get("referer", &"?".repeat(n))),
    ("parameters that may be a token", 4000, 401, |_, n| get("referer", &"?%61=&".repeat(n / 6))),
    ("tokens in a URL", 4000, 401, |_, n| get("referer", &"?access_token=&".repeat(n / 15))),
    ("a query", 4000, 401, |_, n| Head::get(&format!("/?{}", "a&".repeat(n / 2))).into()),
    ("cookies", 4000, 401, |_, n| get("cookie", &"a=b;".repeat(n / 4))),
    ("cookies with expired tokens", 6000, 401, |world, n| {
        let token = |claims| format!("shop_token={};", world.token(claims));
        let large = token(json!({"exp": 1, "x": list(n / 20)}));
        let count = (n - large.len()) / token(json!({"exp": 1})).len();
        let small = (0..count).map(|_| token(json!({"exp": 1})));
        get("cookie", &small.fold(large, |all, one| all + &one))
    }),
    ("options of a connection", 4000, 401, |_, n| get("connection", &"x-user,".repeat(n / 7))),
    ("spaces in a connection", 4000, 401, |_, n| get("connection", &" ".repeat(n))),
    ("authorization of many", 4000, 400, |_, n| get("authorization", &"Bearer,".repeat(n / 7))),
    ("a path with escapes", 500, 401, |_, n| Head::get(&"/%20a%2e".repeat(n / 8)).into()),
    ("scopes", 500, 200, |world, n| world.bearer(json!({"scope": list(n).join(" ")}))),
    ("scopes in a list", 500, 200, |world, n| world.bearer(json!({"scp": list(n)}))),
    ("groups", 500, 200, |world, n| world.bearer(json!({"groups": list(n)}))),
    ("groups of a known token", 500, 200, |world, n| world.remembered(json!({"groups": list(n)}))),
    ("audiences", 500, 401, |world, n| world.bearer(json!({"aud": list(n)}))),
    ("claims", 500, 200, |world, n| world.bearer(Value::Object(members(n)))),
    ("claims within one", 500, 200, |world, n| world.bearer(json!({"a": members(n)}))),
    ("names that are nearly equal", 50, 200, |world, n| {
        let name = |word| (format!("{}{word}", "a".repeat(60)), json!(1));
        world.bearer(words(0..n).map(name).collect())
    }),
    ("numbers", 500, 200, |world, n| world.bearer(json!({"a": vec![1.5; n]}))),
    ("texts with escapes", 500, 200, |world, n| world.bearer(json!({"a": "\"\n".repeat(n)}))),
    ("a claim in a header", 500, 200, |world, n| world.bearer(json!({"copied": list(n)}))),
    ("scopes of a reply", 500, 200, |world, n| {
        world.introspected(json!({"scope": list(n).join(" ")}))
    }),
    ("groups of a reply", 500, 200, |world, n| world.introspected(json!({"groups": list(n)}))),
    ("members of a reply", 500, 200, |world, n| world.introspected(Value::Object(members(n)))),
    ("a login's page", 4000, 200, |_, n| login("text/html", "<p>a&amp; b</p>\n".repeat(n / 16))),
    ("names in a login's page", 4000, 200, |_, n| {
        login("text/html", format!("<{}", "access_token=".repeat(n / 13)))
    }),
    ("cookies of a login", 20, 302, |_, n| {
        let cookie =
            |reply: Reply, name| reply.header("set-cookie", &format!("c{name}=some value"));
        let reply = words(0..n).fold(Reply::status(302), cookie);
        Input { head: Head::get("/login"), reply: Some(reply) }
    }),
    ("revocations of many", 200, 204, |world, n| {
        world.revoking(words(n..2 * n).map(|word| json!({"sub": word})).collect())
    }),
    ("revocations of one at many issuers", 200, 204, |world, n| {
        let entry = |word| json!({"sub": format!("bob-{n}"), "iss": word});
        world.revoking(words(0..n).map(entry).collect())
    }),
];

fn world() -> World {
    World::new(json!({
        "consumers": {
            "optional": true, "groups_claims": ["groups"],
            "entries": [{"key": "nobody", "username": "nobody", "groups": ["x"]}],
        },
        "rules": [{"match": {"path_prefix": "/"}, "requires": {
            "groups_none": ["none"], "claims": {"blocked": "absent"},
        }}],
        "identity_token": {"claims": {"copy": ["copied"]}},
        "claim_to_headers": [
            {"header": "x-user", "claim": "copied", "format": "csv"},
            {"header": "x-json", "claim": "copied", "format": "json"},
        ],
        "revocation": {"endpoint": {"requires": {"scopes_all": ["revoke"]}}},
        "sealed_tokens": {
            "keys": ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
            "logins": [{
                "match": {"path": "/login"}, "service": "users", "json": ["/access_token"],
                "cookies": ["shop_token"],
            }],
        },
    }))
}

/// By how much the second step exceeds the first, and the statuses if they are others.
fn growth(world: &World, (name, size, status, build): Case) -> Option<String> {
    let [(one, a), (two, b), (four, c)] =
        [1, 2, 4].map(|times| world.fuel(build(world, size * times)));
    let growth = (four - two) / (two - one);
    println!("{one:>12} {two:>12} {four:>12}  {growth:>5.2}  {name}");
    let is_fine = growth < MOST && [a, b, c] == [status; 3];
    (!is_fine).then(|| format!("{name}: {growth:.2}, statuses {a}, {b} and {c}"))
}

#[test]
fn no_input_takes_more_than_its_size() {
    let world = world();
    // The first one finds everything cold.
    world.fuel(world.bearer(json!({})));
    let faults: Vec<_> = CASES.into_iter().filter_map(|case| growth(&world, case)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
