//! A gateway with a clock, and everybody it talks to.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::callout::{Answer, CalloutFailure, CalloutReply};
use gatepass::config;
use gatepass::host::{HostCapabilities, RequestId, RequestInfo};
use gatepass::http::{Edit, LocalReply, RequestHead};
use gatepass::pipeline::{CalloutId, Dispatch, Pipeline, Step, Waiting};
use gatepass::sealing::{SealKey, SealKeys};
use gatepass::shared_data::SharedStore;
use gatepass::time::UnixTime;
use gatepass::verdict::{HeaderEdits, Verdict};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde_json::{Value, json};

/// When the scenarios begin, in seconds since the epoch.
pub const START: i64 = 1_800_000_000;

pub const ENVOY: HostCapabilities = HostCapabilities::ENVOY;
pub const KONG: HostCapabilities = HostCapabilities::NGX_WASM;
pub const HOSTS: [HostCapabilities; 2] = [ENVOY, KONG];

pub const JWKS_PATH: &str = "/.well-known/gatepass/jwks.json";

/// A key of the public issuer: an Ed25519 seed and its public part.
pub struct IssuerKey {
    seed: &'static str,
    public: &'static str,
}

/// RFC 8037 appendix A.1.
pub const KEY_A: IssuerKey = IssuerKey {
    seed: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    public: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
};

/// RFC 8032 section 7.1, test 2.
pub const KEY_B: IssuerKey = IssuerKey {
    seed: "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs",
    public: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
};

impl IssuerKey {
    pub fn jwk(&self, kid: &str) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": self.public,
            "kid": kid, "use": "sig", "alg": "EdDSA",
        })
    }

    pub fn private_jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": self.public, "d": self.seed})
    }

    fn encoding_key(&self) -> EncodingKey {
        // PKCS#8 of RFC 8410 section 7 around the seed.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend(BASE64URL.decode(self.seed).unwrap());
        EncodingKey::from_ed_der(&der)
    }

    /// A token with any header and any payload, signed.
    pub fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let input = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(payload));
        let key = self.encoding_key();
        let signature =
            jsonwebtoken::crypto::sign(input.as_bytes(), &key, Algorithm::EdDSA).unwrap();
        format!("{input}.{signature}")
    }

    pub fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": kid, "typ": "JWT"}).to_string();
        self.sign(header.as_bytes(), claims.to_string().as_bytes())
    }
}

/// The gateway's signing keys: private JWKs by algorithm.
pub fn gateway_key(algorithm: &str) -> Value {
    let fixtures: Value = serde_json::from_str(include_str!("../fixtures/tokens.json")).unwrap();
    let keys = fixtures["signing"].as_array().unwrap();
    keys.iter().find(|key| key["alg"] == algorithm).unwrap()["jwk"].clone()
}

/// The claims of alice's token, changed: `null` takes a claim away.
pub fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://auth.example", "aud": "shop-api", "sub": "alice",
        "iat": START, "exp": START + 3600, "azp": "web",
    });
    merge(&mut claims, changes);
    claims
}

/// Alice's token with changed claims.
pub fn token(changes: Value) -> String {
    KEY_A.token("a", &claims(changes))
}

pub fn alice() -> String {
    token(json!({}))
}

fn merge(target: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(&name)),
            value => target[name] = value,
        }
    }
}

/// A configuration with one provider and its keys; `edits` are JSON pointers
/// with what to put there.
pub fn local<const N: usize>(edits: [(&str, Value); N]) -> Value {
    let mut config = json!({
        "services": {
            "auth": {"upstream": "auth", "timeout_ms": 1000},
            "users": {"upstream": "users", "authority": "users.internal", "timeout_ms": 500},
        },
        "providers": {"shop": {
            "issuer": "https://auth.example",
            "audiences": ["shop-api", "shop-web"],
            "local_jwks": {"keys": [KEY_A.jwk("a")]},
        }},
        "identity_token": {
            "issuer": "https://gateway.internal",
            "audiences": ["services"],
            "signing_keys": [{"algorithm": "ES256", "private_key": gateway_key("ES256")}],
        },
    });
    for (pointer, value) in edits {
        put(&mut config, pointer, value);
    }
    config
}

/// Like [`local`], with a user-info service.
pub fn with_users<const N: usize>(edits: [(&str, Value); N]) -> Value {
    let mut config = local([(
        "/user_info",
        json!({
            "service": "users", "path": "/users/{sub}",
            "claims": {"country": "/address/country", "type": "/type"},
            "cache": {"ttl_seconds": 60, "negative_ttl_seconds": 5, "stale_if_error_seconds": 300},
        }),
    )]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value);
    }
    config
}

