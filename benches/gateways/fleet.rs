//! Four Envoys in front of one auth service and one user service: how often these
//! are asked, how long it takes until a revocation holds on all, and their memory.
//! `make bench ONLY=fleet`; the results go into `examples/operations/README.md`.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Effort;
use crate::envoy::{self, Machine, Setup};
use crate::load::{Connection, Target, cycle};
use crate::process::Process;
use crate::report::{self, Section, Table};
use crate::services::{self, Headers, Ports, Reply};
use crate::stats::median;
use crate::tokens::{self, AUDIENCE, ISSUER, Signer};

const PROXIES: usize = 4;
const WORKERS: usize = 2;
const USERS: u64 = 200;
/// How often a feed is read by default.
const POLL: Duration = Duration::from_secs(10);
/// New connections of a proxy that meet each of its workers, but once in a million.
const CONNECTIONS: usize = 20;

/// The auth service and the user service, and what they were asked.
#[derive(Default)]
struct Backend {
    keys: RefCell<Vec<Value>>,
    revoked: RefCell<Vec<Value>>,
    key_sets: Cell<u64>,
    polls: Cell<u64>,
    users: Cell<u64>,
}

impl Backend {
    fn answer(&self, request: &Headers<'_>) -> Reply {
        let count = |counter: &Cell<u64>| counter.set(counter.get() + 1);
        let path = request.path.unwrap_or_default();
        if path == "/jwks.json" {
            count(&self.key_sets);
            return Reply::new(&[], &json!({"keys": *self.keys.borrow()}).to_string());
        }
        if path.starts_with("/revocations") {
            count(&self.polls);
            let known = path.split_once("since=").and_then(|(_, since)| since.parse().ok());
            let entries = self.revoked.borrow();
            let news = &entries[known.unwrap_or(0).min(entries.len())..];
            let feed = json!({"cursor": entries.len().to_string(), "entries": news});
            return Reply::new(&[], &feed.to_string());
        }
        count(&self.users);
        services::user(request)
    }
}

struct Fleet {
    backend: Rc<Backend>,
    signer: Signer,
    /// Dropping them stops them.
    envoys: Vec<Process>,
    ports: Vec<u16>,
}

impl Fleet {
    async fn start(machine: &Machine) -> Self {
        let backend = Rc::new(Backend::default());
        let signer = Signer::new("ES256");
        backend.keys.borrow_mut().push(signer.jwk());
        let answering = Rc::clone(&backend);
        let port = services::serve(move |request| answering.answer(request)).await;
        let services = Ports { users: port, ..machine.services };
        let machine = Machine {
            envoy: machine.envoy.clone(),
            module: machine.module.clone(),
            directory: machine.directory.clone(),
            cpus: machine.cpus,
            services,
        };
        let config = configuration(&signer);
        let (mut envoys, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..PROXIES {
            let mut setup = Setup::new(&machine);
            ports.push(setup.listen(vec![envoy::wasm(&machine.module, 0, &config), buffer()]));
            envoys.push(setup.start(WORKERS).await);
        }
        Self { backend, signer, envoys, ports }
    }

    /// Memory of all of them, in MiB.
    fn memory(&self) -> f64 {
        self.envoys.iter().map(Process::rss).sum()
    }

    /// Sends a token to all proxies, over ever new connections, until none accepts it
    /// any more. Gives when it was accepted last, since `start`.
    async fn until_refused(&self, token: &str, start: Instant) -> Duration {
        let request = tokens::request(Some(token), "");
        let mut last = Duration::ZERO;
        let mut refused = [0; PROXIES];
        while refused.iter().any(|count| *count < CONNECTIONS) {
            for (port, refused) in self.ports.iter().zip(&mut refused) {
                match exchange(*port, &request).await {
                    200 => (last, *refused) = (start.elapsed(), 0),
                    401 => *refused += 1,
                    status => panic!("{status}"),
                }
            }
        }
        last
    }

    /// Every worker of every proxy has seen the token.
    async fn accepts(&self, token: &str) {
        let request = tokens::request(Some(token), "");
        for port in &self.ports {
            for _ in 0..CONNECTIONS {
                assert_eq!(exchange(*port, &request).await, 200);
            }
        }
    }
}

fn configuration(signer: &Signer) -> Value {
    let mut config = envoy::gatepass(&[signer], ("ES256", &tokens::identity_key("ES256")));
    // One service is all that the benchmark's Envoys have beside the upstream.
    config["services"]["auth"] = json!({"upstream": "users", "authority": "auth.internal"});
    config["providers"] = json!({"shop": {
        "issuer": ISSUER, "audiences": [AUDIENCE],
        "remote_jwks": {"service": "auth", "path": "/jwks.json"},
    }});
    config["revocation"] = json!({
        "endpoint": {"requires": {"scopes_all": ["revoke"]}},
        "feed": {"service": "auth", "path": "/revocations", "poll_seconds": POLL.as_secs()},
    });
    config
}

/// Holds a request until its body is there, as a gateway that takes revocations
/// needs it.
fn buffer() -> Value {
    json!({"name": "envoy.filters.http.buffer", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
        "max_request_bytes": 262_144,
    }})
}

