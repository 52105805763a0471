//! Many requests at once, good ones and hostile ones, each with the status that
//! it must get.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::tokens::{Signer, alice, encode, mac};
use crate::wire::{Connection, Request};

/// A request and the status it must get.
#[derive(Clone)]
pub struct Shot {
    pub bytes: Arc<[u8]>,
    pub status: u16,
    /// Whether it may be 503 too: whether its key exists is not found out for
    /// everybody at once.
    pub may_wait: bool,
}

impl Shot {
    pub fn new(request: Request, status: u16) -> Self {
        Self { bytes: request.into_bytes().into(), status, may_wait: false }
    }

    /// One whose key would have to be fetched.
    fn with_unknown_key(request: Request, status: u16) -> Self {
        Self { may_wait: true, ..Self::new(request, status) }
    }
}

/// When to stop.
#[derive(Clone, Copy)]
pub enum Enough {
    Requests(u64),
    After(Duration),
}

/// What became of many requests.
#[derive(Default)]
pub struct Volley {
    pub took: Duration,
    /// Of those that were accepted, sorted.
    pub accepted: Vec<Duration>,
    pub denied: usize,
    /// Answers that were not as expected.
    pub wrong: Vec<String>,
}

impl Volley {
    pub fn per_second(&self) -> f64 {
        (self.accepted.len() + self.denied) as f64 / self.took.as_secs_f64()
    }

    pub fn accepted(&self, percentile: usize) -> Duration {
        let last = self.accepted.len().saturating_sub(1);
        self.accepted.get(last * percentile / 100).copied().unwrap_or_default()
    }

    pub fn take(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.denied += other.denied;
        self.wrong.extend(other.wrong);
    }
}

/// Sends what `next` gives over as many kept connections as there are clients;
/// blocks until it is enough.
pub fn fire(
    port: u16,
    clients: usize,
    enough: Enough,
    next: impl Fn(u64) -> Shot + Sync,
) -> Volley {
    let start = Instant::now();
    let sent = AtomicU64::new(0);
    let number = || {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        match enough {
            Enough::Requests(count) => number < count,
            Enough::After(time) => start.elapsed() < time,
        }
        .then_some(number)
    };
    let mut volley = Volley::default();
    std::thread::scope(|scope| {
        let client = || {
            let mut volley = Volley::default();
            let mut connection = Connection::open(port);
            while let Some(number) = number() {
                let Shot { bytes, status, may_wait } = next(number);
                let sent = Instant::now();
                connection.write(&bytes);
                let Some(answer) = connection.read_answer() else {
                    volley.wrong.push(format!("{number}: hung up instead of {status}"));
                    connection = Connection::open(port);
                    continue;
                };
                // As Envoy does with every 400.
                if answer.header("connection") == Some("close") {
                    connection = Connection::open(port);
                }
                match answer.status {
                    503 if may_wait => volley.denied += 1,
                    other if other != status => {
                        volley.wrong.push(format!("{number}: not {status}: {answer}"));
                    }
                    200 => volley.accepted.push(sent.elapsed()),
                    _ => volley.denied += 1,
                }
            }
            volley
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        for client in clients {
            volley.take(client.join().expect("a client ends"));
        }
    });
    volley.took = start.elapsed();
    volley.accepted.sort();
    volley
}

/// A request with this token for a path that needs one.
pub fn orders(token: &str) -> Request {
    Request::get("/orders").bearer(token)
}

/// Requests that no gateway may let pass, each another one, with the bundled
/// configuration's keys behind `gateway`.
pub fn hostile(gateway: &Gateway, count: usize) -> Vec<Shot> {
    let stranger = Signer::es256("made-up");
    let good = gateway.token("alice");
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let claims = |n: usize, changes: Value| {
        let mut claims = alice(changes);
        claims["jti"] = json!(n);
        claims
    };
    let make = |n: usize| match n % 8 {
        // Another payload under a good signature.
        0 | 1 => {
            let payload = encode(claims(n, json!({"sub": "bob"})).to_string());
            Shot::new(orders(&format!("{header}.{payload}.{signature}")), 401)
        }
        // A key that nobody has; its id is another one each time.
        2 => {
            let header = json!({"kid": format!("made-up-{n}")});
            let token = stranger.token_with(header, &claims(n, json!({})));
            Shot::with_unknown_key(orders(&token), 401)
        }
        3 => Shot::new(
            orders(&gateway.services.auth.sign(&claims(n, json!({"exp": 1_700_000_000})))),
            401,
        ),
        4 => {
            let issuer = json!({"iss": format!("https://{n}.example")});
            Shot::new(orders(&stranger.token(&claims(n, issuer))), 401)
        }
        // As long as a token may be.
        5 => Shot::new(orders(&format!("{n}.{}", "A.".repeat(4000))), 401),
        6 => {
            let header = json!({"alg": "HS256", "typ": "at+jwt"});
            Shot::new(orders(&mac(b"secret", &header, &claims(n, json!({})))), 401)
        }
        _ => Shot::new(orders(&good).bearer(&format!("{n}.{head}")), 400),
    };
    (0..count).map(make).collect()
}
