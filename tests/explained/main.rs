//! `gatepass explain` beside a real Envoy: what it says of a request is what
//! becomes of it, on configurations and requests at random.
//!
//! Each configuration has a filter chain of its own in one Envoy. `make test`
//! takes the same seeds each time; `GATEPASS_FUZZ_SECONDS`, as `make fuzz` sets
//! it, new ones, and `GATEPASS_FUZZ_SEED` those from one on.
//!
//! Needs `make wasm` and the Envoy of `.ci/install-envoy`, as `make test` does.

// What fails here fails a test; clippy sees that in test functions only.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may fail"
)]

#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../envoy/chains.rs"]
mod chains;
#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../envoy/gateway.rs"]
mod gateway;
#[path = "../../examples/shop/stack.rs"]
mod stack;
#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../envoy/wire.rs"]
mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::chains::{gatepass, send};
use crate::wire::{Answer, Request};

/// How many requests each configuration gets.
const REQUESTS: usize = 4;

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

const KEY: &str = "AyM32w-1kvLyM3Q0xqVJ3sHGtbVhcgVXTEzCzUjO7yA";
const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/b", "/login", "/c/"];
const METHODS: [&str; 4] = ["GET", "POST", "OPTIONS", "DELETE"];
const HOSTS: [&str; 3] = ["shop.example", "*.shop.example", "other.example"];

/// Fields that Envoy changes, adds or removes, and some that it does not.
const FIELDS: [(&str, &str); 25] = [
    ("x-tenant", "acme"),
    ("X-Tenant", "umbrella"),
    ("x-tenant", ""),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-host", "other.example"),
    ("x-request-id", "7"),
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "192.0.2.1"),
    ("x-envoy-original-path", "/b"),
    ("x-envoy-upstream-rq-timeout-ms", "1000"),
    ("accept", "text/html"),
    ("accept-encoding", "gzip"),
    ("content-type", "application/grpc"),
    ("content-type", "application/grpc-web"),
    ("user-agent", "a"),
    // No rule may name these, or what comes of it depends on TLS.
    ("x-forwarded-proto", "https"),
    ("x-forwarded-proto", "ftp"),
    ("connection", "close"),
    ("connection", "keep-alive, x-tenant"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "close"),
    ("te", "trailers"),
    ("te", "gzip"),
    ("upgrade", "websocket"),
    ("x-consumer-id", "root"),
];

/// How many of them a rule may name.
const NAMED: usize = 15;

fn rule(dice: &mut Dice) -> Value {
    let mut matches = json!({});
    match dice.below(3) {
        0 => matches["path"] = json!(dice.pick(&PATHS)),
        1 => matches["path_prefix"] = json!(dice.pick(&["/", "/a", "/b", "/login"])),
        _ => {}
    }
    if dice.one_in(3) {
        matches["methods"] = json!([dice.pick(&METHODS)]);
    }
    if dice.one_in(4) {
        matches["hosts"] = json!([dice.pick(&HOSTS)]);
    }
    if dice.one_in(2) {
        let (name, value) = dice.pick(&FIELDS[..NAMED]);
        let name = name.to_ascii_lowercase();
        matches["headers"] = if value.is_empty() || dice.one_in(3) {
            json!([{"name": name, "present": dice.one_in(2)}])
        } else {
            json!([{"name": name, "value": value}])
        };
    }
    match dice.below(4) {
        0 => json!({"match": matches, "bypass": true}),
        1 => json!({"match": matches, "requires": {"allow_missing": true}}),
        2 => json!({"match": matches, "requires": {"scopes_any": ["admin"]}}),
        _ => json!({ "match": matches }),
    }
}

fn configuration(dice: &mut Dice) -> Value {
    let mut token = json!({});
    if dice.one_in(2) {
        token["from_cookies"] = json!(["session"]);
    }
    if dice.one_in(2) {
        token["from_params"] = json!(["access_token"]);
    }
    let mut errors = json!({"format": dice.pick(&["problem", "kong"])});
    if dice.one_in(3) {
        errors["login_redirect"] = json!({"to": "/login?a=b"});
    }
    let rules: Vec<Value> = (0..dice.below(5)).map(|_| rule(dice)).collect();
    json!({
        "providers": {"shop": {
            "issuer": "https://auth.shop.example", "audiences": ["shop-api"],
            "algorithms": ["HS256"],
            "local_jwks": {"keys": [{"kty": "oct", "kid": "a", "k": KEY}]},
        }},
        "identity_token": {
            "issuer": "https://gateway.shop.internal", "audiences": ["shop-services"],
            "signing_keys": [{"algorithm": "ES256", "private_key": {"env": "GATEPASS_SIGNING_KEY"}}],
        },
        "token": token,
        "errors": errors,
        "rules": rules,
        "bypass_cors_preflight": !dice.one_in(4),
        "limits": {"allow_ambiguous_paths": dice.one_in(4)},
        "mode": if dice.one_in(8) { "shadow" } else { "enforce" },
    })
}