async fn exchange(port: u16, request: &[u8]) -> u16 {
    let mut connection = Connection::open(port).await.expect("the gateway listens");
    connection.exchange(request).await.expect("the gateway answers")
}

/// Revokes a user at one proxy.
async fn revoke(port: u16, admin: &str, user: &str) {
    let body = json!({"entries": [{"sub": user}]}).to_string();
    let request = format!(
        "POST /.well-known/gatepass/revocations HTTP/1.1\r\nhost: shop.example\r\n\
         authorization: Bearer {admin}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the gateway listens");
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read_buf(&mut answer).await.expect("the gateway answers");
        assert_ne!(read, 0, "the gateway hung up");
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

pub async fn run(machine: &Machine, effort: &Effort) -> Section {
    let fleet = Fleet::start(machine).await;
    // What was started last has asked by then.
    sleep(Duration::from_secs(2)).await;
    let empty = fleet.memory();
    let at_start = fleet.backend.key_sets.get();
    let mut table = Table::new(&["", "measured", "that is"]);
    let per_proxy = |count: u64| format!("{:.1} for each proxy", count as f64 / PROXIES as f64);
    table.row(["key sets fetched at the start".into(), at_start.to_string(), per_proxy(at_start)]);

    let before = fleet.backend.key_sets.get();
    rotate(&fleet).await;
    let fetched = fleet.backend.key_sets.get() - before;
    table.row(["key sets fetched for a new key".into(), fetched.to_string(), per_proxy(fetched)]);

    let requests = load(&fleet, effort).await;
    let asked = fleet.backend.users.get();
    table.row([
        format!("questions about {USERS} users in {requests} requests"),
        asked.to_string(),
        format!("{:.1} for each user and proxy", asked as f64 / (USERS * PROXIES as u64) as f64),
    ]);

    let (polls, since) = (fleet.backend.polls.get(), Instant::now());
    let by_feed = by_feed(&fleet, effort.rounds(8)).await;
    let polls = fleet.backend.polls.get() - polls;
    let a_minute = polls as f64 / since.elapsed().as_secs_f64() * 60.0;
    let times = |mut times: Vec<f64>, unit: &str| {
        times.sort_by(f64::total_cmp);
        let longest = times.last().copied().unwrap_or(f64::NAN);
        (format!("{:.1} {unit}", median(times)), format!("at most {longest:.1} {unit}"))
    };
    let (usual, longest) = times(by_feed, "s");
    table.row(["until a revocation by the feed holds on all".into(), usual, longest]);
    table.row([
        "questions for the feed in a minute".into(),
        format!("{a_minute:.0}"),
        format!("{:.1} for each proxy", a_minute / PROXIES as f64),
    ]);
    let (done, after) = by_post(&fleet, effort.rounds(16)).await;
    let (usual, longest) = times(done, "ms");
    table.row([
        format!("until {PROXIES} POSTs, one after the other, are answered"),
        usual,
        longest,
    ]);
    table.row(["requests accepted after the last 204".into(), after.to_string(), String::new()]);
    let full = fleet.memory();
    table.row([
        "memory at the start".into(),
        format!("{empty:.0} MiB"),
        format!("{:.0} MiB for each proxy", empty / PROXIES as f64),
    ]);
    table.row([
        "memory after all of this".into(),
        format!("{full:.0} MiB"),
        format!("{:.0} MiB for each proxy", full / PROXIES as f64),
    ]);
    let text = format!(
        "{PROXIES} Envoys of {WORKERS} workers each on one CPU, the services and the client on another:\n\n{table}"
    );
    if !effort.quick {
        publish(&text);
    }
    Section { title: "A fleet", text, bars: Vec::new(), data: table.json() }
}

/// The issuer signs with another key, whose first tokens come to all workers.
async fn rotate(fleet: &Fleet) {
    let next = Signer::new("EdDSA");
    fleet.backend.keys.borrow_mut().push(next.jwk());
    fleet.accepts(&next.token("user-0", u64::MAX)).await;
}

/// Requests of all users to all proxies; gives how many.
async fn load(fleet: &Fleet, effort: &Effort) -> u64 {
    let each = effort.of(16_000);
    for (port, envoy) in fleet.ports.iter().zip(&fleet.envoys) {
        let token = |n| fleet.signer.token(&format!("user-{n}"), n);
        let requests = cycle((0..USERS).map(|n| tokens::request(Some(&token(n)), "")).collect());
        let target = Target::new("fleet", *port, requests, 200, envoy.workers_cpu());
        target.closed(16, each).await;
    }
    each * PROXIES as u64
}

/// Users are put on the feed; gives for each how many seconds went by until the last
/// request was accepted.
async fn by_feed(fleet: &Fleet, rounds: usize) -> Vec<f64> {
    let mut times = Vec::new();
    for round in 0..rounds {
        let user = format!("feed-{round}");
        let token = fleet.signer.token(&user, 0);
        fleet.accepts(&token).await;
        // Not in step with the polls.
        sleep(POLL.mul_f64(round as f64 / rounds as f64)).await;
        let start = Instant::now();
        fleet.backend.revoked.borrow_mut().push(json!({"sub": user}));
        times.push(fleet.until_refused(&token, start).await.as_secs_f64());
    }
    times
}

/// Users are revoked at each proxy; gives for each how many milliseconds that took,
/// and how many requests were accepted after it, which there must not be.
async fn by_post(fleet: &Fleet, rounds: usize) -> (Vec<f64>, u64) {
    let (mut times, mut after) = (Vec::new(), 0);
    let admin = {
        let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "auth", "scope": "revoke"});
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        (claims["iat"], claims["exp"]) = (now.into(), (now + 3600).into());
        fleet.signer.sign_claims("at+jwt", &claims)
    };
    for round in 0..rounds {
        let user = format!("post-{round}");
        let token = fleet.signer.token(&user, 0);
        fleet.accepts(&token).await;
        let start = Instant::now();
        for port in &fleet.ports {
            revoke(*port, &admin, &user).await;
        }
        let done = start.elapsed();
        times.push(done.as_secs_f64() * 1000.0);
        after += u64::from(fleet.until_refused(&token, start).await > Duration::ZERO);
    }
    (times, after)
}

fn publish(text: &str) {
    let path = Path::new(env!("CARGO_WORKSPACE_DIR")).join("examples/operations/README.md");
    let readme = std::fs::read_to_string(&path).expect("the operator's page");
    let text = format!("On {}: {text}", report::machine());
    let published = report::splice(&readme, "fleet", &text).expect("the marks");
    std::fs::write(&path, published).expect("the operator's page");
}
