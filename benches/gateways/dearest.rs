//! The dearest request that a client can make for nothing: `ONLY=dearest`.
//!
//! Everybody can send these, so what one costs a worker is bounded by a multiple
//! of the cheapest denial. First all forms of a token are tried, then beside the
//! dearest of them what else a request can be full of: headers, cookies, paths.
//! Last come logins whose page repeats what was sent, since a reply is searched for
//! tokens in all the ways in which they may be written.

use std::rc::Rc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::Effort;
use crate::envoy::{self, Machine, Setup};
use crate::load::{Target, cycle};
use crate::process::Cpu;
use crate::report::{Section, Table};
use crate::stats::median;
use crate::tokens::{self, AUDIENCE, ISSUER, Signer};

const ECDSA: [&str; 4] = ["ES256", "ES256K", "ES384", "ES512"];
const RSA: [&str; 4] = ["RS256", "RS512", "PS256", "PS512"];
/// Keys of each kind in the issuer's set, as far as a set may help an attacker.
const KEYS: usize = 4;
/// Bytes of the largest keys and signatures of RSA.
const RSA_BYTES: usize = 512;
/// The most that a login may send. Its page repeats it as often as a reply may be long.
const LOGIN_BYTES: usize = 65_536;
/// How many times a plain 401 a request may cost.
const GOAL: f64 = 50.0;

/// A request, but for what makes each of its kind another one.
struct Form {
    name: String,
    path: String,
    headers: String,
    /// Of a login.
    body: Option<String>,
    status: u16,
    token: Rc<dyn Fn(u64) -> Option<String>>,
}

impl Form {
    fn of(name: impl Into<String>, token: impl Fn(u64) -> Option<String> + 'static) -> Self {
        let (path, headers) = ("/orders?page=2".to_owned(), String::new());
        Self { name: name.into(), path, headers, body: None, status: 401, token: Rc::new(token) }
    }

    /// A login that sends `body`, which the page repeats.
    fn login(name: impl Into<String>, body: String, status: u16) -> Self {
        let path = "/login".to_owned();
        let headers = format!("content-length: {}\r\n", body.len());
        Self { path, headers, body: Some(body), status, ..Self::of(name, |_| None) }
    }

    fn request(&self, n: u64) -> Rc<[u8]> {
        let request = tokens::request((self.token)(n).as_deref(), &self.headers);
        let request = String::from_utf8_lossy(&request);
        let mut request = request.replacen("/orders?page=2", &self.path, 1);
        if let Some(body) = &self.body {
            request = request.replacen("GET", "POST", 1) + body;
        }
        request.into_bytes().into()
    }
}

pub async fn run(machine: &Machine, effort: &Effort) -> Section {
    let mut text = String::new();
    for crypto in ["auto", "module"] {
        let mut setup = Setup::new(machine);
        let port = setup.gatepass_with_bodies(&configuration(crypto), LOGIN_BYTES);
        let envoy = setup.start(1).await;
        let bench = Bench { port, worker: envoy.workers_cpu(), rounds: effort.rounds(8) };

        let plain = bench.cost(&Form::of("no token", |_| None)).await;
        let mut table = Table::new(&["", "CPU us/request", "times a plain 401"]);
        let mut row = |form: &Form, cost: f64| {
            table.row([form.name.clone(), format!("{cost:.0}"), format!("{:.1}", cost / plain)]);
        };
        let (mut most, mut token) = (plain, Form::of("no token", |_| None));
        for form in tokens_of_all_forms() {
            let cost = bench.cost(&form).await;
            row(&form, cost);
            if cost > most {
                (most, token) = (cost, form);
            }
        }
        let mut dearest = token.name.clone();
        let fillings =
            fillings(&Form::of("no token", |_| None)).into_iter().chain(fillings(&token));
        for form in fillings.chain(logins()) {
            let cost = bench.cost(&form).await;
            row(&form, cost);
            if cost > most {
                (most, dearest) = (cost, form.name);
            }
        }
        text += &format!(
            "`crypto: {crypto}`: a plain 401 costs {plain:.0} us of a worker, Envoy's part included, \
             and the dearest request {:.1} times that ({dearest}; goal: below {GOAL:.0}).\n\n{table}\n",
            most / plain,
        );
    }
    Section { title: "The dearest request", text, bars: Vec::new(), data: Value::Null }
}

struct Bench {
    port: u16,
    worker: Cpu,
    rounds: usize,
}

impl Bench {
    /// Microseconds of the worker for such a request, all of it.
    async fn cost(&self, form: &Form) -> f64 {
        let requests = cycle((0..100).map(|n| form.request(n)).collect());
        let target = Target::new(&form.name, self.port, requests, form.status, self.worker.clone());
        let mut costs = Vec::new();
        for _ in 0..=self.rounds {
            costs.push(target.closed(4, 100).await.cpu);
        }
        // The first one opens the connections.
        costs.remove(0);
        median(costs)
    }
}

/// A gateway that takes tokens wherever it can, and an issuer with many keys.
fn configuration(crypto: &str) -> Value {
    let mut config =
        envoy::gatepass(&[&Signer::new("EdDSA")], ("ES256", &tokens::identity_key("ES256")));
    let keys = config["providers"]["shop"]["local_jwks"]["keys"].as_array_mut().expect("keys");
    for n in 0..KEYS {
        let mut modulus = random(RSA_BYTES);
        modulus[0] |= 0x80;
        modulus[RSA_BYTES - 1] |= 1;
        keys.push(
            json!({"kty": "RSA", "n": base64url(&modulus), "e": "AQAB", "kid": format!("RSA-{n}")}),
        );
        for algorithm in ECDSA {
            let mut key = Signer::new(algorithm).jwk();
            key["kid"] = format!("{algorithm}-{n}").into();
            keys.push(key);
        }
    }
    config["token"] = json!({"from_cookies": ["session"], "from_params": ["access_token"]});
    config["services"]["echo"] = json!({"upstream": "echo", "timeout_ms": 5000});
    config["sealed_tokens"] = json!({
        "keys": [BASE64_STANDARD.encode([7; 32])],
        "logins": [{"match": {"path": "/login"}, "service": "echo", "json": ["/access_token"]}],
    });
    config["crypto"] = crypto.into();
    config
}