/// Like [`local`], with keys that are fetched.
pub fn remote<const N: usize>(edits: [(&str, Value); N]) -> Value {
    let mut config = local([
        ("/providers/shop/local_jwks", Value::Null),
        (
            "/providers/shop/remote_jwks",
            json!({
                "service": "auth", "path": "/jwks.json", "cache_seconds": 600,
                "max_stale_seconds": 3600, "unknown_kid_cooldown_seconds": 30,
            }),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value);
    }
    config
}

/// Puts a value at a JSON pointer; `null` counts as absent for the gateway.
pub fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match parent {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        parent => parent[name] = value,
    }
}

pub fn gateway(config: &Value, host: HostCapabilities) -> Pipeline {
    let settings = config::load(config.to_string().as_bytes(), &|_| None, None)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let mut gateway = Pipeline::new(settings, host, *b"0123456789abcdef");
    // What it says of itself at the start is no request's business.
    gateway.take_log();
    gateway
}

/// A request head; `:method` and `:path` are there unless given.
pub fn head(fields: &[(&str, &str)]) -> RequestHead {
    let pseudo = [(":method", "GET"), (":path", "/api"), (":authority", "shop.example")];
    let missing = pseudo.iter().filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    RequestHead::new(missing.chain(fields).map(owned))
}

/// The key that tokens are sealed with.
pub const SEAL_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub fn seal_keys(key: &str) -> SealKeys {
    SealKeys::new(vec![SealKey::parse(key).unwrap()]).unwrap()
}

/// A token as the gateway gives it to a client.
pub fn sealed(token: &str) -> String {
    seal_keys(SEAL_KEY).seal(token.as_bytes(), b"random").unwrap()
}

pub fn bearer(token: &str) -> RequestHead {
    head(&[("authorization", &format!("Bearer {token}"))])
}

/// A request whose `authorization` may be any bytes.
pub fn head_with(authorization: &[u8]) -> RequestHead {
    let pairs = [(":method", &b"GET"[..]), (":path", b"/api"), (":authority", b"shop.example")];
    RequestHead::new(pairs.into_iter().chain([("authorization", authorization)]))
}

/// Shared data as Envoy has it.
#[derive(Clone, Debug, Default)]
pub struct Store(pub Rc<RefCell<Values>>);

/// Values and their versions by key.
pub type Values = HashMap<String, (Vec<u8>, u32)>;

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let mut entries = self.0.borrow_mut();
        let current = entries.get(key).map_or(0, |(_, version)| *version);
        let fits = version.is_none_or(|version| version == current);
        if fits {
            entries.insert(key.to_owned(), (value.to_vec(), current + 1));
        }
        fits
    }
}

/// A gateway and what time it is there, in milliseconds. At its end its log and
/// its metrics are searched for what clients sent to prove who they are, as its
/// answers are when they are given.
pub struct World {
    pub gateway: Pipeline,
    pub millis: i64,
    pub host: HostCapabilities,
    secrets: HashSet<String>,
    told: Vec<String>,
}

/// Shorter words are names, not credentials.
const SHORTEST_SECRET: usize = 20;

impl World {
    pub fn new(config: &Value, host: HostCapabilities) -> Self {
        let gateway = gateway(config, host);
        Self { gateway, millis: START * 1000, host, secrets: HashSet::new(), told: Vec::new() }
    }

    /// One whose host tells something of requests.
    pub fn asking(config: &Value, host: HostCapabilities, info: Box<dyn RequestInfo>) -> Self {
        let gateway = gateway(config, host).with_request_info(info);
        Self { gateway, millis: START * 1000, host, secrets: HashSet::new(), told: Vec::new() }
    }

    /// One that shares what it fetches with other workers.
    pub fn sharing(config: &Value, host: HostCapabilities, store: &Store) -> Self {
        let mut world = Self::new(config, host);
        world.gateway.share(Box::new(store.clone()));
        world
    }

    fn keep_secrets_of(&mut self, head: &RequestHead) {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~+".contains(byte);
        // What is in a method or a path too is told by the client, unless it is a token.
        let told = [head.method(), head.target().path].map(String::from_utf8_lossy);
        for text in told.iter().filter(|text| text.len() >= SHORTEST_SECRET) {
            self.secrets.retain(|secret| !text.contains(&**secret));
            self.told.push(text.to_string());
        }
        for value in head.values("authorization").chain(head.values("cookie")) {
            let words = value.split(|byte| !is_token(byte));
            let words = words.filter(|word| word.len() >= SHORTEST_SECRET);
            // The header of a token is no secret.
            let parts = words.flat_map(|word| word.splitn(2, |byte| *byte == b'.').last());
            let parts = parts.filter(|part| part.len() >= SHORTEST_SECRET);
            let parts = parts.map(|part| String::from_utf8_lossy(part).into_owned());
            let parts = parts.filter(|part| !self.told.iter().any(|text| text.contains(part)));
            self.secrets.extend(parts);
        }
    }

