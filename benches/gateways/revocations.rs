//! What a revocation at the endpoint costs, and whether that depends on how many there
//! are already: `ONLY=revocations`.

use std::rc::Rc;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::Effort;
use crate::envoy::{self, Machine, Setup};
use crate::load::{Requests, Target};
use crate::process::Cpu;
use crate::report::{Section, Table};
use crate::stats::median;
use crate::tokens::{self, AUDIENCE, ISSUER, Signer};

/// As many as a large shop has at a time.
const HELD: u64 = 60_000;
/// As many as fit into the largest request.
const AT_ONCE: u64 = 7_000;
const BODY_BYTES: usize = 262_144;

pub async fn run(machine: &Machine, effort: &Effort) -> Section {
    let signer = Signer::new("EdDSA");
    let mut config = envoy::gatepass(&[&signer], ("ES256", &tokens::identity_key("ES256")));
    config["revocation"] = json!({
        "endpoint": {"requires": {"scopes_all": ["revoke"]}},
        "max_entries": 1_000_000,
    });
    let mut setup = Setup::new(machine);
    let port = setup.gatepass_with_bodies(&config, BODY_BYTES);
    let envoy = setup.start(1).await;
    let (worker, rounds) = (envoy.workers_cpu(), effort.rounds(16));
    let plain = Rc::new(|_| tokens::request(None, ""));
    let bench = Bench { port, worker, rounds, admin: admin(&signer) };
    let plain = bench.cost("no token", plain, 401, 100).await;

    let mut table = Table::new(&["on the list", "added", "CPU us/request", "times a plain 401"]);
    let mut next = 0;
    for held in [0, HELD] {
        while next < held {
            bench.cost_of(AT_ONCE, &mut next, 1, 1).await;
        }
        for (added, requests) in [(1, 100), (AT_ONCE, 1)] {
            let start = next;
            let cost = bench.cost_of(added, &mut next, requests, bench.rounds).await;
            let times = format!("{:.1}", cost / plain);
            table.row([start.to_string(), added.to_string(), format!("{cost:.0}"), times]);
        }
    }
    let text =
        format!("A plain 401 costs {plain:.0} us of a worker, Envoy's part included.\n\n{table}\n");
    Section { title: "Revocations", text, bars: Vec::new(), data: Value::Null }
}

struct Bench {
    port: u16,
    worker: Cpu,
    rounds: usize,
    /// A token that may revoke.
    admin: String,
}

impl Bench {
    /// Microseconds of the worker for each of `count` requests.
    async fn cost(&self, name: &str, requests: Requests, status: u16, count: u64) -> f64 {
        let target = Target::new(name, self.port, requests, status, self.worker.clone());
        let mut costs = Vec::new();
        for _ in 0..self.rounds {
            costs.push(target.closed(1, count).await.cpu);
        }
        median(costs)
    }

    /// The mean for each request that revokes `added` tokens, from the `next` one.
    async fn cost_of(&self, added: u64, next: &mut u64, count: u64, rounds: usize) -> f64 {
        let (admin, first) = (self.admin.clone(), *next);
        let requests = Rc::new(move |n: u64| revocation(&admin, first + n * added, added));
        let target = Target::new("a revocation", self.port, requests, 204, self.worker.clone());
        let (mut sum, rounds) = (0.0, rounds.max(1));
        for _ in 0..rounds {
            sum += target.closed(1, count).await.cpu;
        }
        *next += added * count * rounds as u64;
        sum / rounds as f64
    }
}

fn admin(signer: &Signer) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "auth", "scope": "revoke"});
    (claims["iat"], claims["exp"]) = (now.into(), (now + 3600).into());
    signer.sign_claims("at+jwt", &claims)
}

fn revocation(admin: &str, first: u64, count: u64) -> Rc<[u8]> {
    let entries: Vec<Value> =
        (first..first + count).map(|n| json!({"jti": format!("{n:016x}")})).collect();
    let body = json!({ "entries": entries }).to_string();
    let head = format!(
        "POST /.well-known/gatepass/revocations HTTP/1.1\r\nhost: shop.example\r\n\
         authorization: Bearer {admin}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes().into()
}
