//! Every verdict of the gateway beside that of an evaluator that was written from
//! the contract's text, for configurations, requests and tokens at random: who
//! passes, with what denial, what arrives upstream and what the identity says,
//! verified by another implementation of JOSE.
//!
//! A difference is made smaller, by leaving out parts of the configuration, the
//! request and the token for as long as there still is one, and printed with its
//! seed.

pub mod configuration;
mod evaluate;
mod identity;
pub mod request;
mod rules;
mod upstream;
mod verification;

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gatepass::callout::CalloutReply;
use gatepass::config;
use gatepass::host::RequestId;
use gatepass::http::RequestHead;
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::Value;

use self::evaluate::{Expected, Model, NOW};
use self::request::Request;
use super::json::{Json, written};
use super::support::{self, ENVOY, KEY_A, KEY_B, Random};
use super::{jose, rounds};

/// Chances.
pub struct Dice(pub Random);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        random.next();
        Self(random)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    /// Once in `n` times.
    pub fn chance(&mut self, n: usize) -> bool {
        self.0.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.0.below(items.len())]
    }

    /// Some of them, at least `least`, in their order.
    pub fn some<'a>(&mut self, items: &[&'a str], least: usize) -> Vec<&'a str> {
        loop {
            let some: Vec<&str> = items.iter().filter(|_| self.0.below(2) == 0).copied().collect();
            if some.len() >= least {
                return some;
            }
        }
    }
}

/// What the user service answers, the same each time for the same path.
#[derive(Default)]
pub struct UserService {
    seed: u64,
    known: RefCell<HashMap<String, (u16, Value)>>,
    /// Whom it was asked about.
    asked: RefCell<Vec<String>>,
}

/// What its replies say of being kept: in one field or two.
const CACHE_CONTROL: [&[&str]; 6] = [
    &[],
    &["max-age=600"],
    &["max-age=31536000000"],
    &["private", "no-store"],
    &["max-age=600, no-cache"],
    &["max-age=600", "max-age=0"],
];

impl UserService {
    pub fn new(seed: u64) -> Self {
        Self { seed, known: RefCell::default(), asked: RefCell::default() }
    }

    fn hash(&self, path: &str) -> u64 {
        path.bytes().fold(self.seed, |hash, byte| hash.wrapping_mul(31) ^ u64::from(byte))
    }

    fn cache_control(&self, path: &str) -> &'static [&'static str] {
        CACHE_CONTROL[(self.hash(path) % 6) as usize]
    }

    /// Who signs its reply about this, if anybody does.
    pub fn signer(&self, path: &str) -> Option<Signer> {
        let (provider, is_named) = match self.hash(path) / 6 % 12 {
            at @ 0..3 => (usize::try_from(at).expect("small"), true),
            3 => (0, false),
            _ => return None,
        };
        Some(Signer { provider, is_named })
    }

    /// Whether what it says of this may serve again.
    fn is_kept(&self, path: &str) -> bool {
        let fields = self.cache_control(path);
        !fields.iter().any(|it| it.contains("no-") || it.ends_with("=0"))
    }

    /// Its reply, of which the gateway is told.
    fn reply(&self, path: &str) -> CalloutReply {
        self.asked.borrow_mut().push(path.to_owned());
        let (status, body) = self.answer(path);
        let mut body = written(&body);
        let mut fields: Vec<_> =
            self.cache_control(path).iter().map(|value| ("cache-control", *value)).collect();
        if let Some(Signer { provider, .. }) = self.signer(path) {
            fields.push(("content-type", "application/jwt"));
            let key = if provider == 1 { &KEY_B } else { &KEY_A };
            body = key.sign(br#"{"alg":"EdDSA","kid":"k"}"#, body.as_bytes());
        }
        let fields = fields.into_iter().collect();
        CalloutReply::whole(Some(status), fields, body.into_bytes(), 1 << 20)
    }

    pub fn answer(&self, path: &str) -> (u16, Value) {
        let mut known = self.known.borrow_mut();
        let made = || {
            let hash = path.bytes().fold(self.seed, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
            });
            let mut dice = Dice::new(hash);
            let last = path.split('?').next().expect("a path").rsplit('/').next();
            let subject = last.expect("a subject").replace("%20", " ");
            let subject = subject.replace("%C3%BC", "ü").replace("%2F", "/");
            let (status, mut body) =
                request::user_reply(&mut dice, &subject.replace("%C3%B6", "ö"));
            if let Some(Signer { provider, is_named: true }) = self.signer(path) {
                body["iss"] = configuration::PROVIDERS[provider].1.into();
            }
            (status, body)
        };
        known.entry(path.to_owned()).or_insert_with(made).clone()
    }
}