fn tokens_of_all_forms() -> Vec<Form> {
    let expired = Signer::new("EdDSA");
    let mut forms = vec![
        Form::of("a token that has ended", move |_| {
            let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": 1});
            Some(expired.sign_claims("at+jwt", &claims))
        }),
        Form::of("8 kB of text", |_| Some("x".repeat(8192))),
        Form::of("a forged sealed token", |_| Some(format!("gps_{}", base64url(&random(6000))))),
    ];
    for algorithm in ["EdDSA"].into_iter().chain(RSA).chain(ECDSA) {
        for is_named in [true, false] {
            let name = format!("forged {algorithm}{}", if is_named { "" } else { ", no kid" });
            forms.push(forged(name, algorithm, is_named, Map::new()));
        }
    }
    let claims = (0..450).map(|n| (format!("c{n}"), json!(n))).collect();
    forms.push(forged("forged ES512, 450 claims".into(), "ES512", true, claims));
    let deep = (0..25).fold(json!([]), |inner, _| json!([inner, 1]));
    let claims = (0..40).map(|n| (format!("c{n}"), deep.clone())).collect();
    forms.push(forged("forged ES512, nested claims".into(), "ES512", true, claims));
    forms
}

/// A token of which only the signature is wrong, and in its form not even that.
fn forged(
    name: String,
    algorithm: &'static str,
    is_named: bool,
    mut claims: Map<String, Value>,
) -> Form {
    let other = (!RSA.contains(&algorithm)).then(|| Signer::new(algorithm));
    let kid = match algorithm {
        "EdDSA" => "EdDSA".to_owned(),
        _ if other.is_none() => "RSA-0".to_owned(),
        _ => format!("{algorithm}-0"),
    };
    let common = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": 4_000_000_000_u32});
    claims.extend(common.as_object().expect("an object").clone());
    Form::of(name, move |n| {
        let mut header = json!({"alg": algorithm, "typ": "at+jwt"});
        if is_named {
            header["kid"] = kid.clone().into();
        }
        let mut claims = claims.clone();
        claims.insert("jti".into(), n.into());
        let signature = if let Some(other) = &other {
            other.token("mallory", n).rsplit('.').next().unwrap_or_default().to_owned()
        } else {
            // Below every modulus.
            base64url(&[vec![0], random(RSA_BYTES - 1)].concat())
        };
        let part = |value: String| base64url(value.as_bytes());
        Some(format!(
            "{}.{}.{signature}",
            part(header.to_string()),
            part(json!(claims).to_string())
        ))
    })
}

/// The same token beside what fills a head to what Envoy lets pass.
fn fillings(token: &Form) -> Vec<Form> {
    let filled = |name: &str, path: &str, headers: String| Form {
        name: format!("{}, {name}", token.name),
        path: path.to_owned(),
        headers,
        body: None,
        status: 401,
        token: Rc::clone(&token.token),
    };
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect();
    let usual = "/orders?page=2";
    let rest = "a=b&".repeat(10_200);
    vec![
        filled("70 headers", usual, many(70, &|n| format!("x-h{n}: {}\r\n", "v".repeat(600)))),
        filled(
            "70 spellings of owned headers",
            usual,
            many(70, &|_| "x.consumer.id: 1\r\n".into()),
        ),
        filled("cookies of 45 kB", usual, format!("cookie: {}\r\n", "a=b; ".repeat(9000))),
        filled("a path of 45 kB", &format!("/{}", "a/".repeat(22_500)), String::new()),
        filled("a path of 45 kB in capitals", &format!("/{}", "A/".repeat(22_500)), String::new()),
        // The longest that is read if anything about it is unusual, and a query behind it.
        filled("an encoded path", &format!("/{}?{rest}", "%61".repeat(1_360)), String::new()),
        filled("a path of dashes", &format!("/{}a?{rest}", "-/".repeat(2_040)), String::new()),
        filled("a path of umlauts", &format!("/{}a?{rest}", "%C3%BC/".repeat(580)), String::new()),
        filled("a path of signs", &format!("/{}a?{rest}", "%E2%82%AC/".repeat(405)), String::new()),
        filled("a query of 45 kB", &format!("/orders?{}", "a=b&".repeat(11_250)), String::new()),
    ]
}

/// Logins with what is written in one of the ways in which a token may be. Most take more
/// than the budget of the search.
fn logins() -> Vec<Form> {
    let filled = |part: &str| part.repeat(LOGIN_BYTES / part.len());
    [
        ("words", "lorem ipsum ", 200),
        ("dots", ".e", 200),
        ("data in base64", "kQ9z+Lx7Pw0aZ3", 200),
        ("letters", "a", 503),
        ("capitals", "V", 503),
        ("percent", "%61", 503),
        ("percent, twice", "%2561", 503),
        ("escapes", "\\u0061", 503),
        ("entities", "&#97;", 503),
        ("all of them", "%5cx26&#37;3c", 503),
        ("hex, three times", "333633333336", 503),
        ("base64", "dHRM", 503),
        ("base32", "MFRGGZDF", 503),
    ]
    .map(|(name, part, status)| {
        Form::login(format!("a login that repeats {name}"), filled(part), status)
    })
    .into()
}

fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).expect("randomness");
    bytes
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