/// A request as it is written.
struct Sent {
    method: String,
    target: String,
    host: String,
    fields: Vec<(String, String)>,
}

impl Sent {
    fn new(dice: &mut Dice, tokens: &[String]) -> Self {
        let mut target = dice.pick(&PATHS).to_owned();
        match dice.below(12) {
            0 => target = format!("http://other.example{target}"),
            1 => target = format!("https://shop.example{target}"),
            2 => {
                target.push_str(dice.pick(&["/../b", "//", "%2Fb", ";x", "%2e", "?", "#x", "?a#b"]))
            }
            _ => {}
        }
        if dice.one_in(4) {
            let mark = if target.contains('?') { '&' } else { '?' };
            target = format!("{target}{mark}access_token={}&a=b", dice.pick(tokens));
        }
        let host =
            dice.pick(&["shop.example", "a.shop.example", "shop.example:80", "SHOP.example."]);
        let mut fields = Vec::new();
        let mut push = |name: &str, value: String| fields.push((name.to_owned(), value));
        for _ in 0..dice.pick(&[0, 1, 1, 1, 1, 2]) {
            let token = dice.pick(tokens);
            let name = dice.pick(&["authorization", "Authorization"]);
            push(
                name,
                dice.pick(&[
                    format!("Bearer {token}"),
                    format!("Bearer {token}"),
                    format!("bearer  {token}"),
                    String::new(),
                    format!("Basic {token}"),
                ]),
            );
        }
        for _ in 0..dice.pick(&[0, 0, 0, 1, 2]) {
            push("cookie", format!("a=b; session={}", dice.pick(tokens)));
        }
        if dice.one_in(3) {
            push("origin", dice.pick(&["https://shop.example", "null"]).to_owned());
        }
        if dice.one_in(6) {
            push("access-control-request-method", "POST".to_owned());
        }
        for _ in 0..dice.below(4) {
            let (name, value) = dice.pick(&FIELDS);
            push(name, value.to_owned());
        }
        let mut methods = METHODS.map(str::to_owned).to_vec();
        methods.extend(["get".to_owned(), "PURGE".to_owned(), "Get".to_owned()]);
        Self { method: dice.pick(&methods), target, host: host.to_owned(), fields }
    }

    fn request(&self) -> Request {
        let mut request = Request::bare(format!("{} {} HTTP/1.1", self.method, self.target));
        request = request.with("host", &self.host);
        for (name, value) in &self.fields {
            request = request.with(name, value);
        }
        request
    }

    /// What `explain` says of it.
    fn explained(&self, file: &Path) -> Value {
        let mut run = Command::new(env!("CARGO_BIN_EXE_gatepass"));
        run.args(["explain", "--no-env", "--json", "-X", &self.method, "--path", &self.target]);
        run.args(["--authority", &self.host]).arg("-c").arg(file);
        for (name, value) in &self.fields {
            run.arg("-H").arg(format!("{name}: {value}"));
        }
        let output = run.output().expect("the command runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{}", String::from_utf8_lossy(&output.stderr));
        })
    }
}

/// What the filter may tell the service.
const OWN: [&str; 6] = [
    "x-identity-token",
    "x-consumer-id",
    "x-consumer-username",
    "x-consumer-custom-id",
    "x-credential-identifier",
    "x-anonymous-consumer",
];

/// What became of a request, by Envoy's answer.
fn became(answer: &Answer) -> String {
    let seen = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let is_denial = answer.header("cache-control") == Some("no-store");
    match (answer.status, is_denial, seen["headers"].as_array()) {
        (200, false, Some(fields)) => {
            let own = fields.iter().map(|field| (field[0].as_str(), field[1].as_str()));
            forwarded(|name| own.clone().find(|own| own.0 == Some(name))?.1.map(str::to_owned))
        }
        // Envoy's own 400, in the form of gRPC.
        (200, false, None) if answer.header("grpc-status").is_some() => {
            "refused by the host: 400".to_owned()
        }
        // The page that a browser gets.
        (200, _, None) if answer.header("grpc-status").is_none() => "forwarded".to_owned(),
        (status, false, _) => format!("refused by the host: {status}"),
        (status, true, _) => {
            let of = |name| answer.header(name).unwrap_or_default();
            let body = String::from_utf8_lossy(&answer.body);
            denied(status, of, &body)
        }
    }
}