/// The provider whose key signed a reply of the user service, and whether the reply names
/// it.
#[derive(Clone, Copy, Debug)]
pub struct Signer {
    pub provider: usize,
    pub is_named: bool,
}

/// What became of a request.
#[derive(Debug)]
pub enum Seen {
    Denied(u16, String),
    /// With the length of the identity token.
    Forwarded(Vec<(String, String)>, Option<Json>, usize),
    Redirected,
}

pub fn gateway(config: &Value) -> Option<Pipeline> {
    let settings = config::load(written(config).as_bytes(), &|_| None, None).ok()?;
    Some(Pipeline::new(settings, ENVOY, *b"0123456789abcdef"))
}

/// Sends a request through a gateway, whose user service is `users`.
pub fn send(
    gateway: &mut Pipeline,
    users: &UserService,
    sent: &[(String, String)],
    now: i64,
) -> Seen {
    match verdict(gateway, users, sent, now) {
        Verdict::Forward(edits) => {
            let head = RequestHead::new(sent.iter().map(|(name, value)| (name, value)));
            let fields = support::upstream(ENVOY, &head, &edits);
            let (token, fields): (Vec<_>, Vec<_>) =
                fields.into_iter().partition(|(name, _)| name == "x-identity-token");
            assert!(token.len() < 2, "one identity token: {token:?}");
            let now = UnixTime::from_secs(now);
            let identity = token.first().map(|(_, token)| jose::verified(gateway, token, now));
            let length = token.first().map_or(0, |(name, token)| name.len() + token.len());
            Seen::Forwarded(fields, identity, length)
        }
        Verdict::Deny(_, reply) | Verdict::Answer(reply) => {
            if reply.status == 302 {
                return Seen::Redirected;
            }
            let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
            let code = body["code"].as_str().expect("a code").to_owned();
            Seen::Denied(reply.status, code)
        }
    }
}

/// The gateway's verdict on a request, once the user service has answered.
pub fn verdict(
    gateway: &mut Pipeline,
    users: &UserService,
    sent: &[(String, String)],
    now: i64,
) -> Verdict {
    let now = UnixTime::from_secs(now);
    let head = RequestHead::new(sent.iter().map(|(name, value)| (name, value)));
    let mut step = gateway.begin(RequestId::default(), head, now);
    loop {
        match step {
            Step::Done(verdict, _) => return verdict,
            Step::Wait(sent, waiting) => {
                let reply = users.reply(&sent.callout.path);
                let landing = gateway.complete(sent.id, &reply, now).expect("a flight");
                step = gateway.resume(waiting, &landing, now);
            }
            other => panic!("nothing to wait for: {other:?}"),
        }
    }
}