    fn assert_silent(&self, place: &str, text: &str) {
        // The start of a JSON object in base64url; in a sealed token the letters come by
        // chance.
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let mut words = text.split(|c| !is_word(c)).filter(|word| !word.starts_with("gps_"));
        assert!(!words.any(|word| word.contains("eyJ")), "a token is in {place}: {text}");
        for secret in &self.secrets {
            assert!(!text.contains(secret), "{secret:?} is in {place}: {text}");
        }
    }

    fn looked_at(&self, step: Step) -> Step {
        if let Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) = &step {
            let values = reply.headers.iter().map(|(_, value)| value.as_str());
            self.assert_silent("a header of an answer", &values.collect::<String>());
            self.assert_silent("an answer", &String::from_utf8_lossy(&reply.body));
        }
        step
    }

    pub fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.millis)
    }

    /// Moves the clock, also backwards.
    pub fn pass(&mut self, seconds: i64) {
        self.millis += seconds * 1000;
    }

    pub fn set_clock(&mut self, seconds: i64) {
        self.millis = seconds * 1000;
    }

    pub fn begin(&mut self, head: RequestHead) -> Step {
        self.keep_secrets_of(&head);
        let now = self.now();
        let step = self.gateway.begin(RequestId::default(), head, now);
        self.looked_at(step)
    }

    pub fn get(&mut self, token: &str) -> Step {
        self.begin(bearer(token))
    }

    /// Lands a reply and goes on with the request that waits for it.
    pub fn answer(&mut self, step: Step, reply: &CalloutReply) -> Step {
        let (sent, waiting) = awaits(step);
        self.complete(sent.id, waiting, reply)
    }

    pub fn complete(&mut self, flight: CalloutId, waiting: Waiting, reply: &CalloutReply) -> Step {
        let now = self.now();
        let landing = self.gateway.complete(flight, reply, now).expect("an awaited flight");
        let step = self.gateway.resume(waiting, &landing, now);
        self.looked_at(step)
    }

    /// Lets the gateway fetch what is due, with `reply`; gives how many fetches
    /// there were.
    pub fn tick(&mut self, reply: &CalloutReply) -> usize {
        let now = self.now();
        let tick = self.gateway.tick(now);
        for sent in &tick.send {
            assert!(self.gateway.complete(sent.id, reply, now).is_some());
        }
        tick.send.len()
    }

    /// A request of alice's that needs nobody else.
    pub fn forwarded(&mut self, token: &str) -> HeaderEdits {
        let step = self.get(token);
        forwarded(step)
    }

    pub fn denied(&mut self, token: &str) -> (u16, String) {
        let step = self.get(token);
        denied(step)
    }

    /// The claims of the identity token in `edits`, verified with nothing but
    /// the keys that the gateway publishes.
    pub fn identity(&mut self, edits: &HeaderEdits) -> Value {
        let text = field(edits, "x-identity-token").expect("an identity token");
        self.verify_identity(&text)
    }

    pub fn verify_identity(&mut self, text: &str) -> Value {
        let header = jsonwebtoken::decode_header(text).unwrap();
        assert_eq!(header.typ.as_deref(), Some("identity+jwt"));
        let step = self.begin(head(&[(":path", JWKS_PATH)]));
        let keys: JwkSet = serde_json::from_slice(&answered(step).body).unwrap();
        let key = keys.find(header.kid.as_deref().unwrap()).expect("a published key");
        let algorithm = key.common.key_algorithm.unwrap().to_string().parse().unwrap();
        assert_eq!(header.alg, algorithm, "alg is the key's");
        let mut validation = Validation::new(algorithm);
        // By the clock of the scenario, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&["https://gateway.internal"]);
        validation.set_audience(&["services"]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        let key = DecodingKey::from_jwk(key).unwrap();
        let claims = jsonwebtoken::decode::<Value>(text, &key, &validation).unwrap().claims;
        let now = self.now().as_secs();
        assert!(claims["nbf"].as_i64().unwrap() <= now, "valid already");
        claims
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for line in self.gateway.take_log() {
            // What a client calls its request is its own.
            let mut line = line.json();
            line.as_object_mut().and_then(|line| line.remove("request_id"));
            self.assert_silent("the log", &line.to_string());
        }
        for series in self.gateway.metrics() {
            self.assert_silent("a metric", &format!("{series:?}"));
        }
    }
}