/// What becomes of it by `explain`.
fn said(report: &Value) -> String {
    let answer = &report["answer"];
    let of = |name: &str| answer["headers"][name].as_str().unwrap_or_default();
    match report["outcome"].as_str() {
        Some("forwarded") => forwarded(|name| Some(report["set"].get(name)?.as_str()?.to_owned())),
        Some("refused") => {
            format!("refused by the host: {}", answer["status"])
        }
        _ => denied(
            answer["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0),
            of,
            answer["body"].as_str().unwrap_or_default(),
        ),
    }
}

fn forwarded(value: impl Fn(&str) -> Option<String>) -> String {
    let mut text = "forwarded".to_owned();
    for name in OWN {
        match value(name) {
            Some(_) if name == "x-identity-token" => text.push_str(" with identity"),
            Some(value) => text.push_str(&format!(" {name}: {value}")),
            None => {}
        }
    }
    text
}

fn denied<'a>(status: u16, of: impl Fn(&'static str) -> &'a str, body: &str) -> String {
    let fields = ["www-authenticate", "location", "grpc-status", "grpc-message", "retry-after"];
    let fields: Vec<_> = fields.map(&of).into();
    // Between Envoy's decision and this one a second may pass.
    let body = body.split(", it is ").next().unwrap_or_default();
    format!("denied {status} {fields:?} {body}")
}

fn token(claims: &Value, key: &str) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let header = Header { kid: Some("a".to_owned()), ..Header::default() };
    let key = URL_SAFE_NO_PAD.decode(key).unwrap();
    encode(&header, claims, &EncodingKey::from_secret(&key)).unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_what_becomes_of_a_request() {
    let fuzzing = number("GATEPASS_FUZZ_SECONDS").is_some();
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    let first = number("GATEPASS_FUZZ_SEED").unwrap_or(if fuzzing { now << 20 } else { 1 });
    let claims = |exp: u64, scope: &str| {
        json!({"iss": "https://auth.shop.example", "aud": "shop-api", "sub": "alice",
            "exp": exp, "scope": scope})
    };
    let tokens = [
        token(&claims(now + 3600, "admin"), KEY),
        token(&claims(now + 3600, "read"), KEY),
        token(&claims(now - 3600, "admin"), KEY),
        token(&claims(now + 3600, "admin"), &KEY.replace('y', "z").replace("UjO7zA", "UjO7yA")),
        "a.b.c".to_owned(),
    ];
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("explained");
    std::fs::create_dir_all(&directory).unwrap();
    // An Envoy takes 20 ms for each.
    let configurations = if fuzzing { 1000 } else { 125 };
    let cases: Vec<_> = (first..first + configurations)
        .map(|seed| {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let configuration = configuration(&mut dice);
            let file = directory.join(format!("{seed}.json"));
            std::fs::write(&file, configuration.to_string()).unwrap();
            let requests = [(); REQUESTS].map(|()| Sent::new(&mut dice, &tokens));
            (seed, configuration, requests, file)
        })
        .collect();
    let chains: Vec<_> = cases.iter().map(|(_, own, ..)| vec![gatepass(own)]).collect();
    let gateway = chains::envoy(&chains, &json!({})).workers(1).start().await;
    let mut wrong = Vec::new();
    for (position, (seed, configuration, requests, file)) in cases.iter().enumerate() {
        for sent in requests {
            let answer = send(&gateway, position, sent.request());
            let became = answer.as_ref().map_or_else(|| "hung up on".to_owned(), became);
            let said = said(&sent.explained(file));
            // The shop's page does not tell what it received.
            if became != said && !(became == "forwarded" && said.starts_with(&became)) {
                let Sent { method, target, host, fields } = sent;
                wrong.push(format!(
                    "seed {seed}: {method} {target} of {host} with {fields:?}\n  Envoy:   {became}\n  \
                     explain: {said}\n  {}",
                    configuration["rules"]
                ));
            }
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