/// How the gateway and the model differ in a request.
fn difference(
    gateway: &mut Pipeline,
    config: &Value,
    users: &UserService,
    request: &Request,
) -> Option<String> {
    let config = Json::from(config);
    let most = config.at(&["limits", "max_identity_bytes"]).and_then(Json::integer);
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).expect("a size"));
    let asked = RefCell::new(None);
    let answers = |path: &str| {
        let (status, body) = users.answer(path);
        asked.replace(Some((status, path.to_owned())));
        (status, Json::from(&body), users.signer(path))
    };
    let model = Model { config: &config, users: &answers, now: NOW };
    let expected = model.decide(&request.fields, &request.token);
    let seen = catch_unwind(AssertUnwindSafe(|| send(gateway, users, &request.sent(), NOW)));
    let Ok(seen) = seen else { return Some("the gateway panicked".to_owned()) };
    let same = match (&expected, &seen) {
        (Expected::Denied(status, codes), Seen::Denied(found, code)) => {
            status == found && codes.contains(&code.as_str())
        }
        (Expected::Redirected, Seen::Redirected) => true,
        // How long a token is, the model knows nearly.
        (Expected::Forwarded(_, Some(identity), size), Seen::Denied(503, code))
            if code == "identity_unavailable" =>
        {
            size + 400 + identity.to_string().len() * 4 / 3 > most
        }
        (Expected::Forwarded(fields, identity, size), Seen::Forwarded(found, said, length)) => {
            let fields: Vec<(String, String)> =
                fields.iter().map(|(name, value)| (name.clone(), request.filled(value))).collect();
            let is_small = identity.is_none() || size + length <= most;
            is_small && fields == *found && is_same_identity(identity.as_ref(), said.as_ref())
        }
        _ => false,
    };
    if !same {
        return Some(format!("expected {expected:#?}\nseen {seen:#?}"));
    }
    // Asked again, it is as before; the service is only where its answer may not serve.
    let (Seen::Forwarded(_, Some(identity), _), Some((200, path))) = (&seen, asked.into_inner())
    else {
        return None;
    };
    if identity.get("enrichment").is_some() {
        return None;
    }
    users.asked.borrow_mut().clear();
    let again = send(gateway, users, &request.sent(), NOW);
    let calls = users.asked.borrow().len();
    let expected = usize::from(!users.is_kept(&path));
    (calls != expected).then(|| format!("{path} is asked {calls} times again, {again:?}"))
}

fn is_same_identity(expected: Option<&Json>, seen: Option<&Json>) -> bool {
    match (expected, seen) {
        (Some(Json::Object(expected)), Some(Json::Object(seen))) => {
            let mut seen = seen.clone();
            let before = seen.len();
            seen.retain(|(name, _)| name != "jti");
            seen.len() + 1 == before && Json::Object(expected.clone()).is(&Json::Object(seen))
        }
        (None, None) => true,
        _ => false,
    }
}

/// One of everything that can be left out.
fn smaller(value: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    match value {
        Value::Object(members) => {
            for name in members.keys() {
                let mut less = members.clone();
                less.remove(name);
                found.push(less.into());
                for inner in smaller(&members[name]) {
                    let mut less = members.clone();
                    less.insert(name.clone(), inner);
                    found.push(less.into());
                }
            }
        }
        Value::Array(items) => {
            for at in 0..items.len() {
                let mut less = items.clone();
                less.remove(at);
                found.push(less.into());
                for inner in smaller(&items[at]) {
                    let mut less = items.clone();
                    less[at] = inner;
                    found.push(less.into());
                }
            }
        }
        _ => {}
    }
    found
}