pub fn awaits(step: Step) -> (Dispatch, Waiting) {
    match step {
        Step::Wait(sent, waiting) => (sent, waiting),
        other => panic!("a callout expected, not {other:?}"),
    }
}

pub fn joins(step: Step) -> Waiting {
    match step {
        Step::Join(waiting) => waiting,
        other => panic!("a request that joins expected, not {other:?}"),
    }
}

pub fn forwarded(step: Step) -> HeaderEdits {
    match step {
        Step::Done(Verdict::Forward(edits), _) => edits,
        Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
            panic!("forwarded expected, not {}", String::from_utf8_lossy(&reply.body))
        }
        other => panic!("forwarded expected, not {other:?}"),
    }
}

pub fn answered(step: Step) -> LocalReply {
    match step {
        Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => reply,
        other => panic!("an answer expected, not {other:?}"),
    }
}

/// Status and code of a denial, which the verdict and the reply agree on.
pub fn denied(step: Step) -> (u16, String) {
    let Step::Done(Verdict::Deny(denial, reply), _) = step else {
        panic!("a denial expected, not {step:?}")
    };
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["code"], denial.code().name());
    assert_eq!(body["detail"], denial.to_string());
    (reply.status, denial.code().name().to_owned())
}

/// Why a request was denied, in words.
pub fn detail(step: Step) -> String {
    let Step::Done(Verdict::Deny(denial, _), _) = step else {
        panic!("a denial expected, not {step:?}")
    };
    denial.to_string()
}

/// The denial of a request, or `None` for one that passes.
pub fn decided(step: Step) -> Option<(u16, String)> {
    if matches!(step, Step::Done(Verdict::Deny(..), _)) {
        return Some(denied(step));
    }
    forwarded(step);
    None
}

/// What there is to log since the last call.
pub fn logged(gateway: &mut Pipeline) -> String {
    gateway.take_log().iter().map(|event| format!("{event}\n")).collect()
}

pub fn denial(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The value that the filter sets for a header.
pub fn field(edits: &HeaderEdits, name: &str) -> Option<String> {
    let mut values = edits.set().iter().filter(|(other, _)| other.as_str() == name);
    let value = values.next().map(|(_, value)| String::from_utf8(value.to_vec()).unwrap());
    assert!(values.next().is_none(), "{name} is set once");
    value
}

/// A header of a local reply.
pub fn reply_field<'a>(reply: &'a LocalReply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
}

/// The fields of `head` after `edits`, names in lower case, sorted.
///
/// A host that cannot remove a field blanks the first of its name, and sets the
/// first: what came twice stays. A blank says nothing and is left out here.
pub fn upstream(
    host: HostCapabilities,
    head: &RequestHead,
    edits: &HeaderEdits,
) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let mut fields: Vec<(String, String)> = head
        .fields()
        .map(|field| (text(field.name).to_ascii_lowercase(), text(field.value)))
        .collect();
    for edit in edits.edits() {
        let (name, value) = match edit {
            Edit::Remove(name) => (name.to_ascii_lowercase(), None),
            Edit::Set(name, value) => (name.to_ascii_lowercase(), Some(text(value))),
            Edit::Path(path) => (":path".to_owned(), Some(text(path))),
        };
        match fields.iter().position(|(other, _)| *other == name) {
            Some(first) if !host.removes_headers => drop(fields.remove(first)),
            _ => fields.retain(|(other, _)| *other != name),
        }
        fields.extend(value.map(|value| (name, value)));
    }
    fields.sort();
    fields
}

/// A JSON reply with status 200.
pub fn ok(body: &Value) -> CalloutReply {
    reply(200, body.to_string().as_bytes())
}

pub fn reply(status: u16, body: &[u8]) -> CalloutReply {
    CalloutReply::Answer(Answer {
        status,
        cache_control: None,
        fields: gatepass::http::Fields::default(),
        body: body.to_vec(),
    })
}

pub fn ok_cached(cache_control: &str, body: &Value) -> CalloutReply {
    cached_reply(200, cache_control, body.to_string().as_bytes())
}

pub fn cached_reply(status: u16, cache_control: &str, body: &[u8]) -> CalloutReply {
    CalloutReply::Answer(Answer {
        status,
        cache_control: Some(cache_control.as_bytes().to_vec()),
        fields: gatepass::http::Fields::default(),
        body: body.to_vec(),
    })
}

pub fn failed() -> CalloutReply {
    CalloutReply::Failed(CalloutFailure::NoReply)
}

pub fn jwks(keys: &[Value]) -> CalloutReply {
    ok(&json!({ "keys": keys }))
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}