/// Leaves out what can be left out of a difference.
fn shrink(mut config: Value, seed: u64, mut request: Request) -> String {
    let differs = |config: &Value, request: &Request| {
        let mut gateway = gateway(config)?;
        let found = catch_unwind(AssertUnwindSafe(|| {
            difference(&mut gateway, config, &UserService::new(seed), request)
        }));
        found.ok().flatten()
    };
    let Some(mut last) = differs(&config, &request) else {
        return "only after the requests before it".to_owned();
    };
    // Another difference is another matter.
    let shape = |found: &str| -> String {
        found.lines().filter(|line| !line.contains("\"x")).take(8).collect()
    };
    let first = shape(&last);
    loop {
        let mut requests = Vec::new();
        for at in 3..request.fields.len() {
            let mut less = request.clone();
            less.fields.remove(at);
            requests.push(less);
        }
        for claims in smaller(&request.token.claims) {
            let mut less = request.clone();
            less.token.claims = claims;
            requests.push(less);
        }
        let configs = smaller(&config).into_iter().map(|config| (config, request.clone()));
        let requests = requests.into_iter().map(|request| (config.clone(), request));
        let mut candidates = configs.chain(requests).collect::<Vec<_>>().into_iter();
        let found = candidates.find_map(|(config, request)| {
            let found = differs(&config, &request)?;
            (shape(&found) == first).then_some((config, request, found))
        });
        match found {
            Some((less, fewer, found)) => (config, request, last) = (less, fewer, found),
            None => break,
        }
    }
    format!(
        "configuration {}\nrequest {:?}\ntoken {} {} by key {}\n{last}",
        written(&config),
        request.fields,
        request.token.header,
        written(&request.token.claims),
        request.token.key,
    )
}

/// Requests for each configuration.
const REQUESTS: usize = 24;

#[test]
fn every_verdict_is_that_of_the_model() {
    let (mut denied, mut forwarded, mut redirected) = (0, 0, 0);
    let mut codes = HashMap::<String, usize>::new();
    rounds("decisions", 200, |seed| {
        let mut dice = Dice::new(seed);
        let config = configuration::configuration(&mut dice);
        let Some(mut gateway) = gateway(&config) else {
            let problems = config::load(written(&config).as_bytes(), &|_| None, None);
            panic!("seed {seed}: {}\n{}", problems.expect_err("problems"), written(&config));
        };
        let users = UserService::new(seed);
        let providers = config["providers"].as_object().expect("providers").len();
        for _ in 0..REQUESTS {
            let request = request::request(&mut dice, providers);
            if let Some(found) = difference(&mut gateway, &config, &users, &request) {
                let small = shrink(config.clone(), seed, request);
                panic!("seed {seed}: {found}\n\nsmaller: {small}");
            }
            match send(&mut gateway, &users, &request.sent(), NOW) {
                Seen::Denied(_, code) => {
                    denied += 1;
                    *codes.entry(code).or_default() += 1;
                }
                Seen::Forwarded(..) => forwarded += 1,
                Seen::Redirected => redirected += 1,
            }
        }
    });
    println!("{forwarded} forwarded, {redirected} redirected, {denied} denied: {codes:?}");
    assert!(redirected > 0, "{codes:?}");
    assert!(forwarded > denied / 10 && denied > forwarded / 10, "{forwarded}, {denied}: {codes:?}");
    for code in [
        "insufficient_scope",
        "claim_forbidden",
        "group_forbidden",
        "user_unknown",
        "identity_unavailable",
    ] {
        assert!(codes.contains_key(code), "{code} is among {codes:?}");
    }
}

/// Headers of which HTTP, browsers or proxies make something, in the spellings that
/// services take for them: a claim must not be able to say it.
#[test]
fn no_claim_becomes_a_header_with_a_meaning() {
    const NAMES: [&str; 16] = [
        "cookie",
        "host",
        "content-length",
        "connection",
        "te",
        "transfer-encoding",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "x-real-ip",
        "x-http-method-override",
        "x-request-id",
        "origin",
        "if-match",
    ];
    rounds("headers", 300, |seed| {
        let mut dice = Dice::new(seed);
        let mut config = configuration::configuration(&mut dice);
        let name = dice.pick(&NAMES);
        let name = match dice.below(4) {
            0 => name.to_uppercase(),
            1 if name.starts_with("x-") => name.replace('-', dice.pick(&["_", "."])),
            _ => name.to_owned(),
        };
        if dice.chance(2) {
            config["identity_token"]["header"] = name.clone().into();
        } else {
            config["claim_to_headers"] = serde_json::json!([{"header": name, "claim": "sub"}]);
        }
        assert!(gateway(&config).is_none(), "seed {seed}: {name} is set");
    });
}
